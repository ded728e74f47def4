//! Real tables, where they are: ANNEAL_DATA_DIR/tables. And the tables of our own making.

use std::path::PathBuf;

use tables::generated::{Ratings, houses, ratings};
use tables::{Preprocessing, Table, TableSettings};

#[test]
fn real_tables_are_read() {
    let Some(folder) = std::env::var_os("ANNEAL_DATA_DIR").map(|dir| PathBuf::from(dir).join("tables")) else {
        eprintln!("skipped: ANNEAL_DATA_DIR is not set");
        return;
    };
    let sets: [(&str, usize, usize, Option<&[&str]>); 3] = [
        ("diabetes", 442, 10, None),
        ("breast_cancer", 569, 30, Some(&["benign", "malignant"])),
        ("wine", 178, 13, Some(&["class_0", "class_1", "class_2"])),
    ];
    for (name, rows, columns, classes) in sets {
        let path = folder.join(format!("{name}.csv"));
        if !path.exists() {
            eprintln!("skipped: {} is not there", path.display());
            continue;
        }
        let settings = TableSettings::new(&path, "target");
        let table = Table::read(&settings).expect(name);
        assert_eq!(table.len(), rows, "{name}");
        assert_eq!(
            table.classes().map(|classes| classes.iter().map(|class| &**class).collect::<Vec<_>>()).as_deref(),
            classes
        );
        let all: Vec<usize> = (0..rows).collect();
        let fitted = Preprocessing::fit(&table, &all, &settings.missing).expect(name);
        assert_eq!((fitted.numbers.len(), fitted.categories.len()), (columns, 0), "{name}");
    }
}

#[test]
fn the_example_is_what_the_generator_writes() {
    let mut written = Vec::new();
    houses(1_000, 7, &mut written).expect("written");
    let shipped = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples/tables/houses.csv");
    assert!(std::fs::read(&shipped).expect("the example's table") == written, "{} is another table", shipped.display());
}

#[test]
fn ratings_speak_of_few_items_often_and_of_most_seldom() {
    let mut written = Vec::new();
    ratings(Ratings { users: 50, items: 200, rows: 5_000, seed: 1 }, &mut written).expect("written");
    let text = String::from_utf8(written).expect("UTF-8");
    let mut counts = std::collections::HashMap::new();
    let mut likes = 0;
    for line in text.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        *counts.entry(cells[1].to_owned()).or_insert(0_usize) += 1;
        likes += usize::from(cells[2] == "yes");
    }
    // 1 / (1 + 1/2 + ... + 1/200) = 17 %.
    assert!((700..1_000).contains(&counts["i0"]), "{}", counts["i0"]);
    assert!(counts.values().filter(|count| **count <= 10).count() > 80);
    assert!((1_500..3_500).contains(&likes), "{likes}");
}
