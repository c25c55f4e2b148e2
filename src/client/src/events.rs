//! `om node events`: what happens, as it happens.
//!
//! Each node tells its own events, and the changes of the data that all nodes share. So the changes are taken from one
//! node, else each would be shown as often as there are nodes; the events are taken from all.

use std::ops::ControlFlow;
use std::sync::mpsc::{self, SyncSender};

use cli::Target;
use serde_json::Value;
use wire::{NodeSpec, Request};

use link::link::Link;
use link::link::error::AskError;

use crate::nodes;
use crate::om::{Done, Failure, Om, note, print};
use crate::streams::{Retry, links};

/// What a stream has to say.
enum News {
    Document(Value),
    /// It is lost, or back.
    Note(String),
    /// It never was there.
    Failed(AskError),
}

/// Each document as one line of JSON.
fn show(om: &Om, document: &Value) {
    if om.is_machine_readable() {
        om.show(document, cli::render::json);
    } else {
        let line = String::from_utf8(wire::to_ascii_json(document)).expect("ASCII");
        print(&format!("{line}\n"));
    }
}

/// Follows the events of the selected nodes, of all of them when none are named. A server is asked for its own.
pub(super) fn run(om: &Om, link: &Link, target: &Target, server: Option<&str>) -> Done {
    let nodes = match target {
        Target::Nodes(selector) => Some(NodeSpec::Selector(selector.clone())),
        Target::Default if server.is_none() => nodes::members(om).ok().map(NodeSpec::Names),
        Target::Default | Target::Local => None,
    };
    if link.is_remote() && nodes.is_some() {
        return Err(Failure::new("a node tells its own events: ask it by --server https://NODE"));
    }
    let links = links(link, &nodes);
    if links.is_empty() {
        return Err(Failure::new("no node is selected: `om node ls` lists them"));
    }
    if let [(_, link)] = &links[..]
        && !link.is_remote()
    {
        let request =
            Request::new(wire::Events { selector: None, full: false, last_event_id: None });
        link.follow(&request, &mut |document| {
            show(om, &document);
            ControlFlow::Continue(())
        })?;
        return Ok(0);
    }
    // The changes of the data are those that this node hears, if it is one of them.
    let teller = links.iter().position(|(name, _)| link.is_local(name)).unwrap_or_default();
    // Whoever sends what is large waits until it is shown.
    let (sender, incoming) = mpsc::sync_channel(1);
    for (at, (name, link)) in links.into_iter().enumerate() {
        let sender = sender.clone();
        std::thread::spawn(move || follow(&name, &link, at == teller, &sender));
    }
    drop(sender);
    for news in incoming {
        match news {
            News::Document(document) => show(om, &document),
            News::Note(line) => note(&line),
            News::Failed(error) => return Err(error.into()),
        }
    }
    Ok(0)
}

/// Follows one node for as long as somebody listens.
fn follow(name: &str, link: &Link, is_teller: bool, sender: &SyncSender<News>) {
    let request = Request::new(wire::Events { selector: None, full: false, last_event_id: None });
    let mut retry = Retry::new(name, &link.server, "its stream of events");
    // Where it is: what happens while it is lost is told when it is back, or that it cannot be.
    let mut last = None;
    loop {
        let (mut is_wanted, mut is_there) = (true, false);
        let ended = link.follow_from(&request, &mut last, &mut |document| {
            is_there = true;
            let back = retry.on_item().map(News::Note);
            let is_shown = is_teller || document.get("kind").is_none_or(|kind| kind != "patch");
            let news = is_shown.then_some(News::Document(document));
            is_wanted = back.into_iter().chain(news).all(|news| sender.send(news).is_ok());
            if is_wanted { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        if !is_wanted {
            return;
        }
        let ended = match ended {
            Err(error)
                if link.is_remote()
                    && retry.is_new()
                    && !is_there
                    && !matches!(error, AskError::Broken(..)) =>
            {
                _ = sender.send(News::Failed(error));
                return;
            }
            ended => ended,
        };
        let reason = ended.err().map(|error: AskError| error.to_string());
        if let Some(lost) = retry.on_end(reason.as_deref())
            && sender.send(News::Note(lost)).is_err()
        {
            return;
        }
        retry.pause();
    }
}
