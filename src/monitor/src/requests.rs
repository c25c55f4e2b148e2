//! Requests that set a target: what is accepted, and the texts of the answer.

use std::collections::BTreeSet;

use model::{
    Frozen, GlobalExpect, Kind, LocalExpect, MonitorStatus, NodeMonitorStatus, NodeName,
    ObjectPath, Orchestrate, Provisioned, Status,
};
use serde_json::{Map, Value, json};

use crate::{
    Change, NodeChange, ObjectView, World, cluster_frozen, is_coming_up, is_ended_by_abort, ranks,
};

/// Answer to a request that sets a target.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reply {
    /// Lines about what is done, or was done already.
    pub info: Vec<String>,
    /// Lines about what is refused. Their number is the status.
    pub error: Vec<String>,
    /// The target that was accepted.
    pub global_expect: Option<GlobalExpect>,
    /// The object is not known, which may be too early to tell when it has just been configured: worth asking
    /// again, for 5 s at most.
    pub is_unknown_object: bool,
    /// A destination is a node of the object, and does not show its instance yet: worth asking again, as long.
    pub is_too_early: bool,
}

impl Reply {
    /// The body of the reply.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut data = Map::new();
        if let Some(target) = &self.global_expect {
            data.insert("global_expect".to_owned(), json!(target));
        }
        let mut body = Map::new();
        body.insert("data".to_owned(), Value::Object(data));
        body.insert("status".to_owned(), json!(self.error.len()));
        if !self.info.is_empty() {
            body.insert("info".to_owned(), json!(self.info));
        }
        if !self.error.is_empty() {
            body.insert("error".to_owned(), json!(self.error));
        }
        Value::Object(body)
    }
}

/// Options of `node_monitor`, as read: none for null or absent.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NodeRequest {
    /// Any text.
    pub status: Option<String>,
    /// Any text; `unset` unsets.
    pub local_expect: Option<String>,
    /// `thawed` or `frozen`.
    pub global_expect: Option<String>,
}

/// Validates a `node_monitor` request. The change is to be applied, unless there is none.
#[must_use]
pub fn set_node_monitor(world: &dyn World, request: &NodeRequest) -> (Reply, Option<NodeChange>) {
    let mut reply = Reply::default();
    let mut change = NodeChange {
        status: request.status.as_deref().filter(|t| !t.is_empty()).map(NodeMonitorStatus::from),
        local_expect: request
            .local_expect
            .as_deref()
            .filter(|text| !text.is_empty())
            .map(|text| (text != "unset").then(|| LocalExpect::from(text))),
        global_expect: None,
    };
    let Some(text) = &request.global_expect else {
        reply.info.push("cluster target state set to None".to_owned());
        return (reply, Some(change));
    };
    let target = GlobalExpect::from(text.as_str());
    let reached = match target {
        GlobalExpect::Frozen => Frozen::Frozen,
        GlobalExpect::Thawed => Frozen::Thawed,
        _ => {
            reply.error.push(format!("invalid global_expect value: {text}"));
            return (reply, None);
        }
    };
    if cluster_frozen(world) == reached {
        reply.info.push(format!("cluster is already {text}"));
        return (reply, None);
    }
    reply.info.push(format!("cluster target state set to {text}"));
    reply.global_expect = Some(target.clone());
    change.global_expect = Some(Some(target));
    (reply, Some(change))
}

/// Answer to `clear`; the change is to be applied, unless there is none.
#[must_use]
pub fn clear(path: &str, status: Option<&MonitorStatus>) -> (Value, Option<Change>) {
    match status {
        Some(status) if status.is_transitioning() => {
            let info = format!("skip clear on {status} instance");
            (json!({ "info": info, "status": 0 }), None)
        }
        Some(_) | None => {
            let info = format!("{path} instance cleared");
            (json!({ "info": info, "status": 0 }), Some(Change::clear()))
        }
    }
}

