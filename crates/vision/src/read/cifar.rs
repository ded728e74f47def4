//! The binary versions of CIFAR-10 and CIFAR-100: records without a header.
//!
//! A record of CIFAR-10 is one label byte, then 1,024 bytes of red, of green and of blue, each plane 32x32 by rows; one
//! of CIFAR-100 starts with two label bytes, the superclass and the class. Source: A. Krizhevsky, *The CIFAR-10 and
//! CIFAR-100 datasets*, "Binary version".

use crate::error::FileProblem;
use crate::image_set::ImageShape;

/// The shape of an image.
pub const SHAPE: ImageShape = ImageShape::new(3, 32, 32);

/// What the records of a file look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// How many classes each label byte can name, in their order.
    labels: &'static [usize],
    /// Which of the label bytes is taken.
    taken: usize,
}

impl Form {
    /// CIFAR-10: one label of ten classes.
    pub const CIFAR10: Self = Self { labels: &[10], taken: 0 };
    /// CIFAR-100 by its hundred classes.
    pub const CIFAR100_FINE: Self = Self { labels: &[20, 100], taken: 1 };
    /// CIFAR-100 by its twenty superclasses.
    pub const CIFAR100_COARSE: Self = Self { labels: &[20, 100], taken: 0 };

    /// Bytes of a record: its labels and an image.
    pub const fn record(self) -> usize {
        self.labels.len() + SHAPE.pixels()
    }

    /// How many classes there are.
    pub fn classes(self) -> usize {
        self.labels[self.taken]
    }
}

/// Appends the images and labels of a file's content to `pixels` and `labels`; returns the number of records.
///
/// # Errors
/// A length that is not a whole number of records, a label out of range (in either label byte: then it is another file).
/// Then nothing is appended.
pub fn records(bytes: &[u8], form: Form, pixels: &mut Vec<u8>, labels: &mut Vec<u8>) -> Result<usize, FileProblem> {
    let record = form.record();
    let count = bytes.len() / record;
    if !bytes.len().is_multiple_of(record) {
        let reason = format!("{count} whole records of {record} bytes");
        let (found, expected) = (bytes.len() as u64, (count * record) as u64);
        return Err(FileProblem::Length { found, expected, reason });
    }
    for (index, record) in bytes.chunks_exact(record).enumerate() {
        for (&found, &classes) in record.iter().zip(form.labels) {
            if usize::from(found) >= classes {
                return Err(FileProblem::Label { index, found, classes });
            }
        }
    }
    pixels.reserve(count * SHAPE.pixels());
    labels.reserve(count);
    for record in bytes.chunks_exact(record) {
        labels.push(record[form.taken]);
        pixels.extend_from_slice(&record[form.labels.len()..]);
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: usize = Form::CIFAR10.record();

    fn read(bytes: &[u8]) -> Result<(Vec<u8>, Vec<u8>), String> {
        let (mut pixels, mut labels) = (vec![], vec![]);
        let count = records(bytes, Form::CIFAR10, &mut pixels, &mut labels).map_err(|problem| problem.to_string())?;
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

    #[test]
    fn a_record_of_cifar100_has_two_labels() {
        const RECORD: usize = Form::CIFAR100_FINE.record();
        let mut bytes = vec![7; 2 * RECORD];
        (bytes[0], bytes[1], bytes[RECORD], bytes[RECORD + 1]) = (3, 99, 19, 0);
        for (form, expected) in [(Form::CIFAR100_FINE, [99, 0]), (Form::CIFAR100_COARSE, [3, 19])] {
            let (mut pixels, mut labels) = (vec![], vec![]);
            assert_eq!(records(&bytes, form, &mut pixels, &mut labels), Ok(2));
            assert_eq!((labels, pixels.len()), (expected.to_vec(), 2 * 3072));
            assert!(pixels.iter().all(|&pixel| pixel == 7));
        }
        for (at, bad, classes) in [(RECORD, 20, 20), (RECORD + 1, 100, 100)] {
            let mut bytes = bytes.clone();
            bytes[at] = bad;
            for form in [Form::CIFAR100_FINE, Form::CIFAR100_COARSE] {
                let problem = records(&bytes, form, &mut vec![], &mut vec![]);
                assert_eq!(problem, Err(FileProblem::Label { index: 1, found: bad, classes }));
            }
        }
    }
}
