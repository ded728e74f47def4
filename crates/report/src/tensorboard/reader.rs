//! Reading event files back, as TensorBoard does.

use std::{collections::BTreeMap, fs, path::Path};

use prost::Message;

use super::{EventError, FILE_PREFIX, frame, proto};

/// One event of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct LoggedEvent {
    /// Seconds since 1970.
    pub wall_time: f64,
    /// The step.
    pub step: u64,
    /// What happened.
    pub what: Happening,
}

/// What an event says.
#[derive(Debug, Clone, PartialEq)]
pub enum Happening {
    /// The format, in the first event of each file.
    FileVersion(String),
    /// A process begins to write at this step; what earlier files hold from there on is void.
    Restart,
    /// Values by tag.
    Scalars(Vec<(String, f32)>),
    /// A text by tag.
    Text(String, String),
    /// Something else, written by another program.
    Other,
}

/// The events of one file. A record at the end that was never finished, as a killed process leaves it, ends them.
///
/// # Errors
/// [`EventError::Io`]; [`EventError::Damaged`] for a record that does not match its checksums or holds no event.
pub fn read_events(path: &Path) -> Result<Vec<LoggedEvent>, EventError> {
    let bytes = crate::read_regular(path).map_err(|source| EventError::Io {
        path: path.to_owned(),
        action: "read it",
        source,
    })?;
    let (mut events, mut rest) = (Vec::new(), bytes.as_slice());
    let damaged = |rest: &[u8], reason: String| EventError::Damaged {
        path: path.to_owned(),
        offset: (bytes.len() - rest.len()) as u64,
        reason,
    };
    loop {
        match frame::read(rest) {
            frame::Record::End | frame::Record::Torn => return Ok(events),
            frame::Record::Damaged(reason) => return Err(damaged(rest, reason.to_owned())),
            frame::Record::Whole { data, rest: after } => {
                let event = proto::Event::decode(data).map_err(|error| damaged(rest, error.to_string()))?;
                events.push(logged(event));
                rest = after;
            }
        }
    }
}

fn logged(event: proto::Event) -> LoggedEvent {
    let what = match event.what {
        Some(proto::What::FileVersion(version)) => Happening::FileVersion(version),
        Some(proto::What::SessionLog(log)) if log.status == proto::START => Happening::Restart,
        Some(proto::What::Summary(summary)) => summarised(summary),
        Some(proto::What::SessionLog(_)) | None => Happening::Other,
    };
    LoggedEvent { wall_time: event.wall_time, step: event.step.max(0).cast_unsigned(), what }
}

fn summarised(summary: proto::Summary) -> Happening {
    let mut scalars = Vec::new();
    for value in summary.value {
        match value.data {
            Some(proto::Data::Simple(number)) => scalars.push((value.tag, number)),
            Some(proto::Data::Tensor(proto::Tensor { strings, .. })) if !strings.is_empty() => {
                let text = strings.iter().map(|text| String::from_utf8_lossy(text)).collect();
                return Happening::Text(value.tag, text);
            }
            _ => {}
        }
    }
    if scalars.is_empty() { Happening::Other } else { Happening::Scalars(scalars) }
}

/// The scalars of all event files in a folder, by tag: step and value, in the order written. What a restart made void
/// is left out.
///
/// # Errors
/// As [`read_events`].
pub fn read_scalars(folder: &Path) -> Result<BTreeMap<String, Vec<(u64, f32)>>, EventError> {
    let failed = |source| EventError::Io { path: folder.to_owned(), action: "read it", source };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_name().to_string_lossy().starts_with(FILE_PREFIX) {
            files.push(entry.path());
        }
    }
    files.sort();
    let mut scalars: BTreeMap<String, Vec<(u64, f32)>> = BTreeMap::new();
    for file in files {
        for event in read_events(&file)? {
            match event.what {
                Happening::Restart => scalars.values_mut().for_each(|of| of.retain(|(step, _)| *step < event.step)),
                Happening::Scalars(values) => {
                    for (tag, value) in values {
                        scalars.entry(tag).or_default().push((event.step, value));
                    }
                }
                _ => {}
            }
        }
    }
    Ok(scalars)
}
