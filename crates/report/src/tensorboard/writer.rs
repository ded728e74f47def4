//! Writing an event file.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use prost::Message;

use super::{EventError, FILE_PREFIX, frame, proto};

/// Writes an event file.
///
/// Values are buffered: [`flush`](Self::flush) hands them to the system, and dropping the writer flushes too.
#[derive(Debug)]
pub struct EventWriter {
    path: PathBuf,
    out: BufWriter<File>,
    encoded: Vec<u8>,
}

impl EventWriter {
    /// Creates a new file in `folder`, which must exist: `events.out.tfevents.<seconds>.<host>.<process>`.
    ///
    /// TensorBoard reads the files of a folder in the order of their names, so the seconds are those since 1970, or one
    /// more than those of the newest file that is there.
    ///
    /// # Errors
    /// [`EventError::Io`].
    pub fn create(folder: &Path) -> Result<Self, EventError> {
        let failed = |path: &Path, action| {
            let path = path.to_owned();
            move |source| EventError::Io { path, action, source }
        };
        let newest = newest(folder).map_err(failed(folder, "read it"))?;
        let seconds = newest.map_or(0, |newest| newest + 1).max(now() as u64);
        let path = folder.join(format!("{FILE_PREFIX}{seconds:010}.{}.{}", host(), std::process::id()));
        let file = OpenOptions::new().write(true).create_new(true).open(&path).map_err(failed(&path, "create it"))?;
        let mut writer = Self { path, out: BufWriter::new(file), encoded: Vec::new() };
        writer.write(0, proto::What::FileVersion("brain.Event:2".to_owned()))?;
        Ok(writer)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Says that a process begins to write at `step`: TensorBoard forgets what earlier files hold of this step and
    /// those after it.
    ///
    /// # Errors
    /// [`EventError::Io`].
    pub fn restart(&mut self, step: u64) -> Result<(), EventError> {
        self.write(step, proto::What::SessionLog(proto::SessionLog { status: proto::START }))
    }

    /// Writes values at a step: one event. TensorBoard keeps scalars as `f32`.
    ///
    /// # Errors
    /// [`EventError::Io`].
    pub fn scalars(&mut self, step: u64, values: &[(String, f64)]) -> Result<(), EventError> {
        if values.is_empty() {
            return Ok(());
        }
        let value = values
            .iter()
            .map(|(tag, value)| proto::Value {
                tag: tag.clone(),
                metadata: None,
                data: Some(proto::Data::Simple(*value as f32)),
            })
            .collect();
        self.write(step, proto::What::Summary(proto::Summary { value }))
    }

    /// Writes a text, which TensorBoard shows as Markdown.
    ///
    /// # Errors
    /// [`EventError::Io`].
    pub fn text(&mut self, step: u64, tag: &str, markdown: &str) -> Result<(), EventError> {
        let tensor = proto::Tensor {
            dtype: proto::STRING,
            shape: Some(proto::Shape { dims: vec![proto::Dim { size: 1 }] }),
            strings: vec![markdown.as_bytes().to_vec()],
        };
        let value = proto::Value {
            tag: tag.to_owned(),
            metadata: Some(proto::Metadata { plugin: Some(proto::Plugin { name: "text".to_owned() }) }),
            data: Some(proto::Data::Tensor(tensor)),
        };
        self.write(step, proto::What::Summary(proto::Summary { value: vec![value] }))
    }

    /// Hands everything written to the system, so that it outlives this process and TensorBoard sees it.
    ///
    /// # Errors
    /// [`EventError::Io`].
    pub fn flush(&mut self) -> Result<(), EventError> {
        self.out.flush().map_err(|source| self.failed(source))
    }

    fn write(&mut self, step: u64, what: proto::What) -> Result<(), EventError> {
        let event = proto::Event { wall_time: now(), step: step.cast_signed(), what: Some(what) };
        self.encoded.clear();
        // A vector grows as it must, so encoding into it cannot fail.
        event.encode(&mut self.encoded).map_err(|error| self.failed(io::Error::other(error)))?;
        frame::write(&mut self.out, &self.encoded).map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> EventError {
        EventError::Io { path: self.path.clone(), action: "write it", source }
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// The seconds in the name of the newest event file.
fn newest(folder: &Path) -> io::Result<Option<u64>> {
    let mut newest = None;
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let seconds = name.to_str().and_then(|name| name.strip_prefix(FILE_PREFIX)?.split('.').next()?.parse().ok());
        newest = newest.max(seconds);
    }
    Ok(newest)
}

/// The machine's name, as far as it can be part of a file's.
fn host() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").ok().or_else(|| std::env::var("HOSTNAME").ok());
    let safe: String = name
        .unwrap_or_default()
        .trim()
        .chars()
        .map(|letter| if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '-' })
        .take(64)
        .collect();
    if safe.is_empty() { "localhost".to_owned() } else { safe }
}
