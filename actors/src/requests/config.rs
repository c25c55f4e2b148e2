//! Configurations, as files or as values.

use std::io;
use std::path::{Path, PathBuf};

use model::{GlobalExpect, MonitorStatus, NodeName, ObjectPath, Timestamp};
use serde_json::{Value, json};
use wire::{NodeConfig, ObjectConfig};

use super::{Context, Outcome, blocking, refusal, shorten};
use crate::config::{self, config_reply};

/// Largest configuration that is served: many times what any operator wrote.
const MAX_CONFIG_BYTES: u64 = 16 << 20;

/// A configuration file as it lies there.
pub(super) struct ConfigFile {
    pub(super) text: String,
    /// Modification time.
    pub(super) mtime: Timestamp,
}

/// Reads a configuration file. Blocks.
pub(super) fn read_file(file: &Path) -> io::Result<ConfigFile> {
    use io::Read;
    let (mut open, meta) = crate::regular::open(file)?;
    if meta.len() > MAX_CONFIG_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "too large for a configuration"));
    }
    let mut bytes = vec![];
    open.by_ref().take(MAX_CONFIG_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8(bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not UTF-8"))?;
    Ok(ConfigFile { text, mtime: config::modified(&meta) })
}

async fn ini_reply(file: PathBuf) -> Outcome {
    let shown = file.display().to_string();
    match blocking(move || read_file(&file)).await {
        Ok(Ok(read)) => config_reply(&read.text, read.mtime).into(),
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => {
            refusal(3, format!("{shown} does not exist")).into()
        }
        Ok(Err(error)) => refusal(500, format!("{shown}: {error}")).into(),
        Err(not_now) => not_now.into(),
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
pub(super) async fn object_config(context: &Context, options: &ObjectConfig) -> Outcome {
    let path = match ObjectPath::parse(&options.path) {
        Ok(path) => path,
        Err(error) => return refusal(500, error.to_string()).into(),
    };
    if options.format != "json" {
        if is_being_deleted(context, &path) {
            return refusal(2, "delete in progress").into();
        }
        // What was published, and what is in force: not a mistake that was made since.
        let paths = &context.routes.paths;
        let config = context.config();
        let known = config.objects.get(&path);
        return match known.and_then(|object| object.reply(&paths.config_file(&path))) {
            Some(reply) => Outcome::Prepared(reply),
            None => ini_reply(config::file_in_force(paths, &path)).await,
        };
    }
    let config = context.config();
    let Some(object) = config.objects.get(&path) else {
        return refusal(1, format!("'{path}'")).into();
    };
    if !options.evaluate {
        return object.conf().to_json().into();
    }
    let mut evaluation = (*config.context).clone();
    if let Some(node) = &options.impersonate {
        match NodeName::new(node) {
            Ok(node) => evaluation.impersonate = Some(node),
            Err(error) => {
                return refusal(400, format!("impersonate: {}", shorten(&error.to_string())))
                    .into();
            }
        }
    }
    object.conf().to_json_evaluated(&evaluation).into()
}

/// GET `node_config`: the same for node.conf. A node without one has an empty one.
pub(super) async fn node_config(context: &Context, options: &NodeConfig) -> Outcome {
    if options.format == "json" {
        let mut data = context.config().node.conf.to_json();
        if let Value::Object(data) = &mut data {
            data.insert("metadata".into(), json!({"kind": "node"}));
        }
        return data.into();
    }
    let file = context.routes.paths.node_conf();
    let shown = file.display().to_string();
    match blocking(move || read_file(&file)).await {
        Ok(Ok(read)) => config_reply(&read.text, read.mtime).into(),
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => {
            json!({"status": 0, "data": "", "mtime": 0.0}).into()
        }
        Ok(Err(error)) => refusal(500, format!("{shown}: {error}")).into(),
        Err(not_now) => not_now.into(),
    }
}
