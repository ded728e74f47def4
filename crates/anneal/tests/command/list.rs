//! `anneal list` and `anneal new`, and the reference of all settings.

use anneal::{
    config::RunSection,
    strict_config::fields_of,
    task::{DataSection, ImageData},
    trainer::{CheckpointPolicy, EarlyStopping, TrainConfig, lr_finder::LrFinderConfig},
};

use crate::common::{anneal, folder, parsed, read, root};

#[test]
fn everything_that_a_config_can_name_is_listed() {
    let dir = folder(&[]);
    let cases: [(&str, &[&str]); 5] = [
        ("schedules", &["fixed", "one_cycle", "transformers/cosine", "timm/CosineLRScheduler", "optax/join_schedules"]),
        ("optimizers", &["adam", "sgd", "prodigy", "schedule_free_adamw", "lion"]),
        ("models", &["mlp", "lenet", "resnet8", "resnet18"]),
        ("datasets", &["digits", "mnist", "cifar10", "cifar10-part"]),
        ("devices", &["cpu", "gpu", "flex", "ndarray", "wgpu", "vulkan", "metal", "cuda"]),
    ];
    for (what, names) in cases {
        let json = anneal(dir.path(), &["list", what, "--json"]);
        assert_eq!(json.code, 0, "{what}: {}", json.err);
        let rows = parsed(&json.out);
        let listed: Vec<&str> = rows.as_array().expect("rows").iter().filter_map(|row| row["name"].as_str()).collect();
        let table = anneal(dir.path(), &["list", what]).out;
        for name in names {
            assert!(listed.contains(name), "{what}: {name} is not in {listed:?}");
            assert!(table.lines().any(|line| line.starts_with(name)), "{what}: {name} is not in the table");
        }
        assert!(
            rows.as_array()
                .expect("rows")
                .iter()
                .all(|row| row["summary"].as_str().is_some_and(|text| !text.is_empty()))
        );
    }
}

/// A list fits a screen of 80 columns, and one thing by name has its fields and their defaults.
#[test]
fn lists_are_short_and_one_by_name_is_whole() {
    let dir = folder(&[]);
    for (what, name, expected) in [
        ("schedules", "one_cycle", &["pct_start", "0.3", "required, as in"][..]),
        ("optimizers", "adam", &["betas", "[0.9, 0.999]"]),
        ("models", "convnet", &["channels", "[32, 64, 128]", "parameters for mnist"]),
        ("datasets", "folder", &["path", "required", "image_size"]),
        ("datasets", "mnist", &["60000 training and 10000 test images"]),
    ] {
        let all = anneal(dir.path(), &["list", what]);
        // A line for each and a few between them and at the end: it fits a screen or two.
        if what != "models" {
            let rows = parsed(&anneal(dir.path(), &["list", what, "--json"]).out).as_array().expect("rows").len();
            assert!(all.out.lines().count() <= rows + 6, "{what}: {}", all.out);
        }
        let longest = all.out.lines().map(|line| line.chars().count()).max().expect("lines");
        assert!(longest <= 80, "{what}: {longest} columns in\n{}", all.out);
        let one = anneal(dir.path(), &["list", what, name]);
        assert_eq!(one.code, 0, "{what} {name}: {}", one.err);
        for text in expected {
            assert!(one.out.contains(text), "{what} {name}: {text} is not in\n{}", one.out);
        }
        let last = name.chars().last().expect("a letter");
        let slip = anneal(dir.path(), &["list", what, &format!("{name}{last}")]);
        assert_eq!(slip.code, 2, "{}", slip.err);
        assert!(slip.err.contains(&format!("did you mean `{name}`?")), "{}", slip.err);
    }
}

/// A name that several tasks have stands with each, and says what it is for.
#[test]
fn models_are_listed_by_their_data() {
    let dir = folder(&[]);
    let all = anneal(dir.path(), &["list", "models"]).out;
    let groups: Vec<&str> = all.lines().filter(|line| line.starts_with("[data] dataset = ")).collect();
    assert!(groups[0].starts_with("[data] dataset = digits, mnist, "), "{all}");
    assert_eq!(groups[1..], ["[data] dataset = table", "[data] dataset = text, reversal"], "{all}");
    assert_eq!(all.matches("\nmlp ").count(), 2, "{all}");
    assert_eq!(all.matches("\ngpt ").count(), 1, "{all}");

    let mlp = anneal(dir.path(), &["list", "models", "mlp"]).out;
    let (images, table) = mlp.split_once("[data] dataset = table").expect("both");
    assert!(images.contains("hidden           [256, 128]") && images.contains("parameters for mnist"), "{mlp}");
    assert!(table.contains("dropout") && table.contains("pretrained"), "{mlp}");
    let gpt = anneal(dir.path(), &["list", "models", "gpt"]).out;
    for field in ["layers", "heads", "width", "dropout"] {
        let line = gpt.lines().find(|line| line.trim_start().starts_with(field)).expect(field);
        assert!(line.ends_with(|last: char| last.is_ascii_digit()), "{field} has a default: {gpt}");
    }
    let rows = parsed(&anneal(dir.path(), &["list", "models", "mlp", "--json"]).out);
    assert_eq!((&rows[0]["dataset"], &rows[1]["dataset"]), (&"mnist".into(), &"table".into()), "{rows}");
    assert_eq!(rows[0]["defaults"]["label_smoothing"], 0.0, "{rows}");
    assert!(rows[1]["defaults"]["hidden"].is_array() && rows[1]["layers"].is_null(), "{rows}");
    let slip = anneal(dir.path(), &["list", "models", "gtp"]);
    assert!(slip.code == 2 && slip.err.contains("list: there is no model `gtp`; did you mean `gpt`?"), "{}", slip.err);
}

#[test]
fn the_starter_config_is_the_embedded_example() {
    let dir = folder(&[]);
    let new = anneal(dir.path(), &["new"]);
    std::fs::write(dir.path().join("mine.toml"), &new.out).expect("written");
    let mine = anneal(dir.path(), &["schedule", "mine.toml", "--format", "csv"]);
    assert_eq!(mine.code, 0, "{}", mine.err);
    // 1437 images less a tenth, in batches of 32, for 20 epochs.
    assert_eq!(mine.out.lines().count(), 1 + 41 * 20);
}

/// Every field of a section of the config is in `docs/config.md`.
#[test]
fn every_setting_is_in_the_reference() {
    let page = read(root().join("docs/config.md"));
    let sections: [(&str, &[&str]); 7] = [
        ("run", fields_of::<RunSection>()),
        ("data", fields_of::<DataSection>()),
        ("data of images", fields_of::<ImageData>()),
        ("train", fields_of::<TrainConfig>()),
        ("train.checkpoint", fields_of::<CheckpointPolicy>()),
        ("train.early_stopping", fields_of::<EarlyStopping>()),
        ("lr_finder", fields_of::<LrFinderConfig>()),
    ];
    for (section, fields) in sections {
        assert!(!fields.is_empty(), "{section}");
        for field in fields {
            let is_there = page.contains(&format!("`{field}`")) || page.contains(&format!(" {field} ="));
            assert!(is_there, "docs/config.md does not mention `{field}` of [{section}]");
        }
    }
}
