//! Readers under hostile input: whatever the bytes, they answer; they do not panic, and they accept only what is so.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails says so by panicking")]

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;
use vision::ImageShape;
use vision::read::cifar::{self, Form};
use vision::read::{content, idx, picture};

const CLASSES: usize = 10;
const SHAPE: ImageShape = ImageShape::new(3, 9, 9);

/// A picture of a few hundred bytes, as PNG and as JPEG.
fn pictures() -> [Vec<u8>; 2] {
    [&include_bytes!("pictures/rgb-8.png")[..], include_bytes!("pictures/rgb-420.jpg")].map(<[u8]>::to_vec)
}

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
    for form in [Form::CIFAR10, Form::CIFAR100_FINE, Form::CIFAR100_COARSE] {
        let (mut pixels, mut labels) = (vec![], vec![]);
        match cifar::records(bytes, form, &mut pixels, &mut labels) {
            Ok(count) => {
                assert_eq!((count * 3072, count), (pixels.len(), labels.len()));
                assert_eq!(bytes.len(), count * form.record());
                assert!(labels.iter().all(|&label| usize::from(label) < form.classes()));
            }
            Err(_) => assert!(pixels.is_empty() && labels.is_empty()),
        }
    }
    let mut out = vec![0; SHAPE.pixels()];
    // Whether it can be decoded is the decoder's to say; that it answers is what is asked.
    let _ = picture::square(bytes, SHAPE, &mut out);
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

    #[test]
    fn random_records(labels in proptest::collection::vec(0_u8..120, 0..9), pad in 0_usize..3, fill in any::<u8>()) {
        for form in [Form::CIFAR10, Form::CIFAR100_FINE] {
            let mut bytes = vec![fill % 10; labels.len() * form.record()];
            for (record, &label) in bytes.chunks_exact_mut(form.record()).zip(&labels) {
                record[form.record() - 3073] = label;
            }
            bytes.truncate(bytes.len().saturating_sub(pad));
            answers_are_sound(&bytes);
        }
    }

    #[test]
    fn truncated_pictures_are_refused(which in 0_usize..2, keep in any::<prop::sample::Index>()) {
        let good = &pictures()[which];
        let mut out = vec![0; SHAPE.pixels()];
        prop_assert!(picture::square(good, SHAPE, &mut out).is_ok());
        let keep = keep.index(good.len());
        prop_assert!(picture::square(&good[..keep], SHAPE, &mut out).is_err(), "{keep} of {}", good.len());
    }

    #[test]
    fn damaged_pictures_are_answered(
        which in 0_usize..2,
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = pictures()[which].clone();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        answers_are_sound(&bytes);
    }

    #[test]
    fn declared_dimensions_are_held_against_the_bytes(width in any::<u32>(), height in any::<u32>(), jpeg: bool) {
        let [mut png, mut jpg] = pictures();
        let bytes = if jpeg {
            // The frame header (SOF0) holds height and width, 16 bits each.
            let at = jpg.windows(2).position(|mark| mark == [0xff, 0xc0]).unwrap();
            jpg[at + 5..at + 7].copy_from_slice(&(height as u16).to_be_bytes());
            jpg[at + 7..at + 9].copy_from_slice(&(width as u16).to_be_bytes());
            jpg
        } else {
            png[16..20].copy_from_slice(&width.to_be_bytes());
            png[20..24].copy_from_slice(&height.to_be_bytes());
            let mut crc = flate2::Crc::new();
            crc.update(&png[12..29]);
            png[29..33].copy_from_slice(&crc.sum().to_be_bytes());
            png
        };
        let declared = if jpeg { u64::from(width as u16) * u64::from(height as u16) } else { u64::from(width) * u64::from(height) };
        let mut out = vec![0; SHAPE.pixels()];
        if picture::square(&bytes, SHAPE, &mut out).is_ok() {
            prop_assert!(declared * 3 <= 2048 * bytes.len() as u64, "{declared} pixels of {} bytes", bytes.len());
        }
    }
}
