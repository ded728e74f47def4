//! What is fitted, on the training part alone, and what it does to new tables.

use burn::tensor::{Device, Tensor};
use tables::{Fill, FillValue, Missing, Preprocessing, RowPrediction, Rows, TableSettings};

use crate::Csv;

fn numbers(rows: &Rows, count: usize) -> Vec<f32> {
    let all: Vec<usize> = (0..count).collect();
    rows.batch(&all, &Device::flex()).numbers.to_data().try_to_vec().expect("numbers")
}

fn codes(rows: &Rows, count: usize) -> Vec<i64> {
    let all: Vec<usize> = (0..count).collect();
    rows.batch(&all, &Device::flex()).categories.to_data_as::<i64>().try_to_vec().expect("codes")
}

#[test]
fn the_rows_that_are_held_out_change_nothing() {
    let fit = |held_out: &str| {
        let csv = Csv::new(format!("a,b,y\n1,x,0\n,x,1\n4,y,0\n{held_out}\n"));
        let missing = Missing { numbers: Fill::Mean, categories: Fill::MostFrequent, ..Missing::default() };
        Preprocessing::fit(&csv.read().expect("a table"), &[0, 1, 2], &missing).expect("fits")
    };
    let fitted = fit("1000,z,1");
    assert_eq!(fitted, fit("-5,w,0"));
    assert_eq!(fitted.fingerprint(), fit("-5,w,0").fingerprint());
    // Filled with the mean, 2.5, the numbers are 1, 2.5 and 4.
    let column = &fitted.numbers[0];
    assert_eq!((column.fill, column.mean, column.std), (Some(2.5), 2.5, 1.5_f64.sqrt()));
    assert_eq!(
        (&fitted.categories[0].names, fitted.categories[0].fill.as_deref()),
        (&vec!["x".into(), "y".into()], Some("x"))
    );
}

#[test]
fn every_way_to_fill_is_what_it_says() {
    let csv = Csv::new("a,b,y\n5,n,0\n1,m,1\n1,m,0\n3,n,1\n,,0\n");
    let cases = [
        (Fill::Mean, 2.5),
        (Fill::Median, 2.0),
        (Fill::MostFrequent, 1.0),
        (Fill::Value(FillValue::Number(-7.0)), -7.0),
    ];
    for (fill, expected) in cases {
        // Of two categories that are equally frequent, the first of the alphabet.
        let missing = Missing { numbers: fill, categories: Fill::MostFrequent, ..Missing::default() };
        let table = csv.read().unwrap();
        let fitted = Preprocessing::fit(&table, &[0, 1, 2, 3], &missing).unwrap();
        assert_eq!(fitted.numbers[0].fill, Some(expected));
        let standardised = ((expected - fitted.numbers[0].mean) / fitted.numbers[0].std) as f32;
        let rows = fitted.encode(table);
        assert_eq!(numbers(&rows, 5)[4], standardised);
        assert_eq!(codes(&rows, 5), [2, 1, 1, 2, 1]);
    }
    // A value of one's own is a category of its own where a training row has it.
    let missing = Missing {
        numbers: Fill::Mean,
        columns: [("b".to_owned(), Fill::Value(FillValue::Text("none".into())))].into(),
        ..Missing::default()
    };
    let table = csv.read().unwrap();
    let fitted = Preprocessing::fit(&table, &[0, 1, 4], &missing).unwrap();
    assert_eq!(fitted.categories[0].names, ["m", "n", "none"]);
    assert_eq!(codes(&fitted.encode(table), 5), [2, 1, 1, 2, 3]);
}

#[test]
fn a_constant_column_is_not_divided_by_zero() {
    let csv = Csv::new("a,y\n7,0\n7,1\n");
    let table = csv.read().unwrap();
    let fitted = Preprocessing::fit(&table, &[0, 1], &Missing::default()).unwrap();
    assert_eq!(fitted.numbers[0].std, 1.0);
    assert_eq!(numbers(&fitted.encode(table), 2), [0.0, 0.0]);
}

#[test]
fn what_was_written_reads_new_tables_as_the_training_data_was_read() {
    let csv = Csv::new("a,b,note,y\n1,x,?,0.5\n3,y,?,1.5\n5,x,?,2.5\n");
    let settings = TableSettings { ignore: vec!["note".into()], ..csv.settings() };
    let missing = Missing { numbers: Fill::Median, ..Missing::default() };
    let table = tables::Table::read(&settings).unwrap();
    let fitted = Preprocessing::fit(&table, &[0, 1, 2], &missing).unwrap();
    let back: Preprocessing = serde_json::from_str(&serde_json::to_string(&fitted).unwrap()).unwrap();
    assert_eq!(back, fitted);
    assert_eq!(back.fingerprint(), fitted.fingerprint());
    let rows = fitted.encode(table);
    // Other order, without the target, a missing number, an unknown category.
    let (new, said) = back.read(&Csv::new("b,a\nx,1\ny,3\nz,\n").path).unwrap();
    assert_eq!(numbers(&new, 3)[..2], numbers(&rows, 3)[..2]);
    assert_eq!(numbers(&new, 3)[2], 0.0);
    assert_eq!(codes(&new, 3), [1, 2, 0]);
    let unknown =
        "1 of 3 rows have a category that no training row had, such as \"z\"; the model takes them for unknown";
    assert_eq!(said, [format!("column `b`: {unknown}")]);
    // With target and ignored columns.
    let (again, said) = back.read(&csv.path).unwrap();
    assert_eq!((again.len(), said.len()), (3, 0));
}

