//! The logs of several nodes as one stream: those of this node from its files, those of peers from their daemons.
//!
//! A peer of ours is followed over a connection; a deployed one has no stream there, and is asked for the end of its log each 2 s.
//! Entries that were sent are not sent again, however a stream ended in between.

use std::collections::BTreeMap;
use std::time::Duration;

use mail::peers::{AskPeer, AskText, FollowPeer};
use mail::requests::{Outcome, Refused};
use mail::stream::{Item, Since, life};
use model::NodeName;
use serde_json::Value;
use tokio::sync::mpsc::{self, Sender};
use wire::reply::Part;
use wire::{Action, NodeBacklogs, ObjectBacklogs, Request, Size};

use crate::context::Context;
use crate::logs::gap;

/// How often a deployed peer is asked, and a lost one.
const PAUSE: Duration = Duration::from_secs(2);

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// How much of the end of a log is looked at for what is new, in bytes.
const BACKLOG: i64 = 64 << 10;

/// Items that wait for a slow reader.
const QUEUE: usize = 16;

type Items = Sender<Told>;

/// Follows the logs of these nodes.
pub(super) async fn follow(
    context: &Context,
    request: &Request,
    nodes: Vec<String>,
) -> Result<Outcome, Refused> {
    let since = last_event_id(request);
    let places = since.as_deref().map(Places::read);
    let (sender, told) = mpsc::channel(QUEUE);
    for node in nodes {
        let place = places.as_ref().and_then(|places| places.0.get(&node).cloned());
        // What was followed in a way that has no places is not gone on with, and that is told.
        let is_lost = places.is_some() && place.is_none();
        if is_lost && let Ok(name) = NodeName::new(&node) {
            let gap = gap(&name, since.as_deref().unwrap_or_default());
            _ = sender.try_send(Told { node: node.clone(), item: gap.into() });
        }
        let request = resumed_at(request, place.as_deref(), false);
        if node == context.mail.nodename.as_str() {
            match (context.answer)(context, &request).await {
                Outcome::Stream(own) => _ = actix_rt::spawn(pass(node, own, sender.clone())),
                refused => return Ok(refused),
            }
        } else if let Ok(peer) = NodeName::new(&node) {
            let (context, known) = (context.lasting(), Known::default());
            let peer = Peer { context, peer, known, place };
            actix_rt::spawn(peer.run(request, sender.clone()));
        }
    }
    let (items, received) = mpsc::channel(QUEUE);
    actix_rt::spawn(merge(told, items, places.unwrap_or_default()));
    Ok(Outcome::Stream(received))
}

/// An item of one of the nodes.
#[derive(Debug)]
struct Told {
    node: String,
    item: Item,
}

/// Where each of the nodes is: an id names all of them, as `n1=<place>,n2=<place>`.
#[derive(Debug, Default, Clone)]
struct Places(BTreeMap<String, String>);

impl Places {
    fn read(id: &str) -> Self {
        let pairs = Since::place(id).unwrap_or_default().split(',');
        let pairs = pairs.filter_map(|pair| pair.split_once('='));
        Self(pairs.map(|(node, place)| (node.to_owned(), place.to_owned())).collect())
    }

    fn write(&self) -> String {
        let pairs = self.0.iter().map(|(node, place)| format!("{node}={place}"));
        pairs.collect::<Vec<_>>().join(",")
    }
}

/// Makes one stream of those of the nodes: each item tells where all of them are.
async fn merge(mut told: mpsc::Receiver<Told>, items: mpsc::Sender<Item>, mut places: Places) {
    loop {
        let told = tokio::select! {
            told = told.recv() => told,
            () = items.closed() => return,
        };
        let Some(Told { node, item }) = told else { return };
        if let Some(place) = &item.place {
            places.0.insert(node, place.to_string());
        }
        let item = match places.0.is_empty() || item.text.is_empty() && item.place.is_none() {
            true => item,
            false => Item::placed(item.text, &places.write()),
        };
        if items.send(item).await.is_err() {
            return;
        }
    }
}

/// Passes the items of this node on. Its signs of life are those of the whole.
async fn pass(node: String, mut own: mpsc::Receiver<Item>, sender: Items) {
    while let Some(item) = own.recv().await {
        if sender.send(Told { node: node.clone(), item }).await.is_err() {
            return;
        }
    }
}

/// A peer whose log is followed.
struct Peer {
    context: Context,
    peer: NodeName,
    known: Known,
    /// Where it is, of a peer that tells that.
    place: Option<String>,
}

