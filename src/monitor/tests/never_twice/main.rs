//! Never twice: with quorum on, a failover object is active on one node at most.
//!
//! Seeded histories of one object on two to five nodes, with or without an arbitrator: the network splits and heals,
//! machines pause, crash, boot, daemons restart, clocks jump, starts are slow or fail, stops fail, operators ask for
//! anything. Peers are forgotten and splits are voted on by the cores that the daemon uses. Active is an instance from the
//! beginning of its start to the end of its stop.
//!
//! The documented window: when the network is cut, the node that is cut off may be active beside its successor for
//! `interval + message delay + 2 s - ready_period`, because it may have heard its peers up to one interval after they
//! heard it, and ends 2 s after its verdict. At any other time the object is never active twice.
//!
//! Beyond what quorum can tell, and left out here: a machine that pauses for longer than its peers wait and then goes on
//! (it needs fencing), a daemon that stays away while its services run on, a daemon that starts on the wrong side of a cut
//! (it has nobody to lose), links that fail one by one, a cut that heals while one side has forgotten the other and the
//! other has not yet noticed, and operators who move the object while it is being moved.
//!
//! `SIMULATION_SEEDS=100000 cargo test --release -p monitor --test never_twice` runs as many; `SIMULATION_SEED=<seed>` runs
//! one and tells its story; both run as many from that seed on, so that a long run can be done in parts;
//! `SIMULATION_BREAK=quorum` lets nobody die of a split, and has to fail.
#![expect(clippy::disallowed_methods, reason = "the reader of a failure chooses the seed")]

mod history;
mod machine;
#[path = "../simulation/random.rs"]
mod random;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use model::{NodeName, ObjectPath, ObjectSettings, Orchestrate, ResourceSettings, Timestamp};
use monitor::Change;

use history::{Event, History};
use machine::{Periods, Shared};
use random::Random;

/// Histories of a normal test run.
const SEEDS: u64 = 60;

/// Beyond, a daemon that restarts is forgotten too early: its maintenance grace is counted between two clocks.
const MOST_SKEW_SECS: f64 = 20.0;

const DEFAULT: Periods = Periods { interval: 5.0, timeout: 15.0, ready: 5.0, delay: 0.5 };
/// Where an announcement is contested within 0.2 s, messages are fast too.
const FAST: Periods = Periods { interval: 0.25, timeout: 1.0, ready: 0.2, delay: 0.05 };

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// Whether the story of the history is written down.
fn is_traced() -> bool {
    static TRACED: OnceLock<bool> = OnceLock::new();
    *TRACED.get_or_init(|| {
        variable("SIMULATION_SEED").is_some() && variable("SIMULATION_SEEDS").is_none()
    })
}

/// Whether a rule is broken, to see that it is missed.
fn is_broken(rule: &str) -> bool {
    static BROKEN: OnceLock<String> = OnceLock::new();
    BROKEN.get_or_init(|| std::env::var("SIMULATION_BREAK").unwrap_or_default()) == rule
}

fn shared(random: &mut Random) -> Shared {
    let count = 2 + random.below(4);
    let cluster: Vec<NodeName> =
        (1..=count).map(|n| NodeName::new(&format!("n{n}")).expect("a node name")).collect();
    let resource = ResourceSettings {
        restart: u32::from(random.happens(50)),
        driver: "app.simple".into(),
        ..ResourceSettings::default()
    };
    let settings = ObjectSettings {
        nodes: cluster.clone(),
        peers: cluster.clone(),
        orchestrate: Orchestrate::Ha,
        resources: [("app#1".to_owned(), resource.into())].into(),
        ..ObjectSettings::default()
    };
    let periods = if random.happens(10) { FAST } else { DEFAULT };
    let path = ObjectPath::parse("svc1").expect("an object path");
    Shared { cluster, arbitrators: random.below(2), path, settings, periods }
}

