//! Rotations of the secret on many nodes that crash, are cut off from each other and edit their files: whatever happens, in
//! the end all of them understand each other.
//!
//! Deciding and judging is the real code: the rotation, what a file may be followed by, what each step writes. Only the
//! network, the clock and the order of things are simulated.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use conf::{Ini, NodeSettings, Secret};
use model::{NodeName, SecretState};
use monitor::{LINGER, Rotation, RotationStage, RotationStep, RotationView};

/// Seconds without a beat after which a peer is forgotten.
const TIMEOUT: u64 = 4;
/// Seconds of one history, before everything is mended.
const LENGTH: u64 = 300;
/// Seconds that it may take then.
const MENDED: u64 = 60;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn is(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

fn name(at: usize) -> NodeName {
    NodeName::new(&format!("n{}", at + 1)).expect("what the test wrote itself")
}

/// Tells secrets apart, as their digests do.
fn digest(secret: &Secret) -> String {
    secret.expose().to_owned()
}

/// A file, and when it was written: never twice at the same time.
#[derive(Clone)]
struct File {
    text: String,
    time: u64,
}

struct Node {
    name: NodeName,
    is_up: bool,
    started: u64,
    file: File,
    /// What the file says.
    settings: Arc<NodeSettings>,
    rotation: Rotation,
    /// What is heard, and when it was heard last.
    heard: BTreeMap<usize, (Option<SecretState>, u64, u64)>,
    /// Whether the secret before opens the hand-over only.
    handed_only: Option<u32>,
}

impl Node {
    fn settings(&self) -> Arc<NodeSettings> {
        self.settings.clone()
    }

    fn is_open(&self, settings: &NodeSettings) -> bool {
        self.handed_only != settings.secret_generation.checked_sub(1)
    }
}

fn settings(name: &NodeName, text: &str) -> NodeSettings {
    NodeSettings::parse(name.clone(), text, "").expect("what the test wrote itself")
}

fn stage(node: &NodeSettings) -> RotationStage {
    match (&node.secret_next, &node.secret_previous) {
        (Some(_), _) => RotationStage::Offered,
        (None, Some(_)) => RotationStage::Used,
        (None, None) => RotationStage::Steady,
    }
}

fn state(node: &NodeSettings) -> SecretState {
    SecretState {
        generation: node.secret_generation,
        current: node.secret.as_ref().filter(|_| node.secret_previous.is_some()).map(digest),
        next: node.secret_next.as_ref().map(digest),
        ..SecretState::default()
    }
}

/// What a secret opens on a node.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Opens {
    Everything,
    HandOver,
    Nothing,
}

#[derive(Debug, Default)]
struct Counts {
    rotations: usize,
    forced: usize,
    handed: usize,
    lost_edits: usize,
}

