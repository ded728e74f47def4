//! What a run does together with the other ranks of its job: everything that differs between ranks goes through here, so
//! that all of them make the same steps.
//!
//! Each rank has its share of the batches. At the end of a window all hear of all batches and have the sum of their
//! gradients; from there on each does the same as the others. Rank 0 alone is the one that measures metrics, writes and
//! tells callbacks, and what follows from that is told to the others.

use std::{collections::BTreeMap, sync::Arc};

use burn::{
    module::{Module, ModuleVisitor, Param},
    tensor::{Device, Tensor},
    train::InferenceStep,
};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use super::{
    Run,
    seen::{Number, Seen, SeenBatch},
};
use crate::{
    StopReason, TrainError,
    checkpoint::differences,
    data::{Batches, Source, SourceError},
    meter::Meters,
    metrics::{Measurement, measure},
    ranks::{CommunicationError, Communicator, Gradients, Share, decode, encode, pack, sum_of_window, unpack},
    step::has_layer,
    updates::WithLoss,
};

/// Validation batches whose outputs a rank sends at once.
const SENT: usize = 8;

/// What the others have to know of a rank's batches.
#[derive(Serialize, Deserialize)]
struct RankBatches {
    batches: Vec<SeenBatch>,
    present: Vec<bool>,
}

