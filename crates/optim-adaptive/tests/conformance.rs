//! What every optimizer must do, whatever its formula: one table, every optimizer and option in it, each property a
//! test over the whole table.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot be set up has failed")]

mod common;

use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Device, Tensor};
use optim_adaptive::{AdaptiveOptimizer, AdaptiveRecord, Group, OptimizerRegistry, Pattern, RecordMismatch};

use common::{Two, config, devices, is_burns, tensor, values};

/// One row: the settings, and a rate and number of steps with which it gets down a quadratic and Rosenbrock's valley.
struct Row {
    text: &'static str,
    quadratic: (f64, usize),
    rosenbrock: (f64, usize),
}

const fn row(text: &'static str, quadratic: (f64, usize), rosenbrock: (f64, usize)) -> Row {
    Row { text, quadratic, rosenbrock }
}

/// Every optimizer, with every option that has a code path or a state of its own.
const TABLE: &[Row] = &[
    row("type = 'adam'", (0.05, 400), (0.02, 4000)),
    row("type = 'adam'\namsgrad = true", (0.05, 400), (0.02, 4000)),
    row("type = 'adam'\nweight_decay = 1e-6", (0.05, 400), (0.02, 4000)),
    row("type = 'adam'\nbetas = [0.0, 0.99]", (0.02, 600), (0.002, 6000)),
    row("type = 'adamw'\nweight_decay = 1e-6", (0.05, 400), (0.02, 4000)),
    row("type = 'adamw'\nweight_decay = 1e-6\namsgrad = true", (0.05, 400), (0.02, 4000)),
    row("type = 'nadam'", (0.05, 400), (0.02, 4000)),
    row("type = 'nadam'\nweight_decay = 1e-6\ndecoupled_weight_decay = true", (0.05, 400), (0.02, 4000)),
    row("type = 'radam'", (0.05, 400), (0.002, 20000)),
    row("type = 'adamax'", (0.05, 400), (0.02, 6000)),
    row("type = 'adagrad'", (0.5, 400), (0.5, 6000)),
    row("type = 'adagrad'\nlr_decay = 1e-4\ninitial_accumulator_value = 0.1", (0.5, 400), (0.5, 6000)),
    row("type = 'rmsprop'", (0.005, 800), (0.002, 6000)),
    row("type = 'rmsprop'\ncentered = true", (0.005, 800), (0.002, 6000)),
    row("type = 'rmsprop'\nmomentum = 0.9", (0.001, 800), (0.0005, 6000)),
    row("type = 'rmsprop'\ncentered = true\nmomentum = 0.9", (0.001, 800), (0.0003, 8000)),
    row("type = 'adadelta'", (10.0, 800), (10.0, 6000)),
    row("type = 'sgd'", (0.1, 200), (0.002, 12000)),
    row("type = 'sgd'\nmomentum = 0.9", (0.02, 400), (0.001, 4000)),
    row("type = 'sgd'\nmomentum = 0.9\nnesterov = true\nweight_decay = 1e-6", (0.02, 400), (0.001, 4000)),
    row("type = 'sgd'\nmomentum = 0.9\ndampening = 0.5", (0.05, 400), (0.002, 4000)),
    row("type = 'prodigy'\nd0 = 1e-3", (1.0, 800), (1.0, 4000)),
    row("type = 'prodigy'\nd0 = 1e-3\nsafeguard_warmup = true\nuse_bias_correction = true", (1.0, 800), (1.0, 4000)),
    row("type = 'schedule_free_adamw'", (0.1, 800), (0.1, 6000)),
    row("type = 'schedule_free_adamw'\nwarmup_steps = 20\nr = 1.0\nweight_decay = 1e-6", (0.1, 800), (0.1, 6000)),
    row("type = 'schedule_free_sgd'", (0.2, 800), (0.003, 12000)),
    row("type = 'schedule_free_sgd'\nwarmup_steps = 20\nweight_decay = 1e-6", (0.2, 800), (0.003, 12000)),
    row("type = 'lion'", (0.002, 1500), (0.001, 10000)),
    row("type = 'lamb'\nuse_trust_ratio = false", (0.05, 400), (0.02, 4000)),
    row("type = 'muon'", (0.05, 400), (0.02, 4000)),
    row("type = 'adafactor'\nrelative_step = false\nscale_parameter = false", (0.01, 800), (0.002, 8000)),
];