/// Options of `object_monitor`, as read: none for null or absent.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ObjectRequest {
    /// The object, as written.
    pub path: String,
    /// Any text.
    pub status: Option<String>,
    /// Any text; `unset` unsets.
    pub local_expect: Option<String>,
    /// A target; `unset` unsets.
    pub global_expect: Option<String>,
    /// A node; `unset` unsets.
    pub stonith: Option<String>,
    /// Forget the restart counters.
    pub reset_retries: bool,
    /// It was waited for in vain: what no node has evaluated yet takes the targets that need no state.
    pub is_late: bool,
}

/// How the validation of one target object ends.
enum Verdict {
    Accept(Option<GlobalExpect>),
    Info(String),
    Error(String),
    Unknown,
    /// A destination will have an instance, and has none yet.
    Early(String),
}

/// Validates an `object_monitor` request, for the object and its slaves. The changes are to be applied in order.
#[must_use]
pub fn set_service_monitor(
    world: &dyn World,
    request: &ObjectRequest,
) -> (Reply, Vec<(ObjectPath, Change)>) {
    let mut reply = Reply::default();
    let mut changes = vec![];
    for path in targets(world, request) {
        // An empty text sets nothing, as null.
        let wanted = request.global_expect.as_deref().filter(|text| !text.is_empty());
        match validate(world, &path, wanted, request.is_late) {
            Verdict::Accept(target) => {
                let text = target.as_ref().map_or("None".to_owned(), ToString::to_string);
                reply.info.push(format!("{path} defer target state set to {text}"));
                match target {
                    Some(GlobalExpect::Aborted) => {
                        reply.info.extend(ended_by_abort(world, &path));
                    }
                    Some(GlobalExpect::Stopped) => reply.info.extend(ends_first(world, &path)),
                    _ => {}
                }
                if let Ok(path) = ObjectPath::parse(&path) {
                    changes.push((path, change(request, target.as_ref())));
                }
                if target.is_some() {
                    reply.global_expect = target;
                }
            }
            Verdict::Info(text) => reply.info.push(text),
            Verdict::Error(text) => reply.error.push(text),
            Verdict::Early(text) => {
                reply.error.push(text);
                reply.is_too_early = true;
            }
            Verdict::Unknown => {
                reply.error.push(unknown(world, &path));
                reply.is_unknown_object = true;
            }
        }
    }
    (reply, changes)
}

/// Why an object takes no target: it is not there, or nobody knows how it is.
fn unknown(world: &dyn World, text: &str) -> String {
    match ObjectPath::parse(text).ok().and_then(|path| unevaluated_on(world, &path)) {
        Some(node) => format!(
            "{text} was not evaluated yet: something of it answers late on {node}: `om {text} print status`"
        ),
        None => format!("object {text} does not exist"),
    }
}

/// A node that is to run the object, has its configuration and does not know yet how it is.
fn unevaluated_on(world: &dyn World, path: &ObjectPath) -> Option<NodeName> {
    if !path.kind().has_instances() {
        return None;
    }
    let view = ObjectView::new(world, path);
    view.instances
        .iter()
        .map(|seen| seen.node)
        .find(|node| world.config(node, path).is_some())
        .cloned()
}

/// What an abort ends, and what becomes of the object then.
fn ended_by_abort(world: &dyn World, text: &str) -> Vec<String> {
    let Ok(path) = ObjectPath::parse(text) else { return vec![] };
    let view = ObjectView::new(world, &path);
    let is_held = view.settings.is_some_and(|it| it.orchestrate != Orchestrate::No);
    let running = view.known().filter(|seen| is_ended_by_abort(&seen.monitor.status));
    running
        .map(|seen| {
            let (node, status) = (seen.node, &seen.monitor.status);
            let is_start = matches!(status, MonitorStatus::Starting | MonitorStatus::Restarting);
            let held = if is_start && is_held {
                format!(", then {text} is frozen: `om {text} thaw` lets it go on")
            } else {
                String::new()
            };
            format!("{text} on {node}: {status} is ended{held}")
        })
        .collect()
}