impl<M: WithLoss> Run<'_, M> {
    pub(super) fn is_alone(&self) -> bool {
        self.trainer.ranks.size() == 1
    }

    /// Whether this is the rank that writes and tells.
    pub(super) fn leads(&self) -> bool {
        self.trainer.ranks.rank() == 0
    }

    /// The share in the window under way.
    pub(super) fn share(&self) -> Share {
        let left = self.timetable.batches.saturating_sub(self.state.batch);
        Share::new(&*self.trainer.ranks, self.trainer.config.accumulate.max(1), left)
    }

    /// This rank's batches in what is left of the epoch.
    pub(crate) fn batches<'s, B>(&self, train: &'s dyn Source<B>) -> Batches<'s, B> {
        let (epoch, first) = (self.state.epoch, self.state.batch);
        if self.is_alone() {
            return train.epoch(epoch, first);
        }
        let accumulate = self.trainer.config.accumulate.max(1);
        train.pick(epoch, Share::of_epoch(&*self.trainer.ranks, accumulate, first, self.timetable.batches))
    }

    /// Refuses ranks that would not do the same as rank 0, and a model that draws from a generator that ranks share.
    pub(super) fn check_ranks(&self) -> Result<(), TrainError> {
        if self.is_alone() {
            return Ok(());
        }
        let model = self.model()?;
        if self.trainer.ranks.is_one_process() && has_layer(model, &["Dropout", "Noise"]) {
            return Err(TrainError::SharedGenerator);
        }
        let program = format!("{} {}", env!("CARGO_PKG_VERSION"), self.trainer.ranks.program());
        self.compare("program", &program)?;
        self.compare("configuration", &self.trainer.config.fingerprint)?;
        self.compare("training data", &self.data_fingerprint)?;
        let step = self.resumed_from.map_or_else(String::new, |step| format!("resumed from step {step}"));
        self.compare("start", &step)?;
        self.check_weights()?;
        Ok(())
    }

    /// Refuses ranks whose weights are not, bit for bit, those of rank 0: processors that round differently.
    pub(super) fn check_weights(&self) -> Result<(), TrainError> {
        if self.is_alone() { Ok(()) } else { self.compare("weights", &digest(self.model()?)) }
    }

    fn compare(&self, what: &'static str, own: &str) -> Result<(), TrainError> {
        let all = self.trainer.ranks.all_gather(own.as_bytes())?;
        let Some(first) = all.first() else { return Ok(()) };
        match all.iter().position(|other| other != first) {
            None => Ok(()),
            Some(rank) => {
                let (here, there) = (String::from_utf8_lossy(first), String::from_utf8_lossy(&all[rank]));
                let [there, here] = <[Option<String>; 2]>::from(differences(&there, &here))
                    .map(|own| own.unwrap_or_else(|| "nothing of it".to_owned()));
                Err(TrainError::RanksDiffer { rank, what, there, here })
            }
        }
    }

    /// Ends a window: what all batches have given is known on every rank, and so is the sum of their gradients.
    ///
    /// # Errors
    /// A source that has fewer batches than it says; a rank that cannot be reached.
    pub(crate) fn meet(&mut self) -> Result<(), TrainError> {
        let share = self.share();
        let seen = std::mem::take(&mut self.seen);
        if seen.batches.len() < share.own().len() {
            let batch = self.state.batch + share.own().start + seen.batches.len();
            let message = format!("the source says it has {} batches, and has ended", self.timetable.batches);
            return Err(SourceError { epoch: self.state.epoch, batch, message }.into());
        }
        let batches = if self.is_alone() { seen.batches } else { self.sum_up(seen, &share)? };
        for SeenBatch { items, loss, scalars } in batches {
            self.state.batch += 1;
            self.state.items += items;
            self.clock.items += items as u64;
            let Some(Number(loss)) = loss else {
                self.values.is_unread = true;
                continue;
            };
            self.values.loss.add(loss, items);
            // A skipped step leaves no trace in the epoch's mean.
            if loss.is_finite() {
                self.state.epoch_loss.add(loss, items);
            }
            for (name, Number(value)) in scalars {
                self.note_scalar(&name, value, items);
                self.values.scalars.entry(name).or_default().add(value, items);
            }
        }
        if self.leads() && self.timetable.is_logged(self.state.step + 1) {
            for meter in &mut self.trainer.metrics.train {
                self.values.metrics.extend(meter.finish()?);
            }
        }
        Ok(())
    }

    /// Items and losses of all batches of the window. Leaves the mean of their gradients, and applies what they do to batch
    /// norm's running statistics.
    fn sum_up(&mut self, seen: Seen, share: &Share) -> Result<Vec<SeenBatch>, TrainError> {
        let began = self.clock.begin();
        let mut model = self.take_model()?;
        let ranks = &*self.trainer.ranks;
        let own = Gradients::take(&model, &mut self.window);
        let own_batches = RankBatches { batches: seen.batches, present: own.present().to_vec() };
        let all: Vec<RankBatches> = all_of(ranks, &own_batches)?;
        let mut present = vec![false; own.present().len()];
        for other in &all {
            present.iter_mut().zip(&other.present).for_each(|(any, has)| *any |= has);
        }
        let batches: Vec<SeenBatch> = all.into_iter().flat_map(|rank| rank.batches).collect();
        if let Some(apart) = &self.apart {
            let each = apart.elements();
            let counts: Vec<usize> = share.counts().into_iter().map(|batches| batches * each).collect();
            let changes = ranks.all_gather_values(&seen.changes.concat(), &counts)?;
            model = apart.apply(&model, &changes.chunks_exact(each).collect::<Vec<_>>());
        }
        let items: Vec<usize> = batches.iter().map(|batch| batch.items).collect();
        let reduce = self.trainer.config.reduce;
        self.summed = Some(sum_of_window(ranks, reduce, &model, own, share, &items, &present)?);
        self.model = Some(model);
        if self.timetable.is_logged(self.state.step + 1) {
            self.gather_outputs(&seen.outputs)?;
        }
        self.clock.spent.ranks += self.clock.own(&began);
        Ok(batches)
    }

    /// Adds the other ranks' outputs of a window to the metrics of rank 0, which has the first of them. Those that cannot be
    /// sent are missing there.
    fn gather_outputs(&mut self, own: &[(usize, Vec<u8>)]) -> Result<(), TrainError> {
        let Some(all) = self.trainer.ranks.gather(&pack_outputs(own))? else { return Ok(()) };
        let Some(device) = self.device.clone().map(Device::inner) else { return Ok(()) };
        let meters = &mut self.trainer.metrics.train;
        each_output(&all, &device, |output, items| meters.iter_mut().try_for_each(|meter| meter.add(&output, items)))
    }

    /// What rank 0 has measured, on every rank.
    pub(super) fn as_on_rank_0(&self, values: BTreeMap<String, f64>) -> Result<BTreeMap<String, f64>, TrainError> {
        if self.is_alone() {
            return Ok(values);
        }
        let own: Vec<(String, Number)> = values.into_iter().map(|(name, value)| (name, Number(value))).collect();
        let told: Vec<(String, Number)> = from_json(0, &self.trainer.ranks.broadcast(to_json(&own))?)?;
        Ok(told.into_iter().map(|(name, Number(value))| (name, value)).collect())
    }

    /// Puts what rank 0 has decided in place of this rank's own: a callback or the clock has ended the run there. An
    /// interrupt counts wherever it came.
    pub(super) fn agree(&mut self) -> Result<(), TrainError> {
        if !self.is_alone() {
            let began = self.clock.begin();
            let all: Vec<Option<StopReason>> = all_of(&*self.trainer.ranks, &self.stopped)?;
            let interrupted = all.iter().flatten().find(|reason| **reason == StopReason::Interrupted).cloned();
            self.stopped = interrupted.or_else(|| all.into_iter().next().flatten());
            self.clock.spent.ranks += self.clock.own(&began);
        }
        Ok(())
    }

    /// Measures a model on a validation set: each rank runs a part of it, and rank 0, which is sent the outputs in the
    /// order of the batches, measures. Outputs that cannot be sent: rank 0 does it alone.
    pub(super) fn measure_together(
        &mut self,
        model: &M,
        source: &dyn Source<<M as InferenceStep>::Input>,
    ) -> Result<BTreeMap<String, f64>, TrainError> {
        let ranks = Arc::clone(&self.trainer.ranks);
        let meters = &mut self.trainer.metrics.valid;
        if ranks.size() == 1 {
            return measure(model, source, meters);
        }
        let network = model.valid();
        let can_be_sent = match source.epoch(0, 0).next().filter(|_| ranks.rank() == 0).transpose()? {
            Some(batch) => encode(&InferenceStep::step(&network, batch.input)).is_some(),
            None => false,
        };
        let is_shared = ranks.broadcast(vec![u8::from(can_be_sent)])? == [1];
        match (is_shared, network.devices().into_iter().next()) {
            (true, Some(device)) => measure_shares(&*ranks, &network, &device, source, meters),
            _ if ranks.rank() == 0 => measure(model, source, meters),
            _ => Ok(BTreeMap::new()),
        }
    }
}

