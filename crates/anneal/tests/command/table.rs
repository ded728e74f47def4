//! Tables: every verb works with them, and what is wrong is named.

use std::{fs, path::Path};

use anneal::tables::generated::houses;
use serde_json::Value;

use crate::common::{Ran, anneal, done, folder, json, json_lines, parsed, read, same_checkpoint};

/// The price of a house.
const PRICE: &str = "[run]\nname = 'price'\nloggers = []\n[data]\ndataset = 'table'\npath = 'houses.csv'\ntarget = 'price'\n\
    ignore = ['sold']\nmissing = { numbers = 'median' }\nbatch_size = 20\n[model]\nhidden = [16]\ndropout = 0.1\n\
    [optimizer]\ntype = 'adam'\nlr = 0.01\n[schedule]\ntype = 'cosine_annealing'\nt_max = 'rest'\n\
    [[groups]]\nparams = 'embeddings.*'\nlr_scale = 0.5\n\
    [train]\nepochs = 6\nfreeze = [{ params = 'layers.1.*', from_epoch = 0, until_epoch = 1 }]\n";

/// Whether it sells fast.
const SOLD: &str = "[run]\nname = 'sold'\nloggers = []\n[data]\ndataset = 'table'\npath = 'houses.csv'\ntarget = 'sold'\n\
    missing = { numbers = 'mean' }\nbatch_size = 20\n[model]\ntype = 'mlp'\nhidden = [16]\n\
    [optimizer]\ntype = 'adam'\nlr = 0.01\n[train]\nepochs = 6\ncheckpoint = { keep_best = 'valid.auroc' }\n\
    early_stopping = { monitor = 'valid.f1', patience = 50 }\n";

fn csv(rows: usize) -> String {
    let mut written = Vec::new();
    houses(rows, 3, &mut written).unwrap();
    String::from_utf8(written).unwrap()
}

fn files() -> tempfile::TempDir {
    let step = "type = 'step'\nstep_size = 2\ngamma = 0.3\n";
    folder(&[("houses.csv", &csv(400)), ("price.toml", PRICE), ("sold.toml", SOLD), ("step.toml", step)])
}

