//! Fetching, against a server of our own: whole, resumed, broken off, wrong, refused, absent, and a disk that is full.
//! Whatever happens, the data set's folder holds whole and checked files or nothing.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, unreachable_pub, reason = "tests may fail loudly")]

mod common;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::{Serve, Server, nobody};
use flate2::{Compression, write::GzEncoder};
use vision::fetch::{Event, FetchError, FetchOptions, Fetched, fetch, fetch_set};
use vision::{DataFile, DatasetInfo, Download, ImageShape, Packing};

fn leak(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

fn sha256(bytes: &[u8]) -> &'static str {
    leak(common::sha256(bytes))
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// Bytes that do not pack well, so that a packed file is large enough to break off in.
fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed;
    let step = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..bytes).map(step).collect()
}

/// A data set of made-up files, and what a server has of it.
struct Made {
    info: DatasetInfo,
    /// Content by name of the data file.
    contents: Vec<(&'static str, Vec<u8>)>,
    /// Bytes by name of the download.
    served: Vec<(&'static str, Vec<u8>)>,
}

fn made(contents: Vec<(&'static str, Vec<u8>)>, downloads: Vec<(Packing, &'static str, Vec<u8>)>) -> Made {
    let files: Vec<DataFile> =
        contents.iter().map(|(name, content)| DataFile { name, bytes: content.len() as u64, sha256: None }).collect();
    let table: Vec<Download> = downloads
        .iter()
        .map(|(packing, file, bytes)| Download {
            file,
            mirrors: &[],
            bytes: bytes.len() as u64,
            md5: "not looked at",
            sha256: sha256(bytes),
            packing: *packing,
        })
        .collect();
    let info = DatasetInfo {
        name: "made",
        summary: "made up",
        shape: ImageShape::new(1, 1, 1),
        classes: &["0", "1"],
        train: 1,
        test: 1,
        origin: "this test",
        part: None,
        folder: "made",
        files: Box::leak(files.into_boxed_slice()),
        downloads: Box::leak(table.into_boxed_slice()),
    };
    Made { info, contents, served: downloads.into_iter().map(|(_, name, bytes)| (name, bytes)).collect() }
}

/// Two gzip files, as MNIST comes.
fn as_mnist() -> Made {
    let contents = vec![("images", noise(1, 300_000)), ("labels", noise(2, 5_000))];
    let downloads =
        vec![(Packing::Gzip, "images.gz", gzip(&contents[0].1)), (Packing::Gzip, "labels.gz", gzip(&contents[1].1))];
    made(contents, downloads)
}

/// An archive, as CIFAR comes: with a folder, other files, and a path that would lead out of it.
fn as_cifar() -> Made {
    let contents = vec![("train.bin", noise(3, 200_000)), ("test.bin", noise(4, 50_000))];
    let mut archive = tar::Builder::new(Vec::new());
    let mut append = |path: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_ustar();
        // `set_path` refuses `..`, so the name is written as it is.
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_entry_type(tar::EntryType::Regular);
        header.set_cksum();
        archive.append(&header, bytes).unwrap();
    };
    append("made-bin/readme.html", b"not wanted");
    append("made-bin/test.bin", &contents[1].1);
    append("elsewhere/train.bin", b"another");
    append("../../escaped", b"out of the folder");
    append("made-bin/train.bin", &contents[0].1);
    let packed = gzip(&archive.into_inner().unwrap());
    made(contents, vec![(Packing::TarGzip { folder: "made-bin" }, "made.tar.gz", packed)])
}

fn serve_well(server: &Server, made: &Made) {
    for (name, bytes) in &made.served {
        server.put(name, Serve::Well(bytes.clone()));
    }
}

fn run(made: &Made, data: &Path, base: &str) -> Result<Fetched, FetchError> {
    fetch_set(&made.info, data, &from(base), &mut |_| ())
}

fn from(base: &str) -> FetchOptions {
    FetchOptions { base: Some(base.to_owned()), ..FetchOptions::default() }
}

/// Every file below a folder, with its length.
fn below(folder: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else { return found };
    for entry in entries {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(below(&entry.path()));
        } else {
            found.push((entry.path(), entry.metadata().unwrap().len()));
        }
    }
    found.sort();
    found
}

