//! Parameters that are left alone for some epochs: no update, no decay, no moments, no part in a norm.

use crate::common::{Net, alone, net, optimizer, optimizer_at, schedule, train_data, valid_data};
use burn::tensor::Tensor;
use optim_adaptive::Pattern;
use trainer::{Fitted, Freeze, TrainConfig, TrainError, Trainer};

const ADAMW: &str = "type = 'adamw'\nlr = 0.02\nweight_decay = 0.5";

fn freeze(text: &str) -> Freeze {
    Freeze::new(Pattern::new(text).expect("a pattern"))
}

fn fit(epochs: u64, freeze: Vec<Freeze>, optimizer_config: &str) -> Fitted<Net> {
    let config = TrainConfig { freeze, ..TrainConfig::epochs(epochs) };
    let schedule = schedule("type = 'fixed'");
    Trainer::new(config)
        .fit(net(), optimizer_at(optimizer_config, 0.02), schedule, &train_data(), Some(&valid_data()))
        .expect("trains")
}

fn bytes<const D: usize>(tensor: Tensor<D>) -> Vec<u8> {
    tensor.inner().into_data().as_bytes().to_vec()
}

fn first(model: &Net) -> Vec<u8> {
    let bias = model.first_layer().bias.as_ref().expect("a bias").val();
    [bytes(model.first_layer().weight.val()), bytes(bias)].concat()
}

fn second(model: &Net) -> Vec<u8> {
    bytes(model.second_layer().weight.val())
}

#[test]
fn what_is_frozen_does_not_move_and_keeps_no_moments() {
    let _alone = alone();
    let fitted = fit(2, vec![freeze("first.*")], ADAMW);
    assert!(first(&fitted.model) == first(&net()), "weight decay of 0.5 would have moved it");
    assert!(second(&fitted.model) != second(&net()));
    let record = fitted.optimizer.to_record();
    let text = format!("{record:?}");
    assert!(!text.contains("first.weight") && text.contains("second.weight"), "moments of the trained ones alone");
}

#[test]
fn it_is_trained_from_the_epoch_it_thaws_in() {
    let _alone = alone();
    let rules = || vec![freeze("first.*").until_epoch(2)];
    assert!(first(&fit(2, rules(), ADAMW).model) == first(&net()));
    assert!(first(&fit(3, rules(), ADAMW).model) != first(&net()));
    // And the other way round: what is frozen late is as it was then.
    let late = || vec![freeze("first.*").from_epoch(1)];
    let then = fit(1, Vec::new(), ADAMW);
    assert!(first(&fit(3, late(), ADAMW).model) == first(&then.model));
}

/// Frozen gradients weigh in no norm: clipping the others is as if the frozen ones were not there.
#[test]
fn a_frozen_gradient_is_gone_before_clipping() {
    let _alone = alone();
    let fit = |freeze: Vec<Freeze>, clip| {
        let config = TrainConfig { freeze, clip_grad_norm: clip, ..TrainConfig::steps(1) };
        let schedule = schedule("type = 'fixed'");
        Trainer::new(config)
            .fit(net(), optimizer("type = 'sgd'\nlr = 1.0"), schedule, &train_data(), None)
            .expect("trains")
    };
    let floats = |model: &Net| -> Vec<f32> {
        second(model).chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
    };
    let frozen = || vec![freeze("first.*"), freeze("*.bias")];
    let fitted = fit(frozen(), Some(1e-3));
    // One step of SGD at rate 1 moves by the clipped gradient, whose norm is the bound: that of `second.weight` alone.
    let moved: f32 = floats(&fitted.model).iter().zip(floats(&net())).map(|(a, b)| (a - b).powi(2)).sum();
    assert!((moved.sqrt() - 1e-3).abs() < 1e-5, "{}", moved.sqrt());
    let all = fit(Vec::new(), Some(1e-3));
    let moved: f32 = floats(&all.model).iter().zip(floats(&net())).map(|(a, b)| (a - b).powi(2)).sum();
    assert!(moved.sqrt() < 0.95e-3, "the others take a part of the norm: {}", moved.sqrt());
}

#[test]
fn a_pattern_that_fits_nothing_is_refused() {
    let _alone = alone();
    let config = TrainConfig { freeze: vec![freeze("frist.*")], ..TrainConfig::epochs(1) };
    let schedule = schedule("type = 'fixed'");
    match Trainer::new(config).fit(net(), optimizer(ADAMW), schedule, &train_data(), None) {
        Err(TrainError::NoSuchParameter { pattern, known, .. }) => {
            assert_eq!(pattern, "frist.*");
            assert_eq!(known, ["first.weight", "first.bias", "second.weight", "second.bias"]);
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("froze nothing"),
    }
}
