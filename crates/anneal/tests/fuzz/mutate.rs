//! Input that is nearly good: a member of the corpus with a few bytes, words or numbers changed.

use splitmix::SplitMix64;

/// The longest input that is made.
const LONGEST: usize = 1 << 16;

/// Numbers at which something breaks, as text.
const NUMBERS: &[&str] = &[
    "0",
    "-1",
    "1",
    "255",
    "65536",
    "2147483647",
    "4294967296",
    "9007199254740993",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551615",
    "1e308",
    "-1e308",
    "5e-324",
    "nan",
    "inf",
    "1e-400",
    "99999999999999999999",
];

/// Draws mutations; a function of its seed.
pub struct Mutator {
    random: SplitMix64,
    words: Vec<Vec<u8>>,
}

impl Mutator {
    pub fn new(seed: u64, words: &[&str]) -> Self {
        Self {
            random: SplitMix64::new(seed),
            words: words.iter().chain(NUMBERS).map(|word| word.as_bytes().to_vec()).collect(),
        }
    }

    /// Some place in it, and one behind that.
    fn span(&mut self, length: usize) -> (usize, usize) {
        let (from, most) = (self.random.below(length + 1), 1 << self.random.below(8));
        (from, (from + self.random.below(most) + 1).min(length).max(from))
    }

    /// A member of the corpus with a few changes.
    pub fn next(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        let mut input = corpus[self.random.below(corpus.len())].clone();
        for _ in 0..=self.random.below(5) {
            self.change(&mut input, corpus);
        }
        input.truncate(LONGEST);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>, corpus: &[Vec<u8>]) {
        let (from, to) = self.span(input.len());
        match self.random.below(9) {
            // A bit, a byte.
            0 if from < input.len() => input[from] ^= 1 << self.random.below(8),
            1 if from < input.len() => input[from] = self.random.bits() as u8,
            // Gone, doubled, many times.
            2 => drop(input.drain(from..to)),
            3 | 4 => {
                let piece = input[from..to].to_vec();
                let times = if self.random.below(8) == 0 { 1 + self.random.below(200) } else { 1 };
                input.splice(to..to, piece.repeat(times));
            }
            // A word or a number; in the place of a number that is there.
            5 => {
                let which = self.random.below(self.words.len());
                let word = self.words[which].clone();
                input.splice(from..from, word);
            }
            6 => {
                let is_part = |byte: &u8| byte.is_ascii_digit() || b".-e".contains(byte);
                let Some(start) = (from..input.len()).find(|at| input[*at].is_ascii_digit()) else { return };
                let end = input[start..].iter().position(|byte| !is_part(byte)).map_or(input.len(), |n| start + n);
                let number = NUMBERS[self.random.below(NUMBERS.len())];
                input.splice(start..end, number.bytes());
            }
            // A piece of another.
            7 => {
                let other = &corpus[self.random.below(corpus.len())];
                let (a, b) = self.span(other.len());
                input.splice(from..to, other[a..b].to_vec());
            }
            // A number of the machine's.
            _ if from + 8 <= input.len() => {
                let number = [0, 1, u64::MAX, 1 << 31, 1 << 40, u64::from(u32::MAX)][self.random.below(6)];
                let bytes = if self.random.below(2) == 0 { number.to_le_bytes() } else { number.to_be_bytes() };
                let width = 1 << self.random.below(4);
                input[from..from + width].copy_from_slice(&bytes[..width]);
            }
            _ => {}
        }
    }
}