/// That the folder of the data set holds no file but whole ones.
fn nothing_half_done(made: &Made, data: &Path) {
    for (path, length) in below(&data.join("made")) {
        let name = path.file_name().unwrap().to_str().unwrap();
        if name == "contents.sha256" {
            continue;
        }
        let of_content = made.contents.iter().find(|(content, _)| *content == name).map(|(_, bytes)| bytes.len());
        let of_download = made.served.iter().find(|(served, _)| *served == name).map(|(_, bytes)| bytes.len());
        assert_eq!(Some(length as usize), of_content.or(of_download), "{}", path.display());
    }
}

fn all_there(made: &Made, data: &Path) {
    for (name, content) in &made.contents {
        let plain = data.join("made").join(name);
        let path = if plain.exists() { plain } else { data.join("made").join(format!("{name}.gz")) };
        assert_eq!(&vision::read::content(&path, content.len() as u64).unwrap(), content, "{name}");
    }
    assert!(!data.join(".fetch").exists(), "what was staged is gone: {:?}", below(data));
}

fn attempts(error: FetchError) -> String {
    let FetchError::NotFetched(failed) = error else { panic!("{error}") };
    failed.to_string()
}

#[test]
fn whole() {
    for made in [as_mnist(), as_cifar()] {
        let (server, data) = (Server::start(), tempfile::tempdir().unwrap());
        serve_well(&server, &made);
        let mut placed = Vec::new();
        let fetched = fetch_set(&made.info, data.path(), &from(&server.base()), &mut |event| {
            if let Event::Placed(path) = event {
                placed.push(path.to_owned());
            }
        });
        let folder = data.path().join("made");
        assert_eq!(fetched.unwrap(), Fetched::Placed { folder: folder.clone(), files: placed.clone() });
        assert_eq!(placed.len(), 2);
        all_there(&made, data.path());
        // The sums of the contents are recorded, and nothing else is there.
        let recorded = fs::read_to_string(folder.join("contents.sha256")).unwrap();
        for (name, content) in &made.contents {
            assert!(recorded.contains(&format!("{}  {name}\n", sha256(content))), "{recorded}");
        }
        assert_eq!(below(data.path()).len(), 3);
        assert!(!data.path().parent().unwrap().join("escaped").exists());
        // Once more: nothing is asked for.
        server.seen();
        assert_eq!(run(&made, data.path(), &server.base()).unwrap(), Fetched::AlreadyThere(folder));
        assert_eq!(server.seen(), [""; 0]);
    }
}

#[test]
fn files_that_are_there_are_kept_and_the_others_fetched() {
    let (made, server, data) = (as_mnist(), Server::start(), tempfile::tempdir().unwrap());
    serve_well(&server, &made);
    fs::create_dir(data.path().join("made")).unwrap();
    fs::write(data.path().join("made/images"), &made.contents[0].1).unwrap();
    run(&made, data.path(), &server.base()).unwrap();
    assert_eq!(server.seen(), ["labels.gz"]);
    all_there(&made, data.path());
}

#[test]
fn a_server_that_breaks_off_is_asked_for_the_rest() {
    for made in [as_mnist(), as_cifar()] {
        let (server, data) = (Server::start(), tempfile::tempdir().unwrap());
        serve_well(&server, &made);
        let (name, bytes) = &made.served[0];
        server.put(name, Serve::BreaksOff(bytes.clone(), 100_000));
        run(&made, data.path(), &server.base()).unwrap();
        all_there(&made, data.path());
        assert_eq!(
            server.seen()[..3],
            [name.to_string(), format!("{name} from 100000"), format!("{name} from 200000")]
        );
    }
}

