//! A text as tokens: one block in memory, or a file that the system pages in.

use std::fs::{self, File};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use memmap2::Mmap;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::TextError;
use crate::vocabulary::{Characters, Vocabulary};

/// Files of at least this many bytes are mapped into memory, not read: 256 MiB.
const MAP_FROM: u64 = 1 << 28;

/// What a token of a text is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// A character (a Unicode scalar value); the vocabulary is the characters of the text. The default.
    #[default]
    Characters,
    /// A byte; the vocabulary is the 256 bytes, so any later text can be read.
    Bytes,
}

/// A text as tokens, with what they stand for.
///
/// Bytes, and characters of a text that is ASCII, are the bytes of the file seen through a table, so a large file stays on
/// disk and the system pages it in. Characters of another large text are a block of one byte for each character
/// where there are at most 256 of them, of two or four otherwise.
///
/// ```
/// use text::{Corpus, Vocabulary};
///
/// let corpus = Corpus::from_text("rhyme", "row, row, row your boat")?;
/// assert_eq!((corpus.len(), corpus.vocabulary().len()), (23, 10));
/// assert_eq!(corpus.vocabulary().decode(&corpus.tokens(5..8)), "row");
/// # Ok::<(), text::TextError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Corpus {
    name: Arc<str>,
    vocabulary: Vocabulary,
    tokens: Arc<Tokens>,
    /// `None` where it is bytes that are no UTF-8.
    characters: Option<usize>,
    fingerprint: Arc<str>,
    /// Windows begin at multiples of so many tokens.
    line: usize,
}

#[derive(Debug)]
enum Tokens {
    /// The token of each byte stands in a table.
    Bytes {
        memory: Memory,
        table: Box<[u8; 256]>,
    },
    Two(Vec<u16>),
    Four(Vec<u32>),
}

/// The byte order mark, which some editors put before a text.
const MARK: &[u8] = "\u{feff}".as_bytes();

#[derive(Debug)]
struct Memory {
    held: Held,
    /// Bytes before the first.
    skipped: usize,
}

#[derive(Debug)]
enum Held {
    Read(Vec<u8>),
    Mapped { map: Mmap, file: File },
}

impl Held {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Read(bytes) => bytes,
            Self::Mapped { map, .. } => map,
        }
    }
}

impl Memory {
    /// A text, which begins after its byte order mark.
    fn of_text(held: Held) -> Self {
        let skipped = if held.bytes().starts_with(MARK) { MARK.len() } else { 0 };
        Self { held, skipped }
    }

    fn bytes(&self) -> &[u8] {
        &self.held.bytes()[self.skipped..]
    }
}

/// A table in which each byte stands for itself.
fn itself() -> [u8; 256] {
    std::array::from_fn(|byte| byte as u8)
}

impl Tokens {
    fn len(&self) -> usize {
        match self {
            Self::Bytes { memory, .. } => memory.bytes().len(),
            Self::Two(tokens) => tokens.len(),
            Self::Four(tokens) => tokens.len(),
        }
    }

    /// One block of the smallest numbers that hold all of `vocabulary` tokens.
    fn block(tokens: impl Iterator<Item = u32>, vocabulary: usize) -> Self {
        if vocabulary <= 1 << 8 {
            let held = Held::Read(tokens.map(|token| token as u8).collect());
            Self::Bytes { memory: Memory { held, skipped: 0 }, table: Box::new(itself()) }
        } else if vocabulary <= 1 << 16 {
            Self::Two(tokens.map(|token| token as u16).collect())
        } else {
            Self::Four(tokens.collect())
        }
    }
}

impl Corpus {
    /// Reads a file, or maps it where it has at least 256 MiB. A mapped file must not be changed while it is used
    /// (see [`check`](Self::check)). A byte order mark at its head is no part of the text.
    ///
    /// # Errors
    /// A path that is no regular file or cannot be read; bytes that are not UTF-8, where the unit is the character; an
    /// empty text; a text of one symbol.
    pub fn open(path: &Path, unit: Unit) -> Result<Self, TextError> {
        Self::open_mapped_from(path, unit, MAP_FROM)
    }

