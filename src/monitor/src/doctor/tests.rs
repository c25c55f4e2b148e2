use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::{NodeName, SecretUse, Verdict};

use super::*;

fn node(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

/// A member of a healthy cluster of three.
fn healthy() -> Facts {
    let members = ["n1", "n2", "n3"].map(node);
    let name = |name: &str| Name {
        name: name.to_owned(),
        keyword: format!("listener.addr@{name}"),
        error: None,
    };
    Facts {
        nodename: node("n1"),
        daemon: Daemon::Answers,
        members: members.to_vec(),
        has_quorum: true,
        arbitrators: BTreeMap::new(),
        heartbeats: BTreeMap::from([("hb#1".to_owned(), members.iter().cloned().collect())]),
        hearing: BTreeMap::from([(
            "hb#1".to_owned(),
            BTreeMap::from([(node("n2"), true), (node("n3"), true)]),
        )]),
        names: ["n1", "n2", "n3"].map(name).to_vec(),
        elsewhere: None,
        peers: ["n2", "n3"].map(|name| Peer { node: node(name), answer: Ok(Some(0.0)) }).to_vec(),
        replay_window: Duration::from_secs(30),
        port: Port { port: 1214, held: Held::Ours },
        secret_bytes: Some(32),
        secret_use: SecretUse::Sealed,
        missing_tools: vec![],
        mistakes: vec![],
        disks: vec![Disk {
            folder: "/var/lib/opensvc".to_owned(),
            size_bytes: 100 << 30,
            free_bytes: 50 << 30,
            free_files: Some(1 << 20),
        }],
        unwatched: None,
        certificates: vec![],
    }
}

/// What is found of an id: the verdicts and all texts.
fn of(id: &str, change: impl FnOnce(&mut Facts)) -> (Vec<Verdict>, String) {
    let mut facts = healthy();
    change(&mut facts);
    let found: Vec<_> = checks(&facts).into_iter().filter(|check| check.id == id).collect();
    for check in &found {
        let is_mended = check.verdict == Verdict::Pass || !check.remedy.is_empty();
        assert!(is_mended, "a remedy for {check:?}");
    }
    let texts = found.iter().map(|check| format!("{} | {}", check.what, check.remedy));
    (found.iter().map(|check| check.verdict).collect(), texts.collect::<Vec<_>>().join("\n"))
}

/// That a change of healthy facts is found, by one line that says so.
fn is_found(id: &str, verdict: Verdict, says: &str, change: impl FnOnce(&mut Facts)) {
    assert_eq!(of(id, |_| {}).0.iter().filter(|it| **it != Verdict::Pass).count(), 0, "{id}");
    let (verdicts, text) = of(id, change);
    assert_eq!(verdicts, [verdict], "{text}");
    assert!(text.contains(says), "{says}: {text}");
}

#[test]
fn a_healthy_node_passes_everything_that_can_be_told_of_it() {
    let found = checks(&healthy());
    let ids: Vec<&str> = found.iter().map(|check| check.id.as_str()).collect();
    assert_eq!(
        ids,
        [
            "daemon",
            "configuration",
            "secret",
            "port",
            "heartbeat",
            "names",
            "peers",
            "clock",
            "quorum",
            "tools",
            "disk",
            "watches"
        ]
    );
    assert!(found.iter().all(|check| check.verdict == Verdict::Pass), "{found:?}");
}

#[test]
fn a_daemon_that_does_not_run_or_answer_is_found() {
    is_found("daemon", Verdict::Fail, "om daemon start", |facts| facts.daemon = Daemon::Stopped);
    is_found("daemon", Verdict::Fail, "pid 42", |facts| facts.daemon = Daemon::Silent { pid: 42 });
    let unseen = Daemon::Unseen { reason: "permission denied".to_owned() };
    is_found("daemon", Verdict::Warn, "permission denied", |facts| facts.daemon = unseen);
}

#[test]
fn a_cluster_without_heartbeat_and_a_member_that_none_hears_are_found() {
    is_found("heartbeat", Verdict::Fail, "hb#1.type=unicast", |facts| facts.heartbeats.clear());
    is_found("heartbeat", Verdict::Fail, "hb#1 does not hear n2", |facts| {
        facts.hearing.get_mut("hb#1").unwrap().insert(node("n2"), false);
    });
    // Another one does.
    is_found("heartbeat", Verdict::Warn, "hb#2 does not hear n2", |facts| {
        facts.hearing.insert("hb#2".to_owned(), BTreeMap::from([(node("n2"), false)]));
    });
    is_found("heartbeat", Verdict::Fail, "between this node and n3", |facts| {
        let nodes = BTreeSet::from([node("n1"), node("n2")]);
        facts.heartbeats.insert("hb#1".to_owned(), nodes);
    });
    let alone = |facts: &mut Facts| {
        facts.members = vec![node("n1")];
        facts.heartbeats.clear();
        facts.hearing.clear();
    };
    assert_eq!(of("heartbeat", alone).0, [Verdict::Pass], "nobody is to be heard");
}

#[test]
fn a_name_that_does_not_resolve_is_found_with_the_keyword_that_replaces_it() {
    is_found("names", Verdict::Warn, "to the other members n1 is 10.0.0.9", |facts| {
        facts.elsewhere = Some(("n1".to_owned(), [10, 0, 0, 9].into()));
    });
    is_found("names", Verdict::Fail, "listener.addr@n2", |facts| {
        facts.names[1].error = Some("Name or service not known".to_owned());
    });
}

#[test]
fn a_member_whose_port_is_closed_is_found_and_one_alone_has_none_to_ask() {
    is_found("peers", Verdict::Fail, "n3 does not answer: connection refused", |facts| {
        facts.peers[1].answer = Err("connection refused".to_owned());
    });
    assert_eq!(of("peers", |facts| facts.peers.clear()).0, []);
}

#[test]
fn clocks_that_differ_are_found_on_both_sides_of_each_bound() {
    let set = |ahead: f64| move |facts: &mut Facts| facts.peers[0].answer = Ok(Some(ahead));
    for ahead in [1.0, -1.0] {
        assert_eq!(of("clock", set(ahead)).0, [Verdict::Pass], "{ahead}");
    }
    is_found("clock", Verdict::Warn, "n2 is 1.1 s ahead of", set(1.1));
    is_found("clock", Verdict::Warn, "n2 is 30.0 s behind", set(-30.0));
    is_found("clock", Verdict::Fail, "n2 is 30.1 s behind", set(-30.1));
}

#[test]
fn a_split_that_nobody_wins_or_that_both_win_is_found() {
    is_found("quorum", Verdict::Warn, "quorum is off", |facts| facts.has_quorum = false);
    let two = |facts: &mut Facts| facts.members.truncate(2);
    is_found("quorum", Verdict::Fail, "two nodes without an arbitrator", two);
    is_found("quorum", Verdict::Warn, "add an arbitrator", |facts| {
        two(facts);
        facts.has_quorum = false;
    });
    let arbitrated = |facts: &mut Facts| {
        two(facts);
        facts.arbitrators.insert("arbitrator#1".to_owned(), Some(true));
    };
    assert_eq!(of("quorum", arbitrated).0, [Verdict::Pass]);
    is_found("quorum", Verdict::Warn, "split in halves", |facts| facts.members.push(node("n4")));
    assert_eq!(of("arbitrator", arbitrated).0, [Verdict::Pass]);
    is_found("arbitrator", Verdict::Warn, "arbitrator#1 does not answer", |facts| {
        facts.arbitrators.insert("arbitrator#1".to_owned(), Some(false));
    });
}

#[test]
fn a_secret_that_is_missing_or_short_is_found_and_never_shown() {
    is_found("secret", Verdict::Fail, "not set", |facts| facts.secret_bytes = None);
    is_found("secret", Verdict::Fail, "has 15 bytes", |facts| facts.secret_bytes = Some(15));
    is_found("secret", Verdict::Warn, "rotate secret", |facts| facts.secret_bytes = Some(31));
    is_found("secret", Verdict::Fail, "16, 24, or at least 32", |facts| {
        facts.secret_bytes = Some(31);
        facts.secret_use = SecretUse::Classic;
    });
}

#[test]
fn a_missing_tool_fails_who_needs_it_and_is_told_where_nobody_asked() {
    let tool = |tool: &str, resource: &str, is_required| Tool {
        tool: tool.to_owned(),
        is_required,
        resource: resource.to_owned(),
    };
    is_found("tools", Verdict::Fail, "rsync is missing, which web sync#1 and 1 more", |facts| {
        facts.missing_tools =
            vec![tool("rsync", "web sync#1", true), tool("rsync", "db sync#i0", false)];
    });
    is_found("tools", Verdict::Warn, "db sync#i0 would use", |facts| {
        facts.missing_tools = vec![tool("rsync", "db sync#i0", false)];
    });
}

#[test]
fn mistakes_are_one_line_for_each_file_the_worst_first() {
    let mistake = |command: &str, text: &str, is_error| Mistake {
        command: command.to_owned(),
        text: text.to_owned(),
        is_error,
    };
    let web = "om web validate config";
    is_found("configuration", Verdict::Fail, "line 4: bad, and 1 more", |facts| {
        facts.mistakes =
            vec![mistake(web, "line 2: odd", false), mistake(web, "line 4: bad", true)];
    });
    is_found("configuration", Verdict::Warn, "line 2: odd | om web validate config", |facts| {
        facts.mistakes = vec![mistake(web, "line 2: odd", false)];
    });
    let two = |facts: &mut Facts| {
        let db = "om db validate config";
        facts.mistakes = vec![mistake(web, "odd", false), mistake(db, "bad", true)];
    };
    assert_eq!(of("configuration", two).0, [Verdict::Fail, Verdict::Warn]);
}

#[test]
fn a_port_that_is_not_the_daemons_is_found() {
    is_found("port", Verdict::Fail, "does not listen", |facts| facts.port.held = Held::Free);
    let other = || Held::Other { who: "pid 7 (nginx)".to_owned() };
    is_found("port", Verdict::Fail, "pid 7 (nginx)", |facts| facts.port.held = other());
    let stopped = |held: Held| {
        move |facts: &mut Facts| {
            facts.daemon = Daemon::Stopped;
            facts.port.held = held;
        }
    };
    assert_eq!(of("port", stopped(Held::Free)).0, [Verdict::Pass]);
    assert_eq!(of("port", stopped(Held::Ours)).0, [Verdict::Fail], "nobody of ours runs");
}

#[test]
fn a_disk_that_is_nearly_full_or_full_is_found() {
    is_found("disk", Verdict::Warn, "less than 5 %", |facts| facts.disks[0].free_bytes = 4 << 30);
    is_found("disk", Verdict::Fail, "63 MiB", |facts| facts.disks[0].free_bytes = 63 << 20);
    is_found("disk", Verdict::Fail, "only 999 more files", |facts| {
        facts.disks[0].free_files = Some(999);
    });
    let small = |facts: &mut Facts| {
        facts.disks[0].size_bytes = 60 << 20;
        facts.disks[0].free_bytes = 50 << 20;
        facts.disks[0].free_files = None;
    };
    assert_eq!(of("disk", small).0, [Verdict::Pass], "it is small by itself");
}

#[test]
fn watches_that_are_exhausted_are_found() {
    is_found("watches", Verdict::Warn, "max_user_watches", |facts| {
        facts.unwatched = Some("no space left on device".to_owned());
    });
}

#[test]
fn a_certificate_that_ended_or_is_about_to_is_found() {
    let ends = |days: f64| {
        move |facts: &mut Facts| {
            facts.certificates = vec![Certificate {
                path: "test/sec/tls".to_owned(),
                key: "certificate".to_owned(),
                seconds_left: days * 86_400.0,
                told_seconds: 7.0 * 86_400.0,
                remedy: "om test/sec/tls gen cert".to_owned(),
            }];
        }
    };
    assert_eq!(of("certificate", ends(7.1)).0, [Verdict::Pass]);
    is_found("certificate", Verdict::Warn, "ends in 6.9 days", ends(6.9));
    is_found("certificate", Verdict::Fail, "has ended", ends(0.0));
}