#[test]
fn a_fetch_that_was_cut_off_goes_on_where_it_was() {
    let (made, server, data) = (as_mnist(), Server::start(), tempfile::tempdir().unwrap());
    let (name, bytes) = &made.served[0];
    // The part that a killed fetch leaves behind, lock and all.
    fs::create_dir_all(data.path().join(".fetch/made")).unwrap();
    fs::write(data.path().join(".fetch/made/lock"), "").unwrap();
    fs::write(data.path().join(format!(".fetch/made/{name}.part")), &bytes[..123_456]).unwrap();
    serve_well(&server, &made);
    let mut begun = Vec::new();
    fetch_set(&made.info, data.path(), &from(&server.base()), &mut |event| {
        if let Event::Begins { from, .. } = event {
            begun.push(from);
        }
    })
    .unwrap();
    assert_eq!(begun, [123_456, 0]);
    assert_eq!(server.seen(), ["images.gz from 123456", "labels.gz"]);
    all_there(&made, data.path());
}

#[test]
fn a_part_of_something_else_is_noticed_and_fetched_again() {
    for left in [noise(9, 1_000), noise(9, 10_000_000)] {
        let (made, server, data) = (as_mnist(), Server::start(), tempfile::tempdir().unwrap());
        fs::create_dir_all(data.path().join(".fetch/made")).unwrap();
        fs::write(data.path().join(".fetch/made/images.gz.part"), left).unwrap();
        serve_well(&server, &made);
        run(&made, data.path(), &server.base()).unwrap();
        all_there(&made, data.path());
    }
    // A part of the right length, but damaged: no byte is asked for before that is seen.
    let (made, server, data) = (as_mnist(), Server::start(), tempfile::tempdir().unwrap());
    let mut damaged = made.served[0].1.clone();
    damaged[1_000] ^= 1;
    fs::create_dir_all(data.path().join(".fetch/made")).unwrap();
    fs::write(data.path().join(".fetch/made/images.gz.part"), damaged).unwrap();
    serve_well(&server, &made);
    run(&made, data.path(), &server.base()).unwrap();
    assert_eq!(server.seen(), ["images.gz", "labels.gz"]);
    all_there(&made, data.path());
}

#[test]
fn a_server_without_ranges_sends_all_of_it_again() {
    let (made, server, data) = (as_mnist(), Server::start(), tempfile::tempdir().unwrap());
    let (name, bytes) = &made.served[0];
    fs::create_dir_all(data.path().join(".fetch/made")).unwrap();
    fs::write(data.path().join(format!(".fetch/made/{name}.part")), &bytes[..50_000]).unwrap();
    serve_well(&server, &made);
    server.put(name, Serve::WithoutRanges(bytes.clone()));
    run(&made, data.path(), &server.base()).unwrap();
    assert_eq!(server.seen()[0], "images.gz from 50000");
    all_there(&made, data.path());
}

#[test]
fn a_server_that_does_not_say_how_long_a_file_is() {
    let (made, server, data) = (as_mnist(), Server::start(), tempfile::tempdir().unwrap());
    serve_well(&server, &made);
    let (name, bytes) = &made.served[0];
    server.put(name, Serve::WithoutLength(bytes.clone()));
    run(&made, data.path(), &server.base()).unwrap();
    all_there(&made, data.path());
    // Its answer cannot be told from one that was cut off, but for its length.
    let (made, data) = (as_mnist(), tempfile::tempdir().unwrap());
    server.put(name, Serve::WithoutLength(bytes[..200_000].to_vec()));
    let message = attempts(run(&made, data.path(), &server.base()).unwrap_err());
    assert!(message.contains(&format!("broke off after 200000 of {} bytes", bytes.len())), "{message}");
    nothing_half_done(&made, data.path());
}

