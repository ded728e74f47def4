//! Ranks that are threads of one process, for tests.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use super::{CommunicationError, Communicator};

/// A rank that is a thread.
///
/// flex has one random generator for the process, so a training of several such ranks refuses a model that draws from
/// it; and each rank needs a model of its own, for clones share batch norm's running statistics.
#[derive(Debug, Clone)]
pub struct Threads {
    room: Arc<Room>,
    rank: usize,
}

#[derive(Debug)]
struct Room {
    size: usize,
    state: Mutex<State>,
    changed: Condvar,
}

/// What a rank brings to a meeting.
#[derive(Debug, Clone)]
enum Brought {
    Bytes(Vec<u8>),
    Values(Vec<f32>, Vec<usize>),
}

#[derive(Debug, Default)]
struct State {
    /// What the ranks that are there have brought.
    brought: Vec<Option<Brought>>,
    /// What all have brought to the last meeting.
    last: Arc<Vec<Brought>>,
    meetings: u64,
    aborted: Option<String>,
}

impl Threads {
    /// The ranks of a job.
    pub fn ranks(size: usize) -> Vec<Self> {
        let state = State { brought: vec![None; size], ..State::default() };
        let room = Arc::new(Room { size, state: Mutex::new(state), changed: Condvar::new() });
        (0..size).map(|rank| Self { room: Arc::clone(&room), rank }).collect()
    }

