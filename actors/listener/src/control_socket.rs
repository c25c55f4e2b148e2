//! The control socket: the node's administrator, and the commands of this node, ask here without a key.
//!
//! Its own actor, so that stopping the listener never locks the operator out. Hears: clients. Tells: the listener (who
//! is connected). Restart: the socket is made anew; established connections live on.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use actix::prelude::*;

use link::listening::{self, Accepting, Look, identity, is_administrator, removals};
use link::session::{Session, SessionEvent, next_id};
use mail::sessions::SessionGuard;
use supervision::workers::Workers;

use crate::connection::serve_unix;
use crate::connection::shared::Shared;

/// The socket in force.
struct Open {
    /// Device and inode of its file.
    file: (u64, u64),
    accepting: SpawnHandle,
    watching: SpawnHandle,
}

/// The actor.
pub struct ControlSocket {
    shared: Arc<Shared>,
    workers: Workers,
    seed: Option<[u8; 16]>,
    number: u64,
    has_failed: bool,
    open: Option<Open>,
    /// Nobody else holds it, and an actor without address ends.
    own: Addr<Self>,
}

impl std::fmt::Debug for ControlSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ControlSocket").field("number", &self.number).finish_non_exhaustive()
    }
}

impl ControlSocket {
    /// A control socket whose connections run on `workers`; `own` is its own address.
    #[must_use]
    pub fn new(shared: Arc<Shared>, workers: Workers, own: Addr<Self>) -> Self {
        Self { shared, workers, seed: None, number: 0, has_failed: false, open: None, own }
    }

    /// Makes the socket, and follows what becomes of it.
    fn listen(&mut self, ctx: &mut Context<Self>) {
        if let Some(old) = self.open.take() {
            ctx.cancel_future(old.accepting);
            ctx.cancel_future(old.watching);
        }
        let path = self.shared.mail.paths.lsnr_socket();
        // Before the socket is there: nothing that happens to it is missed.
        let removals = removals(&path);
        let opened = listening::listen(&path).and_then(|listener| {
            let file = identity(&path)?;
            Ok((file, Accepting::new(listener)?))
        });
        match opened {
            Ok((file, accepting)) => {
                let accepting = ctx.add_stream(accepting.all());
                self.open = Some(Open { file, accepting, watching: ctx.add_stream(removals) });
                log::info!(socket:? = path; "control socket started");
            }
            Err(error) => {
                supervision::fail(ctx, format!("cannot listen on {}: {error}", path.display()));
            }
        }
    }

    fn admit(&mut self, stream: UnixStream) {
        if !is_administrator(&stream) {
            log::warn!("a stranger was refused at the control socket");
            return;
        }
        let session = Session::new(next_id(&mut self.seed, &mut self.number), None);
        let shared = self.shared.clone();
        shared.sessions.note(SessionEvent::Opened(session.clone()));
        let guard = SessionGuard::new(session, shared.sessions.clone());
        self.workers.run(Box::new(move || {
            actix_rt::spawn(serve_unix(stream, shared, guard));
        }));
    }
}

impl Actor for ControlSocket {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.listen(ctx);
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        _ = std::fs::remove_file(self.shared.mail.paths.lsnr_socket());
        log::info!("control socket stopped");
    }
}

impl Supervised for ControlSocket {
    fn restarting(&mut self, _: &mut Context<Self>) {
        *self = Self::new(self.shared.clone(), self.workers.clone(), self.own.clone());
    }
}

impl StreamHandler<io::Result<UnixStream>> for ControlSocket {
    fn handle(&mut self, accepted: io::Result<UnixStream>, _: &mut Context<Self>) {
        match accepted {
            Ok(stream) => {
                self.has_failed = false;
                self.admit(stream);
            }
            Err(error) => {
                if !std::mem::replace(&mut self.has_failed, true) {
                    log::error!(error:% = error; "the control socket cannot accept connections");
                }
            }
        }
    }
}

impl StreamHandler<Look> for ControlSocket {
    fn handle(&mut self, _: Look, ctx: &mut Context<Self>) {
        let found = identity(&self.shared.mail.paths.lsnr_socket()).ok();
        if self.open.as_ref().is_some_and(|open| found != Some(open.file)) {
            log::warn!("the file of the control socket is gone: it is made again");
            self.listen(ctx);
        }
    }
}
