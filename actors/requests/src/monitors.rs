//! What operators ask of the monitors: targets, a clear, a wake-up, a drain.

use std::sync::Arc;
use std::time::Duration;

use dataset::view::View;
use files::deletions;
use files::deletions::DELETE_TIME;
use mail::cluster_data::{RemoveInstance, SetInstanceMonitor, WatchGeneration};
use mail::node_monitor::{Drain, SetNodeMonitor, Wake};
use mail::propagation::Delete;
use mail::requests::{NotNow, Outcome, Refused};
use mail::runner::{ActionFound, Post};
use mail::service_monitor::{Clear, SetMonitor, ToServiceMonitor};
use model::{GlobalExpect, InstanceMonitor, InstanceStatus, Kind, ObjectPath};
use serde_json::json;
use tokio::time::Instant;
use wire::{
    NodeDrain, NodeMonitor, ObjectClear, RunDone, SetObjectMonitor, SetObjectStatus, WakeMonitor,
};

use crate::context::{ASK_PATIENCE, Context, shorten};

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
pub(super) async fn clear(context: &Context, options: &ObjectClear) -> Result<Outcome, Refused> {
    let path = ObjectPath::parse(&options.path).ok();
    let monitor = path.and_then(|path| context.mail.monitors.load().get(&path).cloned());
    // No instance, no failure to forget: the same to whoever asks.
    let busy = match monitor {
        None => None,
        Some(monitor) => {
            context.note_asked(ObjectPath::parse(&options.path).ok().as_ref(), "clear");
            context.ask(&*monitor, Clear).await?.err()
        }
    };
    Ok(monitor::clear(&shorten(&options.path), busy.as_ref()).0.into())
}

/// Whether the cluster data keep up: what an order changes is told to them without waiting, so none is taken while they
/// do not.
async fn is_published(context: &Context) -> Result<(), NotNow> {
    context.ask(&context.mail.cluster_data, WatchGeneration).await.map(drop)
}

