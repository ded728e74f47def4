//! What every strategy keeps by being registered: the examples, names, fields and pages of all of them.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, clippy::expect_fun_call)]

use lr_core::{Horizon, Registry, ScheduleConfig, Scheduler};

#[test]
fn every_example_reads_builds_and_reads_back() {
    for entry in Registry::standard().iter() {
        let name = entry.name();
        let config = ScheduleConfig::from_toml_str(entry.example()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(config.type_name(), name);
        let table = config.to_table();
        let again = ScheduleConfig::from_table(&table, "").unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(again.to_table(), table, "{name}: a resolved table resolves to itself");
        assert_eq!(again.fingerprint(), config.fingerprint(), "{name}");
        for field in table.keys().filter(|field| !["type", "interval"].contains(&field.as_str())) {
            assert!(entry.fields().contains(&field.as_str()), "{name}: `{field}` is written but not listed");
        }
        let scheduler = Scheduler::from_config(&config, &Horizon::run(10, 1_000), vec![0.1]);
        let scheduler = scheduler.unwrap_or_else(|error| panic!("{name}: {error}"));
        let sets_momentum = (0..100).any(|tick| scheduler.momentum_at_tick(tick).is_some());
        assert_eq!(sets_momentum, config.sets_momentum(), "{name}: momentum");
        assert_eq!(scheduler.is_reactive(), config.monitor().is_some(), "{name}: a reactive one names its metric");
    }
}

#[test]
fn no_name_is_taken_twice() {
    let registry = Registry::standard();
    let mut names: Vec<&str> =
        registry.iter().flat_map(|entry| entry.aliases().iter().copied().chain([entry.name()])).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    assert!(names.iter().all(|name| registry.get(name).is_some()));
}

#[test]
fn every_strategy_refuses_a_field_it_does_not_know() {
    for entry in Registry::standard().iter() {
        let mut table: toml::Table = entry.example().parse().expect(entry.name());
        table.insert("no_such_field".to_owned(), 1.into());
        let error = ScheduleConfig::from_table(&table, "schedule").expect_err(entry.name());
        assert_eq!(error.path, "schedule.no_such_field", "{}", entry.name());
    }
}

/// The fingerprint is written into checkpoints: it must not change from version to version.
#[test]
fn fingerprints_stay_as_they_are() {
    let config = ScheduleConfig::from_toml_str("type = 'step'\nstep_size = 30").expect("a config");
    let explicit = ScheduleConfig::from_toml_str("gamma = 0.1\nstep_size = 30\ntype = 'step'").expect("a config");
    assert_eq!(config.fingerprint(), explicit.fingerprint(), "defaults and order make no difference");
    let other = ScheduleConfig::from_toml_str("type = 'step'\nstep_size = 31").expect("a config");
    assert_ne!(config.fingerprint(), other.fingerprint());
    assert_eq!(config.fingerprint(), "82f27a17d1a97667");
}

fn page(name: &str) -> String {
    let path = format!("{}/../../docs/schedules/{name}.md", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The ported ones share a page, `porting.md`, which may name them without their framework.
#[test]
fn every_strategy_has_a_page_with_its_fields_and_is_in_the_overview() {
    let (porting, overview) = (page("porting"), page("README"));
    for entry in Registry::standard().iter() {
        let name = entry.name();
        if let Some((_, bare)) = name.split_once('/') {
            assert!(porting.contains(bare), "porting.md does not mention `{name}`");
            continue;
        }
        let text = page(name);
        assert!(text.starts_with(&format!("# `{name}`")), "{name}.md has another title");
        for field in entry.fields() {
            assert!(text.contains(&format!("`{field}`")), "{name}.md does not mention the field `{field}`");
        }
        assert!(overview.contains(&format!("({name}.md)")), "the overview does not link to {name}.md");
    }
}

/// The tables in the pages are configs that work.
#[test]
fn the_examples_in_the_pages_build() {
    for entry in Registry::standard().iter().filter(|entry| !entry.name().contains('/')) {
        let text = page(entry.name());
        let blocks: Vec<&str> = text.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
        assert!(!blocks.is_empty(), "{}.md shows no config", entry.name());
        for block in blocks {
            let table: toml::Table = block.parse().unwrap_or_else(|error| panic!("{error}\n{block}"));
            let schedule = table["schedule"].as_table().expect("[schedule]");
            ScheduleConfig::from_table(schedule, "schedule")
                .and_then(|config| config.build(&Horizon::run(100, 10_000), "schedule"))
                .unwrap_or_else(|error| panic!("{}.md: {error}\n{block}", entry.name()));
        }
    }
}