fn cpu() -> Device {
    devices().first().expect("a CPU backend").1.clone()
}

#[test]
fn every_registered_optimizer_has_a_row() {
    for (name, _) in OptimizerRegistry::standard().iter() {
        let row = TABLE.iter().find(|row| row.text.lines().next() == Some(&format!("type = '{name}'")));
        assert!(row.is_some(), "`{name}` is registered and not in the table");
    }
}

/// Some gradient, different at each step, of a model's shape.
fn some_grads(model: &Two, step: usize, weight: bool, bias: bool) -> GradientsParams {
    let device = model.weight.val().device();
    let dtype = model.weight.val().dtype();
    let wave = |n: usize, phase: f64| -> Vec<f64> {
        (0..n).map(|i| ((i * 37 + step * 11) as f64 * 0.7 + phase).sin() * (1.0 + 0.1 * i as f64)).collect()
    };
    let [rows, columns] = model.weight.dims();
    let [length] = model.bias.dims();
    model.grads(
        weight.then(|| tensor(&wave(rows * columns, 0.3), [rows, columns], dtype, &device)),
        bias.then(|| tensor(&wave(length, 1.1), [length], dtype, &device)),
    )
}

fn some_model(dtype: DType, device: &Device) -> Two {
    let wave = |n: usize| -> Vec<f64> { (0..n).map(|i| (i as f64 * 1.3).cos() + 0.2).collect() };
    Two::new(tensor(&wave(12), [3, 4], dtype, device), tensor(&wave(5), [5], dtype, device))
}

fn steps(optimizer: &mut AdaptiveOptimizer, mut model: Two, range: std::ops::Range<usize>) -> Two {
    let lr = optimizer.config().lr();
    for step in range {
        let grads = some_grads(&model, step, true, true);
        model = optimizer.step(lr, model, grads);
    }
    model
}

fn bits(model: &Two) -> Vec<u64> {
    model.values().into_iter().flatten().map(f64::to_bits).collect()
}

#[test]
fn converges_on_a_quadratic() {
    for Row { text, quadratic: (lr, count), .. } in TABLE {
        let config = config(text).with_lr(*lr);
        let mut optimizer = config.init();
        let start = [1.5, -0.8, 0.4, -1.2];
        let curvature = [1.0, 0.5, 2.0, 1.5];
        let device = cpu();
        let mut model =
            Two::new(tensor(&start, [2, 2], DType::F64, &device), tensor(&start[..2], [2], DType::F64, &device));
        let loss = |model: &Two| -> f64 {
            let [weight, bias] = model.values();
            weight.iter().chain(&bias).zip(curvature.iter().cycle()).map(|(x, c)| c * x * x / 2.0).sum()
        };
        let before = loss(&model);
        for step in 0..*count {
            let [weight, bias] = model.values();
            let slope = |x: &[f64]| -> Vec<f64> { x.iter().zip(curvature).map(|(x, c)| c * x).collect() };
            let grads = model.grads(
                Some(tensor(&slope(&weight), [2, 2], DType::F64, &device)),
                Some(tensor(&slope(&bias), [2], DType::F64, &device)),
            );
            // A rate that comes down at the end, as in any real run; the schedule-free ones keep theirs.
            let rate = if optimizer.has_eval_params() || text.contains("prodigy") {
                *lr
            } else {
                lr * (1.0 - step as f64 / *count as f64)
            };
            model = optimizer.step(rate, model, grads);
        }
        let after = loss(&optimizer.eval_params(model));
        assert!(after < 2e-2 * before, "{text}: {before} -> {after}");
    }
}

