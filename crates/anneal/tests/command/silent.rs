//! Training that goes wrong, and work that is lost, without a word: what is refused or said instead.

use std::{fs, path::Path};

use serde_json::Value;

use crate::{
    common::{SMALL, anneal, copied, folder, json},
    data::png,
};

/// [`SMALL`] trained into `run`, with these settings.
fn trained(more: &[&str]) -> tempfile::TempDir {
    let dir = folder(&[("small.toml", SMALL)]);
    anneal(dir.path(), &[&["train", "small.toml", "--out", "run", "--quiet"], more].concat()).ok();
    dir
}

#[test]
fn a_torn_copy_of_a_replaced_config_is_not_put_back() {
    let dir = trained(&[]);
    let run = dir.path().join("run");
    let config = fs::read(run.join("config.toml")).expect("a file");
    let id = json(run.join("anneal.json"))["id"].as_str().expect("an id").to_owned();
    let aside = run.join(format!("replaced-{id}"));
    fs::create_dir(&aside).expect("made");
    fs::write(aside.join("config.toml"), "").expect("written");
    anneal(dir.path(), &["report", "run"]).ok();
    assert_eq!(fs::read(run.join("config.toml")).expect("a file"), config);
}

fn replaced(run: &Path) -> Vec<String> {
    let names = fs::read_dir(run).expect("a folder").map(|entry| entry.expect("an entry").file_name());
    let names = names.map(|name| name.to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("replaced-")).collect()
}

/// A run that fails before its first checkpoint says where the one before is; one that was killed after its last checkpoint
/// removes it when it is resumed.
#[test]
fn a_replaced_run_is_told_of_and_goes_in_time() {
    let dir = trained(&[]);
    let run = dir.path().join("run");
    let again = ["train", "small.toml", "--out", "run", "--quiet", "--overwrite"];
    let failed = anneal(dir.path(), &[&again[..], &["--set", "optimizer.lr=1e38"]].concat());
    assert_eq!(failed.code, 1, "{}", failed.err);
    let [aside] = &replaced(&run)[..] else { panic!("{:?}", replaced(&run)) };
    assert!(failed.err.contains(&format!("{aside}: the previous run is kept there")), "{}", failed.err);
    assert!(run.join(aside).join("model.safetensors").exists());

    let kept = dir.path().join("kept");
    copied(&run.join(aside), &kept);
    anneal(dir.path(), &again).ok();
    assert!(replaced(&run).is_empty());
    // As a kill leaves it.
    copied(&kept, &run.join(aside));
    anneal(dir.path(), &["resume", "run", "--quiet"]).ok();
    assert!(replaced(&run).is_empty());
}

#[cfg(unix)]
mod by_signals {
    use std::{
        process::{Child, Stdio},
        time::{Duration, Instant},
    };

    use nix::{
        sys::signal::{Signal, kill},
        unistd::Pid,
    };

    use super::*;
    use crate::common::command;

    fn interrupted(mut child: Child, is_under_way: impl Fn() -> bool) {
        let began = Instant::now();
        while !is_under_way() {
            assert!(began.elapsed() < Duration::from_mins(2), "the run does not get on");
            std::thread::sleep(Duration::from_millis(5));
        }
        kill(Pid::from_raw(i32::try_from(child.id()).expect("a pid")), Signal::SIGINT).expect("sent");
        assert_eq!(child.wait().expect("ends").code(), Some(130));
    }

    /// The checkpoint that an interrupt writes replaces no run, neither then nor when it is resumed; and it is a good one.
    #[test]
    fn an_accidental_overwrite_can_be_interrupted() {
        let dir = trained(&[]);
        let run = dir.path().join("run");
        let endless = [
            "train.steps=100000000",
            "train.validate_every='100000000it'",
            "train.checkpoint.every='100000000it'",
            "train.log_every=1",
        ];
        let settings: Vec<&str> = endless.iter().flat_map(|setting| ["--set", *setting]).collect();
        let start = |args: &[&str]| {
            let mut command = command(dir.path());
            command.args(args).args(["--quiet"]).args(&settings);
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts")
        };
        let lines = || fs::read_to_string(run.join("metrics.jsonl")).map_or(0, |log| log.lines().count());
        interrupted(start(&["train", "small.toml", "--out", "run", "--overwrite"]), || {
            !replaced(&run).is_empty() && lines() > 0
        });
        assert_eq!(replaced(&run).len(), 1);
        let config = run.join("config.toml");
        let config = config.to_str().expect("a path");
        let before = lines();
        interrupted(start(&["train", config, "--out", "run", "--resume"]), || lines() > before);
        assert_eq!(replaced(&run).len(), 1);
        let said = anneal(dir.path(), &["evaluate", "run"]).ok().err;
        assert!(!said.contains("shown its weights to be good"), "{said}");
        // The run that was to be kept is a run still.
        anneal(&run, &["evaluate", &replaced(&run)[0]]).ok();
    }