#[test]
fn every_verb_works_with_a_number_as_target() {
    let dir = files();
    let dir = dir.path();
    let table = done(dir, &["train", "price.toml", "--out", "whole"]);
    assert!(table.contains("mlp on houses (price): "), "{table}");
    let config = read(dir.join("whole/config.toml"));
    for part in ["task = \"regression\"", "hidden = [16]", "numbers = \"median\"", "test = 0.2"] {
        assert!(config.contains(part), "{config}\nlacks {part}");
    }
    let summary = parsed(&read(dir.join("whole/summary.json")));
    let test = |name: &str| summary["test"][name].as_f64().unwrap();
    assert!(test("r2") > 0.6, "{summary:#}");
    assert!(test("mae") > 1.0 && test("mse") > test("mae"), "in thousands, as the table: {summary:#}");
    assert!(dir.join("whole/plots/metric-r2.svg").exists());
    // Some rows, what is true beside what is predicted, at each validation and in the report.
    let shown = json_lines(&read(dir.join("whole/outputs.jsonl")));
    assert_eq!(shown.len(), 6, "one for each epoch");
    let lines: Vec<Vec<&str>> =
        shown[5]["texts"][0].as_str().unwrap().lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!((lines.len(), &lines[0]), (13, &vec!["row", "price", "predicted"]));
    let rows: Vec<String> = csv(400).lines().skip(1).map(str::to_owned).collect();
    let predicted = done(dir, &["predict", "whole", "houses.csv", "--json"]);
    let predicted = json_lines(&predicted);
    for line in &lines[1..] {
        let row = line[0].parse::<usize>().unwrap() - 1;
        let number = |text: &str| text.parse::<f64>().unwrap();
        assert!((number(line[1]) - number(rows[row].split(',').nth(6).unwrap())).abs() < 1e-2, "{line:?}");
        assert!((number(line[2]) - predicted[row]["value"].as_f64().unwrap()).abs() < 1e-2, "{line:?}");
    }
    assert!(read(dir.join("whole/report.html")).contains(&lines[1][2].to_owned()));

    // In a new process: interrupted after two epochs, bit for bit.
    for (out, more) in [("one", &[][..]), ("parts", &["--epochs", "2"])] {
        done(dir, &[&["train", "price.toml", "--out", out, "--quiet", "--set", "schedule.t_max=6"], more].concat());
    }
    done(dir, &["resume", "parts", "--epochs", "6", "--quiet"]);
    same_checkpoint(&dir.join("one/checkpoints"), &dir.join("parts/checkpoints"), "resumed");

    let evaluated = parsed(&done(dir, &["evaluate", "whole", "--json"]));
    assert!((evaluated["r2"].as_f64().unwrap() - test("r2")).abs() < 1e-6, "{evaluated}");
    done(dir, &["export", "whole", "--to", "w.safetensors"]);
    let bytes = fs::read(dir.join("w.safetensors")).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header = parsed(&String::from_utf8_lossy(&bytes[8..8 + length]));
    // 3 numbers and embeddings of 5, 3 and 2; torch has the outputs first.
    assert_eq!(header["layers.0.weight"]["shape"], serde_json::json!([16, 13]), "{header}");
    assert_eq!(header["embeddings.0.weight"]["shape"], serde_json::json!([9, 5]), "8 districts and the unknown one");

    assert_eq!(anneal(dir, &["find-lr", "price.toml", "--quiet"]).code, 0);
    done(dir, &["train", "price.toml", "--set", "optimizer.lr=auto", "--out", "auto", "--quiet"]);
    assert!(dir.join("auto/lr_finder.json").exists());
    assert_eq!(done(dir, &["schedule", "price.toml", "--format", "csv"]).lines().count(), 7);
    done(dir, &["train", "price.toml", "--fast-dev-run", "--quiet"]);
    let args = ["compare", "price.toml", "--schedule", "step.toml", "--with-config", "--out", "both", "--json"];
    let figures = parsed(&done(dir, &args));
    assert_eq!((&figures["measure"]["name"], &figures["measure"]["lower_is_better"]), (&"r2".into(), &false.into()));
    assert!(done(dir, &["report", "whole", "parts"]).contains("whole"));
    let parameters = parsed(&done(dir, &["list", "parameters", "price.toml", "--json"]));
    assert_eq!(parameters.as_array().unwrap().len(), 3 + 4);
    assert!(done(dir, &["list", "datasets"]).contains("a CSV file"));
}

#[test]
fn every_metric_of_classes_can_be_waited_for() {
    let dir = files();
    let table = done(dir.path(), &["train", "sold.toml", "--out", "run"]);
    assert!(table.contains("best    highest valid.auroc, "), "the metric's own direction: {table}");
    let summary = json(dir.path().join("run/summary.json"));
    let evaluated = done(dir.path(), &["evaluate", "run"]);
    for name in ["accuracy", "f1", "auroc"] {
        let value = summary["test"][name].as_f64().unwrap();
        assert!((60.0..=100.0).contains(&value), "{name}: {summary:#}");
        assert!(
            table.contains(&format!("valid.{name} ")) && table.contains(&format!(" {name} {value:.4} %")),
            "{table}"
        );
        assert!(evaluated.contains(&format!("test {name} {value:.4} %\n")), "{evaluated}");
    }
    let shown = parsed(read(dir.path().join("run/outputs.jsonl")).lines().last().unwrap());
    let head = shown["texts"][0].as_str().unwrap().lines().next().unwrap().to_owned();
    assert_eq!(head.split_whitespace().collect::<Vec<_>>(), ["row", "sold", "predicted", "probability"]);
    assert!(read(dir.path().join("run/config.toml")).contains("task = \"classification\""));
    let refused = anneal(dir.path(), &["train", "sold.toml", "--set", "train.early_stopping.monitor=valid.r2"]);
    assert_eq!(refused.code, 2);
    assert!(refused.err.contains("valid.accuracy"), "{}", refused.err);
}

