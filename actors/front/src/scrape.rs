//! `/metrics`: the series that a monitoring system reads, made of the published snapshot when it asks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use conf::MetricsAccess;
use http::header::{CACHE_CONTROL, HeaderValue};
use machine::cgroup::Hierarchy;
use machine::{clock, process};
use metrics::counts::Handler;
use metrics::exposition::Form;
use metrics::series::{Facts, Process, Shown, Usage, text};
use model::{ObjectPath, Timestamp, thread};
use web::grants::{ROOT_NAMESPACE, Role};
use web::user::User;
use web::{accept, filter, query};

use crate::answer::Answer;
use crate::body::Broken;
use crate::head::Head;
use crate::peer::Peer;
use crate::shared::Shared;
use crate::work;

/// How long an answer is good for the next who may read the same.
const KEPT: Duration = Duration::from_secs(1);

/// The path of a node, around its name.
const OF_NODE: (&str, &str) = ("/api/node/name/", "/metrics");

/// What is asked of another node.
const ELSEWHERE: &str = "a node tells its own metrics: ask it";

/// The media type of OpenMetrics.
const OPEN_METRICS: &str = "application/openmetrics-text";

/// The node that a path asks, empty for this one. None: it does not ask for metrics.
fn node(path: &str) -> Option<&str> {
    let path = path.strip_suffix('/').unwrap_or(path);
    if path == "/metrics" {
        return Some("");
    }
    let node = path.strip_prefix(OF_NODE.0)?.strip_suffix(OF_NODE.1)?;
    (!node.is_empty() && !node.contains('/')).then_some(node)
}

/// Whether a path asks for metrics.
pub(crate) fn is_path(path: &str) -> bool {
    node(path).is_some()
}

/// Whether a request does.
pub(crate) fn is_meant(head: &Head) -> bool {
    matches!(&*head.method, "GET" | "HEAD") && is_path(head.path())
}

/// Answers it.
pub(crate) async fn answer(peer: &Peer, head: &Head) -> Result<Answer, Broken> {
    head.asked.set(Some((Handler::Metrics, true)));
    let refuse = |status: u16, text: &str| {
        Broken::Answered(Box::new(Answer::of_reply(&wire::reply::error(status, text))))
    };
    let own = peer.shared.mail.nodename.as_str();
    let node = node(head.path()).unwrap_or_default();
    if !matches!(node, "" | "_" | "localhost") && !node.eq_ignore_ascii_case(own) {
        return Err(refuse(404, ELSEWHERE));
    }
    let access = match peer.secured {
        None => MetricsAccess::Open,
        Some(_) => peer.shared.mail.config.load().node.listener.metrics,
    };
    let user = match access {
        MetricsAccess::Off => {
            return Err(refuse(403, "metrics are read at the socket of the node alone"));
        }
        MetricsAccess::Open => None,
        MetricsAccess::Users => {
            let user = work::identified(peer, head, false).await?;
            if !may_look(&peer.shared, &user) {
                let name = &user.name;
                return Err(refuse(
                    403,
                    &format!("Forbidden: user '{name}' is guest of no namespace"),
                ));
            }
            (!user.grants.is_root()).then_some(user)
        }
    };
    let form = match accept::takes(&head.values("accept"), OPEN_METRICS) {
        true => Form::OpenMetrics,
        false => Form::Text,
    };
    let pairs = head.query().and_then(|text| query::pairs(text).ok()).unwrap_or_default();
    let with_groups = pairs.iter().any(|(key, value)| key == "cgroup" && value == "true");
    let series = scrape(&peer.shared, form, user, with_groups).await;
    let series = series.ok_or_else(|| refuse(503, "not now: the daemon stops"))?;
    let mut answer = Answer::new(200, HeaderValue::from_static(form.content_type()), series);
    answer.headers.push((CACHE_CONTROL, HeaderValue::from_static("no-store")));
    Ok(answer)
}

/// Whether a user may look at a namespace that there is.
fn may_look(shared: &Shared, user: &User) -> bool {
    let (config, snapshot) = (shared.mail.config.load(), shared.mail.snapshot.load());
    let paths = config.objects.keys().chain(snapshot.services().keys());
    let namespaces = paths.map(|path| path.namespace().unwrap_or(ROOT_NAMESPACE));
    user.grants.anywhere(Role::Guest, namespaces)
}

/// The series for a user, everybody's for none: those of a moment ago if there are, else made outside of the arbiter, one after
/// the other.
async fn scrape(
    shared: &Arc<Shared>,
    form: Form,
    user: Option<Arc<User>>,
    with_groups: bool,
) -> Option<Bytes> {
    let reader = (form, user.as_ref().map(|user| user.grants.raw().to_owned()), with_groups);
    let mut scrapes = shared.scrapes.lock().await;
    scrapes.retain(|_, (made, _)| made.elapsed() < KEPT);
    if let Some((_, kept)) = scrapes.get(&reader) {
        return Some(kept.clone());
    }
    let asked = shared.clone();
    let make = move || Bytes::from(series(&asked, form, user.as_deref(), with_groups));
    let made = tokio::task::spawn_blocking(make).await.ok()?;
    scrapes.insert(reader, (Instant::now(), made.clone()));
    Some(made)
}

fn series(shared: &Shared, form: Form, user: Option<&User>, with_groups: bool) -> String {
    let (config, snapshot) = (shared.mail.config.load_full(), shared.mail.snapshot.load_full());
    let shows = |path: &ObjectPath| user.is_none_or(|user| filter::shows(&user.grants, path));
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
        counts: &shared.mail.counts,
        process: Process {
            cpu_seconds: process::cpu_seconds("/proc/self/stat".as_ref()),
            resident_bytes: process::resident_bytes(),
            open_fds: process::open_files(),
            started: created.unwrap_or(Timestamp(0.0)),
        },
        expiries: &shared.expiries.load(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_asks_for_the_metrics_of_a_node() {
        assert_eq!((node("/metrics"), node("/metrics/")), (Some(""), Some("")));
        assert_eq!(node("/api/node/name/n1/metrics"), Some("n1"));
        for path in
            ["/metric", "/api/node/name//metrics", "/api/node/name/a/b/metrics", "/x/metrics"]
        {
            assert_eq!(node(path), None, "{path}");
        }
    }
}
