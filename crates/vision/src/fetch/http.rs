//! One file over HTTP, resuming a partial download.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use super::Event;

/// Transfers without a new byte before the address is given up.
const STALLS: u32 = 3;

/// The timeout of a connection and of a read.
const PATIENCE: Duration = Duration::from_secs(30);

/// Bytes between two progress events.
const STEP: usize = 1 << 16;

/// Why an address did not provide its file.
pub(super) enum Failure {
    /// The server is not reachable, refuses, or sends another file. Another address may work.
    Server(String),
    /// The file cannot be written here. Another address would not help.
    Disk(io::Error),
}

/// The result of a transfer that may be resumed.
enum Transfer {
    Complete,
    /// It broke off, for this reason.
    BrokenOff(String),
}

pub(super) struct Client(ureq::Agent);

impl Client {
    pub(super) fn new() -> Self {
        let agent = ureq::AgentBuilder::new()
            .timeout_connect(PATIENCE)
            .timeout_read(PATIENCE)
            .try_proxy_from_env(true)
            .user_agent(concat!("anneal/", env!("CARGO_PKG_VERSION")));
        Self(agent.build())
    }

    /// Downloads the file at `url`, which has `bytes` bytes, to `part`, resuming from the bytes that are there. On success
    /// `part` has that many bytes, synced to the disk; their checksum is not checked here. On failure they are kept.
    pub(super) fn download(
        &self,
        url: &str,
        part: &Path,
        bytes: u64,
        watch: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), Failure> {
        let mut stalls = 0;
        loop {
            let before = length(part);
            let reason = match self.transfer(url, part, bytes, watch)? {
                Transfer::Complete => return Ok(()),
                Transfer::BrokenOff(reason) => reason,
            };
            stalls = if length(part) > before { 0 } else { stalls + 1 };
            if stalls == STALLS {
                return Err(Failure::Server(reason));
            }
            std::thread::sleep(Duration::from_millis(200) * stalls);
        }
    }

    fn transfer(
        &self,
        url: &str,
        part: &Path,
        bytes: u64,
        watch: &mut dyn FnMut(Event<'_>),
    ) -> Result<Transfer, Failure> {
        let mut file = OpenOptions::new().create(true).write(true).truncate(false).open(part).map_err(Failure::Disk)?;
        let file = &mut file;
        let mut have = length(part);
        if have > bytes {
            // Longer than the file: it is another one.
            restart(file)?;
            have = 0;
        }
        if have < bytes {
            let mut request = self.0.get(url);
            if have > 0 {
                request = request.set("Range", &format!("bytes={have}-"));
            }
            let response = match request.call() {
                Ok(response) => response,
                Err(ureq::Error::Status(416, _)) if have > 0 => {
                    restart(file)?;
                    return Ok(Transfer::BrokenOff(format!("it has no bytes from {have} on")));
                }
                Err(ureq::Error::Status(status, response)) => {
                    return Err(Failure::Server(format!("HTTP {status} {}", response.status_text())));
                }
                Err(ureq::Error::Transport(error)) => return transport(&error),
            };
            let from = starts_at(&response, have, bytes).map_err(Failure::Server)?;
            if from == 0 {
                restart(file)?;
            }
            file.seek(SeekFrom::Start(from)).map_err(Failure::Disk)?;
            watch(Event::Begins { url, bytes, from });
            if let Transfer::BrokenOff(reason) = copy(response.into_reader(), file, from, bytes, watch)? {
                return Ok(Transfer::BrokenOff(reason));
            }
        }
        file.sync_all().map_err(Failure::Disk)?;
        Ok(Transfer::Complete)
    }
}

/// The length of a file; 0 where there is none.
fn length(part: &Path) -> u64 {
    fs::metadata(part).map_or(0, |part| part.len())
}

fn restart(file: &mut File) -> Result<(), Failure> {
    if file.metadata().is_ok_and(|file| file.len() == 0) {
        return Ok(());
    }
    file.set_len(0).map_err(Failure::Disk)
}

/// A connection that broke may be resumed; one that could not be made is an error.
fn transport(error: &ureq::Transport) -> Result<Transfer, Failure> {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
    let reason = match (error.message(), source) {
        (Some(message), Some(source)) => format!("{}: {message}: {source}", error.kind()),
        (Some(message), None) => format!("{}: {message}", error.kind()),
        (None, Some(source)) => format!("{}: {source}", error.kind()),
        (None, None) => error.kind().to_string(),
    };
    match error.kind() {
        ureq::ErrorKind::Io => Ok(Transfer::BrokenOff(reason)),
        _ => Err(Failure::Server(reason)),
    }
}

/// Where the body of a response starts: at the requested byte, or at 0 where the server does not support ranges.
fn starts_at(response: &ureq::Response, have: u64, bytes: u64) -> Result<u64, String> {
    let (from, total) = match response.status() {
        200 => (0, response.header("Content-Length").and_then(|length| length.trim().parse().ok())),
        206 => {
            let range = response.header("Content-Range").unwrap_or_default();
            let parsed = range.trim().strip_prefix("bytes ").and_then(|range| {
                let (span, total) = range.split_once('/')?;
                Some((span.split_once('-')?.0.parse::<u64>().ok()?, total.parse::<u64>().ok()))
            });
            let Some((from, total)) = parsed.filter(|&(from, _)| from == have) else {
                return Err(format!("answers `Content-Range: {range}` where bytes from {have} on were asked for"));
            };
            (from, total)
        }
        other => return Err(format!("HTTP {other} {}", response.status_text())),
    };
    match total.filter(|&total| total != bytes) {
        Some(found) => Err(format!("has a file of {found} bytes, expected {bytes}")),
        None => Ok(from),
    }
}

/// Copies the body of a response, but never more than the file should have.
fn copy(
    body: impl Read,
    file: &mut File,
    from: u64,
    bytes: u64,
    watch: &mut dyn FnMut(Event<'_>),
) -> Result<Transfer, Failure> {
    let mut body = body.take(bytes - from + 1);
    let (mut at, mut buffer) = (from, vec![0; STEP]);
    let broken = loop {
        let read = match body.read(&mut buffer) {
            Ok(0) => break None,
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => break Some(error),
        };
        if at + read as u64 > bytes {
            return Err(Failure::Server(format!("sends more than the {bytes} bytes of the file")));
        }
        file.write_all(&buffer[..read]).map_err(Failure::Disk)?;
        at += read as u64;
        watch(Event::At(at));
    };
    if at == bytes {
        return Ok(Transfer::Complete);
    }
    let why = broken.map_or_else(String::new, |error| format!(": {error}"));
    Ok(Transfer::BrokenOff(format!("broke off after {at} of {bytes} bytes{why}")))
}