/// POST `node_monitor`.
pub(super) async fn set_node(context: &Context, options: &NodeMonitor) -> Result<Outcome, Refused> {
    let request = monitor::NodeRequest {
        status: options.status.clone(),
        local_expect: options.local_expect.clone(),
        global_expect: options.global_expect.clone(),
    };
    let (snapshot, config) = (context.snapshot(), context.config());
    let view = View::new(&snapshot, &config, false);
    let (reply, change) = monitor::set_node_monitor(&view, &request);
    is_published(context).await?;
    if let Some(change) = change {
        let words = [&options.global_expect, &options.local_expect];
        words.into_iter().flatten().for_each(|word| context.note_asked(None, &shorten(word)));
        context.ask(&context.mail.node_monitor, SetNodeMonitor(change)).await?;
    }
    Ok(reply.to_json().into())
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
async fn delete_plain(
    context: &Context,
    path: ObjectPath,
    target: GlobalExpect,
) -> Result<Outcome, Refused> {
    let failed = |error: String| Outcome::Json(json!({"status": 1, "data": {}, "error": [error]}));
    if let Err(refused) = context.known_object(path.as_str()).await {
        log::debug!(path:% = path, reason = refused.error; "nothing to delete");
        return Ok(failed(format!("object {path} does not exist")));
    }
    let mut info = vec![format!("{path} defer target state set to {target}")];
    info.extend(told_later(context, &path));
    let purged = target == GlobalExpect::Purged;
    let order = Delete { path: path.clone(), purged, is_carried_out: true };
    Ok(match context.ask_for(&context.mail.propagation, order, DELETE_TIME).await? {
        Ok(()) => json!({"status": 0, "data": {"global_expect": target}, "info": info}).into(),
        Err(reason) => failed(format!("{path}: {reason}")),
    })
}

/// The line that tells which nodes follow a deletion only later.
fn told_later(context: &Context, path: &ObjectPath) -> Option<String> {
    let away = deletions::unreached(&context.snapshot(), &context.config().node, path);
    let away: Vec<&str> = away.iter().map(model::NodeName::as_str).collect();
    (!away.is_empty()).then(|| {
        format!(
            "not reached now: {}. What is there of {path} is deleted once it is back",
            away.join(", ")
        )
    })
}

/// POST `object_monitor`.
pub(super) async fn set_object(
    context: &Context,
    options: &SetObjectMonitor,
) -> Result<Outcome, Refused> {
    if let Some((path, target)) = deletion_of_plain(options) {
        return delete_plain(context, path, target).await;
    }
    let mut request = monitor::ObjectRequest {
        path: options.path.clone(),
        status: options.status.clone(),
        local_expect: options.local_expect.clone(),
        global_expect: options.global_expect.clone(),
        stonith: options.stonith.clone(),
        reset_retries: options.reset_retries,
        is_late: false,
    };
    let deadline = Instant::now() + NEW_OBJECT_PATIENCE;
    let (reply, changes) = loop {
        let (snapshot, config) = (context.snapshot(), context.config());
        let view = View::new(&snapshot, &config, false);
        let (reply, changes) = monitor::set_service_monitor(&view, &request);
        // Only objects with instances will have one; waiting for others is waiting for nothing.
        let is_new = reply.is_unknown_object
            && ObjectPath::parse(&options.path).is_ok_and(|path| {
                let is_coming = || context.mail.paths.config_file(&path).exists();
                path.kind().has_instances() && (config.objects.contains_key(&path) || is_coming())
            });
        if !(is_new || reply.is_too_early) || request.is_late {
            break (reply, changes);
        }
        request.is_late = Instant::now() >= deadline;
        tokio::time::sleep(NEW_OBJECT_PAUSE).await;
    };
    let mut reply = reply;
    if !changes.is_empty() {
        is_published(context).await?;
    }
    let is_deletion =
        |target: &GlobalExpect| matches!(target, GlobalExpect::Deleted | GlobalExpect::Purged);
    if reply.global_expect.as_ref().is_some_and(is_deletion) {
        let away = changes.iter().filter_map(|(path, _)| told_later(context, path));
        reply.info.extend(away);
    }
    for (path, mut change) in changes {
        // What a command tells of itself is no order.
        let orders = [&options.global_expect, &options.local_expect];
        for order in orders.into_iter().flatten().filter(|_| options.status.is_none()) {
            context.note_asked(Some(&path), &shorten(order));
        }
        if let Some(Some(target @ GlobalExpect::Restarted(None))) = &mut change.global_expect {
            let (snapshot, config) = (context.snapshot(), context.config());
            let view = View::new(&snapshot, &config, false);
            let time = monitor::restart_time(machine::clock::moment(), &path, &view);
            *target = GlobalExpect::Restarted(Some(time));
        }
        let Some(monitor) = monitor_of(context, &path, deadline).await else {
            if let Some(Some(target)) = change.global_expect {
                publish_order(context, path, target);
            }
            continue;
        };
        context.ask(&*monitor, SetMonitor(change)).await?;
    }
    Ok(reply.to_json().into())
}

/// The monitor of an object, waited for where the object was only just configured here, and may not even be read yet: it
/// would start without an order that is published for nodes that have instances.
async fn monitor_of(
    context: &Context,
    path: &ObjectPath,
    deadline: Instant,
) -> Option<Arc<ToServiceMonitor>> {
    loop {
        let monitor = context.mail.monitors.load().get(path).cloned();
        let file = context.mail.paths.config_file(path);
        let is_coming = path.kind().has_instances() && file.exists();
        if monitor.is_some() || !is_coming || Instant::now() >= deadline {
            return monitor;
        }
        tokio::time::sleep(NEW_OBJECT_PAUSE).await;
    }
}

/// An order for an object without a local instance: nobody here carries it out, so it is published for a while, for the
/// nodes that have one.
fn publish_order(context: &Context, path: ObjectPath, target: GlobalExpect) {
    // Before what the nodes that have it were asked earlier, whatever their clocks say.
    let snapshot = context.snapshot();
    let asked = snapshot.instances(&path).filter_map(|(_, status)| status.monitor.as_ref());
    let asked = asked.filter(|monitor| monitor.global_expect.is_some());
    let mut updated: Vec<_> = asked.map(|monitor| monitor.global_expect_updated).collect();
    if matches!(target, GlobalExpect::Deleted | GlobalExpect::Purged) {
        // An order that seems older than the configuration is about an earlier object.
        let copies = snapshot.nodes().values().filter_map(|node| node.config.get(&path));
        updated.extend(copies.map(|entry| Some(entry.updated)));
    }
    let monitor = InstanceMonitor {
        global_expect: Some(target),
        global_expect_updated: Some(machine::clock::moment().newer_than(updated)),
        ..InstanceMonitor::default()
    };
    let set = SetInstanceMonitor { path: path.clone(), monitor: Box::new(monitor) };
    // Whoever asks too much at once asks again: an order that is not published is one that nobody carries out.
    if context.mail.cluster_data.try_send(set).is_err() {
        log::warn!(path:% = path; "an order is not published: the cluster data is busy");
        return;
    }
    let (mail, begin) = (context.mail.clone(), Instant::now());
    tokio::spawn(async move {
        tokio::time::sleep_until(begin + ORDER_LIFE).await;
        // What was installed meanwhile has a monitor of its own.
        if !mail.monitors.load().contains_key(&path) {
            _ = mail.cluster_data.send(RemoveInstance(path)).await;
        }
    });
}

/// POST `wake_monitor`: done either way.
pub(super) async fn wake(context: &Context, options: &WakeMonitor) -> Result<Outcome, Refused> {
    let path = match options.path.as_deref().map(ObjectPath::parse) {
        None => None,
        Some(Ok(path)) => Some(path),
        // No monitor has such an object: nobody to wake.
        Some(Err(_)) => return Ok(wire::reply::done().into()),
    };
    let reason = options.reason.as_deref().map(shorten).unwrap_or_default();
    log::debug!(path:? = path, reason = reason; "monitors woken");
    context.ask(&context.mail.node_monitor, Wake(path)).await?;
    Ok(wire::reply::done().into())
}

/// POST `run_done`: an action that the scheduler may have started ended.
pub(super) async fn run_done(context: &Context, options: &RunDone) -> Result<Outcome, Refused> {
    let path =
        ObjectPath::parse(&options.path).map_err(|error| Refused::new(400, error.to_string()))?;
    let mut rids = options.rids.clone();
    rids.sort();
    let done = mail::scheduler::RunDone { path, action: options.action.clone(), rids };
    context.ask(&context.mail.scheduler, done).await?;
    Ok(wire::reply::done().into())
}

/// POST `node_drain`: freezes the node and shuts its instances down; told at once unless asked to wait.
pub(super) async fn drain(context: &Context, options: &NodeDrain) -> Result<Outcome, Refused> {
    let drain = Drain { time: options.time, is_after_split: false };
    context.note_asked(None, "drain");
    if !options.wait {
        context.mail.node_monitor.try_send(drain).map_err(|_| NotNow)?;
        return Ok(wire::reply::done().into());
    }
    let patience = options.time.map_or(DRAIN_PATIENCE, |time| time + ASK_PATIENCE);
    let left = context.ask_for(&context.mail.node_monitor, drain, patience).await?;
    if left.is_empty() {
        return Ok(wire::reply::done().into());
    }
    let node = &context.mail.nodename;
    let lines: Vec<String> = left.iter().map(|left| format!("{left} on {node}")).collect();
    Ok(wire::reply::error(1, lines).into())
}

/// POST `object_status`: what a command found of the local instance.
pub(super) async fn set_status(
    context: &Context,
    options: &SetObjectStatus,
) -> Result<Outcome, Refused> {
    let path = context.known_object(&options.path).await?;
    let status: InstanceStatus = serde_json::from_value(options.data.clone())
        .map_err(|error| Refused::new(400, format!("option data: {error}")))?;
    let is_set = context.ask(&context.mail.runner, Post { path, status: Box::new(status) }).await;
    if let Some(session) = options.session.clone().filter(|_| is_set.is_ok()) {
        // Before the answer, or the action would end first.
        _ = context.ask(&context.mail.runner, ActionFound { session }).await;
    }
    is_set?;
    Ok(wire::reply::info("instance status updated").into())
}
