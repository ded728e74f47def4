//! Weights in and out: torch's files give torch's logits, ours come back bit for bit, and what does not fit is refused
//! by name before anything has changed.

use std::{collections::BTreeMap, fs, path::Path};

use crate::common::alone;
use crate::small::{Small, golden, inputs_and_logits};
use burn::{
    module::Module,
    tensor::{Bytes, DType, Tensor},
};
use burn_pack::{Tensor as Packed, Writer};
use trainer::weights::{Difference, Format, Layout, LoadOptions, Loaded, WeightsError, load, save, save_with};

const NAMES: [&str; 8] =
    ["conv.weight", "conv.bias", "bn.gamma", "bn.beta", "bn.running_mean", "bn.running_var", "fc.weight", "fc.bias"];

fn options() -> LoadOptions {
    LoadOptions::new()
}

fn loaded(file: &Path, options: &LoadOptions) -> (Small, Loaded) {
    load(Small::new(1), file, options).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn refused(file: &Path, options: &LoadOptions) -> WeightsError {
    load(Small::new(1), file, options).map(|_| ()).expect_err("a refusal")
}

/// The weights of the model in burnpack, edited.
fn burnpack(model: &Small, edit: impl Fn(Packed) -> Packed) -> Vec<u8> {
    let mut collector = burn_store::Collector::new(None, None, false);
    model.visit(&mut collector);
    let tensors = collector.into_tensors().into_iter().map(edit).collect();
    Writer::new(tensors).into_bytes().expect("a container").to_vec()
}

#[test]
fn torchs_weights_give_torchs_logits() {
    let _alone = alone();
    let (images, expected) = inputs_and_logits();
    for (file, format) in [
        ("small.safetensors", Format::Safetensors),
        ("small.pt", Format::PyTorch),
        ("small-legacy.pt", Format::PyTorch),
    ] {
        let (model, loaded) = loaded(&golden(file), &options());
        let logits = model.valid().forward(images.clone()).into_data().try_into_vec::<f32>().expect("floats");
        for (ours, torchs) in logits.iter().zip(&expected) {
            assert!((ours - torchs).abs() < 1e-5, "{file}: {logits:?} against {expected:?}");
        }
        assert_eq!((loaded.format, loaded.loaded.len()), (format, NAMES.len()), "{file}");
        assert_eq!((loaded.missing.len(), loaded.left_out.len(), loaded.unused.len()), (0, 0, 0), "{loaded}");
    }
}

#[test]
fn what_is_saved_comes_back_bit_for_bit_and_equal_weights_give_equal_files() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let (first, second) = (folder.path().join("a.safetensors"), folder.path().join("b.safetensors"));
    let (model, _) = loaded(&golden("small.pt"), &options());
    save(&model, &first).expect("written");
    let (again, report) = loaded(&first, &options());
    assert_eq!(again.bits(), model.bits());
    assert_eq!(report.loaded, NAMES);
    assert_eq!(report.sha256, trainer::weights::sha256(&first).expect("a checksum"));

    let metadata: BTreeMap<String, String> = (0..9).map(|i| (format!("key {i}"), format!("value {i}"))).collect();
    save_with(&model, &first, &metadata).expect("replaced");
    save_with(&again, &second, &metadata).expect("written");
    assert!(
        fs::read(&first).expect("a file") == fs::read(&second).expect("a file"),
        "two files of equal weights differ"
    );
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 2, "nothing else is left");

    // As torch has it: header, names, layout.
    let bytes = fs::read(&first).expect("a file");
    let length = u64::from_le_bytes(bytes[..8].try_into().expect("8 bytes")) as usize;
    assert_eq!(length % 8, 0);
    let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length]).expect("JSON");
    assert_eq!(header["fc.weight"]["shape"], serde_json::json!([3, 32]), "transposed");
    assert_eq!(header["bn.weight"]["shape"], serde_json::json!([2]), "torch's name of gamma");
    assert_eq!(header["__metadata__"]["format"], "pt");
    assert_eq!(header["__metadata__"]["producer"], format!("anneal {}", env!("CARGO_PKG_VERSION")));
    assert_eq!(header["__metadata__"]["key 3"], "value 3");
    assert_eq!(header.as_object().expect("a table").len(), NAMES.len() + 1);
}

