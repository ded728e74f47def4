//! Ranks that are processes of an MPI job.

use std::{
    ffi::c_int,
    fmt,
    io::{Read, Write},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    process::ExitCode,
    sync::OnceLock,
    time::Duration,
};

use mpi::{
    Threading,
    collective::SystemOperation,
    datatype::{Partition, PartitionMut},
    environment::processor_name,
    topology::{Communicator as _, SimpleCommunicator},
    traits::{CommunicatorCollectives, Root},
};
use sha2::{Digest, Sha256};

use super::{CommunicationError, Communicator};

/// How long a rank that has failed waits for rank 0 to say so: what fails on all of them is then said once.
const VOICE: Duration = Duration::from_millis(1_500);

/// A rank of an MPI job: a process that `mpirun` or `srun` has started.
///
/// Values travel through the host's memory. What MPI reports as an error ends the job, which is MPI's own default.
#[derive(Debug, Clone, Copy)]
pub struct Mpi {
    rank: usize,
    size: usize,
}

impl Mpi {
    /// Runs `work` as one rank of the job, and gives its exit code. A panic ends the whole job; what else fails on one rank
    /// and not on the others has to [`fail`](Self::fail).
    ///
    /// # Errors
    /// Where MPI is already in use in this process.
    pub fn run(work: impl FnOnce(Self) -> u8) -> Result<ExitCode, AlreadyInUse> {
        let (universe, _) = mpi::initialize_with_threading(Threading::Serialized).ok_or(AlreadyInUse)?;
        let world = universe.world();
        let own = Self { rank: world.rank() as usize, size: world.size() as usize };
        let code = match catch_unwind(AssertUnwindSafe(|| work(own))) {
            Ok(code) => code,
            Err(panic) => {
                own.end(101);
                resume_unwind(panic)
            }
        };
        Ok(ExitCode::from(code))
    }

    /// Where this rank is, for messages: `process 2 of 4 on node7`.
    pub fn place(&self) -> String {
        let host = processor_name().unwrap_or_else(|_| "an unnamed host".to_owned());
        format!("process {} of {} on {host}", self.rank, self.size)
    }

    /// Says why this rank has failed, and ends the job with this exit code. What fails on every rank is said by rank 0.
    pub fn fail(&self, message: &impl fmt::Display, code: u8) {
        if self.size == 1 {
            return;
        }
        if self.rank != 0 {
            std::thread::sleep(VOICE);
        }
        let _ = writeln!(std::io::stderr(), "{}: {message}", self.place());
        self.end(c_int::from(code));
    }

    /// What each rank says.
    fn counts(self, own: usize) -> Vec<usize> {
        let mut counts = vec![0_u64; self.size];
        world().all_gather_into(&(own as u64), &mut counts[..]);
        counts.into_iter().map(|count| count as usize).collect()
    }

    fn end(self, code: c_int) {
        if self.size > 1 {
            let _ = std::io::stdout().flush();
            world().abort(code);
        }
    }
}

/// MPI can be initialised once in a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("MPI is already in use in this process")]
pub struct AlreadyInUse;

fn world() -> SimpleCommunicator {
    SimpleCommunicator::world()
}

/// Counts and where each part begins, as MPI takes them.
fn parts(counts: &[usize]) -> Result<(Vec<c_int>, Vec<c_int>), CommunicationError> {
    let total: usize = counts.iter().sum();
    c_int::try_from(total).map_err(|_| CommunicationError::TooLarge { values: total })?;
    let begin = counts.iter().scan(0, |at, count| {
        let begin = *at;
        *at += count;
        Some(begin as c_int)
    });
    Ok((counts.iter().map(|count| *count as c_int).collect(), begin.collect()))
}

/// Room for as many values, at an address of its own: MPI refuses to receive where it sends from, and all vectors without
/// room are at one address.
fn room<T: Clone + Default>(counts: &[usize]) -> Vec<T> {
    let count: usize = counts.iter().sum();
    let mut room = Vec::with_capacity(count.max(1));
    room.resize(count, T::default());
    room
}

