//! Records as TensorFlow's `TFRecord` format frames them.
//!
//! ```text
//! u64  length of the data, little endian
//! u32  masked CRC-32C of the eight bytes above
//!      data
//! u32  masked CRC-32C of the data
//! ```
//!
//! Source: TensorFlow's guide "TFRecord and tf.train.Example" and `tensorflow/core/lib/io/record_writer.h`.

use std::io::{self, Write};

/// The CRC-32C, rotated right by 15 bits, plus a constant: so that data which holds its own CRC does not trip it.
fn masked_crc(data: &[u8]) -> u32 {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Writes one record.
pub(super) fn write(out: &mut impl Write, data: &[u8]) -> io::Result<()> {
    let length = (data.len() as u64).to_le_bytes();
    out.write_all(&length)?;
    out.write_all(&masked_crc(&length).to_le_bytes())?;
    out.write_all(data)?;
    out.write_all(&masked_crc(data).to_le_bytes())
}

/// What stands at the beginning of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Record<'a> {
    /// A whole record, and what follows it.
    Whole { data: &'a [u8], rest: &'a [u8] },
    /// Nothing.
    End,
    /// The beginning of a record whose writer was cut off.
    Torn,
    /// A record that does not match its checksums.
    Damaged(&'static str),
}

/// Reads one record.
pub(super) fn read(bytes: &[u8]) -> Record<'_> {
    if bytes.is_empty() {
        return Record::End;
    }
    let Some((length, after_length)) = bytes.split_first_chunk::<8>() else { return Record::Torn };
    let Some((crc, after_head)) = after_length.split_first_chunk::<4>() else { return Record::Torn };
    if masked_crc(length) != u32::from_le_bytes(*crc) {
        return Record::Damaged("its length does not match its checksum");
    }
    let Ok(length) = usize::try_from(u64::from_le_bytes(*length)) else {
        return Record::Damaged("it is longer than this machine's memory");
    };
    let Some((data, after_data)) = after_head.split_at_checked(length) else { return Record::Torn };
    let Some((crc, rest)) = after_data.split_first_chunk::<4>() else { return Record::Torn };
    if masked_crc(data) != u32::from_le_bytes(*crc) {
        return Record::Damaged("its data does not match its checksum");
    }
    Record::Whole { data, rest }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check value of CRC-32C (Castagnoli) for the digits 1 to 9, 0xe3069283, masked by the rule above by hand.
    #[test]
    fn the_checksum_is_the_masked_castagnoli() {
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
        let rotated = 0xe306_9283_u32.rotate_right(15);
        assert_eq!(rotated, 0x2507_c60d);
        assert_eq!(masked_crc(b"123456789"), 0x2507_c60d_u32.wrapping_add(0xa282_ead8));
    }

    #[test]
    fn records_come_back() {
        let mut file = Vec::new();
        for data in [b"one".as_slice(), b"", b"three"] {
            write(&mut file, data).unwrap();
        }
        assert_eq!(file.len(), 3 * (12 + 4) + 3 + 5, "the frame of three records, and their data");
        let mut rest = file.as_slice();
        for expected in [b"one".as_slice(), b"", b"three"] {
            let Record::Whole { data, rest: after } = read(rest) else { panic!("no record") };
            assert_eq!(data, expected);
            rest = after;
        }
        assert_eq!(read(rest), Record::End);
    }

    #[test]
    fn every_truncation_is_torn_and_every_flipped_bit_is_seen() {
        let mut file = Vec::new();
        write(&mut file, b"some data").unwrap();
        for end in 1..file.len() {
            assert_eq!(read(&file[..end]), Record::Torn, "cut at {end}");
        }
        for bit in 0..file.len() * 8 {
            let mut damaged = file.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(read(&damaged), Record::Damaged(_)), "bit {bit}");
        }
    }
}