/// Whether what runs takes away what a stop is about: a stop would take its place halfway.
fn is_being_undone(status: &MonitorStatus) -> bool {
    use MonitorStatus as S;
    matches!(status, S::Deleting | S::Purging | S::Unprovisioning)
}

/// What has to end before a stop begins.
fn ends_first(world: &dyn World, text: &str) -> Vec<String> {
    let Ok(path) = ObjectPath::parse(text) else { return vec![] };
    let view = ObjectView::new(world, &path);
    let running = view.known().filter(|seen| {
        is_ended_by_abort(&seen.monitor.status) && seen.monitor.status != MonitorStatus::Stopping
    });
    running
        .map(|seen| {
            let (node, status) = (seen.node, &seen.monitor.status);
            format!("{text} on {node}: {status} ends first: `om {text} abort` ends it now")
        })
        .collect()
}

fn change(request: &ObjectRequest, target: Option<&GlobalExpect>) -> Change {
    let is_unset = |text: &str| text == "unset";
    let filled = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    Change {
        status: filled(&request.status).map(|text| MonitorStatus::from(text.as_str())),
        local_expect: filled(&request.local_expect)
            .map(|text| (!is_unset(&text)).then(|| LocalExpect::from(text.as_str()))),
        global_expect: target.map(|target| match target {
            GlobalExpect::Other(text) if is_unset(text) => None,
            target => Some(target.clone()),
        }),
        stonith: filled(&request.stonith).map(|text| (!is_unset(&text)).then_some(text)),
        reset_retries: request.reset_retries,
    }
}

/// The object, then its slaves and scaler slaves, recursively, each once.
fn targets(world: &dyn World, request: &ObjectRequest) -> Vec<String> {
    let mut found = vec![request.path.clone()];
    if request.global_expect.as_deref() == Some("scaled") {
        return found;
    }
    let mut seen = BTreeSet::from([request.path.clone()]);
    let mut next = 0;
    while let Some(text) = found.get(next) {
        next += 1;
        let Ok(path) = ObjectPath::parse(text) else { continue };
        let view = ObjectView::new(world, &path);
        let Some(first) = view.instances.first() else { continue };
        let slaves = first.status.all_slaves(&path).map(|slave| slave.to_string());
        found.extend(slaves.filter(|slave| seen.insert(slave.clone())));
    }
    found
}