/// The same bytes. No bytes are at the address 1, and that is Open MPI's `MPI_IN_PLACE`: here they are elsewhere.
fn placed(bytes: &[u8]) -> &[u8] {
    static NOTHING: [u8; 1] = [0];
    if bytes.is_empty() { &NOTHING[..0] } else { bytes }
}

impl Communicator for Mpi {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    /// The SHA-256 of the program's file.
    fn program(&self) -> String {
        static PROGRAM: OnceLock<String> = OnceLock::new();
        let of_file = || -> std::io::Result<String> {
            let mut file = std::fs::File::open(std::env::current_exe()?)?;
            let (mut hash, mut buffer) = (Sha256::new(), vec![0; 1 << 20]);
            loop {
                match file.read(&mut buffer)? {
                    0 => return Ok(data_encoding::HEXLOWER.encode(&hash.finalize())),
                    read => hash.update(&buffer[..read]),
                }
            }
        };
        PROGRAM.get_or_init(|| of_file().unwrap_or_else(|error| error.to_string())).clone()
    }

    fn all_gather(&self, own: &[u8]) -> Result<Vec<Vec<u8>>, CommunicationError> {
        let counts = self.counts(own.len());
        let (sizes, begins) = parts(&counts)?;
        let mut all: Vec<u8> = room(&counts);
        world().all_gather_varcount_into(placed(own), &mut PartitionMut::new(&mut all[..], sizes, begins));
        Ok(split(&all, &counts))
    }

    fn gather(&self, own: &[u8]) -> Result<Option<Vec<Vec<u8>>>, CommunicationError> {
        let counts = self.counts(own.len());
        let (sizes, begins) = parts(&counts)?;
        let world = world();
        let root = world.process_at_rank(0);
        if self.rank != 0 {
            root.gather_varcount_into(placed(own));
            return Ok(None);
        }
        let mut all: Vec<u8> = room(&counts);
        root.gather_varcount_into_root(placed(own), &mut PartitionMut::new(&mut all[..], sizes, begins));
        Ok(Some(split(&all, &counts)))
    }

    fn broadcast(&self, mut own: Vec<u8>) -> Result<Vec<u8>, CommunicationError> {
        let world = world();
        let root = world.process_at_rank(0);
        let mut length = own.len() as u64;
        root.broadcast_into(&mut length);
        own.resize(length as usize, 0);
        // A checkpoint may be longer than one message.
        for part in own.chunks_mut(1 << 30) {
            root.broadcast_into(part);
        }
        Ok(own)
    }

    fn exchange(&self, values: &[f32], sent: &[usize], received: &[usize]) -> Result<Vec<f32>, CommunicationError> {
        let (sizes, begins) = parts(sent)?;
        let (sizes_in, begins_in) = parts(received)?;
        let mut came: Vec<f32> = room(received);
        let mut into = PartitionMut::new(&mut came[..], sizes_in, begins_in);
        world().all_to_all_varcount_into(&Partition::new(values, sizes, begins), &mut into);
        Ok(came)
    }

    fn all_gather_values(&self, own: &[f32], counts: &[usize]) -> Result<Vec<f32>, CommunicationError> {
        let (sizes, begins) = parts(counts)?;
        let mut all: Vec<f32> = room(counts);
        world().all_gather_varcount_into(own, &mut PartitionMut::new(&mut all[..], sizes, begins));
        Ok(all)
    }

    fn sum(&self, values: &mut [f32]) -> Result<(), CommunicationError> {
        parts(&[values.len()])?;
        let own = values.to_vec();
        world().all_reduce_into(&own[..], values, SystemOperation::sum());
        Ok(())
    }

    fn barrier(&self) -> Result<(), CommunicationError> {
        world().barrier();
        Ok(())
    }
}

fn split(all: &[u8], counts: &[usize]) -> Vec<Vec<u8>> {
    let mut rest = all;
    let next = |count: &usize| {
        let (part, others) = rest.split_at((*count).min(rest.len()));
        rest = others;
        part.to_vec()
    };
    counts.iter().map(next).collect()
}