#[test]
fn gets_down_rosenbrocks_valley() {
    for Row { text, rosenbrock: (lr, count), .. } in TABLE {
        let config = config(text).with_lr(*lr);
        let mut optimizer = config.init();
        let device = cpu();
        let vector = |x: &[f64]| tensor(x, [2], DType::F64, &device);
        let mut model = Two::new(tensor(&[0.0], [1, 1], DType::F64, &device), vector(&[-0.5, 0.8]));
        let loss = |x: f64, y: f64| (1.0 - x).powi(2) + 100.0 * (y - x * x).powi(2);
        let before = loss(-0.5, 0.8);
        for step in 0..*count {
            let [_, point] = model.values();
            let (x, y) = (point[0], point[1]);
            let slope = [-2.0 * (1.0 - x) - 400.0 * x * (y - x * x), 200.0 * (y - x * x)];
            let grads = model.grads(None, Some(vector(&slope)));
            let rate = if optimizer.has_eval_params() || text.contains("prodigy") {
                *lr
            } else {
                lr * (1.0 - step as f64 / *count as f64)
            };
            model = optimizer.step(rate, model, grads);
        }
        let [_, point] = optimizer.eval_params(model).values();
        let after = loss(point[0], point[1]);
        assert!(after < 0.1 && after < before / 20.0, "{text}: {before} -> {after} at {point:?}");
    }
}

#[test]
fn keeps_precision_shape_and_gradient_tracking() {
    for Row { text, .. } in TABLE {
        for (name, device) in devices() {
            for dtype in [DType::F32, DType::F64] {
                let mut optimizer = config(text).init();
                let model = some_model(dtype, &device);
                let model = steps(&mut optimizer, model, 0..2);
                assert_eq!(model.weight.val().dtype(), dtype, "{text} on {name}");
                assert_eq!(model.weight.dims(), [3, 4], "{text} on {name}");
                assert!(!model.weight.val().is_autodiff(), "{text} on {name}");
            }
            let mut optimizer = config(text).init();
            let tracked = device.clone().autodiff();
            let Two { weight, bias } = some_model(DType::F32, &tracked);
            let model = Two { weight: weight.set_require_grad(true), bias };
            let id = model.weight.id;
            let inner = |values: &[f64]| tensor::<2>(values, [3, 4], DType::F32, &device);
            let grads = model.grads(Some(inner(&[0.5; 12])), None);
            let model = optimizer.step(0.1, model, grads);
            assert!(model.weight.val().is_require_grad(), "{text} on {name}");
            assert_eq!(model.weight.id, id);
        }
    }
}

#[test]
fn backends_agree() {
    let [(_, first), (name, second)] = &devices()[..] else { return };
    for Row { text, .. } in TABLE {
        let run = |device: &Device| {
            let mut optimizer = config(text).init();
            steps(&mut optimizer, some_model(DType::F64, device), 0..5).values().concat()
        };
        for (a, b) in run(first).into_iter().zip(run(second)) {
            assert!((a - b).abs() <= 1e-6 * (1.0 + b.abs()), "{text} on {name}: {a} and {b}");
        }
    }
}

#[test]
fn resumes_bit_for_bit_in_a_fresh_instance() {
    for Row { text, .. } in TABLE {
        for (name, device) in devices() {
            for dtype in [DType::F32, DType::F64] {
                if is_burns(text) && dtype == DType::F64 {
                    continue; // Refused when loading: the test below.
                }
                let mut whole = config(text).init();
                let expected = steps(&mut whole, some_model(dtype, &device), 0..7);

                let mut before = config(text).init();
                let model = steps(&mut before, some_model(dtype, &device), 0..3);
                // Parameter ids are the record's keys: the model is the one that was saved, as in a checkpoint.
                let bytes = before.to_bytes().expect("bytes");
                drop(before);
                let mut after = config(text).init();
                after.try_load_bytes(&bytes).unwrap_or_else(|error| panic!("{text}: {error}"));
                let found = steps(&mut after, model, 3..7);
                assert_eq!(bits(&found), bits(&expected), "{text} on {name} in {dtype:?}");
            }
        }
    }
}

#[test]
fn the_same_state_gives_the_same_bytes() {
    for Row { text, .. } in TABLE {
        let mut optimizer = config(text).init();
        steps(&mut optimizer, some_model(DType::F32, &cpu()), 0..2);
        let bytes = optimizer.to_bytes().expect("bytes");
        assert_eq!(bytes, optimizer.to_bytes().expect("bytes"), "{text}");
        let mut again = config(text).init();
        again.try_load_bytes(&bytes).expect("loads");
        assert_eq!(again.to_bytes().expect("bytes"), bytes, "{text}: loading changes nothing");
    }
}

