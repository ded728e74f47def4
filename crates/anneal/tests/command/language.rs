//! Language: what holds for images holds for `text` and `reversal`, `gpt` and `gru`.

use std::fs;

use serde_json::Value;

use crate::common::{anneal, command, done, folder, json, parsed, same_checkpoint};

/// Dropout, warm-up and groups, in a second.
fn config(dataset: &str, model: &str) -> String {
    format!(
        "[run]\nname = 'small'\n[data]\n{dataset}\nbatch_size = 8\n[model]\n{model}\n\
         [optimizer]\ntype = 'adamw'\nlr = 3e-3\nweight_decay = 0.1\n\
         [[groups]]\nparams = '/ln_|bias|wte|wpe|embedding/'\nweight_decay = 0.0\n\
         [schedule]\ntype = 'fixed'\nwarmup = '5it'\ninterval = 'step'\n\
         [train]\nepochs = 2\nclip_grad_norm = 1.0\n[train.checkpoint]\nevery = '1ep'\n"
    )
}

const REVERSAL: &str = "dataset = 'reversal'\ndigits = 2\nproblems = 100\ncontext = 12";
const TEXT: &str = "dataset = 'text'\npath = 'rhyme.txt'\ncontext = 12";
const GPT: &str = "type = 'gpt'\nlayers = 1\nheads = 2\nwidth = 16\ndropout = 0.2";
const GRU: &str = "type = 'gru'\nlayers = 2\nwidth = 12\ndropout = 0.2";