/// On rank 0 what all ranks have measured of their shares of a validation set.
fn measure_shares<M: WithLoss>(
    ranks: &dyn Communicator,
    network: &M,
    device: &Device,
    source: &dyn Source<<M as InferenceStep>::Input>,
    meters: &mut Meters<<M as InferenceStep>::Output>,
) -> Result<BTreeMap<String, f64>, TrainError> {
    let (total, round) = (source.batches(), SENT * ranks.size());
    let share = |first: usize| {
        let first = first + ranks.rank() * SENT;
        first.min(total)..(first + SENT).min(total)
    };
    let mut batches = source.pick(0, (0..total).step_by(round).flat_map(share).collect());
    let mut measurement = Measurement::new(meters);
    for first in (0..total).step_by(round) {
        let mut sent = Vec::new();
        for batch in batches.by_ref().take(share(first).len()) {
            let batch = batch?;
            let output = InferenceStep::step(network, batch.input);
            if ranks.rank() == 0 {
                measurement.add(&output, batch.items)?;
            } else {
                sent.extend(encode(&output).map(|output| (batch.items, output)));
            }
        }
        if let Some(all) = ranks.gather(&pack_outputs(&sent))? {
            each_output(&all, device, |output, items| measurement.add(&output, items))?;
        }
    }
    if ranks.rank() == 0 { measurement.finish() } else { Ok(BTreeMap::new()) }
}

/// Outputs with the number of their items.
fn pack_outputs(outputs: &[(usize, Vec<u8>)]) -> Vec<u8> {
    let items: Vec<[u8; 8]> = outputs.iter().map(|(items, _)| (*items as u64).to_le_bytes()).collect();
    pack(items.iter().zip(outputs).flat_map(|(items, (_, output))| [&items[..], output.as_slice()]))
}

/// The outputs of all ranks but the first, in order.
fn each_output<O: 'static>(
    all: &[Vec<u8>],
    device: &Device,
    mut take: impl FnMut(O, usize) -> Result<(), TrainError>,
) -> Result<(), TrainError> {
    for (rank, message) in all.iter().enumerate().skip(1) {
        let pieces = unpack(message).ok_or_else(|| unreadable(rank, "no outputs"))?;
        for piece in pieces.chunks(2) {
            let [items, output] = piece else { return Err(unreadable(rank, "no outputs").into()) };
            let items = <[u8; 8]>::try_from(*items).map_err(|_| unreadable(rank, "no number of items"))?;
            let output = decode(output, device).ok_or_else(|| unreadable(rank, "no output"))?;
            take(output, u64::from_le_bytes(items) as usize)?;
        }
    }
    Ok(())
}

fn to_json(value: &impl Serialize) -> Vec<u8> {
    // Numbers, names and lists of them always have a form.
    serde_json::to_vec(value).unwrap_or_default()
}

fn from_json<T: DeserializeOwned>(rank: usize, message: &[u8]) -> Result<T, CommunicationError> {
    serde_json::from_slice(message).map_err(|error| unreadable(rank, &error.to_string()))
}

fn all_of<T: Serialize + DeserializeOwned>(ranks: &dyn Communicator, own: &T) -> Result<Vec<T>, CommunicationError> {
    let all = ranks.all_gather(&to_json(own))?;
    all.iter().enumerate().map(|(rank, message)| from_json(rank, message)).collect()
}

fn unreadable(rank: usize, message: &str) -> CommunicationError {
    CommunicationError::Message { rank, message: message.to_owned() }
}

/// A checksum of the parameters and running statistics.
fn digest<M: Module>(model: &M) -> String {
    struct Values(Sha256);
    impl ModuleVisitor for Values {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.update(param.base().without_autodiff().into_data().as_bytes());
        }
    }
    super::steps::bring_up_to_date(model);
    let mut values = Values(Sha256::new());
    model.visit(&mut values);
    HEXLOWER.encode(&values.0.finalize()[..8])
}