    /// [`open`](Self::open), mapping from another size on.
    pub(crate) fn open_mapped_from(path: &Path, unit: Unit, map_from: u64) -> Result<Self, TextError> {
        let memory = read(path, map_from)?;
        let name = path.display().to_string();
        match unit {
            Unit::Bytes => Self::of_bytes(&name, memory),
            Unit::Characters => {
                utf8(path, &memory)?;
                Self::of_characters(&name, memory)
            }
        }
    }

    /// The characters of a text that is at hand.
    ///
    /// # Errors
    /// An empty text, a text of one symbol.
    pub fn from_text(name: &str, text: impl Into<String>) -> Result<Self, TextError> {
        Self::of_characters(name, Memory::of_text(Held::Read(text.into().into_bytes())))
    }

    /// Another text in the tokens of a model: what it is measured on.
    ///
    /// # Errors
    /// As [`open`](Self::open); a character that is not in the vocabulary.
    pub fn open_as(path: &Path, vocabulary: &Vocabulary) -> Result<Self, TextError> {
        let name = path.display().to_string();
        let memory = read(path, MAP_FROM)?;
        if *vocabulary == Vocabulary::Bytes {
            return Self::of_bytes(&name, memory);
        }
        Self::in_tokens(&name, utf8(path, &memory)?, vocabulary)
    }

    /// A text at hand in the tokens of a vocabulary.
    pub(crate) fn in_tokens(name: &str, text: &str, vocabulary: &Vocabulary) -> Result<Self, TextError> {
        let tokens = Tokens::block(vocabulary.encode(text, name)?.into_iter(), vocabulary.len());
        let fingerprint = fingerprint("tokens", text.as_bytes());
        Self::checked(name, vocabulary.clone(), tokens, Some(text.chars().count()), fingerprint)
    }

    /// The text of a file as the pieces of a byte-pair encoding; `vocabulary` is a `tokenizer.json` of Hugging Face.
    ///
    /// # Errors
    /// As [`open`](Self::open); a file that holds no such vocabulary.
    #[cfg(feature = "bpe")]
    pub fn open_bpe(path: &Path, vocabulary: &Path) -> Result<Self, TextError> {
        let bpe = crate::bpe::Bpe::read(vocabulary)?;
        let memory = read(path, MAP_FROM)?;
        let text = utf8(path, &memory)?;
        let tokens = Tokens::block(bpe.encode_long(text)?.into_iter(), bpe.len());
        let (characters, fingerprint) = (Some(text.chars().count()), fingerprint(&bpe.fingerprint(), memory.bytes()));
        Self::checked(&path.display().to_string(), Vocabulary::Bpe(bpe), tokens, characters, fingerprint)
    }

    fn of_bytes(name: &str, memory: Memory) -> Result<Self, TextError> {
        let bytes = memory.bytes();
        let characters = std::str::from_utf8(bytes).ok().map(|text| text.chars().count());
        let fingerprint = fingerprint("bytes", bytes);
        Self::checked(
            name,
            Vocabulary::Bytes,
            Tokens::Bytes { memory, table: Box::new(itself()) },
            characters,
            fingerprint,
        )
    }

    /// `memory` holds UTF-8.
    fn of_characters(name: &str, memory: Memory) -> Result<Self, TextError> {
        let text = std::str::from_utf8(memory.bytes()).unwrap_or_default();
        let vocabulary = Characters::of(text);
        let fingerprint = fingerprint("characters", text.as_bytes());
        let (tokens, count) = if text.is_ascii() {
            let mut table = [0; 256];
            for (token, character) in (0..).zip(vocabulary.as_slice()) {
                table[*character as usize] = token;
            }
            let count = text.len();
            (Tokens::Bytes { memory, table: Box::new(table) }, count)
        } else {
            let tokens = Tokens::block(vocabulary.tokens(text), vocabulary.as_slice().len());
            let count = tokens.len();
            (tokens, count)
        };
        Self::checked(name, Vocabulary::Characters(vocabulary), tokens, Some(count), fingerprint)
    }

