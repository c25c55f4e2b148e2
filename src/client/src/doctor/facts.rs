//! What the doctor looks at: this machine, its files, its daemon, and the daemons of the other members.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, ToSocketAddrs as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use certs::Standing;
use conf::peer_address::PeerAddress;
use conf::{NodeSettings, Severity};
use dataset::keys;
use drivers::tools;
use files::certificates::{CERTIFICATE, CHAIN, Store};
use files::edit::Target as Owner;
use files::{in_force, load, read};
use link::holder;
use link::link::Link;
use link::link::error::AskError;
use machine::{clock, daemon_lock, watching};
use model::{NodeName, ObjectPath, SecretUse, Timestamp, thread};
use monitor::doctor::{Certificate, Daemon, Disk, Facts, Held, Mistake, Name, Peer, Port, Tool};
use serde_json::Value;
use wire::Request;

use crate::config_edit;
use crate::om::{ANSWER, Om};

/// Looks at everything. What cannot be seen is absent.
pub(super) fn gather(om: &Om) -> Facts {
    let settings = in_force::load_node_in_force(&om.paths, &om.nodename);
    let (daemon, status) = daemon(om);
    let called = called(&settings);
    let (names, peers) = std::thread::scope(|scope| {
        let resolving: Vec<_> = called
            .iter()
            .map(|(name, keyword)| scope.spawn(move || resolve(name, keyword)))
            .collect();
        let names: Vec<Name> = resolving.into_iter().filter_map(|name| name.join().ok()).collect();
        let unknown: BTreeSet<&str> = names
            .iter()
            .filter(|name| name.error.is_some())
            .map(|name| name.name.as_str())
            .collect();
        let link = om.link(None).ok();
        let others = settings.nodes.iter().filter(|node| **node != om.nodename);
        let is_known = |node: &&NodeName| {
            !unknown.contains(PeerAddress::of(&settings.conf, node).host.as_str())
        };
        let asking: Vec<_> = others
            .filter(is_known)
            .filter_map(|node| Some((node, link.as_ref()?.to_node(node.as_str()))))
            .map(|(node, link)| (node, scope.spawn(move || ask(&link))))
            .collect();
        let answered = |(node, asked): (&NodeName, std::thread::ScopedJoinHandle<'_, _>)| Peer {
            node: node.clone(),
            answer: asked.join().unwrap_or_else(|_| Err("it could not be asked".to_owned())),
        };
        let peers: Vec<Peer> = asking.into_iter().map(answered).collect();
        (names, peers)
    });
    let paths = read::list_objects(&om.paths).into_keys().collect::<Vec<_>>();
    Facts {
        nodename: om.nodename.clone(),
        members: settings.nodes.clone(),
        has_quorum: settings.quorum,
        arbitrators: arbitrators(&settings, &status),
        heartbeats: settings
            .heartbeats
            .iter()
            .map(|section| (section.name.clone(), section.nodes.iter().cloned().collect()))
            .collect(),
        hearing: hearing(&settings, &status),
        names,
        elsewhere: elsewhere(&settings),
        peers,
        replay_window: settings.listener.replay_window,
        port: Port { port: settings.listener.port, held: held(&settings, &daemon, &status) },
        secret_bytes: settings.secret.as_ref().map(|secret| secret.expose().len()),
        secret_use: match settings.envelope {
            conf::Envelope::Sealed => SecretUse::Sealed,
            conf::Envelope::Any | conf::Envelope::Classic => SecretUse::Classic,
        },
        missing_tools: missing_tools(om, &settings, &paths),
        mistakes: mistakes(om, &paths),
        disks: disks(om),
        unwatched: watching::refusal(&om.paths.etc),
        certificates: certificates(om, &settings, &paths),
        daemon,
    }
}

/// The daemon, and what it tells of itself and the nodes; null where it tells nothing.
fn daemon(om: &Om) -> (Daemon, Value) {
    let pid = match daemon_lock::running_pid(&om.paths) {
        Ok(Some(pid)) => pid,
        Ok(None) => return (Daemon::Stopped, Value::Null),
        Err(error) => return (Daemon::Unseen { reason: error.to_string() }, Value::Null),
    };
    let request = Request::new(wire::DaemonStatus {
        // Of the objects, the smallest.
        selector: Some(ObjectPath::cluster().to_string()),
        namespace: None,
        relatives: false,
    });
    let asked = om.link(None).map(|link| link.ask(&request, Some(ANSWER)));
    match asked {
        Ok(Ok(status)) => (Daemon::Answers, status),
        Ok(Err(error @ AskError::Denied(_))) => {
            (Daemon::Unseen { reason: error.to_string() }, Value::Null)
        }
        Ok(Err(_)) | Err(_) => (Daemon::Silent { pid }, Value::Null),
    }
}

