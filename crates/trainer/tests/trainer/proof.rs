//! An update may leave weights that are finite and useless. What was saved of them is no good checkpoint: the good ones
//! stay, and the run goes back to a good one.

use std::{fs, path::Path};

use lr_core::Duration;
use trainer::{
    CheckpointPolicy, Fitted, OnNonFinite, TrainConfig, TrainError, Trainer, checkpoint, data::Loader, evaluate,
};

use crate::common::{
    ITEMS, Net, StopAfter, alone, bits, device, net, newest_only, optimizer_at, points_of, schedule, train_data,
    valid_data,
};

/// Epochs of 6 steps, a checkpoint after each.
fn config(directory: &Path, action: OnNonFinite, epochs: u64) -> TrainConfig {
    TrainConfig {
        on_nonfinite: action,
        sanity_batches: 0,
        checkpoint: Some(newest_only(directory)),
        ..TrainConfig::epochs(epochs)
    }
}

/// Trains with a rate that is so many times too large in step `spike`.
fn spiking(
    config: TrainConfig,
    spike: u64,
    factor: f64,
    validated: bool,
    change: impl FnOnce(Trainer<Net>) -> Trainer<Net>,
) -> Result<Fitted<Net>, TrainError> {
    let spiking = format!("type = 'expression'\ninterval = 'step'\nexpression = 'if(t == {}, {factor}, 1)'", spike - 1);
    let valid = valid_data();
    let valid = validated.then_some(&valid as &dyn trainer::data::Source<_>);
    change(Trainer::new(config)).fit(
        net().freeze_dropout(),
        optimizer_at("type = 'sgd'", 0.05),
        schedule(&spiking),
        &train_data(),
        valid,
    )
}

/// Weights of about 1e25: the loss is NaN.
const USELESS: f64 = 1e27;
const HEALTHY: f64 = 1.0;

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with("step-"))
        .collect();
    names.sort();
    names
}

/// The validation loss of a checkpoint.
fn loss(directory: &Path, step: u64) -> f64 {
    let found = checkpoint::open(&checkpoint::path_of(directory, step)).expect("a checkpoint");
    let model = found.model(net()).expect("a model");
    evaluate(&model, &valid_data(), burn::train::metric::AccuracyMetric::new()).expect("measured")["loss"]
}

#[test]
fn the_good_checkpoint_stays_beside_the_poisoned_one() {
    let _alone = alone();
    let dir = tempfile::tempdir().expect("a folder");
    match spiking(config(dir.path(), OnNonFinite::Stop, 5), 12, USELESS, false, |trainer| trainer) {
        // The rate to blame is that of the update before, not that of the step where it shows.
        Err(TrainError::NonFinite { step: 13, lr: Some(lr), .. }) => {
            assert!((lr / (0.05 * USELESS) - 1.0).abs() < 1e-9);
        }
        other => panic!("{:?}", other.map(|fitted| fitted.report)),
    }
    assert_eq!(names(dir.path()), ["step-00000006", "step-00000012"]);
    assert!(loss(dir.path(), 6) < 1.0 && loss(dir.path(), 12).is_nan());
    assert_eq!(checkpoint::newest(dir.path()).expect("found").checkpoint.state().unproven, [12]);
    // A validation tells at once that it is no good.
    let dir = tempfile::tempdir().expect("a folder");
    spiking(config(dir.path(), OnNonFinite::Stop, 5), 12, USELESS, true, |trainer| trainer).expect_err("stops");
    assert_eq!(names(dir.path()), ["step-00000006", "step-00000012"]);
}

#[test]
fn it_goes_back_to_a_state_that_was_shown_to_be_good() {
    let _alone = alone();
    for validated in [false, true] {
        let dir = tempfile::tempdir().expect("a folder");
        let config = |path| TrainConfig { rollback_lr_factor: 0.5, ..config(path, OnNonFinite::Rollback, 5) };
        let fitted =
            spiking(config(dir.path()), 12, USELESS, validated, |trainer| trainer).expect("goes back and trains on");
        assert_eq!((fitted.report.rollbacks, fitted.report.steps), (1, 30));
        assert_eq!(names(dir.path()), ["step-00000030"], "what it has gone back from is removed");
        assert!(loss(dir.path(), 30) < 0.75, "{}", loss(dir.path(), 30));
        // In several processes, also one that begins at the poisoned checkpoint, it is the same run.
        let there = tempfile::tempdir().expect("a folder");
        for (stop, first) in [(12, true), (13, false), (20, false), (99, false)] {
            spiking(config(there.path()), 12, USELESS, validated, |trainer| {
                let trainer = trainer.callback(StopAfter(Some(stop)));
                if first {
                    return trainer;
                }
                trainer.resume(checkpoint::newest(there.path()).expect("a checkpoint").checkpoint)
            })
            .expect("trains");
        }
        let last = |directory| checkpoint::newest(directory).expect("a checkpoint").checkpoint;
        for part in ["model.bpk", "optimizer.bpk", "state.json"] {
            assert!(last(there.path()).part(part) == last(dir.path()).part(part), "{part}, validated: {validated}");
        }
        assert_eq!(names(there.path()), ["step-00000030"]);
    }
}

