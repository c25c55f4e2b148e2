//! The command line at work: what `om` does once its arguments are read.

use std::process::ExitCode;

/// Carries a command out and returns the exit code: 0 done, 1 refused or failed, 2 wrong usage.
#[must_use]
pub fn run(command: om::Command) -> ExitCode {
    match command {
        om::Command::Help(text) => {
            anstream::print!("{text}");
            ExitCode::SUCCESS
        }
        other => {
            anstream::eprintln!("this command is not carried out yet: {other:?}");
            ExitCode::FAILURE
        }
    }
}