    /// Refuses a text of which nothing can be learned.
    fn checked(
        name: &str,
        vocabulary: Vocabulary,
        tokens: Tokens,
        characters: Option<usize>,
        fingerprint: String,
    ) -> Result<Self, TextError> {
        if tokens.len() == 0 {
            return Err(TextError::Empty { text: name.to_owned() });
        }
        let corpus = Self {
            line: 1,
            name: name.into(),
            vocabulary,
            tokens: Arc::new(tokens),
            characters,
            fingerprint: fingerprint.into(),
        };
        let is_one = match &*corpus.tokens {
            Tokens::Bytes { memory, .. } => memory.bytes().iter().all(|byte| *byte == memory.bytes()[0]),
            Tokens::Two(tokens) => tokens.iter().all(|token| *token == tokens[0]),
            Tokens::Four(tokens) => tokens.iter().all(|token| *token == tokens[0]),
        };
        if is_one {
            let symbol = format!("{:?}", corpus.vocabulary.decode(&corpus.tokens(0..1)));
            return Err(TextError::OneSymbol { text: name.to_owned(), symbol });
        }
        Ok(corpus)
    }

    /// The same as a text of lines of that many tokens each, where windows and parts begin.
    pub(crate) fn with_lines_of(self, line: usize) -> Self {
        Self { line: line.max(1), ..self }
    }

    /// Windows begin at multiples of so many tokens.
    pub(crate) fn line(&self) -> usize {
        self.line
    }

    /// What messages call it: the path of its file, or the name that it was given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its tokens stand for.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// How many tokens it has.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether there are none; a corpus has at least one.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tokens for each character: 1 for characters; more for bytes, less for a byte-pair encoding. What turns nats for
    /// each token into bits for each character. `None` for bytes that are not UTF-8.
    pub fn tokens_per_character(&self) -> Option<f64> {
        Some(self.len() as f64 / self.characters? as f64)
    }

    /// SHA-256 of unit and text, in hex: a resumed run refuses another text.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Whether its file is mapped, not read.
    pub fn is_mapped(&self) -> bool {
        self.mapped().is_some()
    }

    fn mapped(&self) -> Option<(&Mmap, &File)> {
        match &*self.tokens {
            Tokens::Bytes { memory: Memory { held: Held::Mapped { map, file }, .. }, .. } => Some((map, file)),
            _ => None,
        }
    }

    /// Refuses a text whose file is mapped and has become shorter: the system ends a process that reads past its end. It
    /// asks the system for the length of the file, which takes less than a microsecond; call it before reading.
    ///
    /// # Errors
    /// [`TextError::Cut`]; a file whose length the system does not tell.
    pub fn check(&self) -> Result<(), TextError> {
        let Some((map, file)) = self.mapped() else { return Ok(()) };
        let metadata = file.metadata().map_err(|source| TextError::Io { path: self.name().into(), source })?;
        let (found, expected) = (metadata.len(), map.len() as u64);
        if found < expected { Err(TextError::Cut { text: self.name().to_owned(), found, expected }) } else { Ok(()) }
    }

    /// The tokens of a range.
    ///
    /// # Panics
    /// As a slice does, where the range is outside.
    pub fn tokens(&self, range: Range<usize>) -> Vec<u32> {
        let mut out = Vec::with_capacity(range.len());
        self.copy(range, &mut out);
        out.into_iter().map(|token| token as u32).collect()
    }

    /// Appends the tokens of a range, in the type that tensors of whole numbers have.
    pub(crate) fn copy(&self, range: Range<usize>, out: &mut Vec<i32>) {
        match &*self.tokens {
            Tokens::Bytes { memory, table } => {
                out.extend(memory.bytes()[range].iter().map(|&byte| i32::from(table[usize::from(byte)])));
            }
            Tokens::Two(tokens) => out.extend(tokens[range].iter().map(|&token| i32::from(token))),
            Tokens::Four(tokens) => out.extend(tokens[range].iter().map(|&token| token as i32)),
        }
    }