#[test]
fn skipping_has_an_end() {
    let _alone = alone();
    let run = |max_skips, epochs| {
        let dir = tempfile::tempdir().expect("a folder");
        let config = TrainConfig { max_skips, ..config(dir.path(), OnNonFinite::Skip, epochs) };
        let error = spiking(config, 12, USELESS, false, |trainer| trainer).expect_err("not to the end");
        assert!(loss(dir.path(), 6) < 1.0, "the good one stays");
        error
    };
    match run(10, 9) {
        TrainError::TooManySkips { skips: 10, source } => {
            assert!(matches!(*source, TrainError::NonFinite { step: 23, .. }), "{source}");
        }
        other => panic!("{other}"),
    }
    assert!(matches!(run(2, 9), TrainError::TooManySkips { skips: 2, .. }));
    // The end comes first: six steps are left out, and the weights are as they were.
    match run(10, 3) {
        TrainError::UselessWeights { step: 18, loss, .. } => assert!(loss.is_nan()),
        other => panic!("{other}"),
    }
}

#[test]
fn at_the_end_a_validation_or_a_forward_pass_decides() {
    let _alone = alone();
    for validated in [false, true] {
        for action in [OnNonFinite::Stop, OnNonFinite::Skip] {
            let dir = tempfile::tempdir().expect("a folder");
            match spiking(config(dir.path(), action, 2), 12, USELESS, validated, |trainer| trainer) {
                Err(error @ TrainError::UselessWeights { step: 12, .. }) => {
                    assert!(error.to_string().contains("are useless: their loss is NaN"), "{error}");
                }
                other => panic!("{:?}", other.map(|fitted| fitted.report)),
            }
            assert_eq!(names(dir.path()), ["step-00000006"]);
        }
        let dir = tempfile::tempdir().expect("a folder");
        let fitted = spiking(config(dir.path(), OnNonFinite::Rollback, 2), 12, USELESS, validated, |trainer| trainer)
            .expect("goes back");
        assert_eq!((fitted.report.rollbacks, fitted.report.steps), (1, 12));
        assert!(loss(dir.path(), 12) < 1.0);
        let first =
            spiking(config(dir.path(), OnNonFinite::Stop, 1), 12, HEALTHY, false, |trainer| trainer).expect("trains");
        assert!(bits(&fitted.model) == bits(&first.model), "the end of the first epoch");
        // A run without fault leaves what the policy keeps, whichever of the two has decided.
        let dir = tempfile::tempdir().expect("a folder");
        spiking(config(dir.path(), OnNonFinite::Stop, 2), 12, HEALTHY, validated, |trainer| trainer).expect("trains");
        assert_eq!(names(dir.path()), ["step-00000012"]);
        assert!(checkpoint::newest(dir.path()).expect("found").checkpoint.state().unproven.is_empty());
    }
}

#[test]
fn a_finite_loss_a_thousand_times_too_large_shows_nothing_to_be_good() {
    let _alone = alone();
    // All items in one batch: with logits of millions, a few that are right by chance would have a loss of 0.
    let run = |spike: u64, keep_last| {
        let dir = tempfile::tempdir().expect("a folder");
        let every = Duration::Steps(6);
        let config = TrainConfig {
            checkpoint: Some(CheckpointPolicy { every, keep_last, ..newest_only(dir.path()) }),
            ..TrainConfig::epochs(24)
        };
        let spiking = format!(
            "type = 'expression'\ninterval = 'step'\nexpression = 'if(t < {0}, 1, if(t == {0}, 1e7, 0))'",
            spike - 1
        );
        let device = device();
        let data = Loader::new(ITEMS, ITEMS, move |indices, _| points_of(indices, &device));
        Trainer::new(config)
            .fit(net().freeze_dropout(), optimizer_at("type = 'sgd'", 0.05), schedule(&spiking), &data, None)
            .expect("nothing is infinite");
        let newest = checkpoint::newest(dir.path()).expect("a checkpoint").checkpoint;
        (names(dir.path()), newest.state().unproven.clone())
    };
    let all = ["step-00000006", "step-00000012", "step-00000018", "step-00000024"];
    assert_eq!(run(12, 1), (all.map(str::to_owned).to_vec(), vec![12, 18, 24]));
    // They lie beside the good ones that are to be kept, not in their place.
    assert_eq!(run(18, 2), (all.map(str::to_owned).to_vec(), vec![18, 24]));
    assert_eq!(run(99, 2).0, all[2..], "without a spike");
}