fn validate(world: &dyn World, text: &str, wanted: Option<&str>, is_late: bool) -> Verdict {
    let Some(word) = wanted else { return Verdict::Accept(None) };
    let target = GlobalExpect::from(word);
    let Ok(path) = ObjectPath::parse(text) else { return Verdict::Unknown };
    if !is_supported(&target, path.kind()) {
        return Verdict::Error(format!(
            "reject set global_expect={word} request on {text}: not supported on {} objects",
            path.kind()
        ));
    }
    if matches!(target, GlobalExpect::Frozen | GlobalExpect::Aborted | GlobalExpect::Provisioned) {
        return Verdict::Accept(Some(target));
    }
    let view = ObjectView::new(world, &path);
    // A status of an object without instances says that its node is there, and nothing that a target is about.
    if !path.kind().has_instances() && path.kind() != Kind::Ccfg {
        return Verdict::Unknown;
    }
    if view.known().next().is_none() {
        let needs_no_state =
            matches!(target, GlobalExpect::Thawed | GlobalExpect::Deleted | GlobalExpect::Purged);
        return match is_late && needs_no_state && unevaluated_on(world, &path).is_some() {
            true => Verdict::Accept(Some(target)),
            false => Verdict::Unknown,
        };
    }
    let is_targeting = |monitor: &model::InstanceMonitor| {
        monitor.global_expect.as_ref().is_some_and(|current| *current == target)
    };
    let is_stop = target == GlobalExpect::Stopped;
    if let Some((node, status)) = in_the_way(&view, &target) {
        return Verdict::Error(format!("{text} instance on node {node} in {status} state"));
    }
    if view.known().all(|seen| is_targeting(seen.monitor)) {
        return Verdict::Info(format!("{text} is already targeting {word}"));
    }
    match &target {
        GlobalExpect::Started | GlobalExpect::Stopped => {
            let avail = view.aggregate().avail;
            let is_done = match target {
                GlobalExpect::Started => avail == Some(Status::Up),
                _ => matches!(avail, Some(Status::Down | Status::StdbyDown | Status::StdbyUp)),
            };
            // Beside deployed agents: it is not there to stay. In a switch it is down between the stop and the start.
            let is_contrary = |pending: &GlobalExpect| match &target {
                GlobalExpect::Started => {
                    matches!(pending, GlobalExpect::Stopped | GlobalExpect::Shutdown)
                }
                _ => matches!(
                    pending,
                    GlobalExpect::Started
                        | GlobalExpect::Restarted(_)
                        | GlobalExpect::Placed
                        | GlobalExpect::PlacedAt(_)
                ),
            };
            let is_about_to_end = view.known().any(|seen| {
                seen.monitor.global_expect.as_ref().is_some_and(is_contrary)
                    || (is_stop && is_coming_up(&seen.monitor.status))
            });
            if is_done && !is_about_to_end {
                Verdict::Info(format!("{text} is already {word}"))
            } else if target == GlobalExpect::Started
                && view.aggregate().provisioned == Some(Provisioned::No)
            {
                // Deployed agents keep the target, and nothing ever reaches it.
                Verdict::Error(format!(
                    "{text} is not provisioned: `om {text} provision` provisions and starts it"
                ))
            } else if matches!(avail, Some(Status::NotApplicable | Status::Undef)) {
                // Deployed agents answer with an empty line.
                Verdict::Info(why_nothing(&view, text))
            } else {
                Verdict::Accept(Some(target))
            }
        }
        GlobalExpect::PlacedAt(nodes) if &**nodes == "<peer>" => choose_destination(&view),
        GlobalExpect::PlacedAt(nodes) => check_destinations(&view, text, nodes, &target),
        _ => Verdict::Accept(Some(target)),
    }
}

/// The first instance that moves and takes no such target now.
fn in_the_way<'w>(
    view: &ObjectView<'w>,
    target: &GlobalExpect,
) -> Option<(&'w NodeName, &'w MonitorStatus)> {
    let found = view.known().find(|seen| {
        let status = &seen.monitor.status;
        let current = seen.monitor.global_expect.as_ref();
        let is_free = *status == MonitorStatus::Idle
            || status.is_failed()
            || status.as_str().contains("wait")
            || match target {
                // What moves is stopped once it has moved: an operator who wants it down need not wait for that.
                GlobalExpect::Stopped => !is_being_undone(status),
                // What moves without an order goes on, thawed: nobody's target is replaced.
                GlobalExpect::Thawed => current.is_none(),
                GlobalExpect::Placed => *status == MonitorStatus::Tocing,
                _ => false,
            };
        current != Some(target) && !is_free
    });
    found.map(|seen| (seen.node, &seen.monitor.status))
}

/// A resource that could be up or down if it had a check, by its id.
pub(crate) fn unwatched<'w>(view: &ObjectView<'w>) -> Option<&'w str> {
    let mut resources = view.known().flat_map(|seen| seen.status.resources.iter().flatten());
    let is_unwatched = |log: &String| log.starts_with("info: no check:");
    let found = resources.find(|(_, resource)| resource.log.iter().any(is_unwatched));
    found.map(|(rid, _)| rid.as_str())
}

