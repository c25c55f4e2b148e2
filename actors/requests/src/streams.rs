//! The logs of several nodes as one stream: those of this node from its files, those of peers from their daemons.
//!
//! A peer of ours is followed over a connection; a deployed one has no stream there, and is asked for the end of its log each 2 s.
//! Entries that were sent are not sent again, however a stream ended in between.

use std::time::Duration;

use mail::peers::{AskPeer, AskText, FollowPeer};
use mail::requests::{Outcome, Refused};
use mail::stream::Item;
use model::NodeName;
use serde_json::Value;
use tokio::sync::mpsc::{self, Sender};
use wire::reply::Part;
use wire::{Action, NodeBacklogs, ObjectBacklogs, Request, Size};

use crate::context::Context;

/// How often a deployed peer is asked, and a lost one.
const PAUSE: Duration = Duration::from_secs(2);

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// How much of the end of a log is looked at for what is new, in bytes.
const BACKLOG: i64 = 64 << 10;

/// Items that wait for a slow reader.
const QUEUE: usize = 16;

type Items = Sender<Item>;

/// Follows the logs of these nodes.
pub(super) async fn follow(
    context: &Context,
    request: &Request,
    nodes: Vec<String>,
) -> Result<Outcome, Refused> {
    let (sender, items) = mpsc::channel(QUEUE);
    for node in nodes {
        if node == context.mail.nodename.as_str() {
            match (context.answer)(context, request).await {
                Outcome::Stream(own) => _ = actix_rt::spawn(pass(own, sender.clone())),
                refused => return Ok(refused),
            }
        } else if let Ok(peer) = NodeName::new(&node) {
            let peer = Peer { context: context.lasting(), peer, known: Known::default() };
            actix_rt::spawn(peer.run(request.clone(), sender.clone()));
        }
    }
    Ok(Outcome::Stream(items))
}

/// Passes the items of this node on. Its signs of life are those of the whole.
async fn pass(mut own: mpsc::Receiver<Item>, sender: Items) {
    while let Some(item) = own.recv().await {
        if sender.send(item).await.is_err() {
            return;
        }
    }
}

/// A peer whose log is followed.
struct Peer {
    context: Context,
    peer: NodeName,
    known: Known,
}

impl Peer {
    /// Until nobody listens.
    async fn run(mut self, request: Request, sender: Items) {
        let mut is_first = true;
        loop {
            let is_ours = self.is_ours();
            // The first look finds out where the log ends: what comes behind that is new, however often the stream breaks.
            let is_over = is_first && self.look(&request, true, &sender).await
                || is_ours && self.stream(&request, is_first, &sender).await
                || !is_ours && !is_first && self.look(&request, false, &sender).await;
            is_first = false;
            if is_over {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                () = sender.closed() => return,
            }
        }
    }

    /// Whether it serves streams.
    fn is_ours(&self) -> bool {
        let snapshot = self.context.snapshot();
        snapshot.node(&self.peer).is_some_and(|entry| entry.data.agent.is_some())
    }

    fn ask(&self, request: &Request) -> AskPeer {
        AskPeer::new(self.peer.clone(), &request.to_peer_value(), PATIENCE)
    }

    /// Follows its stream until that ends. True: nobody listens any more.
    async fn stream(&mut self, request: &Request, is_first: bool, sender: &Items) -> bool {
        let request = if is_first { request.clone() } else { resumed(request) };
        let (items, mut received) = mpsc::channel(QUEUE);
        let following = FollowPeer { ask: self.ask(&request), items };
        let peers = self.context.mail.peers.clone();
        let ended = actix_rt::spawn(async move { peers.send(following).await });
        // Only what was read again may have been sent: what comes later may be older, and is new.
        let mut is_again = !is_first;
        loop {
            let item = tokio::select! {
                () = sender.closed() => return true,
                item = received.recv() => item,
            };
            let Some(part) = item else { break };
            let mut news = entries(&part);
            match std::mem::take(&mut is_again) {
                true => news = self.known.news(news),
                false => self.known.note(&news),
            }
            if !pass_on(news, sender).await {
                return true;
            }
        }
        if let Ok(Ok(Err(error))) = ended.await {
            log::debug!(peer:% = self.peer, error:% = error; "the log of a peer is not followed");
        }
        false
    }

