//! What this machine is: its asset, its keys, its checks.

use std::path::PathBuf;

use conf::NodeSettings;
use model::NodeName;
use serde_json::{Value, json};
use wire::SshKey;

use mail::requests::{Outcome, Refused};

use crate::context::{Context, blocking};

/// GET `node`: what the collector calls the asset of a node, as far as the kernel tells it.
pub(super) async fn node(context: &Context) -> Result<Outcome, Refused> {
    let (nodename, settings) = (context.mail.nodename.clone(), context.config().node.clone());
    Ok(blocking(move || asset(&nodename, &settings)).await?.into())
}

fn asset(nodename: &NodeName, settings: &NodeSettings) -> Value {
    let text = |file: &str| machine::kernel::text(file).unwrap_or_default();
    let dmi = |name: &str| text(&format!("/sys/class/dmi/id/{name}")).trim().to_owned();
    let uname = rustix::system::uname();
    let release = text("/etc/os-release");
    let field = |name: &str| {
        let line = release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or_default().trim_matches('"').to_owned()
    };
    let memory = text("/proc/meminfo");
    let kib = memory.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib: u64 = kib
        .and_then(|line| line.split_whitespace().next())
        .and_then(|word| word.parse().ok())
        .unwrap_or(0);
    let processors = text("/proc/cpuinfo");
    let values = |name: &str| {
        let lines = processors.lines().filter_map(|line| line.split_once(':'));
        let found = lines.filter(|(key, _)| key.trim() == name);
        found.map(|(_, value)| value.trim().to_owned()).collect::<Vec<String>>()
    };
    let dies: std::collections::BTreeSet<String> = values("physical id").into_iter().collect();
    let uptime = text("/proc/uptime");
    let seconds: f64 =
        uptime.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0.0);
    json!({
        "nodename": nodename,
        "clusterid": settings.cluster_id,
        "node_env": settings.env,
        "listener_port": settings.listener.port,
        "version": env!("CARGO_PKG_VERSION"),
        "os_name": uname.sysname().to_string_lossy(),
        "os_kernel": uname.release().to_string_lossy(),
        "os_arch": uname.machine().to_string_lossy(),
        "os_vendor": field("ID"),
        "os_release": field("VERSION_ID"),
        "mem_bytes": kib / 1024,
        "cpu_threads": values("processor").len(),
        "cpu_model": values("model name").first().cloned().unwrap_or_default(),
        "cpu_dies": dies.len().max(1),
        "manufacturer": dmi("sys_vendor"),
        "model": dmi("product_name"),
        "bios_version": dmi("bios_version"),
        "last_boot": machine::clock::now().plus(-seconds),
    })
}

/// GET `node_checks`: this agent has no checkers, so they found nothing.
pub(super) fn checks() -> Outcome {
    wire::reply::data(json!({})).into()
}

/// GET `ssh_key`: the public key of a user, null without one.
pub(super) async fn ssh_key(options: &SshKey) -> Result<Outcome, Refused> {
    let is_word = |text: &str| {
        !text.is_empty()
            && text.len() <= 64
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
            && !text.starts_with('.')
    };
    if !is_word(&options.user) || !is_word(&options.key_type) {
        return Err(Refused::new(400, "user and key_type are words"));
    }
    let (user, kind) = (options.user.clone(), options.key_type.clone());
    let read = blocking(move || {
        let home: Option<PathBuf> =
            nix::unistd::User::from_name(&user).ok().flatten().map(|user| user.dir);
        let file = home.map(|home| home.join(".ssh").join(format!("id_{kind}.pub")));
        let key = file.and_then(|file| files::read::read_file(&file).ok()).map(|file| file.text);
        json!({"status": 0, "data": {"user": user, "key": key}})
    });
    Ok(read.await?.into())
}
