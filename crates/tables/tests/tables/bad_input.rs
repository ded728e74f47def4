//! What is refused, with the message: the file, and the line or the column.

use std::time::Instant;

use tables::{Fill, FillValue, Preprocessing, Table, TableProblem, TargetKind};

use crate::{Csv, message};

fn refusal(content: impl AsRef<[u8]>) -> String {
    message(&Csv::new(content).read().expect_err("refused"))
}

#[test]
fn files_that_are_no_tables() {
    let cases: [(&[u8], &str); 14] = [
        (b"", "t.csv: is empty: a header line with the names of the columns is expected"),
        (b"a,y\n", "t.csv: has a header and no row"),
        (b"a,y\n1,0\n2\n", "t.csv: line 3: 1 cells, and the header has 2"),
        (b"a,y\n1,0\n2,1,7\n", "t.csv: line 3: 3 cells, and the header has 2"),
        (b"a,y\n1,0\n2,caf\xe9\n", "t.csv: line 3, column `y`: not UTF-8; save the file as UTF-8"),
        (b"a,b\xff,y\n1,2,0\n", "t.csv: line 1, column 2: not UTF-8; save the file as UTF-8"),
        (b"a,,y\n1,2,0\n", "t.csv: line 1: column 2 has no name (an index that was written with the table?)"),
        (b"a,b, a,y\n1,2,3,0\n", "t.csv: line 1: column `a` stands twice, at positions 1 and 3"),
        (b"a,z\n1,2\n", "t.csv: has no column `y`, which `target` names (columns: a, z)"),
        (b"y\n1\n0\n", "t.csv: has no column to predict `y` from"),
        // A quote that is never closed swallows the rest of the file: as a short row, or as one long cell.
        (b"a,y\n1,0\n\"2,1\n3,0\n4,1\n", "t.csv: line 3: a quote that opens here is not closed"),
        (b"y,a\n0,1\n1,\"x\n0,z\n1,x\n", "t.csv: line 3: a quote that opens here is not closed"),
        (b"a,y\n1,0\n2,\n", "t.csv: line 3: the target, column `y`, is missing; a row without it teaches nothing"),
        (
            b"a,b,y\n1,,0\n2,NA,1\n",
            "t.csv: column `b`: all 2 rows are missing; name it in `ignore`, or give a value in `missing`",
        ),
    ];
    for (content, expected) in cases {
        assert_eq!(refusal(content), expected, "{}", String::from_utf8_lossy(content));
    }
    let nowhere = tables::TableSettings::new("/nowhere/t.csv", "y");
    let error = Table::read(&nowhere).unwrap_err();
    assert!(error.to_string().starts_with("/nowhere/t.csv: cannot be read: "), "{error}");
    assert!(matches!(error.problem, TableProblem::Io(_)));
    let folder = tempfile::tempdir().unwrap();
    let error = Table::read(&tables::TableSettings::new(folder.path(), "y")).unwrap_err().to_string();
    assert!(error.ends_with(": is no regular file: expected a CSV file"), "{error}");
    // Read with another delimiter than the file has.
    assert_eq!(
        refusal("a;y\n1;0\n2;1\n"),
        "t.csv: has no column `y`, which `target` names (columns: a;y); is `delimiter` what separates them?"
    );
}

#[test]
fn targets_that_teach_nothing() {
    assert_eq!(
        refusal("a,y\n1,cat\n2,cat\n"),
        "t.csv: column `y`: every one of the 2 rows is \"cat\"; a classifier needs two classes"
    );
    assert_eq!(
        refusal("a,y\n1,3\n2,3\n"),
        "t.csv: column `y`: every one of the 2 rows is \"3\"; a classifier needs two classes"
    );
    assert_eq!(
        refusal("a,y\n1,0.5\n2,0.5\n"),
        "t.csv: column `y`: every one of the 2 rows is 0.5; there is nothing to learn"
    );
    // Said to be a number, and is not.
    let csv = Csv::new("a,y\n1,2\n2,about 3\n");
    let settings = tables::TableSettings { task: TargetKind::Regression, ..csv.settings() };
    let error = Table::read(&settings).unwrap_err();
    assert_eq!(message(&error), "t.csv: line 3, column `y`: \"about 3\" is no finite number");
    // One number in the training part.
    let table = Csv::new("a,y\n1,0.5\n2,0.5\n3,1.5\n").read().unwrap();
    let error = Preprocessing::fit(&table, &[0, 1], &csv.settings().missing).unwrap_err();
    assert_eq!(
        message(&error),
        "t.csv: column `y`: every one of the 2 rows of the training part is 0.5; there is nothing to learn"
    );
}

