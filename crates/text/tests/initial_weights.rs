//! Initial weights are a function of the seed.
//!
//! One test in a file of its own: flex has one generator for the whole process, so another test that draws at the
//! same time would take numbers from between.

#![allow(clippy::unwrap_used, reason = "a test that fails says so by panicking")]

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Distribution, Tensor};
use text::models::{LanguageModel, LanguageModelConfig, known};

#[derive(Default)]
struct Values {
    path: Vec<String>,
    found: Vec<(String, Vec<f32>)>,
}

impl ModuleVisitor for Values {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.found.push((self.path.join("."), param.val().to_data().try_to_vec::<f32>().unwrap()));
    }

    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }
}

fn values(name: &str, seed: u64, device: &Device) -> Vec<(String, Vec<f32>)> {
    device.seed(seed);
    let model = LanguageModel::new(&LanguageModelConfig::named(name).unwrap(), 65, 32, device).unwrap();
    // Whatever is drawn between the constructor and the first use must not matter.
    let _ = Tensor::<1>::random([17], Distribution::Default, device).into_data();
    let mut values = Values::default();
    model.visit(&mut values);
    values.found
}

#[test]
fn weights_follow_from_the_seed_and_have_the_spread_of_their_papers() {
    let device = Device::flex();
    for info in known() {
        let first = values(info.name, 3, &device);
        assert_eq!(first, values(info.name, 3, &device), "{}", info.name);
        assert_ne!(first, values(info.name, 4, &device), "{}", info.name);
        assert_eq!(first, values(info.name, 3, &device.clone().autodiff()), "{} with autodiff", info.name);
    }
    let of = |values: &[(String, Vec<f32>)], path: &str| {
        values.iter().find(|(found, _)| found == path).map(|(_, values)| values.clone()).unwrap()
    };
    let deviation = |values: Vec<f32>| {
        (values.iter().map(|value| f64::from(value * value)).sum::<f64>() / values.len() as f64).sqrt()
    };
    // GPT-2: 0.02, and 0.02 / sqrt(2 * 4 layers) for what is added to the sum.
    let gpt = values("gpt", 3, &device);
    for (path, expected) in [
        ("transformer.wte.weight", 0.02),
        ("transformer.h.0.attn.c_attn.weight", 0.02),
        ("transformer.h.3.mlp.c_proj.weight", 0.02 / 8_f64.sqrt()),
    ] {
        let found = deviation(of(&gpt, path));
        assert!((found / expected - 1.0).abs() < 0.05, "{path}: {found}");
    }
    assert!(of(&gpt, "transformer.h.0.attn.c_attn.bias").iter().all(|bias| *bias == 0.0));
    // torch's GRU: within 1/sqrt(width), here 1/16, and near it.
    let gru = values("gru", 3, &device);
    let most = of(&gru, "rnn.1.weight_hh_l0").iter().fold(0.0_f32, |most, weight| most.max(weight.abs()));
    assert!((0.0624..=0.0625).contains(&most), "{most}");
}
