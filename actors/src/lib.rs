//! Everything that touches the machine: the daemon's actors, the resource drivers and the `om` client.

pub mod blacklist_keeper;
pub mod client;
pub mod clock;
pub mod cluster_data;
pub mod config;
pub mod config_watcher;
pub mod connection;
pub mod control_socket;
mod crash;
pub mod daemon;
pub mod demo;
mod descriptor;
mod dialects;
pub mod durable;
mod evened;
pub mod freshness;
pub mod heartbeat;
mod heavy;
mod latest;
mod limits;
pub mod listener;
pub mod logs;
pub mod member_addresses;
pub mod membership;
pub mod node_monitor;
pub mod paths;
pub mod peer;
pub mod peer_address;
mod pidfd;
pub mod propagation;
mod publications;
pub mod quorum;
mod regular;
pub mod requests;
pub mod resource;
pub mod root;
mod rooted;
pub mod routes;
pub mod runner;
pub mod scheduler;
pub mod secret_keeper;
pub mod service_monitor;
pub mod standing_keeper;
pub mod supervision;
mod sweep;
mod sysrq;
mod watching;
pub mod workers;

/// Entry of the `om` binary: runs the command line and returns its exit code.
#[must_use]
pub fn main() -> std::process::ExitCode {
    use om::{Command, DaemonAction, DaemonCommand};
    // Before anything is read: each command may come to hold the secret, of its file or of its environment.
    limits::hide_memory();
    if let Some(code) = resource::exec_context::run_if_asked() {
        return code;
    }
    if let Some(code) = resource::exec::drain::run_if_asked() {
        return code;
    }
    limits::leave_daemon();
    let words = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
    let words: Vec<String> = words.collect();
    match om::parse(words.iter().cloned()) {
        Err(usage) => {
            client::say(&format!("{usage}\n"));
            client::say_object(&words);
            std::process::ExitCode::from(om::usage_code(&words))
        }
        Ok(Command::Daemon(DaemonCommand {
            action: DaemonAction::Start { foreground: true, thread_id: None },
            ..
        })) => daemon::run_foreground(),
        Ok(Command::Demo(demo)) => demo::run(&demo),
        Ok(command) => client::run(command),
    }
}