#[test]
fn columns_that_are_not_what_the_settings_say() {
    let csv = Csv::new("age,city,y\n1,Bern,0\n2,Basel,1\n");
    let with = |change: fn(&mut tables::TableSettings)| {
        let mut settings = csv.settings();
        change(&mut settings);
        message(&Table::read(&settings).expect_err("refused"))
    };
    assert_eq!(
        with(|s| s.numbers = vec!["age".into(), "citty".into()]),
        "t.csv: has no column `citty`, which `numbers[1]` names; did you mean `city`? (columns: age, city, y)"
    );
    assert_eq!(
        with(|s| drop(s.missing.columns.insert("ago".into(), Fill::Mean))),
        "t.csv: has no column `ago`, which `missing.columns.ago` names; did you mean `age`? (columns: age, city, y)"
    );
    assert_eq!(with(|s| s.numbers = vec!["city".into()]), "t.csv: line 2, column `city`: \"Bern\" is no finite number");
    assert_eq!(refusal("a,y\n1,0\ninf,1\n"), "t.csv: line 3, column `a`: \"inf\" is no finite number");
    assert_eq!(refusal("a,y\n1,0\n1e999,1\n"), "t.csv: line 3, column `a`: \"1e999\" is no finite number");
}

/// A column `a` and a target of two classes.
fn column(cells: &[&str]) -> String {
    let rows = cells.iter().enumerate().map(|(at, cell)| format!("\"{cell}\",{}\n", ["no", "yes"][at % 2]));
    format!("a,y\n{}", rows.collect::<Vec<_>>().concat())
}

/// A target of these cells.
fn target(cells: &[&str]) -> String {
    format!("a,y\n{}", cells.iter().map(|cell| format!("1,\"{cell}\"\n")).collect::<Vec<_>>().concat())
}

#[test]
fn one_wrong_cell_makes_no_categories_of_numbers() {
    let right = "correct the cell, or name it in `missing_values`; or name the column in `categories` (in `numbers` the cell \
                 is refused, too)";
    let nine = ["1", "2", "3", "4.5", "5", "6", "7", "8", "9"];
    let cases: [(&[&str], &str); 6] = [
        (
            &[&nine[..3], &["2l"], &nine[3..]].concat(),
            "line 5, column `a`: \"2l\" is no number as 1234.5 is, and 9 of the 10",
        ),
        // A mark of missing values, however often.
        (&["1", "?", "3", "?", "5"], "line 3, column `a`: \"?\" is no number as 1234.5 is, and 3 of the 5"),
        // Numbers as others write them.
        (&["1,5", "2,25", "3", "12,0"], "line 2, column `a`: \"1,5\" is no number as 1234.5 is, and 4 of the 4"),
        (
            &["1,234,567.5", "12,000,000"],
            "line 2, column `a`: \"1,234,567.5\" is no number as 1234.5 is, and 2 of the 2",
        ),
        (&["$3", "5 \u{20ac}"], "line 2, column `a`: \"$3\" is no number as 1234.5 is, and 2 of the 2"),
        (&["12%", "9.5 %"], "line 2, column `a`: \"12%\" is no number as 1234.5 is, and 2 of the 2"),
    ];
    for (cells, expected) in cases {
        let found = refusal(column(cells));
        assert_eq!(found, format!("t.csv: {expected} cells of this column look like numbers: {right}"));
        // What the message says is right is right.
        let csv = Csv::new(column(cells));
        let settings = tables::TableSettings { categories: vec!["a".into()], ..csv.settings() };
        assert!(Table::read(&settings).is_ok(), "{cells:?}");
        let settings = tables::TableSettings { numbers: vec!["a".into()], ..csv.settings() };
        let refused = message(&Table::read(&settings).unwrap_err());
        assert!(refused.ends_with("is no finite number"), "{refused}");
        let mut settings = csv.settings();
        settings.missing_values.extend(["2l", "?"].map(str::to_owned));
        assert_eq!(Table::read(&settings).is_ok(), cells.contains(&"2l") || cells.contains(&"?"), "{cells:?}");
    }
    let texts: [&[&str]; 5] = [
        &["a1", "b2", "3", "4"],
        &["1", "x"],
        &["1", "2", "3", "a", "b"],
        &["2024-01-02", "12/5", "1-2", "1.2.3", "1, 2"],
        &["1,2,3", "4,5,6"],
    ];
    for cells in texts {
        assert!(Csv::new(column(cells)).read().is_ok(), "{cells:?}");
    }
}

