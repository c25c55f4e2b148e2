//! `om daemon join` and `rejoin`: making this node a member of a cluster. [`leaving`] makes it a cluster of its own.
//!
//! Each step leaves what the next run of the same command can start from: the node is frozen first, both configuration
//! files are written beside the old ones before either is replaced, and what the other side did before a crash it answers
//! again.

pub(super) mod leaving;
mod shared;

use std::io::BufRead as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cli::{EnvelopeChoice, SecretSource};
use conf::{Ini, JoinReply, NodeSettings};
use files::edit::{Locked, Target, Writer};
use files::{in_force, last_good, load};
use link::link::Link;
use link::link::error::AskError;
use machine::durable::{FileLock, Staged};
use machine::environment::SECRET_VARIABLE;
use machine::paths::Paths;
use machine::{durable, regular};
use model::{NodeName, ObjectPath, Timestamp, thread};
use serde_json::Value;
use wire::reply::{Lines, status_of};
use wire::{Dialect, Request};
use zeroize::Zeroizing;

use crate::om::{ANSWER, Done, Failure, Om, complain, note};

/// The joined node waits 120 s for the cluster lock, and for its members to fetch.
pub(super) const PATIENCE: Duration = Duration::from_secs(135);
/// How long the joined node waits for its members to agree, unless we wait less.
const LOCK_PATIENCE_THERE: Duration = Duration::from_secs(120);
/// What it may need afterwards: until its members dropped the lock, and for its answer.
const AFTER_LOCK: Duration = Duration::from_secs(15);
/// How long the daemon is waited for that reads its new configuration, and how often it is asked.
const FOLLOW_PATIENCE: Duration = Duration::from_secs(10);
const FOLLOW_PAUSE: Duration = Duration::from_millis(50);
/// How often the joined node is asked for its file, 100 ms apart: it may still be learning that we are a member.
const FETCHES: u32 = 10;

/// Reads the secret from where it is said to be.
pub(super) fn secret(source: &SecretSource) -> Result<Zeroizing<String>, Failure> {
    let first_line =
        |mut reader: Box<dyn std::io::BufRead>, name: &str| -> Result<Zeroizing<String>, Failure> {
            // Of its full length at once: one that grows leaves copies behind.
            let mut line = Zeroizing::new(String::with_capacity(64 << 10));
            let read = std::io::Read::take(&mut reader, 64 << 10).read_line(&mut line);
            read.map_err(|error| Failure::new(format!("{name}: {error}")))?;
            Ok(Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned()))
        };
    let secret = match source {
        SecretSource::Text(text) => Zeroizing::new(text.clone()),
        SecretSource::Stdin => {
            first_line(Box::new(std::io::stdin().lock()), "the standard input")?
        }
        SecretSource::File(name) => {
            let file = std::fs::File::open(name)
                .map_err(|error| Failure::new(format!("{name}: {error}")))?;
            first_line(Box::new(std::io::BufReader::new(file)), name)?
        }
        SecretSource::Environment => std::env::var(SECRET_VARIABLE).map(Zeroizing::new).map_err(|_| {
            Failure::usage(format!(
                "daemon join needs the secret of the cluster: --secret-file, --secret, or the variable {SECRET_VARIABLE}"
            ))
        })?,
    };
    if secret.trim().is_empty() {
        return Err(Failure::usage("the secret is empty"));
    }
    Ok(secret)
}

/// The flag that freezes the node, set for the time of a join or a leave.
///
/// A mark beside tells a run that follows a crash that it was not the operator who froze the node.
struct Freeze {
    flag: PathBuf,
    mark: PathBuf,
    was_frozen: bool,
}

impl Freeze {
    fn set(paths: &Paths) -> Result<Self, Failure> {
        let (flag, mark) = (paths.node_frozen(), paths.node_frozen_by_join());
        let is_frozen = flag.exists();
        let was_frozen = is_frozen && !mark.exists();
        if !is_frozen {
            durable::write(&mark, b"", 0o644)?;
            durable::write(&flag, b"", 0o644)?;
        }
        Ok(Self { flag, mark, was_frozen })
    }

    /// Thaws the node, unless it was frozen before.
    fn undo(self) -> Result<(), Failure> {
        if !self.was_frozen {
            durable::remove(&self.flag)?;
        }
        self.keep()
    }

    /// Leaves it frozen, as if an operator had frozen it.
    fn keep(self) -> Result<(), Failure> {
        Ok(durable::remove(&self.mark)?)
    }
}