#[test]
fn a_model_in_training_is_saved_with_its_last_update_of_the_running_statistics() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("model.safetensors");
    let device = burn::tensor::Device::flex().autodiff();
    let model = Small::new(1).fork(&device);
    let (images, _) = inputs_and_logits();
    let images = Tensor::<4>::from_data(images.into_data(), &device);
    let _ = model.forward(images.clone());
    save(&model, &file).expect("written");
    let (again, _) = loaded(&file, &options());
    // `valid` is what inference runs with.
    assert_eq!(again.valid().bits(), model.valid().bits());
    assert_ne!(again.bits()[4], Small::new(1).bits()[4], "the mean has moved");

    // An update that is pending does not replace what is loaded.
    let _ = model.forward(images);
    let (model, _) = load(model, &golden("small.pt"), &options()).expect("loaded");
    assert_eq!(model.valid().bits(), loaded(&golden("small.pt"), &options()).0.bits());
}

#[test]
fn burnpack_comes_in_and_ids_stay_the_models_own() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("model.bpk");
    let donor = Small::new(2);
    fs::write(
        &file,
        burnpack(&donor, |mut tensor| {
            tensor.param_id = Some(77);
            tensor
        }),
    )
    .expect("written");
    let (model, report) = loaded(&file, &options());
    assert_eq!(report.format, Format::Burnpack);
    assert_eq!(model.bits(), donor.bits());
    assert_eq!(model.fc.weight.id, Small::new(1).fc.weight.id, "an optimizer's state hangs on the id");
    assert_ne!(model.fc.weight.id.val(), 77);

    // burn's layout in a safetensors file has to be said: a square matrix could not be told from its transpose.
    let file = folder.path().join("burn.safetensors");
    let mut store = burn_store::SafetensorsStore::from_file(&file);
    burn_store::ModuleSnapshot::save_into(&donor, &mut store).expect("written");
    let error = refused(&file, &options()).to_string();
    assert!(error.contains("`fc.weight` has shape [3, 32] in the model and [32, 3] in the file"), "{error}");
    assert_eq!(loaded(&file, &options().layout(Layout::Burn)).0.bits(), donor.bits());
}

#[test]
fn floats_are_converted_to_the_parameters_type() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("model.bpk");
    let donor = Small::new(2);
    for (dtype, tolerance) in [(DType::F64, 0.0), (DType::F16, 1e-3), (DType::BF16, 1e-2)] {
        let cast = |tensor: Packed| {
            let (name, shape) = (tensor.name.clone(), tensor.shape.clone());
            burn_store::bridge::map_data(tensor, name, dtype, shape, move |data| data.convert_dtype(dtype))
        };
        fs::write(&file, burnpack(&donor, cast)).expect("written");
        let (model, _) = loaded(&file, &options());
        assert_eq!(model.fc.weight.val().dtype(), DType::F32);
        let error = (model.fc.weight.val() - donor.fc.weight.val()).abs().max().into_scalar::<f32>();
        assert!(error <= tolerance, "{dtype:?}: {error}");
    }
}

/// Options; then loaded, missing, left out and unused tensors.
type Expected<'a> = (LoadOptions, usize, usize, usize, Vec<&'a str>);