#[test]
fn one_wrong_cell_makes_no_classes_of_numbers() {
    let cells: Vec<String> = (0..30).map(|at| if at == 7 { "n.a.".to_owned() } else { format!("{at}.5") }).collect();
    let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
    assert_eq!(
        refusal(target(&cells)),
        "t.csv: line 9, column `y`: \"n.a.\" is no number as 1234.5 is, and 29 of the 30 cells of this column look like numbers: \
         correct the cell, or leave the row out (a target that is named in `missing_values` is refused, too); \
         `task = \"classification\"` takes all cells for classes"
    );
    let csv = Csv::new(target(&cells));
    let settings = tables::TableSettings { task: TargetKind::Classification, ..csv.settings() };
    assert_eq!(Table::read(&settings).unwrap().classes().map(<[String]>::len), Some(30));
    assert_eq!(csv.settings().kind(), None, "nothing is taken for granted");
    // Numbers of another notation.
    assert!(refusal(target(&["1,5", "2,5", "3,5"])).contains("3 of the 3 cells"));
    // One class, written as a number in two ways.
    assert_eq!(
        refusal(target(&["0", "1", "0", "1.0"])),
        "t.csv: line 5, column `y`: `1.0` is the number that stood there as `1` before: write it in one way; or \
         `task = \"classification\"` takes them for two classes, `task = \"regression\"` for one number"
    );
    assert!(Csv::new(target(&["0.0", "1.0", "0.0"])).read().is_ok());
}