#[test]
fn what_a_server_may_do_wrong() {
    let good = as_mnist().served[0].1.clone();
    let mut other = good.clone();
    *other.last_mut().unwrap() ^= 1;
    let longer = [good.clone(), vec![0; 5]].concat();
    let cases = [
        ("another content", Serve::Well(other.clone()), format!("SHA-256 of what it sends is {}", sha256(&other))),
        ("too long, and says so", Serve::Well(longer.clone()), format!("has a file of {} bytes", longer.len())),
        ("too long, unsaid", Serve::WithoutLength(longer), format!("sends more than the {} bytes", good.len())),
        ("too short", Serve::Well(good[..9_999].to_vec()), "has a file of 9999 bytes".to_owned()),
        (
            "always breaks off",
            Serve::WithoutRangesBreaksOff(good.clone(), 70_000),
            "broke off after 70000 of".to_owned(),
        ),
        ("not there", Serve::Status(404), "HTTP 404".to_owned()),
        ("not willing", Serve::Status(503), "HTTP 503".to_owned()),
        ("nothing", Serve::Status(204), "HTTP 204".to_owned()),
    ];
    for (name, serve, expected) in cases {
        let (made, server, data) = (as_mnist(), Server::start(), tempfile::tempdir().unwrap());
        serve_well(&server, &made);
        server.put("images.gz", serve);
        let message = attempts(run(&made, data.path(), &server.base()).unwrap_err());
        assert!(message.contains(&expected), "{name}: {message}\nlacks: {expected}");
        // What to put where is in the message.
        for told in ["images.gz", sha256(&good), &data.path().join("made/labels.gz").display().to_string()] {
            assert!(message.contains(told), "{name}: {message}\nlacks: {told}");
        }
        nothing_half_done(&made, data.path());
        assert!(!data.path().join("made/images.gz").exists(), "{name}");
        // When the server is well again, so is the fetch.
        server.put("images.gz", Serve::Well(good.clone()));
        run(&made, data.path(), &server.base()).unwrap();
        all_there(&made, data.path());
    }
}

#[test]
fn a_range_that_was_not_asked_for_is_not_taken() {
    let (made, server, data) = (as_mnist(), Server::start(), tempfile::tempdir().unwrap());
    let (name, bytes) = &made.served[0];
    fs::create_dir_all(data.path().join(".fetch/made")).unwrap();
    fs::write(data.path().join(format!(".fetch/made/{name}.part")), &bytes[..50_000]).unwrap();
    server.put(name, Serve::WrongRange(bytes.clone()));
    let message = attempts(run(&made, data.path(), &server.base()).unwrap_err());
    assert!(message.contains("where bytes from 50000 on were asked for"), "{message}");
    assert_eq!(fs::read(data.path().join(format!(".fetch/made/{name}.part"))).unwrap(), bytes[..50_000]);
}

#[test]
fn nobody_listens_and_then_the_next_mirror_does() {
    let (made, data) = (as_mnist(), tempfile::tempdir().unwrap());
    let message = attempts(run(&made, data.path(), &nobody()).unwrap_err());
    assert!(message.contains("refused"), "{message}");
    assert_eq!(fs::read_dir(data.path()).unwrap().count(), 0, "no folder, no empty file: {:?}", below(data.path()));

    let server = Server::start();
    serve_well(&server, &made);
    let mirrors: &'static [&'static str] = Box::leak(Box::new([leak(nobody()), leak(server.base())]));
    let downloads: Vec<Download> =
        made.info.downloads.iter().map(|download| Download { mirrors, ..*download }).collect();
    let info = DatasetInfo { downloads: Box::leak(downloads.into_boxed_slice()), ..made.info.clone() };
    let mut failed = 0;
    let fetched = fetch_set(&info, data.path(), &FetchOptions::default(), &mut |event| {
        failed += usize::from(matches!(event, Event::Failed { .. }));
    });
    assert!(matches!(fetched.unwrap(), Fetched::Placed { .. }));
    assert_eq!(failed, 2, "one for each file");
    all_there(&made, data.path());
}