/// Makes this node a member of the cluster of `node`: asks to be taken in, then takes that cluster's configuration.
/// Frozen meanwhile, so that nothing is started or stopped by half a configuration.
pub(super) fn join(
    om: &Om,
    node: &str,
    secret: &str,
    envelope: Option<EnvelopeChoice>,
    within: Duration,
) -> Done {
    let link = om.link(None)?.to_address(node)?;
    let _only = only(om)?;
    let freeze = Freeze::set(&om.paths)?;
    let failed = |mut failure: Failure| {
        failure.lines.insert(0, format!("join {node} failed"));
        failure
    };
    let was_frozen;
    match take_in(om, &link, secret, envelope, within) {
        Ok(staged) => {
            // From here on the node stays frozen when something fails: its files may be of two clusters.
            staged.commit().map_err(|error| {
                failed(Failure {
                    lines: vec![
                        error.to_string(),
                        "this node stays frozen: run the same command again".into(),
                    ],
                    code: 1,
                })
            })?;
            was_frozen = freeze.was_frozen;
            crate::node::wake(om, "join");
            await_daemon(om);
            freeze.undo()?;
        }
        Err(failure) => {
            freeze.undo()?;
            return Err(failed(failure));
        }
    }
    note(&format!("this node is now a member of the cluster of {node}"));
    if was_frozen {
        note("it stays frozen, as it was before: `om node thaw --local` lets it start services");
    }
    crate::node::wake(om, "join");
    if let Ok(link) = om.link(None) {
        start_sending(&link);
    }
    Ok(0)
}

/// Joins the own cluster again: to take its configuration anew, or to become a member again.
pub(super) fn rejoin(
    om: &Om,
    node: Option<&str>,
    envelope: Option<EnvelopeChoice>,
    within: Duration,
) -> Done {
    let settings = in_force::load_node_as_it_speaks(&om.paths, om.nodename.clone())?;
    let secret = settings.secret.as_ref();
    let secret = secret.ok_or_else(|| Failure::new("keyword cluster.secret is not set"))?.expose();
    let envelope = envelope.or(match settings.envelope {
        conf::Envelope::Sealed | conf::Envelope::Any => Some(EnvelopeChoice::Sealed),
        conf::Envelope::Classic => Some(EnvelopeChoice::Classic),
    });
    if let Some(node) = node {
        return join(om, node, secret, envelope, within);
    }
    let mut failure = Failure::new("this node is alone in its cluster: name a member by --node");
    for peer in peers(&settings) {
        match join(om, peer.as_str(), secret, envelope, within) {
            Err(failed) if failed.code == 1 => failure = failed,
            done => return done,
        }
    }
    Err(failure)
}

fn peers(settings: &NodeSettings) -> impl Iterator<Item = &NodeName> {
    settings.nodes.iter().filter(|node| **node != settings.nodename)
}

/// One join or leave at a time.
fn only(om: &Om) -> Result<FileLock, Failure> {
    FileLock::try_take(&om.paths.locks().join("membership"))?
        .ok_or_else(|| Failure::new("another join or leave of this node is running"))
}

/// Both files, written beside the old ones.
struct Files {
    node: Option<(Staged, String)>,
    cluster: Option<(Staged, String)>,
    /// Objects that are put aside first.
    aside: Vec<ObjectPath>,
    paths: Paths,
    _locks: [Locked; 2],
}

impl Files {
    /// Puts them in place. Each is whole at any moment; node.conf goes first, for it says nothing about members.
    fn commit(self) -> std::io::Result<()> {
        for path in &self.aside {
            put_aside(&self.paths, path)?;
        }
        let files = [&self.node, &self.cluster].into_iter().flatten();
        // The daemon takes another secret for a mistake, unless it was asked for.
        last_good::note_other_cluster(&self.paths, files.map(|(_, text)| text.as_str()))?;
        for (staged, _) in [self.node, self.cluster].into_iter().flatten() {
            staged.commit()?;
        }
        Ok(())
    }
}

/// The locks of whoever edits these files.
fn edit_locks(om: &Om) -> Result<[Locked; 2], Failure> {
    let lock = |target| Locked::take(&om.paths, &target, Writer::Command);
    Ok([lock(Target::Node)?, lock(Target::cluster())?])
}

/// A file as it lies there; empty without one.
fn read(file: &Path) -> Result<Ini, Failure> {
    let failed =
        |error: &dyn std::fmt::Display| Failure::new(format!("{}: {error}", file.display()));
    let bytes = match std::fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => vec![],
        Err(error) => return Err(failed(&error)),
    };
    Ini::from_bytes(&bytes).map_err(|error| failed(&error))
}

