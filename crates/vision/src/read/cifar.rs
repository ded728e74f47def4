//! The binary version of CIFAR-10: records without a header.
//!
//! A record is one label byte, then 1,024 bytes of red, of green and of blue, each plane 32x32 by rows. Source:
//! A. Krizhevsky, *The CIFAR-10 dataset*, "Binary version".

use crate::error::FileProblem;
use crate::image_set::ImageShape;

/// The shape of an image.
pub const SHAPE: ImageShape = ImageShape::new(3, 32, 32);

/// Bytes of a record: a label and an image.
pub const RECORD: usize = 1 + SHAPE.pixels();

/// Appends the images and labels of a file's content to `pixels` and `labels`; gives the number of records.
///
/// # Errors
/// A length that is not a whole number of records, a label that is not below `classes`. Then nothing is appended.
pub fn records(bytes: &[u8], classes: usize, pixels: &mut Vec<u8>, labels: &mut Vec<u8>) -> Result<usize, FileProblem> {
    let count = bytes.len() / RECORD;
    if !bytes.len().is_multiple_of(RECORD) {
        let reason = format!("{count} whole records of {RECORD} bytes");
        let (found, expected) = (bytes.len() as u64, (count * RECORD) as u64);
        return Err(FileProblem::Length { found, expected, reason });
    }
    let bad = |record: &[u8]| usize::from(record[0]) >= classes;
    if let Some(index) = bytes.chunks_exact(RECORD).position(bad) {
        return Err(FileProblem::Label { index, found: bytes[index * RECORD], classes });
    }
    pixels.reserve(count * SHAPE.pixels());
    labels.reserve(count);
    for record in bytes.chunks_exact(RECORD) {
        labels.push(record[0]);
        pixels.extend_from_slice(&record[1..]);
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<(Vec<u8>, Vec<u8>), String> {
        let (mut pixels, mut labels) = (vec![], vec![]);
        let count = records(bytes, 10, &mut pixels, &mut labels).map_err(|problem| problem.to_string())?;
        assert_eq!(count, labels.len());
        Ok((pixels, labels))
    }

    #[test]
    fn records_are_a_label_and_three_planes() {
        let mut bytes = vec![0; 2 * RECORD];
        (bytes[0], bytes[RECORD], bytes[1], bytes[RECORD + 1 + 1024]) = (3, 9, 11, 22);
        let (pixels, labels) = read(&bytes).unwrap();
        assert_eq!(labels, [3, 9]);
        assert_eq!((pixels.len(), pixels[0], pixels[3072 + 1024]), (2 * 3072, 11, 22));
    }

    #[test]
    fn what_is_not_whole_records_is_refused() {
        assert_eq!(
            read(&vec![0; RECORD + 5]).unwrap_err(),
            "3078 bytes of content, expected 3073 (1 whole records of 3073 bytes)"
        );
        let mut bytes = vec![0; 2 * RECORD];
        bytes[RECORD] = 10;
        assert_eq!(read(&bytes).unwrap_err(), "label 10 of image 1 is outside 0..10");
    }
}
