//! The requests: what each action of the protocol does, and what it answers (src/wire/README.md, Table of requests).
//!
//! Run on the arbiter of the connection that read the request. Facts are read from the newest snapshot and the loaded
//! configuration; every change of state is a message to its owner, with a deadline; files are read on the blocking pool.

mod access;
mod actions;
mod asset;
mod blacklist;
pub(crate) mod catalog;
mod config;
mod context;
mod create;
pub(crate) mod edit;
mod events;
mod explain;
mod follower;
mod forwarding;
mod history;
pub mod keys;
mod locks;
pub(crate) mod logs;
mod membership;
mod monitors;
mod multiplex;
mod node_metrics;
mod own_options;
pub mod relay;
mod selection;
mod stats;
mod status;
mod streams;
mod threads;
mod wait;
mod whole_config;

use std::sync::Arc;

use futures_util::future::LocalBoxFuture;
use wire::{Action, Request};

use mail::mail::Mail;
use mail::requests::{Caller, Outcome, Refused};

use crate::context::Context;

/// The router: [`handle`], as root hands it to the listener.
#[must_use]
pub fn route(
    mail: Arc<Mail>,
    caller: Caller,
    request: Request,
) -> LocalBoxFuture<'static, Outcome> {
    Box::pin(async move { handle(&mail, &caller, request).await })
}

/// Carries out a request that its sender may make, and answers it. Never panics, and never waits without a deadline.
pub async fn handle(mail: &Arc<Mail>, caller: &Caller, mut request: Request) -> Outcome {
    let context = Context { mail: mail.clone(), caller: caller.clone(), answer: boxed_answer };
    if !is_of_the_daemon(&request.action) {
        mail.first_reading().await;
    }
    if let Err(refused) = access::name_options(&context, &mut request) {
        return refused.into();
    }
    if let Err(refused) = access::check(&context, &request).await {
        return refused;
    }
    access::reduce(&context, &mut request);
    let begun = access::begun(&context, &request);
    let answered = match &request.action {
        // Never run where it was received: each object goes to its own nodes.
        Action::ObjectCreate(options) if !request.multiplexed => {
            create::create_everywhere(&context, options).await
        }
        _ if request.is_fanned_out() => multiplex::fan_out(&context, &request).await,
        _ => answer(&context, &request).await,
    };
    let outcome = answered.unwrap_or_else(Outcome::from);
    if !begun.is_empty() {
        access::grant_begun(&context, begun, &outcome).await;
    }
    access::filtered(&context, &request, outcome).await
}

/// Whether a request is of the daemon alone: no object and no setting matters to its answer.
fn is_of_the_daemon(action: &Action) -> bool {
    matches!(
        action,
        Action::BlacklistClear(_)
            | Action::BlacklistStatus(_)
            | Action::DaemonStart(_)
            | Action::DaemonStop(_)
            | Action::DaemonShutdown(_)
    )
}

/// Answers a request for the local node, for handlers that ask their own node.
fn boxed_answer<'a>(context: &'a Context, request: &'a Request) -> LocalBoxFuture<'a, Outcome> {
    Box::pin(async { answer(context, request).await.unwrap_or_else(Outcome::from) })
}