fn all() -> [(&'static str, String); 4] {
    [
        ("text-gpt", config(TEXT, GPT)),
        ("text-gru", config(TEXT, GRU)),
        ("reversal-gpt", config(REVERSAL, GPT)),
        ("reversal-gru", config(REVERSAL, GRU)),
    ]
}

fn with_rhyme(configs: &[(&str, String)]) -> tempfile::TempDir {
    let dir = folder(&[("rhyme.txt", &"row, row, row your boat, gently down the stream\n".repeat(40))]);
    for (name, text) in configs {
        fs::write(dir.path().join(format!("{name}.toml")), text).expect("written");
    }
    dir
}

#[test]
fn a_run_resumed_in_a_new_process_is_the_uninterrupted_one() {
    let configs = all();
    let dir = with_rhyme(&configs);
    for (name, _) in &configs {
        let file = format!("{name}.toml");
        done(dir.path(), &["train", &file, "--out", "whole", "--overwrite", "--quiet"]);
        done(dir.path(), &["train", &file, "--epochs", "1", "--out", "parts", "--overwrite", "--quiet"]);
        done(dir.path(), &["resume", "parts", "--epochs", "2", "--quiet"]);
        same_checkpoint(&dir.path().join("whole/checkpoints"), &dir.path().join("parts/checkpoints"), name);
        let summary = |run: &str| json(dir.path().join(run).join("summary.json"));
        assert_eq!(summary("whole")["test"], summary("parts")["test"], "{name}");
    }
}

#[test]
fn another_text_is_not_gone_on_with() {
    let dir = with_rhyme(&[("small", config(TEXT, GPT))]);
    done(dir.path(), &["train", "small.toml", "--out", "run", "--quiet"]);
    let text = fs::read_to_string(dir.path().join("rhyme.txt")).expect("a text");
    fs::write(dir.path().join("rhyme.txt"), text.replacen("boat", "oatb", 1)).expect("written");
    let ran = anneal(dir.path(), &["resume", "run", "--epochs", "3"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.err.contains("belongs to other training data"), "{}", ran.err);
}

/// Settings that change no shape are the model's too; nothing but a file of weights is written over.
#[test]
fn another_number_of_heads_is_another_model() {
    let dir = with_rhyme(&[("small", config(TEXT, GPT))]);
    done(dir.path(), &["train", "small.toml", "--out", "run", "--quiet"]);
    let path = dir.path().join("run/config.toml");
    let before = fs::read_to_string(&path).expect("a config");
    let ran = anneal(dir.path(), &["export", "run", "--to", "run/config.toml"]);
    assert!(ran.code == 2 && ran.err.contains("the file is named *.safetensors"), "{}", ran.err);
    assert_eq!(fs::read_to_string(&path).expect("a config"), before);
    fs::write(&path, before.replace("heads = 2", "heads = 1")).expect("written");
    let commands: [&[&str]; 4] = [
        &["evaluate", "run"],
        &["predict", "run", "rhyme.txt"],
        &["sample", "run", "--prompt", "row"],
        &["export", "run"],
    ];
    for args in commands {
        let ran = anneal(dir.path(), args);
        let expected = "another model: it was written with `model.heads = 2`, this run has `model.heads = 1`";
        assert!(ran.code == 1 && ran.err.contains(expected), "{args:?}: {} {}", ran.code, ran.err);
    }
}

#[test]
fn every_command_works_with_it() {
    let configs = all();
    let dir = with_rhyme(&configs);
    for (name, text) in &configs {
        let file = format!("{name}.toml");
        done(dir.path(), &["train", &file, "--fast-dev-run"]);
        let ran = anneal(dir.path(), &["find-lr", &file, "--set", "lr_finder.num_it=30", "--json", "curve.json"]);
        assert!([0, 3].contains(&ran.code), "{name}: {}", ran.err);
        assert!(json(dir.path().join("curve.json")).is_object(), "{name}");
        fs::write(dir.path().join("auto.toml"), text.replace("lr = 3e-3", "lr = 'auto'")).expect("written");
        let ran = anneal(dir.path(), &["train", "auto.toml", "--fast-dev-run"]);
        assert!([0, 3].contains(&ran.code), "{name}: {}", ran.err);
        done(
            dir.path(),
            &["train", &file, "--overfit-batches", "1", "--epochs", "3", "--out", "over", "--overwrite", "--quiet"],
        );
    }
    done(dir.path(), &["train", "text-gpt.toml", "--out", "run", "--quiet"]);
    let summary = json(dir.path().join("run/summary.json"));
    for value in ["valid.loss", "valid.bits_per_character", "valid.perplexity"] {
        assert!(summary["last"][value].is_number(), "{value}: {summary}");
    }
    done(dir.path(), &["export", "run", "--to", "out.safetensors"]);
    let exported = fs::read(dir.path().join("out.safetensors")).expect("written");
    assert!(exported.windows(35).any(|part| part == b"transformer.h.0.attn.c_attn.weight\""));
    assert!(!exported.windows(7).any(|part| part == b"lm_head"), "tied weights are there once");
    done(dir.path(), &["evaluate", "run", "--json"]);
    done(dir.path(), &["report", "run"]);

    fs::write(dir.path().join("cosine.toml"), "type = 'cosine_annealing'\ninterval = 'step'\nt_max = 'rest'\n")
        .expect("written");
    done(dir.path(), &["compare", "reversal-gpt.toml", "--schedule", "cosine.toml", "--seeds", "1", "--out", "both"]);
}

#[test]
fn what_is_learnt_is_written_and_foretold() {
    let dir = with_rhyme(&[("rhyme", config(TEXT, GPT)), ("numbers", config(REVERSAL, GPT))]);
    done(dir.path(), &["train", "rhyme.toml", "--epochs", "25", "--set", "model.dropout=0", "--out", "run", "--quiet"]);
    let sample = |args: &[&str]| done(dir.path(), &[&["sample", "run", "--prompt", "row, ro"], args].concat());
    let text = sample(&["--length", "16", "--temperature", "0"]);
    let rhyme = fs::read_to_string(dir.path().join("rhyme.txt")).expect("a text");
    assert!(text.starts_with("row, ro") && rhyme.contains(text.trim_end_matches('\n')), "{text}");
    // What has been learnt by heart leaves nothing to chance but at a high temperature.
    let drawn = |seed: &str| sample(&["--length", "40", "--temperature", "5", "--seed", seed]);
    assert_eq!(drawn("3"), drawn("3"));
    assert_ne!(drawn("3"), drawn("4"));
    // Neither needs the text: the run keeps what its tokens stand for.
    fs::rename(dir.path().join("rhyme.txt"), dir.path().join("known.txt")).expect("moved");
    done(dir.path(), &["export", "run", "--to", "again.safetensors"]);
    let written = |file: &str| fs::read(dir.path().join(file)).expect("weights");
    assert!(written("again.safetensors") == written("run/model.safetensors"), "the same weights, without the text");
    let ran = anneal(dir.path(), &["evaluate", "run"]);
    assert!(ran.code == 1 && ran.err.contains("rhyme.txt: cannot be read"), "{}", ran.err);
    // Another text in the same characters, and how well it is foretold.
    fs::write(dir.path().join("other.txt"), "gently row your boat down the stream, gently\n".repeat(3))
        .expect("written");
    let of = |file: &str| -> Value { parsed(&done(dir.path(), &["predict", "run", file, "--json"])) };
    let (known, other) = (of("known.txt"), of("other.txt"));
    assert!(known["loss"].as_f64() < other["loss"].as_f64(), "{known} {other}");
    assert!(other["perplexity"].as_f64().expect("a number") > 1.0 && other["tokens"] == 132, "{other}");

    assert!(known["bits_per_character"].is_number() && known.get("bits_per_byte").is_none(), "{known}");

    done(dir.path(), &["train", "numbers.toml", "--out", "numbers", "--quiet"]);
    let answer = parsed(&done(dir.path(), &["predict", "numbers", "75=", "--json"]));
    assert_eq!(answer["input"], "75=");
    assert!(answer["answer"].is_string(), "{answer}");
}

/// Units are named as in training; those by which models of other tokens are compared stand beside them where there are any.
#[test]
fn bytes_are_foretold_in_bits_for_each_byte() {
    let bytes = config(TEXT, GPT).replace("path =", "unit = 'bytes'\npath =");
    let dir = with_rhyme(&[("bytes", bytes)]);
    done(dir.path(), &["train", "bytes.toml", "--out", "run", "--quiet"]);
    assert!(json(dir.path().join("run/summary.json"))["last"]["valid.bits_per_byte"].is_number());
    fs::write(dir.path().join("two.txt"), "\u{e4}\u{f6}".repeat(20)).expect("written");
    fs::write(dir.path().join("none.txt"), [0xff, b'a'].repeat(20)).expect("written");
    let of = |file: &str| -> Value { parsed(&done(dir.path(), &["predict", "run", file, "--json"])) };
    let (two, none) = (of("two.txt"), of("none.txt"));
    let bits = |value: &Value, unit: &str| value[format!("bits_per_{unit}")].as_f64();
    assert_eq!(bits(&two, "character"), bits(&two, "byte").map(|bits| 2.0 * bits), "{two}");
    assert!(bits(&none, "byte").is_some() && bits(&none, "character").is_none(), "bytes that are no text: {none}");
}

/// Letters are numbered by their order: weights of as many others would say other letters.
#[test]
fn weights_of_other_characters_are_refused() {
    let dir = with_rhyme(&[("small", config(TEXT, GPT))]);
    let root = dir.path();
    done(root, &["train", "small.toml", "--epochs", "1", "--out", "run", "--quiet"]);
    done(root, &["export", "run", "--to", "alone.safetensors"]);
    let checkpoints = root.join("run/checkpoints");
    let mut steps = fs::read_dir(&checkpoints).expect("checkpoints").map(|entry| entry.expect("an entry").path());
    let step = steps.find(|path| path.join("model.bpk").exists()).expect("one").display().to_string();
    let tune = |from: &str, more: &[&str]| {
        let pretrained = format!("model.pretrained={{ path = '{from}' }}");
        let args = ["train", "small.toml", "--epochs", "1", "--quiet", "--out", "tuned", "--overwrite"];
        anneal(root, &[&args[..], &["--set", &pretrained], more].concat())
    };
    let places = ["run", "run/model.safetensors", "alone.safetensors", step.as_str()];
    for from in places {
        let ran = tune(from, &[]);
        assert!(ran.code == 0 && !ran.err.contains("token"), "{from}: {}", ran.err);
    }
    // As many characters, one of them another.
    let text = fs::read_to_string(root.join("rhyme.txt")).expect("a text");
    fs::write(root.join("rhyme.txt"), text.replace('w', "z")).expect("written");
    for from in places {
        let ran = tune(from, &[]);
        assert_eq!(ran.code, 2, "{from}: {}", ran.err);
        let expected =
            "the weights were learned on other tokens than those of rhyme.txt: token 17 is 'y', and 'w' there";
        assert!(ran.err.contains(expected) && ran.err.contains("model.pretrained: "), "{from}: {}", ran.err);
    }
    // What is left out may be what this concerns; and what is not known is said.
    let ran = tune("run", &["--set", "model.pretrained.except='*wte*'"]);
    assert!(ran.code == 0 && ran.err.contains("token 17 is 'y', and 'w' there"), "{}", ran.err);
    let bytes = fs::read(root.join("alone.safetensors")).expect("weights");
    let (length, rest) = bytes.split_first_chunk().expect("a header");
    let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let mut header = parsed(&String::from_utf8_lossy(header));
    header.as_object_mut().expect("an object").remove("__metadata__");
    let header = header.to_string();
    fs::write(
        root.join("foreign.safetensors"),
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat(),
    )
    .expect("written");
    let ran = tune("foreign.safetensors", &[]);
    let expected = "it is not known what its tokens stand for: they are taken for the 19 of rhyme.txt";
    assert!(ran.code == 0 && ran.err.contains(expected), "{}", ran.err);
}

/// A window of another length is another model, in words of the configuration.
#[test]
fn another_context_is_another_model() {
    let dir = with_rhyme(&[("small", config(TEXT, GPT))]);
    done(dir.path(), &["train", "small.toml", "--epochs", "1", "--out", "run", "--quiet"]);
    let path = dir.path().join("run/config.toml");
    let before = fs::read_to_string(&path).expect("a config");
    fs::write(&path, before.replace("context = 12", "context = 8")).expect("written");
    for args in [&["evaluate", "run"][..], &["predict", "run", "rhyme.txt"], &["sample", "run", "--prompt", "row"]] {
        let ran = anneal(dir.path(), args);
        let expected = "another model: it was written with `data.context = 12`, this run has `data.context = 8`";
        assert!(ran.code == 1 && ran.err.contains(expected), "{args:?}: {} {}", ran.code, ran.err);
    }
}

/// Some editors write a byte order mark before a text. It is not one of the characters.
#[test]
fn a_byte_order_mark_is_not_learned() {
    let dir = with_rhyme(&[("small", config(TEXT, GPT))]);
    let text = fs::read_to_string(dir.path().join("rhyme.txt")).expect("a text");
    done(dir.path(), &["train", "small.toml", "--epochs", "1", "--out", "plain", "--quiet"]);
    fs::write(dir.path().join("rhyme.txt"), format!("\u{feff}{text}")).expect("written");
    done(dir.path(), &["train", "small.toml", "--epochs", "1", "--out", "marked", "--quiet"]);
    let written = |run: &str, file: &str| fs::read(dir.path().join(run).join(file)).expect("written");
    for file in ["preprocessing.json", "model.safetensors"] {
        assert!(written("plain", file) == written("marked", file), "{file}");
    }
}

#[test]
fn a_text_that_is_nowhere_says_where_it_was_looked_for() {
    let dir = folder(&[("small.toml", &config(TEXT, GPT))]);
    let root = dir.path();
    fs::create_dir(root.join("data")).expect("made");
    let output = command(root)
        .args(["train", "small.toml", "--data-dir", "data"])
        .env("ANNEAL_DATA_DIR", "/somewhere")
        .output()
        .expect("it starts");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    let places = format!(
        "rhyme.txt: cannot be read: No such file or directory (os error 2)\n\
         Looked for in (--data-dir, the path as it is, ANNEAL_DATA_DIR, the cache folder):\n  \
         data/rhyme.txt\n  {}\n  /somewhere/rhyme.txt\n",
        root.join("rhyme.txt").display()
    );
    assert!(error.contains(&places), "{error}\nlacks: {places}");
}

#[test]
fn what_is_wrong_with_a_text_is_named_before_any_work() {
    let dir = with_rhyme(&[]);
    let root = dir.path();
    fs::write(root.join("binary.txt"), b"one\ntw\xff").expect("written");
    fs::write(root.join("empty.txt"), b"").expect("written");
    fs::write(root.join("one.txt"), b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa").expect("written");
    fs::write(root.join("short.txt"), b"abcdefg").expect("written");
    fs::write(root.join("tiny.txt"), b"row,").expect("written");
    let with = |from: &str, to: &str| config(TEXT, GPT).replace(from, to);
    let cases: [(String, i32, &str); 15] = [
        (
            with("context = 12", "context = 12\ntest = 1e-4"),
            2,
            "data.test: 0.0001 is not allowed here; allowed: 0, or a fraction that holds out at least one of the 1920 tokens",
        ),
        (with("rhyme.txt", "binary.txt"), 2, "binary.txt:2:3: byte 6 (0xff) is not UTF-8"),
        (with("rhyme.txt", "empty.txt"), 2, "empty.txt: the text is empty"),
        (with("rhyme.txt", "one.txt"), 2, "one.txt: the text has only one symbol"),
        (
            with("rhyme.txt", "short.txt"),
            2,
            "short.txt: the training part has 7 tokens, a window of `context = 12` needs 13",
        ),
        (with("rhyme.txt", "none.txt"), 1, "none.txt: cannot be read"),
        (with("batch_size = 8", "batch_size = 1000"), 2, "less than a step of 1000 windows of 12 tokens"),
        (with("path = 'rhyme.txt'\n", ""), 2, "data.path: missing"),
        (with("'rhyme.txt'", "''"), 2, "data.path: \"\" is not allowed here; allowed: the path of a text"),
        (with("context = 12", "context = 0"), 2, "data.context: 0 is not allowed here"),
        (with("context = 12", "unit = 'words'"), 2, "data.unit"),
        (with("heads = 2", "heads = 3"), 2, "model.width: 16 is not allowed here; allowed: a multiple of `heads` = 3"),
        (with("dropout = 0.2", "dropout = 1.0"), 2, "model.dropout: 1 is not allowed here"),
        (with("'gpt'", "'gpd'"), 2, "did you mean `gpt`?"),
        (config("dataset = 'reversal'\ndigits = 9", GPT), 2, "data.digits: 9 is not allowed here; allowed: 1 to 6"),
    ];
    for (text, code, expected) in cases {
        fs::write(root.join("bad.toml"), &text).expect("written");
        let ran = anneal(root, &["train", "bad.toml", "--out", "run"]);
        assert!(ran.err.contains(expected), "{expected}: {}", ran.err);
        assert_eq!(ran.code, code, "{expected}: {}", ran.err);
        assert!(!root.join("run").exists(), "{expected}");
    }
    fs::write(root.join("small.toml"), config(TEXT, GPT)).expect("written");
    done(root, &["train", "small.toml", "--epochs", "1", "--out", "run", "--quiet"]);
    for (args, code, expected) in [
        (&["sample", "run", "--prompt", "row X"][..], 2, "the prompt: line 1, character 5 is 'X', which is not among"),
        (&["sample", "run", "--prompt", ""], 2, "the prompt is empty"),
        (&["sample", "run", "--prompt", "row", "--length", "18446744073709551615"], 2, "at most 1000000"),
        (&["sample", "run", "--prompt", "row", "--temperature", "-1"], 2, "`temperature` is -1"),
        (&["predict", "run", "short.txt"], 2, "short.txt: line 1, character 3 is 'c', which is not among"),
        (&["predict", "run", "tiny.txt"], 2, "tiny.txt: the whole part has 4 tokens"),
        (&["predict", "run", "none.txt"], 2, "none.txt: cannot be read"),
    ] {
        let ran = anneal(root, args);
        assert_eq!(ran.code, code, "{args:?}: {}", ran.err);
        assert!(ran.err.contains(expected), "{args:?}: {}", ran.err);
    }
}

#[test]
fn tiny_shakespeare_is_learnt_where_it_is() {
    let data = std::env::var_os("ANNEAL_DATA_DIR").map(std::path::PathBuf::from);
    let Some(data) = data.filter(|folder| folder.join("text/tinyshakespeare.txt").exists()) else {
        println!("skipped: no text/tinyshakespeare.txt in ANNEAL_DATA_DIR");
        return;
    };
    let dir = folder(&[]);
    let recipe = crate::common::root().join("examples/text/shakespeare.toml").display().to_string();
    let args = ["train", &recipe, "--out", "run", "--quiet", "--set", "train.steps=40", "--set", "model.layers=1"];
    let ran = anneal(dir.path(), &args);
    assert!(ran.code == 1 && ran.err.contains("text/tinyshakespeare.txt: cannot be read"), "{}", ran.err);
    // As it stands in the recipe, below the data folder.
    let args = [&args[..], &["--set", "train.validate_every=40it"]].concat();
    let output = command(dir.path()).args(args).env("ANNEAL_DATA_DIR", &data).output().expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let summary = json(dir.path().join("run/summary.json"));
    // 65 characters as likely as each other are ln 65 = 4.17 nats.
    assert!(summary["last"]["valid.loss"].as_f64().expect("a loss") < 3.2, "{summary}");
    // The run knows where it was.
    done(dir.path(), &["evaluate", "run"]);
}
