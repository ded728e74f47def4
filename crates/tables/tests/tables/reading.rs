//! What a file holds: kinds of columns, quotes and newlines, classes.

use burn::tensor::Device;
use tables::{Preprocessing, Table, TableSettings, Target, Targets};

use crate::Csv;

fn fitted(settings: &TableSettings) -> Preprocessing {
    let table = Table::read(settings).expect("a table");
    let all: Vec<usize> = (0..table.len()).collect();
    Preprocessing::fit(&table, &all, &settings.missing).expect("fits")
}

#[test]
fn kinds_are_what_the_cells_look_like_or_what_is_said() {
    let csv = Csv::new("a,b,id,note,y\n1,x,7,?,0.5\n 2.5 ,y,8,?,1\n-3e2,x,7,?,2\n");
    let settings = TableSettings { categories: vec!["id".into()], ignore: vec!["note".into()], ..csv.settings() };
    let fitted = fitted(&settings);
    let numbers: Vec<&str> = fitted.numbers.iter().map(|column| &*column.name).collect();
    assert_eq!(numbers, ["a"]);
    let categories: Vec<(&str, &[String])> =
        fitted.categories.iter().map(|column| (&*column.name, &*column.names)).collect();
    let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(categories, [("b", &*words(&["x", "y"])), ("id", &*words(&["7", "8"]))]);
    assert!(matches!(fitted.target, Target::Number { .. }));
}

#[test]
fn codes_that_are_read_as_numbers_are_pointed_out() {
    let csv = Csv::new("zip,a,y\n8001,0.5,0\n0815,0,1\n0042,-0.25,0\n");
    let expected = "line 3, column `zip`: `0815` is read as a number: does the column belong into `categories`?";
    assert_eq!(csv.read().unwrap().notes(), [expected]);
    for said in [vec!["zip".into()], vec![]] {
        let (categories, numbers) = if said.is_empty() { (said, vec!["zip".into()]) } else { (said, vec![]) };
        let settings = TableSettings { categories, numbers, ..csv.settings() };
        assert!(Table::read(&settings).unwrap().notes().is_empty(), "it was said");
    }
}

#[test]
fn a_target_is_classes_where_it_is_texts_or_few_whole_numbers() {
    let of = |cells: &mut dyn Iterator<Item = String>| {
        let rows: Vec<String> = cells.enumerate().map(|(at, cell)| format!("{at},{cell}\n")).collect();
        Csv::new(format!("a,y\n{}", rows.concat())).read().expect("a table").classes().map(<[String]>::to_vec)
    };
    assert_eq!(of(&mut ["no", "yes", "no"].map(str::to_owned).into_iter()).unwrap(), ["no", "yes"]);
    assert_eq!(of(&mut ["10", "9", "10"].map(str::to_owned).into_iter()).unwrap(), ["9", "10"]);
    assert_eq!(of(&mut (0..40).map(|at| (at % 20).to_string())).unwrap().len(), 20);
    assert!(of(&mut (0..42).map(|at| (at % 21).to_string())).is_none());
    assert!(of(&mut ["0.5", "1"].map(str::to_owned).into_iter()).is_none());
    assert!(of(&mut ["1", "0.5"].map(str::to_owned).into_iter()).is_none());
}

#[test]
fn quotes_newlines_and_byte_order_marks_are_read() {
    let csv =
        Csv::new("\u{feff}\"a\",b,y\r\n1,\"x, \"\"quoted\"\"\nand broken\",0\r\n2,\"plain\",1\r\n\r\n3,5\" pipe,0");
    let fitted = fitted(&csv.settings());
    assert_eq!(fitted.numbers[0].name, "a");
    assert_eq!(fitted.categories[0].names, ["5\" pipe", "plain", "x, \"quoted\"\nand broken"]);
    // Lines are counted through the newline in a cell.
    let csv = Csv::new("b,a,y\n\"x\ny\",1,0\n\"z\",old,1\n");
    let settings = TableSettings { numbers: vec!["a".into()], ..csv.settings() };
    let error = Table::read(&settings).unwrap_err().to_string();
    assert!(error.ends_with("t.csv: line 4, column `a`: \"old\" is no finite number"), "{error}");
    let semicolons = Csv::new("a;y\n1,5;0\n2;1\n");
    let settings = TableSettings { delimiter: ';', categories: vec!["a".into()], ..semicolons.settings() };
    let table = Table::read(&settings).unwrap();
    assert_eq!(table.len(), 2);
}

#[test]
fn the_fingerprint_is_the_files() {
    let first = Csv::new("a,y\n1,0\n2,1\n").read().unwrap();
    assert_eq!(first.fingerprint().len(), 64);
    assert_eq!(first.fingerprint(), Csv::new("a,y\n1,0\n2,1\n").read().unwrap().fingerprint());
    assert_ne!(first.fingerprint(), Csv::new("a,y\n1,0\n3,1\n").read().unwrap().fingerprint());
}

#[test]
fn batches_are_the_rows_that_were_asked_for() {
    let csv = Csv::new("a,b,y\n1,x,0.5\n3,y,1.5\n5,z,4\n");
    let table = csv.read().unwrap();
    let fitted = Preprocessing::fit(&table, &[0, 1], &csv.settings().missing).unwrap();
    let rows = fitted.encode(table);
    let device = Device::flex();
    let batch = rows.subset(&[2, 0]).batch(&[0, 1], &device);
    // Mean 2 and deviation 1 of the first two rows; `z` is not among their categories.
    assert_eq!(batch.numbers.to_data().try_to_vec::<f32>().unwrap(), [3.0, -1.0]);
    assert_eq!(batch.categories.to_data_as::<i64>().try_to_vec::<i64>().unwrap(), [0, 1]);
    let Targets::Numbers { values, std } = batch.targets else { panic!("numbers") };
    // Mean 1 and deviation 0.5.
    assert_eq!(std, 0.5);
    assert_eq!(values.to_data().try_to_vec::<f32>().unwrap(), [6.0, -1.0]);
}
