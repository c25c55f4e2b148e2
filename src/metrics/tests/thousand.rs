//! The series of a thousand objects: which they are, and who is shown them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use conf::{Context, NodeSettings};
use dataset::config::LoadedConfig;
use dataset::shared_map::SharedMap;
use dataset::snapshot::{NodeEntry, Snapshot};
use metrics::counts::Counts;
use metrics::exposition::Form;
use metrics::series::{Facts, Process, Shown, text};
use model::{
    Aggregate, Frozen, InstanceMonitor, InstanceStatus, MonitorStatus, NodeName, ObjectPath,
    Status, Timestamp,
};

fn path(number: usize) -> ObjectPath {
    ObjectPath::parse(&format!("ns{}/svc/svc{number:04}", number % 2))
        .expect("what the test wrote itself")
}

/// A node with a thousand services, of which number 7 is frozen and failed.
fn snapshot(node: &NodeName) -> Snapshot {
    let up = |number: usize| Aggregate {
        avail: Some(Status::Up),
        overall: Some(Status::Up),
        frozen: Some(if number == 7 { Frozen::Frozen } else { Frozen::Thawed }),
        placement: Some("optimal".to_owned()),
        ..Aggregate::default()
    };
    let instance = |number: usize| {
        let status = if number == 7 { MonitorStatus::from("start failed") } else { "idle".into() };
        let monitor = Some(InstanceMonitor { status, ..InstanceMonitor::default() });
        InstanceStatus { monitor, ..InstanceStatus::default() }
    };
    let mut services: Vec<_> = (0..1_000).map(|it| (path(it), Arc::new(up(it)))).collect();
    let mut status: Vec<_> = (0..1_000).map(|it| (path(it), Arc::new(instance(it)))).collect();
    services.sort_by(|a, b| a.0.cmp(&b.0));
    status.sort_by(|a, b| a.0.cmp(&b.0));
    let entry = NodeEntry { status: SharedMap::from_sorted(status), ..NodeEntry::default() };
    Snapshot::of_nodes(node, std::slice::from_ref(node), BTreeMap::from([(node.clone(), entry)]))
        .with_services(SharedMap::from_sorted(services))
}

fn config(node: &NodeName) -> LoadedConfig {
    let text = "[cluster]\nnodes = n1\nquorum = true\n";
    let settings = NodeSettings::parse(node.clone(), text, "").expect("what the test wrote itself");
    let context = Context::new(settings.conf.clone());
    LoadedConfig::of(settings, context, 2)
}

fn series(
    snapshot: &Snapshot,
    config: &LoadedConfig,
    shows: &dyn Fn(&ObjectPath) -> bool,
    most_objects: usize,
) -> String {
    let counts = Counts::default();
    let facts = Facts {
        snapshot,
        config,
        counts: &counts,
        process: Process::default(),
        expiries: &[],
        usages: &[],
        version: "1",
        now: Timestamp(1.0),
    };
    text(&facts, Shown { object: shows, most_objects }, Form::OpenMetrics)
}

/// How often `text` has a line that begins so.
fn count(text: &str, begin: &str) -> usize {
    text.lines().filter(|line| line.starts_with(begin)).count()
}

fn node() -> NodeName {
    NodeName::new("n1").expect("what the test wrote itself")
}

#[test]
fn each_object_has_its_series_and_sums_are_told() {
    let (snapshot, config) = (snapshot(&node()), config(&node()));
    let text = series(&snapshot, &config, &|_| true, 10_000);
    assert_eq!(count(&text, "opensvc_object_up{"), 1_000);
    for line in [
        "opensvc_objects{namespace=\"ns0\",kind=\"svc\",avail=\"up\"} 500",
        "opensvc_instances{namespace=\"ns1\",kind=\"svc\",status=\"start failed\"} 1",
        "opensvc_object_frozen{namespace=\"ns1\",kind=\"svc\",name=\"svc0007\"} 1",
        "opensvc_object_frozen{namespace=\"ns0\",kind=\"svc\",name=\"svc0006\"} 0",
        "opensvc_instance_failed{namespace=\"ns1\",kind=\"svc\",name=\"svc0007\"} 1",
        "opensvc_quorum_required 1",
        "opensvc_node_up{node=\"n1\"} 1",
        "opensvc_metrics_objects_left_out 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}");
    }
}

#[test]
fn what_is_not_shown_leaves_no_trace_and_the_rest_is_bounded() {
    let (snapshot, config) = (snapshot(&node()), config(&node()));
    let shows = |path: &ObjectPath| path.namespace() == Some("ns1");
    let text = series(&snapshot, &config, &shows, 100);
    assert!(!text.contains("ns0"));
    assert_eq!(count(&text, "opensvc_object_up{"), 100);
    assert_eq!(count(&text, "opensvc_instance_failed{"), 100);
    assert!(text.contains("opensvc_metrics_objects_left_out 400\n"));
    assert!(text.contains("opensvc_objects{namespace=\"ns1\",kind=\"svc\",avail=\"up\"} 500\n"));
}

/// The least time of a few runs: others may have the processor in between.
#[expect(clippy::disallowed_types, reason = "what is measured is time")]
fn least<T>(mut run: impl FnMut() -> T) -> Duration {
    let times = (0..10).map(|_| {
        let begun = std::time::Instant::now();
        std::hint::black_box(run());
        begun.elapsed()
    });
    times.min().unwrap_or_default()
}

#[test]
fn a_scrape_costs_no_more_than_a_status() {
    let (snapshot, config) = (snapshot(&node()), config(&node()));
    let scrape = least(|| series(&snapshot, &config, &|_| true, 1_000));
    // Anew each time: what a daemon keeps of it would cost nothing.
    let status = least(|| serde_json::to_string(&snapshot.status(None)));
    println!("a scrape of 1,000 objects takes {scrape:?}, their status {status:?}");
    assert!(scrape < status, "{scrape:?}, {status:?}");
}