#[test]
fn a_file_in_the_way_is_left_alone() {
    let (made, server, data) = (as_mnist(), Server::start(), tempfile::tempdir().unwrap());
    serve_well(&server, &made);
    fs::create_dir(data.path().join("made")).unwrap();
    fs::write(data.path().join("made/images"), "mine").unwrap();
    let error = run(&made, data.path(), &server.base()).unwrap_err();
    assert!(matches!(error, FetchError::InTheWay(_)), "{error}");
    assert!(error.to_string().contains("made/images: 4 bytes of content, expected 300000"), "{error}");
    assert_eq!(fs::read(data.path().join("made/images")).unwrap(), b"mine");
    assert_eq!(server.seen(), [""; 0]);
}

#[test]
fn an_archive_that_lacks_a_file_places_none() {
    let (good, server, data) = (as_cifar(), Server::start(), tempfile::tempdir().unwrap());
    let mut contents = good.contents.clone();
    contents.push(("third.bin", noise(5, 10)));
    let packing = Packing::TarGzip { folder: "made-bin" };
    let made = made(contents, vec![(packing, "made.tar.gz", good.served[0].1.clone())]);
    serve_well(&server, &made);
    let error = run(&made, data.path(), &server.base()).unwrap_err().to_string();
    assert!(error.ends_with("lacks made-bin/third.bin"), "{error}");
    assert_eq!(below(&data.path().join("made")), []);
}

#[test]
fn two_fetches_do_not_meet() {
    let (made, server, data) = (as_mnist(), Server::start(), tempfile::tempdir().unwrap());
    serve_well(&server, &made);
    let mut other = None;
    fetch_set(&made.info, data.path(), &from(&server.base()), &mut |event| {
        if matches!(event, Event::Begins { .. }) && other.is_none() {
            other = Some(run(&made, data.path(), &server.base()));
        }
    })
    .unwrap();
    assert!(matches!(other, Some(Err(FetchError::Busy { .. }))), "{other:?}");
    all_there(&made, data.path());
}

/// A link in the place of a file that a fetch writes: what it leads to is another program's.
#[cfg(unix)]
#[test]
fn links_are_not_written_through() {
    for (made, name) in [
        (as_mnist(), ".fetch/made/images.gz.part"),
        (as_mnist(), ".fetch/made/lock"),
        (as_mnist(), "made/contents.sha256.new"),
        (as_cifar(), ".fetch/made/train.bin"),
    ] {
        let (server, data) = (Server::start(), tempfile::tempdir().unwrap());
        serve_well(&server, &made);
        let (link, target) = (data.path().join(name), data.path().join("thesis.tex"));
        fs::write(&target, "mine").unwrap();
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let error = run(&made, data.path(), &server.base()).unwrap_err();
        assert!(matches!(error, FetchError::Disk { .. }), "{name}: {error}");
        assert!(error.to_string().contains("is a link or no plain file; move it away"), "{name}: {error}");
        assert_eq!(fs::read(&target).unwrap(), b"mine", "{name}");
        fs::remove_file(&link).unwrap();
        nothing_half_done(&made, data.path());
        run(&made, data.path(), &server.base()).unwrap();
        all_there(&made, data.path());
    }
}

/// What is in the folder of unfinished downloads and is not of a fetch stays.
#[test]
fn only_what_a_fetch_wrote_is_removed() {
    let (made, server, data) = (as_mnist(), Server::start(), tempfile::tempdir().unwrap());
    serve_well(&server, &made);
    let mine = data.path().join(".fetch/made/mine.txt");
    fs::create_dir_all(mine.parent().unwrap()).unwrap();
    fs::write(&mine, "mine").unwrap();
    run(&made, data.path(), &server.base()).unwrap();
    assert_eq!(below(&data.path().join(".fetch")), [(mine, 4)]);
}

