//! Whatever happened to messages, nodes and clocks: once it stops, all have the data of all.

use crate::network::{Faults, Network};

const STORM: Faults =
    Faults { lost: 15, doubled: 10, late: 10, restarts: 4, jumps: 2, cuts: 20, changes: 8 };
/// Ticks of misfortune.
const TROUBLED: u64 = 150;
/// Ticks until all have to agree: a message of the past is refused for ten seconds, a lost peer forgotten after five.
const PEACE: u64 = 400;

/// Lets faults rain, then waits until all agree.
fn converges(mut network: Network, seed: u64, peace: &Faults) {
    // Not every cluster knows every misfortune.
    let mut storm = STORM;
    for (bit, fault) in [
        &mut storm.lost,
        &mut storm.doubled,
        &mut storm.late,
        &mut storm.restarts,
        &mut storm.jumps,
        &mut storm.cuts,
    ]
    .into_iter()
    .enumerate()
    {
        if seed >> bit & 1 == 1 {
            *fault = 0;
        }
    }
    while network.tick < TROUBLED {
        network.step(&storm);
    }
    network.heal();
    for _ in 0..PEACE {
        network.step(peace);
        if network.tick.is_multiple_of(10) && network.differences().is_empty() {
            return;
        }
    }
    panic!("seed {seed}, {storm:?}: {:#?}", network.differences());
}

fn ours_converge(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let nodes = 2 + (seed / 64 % 4) as usize;
        converges(Network::new(nodes, 0, seed), seed, &Faults::default());
    }
}

fn mixed_converge(seeds: std::ops::Range<u64>) {
    // A deployed agent that was not heard in time needs its next change to be heard again.
    let peace = Faults { changes: 2, ..Faults::default() };
    for seed in seeds {
        let (ours, deployed) = [(1, 1), (2, 1), (1, 2), (2, 2)][(seed / 64 % 4) as usize];
        converges(Network::new(ours, deployed, seed), seed, &peace);
    }
}

#[test]
fn all_have_the_data_of_all_when_the_faults_stop() {
    ours_converge(0..512);
}

#[test]
fn ours_and_deployed_agents_have_the_data_of_each_other_when_the_faults_stop() {
    mixed_converge(0..256);
}

#[test]
#[ignore = "many more of the same: run with --ignored --release after a change of the exchange"]
fn many_clusters_converge() {
    ours_converge(512..20_000);
    mixed_converge(256..10_000);
}

#[test]
fn in_peace_nobody_sends_more_than_keep_alives() {
    let mut network = Network::new(5, 0, 1);
    for _ in 0..30 {
        network.step(&Faults::default());
    }
    assert_eq!(network.differences(), Vec::<String>::new());
    network.sent = Some((0, 0));
    for _ in 0..100 {
        network.step(&Faults::default());
    }
    let (messages, bytes) = network.sent.unwrap();
    assert_eq!(messages, 5 * 4 * 10);
    assert!(bytes / messages < 200, "{bytes} bytes in {messages} messages");
}

#[test]
fn a_change_is_everywhere_one_flight_later() {
    let mut network = Network::new(5, 0, 1);
    for _ in 0..30 {
        network.step(&Faults::default());
    }
    let tick = network.tick;
    let mut random = network.random.clone();
    network.nodes[0].change(&mut random, tick);
    network.nodes[0].change(&mut random, tick);
    for _ in 0..2 {
        network.step(&Faults::default());
    }
    let (first, others) = network.nodes.split_first().unwrap();
    for node in others {
        let mut has = node.peers[&first.name].clone();
        has.remove("gen");
        assert_eq!(has, first.data);
    }
}