struct World {
    seed: u64,
    random: Random,
    now: u64,
    writes: u64,
    nodes: Vec<Node>,
    /// Which part of the network each node is in.
    part: Vec<u64>,
    secrets: u64,
    counts: Counts,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let count = 2 + usize::try_from(random.below(3)).expect("what the test wrote itself");
        let names: Vec<String> = (0..count).map(|at| name(at).to_string()).collect();
        let text = format!(
            "[cluster]\nid = i\nsecret = secret-of-the-first-one\nnodes = {}\n",
            names.join(" ")
        );
        let node = |at: usize| Node {
            name: name(at),
            is_up: true,
            started: 0,
            file: File { text: text.clone(), time: 0 },
            settings: settings(&name(at), &text).into(),
            rotation: Rotation::default(),
            heard: BTreeMap::new(),
            handed_only: None,
        };
        Self {
            seed,
            random,
            now: 0,
            writes: 0,
            nodes: (0..count).map(node).collect(),
            part: vec![0; count],
            secrets: 0,
            counts: Counts::default(),
        }
    }

    fn pick(&mut self) -> usize {
        usize::try_from(self.random.below(self.nodes.len() as u64))
            .expect("what the test wrote itself")
    }

    /// What is sealed with a secret of this generation opens on a node, if `sender` sealed it.
    fn opens(&self, at: usize, sender: usize, generation: u32, secret: &Secret) -> Opens {
        let node = &self.nodes[at];
        let settings = node.settings();
        let is = |known: &Option<Secret>| known.as_ref() == Some(secret);
        let own = settings.secret_generation;
        if generation == own && is(&settings.secret)
            || generation == own + 1 && is(&settings.secret_next)
        {
            return Opens::Everything;
        }
        if generation + 1 != own || !is(&settings.secret_previous) {
            return Opens::Nothing;
        }
        match (node.is_open(&settings), node.rotation.is_owed(&name(sender))) {
            (true, _) => Opens::Everything,
            (false, true) => Opens::HandOver,
            (false, false) => Opens::Nothing,
        }
    }

    fn is_linked(&self, one: usize, other: usize) -> bool {
        let (a, b) = (&self.nodes[one], &self.nodes[other]);
        one != other && a.is_up && b.is_up && self.part[one] == self.part[other]
    }

    /// The file of `from`, if it answers `to` that asks with what it has of this generation.
    fn ask(&self, to: usize, from: usize, is_previous: bool) -> Option<File> {
        let settings = self.nodes[to].settings();
        let (generation, secret) = match is_previous {
            false => (settings.secret_generation, settings.secret.clone()?),
            true => (settings.secret_generation.checked_sub(1)?, settings.secret_previous.clone()?),
        };
        let is_answered = self.opens(from, to, generation, &secret) != Opens::Nothing;
        (self.is_linked(to, from) && is_answered).then(|| self.nodes[from].file.clone())
    }

    fn write(&mut self, at: usize, change: impl FnOnce(&mut Ini) -> bool) -> bool {
        let node = &mut self.nodes[at];
        let mut ini = Ini::parse(&node.file.text).expect("what the test wrote itself");
        if !change(&mut ini) {
            return false;
        }
        self.writes += 1;
        let time = node.file.time.max(self.now * 1_000 + self.writes % 1_000) + 1;
        let text = ini.text().to_owned();
        self.install(at, File { text, time });
        true
    }

    /// Another file is in force, if it may follow the one before.
    fn install(&mut self, at: usize, file: File) {
        let node = &mut self.nodes[at];
        let settings = settings(&node.name, &file.text);
        assert_eq!(
            node.settings.cut_off(&settings),
            [],
            "seed {}: {} at {}",
            self.seed,
            node.name,
            self.now
        );
        (node.file, node.settings) = (file, settings.into());
    }

    fn beats(&mut self) {
        for from in 0..self.nodes.len() {
            for to in 0..self.nodes.len() {
                if !self.is_linked(from, to) || self.random.is(10) {
                    continue;
                }
                let theirs = self.nodes[from].settings();
                let secret = theirs.secret.clone().expect("what the test wrote itself");
                if self.opens(to, from, theirs.secret_generation, &secret) == Opens::Everything {
                    // Who does not hear the other one says only that it is there, and by its frame what it seals with.
                    let is_whole = self.nodes[from].heard.contains_key(&to);
                    let told = is_whole.then(|| (state(&theirs), self.nodes[from].file.time));
                    let now = self.now;
                    let heard = self.nodes[to].heard.entry(from).or_insert((None, now, 0));
                    heard.1 = now;
                    if let Some((state, time)) = told {
                        (heard.0, heard.2) = (Some(state), time);
                    }
                    if theirs.secret_generation > self.nodes[to].settings().secret_generation {
                        self.hand_over(to, from);
                    }
                } else {
                    self.hand_over(to, from);
                }
            }
        }
    }

    /// A node that does not understand another one asks it.
    fn hand_over(&mut self, to: usize, from: usize) {
        let Some(file) = self.ask(to, from, false).or_else(|| self.ask(to, from, true)) else {
            return;
        };
        let node = &self.nodes[to];
        let (ours, theirs) = (node.settings(), settings(&node.name, &file.text));
        let is_newer = file.time > node.file.time;
        if ours.is_handed(&theirs, is_newer) {
            self.counts.handed += 1;
            self.counts.lost_edits += usize::from(!is_newer);
            self.install(to, file);
        }
    }

    fn propagate(&mut self) {
        for to in 0..self.nodes.len() {
            let newest = self.nodes[to]
                .heard
                .iter()
                .max_by_key(|(_, heard)| heard.2)
                .map(|(at, heard)| (*at, heard.2));
            let Some((from, time)) = newest.filter(|(_, time)| *time > self.nodes[to].file.time)
            else {
                continue;
            };
            let Some(file) = self.ask(to, from, false).filter(|file| file.time >= time) else {
                continue;
            };
            let node = &self.nodes[to];
            let (ours, theirs) = (node.settings(), settings(&node.name, &file.text));
            if theirs.secret_generation >= ours.secret_generation
                && ours.cut_off(&theirs).is_empty()
            {
                self.install(to, file);
            }
        }
    }

    fn decide(&mut self, at: usize, force: bool) {
        let settings = self.nodes[at].settings();
        let own = state(&settings);
        let node = &mut self.nodes[at];
        let heard =
            node.heard.iter().map(|(peer, (state, ..))| (name(*peer), state.clone())).collect();
        let view = RotationView {
            local: &node.name,
            members: &settings.nodes,
            stage: stage(&settings),
            own: &own,
            heard: &heard,
        };
        let outlook = node.rotation.look(Duration::from_secs(self.now - node.started), &view);
        let before =
            settings.secret_previous.as_ref().and(settings.secret_generation.checked_sub(1));
        node.handed_only = before.filter(|_| !outlook.is_previous_open);
        let is_forced = force && outlook.may_force;
        self.counts.forced += usize::from(is_forced);
        let step = outlook.step.or(is_forced.then_some(RotationStep::Use));
        let is_written = match step {
            None => return,
            Some(RotationStep::Use) => self.write(at, |ini| {
                conf::use_next_secret(
                    ini,
                    settings.secret_next.as_ref().expect("what the test wrote itself"),
                )
                .is_ok()
            }),
            Some(RotationStep::Drop) => {
                self.counts.rotations += 1;
                self.write(at, |ini| {
                    conf::drop_previous_secret(
                        ini,
                        settings.secret.as_ref().expect("what the test wrote itself"),
                    )
                    .is_ok()
                })
            }
        };
        assert!(is_written);
        // As kill -9, right after the file is there.
        if self.random.is(20) {
            self.crash(at);
        }
    }

    fn crash(&mut self, at: usize) {
        self.nodes[at].is_up = false;
        self.nodes[at].heard.clear();
    }

    fn start(&mut self, at: usize) {
        let now = self.now;
        let node = &mut self.nodes[at];
        let settings = node.settings();
        node.is_up = true;
        node.started = now;
        node.rotation = Rotation::default();
        node.handed_only =
            settings.secret_previous.as_ref().and(settings.secret_generation.checked_sub(1));
    }

    fn event(&mut self) {
        let at = self.pick();
        match self.random.below(40) {
            0 if self.nodes[at].is_up => self.crash(at),
            1..=4 if !self.nodes[at].is_up => self.start(at),
            5 => self.part[at] = self.random.below(2),
            6 => self.part.fill(0),
            7..=10 if self.nodes[at].is_up => {
                self.secrets += 1;
                let next = format!("secret-{:024}-{at}", self.secrets);
                self.write(at, |ini| conf::offer_secret(ini, &next).is_ok());
            }
            13..=17 if self.nodes[at].is_up => self.decide(at, true),
            // Somebody edits the file, whether the daemon runs or not.
            12 => {
                let value = self.now.to_string();
                self.write(at, |ini| {
                    ini.set("env", "edited", &value).expect("what the test wrote itself")
                });
            }
            _ => {}
        }
    }

    fn tick(&mut self) {
        self.now += 1;
        self.beats();
        let now = self.now;
        for node in &mut self.nodes {
            node.heard.retain(|_, (_, last, _)| now - *last <= TIMEOUT);
        }
        self.propagate();
        for at in 0..self.nodes.len() {
            if self.nodes[at].is_up {
                self.decide(at, false);
            }
        }
    }

    fn mend(&mut self) {
        self.part.fill(0);
        for at in 0..self.nodes.len() {
            if !self.nodes[at].is_up {
                self.start(at);
            }
        }
    }
}