    /// The parts of the text by place: the first `1 - validation - test` of it to train on, then the part for validation,
    /// then the part for the test. Each is a range of tokens; one of a fraction of 0 is empty.
    ///
    /// ```
    /// let corpus = text::Corpus::from_text("rhyme", "row, row, row your boat")?;
    /// assert_eq!(corpus.split(0.25, 0.0)?, [0..18, 18..23, 23..23]);
    /// # Ok::<(), text::TextError>(())
    /// ```
    ///
    /// # Errors
    /// A fraction below 0, or fractions whose sum is 1 or more.
    pub fn split(&self, validation: f64, test: f64) -> Result<[Range<usize>; 3], TextError> {
        if !(validation >= 0.0 && test >= 0.0 && validation + test < 1.0) {
            return Err(TextError::Fractions { validation, test });
        }
        let held_out = |fraction: f64| (self.len() as f64 * fraction) as usize / self.line * self.line;
        let end_of_validation = self.len() - held_out(test);
        let end_of_training = end_of_validation - held_out(validation);
        Ok([0..end_of_training, end_of_training..end_of_validation, end_of_validation..self.len()])
    }
}

fn read(path: &Path, map_from: u64) -> Result<Memory, TextError> {
    let io = |source| TextError::Io { path: path.to_owned(), source };
    // Asked before it is opened: opening a pipe waits for its other end.
    let metadata = fs::metadata(path).map_err(io)?;
    if !metadata.is_file() {
        return Err(TextError::NoFile { path: path.to_owned() });
    }
    if metadata.len() < map_from || metadata.len() == 0 {
        return fs::read(path).map(|bytes| Memory::of_text(Held::Read(bytes))).map_err(io);
    }
    let file = File::open(path).map_err(io)?;
    // SAFETY: the bytes are read only, as plain numbers; `open` asks that nobody changes the file meanwhile, and `check` looks
    // for what would end the process.
    let map = unsafe { Mmap::map(&file) }.map_err(io)?;
    Ok(Memory::of_text(Held::Mapped { map, file }))
}

/// The text of bytes, or where they are none.
fn utf8<'a>(path: &Path, memory: &'a Memory) -> Result<&'a str, TextError> {
    let bytes = memory.bytes();
    // UTF-16 without a mark: every other byte of its ASCII characters is 0, which is UTF-8 too and no text.
    let zero = bytes.first_chunk().and_then(|first: &[u8; 2]| match first {
        [0, 0] => None,
        [0, _] => Some(0),
        [_, 0] => Some(1),
        _ => None,
    });
    let read = match zero {
        Some(offset) => Err(offset),
        None => std::str::from_utf8(bytes).map_err(|error| error.valid_up_to()),
    };
    read.map_err(|offset| {
        let before = &bytes[..offset];
        let begin_of_line = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        TextError::NotUtf8 {
            path: path.to_owned(),
            line: before.split(|byte| *byte == b'\n').count(),
            column: String::from_utf8_lossy(&before[begin_of_line..]).chars().count() + 1,
            offset: memory.skipped + offset,
            byte: bytes[offset],
            utf16: zero.is_some() || bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]),
        }
    })
}

