//! The word to end a running action: what it waits for ends, and what it has started is rolled back.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use tokio::signal::unix::{SignalKind, signal};

/// How often an action may be asked to end before it is ended where it stands: its step, its rollback.
const PATIENCE: u32 = 2;

/// Between two looks whether the word was taken.
const PAUSE: Duration = Duration::from_millis(200);

/// Whether the running action is to end. Shared by all that the action does.
#[derive(Debug, Clone)]
pub struct Interrupt(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Readable while it is raised. None where the system has none to give: nothing is interrupted then.
    event: Option<OwnedFd>,
    /// There is something to end in order.
    is_armed: AtomicBool,
    /// Signals are the word: the process is that of one action.
    has_signals: AtomicBool,
}

impl Default for Interrupt {
    fn default() -> Self {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).ok();
        Self(Arc::new(Inner {
            event,
            is_armed: AtomicBool::new(false),
            has_signals: AtomicBool::new(false),
        }))
    }
}

impl Interrupt {
    /// Asks the action to end.
    pub(crate) fn raise(&self) {
        if let Some(event) = &self.0.event {
            _ = rustix::io::write(event, &1_u64.to_ne_bytes());
        }
    }

    /// Whether the action was asked to end, and has not begun to.
    pub fn is_raised(&self) -> bool {
        let Some(event) = &self.0.event else { return false };
        let mut fds = [PollFd::new(event, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|count| count > 0)
    }

    /// Takes the word: what follows, such as a rollback, is not ended by it. Whether there was one.
    pub(crate) fn take(&self) -> bool {
        let mut count = [0_u8; 8];
        self.0.event.as_ref().is_some_and(|event| rustix::io::read(event, &mut count).is_ok())
    }

    /// What is ready once it is raised.
    pub(crate) fn event(&self) -> Option<&OwnedFd> {
        self.0.event.as_ref()
    }

    /// From now on an action is to be ended in order; before, there is nothing to put in order.
    pub fn arm(&self) {
        self.0.is_armed.store(true, Ordering::Relaxed);
    }

    /// Calls `give_up` when the word is not taken within this time: what runs waits in the kernel, for a file system that does
    /// not answer. Only in a process that signals end.
    pub(crate) fn watch_over(&self, patience: Duration, give_up: impl FnOnce() + Send + 'static) {
        if !self.0.has_signals.load(Ordering::Relaxed) {
            return;
        }
        let interrupt = self.clone();
        let watch = move || {
            loop {
                let Some(event) = interrupt.event() else { return };
                // Until it is raised: there is nothing to do, and nobody waits for this thread.
                _ = poll(&mut [PollFd::new(event, PollFlags::IN)], None);
                let since = Instant::now();
                while interrupt.is_raised() {
                    if since.elapsed() >= patience {
                        return give_up();
                    }
                    std::thread::sleep(PAUSE.min(patience));
                }
            }
        };
        if let Err(error) = std::thread::Builder::new().name("watch".into()).spawn(watch) {
            log::warn!(error:% = error; "an action that hangs is not given up");
        }
    }

    /// Takes SIGTERM, SIGINT and SIGHUP as the word, in a thread of its own. The third one ends this process, and one that
    /// comes before the action has begun.
    pub fn listen_to_signals(&self) {
        self.0.has_signals.store(true, Ordering::Relaxed);
        let interrupt = self.clone();
        let listen = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
            match runtime {
                Ok(runtime) => runtime.block_on(interrupt.listen()),
                Err(error) => log::warn!(error:% = error; "signals end this action at once"),
            }
        };
        if let Err(error) = std::thread::Builder::new().name("signals".into()).spawn(listen) {
            log::warn!(error:% = error; "signals end this action at once");
        }
    }

    async fn listen(&self) {
        let kinds = (SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup());
        let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)) =
            (signal(kinds.0), signal(kinds.1), signal(kinds.2))
        else {
            return log::warn!("signals are not handled");
        };
        let mut count = 0;
        loop {
            let (number, name) = tokio::select! {
                _ = terminate.recv() => (15, "SIGTERM"),
                _ = interrupt.recv() => (2, "SIGINT"),
                _ = hangup.recv() => (1, "SIGHUP"),
            };
            count += 1;
            if count > PATIENCE || !self.0.is_armed.load(Ordering::Relaxed) {
                std::process::exit(128 + number);
            }
            log::warn!("{name}: the running step is ended");
            self.raise();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_heard_until_it_is_taken() {
        let interrupt = Interrupt::default();
        assert!(!interrupt.is_raised() && !interrupt.take());
        interrupt.clone().raise();
        assert!(interrupt.is_raised());
        assert!(interrupt.take());
        assert!(!interrupt.is_raised() && !interrupt.take());
    }

    #[test]
    fn an_action_that_does_not_take_the_word_is_given_up() {
        let interrupt = Interrupt::default();
        let (sender, receiver) = std::sync::mpsc::channel();
        let give_up = |name: &'static str| {
            let sender = sender.clone();
            move || sender.send(name).unwrap()
        };
        interrupt.watch_over(Duration::ZERO, give_up("without signals"));
        interrupt.0.has_signals.store(true, Ordering::Relaxed);
        interrupt.watch_over(Duration::from_millis(20), give_up("with signals"));
        interrupt.raise();
        assert_eq!(receiver.recv_timeout(Duration::from_secs(20)), Ok("with signals"));
    }
}
