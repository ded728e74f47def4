//! What is measured of a language model, as metrics of burn-train on its [`SequenceOutput`].

use burn::tensor::{Int, Tensor, TensorReadError};
use burn::train::SequenceOutput;
use burn::train::metric::{
    Adaptor, Metric, MetricAttributes, MetricMetadata, MetricName, Numeric, NumericAttributes, NumericEntry,
    SerializedEntry,
};

/// The loss of a batch, and over how many tokens it is the mean.
#[derive(Clone, Debug)]
pub struct MeanLoss {
    loss: Tensor<1>,
    tokens: usize,
}

impl Adaptor<MeanLoss> for SequenceOutput {
    fn adapt(&self) -> MeanLoss {
        MeanLoss { loss: self.loss.clone(), tokens: self.targets.dims().iter().product() }
    }
}

/// A sum that is read as a mean of tokens or of answers.
#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    sum: f64,
    count: usize,
}

impl Mean {
    fn add(&mut self, other: Self) {
        self.sum += other.sum;
        self.count += other.count;
    }

    fn value(self) -> f64 {
        if self.count == 0 { f64::NAN } else { self.sum / self.count as f64 }
    }
}

#[derive(Clone, Copy, Debug)]
enum Shown {
    Bits { tokens_per_unit: f64 },
    Perplexity,
}

/// The mean loss of all tokens in another unit.
///
/// burn-train's own `PerplexityMetric` computes the logarithm of the softmax of all logits a second time; these two take
/// the loss, which is there.
#[derive(Clone, Debug)]
pub struct FromLoss {
    shown: Shown,
    name: MetricName,
    batch: Mean,
    all: Mean,
}

impl FromLoss {
    /// Bits for each `unit`, `loss / ln 2 * tokens_per_unit` for a loss in nats for each token: `bits("character", 1.0)` where
    /// a token is a character. Of other tokens, bits for each character compare models with different ones; see
    /// [`Corpus::tokens_per_character`](crate::Corpus::tokens_per_character).
    pub fn bits(unit: &str, tokens_per_unit: f64) -> Self {
        Self::new(&format!("Bits per {unit}"), Shown::Bits { tokens_per_unit })
    }

    /// Perplexity, `exp(loss)`: among how many equally likely tokens the model is undecided.
    pub fn perplexity() -> Self {
        Self::new("Perplexity", Shown::Perplexity)
    }

    fn new(name: &str, shown: Shown) -> Self {
        Self { shown, name: MetricName::new(name.to_owned()), batch: Mean::default(), all: Mean::default() }
    }

    fn of(&self, mean: Mean) -> f64 {
        match self.shown {
            Shown::Bits { tokens_per_unit } => mean.value() / std::f64::consts::LN_2 * tokens_per_unit,
            Shown::Perplexity => mean.value().exp(),
        }
    }
}

/// What a log shows of the values of all batches and of the last, with their unit; `value` is for a machine to read.
fn entry([all, batch]: [f64; 2], unit: &str, value: f64) -> SerializedEntry {
    let shown = format!("epoch {all:.3}{unit} - batch {batch:.3}{unit}");
    SerializedEntry::new(shown, NumericEntry::Value(value).serialize())
}

impl Metric for FromLoss {
    type Input = MeanLoss;

    fn update(&mut self, item: &MeanLoss, _: &MetricMetadata) -> Result<SerializedEntry, TensorReadError> {
        let loss = item.loss.clone().without_autodiff().mean().try_into_scalar::<f64>()?;
        self.batch = Mean { sum: loss * item.tokens as f64, count: item.tokens };
        self.all.add(self.batch);
        let [all, batch] = [self.all, self.batch].map(|mean| self.of(mean));
        Ok(entry([all, batch], "", batch))
    }

    fn compute(&mut self) -> Result<SerializedEntry, TensorReadError> {
        let [all, batch] = [self.all, self.batch].map(|mean| self.of(mean));
        Ok(entry([all, batch], "", all))
    }

    fn clear(&mut self) {
        (self.batch, self.all) = (Mean::default(), Mean::default());
    }

    fn name(&self) -> MetricName {
        MetricName::clone(&self.name)
    }

    fn attributes(&self) -> MetricAttributes {
        NumericAttributes { unit: None, higher_is_better: false }.into()
    }
}

impl Numeric for FromLoss {
    fn value(&self) -> Option<NumericEntry> {
        Some(NumericEntry::Aggregated { aggregated_value: self.of(self.batch), count: self.batch.count })
    }

    fn running_value(&self) -> Option<NumericEntry> {
        Some(NumericEntry::Aggregated { aggregated_value: self.of(self.all), count: self.all.count })
    }

    fn final_value(&self) -> NumericEntry {
        NumericEntry::Final(self.of(self.all))
    }
}

/// The tokens that a model would write and those that stand there.
#[derive(Clone, Debug)]
pub struct ExactMatchInput {
    predictions: Tensor<2, Int>,
    targets: Tensor<2, Int>,
}

impl Adaptor<ExactMatchInput> for SequenceOutput {
    fn adapt(&self) -> ExactMatchInput {
        let predictions = || self.logits.clone().argmax(2).squeeze_dim::<2>(2);
        ExactMatchInput {
            predictions: self.predictions.clone().unwrap_or_else(predictions),
            targets: self.targets.clone(),
        }
    }
}

/// The share of answers, in percent, of which every token is the most likely one: what greedy generation would write.
///
/// An answer is what follows the token `begin` up to and including the token `end`. Answers count whose line stands in the
/// window from its beginning, after an `end`, to its end.
#[derive(Clone, Debug)]
pub struct ExactMatch {
    begin: i64,
    end: i64,
    name: MetricName,
    batch: Mean,
    all: Mean,
}