/// Ids of many digits are equal as numbers.
#[test]
fn ids_of_too_many_digits_are_no_numbers() {
    let ids: Vec<String> = (0..5_u64).map(|at| ((1 << 63) + at).to_string()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let expected = "`9223372036854775809` has more digits than a number keeps, so different ones would become equal";
    assert_eq!(
        refusal(column(&ids)),
        format!(
            "t.csv: line 3, column `a`: {expected}: name the column in `categories` for ids, or in `numbers` for numbers that \
             are rounded"
        )
    );
    let csv = Csv::new(column(&ids));
    let settings = tables::TableSettings { categories: vec!["a".into()], ..csv.settings() };
    let fitted = Preprocessing::fit(&Table::read(&settings).unwrap(), &[0, 1, 2, 3, 4], &settings.missing).unwrap();
    assert_eq!(fitted.categories[0].names.len(), 5);
    let settings = tables::TableSettings { numbers: vec!["a".into()], ..csv.settings() };
    assert!(Table::read(&settings).is_ok());
    assert_eq!(
        refusal(target(&ids)),
        format!(
            "t.csv: line 3, column `y`: {expected}: say `task = \"classification\"` for classes, or `task = \"regression\"` for \
             numbers that are rounded"
        )
    );
    let csv = Csv::new(target(&ids));
    let settings = tables::TableSettings { task: TargetKind::Regression, ..csv.settings() };
    let error = message(&Table::read(&settings).unwrap_err());
    assert!(
        error.ends_with("nothing to learn (`task = \"classification\"` tells numbers of that many digits apart)"),
        "{error}"
    );
    // Written with as many digits as are kept.
    assert!(Csv::new(column(&["1000000000000000000", "9007199254740994", "0", "-9007199254740992"])).read().is_ok());
}

#[test]
fn what_a_split_leaves_is_held_to_the_same() {
    let table = Csv::new(target(&["cat", "cat", "dog", "cow"])).read().unwrap();
    let error = Preprocessing::fit(&table, &[0, 1], &tables::Missing::default()).unwrap_err();
    assert_eq!(
        message(&error),
        "t.csv: column `y`: every one of the 2 rows of the training part is \"cat\"; a classifier needs two classes"
    );
    let fitted = Preprocessing::fit(&table, &[0, 1, 2], &tables::Missing::default()).unwrap();
    let rows = fitted.encode(table);
    assert_eq!(fitted.absent_classes(&rows.subset(&[0, 1, 2])), ["cow"]);
    assert!(fitted.absent_classes(&rows).is_empty());
    // Numbers that differ, and whose deviation is none.
    let table = Csv::new(target(&["1e-200", "3e-200", "2e-200"])).read().unwrap();
    let error = Preprocessing::fit(&table, &[0, 1, 2], &tables::Missing::default()).unwrap_err();
    assert_eq!(message(&error), "t.csv: column `y`: its numbers differ by too little to be standardised");
}

#[test]
fn one_part_of_a_number_among_classes_is_told() {
    let cells: Vec<String> = (0..60).map(|at| if at == 7 { "1.5".to_owned() } else { (at % 3).to_string() }).collect();
    let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
    let table = Csv::new(target(&cells)).read().unwrap();
    assert!(table.classes().is_none());
    assert_eq!(
        table.notes(),
        [
            "line 9, column `y`: `1.5` makes the target a number, and 59 of the 60 cells are 3 whole numbers, as classes are: say \
          `task = \"regression\"` or `task = \"classification\"`"
        ]
    );
    assert!(Csv::new(target(&["0", "1", "1.5", "2.5"])).read().unwrap().notes().is_empty());
}

#[test]
fn numbers_that_no_whole_number_holds_are_no_classes() {
    // All of them were one number once: the largest that an i64 has.
    let is_number = |cells: &[&str]| Csv::new(target(cells)).read().unwrap().classes().is_none();
    assert!(is_number(&["1e299", "2e299", "3e299"]));
    assert!(is_number(&["-1e19", "1e19"]));
    assert!(is_number(&["9007199254740992", "1"]), "from 2^53 on, not every whole number is told from the next");
    assert!(!is_number(&["9007199254740991", "1"]));
}

/// What fills a column of which nothing is known says what it holds.
#[test]
fn a_column_without_a_value_is_what_fills_it() {
    let csv = Csv::new("a,b,c,y\n1,,,0\n2,NA,,1\n");
    let mut settings = tables::TableSettings::new(&csv.path, "y");
    settings.missing.columns.insert("b".into(), Fill::Value(FillValue::Number(3.0)));
    let error = message(&Table::read(&settings).unwrap_err());
    assert!(error.starts_with("t.csv: column `c`: all 2 rows are missing"), "{error}");
    settings.missing.columns.insert("c".into(), Fill::Value(FillValue::Text("none".into())));
    let table = Table::read(&settings).unwrap();
    let fitted = Preprocessing::fit(&table, &[0, 1], &settings.missing).unwrap();
    assert_eq!((fitted.numbers[1].name.as_str(), fitted.numbers[1].fill), ("b", Some(3.0)));
    assert_eq!(
        (fitted.categories[0].name.as_str(), fitted.categories[0].names.as_slice()),
        ("c", &["none".to_owned()][..])
    );
}

#[test]
fn missing_values_are_refused_or_filled_with_what_fits() {
    let csv = Csv::new("age,city,y\n,Bern,0\n2,NA,1\n3,,0\n");
    let table = csv.read().unwrap();
    let with = |change: fn(&mut tables::Missing)| {
        let mut missing = tables::Missing::default();
        change(&mut missing);
        message(&Preprocessing::fit(&table, &[0], &missing).expect_err("refused"))
    };
    assert_eq!(
        with(|_| ()),
        "t.csv: line 2, column `age`: missing value (1 in this column); say in `missing` what fills it"
    );
    assert_eq!(
        with(|m| m.numbers = Fill::Value(FillValue::Number(0.0))),
        "t.csv: line 3, column `city`: missing value (2 in this column); say in `missing` what fills it"
    );
    assert_eq!(
        with(|m| m.numbers = Fill::Mean),
        "t.csv: column `age`: all 1 rows of the training part are missing; name it in `ignore`, or give a value in `missing`"
    );
    assert_eq!(
        with(|m| m.numbers = Fill::Value(FillValue::Text("old".into()))),
        "t.csv: column `age` holds numbers, and `missing` fills it with \"old\": allowed are \"refuse\", \"mean\", \
         \"median\", \"most_frequent\" or { value = 0.0 }"
    );
    assert_eq!(
        with(|m| {
            m.numbers = Fill::Value(FillValue::Number(0.0));
            m.columns.insert("city".into(), Fill::Median);
        }),
        "t.csv: column `city` holds categories, and `missing` fills it with \"median\": allowed are \"refuse\", \
         \"most_frequent\" or { value = \"text\" }"
    );
    let huge = Csv::new("a,y\n1e300,0\n-1e300,1\n").read().unwrap();
    let error = Preprocessing::fit(&huge, &[0, 1], &tables::Missing::default()).unwrap_err();
    assert_eq!(message(&error), "t.csv: column `a`: its numbers are too large to be standardised");
}

#[test]
fn a_new_table_has_the_columns_of_the_training_data() {
    let csv = Csv::new("age,city,note,y\n1,Bern,x,0\n2,Basel,y,1\n");
    let settings = tables::TableSettings { ignore: vec!["note".into()], ..csv.settings() };
    let fitted = Preprocessing::fit(&Table::read(&settings).unwrap(), &[0, 1], &settings.missing).unwrap();
    let refusal = |content: &str| message(&fitted.read(&Csv::new(content).path).expect_err("refused"));
    let cases = [
        ("age\n1\n", "t.csv: lacks 1 of the columns that the model was trained on: city"),
        ("y,note\n0,x\n", "t.csv: lacks 2 of the columns that the model was trained on: age, city"),
        (
            "age,citty\n1,Bern\n",
            "t.csv: line 1: column `citty` (position 2) is none that the model was trained on; did you mean `city`?",
        ),
        (
            "age,city,weight\n1,Bern,3\n",
            "t.csv: line 1: column `weight` (position 3) is none that the model was trained on",
        ),
        ("age,city,age\n1,Bern,3\n", "t.csv: line 1: column `age` stands twice, at positions 1 and 3"),
        ("age,city\n1,Bern\nold,Bern\n", "t.csv: line 3, column `age`: \"old\" is no finite number"),
        (
            "age,city\n1,Bern\n2,\n",
            "t.csv: line 3, column `city`: missing value (1 in this column); the model was trained without any, and has nothing \
             that fills it",
        ),
        ("age,city\n1\n", "t.csv: line 2: 1 cells, and the header has 2"),
        ("age,city\n", "t.csv: has a header and no row"),
        ("", "t.csv: is empty: a header line with the names of the columns is expected"),
    ];
    for (content, expected) in cases {
        assert_eq!(refusal(content), expected, "{content}");
    }
}

#[test]
fn ten_thousand_columns_take_no_longer_than_their_cells() {
    const COLUMNS: usize = 10_000;
    let names: Vec<String> = (0..COLUMNS).map(|at| format!("c{at}")).collect();
    let row = |last: &str, class: usize| {
        let mut cells: Vec<String> = (0..COLUMNS).map(|at| (at % 7 * (class + 1)).to_string()).collect();
        last.clone_into(&mut cells[COLUMNS - 1]);
        format!("{},{class}\n", cells.join(","))
    };
    let header = format!("{},y\n", names.join(","));
    let begin = Instant::now();
    let csv = Csv::new([header.clone(), row("1", 0), row("2", 1), row("3", 0)].concat());
    let table = csv.read().unwrap();
    let fitted = Preprocessing::fit(&table, &[0, 1, 2], &csv.settings().missing).unwrap();
    assert_eq!((fitted.numbers.len(), fitted.encode(table).len()), (COLUMNS, 3));
    // A column with a text in it, and its line.
    let csv = Csv::new([header, row("1", 0), row("none", 1)].concat());
    let settings = tables::TableSettings { numbers: names, ..csv.settings() };
    let error = Table::read(&settings).unwrap_err();
    assert_eq!(message(&error), "t.csv: line 3, column `c9999`: \"none\" is no finite number");
    // A message does not list ten thousand names.
    let error = Table::read(&tables::TableSettings { target: "price".into(), ..csv.settings() }).unwrap_err();
    assert!(
        message(&error).ends_with("(columns: c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11 and 9989 more)"),
        "{error}"
    );
    assert!(begin.elapsed().as_secs() < 20, "{:?}", begin.elapsed());
}
