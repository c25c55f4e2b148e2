//! What the logs take from the configuration.

use conf::NodeSettings;

/// The level of the `log` macros for keyword `node.loglevel`.
#[must_use]
pub(crate) fn level_of(level: conf::LogLevel) -> log::LevelFilter {
    match level {
        conf::LogLevel::Error => log::LevelFilter::Error,
        conf::LogLevel::Warn => log::LevelFilter::Warn,
        conf::LogLevel::Info => log::LevelFilter::Info,
        conf::LogLevel::Debug => log::LevelFilter::Debug,
        conf::LogLevel::Trace => log::LevelFilter::Trace,
    }
}

/// What must not be written to a log.
pub(crate) fn secrets_of(node: &NodeSettings) -> Vec<String> {
    let relays = node.heartbeats.iter().filter_map(|heartbeat| heartbeat.secret.as_ref());
    let arbitrators = node.arbitrators.iter().map(|arbitrator| &arbitrator.secret);
    let keys = [&node.secret, &node.secret_next, &node.secret_previous];
    let keys = keys.into_iter().flatten();
    let secrets = keys.chain(&node.uuid).chain(relays).chain(arbitrators);
    secrets.map(|secret| secret.expose().to_owned()).collect()
}
