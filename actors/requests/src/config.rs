//! Configurations, as files or as values.

use std::io;
use std::path::PathBuf;

use model::{GlobalExpect, MonitorStatus, NodeName, ObjectPath};
use serde_json::{Value, json};
use wire::{NodeConfig, ObjectConfig};

use dataset::config::config_reply;
use files::last_good;
use files::read::read_file;
use mail::requests::{Outcome, Refused};

use crate::context::{Context, blocking, shorten};

/// The reply with a configuration file; none without the file.
async fn ini_reply(file: PathBuf) -> Result<Option<Outcome>, Refused> {
    let shown = file.display().to_string();
    match blocking(move || read_file(&file)).await? {
        Ok(read) => Ok(Some(config_reply(&read.text, read.mtime).into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Refused::new(500, format!("{shown}: {error}"))),
    }
}

/// Whether the local instance is going away: its configuration is not to be fetched any more.
fn is_being_deleted(context: &Context, path: &ObjectPath) -> bool {
    let snapshot = context.snapshot();
    let monitor = snapshot.local_instance(path).and_then(|instance| instance.monitor.as_ref());
    monitor.is_some_and(|monitor| {
        matches!(monitor.status, MonitorStatus::Purging | MonitorStatus::Deleting)
            || matches!(monitor.global_expect, Some(GlobalExpect::Purged | GlobalExpect::Deleted))
    })
}

/// GET `object_config`. The configuration of the cluster holds its secret: only members get here, which have it
/// (`join` does not open this request).
pub(super) async fn object_config(
    context: &Context,
    options: &ObjectConfig,
) -> Result<Outcome, Refused> {
    let path =
        ObjectPath::parse(&options.path).map_err(|error| Refused::new(500, error.to_string()))?;
    if options.format != "json" {
        if is_being_deleted(context, &path) {
            return Err(Refused::new(2, "delete in progress"));
        }
        // What was published, and what is in force: not a mistake that was made since.
        let paths = &context.mail.paths;
        let config = context.config();
        let known = config.objects.get(&path);
        let stamp = || files::read::stamp(&paths.config_file(&path));
        if let Some(reply) = known.and_then(|object| object.reply(stamp())) {
            return Ok(Outcome::Prepared(reply));
        }
        let file = last_good::file_in_force(paths, &path);
        let missing = format!("{} does not exist", file.display());
        return ini_reply(file).await?.ok_or_else(|| Refused::new(3, missing));
    }
    let config = context.config();
    let object = config.objects.get(&path).ok_or_else(|| Refused::new(1, format!("'{path}'")))?;
    if !options.evaluate {
        return Ok(object.conf().to_json().into());
    }
    let mut evaluation = (*config.context).clone();
    if let Some(node) = &options.impersonate {
        let node = NodeName::new(node).map_err(|error| {
            Refused::new(400, format!("impersonate: {}", shorten(&error.to_string())))
        })?;
        evaluation.impersonate = Some(node);
    }
    Ok(object.conf().to_json_evaluated(&evaluation).into())
}

/// GET `node_config`: the same for node.conf. A node without one has an empty one.
pub(super) async fn node_config(
    context: &Context,
    options: &NodeConfig,
) -> Result<Outcome, Refused> {
    if options.format == "json" {
        let mut data = context.config().node.conf.to_json();
        if let Value::Object(data) = &mut data {
            data.insert("metadata".into(), json!({"kind": "node"}));
        }
        return Ok(data.into());
    }
    let read = ini_reply(context.mail.paths.node_conf()).await?;
    Ok(read.unwrap_or_else(|| json!({"status": 0, "data": "", "mtime": 0.0}).into()))
}
