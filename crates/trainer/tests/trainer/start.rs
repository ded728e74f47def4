//! What is refused before the first step, by `fit` and by the finder; and groups whose schedules cycle the momentum.

use burn::tensor::Device;
use lr_core::{Horizon, Scheduler};
use optim_adaptive::{AdaptiveOptimizer, Group, OptimizerConfig, Pattern};
use trainer::{
    Freeze, Schedules, TrainConfig, TrainError, Trainer, check_start,
    data::Loader,
    lr_finder::{FinderError, LrFinder, LrFinderConfig},
};

use crate::common::{Net, Points, alone, bits, net, optimizer, points_of, schedule, train_data, valid_data};

const SGD: &str = "type = 'sgd'\nlr = 0.05\nmomentum = 0.9";
const ONE_CYCLE: &str = "type = 'one_cycle'\nmax_lr = 0.05";

fn group(pattern: &str) -> Group {
    Group::new(Pattern::new(pattern).expect("a pattern"))
}

fn with_groups(toml: &str, groups: Vec<Group>) -> AdaptiveOptimizer {
    OptimizerConfig::from_toml_str(toml).expect("an optimizer").init_with_groups(groups)
}

fn scheduler(toml: &str) -> Scheduler {
    Scheduler::from_config(&schedule(toml), &Horizon::run(6, 12), vec![0.05]).expect("a schedule")
}

/// What `fit` and the finder say of a model, an optimizer and frozen parameters.
fn refusals(model: &Net, optimizer: impl Fn() -> AdaptiveOptimizer, freeze: &[Freeze]) -> [TrainError; 2] {
    let config = TrainConfig { freeze: freeze.to_vec(), ..TrainConfig::epochs(1) };
    let fit = Trainer::new(config.clone())
        .fit(model.clone(), optimizer(), schedule("type = 'fixed'"), &train_data(), None)
        .expect_err("fit refuses");
    let finder = LrFinder::new(LrFinderConfig::default()).freeze(freeze.to_vec(), Horizon::run(6, 6));
    match finder.run(model, &optimizer(), &train_data()) {
        Err(FinderError::Train(found)) => [fit, found],
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("swept"),
    }
}

#[test]
fn a_pattern_that_fits_no_parameter_is_refused_with_the_nearest_names() {
    let _alone = alone();
    let narrow = Group { max_rank: Some(0), ..group("first.*") };
    let cases = [
        (vec![group("frist.*")], "groups[0].params: no parameter is called `frist.*`; the model has first."),
        (vec![group("*"), group("head.0.*")], "groups[1].params: no parameter is called `head.0.*`; the model has "),
        (
            vec![narrow],
            "groups[0].params: no parameter that `first.*` fits has a rank of at most 0 (max_rank); the model has first.",
        ),
    ];
    for (groups, expected) in cases {
        for error in refusals(&net(), || with_groups(SGD, groups.clone()), &[]) {
            assert!(matches!(error, TrainError::NoSuchParameter { .. }), "{error}");
            assert!(error.to_string().starts_with(expected), "{error}");
        }
    }
    let freeze = [
        Freeze::new(Pattern::new("second*").expect("a pattern")),
        Freeze::new(Pattern::new("secnd.bias").expect("a pattern")),
    ];
    for error in refusals(&net(), || optimizer(SGD), &freeze) {
        let expected = "freeze[1].params: no parameter is called `secnd.bias`; the model has second.bias, ";
        assert!(error.to_string().starts_with(expected), "{error}");
    }
    // A group that later ones take everything from is legal.
    let shadowed = with_groups(SGD, vec![group("first.*"), group("*")]);
    check_start(&net(), &shadowed, &[], &Horizon::unknown()).expect("legal");
}

