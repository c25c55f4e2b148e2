//! What it costs a node to hear 32 peers each second, and to be heard by them: real daemons on loopback addresses.

use std::time::Duration;

use harness::ClusterConf;

use crate::idle::{cpu_seconds_of, resident_mib};
use crate::{Bound, Options, Row};

/// Peers of each node.
const PEERS: usize = 32;

/// Processor time and memory of the nodes of a large cluster, at rest.
pub(crate) fn measure(options: &Options) -> Vec<Row> {
    println!("Beats\n");
    let time = Duration::from_secs(if options.quick { 20 } else { 60 });
    let conf = ClusterConf {
        cluster: String::new(),
        heartbeat: "interval = 1\ntimeout = 15\n".into(),
        ..ClusterConf::default()
    };
    let mut cluster = crate::cluster_of(PEERS + 1, &conf);
    for node in &mut cluster.nodes {
        node.start();
    }
    cluster.wait_beating();
    // What they tell each other of the start is through after some intervals.
    std::thread::sleep(Duration::from_secs(15));
    let used = || cluster.nodes.iter().map(|node| cpu_seconds_of(node).0).collect::<Vec<f64>>();
    let before = used();
    std::thread::sleep(time);
    let after = used();
    let percent = |(before, after): (&f64, &f64)| (after - before) / time.as_secs_f64() * 100.0;
    let mut percents: Vec<f64> = before.iter().zip(&after).map(percent).collect();
    percents.sort_by(f64::total_cmp);
    cluster.wait_beating();
    let nodes = cluster.nodes.len() as f64;
    let rows = vec![
        Row {
            name: format!("a node with {PEERS} peers that beat every second"),
            value: percents.iter().sum::<f64>() / nodes,
            unit: "% core",
            target: Some((3.0, Bound::AtMost)),
            note: format!(
                "mean of {nodes} daemons over {} s; most {:.1}",
                time.as_secs(),
                percents[percents.len() - 1]
            ),
        },
        Row {
            name: "resident memory of such a node".into(),
            value: cluster.nodes.iter().map(resident_mib).sum::<f64>() / nodes,
            unit: "MiB",
            target: None,
            note: "mean".into(),
        },
    ];
    rows.iter().for_each(Row::print);
    println!();
    rows
}