/// SHA-256 over the unit and the text, in hex.
fn fingerprint(unit: &str, bytes: &[u8]) -> String {
    let mut hash = Sha256::new();
    hash.update((unit.len() as u64).to_le_bytes());
    hash.update(unit);
    hash.update(bytes);
    HEXLOWER.encode(&hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), bytes).unwrap();
        file
    }

    #[test]
    fn a_mapped_file_has_the_tokens_of_one_that_was_read() {
        for (text, unit) in [
            ("to be,\nor not", Unit::Characters),
            ("t\u{f6} b\u{eb},\nor not", Unit::Characters),
            ("t\u{f6} b\u{eb},\nor not", Unit::Bytes),
        ] {
            let file = file(text.as_bytes());
            let read = Corpus::open(file.path(), unit).unwrap();
            let mapped = Corpus::open_mapped_from(file.path(), unit, 0).unwrap();
            assert!(!read.is_mapped());
            assert_eq!(mapped.is_mapped(), unit == Unit::Bytes || text.is_ascii());
            assert_eq!(read.tokens(0..read.len()), mapped.tokens(0..mapped.len()));
            assert_eq!(read.fingerprint(), mapped.fingerprint());
            assert_eq!(read.vocabulary().decode(&read.tokens(0..read.len())), text);
            let expected = if unit == Unit::Bytes { 15.0 / 13.0 } else { 1.0 };
            assert_eq!(read.tokens_per_character(), Some(expected), "{text:?}");
        }
    }

    #[test]
    fn blocks_hold_vocabularies_of_every_size() {
        // 300 and 70,000 distinct characters: two and four bytes each.
        for count in [300_u32, 70_000] {
            let text: String = (0x1_0000..0x1_0000 + count).filter_map(char::from_u32).collect();
            let corpus = Corpus::from_text("many", text.clone()).unwrap();
            assert_eq!(corpus.vocabulary().len(), count as usize);
            assert_eq!(corpus.vocabulary().decode(&corpus.tokens(0..corpus.len())), text);
        }
    }

    #[test]
    fn the_fingerprint_depends_on_unit_and_text() {
        let file = file(b"abc");
        let of = |unit| Corpus::open(file.path(), unit).unwrap().fingerprint().to_owned();
        assert_eq!(of(Unit::Characters), Corpus::from_text("other name", "abc").unwrap().fingerprint());
        assert_ne!(of(Unit::Characters), of(Unit::Bytes));
        assert_ne!(of(Unit::Characters), Corpus::from_text("it", "abd").unwrap().fingerprint());
        assert_eq!(of(Unit::Bytes).len(), 64);
    }

    #[test]
    fn texts_that_cannot_be_used_are_refused_by_file_and_line() {
        let refusal = |bytes: &[u8], unit| {
            let file = file(bytes);
            let error = Corpus::open(file.path(), unit).unwrap_err().to_string();
            error.replace(&file.path().display().to_string(), "FILE")
        };
        for (bytes, expected) in [
            (
                &b"one\ntw\xff"[..],
                "FILE:2:3: byte 6 (0xff) is not UTF-8; convert the file, or read it as bytes (`unit = \"bytes\"`)",
            ),
            (
                b"\xff\xfeo\0n\0e\0",
                "FILE:1:1: byte 0 (0xff) is not UTF-8: the file begins as UTF-16 does; convert the file, or read it as \
                 bytes (`unit = \"bytes\"`)",
            ),
            (
                b"o\0n\0e\0",
                "FILE:1:2: byte 1 (0x00) is not UTF-8: the file begins as UTF-16 does; convert the file, or read it as \
                 bytes (`unit = \"bytes\"`)",
            ),
            (
                b"\0o\0n\0e",
                "FILE:1:1: byte 0 (0x00) is not UTF-8: the file begins as UTF-16 does; convert the file, or read it as \
                 bytes (`unit = \"bytes\"`)",
            ),
            (b"", "FILE: the text is empty"),
            (b"aaa", "FILE: the text has only one symbol, \"a\": a model needs at least 2"),
        ] {
            assert_eq!(refusal(bytes, Unit::Characters), expected);
        }
        assert_eq!(refusal(b"", Unit::Bytes), "FILE: the text is empty");
        assert_eq!(Corpus::open(file(b"one\ntw\xff").path(), Unit::Bytes).unwrap().tokens_per_character(), None);

        let folder = tempfile::tempdir().unwrap();
        let error = |path: &Path| Corpus::open(path, Unit::Characters).unwrap_err().to_string();
        assert!(error(folder.path()).ends_with("is no regular file: expected a text in UTF-8"));
        assert!(error(&folder.path().join("none")).contains("none: cannot be read: No such file"));
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_text() {
        let (plain, marked) = (file(b"to be,\nor not"), file("\u{feff}to be,\nor not".as_bytes()));
        for unit in [Unit::Characters, Unit::Bytes] {
            let plain = Corpus::open(plain.path(), unit).unwrap();
            for map_from in [0, MAP_FROM] {
                let marked = Corpus::open_mapped_from(marked.path(), unit, map_from).unwrap();
                assert_eq!(marked.vocabulary(), plain.vocabulary());
                assert_eq!(marked.tokens(0..marked.len()), plain.tokens(0..plain.len()));
                assert_eq!(marked.fingerprint(), plain.fingerprint());
                assert_eq!(marked.is_mapped(), map_from == 0, "it is ASCII without its mark");
            }
        }
        let plain = Corpus::open(plain.path(), Unit::Characters).unwrap();
        let read = Corpus::open_as(marked.path(), plain.vocabulary()).unwrap();
        assert_eq!(read.tokens(0..read.len()), plain.tokens(0..plain.len()));
        assert_eq!(Corpus::from_text("it", "\u{feff}ab").unwrap().len(), 2);
        let error = Corpus::open(file(b"\xef\xbb\xbfa\xff").path(), Unit::Characters).unwrap_err().to_string();
        assert!(error.contains(":1:2: byte 4 (0xff) is not UTF-8"), "its place in the file: {error}");
        // Two hundred characters and more: token 239 is no mark.
        let letters: String = (0x4e00..0x4f00).filter_map(char::from_u32).collect();
        let text: String = [239, 187, 191, 0].map(|at| letters.chars().nth(at).unwrap()).into_iter().collect();
        let corpus = Corpus::from_text("it", text + &letters).unwrap();
        assert_eq!(corpus.tokens(0..4), [239, 187, 191, 0]);
    }

    #[test]
    fn a_mapped_file_that_is_cut_is_refused_before_it_is_read() {
        let text = file(b"to be,\nor not");
        let mapped = Corpus::open_mapped_from(text.path(), Unit::Characters, 0).unwrap();
        mapped.check().unwrap();
        // Longer is no harm.
        let handle = fs::OpenOptions::new().write(true).open(text.path()).unwrap();
        handle.set_len(20).unwrap();
        mapped.check().unwrap();
        handle.set_len(5).unwrap();
        let error = mapped.check().unwrap_err().to_string();
        assert!(
            error.ends_with(": has 5 bytes and had 13 when it was opened: a text must not be cut while it is used"),
            "{error}"
        );
        let read = Corpus::open(text.path(), Unit::Characters).unwrap();
        handle.set_len(0).unwrap();
        read.check().unwrap();
    }

    #[test]
    fn another_text_is_read_in_the_same_tokens() {
        let corpus = Corpus::from_text("it", "hello,\n world").unwrap();
        let other = file(b"world, hello");
        let read = Corpus::open_as(other.path(), corpus.vocabulary()).unwrap();
        assert_eq!(corpus.vocabulary().decode(&read.tokens(0..read.len())), "world, hello");
        let error = Corpus::open_as(file(b"well\nhollow: x").path(), corpus.vocabulary()).unwrap_err().to_string();
        assert!(error.contains(": line 2, character 7 is ':', which is not among"), "{error}");
        let bytes = Corpus::open_as(other.path(), &Vocabulary::Bytes).unwrap();
        assert_eq!(bytes.tokens(0..1), [u32::from(b'w')]);
    }

    #[test]
    fn parts_lie_by_place_and_fractions_are_checked() {
        let corpus = Corpus::from_text("it", "abcdefghij".repeat(10)).unwrap();
        assert_eq!(corpus.split(0.1, 0.2).unwrap(), [0..70, 70..80, 80..100]);
        assert_eq!(corpus.split(0.0, 0.0).unwrap(), [0..100, 100..100, 100..100]);
        for (validation, test) in [(0.5, 0.5), (-0.1, 0.0), (f64::NAN, 0.0), (0.0, 1.0)] {
            assert!(matches!(corpus.split(validation, test), Err(TextError::Fractions { .. })), "{validation} {test}");
        }
    }
}
