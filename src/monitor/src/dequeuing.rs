//! When the queue of the collector is fetched: anybody may ask for it, by a packet without content.

use std::time::Duration;

/// Shortest pause between the beginnings of two runs.
pub const DEQUEUE_PAUSE: Duration = Duration::from_secs(10);

/// What to do about the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dequeue {
    /// Fetch it.
    Run,
    /// Ask again after this time.
    After(Duration),
    /// Nothing: a run that is due, or asked for already, will do.
    Nothing,
}

/// Runs of `om node dequeue actions`: one at a time, one per [`DEQUEUE_PAUSE`], and one more for all that asked
/// meanwhile.
#[derive(Debug, Clone, Default)]
pub struct Dequeuing {
    is_running: bool,
    is_asked: bool,
    is_planned: bool,
    begun: Option<Duration>,
}

impl Dequeuing {
    /// Somebody asks at `now`.
    pub fn on_asked(&mut self, now: Duration) -> Dequeue {
        self.is_asked = true;
        self.next(now)
    }

    /// The run ended.
    pub fn on_ended(&mut self, now: Duration) -> Dequeue {
        self.is_running = false;
        self.next(now)
    }

    /// The time of [`Dequeue::After`] is over.
    pub fn on_alarm(&mut self, now: Duration) -> Dequeue {
        self.is_planned = false;
        self.next(now)
    }

    fn next(&mut self, now: Duration) -> Dequeue {
        if !self.is_asked || self.is_running || self.is_planned {
            return Dequeue::Nothing;
        }
        let due = self.begun.map_or(now, |begun| begun + DEQUEUE_PAUSE);
        if due > now {
            self.is_planned = true;
            return Dequeue::After(due - now);
        }
        self.begun = Some(now);
        self.is_asked = false;
        self.is_running = true;
        Dequeue::Run
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_many_ask_there_is_one_run_per_ten_seconds_and_none_is_forgotten() {
        let at = |ms: u64| Duration::from_millis(1_000_000 + ms);
        let mut it = Dequeuing::default();
        assert_eq!(it.on_asked(at(0)), Dequeue::Run);
        for ms in 1..100 {
            assert_eq!(it.on_asked(at(ms)), Dequeue::Nothing, "it runs");
        }
        assert_eq!(it.on_ended(at(100)), Dequeue::After(Duration::from_millis(9_900)));
        assert_eq!(it.on_asked(at(200)), Dequeue::Nothing, "it is planned");
        assert_eq!(it.on_alarm(at(10_000)), Dequeue::Run);
        assert_eq!(it.on_ended(at(30_000)), Dequeue::Nothing, "nobody asked since");
        assert_eq!(it.on_asked(at(30_001)), Dequeue::Run);
        assert_eq!(it.on_asked(at(30_002)), Dequeue::Nothing);
        assert_eq!(it.on_ended(at(60_000)), Dequeue::Run);
    }
}
