//! PNG and JPEG files as squares of one size.
//!
//! A picture is cropped and resized as by torchvision's `Resize(side)` and `CenterCrop(side)`, but in the other order: the
//! middle square is cropped first and then resampled, so that a long strip costs no more than its
//! middle. Transparency is dropped and grey is ITU-R 601 luma, as PIL's `convert` has both; a turn noted in EXIF is not
//! followed, as torchvision does not; colour profiles are not either.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::resample::resample;
use crate::error::FileProblem;
use crate::image_set::ImageShape;

/// The most pixels that a picture may have on a side.
const LARGEST_SIDE: u32 = 16_384;

/// The most bytes that a picture may take once decoded.
const LARGEST_IMAGE: u64 = 256 << 20;

/// Deflate packs at most 1,032 bytes into one, a JPEG's entropy coding about as many. A header that declares more than
/// this times the bytes of its file is refused.
const MOST_PACKED: u64 = 2_048;

/// What a PNG begins with.
const PNG_SIGNATURE: [u8; 8] = *b"\x89PNG\r\n\x1a\n";

/// The last chunk of every PNG: no bytes, `IEND`, and their checksum.
const PNG_END: [u8; 12] = *b"\0\0\0\0IEND\xae\x42\x60\x82";

fn image_problem(error: impl Display) -> FileProblem {
    FileProblem::Image { reason: error.to_string() }
}

