//! What can be wrong with a text, a prompt or a model for them.

use std::io;
use std::path::PathBuf;

use strict_config::{ConfigError, did_you_mean};

/// Why a text cannot be used, a model cannot be built, or nothing can be generated. Every message names the file or the
/// field, what was found and what is allowed.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    /// The operating system refused to read a file.
    #[error("{}: cannot be read: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A path that names no regular file: a folder, a pipe, a device.
    #[error("{}: is no regular file: expected a text in UTF-8", path.display())]
    NoFile {
        /// The path.
        path: PathBuf,
    },
    /// The bytes are not UTF-8.
    #[error(
        "{}:{line}:{column}: byte {offset} ({byte:#04x}) is not UTF-8{}; convert the file, or read it as bytes (`unit = \"bytes\"`)",
        path.display(),
        if *.utf16 { ": the file begins as UTF-16 does" } else { "" }
    )]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The character in the line, from 1.
        column: usize,
        /// The byte in the file, from 0.
        offset: usize,
        /// Its value.
        byte: u8,
        /// Whether the file begins as UTF-16 does: with its byte order mark, or with a zero byte in its first character.
        utf16: bool,
    },
    /// A file that is mapped into memory has become shorter while it is used.
    #[error("{text}: has {found} bytes and had {expected} when it was opened: a text must not be cut while it is used")]
    Cut {
        /// The file.
        text: String,
        /// Bytes that it has.
        found: u64,
        /// Bytes that it had.
        expected: u64,
    },
    /// A text without a character.
    #[error("{text}: the text is empty")]
    Empty {
        /// The file, or the name of the text.
        text: String,
    },
    /// A text of one symbol alone, of which nothing can be learned.
    #[error("{text}: the text has only one symbol, {symbol}: a model needs at least 2")]
    OneSymbol {
        /// The file, or the name of the text.
        text: String,
        /// The symbol.
        symbol: String,
    },
    /// A part of a text is shorter than a window and the token after it.
    #[error(
        "{text}: the {part} part has {tokens} tokens, a window of `context = {context}` needs {}: choose a smaller `context` or a longer text",
        context + 1
    )]
    TooShort {
        /// The file, or the name of the text.
        text: String,
        /// Which part: `training`, `validation`, `test`.
        part: &'static str,
        /// Its tokens.
        tokens: usize,
        /// Tokens in a window.
        context: usize,
    },
    /// A training part that holds less than one batch of windows.
    #[error(
        "{text}: the training part has {tokens} tokens, less than a step of {batch} windows of {context} tokens: \
         choose a smaller `batch_size` or `context`, or a longer text"
    )]
    NoStep {
        /// The file, or the name of the text.
        text: String,
        /// The tokens of the training part.
        tokens: usize,
        /// Windows in a batch.
        batch: usize,
        /// Tokens in a window.
        context: usize,
    },
    /// Fractions for validation and test that leave nothing to train on.
    #[error("`validation = {validation}`, `test = {test}`: allowed are numbers of at least 0 whose sum is below 1")]
    Fractions {
        /// The part for validation.
        validation: f64,
        /// The part for the test.
        test: f64,
    },
    /// A character that the model has never seen, in a prompt or in another text.
    #[error(
        "{text}: line {line}, character {column} is {character:?}, which is not among the {known} of the training text: {some}"
    )]
    UnknownCharacter {
        /// What was read: `the prompt`, or a file.
        text: String,
        /// The line, from 1.
        line: usize,
        /// The character in the line, from 1.
        column: usize,
        /// The character.
        character: char,
        /// How many the model knows.
        known: usize,
        /// Those that it knows, the first hundred of them.
        some: String,
    },
    /// A prompt without a character: a model needs one token to begin with.
    #[error("the prompt is empty: at least one character is needed")]
    EmptyPrompt,
    /// A temperature that is none.
    #[error("`temperature` is {found}: allowed is a finite number of at least 0 (0 takes the most likely token)")]
    Temperature {
        /// The value that was given.
        found: f64,
    },
    /// A model gave logits that are no numbers: its weights are damaged or have diverged.
    #[error("the model's output for the next token is not finite: its weights have diverged or are damaged")]
    NotFinite,
    /// A file that should hold a vocabulary does not.
    #[error("{}: {problem}", path.display())]
    Vocabulary {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A text that a vocabulary cannot encode.
    #[error("the vocabulary cannot encode the text: {problem}")]
    Encode {
        /// What is wrong with it.
        problem: String,
    },
    /// No model has this name.
    #[error("no model is called `{name}`{} (known: {})", did_you_mean(*.nearest), known.join(", "))]
    UnknownModel {
        /// The name asked for.
        name: String,
        /// The known name most like it.
        nearest: Option<&'static str>,
        /// All known names.
        known: Vec<&'static str>,
    },
    /// A setting is out of its range.
    #[error(transparent)]
    Settings(Box<ConfigError>),
    /// A tensor could not be read back from its device.
    #[error("the device did not give its numbers back: {reason}")]
    Device {
        /// What burn said.
        reason: String,
    },
}

impl From<ConfigError> for TextError {
    fn from(error: ConfigError) -> Self {
        Self::Settings(Box::new(error))
    }
}