fn history(seed: u64) -> Counts {
    let mut world = World::new(seed);
    for _ in 0..LENGTH {
        world.event();
        world.tick();
    }
    for _ in 0..MENDED {
        world.mend();
        world.tick();
    }
    let all: Vec<_> = world
        .nodes
        .iter()
        .map(|node| {
            let settings = node.settings();
            let heard = node.heard.len() + 1;
            (settings.secret_generation, settings.secret.clone(), stage(&settings), heard)
        })
        .collect();
    let first = &all[0];
    for (at, one) in all.iter().enumerate() {
        assert_eq!(one.3, world.nodes.len(), "seed {seed}: {} does not hear all", name(at));
        assert_eq!(one, first, "seed {seed}: {}", name(at));
    }
    assert_eq!(first.2, RotationStage::Steady, "seed {seed}");
    world.counts
}

#[test]
fn whatever_happens_all_nodes_have_the_same_secret_in_the_end() {
    assert!(Duration::from_secs(MENDED) > LINGER * 4);
    let mut all = Counts::default();
    for seed in 1..=60 {
        let counts = history(seed);
        all.rotations += counts.rotations;
        all.forced += counts.forced;
        all.handed += counts.handed;
        all.lost_edits += counts.lost_edits;
    }
    // Nothing of it is rare.
    assert!(all.rotations > 80 && all.forced > 20 && all.handed > 40, "{all:?}");
    assert!(all.lost_edits > 10, "{all:?}");
}
