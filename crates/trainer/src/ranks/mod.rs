//! Several processes as one: data parallel training whose result does not depend on how many processes share the work.
//!
//! What lives here: [`Communicator`], what a training needs of the others ([`Alone`]; [`Threads`] of one process;
//! `Mpi`, with the feature `mpi`), and what is said through it: which batches a process has (`share`), the sum of the
//! gradients (`sum`), outputs for metrics (`outputs`), a checkpoint (`message`). A process of a job is called a rank, as in
//! MPI, and has a number from 0.

mod message;
#[cfg(feature = "mpi")]
mod mpi;
mod outputs;
mod share;
mod sum;
mod threads;

use std::fmt;

use serde::{Deserialize, Serialize};

pub(crate) use message::{pack, unpack};
#[cfg(feature = "mpi")]
pub use mpi::Mpi;
pub(crate) use outputs::{decode, encode};
pub(crate) use share::{Share, check_share};
pub(crate) use sum::{Gradients, sum_of_window};
pub use threads::Threads;

/// How the gradients of several ranks are summed. Alone both are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reduce {
    /// In the order of a balanced binary tree over the batches of a window: the same bits whatever the number of ranks.
    #[default]
    Exact,
    /// As the communicator likes: MPI's all-reduce. Equal up to rounding.
    Fast,
}

impl Reduce {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(crate) fn is_exact(&self) -> bool {
        *self == Self::Exact
    }
}

/// The ranks could not talk to each other.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommunicationError {
    /// Another rank has ended the job.
    #[error("the job was ended: {0}")]
    Aborted(String),
    /// More than one message can hold.
    #[error("{values} values are more than one message between processes can hold (2^31 - 1)")]
    TooLarge {
        /// How many.
        values: usize,
    },
    /// What came is not what was expected.
    #[error("a message from process {rank} cannot be read: {message}")]
    Message {
        /// From whom.
        rank: usize,
        /// What is wrong.
        message: String,
    },
}

/// What a training needs of the other ranks of its job.
///
/// Every method but the first four is called by all ranks, in the same order, and waits for them. A rank that fails must
/// not leave the others waiting: [`Threads::run`] ends the job then, and `Mpi::fail`.
pub trait Communicator: fmt::Debug + Send + Sync {
    /// The number of this rank, from 0.
    fn rank(&self) -> usize;

    /// How many ranks there are.
    fn size(&self) -> usize;

    /// What runs on this rank, where it could be another program than elsewhere: a checksum.
    fn program(&self) -> String {
        String::new()
    }

    /// Whether the ranks are threads of one process, and so draw from one random generator.
    fn is_one_process(&self) -> bool {
        false
    }

    /// The bytes of each rank, in order, on every rank.
    fn all_gather(&self, own: &[u8]) -> Result<Vec<Vec<u8>>, CommunicationError>;

    /// The bytes of each rank, in order, on rank 0; `None` elsewhere.
    fn gather(&self, own: &[u8]) -> Result<Option<Vec<Vec<u8>>>, CommunicationError>;

    /// The bytes of rank 0.
    fn broadcast(&self, own: Vec<u8>) -> Result<Vec<u8>, CommunicationError>;

    /// Sends each rank a part of `values`, in order, of as many as `sent` says; gives what came from each, in order, of
    /// as many as `received` says.
    fn exchange(&self, values: &[f32], sent: &[usize], received: &[usize]) -> Result<Vec<f32>, CommunicationError>;

    /// The values of each rank, in order, on every rank; `counts` says how many each has.
    fn all_gather_values(&self, own: &[f32], counts: &[usize]) -> Result<Vec<f32>, CommunicationError>;

    /// Puts the sum over all ranks in place of each value, summed in any order.
    fn sum(&self, values: &mut [f32]) -> Result<(), CommunicationError>;

    /// Waits until all ranks are here.
    fn barrier(&self) -> Result<(), CommunicationError> {
        self.all_gather(&[]).map(drop)
    }
}

/// A job of one process.
#[derive(Debug, Clone, Copy, Default)]
pub struct Alone;

impl Communicator for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn all_gather(&self, own: &[u8]) -> Result<Vec<Vec<u8>>, CommunicationError> {
        Ok(vec![own.to_vec()])
    }

    fn gather(&self, own: &[u8]) -> Result<Option<Vec<Vec<u8>>>, CommunicationError> {
        Ok(Some(vec![own.to_vec()]))
    }

    fn broadcast(&self, own: Vec<u8>) -> Result<Vec<u8>, CommunicationError> {
        Ok(own)
    }

    fn exchange(&self, values: &[f32], _sent: &[usize], _received: &[usize]) -> Result<Vec<f32>, CommunicationError> {
        Ok(values.to_vec())
    }

    fn all_gather_values(&self, own: &[f32], _counts: &[usize]) -> Result<Vec<f32>, CommunicationError> {
        Ok(own.to_vec())
    }

    fn sum(&self, _values: &mut [f32]) -> Result<(), CommunicationError> {
        Ok(())
    }
}
