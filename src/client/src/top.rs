//! `om top`: the cluster on a full screen.
//!
//! [`state`] decides what a key or an answer changes, [`view`] draws a state, both without looking at anything else; here are the
//! terminal, and the threads that ask the daemon.

#[cfg(feature = "tui")]
mod ask;
#[cfg(feature = "tui")]
mod screen;
#[cfg(feature = "tui")]
mod state;
#[cfg(feature = "tui")]
mod view;

use cli::TopCommand;

use crate::om::{Done, Failure, Om};

/// Shows the cluster until somebody quits.
#[cfg(feature = "tui")]
pub(super) fn run(om: &Om, command: &TopCommand) -> Done {
    use std::io::IsTerminal as _;
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        return Err(Failure::usage("top needs a terminal: `om mon` prints the same once"));
    }
    screen::run(om, command)
}

/// This program was built without it.
#[cfg(not(feature = "tui"))]
pub(super) fn run(_: &Om, _: &TopCommand) -> Done {
    Err(Failure::new(
        "this om was built without the feature tui: `om mon --watch` follows the cluster",
    ))
}