#[test]
fn names_are_remapped_selected_and_left_out() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("model.bpk");
    let donor = Small::new(2);
    fs::write(
        &file,
        burnpack(&donor, |mut tensor| {
            tensor.name = format!("module.backbone.{}", tensor.name).replace("fc", "head");
            tensor
        }),
    )
    .expect("written");
    let fresh = Small::new(1);
    let renamed = || options().remap(r"^module\.(backbone\.)?", "").unwrap().remap("^head", "fc").unwrap();
    let head = |name: &str| name.starts_with("fc");
    let cases: [Expected<'_>; 5] = [
        (renamed(), 8, 0, 0, vec![]),
        (renamed().except("fc*").unwrap(), 6, 0, 2, vec!["module.backbone.head.bias", "module.backbone.head.weight"]),
        (
            // `bn.beta` is a bias by torch's name.
            renamed().only("bn*").unwrap().only("conv*").unwrap().except("*bias").unwrap(),
            4,
            0,
            4,
            vec![
                "module.backbone.bn.beta",
                "module.backbone.conv.bias",
                "module.backbone.head.bias",
                "module.backbone.head.weight",
            ],
        ),
        // Without the second rule the head is not found, which `strict = false` allows.
        (
            options().remap(r"^module\.backbone\.", "").unwrap().strict(false),
            6,
            2,
            0,
            vec!["module.backbone.head.bias", "module.backbone.head.weight"],
        ),
        // A pattern may use torch's name.
        (renamed().except("bn.weight").unwrap(), 7, 0, 1, vec!["module.backbone.bn.gamma"]),
    ];
    for (i, (options, into, missing, left_out, unused)) in cases.into_iter().enumerate() {
        let (model, report) = loaded(&file, &options);
        let counts = (report.loaded.len(), report.missing.len(), report.left_out.len());
        assert_eq!(counts, (into, missing, left_out), "case {i}: {report}");
        assert_eq!(report.unused, unused, "case {i}");
        for ((name, bits), (old, new)) in NAMES.iter().zip(model.bits()).zip(fresh.bits().into_iter().zip(donor.bits()))
        {
            let expected = if report.loaded.iter().any(|loaded| loaded == name) { new } else { old };
            assert!(bits == expected, "case {i}: {name}");
        }
        assert!(i != 1 || report.loaded.iter().all(|name| !head(name)));
    }
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).expect("written");
        path
    };
    let good = golden("small.safetensors");
    let wide = folder.path().join("wide.safetensors");
    save(&Small::with_classes(1, 5), &wide).expect("written");
    let ints = write(
        "ints.bpk",
        &burnpack(&Small::new(1), |tensor| {
            if tensor.name != "fc.bias" {
                return tensor;
            }
            Packed::new(tensor.name, DType::I32, tensor.shape, None, Bytes::from_bytes_vec(vec![0; 12]))
        }),
    );
    let empty = write("empty.safetensors", b"\x08\0\0\0\0\0\0\0{}      ");
    let text = write("notes.txt", b"some notes");
    let sha = "0".repeat(64);
    let cases = [
        (
            good.clone(),
            options().remap("^fc", "head").unwrap(),
            "`fc.weight` is not in the file; did you mean `head.weight`?",
        ),
        (wide.clone(), options(), "`fc.weight` has shape [3, 32] in the model and [5, 32] in the file"),
        (wide.clone(), options().strict(false), "`fc.bias` has shape [3] in the model and [5] in the file"),
        (ints, options(), "`fc.bias` is F32 in the model and I32 in the file"),
        (
            good.clone(),
            options().remap("bias", "weight").unwrap(),
            "`bn.bias` and `bn.weight` are both called `bn.weight`",
        ),
        (good.clone(), options().except("fd*").unwrap(), "`fd*` matches no parameter of the model"),
        (good.clone(), options().only("fc.wieght").unwrap(), "did you mean `fc.weight`?"),
        (
            good.clone(),
            options().remap("^", "zzz.").unwrap().strict(false),
            "none of its 9 tensors is a selected parameter",
        ),
        (good.clone(), options().expect_sha256(&sha), "is another file: its SHA-256 is"),
        (empty, options(), "none of its 0 tensors"),
        (text, options(), "is not a burnpack (.bpk), safetensors (.safetensors) or PyTorch (.pt, .pth) file"),
        (folder.path().join("nowhere.pt"), options(), "nowhere.pt: cannot read it: No such file"),
        (folder.path().to_owned(), options(), "holds no weights"),
        ("/dev/zero".into(), options(), "not a regular file"),
    ];
    for (file, options, message) in cases {
        let error = refused(&file, &options).to_string();
        assert!(error.contains(message), "{}: {error}", file.display());
    }
    for (pattern, refusal) in
        [("(", options().remap("(", "")), ("/(/", options().only("/(/")), ("/(/", options().except("/(/"))]
    {
        assert!(matches!(refusal, Err(WeightsError::Pattern { pattern: found, .. }) if found == pattern));
    }

    // All differences are told, as data.
    let WeightsError::Mismatch { differences, .. } = refused(&wide, &options()) else { panic!("a mismatch") };
    assert_eq!(
        differences,
        [
            Difference::Shape { name: "fc.weight".to_owned(), model: vec![3, 32], file: vec![5, 32] },
            Difference::Shape { name: "fc.bias".to_owned(), model: vec![3], file: vec![5] },
        ]
    );
}

