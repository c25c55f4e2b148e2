//! How processes are ended: asked once each, and waited for until none is left.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::processes::Process;

/// How long processes may take to end once they were asked.
const PATIENCE: Duration = Duration::from_secs(5);

/// Longest time between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// In which order they are asked.
pub(crate) struct Manner<'a> {
    /// How long they may take to end by themselves before that.
    pub grace: Duration,
    /// Those of them that are asked first. The others have as long again once these are gone.
    pub first: &'a dyn Fn(&[Process]) -> Vec<Process>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Grace,
    First,
    All,
}

/// Asks processes to end, those too that join them meanwhile, until `all` tells none.
///
/// # Errors
///
/// Those that do not end.
pub(crate) fn end(
    mut all: impl FnMut() -> Vec<Process>,
    manner: Manner<'_>,
    tell: impl Fn(&Process),
) -> Result<(), Vec<Process>> {
    let mut since = Instant::now();
    let mut pause = Duration::from_millis(5);
    let mut step = if manner.grace.is_zero() { Step::First } else { Step::Grace };
    let mut signalled = BTreeSet::new();
    loop {
        let left = all();
        if left.is_empty() {
            return Ok(());
        }
        if step == Step::Grace && since.elapsed() >= manner.grace {
            (step, since) = (Step::First, Instant::now());
        }
        let first = if step == Step::First { (manner.first)(&left) } else { vec![] };
        if step == Step::First && first.is_empty() {
            (step, since) = (Step::All, Instant::now());
        }
        let asked = match step {
            Step::Grace => &[][..],
            Step::First => &first,
            Step::All => &left,
        };
        for process in asked {
            if signalled.insert((process.pid, process.start)) {
                tell(process);
                // Gone meanwhile: it is not found again.
                _ = process.signal(Signal::TERM);
            }
        }
        if step != Step::Grace && since.elapsed() >= PATIENCE {
            return Err(left);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(PAUSE);
    }
}

/// What an operator is told of those that do not end.
pub(crate) fn told(left: &str) -> String {
    format!("still running {PATIENCE:?} after SIGTERM: {left}")
}
