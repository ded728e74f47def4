//! `[data] resident`: images that live on the device give the batches, and so the runs, that the host's give.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, unreachable_pub, reason = "tests may fail loudly")]

mod common;

use anneal::{
    config::{Config, Document, Origin},
    experiment::Assembly,
    task::{ImageClassification, Resident},
};
use common::{SMALL, anneal, folder, same_checkpoint};
use lr_core::Registry;
use trainer::data::{Loader, Source};
use vision::ImageBatch;

fn config(device: &str, data: &str) -> Config {
    let text = format!("{SMALL}[data]\n{data}\n").replacen("[run]\n", &format!("[run]\ndevice = '{device}'\n"), 1);
    let document = Document::parse(Origin::BuiltIn("a test"), text).expect("TOML");
    Config::from_document(&document, &Registry::standard()).expect("a config")
}

/// Bits of the pixels and classes of a few batches of two epochs.
fn content(loader: &Loader<ImageBatch>) -> Vec<(Vec<u32>, Vec<i64>)> {
    let epochs = [0, 5].into_iter().flat_map(|epoch| loader.epoch(epoch, 1).take(4));
    epochs
        .map(|batch| {
            let ImageBatch { images, targets } = batch.expect("a batch").input;
            let pixels = images.into_data().try_to_vec::<f32>().expect("f32");
            let targets = targets.into_data_as::<i64>().try_to_vec::<i64>().expect("i64");
            (pixels.into_iter().map(f32::to_bits).collect(), targets)
        })
        .collect()
}

/// That training, validation and test batches on `device` are those that the host assembles for flex, whether the
/// training's own thread asks for them or another.
fn same_batches(device: &str) {
    let mut wrong = Vec::new();
    for augment in ["none", "flip", "crop:2", "crop+flip+cutout", "shear+rotate", "scale+shift+crop:2+flip+cutout"] {
        let of = |device: &str, resident: bool, workers: usize| {
            let data = format!(
                "batch_size = 32\nvalidation = 0.3\naugment = '{augment}'\nresident = {resident}\nworkers = {workers}"
            );
            let config = config(device, &data);
            let assembly = Assembly::new(&config).expect("assembled");
            let (images, device) = (assembly.data::<ImageClassification>().expect("images"), assembly.device());
            let loaders = [
                images.train_loader(device).expect("a loader"),
                images.valid_loader(device).expect("a loader").expect("some are held out"),
                images.test_loader(device).expect("a loader"),
            ];
            loaders.map(|loader| (loader.fingerprint(), content(&loader)))
        };
        let host = of("flex", false, 0);
        for workers in [0, 1] {
            let resident = of(device, true, workers);
            for (part, (resident, host)) in
                ["training", "validation", "test"].into_iter().zip(resident.iter().zip(&host))
            {
                assert!(!host.1.is_empty());
                assert_eq!(resident.0, host.0, "{device}, {augment}: fingerprints");
                for (number, (resident, host)) in resident.1.iter().zip(&host.1).enumerate() {
                    let pixels = resident.0.iter().zip(&host.0).filter(|(resident, host)| resident != host).count();
                    if resident != host {
                        wrong.push(format!(
                            "{augment}, workers {workers}, {part} batch {number}: {pixels} of {} pixels, labels {}",
                            host.0.len(),
                            if resident.1 == host.1 { "agree" } else { "differ" }
                        ));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{device} differs from the host's batches:\n{}", wrong.join("\n"));
}

#[test]
fn batches_are_the_hosts() {
    same_batches("flex");
    if cfg!(feature = "ndarray") {
        same_batches("ndarray");
    }
}

#[cfg(any(feature = "wgpu", feature = "vulkan", feature = "metal", feature = "cuda"))]
#[test]
fn batches_of_a_gpu_are_the_hosts() {
    same_batches("gpu");
}

#[test]
fn a_run_is_the_same_wherever_its_images_live() {
    let dir = folder(&[("small.toml", SMALL)]);
    let train = |args: &[&str]| {
        let ran = anneal(dir.path(), &[args, &["--quiet"]].concat());
        assert_eq!(ran.code, 0, "{}", ran.err);
    };
    let run = |out: &str, resident: &str, epochs: &str| {
        let resident = format!("data.resident={resident}");
        let augment = "data.augment=rotate+crop+flip+cutout";
        train(&["train", "small.toml", "--set", augment, "--set", &resident, "--epochs", epochs, "--out", out]);
    };
    let checkpoints = |run: &str| dir.path().join(run).join("checkpoints");
    run("host", "false", "3");
    run("resident", "true", "3");
    same_checkpoint(&checkpoints("host"), &checkpoints("resident"), "resident");
    // Where images live does not belong to what a checkpoint was trained with.
    run("parts", "false", "1");
    train(&[
        "train",
        "parts/config.toml",
        "--set",
        "data.resident=true",
        "--epochs",
        "3",
        "--out",
        "parts",
        "--resume",
    ]);
    same_checkpoint(&checkpoints("host"), &checkpoints("parts"), "resumed on the device");
}

#[test]
fn what_is_no_choice_is_refused() {
    let dir = folder(&[("small.toml", SMALL)]);
    let ran = anneal(dir.path(), &["train", "small.toml", "--set", "data.resident=maybe", "--out", "no"]);
    assert_eq!(ran.code, 2, "{}", ran.err);
    let expected = "data.resident: expected true, false or \"auto\", found \"maybe\"";
    assert!(ran.err.contains(expected), "{}\nlacks: {expected}", ran.err);
    // What is written reads back.
    for (text, resident) in [("'auto'", Resident::Auto), ("true", Resident::Always), ("false", Resident::Never)] {
        let of = |config: &Config| config.task.settings::<ImageClassification>().expect("images").data.clone();
        let config = config("flex", &format!("resident = {text}"));
        assert_eq!(of(&config).resident, resident);
        let again = Config::from_table(&config.to_table(), &Registry::standard()).expect("a config");
        assert_eq!((of(&again), again.data), (of(&config), config.data));
    }
}