/// Asks to be taken in and prepares the files. When this fails, nothing has changed here; nor there, as far as that
/// could be told.
fn take_in(
    om: &Om,
    link: &Link,
    secret: &str,
    envelope: Option<EnvelopeChoice>,
    within: Duration,
) -> Result<Files, Failure> {
    // What cannot be read now is known before anybody is asked.
    let before = load::load_node(&om.paths, om.nodename.clone())?;
    read(&om.paths.node_conf())?;
    let (reply, dialect) = ask_to_join(link, secret, envelope, within)?;
    if status_of(&reply) != 0 {
        let lines = match Lines::of(&reply).errors {
            errors if errors.is_empty() => {
                vec![format!("refused with status {}", status_of(&reply))]
            }
            errors => errors,
        };
        return Err(Failure { lines, code: 1 });
    }
    let reply = JoinReply::from_value(&reply, &om.nodename)
        .map_err(|error| Failure::new(error.to_string()))?;
    let member = link.clone().as_guest(&reply.cluster_name(), secret).in_dialect(dialect);
    let mut staged = stage(om, &member, &reply, secret, dialect);
    if let (Ok(staged), false) = (&mut staged, is_member_already(&before, &reply)) {
        staged.aside = own_certificates(om, &before);
    }
    if staged.is_err() && !is_member_already(&before, &reply) {
        // The other side took us in for nothing.
        _ = member.ask(&Request::new(wire::Leave {}), Some(ANSWER));
    }
    if let (Ok(_), false) = (&staged, reply.is_shared()) {
        // Each member has a file of its own.
        for peer in reply.members().iter().filter(|peer| *peer != om.nodename.as_str()) {
            let asked = link.to_address(peer).map_err(Failure::from).and_then(|peer| {
                ask_to_join(&peer, secret, envelope, within).map(|(reply, _)| reply)
            });
            match asked {
                Ok(reply) if status_of(&reply) == 0 => {}
                Ok(reply) => complain(&format!("{peer}: {}", Lines::of(&reply).errors.join(", "))),
                Err(failure) => complain(&format!("{peer}: {}", failure.lines.join(", "))),
            }
        }
    }
    staged
}

fn is_member_already(before: &NodeSettings, reply: &JoinReply) -> bool {
    let id = reply.cluster.as_ref().and_then(|cluster| cluster.get("cluster")?.get("id")?.as_str());
    id == Some(before.cluster_id.as_str())
}

/// Asks in the dialect wanted, sealed unless another one is. Whoever stands between two nodes can refuse what is sealed:
/// the same question in the weaker dialect would be what they wait for.
fn ask_to_join(
    link: &Link,
    secret: &str,
    envelope: Option<EnvelopeChoice>,
    within: Duration,
) -> Result<(Value, Dialect), Failure> {
    let dialect = match envelope {
        Some(EnvelopeChoice::Sealed) | None => Dialect::Sealed,
        Some(EnvelopeChoice::Classic) => Dialect::Classic,
    };
    let link = link.clone().as_joiner(secret).in_dialect(dialect);
    // The node that is asked gives up first, and says why: else it would take us in when we are gone.
    let request = Request::new(wire::Join { timeout: within.min(LOCK_PATIENCE_THERE) });
    match link.ask(&request, Some(within.saturating_add(AFTER_LOCK))) {
        Ok(reply) if !reply.is_null() => Ok((reply, dialect)),
        Ok(_) | Err(AskError::Closed(_) | AskError::Reply(..)) => Err(distrusted(&link, dialect)),
        Err(AskError::Secret(reason)) => Err(Failure::new(format!(
            "the given secret cannot ask in {}: {reason}: it has to be the cluster.secret of the cluster to join",
            match dialect {
                Dialect::Sealed => "sealed",
                Dialect::Classic => "classic",
            }
        ))),
        Err(error) => Err(error.into()),
    }
}

fn distrusted(link: &Link, dialect: Dialect) -> Failure {
    let mut failure = Failure::new(format!(
        "{} does not take the request: the secret is not that of its cluster, its cluster.envelope does not allow \
         this dialect, or it has blacklisted this node (there: `om cluster get --kw cluster.secret`, `om daemon \
         blacklist status`)",
        link.server
    ));
    if dialect == Dialect::Sealed {
        failure.lines.push(
            "it was asked in sealed only: if it is a deployed agent, which speaks classic, say so by --envelope classic"
                .into(),
        );
    }
    failure
}

