//! What operators ask of the monitors: targets, a clear, a wake-up, a drain.

use std::time::Duration;

use model::{GlobalExpect, InstanceMonitor, InstanceStatus, Kind, ObjectPath};
use serde_json::json;
use tokio::time::Instant;
use wire::{
    NodeDrain, NodeMonitor, ObjectClear, RunDone, SetObjectMonitor, SetObjectStatus, WakeMonitor,
};

use super::{Context, NotNow, Outcome, refusal, shorten};
use crate::cluster_data::{RemoveInstance, SetInstanceMonitor, View, WatchGeneration};
use crate::node_monitor::{Drain, SetNodeMonitor, Wake};
use crate::propagation::{self, DELETE_TIME, Delete};
use crate::runner::{ActionFound, Post};
use crate::service_monitor::{Clear, SetMonitor};

/// A drain without limit of its own ends with the actions it runs, which have theirs.
const DRAIN_PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// How long a new object may take to be known: its file is there, its instance not yet. Deployed agents look five
/// times, 1 s apart.
const NEW_OBJECT_PATIENCE: Duration = Duration::from_secs(5);
/// How long an order for an object without a local instance is published.
const ORDER_LIFE: Duration = Duration::from_secs(3);
/// Pause between two looks at it.
const NEW_OBJECT_PAUSE: Duration = Duration::from_millis(200);

/// POST `object_clear`: the monitor of the local instance becomes idle, and forgets its restarts.
pub(super) async fn clear(context: &Context, options: &ObjectClear) -> Outcome {
    let path = ObjectPath::parse(&options.path).ok();
    let monitor = path.and_then(|path| context.routes.monitors.load().get(&path).cloned());
    // No instance, no failure to forget: the same to whoever asks.
    let busy = match monitor {
        None => None,
        Some(monitor) => match context.ask(&monitor, Clear).await {
            Ok(cleared) => cleared.err(),
            Err(not_now) => return not_now.into(),
        },
    };
    monitor::clear(&shorten(&options.path), busy.as_ref()).0.into()
}

/// Whether the cluster data keep up: what an order changes is told to them without waiting, so none is taken while they
/// do not.
async fn is_published(context: &Context) -> Result<(), NotNow> {
    context.ask(&context.routes.cluster_data, WatchGeneration).await.map(drop)
}

/// POST `node_monitor`.
pub(super) async fn set_node(context: &Context, options: &NodeMonitor) -> Outcome {
    let request = monitor::NodeRequest {
        status: options.status.clone(),
        local_expect: options.local_expect.clone(),
        global_expect: options.global_expect.clone(),
    };
    let (snapshot, config) = (context.snapshot(), context.config());
    let view = View::new(&snapshot, &config, false);
    let (reply, change) = monitor::set_node_monitor(&view, &request);
    if let Err(not_now) = is_published(context).await {
        return not_now.into();
    }
    if let Some(change) = change
        && let Err(not_now) =
            context.ask(&context.routes.node_monitor, SetNodeMonitor(change)).await
    {
        return not_now.into();
    }
    reply.to_json().into()
}

/// A request to delete an object that has no instances, hence no monitor that would reach a target.
fn deletion_of_plain(options: &SetObjectMonitor) -> Option<(ObjectPath, GlobalExpect)> {
    let target = GlobalExpect::from(options.global_expect.as_deref()?);
    let path = ObjectPath::parse(&options.path).ok()?;
    let is_plain = !path.kind().has_instances() && path.kind() != Kind::Ccfg;
    let is_deletion = matches!(target, GlobalExpect::Deleted | GlobalExpect::Purged);
    (is_plain && is_deletion).then_some((path, target))
}

