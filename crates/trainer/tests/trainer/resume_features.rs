//! Averages, going back, freezing, restored best models and validation inside epochs are exact over a resumption; a
//! longer run goes on where a shorter one ended; what belongs to another run is refused with what differs.

use std::{collections::BTreeMap, path::Path};

use crate::common::{
    self, Net, Points, StopAfter, alone, bits, net, newest_only, optimizer, optimizer_at, poisoned_data, train_data,
    valid_data,
};
use burn::train::metric::AccuracyMetric;
use lr_core::Duration;
use optim_adaptive::Pattern;
use trainer::{
    CheckpointPolicy, EarlyStopping, Ema, Fitted, Freeze, OnNonFinite, Swa, TrainConfig, TrainError, Trainer,
    checkpoint, data::Loader,
};

const ADAM: &str = "type = 'adam'\nlr = 0.01";

fn policy(directory: &Path, every_epochs: u64) -> CheckpointPolicy {
    CheckpointPolicy { every: every_epochs.into(), keep_best: "valid.loss".to_owned(), ..newest_only(directory) }
}

fn fit(
    config: TrainConfig,
    schedule: &str,
    data: &Loader<Points>,
    stop: Option<u64>,
    resume: bool,
) -> Result<Fitted<Net>, TrainError> {
    let schedule = common::schedule(schedule);
    let directory = config.checkpoint.as_ref().expect("a policy").directory.clone();
    let mut trainer = Trainer::new(config).metric(AccuracyMetric::new()).callback(StopAfter(stop));
    if resume {
        trainer = trainer.resume(checkpoint::newest(&directory)?.checkpoint);
    }
    trainer.fit(net(), optimizer(ADAM), schedule, data, Some(&valid_data()))
}

/// The files of the newest checkpoint that equal runs have in common: all but wall-clock times.
fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let path = checkpoint::newest(directory).expect("a checkpoint").checkpoint.path().to_owned();
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(path).expect("a folder") {
        let entry = entry.expect("an entry");
        let name = entry.file_name().to_string_lossy().into_owned();
        let bytes = std::fs::read(entry.path()).expect("a file");
        if name != "manifest.json" && name != "times.json" {
            files.insert(name, bytes);
        }
    }
    files
}

#[test]
fn resumed_equals_uninterrupted() {
    let _alone = alone();
    let config = || TrainConfig { seed: 11, clip_grad_norm: Some(1.0), ..TrainConfig::epochs(6) };
    let pattern = Pattern::new("first.*").expect("a pattern");
    let swa = Swa { start: Duration::Epochs(2.0), every: Duration::Steps(4) };
    let early = EarlyStopping { patience: 4.into(), restore_best: true, ..EarlyStopping::new("valid.loss") };
    let back = |lr_factor| TrainConfig {
        on_nonfinite: OnNonFinite::Rollback,
        max_rollbacks: 9,
        rollback_lr_factor: lr_factor,
        ema: Some(Ema::new(0.9)),
        ..config()
    };
    let plateau = "type = 'reduce_on_plateau'\npatience = 0\nfactor = 0.5\nthreshold = 0.05\ninterval = 'step'";
    let cosine = "type = 'cosine_annealing'\nt_max = 'rest'";
    let cases: [(&str, TrainConfig, &str, Loader<Points>, u64); 6] = [
        (
            "ema with a ramp, accumulating",
            TrainConfig {
                ema: Some(Ema { warmup: true, every: Duration::Ticks(2), ..Ema::new(0.95) }),
                accumulate: 4,
                ..config()
            },
            cosine,
            train_data(),
            2,
        ),
        (
            "swa under its schedule",
            TrainConfig { swa: Some(swa), ..config() },
            "type = 'swa'\nswa_lr = 0.005\nanneal_epochs = 2",
            train_data(),
            3,
        ),
        ("going back, ema", back(1.0), cosine, poisoned_data(), 3),
        ("going back, the rate falling, a plateau", back(0.7), plateau, poisoned_data(), 2),
        (
            "frozen and thawed",
            TrainConfig { freeze: vec![Freeze::new(pattern).from_epoch(1).until_epoch(4)], ..config() },
            cosine,
            train_data(),
            2,
        ),
        (
            "validated inside epochs under a plateau, restoring the best",
            TrainConfig { validate_every: Duration::Epochs(0.3), early_stopping: Some(early), ..config() },
            plateau,
            train_data(),
            2,
        ),
    ];
    for (name, config, schedule, data, every_epochs) in cases {
        let on = |directory: &Path| TrainConfig { checkpoint: Some(policy(directory, every_epochs)), ..config.clone() };
        let whole_dir = tempfile::tempdir().expect("a folder");
        let whole = fit(on(whole_dir.path()), schedule, &data, None, false).expect(name);
        let expected = files(whole_dir.path());
        let per_epoch = config.steps_per_epoch(6);
        for stop in [1, per_epoch, per_epoch + 1, 2 * per_epoch + 2, 3 * per_epoch + 1, whole.report.steps - 1] {
            if stop >= whole.report.steps {
                continue;
            }
            let dir = tempfile::tempdir().expect("a folder");
            let context = format!("{name}, stopped after step {stop}");
            let first = fit(on(dir.path()), schedule, &data, Some(stop), false).expect(&context);
            assert_eq!(first.report.steps, stop, "{context}");
            let second = fit(on(dir.path()), schedule, &data, None, true).expect(&context);
            assert!(bits(&second.model) == bits(&whole.model), "{context}: the model differs");
            assert!(bits(second.eval_model()) == bits(whole.eval_model()), "{context}: the kept model differs");
            let found = files(dir.path());
            assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{context}");
            for (file, bytes) in &found {
                assert!(*bytes == expected[file], "{context}: {file} differs");
            }
        }
        if config.on_nonfinite == OnNonFinite::Rollback {
            assert!(whole.report.rollbacks > 3, "{name}: {} times", whole.report.rollbacks);
        }
    }
}

