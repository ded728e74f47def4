//! Damaged files of weights: an error or, where the format cannot tell, other numbers; never a panic, never an
//! allocation that the file's size does not explain.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, unreachable_pub, reason = "tests may fail loudly")]

mod small;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    fs,
    path::Path,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
};

use burn::module::Module;
use small::{Small, golden};
use trainer::weights::{LoadOptions, WeightsError, load};

/// The largest single allocation since it was reset.
static LARGEST: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, watched.
struct Watching;

// SAFETY: every call is passed on unchanged to the system's allocator, which keeps the contract.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LARGEST.fetch_max(size, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `realloc`, and every pointer is the system's.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`, and every pointer is the system's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Watching = Watching;

/// What reading a file of a few kilobytes may ask for at once.
const MOST: usize = 1 << 20;

/// The generator of random numbers and the watched allocator are one per process.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The four kinds of files, each of a few kilobytes.
fn files() -> Vec<(&'static str, Vec<u8>)> {
    let read = |name: &str| fs::read(golden(name)).expect("a golden file");
    let (model, _) = load(Small::new(1), &golden("small.pt"), &LoadOptions::new()).expect("loaded");
    let burnpack = model.into_record().into_bytes().expect("a container").to_vec();
    vec![
        ("model.bpk", burnpack),
        ("model.safetensors", read("small.safetensors")),
        ("model.pt", read("small.pt")),
        ("legacy.pt", read("small-legacy.pt")),
    ]
}

/// Loads these bytes as a file of this name; watches what is allocated.
fn outcome(model: &Small, folder: &Path, name: &str, bytes: &[u8]) -> Result<(), WeightsError> {
    let path = folder.join(name);
    fs::write(&path, bytes).expect("written");
    LARGEST.store(0, Ordering::Relaxed);
    let result = load(model.clone(), &path, &LoadOptions::new()).map(|_| ());
    let largest = LARGEST.load(Ordering::Relaxed);
    assert!(largest < MOST, "{name}: {largest} bytes at once");
    result
}

/// Every place near the ends of a file, where its structure is, and every seventh between.
fn places(length: usize) -> impl Iterator<Item = usize> {
    (0..length).filter(move |at| *at < 512 || length - at <= 256 || at % 7 == 0)
}

#[test]
fn the_allocator_is_watched() {
    let _alone = alone();
    LARGEST.store(0, Ordering::Relaxed);
    drop(std::hint::black_box(vec![1_u8; 2 * MOST]));
    assert!(LARGEST.load(Ordering::Relaxed) >= 2 * MOST);
}

#[test]
fn whole_files_are_read() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let model = Small::new(1);
    for (name, bytes) in files() {
        outcome(&model, folder.path(), name, &bytes).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn a_truncated_file_is_refused() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let model = Small::new(1);
    for (name, bytes) in files() {
        for length in places(bytes.len()) {
            let result = outcome(&model, folder.path(), name, &bytes[..length]);
            assert!(result.is_err(), "{name}: cut to {length} of {} bytes and accepted", bytes.len());
        }
    }
}

#[test]
fn a_flipped_bit_anywhere_is_no_panic() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let model = Small::new(1);
    for (name, bytes) in files() {
        let (mut tried, mut refused) = (0, 0);
        for at in places(bytes.len()) {
            tried += 1;
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            refused += usize::from(outcome(&model, folder.path(), name, &damaged).is_err());
        }
        println!("{name}: {refused} of {tried} flips refused");
        // Names, shapes and offsets are a good part of such small files.
        assert!(refused * 10 > tried, "{name}: {refused} of {tried} flips refused");
    }
}

#[test]
fn sizes_that_a_file_only_claims_take_no_memory() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let model = Small::new(1);
    let safetensors = |length: u64, header: &str| [&length.to_le_bytes()[..], header.as_bytes()].concat();
    let shaped = |shape: &str, end: &str| {
        let header = format!("{{\"fc.bias\":{{\"dtype\":\"F32\",\"shape\":{shape},\"data_offsets\":[0,{end}]}}}}");
        let mut bytes = safetensors(header.len() as u64, &header);
        bytes.extend([0; 12]);
        bytes
    };
    let burnpack = |metadata: u32| [b"NRUB\x01\0", &metadata.to_le_bytes()[..], &[0; 64]].concat();
    let cases = [
        ("header of 2^64 - 1 bytes", "a.safetensors", safetensors(u64::MAX, "{")),
        ("header of 99 MB", "a.safetensors", safetensors(99_000_000, "{\"a\":1}")),
        ("a tensor of 4 TB", "a.safetensors", shaped("[1099511627776]", "4398046511104")),
        ("a shape that overflows", "a.safetensors", shaped("[18446744073709551615,18446744073709551615]", "12")),
        ("offsets that overflow", "a.safetensors", shaped("[3]", "18446744073709551615")),
        ("metadata of 4 GB", "a.bpk", burnpack(u32::MAX)),
        ("metadata of 100 MB", "a.bpk", burnpack(100 << 20)),
        ("a pickled string of 2 GB", "a.pt", b"\x80\x02X\xff\xff\xff\x7fabc.".to_vec()),
        ("a pickle that nests without end", "a.pt", [&b"\x80\x02"[..], &vec![b'('; 100_000]].concat()),
        (
            "lists in lists in lists",
            "a.pt",
            [&b"\x80\x02"[..], &b"]".repeat(100_000), &b"a".repeat(99_999), b"."].concat(),
        ),
    ];
    for (what, name, bytes) in cases {
        let path = folder.path().join(name);
        fs::write(&path, &bytes).expect("written");
        LARGEST.store(0, Ordering::Relaxed);
        let result = load(model.clone(), &path, &LoadOptions::new()).map(|_| ());
        let largest = LARGEST.load(Ordering::Relaxed);
        assert!(result.is_err(), "{what}");
        assert!(largest < 16 * MOST, "{what}: {largest} bytes at once");
    }
}

/// A header of more tensors than any model has, and rules that make names grow.
#[test]
fn what_grows_without_end_is_refused() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("many.safetensors");
    let entry = |i: usize| format!("\"t{i}\":{{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}");
    let header = format!("{{{}}}", (0..1_000_000).map(entry).collect::<Vec<_>>().join(","));
    fs::write(&path, [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat()).unwrap();
    let size = fs::metadata(&path).unwrap().len() as usize;
    let model = Small::new(1);
    LARGEST.store(0, Ordering::Relaxed);
    let error = load(model.clone(), &path, &LoadOptions::new()).unwrap_err().to_string();
    assert!(error.contains("its header claims") && error.ends_with("at most 16777216 are read"), "{error}");
    assert!(LARGEST.load(Ordering::Relaxed) <= size + MOST, "{} bytes at once", LARGEST.load(Ordering::Relaxed));

    let (name, bytes) = files().into_iter().find(|(name, _)| name.ends_with(".safetensors")).unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    let doubling = |options: LoadOptions, _| options.remap("(.)", "$1$1").unwrap();
    let options = (0..40).fold(LoadOptions::new(), doubling);
    LARGEST.store(0, Ordering::Relaxed);
    let error = load(model, &path, &options).unwrap_err();
    assert!(matches!(error, WeightsError::LongName { .. }), "{error}");
    assert!(LARGEST.load(Ordering::Relaxed) <= MOST, "{} bytes at once", LARGEST.load(Ordering::Relaxed));
    let refused = LoadOptions::new().remap("a", &"b".repeat(1_000_000)).unwrap_err().to_string();
    assert_eq!(refused, "`a` is not a pattern: its replacement is 1000000 bytes long, at most 1024 are allowed");
}