/// Where an answer redirects to, and what comes of it.
#[test]
fn redirects_lead_to_web_addresses_alone() {
    let (made, data) = (as_mnist(), tempfile::tempdir().unwrap());
    let (server, other) = (Server::start(), Server::start());
    serve_well(&other, &made);
    server.put("labels.gz", Serve::Redirect(format!("{}labels.gz", other.base())));
    let secret = data.path().join("secret");
    fs::write(&secret, "secret").unwrap();
    for (to, expected) in [
        (format!("file://{}", secret.display()), "files are fetched over http and https, not file"),
        ("file:///etc/passwd".to_owned(), "files are fetched over http and https, not file"),
        ("ftp://host/images.gz".to_owned(), "files are fetched over http and https, not ftp"),
        ("http:///".to_owned(), "leads to http:///: empty host"),
        ("images.gz".to_owned(), "leads to another address more than 5 times"),
        // No header that can be read: there is nowhere to go.
        ("http://user:pw@\u{7f}/".to_owned(), "HTTP 302 Found"),
    ] {
        server.put("images.gz", Serve::Redirect(to.clone()));
        let message = attempts(run(&made, data.path(), &server.base()).unwrap_err());
        assert!(message.contains(expected), "{to}: {message}");
        assert!(!message.contains("pw"), "{message}");
    }
    // Absolute to another server, and relative to this one.
    server.put("images.gz", Serve::Redirect("elsewhere.gz".to_owned()));
    server.put("elsewhere.gz", Serve::Redirect(format!("{}images.gz", other.base())));
    run(&made, data.path(), &server.base()).unwrap();
    all_there(&made, data.path());
}

/// A server that keeps a fetch busy without getting it further is given up after a few requests.
#[test]
fn requests_without_progress_come_to_an_end() {
    let made = as_mnist();
    let (name, bytes) = made.served[0].clone();
    for (case, serve) in [
        ("a part, then 416", Serve::PartThenRefused(bytes.clone(), 100_000)),
        ("a byte for each connection", Serve::BreaksOff(bytes.clone(), 1)),
        ("nothing but closed connections", Serve::BreaksOff(bytes, 0)),
    ] {
        let (server, data) = (Server::start(), tempfile::tempdir().unwrap());
        server.put(name, serve);
        let began = Instant::now();
        attempts(run(&made, data.path(), &server.base()).unwrap_err());
        let requests = server.seen().len();
        assert!(requests <= 12, "{case}: {requests} requests");
        assert!(began.elapsed() < Duration::from_secs(20), "{case}: {:?}", began.elapsed());
    }
}

/// One byte at a time, of the head or of the body: the speed and the time both end it.
#[test]
fn a_server_that_never_comes_to_an_end() {
    let made = as_mnist();
    let (name, bytes) = made.served[0].clone();
    let second = Duration::from_secs(1);
    let slow = FetchOptions { speed_time: second, ..FetchOptions::default() };
    let short = FetchOptions { max_time: second, min_speed: 0, ..FetchOptions::default() };
    for (serve, options, expected) in [
        (Serve::Drips(bytes.clone()), slow.clone(), "less than 1024 a second"),
        (Serve::DripsHead, slow, "less than 1024 a second"),
        (Serve::Drips(bytes), short.clone(), "takes longer than the fetch may: 1s"),
        (Serve::DripsHead, short, "takes longer than the fetch may: 1s"),
    ] {
        let (server, data) = (Server::start(), tempfile::tempdir().unwrap());
        server.put(name, serve);
        let began = Instant::now();
        let options = FetchOptions { base: Some(server.base()), ..options };
        let message = attempts(fetch_set(&made.info, data.path(), &options, &mut |_| ()).unwrap_err());
        assert!(message.contains(expected), "{message}");
        assert!(began.elapsed() < 5 * second, "{expected}: {:?}", began.elapsed());
    }
}