#[test]
fn with_an_error_nothing_has_changed() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    // The last tensor that is read, `fc.weight` or `fc.bias`, has a flipped bit: zip archives have a checksum. burn's
    // clones share running statistics, so a loader that had begun to write would show in the original.
    let bytes = fs::read(golden("small.pt")).expect("the golden file");
    let (model, _) = loaded(&golden("small.pt"), &options());
    let weight = model.fc.weight.val().transpose().into_data();
    let needle = &weight.as_bytes()[..16];
    let at = bytes.windows(16).position(|window| window == needle).expect("stored as it is");
    let mut damaged = bytes.clone();
    damaged[at] ^= 1;
    let file = folder.path().join("damaged.pt");
    fs::write(&file, damaged).expect("written");

    let original = Small::new(1);
    let before = original.bits();
    let error = load(original.clone(), &file, &options()).map(|_| ()).expect_err("a refusal");
    assert!(matches!(error, WeightsError::Damaged { format: Format::PyTorch, .. }), "{error}");
    assert!(error.to_string().contains("fc.weight"), "{error}");
    assert_eq!(original.bits(), before);
    // The same load without the damage does change the clone's statistics.
    load(original.clone(), &golden("small.pt"), &options()).expect("loaded");
    assert_ne!(original.bits()[4], before[4], "burn's clones share running statistics");
}

#[test]
fn a_save_that_fails_leaves_the_old_file() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let error = save(&Small::new(1), &folder.path().join("no/such/folder.safetensors")).expect_err("a refusal");
    assert!(matches!(error, WeightsError::Io { .. }), "{error}");
    // A folder cannot be replaced by a file.
    let taken = folder.path().join("model.safetensors");
    fs::create_dir_all(taken.join("inside")).expect("a folder");
    save(&Small::new(1), &taken).expect_err("a refusal");
    assert!(taken.join("inside").exists());
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1, "no scratch file is left");
}

/// It would be blamed on the learning rate later.
#[test]
fn a_value_that_is_not_finite_is_refused_with_its_tensor() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    for value in [f32::NAN, f32::INFINITY] {
        let mut broken = Small::new(3);
        broken.fc.weight = broken.fc.weight.map(|weight| weight.slice_fill([4..5, 2..3], value));
        let file = folder.path().join("broken.safetensors");
        save(&broken, &file).expect("written");
        // PyTorch's layout: rows are outputs.
        match refused(&file, &options()) {
            WeightsError::NonFinite { path, tensor, element } => {
                assert_eq!((path, tensor.as_str(), element), (file.clone(), "fc.weight", 2 * 32 + 4));
            }
            other => panic!("{other}"),
        }
        let head = options().except("fc.*").expect("a pattern");
        loaded(&file, &head);
    }
}
