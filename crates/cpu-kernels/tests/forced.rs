//! The environment variable chooses the instruction set, and every set computes.

use std::process::Command;

use cpu_kernels::{FORCE, InstructionSet, instruction_set};

/// Run in a process of its own by the test below: says which set is used.
#[test]
fn tell() {
    println!("set: {}", instruction_set());
}

#[test]
fn a_set_can_be_forced() {
    let told = |forced: Option<&str>| {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--exact", "tell", "--nocapture"]).env_remove(FORCE);
        if let Some(forced) = forced {
            command.env(FORCE, forced);
        }
        let output = String::from_utf8(command.output().expect("it runs").stdout).expect("text");
        let at = output.find("set: ").expect("it tells") + 5;
        output[at..].split_whitespace().next().expect("a name").to_owned()
    };
    let best = InstructionSet::available().next().expect("at least one");
    assert_eq!(told(None), best.name());
    for set in InstructionSet::available() {
        assert_eq!(told(Some(set.name())), set.name());
    }
    assert_eq!(told(Some("mmx")), best.name(), "an unknown name is warned of and passed over");
}

/// The tests of this crate once more under each set that is not the best.
#[test]
fn the_other_sets_pass_the_same_tests() {
    if std::env::var_os(FORCE).is_some() {
        return;
    }
    let folder = std::env::current_exe().expect("this program").parent().expect("its folder").to_owned();
    for set in InstructionSet::available().skip(1) {
        for test in ["conv", "norm", "pool"] {
            let program = std::fs::read_dir(&folder)
                .expect("the folder of tests")
                .filter_map(Result::ok)
                .filter(|entry| {
                    let name = entry.file_name().to_string_lossy().into_owned();
                    name.strip_prefix(test).is_some_and(|rest| rest.starts_with('-') && !rest.contains('.'))
                })
                .max_by_key(|entry| entry.metadata().and_then(|data| data.modified()).ok());
            // Run alone, this test may be the only one that is built.
            let Some(program) = program else { continue };
            let output = Command::new(program.path()).env(FORCE, set.name()).output().expect("it runs");
            assert!(output.status.success(), "{test} under {set}:\n{}", String::from_utf8_lossy(&output.stdout));
        }
    }
}