/// A run that ended and goes on for longer is the longer run, where the schedule does not look at the length.
#[test]
fn a_longer_run_goes_on_where_the_shorter_ended() {
    let _alone = alone();
    let schedule = "type = 'step'\nstep_size = 1\ngamma = 0.8";
    // The end of an epoch, and the middle of one.
    for (short, long) in [(Duration::Epochs(2.0), Duration::Epochs(5.0)), (Duration::Steps(8), Duration::Steps(21))] {
        let on = |directory: &Path, limit| TrainConfig {
            epochs: Some(limit),
            checkpoint: Some(policy(directory, 1)),
            ema: Some(Ema::new(0.9)),
            ..TrainConfig::default()
        };
        let (whole, parts) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let whole_run = fit(on(whole.path(), long), schedule, &train_data(), None, false).expect("trains");
        fit(on(parts.path(), short), schedule, &train_data(), None, false).expect("trains");
        let longer = fit(on(parts.path(), long), schedule, &train_data(), None, true).expect("goes on");
        assert!(bits(&longer.model) == bits(&whole_run.model), "{short:?} to {long:?}");
        assert!(bits(longer.eval_model()) == bits(whole_run.eval_model()), "{short:?} to {long:?}");
        let losses = |fitted: &Fitted<Net>| -> Vec<(u64, f64)> {
            fitted.report.epochs.iter().map(|epoch| (epoch.epoch, epoch.values["train.loss"])).collect()
        };
        assert_eq!(losses(&longer), losses(&whole_run), "{short:?} to {long:?}: each epoch once");
    }
}

/// Another run: its name, fingerprint, schedule and data, and what the refusal says.
type Other<'a> = (&'a str, &'a str, &'a str, Loader<Points>, &'a [&'a str]);

/// Refused with what differs, and nothing of the run touched.
#[test]
fn what_belongs_to_another_run_is_refused_by_name() {
    let _alone = alone();
    let dir = tempfile::tempdir().expect("a folder");
    let on = |fingerprint: &str| TrainConfig {
        checkpoint: Some(policy(dir.path(), 1)),
        fingerprint: fingerprint.to_owned(),
        ..TrainConfig::epochs(2)
    };
    let fixed = "type = 'fixed'";
    fit(on("model = mlp\nlr = 0.1\nseed = 1"), fixed, &train_data(), Some(3), false).expect("trains");
    let before = files(dir.path());
    let other_data = |content: &str, batch: usize, seed| {
        let device = common::device();
        Loader::new(common::ITEMS, batch, move |indices, _| common::points_of(indices, &device))
            .shuffled(seed)
            .content(content)
    };
    let own = "model = mlp\nlr = 0.1\nseed = 1";
    let cases: [Other<'_>; 6] = [
        (
            "seed",
            "model = mlp\nlr = 0.1\nseed = 2",
            fixed,
            train_data(),
            &["configuration", "`seed = 1`", "`seed = 2`"],
        ),
        ("a setting more", &format!("{own}\nema = 0.9"), fixed, train_data(), &["it was written without `ema = 0.9`"]),
        ("schedule", own, "type = 'step'\nstep_size = 2", train_data(), &["schedule", "`fixed`", "`step`"]),
        ("content", own, fixed, other_data("another", 16, 3), &["training data", "content another"]),
        ("batch size", own, fixed, other_data("", 8, 3), &["training data", "`batch size 16`", "`batch size 8`"]),
        ("order", own, fixed, other_data("", 16, 4), &["training data", "seed: 3", "seed: 4"]),
    ];
    for (name, fingerprint, schedule, data, expected) in cases {
        let Err(refusal) = fit(on(fingerprint), schedule, &data, None, true) else { panic!("{name}: accepted") };
        let text = refusal.to_string();
        for part in expected {
            assert!(text.contains(part), "{name}: {text}");
        }
        assert!(files(dir.path()) == before, "{name}");
    }
    // Another optimizer, another shape of the model.
    let resume = |model: Net, optimizer_config: &str| {
        let config = on(own);
        let schedule = common::schedule(fixed);
        let found = checkpoint::newest(dir.path()).expect("a checkpoint").checkpoint;
        let trainer = Trainer::new(config).resume(found);
        match trainer.fit(model, optimizer_at(optimizer_config, 0.01), schedule, &train_data(), Some(&valid_data())) {
            Err(error) => error.to_string(),
            Ok(_) => panic!("accepted"),
        }
    };
    let text = resume(net(), "type = 'rmsprop'\nlr = 0.01");
    assert!(text.contains("another optimizer") && text.contains("rmsprop") && text.contains("adam"), "{text}");
    let text = resume(Net::new(7, &common::device()), ADAM);
    assert!(text.contains("another model") && text.contains("first"), "{text}");
}