#[test]
fn a_run_that_leaves_nothing_to_train_is_refused() {
    let _alone = alone();
    let pattern = |text: &str| Pattern::new(text).expect("a pattern");
    let frozen = |text: &str| Group { frozen: true, ..group(text) };
    let rule = |text: &str| Freeze::new(pattern(text));
    let cases = [
        (vec![frozen("*")], vec![], Some("groups[0].frozen: ")),
        (vec![frozen("first.*")], vec![], None),
        (vec![], vec![rule("*")], Some("freeze[0]: ")),
        (vec![], vec![rule("*").from_epoch(1)], None),
        // From the first step to the last, in parts.
        (
            vec![frozen("first.*")],
            vec![rule("*").until_epoch(1), rule("second.*").from_epoch(1)],
            Some("groups[0].frozen, freeze[0], freeze[1]: "),
        ),
        (vec![], vec![rule("*").until_epoch(1), rule("first.*").from_epoch(1)], None),
    ];
    for (groups, freeze, expected) in cases {
        let model = net();
        let checked = check_start(&model, &with_groups(SGD, groups), &freeze, &Horizon::run(6, 12));
        match expected {
            None => checked.expect("legal"),
            Some(expected) => {
                let error = checked.expect_err("refused").to_string();
                let expected = format!("{expected}every parameter of the model is frozen for the whole run");
                assert!(error.starts_with(&expected), "{error}");
            }
        }
    }
    for error in refusals(&net(), || with_groups(SGD, vec![frozen("*")]), &[]) {
        assert!(matches!(error, TrainError::AllFrozen { .. }), "{error}");
    }
}

#[test]
fn a_model_without_autodiff_is_refused() {
    let _alone = alone();
    for error in refusals(&Net::new(12, &Device::flex()), || optimizer(SGD), &[]) {
        assert!(matches!(error, TrainError::NoAutodiff { .. }), "{error}");
        assert!(error.to_string().contains("without autodiff"), "{error}");
    }
}

#[test]
fn a_model_that_is_broken_from_the_start_is_not_blamed_on_the_rate() {
    let _alone = alone();
    let broken = net().map_second_weight(|weight| weight / 0.0);
    for error in refusals(&broken, || optimizer(SGD), &[]) {
        assert!(matches!(&error, TrainError::BadStart { parameter } if parameter == "second.weight"), "{error}");
    }
}

/// Weights that are finite and overflow: no update has been made when that shows.
#[test]
fn huge_weights_are_not_blamed_on_the_rate() {
    let _alone = alone();
    let huge = net().freeze_dropout().map_second_weight(|weight| weight.sign() * 3e38);
    let config = TrainConfig { sanity_batches: 0, ..TrainConfig::epochs(1) };
    let fitted = Trainer::new(config).fit(huge, optimizer(SGD), schedule("type = 'fixed'"), &train_data(), None);
    let error = fitted.expect_err("stops");
    let is_first = matches!(
        error,
        TrainError::NonFinite { step: 1, lr: None, .. } | TrainError::NonFiniteGradient { step: 1, lr: None, .. }
    );
    assert!(is_first && error.to_string().contains("in the weights that it started from"), "{error}");
}

#[test]
fn a_validation_set_that_holds_nothing_is_refused() {
    let _alone = alone();
    let device = Device::flex();
    let nobody: Loader<Points> = Loader::new(0, 16, move |indices, _| points_of(indices, &device));
    let config = TrainConfig::epochs(1);
    let fixed = schedule("type = 'fixed'");
    let error = Trainer::new(config).fit(net(), optimizer(SGD), fixed, &train_data(), Some(&nobody));
    assert!(matches!(error, Err(TrainError::NoData("validation"))), "{:?}", error.err());
}

/// Trains two epochs; gives the parameters' bits and the optimizer.
fn two_epochs(optimizer: AdaptiveOptimizer, schedules: Schedules) -> Result<(Vec<u8>, AdaptiveOptimizer), TrainError> {
    let fitted =
        Trainer::new(TrainConfig::epochs(2)).fit(net(), optimizer, schedules, &train_data(), Some(&valid_data()))?;
    Ok((bits(&fitted.model), fitted.optimizer))
}

