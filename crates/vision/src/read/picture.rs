//! PNG and JPEG files as squares of one size.
//!
//! A picture is cropped and resized as by torchvision's `Resize(side)` and `CenterCrop(side)`, but in the other order: the
//! middle square is cropped first and then resampled (with a triangle filter as wide as the scale, which PIL calls
//! bilinear), so that a long strip costs no more than its middle. Transparency is dropped and grey is
//! ITU-R 601 luma, as PIL's `convert` has both; a turn noted in EXIF is not followed, as torchvision does not.

use std::borrow::Cow;
use std::io::Cursor;

use image::imageops::{FilterType, crop_imm, resize};
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};

use crate::error::FileProblem;
use crate::image_set::ImageShape;

/// The most pixels that a picture may have on a side.
const LARGEST_SIDE: u32 = 16_384;

/// The most bytes that a picture may take once decoded.
const LARGEST_IMAGE: u64 = 256 << 20;

/// Deflate packs at most 1,032 bytes into one, a JPEG's entropy coding about as many. A header that declares more than
/// this times the bytes of its file is refused.
const MOST_PACKED: u64 = 2_048;

/// The last chunk of every PNG: no bytes, `IEND`, and their checksum.
const PNG_END: [u8; 12] = *b"\0\0\0\0IEND\xae\x42\x60\x82";

fn image_problem(error: &dyn std::fmt::Display) -> FileProblem {
    FileProblem::Image { reason: error.to_string() }
}

/// Decodes a PNG or JPEG file (recognised by its first bytes) and writes its middle square, resampled to the square `shape`,
/// plane by plane to `out`, which has [`ImageShape::pixels`] bytes. One channel is grey, three are RGB.
///
/// # Errors
/// Bytes that are not a PNG or JPEG, or are damaged or cut short; a header that declares more pixels than the bytes can
/// hold, more than 16,384 on a side or more than 256 MiB in all.
pub fn square(bytes: &[u8], shape: ImageShape, out: &mut [u8]) -> Result<(), FileProblem> {
    let picture = decode(bytes)?.into_rgb8();
    let (width, height) = picture.dimensions();
    let side = width.min(height);
    let middle = crop_imm(&picture, (width - side) / 2, (height - side) / 2, side, side);
    let resized: RgbImage = resize(&*middle, shape.width as u32, shape.height as u32, FilterType::Triangle);
    if shape.channels == 1 {
        for (out, pixel) in out.iter_mut().zip(resized.pixels()) {
            *out = luma(pixel.0);
        }
    } else {
        for (channel, plane) in out.chunks_exact_mut(shape.plane()).enumerate() {
            for (out, pixel) in plane.iter_mut().zip(resized.pixels()) {
                *out = pixel.0[channel.min(2)];
            }
        }
    }
    Ok(())
}

/// ITU-R 601 in 16-bit fixed point, rounded: `0.299 R + 0.587 G + 0.114 B`.
fn luma([red, green, blue]: [u8; 3]) -> u8 {
    let sum = 19_595 * u32::from(red) + 38_470 * u32::from(green) + 7_471 * u32::from(blue);
    ((sum + 0x8000) >> 16) as u8
}

