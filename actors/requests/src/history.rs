//! What happened to the objects and to this node: requests of ours (README).

use std::collections::BTreeSet;
use std::time::Duration;

use logs::history;
use mail::history::Note;
use mail::requests::{Outcome, Refused, Transport};
use model::{Happening, NodeName, ObjectPath, Record, Timestamp};
use web::user::Auth;
use wire::{NodeHistory, ObjectHistory};

use crate::context::{Context, blocking};

/// GET `object_history`: the journal of the object here, with what happened to this node and its peers meanwhile.
pub(super) async fn of_object(
    context: &Context,
    options: &ObjectHistory,
) -> Result<Outcome, Refused> {
    let path = context.known_object(&options.path).await?;
    let snapshot = context.snapshot();
    let scope: BTreeSet<NodeName> = snapshot
        .instances(&path)
        .map(|(node, _)| node.clone())
        .chain(scope(context, &path))
        .collect();
    let (paths, from) = (context.mail.paths.clone(), from(options.since));
    let read = blocking(move || {
        let mut records = history::read(&paths, Some(&path));
        let begin = records.first().map_or(f64::INFINITY, |first| first.t.0);
        let of_node = history::read(&paths, None).into_iter();
        records.extend(of_node.filter(|it| it.t.0 >= begin && concerns(it, &scope)));
        records.sort_by(|a, b| a.t.0.total_cmp(&b.t.0));
        records.retain(|record| record.t.0 >= from.0);
        records
    });
    Ok(wire::reply::data(serde_json::json!(read.await?)).into())
}

/// GET `node_history`.
pub(super) async fn of_node(context: &Context, options: &NodeHistory) -> Result<Outcome, Refused> {
    let (paths, from) = (context.mail.paths.clone(), from(options.since));
    let read = blocking(move || {
        let mut records = history::read(&paths, None);
        records.retain(|record| record.t.0 >= from.0);
        records
    });
    Ok(wire::reply::data(serde_json::json!(read.await?)).into())
}

fn from(since: Option<Duration>) -> Timestamp {
    since.map_or(Timestamp::NEVER, |since| machine::clock::now().plus(-since.as_secs_f64()))
}

/// The nodes that the configuration of an object names.
fn scope(context: &Context, path: &ObjectPath) -> Vec<NodeName> {
    let config = context.config();
    config.objects.get(path).map_or_else(Vec::new, |object| object.settings.nodes.clone())
}

/// Whether what happened to this node is a part of the story of an object of these nodes.
fn concerns(record: &Record, scope: &BTreeSet<NodeName>) -> bool {
    match record.what {
        Happening::PeerLost | Happening::PeerBack => {
            record.on.iter().any(|node| scope.contains(node))
        }
        Happening::DaemonStarted | Happening::DaemonStopped | Happening::Split => true,
        Happening::Frozen => true,
        _ => false,
    }
}

impl Context {
    /// Keeps who asked for what; none: of the node.
    pub(crate) fn note_asked(&self, path: Option<&ObjectPath>, what: &str) {
        let record = Record {
            by: Some(self.asker()),
            ..Record::new(machine::clock::now(), Happening::Asked)
                .change(None, Some(what.to_owned()))
        };
        // Whoever asks faster than a disk can write is not kept.
        _ = self.mail.history.try_send(Note { path: path.cloned(), record });
    }

    /// Who asks: a user of this node, or another node.
    fn asker(&self) -> String {
        let (node, user) = (&self.caller.nodename, &self.caller.user);
        match self.caller.transport {
            _ if user.auth != Some(Auth::Secret) => format!("{}@{node}", user.name),
            Transport::Http | Transport::Unix => format!("{}@{node}", machine::process::user()),
            Transport::Classic | Transport::Sealed => node.to_string(),
        }
    }
}
