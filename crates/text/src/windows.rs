//! Windows of a text as batches of tensors.

use std::ops::Range;

use burn::tensor::{Device, Int, Tensor, TensorData};
use splitmix::SplitMix64;

use crate::corpus::Corpus;
use crate::error::TextError;

/// Windows of tokens and, for each token, the one after it.
#[derive(Clone, Debug)]
pub struct TextBatch {
    /// Tokens: `(window, place)`.
    pub inputs: Tensor<2, Int>,
    /// The token after each: `(window, place)`.
    pub targets: Tensor<2, Int>,
}

impl TextBatch {
    /// How many windows.
    pub fn len(&self) -> usize {
        self.inputs.dims()[0]
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The windows of a part of a text.
///
/// To train, each is drawn again in each epoch: window `i` of epoch `e` begins at a place that is a function of
/// (seed, e, i), evenly among all places from which a window and the token after it fit. To evaluate, they lie one after the
/// other and cover the part once.
///
/// Of a text of lines of one length (as [`ReversalConfig`](crate::ReversalConfig) makes it) windows begin where lines do: those
/// that are drawn at the beginning of any line, those in order as many whole lines apart as a window holds, at least one.
/// Where a window is no whole number of lines, it overlaps the next one, or, shorter than a line, leaves the line's end out.
///
/// ```
/// use burn::tensor::Device;
/// use text::{Corpus, Windows};
///
/// let corpus = Corpus::from_text("rhyme", "row, row, row your boat ".repeat(10))?;
/// let [training, validation, _] = corpus.split(0.1, 0.0)?;
/// let windows = Windows::drawn(&corpus, training, 8, 4)?;
/// assert_eq!(windows.len(), 24); // 216 tokens: 6 steps of 4 windows of 8
/// let batch = windows.batch(&[0, 1, 2, 3], 0, 42, &Device::flex());
/// assert_eq!(batch.inputs.dims(), [4, 8]);
/// assert_eq!(Windows::in_order(&corpus, validation, "validation", 8)?.len(), 2); // 24 tokens: the last has none after it
/// # Ok::<(), text::TextError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Windows {
    corpus: Corpus,
    part: Range<usize>,
    context: usize,
    count: usize,
    are_drawn: bool,
}

impl Windows {
    /// Windows to train on: an epoch is `floor(tokens / (context * batch))` steps of `batch` windows.
    ///
    /// # Errors
    /// A part that is shorter than a window and the token after it, or than one step.
    pub fn drawn(corpus: &Corpus, part: Range<usize>, context: usize, batch: usize) -> Result<Self, TextError> {
        let windows = Self::new(corpus, part, "training", context, true)?;
        let tokens = windows.part.len();
        let steps = context.checked_mul(batch).map_or(0, |step| tokens.checked_div(step).unwrap_or(0));
        if steps == 0 {
            return Err(TextError::NoStep { text: corpus.name().to_owned(), tokens, batch, context });
        }
        Ok(Self { count: steps * batch, ..windows })
    }

    /// Windows to evaluate on, one after the other: `floor((tokens - 1) / context)`, or, of a text of lines, whose windows are
    /// `apart` tokens apart, `floor((tokens - 1 - context) / apart) + 1`. What is left at the end is not used.
    /// `name` is what errors call the part.
    ///
    /// # Errors
    /// A part that is shorter than a window and the token after it.
    pub fn in_order(
        corpus: &Corpus,
        part: Range<usize>,
        name: &'static str,
        context: usize,
    ) -> Result<Self, TextError> {
        let windows = Self::new(corpus, part, name, context, false)?;
        let last = windows.part.len() - 1 - context;
        Ok(Self { count: last / windows.apart() + 1, ..windows })
    }

    fn new(
        corpus: &Corpus,
        part: Range<usize>,
        name: &'static str,
        context: usize,
        are_drawn: bool,
    ) -> Result<Self, TextError> {
        if context == 0 || part.len() <= context {
            let (text, tokens) = (corpus.name().to_owned(), part.len());
            return Err(TextError::TooShort { text, part: name, tokens, context });
        }
        Ok(Self { corpus: corpus.clone(), part, context, count: 0, are_drawn })
    }