fn decode(bytes: &[u8]) -> Result<DynamicImage, FileProblem> {
    let format = image::guess_format(bytes).map_err(|error| image_problem(&error))?;
    let (name, whole) = match format {
        ImageFormat::Png => ("PNG", bytes.windows(PNG_END.len()).any(|chunk| chunk == PNG_END)),
        ImageFormat::Jpeg => ("JPEG", jpeg_has_its_end(bytes)),
        other => return Err(image_problem(&format!("it starts as {other:?}"))),
    };
    if !whole {
        return Err(image_problem(&format!("the {name} ends before its end mark")));
    }
    let pixels = if format == ImageFormat::Png { png_pixels(bytes)? } else { Cow::Borrowed(bytes) };
    let mut reader = ImageReader::with_format(Cursor::new(&*pixels), format);
    // Dimensions are checked against the bytes below, with both in the message.
    reader.no_limits();
    let mut decoder = reader.into_decoder().map_err(|error| image_problem(&error))?;
    let ((width, height), size) = (decoder.dimensions(), decoder.total_bytes());
    let refused = |reason| Err(FileProblem::ImageDimensions { width, height, reason });
    if width == 0 || height == 0 {
        return refused("an image has at least one".to_owned());
    }
    if width.max(height) > LARGEST_SIDE || size > LARGEST_IMAGE {
        return refused(format!("more than {LARGEST_SIDE} on a side or {LARGEST_IMAGE} bytes in all"));
    }
    // What is packed is less than what comes out, where a pixel takes less than a byte.
    let packed = if format == ImageFormat::Png { png_packed(bytes, width, height) } else { size };
    if packed.min(size) > MOST_PACKED * bytes.len() as u64 {
        return refused(format!("more than its {} bytes can hold", bytes.len()));
    }
    let mut limits = Limits::default();
    limits.max_alloc = Some(2 * LARGEST_IMAGE);
    decoder.set_limits(limits).map_err(|error| image_problem(&error))?;
    DynamicImage::from_decoder(decoder).map_err(|error| image_problem(&error))
}

/// The chunks of a PNG that pixels are made of. Others (profiles, texts) may unpack to any size, and nothing here reads them.
const PNG_CHUNKS: [&[u8]; 5] = [b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"];

/// A PNG with those chunks alone.
fn png_pixels(bytes: &[u8]) -> Result<Cow<'_, [u8]>, FileProblem> {
    const SIGNATURE: usize = 8;
    /// Length and name before the data, a checksum behind it.
    const AROUND: usize = 12;
    let mut kept = bytes.get(..SIGNATURE).unwrap_or_default().to_vec();
    let mut rest = bytes.get(SIGNATURE..).unwrap_or_default();
    let mut all = true;
    while let Some((&[a, b, c, d], after)) = rest.split_first_chunk() {
        let name = after.get(..4).unwrap_or_default();
        let end = (u32::from_be_bytes([a, b, c, d]) as usize).saturating_add(AROUND);
        let Some((chunk, next)) = rest.split_at_checked(end) else {
            return Err(image_problem(&"a chunk of the PNG goes on past the end of the file"));
        };
        let is_kept = PNG_CHUNKS.contains(&name);
        if is_kept {
            kept.extend_from_slice(chunk);
        }
        all &= is_kept;
        rest = next;
        if name == b"IEND" {
            break;
        }
    }
    Ok(if all { Cow::Borrowed(bytes) } else { Cow::Owned(kept) })
}

/// Bytes of the rows of a PNG, by the depth and colour type of its header: a byte in front of each row, and pixels of 1 to
/// 64 bits.
fn png_packed(bytes: &[u8], width: u32, height: u32) -> u64 {
    let depth = bytes.get(24).map_or(8, |depth| u64::from(*depth));
    let samples = match bytes.get(25) {
        Some(2) => 3,
        Some(4) => 2,
        Some(6) => 4,
        _ => 1,
    };
    u64::from(height).saturating_mul(1 + (u64::from(width) * samples * depth).div_ceil(8))
}