/// One disturbance. Returns how long to wait before the next one that takes the network or a node away.
fn disturb(history: &mut History, random: &mut Random) {
    let count = history.machines.len();
    let machine = random.below(count);
    let periods = history.shared.periods;
    match random.below(16) {
        0..=4 => {
            let destination = format!("placed@n{}", 1 + random.below(count));
            let targets = [
                "started",
                "started",
                "stopped",
                "placed",
                "placed@<peer>",
                &destination,
                "restarted",
                "frozen",
                "thawed",
                "aborted",
                "shutdown",
            ];
            let target = *random.pick(&targets);
            if target == "aborted" || !history.is_moving() {
                history.request(machine, target);
            }
        }
        5 => {
            // The application dies.
            if history.machines[machine].is_up && !history.is_paused(machine) {
                history.note(|| format!("the application on {machine} dies"));
                history.machines[machine].is_up = false;
                let (now, it) = (history.now, &mut history.machines[machine]);
                it.evaluate(now, &history.shared);
                history.pass(machine);
            }
        }
        6 | 7 => {
            if history.machines[machine].actions == 0 && !history.is_paused(machine) {
                history.apply(machine, &Change::clear());
                history.pass(machine);
            }
        }
        8 | 9 => {
            let most = if random.happens(50) { 3600.0 } else { MOST_SKEW_SECS / 2.0 };
            let jump = random.between(-most, most);
            history.note(|| format!("the clock of {machine} jumps by {jump:.1} s"));
            history.machines[machine].offset = jump;
            history.pass(machine);
        }
        10 => {
            history.crash(machine);
            let delay = random.between(1.0, 60.0);
            history.after(delay, Event::Boot { machine });
        }
        11 => {
            // `om daemon restart`: the instances keep running.
            let offsets = || history.machines.iter().map(|machine| machine.offset);
            let skew = offsets().fold(0.0, f64::max) - offsets().fold(0.0, f64::min);
            let clock = history.machines[machine].clock(history.now);
            let it = &mut history.machines[machine];
            // The maintenance grace compares the clocks of two nodes.
            if let Some(daemon) = it.daemon.as_mut().filter(|_| skew < MOST_SKEW_SECS) {
                daemon.node.announce(clock, false);
                let incarnation = it.incarnation;
                history.pass(machine);
                history.after(5.0, Event::StopDaemon { machine, incarnation });
                calm(history, 40.0);
            }
        }
        12 => {
            // Everything on the machine stands still, its timers too.
            let is_long = random.happens(30);
            let most = periods.timeout - periods.interval - 2.0 * periods.delay;
            let pause = match is_long {
                true => random.between(periods.timeout, 4.0 * periods.timeout),
                false => random.between(0.0, most.max(0.0)),
            };
            history.note(|| format!("{machine} pauses for {pause:.1} s"));
            let it = &mut history.machines[machine];
            it.paused_until = history.now + pause;
            it.is_overslept |= is_long;
            calm(history, pause + 2.0 * periods.timeout);
        }
        _ => {
            // Healed before anybody is forgotten, or after everybody has judged it.
            let short = periods.timeout - 2.0 * (periods.interval + periods.delay);
            let judged = periods.timeout + periods.interval + periods.ready + history::SPLIT_SECS;
            let cut = match random.happens(70) {
                true => judged + random.between(2.0, 3.0 * periods.timeout),
                false => random.between(0.0, short.max(0.0)),
            };
            let parts = if random.happens(20) { 3 } else { 2 };
            for side in &mut history.sides {
                *side = random.below(parts) as u8;
            }
            history.cut_at = history.now;
            let sides = history.sides.clone();
            history.note(|| format!("the network splits into {sides:?} for {cut:.1} s"));
            history.after(cut, Event::Heal);
            let pause = random.between(0.0, cut);
            history.run_for(pause);
            if random.happens(50) {
                let target = *random.pick(&["started", "placed", "placed@<peer>", "stopped"]);
                if !history.is_moving() {
                    history.request(machine, target);
                }
            }
            calm(history, cut - pause + 70.0 + periods.timeout);
        }
    }
}

/// Nothing else takes the network or a node away meanwhile; operators go on asking.
fn calm(history: &mut History, secs: f64) {
    history.run_for(secs);
}

/// A history. Returns starts, nodes that died of a split, and the longest time that the object was active twice.
fn simulate(seed: u64) -> (usize, usize, f64) {
    let mut random = Random::new(seed);
    let shared = shared(&mut random);
    let mut history = History::new(seed ^ 0x7471_CE00, shared);
    history.run_for(30.0);
    history.failure_percent = *random.pick(&[0, 0, 10, 40]);
    history.slowest_secs = *random.pick(&[0.5, 4.0, 30.0]);
    for _ in 0..12 {
        // Enough for a request to be known everywhere before the next one.
        let pause = random.between(2.0, 15.0);
        history.run_for(pause);
        disturb(&mut history, &mut random);
        if random.happens(50) {
            // An operator puts right what stands still, so that the history goes on.
            for machine in 0..history.machines.len() {
                history.machines[machine].node_frozen = Timestamp::NEVER;
                history.machines[machine].own(|own| own.frozen = Some(Timestamp::NEVER));
                if history.machines[machine].actions == 0 && !history.is_paused(machine) {
                    history.apply(machine, &Change::clear());
                }
            }
            history.run_for(2.0);
            let machine = random.below(history.machines.len());
            if !history.is_moving() {
                history.request(machine, "started");
            }
        }
    }
    history.run_for(100.0);
    (history.starts, history.deaths, history.longest_twice)
}

#[test]
fn a_failover_object_is_never_active_twice() {
    let first = variable("SIMULATION_SEED");
    let count = variable("SIMULATION_SEEDS").unwrap_or(if first.is_some() { 1 } else { SEEDS });
    let first = first.unwrap_or(1);
    let mut failed = vec![];
    let (mut starts, mut deaths, mut longest) = (0, 0, 0.0_f64);
    for seed in first..first + count {
        match catch_unwind(AssertUnwindSafe(|| simulate(seed))) {
            Ok((more, dead, twice)) => {
                starts += more;
                deaths += dead;
                longest = longest.max(twice);
            }
            Err(_) => {
                // At once: a long run may not live to tell it at its end.
                println!("seed {seed} fails");
                failed.push(seed);
            }
        }
    }
    println!(
        "{count} histories: {starts} starts, {deaths} nodes died, twice for {longest:.2} s at most"
    );
    assert!(
        failed.is_empty(),
        "{} failing seeds, to be run alone with SIMULATION_SEED: {:?}",
        failed.len(),
        &failed[..failed.len().min(20)]
    );
    assert!(count == 1 || (starts as u64 > count && deaths > 0), "nothing happened");
}
