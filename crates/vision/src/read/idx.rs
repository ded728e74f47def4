//! IDX, the format of MNIST: a big-endian header, then one byte a pixel or a label.
//!
//! Images: magic 2051 (`0x00000803`: unsigned bytes, three dimensions), count, rows, columns, pixels by rows.
//! Labels: magic 2049 (`0x00000801`: one dimension), count, labels. Source: Y. LeCun, *The MNIST database of
//! handwritten digits*, "File formats".

use crate::error::FileProblem;

const IMAGES: u32 = 2051;
const LABELS: u32 = 2049;

/// The images of an IDX file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Images<'a> {
    /// How many.
    pub count: usize,
    /// Rows of each.
    pub rows: usize,
    /// Columns of each.
    pub columns: usize,
    /// `count * rows * columns` bytes.
    pub pixels: &'a [u8],
}

/// The 32-bit words of a header of `N` words after its magic number, and what follows it.
fn header<'a, const N: usize>(
    bytes: &'a [u8],
    magic: u32,
    kind: &'static str,
) -> Result<([u32; N], &'a [u8]), FileProblem> {
    let expected = 4 * (N + 1);
    let word = |at: usize| bytes.get(at..at + 4).and_then(|word| word.try_into().ok()).map(u32::from_be_bytes);
    // A wrong magic number is reported before a short header: it says more about the file.
    if let Some(found) = word(0).filter(|&found| found != magic) {
        return Err(FileProblem::Magic { found, expected: magic, kind });
    }
    let mut words = [0; N];
    for (index, slot) in words.iter_mut().enumerate() {
        *slot = word(4 * (index + 1)).ok_or(FileProblem::Header { found: bytes.len(), expected })?;
    }
    let body = bytes.get(expected..).ok_or(FileProblem::Header { found: bytes.len(), expected })?;
    Ok((words, body))
}

/// Reads the content of an IDX file of images.
///
/// # Errors
/// Another magic number, a header cut short, images without pixels, more or fewer bytes than the header declares.
pub fn images(bytes: &[u8]) -> Result<Images<'_>, FileProblem> {
    let ([count, rows, columns], pixels) = header(bytes, IMAGES, "IDX images, unsigned bytes")?;
    // The product of three 32-bit numbers can overflow 64 bits; no such file exists.
    let expected = u64::from(rows) * u64::from(columns);
    let Some(expected) = expected.checked_mul(u64::from(count)).filter(|_| expected > 0) else {
        return Err(FileProblem::Dimensions { count, rows, columns });
    };
    if pixels.len() as u64 != expected {
        let reason = format!("the header declares {count} images of {rows}x{columns}");
        return Err(FileProblem::Length { found: pixels.len() as u64, expected, reason });
    }
    Ok(Images { count: count as usize, rows: rows as usize, columns: columns as usize, pixels })
}

/// Reads the content of an IDX file of labels, each of which must be below `classes`.
///
/// # Errors
/// Another magic number, a header cut short, more or fewer bytes than the header declares, a label out of range.
pub fn labels(bytes: &[u8], classes: usize) -> Result<&[u8], FileProblem> {
    let ([count], labels) = header(bytes, LABELS, "IDX labels, unsigned bytes")?;
    if labels.len() as u64 != u64::from(count) {
        let reason = format!("the header declares {count} labels");
        return Err(FileProblem::Length { found: labels.len() as u64, expected: u64::from(count), reason });
    }
    match labels.iter().position(|&label| usize::from(label) >= classes) {
        Some(index) => Err(FileProblem::Label { index, found: labels[index], classes }),
        None => Ok(labels),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(words: &[u32], body: &[u8]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).chain(body.iter().copied()).collect()
    }

    #[test]
    fn a_good_file_is_read() {
        let bytes = file(&[IMAGES, 2, 1, 3], &[1, 2, 3, 4, 5, 6]);
        let expected = Images { count: 2, rows: 1, columns: 3, pixels: &[1, 2, 3, 4, 5, 6] };
        assert_eq!(images(&bytes), Ok(expected));
        assert_eq!(labels(&file(&[LABELS, 3], &[0, 9, 4]), 10), Ok(&[0, 9, 4][..]));
        assert_eq!(images(&file(&[IMAGES, 0, 1, 3], &[])).map(|images| images.count), Ok(0));
    }

    #[test]
    fn a_bad_file_is_refused_with_what_was_found_and_expected() {
        let max = u32::MAX;
        for (bytes, expected) in [
            (file(&[], &[]), "0 bytes are less than the header of 16 bytes"),
            (file(&[IMAGES, 2], &[0, 0]), "10 bytes are less than the header of 16 bytes"),
            (file(&[LABELS, 2, 1, 1], &[0, 0]), "starts with 0x00000801 (2049), expected 0x00000803 (2051, IDX images"),
            (file(&[IMAGES, 2, 1, 3], &[0; 5]), "5 bytes of content, expected 6 (the header declares 2 images of 1x3)"),
            (file(&[IMAGES, 2, 1, 3], &[0; 7]), "7 bytes of content, expected 6"),
            (file(&[IMAGES, 2, 0, 3], &[]), "2 images of 0x3 pixels, which is not possible"),
            (file(&[IMAGES, max, max, max], &[0; 9]), "which is not possible"),
            (file(&[IMAGES, 4, 0x8000_0000, 1], &[0; 9]), "9 bytes of content, expected 8589934592"),
        ] {
            let found = images(&bytes).unwrap_err().to_string();
            assert!(found.contains(expected), "{found}");
        }
        for (bytes, expected) in [
            (file(&[LABELS, 2], &[0]), "1 bytes of content, expected 2 (the header declares 2 labels)"),
            (file(&[LABELS, 2], &[0, 1, 2]), "3 bytes of content, expected 2"),
            (file(&[LABELS, 2], &[3, 10]), "label 10 of image 1 is outside 0..10"),
            (file(&[LABELS], &[0]), "5 bytes are less than the header of 8 bytes"),
        ] {
            let found = labels(&bytes, 10).unwrap_err().to_string();
            assert!(found.contains(expected), "{found}");
        }
    }
}
