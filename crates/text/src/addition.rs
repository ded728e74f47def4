//! A text that needs no file: sums of two numbers.

use serde::{Deserialize, Serialize};
use strict_config::{ConfigError, Settings, check};

use crate::corpus::Corpus;
use crate::error::TextError;
use crate::metrics::ExactMatch;
use crate::random::SplitMix64;
use crate::vocabulary::{Characters, Vocabulary};

/// Lines such as `07+45=250`: the sum of two numbers of `digits` digits, its digits written from the last to the first, so
/// that each can be told from what stands before it (Lee et al., *Teaching Arithmetic to Small Transformers*, 2023).
///
/// Every pair of numbers comes at most once in the whole text, in an order that depends on the seed alone: what is
/// held out of training by place is sums that a model has never seen.
///
/// ```
/// let corpus = text::AdditionConfig::default().corpus()?;
/// assert_eq!((corpus.len(), corpus.vocabulary().len()), (100_000, 13)); // 10,000 lines of 10 characters
/// # Ok::<(), text::TextError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdditionConfig {
    /// Digits of each number, 1 to 3. Default: 2.
    pub digits: usize,
    /// How many sums, at most `10^(2 digits)`. Default: 10,000, for two digits all there are.
    pub problems: usize,
    /// Of the order of the sums. Default: 0.
    pub seed: u64,
}

impl Default for AdditionConfig {
    fn default() -> Self {
        Self { digits: 2, problems: 10_000, seed: 0 }
    }
}

/// All characters, in the order of their code points: also of a text that has not all of them.
const CHARACTERS: &str = "\n+0123456789=";
/// The tokens that stand around an answer: the last of these, and the first.
const EQUALS: u32 = 12;
const END: u32 = 0;

impl Settings for AdditionConfig {
    fn check(&self) -> Result<(), ConfigError> {
        check::is_allowed("digits", self.digits, "1, 2 or 3", (1..=3).contains(&self.digits))?;
        let pairs = 100_usize.pow(self.digits as u32);
        let allowed = format!("a whole number from 1 to {pairs}, for numbers of {} digits", self.digits);
        check::is_allowed("problems", self.problems, &allowed, (1..=pairs).contains(&self.problems))
    }
}

impl AdditionConfig {
    /// The text.
    ///
    /// # Errors
    /// Settings out of their ranges.
    pub fn corpus(&self) -> Result<Corpus, TextError> {
        self.check()?;
        let numbers = 10_usize.pow(self.digits as u32);
        // The first `problems` places of a shuffle (Fisher and Yates).
        let mut pairs: Vec<u32> = (0..(numbers * numbers) as u32).collect();
        let mut random = SplitMix64::keyed([self.seed, 0, 0]);
        let mut text = String::new();
        for at in 0..self.problems {
            let other = at + random.below(pairs.len() - at);
            pairs.swap(at, other);
            let (a, b) = (pairs[at] as usize / numbers, pairs[at] as usize % numbers);
            text.push_str(&self.question(a, b));
            text.push_str(&self.answer(a, b));
            text.push('\n');
        }
        Corpus::in_tokens("addition", &text, &Vocabulary::Characters(Characters::of(CHARACTERS)))
    }

    /// `07+45=`, a prompt.
    pub fn question(&self, a: usize, b: usize) -> String {
        let digits = self.digits;
        format!("{a:0digits$}+{b:0digits$}=")
    }

    /// `250`, what a model should answer to it.
    pub fn answer(&self, a: usize, b: usize) -> String {
        let digits = self.digits + 1;
        format!("{:0digits$}", a + b).chars().rev().collect()
    }

    /// The share of sums of which every digit is right.
    pub fn exact_match() -> ExactMatch {
        ExactMatch::between(EQUALS, END)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_pair_comes_once_and_every_line_is_right() {
        let corpus = AdditionConfig { digits: 1, problems: 100, seed: 3 }.corpus().unwrap();
        let text = corpus.vocabulary().decode(&corpus.tokens(0..corpus.len()));
        let mut seen = BTreeSet::new();
        for line in text.lines() {
            let (question, answer) = line.split_once('=').unwrap();
            let (a, b) = question.split_once('+').unwrap();
            let answer: String = answer.chars().rev().collect();
            assert_eq!(a.parse::<u32>().unwrap() + b.parse::<u32>().unwrap(), answer.parse::<u32>().unwrap(), "{line}");
            assert!(seen.insert(question.to_owned()), "{line} twice");
        }
        assert_eq!(seen.len(), 100);
        let of = |character: &str| corpus.vocabulary().encode(character, "it").unwrap();
        assert_eq!((of("="), of("\n")), (vec![EQUALS], vec![END]));
        let one = AdditionConfig { digits: 1, problems: 1, seed: 3 }.corpus().unwrap();
        assert_eq!(one.vocabulary(), corpus.vocabulary());
    }

    #[test]
    fn the_text_is_a_function_of_the_seed() {
        let of = |seed| AdditionConfig { seed, ..AdditionConfig::default() }.corpus().unwrap().fingerprint().to_owned();
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        for (digits, problems, expected) in [
            (0, 1, "digits: 0 is not allowed here; allowed: 1, 2 or 3"),
            (4, 1, "digits: 4 is not allowed here; allowed: 1, 2 or 3"),
            (
                1,
                101,
                "problems: 101 is not allowed here; allowed: a whole number from 1 to 100, for numbers of 1 digits",
            ),
            (2, 0, "problems: 0 is not allowed here; allowed: a whole number from 1 to 10000, for numbers of 2 digits"),
        ] {
            let error = AdditionConfig { digits, problems, seed: 0 }.corpus().unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
    }
}
