//! Where the mutations start: what works, and what once did not.

use anneal::lr_core::Registry;

use crate::common;

/// Words of configurations.
pub const WORDS: &[&str] = &[
    "type = ",
    "warmup = ",
    "interval = 'step'",
    "'5ep'",
    "'10%'",
    "'rest'",
    "'200it'",
    "[schedule]\n",
    "[[groups]]\n",
    "schedules = [",
    "milestones = ",
    "lr = 'auto'\n",
    "expression = '",
    "true",
    "[]",
    "{}",
    "'''",
    "\"\"\"",
    "a.a.a.a.",
    "cosine_annealing",
    "one_cycle",
    "mlp",
    "convnet",
    "sgd",
    "adam",
    "folder:",
    "crop:9",
    "+flip",
];

/// Words of formulas.
pub const FORMULA_WORDS: &[&str] = &[
    "t", "total", "epoch", "step", "lr", "pi", "if(", "min(", "max(", "exp(", "ln(", "^", "%", "&&", "||", "!", "((((",
];

/// Words of JSON.
pub const JSON_WORDS: &[&str] = &["null", "{}", "[]", "\"step\"", "\"sha256\"", "../", "/dev/zero", "\\u0000", "[[[["];

/// Each text by itself.
fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// The examples, and what once panicked, took all memory or ran for ever.
pub fn configurations() -> Vec<Vec<u8>> {
    let head = "[optimizer]\ntype = 'adam'\nlr = 1e-3\n";
    let evil = [
        "[model]\ntype = 'mlp'\nhidden = [1000000000]\n",
        "[model]\ntype = 'mlp'\nhidden = [9223372036854775807]\n",
        "[model]\ntype = 'convnet'\nchannels = [9223372036854775807, 1]\nresidual = true\n",
        "[model]\ntype = 'airbench'\nwidths = [1000000000]\n",
        "[data]\nworkers = 9223372036854775807\nbatch_size = 9223372036854775807\n",
        "[data]\naugment = 'crop:9223372036854775807+cutout:99'\n",
        "[lr_finder]\nnum_it = 9223372036854775807\nrepeats = 9223372036854775807\n",
        "[train]\nepochs = 9223372036854775807\nmax_time = 1e308\naccumulate = 9223372036854775807\n",
        "[train]\nsteps = '1ep'\nfreeze = [{ params = '*', until_epoch = '5ep' }]\nema = { decay = 0.9, warmup = true }\n",
        "[model]\ntype = 'mlp'\npretrained = { path = '/dev/zero', remap = [['(.)', '$1$1']] }\n",
    ];
    let examples = common::strategies().into_iter().map(|path| std::fs::read(path).expect("an example"));
    let evil = evil.into_iter().map(|text| format!("{head}{text}").into_bytes());
    let long = format!("[optimizer]\ntype = '{}'\n", "x".repeat(50_000)).into_bytes();
    examples.chain(evil).chain([anneal::config::DEFAULT.as_bytes().to_vec(), long]).collect()
}

pub fn formulas() -> Vec<Vec<u8>> {
    texts(&[
        "0.95^t",
        "1/(1+0.1*t)",
        "if(t < 10, (t+1)/10, 0.5*(1+cos(pi*(t-10)/(total-10))))",
        "max(0.1, 1 - t/total)",
        "!(t % 3 == 0) && lr > 0 || step >= epoch",
        "2^3^2^2^2",
        "-(-(-(-1)))",
        "exp(exp(exp(t)))",
        "((((((((((((((((((((1))))))))))))))))))))",
        "ln(0)/0",
    ])
}

/// The example of each strategy, and lengths that no run has.
pub fn schedules() -> Vec<Vec<u8>> {
    let registry = Registry::standard();
    let examples = registry.iter().map(|entry| entry.example().as_bytes().to_vec());
    let evil = [
        "type = 'step'\nstep_size = 9223372036854775807\nwarmup = '100%'",
        "type = 'cosine_annealing'\nt_max = 1\nwarmup = { duration = 9223372036854775807, start_factor = 0 }",
        "type = 'cosine_annealing_warm_restarts'\nt_0 = 1\nt_mult = 9223372036854775807",
        "type = 'cyclic'\nbase_lr = 1\nmax_lr = 2\nstep_size_up = 9223372036854775807\nmode = 'exp_range'\ngamma = 1e300",
        "type = 'sequential'\nmilestones = [9223372036854775807]\nschedules = [{ type = 'fixed' }, { type = 'fixed' }]",
        "type = 'multiplicative'\nexpression = '1e300'",
    ];
    examples.chain(texts(&evil)).collect()
}

/// Two images of three by two pixels, and two labels.
pub fn idx() -> Vec<Vec<u8>> {
    let head = |magic: u32, sizes: &[u32]| -> Vec<u8> {
        std::iter::once(&magic).chain(sizes).flat_map(|number| number.to_be_bytes()).collect()
    };
    let images = [head(0x803, &[2, 3, 2]), vec![7; 12]].concat();
    let labels = [head(0x801, &[2]), vec![1, 0]].concat();
    vec![images, labels, head(0x803, &[u32::MAX, u32::MAX, u32::MAX]), head(0x801, &[u32::MAX])]
}

/// A record of each form.
pub fn cifar() -> Vec<Vec<u8>> {
    vec![[vec![3], vec![9; 3072]].concat(), [vec![19, 99], vec![9; 3072]].concat(), vec![10; 3073], Vec::new()]
}

/// Pictures of both kinds, in every form of pixels.
pub fn images() -> Vec<Vec<u8>> {
    let folder = std::fs::read_dir(common::root().join("crates/vision/tests/pictures")).expect("a folder");
    let mut paths: Vec<_> = folder.map(|file| file.expect("a file").path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).expect("a picture")).collect()
}
