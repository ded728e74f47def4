//! Readers under hostile input: whatever the bytes, they answer; they do not panic, and they accept only what is so.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails says so by panicking")]

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;
use vision::read::{cifar, content, idx};

const CLASSES: usize = 10;

fn idx_images(count: u32, rows: u32, columns: u32, body: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = [2051, count, rows, columns].iter().flat_map(|word: &u32| word.to_be_bytes()).collect();
    bytes.extend((0..body).map(|index| index as u8));
    bytes
}

/// What must hold of every answer, whatever the bytes were.
fn answers_are_sound(bytes: &[u8]) {
    if let Ok(images) = idx::images(bytes) {
        assert_eq!(images.count * images.rows * images.columns, images.pixels.len());
        assert_eq!(bytes.len(), 16 + images.pixels.len());
        assert_eq!(bytes[..4], [0, 0, 8, 3]);
    }
    if let Ok(labels) = idx::labels(bytes, CLASSES) {
        assert_eq!(bytes.len(), 8 + labels.len());
        assert!(labels.iter().all(|&label| label < 10));
    }
    let (mut pixels, mut labels) = (vec![], vec![]);
    match cifar::records(bytes, CLASSES, &mut pixels, &mut labels) {
        Ok(count) => assert_eq!((count * 3072, count), (pixels.len(), labels.len())),
        Err(_) => assert!(pixels.is_empty() && labels.is_empty()),
    }
}

proptest! {
    // A failure is reported with its seed; no file is written beside the sources.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..8000)) {
        answers_are_sound(&bytes);
    }

    #[test]
    fn random_headers(words in proptest::array::uniform4(any::<u32>()), body in 0_usize..64) {
        let mut bytes = idx_images(words[1], words[2], words[3], body);
        answers_are_sound(&bytes);
        bytes[3] = 1;
        answers_are_sound(&bytes);
        bytes[..4].copy_from_slice(&words[0].to_be_bytes());
        answers_are_sound(&bytes);
    }

    #[test]
    fn truncations_of_a_good_file(count in 0_u32..5, rows in 1_u32..5, columns in 1_u32..5, cut in 1_usize..200) {
        let bytes = idx_images(count, rows, columns, (count * rows * columns) as usize);
        prop_assert!(idx::images(&bytes).is_ok());
        prop_assert!(idx::images(&bytes[..bytes.len().saturating_sub(cut)]).is_err());
    }

    #[test]
    fn a_flipped_bit_in_the_header_is_noticed(count in 1_u32..5, rows in 1_u32..5, columns in 1_u32..5, bit in 0_usize..128) {
        let mut bytes = idx_images(count, rows, columns, (count * rows * columns) as usize);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(idx::images(&bytes).is_err());
    }

    #[test]
    fn a_flipped_bit_in_a_gzip_file_changes_no_content(position in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let good: Vec<u8> = (0..5000_u32).map(|index| (index * index / 7) as u8).collect();
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&good).unwrap();
        let mut packed = encoder.finish().unwrap();
        let at = position.index(packed.len());
        packed[at] ^= 1 << bit;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.gz");
        std::fs::write(&path, &packed).unwrap();
        if let Ok(found) = content(&path, 5000) {
            // A flip may hit the header's time or system field, or the mark of gzip itself (then it is another file).
            prop_assert!(found == good || (at < 2 && found == packed), "flip of bit {bit} at {at}");
        }
    }
}