/// A validation part of one class: said once, and no value in the place of one that is not there.
#[test]
fn one_class_in_the_validation_part_is_said_once() {
    let rows = |is_no: fn(usize) -> bool| {
        let row = |at: usize| format!("{at},{}\n", if is_no(at) { "no" } else { "yes" });
        format!("a,y\n{}", (0..200).map(row).collect::<Vec<_>>().concat())
    };
    let config = SOLD.replace("houses.csv", "rows.csv").replace("'sold'\n", "'y'\n").replace("early_stopping", "#");
    let dir = folder(&[("rows.csv", &rows(|at| at < 100)), ("c.toml", &config)]);
    let train =
        ["train", "c.toml", "--out", "run", "--overwrite", "--quiet", "--set", "train.checkpoint.keep_best=valid.loss"];
    let ran = anneal(dir.path(), &train);
    assert!(ran.code == 0 && !ran.err.contains("auroc"), "{}", ran.err);
    fs::write(dir.path().join("rows.csv"), rows(|at| at % 50 == 1)).unwrap();
    let ran = anneal(dir.path(), &[&train[..], &["--set", "data.validation=0.05"]].concat());
    assert_eq!(ran.code, 0, "{}", ran.err);
    let said = "rows.csv: all 8 rows of the validation part are \"yes\": it has no `auroc`, and `f1` says little";
    // The test part is such a part too; neither is spoken of again.
    let counts =
        ["auroc", said, "part are \"yes\": it has no `auroc`"].map(|text| ran.err.to_lowercase().matches(text).count());
    assert_eq!(counts, [2, 1, 2], "{}", ran.err);
    let summary = json(dir.path().join("run/summary.json"));
    assert!(summary["last"]["valid.auroc"].is_null() && summary["last"]["valid.f1"].is_number(), "{summary:#}");
}

/// What the target is is read off the file where it is found, not where it is not.
#[test]
fn a_table_is_looked_for_in_the_data_folder() {
    let dir = folder(&[("price.toml", PRICE)]);
    let data = folder(&[("houses.csv", &csv(200))]);
    // A file of that name that is not the one asked for.
    fs::write(dir.path().join("houses.csv"), "price,a\nlow,1\nhigh,2\n").unwrap();
    let data = data.path().display().to_string();
    let args = ["train", "price.toml", "--out", "run", "--quiet", "--data-dir", &data];
    done(dir.path(), &[&args[..], &["--set", "train.early_stopping={monitor='valid.r2',patience=9}"]].concat());
    assert!(read(dir.path().join("run/config.toml")).contains("task = \"regression\""));
}