/// Decodes a PNG or JPEG file (recognised by its first bytes) and writes its middle square, resampled to the square `shape`,
/// plane by plane to `out`, which has [`ImageShape::pixels`] bytes. One channel is grey, three are RGB.
///
/// # Errors
/// Bytes that are not a PNG or JPEG, or are damaged or cut short; a header that declares more pixels than the bytes can
/// hold, more than 16,384 on a side or more than 256 MiB in all.
pub fn square(bytes: &[u8], shape: ImageShape, out: &mut [u8]) -> Result<(), FileProblem> {
    let (side, middle) = decode(bytes)?.middle();
    let pixels = resample(middle, side, shape.width, shape.height);
    let pixels = pixels.as_chunks().0;
    if shape.channels == 1 {
        for (out, pixel) in out.iter_mut().zip(pixels) {
            *out = luma(*pixel);
        }
    } else {
        for (channel, plane) in out.chunks_exact_mut(shape.plane()).enumerate() {
            for (out, pixel) in plane.iter_mut().zip(pixels) {
                *out = pixel[channel.min(2)];
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

/// What a decoder gives.
struct Picture {
    header: Header,
    /// Row by row, pixel by pixel, sample by sample.
    bytes: Vec<u8>,
}

#[derive(Clone, Copy)]
struct Header {
    width: u32,
    height: u32,
    /// In a pixel: grey; grey and opacity; red, green, blue; these and opacity.
    samples: usize,
    /// In a sample: 1, or 2 of which the high one is first.
    bytes: usize,
}

impl Picture {
    /// The middle square: its side, and three bytes for each pixel. Opacity is dropped.
    fn middle(&self) -> (usize, Vec<u8>) {
        let Header { width, height, samples, bytes } = self.header;
        let (width, height, pixel) = (width as usize, height as usize, samples * bytes);
        let side = width.min(height);
        let (left, top) = ((width - side) / 2, (height - side) / 2);
        let channels = if samples < 3 { [0; 3] } else { [0, 1, 2] };
        let mut middle = Vec::with_capacity(3 * side * side);
        for row in self.bytes.chunks_exact(width * pixel).skip(top).take(side) {
            for pixel in row[left * pixel..][..side * pixel].chunks_exact(pixel) {
                middle.extend(channels.map(|channel| match bytes {
                    1 => pixel[channel],
                    _ => eight_bits(u16::from_be_bytes([pixel[2 * channel], pixel[2 * channel + 1]])),
                }));
            }
        }
        (side, middle)
    }
}

/// `round(255 sample / 65,535)`.
fn eight_bits(sample: u16) -> u8 {
    ((u32::from(sample) + 128) / 257) as u8
}

fn decode(bytes: &[u8]) -> Result<Picture, FileProblem> {
    let cut_short = |name| Err(image_problem(format!("the {name} ends before its end mark")));
    match bytes {
        _ if bytes.starts_with(&PNG_SIGNATURE) => {
            if bytes.windows(PNG_END.len()).any(|chunk| chunk == PNG_END) {
                png(bytes)
            } else {
                cut_short("PNG")
            }
        }
        [0xff, 0xd8, 0xff, ..] => {
            if jpeg_has_its_end(bytes) {
                jpeg(bytes)
            } else {
                cut_short("JPEG")
            }
        }
        _ => Err(match other_format(bytes) {
            Some(name) => image_problem(format!("it is a {name} file; PNG and JPEG are read")),
            None => image_problem("it is neither PNG nor JPEG"),
        }),
    }
}

/// Formats that a picture is often in, by how their files begin.
fn other_format(bytes: &[u8]) -> Option<&'static str> {
    Some(match bytes {
        [b'G', b'I', b'F', b'8', ..] => "GIF",
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => "WebP",
        [b'I', b'I', b'*', 0, ..] | [b'M', b'M', 0, b'*', ..] => "TIFF",
        [b'B', b'M', ..] => "BMP",
        [_, _, _, _, b'f', b't', b'y', b'p', b'a', b'v', b'i', b'f', ..] => "AVIF",
        [_, _, _, _, b'f', b't', b'y', b'p', b'h' | b'm', b'e' | b'i', b'i' | b'f', b'c' | b'1', ..] => "HEIC",
        _ => return None,
    })
}

fn png(bytes: &[u8]) -> Result<Picture, FileProblem> {
    let pixels = png_pixels(bytes)?;
    // Dimensions are checked against the bytes below, with both in the message.
    let limits = png::Limits { bytes: usize::MAX };
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(&*pixels), limits);
    // Palettes become colours, and samples of less than a byte become bytes.
    decoder.set_transformations(png::Transformations::EXPAND);
    let mut reader = decoder.read_info().map_err(image_problem)?;
    let (width, height) = reader.info().size();
    let (color, depth) = reader.output_color_type();
    let header =
        Header { width, height, samples: color.samples(), bytes: if depth == png::BitDepth::Sixteen { 2 } else { 1 } };
    // What is packed is less than what comes out, where a pixel takes less than a byte.
    let mut out = header.checked(png_packed(bytes, width, height), bytes.len())?;
    reader.next_frame(&mut out).map_err(image_problem)?;
    Ok(Picture { header, bytes: out })
}

fn jpeg(bytes: &[u8]) -> Result<Picture, FileProblem> {
    let options = DecoderOptions::default().set_strict_mode(false).set_max_width(usize::MAX).set_max_height(usize::MAX);
    let decoder = |options| JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    let mut headers = decoder(options);
    headers.decode_headers().map_err(image_problem)?;
    let (width, height) = headers.dimensions().unwrap_or_default();
    // Grey stays grey; all else is turned into colours.
    let (colours, samples) = match headers.input_colorspace() {
        Some(ColorSpace::Luma) => (ColorSpace::Luma, 1),
        _ => (ColorSpace::RGB, 3),
    };
    let header = Header { width: width as u32, height: height as u32, samples, bytes: 1 };
    let mut out = header.checked(u64::MAX, bytes.len())?;
    // zune-jpeg 0.5.15 panics on some files whose pixels are damaged.
    let decode = AssertUnwindSafe(|| decoder(options.jpeg_set_out_colorspace(colours)).decode_into(&mut out));
    match catch_unwind(decode) {
        Ok(decoded) => decoded.map_err(image_problem)?,
        Err(_) => return Err(image_problem("its pixels are damaged")),
    }
    Ok(Picture { header, bytes: out })
}

impl Header {
    /// Room for the pixels, where the file, of `length` bytes, can hold them; `packed` is what they take before they are
    /// decoded, or more.
    fn checked(self, packed: u64, length: usize) -> Result<Vec<u8>, FileProblem> {
        let Self { width, height, samples, bytes } = self;
        let size = u64::from(width).saturating_mul(height.into()).saturating_mul((samples * bytes) as u64);
        let refused = |reason| Err(FileProblem::ImageDimensions { width, height, reason });
        if size == 0 {
            return refused("an image has at least one".to_owned());
        }
        if width.max(height) > LARGEST_SIDE || size > LARGEST_IMAGE {
            return refused(format!("more than {LARGEST_SIDE} on a side or {LARGEST_IMAGE} bytes in all"));
        }
        if packed.min(size) > MOST_PACKED * length as u64 {
            return refused(format!("more than its {length} bytes can hold"));
        }
        Ok(vec![0; size as usize])
    }
}

/// The chunks of a PNG that pixels are made of. Others (profiles, texts) may unpack to any size, and nothing here reads them.
const PNG_CHUNKS: [&[u8]; 5] = [b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"];

/// A PNG with those chunks alone.
fn png_pixels(bytes: &[u8]) -> Result<Cow<'_, [u8]>, FileProblem> {
    const SIGNATURE: usize = PNG_SIGNATURE.len();
    /// Length and name before the data, a checksum behind it.
    const AROUND: usize = 12;
    let mut kept = bytes.get(..SIGNATURE).unwrap_or_default().to_vec();
    let mut rest = bytes.get(SIGNATURE..).unwrap_or_default();
    let mut all = true;
    while let Some((&[a, b, c, d], after)) = rest.split_first_chunk() {
        let name = after.get(..4).unwrap_or_default();
        let end = (u32::from_be_bytes([a, b, c, d]) as usize).saturating_add(AROUND);
        let Some((chunk, next)) = rest.split_at_checked(end) else {
            return Err(image_problem("a chunk of the PNG goes on past the end of the file"));
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
    use std::path::Path;

    use data_encoding::HEXLOWER;
    use png::{BitDepth, ColorType};
    use sha2::{Digest, Sha256};

    use super::*;

    /// [`gradient`] of 40 by 30.
    const JPEG: &[u8] = include_bytes!("../../tests/pictures/gradient.jpg");

    fn png(width: u32, height: u32, color: ColorType, depth: BitDepth, samples: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, width, height);
        encoder.set_color(color);
        encoder.set_depth(depth);
        encoder.write_header().unwrap().write_image_data(samples).unwrap();
        bytes
    }

    /// Of 8-bit colours, each a function of its place.
    fn rgb(width: u32, height: u32, colour: impl Fn(u32, u32) -> [u8; 3]) -> Vec<u8> {
        let places = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        let samples: Vec<u8> = places.flat_map(|(x, y)| colour(x, y)).collect();
        png(width, height, ColorType::Rgb, BitDepth::Eight, &samples)
    }

    fn at_gradient(x: u32, y: u32) -> [u8; 3] {
        [(x * 6) as u8, (y * 8) as u8, 200]
    }

    fn gradient(width: u32, height: u32) -> Vec<u8> {
        rgb(width, height, at_gradient)
    }

    fn read(bytes: &[u8], shape: ImageShape) -> Result<Vec<u8>, String> {
        let mut out = vec![0; shape.pixels()];
        square(bytes, shape, &mut out).map(|()| out).map_err(|problem| problem.to_string())
    }

    /// Every form of pixels that the formats have, 17 by 11: the middle in colours at 9 by 9, and grey at 16 by 16. The first
    /// eight bytes of the SHA-256 of what the crate `image` 0.25.10 gave, with `png` and `zune-jpeg` under it; the files were
    /// written by `png` 0.18.1 and `jpeg-encoder` 0.7.1.
    #[test]
    fn every_form_of_pixels_gives_the_bytes_that_it_always_gave() {
        const PICTURES: [(&str, &str, &str); 24] = [
            ("grey-1.png", "a6dd0670d74018ed", "1d961195a08e1705"),
            ("grey-2.png", "848a736b75366336", "03f10d09132593ca"),
            ("grey-4.png", "779905cebebbf6d7", "048359e5cbe30d8d"),
            ("grey-8.png", "18f7b843c9782349", "5ab51b516f0c0cab"),
            ("grey-16.png", "11f68a01fe18d851", "cc6cbf0424634ed3"),
            ("grey-alpha-8.png", "71f8217de3f17d69", "5bed01c21f32f5ac"),
            ("grey-alpha-16.png", "bdec4ecca49edf4b", "34d2614c93a5369d"),
            ("rgb-8.png", "a46ca1b10c405c01", "ae5578eb229a9355"),
            ("rgb-16.png", "e6a52e5e033c3a5a", "2f14a5db3e7515e2"),
            ("rgba-8.png", "70e8155dd6536e78", "c08bb3269bddb374"),
            ("rgba-16.png", "043e5cdf75c5c421", "c7a9d67e3ef9d364"),
            ("palette-2.png", "53e27f2661a12083", "e14e365a97824517"),
            ("palette-8.png", "26b2a378a4e0711c", "347f984cd0abf160"),
            ("palette-alpha-4.png", "c73f1b66023dd203", "dd1755822245d384"),
            ("rgb-key-8.png", "a84c6da5b18f7c86", "e023dabbd49d1f75"),
            ("rgb-8-interlaced.png", "42e293edbc3d9da9", "7df00d31129d2e79"),
            ("rgb-444.jpg", "9d811f1666a058c0", "7b3e71afc78b5621"),
            ("rgb-422.jpg", "4aa8cb1e07f357c8", "25a2904fc1598b98"),
            ("rgb-420.jpg", "348cc4af389fa925", "cc42c78dadef5719"),
            ("rgb-420-progressive.jpg", "9138d51d169cdc7a", "996ca1bb14fb14ad"),
            ("grey.jpg", "3d4e2355eab9e2c5", "3acf3c1b388ed29f"),
            ("grey-progressive.jpg", "e37c26ff0a597ee0", "cef2f0ddfeb37205"),
            ("cmyk.jpg", "75135ab5e8a7911a", "86ef4e6dca5dde40"),
            ("ycck.jpg", "4956b571c3c0bb1b", "8202f8116521883a"),
        ];
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pictures");
        for (name, colours, grey) in PICTURES {
            let bytes = std::fs::read(folder.join(name)).unwrap();
            for (shape, expected) in [(ImageShape::new(3, 9, 9), colours), (ImageShape::new(1, 16, 16), grey)] {
                let sum = HEXLOWER.encode(&Sha256::digest(read(&bytes, shape).unwrap()));
                assert_eq!(&sum[..16], expected, "{name} as {shape}");
            }
        }
    }

    #[test]
    fn an_image_of_the_right_size_is_taken_byte_for_byte() {
        let found = read(&gradient(6, 6), ImageShape::new(3, 6, 6)).unwrap();
        for channel in 0..3 {
            let plane: Vec<u8> = (0..36).map(|at| at_gradient(at % 6, at / 6)[channel]).collect();
            assert_eq!(found[channel * 36..][..36], plane);
        }
        // A JPEG gives nearly what went in.
        let [lossy, exact] = [JPEG, &gradient(40, 30)].map(|file| read(file, ImageShape::new(3, 30, 30)).unwrap());
        assert!(lossy.iter().zip(&exact).all(|(a, b)| a.abs_diff(*b) < 16));
    }

    #[test]
    fn the_middle_square_is_taken_and_resampled() {
        // White, black, white: the middle of a wide picture and of a high one is black.
        for (width, height) in [(12, 4), (4, 12)] {
            let picture = rgb(width, height, |x, y| [if (4..8).contains(&x.max(y)) { 0 } else { 255 }; 3]);
            assert_eq!(read(&picture, ImageShape::new(1, 4, 4)), Ok(vec![0; 16]), "{width}x{height}");
        }
        // Two by two blocks of one colour come out as one pixel each; the triangle reaches into the neighbours.
        let blocks = rgb(8, 8, |x, _| [if x < 4 { 0 } else { 200 }; 3]);
        let found = read(&blocks, ImageShape::new(1, 4, 4)).unwrap();
        assert_eq!((found[0], found[3]), (0, 200));
        assert!(found[1] < 50 && found[2] > 150, "{found:?}");
        // A smaller one is enlarged.
        assert_eq!(read(&gradient(2, 3), ImageShape::new(3, 5, 5)).unwrap().len(), 75);
    }

    #[test]
    fn colours_become_grey_as_pil_has_it_and_transparency_is_dropped() {
        // Values that `Image.new("RGB", (1, 1), colour).convert("L")` of PIL gives.
        for (colour, grey) in [([255, 0, 0], 76), ([0, 255, 0], 150), ([0, 0, 255], 29), ([255, 255, 255], 255)] {
            let pixel = [colour[0], colour[1], colour[2], 9];
            let picture = png(3, 3, ColorType::Rgba, BitDepth::Eight, &pixel.repeat(9));
            assert_eq!(read(&picture, ImageShape::new(1, 3, 3)), Ok(vec![grey; 9]));
        }
        let deep = png(2, 2, ColorType::Grayscale, BitDepth::Sixteen, &(257_u16 * 99).to_be_bytes().repeat(4));
        assert_eq!(read(&deep, ImageShape::new(3, 2, 2)), Ok(vec![99; 12]));
        // Sixteen bits become the nearest eight.
        assert!(
            (0..=u16::MAX).all(|sample| eight_bits(sample) == (f64::from(sample) * 255.0 / 65_535.0).round() as u8)
        );
    }

    #[test]
    fn what_is_cut_short_or_no_picture_is_refused() {
        let shape = ImageShape::new(3, 4, 4);
        for good in [gradient(40, 30), JPEG.to_vec()] {
            for keep in [0, 1, 7, good.len() / 2, good.len() - 2] {
                assert!(read(&good[..keep], shape).is_err(), "{keep} of {}", good.len());
            }
        }
        let damaged = include_bytes!("../../tests/pictures/damaged.jpg");
        assert!(read(damaged, shape).unwrap_err().contains("its pixels are damaged"));
        assert!(read(b"GIF89a and more", shape).unwrap_err().contains("it is a GIF file"));
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
        let page =
            [&PNG_SIGNATURE[..], &chunk(*b"IHDR", &header), &chunk(*b"IDAT", &deflated(&rows)), &PNG_END].concat();
        // At a byte a pixel it would be refused.
        assert!(page.len() as u64 * MOST_PACKED < u64::from(width * height), "{} bytes", page.len());
        assert_eq!(read(&page, ImageShape::new(1, 2, 2)), Ok(vec![255; 4]));
    }

    /// A colour profile of 500 megabytes in half a megabyte: it is not unpacked, and neither are texts.
    #[test]
    fn what_is_no_pixel_is_not_unpacked() {
        let picture = gradient(1, 1);
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
        let mut bytes = gradient(4, 4);
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
