//! An optimizer's state at one moment, held rather than copied.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::optim::DynState;

use crate::record::ParamRecord;
use crate::spec::Piece;
use crate::{AdaptiveRecord, StateSink};

/// The state of an [`AdaptiveOptimizer`](crate::AdaptiveOptimizer) at one moment, as handles on its tensors: it costs
/// no copy to take, and [`into_record`](Self::into_record) may be called on another thread.
///
/// While it (or the record made of it) lives, steps of the optimizer write into new buffers: hold it briefly.
pub struct OptimizerSnapshot {
    pub(crate) states: Vec<Kept>,
    /// All but the parameters' states.
    pub(crate) record: AdaptiveRecord,
}

/// The state of one parameter.
pub(crate) struct Kept {
    pub(crate) id: u64,
    pub(crate) path: String,
    pub(crate) fingerprint: String,
    pub(crate) optim: Arc<dyn Piece>,
    pub(crate) state: DynState,
}

impl OptimizerSnapshot {
    /// The record: on Flex still without a copy, on other devices read from them here.
    pub fn into_record(self) -> AdaptiveRecord {
        let mut record = self.record;
        record.params = self.states.into_iter().map(Kept::into_record).collect::<BTreeMap<_, _>>();
        record
    }
}

impl Kept {
    fn into_record(self) -> (u64, ParamRecord) {
        let mut sink = StateSink::default();
        self.optim.state_flatten(&self.id.to_string(), &self.state, &mut sink);
        let record = ParamRecord {
            path: self.path,
            rank: self.state.rank(),
            fingerprint: self.fingerprint,
            tensors: sink.tensors,
            scalars: sink.scalars.into_iter().collect(),
        };
        (self.id, record)
    }
}

impl std::fmt::Debug for OptimizerSnapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OptimizerSnapshot")
            .field("optimizer", &self.record.fingerprint)
            .field("parameters", &self.states.len())
            .finish_non_exhaustive()
    }
}