    /// Runs `work` on a thread for each rank, with what `prepare` has made for it on this one. An error or a panic of
    /// one ends the others with [`CommunicationError::Aborted`]; a panic goes on here.
    pub fn run<S: Send, T: Send, E: fmt::Display + Send>(
        size: usize,
        prepare: impl Fn(usize) -> S,
        work: impl Fn(Self, S) -> Result<T, E> + Sync,
    ) -> Vec<Result<T, E>> {
        let prepared: Vec<(Self, S)> =
            Self::ranks(size).into_iter().map(|rank| (rank.clone(), prepare(rank.rank))).collect();
        std::thread::scope(|scope| {
            let threads: Vec<_> = prepared
                .into_iter()
                .map(|(rank, own)| {
                    let (again, work) = (rank.clone(), &work);
                    scope.spawn(move || {
                        let done = catch_unwind(AssertUnwindSafe(|| work(rank, own)));
                        match &done {
                            Ok(Ok(_)) => {}
                            Ok(Err(error)) => again.abort(&error.to_string()),
                            Err(_) => again.abort("a panic"),
                        }
                        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        })
    }

    fn abort(&self, message: &str) {
        let mut state = self.lock();
        state.aborted.get_or_insert_with(|| format!("process {}: {message}", self.rank));
        self.room.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.room.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings something, and gives what all have brought once all have.
    fn meet(&self, own: Brought) -> Result<Arc<Vec<Brought>>, CommunicationError> {
        let mut state = self.lock();
        state.brought[self.rank] = Some(own);
        if state.brought.iter().all(Option::is_some) {
            state.last = Arc::new(state.brought.iter_mut().filter_map(Option::take).collect());
            state.meetings += 1;
            self.room.changed.notify_all();
            return Ok(Arc::clone(&state.last));
        }
        let meeting = state.meetings;
        loop {
            // A meeting that has taken place counts, whatever has become of a rank since.
            if state.meetings > meeting {
                return Ok(Arc::clone(&state.last));
            }
            if let Some(message) = &state.aborted {
                return Err(CommunicationError::Aborted(message.clone()));
            }
            state = self.room.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn bytes(&self, own: &[u8]) -> Result<Vec<Vec<u8>>, CommunicationError> {
        let all = self.meet(Brought::Bytes(own.to_vec()))?;
        let of = |(rank, brought): (usize, &Brought)| match brought {
            Brought::Bytes(bytes) => Ok(bytes.clone()),
            Brought::Values(..) => Err(unexpected(rank)),
        };
        all.iter().enumerate().map(of).collect()
    }
}

fn unexpected(rank: usize) -> CommunicationError {
    CommunicationError::Message { rank, message: "it is part of another exchange".to_owned() }
}

impl Communicator for Threads {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.room.size
    }

    fn is_one_process(&self) -> bool {
        self.room.size > 1
    }

    fn all_gather(&self, own: &[u8]) -> Result<Vec<Vec<u8>>, CommunicationError> {
        self.bytes(own)
    }

    fn gather(&self, own: &[u8]) -> Result<Option<Vec<Vec<u8>>>, CommunicationError> {
        self.bytes(own).map(|all| (self.rank == 0).then_some(all))
    }

    fn broadcast(&self, own: Vec<u8>) -> Result<Vec<u8>, CommunicationError> {
        self.bytes(&own).map(|all| all.into_iter().next().unwrap_or_default())
    }

    fn exchange(&self, values: &[f32], sent: &[usize], received: &[usize]) -> Result<Vec<f32>, CommunicationError> {
        let all = self.meet(Brought::Values(values.to_vec(), sent.to_vec()))?;
        let mut came = Vec::with_capacity(received.iter().sum());
        for (rank, brought) in all.iter().enumerate() {
            let Brought::Values(values, sent) = brought else { return Err(unexpected(rank)) };
            let from: usize = sent.iter().take(self.rank).sum();
            let part = values.get(from..from + sent.get(self.rank).copied().unwrap_or(0));
            let part = part.filter(|part| Some(&part.len()) == received.get(rank)).ok_or_else(|| unexpected(rank))?;
            came.extend_from_slice(part);
        }
        Ok(came)
    }

    fn all_gather_values(&self, own: &[f32], counts: &[usize]) -> Result<Vec<f32>, CommunicationError> {
        let all = self.meet(Brought::Values(own.to_vec(), Vec::new()))?;
        let mut came = Vec::with_capacity(counts.iter().sum());
        for (rank, brought) in all.iter().enumerate() {
            match brought {
                Brought::Values(values, _) if Some(&values.len()) == counts.get(rank) => came.extend_from_slice(values),
                _ => return Err(unexpected(rank)),
            }
        }
        Ok(came)
    }

    fn sum(&self, values: &mut [f32]) -> Result<(), CommunicationError> {
        let counts = vec![values.len(); self.room.size];
        let all = self.all_gather_values(values, &counts)?;
        values.fill(0.0);
        // Every rank in the same order, so that all have the same bits.
        for part in all.chunks_exact(values.len().max(1)) {
            values.iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_hear_all() {
        let heard = Threads::run(
            3,
            |rank| rank as f32,
            |ranks, own| {
                let rank = ranks.rank();
                for round in 0..100_u8 {
                    let all = ranks.all_gather(&vec![round; rank])?;
                    assert_eq!(all, (0..3).map(|rank| vec![round; rank]).collect::<Vec<_>>());
                }
                assert_eq!(ranks.broadcast(vec![rank as u8])?, [0]);
                assert_eq!(ranks.gather(&[7])?.is_some(), rank == 0);
                // Rank r sends r + 1 of its values to each.
                let values = vec![own; 3 * (rank + 1)];
                let came = ranks.exchange(&values, &[rank + 1; 3], &[1, 2, 3])?;
                assert_eq!(came, [0.0, 1.0, 1.0, 2.0, 2.0, 2.0]);
                let mut sums = [own, 1.0];
                ranks.sum(&mut sums)?;
                assert_eq!(sums, [3.0, 3.0]);
                ranks.barrier()?;
                Ok::<_, CommunicationError>(())
            },
        );
        assert!(heard.iter().all(Result::is_ok), "{heard:?}");
    }

    #[test]
    fn a_rank_that_fails_ends_the_others() {
        let ended = Threads::run(
            3,
            |_| (),
            |ranks, ()| match ranks.rank() {
                1 => Err("on purpose".to_owned()),
                _ => ranks.barrier().map_err(|error| error.to_string()),
            },
        );
        for rank in [0, 2] {
            assert_eq!(ended[rank], Err("the job was ended: process 1: on purpose".to_owned()));
        }
    }
}
