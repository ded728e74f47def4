//! A text that needs no file: numbers, and their digits from the last to the first.

use splitmix::SplitMix64;
use strict_config::{ConfigError, Settings, check, settings};

use crate::corpus::Corpus;
use crate::error::TextError;
use crate::metrics::ExactMatch;
use crate::vocabulary::{Characters, Vocabulary};

settings! {
    /// Lines such as `4821=1284`: a number of `digits` digits, and the same from the last to the first. What a model has to
    /// find out is where to look: the task is learned by attention, or by a state that holds the number.
    ///
    /// Every number comes at most once in the whole text, in an order that depends on the seed alone: what is held out of
    /// training by place is numbers that a model has never seen. Windows begin where lines do.
    ///
    /// ```
    /// let corpus = text::ReversalConfig::default().corpus()?;
    /// assert_eq!((corpus.len(), corpus.vocabulary().len()), (100_000, 12)); // 10,000 lines of 10 characters
    /// # Ok::<(), text::TextError>(())
    /// ```
    pub struct ReversalConfig {
        /// Digits of each number, 1 to 6. Default: 4.
        pub digits: usize = 4,
        /// How many numbers, at most `10^digits`. Default: 10,000, for four digits all there are.
        pub problems: usize = 10_000,
        /// Tokens in a window; the text does not depend on it. Default: 30, three lines of four-digit numbers.
        pub context: usize = 30,
        /// The part of the numbers that is kept for the test; the text does not depend on it. Default: 0.05.
        pub test: f64 = 0.05,
        /// Of the order of the numbers; no field of a table. Default: 0.
        #[serde(skip)]
        pub seed: u64 = 0,
    }
}

/// All characters, in the order of their code points: also of a text that has not all of them.
const CHARACTERS: &str = "\n0123456789=";
/// The tokens that stand around an answer: the last of these, and the first.
const EQUALS: u32 = 11;
const END: u32 = 0;

impl Settings for ReversalConfig {
    fn check(&self) -> Result<(), ConfigError> {
        check::is_allowed("digits", self.digits, "1 to 6", (1..=6).contains(&self.digits))?;
        let numbers = 10_usize.pow(self.digits as u32);
        let allowed = format!("a whole number from 1 to {numbers}, for numbers of {} digits", self.digits);
        check::is_allowed("problems", self.problems, &allowed, (1..=numbers).contains(&self.problems))?;
        check::at_least("context", self.context as u64, 1)?;
        check::below_one("test", self.test)
    }
}

impl ReversalConfig {
    /// The text.
    ///
    /// # Errors
    /// Settings out of their ranges.
    pub fn corpus(&self) -> Result<Corpus, TextError> {
        self.check()?;
        // The first `problems` places of a shuffle (Fisher and Yates).
        let mut numbers: Vec<u32> = (0..10_u32.pow(self.digits as u32)).collect();
        let mut random = SplitMix64::keyed([self.seed, 0, 0]);
        let mut text = String::new();
        for at in 0..self.problems {
            let other = at + random.below(numbers.len() - at);
            numbers.swap(at, other);
            text.push_str(&self.question(numbers[at]));
            text.push_str(&self.answer(numbers[at]));
            text.push('\n');
        }
        let vocabulary = Vocabulary::Characters(Characters::of(CHARACTERS));
        Ok(Corpus::in_tokens("reversal", &text, &vocabulary)?.with_lines_of(2 * self.digits + 2))
    }

    /// `4821=`, a prompt.
    pub fn question(&self, number: u32) -> String {
        let digits = self.digits;
        format!("{number:0digits$}=")
    }

    /// `1284`, what a model should answer to it.
    pub fn answer(&self, number: u32) -> String {
        let digits = self.digits;
        format!("{number:0digits$}").chars().rev().collect()
    }

    /// The share of numbers of which every digit is right.
    pub fn exact_match() -> ExactMatch {
        ExactMatch::between(EQUALS, END)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_number_comes_once_and_every_line_is_right() {
        let of = |digits, problems| ReversalConfig { digits, problems, seed: 3, ..ReversalConfig::default() };
        let corpus = of(2, 100).corpus().unwrap();
        let text = corpus.vocabulary().decode(&corpus.tokens(0..corpus.len()));
        let mut seen = BTreeSet::new();
        for line in text.lines() {
            let (question, answer) = line.split_once('=').unwrap();
            assert!(question.chars().rev().eq(answer.chars()), "{line}");
            assert!(seen.insert(question.to_owned()), "{line} twice");
        }
        assert_eq!(seen.len(), 100);
        let tokens = |character: &str| corpus.vocabulary().encode(character, "it").unwrap();
        assert_eq!((tokens("="), tokens("\n")), (vec![EQUALS], vec![END]));
        let one = of(1, 1).corpus().unwrap();
        assert_eq!(one.vocabulary(), corpus.vocabulary());
    }

    #[test]
    fn the_text_is_a_function_of_the_seed() {
        let of = |seed| ReversalConfig { seed, ..ReversalConfig::default() }.corpus().unwrap().fingerprint().to_owned();
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        for (digits, problems, expected) in [
            (0, 1, "digits: 0 is not allowed here; allowed: 1 to 6"),
            (7, 1, "digits: 7 is not allowed here; allowed: 1 to 6"),
            (1, 11, "problems: 11 is not allowed here; allowed: a whole number from 1 to 10, for numbers of 1 digits"),
            (2, 0, "problems: 0 is not allowed here; allowed: a whole number from 1 to 100, for numbers of 2 digits"),
        ] {
            let error = ReversalConfig { digits, problems, ..ReversalConfig::default() }.corpus().unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
    }
}