#[test]
fn unknown_categories_are_counted_missing_ones_among_them() {
    let csv = Csv::new("b,c,y\nx,u,0\ny,v,1\n");
    let missing = Missing { categories: Fill::Value(FillValue::Text("none".into())), ..Missing::default() };
    let fitted = Preprocessing::fit(&csv.read().unwrap(), &[0, 1], &missing).unwrap();
    let (rows, said) = fitted.read(&Csv::new("b,c\nx,u\n,v\nw,u\nz,v\n").path).unwrap();
    assert_eq!(codes(&rows, 4), [1, 1, 0, 2, 0, 1, 0, 2]);
    let unknown =
        "3 of 4 rows have a category that no training row had, such as \"none\"; the model takes them for unknown";
    assert_eq!(said, [format!("column `b`: {unknown}")]);
}

#[test]
fn categories_are_in_one_order_whatever_fills_them() {
    let csv = Csv::new("b,y\n10,0\n9,1\n,0\n");
    let settings = TableSettings { categories: vec!["b".into()], ..csv.settings() };
    let table = tables::Table::read(&settings).unwrap();
    for (fill, expected) in [("-1", ["-1", "9", "10"]), ("none", ["10", "9", "none"])] {
        let missing = Missing { categories: Fill::Value(FillValue::Text(fill.into())), ..Missing::default() };
        let fitted = Preprocessing::fit(&table, &[0, 1, 2], &missing).unwrap();
        assert_eq!(fitted.categories[0].names, expected);
    }
}

#[test]
fn truths_are_in_the_words_of_the_table() {
    let classes = Csv::new("a,y\n1,cat\n2,dog\n3,cat\n").read().unwrap();
    let fitted = Preprocessing::fit(&classes, &[0, 1, 2], &Missing::default()).unwrap();
    let rows = fitted.encode(classes);
    let (cats, part) = (rows.subset(&[0, 2]), rows.subset(&[2, 1]));
    assert_eq!(fitted.truths(&part, &[0, 1]), ["cat", "dog"]);
    assert_eq!([part.number(0), part.number(1)], [3, 2]);
    assert_eq!((fitted.only_class(&cats), fitted.only_class(&part)), (Some("cat"), None));
    assert_eq!(fitted.only_class(&rows.subset(&[])), None);
    let numbers = Csv::new("a,y\n1,250.3\n2,0\n3,-1.25e-7\n4,3e20\n").read().unwrap();
    let fitted = Preprocessing::fit(&numbers, &[0, 1], &Missing::default()).unwrap();
    let rows = fitted.encode(numbers);
    assert_eq!(fitted.truths(&rows, &[0, 1, 3]), ["250.300", "0.00000", "3.00000e20"]);
    assert_eq!(fitted.only_class(&rows), None);
}

#[test]
fn predictions_are_in_the_words_of_the_table() {
    let device = Device::flex();
    let classes = Csv::new("a,y\n1,cat\n2,dog\n");
    let fitted = Preprocessing::fit(&classes.read().unwrap(), &[0, 1], &Missing::default()).unwrap();
    let predicted = fitted.predictions(Tensor::from_floats([[0.0, 0.0], [0.0, 3.0_f32.ln()]], &device)).unwrap();
    let RowPrediction::Class { class, probabilities } = &predicted[1] else { panic!("a class") };
    assert_eq!(class, "dog");
    assert!((probabilities[0] - 0.25).abs() < 1e-6 && (probabilities[1] - 0.75).abs() < 1e-6);
    assert_eq!(predicted[0], RowPrediction::Class { class: "cat".into(), probabilities: vec![0.5, 0.5] });
    let numbers = Csv::new("a,y\n1,10.5\n2,30.5\n");
    let fitted = Preprocessing::fit(&numbers.read().unwrap(), &[0, 1], &Missing::default()).unwrap();
    let predicted = fitted.predictions(Tensor::from_floats([[-1.0], [0.5]], &device)).unwrap();
    assert_eq!(predicted, [RowPrediction::Number { value: 10.5 }, RowPrediction::Number { value: 25.5 }]);
    assert_eq!(serde_json::to_string(&predicted[1]).unwrap(), r#"{"value":25.5}"#);
}

#[test]
fn ids_among_the_features_are_pointed_out() {
    let rows: Vec<String> = (0..30).map(|at| format!("n{at},{},{}\n", ["x", "y"][at % 2], at % 2)).collect();
    let table = Csv::new(format!("name,b,y\n{}", rows.concat())).read().unwrap();
    let all: Vec<usize> = (0..30).collect();
    let warnings = Preprocessing::fit(&table, &all, &Missing::default()).unwrap().warnings(30);
    assert_eq!(warnings, ["column `name` has 30 categories in 30 training rows: an id or a text to `ignore`?"]);
    let rows: Vec<String> = (0..30).map(|at| format!("{at},n{at}\n")).collect();
    let table = Csv::new(format!("a,y\n{}", rows.concat())).read().unwrap();
    let warnings = Preprocessing::fit(&table, &all, &Missing::default()).unwrap().warnings(30);
    assert_eq!(warnings, ["the target `y` has 30 classes, and there are 30 training rows: is it one?"]);
}
