//! Batches from a device beside the host's.

use proptest::prelude::*;

use super::*;
use crate::augment::{Amount, Flip};
use crate::image_set::ImageSet;

fn batcher(shape: ImageShape, images: usize, salt: u64, augment: Augment) -> Batcher {
    let mix = |i: u64| (i + salt).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56;
    let pixels = (0..(images * shape.pixels()) as u64).map(|i| mix(i) as u8).collect();
    let labels = (0..images as u64).map(|i| (mix(i * 31) % 7) as u8).collect();
    let set = ImageSet::new(pixels, labels, shape, 7).unwrap();
    // A part of a larger set, in another order, is what a training set is.
    let part = set.subset(&(0..images).rev().step_by(2).collect::<Vec<_>>());
    let (mean, std) = ([0.49, 0.25, 0.13], [0.2, 0.31, 1.0]);
    Batcher::new(part, &mean[..shape.channels], &std[..shape.channels], augment).unwrap()
}

fn bits(batch: &ImageBatch) -> (Vec<u32>, Vec<i64>) {
    let pixels: Vec<f32> = batch.images.to_data().try_to_vec().unwrap();
    (pixels.into_iter().map(f32::to_bits).collect(), batch.targets.to_data_as::<i64>().try_to_vec().unwrap())
}

fn amount(pixels: usize) -> Option<Amount> {
    (pixels > 0).then_some(Amount::Pixels(pixels))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn a_batch_is_the_hosts_bit_for_bit(
        (channels, height, width) in (1_usize..=3, 1_usize..=9, 1_usize..=9),
        (images, salt) in (1_usize..=12, any::<u64>()),
        (crop, flip, cutout) in (0_usize..=8, 0_usize..3, 0_usize..=9),
        resampling in prop::option::of((0_usize..=8, 0_f32..60.0, 0_f32..90.0, 0_f32..180.0)),
        (seed, epoch) in (any::<u64>(), any::<u64>()),
        chosen in prop::collection::vec(any::<prop::sample::Index>(), 1..10),
        bytewise in any::<bool>(),
    ) {
        let side = height.min(width);
        let augment = Augment {
            crop: amount(crop.min(side - 1)),
            flip: [None, Some(Flip::Random), Some(Flip::Alternating)][flip],
            cutout: amount(cutout.min(side)),
            ..resampling.map_or(Augment::NONE, |(shift, shear, scale, rotate)| Augment {
                shift: amount(shift.min(side - 1)),
                shear: Some(shear),
                scale: Some(scale),
                rotate: Some(rotate),
                ..Augment::NONE
            })
        };
        let host = batcher(ImageShape::new(channels, height, width), images, salt % 1000, augment);
        let indices: Vec<usize> = chosen.iter().map(|index| index.index(host.set().len())).collect();
        let device = Device::flex();
        let resident = host.laid_out_on(&device, bytewise).unwrap();
        let (found, expected) = (resident.batch(&indices, epoch, seed), host.batch(&indices, epoch, seed, &device));
        prop_assert_eq!(found.images.dims(), expected.images.dims());
        prop_assert_eq!((found.images.dtype(), found.targets.dtype()),
            (expected.images.dtype(), expected.targets.dtype()));
        prop_assert_eq!(bits(&found), bits(&expected), "{}", augment);
    }
}

#[test]
fn every_piece_at_the_size_of_cifar() {
    let shape = ImageShape::new(3, 32, 32);
    let device = Device::flex().autodiff();
    for (augment, offsets) in [
        ("none", 4),
        ("flip", 16),
        ("crop", 16),
        ("crop+flip", 16),
        ("crop+flip:alternating", 16),
        ("crop+flip+cutout", 32),
        ("rotate+shift", 40),
        ("shear+scale+rotate+shift+crop+flip+cutout", 56),
    ] {
        let host = batcher(shape, 60, 5, Augment::parse(augment).unwrap());
        let indices: Vec<usize> = (0..30).collect();
        for bytewise in [true, false] {
            let resident = host.laid_out_on(&device, bytewise).unwrap();
            assert_eq!(resident.bytes_per_image(), offsets, "{augment}");
            let found = resident.batch(&indices, 3, 9);
            assert_eq!(bits(&found), bits(&host.batch(&indices, 3, 9, &device)), "{augment}");
            // As a batch from the host: on the training device, and nothing to differentiate.
            assert!(found.images.device().is_autodiff() && !found.images.is_tracked());
        }
    }
}

#[test]
fn what_32_bits_do_not_reach_is_refused() {
    let augment = Augment::parse("shear:60+scale:90").unwrap();
    assert_eq!(batcher(ImageShape::new(1, 64, 64), 1, 0, augment).fits_on_device(), Ok(()));
    let refusal = batcher(ImageShape::new(1, 1024, 1024), 1, 0, augment).on_device(&Device::flex()).unwrap_err();
    let expected = "the augmentation `shear:60+scale:90` reaches too far from images of 1x1024x1024";
    assert!(refusal.to_string().starts_with(expected), "{refusal}");
    let usual = Augment::parse("shear+scale+rotate+shift").unwrap();
    assert_eq!(batcher(ImageShape::new(1, 1024, 1024), 1, 0, usual).fits_on_device(), Ok(()));
}

#[test]
fn the_bytes_are_those_of_images_border_and_labels() {
    let shape = ImageShape::new(3, 32, 32);
    let bytes = |augment| batcher(shape, 20, 0, Augment::parse(augment).unwrap()).bytes_on_device();
    assert_eq!(bytes("flip"), 10 * (3 * 32 * 32 + 4));
    assert_eq!(bytes("crop"), 10 * (3 * 34 * 34 + 4));
}

#[test]
#[should_panic(expected = "index 2 is not below 2")]
fn an_index_past_the_end_is_not_read() {
    batcher(ImageShape::new(1, 2, 2), 4, 0, Augment::NONE).on_device(&Device::flex()).unwrap().batch(&[2], 0, 0);
}
