//! Activations that the backward pass computes again: the same numbers, wherever a model goes.

use std::path::Path;

use burn::{
    tensor::{Device, GradientCheckpointingStrategy},
    train::TrainStep,
};
use lr_core::Duration;
use trainer::{
    CheckpointPolicy, EarlyStopping, Ema, Fitted, OnNonFinite, Swa, TrainConfig, TrainError, Trainer,
    data::Loader,
    lr_finder::{LrFinder, LrFinderConfig},
};

use crate::common::{
    BATCH, ITEMS, Net, Points, StopAfter, alone, bits, device, newest_only, optimizer, points_of, schedule, valid_data,
};

const ADAM: &str = "type = 'adam'\nlr = 0.02";
const SCHEDULE_FREE: &str = "type = 'schedule_free_sgd'\nlr = 0.1";

fn on(is_checkpointing: bool) -> Device {
    if is_checkpointing { device().gradient_checkpointing() } else { device() }
}

/// The batch with item 5 has an infinite loss where it is `poisoned`.
fn data(device: Device, poisoned: bool) -> Loader<Points> {
    let scale = move |indices: &[usize]| if poisoned && indices.contains(&5) { f32::INFINITY } else { 1.0 };
    Loader::new(ITEMS, BATCH, move |indices, _| Points { scale: scale(indices), ..points_of(indices, &device) })
        .shuffled(3)
}

fn model(device: &Device) -> Net {
    Net::new(12, device).with_norm(device)
}

fn fit(
    is_checkpointing: bool,
    optimizer_config: &str,
    change: fn(&mut TrainConfig),
    directory: &Path,
    stop_after: Option<u64>,
) -> Result<Fitted<Net>, TrainError> {
    let device = on(is_checkpointing);
    let checkpoint = Some(CheckpointPolicy { every: Duration::Steps(4), ..newest_only(directory) });
    let mut config = TrainConfig {
        activation_checkpointing: is_checkpointing,
        checkpoint,
        on_nonfinite: OnNonFinite::Rollback,
        max_rollbacks: 9,
        ..TrainConfig::epochs(4)
    };
    change(&mut config);
    let trainer = Trainer::new(config).callback(StopAfter(stop_after)).resume_if_any();
    let poisoned = data(device.clone(), true);
    trainer.fit(model(&device), optimizer(optimizer_config), schedule("type = 'fixed'"), &poisoned, Some(&valid_data()))
}

type Change = fn(&mut TrainConfig);

#[test]
fn every_way_that_a_model_goes_gives_the_same_bits() {
    let _alone = alone();
    let cases: [(&str, &str, Change); 4] = [
        ("ema", ADAM, |config| config.ema = Some(Ema::new(0.9))),
        ("swa", ADAM, |config| config.swa = Some(Swa { start: Duration::Epochs(2.0), every: Duration::Steps(4) })),
        ("schedule-free", SCHEDULE_FREE, |_| {}),
        ("best", ADAM, |config| {
            let rule = EarlyStopping { patience: 1.into(), restore_best: true, ..EarlyStopping::new("train.loss") };
            config.early_stopping = Some(rule);
        }),
    ];
    for (name, optimizer, change) in cases {
        let folders: [_; 3] = std::array::from_fn(|_| tempfile::tempdir().expect("a folder"));
        let plain = fit(false, optimizer, change, folders[0].path(), None).expect(name);
        let whole = fit(true, optimizer, change, folders[1].path(), None).expect(name);
        assert!(plain.report.rollbacks > 0, "{name}");
        fit(true, optimizer, change, folders[2].path(), Some(5)).expect(name);
        let resumed = fit(true, optimizer, change, folders[2].path(), None).expect(name);
        for fitted in [&whole, &resumed] {
            assert!(bits(&plain.model) == bits(&fitted.model), "{name}: the weights");
            assert!(bits(plain.eval_model()) == bits(fitted.eval_model()), "{name}: the weights to evaluate");
        }
        // It trains on.
        let output = TrainStep::step(&whole.model, points_of(&[1, 2, 3], &on(true)));
        let strategy = output.item.loss.gradient_checkpointing_strategy();
        assert_eq!(strategy, Some(GradientCheckpointingStrategy::Balanced), "{name}");
    }
}

#[test]
fn the_finder_sweeps_the_same_curve() {
    let _alone = alone();
    let losses = |is_checkpointing| {
        let device = on(is_checkpointing);
        let finder = LrFinder::new(LrFinderConfig::default());
        finder.run(&model(&device), &optimizer(ADAM), &data(device, false)).expect("a curve").losses
    };
    assert_eq!(losses(true), losses(false));
}

#[test]
fn a_device_that_keeps_everything_is_refused() {
    let _alone = alone();
    let config = TrainConfig { activation_checkpointing: true, ..TrainConfig::epochs(1) };
    let trainer = Trainer::new(config);
    let fitted =
        trainer.fit(model(&on(false)), optimizer(ADAM), schedule("type = 'fixed'"), &data(on(false), false), None);
    match fitted {
        Err(TrainError::Setting(error)) => assert_eq!(error.path, "activation_checkpointing", "{error}"),
        other => panic!("{:?}", other.map(|fitted| fitted.report)),
    }
}