/// Whether the segments of a JPEG (ITU-T T.81, annex B) reach its end mark. The decoder does not check: it fills the rest
/// of a file that was cut off with grey.
fn jpeg_has_its_end(bytes: &[u8]) -> bool {
    const END: u8 = 0xd9;
    let mut at = 2;
    while let Some(&[lead, marker]) = bytes.get(at..at + 2) {
        if lead != 0xff {
            // Entropy-coded data: up to the next mark that is neither a stuffed zero nor a restart.
            at += 1;
            continue;
        }
        match marker {
            END => return true,
            // Stuffed bytes, fill bytes, restarts and other marks without a length.
            0x00 | 0x01 | 0xd0..=0xd8 => at += 2,
            0xff => at += 1,
            _ => match bytes.get(at + 2..at + 4) {
                Some(&[high, low]) => at += 2 + usize::from(u16::from_be_bytes([high, low])).max(2),
                _ => return false,
            },
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use image::codecs::jpeg::JpegEncoder;

    use super::*;

    fn png(picture: &DynamicImage) -> Vec<u8> {
        let mut bytes = Vec::new();
        picture.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png).unwrap();
        bytes
    }

    fn jpeg(picture: &RgbImage) -> Vec<u8> {
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, 100).encode_image(picture).unwrap();
        bytes
    }

    fn gradient(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| image::Rgb([(x * 7) as u8, (y * 11) as u8, 200]))
    }

    fn read(bytes: &[u8], shape: ImageShape) -> Result<Vec<u8>, String> {
        let mut out = vec![0; shape.pixels()];
        square(bytes, shape, &mut out).map(|()| out).map_err(|problem| problem.to_string())
    }

    #[test]
    fn an_image_of_the_right_size_is_taken_byte_for_byte() {
        let picture = gradient(6, 6);
        let found = read(&png(&picture.clone().into()), ImageShape::new(3, 6, 6)).unwrap();
        for channel in 0..3 {
            let plane: Vec<u8> = picture.pixels().map(|pixel| pixel.0[channel]).collect();
            assert_eq!(found[channel * 36..][..36], plane);
        }
        // A JPEG gives nearly what went in.
        let lossy = read(&jpeg(&picture), ImageShape::new(3, 6, 6)).unwrap();
        assert!(lossy.iter().zip(&found).all(|(a, b)| a.abs_diff(*b) < 16));
    }

    #[test]
    fn the_middle_square_is_taken_and_resampled() {
        // White, black, white: the middle of a wide picture and of a high one is black.
        for (width, height) in [(12, 4), (4, 12)] {
            let picture = RgbImage::from_fn(width, height, |x, y| {
                image::Rgb([if (4..8).contains(&x.max(y)) && x.max(y) >= 4 { 0 } else { 255 }; 3])
            });
            assert_eq!(read(&png(&picture.into()), ImageShape::new(1, 4, 4)), Ok(vec![0; 16]), "{width}x{height}");
        }
        // Two by two blocks of one colour come out as one pixel each; the triangle reaches into the neighbours.
        let blocks = RgbImage::from_fn(8, 8, |x, _| image::Rgb([if x < 4 { 0 } else { 200 }; 3]));
        let found = read(&png(&blocks.into()), ImageShape::new(1, 4, 4)).unwrap();
        assert_eq!((found[0], found[3]), (0, 200));
        assert!(found[1] < 50 && found[2] > 150, "{found:?}");
        // A smaller one is enlarged.
        assert_eq!(read(&png(&gradient(2, 3).into()), ImageShape::new(3, 5, 5)).unwrap().len(), 75);
    }

    #[test]
    fn colours_become_grey_as_pil_has_it_and_transparency_is_dropped() {
        // Values that `Image.new("RGB", (1, 1), colour).convert("L")` of PIL gives.
        for (colour, grey) in [([255, 0, 0], 76), ([0, 255, 0], 150), ([0, 0, 255], 29), ([255, 255, 255], 255)] {
            let picture = image::RgbaImage::from_pixel(3, 3, image::Rgba([colour[0], colour[1], colour[2], 9]));
            assert_eq!(read(&png(&picture.into()), ImageShape::new(1, 3, 3)), Ok(vec![grey; 9]));
        }
        let deep = image::ImageBuffer::from_pixel(2, 2, image::Luma([257_u16 * 99]));
        assert_eq!(read(&png(&DynamicImage::ImageLuma16(deep)), ImageShape::new(3, 2, 2)), Ok(vec![99; 12]));
    }

    #[test]
    fn what_is_cut_short_or_no_picture_is_refused() {
        let shape = ImageShape::new(3, 4, 4);
        for good in [png(&gradient(40, 30).into()), jpeg(&gradient(40, 30))] {
            for keep in [0, 1, 7, good.len() / 2, good.len() - 2] {
                assert!(read(&good[..keep], shape).is_err(), "{keep} of {}", good.len());
            }
        }
        assert!(read(b"GIF89a and more", shape).unwrap_err().contains("Gif"));
        assert!(read(b"not a picture at all", shape).unwrap_err().starts_with("no image that can be read"));
    }

    /// A chunk of a PNG, with its checksum.
    fn chunk(name: [u8; 4], data: &[u8]) -> Vec<u8> {
        let mut crc = flate2::Crc::new();
        crc.update(&name);
        crc.update(data);
        [&(data.len() as u32).to_be_bytes(), &name[..], data, &crc.sum().to_be_bytes()].concat()
    }

    fn deflated(data: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut encoder, data).unwrap();
        encoder.finish().unwrap()
    }

    /// A page of a scan, of one bit a pixel: 1.1 megabytes in a thousand bytes.
    #[test]
    fn a_blank_page_is_taken() {
        let (width, height) = (2480_u32, 3508_u32);
        let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[1, 0, 0, 0, 0]].concat();
        let rows =
            [0_u8].iter().chain([0xff; 310].iter()).copied().cycle().take(311 * height as usize).collect::<Vec<_>>();
        let page = [&b"\x89PNG\r\n\x1a\n"[..], &chunk(*b"IHDR", &header), &chunk(*b"IDAT", &deflated(&rows)), &PNG_END]
            .concat();
        // At a byte a pixel it would be refused.
        assert!(page.len() as u64 * MOST_PACKED < u64::from(width * height), "{} bytes", page.len());
        assert_eq!(read(&page, ImageShape::new(1, 2, 2)), Ok(vec![255; 4]));
    }

    /// A colour profile of 500 megabytes in half a megabyte: it is not unpacked, and neither are texts.
    #[test]
    fn what_is_no_pixel_is_not_unpacked() {
        let picture = png(&gradient(1, 1).into());
        let profile = [&b"icc\0\0"[..], &deflated(&vec![0; 500 << 20])].concat();
        let text = [&b"Comment\0\0"[..], &deflated(&vec![b' '; 1 << 20])].concat();
        let header = 8 + 25;
        let evil =
            [&picture[..header], &chunk(*b"iCCP", &profile), &chunk(*b"zTXt", &text), &picture[header..]].concat();
        let kept = png_pixels(&evil).unwrap();
        assert_eq!(kept, picture, "all that the decoder gets");
        assert_eq!(read(&evil, ImageShape::new(3, 1, 1)), read(&picture, ImageShape::new(3, 1, 1)));
        assert!(matches!(png_pixels(&picture).unwrap(), Cow::Borrowed(_)));
        // A length that goes past the end.
        let mut cut = evil.clone();
        cut[header..header + 4].copy_from_slice(&u32::MAX.to_be_bytes());
        let error = read(&cut, ImageShape::new(3, 1, 1)).unwrap_err();
        assert!(error.ends_with("a chunk of the PNG goes on past the end of the file"), "{error}");
    }

    #[test]
    fn a_header_that_the_bytes_do_not_bear_out_is_refused() {
        let mut bytes = png(&gradient(4, 4).into());
        let declare = |bytes: &mut Vec<u8>, width: u32, height: u32| {
            bytes[16..20].copy_from_slice(&width.to_be_bytes());
            bytes[20..24].copy_from_slice(&height.to_be_bytes());
            let mut crc = flate2::Crc::new();
            crc.update(&bytes[12..29]);
            bytes[29..33].copy_from_slice(&crc.sum().to_be_bytes());
        };
        for (width, height, expected) in [
            (8_000, 8_000, "declares 8000x8000 pixels: more than its"),
            (40_000, 1, "declares 40000x1 pixels: more than 16384 on a side"),
            (16_000, 16_000, "declares 16000x16000 pixels: more than 16384 on a side or 268435456 bytes"),
        ] {
            declare(&mut bytes, width, height);
            let error = read(&bytes, ImageShape::new(3, 4, 4)).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
