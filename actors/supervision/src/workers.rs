//! The worker arbiters: threads that connections are spread over.
//!
//! One that ends, whatever the reason, is replaced when it is needed, and nothing that was handed to it is lost: what an
//! arbiter has not taken comes back. The connections that it served end with it.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};

use actix_rt::Arbiter;
use arc_swap::ArcSwapOption;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

/// Work that waits for one worker before the next one is asked.
const QUEUE: usize = 1_024;

/// What a worker runs: it spawns, and returns at once.
pub type Work = Box<dyn FnOnce() + Send>;

type Queue = mpsc::Sender<Work>;

type Queues = Arc<[ArcSwapOption<Queue>]>;

/// Worker arbiters that take turns. Clones use the same ones.
#[derive(Clone)]
pub struct Workers {
    queues: Queues,
    turn: usize,
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers").field("count", &self.queues.len()).finish_non_exhaustive()
    }
}

impl Workers {
    /// Starts `count` workers.
    ///
    /// # Errors
    ///
    /// When the system gives no more threads.
    ///
    /// # Panics
    ///
    /// When `count` is 0.
    pub fn start(count: usize) -> io::Result<Self> {
        assert!(count > 0, "work needs a worker");
        let workers =
            Self { queues: (0..count).map(|_| ArcSwapOption::empty()).collect(), turn: 0 };
        for number in 0..count {
            workers.hire(number)?;
        }
        Ok(workers)
    }

    /// Runs `work` on the worker whose turn it is, on another one when that one is full. False: it is dropped, because
    /// all are full, or because none lives and the system gives no more threads.
    pub fn run(&mut self, mut work: Work) -> bool {
        for _ in 0..self.queues.len() {
            self.turn = (self.turn + 1) % self.queues.len();
            let number = self.turn;
            if self.queues[number].load().as_ref().is_none_or(|queue| queue.is_closed()) {
                match self.hire(number) {
                    Ok(()) => log::warn!(worker = number; "a worker ended, and was replaced"),
                    Err(error) => {
                        log::error!(worker = number, error:% = error; "a worker ended, and cannot be replaced");
                        continue;
                    }
                }
            }
            let Some(queue) = self.queues[number].load_full() else { continue };
            work = match queue.try_send(work) {
                Ok(()) => return true,
                Err(TrySendError::Full(work) | TrySendError::Closed(work)) => work,
            };
        }
        false
    }

    /// A new arbiter in this place. It ends when nobody can send to it any more.
    fn hire(&self, number: usize) -> io::Result<()> {
        let arbiter = Arbiter::try_new()?;
        let (sender, works) = mpsc::channel(QUEUE);
        let mut worker = Worker { works, queues: Arc::downgrade(&self.queues), number };
        arbiter.spawn(async move {
            while let Some(work) = worker.works.recv().await {
                // At once: what is taken is not lost with this arbiter. A panic costs this work only.
                if catch_unwind(AssertUnwindSafe(work)).is_err() {
                    log::error!("what was handed to a worker panicked");
                }
            }
            Arbiter::current().stop();
        });
        self.queues[number].store(Some(Arc::new(sender)));
        Ok(())
    }
}

/// What waits for one arbiter. Dropped with it: what was not taken is handed to the others.
struct Worker {
    works: mpsc::Receiver<Work>,
    /// Weak, or the arbiters would keep each other.
    queues: Weak<[ArcSwapOption<Queue>]>,
    number: usize,
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.works.close();
        let Some(queues) = self.queues.upgrade() else { return };
        let mut others = Workers { queues, turn: self.number };
        while let Ok(work) = self.works.try_recv() {
            others.run(work);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread::ThreadId;
    use std::time::{Duration, Instant};

    use super::*;

    /// The threads that ran `count` works in turn.
    async fn threads(workers: &mut Workers, count: usize) -> Vec<ThreadId> {
        let mut threads = vec![];
        for _ in 0..count {
            let (done, thread) = tokio::sync::oneshot::channel();
            assert!(workers.run(Box::new(move || _ = done.send(std::thread::current().id()))));
            threads.push(thread.await.expect("the work is done"));
        }
        threads
    }

    #[actix::test]
    async fn workers_take_turns_and_one_that_ends_is_replaced_without_losing_work() {
        let mut workers = Workers::start(2).unwrap();
        let before = threads(&mut workers, 4).await;
        assert_eq!(before[..2], before[2..]);
        assert_ne!(before[0], before[1]);
        assert!(workers.run(Box::new(|| _ = Arbiter::current().stop())));
        let (start, ended) = (Instant::now(), workers.turn);
        while !workers.queues[ended].load().as_ref().unwrap().is_closed() {
            assert!(start.elapsed() < Duration::from_secs(30), "the worker does not end");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let after = threads(&mut workers, 4).await;
        assert_eq!(after[..2], after[2..]);
        let kept: Vec<bool> = after[..2].iter().map(|thread| before.contains(thread)).collect();
        assert_eq!(kept, [true, false], "one lives on, one is new");
    }

    #[actix::test]
    async fn what_an_ended_worker_had_not_taken_is_done_by_another() {
        let mut workers = Workers::start(2).unwrap();
        // It holds the thread until everything is in its queue, then ends.
        let (release, held) = std::sync::mpsc::channel::<()>();
        assert!(workers.run(Box::new(move || {
            Arbiter::current().stop();
            _ = held.recv();
        })));
        let ended = workers.turn;
        let queue = workers.queues[ended].load_full().unwrap();
        let (sender, mut done) = mpsc::unbounded_channel();
        for number in 0..100 {
            let sender = sender.clone();
            queue.try_send(Box::new(move || _ = sender.send(number))).unwrap_or_else(|_| panic!());
        }
        release.send(()).unwrap();
        let mut numbers = std::collections::BTreeSet::new();
        while numbers.len() < 100 {
            numbers.insert(done.recv().await.expect("the sender is here"));
        }
    }

    #[actix::test]
    async fn a_panic_costs_the_work_and_not_the_worker() {
        let mut workers = Workers::start(1).unwrap();
        let before = threads(&mut workers, 1).await;
        assert!(workers.run(Box::new(|| panic!("test panic"))));
        assert_eq!(threads(&mut workers, 1).await, before);
    }
}
