//! `anneal data`, a folder of images in a config, and batches that do not depend on the number of workers.

use std::{fs, path::Path, path::PathBuf};

use crate::common::{SMALL, anneal, command, folder, parsed};
use anneal::{
    config::{Config, Document, Origin},
    experiment::Assembly,
    lr_core::Registry,
    task::ImageClassification,
    trainer::data::Source,
};
use serde_json::Value;

/// The reference MNIST, where it is at hand.
fn reference() -> Option<PathBuf> {
    let mnist = PathBuf::from(std::env::var_os("ANNEAL_DATA_DIR")?).join("mnist");
    let there = mnist.is_dir();
    if !there {
        println!("skipped: {} is not there", mnist.display());
    }
    there.then_some(mnist)
}

/// A server of the files in a folder, for as long as the test runs.
fn serve(files: PathBuf) -> String {
    use std::io::{BufRead, BufReader, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/some/folder", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let first = lines.next().unwrap().unwrap();
            lines.map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
            let name = first.split(' ').nth(1).unwrap().strip_prefix("/some/folder/").unwrap();
            let bytes = fs::read(files.join(name)).unwrap();
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", bytes.len()).unwrap();
            let _ = stream.write_all(&bytes);
        }
    });
    address
}

#[test]
fn mnist_is_fetched_verified_and_loaded() {
    let Some(mnist) = reference() else { return };
    let (dir, url) = (folder(&[]), serve(mnist));
    let ran = anneal(dir.path(), &["data", "fetch", "mnist", "--data-dir", "data", "--url", &url]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("mnist: 4 files in data/mnist: 60000 training and 10000 test images"), "{}", ran.out);
    assert!(ran.err.contains("placed data/mnist/t10k-labels-idx1-ubyte.gz"), "{}", ran.err);
    assert!(!dir.path().join("data/.fetch").exists());

    let ran = anneal(dir.path(), &["data", "fetch", "mnist", "--data-dir", "data", "--url", "http://127.0.0.1:1/"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "mnist is there already: data/mnist\n"), "{}", ran.err);

    let ran = anneal(dir.path(), &["data", "verify", "mnist", "--data-dir", "data", "--json"]);
    let row = parsed(&ran.out);
    assert_eq!((ran.code, &row["ok"], &row["train"]), (0, &Value::Bool(true), &Value::from(60_000)), "{}", ran.out);
    assert_eq!(row["files"].as_array().unwrap().len(), 4);

    // One byte, and it is named, by verify and by train.
    let file = dir.path().join("data/mnist/t10k-labels-idx1-ubyte.gz");
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(&file, bytes).unwrap();
    let ran = anneal(dir.path(), &["data", "verify", "mnist", "--data-dir", "data"]);
    assert_eq!(ran.code, 1, "{}", ran.out);
    assert!(ran.out.contains("BAD data/mnist/t10k-labels-idx1-ubyte.gz"), "{}", ran.out);
    assert_eq!(ran.out.matches("ok  data/mnist/").count(), 3, "{}", ran.out);
    assert!(ran.err.contains("data set `mnist` is not as it should be: data/mnist/t10k-labels"), "{}", ran.err);
}

#[test]
fn without_a_network_it_says_what_to_put_where() {
    let dir = folder(&[]);
    let ran = anneal(dir.path(), &["data", "fetch", "cifar100", "--data-dir", "data", "--url", "http://127.0.0.1:1/"]);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{}", ran.err);
    for expected in [
        "http://127.0.0.1:1/cifar-100-binary.tar.gz",
        "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz (168513733 bytes)",
        "MD5 03b5dce01913d631647c71ecec9e9cb8",
        "data/cifar100/train.bin\n  data/cifar100/test.bin",
    ] {
        assert!(ran.err.contains(expected), "{}\nlacks: {expected}", ran.err);
    }
    assert_eq!(fs::read_dir(dir.path().join("data")).map_or(0, Iterator::count), 0, "nothing is left");
    let mut command = command(dir.path());
    command.args(["data", "fetch", "mnist", "--data-dir", "data", "--url", "http://example.invalid/"]);
    let said = crate::common::ran(
        &command.env("http_proxy", "http://u:pw@127.0.0.1:1").env_remove("no_proxy").output().expect("ends"),
    );
    assert!(said.err.contains("through the proxy http://127.0.0.1:1: Connection Failed"), "{}", said.err);
    // Whatever is not an address or a path fits a terminal.
    let wide = said.err.lines().find(|line| line.chars().count() > 80);
    assert_eq!(wide, None, "{}", said.err);
}

