use std::collections::BTreeMap;

use model::Timestamp;

use super::*;

fn node(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

fn entry(csum: &str, updated: f64, scope: &str) -> ConfigEntry {
    ConfigEntry {
        updated: Timestamp(updated),
        csum: csum.to_owned(),
        scope: scope.split_whitespace().map(node).collect(),
    }
}

/// The verdict of n1, as `keep`, `fetch n2`, .. The others are idle members.
fn verdict(own: Option<&ConfigEntry>, others: &[(&str, &ConfigEntry)]) -> String {
    verdict_at(own, others, Some(&NodeMonitorStatus::Idle))
}

fn verdict_at(
    own: Option<&ConfigEntry>,
    others: &[(&str, &ConfigEntry)],
    status: Option<&NodeMonitorStatus>,
) -> String {
    let n1 = node("n1");
    let voter = Voter { node: &n1, entry: own, is_drp: false, is_cluster: false };
    let names: Vec<NodeName> = others.iter().map(|(name, _)| node(name)).collect();
    let copies = names.iter().zip(others).map(|(node, (_, entry))| Copy {
        node,
        entry,
        status,
        is_drp: node.as_str().starts_with('d'),
    });
    match elect(&voter, copies) {
        Verdict::Keep => "keep".to_owned(),
        Verdict::Fetch(node) => format!("fetch {node}"),
        Verdict::Leave(node) => format!("leave {node}"),
        Verdict::Vacate(node) => format!("vacate {node}"),
        Verdict::Hold(node) => format!("hold {node}"),
    }
}

#[test]
fn the_newest_copy_with_other_bytes_counts_and_the_first_of_equal_ones() {
    let own = entry("a", 10.0, "n1 n2 n3");
    let newer = entry("b", 11.0, "n1 n2 n3");
    let newest = entry("c", 12.0, "n1 n2 n3");
    let touched = entry("a", 99.0, "n1 n2 n3");
    let older = entry("z", 9.0, "n1 n2 n3");
    assert_eq!(verdict(Some(&own), &[]), "keep");
    assert_eq!(verdict(Some(&own), &[("n2", &older), ("n3", &touched)]), "keep");
    assert_eq!(verdict(Some(&own), &[("n2", &newer), ("n3", &newest)]), "fetch n3");
    assert_eq!(verdict(Some(&own), &[("n2", &newest), ("n3", &newest)]), "fetch n2");
}

#[test]
fn of_copies_of_the_same_time_the_greater_checksum_counts_everywhere_but_for_the_cluster() {
    let (a, b) = (entry("a", 10.0, "n1 n2"), entry("b", 10.0, "n1 n2"));
    assert_eq!(verdict(Some(&a), &[("n2", &b)]), "fetch n2");
    assert_eq!(verdict(Some(&b), &[("n2", &a)]), "keep");
    let (n1, n2) = (node("n1"), node("n2"));
    let voter = Voter { node: &n1, entry: Some(&a), is_drp: false, is_cluster: true };
    let copy = Copy { node: &n2, entry: &b, status: Some(&NodeMonitorStatus::Idle), is_drp: false };
    assert_eq!(elect(&voter, [copy]), Verdict::Keep);
}

#[test]
fn without_a_file_only_copies_for_this_node_are_considered() {
    let ours = entry("a", 10.0, "n1 n2");
    let theirs = entry("b", 20.0, "n2 n3");
    assert_eq!(verdict(None, &[("n3", &theirs)]), "keep");
    assert_eq!(verdict(None, &[("n2", &ours), ("n3", &theirs)]), "fetch n2");
    assert_eq!(verdict(None, &[("n2", &entry("x", 0.0, "n1"))]), "keep");
    assert_eq!(verdict(None, &[("n2", &entry("x", f64::NAN, "n1"))]), "keep");
}

#[test]
fn a_newer_copy_for_others_makes_the_local_one_leave_unless_its_node_starts_or_stops() {
    let own = entry("a", 10.0, "n1 n2");
    let moved = entry("b", 11.0, "n2 n3");
    assert_eq!(verdict(Some(&own), &[("n2", &moved)]), "leave n2");
    use NodeMonitorStatus::{Init, Maintenance, Rejoin, Upgrade};
    for status in [Init, Rejoin, Upgrade, Maintenance] {
        assert_eq!(verdict_at(Some(&own), &[("n2", &moved)], Some(&status)), "hold n2");
    }
    assert_eq!(verdict_at(Some(&own), &[("n2", &moved)], None), "hold n2");
    // A scope that could not be evaluated says nothing.
    assert_eq!(verdict(Some(&own), &[("n2", &entry("b", 11.0, ""))]), "fetch n2");
    assert_eq!(verdict(Some(&own), &[("n2", &entry("b", 9.0, "n2"))]), "keep");
}

#[test]
fn the_configuration_of_the_cluster_is_never_deleted() {
    let (n1, n2) = (node("n1"), node("n2"));
    let (own, moved) = (entry("a", 10.0, "n1 n2"), entry("b", 11.0, "n2"));
    let voter = Voter { node: &n1, entry: Some(&own), is_drp: false, is_cluster: true };
    let copy =
        Copy { node: &n2, entry: &moved, status: Some(&NodeMonitorStatus::Idle), is_drp: false };
    assert_eq!(elect(&voter, [copy]), Verdict::Hold(&n2));
}

#[test]
fn a_member_does_not_follow_the_recovery_site() {
    let own = entry("a", 10.0, "d1 n1");
    let newer = entry("b", 11.0, "d1 n1");
    assert_eq!(verdict(Some(&own), &[("d1", &newer)]), "hold d1");
    let (d2, d1) = (node("d2"), node("d1"));
    let voter = Voter { node: &d2, entry: Some(&own), is_drp: true, is_cluster: false };
    let newer = entry("b", 11.0, "d1 d2 n1");
    let copy =
        Copy { node: &d1, entry: &newer, status: Some(&NodeMonitorStatus::Idle), is_drp: true };
    assert_eq!(elect(&voter, [copy]), Verdict::Fetch(&d1));
}

#[test]
fn an_instance_that_is_deleted_or_purged_is_leaving() {
    let plain = InstanceMonitor::default();
    assert!(!is_leaving(&plain));
    for status in [MonitorStatus::Purging, MonitorStatus::Deleting] {
        assert!(is_leaving(&InstanceMonitor { status, ..plain.clone() }));
    }
    for target in [GlobalExpect::Purged, GlobalExpect::Deleted] {
        assert!(is_leaving(&InstanceMonitor { global_expect: Some(target), ..plain.clone() }));
    }
}

/// A small generator: the sequence of a seed is the same everywhere.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Nodes that edit at will, hear of each other late, and fetch what they elect.
struct Cluster {
    names: Vec<NodeName>,
    /// The file of each node.
    files: Vec<Option<ConfigEntry>>,
    /// What each node last heard of each.
    heard: Vec<BTreeMap<usize, ConfigEntry>>,
}

impl Cluster {
    fn step(&mut self, at: usize) {
        let idle = NodeMonitorStatus::Idle;
        let voter = Voter {
            node: &self.names[at],
            entry: self.files[at].as_ref(),
            is_drp: false,
            is_cluster: false,
        };
        let copies = self.heard[at].iter().map(|(peer, entry)| Copy {
            node: &self.names[*peer],
            entry,
            status: Some(&idle),
            is_drp: false,
        });
        let peer = match elect(&voter, copies) {
            Verdict::Fetch(peer) => peer.clone(),
            Verdict::Leave(_) | Verdict::Vacate(_) => {
                self.files[at] = None;
                return;
            }
            Verdict::Keep | Verdict::Hold(_) => return,
        };
        let peer = self.names.iter().position(|name| *name == peer).unwrap();
        // What is fetched is what lies there now, not what was heard of.
        if let Some(file) = self.files[peer].clone()
            && self.files[at].as_ref().is_none_or(|own| goes_before(&file, Some(own), false))
        {
            self.files[at] = Some(file);
        }
    }

    fn hear(&mut self, at: usize, of: usize) {
        match &self.files[of] {
            Some(file) => self.heard[at].insert(of, file.clone()),
            None => self.heard[at].remove(&of),
        };
    }
}

#[test]
fn all_nodes_end_with_the_same_file_whatever_they_edited_and_heard() {
    for seed in 0..3_000 {
        let mut draw = Draw(seed);
        let count = 2 + draw.below(5) as usize;
        let names: Vec<NodeName> = (0..count).map(|n| node(&format!("n{n}"))).collect();
        let all: Vec<String> = names.iter().map(ToString::to_string).collect();
        let all = all.join(" ");
        let mut cluster =
            Cluster { names, files: vec![None; count], heard: vec![BTreeMap::new(); count] };
        let mut clock = 100.0;
        for number in 0..20 + draw.below(60) {
            let (at, of) = (draw.below(count as u64) as usize, draw.below(count as u64) as usize);
            match draw.below(4) {
                // Clocks differ, and several edits may carry the same time.
                0 => {
                    clock += [0.0, 0.5, 1.0][draw.below(3) as usize];
                    let own = cluster.files[at].as_ref().map_or(0.0, |file| file.updated.0);
                    let skew = draw.below(3) as f64;
                    let time = (clock + skew).max(own);
                    cluster.files[at] = Some(entry(&format!("{number:03}"), time, &all));
                }
                1 if at != of => cluster.hear(at, of),
                _ => cluster.step(at),
            }
        }
        // The faults stop: everybody hears everybody, as often as it takes for the last change to go round.
        for _ in 0..2 {
            for at in 0..count {
                for of in (0..count).filter(|of| *of != at) {
                    cluster.hear(at, of);
                }
                cluster.step(at);
            }
        }
        let first = &cluster.files[0];
        assert!(cluster.files.iter().all(|file| file == first), "seed {seed}: {:?}", cluster.files);
    }
}

#[test]
fn a_copy_that_is_for_others_is_left_over_where_one_of_them_has_it_and_reads_it_alike() {
    // The labels changed, not the file.
    let (own, theirs) = (entry("a", 10.0, "n2 n3"), entry("a", 10.0, "n2 n3"));
    assert_eq!(verdict(Some(&own), &[("n2", &theirs)]), "vacate n2");
    assert_eq!(verdict(Some(&own), &[]), "keep", "it is the last one");
    assert_eq!(verdict(Some(&own), &[("n4", &theirs)]), "keep", "another one that is left over");
    assert_eq!(verdict(Some(&own), &[("n2", &entry("b", 9.0, "n2 n3"))]), "keep", "the older one");
    // They read it differently: neither deletes it on the word of the other.
    let argued = entry("a", 10.0, "n1 n2 n3");
    assert_eq!(verdict(Some(&own), &[("n2", &argued)]), "keep");
    assert_eq!(verdict(Some(&argued), &[("n2", &theirs)]), "keep");
    let starting = Some(&NodeMonitorStatus::Rejoin);
    assert_eq!(verdict_at(Some(&own), &[("n2", &theirs)], starting), "keep");
    assert_eq!(verdict_at(Some(&own), &[("n2", &theirs)], None), "keep");
    // A newer one goes before.
    assert_eq!(verdict(Some(&own), &[("n2", &entry("b", 11.0, "n1 n2"))]), "fetch n2");
    // Nobody deletes the cluster.
    let n1 = node("n1");
    let voter = Voter { node: &n1, entry: Some(&own), is_drp: false, is_cluster: true };
    let n2 = node("n2");
    let status = Some(&NodeMonitorStatus::Idle);
    let copy = Copy { node: &n2, entry: &theirs, status, is_drp: false };
    assert_eq!(elect(&voter, [copy]), Verdict::Keep);
}
