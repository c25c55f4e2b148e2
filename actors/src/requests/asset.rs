//! What this machine is: its asset, its keys, its checks.

use std::path::PathBuf;

use serde_json::{Map, Value, json};
use wire::SshKey;

use super::{Context, Outcome, blocking, refusal};

/// GET `node`: what the collector calls the asset of a node, as far as the kernel tells it.
pub(super) async fn node(context: &Context) -> Outcome {
    let (nodename, settings) = (context.routes.nodename.clone(), context.config().node.clone());
    let read = blocking(move || {
        let mut data = machine();
        data.insert("nodename".into(), json!(nodename));
        data.insert("clusterid".into(), settings.cluster_id.clone().into());
        data.insert("node_env".into(), settings.env.clone().into());
        data.insert("listener_port".into(), settings.listener.port.into());
        data.insert("version".into(), env!("CARGO_PKG_VERSION").into());
        data
    });
    match read.await {
        Ok(data) => Value::Object(data).into(),
        Err(not_now) => not_now.into(),
    }
}

fn machine() -> Map<String, Value> {
    let text = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
    let mut data = Map::new();
    let mut put = |key: &str, value: Value| _ = data.insert(key.into(), value);
    let uname = rustix::system::uname();
    put("os_name", uname.sysname().to_string_lossy().into());
    put("os_kernel", uname.release().to_string_lossy().into());
    put("os_arch", uname.machine().to_string_lossy().into());
    let release = text("/etc/os-release");
    let field = |name: &str| {
        let line = release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or_default().trim_matches('"').to_owned()
    };
    put("os_vendor", field("ID").into());
    put("os_release", field("VERSION_ID").into());
    let memory = text("/proc/meminfo");
    let kib = memory.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib: u64 = kib
        .and_then(|line| line.split_whitespace().next())
        .and_then(|word| word.parse().ok())
        .unwrap_or(0);
    put("mem_bytes", (kib / 1024).into());
    let processors = text("/proc/cpuinfo");
    let values = |name: &str| {
        let lines = processors.lines().filter_map(|line| line.split_once(':'));
        let found = lines.filter(|(key, _)| key.trim() == name);
        found.map(|(_, value)| value.trim().to_owned()).collect::<Vec<String>>()
    };
    put("cpu_threads", values("processor").len().into());
    put("cpu_model", values("model name").first().cloned().unwrap_or_default().into());
    let dies: std::collections::BTreeSet<String> = values("physical id").into_iter().collect();
    put("cpu_dies", dies.len().max(1).into());
    for (key, file) in [
        ("manufacturer", "/sys/class/dmi/id/sys_vendor"),
        ("model", "/sys/class/dmi/id/product_name"),
        ("bios_version", "/sys/class/dmi/id/bios_version"),
    ] {
        put(key, text(file).trim().into());
    }
    let uptime = text("/proc/uptime");
    let seconds: f64 =
        uptime.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0.0);
    put("last_boot", json!(crate::clock::now().plus(-seconds)));
    data
}

/// GET `node_checks`: this agent has no checkers, so they found nothing.
pub(super) fn checks() -> Outcome {
    wire::reply::data(json!({})).into()
}

/// GET `ssh_key`: the public key of a user, null without one.
pub(super) async fn ssh_key(options: &SshKey) -> Outcome {
    let is_word = |text: &str| {
        !text.is_empty()
            && text.len() <= 64
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
            && !text.starts_with('.')
    };
    if !is_word(&options.user) || !is_word(&options.key_type) {
        return refusal(400, "user and key_type are words").into();
    }
    let (user, kind) = (options.user.clone(), options.key_type.clone());
    let read = blocking(move || {
        let home: Option<PathBuf> =
            nix::unistd::User::from_name(&user).ok().flatten().map(|user| user.dir);
        let file = home.map(|home| home.join(".ssh").join(format!("id_{kind}.pub")));
        let key = file.and_then(|file| super::config::read_file(&file).ok()).map(|file| file.text);
        json!({"status": 0, "data": {"user": user, "key": key}})
    });
    match read.await {
        Ok(reply) => reply.into(),
        Err(not_now) => not_now.into(),
    }
}
