//! Streams of several nodes, through the restarts of those who serve them.

use std::fmt;
use std::time::Duration;

use wire::NodeSpec;

use super::{Link, node};

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
        Some(NodeSpec::Selector(selector)) => node::expand(link, selector),
        Some(NodeSpec::Any) | None => return vec![(String::new(), link.clone())],
    };
    let to = |name: String| {
        let link = if link.is_local(&name) { link.clone() } else { link.to_node(&name) };
        (name, link)
    };
    names.into_iter().map(to).collect()
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
