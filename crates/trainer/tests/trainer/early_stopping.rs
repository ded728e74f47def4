//! Early stopping restores the best model, also where the run was resumed in between.

use std::path::Path;

use crate::common::{Net, StopAfter, alone, bits, net, newest_only, optimizer, schedule, train_data, valid_data};
use burn::train::metric::AccuracyMetric;
use lr_core::Duration;
use trainer::{EarlyStopping, Ema, Fitted, StopReason, TrainConfig, Trainer, checkpoint, evaluate, kept_model};

const SGD: &str = "type = 'sgd'\nlr = 1.0";

/// A rate that learns and then destroys: the best model is one of the middle.
fn fit(directory: &Path, ema: Option<Ema>, restore_best: bool, stop: Option<u64>, resume: bool) -> Fitted<Net> {
    let config = TrainConfig {
        ema,
        validate_every: Duration::Steps(4),
        early_stopping: Some(EarlyStopping { patience: 3.into(), restore_best, ..EarlyStopping::new("valid.loss") }),
        checkpoint: Some(newest_only(directory)),
        ..TrainConfig::epochs(10)
    };
    let schedule = schedule("type = 'expression'\ninterval = 'step'\nexpression = 'if(t < 21, 0.1, 20)'");
    let mut trainer = Trainer::new(config).callback(StopAfter(stop));
    if resume {
        trainer = trainer.resume(checkpoint::newest(directory).expect("a checkpoint").checkpoint);
    }
    trainer.fit(net(), optimizer(SGD), schedule, &train_data(), Some(&valid_data())).expect("trains")
}

#[test]
fn the_best_model_is_the_runs() {
    let _alone = alone();
    for ema in [None, Some(Ema::new(0.5))] {
        let dir = tempfile::tempdir().expect("a folder");
        let restored = fit(dir.path(), ema, true, None, false);
        let context = format!("{ema:?}");
        assert_eq!(restored.report.stopped, StopReason::EarlyStopping, "{context}");
        let best = checkpoint::newest(dir.path()).expect("a checkpoint").checkpoint;
        let state = best.state().clone();
        assert_eq!(restored.report.restored, state.early_best_step, "{context}");
        assert_eq!(state.early_best_step, Some(state.step - 12), "{context}: three bad validations of 4 steps each");
        let measured = evaluate(restored.eval_model(), &valid_data(), AccuracyMetric::new()).expect("measured");
        assert_eq!(Some(measured["loss"]), state.early_best, "{context}: the best value is the model's");
        assert!(bits(&restored.model) == bits(restored.eval_model()), "{context}");
        // `anneal evaluate` finds the same model in the checkpoint.
        let kept = kept_model(&best, net(), optimizer(SGD), &train_data(), 0).expect("kept");
        assert!(bits(&kept) == bits(&restored.model), "{context}");

        let plain = tempfile::tempdir().expect("a folder");
        let unrestored = fit(plain.path(), ema, false, None, false);
        assert!(bits(&unrestored.model) != bits(&restored.model), "{context}");
        assert_eq!(unrestored.report.restored, None, "{context}");

        // Stopped before and after the best, in the middle of an epoch, and resumed.
        for stop in [7, state.step - 5] {
            let dir = tempfile::tempdir().expect("a folder");
            fit(dir.path(), ema, true, Some(stop), false);
            let resumed = fit(dir.path(), ema, true, None, true);
            assert!(bits(&resumed.model) == bits(&restored.model), "{context}, stopped after {stop}");
            assert_eq!(resumed.report.restored, restored.report.restored, "{context}, stopped after {stop}");
            // A run that has stopped early stays stopped.
            let again = fit(dir.path(), ema, true, None, true);
            assert_eq!((again.report.steps, again.report.stopped), (state.step, StopReason::EarlyStopping));
            assert!(bits(&again.model) == bits(&restored.model), "{context}");
        }
    }
}
