//! The environment variable chooses the instruction set, and every set computes.
#![allow(clippy::expect_used, reason = "a test may fail loudly")]

mod common;

use std::process::Command;

use burn::module::Param;
use burn::nn::conv::Conv2dConfig;
use burn::nn::pool::MaxPool2dConfig;
use burn::nn::{BatchNormConfig, LayerNormConfig, Linear, PaddingConfig2d};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use common::{bits, tensor, values, with_gradients};
use cpu_kernels::{
    FORCE, InstructionSet, batch_norm_relu, causal_attention, conv2d, cross_entropy, gelu, instruction_set, layer_norm,
    linear, max_pool2d,
};

/// Run in a process of its own by the tests below: says which set is used, and the bits of results and gradients.
#[test]
fn tell() {
    let device = Device::flex().autodiff();
    let mut found = language(&device);
    for (channels, kernel, stride, size) in
        [([3, 7], 5, 1, 17), ([16, 32], 3, 2, 20), ([24, 50], 3, 1, 9), ([33, 16], 1, 1, 13)]
    {
        let padding = kernel / 2;
        let conv = Conv2dConfig::new(channels, [kernel, kernel])
            .with_stride([stride, stride])
            .with_padding(PaddingConfig2d::Explicit(padding, padding, padding, padding))
            .with_bias(false)
            .init(&device);
        let norm = BatchNormConfig::new(channels[1]).init(&device);
        let pool = MaxPool2dConfig::new([2, 2]).init();
        let input = tensor([3, channels[0], size, size], 1, DType::F32, &device);
        let weight = tensor([channels[1], channels[0], kernel, kernel], 2, DType::F32, &device);
        found.extend(with_gradients([input, weight], [], |tensors, _| {
            let mut conv = conv.clone();
            conv.weight = Param::from_tensor(tensors[1].clone());
            max_pool2d(&pool, batch_norm_relu(&norm, conv2d(&conv, tensors[0].clone())))
        }));
    }
    let sum = found
        .iter()
        .flat_map(|part| bits(part))
        .fold(0_u64, |sum, bits| sum.rotate_left(7).wrapping_add(u64::from(bits)).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    println!("set: {} bits: {sum:x} in_use: {}", instruction_set(), cpu_kernels::in_use());
}

/// What a language model is made of: results and gradients.
fn language(device: &Device) -> Vec<Vec<f64>> {
    let input = tensor::<2>([140, 33], 1, DType::F32, device).require_grad();
    let weight = tensor::<2>([33, 36], 2, DType::F32, device).require_grad();
    let layer = Linear { weight: Param::from_tensor(weight.clone()), bias: None };
    let norm = LayerNormConfig::new(12).init(device);
    let flow = causal_attention(linear(&layer, input.clone()), 2, 3);
    let flow = gelu(layer_norm(&norm, 1e-5, flow));
    let targets = TensorData::new((0..140).map(|row| row % 12).collect::<Vec<i64>>(), [140]);
    let loss = cross_entropy(flow.clone(), Tensor::<1, Int>::from_data(targets, device));
    let gradients = loss.backward();
    let [of_input, of_weight] = [input, weight].map(|tensor| tensor.grad(&gradients).expect("a gradient"));
    vec![values(flow), values(loss), values(of_input), values(of_weight)]
}

/// What [`tell`] says after `word`.
fn told(forced: Option<&str>, word: &str) -> String {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", "tell", "--nocapture"]).env_remove(FORCE);
    if let Some(forced) = forced {
        command.env(FORCE, forced);
    }
    let output = String::from_utf8(command.output().expect("it runs").stdout).expect("text");
    let at = output.find(word).expect("it tells") + word.len();
    output[at..].split_whitespace().next().expect("a word").to_owned()
}

/// Burn's own operations round in another way.
#[test]
fn the_kernels_can_be_switched_off() {
    assert_eq!(told(Some("off"), "in_use: "), "off");
    assert_eq!(told(None, "in_use: "), told(None, "set: "));
    assert_ne!(told(Some("off"), "bits: "), told(None, "bits: "));
}

#[test]
fn a_set_can_be_forced() {
    let told = |forced| told(forced, "set: ");
    let best = InstructionSet::available().next().expect("at least one");
    assert_eq!(told(None), best.name());
    for set in InstructionSet::available() {
        assert_eq!(told(Some(set.name())), set.name());
    }
    assert_eq!(told(Some("mmx")), best.name(), "an unknown name is warned of and passed over");
}

/// Lanes are channels, columns or places, or of a number that no register has: both sets round alike.
#[test]
fn avx512_and_avx2_give_the_same_bits() {
    if InstructionSet::Avx512.is_available() {
        let [wide, narrow] = ["avx512", "avx2"].map(|set| told(Some(set), "bits: "));
        assert_eq!(wide, narrow);
    }
}

/// The tests of this crate once more under each set that is not the best.
#[test]
fn the_other_sets_pass_the_same_tests() {
    if std::env::var_os(FORCE).is_some() {
        return;
    }
    let folder = std::env::current_exe().expect("this program").parent().expect("its folder").to_owned();
    for set in InstructionSet::available().skip(1) {
        for test in ["conv", "linear", "norm", "pool", "transformer"] {
            let program = std::fs::read_dir(&folder)
                .expect("the folder of tests")
                .filter_map(Result::ok)
                .filter(|entry| {
                    let name = entry.file_name().to_string_lossy().into_owned();
                    name.strip_prefix(test).is_some_and(|rest| rest.starts_with('-') && !rest.contains('.'))
                })
                .max_by_key(|entry| entry.metadata().and_then(|data| data.modified()).ok());
            // Run alone, this test may be the only one that is built.
            let Some(program) = program else { continue };
            let output = Command::new(program.path()).env(FORCE, set.name()).output().expect("it runs");
            assert!(output.status.success(), "{test} under {set}:\n{}", String::from_utf8_lossy(&output.stdout));
        }
    }
}
