//! Initial weights are a function of the seed.
//!
//! One test in a file of its own: flex has one generator for the whole process, so another test that draws at the
//! same time would take numbers from between.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails says so by panicking")]

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};
use vision::ImageShape;
use vision::models::{self, Classifier};

#[derive(Default)]
struct Values(Vec<Vec<f32>>);

impl ModuleVisitor for Values {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.push(param.val().to_data().try_to_vec::<f32>().unwrap());
    }
}

fn values(name: &str, seed: u64, device: &Device) -> Vec<Vec<f32>> {
    device.seed(seed);
    let model = Classifier::named(name, ImageShape::new(1, 8, 8), 10, device).unwrap();
    // Whatever is drawn between the constructor and the first use must not matter.
    let _ = Tensor::<1>::random([17], burn::tensor::Distribution::Default, device).into_data();
    let mut values = Values::default();
    model.visit(&mut values);
    values.0
}

#[test]
fn weights_follow_from_the_seed_and_have_the_spread_of_their_papers() {
    let device = Device::flex();
    for info in models::known() {
        let first = values(info.name, 3, &device);
        assert_eq!(first, values(info.name, 3, &device), "{}", info.name);
        assert_ne!(first, values(info.name, 4, &device), "{}", info.name);
        assert_eq!(first, values(info.name, 3, &device.clone().autodiff()), "{} with autodiff", info.name);
    }
    // torch's Linear: within 1/sqrt(fan_in) and near it.
    let mlp = values("mlp", 3, &device);
    let most = mlp[0].iter().fold(0.0_f32, |most, weight| most.max(weight.abs()));
    assert!((0.12..=0.125).contains(&most), "{most}");
    // He et al.: standard deviation sqrt(2 / (9 * 16)) in the first convolution of resnet8.
    let resnet = values("resnet8", 3, &device);
    let variance = resnet[0].iter().map(|weight| weight * weight).sum::<f32>() / resnet[0].len() as f32;
    assert!((variance / (2.0 / 144.0) - 1.0).abs() < 0.5, "{variance}");
}