/// The names that this node calls, each with the keyword that has an address in its place.
fn called(settings: &NodeSettings) -> BTreeMap<String, String> {
    let mut called = BTreeMap::new();
    let mut add = |host: &str, keyword: String| {
        if !host.is_empty() && host.parse::<std::net::IpAddr>().is_err() {
            called.entry(host.to_owned()).or_insert(keyword);
        }
    };
    let others = || settings.nodes.iter().filter(|node| **node != settings.nodename);
    for peer in others() {
        add(&PeerAddress::of(&settings.conf, peer).host, format!("listener.addr@{peer}"));
    }
    let own = &settings.listener.addr;
    if own != "::" {
        add(own, format!("listener.addr@{}", settings.nodename));
    }
    for heartbeat in &settings.heartbeats {
        for (peer, (host, _)) in heartbeat.peers.iter().filter(|_| heartbeat.kind == "unicast") {
            if *peer != settings.nodename {
                add(host, format!("{}.addr@{peer}", heartbeat.name));
            }
        }
        if let Some(relay) = heartbeat.keywords.get("relay") {
            add(&host_of(relay), format!("{}.relay", heartbeat.name));
        }
    }
    for arbitrator in settings.arbitrators.iter().filter(|_| settings.quorum) {
        add(&host_of(&arbitrator.host), format!("{}.name", arbitrator.name));
    }
    called
}

/// The host of `host[:port]`.
fn host_of(text: &str) -> String {
    PeerAddress::parse(text).map_or_else(|_| text.to_owned(), |address| address.host)
}

fn resolve(name: &str, keyword: &str) -> Name {
    let found = (name, 0).to_socket_addrs().map(|mut addresses| addresses.next());
    let error = match found {
        Ok(Some(_)) => None,
        Ok(None) => Some("it has no address".to_owned()),
        Err(error) => Some(error.to_string()),
    };
    Name { name: name.to_owned(), keyword: keyword.to_owned(), error }
}

/// Where the others look for this node, if nothing can listen there. Not asked of one that is alone.
fn elsewhere(settings: &NodeSettings) -> Option<(String, IpAddr)> {
    if settings.nodes.len() < 2 {
        return None;
    }
    let host = PeerAddress::of(&settings.conf, &settings.nodename).host;
    let addresses = (host.as_str(), 0).to_socket_addrs().ok()?;
    let addresses: Vec<IpAddr> = addresses.map(|address| address.ip()).collect();
    let is_here = |address: &IpAddr| match std::net::UdpSocket::bind((*address, 0)) {
        Ok(_) => true,
        Err(error) => error.kind() != std::io::ErrorKind::AddrNotAvailable,
    };
    let first = *addresses.first()?;
    (!addresses.iter().any(is_here)).then_some((host, first))
}

/// Asks the daemon of another member what time it is there.
fn ask(link: &Link) -> Result<Option<f64>, String> {
    let request = Request::new(wire::DaemonStats {
        selector: Some(ObjectPath::cluster().to_string()),
        namespace: None,
    });
    let before = clock::now();
    let reply = link.ask(&request, Some(ANSWER)).map_err(|error| error.to_string())?;
    let after = clock::now();
    let there = reply.pointer("/data/timestamp").and_then(Value::as_f64);
    Ok(there.map(|there| ahead(before, Timestamp(there), after)))
}

/// By how much a clock that was read between two moments is ahead at least.
fn ahead(before: Timestamp, there: Timestamp, after: Timestamp) -> f64 {
    if there.0 > after.0 { there.0 - after.0 } else { (there.0 - before.0).min(0.0) }
}