impl ExactMatch {
    /// For answers between these two tokens.
    pub fn between(begin: u32, end: u32) -> Self {
        let name = MetricName::new("Exact match".to_owned());
        Self { begin: i64::from(begin), end: i64::from(end), name, batch: Mean::default(), all: Mean::default() }
    }

    /// Right answers, in percent, and all answers of one window.
    fn of(&self, predictions: &[i64], targets: &[i64]) -> Mean {
        let mut found = Mean::default();
        let mut begin_was_seen = false;
        // Whether all tokens of the answer so far are right; none outside of one.
        let mut answer = None;
        for (prediction, &target) in predictions.iter().zip(targets) {
            let is_right = answer.map(|so_far| so_far && *prediction == target);
            if target == self.end {
                if let Some(is_right) = is_right {
                    found.add(Mean { sum: if is_right { 100.0 } else { 0.0 }, count: 1 });
                }
                (begin_was_seen, answer) = (true, None);
            } else if target == self.begin && begin_was_seen && answer.is_none() {
                answer = Some(true);
            } else {
                answer = is_right;
            }
        }
        found
    }
}

impl Metric for ExactMatch {
    type Input = ExactMatchInput;

    fn update(&mut self, item: &ExactMatchInput, _: &MetricMetadata) -> Result<SerializedEntry, TensorReadError> {
        let [_, context] = item.targets.dims();
        let read = |tensor: &Tensor<2, Int>| tensor.clone().try_into_data().map(|data| data.iter::<i64>().collect());
        let (predictions, targets): (Vec<i64>, Vec<i64>) = (read(&item.predictions)?, read(&item.targets)?);
        self.batch = Mean::default();
        let rows = predictions.chunks(context.max(1)).zip(targets.chunks(context.max(1)));
        for (predictions, targets) in rows {
            let of_window = self.of(predictions, targets);
            self.batch.add(of_window);
        }
        self.all.add(self.batch);
        let [all, batch] = [self.all, self.batch].map(Mean::value);
        Ok(entry([all, batch], " %", batch))
    }

    fn compute(&mut self) -> Result<SerializedEntry, TensorReadError> {
        let [all, batch] = [self.all, self.batch].map(Mean::value);
        Ok(entry([all, batch], " %", all))
    }

    fn clear(&mut self) {
        (self.batch, self.all) = (Mean::default(), Mean::default());
    }

    fn name(&self) -> MetricName {
        MetricName::clone(&self.name)
    }

    fn attributes(&self) -> MetricAttributes {
        let unit = Some("%".to_owned());
        NumericAttributes { unit, higher_is_better: true }.into()
    }
}

impl Numeric for ExactMatch {
    fn value(&self) -> Option<NumericEntry> {
        Some(NumericEntry::Aggregated { aggregated_value: self.batch.value(), count: self.batch.count })
    }

    fn running_value(&self) -> Option<NumericEntry> {
        Some(NumericEntry::Aggregated { aggregated_value: self.all.value(), count: self.all.count })
    }

    fn final_value(&self) -> NumericEntry {
        NumericEntry::Final(self.all.value())
    }
}

#[cfg(test)]
mod tests {
    use burn::data::dataloader::Progress;
    use burn::tensor::{Device, TensorData};

    use super::*;

    fn metadata() -> MetricMetadata {
        let progress = Progress { items_processed: 0, items_total: 0, unit: None };
        MetricMetadata { progress, iteration: None, lr: None }
    }

    #[test]
    fn units_follow_from_the_mean_over_all_tokens() {
        let device = Device::flex();
        let output = |loss: f32, tokens: usize| {
            let (logits, targets) = (Tensor::zeros([1, tokens, 2], &device), Tensor::zeros([1, tokens], &device));
            SequenceOutput::new(Tensor::from_floats([loss], &device), logits, None, targets)
        };
        for (mut metric, expected) in
            [(FromLoss::bits("character", 1.5), 1.75 / 2_f64.ln() * 1.5), (FromLoss::perplexity(), 1.75_f64.exp())]
        {
            // (1 * 1 + 2 * 3) / 4 = 1.75 nats.
            for (loss, tokens) in [(1.0, 1), (2.0, 3)] {
                metric.update(&output(loss, tokens).adapt(), &metadata()).unwrap();
            }
            assert!((metric.final_value().current() - expected).abs() < 1e-12, "{metric:?}");
            metric.clear();
            assert!(metric.final_value().current().is_nan());
        }
    }

    #[test]
    fn an_answer_counts_where_all_of_it_is_right_and_its_line_is_whole() {
        // `=` is 1, the end of a line 0. The first line is cut, the last one too.
        let targets = [7, 1, 5, 0, 8, 1, 5, 6, 0, 9, 1, 4, 0, 9, 1, 4];
        let right = targets;
        let mut wrong = targets;
        wrong[7] = 2;
        let mut elsewhere = targets;
        elsewhere[4] = 2;
        elsewhere[5] = 2;
        for (predictions, expected) in [(right, 100.0), (wrong, 50.0), (elsewhere, 100.0)] {
            let device = Device::flex();
            let tensor = |values: [i64; 16]| Tensor::from_data(TensorData::new(values.to_vec(), [1, 16]), &device);
            let mut metric = ExactMatch::between(1, 0);
            let input = ExactMatchInput { predictions: tensor(predictions), targets: tensor(targets) };
            metric.update(&input, &metadata()).unwrap();
            assert_eq!(metric.all.count, 2);
            assert_eq!(metric.final_value().current(), expected);
        }
    }
}