#[test]
fn what_cannot_be_fetched_or_verified() {
    let dir = folder(&[]);
    for (args, code, expected) in [
        (&["data", "fetch", "digits"][..], 0, "digits is part of the program"),
        (&["data", "verify", "digits"], 0, "digits: 1437 training and 360 test images of 1x8x8, 10 classes"),
        (&["data", "fetch", "minst"], 2, "did you mean `mnist`?"),
        (&["data", "verify", "minst"], 2, "did you mean `mnist`?"),
        (&["data", "fetch", "text"], 2, "there is nothing to fetch"),
        (&["data", "verify", "table"], 2, "nothing to fetch or to verify"),
        (&["data", "fetch", "cifar10-part"], 2, "fetch `cifar10`"),
        (&["data", "fetch", "mnist", "--url", "user:secret@host/x"], 1, "  host/x/"),
        (&["data", "verify", "mnist"], 1, "its files were not found"),
        (&["data", "verify", "mnist"], 1, "To fetch it: anneal data fetch mnist"),
        (&["train", "--set", "data.dataset=cifar10"], 1, "To fetch it: anneal data fetch cifar10"),
        (&["data", "verify", "table"], 2, "`table` reads or makes its data by itself"),
        (&["data", "verify", "folder:nowhere"], 1, "nowhere: has no folder `train`"),
        (&["data"], 2, "Usage"),
        (&["data", "fetch"], 2, "NAME"),
    ] {
        let ran = anneal(dir.path(), args);
        assert_eq!(ran.code, code, "{args:?}: {}{}", ran.out, ran.err);
        assert!(format!("{}{}", ran.out, ran.err).contains(expected), "{args:?}: {}{}", ran.out, ran.err);
        assert!(!ran.err.contains("secret"), "{args:?}: {}", ran.err);
    }
}

