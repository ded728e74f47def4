//! The pieces of a byte-pair encoding, through Hugging Face's `tokenizers`.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokenizers::Tokenizer;

use crate::error::TextError;

/// A byte-pair encoding (Sennrich et al., *Neural Machine Translation of Rare Words with Subword Units*, 2016), or any other
/// vocabulary that a `tokenizer.json` describes. As serde's it is that file's text.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Bpe {
    tokenizer: Arc<Tokenizer>,
    json: Arc<str>,
}

impl fmt::Debug for Bpe {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Bpe({} tokens)", self.len())
    }
}

impl PartialEq for Bpe {
    fn eq(&self, other: &Self) -> bool {
        self.json == other.json
    }
}

impl TryFrom<String> for Bpe {
    type Error = tokenizers::Error;

    fn try_from(json: String) -> Result<Self, Self::Error> {
        Ok(Self { tokenizer: Arc::new(Tokenizer::from_bytes(&json)?), json: json.into() })
    }
}

impl From<Bpe> for String {
    fn from(bpe: Bpe) -> Self {
        bpe.json.as_ref().to_owned()
    }
}

impl Bpe {
    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// A file that cannot be read or holds no vocabulary.
    pub fn read(path: &Path) -> Result<Self, TextError> {
        let io = |source| TextError::Io { path: path.to_owned(), source };
        // Asked before it is opened: opening a pipe waits for its other end.
        if !std::fs::metadata(path).map_err(io)?.is_file() {
            return Err(TextError::NoFile { path: path.to_owned() });
        }
        let json = std::fs::read_to_string(path).map_err(io)?;
        Self::try_from(json)
            .map_err(|error| TextError::Vocabulary { path: path.to_owned(), problem: error.to_string() })
    }

    /// How many tokens there are.
    pub fn len(&self) -> usize {
        self.tokenizer.get_vocab_size(true)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What identifies it among others.
    pub(crate) fn fingerprint(&self) -> String {
        format!("bpe {}", self.json)
    }

    /// The tokens of a text, without any that mark its ends.
    pub(crate) fn encode(&self, text: &str) -> Result<Vec<u32>, TextError> {
        let encoding = self.tokenizer.encode_fast(text, false);
        Ok(encoding.map_err(|error| TextError::Encode { problem: error.to_string() })?.get_ids().to_vec())
    }

    /// The tokens of a long text, a piece of whole lines at a time: no token reaches over the end of such a piece.
    pub(crate) fn encode_long(&self, text: &str) -> Result<Vec<u32>, TextError> {
        const PIECE: usize = 1 << 16;
        let mut tokens = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let end_of_line = |from: usize| rest.as_bytes()[from..].iter().position(|byte| *byte == b'\n');
            let end = if rest.len() <= PIECE { None } else { end_of_line(PIECE).map(|at| PIECE + at + 1) };
            let (piece, after) = rest.split_at(end.unwrap_or(rest.len()));
            tokens.extend(self.encode(piece)?);
            rest = after;
        }
        Ok(tokens)
    }

    /// The text of tokens.
    pub(crate) fn decode(&self, tokens: &[u32]) -> String {
        self.tokenizer.decode(tokens, false).unwrap_or_else(|_| char::REPLACEMENT_CHARACTER.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `h`, `i`, a space, the end of a line, and `hi` as a pair.
    const TOKENIZER: &str = r#"{
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": null, "post_processor": null, "decoder": {"type": "Fuse"},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": {"h": 0, "i": 1, " ": 2, "hi": 3, "\n": 4}, "merges": [["h", "i"]]}
    }"#;

    #[test]
    fn pairs_are_one_token_and_come_back() {
        let bpe = Bpe::try_from(TOKENIZER.to_owned()).unwrap();
        assert_eq!(bpe.len(), 5);
        let tokens = bpe.encode("hi hih").unwrap();
        assert_eq!(tokens, [3, 2, 3, 0]);
        assert_eq!(bpe.decode(&tokens), "hi hih");
        let json = serde_json::to_string(&bpe).unwrap();
        assert_eq!(serde_json::from_str::<Bpe>(&json).unwrap(), bpe);
    }

    #[test]
    fn a_long_text_is_encoded_line_by_line() {
        let bpe = Bpe::try_from(TOKENIZER.to_owned()).unwrap();
        let text = "hi hi\n".repeat(30_000);
        let tokens = bpe.encode_long(&text).unwrap();
        assert_eq!(tokens.len(), 4 * 30_000);
        assert_eq!(bpe.decode(&tokens), text);
    }

    #[test]
    fn a_file_that_is_no_vocabulary_is_refused_by_name() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "{}").unwrap();
        let error = Bpe::read(file.path()).unwrap_err();
        assert!(matches!(error, TextError::Vocabulary { .. }), "{error}");
    }
}
