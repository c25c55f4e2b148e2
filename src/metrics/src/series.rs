//! The series of a node, made of what is known when somebody asks.

mod cluster;
mod facts;
mod objects;
mod traffic;

use crate::exposition::{Exposition, Form, Kind};

pub use facts::{Expiry, Facts, Process, Shown, Usage};

/// The series as text.
#[must_use]
pub fn text(facts: &Facts<'_>, shown: Shown<'_>, form: Form) -> String {
    let mut out = Exposition::new(form);
    process(&mut out, facts);
    cluster::write(&mut out, facts, shown);
    objects::write(&mut out, facts.snapshot, shown);
    objects::usages(&mut out, facts.usages);
    traffic::write(&mut out, facts);
    out.finish()
}

fn process(out: &mut Exposition, facts: &Facts<'_>) {
    let envelope = facts.config.node.envelope.as_str();
    out.family(
        "opensvc_build",
        Kind::Info,
        "The agent: its release, and the dialect of its cluster.",
    )
    .sample(&[("version", facts.version), ("envelope", envelope)], 1.0);
    let Process { cpu_seconds, resident_bytes, open_fds, started } = facts.process;
    out.family("process_cpu_seconds", Kind::Counter, "Processor time of the daemon, in seconds.")
        .sample(&[], cpu_seconds);
    let mut gauge = |name, help, value| out.family(name, Kind::Gauge, help).sample(&[], value);
    gauge(
        "process_resident_memory_bytes",
        "Memory of the daemon, in bytes.",
        crate::exposition::number(resident_bytes),
    );
    gauge(
        "process_open_fds",
        "Files that the daemon has open.",
        crate::exposition::number(open_fds),
    );
    gauge(
        "process_start_time_seconds",
        "When the daemon was started, in seconds since 1970.",
        started.0,
    );
}
