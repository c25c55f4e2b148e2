//! `/metrics`: the series that a monitoring system reads, made of the published snapshot when it asks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use conf::MetricsAccess;
use http::header::{CACHE_CONTROL, HeaderValue};
use mail::requests::{Caller, Outcome};
use metrics::counts::Handler;
use metrics::exposition::Form;
use serde_json::Value;
use web::grants::{ROOT_NAMESPACE, Role};
use web::user::User;
use web::{accept, query};
use wire::{NodeMetrics, NodeSpec, Request};

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

/// What is answered while the daemon starts or stops.
const NOT_NOW: &str = "not now: the daemon starts or stops";

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
    let is_here = matches!(node, "" | "_" | "localhost") || node.eq_ignore_ascii_case(own);
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
            let user = work::identified(peer, head, false).await?.user;
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
    let series = if is_here {
        let made = scrape(peer, form, user, with_groups).await;
        made.ok_or_else(|| refuse(503, NOT_NOW))?
    } else {
        let snapshot = peer.shared.mail.snapshot.load();
        let mut members = snapshot.cluster().nodes.iter();
        let is_member = members.any(|member| node.eq_ignore_ascii_case(member.as_str()));
        if !is_member {
            return Err(refuse(404, "no such node"));
        }
        let made = ask(peer, Some(node), form, user, with_groups).await;
        made.map_err(|error| refuse(502, &error))?
    };
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

/// The series of this node for a user, everybody's for none: those of a moment ago if there are, else made one after the other.
async fn scrape(
    peer: &Peer,
    form: Form,
    user: Option<Arc<User>>,
    with_groups: bool,
) -> Option<Bytes> {
    let reader = (form, user.as_ref().map(|user| user.grants.raw().to_owned()), with_groups);
    let mut scrapes = peer.shared.scrapes.lock().await;
    scrapes.retain(|_, (made, _)| made.elapsed() < KEPT);
    if let Some((_, kept)) = scrapes.get(&reader) {
        return Some(kept.clone());
    }
    let made = ask(peer, None, form, user, with_groups).await.ok()?;
    scrapes.insert(reader, (Instant::now(), made.clone()));
    Some(made)
}

/// Has the series of a node made: this one, or another that is asked in the name of the user.
async fn ask(
    peer: &Peer,
    node: Option<&str>,
    form: Form,
    user: Option<Arc<User>>,
    with_groups: bool,
) -> Result<Bytes, String> {
    let request = Request::new(NodeMetrics {
        openmetrics: form == Form::OpenMetrics,
        cgroup: with_groups,
        grants: user.as_ref().map(|user| user.grants.raw().to_owned()),
    });
    let request = match node {
        Some(node) => request.on(NodeSpec::Names(vec![node.to_owned()])),
        None => request,
    };
    let caller = peer.caller(user.unwrap_or_else(Caller::root));
    let reply: Value = match (peer.shared.router)(peer.shared.mail.clone(), caller, request).await {
        Outcome::Json(reply) => reply,
        Outcome::Prepared(body) => {
            let read = move || serde_json::from_slice(&body.json()).unwrap_or_default();
            machine::blocking::run(read).await.map_err(|_| NOT_NOW.to_owned())?
        }
        Outcome::Nothing | Outcome::Stream(_) => Value::Null,
    };
    let part = reply["nodes"].as_object().and_then(|parts| parts.values().next());
    let part = part.unwrap_or(&reply);
    match part["data"].as_str() {
        Some(text) => Ok(Bytes::copy_from_slice(text.as_bytes())),
        None => Err(part["error"].as_str().unwrap_or(NOT_NOW).to_owned()),
    }
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