/// Why a start or stop has nothing to do.
fn why_nothing(view: &ObjectView<'_>, text: &str) -> String {
    let settings = view.settings;
    if settings.is_some_and(|settings| settings.disabled) {
        return format!("{text} is disabled: `om {text} enable`");
    }
    let has_resources = |seen: &crate::Seen<'_>| {
        seen.status.resources.as_ref().is_some_and(|resources| !resources.is_empty())
    };
    match view.aggregate().avail {
        Some(Status::Undef) => format!("{text} is undef: its resources cannot be evaluated"),
        _ if view.known().any(has_resources) => {
            let why =
                unwatched(view).map(|rid| format!(": give {rid} a check")).unwrap_or_default();
            format!("{text} is n/a: none of its resources can be up or down{why}")
        }
        _ => format!("{text} has no resource of its own"),
    }
}

fn is_supported(target: &GlobalExpect, kind: Kind) -> bool {
    match target {
        GlobalExpect::Deleted | GlobalExpect::Purged => kind != Kind::Ccfg,
        GlobalExpect::Frozen
        | GlobalExpect::Thawed
        | GlobalExpect::Provisioned
        | GlobalExpect::Unprovisioned
        | GlobalExpect::Shutdown
        | GlobalExpect::Started
        | GlobalExpect::Stopped
        | GlobalExpect::Placed => matches!(kind, Kind::Svc | Kind::Vol),
        GlobalExpect::Aborted
        | GlobalExpect::PlacedAt(_)
        | GlobalExpect::Restarted(_)
        | GlobalExpect::Scaled
        | GlobalExpect::Other(_) => true,
    }
}

fn is_flex(view: &ObjectView<'_>) -> bool {
    view.known().any(|seen| seen.status.topology.as_deref() == Some("flex"))
}

/// `placed@<peer>`: the best ranked node where the object is not active.
fn choose_destination(view: &ObjectView<'_>) -> Verdict {
    if is_flex(view) {
        return Verdict::Error("no destination node specified".to_owned());
    }
    let is_inactive = |avail: &Option<Status>| {
        !matches!(avail, Some(Status::Up | Status::Warn | Status::NotApplicable))
    };
    let eligible: Vec<&NodeName> =
        view.known().filter(|seen| is_inactive(&seen.status.avail)).map(|seen| seen.node).collect();
    match ranks(view, &eligible).first() {
        Some(node) => Verdict::Accept(Some(GlobalExpect::PlacedAt(node.as_str().into()))),
        None => Verdict::Error("no candidate destination node".to_owned()),
    }
}

/// Whether a node that is heard is to have an instance: some node says so of the configuration.
fn is_to_run(view: &ObjectView<'_>, name: &str) -> bool {
    let Ok(node) = NodeName::new(name) else { return false };
    let (world, path) = (view.world, view.path);
    let is_named = |other: &NodeName| {
        world.config(other, path).is_some_and(|entry| entry.scope.contains(&node))
    };
    world.node(&node).is_some() && view.instances.iter().any(|seen| is_named(seen.node))
}

fn check_destinations(
    view: &ObjectView<'_>,
    text: &str,
    nodes: &str,
    target: &GlobalExpect,
) -> Verdict {
    let nodes: Vec<&str> = nodes.split(',').collect();
    if nodes.len() > 1 && !is_flex(view) {
        return Verdict::Error(
            "only one destination node can be specified for a failover service".to_owned(),
        );
    }
    for node in nodes {
        if node.is_empty() {
            return Verdict::Error("empty destination node".to_owned());
        }
        let Some(seen) = view.known().find(|seen| seen.node.as_str() == node) else {
            let reason = format!("destination node {node} has no {text} instance");
            return if is_to_run(view, node) {
                Verdict::Early(reason)
            } else {
                Verdict::Error(reason)
            };
        };
        if seen.status.avail == Some(Status::Up) {
            return Verdict::Info(format!("instance on destination node {node} is already up"));
        }
    }
    Verdict::Accept(Some(target.clone()))
}