/// Deletes an object without instances: here before the answer, on the other nodes as soon as they hear of it.
async fn delete_plain(context: &Context, path: ObjectPath, target: GlobalExpect) -> Outcome {
    if let Err(refusal) = context.known_object(path.as_str()) {
        let error = format!("object {path} does not exist");
        log::debug!(path:% = path, refusal:% = refusal; "nothing to delete");
        return json!({"status": 1, "data": {}, "error": [error]}).into();
    }
    let mut info = vec![format!("{path} defer target state set to {target}")];
    info.extend(told_later(context, &path));
    let purged = target == GlobalExpect::Purged;
    let order = Delete { path: path.clone(), purged, is_carried_out: true };
    match context.ask_for(&context.routes.propagation, order, DELETE_TIME).await {
        Ok(Ok(())) => json!({
            "status": 0, "data": {"global_expect": target}, "info": info,
        })
        .into(),
        Ok(Err(reason)) => {
            json!({"status": 1, "data": {}, "error": [format!("{path}: {reason}")]}).into()
        }
        Err(not_now) => not_now.into(),
    }
}

/// The line that tells which nodes follow a deletion only later.
fn told_later(context: &Context, path: &ObjectPath) -> Option<String> {
    let away = propagation::unreached(&context.snapshot(), &context.config().node, path);
    let away: Vec<&str> = away.iter().map(model::NodeName::as_str).collect();
    (!away.is_empty()).then(|| {
        format!(
            "not reached now: {}. What is there of {path} is deleted once it is back",
            away.join(", ")
        )
    })
}

/// POST `object_monitor`.
pub(super) async fn set_object(context: &Context, options: &SetObjectMonitor) -> Outcome {
    if let Some((path, target)) = deletion_of_plain(options) {
        return delete_plain(context, path, target).await;
    }
    let request = monitor::ObjectRequest {
        path: options.path.clone(),
        status: options.status.clone(),
        local_expect: options.local_expect.clone(),
        global_expect: options.global_expect.clone(),
        stonith: options.stonith.clone(),
        reset_retries: options.reset_retries,
    };
    let deadline = Instant::now() + NEW_OBJECT_PATIENCE;
    let (reply, changes) = loop {
        let (snapshot, config) = (context.snapshot(), context.config());
        let view = View::new(&snapshot, &config, false);
        let (reply, changes) = monitor::set_service_monitor(&view, &request);
        // Only objects with instances will have one; waiting for others is waiting for nothing.
        let is_new = reply.is_unknown_object
            && ObjectPath::parse(&options.path).is_ok_and(|path| {
                path.kind().has_instances() && config.objects.contains_key(&path)
            });
        if !is_new || Instant::now() >= deadline {
            break (reply, changes);
        }
        tokio::time::sleep(NEW_OBJECT_PAUSE).await;
    };
    let mut reply = reply;
    if !changes.is_empty()
        && let Err(not_now) = is_published(context).await
    {
        return not_now.into();
    }
    let is_deletion =
        |target: &GlobalExpect| matches!(target, GlobalExpect::Deleted | GlobalExpect::Purged);
    if reply.global_expect.as_ref().is_some_and(is_deletion) {
        let away = changes.iter().filter_map(|(path, _)| told_later(context, path));
        reply.info.extend(away);
    }
    for (path, mut change) in changes {
        if let Some(Some(target @ GlobalExpect::Restarted(None))) = &mut change.global_expect {
            let (snapshot, config) = (context.snapshot(), context.config());
            let view = View::new(&snapshot, &config, false);
            let time = monitor::restart_time(crate::clock::moment(), &path, &view);
            *target = GlobalExpect::Restarted(Some(time));
        }
        let Some(monitor) = context.routes.monitors.load().get(&path).cloned() else {
            if let Some(Some(target)) = change.global_expect {
                publish_order(context, path, target);
            }
            continue;
        };
        if let Err(not_now) = context.ask(&monitor, SetMonitor(change)).await {
            return not_now.into();
        }
    }
    reply.to_json().into()
}

