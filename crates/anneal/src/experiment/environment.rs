//! Where a run ran: `environment.json`, one entry for each process that worked on it.

use std::{fs, process::Command};

use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use trainer::{Callback, CallbackError, RunInfo};

use crate::run_dir::{ENVIRONMENT, RunDir};

/// The version of burn that the workspace is pinned to.
const BURN: &str = "0.22.1";

/// A process that worked on a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session {
    /// When it began, in UTC (RFC 3339).
    pub started: String,
    /// Optimizer steps that had been done before it.
    pub from_step: u64,
    /// Optimizer steps of the whole run, as planned; absent in runs of programs that did not note it.
    #[serde(default)]
    pub total_steps: Option<u64>,
    /// Optimizer steps in an epoch; absent in runs of programs that did not note it.
    #[serde(default)]
    pub steps_per_epoch: Option<u64>,
    /// Version of this program.
    pub anneal: String,
    /// Version of burn.
    pub burn: String,
    /// Operating system and architecture.
    pub system: String,
    /// The processor.
    pub cpu: String,
    /// The instructions that convolutions and batch norm use on the CPU: their last bits depend on it. Absent in runs of
    /// programs that did not know it.
    #[serde(default)]
    pub cpu_kernels: Option<String>,
    /// Threads that can run at once.
    pub cores: usize,
    /// The device that was asked for.
    pub device: String,
    /// The commit of the folder it was started in, with `-dirty` where files differed; absent where there is none.
    pub commit: Option<String>,
}

impl Session {
    fn here(device: &str, run: &RunInfo) -> Self {
        let now = OffsetDateTime::now_utc();
        let now = now.replace_nanosecond(0).unwrap_or(now);
        Self {
            // The current time always has an RFC 3339 form.
            started: now.format(&Rfc3339).unwrap_or_default(),
            from_step: run.steps_done,
            total_steps: Some(run.total_steps),
            steps_per_epoch: Some(run.steps_per_epoch),
            anneal: env!("CARGO_PKG_VERSION").to_owned(),
            burn: BURN.to_owned(),
            system: system(),
            cpu: cpu(),
            cpu_kernels: Some(cpu_kernels::in_use().to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            device: device.to_owned(),
            commit: commit(),
        }
    }
}

/// What to say where the steps before were taken with other instructions, and so other bits come out.
fn other_kernels(before: &str) -> Option<String> {
    let now = cpu_kernels::in_use();
    (before != now).then(|| {
        format!(
            "the run was computed with {before} instructions, and continues with {now}: results are the same but for \
             rounding ({}={before} forces the former where the processor has them)",
            cpu_kernels::FORCE
        )
    })
}

/// Adds this process to `environment.json` when the run starts, and the instructions of its kernels to checkpoints.
pub(super) struct Environment {
    dir: RunDir,
    device: String,
    /// The instructions that the checkpoint was computed with.
    before: Option<String>,
}

impl Environment {
    pub(super) fn new(dir: RunDir, device: String) -> Self {
        Self { dir, device, before: None }
    }
}

/// Its state's only field.
const KERNELS: &str = "cpu_kernels";

impl Callback for Environment {
    fn name(&self) -> &'static str {
        ENVIRONMENT
    }

    fn on_start(&mut self, run: &RunInfo) -> Result<(), CallbackError> {
        let path = self.dir.path(ENVIRONMENT);
        if run.over && path.exists() {
            // This process has no part in the run.
            return Ok(());
        }
        let earlier = report::read_regular(&path).ok().filter(|_| run.steps_done > 0);
        let mut sessions: Vec<Session> = match earlier.map(|text| serde_json::from_slice(&text)) {
            None => Vec::new(),
            Some(Ok(sessions)) => sessions,
            // It must not end the run.
            Some(Err(error)) => {
                let copy = report::keep_aside(&path).map_err(|error| CallbackError::new(ENVIRONMENT, error))?;
                tracing::warn!("{}: is damaged ({error}); it is kept: {}", path.display(), copy.display());
                Vec::new()
            }
        };
        let now = Session::here(&self.device, run);
        // Checkpoints of earlier programs do not say it.
        let noted = sessions.last().and_then(|session| session.cpu_kernels.as_deref());
        if let Some(change) = self.before.as_deref().or(noted).and_then(other_kernels) {
            tracing::warn!("{change}");
        }
        sessions.push(now);
        // Strings and numbers always have a JSON form.
        let text = serde_json::to_string_pretty(&sessions).unwrap_or_default() + "\n";
        self.dir.write(ENVIRONMENT, &text).map_err(|error| CallbackError::new(ENVIRONMENT, error))
    }

    fn state(&self) -> Option<serde_json::Value> {
        Some(serde_json::json!({ KERNELS: cpu_kernels::in_use() }))
    }

    fn load_state(&mut self, state: serde_json::Value) -> Result<(), CallbackError> {
        self.before = state.get(KERNELS).and_then(|name| name.as_str()).map(str::to_owned);
        Ok(())
    }
}

/// The value of a name in lines such as `NAME="value"` or `name : value`.
fn value_of(text: &str, name: &str, separator: char) -> Option<String> {
    let value = text.lines().find_map(|line| {
        let (key, value) = line.split_once(separator)?;
        (key.trim() == name).then(|| value.trim().trim_matches('"').to_owned())
    });
    value.filter(|value| !value.is_empty())
}

fn system() -> String {
    let release = fs::read_to_string("/etc/os-release").ok();
    let name = release.and_then(|text| value_of(&text, "PRETTY_NAME", '='));
    format!("{} ({})", name.unwrap_or_else(|| std::env::consts::OS.to_owned()), std::env::consts::ARCH)
}

fn cpu() -> String {
    let linux = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| value_of(&text, "model name", ':'));
    let name = linux.or_else(|| output("sysctl", &["-n", "machdep.cpu.brand_string"]));
    name.unwrap_or_else(|| "unknown".to_owned())
}

fn commit() -> Option<String> {
    output("git", &["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"])
}

/// The output of a command; `None` where it does not exist or fails.
fn output(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_burn_is_that_of_the_workspace() {
        let manifest = include_str!("../../../../Cargo.toml");
        assert!(manifest.contains(&format!("burn = {{ version = \"={BURN}\"")), "Cargo.toml pins another burn");
    }

    #[test]
    fn a_session_says_where_it_runs() {
        let run = RunInfo {
            epochs: 2,
            total_steps: 20,
            steps_per_epoch: 10,
            items: 100,
            steps_done: 7,
            over: false,
            saved_in_turn: false,
            logged: trainer::Logged::default(),
            parameters: 1,
        };
        let session = Session::here("cpu", &run);
        assert!(session.started.ends_with('Z') && session.started.len() == "2026-01-01T00:00:00Z".len());
        assert!(session.cores >= 1 && session.from_step == 7 && session.system.contains(std::env::consts::ARCH));
        assert!(other_kernels("mmx").is_some_and(|change| change.contains("CPU_KERNELS=mmx")));
        assert_eq!(session.cpu_kernels.as_deref().and_then(other_kernels), None);
        let cpuinfo = "processor\t: 0\nmodel name\t: A CPU: 3 GHz\n";
        assert_eq!(value_of(cpuinfo, "model name", ':').as_deref(), Some("A CPU: 3 GHz"));
        assert_eq!(value_of("NAME=\"a\"\nPRETTY_NAME=\"b c\"", "PRETTY_NAME", '=').as_deref(), Some("b c"));
        assert_eq!(value_of("a: ", "a", ':'), None);
    }
}