#[test]
fn a_rebuilt_copy_goes_on_alike_and_shares_nothing() {
    for Row { text, .. } in TABLE {
        let mut optimizer = config(text).init();
        let model = steps(&mut optimizer, some_model(DType::F32, &cpu()), 0..3);
        let mut copy = optimizer.rebuild().expect("a copy");
        let saved = optimizer.to_bytes().expect("bytes");
        let ahead = steps(&mut copy, model.clone(), 3..6);
        copy.momentum().set(0.123);
        assert_eq!(optimizer.to_bytes().expect("bytes"), saved, "{text}: the copy's steps show in the original");
        assert_ne!(optimizer.momentum().get(), Some(0.123), "{text}");
        assert_eq!(bits(&steps(&mut optimizer, model, 3..6)), bits(&ahead), "{text}");
    }
}

/// A record holds the state as it was, whatever steps follow; on Flex by its buffers, which those steps then leave alone.
#[test]
fn a_record_is_of_its_moment() {
    for (name, device) in devices() {
        for Row { text, .. } in TABLE {
            let mut optimizer = config(text).init();
            let model = steps(&mut optimizer, some_model(DType::F32, &device), 0..3);
            let saved = optimizer.to_bytes().expect("bytes");
            let (snapshot, record) = (optimizer.snapshot(), optimizer.to_record());
            steps(&mut optimizer, model, 3..6);
            if !stateless(text) {
                assert_ne!(optimizer.to_bytes().expect("bytes"), saved, "{text} on {name}");
            }
            // A buffer that held something else before, longer or shorter.
            for mut buffer in [Vec::new(), vec![7; 3], vec![7; 100_000]] {
                record.clone().write_into(&mut buffer).expect("written");
                assert!(buffer == saved, "{text} on {name}: the record");
            }
            let bytes = snapshot().into_bytes().expect("bytes");
            assert!(bytes == saved, "{text} on {name}: the snapshot");
        }
    }
}

/// For gradients that are finite it is `step`; for others it names the first parameter.
#[test]
fn a_watched_step_names_the_first_gradient_that_is_not_finite() {
    let bad = |[rows, columns]: [usize; 2], dtype, value: f64, device: &Device| {
        let mut values = vec![0.5; rows * columns];
        values[rows * columns - 1] = value;
        tensor::<2>(&values, [rows, columns], dtype, device)
    };
    for (name, device) in devices() {
        for Row { text, .. } in TABLE {
            for dtype in [DType::F32, DType::F64, DType::BF16] {
                // ndarray has no half precision, burn's own have f32 states only.
                if dtype != DType::F32 && (is_burns(text) || (dtype == DType::BF16 && name == "ndarray")) {
                    continue;
                }
                for (weight, bias, expected) in [
                    (1.0, 1.0, None),
                    (f64::NAN, 1.0, Some("weight")),
                    (1.0, f64::INFINITY, Some("bias")),
                    (f64::NEG_INFINITY, f64::NAN, Some("weight")),
                ] {
                    // In the first step, which makes the state, and in a later one.
                    for before in [0, 3] {
                        let what = format!("{text} on {name} in {dtype:?}, step {}: {weight} and {bias}", before + 1);
                        let mut optimizer = config(text).init();
                        let mut model = some_model(DType::F32, &device);
                        if dtype != DType::F32 {
                            model = model.map(&mut Cast(dtype));
                        }
                        for _ in 0..before {
                            let grads = model.grads(
                                Some(bad([3, 4], dtype, 0.1, &device)),
                                Some(bad([1, 5], dtype, 0.2, &device).reshape([5])),
                            );
                            let seen;
                            (model, seen) = optimizer.step_watched(0.01, model, grads);
                            assert_eq!(seen, None, "{what}");
                        }
                        let grads = || {
                            model.grads(
                                Some(bad([3, 4], dtype, weight, &device)),
                                Some(bad([1, 5], dtype, bias, &device).reshape([5])),
                            )
                        };
                        let mut other = optimizer.rebuild().expect("a copy");
                        let (watched, seen) = optimizer.step_watched(0.01, model.clone(), grads());
                        assert_eq!(seen.as_deref(), expected, "{what}");
                        let plain = other.step(0.01, model.clone(), grads());
                        let data = |model: &Two| {
                            let weight = model.weight.val().into_data().as_bytes().to_vec();
                            [weight, model.bias.val().into_data().as_bytes().to_vec()].concat()
                        };
                        assert!(data(&watched) == data(&plain), "{what}: the update is another");
                    }
                }
            }
        }
    }
}