#[test]
fn new_tables_are_predicted_with_what_the_run_keeps() {
    let dir = files();
    let dir = dir.path();
    done(dir, &["train", "price.toml", "--out", "price", "--quiet"]);
    done(dir, &["train", "sold.toml", "--out", "sold", "--quiet"]);
    // The training table is gone: what was fitted on it is kept.
    fs::rename(dir.join("houses.csv"), dir.join("seen.csv")).unwrap();
    let written = |file: &str| fs::read(dir.join(file)).unwrap();
    done(dir, &["export", "price", "--to", "again.safetensors"]);
    assert!(written("again.safetensors") == written("price/model.safetensors"), "the same weights, without the table");
    let ran = anneal(dir, &["evaluate", "price"]);
    assert!(ran.code == 1 && ran.err.contains("houses.csv: cannot be read"), "{}", ran.err);
    let new = "garden,heating,district,rooms,area,age\nyes,gas,hill,4,120,10\nno,oil,nowhere,2,50,\n";
    fs::write(dir.join("new.csv"), new).unwrap();
    let lines = done(dir, &["predict", "price", "new.csv", "--json"]);
    let rows: Vec<Value> = lines.lines().map(parsed).collect();
    assert_eq!((rows.len(), rows[1]["input"].as_str()), (2, Some("new.csv row 2")));
    let value = |row: &Value| row["value"].as_f64().unwrap();
    assert!(value(&rows[0]) > value(&rows[1]) + 50.0, "{lines}");
    let ran = anneal(dir, &["predict", "price", "new.csv"]);
    assert!(ran.code == 0 && ran.out.starts_with("input"), "{}", ran.err);
    let unknown =
        "new.csv: column `district`: 1 of 2 rows have a category that no training row had, such as \"nowhere\"";
    assert_eq!(ran.err.matches(unknown).count(), 1, "{}", ran.err);
    // The training table itself, target and all: as the test measured it, most of the variation is explained.
    let lines = done(dir, &["predict", "price", "seen.csv", "--json"]);
    let seen = read(dir.join("seen.csv"));
    let truth: Vec<f64> = seen.lines().skip(1).map(|line| line.split(',').nth(6).unwrap().parse().unwrap()).collect();
    let mean = truth.iter().sum::<f64>() / truth.len() as f64;
    let guesses: Vec<f64> = lines.lines().map(|line| value(&parsed(line))).collect();
    let squares = |of: &dyn Fn(usize) -> f64| (0..truth.len()).map(|row| (truth[row] - of(row)).powi(2)).sum::<f64>();
    assert!(squares(&|row| guesses[row]) < 0.4 * squares(&|_| mean));
    let with_price = new.replace("garden,", "price,garden,").replace("yes,", "0,yes,").replace("no,", "0,no,");
    fs::write(dir.join("more.csv"), with_price).unwrap();
    let said = parsed(done(dir, &["predict", "sold", "more.csv", "--json"]).lines().next().unwrap());
    let (fast, slow) = (&said["probabilities"]["fast"], &said["probabilities"]["slow"]);
    assert!((fast.as_f64().unwrap() + slow.as_f64().unwrap() - 1.0).abs() < 1e-5, "{said}");
    assert!(["fast", "slow"].contains(&said["class"].as_str().unwrap()));

    let refused = |text: &str, expected: &str| {
        fs::write(dir.join("bad.csv"), text).unwrap();
        let ran = anneal(dir, &["predict", "price", "bad.csv"]);
        assert_eq!((ran.code, ran.err.trim()), (2, expected), "{text}");
    };
    refused(
        "area\n3\n",
        "error: bad.csv: lacks 5 of the columns that the model was trained on: rooms, age, district, heating, garden",
    );
    refused(
        &new.replace("rooms", "roms"),
        "error: bad.csv: line 1: column `roms` (position 4) is none that the model was trained on; did you mean `rooms`?",
    );
    refused(
        &new.replace(',', ";"),
        "error: bad.csv: line 1: column `garden;heating;district;rooms;area;age` (position 1) is none that the model was \
         trained on; it is the only one: the model's tables have ',' between cells (`delimiter`)",
    );
    refused(&new.replace("50", "1e300"), "error: bad.csv: column `area`: its numbers are too large to be standardised");
    refused(&new.replace("50", "small"), "error: bad.csv: line 3, column `area`: \"small\" is no finite number");
    // Kept for this checkpoint, and for no other.
    let kept = read(dir.join("price/preprocessing.json"));
    for (other, expected) in [
        (kept.replacen("\"fill\":", "\"fil\":", 1), "preprocessing.json of the run is damaged"),
        (read(dir.join("sold/preprocessing.json")), "belongs to other training data"),
    ] {
        fs::write(dir.join("price/preprocessing.json"), other).unwrap();
        let ran = anneal(dir, &["predict", "price", "new.csv"]);
        assert!(ran.code == 1 && ran.err.contains(expected), "{}", ran.err);
    }
}