/// The cluster.conf of the joined node as it lies there, byte for byte, with its time: none when it does not say so.
fn original(om: &Om, member: &Link, secret: &str) -> Option<(String, f64)> {
    let request = Request::new(wire::ObjectConfig {
        path: ObjectPath::cluster().to_string(),
        format: "ini".into(),
        evaluate: false,
        impersonate: None,
    });
    for attempt in 0..FETCHES {
        if attempt > 0 {
            std::thread::sleep(Duration::from_millis(100));
        }
        let reply = member.ask(&request, Some(ANSWER)).ok()?;
        let text = reply.get("data").and_then(Value::as_str);
        let mtime = reply.get("mtime").and_then(Value::as_f64);
        if let (0, Some(text), Some(mtime)) = (status_of(&reply), text, mtime) {
            let ini = Ini::parse(text).ok()?;
            let nodes = ini.get("cluster", "nodes").unwrap_or_default();
            let is_ours = nodes
                .split_whitespace()
                .any(|node| node.eq_ignore_ascii_case(om.nodename.as_str()))
                && ini.get("cluster", "secret") == Some(secret);
            return is_ours.then(|| (text.to_owned(), mtime));
        }
    }
    None
}

/// Writes both files beside the old ones.
fn stage(
    om: &Om,
    member: &Link,
    reply: &JoinReply,
    secret: &str,
    dialect: Dialect,
) -> Result<Files, Failure> {
    let failed = |error: conf::JoinError| Failure::new(error.to_string());
    // As the joined node has it, with its comments: the same for all members, so that nobody has to fetch it again.
    let cluster = reply.cluster_conf(secret).map_err(failed)?.map(|written| {
        let original = original(om, member, secret).map(|(text, mtime)| (text, Some(mtime)));
        original.unwrap_or_else(|| (written.text().to_owned(), reply.mtime))
    });
    let locks = edit_locks(om)?;
    let [node_conf, cluster_conf] = &locks;
    let mut node = read(node_conf.file())?;
    let is_changed = conf::join_node_conf(&mut node, reply, dialect == Dialect::Classic);
    let node = if is_changed.map_err(failed)? {
        let text = node.text().to_owned();
        Some((node_conf.stage(&text, None)?, text))
    } else {
        None
    };
    let cluster = match cluster {
        None => None,
        Some((text, mtime)) => {
            let modified = mtime.and_then(|mtime| regular::file_time(Timestamp(mtime)));
            Some((cluster_conf.stage(&text, modified)?, text))
        }
    };
    Ok(Files { node, cluster, aside: vec![], paths: om.paths.clone(), _locks: locks })
}

/// The authority and the certificate of a node that was a cluster of its own. They may have the names of those of the cluster
/// that it joins, and be newer: all nodes would take them over, and none could open them, for they are sealed with the secret
/// that this node gives up.
fn own_certificates(om: &Om, before: &NodeSettings) -> Vec<ObjectPath> {
    if before.nodes != [om.nodename.clone()] {
        return vec![];
    }
    let own = before.ca.iter().chain(&before.cert);
    own.filter(|path| om.paths.config_file(path).exists()).cloned().collect()
}

/// Renames the file of an object, which then is none.
fn put_aside(paths: &Paths, path: &ObjectPath) -> std::io::Result<()> {
    let locked = Locked::take(paths, &Target::Object(path.clone()), Writer::Command)?;
    let mut kept = locked.file().as_os_str().to_owned();
    kept.push(".rej");
    std::fs::rename(locked.file(), &kept)?;
    note(&format!(
        "{path} was of this node alone: the cluster has its own, this one is kept in {}",
        Path::new(&kept).display()
    ));
    Ok(())
}

/// Waits, for a while, until the daemon goes by the new files: thawed before, it would start what it takes for its own, and
/// take the silence of members for their loss.
fn await_daemon(om: &Om) {
    let Ok(settings) = load::load_node(&om.paths, om.nodename.clone()) else { return };
    let members: Vec<&str> = settings.nodes.iter().map(NodeName::as_str).collect();
    let request =
        Request::new(wire::DaemonStatus { selector: None, namespace: None, relatives: false });
    let deadline = Instant::now() + FOLLOW_PATIENCE;
    while let Ok(link) = om.link(None)
        && let Ok(status) = link.ask(&request, Some(ANSWER))
        && status["cluster"]["nodes"] != Value::from(members.clone())
    {
        if Instant::now() >= deadline {
            return note("warning: the daemon does not follow its new configuration yet");
        }
        std::thread::sleep(FOLLOW_PAUSE);
    }
}

/// Starts what sends heartbeats: a leave that did not come to its end stopped it, and nothing else starts it again.
fn start_sending(link: &Link) {
    let start = wire::DaemonStart { thr_id: Some(thread::TX.to_owned()) };
    _ = link.ask(&Request::new(start), Some(ANSWER));
}

#[cfg(test)]
mod tests;