struct Cast(DType);

impl ModuleMapper for Cast {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|tensor| tensor.cast(self.0))
    }
}

/// A gradient counts wherever its parameter is: in a group of another optimizer, in a frozen one.
#[test]
fn a_watched_step_looks_at_every_group() {
    let group = |optimizer: Option<&str>| {
        let mut group = Group::new(Pattern::new("bias").expect("pattern"));
        group.optimizer = optimizer.map(config);
        group.frozen = optimizer.is_none();
        vec![group]
    };
    let others = [None, Some("type = 'sgd'"), Some("type = 'lion'"), Some("type = 'schedule_free_sgd'")];
    for Row { text, .. } in TABLE {
        for other in others {
            for (weight, bias, expected) in
                [(1.0, 1.0, None), (f64::NAN, f64::NAN, Some("weight")), (1.0, f64::NAN, Some("bias"))]
            {
                let mut optimizer = config(text).init_with_groups(group(other));
                let model = some_model(DType::F32, &cpu());
                let grads = model.grads(
                    Some(tensor(&[weight; 12], [3, 4], DType::F32, &cpu())),
                    Some(tensor(&[bias; 5], [5], DType::F32, &cpu())),
                );
                let (_, seen) = optimizer.step_watched(0.01, model, grads);
                assert_eq!(seen.as_deref(), expected, "{text}, bias under {other:?}");
            }
        }
    }
}

#[test]
fn survives_changed_settings() {
    for Row { text, .. } in TABLE {
        let mut before = config(text).init();
        let model = steps(&mut before, some_model(DType::F32, &cpu()), 0..3);
        let changed = config(text).with_lr(0.37).with_weight_decay(0.01).unwrap_or_else(|| config(text));
        let mut after = changed.init();
        after.try_load(before.to_record()).unwrap_or_else(|error| panic!("{text}: {error}"));
        let found = steps(&mut after, model.clone(), 3..5);
        assert!(found.values().concat().iter().all(|x| x.is_finite()), "{text}");
        assert_ne!(bits(&found), bits(&steps(&mut before, model, 3..5)), "{text}: the new settings act");
    }
}

#[test]
fn a_parameter_without_a_gradient_is_left_alone() {
    for Row { text, .. } in TABLE {
        let mut optimizer = config(text).init();
        let mut model = steps(&mut optimizer, some_model(DType::F32, &cpu()), 0..2);
        let [_, bias] = model.values();
        for step in 2..4 {
            let grads = some_grads(&model, step, true, false);
            model = optimizer.step(0.01, model, grads);
        }
        assert_eq!(model.values()[1], bias, "{text}");
        let none = model.grads(None, None);
        let before = bits(&model);
        model = optimizer.step(0.01, model, none);
        assert_eq!(bits(&model), before, "{text}: no gradient at all");
    }
}

#[test]
fn frozen_parameters_stay_and_the_others_move() {
    for Row { text, .. } in TABLE {
        let mut frozen = Group::new(Pattern::new("bias").expect("pattern"));
        frozen.frozen = true;
        let mut optimizer = config(text).init_with_groups(vec![frozen]);
        let model = some_model(DType::F32, &cpu());
        let [weight, bias] = model.values();
        let model = steps(&mut optimizer, model, 0..3);
        assert_eq!(model.values()[1], bias, "{text}");
        assert_ne!(model.values()[0], weight, "{text}");
        assert_eq!(optimizer.to_record().len(), usize::from(!stateless(text)), "{text}: nothing is kept for it");
    }
}

fn stateless(text: &str) -> bool {
    text == "type = 'sgd'"
}