    /// Opening a pipe waits for its other end.
    #[test]
    fn only_regular_files_are_read() {
        let dir = trained(&["--set", "run.loggers=['csv']"]);
        for name in ["metrics.jsonl", "metrics.csv", "config.toml", "summary.json", "anneal.json"] {
            let run = dir.path().join(format!("of-{name}"));
            copied(&dir.path().join("run"), &run);
            fs::remove_file(run.join(name)).expect("removed");
            pipe(&run.join(name));
            let mut command = command(dir.path());
            command.args(["resume".as_ref(), run.as_os_str()]).args(["--epochs", "4", "--quiet"]);
            ends(command, name);
        }
    }

    fn pipe(path: &Path) {
        assert!(std::process::Command::new("mkfifo").arg(path).status().expect("made").success());
    }

    /// What a command prints on standard error, and its exit code; it must not hang.
    fn ends(mut command: std::process::Command, what: &str) -> (i32, String) {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
        let began = Instant::now();
        while child.try_wait().expect("asked").is_none() {
            if began.elapsed() > Duration::from_mins(1) {
                child.kill().expect("killed");
                panic!("{what}: it hangs");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let ran = crate::common::ran(&child.wait_with_output().expect("ended"));
        (ran.code, ran.err)
    }

    /// The same of every path that a user gives, to read or to write.
    #[test]
    fn only_regular_files_are_opened_for_a_user() {
        let dir = trained(&[]);
        let at = |name: &str| dir.path().join(name);
        for name in ["pipe", "pipe.png", "pipe.svg", "pipe.html", "pipe.safetensors"] {
            pipe(&at(name));
        }
        fs::write(at("plateau.toml"), "type = 'reduce_on_plateau'").expect("written");
        fs::write(at("fixed.toml"), "type = 'fixed'").expect("written");
        let cases: [(i32, &[&str]); 17] = [
            (2, &["train", "pipe"]),
            (2, &["find-lr", "pipe"]),
            (2, &["schedule", "pipe", "--epochs", "3"]),
            (2, &["schedule", "/dev/zero", "--epochs", "3"]),
            (2, &["schedule", "plateau.toml", "--epochs", "3", "--metrics", "pipe"]),
            (2, &["schedule", "plateau.toml", "--epochs", "3", "--metrics", "/dev/zero"]),
            (1, &["schedule", "fixed.toml", "--epochs", "3", "--plot", "pipe.svg"]),
            (2, &["compare", "small.toml", "--schedule", "pipe"]),
            (2, &["predict", "run", "pipe.png"]),
            (2, &["train", "small.toml", "--out", "new", "--set", "model.pretrained=pipe"]),
            (
                2,
                &[
                    "train",
                    "small.toml",
                    "--out",
                    "new",
                    "--set",
                    "data.dataset=table",
                    "--set",
                    "data.path=pipe",
                    "--set",
                    "data.target=y",
                    "--set",
                    "model.type=mlp",
                ],
            ),
            (
                2,
                &[
                    "train",
                    "small.toml",
                    "--out",
                    "new",
                    "--set",
                    "data.dataset=text",
                    "--set",
                    "data.path=pipe",
                    "--set",
                    "model.type=gpt",
                ],
            ),
            (1, &["find-lr", "small.toml", "--json", "pipe", "--quiet"]),
            (1, &["find-lr", "small.toml", "--plot", "pipe.png", "--quiet"]),
            (1, &["find-lr", "small.toml", "--apply", "pipe", "--overwrite", "--quiet"]),
            (1, &["report", "run", "--out", "pipe.html"]),
            (1, &["export", "run", "--to", "pipe.safetensors"]),
        ];
        for (code, args) in cases {
            let mut command = command(dir.path());
            command.args(args);
            let (found, said) = ends(command, &args.join(" "));
            assert!(found == code && said.contains("regular file"), "{args:?}: {found} {said}");
        }
        for name in ["pipe", "pipe.png", "pipe.svg", "pipe.html", "pipe.safetensors"] {
            assert!(!at(name).is_file(), "{name} was replaced");
        }
        assert!(!at("new").exists());
    }
}

/// Whatever a command writes where its user says: nobody else's file is replaced, unless that is asked for; its own is.
#[test]
fn nobody_elses_file_is_replaced() {
    let dir = trained(&[]);
    fs::write(dir.path().join("fixed.toml"), "type = 'fixed'").expect("written");
    let cases: [(&str, &[&str]); 6] = [
        ("page.html", &["report", "run", "--out", "page.html"]),
        ("report.html", &["report", "run", "run"]),
        ("lr.svg", &["schedule", "fixed.toml", "--epochs", "3", "--plot", "lr.svg"]),
        ("lr.png", &["find-lr", "small.toml", "--quiet", "--plot", "lr.png"]),
        ("sweep.json", &["find-lr", "small.toml", "--quiet", "--json", "sweep.json"]),
        ("w.safetensors", &["export", "run", "--to", "w.safetensors"]),
    ];
    for (name, args) in cases {
        let file = dir.path().join(name);
        fs::write(&file, "mine").expect("written");
        let refused = anneal(dir.path(), args);
        let why = format!("{name}: exists already; --overwrite replaces it");
        assert!(refused.code == 2 && refused.err.contains(&why), "{args:?}: {} {}", refused.code, refused.err);
        assert_eq!(fs::read_to_string(&file).expect("a file"), "mine", "{args:?}");
        anneal(dir.path(), &[args, &["--overwrite"]].concat()).ok();
        anneal(dir.path(), args).ok();
    }
    // Words are no mark.
    for (name, args) in cases {
        let file = dir.path().join(name);
        fs::write(&file, "notes on what was written by anneal").expect("written");
        assert_eq!(anneal(dir.path(), args).code, 2, "{args:?}");
        fs::remove_file(&file).expect("removed");
    }
    // Where no file can be, no sweep begins.
    fs::create_dir(dir.path().join("folder.svg")).expect("created");
    for (place, why) in [
        ("folder.svg", "it is a folder, not a regular file"),
        ("nowhere/lr.svg", "nowhere is not there"),
        ("fixed.toml/lr.svg", "fixed.toml is not a folder"),
    ] {
        let began = ["find-lr", "small.toml", "--quiet", "--json", "begun.json", "--plot", place];
        let ran = anneal(dir.path(), &began);
        assert!(ran.code == 1 && ran.err.contains(why), "{place}: {} {}", ran.code, ran.err);
        assert!(ran.out.is_empty() && !dir.path().join("begun.json").exists(), "{place}");
    }
    // A run's own files are its own.
    anneal(dir.path(), &["report", "run"]).ok();
    anneal(dir.path(), &["export", "run"]).ok();
    // What cannot be written is refused before any work.
    for verb in [&["find-lr", "small.toml"][..], &["schedule", "fixed.toml", "--epochs", "3"]] {
        let ran = anneal(dir.path(), &[verb, &["--plot", "lr.jpg"]].concat());
        assert!(ran.code == 2 && ran.err.contains("saved as .svg or .png, not as .jpg"), "{} {}", ran.code, ran.err);
    }
}

/// An ended run whose last epoch is a part of one keeps that epoch's lines when it is resumed.
#[test]
fn an_ended_run_keeps_the_log_of_its_last_epoch() {
    let dir = trained(&["--set", "train.steps=30", "--set", "run.loggers=['jsonl', 'csv']"]);
    let logs = || ["metrics.jsonl", "metrics.csv"].map(|name| fs::read_to_string(dir.path().join("run").join(name)));
    let before = logs().map(|log| log.expect("a log"));
    assert!(before[0].lines().any(|line| line.contains("\"step\":30") && line.contains("\"every\":\"epoch\"")));
    anneal(dir.path(), &["resume", "run", "--quiet"]).ok();
    assert_eq!(logs().map(|log| log.expect("a log")), before);
}

/// A group has no rate that a sweep could find: the refusal says what would be right.
#[test]
fn a_rate_to_be_found_is_no_groups() {
    for group in ["lr = 'auto'", "lr_scale = 'auto'", "optimizer = { type = 'adam', lr = 'auto' }"] {
        let dir = folder(&[("c.toml", &format!("{SMALL}[[groups]]\nparams = 'layers.0.*'\n{group}\n"))]);
        for verb in ["train", "find-lr"] {
            let ran = anneal(dir.path(), &[verb, "c.toml"]);
            assert_eq!(ran.code, 2, "{group}: {}", ran.err);
            for said in ["c.toml:17: groups[0].", "lr = \"auto\"` in [optimizer]", "max_lr = \"auto\" }"] {
                assert!(ran.err.contains(said), "{group}: {}", ran.err);
            }
        }
    }
}

/// A group keeps the rate that its schedule sets itself, whatever the base is written as.
#[test]
fn the_finder_gives_one_answer_for_auto_and_a_number() {
    let config =
        "[optimizer]\ntype = 'sgd'\nlr = 0.1\n[model]\ntype = 'mlp'\nhidden = [16]\n[lr_finder]\nnum_it = 20\n";
    let groups = [
        "{ params = 'layers.0.*', schedule = { type = 'one_cycle', max_lr = 1e-2, cycle_momentum = false } }",
        "{ params = 'layers.0.*', schedule = { type = 'optax/constant_schedule', value = 0.01 } }",
        // These follow the base.
        "{ params = 'layers.0.*', schedule = { type = 'fixed' } }",
        "{ params = 'layers.0.*', schedule = { type = 'fixed', warmup = { duration = 1, start_factor = 0 } } }",
    ];
    for group in groups {
        let text = format!("groups = [{group}]\n{config}");
        let dir = folder(&[("number.toml", &text), ("auto.toml", &text.replace("lr = 0.1", "lr = 'auto'"))]);
        let sweep = |file: &str| {
            let ran = anneal(dir.path(), &["find-lr", file, "--json", "-"]);
            assert!(ran.code == 0 || ran.code == 3, "{group}: {}", ran.err);
            serde_json::from_str::<Value>(&ran.out).unwrap_or_else(|error| panic!("{error}: {}", ran.out))
        };
        assert_eq!(sweep("number.toml"), sweep("auto.toml"), "{group}");
    }
}

/// A rate that is to be found reaches every group of a table that lists layers, and those after it.
#[test]
fn a_found_rate_reaches_groups_behind_layers() {
    let text = "groups = [{ layers = ['layers.0.*', '*.weight'], layer_decay = 0.5 },\n\
        { params = '*.bias', schedule = { type = 'one_cycle', max_lr = 'auto', cycle_momentum = false } }]\n\
        [optimizer]\ntype = 'sgd'\nlr = 'auto'\n[model]\ntype = 'mlp'\nhidden = [16]\n[train]\nepochs = 1\n";
    let dir = folder(&[("a.toml", text)]);
    anneal(dir.path(), &["train", "a.toml", "--out", "run", "--quiet"]).ok();
    let resolved: toml::Table =
        fs::read_to_string(dir.path().join("run/config.toml")).expect("a file").parse().expect("TOML");
    let (lr, max_lr) = (&resolved["optimizer"]["lr"], &resolved["groups"][2]["schedule"]["max_lr"]);
    assert_eq!(lr.as_float(), max_lr.as_float());
}

#[test]
fn a_run_that_trains_nothing_is_refused_or_told() {
    let refused = [
        ("groups = [{ params = '*', frozen = true }]\n", "c.toml:1: groups[0].frozen: "),
        ("train.freeze = [{ params = '*' }]\n", "c.toml:1: train.freeze[0]: "),
    ];
    let is_zero = "the learning rate of every parameter that is not frozen is 0";
    let told = [
        "groups = [{ params = '*', lr_scale = 0.0 }]\n",
        "groups = [{ params = '/.*/', schedule = { type = 'expression', expression = '0' } }]\n",
        "groups = [{ params = '*.bias', frozen = true }, { params = '*.weight', lr_scale = 0.0 }]\n",
    ];
    // One group alone is told as well, by its factor.
    let still = [
        (
            "groups = [{ params = 'layers.0.*', lr_scale = 0.0 }]\n",
            "groups[0].lr_scale is 0: what `layers.0.*` fits is not",
        ),
        (
            "groups = [{ params = '*.bias', lr_scale = 1e-9 }]\n",
            "groups[0].lr_scale is 1e-9: what `*.bias` fits is hardly",
        ),
    ];
    for (head, expected) in still {
        let dir = folder(&[("c.toml", &format!("{head}{SMALL}"))]);
        let said = anneal(dir.path(), &["train", "c.toml", "--epochs", "1", "--out", "run", "--quiet"]).ok().err;
        assert!(said.contains(expected), "{head}: {said}");
    }
    let rest = SMALL.replace("[train]\nepochs = 3\n", "");
    let commands: [&[&str]; 2] = [
        &["train", "c.toml", "--epochs", "1", "--out", "run", "--quiet"],
        &["find-lr", "c.toml", "--set", "lr_finder.num_it=5"],
    ];
    for command in commands {
        for (head, expected) in refused {
            let dir = folder(&[("c.toml", &format!("{head}{rest}"))]);
            let ran = anneal(dir.path(), command);
            let expected = format!("{expected}every parameter of the model is frozen");
            assert!(ran.code == 2 && ran.err.contains(&expected), "{command:?}, {head}: {}", ran.err);
            assert!(!dir.path().join("run").exists());
        }
        for head in told {
            let dir = folder(&[("c.toml", &format!("{head}{rest}"))]);
            let ran = anneal(dir.path(), command);
            assert!(ran.err.contains(is_zero), "{command:?}, {head}: {}", ran.err);
        }
    }
}

#[test]
fn schedules_that_are_surely_not_meant_are_told() {
    let dir = folder(&[
        (
            "plateau.toml",
            &SMALL.replace("type = 'step'\nstep_size = 1\ngamma = 0.5", "type = 'reduce_on_plateau'\nwarmup = 40"),
        ),
        (
            "group.toml",
            &format!(
                "groups = [{{ params = '*.bias', schedule = {{ type = 'cosine_annealing', t_max = 'rest' }} }}]\n{}",
                SMALL.replace("type = 'step'\nstep_size = 1\ngamma = 0.5", "type = 'fixed'")
            ),
        ),
    ]);
    let said = anneal(dir.path(), &["train", "plateau.toml", "--epochs", "4", "--quiet"]).ok().err;
    assert!(said.contains("the learning rate still rises when the run ends"), "{said}");
    anneal(dir.path(), &["train", "group.toml", "--out", "run", "--quiet", "--epochs", "20"]).ok();
    let said = anneal(dir.path(), &["resume", "run", "--epochs", "40", "--quiet"]).ok().err;
    assert!(said.contains("groups[0].schedule: the learning rate jumps at the resume"), "{said}");
}

/// `PATH/train/CLASS/N.png`: two classes that a glance tells apart.
fn images(path: &Path) {
    for (class, grey) in [("dark", 20_u8), ("light", 220)] {
        fs::create_dir_all(path.join("train").join(class)).expect("made");
        for number in 0..10_u8 {
            fs::write(path.join(format!("train/{class}/{number}.png")), png(8, grey + number)).expect("written");
        }
    }
}

#[test]
fn a_folder_of_images_that_has_moved_is_found() {
    let config =
        format!("{SMALL}[data]\ndataset = 'folder'\npath = 'im'\nimage_size = 8\ngrey = true\nbatch_size = 4\n");
    let dir = folder(&[("small.toml", &config)]);
    let at = dir.path();
    images(&at.join("im"));
    anneal(at, &["train", "small.toml", "--out", "run", "--quiet"]).ok();
    let figures = anneal(at, &["evaluate", "run"]).out;
    fs::create_dir(at.join("w")).expect("made");
    fs::rename(at.join("im"), at.join("w/im2")).expect("moved");
    assert_ne!(anneal(at, &["evaluate", "run"]).code, 0);
    let ran = anneal(at, &["evaluate", "run", "--data-dir", "w/im2"]);
    assert_eq!((ran.code, ran.out), (0, figures.clone()), "{}", ran.err);
    fs::rename(at.join("w/im2"), at.join("w/im")).expect("moved");
    let ran = anneal(at, &["evaluate", "run", "--data-dir", "w"]);
    assert_eq!((ran.code, ran.out), (0, figures), "{}", ran.err);

    let before = fs::read(at.join("run/config.toml")).expect("a file");
    let ran = anneal(at, &["resume", "run", "--epochs", "4", "--data-dir", "nowhere"]);
    assert!(ran.code == 2 && ran.err.contains("--data-dir: \"nowhere\" is not allowed here"), "{}", ran.err);
    assert_eq!(fs::read(at.join("run/config.toml")).expect("a file"), before);
    anneal(at, &["resume", "run", "--epochs", "4", "--data-dir", "w", "--quiet"]).ok();
    // From now on they are looked for there.
    anneal(at, &["evaluate", "run"]).ok();
    // A training is told where they are in the same way.
    anneal(at, &["train", "small.toml", "--data-dir", "w", "--out", "other", "--quiet"]).ok();
}

/// Whichever lines a log has lost, it is said once.
#[test]
fn lost_lines_of_a_log_are_told() {
    type Damage = fn(Vec<&str>) -> Vec<&str>;
    let cases: [(&str, Damage); 6] = [
        ("the middle", |log| [&log[..3], &log[log.len() - 3..]].concat()),
        ("the first half", |log| log[log.len() / 2..].to_vec()),
        ("validations", |log| log.into_iter().filter(|line| !line.contains("\"valid\"")).collect()),
        ("epochs", |log| {
            log.into_iter()
                .filter(|line| !line.contains("\"epoch\"}") && !line.contains("\"every\":\"epoch\""))
                .collect()
        }),
        ("the last line", |log| log[..log.len() - 1].to_vec()),
        ("the last two", |log| log[..log.len() - 2].to_vec()),
    ];
    let dir = trained(&["--set", "run.loggers=['csv']", "--set", "train.validate_every='0.5ep'"]);
    let resumed = |name: &str, damage: &dyn Fn(Vec<&str>) -> Vec<&str>, log: &str| {
        let run = dir.path().join(name);
        copied(&dir.path().join("run"), &run);
        let text = fs::read_to_string(run.join(log)).expect("a log");
        let lines: Vec<String> = damage(text.lines().collect()).iter().map(|line| format!("{line}\n")).collect();
        fs::write(run.join(log), lines.concat()).expect("written");
        let said = anneal(dir.path(), &["resume", name, "--epochs", "4", "--quiet"]).ok().err;
        fs::remove_dir_all(&run).expect("removed");
        said
    };
    for (number, (case, damage)) in cases.into_iter().enumerate() {
        let said = resumed(&format!("jsonl-{number}"), &damage, "metrics.jsonl");
        assert!(said.contains("gone") && said.contains("metrics.jsonl.damaged-1"), "{case}: {said}");
    }
    let rows: [(&str, Damage); 3] = [
        ("the middle", |log| [&log[..4], &log[log.len() - 3..]].concat()),
        ("the first half", |log| [&log[..1], &log[log.len() / 2..]].concat()),
        ("the last row", |log| log[..log.len() - 1].to_vec()),
    ];
    for (number, (case, damage)) in rows.into_iter().enumerate() {
        let said = resumed(&format!("csv-{number}"), &damage, "metrics.csv");
        assert!(said.contains("metrics.csv: ") && said.contains("gone"), "{case}: {said}");
    }
    let said = resumed("whole", &|log| log, "metrics.jsonl");
    assert!(!said.contains("gone"), "{said}");
}

#[test]
fn groups_that_fit_nothing_are_refused_everywhere() {
    let dir = folder(&[
        ("c.toml", SMALL),
        ("none.toml", &format!("groups = [{{ params = 'layer.0.*' }}]\n{SMALL}")),
        ("empty.toml", &format!("groups = [{{ layers = [], layer_decay = 0.5 }}]\n{SMALL}")),
        ("second.toml", &format!("groups = [{{ layers = ['*.bias', 'layer.0.*'], layer_decay = 0.5 }}]\n{SMALL}")),
        ("a.toml", "type = 'fixed'"),
        ("b.toml", "groups = [{ params = 'layer.0.*', lr_scale = 0.5 }]\n"),
    ]);
    let cases: [(&[&str], &str); 6] = [
        (&["list", "parameters", "none.toml"], "none.toml:1: groups[0].params: no parameter is called `layer.0.*`"),
        (&["train", "none.toml", "--out", "x"], "none.toml:1: groups[0].params: no parameter is called `layer.0.*`"),
        (&["train", "empty.toml", "--out", "x"], "empty.toml:1: groups[0].layers: [] is not allowed here"),
        (&["train", "second.toml", "--out", "x"], "second.toml:1: groups[0].layers[1]: no parameter is called"),
        (&["find-lr", "second.toml"], "second.toml:1: groups[0].layers[1]: no parameter is called"),
        (
            &["compare", "c.toml", "--schedule", "a.toml", "b.toml", "--out", "x"],
            "b.toml:1: groups[0].params: no parameter is called",
        ),
    ];
    for (args, expected) in cases {
        let ran = anneal(dir.path(), args);
        assert!(ran.code == 2 && ran.err.contains(expected), "{args:?}: {}", ran.err);
        assert!(!dir.path().join("x").exists(), "{args:?}");
    }
}

const SPIKE: &str = "[run]\nname = 'spike'\n[optimizer]\ntype = 'sgd'\nlr = 0.1\n[model]\ntype = 'mlp'\nhidden = [16]\n\
    [schedule]\ntype = 'expression'\ninterval = 'step'\nexpression = 'if(t == 41, 1e30, 1)'\n[train]\nepochs = 2\n";

fn newest(run: &Path) -> Value {
    let checkpoint = anneal::trainer::checkpoint::newest(&run.join("checkpoints")).expect("a checkpoint").checkpoint;
    json(checkpoint.path().join("manifest.json"))
}

/// The weights that a rollback at the last step gives are those that are measured and reported.
#[test]
fn a_rollback_at_the_last_step_is_reported_as_such() {
    let dir = folder(&[("c.toml", &SPIKE.replace("[train]", "[train]\non_nonfinite = 'rollback'"))]);
    let run = dir.path().join("run");
    anneal(dir.path(), &["train", "c.toml", "--out", "run", "--quiet"]).ok();
    let summary = json(run.join("summary.json"));
    let accuracy = newest(&run)["values"]["valid.accuracy"].as_f64().expect("a value");
    assert!(accuracy > 50.0, "{accuracy}");
    assert_eq!((&summary["rollbacks"], &summary["skipped_steps"]), (&1.into(), &1.into()), "{summary}");
    let log = fs::read_to_string(run.join("metrics.jsonl")).expect("a log");
    let last: Value = serde_json::from_str(log.lines().last().expect("a line")).expect("JSON");
    assert_eq!(last["accuracy"].as_f64(), Some(accuracy), "{last}");
}

/// A run that ended by its numbers goes on from weights that were known to be good, one that ended in order from its last.
#[test]
fn a_resumed_run_takes_good_weights() {
    let dir = folder(&[("c.toml", SPIKE)]);
    let train = ["train", "c.toml", "--out", "run", "--epochs", "3", "--quiet"];
    assert_eq!(anneal(dir.path(), &train).code, 1);
    assert_eq!(newest(&dir.path().join("run"))["step"], 42);
    // Whoever reads the run's weights takes the good ones, and is told so.
    let evaluated = anneal(dir.path(), &["evaluate", "run", "--json"]);
    assert!(evaluated.err.contains("step-00000042: the run failed before a loss had shown"), "{}", evaluated.err);
    let figures: Value = serde_json::from_str(&evaluated.out).expect("JSON");
    assert!(figures["loss"].as_f64().is_some_and(f64::is_finite), "{figures}");
    let exported = anneal(dir.path(), &["export", "run", "--to", "good.safetensors", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&exported.out).expect("JSON")["step"], 21);
    let from_it = ["--set", "model.pretrained=run", "--set", "schedule.type=fixed", "--out", "next", "--quiet"];
    anneal(dir.path(), &[&["train", "c.toml", "--epochs", "1"], &from_it[..]].concat()).ok();
    let resumed = anneal(dir.path(), &["resume", "run"]);
    assert!(resumed.err.contains("step-00000042: the run failed before a loss had shown"), "{}", resumed.err);
    assert!(resumed.out.contains("continues after step 21 of 63"), "{}", resumed.out);

    let dir = folder(&[("c.toml", SMALL)]);
    anneal(dir.path(), &["train", "c.toml", "--out", "run", "--max-time", "0.001s", "--quiet"]).ok();
    for args in [&["evaluate", "run"][..], &["export", "run"]] {
        let said = anneal(dir.path(), args).ok().err;
        assert!(!said.contains("to be good"), "{args:?}: {said}");
    }
}

/// As in Lightning: a run that had stopped early goes on when it is made longer, until a validation that is no improvement.
#[test]
fn a_longer_run_goes_on_after_early_stopping() {
    let early = "train.early_stopping={monitor='valid.loss',patience=1,min_delta=1e9}";
    let dir = trained(&["--epochs", "20", "--set", early]);
    let steps = || json(dir.path().join("run/summary.json"))["steps"].as_u64().expect("steps");
    let stopped = steps();
    assert!(stopped < 420, "{stopped}");
    let ran = anneal(dir.path(), &["resume", "run"]);
    assert!(ran.err.contains(&format!("stopped early after step {stopped}, and stays stopped")), "{}", ran.err);
    assert!(!ran.out.contains("continues after step"), "{}", ran.out);
    assert_eq!(steps(), stopped);
    let said = anneal(dir.path(), &["resume", "run", "--epochs", "40"]).ok().err;
    assert!(said.contains("it is longer now and goes on"), "{said}");
    assert_eq!(steps(), stopped + 21);
}

/// A run's config keeps what its owner has written into it.
#[test]
fn comments_of_a_runs_config_stay() {
    let dir = trained(&[]);
    let config = dir.path().join("run/config.toml");
    let text = fs::read_to_string(&config).expect("a file").replace("[train]", "# Mine.\n[train]");
    fs::write(&config, &text).expect("written");
    let args = ["train", "run/config.toml", "--out", "run", "--resume", "--epochs", "5", "--quiet"];
    anneal(dir.path(), &args).ok();
    assert_eq!(fs::read_to_string(&config).expect("a file"), text.replace("epochs = 3", "epochs = 5"));
}

#[test]
fn refusals_name_what_was_typed() {
    let dir = folder(&[("c.toml", &format!("groups = [{{ params = '*.bias' }}]\n{SMALL}"))]);
    fs::create_dir(dir.path().join("mine")).expect("made");
    fs::write(dir.path().join("mine/notes.md"), "mine").expect("written");
    let cases: [(&[&str], &str); 6] = [
        (&["--epochs", "0"], "error: --epochs: 0 is not allowed here"),
        (&["--epochs", "18446744073709551615"], "error: --epochs: 18446744073709551615 is not allowed here"),
        (&["--device", "tpu"], "error: --device: "),
        (&["--set", "groups.0.lr_scale=2"], "error: --set groups: is a list, whose items cannot be set one by one"),
        (&["--set", "data.validation=1e308"], "--set data.validation: 1e308 is not allowed here"),
        (&["--out", "mine"], "mine: is not empty and holds no run of this program"),
    ];
    for (args, expected) in cases {
        let ran = anneal(dir.path(), &[&["train", "c.toml"], args].concat());
        assert!(ran.code == 2 && ran.err.contains(expected), "{args:?}: {} {}", ran.code, ran.err);
    }
}

/// A run that went on after its end and was killed then is not finished, whatever its summary says.
#[test]
fn a_summary_of_before_is_none() {
    let dir = trained(&["--set", "train.log_every=7"]);
    let run = dir.path().join("run");
    let summary = fs::read(run.join("summary.json")).expect("a file");
    anneal(dir.path(), &["resume", "run", "--epochs", "5", "--quiet"]).ok();
    fs::write(run.join("summary.json"), summary).expect("written");
    let said = anneal(dir.path(), &["report", "run", "--out", "page.html"]).ok().out;
    let page = fs::read_to_string(dir.path().join("page.html")).expect("a page");
    assert!(page.contains("not finished"), "{said}");
}

/// What a link named `plots` points to is not of the run: nothing is written there.
#[cfg(unix)]
#[test]
fn plots_behind_a_link_stay() {
    let dir = trained(&[]);
    let (plots, mine) = (dir.path().join("run/plots"), dir.path().join("mine"));
    fs::create_dir(&mine).expect("made");
    fs::write(mine.join("loss.svg"), "mine").expect("written");
    fs::remove_dir_all(&plots).expect("removed");
    std::os::unix::fs::symlink(&mine, &plots).expect("linked");
    let said = anneal(dir.path(), &["resume", "run", "--epochs", "4"]).ok().err;
    assert!(said.contains("run/plots: is a link; renamed to run/plots.kept-1"), "{said}");
    let left: Vec<_> = fs::read_dir(&mine).expect("a folder").collect();
    assert!(left.len() == 1 && fs::read(mine.join("loss.svg")).expect("a file") == b"mine", "{left:?}");
    assert!(plots.join("loss.svg").exists());
}

/// A plain file at the name of a checkpoint is moved aside as a folder is, and the run goes on.
#[test]
fn a_file_at_the_name_of_a_checkpoint_is_moved_aside() {
    let dir = trained(&[]);
    let checkpoints = dir.path().join("run/checkpoints");
    fs::write(checkpoints.join("step-00000084"), "mine").expect("written");
    anneal(dir.path(), &["resume", "run", "--epochs", "4", "--quiet"]).ok();
    assert_eq!(fs::read(checkpoints.join("step-00000084.kept-1")).expect("a file"), b"mine");
    assert!(checkpoints.join("step-00000084/manifest.json").exists());
}

/// A comparison takes no run that was made longer since.
#[test]
fn a_contender_of_another_length_is_refused() {
    let dir = folder(&[("base.toml", SMALL), ("fixed.toml", "[schedule]\ntype = 'fixed'\n")]);
    let args = ["compare", "base.toml", "--with-config", "--schedule", "fixed.toml", "--out", "both", "--quiet"];
    anneal(dir.path(), &args).ok();
    anneal(dir.path(), &["resume", "both/base/seed-42", "--epochs", "4", "--quiet"]).ok();
    let ran = anneal(dir.path(), &[&args[..], &["--resume"]].concat());
    assert!(ran.code == 2 && ran.err.contains("both/base/seed-42: has been trained for another length"), "{}", ran.err);
}