/// The arbitrators, and whether the daemon reaches them.
fn arbitrators(settings: &NodeSettings, status: &Value) -> BTreeMap<String, Option<bool>> {
    let told = &status["monitor"]["nodes"][settings.nodename.as_str()]["arbitrators"];
    let is_reached = |name: &str| Some(told.get(name)?.get("status")?.as_str()? == "up");
    let arbitrators = settings.arbitrators.iter();
    arbitrators.map(|one| (one.name.clone(), is_reached(&one.name))).collect()
}

/// Whom each heartbeat of the configuration hears.
fn hearing(settings: &NodeSettings, status: &Value) -> BTreeMap<String, BTreeMap<NodeName, bool>> {
    let mut hearing = BTreeMap::new();
    for section in &settings.heartbeats {
        let block = &status[format!("{}.{}", section.name, thread::RX)];
        if !block.is_object() {
            continue;
        }
        let others = section.nodes.iter().filter(|node| **node != settings.nodename);
        let hears = |node: &NodeName| block["peers"][node.as_str()]["beating"] == true;
        let peers = others.map(|node| (node.clone(), hears(node))).collect();
        hearing.insert(section.name.clone(), peers);
    }
    hearing
}

/// Who listens on the port of the daemon.
fn held(settings: &NodeSettings, daemon: &Daemon, status: &Value) -> Held {
    let listener = &settings.listener;
    let is_running = matches!(daemon, Daemon::Answers);
    if is_running && status["listener"]["config"].is_object() {
        return Held::Ours;
    }
    if !holder::is_taken(&listener.addr, listener.port) {
        return Held::Free;
    }
    let holders = holder::holders(listener.port);
    match holders.first() {
        Some((pid, command)) => Held::Other { who: format!("pid {pid} ({command})") },
        // Somebody who cannot be seen: a daemon that runs, if one does.
        None if is_running => Held::Other { who: "another process".to_owned() },
        None => Held::Ours,
    }
}

fn missing_tools(om: &Om, settings: &NodeSettings, paths: &[ObjectPath]) -> Vec<Tool> {
    let host = drivers::command_host(Arc::new(om.paths.clone()), Arc::new(settings.clone()));
    let with_resources = paths.iter().filter(|path| path.kind().has_instances());
    with_resources
        .filter_map(|path| load::load_object(&om.paths, settings, path).ok())
        .flat_map(|object| tools::missing(&host, &object))
        .collect()
}

/// What is wrong with the files of the node, its cluster and its objects.
fn mistakes(om: &Om, paths: &[ObjectPath]) -> Vec<Mistake> {
    let of_node = load::unreadable_node_files(&om.paths, &om.nodename);
    if !of_node.is_empty() {
        let unread = |complaint: conf::Complaint| Mistake {
            command: "om node validate config".to_owned(),
            text: complaint.to_string(),
            is_error: true,
        };
        // Nothing else can be judged without them.
        return of_node.into_iter().map(unread).collect();
    }
    // Those of cluster.conf are told of node.conf too, which is read over it.
    let owners = [Owner::cluster(), Owner::Node].into_iter();
    let mut told = BTreeSet::new();
    let objects = paths.iter().filter(|path| **path != ObjectPath::cluster());
    let mut found = vec![];
    for owner in owners.chain(objects.cloned().map(Owner::Object)) {
        let command = format!("om {} validate config", owner.words());
        match config_edit::complaints(om, &owner) {
            Ok(complaints) => {
                for complaint in complaints.into_iter().filter(|it| it.severity > Severity::Notice)
                {
                    let text = complaint.to_string();
                    if told.insert(text.clone()) {
                        let is_error = complaint.severity == Severity::Error;
                        found.push(Mistake { command: command.clone(), text, is_error });
                    }
                }
            }
            Err(failure) => {
                found.push(Mistake { command, text: failure.lines.join(", "), is_error: true });
            }
        }
    }
    found
}

/// The file systems of the folders of the agent, each once.
fn disks(om: &Om) -> Vec<Disk> {
    let paths = &om.paths;
    let mut seen = BTreeSet::new();
    let mut is_new = |folder: &&&Path| folder.metadata().is_ok_and(|is| seen.insert(is.dev()));
    let folders: [&Path; 4] = [&paths.var, &paths.etc, &paths.log, &paths.tmp];
    let disk = |folder: &&Path| {
        let room = rustix::fs::statvfs(*folder).ok()?;
        Some(Disk {
            folder: folder.display().to_string(),
            size_bytes: room.f_blocks.saturating_mul(room.f_frsize),
            free_bytes: room.f_bavail.saturating_mul(room.f_frsize),
            // Some make files as they need them, and count none.
            free_files: (room.f_files > 0).then_some(room.f_favail),
        })
    };
    folders.iter().filter(|folder| is_new(folder)).filter_map(disk).collect()
}