#[test]
fn groups_have_their_own_rate_and_decay() {
    for Row { text, .. } in TABLE {
        if text.contains("prodigy") {
            continue; // One step size for all parameters: refused when groups are read.
        }
        let mut group = Group::new(Pattern::new("bias").expect("pattern"));
        group.lr_scale = 0.5;
        group.weight_decay = Some(0.25);
        let mut grouped = config(text).init_with_groups(vec![group]);
        let mut whole = config(text).init();
        let own = config(text).with_weight_decay(0.25).expect("all have weight decay");
        let mut alone = own.init();
        let model = some_model(DType::F64, &cpu());
        let lr = 0.01;
        let step = |optimizer: &mut AdaptiveOptimizer, lr: f64| {
            let mut model = model.clone();
            for step in 0..3 {
                let grads = some_grads(&model, step, true, true);
                model = optimizer.step(lr, model, grads);
            }
            model.values()
        };
        let found = step(&mut grouped, lr);
        assert_eq!(found[0], step(&mut whole, lr)[0], "{text}: the base");
        let [_, bias] = step(&mut alone, lr * 0.5);
        for (found, expected) in found[1].iter().zip(bias) {
            assert!((found - expected).abs() <= 1e-9 * (1.0 + expected.abs()), "{text}: the group");
        }
        if is_burns(text) {
            continue;
        }
        // Groups and their states survive a record too.
        let bytes = grouped.to_bytes().expect("bytes");
        let mut again = config(text).init_with_groups(grouped.groups().to_vec());
        again.try_load_bytes(&bytes).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(again.to_bytes().expect("bytes"), bytes, "{text}");
    }
}

#[test]
fn a_group_may_have_its_own_optimizer() {
    let mut group = Group::new(Pattern::new("bias").expect("pattern"));
    group.optimizer = Some(config("type = 'sgd'\nmomentum = 0.9"));
    let groups = vec![group];
    for Row { text, .. } in TABLE {
        let mut mixed = config(text).init_with_groups(groups.clone());
        let mut sgd = config("type = 'sgd'\nmomentum = 0.9").init();
        let model = some_model(DType::F32, &cpu());
        let mut reference = model.clone();
        let mut found = model;
        for step in 0..4 {
            let grads = some_grads(&found, step, true, true);
            found = mixed.step(0.01, found, grads);
            let grads = some_grads(&reference, step, true, true);
            reference = sgd.step(0.01, reference, grads);
        }
        assert_eq!(found.values()[1], reference.values()[1], "{text}");
        // Without the group, its state is no longer this optimizer's.
        let error = config(text).init().try_load(mixed.to_record());
        if stateless(text) || text.starts_with("type = 'sgd'") {
            continue;
        }
        assert!(matches!(error, Err(RecordMismatch::Param { ref path, .. }) if path == "bias"), "{text}: {error:?}");
    }
}

#[test]
fn another_optimizers_record_is_refused_and_changes_nothing() {
    for Row { text, .. } in TABLE {
        let mut optimizer = config(text).init();
        let model = steps(&mut optimizer, some_model(DType::F32, &cpu()), 0..2);
        let kept = optimizer.to_bytes().expect("bytes");
        for Row { text: other, .. } in TABLE {
            let mut foreign = config(other).init();
            steps(&mut foreign, model.clone(), 0..2);
            let record = foreign.to_record();
            let same = record.made_by() == optimizer.to_record().made_by();
            match optimizer.try_load(record) {
                Ok(()) => assert!(same, "{other} into {text}"),
                Err(RecordMismatch::Optimizer { expected, found }) => {
                    assert!(!same && expected != found, "{other} into {text}");
                    assert_eq!(optimizer.to_bytes().expect("bytes"), kept, "{other} into {text}");
                }
                Err(error) => panic!("{other} into {text}: {error}"),
            }
            optimizer.try_load_bytes(&kept).expect("its own");
        }
    }
}

#[test]
fn damaged_and_foreign_records_are_typed_errors() {
    let mut optimizer = config("type = 'adam'").init();
    steps(&mut optimizer, some_model(DType::F32, &cpu()), 0..2);
    let bytes = optimizer.to_bytes().expect("bytes");
    let refused = |bytes: &[u8]| AdaptiveRecord::from_bytes(bytes).map(|_| ()).expect_err("refused");
    assert!(matches!(refused(&bytes[..bytes.len() / 2]), RecordMismatch::Unreadable(_)));
    assert!(matches!(refused(b"nonsense"), RecordMismatch::Unreadable(_)));
    // One of burn's own.
    let burns = burn::optim::AdamConfig::new().init().into_bytes().expect("bytes");
    assert!(matches!(refused(&burns), RecordMismatch::Foreign { .. }));
    // The same optimizer with other state.
    let mut amsgrad = config("type = 'adam'\namsgrad = true").init();
    let error = amsgrad.try_load_bytes(&bytes).expect_err("other state").to_string();
    assert_eq!(error, "the record is of `adam`, the optimizer is `adam with amsgrad`");
}