impl Peer {
    /// Until nobody listens.
    async fn run(mut self, request: Request, sender: Items) {
        let mut is_first = true;
        loop {
            let is_ours = self.is_ours();
            // The first look finds out where the log ends: what comes behind that is new, however often the stream breaks.
            let is_over =
                is_first && self.place.is_none() && self.look(&request, true, &sender).await
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
        let request = resumed_at(&request, self.place.as_deref(), true);
        let (items, mut received) = mpsc::channel(QUEUE);
        let following = FollowPeer { ask: self.ask(&request), items };
        let peers = self.context.mail.peers.clone();
        let ended = actix_rt::spawn(async move { peers.send(following).await });
        // Only what was read again may have been sent: what comes later may be older, and is new.
        let mut is_again = !is_first && self.place.is_none();
        loop {
            let item = tokio::select! {
                () = sender.closed() => return true,
                item = received.recv() => item,
            };
            let Some(part) = item else { break };
            let Heard { place, entries: mut news, gap } = Heard::read(&part);
            match std::mem::take(&mut is_again) {
                true => news = self.known.news(news),
                false => self.known.note(&news),
            }
            let is_moved = place.is_some();
            self.place = place.or(self.place.take());
            let node = self.peer.to_string();
            if let Some(gap) = gap
                && sender.send(Told { node, item: gap.into() }).await.is_err()
            {
                return true;
            }
            if !self.pass_on(news, is_moved, sender).await {
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
        let news = self.known.news(Heard::read(&part).entries);
        !is_first && !self.pass_on(news, false, sender).await
    }

    /// Passes entries on, as one item, and where the peer is now. False: nobody listens any more.
    async fn pass_on(&self, news: Vec<Value>, is_moved: bool, sender: &Items) -> bool {
        if news.is_empty() && !is_moved {
            return true;
        }
        let text = if news.is_empty() { String::new() } else { Value::from(news).to_string() };
        let item = match self.place.as_deref().filter(|_| is_moved) {
            Some(place) => Item::placed(text.into(), place),
            None => text.into(),
        };
        sender.send(Told { node: self.peer.to_string(), item }).await.is_ok()
    }
}

/// What a peer tells: entries, and where they end if it tells that; or that some are lost.
#[derive(Debug, Default)]
struct Heard {
    place: Option<String>,
    entries: Vec<Value>,
    gap: Option<String>,
}

impl Heard {
    /// Reads an item; what is none has no entries.
    fn read(part: &Part) -> Self {
        let text = part.body().json();
        match serde_json::from_slice(&text).unwrap_or_default() {
            Value::Array(entries) => Self { entries, ..Self::default() },
            Value::Object(mut item) if item.contains_key("at") => {
                let place = item.get("at").and_then(Value::as_str).map(str::to_owned);
                let entries = match item.remove("entries") {
                    Some(Value::Array(entries)) => entries,
                    _ => vec![],
                };
                Self { place, entries, gap: None }
            }
            item if item["kind"] == "gap" => {
                Self { gap: Some(item.to_string()), ..Self::default() }
            }
            _ => Self::default(),
        }
    }
}

/// The id that a request goes on behind.
fn last_event_id(request: &Request) -> Option<String> {
    let id = match &request.action {
        Action::ObjectLogs(options) => options.last_event_id.clone(),
        Action::NodeLogs(options) => options.last_event_id.clone(),
        _ => None,
    };
    id.filter(|id| !id.is_empty())
}

/// The request of one node, behind a place of it. `ids`: its items are to tell where they end.
fn resumed_at(request: &Request, place: Option<&str>, is_told: bool) -> Request {
    let mut request = request.clone();
    let since = place.map(|place| format!("{}.{place}", life()));
    let (id, ids) = match &mut request.action {
        Action::ObjectLogs(options) => (&mut options.last_event_id, &mut options.ids),
        Action::NodeLogs(options) => (&mut options.last_event_id, &mut options.ids),
        _ => return request,
    };
    (*id, *ids) = (since, is_told);
    request
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
    fn an_id_names_the_places_of_all_nodes() {
        let places = Places::read("0123456789abcdef.n1=12.34,n-2=5.6");
        assert_eq!(places.0.get("n-2").map(String::as_str), Some("5.6"));
        assert_eq!(places.write(), "n-2=5.6,n1=12.34");
        for id in ["", "x", "0123456789abcdef.", "0123456789abcdef.12.34", "x.n1=1.2"] {
            assert!(Places::read(id).0.is_empty(), "{id}");
        }
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
