//! Streams of several nodes, through the restarts of those who serve them.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::mpsc;
use std::time::Duration;

use wire::{NodeSpec, Request};

use link::link::Link;

use crate::nodes;
use crate::om::{complain, note};

/// Pause before a stream that ended is asked for again, doubled for each next try.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A stream that is asked for again whenever it ends, and what is told of that: once when it is lost, once when it is
/// back.
#[derive(Debug, Clone)]
pub(super) struct Retry {
    node: String,
    what: &'static str,
    is_new: bool,
    is_told: bool,
    pause: Duration,
}

impl Retry {
    /// The stream of a node, or of the server that is asked when no node is named.
    pub(super) fn new(node: &str, server: &dyn fmt::Display, what: &'static str) -> Self {
        let node = if node.is_empty() { server.to_string() } else { node.to_owned() };
        Self { node, what, is_new: true, is_told: false, pause: FIRST_PAUSE }
    }

    /// Whether it did not end yet.
    pub(super) fn is_new(&self) -> bool {
        self.is_new
    }

    /// It brings something; the line to tell when it was lost.
    pub(super) fn on_item(&mut self) -> Option<String> {
        self.pause = FIRST_PAUSE;
        let was_told = std::mem::take(&mut self.is_told);
        was_told.then(|| format!("{}: {} is followed again", self.node, self.what))
    }

    /// It ended, for this reason or because the daemon stopped; the line to tell if it was not told.
    pub(super) fn on_end(&mut self, reason: Option<&str>) -> Option<String> {
        self.is_new = false;
        let was_told = std::mem::replace(&mut self.is_told, true);
        let reason = reason.unwrap_or("the daemon ended it");
        (!was_told)
            .then(|| format!("{}: {} is lost: {reason}; it is tried again", self.node, self.what))
    }

    /// Waits before the next try.
    pub(super) fn pause(&mut self) {
        std::thread::sleep(self.pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }
}

/// A stream is one node's: following several nodes takes a connection to each. With the name of each; without name the
/// one link that there is, when no node is asked for.
pub(super) fn links(link: &Link, node: &Option<NodeSpec>) -> Vec<(String, Link)> {
    let names: Vec<String> = match node {
        Some(NodeSpec::Names(names)) => names.clone(),
        Some(NodeSpec::Selector(selector)) => nodes::expand(link, selector),
        Some(NodeSpec::Any) | None => return vec![(String::new(), link.clone())],
    };
    let to = |name: String| {
        let link = if link.is_local(&name) { link.clone() } else { link.to_node(&name) };
        (name, link)
    };
    names.into_iter().map(to).collect()
}

/// Tells who waits that something changed: whether there still is somebody.
fn mark(changed: &mpsc::SyncSender<()>) -> ControlFlow<()> {
    match changed.try_send(()) {
        // One mark is enough: who waits reads everything.
        Ok(()) | Err(mpsc::TrySendError::Full(())) => ControlFlow::Continue(()),
        Err(mpsc::TrySendError::Disconnected(())) => ControlFlow::Break(()),
    }
}

/// Tells when the cluster data changed.
pub(crate) struct Changes(mpsc::Receiver<()>);

impl Changes {
    /// Follows the events of a daemon, in a thread that ends with them or with this value.
    pub(super) fn follow(link: &Link) -> Self {
        Self::followed(link, true)
    }

    /// The same without a word on why it ended, for who shows it by itself.
    #[cfg(feature = "tui")]
    pub(crate) fn quietly(link: &Link) -> Self {
        Self::followed(link, false)
    }

    fn followed(link: &Link, is_told: bool) -> Self {
        let (changed, changes) = mpsc::sync_channel::<()>(1);
        let link = link.clone();
        std::thread::spawn(move || {
            let request =
                Request::new(wire::Events { selector: None, full: false, last_event_id: None });
            let mut retry = Retry::new("", &link.server, "its stream of events");
            let mut last = None;
            loop {
                let mut is_back = None;
                let ended = link.follow_from(&request, &mut last, &mut |_| {
                    is_back = is_back.take().or_else(|| retry.on_item());
                    mark(&changed)
                });
                is_back.filter(|_| is_told).iter().for_each(|line| note(line));
                if !link.is_remote() {
                    if let (Err(error), true) = (&ended, is_told) {
                        complain(&error.to_string());
                    }
                    return;
                }
                // Who looks sees what happened meanwhile, once it can be asked again.
                if mark(&changed).is_break() {
                    return;
                }
                let lost = retry.on_end(ended.err().map(|error| error.to_string()).as_deref());
                lost.filter(|_| is_told).iter().for_each(|line| note(line));
                retry.pause();
                if mark(&changed).is_break() {
                    return;
                }
            }
        });
        Self(changes)
    }

    /// Waits for a change, or until `within` is over. False when there will be none any more.
    pub(super) fn wait(&self, within: Option<Duration>) -> bool {
        match within {
            None => self.0.recv().is_ok(),
            Some(within) => {
                !matches!(self.0.recv_timeout(within), Err(mpsc::RecvTimeoutError::Disconnected))
            }
        }
    }

    /// Forgets a change that what is read next will show.
    pub(crate) fn forget(&self) {
        _ = self.0.try_recv();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_and_a_return_are_told_once_and_the_pause_is_bounded() {
        let mut retry = Retry::new("n3", &"x", "its log");
        assert_eq!((retry.is_new(), retry.on_item()), (true, None));
        let lost = "n3: its log is lost: refused; it is tried again";
        assert_eq!(retry.on_end(Some("refused")).as_deref(), Some(lost));
        assert_eq!((retry.is_new(), retry.on_end(Some("refused"))), (false, None));
        retry.pause = LONGEST_PAUSE;
        assert_eq!(retry.on_item().as_deref(), Some("n3: its log is followed again"));
        assert_eq!((retry.pause, retry.on_item()), (FIRST_PAUSE, None));
        let lost = "n3: its log is lost: the daemon ended it; it is tried again";
        assert_eq!(retry.on_end(None).as_deref(), Some(lost));
    }
}
