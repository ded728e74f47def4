//! What tokens stand for: characters, bytes, or the pieces of a byte-pair encoding.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::TextError;

/// What one token stands for.
///
/// A vocabulary is written beside the weights of a model (it is serde's), since a token number means nothing without it.
///
/// ```
/// use text::Vocabulary;
///
/// let vocabulary = Vocabulary::of("to be, or not to be");
/// assert_eq!(vocabulary.len(), 8);
/// let tokens = vocabulary.encode("not", "the prompt")?;
/// assert_eq!(vocabulary.decode(&tokens), "not");
/// let error = vocabulary.encode("now", "the prompt").unwrap_err().to_string();
/// assert!(error.starts_with("the prompt: line 1, character 3 is 'w', which is not among the 8 of the training text"), "{error}");
/// # Ok::<(), text::TextError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Vocabulary {
    /// The 256 bytes.
    Bytes,
    /// Characters (Unicode scalar values), in the order of their code points.
    Characters(Characters),
    /// The pieces of a byte-pair encoding.
    #[cfg(feature = "bpe")]
    Bpe(crate::bpe::Bpe),
}

/// Distinct characters in the order of their code points; a token is a place among them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Characters(Arc<[char]>);

impl From<String> for Characters {
    fn from(text: String) -> Self {
        Self::of(&text)
    }
}

impl From<Characters> for String {
    fn from(characters: Characters) -> Self {
        characters.0.iter().collect()
    }
}

impl Characters {
    /// The characters of a text.
    pub fn of(text: &str) -> Self {
        let mut seen = vec![false; char::MAX as usize + 1];
        if text.is_ascii() {
            text.bytes().for_each(|byte| seen[usize::from(byte)] = true);
        } else {
            text.chars().for_each(|character| seen[character as usize] = true);
        }
        let found = (0..).zip(&seen).filter(|(_, seen)| **seen);
        Self(found.filter_map(|(code, _)| char::from_u32(code)).collect())
    }

    /// The characters, token 0 first.
    pub fn as_slice(&self) -> &[char] {
        &self.0
    }

    /// The token of a character.
    pub fn token(&self, character: char) -> Option<u32> {
        self.0.binary_search(&character).ok().map(|token| token as u32)
    }

    /// The tokens of a text whose characters are all known, through a table for speed.
    pub(crate) fn tokens<'a>(&self, text: &'a str) -> impl Iterator<Item = u32> + use<'a> {
        let mut table = vec![0_u32; self.0.last().map_or(0, |last| *last as usize + 1)];
        for (token, character) in (0..).zip(self.0.iter()) {
            table[*character as usize] = token;
        }
        text.chars().map(move |character| table.get(character as usize).copied().unwrap_or_default())
    }
}

impl Vocabulary {
    /// The characters of a text.
    pub fn of(text: &str) -> Self {
        Self::Characters(Characters::of(text))
    }

    /// How many tokens there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Bytes => 256,
            Self::Characters(characters) => characters.0.len(),
            #[cfg(feature = "bpe")]
            Self::Bpe(bpe) => bpe.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How the tokens of another vocabulary differ from these: the first that stands for something else, in a sentence; `None`
    /// where they are the same, so that weights learned with one mean the same with the other.
    ///
    /// ```
    /// use text::Vocabulary;
    ///
    /// let difference = Vocabulary::of("abd").difference(&Vocabulary::of("acd"));
    /// assert_eq!(difference.as_deref(), Some("token 1 is 'b', and 'c' there"));
    /// ```
    pub fn difference(&self, other: &Self) -> Option<String> {
        if self == other {
            return None;
        }
        let (Self::Characters(here), Self::Characters(there)) = (self, other) else {
            let (here, there) = (self.kind(), other.kind());
            let other = if here == there { "other " } else { "" };
            return Some(format!("tokens are {here}, and {other}{there} there"));
        };
        let (here, there) = (here.as_slice(), there.as_slice());
        let same = here.iter().zip(there).take_while(|(here, there)| here == there).count();
        let shown =
            |characters: &[char]| characters.get(same).map_or("none".to_owned(), |character| format!("{character:?}"));
        Some(format!("token {same} is {}, and {} there", shown(here), shown(there)))
    }

