//! What a terminal of 80 columns shows: the bar has a line of its own, and goes without a trace.

#![cfg(target_os = "linux")]

use std::{
    fs,
    io::{Read, Write},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::common::{SMALL, command, folder};

const COLUMNS: usize = 80;

/// Runs `anneal` on a terminal. `None` where util-linux's `script`, which makes one, is not installed.
fn on_a_terminal(folder: &Path, arguments: &str) -> Option<Child> {
    let plain = command(folder);
    let line = format!("stty cols {COLUMNS} rows 24; exec {} {arguments}", plain.get_program().display());
    let mut script = Command::new("script");
    script.args(["-qec", &line, "/dev/null"]).current_dir(folder).env("HOME", folder).env("TERM", "xterm");
    script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    match script.spawn() {
        Ok(child) => Some(child),
        Err(error) => {
            println!("skipped: no terminal, which `script` of util-linux makes: {error}");
            None
        }
    }
}

fn printed(script: &mut Child) -> String {
    let mut bytes = Vec::new();
    script.stdout.take().expect("piped").read_to_end(&mut bytes).expect("read");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The lines on the screen after this, those that have scrolled away included.
fn screen(text: &str) -> Vec<String> {
    let (mut lines, mut row, mut column) = (vec![Vec::new()], 0_usize, 0);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\r' => column = 0,
            '\n' => row += 1,
            '\x1b' => {
                let sequence: String = chars.as_str().chars().take_while(|c| !c.is_ascii_alphabetic()).collect();
                let kind = chars.nth(sequence.len());
                // Of what moves and clears the bar uses this alone.
                if (sequence.as_str(), kind) == ("[2", Some('K')) {
                    lines[row].clear();
                }
            }
            c => {
                if column == COLUMNS {
                    (row, column) = (row + 1, 0);
                }
                lines.resize(lines.len().max(row + 1), Vec::new());
                let line: &mut Vec<char> = &mut lines[row];
                line.resize(line.len().max(column + 1), ' ');
                line[column] = c;
                column += 1;
            }
        }
        lines.resize(lines.len().max(row + 1), Vec::new());
    }
    lines.into_iter().map(|line| line.into_iter().collect::<String>().trim_end().to_owned()).collect()
}

fn has_bar(line: &str) -> bool {
    line.contains(['█', '░', '▉', '▌'])
}

#[test]
fn a_warning_has_a_line_of_its_own() {
    let dir = folder(&[("small.toml", SMALL)]);
    let diverges = "train small.toml --out run --set optimizer.type=sgd --set optimizer.lr=1e30 --set \
                    train.on_nonfinite=rollback --set train.rollback_lr_factor=1.0";
    let Some(mut script) = on_a_terminal(dir.path(), diverges) else { return };
    let text = printed(&mut script);
    assert_eq!(script.wait().expect("ends").code(), Some(1), "{text}");
    assert!(has_bar(&text) && text.contains("going back"), "{text}");
    let lines = screen(&text);
    assert!(!lines.iter().any(|line| has_bar(line)), "the bar is gone: {lines:#?}");
    for (what, start) in [("WARN", " WARN"), ("error:", "error:")] {
        let with: Vec<&String> = lines.iter().filter(|line| line.contains(what)).collect();
        assert!(!with.is_empty() && with.iter().all(|line| line.starts_with(start)), "{with:#?}");
    }
    assert!(lines.iter().all(|line| line.chars().count() <= COLUMNS), "{lines:#?}");
}

#[test]
fn ctrl_c_leaves_no_bar() {
    let dir = folder(&[("small.toml", SMALL)]);
    let Some(mut script) = on_a_terminal(dir.path(), "train small.toml --out run --epochs 100000") else { return };
    let began = Instant::now();
    let checkpoints = dir.path().join("run/checkpoints");
    while !fs::read_dir(&checkpoints).is_ok_and(|mut entries| entries.next().is_some()) {
        assert!(began.elapsed() < Duration::from_mins(2), "no checkpoint was written");
        std::thread::sleep(Duration::from_millis(20));
    }
    // The terminal makes a signal of it, and shows `^C` where the cursor is.
    script.stdin.as_mut().expect("piped").write_all(b"\x03").expect("written");
    let text = printed(&mut script);
    assert_eq!(script.wait().expect("ends").code(), Some(130), "{text}");
    let lines = screen(&text);
    assert!(has_bar(&text) && !lines.iter().any(|line| has_bar(line)), "{lines:#?}");
    assert!(lines.iter().any(|line| line.starts_with("interrupted: ends after this step")), "{lines:#?}");
    assert!(lines.iter().any(|line| line.starts_with("interrupted after")), "{lines:#?}");
}
