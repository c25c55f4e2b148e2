//! The `om` binary: the daemon, the command line and the demo.

use drivers::exec::drain;
use drivers::exec_context;
use machine::limits;
use root::start;

/// Entry of the `om` binary: runs the command line and returns its exit code.
#[must_use]
pub fn main() -> std::process::ExitCode {
    use cli::{Command, DaemonAction, DaemonCommand};
    // Before anything is read: each command may come to hold the secret, of its file or of its environment.
    limits::hide_memory();
    if let Some(code) = exec_context::run_if_asked() {
        return code;
    }
    if let Some(code) = drain::run_if_asked() {
        return code;
    }
    limits::leave_daemon();
    let words = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
    let words: Vec<String> = words.collect();
    match cli::parse(words.iter().cloned()) {
        Err(usage) => {
            client::om::say(&format!("{usage}\n"));
            client::say_object(&words);
            std::process::ExitCode::from(cli::usage_code(&words))
        }
        Ok(Command::Daemon(DaemonCommand {
            action: DaemonAction::Start { foreground: true, thread_id: None },
            ..
        })) => start::run_foreground(),
        Ok(Command::Demo(demo)) => demo::run(&demo),
        Ok(command) => client::run(command),
    }
}