/// An order for an object without a local instance: nobody here carries it out, so it is published for a while, for the
/// nodes that have one.
fn publish_order(context: &Context, path: ObjectPath, target: GlobalExpect) {
    // Before what the nodes that have it were asked earlier, whatever their clocks say.
    let snapshot = context.snapshot();
    let asked = snapshot.instances(&path).filter_map(|(_, status)| status.monitor.as_ref());
    let asked = asked.filter(|monitor| monitor.global_expect.is_some());
    let updated = asked.map(|monitor| monitor.global_expect_updated);
    let monitor = InstanceMonitor {
        global_expect: Some(target),
        global_expect_updated: Some(crate::clock::moment().newer_than(updated)),
        ..InstanceMonitor::default()
    };
    let set = SetInstanceMonitor { path: path.clone(), monitor: Box::new(monitor) };
    // Whoever asks too much at once asks again: an order that is not published is one that nobody carries out.
    if context.routes.cluster_data.try_send(set).is_err() {
        log::warn!(path:% = path; "an order is not published: the cluster data is busy");
        return;
    }
    let (routes, begin) = (context.routes.clone(), Instant::now());
    tokio::spawn(async move {
        tokio::time::sleep_until(begin + ORDER_LIFE).await;
        // What was installed meanwhile has a monitor of its own.
        if !routes.monitors.load().contains_key(&path) {
            _ = routes.cluster_data.send(RemoveInstance(path)).await;
        }
    });
}

/// POST `wake_monitor`: done either way.
pub(super) async fn wake(context: &Context, options: &WakeMonitor) -> Outcome {
    let path = match options.path.as_deref().map(ObjectPath::parse) {
        None => None,
        Some(Ok(path)) => Some(path),
        // No monitor has such an object: nobody to wake.
        Some(Err(_)) => return wire::reply::done().into(),
    };
    let reason = options.reason.as_deref().map(shorten).unwrap_or_default();
    log::debug!(path:? = path, reason = reason; "monitors woken");
    match context.ask(&context.routes.node_monitor, Wake(path)).await {
        Ok(()) => wire::reply::done().into(),
        Err(not_now) => not_now.into(),
    }
}

/// POST `run_done`: an action that the scheduler may have started ended.
pub(super) async fn run_done(context: &Context, options: &RunDone) -> Outcome {
    let path = match ObjectPath::parse(&options.path) {
        Ok(path) => path,
        Err(error) => return refusal(400, error.to_string()).into(),
    };
    let mut rids = options.rids.clone();
    rids.sort();
    let done = crate::scheduler::RunDone { path, action: options.action.clone(), rids };
    match context.ask(&context.routes.scheduler, done).await {
        Ok(()) => wire::reply::done().into(),
        Err(not_now) => not_now.into(),
    }
}

/// POST `node_drain`: freezes the node and shuts its instances down; told at once unless asked to wait.
pub(super) async fn drain(context: &Context, options: &NodeDrain) -> Outcome {
    let drain = Drain { time: options.time, is_after_split: false };
    if !options.wait {
        if context.routes.node_monitor.try_send(drain).is_err() {
            return NotNow.into();
        }
        return wire::reply::done().into();
    }
    let patience = options.time.map_or(DRAIN_PATIENCE, |time| time + super::ASK_PATIENCE);
    match context.ask_for(&context.routes.node_monitor, drain, patience).await {
        Ok(left) if left.is_empty() => wire::reply::done().into(),
        Ok(left) => {
            let node = &context.routes.nodename;
            let lines: Vec<String> = left.iter().map(|left| format!("{left} on {node}")).collect();
            wire::reply::error(1, lines).into()
        }
        Err(not_now) => not_now.into(),
    }
}

/// POST `object_status`: what a command found of the local instance.
pub(super) async fn set_status(context: &Context, options: &SetObjectStatus) -> Outcome {
    let path = match context.known_object(&options.path) {
        Ok(path) => path,
        Err(refusal) => return refusal.into(),
    };
    let status: InstanceStatus = match serde_json::from_value(options.data.clone()) {
        Ok(status) => status,
        Err(error) => return refusal(400, format!("option data: {error}")).into(),
    };
    let is_set = context.ask(&context.routes.runner, Post { path, status: Box::new(status) }).await;
    if let Some(session) = options.session.clone().filter(|_| is_set.is_ok()) {
        // Before the answer, or the action would end first.
        _ = context.ask(&context.routes.runner, ActionFound { session }).await;
    }
    match is_set {
        Ok(()) => wire::reply::info("instance status updated").into(),
        Err(not_now) => not_now.into(),
    }
}