#[test]
fn an_f64_state_of_burns_own_is_refused_rather_than_rounded() {
    for Row { text, .. } in TABLE.iter().filter(|row| is_burns(row.text)) {
        let mut optimizer = config(text).init();
        steps(&mut optimizer, some_model(DType::F64, &cpu()), 0..2);
        let error = config(text).init().try_load(optimizer.to_record());
        assert!(matches!(error, Err(RecordMismatch::Precision { .. })), "{text}: {error:?}");
    }
}

#[test]
fn one_thread_and_two_give_the_same_bits() {
    for Row { text, .. } in TABLE {
        if is_burns(text) {
            continue; // Nothing here decides about their threads.
        }
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            pool.install(|| {
                let n = 100_003;
                let wave: Vec<f64> = (0..n).map(|i| (i as f64 * 0.37).sin()).collect();
                let device = cpu();
                let mut optimizer = config(text).init();
                let mut model =
                    Two::new(tensor(&wave[..6], [2, 3], DType::F32, &device), tensor(&wave, [n], DType::F32, &device));
                for step in 0..3 {
                    let grads = some_grads(&model, step, true, true);
                    model = optimizer.step(0.01, model, grads);
                }
                bits(&model)
            })
        };
        assert!(run(1) == run(2), "{text}");
    }
}

/// A parameter whose buffer someone else holds too, or that is not laid out row by row, or that is empty or a scalar.
#[test]
fn shared_strided_empty_and_scalar_tensors() {
    #[derive(Module, Debug)]
    struct Odd {
        shared: Param<Tensor<2>>,
        turned: Param<Tensor<2>>,
        part: Param<Tensor<1>>,
        empty: Param<Tensor<2>>,
        single: Param<Tensor<1>>,
    }
    for Row { text, .. } in TABLE {
        if text.contains("muon") {
            continue; // Newton-Schulz of an empty matrix is not defined; burn's own.
        }
        for (name, device) in devices() {
            let wave = |n: usize, phase: f64| -> Vec<f64> { (0..n).map(|i| (i as f64 * 0.9 + phase).sin()).collect() };
            let matrix = |phase: f64| tensor::<2>(&wave(12, phase), [3, 4], DType::F32, &device);
            let vector = |phase: f64| tensor::<1>(&wave(8, phase), [8], DType::F32, &device);
            let empty = || Tensor::<2>::zeros([0, 3], &device);
            let single = |phase: f64| tensor::<1>(&wave(1, phase), [1], DType::F32, &device);
            let param = |tensor: Tensor<2>| Param::initialized(ParamId::new(), tensor);
            let param1 = |tensor: Tensor<1>| Param::initialized(ParamId::new(), tensor);
            let held = matrix(0.0);
            let model = Odd {
                shared: param(held.clone()),
                turned: param(matrix(0.5).transpose()),
                part: param1(vector(0.2).narrow(0, 2, 5)),
                empty: param(empty()),
                single: param1(single(0.4)),
            };
            // The same values, each in a buffer of its own, row by row.
            let plain = Odd {
                shared: param(matrix(0.0)),
                turned: param(Tensor::from_data(matrix(0.5).transpose().into_data(), &device)),
                part: param1(Tensor::from_data(vector(0.2).narrow(0, 2, 5).into_data(), &device)),
                empty: param(empty()),
                single: param1(single(0.4)),
            };
            let run = |mut model: Odd, odd: bool| {
                let mut optimizer = config(text).init();
                for step in 0..3 {
                    let phase = f64::from(step);
                    let turned = matrix(phase + 0.7).transpose();
                    let part = vector(phase + 0.1).narrow(0, 1, 5);
                    let mut grads = GradientsParams::new();
                    grads.register(model.shared.id, matrix(phase));
                    grads.register(
                        model.turned.id,
                        if odd { turned } else { Tensor::from_data(turned.into_data(), &device) },
                    );
                    grads
                        .register(model.part.id, if odd { part } else { Tensor::from_data(part.into_data(), &device) });
                    grads.register(model.empty.id, empty());
                    grads.register(model.single.id, single(phase));
                    // burn-train's Learner holds a second handle on the model while it steps.
                    let second = odd.then(|| model.clone());
                    model = optimizer.step(0.01, model, grads);
                    drop(second);
                }
                [
                    values(&model.shared.val()),
                    values(&model.turned.val()),
                    values(&model.part.val()),
                    values(&model.empty.val()),
                    values(&model.single.val()),
                ]
            };
            let before = values(&held);
            let found = run(model, true);
            assert_eq!(values(&held), before, "{text} on {name}: a shared buffer was written");
            let expected = run(plain, false);
            if ["lamb", "adafactor"].iter().any(|burns| text.contains(burns)) {
                continue; // burn's own norms depend on the layout in the last digit.
            }
            assert_eq!(found, expected, "{text} on {name}");
        }
    }
}