#[test]
fn a_groups_schedule_cycles_the_momentum_of_the_group() {
    let _alone = alone();
    let fixed = || Schedules::from(schedule("type = 'fixed'"));
    let still = &format!("{ONE_CYCLE}\ncycle_momentum = false");
    let trained =
        |groups: Vec<Group>, schedules: Schedules| two_epochs(with_groups(SGD, groups), schedules).expect("trains");
    let (whole, _) = trained(Vec::new(), Schedules::from(schedule(ONE_CYCLE)));
    let (whole_still, _) = trained(Vec::new(), Schedules::from(schedule(still)));
    assert!(whole != whole_still);
    // One group of everything is the run without groups; a weight decay gives the group an optimizer of its own.
    for groups in [vec![group("*")], vec![Group { weight_decay: Some(0.0), ..group("*") }]] {
        let (all, _) = trained(groups.clone(), fixed().with_group(0, schedule(ONE_CYCLE)));
        assert!(all == whole);
        // The group's schedule says that the momentum stays, whatever that of the run does.
        for base in [fixed(), Schedules::from(schedule(ONE_CYCLE))] {
            let (all, _) = trained(groups.clone(), base.with_group(0, schedule(still)));
            assert!(all == whole_still);
        }
    }
    // Each with its own.
    let other = "type = 'cyclic'\nbase_lr = 0.01\nmax_lr = 0.05\nstep_size_up = 4\nbase_momentum = 0.5";
    let groups = vec![group("first.*"), group("second.*")];
    let schedules =
        Schedules::from(schedule("type = 'fixed'")).with_group(0, schedule(ONE_CYCLE)).with_group(1, schedule(other));
    let (mixed, optimizer) = trained(groups, schedules);
    assert!(mixed != whole && mixed != whole_still);
    let last = |toml: &str| scheduler(toml).momentum(11);
    let found = [0, 1].map(|group| optimizer.momentum_of(group).expect("a group").get());
    assert_eq!(found, [last(ONE_CYCLE), last(other)]);
    assert_ne!(found[0], found[1]);
    assert_eq!(optimizer.momentum().get(), Some(0.9), "what is in no group keeps its own");
    // An independent copy has them too.
    let copy = optimizer.rebuild().expect("a copy");
    assert_eq!([0, 1].map(|group| copy.momentum_of(group).expect("a group").get()), found);
}

#[test]
fn a_momentum_that_is_not_there_is_not_cycled() {
    let _alone = alone();
    let own = |toml: &str| Group { optimizer: Some(OptimizerConfig::from_toml_str(toml).expect("one")), ..group("*") };
    let (base, grouped) = ("schedule.cycle_momentum: ", "groups[0].schedule.cycle_momentum: ");
    let in_group = || Schedules::from(schedule("type = 'fixed'")).with_group(0, schedule(ONE_CYCLE));
    let cases = [
        ("type = 'adagrad'", vec![], Schedules::from(schedule(ONE_CYCLE)), base, "`adagrad` has none"),
        ("type = 'adagrad'", vec![group("*")], in_group(), grouped, "`adagrad` has none"),
        (SGD, vec![own("type = 'adagrad'")], in_group(), grouped, "`adagrad` has none"),
        ("type = 'prodigy'", vec![group("*")], in_group(), grouped, "`prodigy` has one for all parameters"),
    ];
    for (toml, groups, schedules, path, expected) in cases {
        let error = two_epochs(with_groups(toml, groups), schedules).expect_err(toml).to_string();
        assert!(error.starts_with(path) && error.contains(expected), "{error}");
    }
    two_epochs(with_groups("type = 'adagrad'\nlr = 0.05", vec![own(SGD)]), in_group()).expect("the group has one");
}

#[test]
fn the_finder_leaves_alone_what_the_training_freezes_at_first() {
    let _alone = alone();
    let swept = |rules: &[(&str, u64, Option<u64>)]| {
        let rule = |(pattern, from, until): &(&str, u64, Option<u64>)| Freeze {
            from_epoch: (*from).into(),
            until_epoch: until.map(Into::into),
            ..Freeze::new(Pattern::new(pattern).expect("a pattern"))
        };
        LrFinder::new(LrFinderConfig { start_lr: 1e-2, ..LrFinderConfig::default() })
            .freeze(rules.iter().map(rule).collect(), Horizon::run(6, 60))
            .run(&net(), &optimizer(SGD), &train_data())
    };
    let sweep = |rules: &[(&str, u64, Option<u64>)]| swept(rules).expect("sweeps").losses;
    let free = sweep(&[]);
    assert!(sweep(&[("first.*", 3, None)]) == free, "frozen later");
    assert!(sweep(&[("first.*", 0, Some(2))]) != free);
    // Where everything is frozen at first, the sweep would be one of the batches.
    for until in [None, Some(2)] {
        let refused = swept(&[("*", 0, until)]).expect_err("refused");
        assert!(matches!(refused, FinderError::Train(TrainError::AllFrozen { .. })), "{refused}");
    }
}