    /// The text.
    pub fn corpus(&self) -> &Corpus {
        &self.corpus
    }

    /// Tokens in a window.
    pub fn context(&self) -> usize {
        self.context
    }

    /// How many windows an epoch has.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none; there is at least one.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How far apart windows lie that are in order: as far as they are long, but whole lines.
    fn apart(&self) -> usize {
        let line = self.corpus.line();
        (self.context / line * line).max(line)
    }

    /// The first tokens of the part, at most so many.
    pub fn beginning(&self, tokens: usize) -> Vec<u32> {
        self.corpus.tokens(self.part.start..self.part.end.min(self.part.start.saturating_add(tokens)))
    }

    /// Where a window begins, as a place in the text.
    fn begin(&self, index: usize, epoch: u64, seed: u64) -> usize {
        let offset = if self.are_drawn {
            let line = self.corpus.line();
            let places = (self.part.len() - self.context).div_ceil(line);
            SplitMix64::keyed([seed, epoch, index as u64]).below(places) * line
        } else {
            index * self.apart()
        };
        self.part.start + offset
    }

    /// The windows of these numbers, as tensors on `device`.
    ///
    /// # Panics
    /// As a slice does, where an index is not below the number of windows.
    pub fn batch(&self, indices: &[usize], epoch: u64, seed: u64, device: &Device) -> TextBatch {
        let mut inputs = Vec::with_capacity(indices.len() * self.context);
        let mut targets = Vec::with_capacity(indices.len() * self.context);
        for &index in indices {
            assert!(index < self.count, "window {index} of {}", self.count);
            let begin = self.begin(index, epoch, seed);
            self.corpus.copy(begin..begin + self.context, &mut inputs);
            self.corpus.copy(begin + 1..begin + 1 + self.context, &mut targets);
        }
        let tensor = |tokens| Tensor::from_data(TensorData::new(tokens, [indices.len(), self.context]), device);
        TextBatch { inputs: tensor(inputs), targets: tensor(targets) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn corpus(tokens: usize) -> Corpus {
        let text: String = (0..tokens as u32).filter_map(|i| char::from_u32(0x4e00 + i)).collect();
        Corpus::from_text("it", text).unwrap()
    }

    fn values(tensor: &Tensor<2, Int>) -> Vec<i64> {
        tensor.to_data_as::<i64>().try_to_vec().unwrap()
    }

    proptest! {
        /// Whatever the sizes: windows lie inside their part, each target is the token after its input.
        #[test]
        fn windows_lie_inside_their_part(
            tokens in 2_usize..300, context in 1_usize..40, batch in 1_usize..6, seed: u64, epoch: u64,
        ) {
            let corpus = corpus(tokens);
            let [part, rest, _] = corpus.split(0.3, 0.1).unwrap();
            match Windows::drawn(&corpus, part.clone(), context, batch) {
                Ok(windows) => {
                    prop_assert_eq!(windows.len(), part.len() / (context * batch) * batch);
                    let all: Vec<usize> = (0..windows.len()).collect();
                    let drawn = windows.batch(&all, epoch, seed, &Device::flex());
                    let (inputs, targets) = (values(&drawn.inputs), values(&drawn.targets));
                    // Token i of this text is i.
                    prop_assert!(inputs.iter().all(|&token| part.contains(&(token as usize))));
                    prop_assert!(inputs.iter().zip(&targets).all(|(input, target)| input + 1 == *target));
                    prop_assert!(targets.iter().all(|&token| part.contains(&(token as usize))));
                }
                Err(TextError::TooShort { .. }) => prop_assert!(part.len() <= context),
                Err(TextError::NoStep { .. }) => prop_assert!(part.len() < context * batch),
                Err(other) => prop_assert!(false, "{}", other),
            }
            if let Ok(windows) = Windows::in_order(&corpus, rest.clone(), "validation", context) {
                let all: Vec<usize> = (0..windows.len()).collect();
                let batch = windows.batch(&all, epoch, seed, &Device::flex());
                let expected: Vec<i64> = (rest.start..rest.start + windows.len() * context).map(|i| i as i64).collect();
                prop_assert_eq!(values(&batch.inputs), expected);
                prop_assert!(rest.len() - 1 - windows.len() * context < context);
            }
        }
    }

    #[test]
    fn a_window_depends_on_seed_epoch_and_index_alone() {
        let corpus = corpus(500);
        let windows = Windows::drawn(&corpus, 0..500, 10, 5).unwrap();
        let of = |indices: &[usize], epoch, seed| values(&windows.batch(indices, epoch, seed, &Device::flex()).inputs);
        let whole = of(&[0, 1, 2, 3], 5, 42);
        assert_eq!(of(&[2], 5, 42), whole[20..30]);
        let clone = windows.clone();
        let elsewhere = std::thread::spawn(move || values(&clone.batch(&[3, 1], 5, 42, &Device::flex()).inputs));
        assert_eq!(elsewhere.join().unwrap()[10..], whole[10..20]);
        for (epoch, seed) in [(6, 42), (5, 43)] {
            assert_ne!(whole, of(&[0, 1, 2, 3], epoch, seed));
        }
    }

    #[test]
    fn windows_of_lines_begin_where_lines_do() {
        let corpus = corpus(100).with_lines_of(7);
        assert_eq!(corpus.split(0.3, 0.0).unwrap(), [0..72, 72..100, 100..100]);
        let drawn = Windows::drawn(&corpus, 0..70, 16, 1).unwrap();
        let begins: std::collections::BTreeSet<usize> = (0..500).map(|epoch| drawn.begin(0, epoch, 1)).collect();
        assert!(begins.into_iter().eq([0, 7, 14, 21, 28, 35, 42, 49]), "16 tokens and a target fit after 49, in 70");
        let in_order = Windows::in_order(&corpus, 0..70, "validation", 16).unwrap();
        assert!((0..in_order.len()).map(|index| in_order.begin(index, 0, 0)).eq([0, 14, 28, 42]));
    }

    #[test]
    fn every_place_is_drawn() {
        let corpus = corpus(24);
        let windows = Windows::drawn(&corpus, 0..24, 4, 1).unwrap();
        let mut begins = std::collections::BTreeSet::new();
        for epoch in 0..200 {
            begins.extend((0..windows.len()).map(|index| windows.begin(index, epoch, 1)));
        }
        assert!(begins.into_iter().eq(0..20), "from the first to the last that leaves a target");
    }

    #[test]
    fn texts_that_are_too_short_are_refused_with_the_numbers() {
        let corpus = corpus(100);
        let refused = |windows: Result<Windows, TextError>| windows.unwrap_err().to_string();
        assert_eq!(
            refused(Windows::drawn(&corpus, 0..100, 100, 1)),
            "it: the training part has 100 tokens, a window of `context = 100` needs 101: choose a smaller `context` or a \
             longer text"
        );
        assert_eq!(
            refused(Windows::drawn(&corpus, 0..100, 30, 4)),
            "it: the training part has 100 tokens, less than a step of 4 windows of 30 tokens: choose a smaller \
             `batch_size` or `context`, or a longer text"
        );
        assert!(
            refused(Windows::in_order(&corpus, 95..100, "validation", 5)).contains("the validation part has 5 tokens")
        );
        assert!(refused(Windows::in_order(&corpus, 0..0, "test", 1)).contains("the test part has 0 tokens"));
        assert!(matches!(Windows::drawn(&corpus, 0..100, 0, 1), Err(TextError::TooShort { .. })));
        assert!(matches!(Windows::drawn(&corpus, 0..100, 2, usize::MAX), Err(TextError::NoStep { .. })));
        assert!(matches!(Windows::drawn(&corpus, 0..100, 2, 0), Err(TextError::NoStep { .. })));
    }
}
