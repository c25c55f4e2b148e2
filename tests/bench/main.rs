//! The measurements: one table of ratios against a reference server, in one run.
//!
//! `cargo run --release -p e2e --bin bench [-- [--quick] [--only TEXT] [--json FILE] [requests|idle|files|exchange|merge|beats|failover|switch|scale|front|bounds]...]`
//!
//! `bench [--om PROGRAM] soak MINUTES` lets everything go on at once for so long, and tells what grew.
//!
//! The reference server does only the transport and the cryptography, for the same bytes: what our daemon adds on top is
//! what a ratio shows. Both are measured in turns, so that a busy machine is unfair to neither.

mod bare;
mod beats;
mod bounds;
mod exchange;
mod failover;
mod followers;
mod front;
mod idle;
mod load;
mod reference;
mod requests;
mod scale;
mod soak;

use std::path::PathBuf;
use std::process::ExitCode;

use harness::{Cluster, ClusterConf};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Set for children of the bench: be `om`, or a reference server, instead of the bench.
const ROLE: &str = "BENCH_ROLE";

/// What the command line asks for.
struct Options {
    /// Shorter runs, fewer cases.
    quick: bool,
    /// Text in the names of the requests to measure; none for all.
    only: Option<String>,
    /// Where the results are written as JSON.
    json: Option<String>,
    /// Parts to run; empty for all.
    parts: Vec<String>,
    /// Minutes of the soak, which is run alone.
    soak: Option<u64>,
    /// The program under the soak, if it is not the bench itself.
    om: Option<String>,
}

/// One measured value: what, the figure, its unit, and what it should reach.
struct Row {
    name: String,
    value: f64,
    unit: &'static str,
    /// The bound of the target, if there is one, and whether the value is to be at least that, or at most.
    target: Option<(f64, Bound)>,
    note: String,
}

#[derive(Clone, Copy)]
enum Bound {
    AtLeast,
    AtMost,
}

impl Row {
    fn is_met(&self) -> Option<bool> {
        self.target.map(|(target, bound)| match bound {
            Bound::AtLeast => self.value >= target,
            Bound::AtMost => self.value <= target,
        })
    }

    fn print(&self) {
        let verdict = match (self.target, self.is_met()) {
            (Some((target, bound)), Some(is_met)) => {
                let sign = if matches!(bound, Bound::AtLeast) { ">=" } else { "<=" };
                format!("{sign} {target:<6} {}", if is_met { "met" } else { "MISSED" })
            }
            _ => String::new(),
        };
        println!(
            "{:<52} {:>10.2} {:<8} {verdict:<16} {}",
            self.name, self.value, self.unit, self.note
        );
    }

    fn to_json(&self) -> serde_json::Value {
        let target = self.target.map(|(target, _)| target);
        serde_json::json!({"name": self.name, "value": self.value, "unit": self.unit, "target": target,
            "met": self.is_met(), "note": self.note})
    }
}

/// What measures a part.
type Measure = fn(&Options) -> Vec<Row>;

/// The parts, in the order in which they are measured.
const PARTS: [(&str, Measure); 11] = [
    ("requests", requests::measure),
    ("idle", idle::measure_idle),
    ("files", idle::measure_files),
    ("exchange", exchange::measure),
    ("merge", exchange::measure_merges),
    ("beats", beats::measure),
    ("failover", failover::measure),
    ("switch", failover::measure_switch),
    ("scale", scale::measure),
    ("front", front::measure),
    ("bounds", bounds::measure),
];

/// A cluster of three with the fast profile, of the program that is the bench itself.
fn cluster() -> Cluster {
    cluster_of(3, &ClusterConf::default())
}

/// A cluster of the program that is the bench itself, not started.
fn cluster_of(count: usize, conf: &ClusterConf) -> Cluster {
    let mut cluster = Cluster::configured(count, conf).with_env(ROLE, "om");
    cluster.nodes = cluster.nodes.into_iter().map(|node| node.with_program(program())).collect();
    cluster
}

/// The program that is measured: `om` as the suites run it where it was built beside the bench, else the bench in its
/// place, which does not wipe memory that it gives back.
fn program() -> PathBuf {
    let bench = std::env::current_exe().expect("the bench");
    let om = bench.with_file_name("om-tested");
    if om.is_file() { om } else { bench }
}

fn main() -> ExitCode {
    match std::env::var(ROLE).as_deref() {
        Ok("om") => return om::main(),
        Ok("reference") => return reference::serve(),
        Ok("bare") => return bare::serve(),
        _ => {}
    }
    let mut options =
        Options { quick: false, only: None, json: None, parts: vec![], soak: None, om: None };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--quick" => options.quick = true,
            "--only" => options.only = words.next(),
            "--json" => options.json = words.next(),
            "--om" => options.om = words.next(),
            "soak" => {
                let minutes = words.next().and_then(|word| word.parse().ok());
                options.soak = Some(minutes.unwrap_or(40));
            }
            part if PARTS.iter().any(|(name, _)| *name == part) => options.parts.push(part.into()),
            other => {
                let names: Vec<&str> = PARTS.iter().map(|(name, _)| *name).collect();
                let names = names.join("|");
                eprintln!(
                    "unknown word {other:?}: [--quick] [--only TEXT] [--json FILE] [--om PROGRAM] [soak MINUTES] [{names}]..."
                );
                return ExitCode::from(2);
            }
        }
    }
    println!("measured: {}", program().display());
    if cfg!(debug_assertions) {
        eprintln!("measured without optimization: use cargo run --release -p e2e --bin bench");
    }
    let mut rows = vec![];
    if let Some(minutes) = options.soak {
        rows.extend(soak::measure(&options, minutes));
    }
    for (name, measure) in PARTS.into_iter().filter(|_| options.soak.is_none()) {
        if options.parts.is_empty() || options.parts.iter().any(|wanted| wanted == name) {
            rows.extend(measure(&options));
        }
    }
    if let Some(file) = options.json {
        let rows: Vec<_> = rows.iter().map(Row::to_json).collect();
        let text = serde_json::to_string_pretty(&rows).expect("numbers and texts");
        if let Err(error) = std::fs::write(&file, text) {
            eprintln!("{file}: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