/// The certificates among the keys of this node. What does not open is no finding: `om PATH decode` tells.
fn certificates(om: &Om, settings: &NodeSettings, paths: &[ObjectPath]) -> Vec<Certificate> {
    let store = Store { paths: &om.paths, node: settings };
    let now = clock::now();
    let mut found = vec![];
    for path in paths.iter().filter(|path| keys::has_keys(path.kind())) {
        let Ok(conf) = store.read(path) else { continue };
        let names = keys::names(conf.ini());
        // The chain has what these have.
        let is_twice = |key: &str| {
            matches!(key, CERTIFICATE | "fullpem") && names.iter().any(|name| name == CHAIN)
        };
        for key in names.iter().filter(|key| !is_twice(key.as_str())) {
            let Ok(Some(text)) = store.key(&conf, key) else { continue };
            // A chain is good until its first link ends.
            let chain = certs::certificates(&text).unwrap_or_default();
            let end = |it: &certs::Certificate| it.end().0;
            let Some(first) = chain.iter().min_by(|a, b| end(a).total_cmp(&end(b))) else {
                continue;
            };
            let standing = store.standing(&conf, first);
            found.push(Certificate {
                path: path.to_string(),
                key: key.clone(),
                seconds_left: first.end().since(now),
                told_seconds: certs::told_before(first, standing),
                remedy: match standing {
                    Standing::Renewable => format!("om {path} gen cert"),
                    Standing::Authority => format!(
                        "another authority: `om {path} gen cert`, then `gen cert` for all that it signed, and its \
                         certificate to those who trust it"
                    ),
                    Standing::Foreign => format!("om {path} change --key {key} --from FILE"),
                },
            });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_ahead_by_what_the_way_of_the_question_does_not_explain() {
        let ahead = |there: f64| ahead(Timestamp(10.0), Timestamp(there), Timestamp(12.0));
        for (there, by) in [(10.0, 0.0), (11.0, 0.0), (12.0, 0.0), (15.0, 3.0), (6.0, -4.0)] {
            assert_eq!(ahead(there).to_bits(), f64::to_bits(by), "{there}");
        }
    }

    #[test]
    fn names_are_those_that_are_called_and_have_no_address_in_their_place() {
        let cluster = "[cluster]\nnodes = n1 n2 n3\nquorum = true\n[listener]\naddr@n2 = 192.0.2.2\n\
                       [hb#1]\ntype = unicast\naddr@n2 = hb-n2\naddr@n3 = 192.0.2.3\n\
                       [arbitrator#1]\nname = far.example:1215\nsecret = 0123456789abcdef\n";
        let node = NodeName::new("n1").unwrap();
        let settings = NodeSettings::parse(node, cluster, "").unwrap();
        let pairs = [
            ("far.example", "arbitrator#1.name"),
            ("hb-n2", "hb#1.addr@n2"),
            ("n3", "listener.addr@n3"),
        ];
        let expected: BTreeMap<String, String> =
            pairs.map(|(name, keyword)| (name.to_owned(), keyword.to_owned())).into();
        assert_eq!(called(&settings), expected);
    }

    #[test]
    fn who_is_heard_is_told_by_the_daemon_and_nothing_is_told_without_one() {
        let cluster = "[cluster]\nnodes = n1 n2 n3\n[hb#1]\ntype = unicast\n[hb#2]\ntype = unicast\nport = 10001\n";
        let node = |name: &str| NodeName::new(name).unwrap();
        let settings = NodeSettings::parse(node("n1"), cluster, "").unwrap();
        let status = serde_json::json!({
            "hb#1.rx": {"peers": {"n1": {}, "n2": {"beating": true}, "n3": {}}},
        });
        let heard = BTreeMap::from([(node("n2"), true), (node("n3"), false)]);
        assert_eq!(hearing(&settings, &status), BTreeMap::from([("hb#1".to_owned(), heard)]));
        assert_eq!(hearing(&settings, &Value::Null), BTreeMap::new());
    }
}