#[test]
fn what_a_server_says_and_what_the_address_hides() {
    let (made, server, data) = (as_mnist(), Server::start(), tempfile::tempdir().unwrap());
    server.put("images.gz", Serve::Says("HTTP/1.1 503 \x1b[31mred\x07".to_owned()));
    let base = server.base().replace("http://", "http://user:secret@");
    let mut said = Vec::new();
    let failed = fetch_set(&made.info, data.path(), &from(&base), &mut |event| said.push(format!("{event:?}")));
    let message = attempts(failed.unwrap_err());
    assert!(message.contains("HTTP 503 \u{fffd}[31mred\u{fffd}"), "{message:?}");
    for text in said.iter().chain([&message]) {
        assert!(!text.contains("secret") && !text.contains('\x1b'), "{text:?}");
    }
}

/// On a file system of its own that is too small: while the archive arrives, and while it is unpacked.
#[cfg(target_os = "linux")]
#[test]
fn a_small_disk() {
    let made = as_cifar();
    let server = Server::start();
    serve_well(&server, &made);
    let archive = made.served[0].1.len();
    for kib in [archive / 2 / 1024, (archive + 100_000) / 1024] {
        let data = tempfile::tempdir().unwrap();
        let mount = |size: &str| {
            let target = data.path().display().to_string();
            let run = std::process::Command::new("mount").args(["-t", "tmpfs", "-o", size, "tmpfs", &target]).output();
            run.is_ok_and(|run| run.status.success())
        };
        if !mount(&format!("size={kib}k")) {
            println!("skipped: no file system can be mounted here");
            return;
        }
        let result = run(&made, data.path(), &server.base());
        let left = below(&data.path().join("made"));
        let unmounted = std::process::Command::new("umount").arg(data.path()).status().unwrap();
        assert!(unmounted.success());
        let error = result.unwrap_err().to_string();
        assert!(error.contains("No space left on device"), "{kib} KiB: {error}");
        assert_eq!(left, [], "{kib} KiB");
    }
}

#[test]
fn a_folder_that_cannot_be_made() {
    let (made, data) = (as_mnist(), tempfile::tempdir().unwrap());
    let file = data.path().join("file");
    fs::write(&file, "").unwrap();
    let error = run(&made, &file, "http://127.0.0.1:1/").unwrap_err();
    assert!(matches!(error, FetchError::Disk { .. }), "{error}");
}

#[test]
fn what_there_is_nothing_to_fetch_of() {
    let data = tempfile::tempdir().unwrap();
    let of = |name| fetch(name, data.path(), &from("http://127.0.0.1:1/"), &mut |_| ());
    assert_eq!(of("digits").unwrap(), Fetched::Embedded);
    assert_eq!(
        of("cifar10-part").unwrap_err().to_string(),
        "`cifar10-part` is a part of `cifar10` and is not published by itself: fetch `cifar10`"
    );
    assert!(of("minst").unwrap_err().to_string().contains("did you mean `mnist`?"));
    assert_eq!(below(data.path()), []);
}

/// The real MNIST through the real table, from the reference data.
#[test]
fn mnist_itself() {
    let Ok(reference) = std::env::var("ANNEAL_DATA_DIR") else {
        println!("skipped: ANNEAL_DATA_DIR is not set");
        return;
    };
    let (server, data) = (Server::start(), tempfile::tempdir().unwrap());
    for download in vision::info("mnist").unwrap().downloads {
        let Ok(bytes) = fs::read(Path::new(&reference).join("mnist").join(download.file)) else {
            println!("skipped: {} is not in {reference}/mnist", download.file);
            return;
        };
        assert_eq!((bytes.len() as u64, sha256(&bytes)), (download.bytes, download.sha256), "{}", download.file);
        server.put(download.file, Serve::Well(bytes));
    }
    fetch("mnist", data.path(), &from(&server.base()), &mut |_| ()).unwrap();
    assert_eq!(vision::load("mnist", Some(data.path())).unwrap().train.len(), 60_000);
}