/// A square grey PNG of one shade, byte by byte: no encoder is at hand here.
pub(crate) fn png(side: u8, grey: u8) -> Vec<u8> {
    let chunk = |kind: &[u8], body: &[u8]| {
        let mut crc = u32::MAX;
        for byte in kind.iter().chain(body) {
            crc ^= u32::from(*byte);
            (0..8).for_each(|_| crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 });
        }
        [&(body.len() as u32).to_be_bytes()[..], kind, body, &(!crc).to_be_bytes()].concat()
    };
    let rows: Vec<u8> = (0..side).flat_map(|_| [vec![0], vec![grey; usize::from(side)]].concat()).collect();
    let (mut a, mut b) = (1_u32, 0_u32);
    for byte in &rows {
        a = (a + u32::from(*byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    // One stored block of deflate.
    let length = rows.len() as u16;
    let [(low, high), (not_low, not_high)] = [length, !length].map(|n| (n as u8, (n >> 8) as u8));
    let head = [0x78, 1, 1, low, high, not_low, not_high];
    let stored = [&head[..], &rows, &(b << 16 | a).to_be_bytes()].concat();
    let header = [0, 0, 0, side, 0, 0, 0, side, 8, 0, 0, 0, 0];
    [&b"\x89PNG\r\n\x1a\n"[..], &chunk(b"IHDR", &header), &chunk(b"IDAT", &stored), &chunk(b"IEND", b"")].concat()
}

/// Twenty grey images of two classes, dark and light, in `root/train`.
fn images(root: &Path) {
    for (class, base) in [("dark", 0), ("light", 200)] {
        let folder = root.join("train").join(class);
        fs::create_dir_all(&folder).unwrap();
        for index in 0..10 {
            fs::write(folder.join(format!("{index}.png")), png(4, base + index)).unwrap();
        }
    }
}

#[test]
fn a_folder_of_images_is_trained_on() {
    let config =
        format!("{SMALL}[data]\ndataset = 'folder'\npath = 'flowers'\nimage_size = 8\ngrey = true\nbatch_size = 4\n");
    let dir = folder(&[("small.toml", &config)]);
    images(&dir.path().join("flowers"));
    let ran = anneal(dir.path(), &["train", "small.toml", "--out", "run", "--quiet"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let resolved = fs::read_to_string(dir.path().join("run/config.toml")).unwrap();
    let path = format!("path = \"{}\"", dir.path().join("flowers").display());
    for line in ["dataset = \"folder\"", path.as_str(), "image_size = 8", "grey = true", "test = 0.2"] {
        assert!(resolved.contains(line), "{resolved}\nlacks: {line}");
    }
    // The resolved config names the same run.
    fs::copy(dir.path().join("run/config.toml"), dir.path().join("again.toml")).unwrap();
    let again = anneal(dir.path(), &["train", "again.toml", "--out", "again", "--quiet"]);
    assert_eq!(again.code, 0, "{}", again.err);
    // It is read from anywhere; where the images have moved, the flag says where to.
    let elsewhere = folder(&[]);
    let run = dir.path().join("run").display().to_string();
    assert_eq!(anneal(elsewhere.path(), &["evaluate", &run]).code, 0);
    fs::create_dir(elsewhere.path().join("data")).unwrap();
    fs::rename(dir.path().join("flowers"), elsewhere.path().join("data/flowers")).unwrap();
    assert_eq!(anneal(elsewhere.path(), &["evaluate", &run]).code, 1);
    let called = || parsed(&fs::read_to_string(dir.path().join("run/summary.json")).unwrap())["dataset"].clone();
    assert_eq!(called(), "folder:flowers");
    for verb in [&["evaluate"][..], &["resume", "--epochs", "4"], &["export"]] {
        let ran = anneal(elsewhere.path(), &[verb, &[&run, "--data-dir", "data"]].concat());
        assert_eq!(ran.code, 0, "{verb:?}: {}", ran.err);
    }
    assert_eq!(called(), "folder:flowers", "the same name after the resume");
    fs::rename(elsewhere.path().join("data/flowers"), dir.path().join("flowers")).unwrap();
    // Its short form, and what it may not have.
    let ran = anneal(dir.path(), &["data", "verify", "folder:flowers"]);
    assert!(ran.out.contains("folder:flowers: 16 training and 4 test images of 3x32x32, 2 classes"), "{}", ran.out);
    for (set, expected) in [
        ("data.path=other", "other: has no folder `train`"),
        ("data.image_size=2000", "data.image_size: 2000 is not allowed here; allowed: at most 1024 pixels"),
        ("data.test=1", "data.test: 1 is not allowed here; allowed: a part of more than 0 and below 1"),
        ("data.gray=true", "data.gray: unknown field; did you mean `grey`?"),
        ("data.dataset=digits", "data.path: unknown field"),
    ] {
        let ran = anneal(dir.path(), &["train", "small.toml", "--set", set, "--out", "no"]);
        assert!(ran.code == 2 || set == "data.path=other", "{set}: {}", ran.err);
        assert!(ran.err.contains(expected), "{set}: {}\nlacks: {expected}", ran.err);
    }
}

#[test]
fn batches_do_not_depend_on_the_number_of_workers() {
    let config = |workers: usize| {
        let text =
            format!("{SMALL}[data]\naugment = 'shear+scale+rotate+shift+crop+flip+cutout'\nworkers = {workers}\n");
        let document = Document::parse(Origin::BuiltIn("a test"), text).expect("TOML");
        Config::from_document(&document, &Registry::standard()).expect("a config")
    };
    let pixels = |workers: usize, epoch: u64| -> Vec<f32> {
        let config = config(workers);
        let assembly = Assembly::new(&config).expect("assembled");
        let images = assembly.data::<ImageClassification>().expect("images");
        let loader = images.train_loader(assembly.device()).expect("a loader");
        loader
            .epoch(epoch, 3)
            .take(6)
            .flat_map(|batch| batch.expect("a batch").input.images.into_data().try_to_vec::<f32>().expect("f32"))
            .collect()
    };
    let alone = pixels(0, 1);
    assert_ne!(alone, pixels(0, 2), "another epoch is augmented differently");
    for workers in [1, 2, 5] {
        assert!(alone == pixels(workers, 1), "{workers} workers");
    }
}

#[test]
fn models_are_listed_with_their_layers() {
    let dir = folder(&[]);
    let ran = anneal(dir.path(), &["list", "models", "--json"]);
    let rows = parsed(&ran.out);
    for (name, parameters) in [("lenet", 108_638), ("resnet9", 6_573_120), ("resnet18", 11_173_962)] {
        let row = rows.as_array().unwrap().iter().find(|row| row["name"] == name).expect("listed");
        assert_eq!(row["parameters"], parameters, "{name}");
        let of_layers: u64 = row["layers"].as_array().unwrap().iter().filter_map(|l| l["parameters"].as_u64()).sum();
        assert_eq!(of_layers, parameters);
    }
    let one = anneal(dir.path(), &["list", "models", "--model", "mlp", "--dataset", "cifar100"]);
    assert!(one.out.contains("3x32x32, 100 classes") && !one.out.contains("lenet"), "{}", one.out);
    let table = anneal(dir.path(), &["list", "models", "resnet9"]).out;
    assert!(table.lines().any(|line| line.trim_start().starts_with("layer3.residual.res2.conv")), "{table}");
    assert_eq!(anneal(dir.path(), &["list", "models", "--model", "lenett"]).code, 2);
}