#[test]
fn what_is_wrong_is_named() {
    let dir = files();
    let dir = dir.path();
    let refused = |set: &str, code: i32, expected: &str| {
        let Ran { code: found, err, .. } = anneal(dir, &["train", "price.toml", "--out", "no", "--set", set]);
        assert_eq!(found, code, "{set}: {err}");
        assert!(err.contains(expected), "{set}: {err}\nlacks: {expected}");
        assert!(!dir.join("no").exists(), "nothing half-written");
    };
    refused(
        "data.target=prize",
        2,
        "data.target: houses.csv: has no column `prize`, which `target` names; did you mean `price`?",
    );
    refused("data.targt=price", 2, "data.targt: unknown field; did you mean `target`?");
    refused("data.path=nowhere.csv", 1, "nowhere.csv: cannot be read: ");
    for (name, bytes) in [("le.csv", u16::to_le_bytes as fn(u16) -> [u8; 2]), ("be.csv", u16::to_be_bytes)] {
        fs::write(dir.join(name), csv(9).encode_utf16().flat_map(bytes).collect::<Vec<u8>>()).unwrap();
        refused(&format!("data.path={name}"), 2, ": line 1, column 1: not UTF-8; save the file as UTF-8");
    }
    refused("data.missing.numbers=refuse", 2, "houses.csv: line ");
    refused("data.missing.numbers=refuse", 2, "column `age`: missing value (");
    refused(
        "data.test=0.001",
        2,
        "data.test: 0.001 is not allowed here; allowed: 0, or a fraction that holds out at least one of the 400 rows",
    );
    refused("data.test=1.5", 2, "data.test: 1.5 is not allowed here; allowed: a number from 0 to below 1");
    refused("model.hiden=[3]", 2, "model.hiden: unknown field; did you mean `hidden`?");
    refused("model.hidden=[1000000000]", 2, "the run takes at least");
    refused("model.type=lenet", 2, "model.type: there is no model `lenet`");
    refused("data.augment=flip", 2, "data.augment: unknown field");

    // A run goes on with its own table alone.
    done(dir, &["train", "price.toml", "--out", "run", "--quiet", "--epochs", "1"]);
    fs::write(dir.join("houses.csv"), csv(400).replacen("hill", "mill", 1)).unwrap();
    let ran = anneal(dir, &["train", "price.toml", "--out", "run", "--resume", "--epochs", "3"]);
    assert!(ran.code == 1 && ran.err.contains("belongs to other training data"), "{}", ran.err);
    let ran = anneal(dir, &["evaluate", "run"]);
    assert!(ran.code == 1 && ran.err.contains("belongs to other training data"), "{}", ran.err);
    assert!(ran.err.contains(" changed since it was written"), "{}", ran.err);
    fs::write(dir.join("houses.csv"), csv(300)).unwrap();
    let ran = anneal(dir, &["evaluate", "run"]);
    let expected = "belongs to other training data: it was written with `288 items`, this run has `216 items`\n";
    assert!(
        ran.code == 1 && ran.err.starts_with("error: houses (price): ") && ran.err.ends_with(expected),
        "{}",
        ran.err
    );
}

/// Columns are numbered by their place: weights of as many others would be those of other columns.
#[test]
fn weights_of_other_columns_are_refused() {
    let dir = files();
    let dir = dir.path();
    done(dir, &["train", "sold.toml", "--epochs", "1", "--out", "run", "--quiet"]);
    let tune = |more: &[&str]| {
        let args = ["train", "sold.toml", "--epochs", "1", "--quiet", "--out", "tuned", "--overwrite"];
        anneal(dir, &[&args[..], &["--set", "model.pretrained={ path = 'run' }"], more].concat())
    };
    let table = csv(400);
    // Other rows of the same columns.
    let fewer: Vec<&str> = table.lines().take(380).collect();
    fs::write(dir.join("houses.csv"), fewer.join("\n")).unwrap();
    assert_eq!(tune(&[]).code, 0);
    for (from, to, expected) in [
        ("rooms", "storeys", "column of numbers 2 is \"storeys\", and \"rooms\" there"),
        ("district", "place", "column of categories 1 is \"place\", and \"district\" there"),
        (",gas,", ",coal,", "category of `heating` 1 is \"coal\", and \"district\" there"),
        (",fast", ",quick", "class 1 is \"quick\", and \"fast\" there"),
    ] {
        let is_cell = from.starts_with(',');
        let changed = if is_cell { table.replace(from, to) } else { table.replacen(from, to, 1) };
        fs::write(dir.join("houses.csv"), changed).unwrap();
        let ran = tune(&[]);
        let learned = "model.pretrained: run: the weights were learned on another table than houses: ";
        assert!(ran.code == 2 && ran.err.contains(&format!("{learned}{expected}")), "{expected}: {}", ran.err);
    }
    let ran = tune(&["--set", "model.pretrained.except='layers.1.*'"]);
    assert!(ran.code == 0 && ran.err.contains("class 1 is \"quick\""), "with a new head: {}", ran.err);
}

