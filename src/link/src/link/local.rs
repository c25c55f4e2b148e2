//! The daemon of this machine, over its control socket: whoever may connect there needs no name and no secret.

use std::io;
use std::ops::ControlFlow;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use wire::{Limits, Request};

use machine::paths::Paths;

use crate::link::conversation::{Conversation, OnItem};
use crate::link::error::AskError;
use crate::link::room::Room;
use crate::link::server::Server;

/// Asks, and returns the reply. Null for an empty one.
///
/// # Errors
///
/// [`AskError`]; [`AskError::NotRunning`] without a daemon.
pub fn ask(paths: &Paths, request: &Request, within: Duration) -> Result<Value, AskError> {
    let path = paths.lsnr_socket();
    let mut reply = None;
    exchange(&path, request, Some(within), &mut |value| {
        reply = Some(value);
        ControlFlow::Break(())
    })?;
    reply.ok_or(AskError::Closed(Server::Socket(path)))
}

pub(super) fn exchange(
    path: &Path,
    request: &Request,
    within: Option<Duration>,
    on_item: &mut OnItem<'_>,
) -> Result<(), AskError> {
    let deadline = within.map(|within| (Instant::now() + within, within));
    let mut stream = connect(path)?;
    let body = [&wire::to_ascii_json(&request.to_value())[..], b"\0"].concat();
    let room = Room::of(request);
    let limits = Limits { max_frame: room.text, max_message: room.text };
    let server = &Server::Socket(path.to_owned());
    let mut conversation = Conversation { server, deadline, limits, started: false };
    conversation.run(&mut stream, &body, &mut |frame| Ok(on_item(room.read(frame, server)?)))
}

fn connect(path: &Path) -> Result<UnixStream, AskError> {
    // Also reaches a socket whose path is longer than an address.
    crate::socket::connect(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            AskError::NotRunning(path.to_owned())
        }
        io::ErrorKind::PermissionDenied => AskError::Denied(path.to_owned()),
        _ => AskError::Connect(Server::Socket(path.to_owned()), error),
    })
}
