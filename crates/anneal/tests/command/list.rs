//! `anneal list` and `anneal new`.

use crate::common::{anneal, folder};
use serde_json::Value;

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
        let rows: Value = serde_json::from_str(&json.out).expect("JSON");
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