/// Every table that is no good, by line or column, with nothing written; and odd ones that are good.
#[test]
fn a_table_that_cannot_be_used_is_refused_whole() {
    const CONFIG: &str = "[run]\nname = 'small'\n[data]\ndataset = 'table'\npath = 't.csv'\ntarget = 'y'\nbatch_size = 4\n\
        [optimizer]\ntype = 'adam'\nlr = 0.01\n[train]\nepochs = 1\n";
    let dir = folder(&[("c.toml", CONFIG)]);
    let dir = dir.path();
    let rows = |row: &dyn Fn(usize) -> String| (0..40).map(|at| row(at) + "\n").collect::<String>();
    let numbers = rows(&|at| format!("{at},{}.5", at * at % 17));
    let with = |line: usize, cell: &str| {
        let mut lines: Vec<&str> = numbers.lines().collect();
        lines.insert(line - 2, cell);
        format!("a,y\n{}\n", lines.join("\n"))
    };
    let cases: [(Vec<u8>, &[&str], &str); 17] = [
        (
            with(7, "1,caf\u{e9}").replace('\u{e9}', "\u{1}").bytes().map(|b| if b == 1 { 0xe9 } else { b }).collect(),
            &[],
            "t.csv: line 7, column `y`: not UTF-8; save the file as UTF-8",
        ),
        (Vec::new(), &[], "t.csv: is empty: a header line"),
        (b"a,y\n".to_vec(), &[], "t.csv: has a header and no row"),
        (with(9, "1").into(), &[], "t.csv: line 9: 1 cells, and the header has 2"),
        (with(9, "1,2,3").into(), &[], "t.csv: line 9: 3 cells, and the header has 2"),
        (with(9, "\"1,2").into(), &[], "t.csv: line 9: a quote that opens here is not closed"),
        (
            with(2, "1,2").replace("a,y", "y,y").into(),
            &[],
            "t.csv: line 1: column `y` stands twice, at positions 1 and 2",
        ),
        (with(2, "1,2").replace("a,y", ",y").into(), &[], "t.csv: line 1: column 1 has no name"),
        (
            with(2, "1,2").replace("a,y", "a,z").into(),
            &[],
            "data.target: t.csv: has no column `y`, which `target` names",
        ),
        (
            with(2, "1,2").into(),
            &["data.categories=['b']"],
            "data.categories[0]: t.csv: has no column `b`, which `categories[0]` names",
        ),
        (with(5, "1,about 2").into(), &[], "t.csv: line 5, column `y`: \"about 2\" is no number as 1234.5 is"),
        (
            with(5, "1,about 2").into(),
            &["data.task=regression"],
            "t.csv: line 5, column `y`: \"about 2\" is no finite number",
        ),
        (with(5, "old,2").into(), &[], "t.csv: line 5, column `a`: \"old\" is no number as 1234.5 is"),
        (with(5, "NA,2").into(), &[], "t.csv: line 5, column `a`: missing value (1 in this column)"),
        (with(5, "2,").into(), &[], "t.csv: line 5: the target, column `y`, is missing"),
        (format!("a,y\n{}", rows(&|at| format!(",{at}.5"))).into(), &[], "t.csv: column `a`: all 40 rows are missing"),
        (
            format!("a,y\n{}", rows(&|at| format!("{at},yes"))).into(),
            &[],
            "t.csv: column `y`: every one of the 40 rows is \"yes\"",
        ),
    ];
    for (content, set, expected) in cases {
        fs::write(dir.join("t.csv"), content).unwrap();
        let set: Vec<&str> = set.iter().flat_map(|set| ["--set", set]).collect();
        for verb in [&["train", "c.toml", "--out", "no"][..], &["find-lr", "c.toml", "--json", "no"]] {
            let ran = anneal(dir, &[verb, &set].concat());
            assert!(
                ran.code == 2 && ran.err.contains(expected),
                "{verb:?} {}: {}\nlacks: {expected}",
                ran.code,
                ran.err
            );
            assert!(ran.out.is_empty() && !dir.join("no").exists(), "nothing half-written: {expected}");
        }
    }
    // Quotes, newlines in cells, a byte order mark; and 10,000 columns.
    let quoted = rows(&|at| format!("\"{at}\",\"one \"\"{}\"\"\nand\r\ntwo\",{}", at % 3, at % 2));
    fs::write(dir.join("t.csv"), format!("\u{feff}a,\"b, c\",y\r\n{quoted}")).unwrap();
    done(dir, &["train", "c.toml", "--out", "quoted", "--quiet"]);
    assert!(read(dir.join("quoted/preprocessing.json")).contains(r#""one \"0\"\nand\r\ntwo""#));
    let predicted = done(dir, &["predict", "quoted", "t.csv", "--json"]);
    assert_eq!(predicted.lines().count(), 40);
    let cells = |cell: &dyn Fn(usize) -> String| (0..10_000).map(cell).collect::<Vec<_>>().join(",");
    let header = cells(&|at| format!("c{at}"));
    let wide = rows(&|row| format!("{},{}", cells(&|at| ((at * 7 + row * 13) % 31).to_string()), row % 2));
    fs::write(dir.join("t.csv"), format!("{header},y\n{wide}")).unwrap();
    done(dir, &["train", "c.toml", "--out", "wide", "--quiet", "--set", "model.hidden=[4]"]);
}

#[test]
fn real_tables_are_learned() {
    let Some(folder) = std::env::var_os("ANNEAL_DATA_DIR").map(|dir| Path::new(&dir).join("tables")) else {
        return eprintln!("skipped: ANNEAL_DATA_DIR is not set");
    };
    let dir = files();
    // Linear models reach 0.5 (the share of variation), 97 % and 98 %.
    for (name, metric, least) in
        [("diabetes", "r2", 0.3), ("breast_cancer", "accuracy", 93.0), ("wine", "accuracy", 93.0)]
    {
        let path = folder.join(format!("{name}.csv"));
        if !path.exists() {
            eprintln!("skipped: {} is not there", path.display());
            continue;
        }
        let config = format!(
            "[data]\ndataset = 'table'\npath = {path:?}\ntarget = 'target'\nbatch_size = 16\n[model]\nhidden = [32]\n\
             [optimizer]\ntype = 'adamw'\nlr = 0.003\nweight_decay = 0.1\n[schedule]\ntype = 'cosine_annealing'\nt_max = 'rest'\n\
             [train]\nepochs = 20\n"
        );
        fs::write(dir.path().join("real.toml"), config).unwrap();
        done(dir.path(), &["train", "real.toml", "--out", name, "--quiet"]);
        let summary = parsed(&read(dir.path().join(name).join("summary.json")));
        let value = summary["test"][metric].as_f64().unwrap();
        println!("{name}: {metric} {value:.3} on the test rows");
        assert!(value > least, "{name}: {summary:#}");
    }
}

/// A metric that has no value on the validation rows (one row has no spread) is told, and is the reason of the stop.
#[test]
fn a_value_that_is_no_number_is_no_silent_stop() {
    let dir = files();
    let args = [
        "train",
        "price.toml",
        "--out",
        "run",
        "--epochs",
        "9",
        "--set",
        "data.validation=0.004",
        "--set",
        "train.early_stopping.monitor=valid.r2",
        "--set",
        "train.early_stopping.patience=3",
    ];
    let ran = anneal(dir.path(), &args);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(ran.err.matches("valid.r2 is NaN, no number that could improve").count(), 1, "{}", ran.err);
    assert!(ran.out.contains("stopped early (valid.r2 is no finite number) after 3 epochs"), "{}", ran.out);
    // What took the time are parts of the run's seconds, and of nothing else.
    let summary = parsed(&read(dir.path().join("run/summary.json")));
    let parts = summary["times"].as_object().unwrap().values().map(|part| part.as_f64().unwrap()).sum::<f64>();
    let seconds = summary["seconds"].as_f64().unwrap();
    assert!(parts <= seconds * 1.001, "{parts} of {seconds}");
    assert!(summary["stall_percent"].as_f64().unwrap() <= 100.0);

    // Nothing is tested where there is no test part, and no line says so by being empty.
    let ran = anneal(dir.path(), &["train", "price.toml", "--out", "all", "--epochs", "1", "--set", "data.test=0"]);
    assert!(ran.out.lines().all(|line| !["test", "last"].contains(&line.trim())), "{}", ran.out);
}