    /// What tokens are.
    fn kind(&self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Characters(_) => "characters",
            #[cfg(feature = "bpe")]
            Self::Bpe(_) => "pieces of a byte-pair encoding",
        }
    }

    /// The tokens of a text; `name` is what errors call it.
    ///
    /// # Errors
    /// A character that is not in the vocabulary.
    pub fn encode(&self, text: &str, name: &str) -> Result<Vec<u32>, TextError> {
        match self {
            Self::Bytes => Ok(text.bytes().map(u32::from).collect()),
            Self::Characters(characters) => {
                let unknown = |at: usize, character: char| {
                    let line = text[..at].rsplit_once('\n').map_or(&text[..at], |(_, line)| line);
                    TextError::UnknownCharacter {
                        text: name.to_owned(),
                        line: text[..at].matches('\n').count() + 1,
                        column: line.chars().count() + 1,
                        character,
                        known: characters.0.len(),
                        some: characters.0.iter().take(100).flat_map(|character| character.escape_debug()).collect(),
                    }
                };
                let token = |(at, character)| characters.token(character).ok_or_else(|| unknown(at, character));
                text.char_indices().map(token).collect()
            }
            #[cfg(feature = "bpe")]
            Self::Bpe(bpe) => bpe.encode(text),
        }
    }

    /// The text of tokens. Bytes that are not UTF-8 become U+FFFD, as tokens that do not exist do.
    pub fn decode(&self, tokens: &[u32]) -> String {
        match self {
            Self::Bytes => {
                let bytes: Vec<u8> = tokens.iter().map(|&token| u8::try_from(token).unwrap_or(u8::MAX)).collect();
                String::from_utf8_lossy(&bytes).into_owned()
            }
            Self::Characters(characters) => {
                let character = |&token: &u32| characters.0.get(token as usize).copied();
                tokens.iter().map(|token| character(token).unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
            }
            #[cfg(feature = "bpe")]
            Self::Bpe(bpe) => bpe.decode(tokens),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn decoding_undoes_encoding(text in "\\PC{1,60}") {
            for vocabulary in [Vocabulary::of(&text), Vocabulary::Bytes] {
                let tokens = vocabulary.encode(&text, "it").unwrap();
                prop_assert!(tokens.iter().all(|&token| (token as usize) < vocabulary.len()));
                prop_assert_eq!(&vocabulary.decode(&tokens), &text);
                let json = serde_json::to_string(&vocabulary).unwrap();
                prop_assert_eq!(&serde_json::from_str::<Vocabulary>(&json).unwrap(), &vocabulary);
            }
            let characters = Characters::of(&text);
            let tokens: Vec<u32> = characters.tokens(&text).collect();
            prop_assert_eq!(tokens, Vocabulary::Characters(characters).encode(&text, "it").unwrap());
        }
    }

    #[test]
    fn an_unknown_character_is_named_by_line_and_place() {
        let error = Vocabulary::of("ab\n\u{e4}").encode("a\nb\u{e4}\u{f6}", "other.txt").unwrap_err().to_string();
        let expected =
            "other.txt: line 2, character 3 is '\u{f6}', which is not among the 4 of the training text: \\nab\u{e4}";
        assert_eq!(error, expected);
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_as_such() {
        assert_eq!(Vocabulary::Bytes.decode(&[0xc3, 0xa4, 0xff, 300]), "\u{e4}\u{fffd}\u{fffd}");
        assert_eq!(Vocabulary::of("ab").decode(&[0, 7, 1]), "a\u{fffd}b");
    }
}
