//! The series of this node, for who may look at it.

use std::sync::Arc;

use machine::cgroup::Hierarchy;
use machine::{clock, process};
use mail::mail::Mail;
use mail::requests::{Outcome, Refused};
use metrics::exposition::Form;
use metrics::series::{Facts, Process, Shown, Usage, text};
use model::{ObjectPath, Timestamp, thread};
use serde_json::json;
use web::filter;
use web::grants::Grants;
use wire::NodeMetrics;

use crate::context::{Context, blocking};

/// GET `node_metrics`: made of the published snapshot, outside of the arbiter.
pub(super) async fn series(context: &Context, options: &NodeMetrics) -> Result<Outcome, Refused> {
    let grants = match (&options.grants, context.shows_all()) {
        // Of who is asked in whose name.
        (Some(raw), true) => Some(Grants::parse(raw).0).filter(|grants| !grants.is_root()),
        (None, true) => None,
        (_, false) => Some(context.caller.user.grants.clone()),
    };
    let form = if options.openmetrics { Form::OpenMetrics } else { Form::Text };
    let (mail, with_groups) = (context.mail.clone(), options.cgroup);
    let text = blocking(move || written(&mail, form, grants.as_ref(), with_groups)).await?;
    Ok(json!({"status": 0, "data": text}).into())
}

fn written(mail: &Arc<Mail>, form: Form, grants: Option<&Grants>, with_groups: bool) -> String {
    let (config, snapshot) = (mail.config.load_full(), mail.snapshot.load_full());
    let shows = |path: &ObjectPath| grants.is_none_or(|grants| filter::shows(grants, path));
    let most_objects = config.node.listener.metrics_objects;
    let hierarchy = with_groups.then(Hierarchy::mounted);
    let usages = hierarchy.iter().flat_map(|hierarchy| {
        let objects = snapshot.services().keys().filter(|path| shows(path)).take(most_objects);
        objects.filter_map(|path| usage(hierarchy, path))
    });
    let usages: Vec<Usage> = usages.collect();
    let created = snapshot.threads().get(thread::DAEMON).map(|block| block.created);
    let facts = Facts {
        snapshot: &snapshot,
        config: &config,
        counts: &mail.counts,
        process: Process {
            cpu_seconds: process::cpu_seconds("/proc/self/stat".as_ref()),
            resident_bytes: process::resident_bytes(),
            open_fds: process::open_files(),
            started: created.unwrap_or(Timestamp(0.0)),
        },
        expiries: &mail.expiries.load(),
        usages: &usages,
        version: env!("CARGO_PKG_VERSION"),
        now: clock::now(),
    };
    text(&facts, Shown { object: &shows, most_objects }, form)
}

fn usage(hierarchy: &Hierarchy, path: &ObjectPath) -> Option<Usage> {
    let used = hierarchy.usage(path)?;
    let (cpu_seconds, memory_bytes) = (used.cpu_seconds, used.memory);
    Some(Usage { object: path.clone(), cpu_seconds, memory_bytes })
}