    /// Asks for the end of its log. The first look only finds out where that is. True: nobody listens any more.
    async fn look(&mut self, request: &Request, is_first: bool, sender: &Items) -> bool {
        let Some(backlog) = backlogs(request) else { return true };
        let asked = mail::peers::ask(&self.context.mail.peers, AskText(self.ask(&backlog))).await;
        let Ok(part) = asked else { return false };
        if is_first {
            self.known.news(entries(&part));
            return false;
        }
        !pass_on(self.known.news(entries(&part)), sender).await
    }
}

/// Passes entries on, as one item. False: nobody listens any more.
async fn pass_on(news: Vec<Value>, sender: &Items) -> bool {
    news.is_empty() || sender.send(Value::from(news).to_string().into()).await.is_ok()
}

/// The entries of an item; an answer that is none has none.
fn entries(part: &Part) -> Vec<Value> {
    serde_json::from_slice(&part.body().json()).unwrap_or_default()
}

/// A request for a stream, with the end of what is there before.
fn resumed(request: &Request) -> Request {
    let mut request = request.clone();
    match &mut request.action {
        Action::ObjectLogs(options) => options.backlog = Size(BACKLOG),
        Action::NodeLogs(options) => options.backlog = Size(BACKLOG),
        _ => {}
    }
    request
}

/// The request for the end of the log that is followed.
fn backlogs(request: &Request) -> Option<Request> {
    let backlog = Size(BACKLOG);
    Some(match &request.action {
        Action::ObjectLogs(options) => {
            let (path, only) = (options.path.clone(), options.only.clone());
            Request::new(ObjectBacklogs { path, backlog, only })
        }
        Action::NodeLogs(options) => {
            Request::new(NodeBacklogs { backlog, only: options.only.clone() })
        }
        _ => return None,
    })
}

/// What was sent last, the newest last.
#[derive(Debug, Default)]
struct Known(Vec<Value>);

impl Known {
    /// How much of it is kept.
    const MOST: usize = 16;

    /// Of entries that are read again, those behind what was sent; where that is gone from the log, those that are newer.
    fn news(&mut self, mut entries: Vec<Value>) -> Vec<Value> {
        let is_end = |end: &usize| {
            let count = self.0.len().min(*end);
            count > 0 && entries[end - count..*end] == self.0[self.0.len() - count..]
        };
        let news = match (1..=entries.len()).rev().find(is_end) {
            Some(end) => entries.split_off(end),
            None => {
                let time = |entry: &Value| entry["t"].as_f64().unwrap_or_default();
                let last = self.0.last().map_or(f64::NEG_INFINITY, time);
                entries.retain(|entry| time(entry) > last);
                entries
            }
        };
        self.note(&news);
        news
    }

    /// These were sent.
    fn note(&mut self, entries: &[Value]) {
        let most = entries.len().saturating_sub(Self::MOST);
        self.0.extend_from_slice(&entries[most..]);
        self.0.drain(..self.0.len().saturating_sub(Self::MOST));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn news(known: &mut Known, entries: &[(f64, &str)]) -> String {
        let entries = entries.iter().map(|(t, m)| json!({"t": t, "m": m})).collect();
        let news = known.news(entries);
        news.iter().filter_map(|entry| entry["m"].as_str()).collect()
    }

    #[test]
    fn each_entry_is_sent_once_however_often_it_is_read() {
        let mut known = Known::default();
        assert_eq!(news(&mut known, &[(1.0, "a"), (2.0, "b")]), "ab");
        assert_eq!(news(&mut known, &[(1.0, "a"), (2.0, "b"), (2.0, "c"), (3.0, "d")]), "cd");
        assert_eq!(news(&mut known, &[(3.0, "d"), (2.5, "e")]), "e", "the clock was set back");
        assert_eq!(news(&mut known, &[]), "");
        assert_eq!(news(&mut known, &[(2.0, "x"), (4.0, "f")]), "f", "rotated away");
    }
}