#[test]
fn momentum_is_read_at_every_step_and_saved() {
    for Row { text, .. } in TABLE {
        let mut optimizer = config(text).init();
        if is_burns(text) {
            assert!(!optimizer.supports_momentum());
            continue;
        }
        let handle = optimizer.momentum();
        assert_eq!(handle.get().is_some(), optimizer.supports_momentum(), "{text}");
        let model = steps(&mut optimizer, some_model(DType::F64, &cpu()), 0..2);
        let mut other = optimizer.rebuild().expect("a copy");
        handle.set(0.5);
        let record = optimizer.to_record();
        let driven = steps(&mut optimizer, model.clone(), 2..4);
        let constant = steps(&mut other, model.clone(), 2..4);
        assert_eq!(bits(&driven) != bits(&constant), optimizer.supports_momentum(), "{text}");
        let mut resumed = config(text).init();
        resumed.try_load(record).expect("its own");
        assert_eq!(resumed.momentum().get(), optimizer.momentum().get(), "{text}");
        assert_eq!(bits(&steps(&mut resumed, model, 2..4)), bits(&driven), "{text}");
    }
}

#[test]
fn burns_module_optimizer_does_the_same() {
    for Row { text, .. } in TABLE {
        let tracked = cpu().autodiff();
        let model = some_model(DType::F32, &tracked);
        let mut ours = config(text).init();
        let grads = |model: &Two, step: usize| {
            let inner = Two {
                weight: Param::initialized(model.weight.id, model.weight.val().inner()),
                bias: Param::initialized(model.bias.id, model.bias.val().inner()),
            };
            some_grads(&inner, step, true, true)
        };
        let mut first = model.clone();
        for step in 0..2 {
            let grads = grads(&first, step);
            first = ours.step(0.01, first, grads);
        }
        let theirs = ours.rebuild().expect("a copy").into_module_optimizer();
        if text.contains("prodigy") || text.contains("muon") {
            let error = theirs.err().expect("burn's loop cannot run it").to_string();
            assert!(error.contains("cannot become a burn ModuleOptimizer"), "{error}");
            continue;
        }
        let mut theirs = theirs.unwrap_or_else(|error| panic!("{text}: {error}"));
        let mut second = first.clone();
        for step in 2..5 {
            let some = grads(&first, step);
            first = ours.step(0.01, first, some);
            let some = grads(&second, step);
            second = theirs.step(0.01, second, some);
        }
        assert_eq!(first.values(), second.values(), "{text}");
    }
}

#[test]
fn schedule_free_counts_steps_of_the_run_not_of_the_parameter() {
    // Every other step the bias has no gradient; with burn's per-parameter clock its averaging would lag behind.
    for text in ["type = 'schedule_free_adamw'\nwarmup_steps = 4", "type = 'schedule_free_sgd'\nwarmup_steps = 4"] {
        let mut optimizer = config(text).init();
        let mut model = some_model(DType::F64, &cpu());
        for step in 0..6 {
            let grads = some_grads(&model, step, true, step % 2 == 0);
            model = optimizer.step(0.01, model, grads);
        }
        let record = optimizer.to_record();
        let bytes = record.into_bytes().expect("bytes");
        let mut again = config(text).init();
        again.try_load_bytes(&bytes).expect("its own");
        let go_on = |optimizer: &mut AdaptiveOptimizer| bits(&steps(optimizer, model.clone(), 6..9));
        assert_eq!(go_on(&mut again), go_on(&mut optimizer), "{text}");
    }
}