/// Answers a request for the local node.
async fn answer(context: &Context, request: &Request) -> Result<Outcome, Refused> {
    match &request.action {
        Action::BlacklistClear(_) => blacklist::clear(context).await,
        Action::BlacklistStatus(_) => Ok(blacklist::status(context)),
        Action::DaemonStatus(options) => status::daemon_status(context, options).await,
        Action::DaemonStop(options) => threads::stop(context, options).await,
        Action::DaemonStart(options) => threads::start(context, options).await,
        Action::DaemonShutdown(options) => threads::shutdown(context, options).await,
        Action::ObjectConfig(options) => config::object_config(context, options).await,
        Action::SetObjectConfig(options) => whole_config::set(context, options).await,
        Action::NodeConfig(options) => config::node_config(context, options).await,
        Action::ObjectClear(options) => monitors::clear(context, options).await,
        Action::NodeMonitor(options) => monitors::set_node(context, options).await,
        Action::SetObjectMonitor(options) => monitors::set_object(context, options).await,
        Action::GetObjectMonitor(options) => status::object_monitor(context, options).await,
        Action::WakeMonitor(options) => monitors::wake(context, options).await,
        Action::RunDone(options) => monitors::run_done(context, options).await,
        Action::NodeDrain(options) => monitors::drain(context, options).await,
        Action::SetObjectStatus(options) => monitors::set_status(context, options).await,
        Action::ObjectStatus(options) => Ok(status::object_status(context, options)),
        Action::ObjectExplain(options) => {
            explain::explain(context, options, request.multiplexed).await
        }
        Action::ObjectHistory(options) => history::of_object(context, options).await,
        Action::NodeHistory(options) => history::of_node(context, options).await,
        Action::ClusterWhatIf(options) => explain::what_if(context, options).await,
        Action::ObjectSelector(options) => status::object_selector(context, options).await,
        Action::NodesInfo(_) => Ok(status::nodes_info(context)),
        Action::AskFull(options) => status::ask_full(context, options),
        Action::Join(options) => membership::join(context, options).await,
        Action::Leave(_) => Ok(membership::leave(context).await),
        Action::RotateSecret(options) => membership::rotate_secret(context, options).await,
        Action::ObjectAction(options) => actions::object_action(context, options).await,
        Action::NodeAction(options) => actions::node_action(context, options).await,
        Action::ObjectCreate(options) => create::create_here(context, options).await,
        Action::ObjectBacklogs(options) => logs::object_backlogs(context, options).await,
        Action::ObjectLogs(options) => logs::object_logs(context, options, request).await,
        Action::NodeBacklogs(options) => logs::node_backlogs(context, options).await,
        Action::NodeLogs(options) => logs::node_logs(context, options, request).await,
        Action::Events(options) => events::events(context, options).await,
        Action::Lock(options) => locks::lock(context, options).await,
        Action::Unlock(options) => locks::unlock(context, options).await,
        Action::ClusterLocks(_) => Ok(locks::list(context)),
        Action::RelayTx(options) => relay::store(context, options).await,
        Action::RelayRx(options) => relay::fetch(context, options).await,
        Action::RelayStatus(_) => relay::status(context).await,
        Action::DaemonStats(options) => stats::daemon_stats(context, options).await,
        Action::ObjectKeys(options) => keys::list(context, &options.path).await,
        Action::GetKey(options) => keys::get(context, &options.path, &options.key).await,
        Action::SetKey(options) => keys::set(context, options).await,
        Action::DeleteKey(options) => keys::unset(context, &options.path, &options.key).await,
        Action::Wait(options) => wait::wait(context, &options.condition, options.duration).await,
        Action::Sync(options) => wait::sync(context, options.timeout).await,
        Action::GetApi(_) => Ok(wire::routes_table().into()),
        Action::Whoami(_) => Ok(catalog::whoami(context)),
        Action::Authinfo(_) => Ok(catalog::authinfo(context)),
        Action::Schedules(options) => catalog::schedules(context, options).await,
        Action::Pools(options) => catalog::pools(context, options).await,
        Action::Networks(_) => Ok(catalog::networks(context)),
        Action::Keywords(options) => catalog::keywords(options),
        Action::Catalogs(_) => Ok(catalog::catalogs()),
        Action::ObjectConfirmations(options) => {
            catalog::confirmations(context, &options.path).await
        }
        Action::ObjectEnter(options) => catalog::enter(context, &options.path).await,
        Action::CollectorXmlrpc(_) => catalog::collector_xmlrpc(context),
        Action::DaemonMutex(_) => Ok(catalog::mutexes()),
        Action::NodeMetrics(options) => node_metrics::series(context, options).await,
        Action::GetNode(_) => asset::node(context).await,
        Action::NodeChecks(_) => Ok(asset::checks()),
        Action::SshKey(options) => asset::ssh_key(options).await,
        Action::Templates(_)
        | Action::Template(_)
        | Action::DrbdConfig(_)
        | Action::SetDrbdConfig(_)
        | Action::DrbdAllocations(_) => Err(refused(&request.action)),
    }
}

/// What the row of a request says that is refused whoever asks.
fn refused(action: &Action) -> Refused {
    let (status, error) = action.refusal().unwrap_or((501, "not supported".to_owned()));
    Refused::new(status, error)
}
