//! `anneal predict` on images. What a task of a program's own predicts stands in `task`.

use std::{fs, path::Path};

use serde_json::Value;

use super::data::png;
use crate::common::{SMALL, anneal, folder, json_lines};

/// Images of four shades of grey, a class each, in `root/PART/SHADE`; their paths below the folder that `root` is in, with
/// the names of their classes.
fn shades(root: &Path, part: &str, each: u8) -> Vec<(String, String)> {
    let mut files = Vec::new();
    for (at, class) in ["a", "b", "c", "d"].into_iter().enumerate() {
        let folder = root.join(part).join(class);
        fs::create_dir_all(&folder).unwrap();
        for index in 0..each {
            let file = folder.join(format!("{index}.png"));
            fs::write(&file, png(8, at as u8 * 60 + index * 4)).unwrap();
            files.push((file.display().to_string(), class.to_owned()));
        }
    }
    files
}

#[test]
fn a_model_predicts_what_evaluate_measures() {
    let config = format!(
        "{SMALL}ema = 0.9\n[data]\ndataset = 'folder'\npath = 'shades'\nimage_size = 8\ngrey = true\nbatch_size = 8\n[eval]\n\
         tta = 'flip'\n"
    );
    let dir = folder(&[("small.toml", &config)]);
    shades(&dir.path().join("shades"), "train", 10);
    let tests = shades(&dir.path().join("shades"), "test", 14);
    let ran = anneal(dir.path(), &["train", "small.toml", "--out", "run", "--quiet"]);
    assert_eq!(ran.code, 0, "{}", ran.err);

    let files: Vec<&str> = tests.iter().map(|(file, _)| file.as_str()).collect();
    let ran = anneal(dir.path(), &[&["predict", "run", "--json"], &files[..]].concat());
    assert_eq!(ran.code, 0, "{}", ran.err);
    let rows = json_lines(&ran.out);
    assert_eq!(rows.len(), tests.len());
    for (row, (file, _)) in rows.iter().zip(&tests) {
        assert_eq!(row["input"].as_str(), Some(file.as_str()), "in the order of the inputs");
        let all = row["probabilities"].as_object().unwrap();
        let sum: f64 = all.values().map(|value| value.as_f64().unwrap()).sum();
        let highest = all.values().map(|value| value.as_f64().unwrap()).fold(0.0, f64::max);
        assert!((sum - 1.0).abs() < 1e-5 && all.len() == 4, "{row}");
        assert_eq!(
            (row["probability"].as_f64(), &all[row["class"].as_str().unwrap()]),
            (Some(highest), &row["probability"])
        );
    }
    // The same averaged weights, images and test-time augmentation.
    let right = rows.iter().zip(&tests).filter(|(row, (_, class))| row["class"].as_str() == Some(class)).count();
    let evaluated: Value = serde_json::from_str(&anneal(dir.path(), &["evaluate", "run", "--json"]).out).unwrap();
    let accuracy = evaluated["accuracy"].as_f64().unwrap();
    assert!((100.0 * right as f64 / tests.len() as f64 - accuracy).abs() < 1e-3, "{right}: {accuracy}");

    // Neither needs the images that were trained on.
    fs::rename(dir.path().join("shades/train"), dir.path().join("gone")).unwrap();
    let again = anneal(dir.path(), &[&["predict", "run", "--json"], &files[..]].concat());
    assert_eq!((again.code, again.out), (0, ran.out), "{}", again.err);
    let exported = anneal(dir.path(), &["export", "run", "--to", "again.safetensors"]);
    assert_eq!(exported.code, 0, "{}", exported.err);
    let written = |file: &str| fs::read(dir.path().join(file)).unwrap();
    assert!(written("again.safetensors") == written("run/model.safetensors"), "the same weights, without the images");
    let evaluated = anneal(dir.path(), &["evaluate", "run"]);
    assert!(evaluated.code == 1 && evaluated.err.contains("shades: has no folder `train`"), "{}", evaluated.err);
    fs::rename(dir.path().join("gone"), dir.path().join("shades/train")).unwrap();
    let kept: Value = serde_json::from_slice(&written("run/preprocessing.json")).unwrap();
    assert_eq!(kept["shape"], serde_json::json!([1, 8, 8]));
    assert_eq!(kept["classes"], serde_json::json!(["a", "b", "c", "d"]));

    // A table for people; another size is resampled, as a folder's images are.
    fs::write(dir.path().join("large.png"), png(60, 4)).unwrap();
    let ran = anneal(dir.path(), &["predict", "run", "large.png", &tests[1].0]);
    let table: Vec<Vec<&str>> = ran.out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(table[0], ["input", "class", "probability"], "{}", ran.out);
    assert_eq!(table[1][1..], table[2][1..], "the same shade: {}", ran.out);
    let first = anneal(dir.path(), &["predict", "run", "large.png", "--best", "--json"]);
    assert_eq!(first.code, 0, "{}", first.err);
}

#[test]
fn what_is_no_picture_is_refused_by_name() {
    let dir = folder(&[("small.toml", SMALL), ("text.png", "no picture")]);
    let ran = anneal(dir.path(), &["train", "small.toml", "--out", "run", "--epochs", "1", "--quiet"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    fs::write(dir.path().join("good.png"), png(8, 9)).unwrap();
    let mut cut = png(8, 9);
    cut.truncate(60);
    fs::write(dir.path().join("cut.png"), cut).unwrap();
    for (args, code, expected) in [
        (&["run", "good.png", "text.png"][..], 2, "text.png: "),
        (&["run", "cut.png"], 2, "cut.png: "),
        (&["run", "none.png"], 2, "none.png: cannot be read"),
        (&["run"], 2, "<INPUT>"),
        (&["none", "good.png"], 2, "none"),
        (&["run", "good.png", "--step", "7"], 2, "no checkpoint of step 7"),
    ] {
        let ran = anneal(dir.path(), &[&["predict"], args].concat());
        assert_eq!((ran.code, ran.out.as_str()), (code, ""), "{args:?}: {}", ran.err);
        assert!(ran.err.contains(expected), "{args:?}: {}", ran.err);
    }
    let ran = anneal(dir.path(), &["sample", "run", "--prompt", "a"]);
    assert!(ran.code == 2 && ran.err.contains("the task `images` writes no text"), "{}", ran.err);
    let ran = anneal(dir.path(), &["predict", "run", "good.png"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("good.png"), "{}", ran.out);
}
