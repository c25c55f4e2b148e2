//! The HTTP socket: the node's administrator, and the commands of deployed agents, ask here, without a key.
//!
//! Its own actor: whatever becomes of the listener, it goes on. Hears: clients, changes of the configuration. Tells: the
//! listener (who is connected). Restart: the socket is made anew; established connections live on. It is left there at a stop:
//! a deployed client that follows events tries again while the file exists, and ends without it.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use actix::prelude::*;
use link::listening::{self, Accepting, Look, identity, is_administrator, removals};
use link::session::{Session, SessionEvent, next_id};
use mail::front::Reconfigure;
use mail::root::ThreadReport;
use mail::sessions::SessionGuard;
use model::{Alert, thread};
use supervision::workers::Workers;

use crate::connection::serve_unix;
use crate::shared::Shared;

/// The socket in force.
struct Open {
    /// Device and inode of its file.
    file: (u64, u64),
    accepting: SpawnHandle,
    watching: SpawnHandle,
    /// What clients call it.
    paths: Arc<[String]>,
}

/// The actor.
pub struct HttpSocket {
    shared: Arc<Shared>,
    workers: Workers,
    seed: Option<[u8; 16]>,
    number: u64,
    has_failed: bool,
    open: Option<Open>,
}

impl std::fmt::Debug for HttpSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpSocket").field("number", &self.number).finish_non_exhaustive()
    }
}

impl HttpSocket {
    /// A socket whose connections run on `workers`.
    #[must_use]
    pub fn new(shared: Arc<Shared>, workers: Workers) -> Self {
        Self { shared, workers, seed: None, number: 0, has_failed: false, open: None }
    }

    /// Makes the socket, and follows what becomes of it.
    fn listen(&mut self, ctx: &mut Context<Self>) {
        self.close(ctx);
        let path = self.shared.mail.paths.http_socket();
        // Before the socket is there: nothing that happens to it is missed.
        let removals = removals(&path);
        let opened = listening::listen(&path).and_then(|listener| {
            let file = identity(&path)?;
            Ok((file, Accepting::new(listener)?))
        });
        match opened {
            Ok((file, accepting)) => {
                let accepting = ctx.add_stream(accepting.all());
                let watching = ctx.add_stream(removals);
                let paths = spellings(&path).into();
                self.open = Some(Open { file, accepting, watching, paths });
                log::info!(socket:? = path; "HTTP socket started");
            }
            Err(error) => {
                supervision::fail(ctx, format!("cannot listen on {}: {error}", path.display()));
            }
        }
    }

    fn close(&mut self, ctx: &mut Context<Self>) {
        if let Some(old) = self.open.take() {
            ctx.cancel_future(old.accepting);
            ctx.cancel_future(old.watching);
        }
    }

    fn admit(&mut self, stream: UnixStream) {
        let Some(open) = &self.open else { return };
        if !is_administrator(&stream) {
            log::warn!("a stranger was refused at the HTTP socket");
            return;
        }
        let (shared, paths) = (self.shared.clone(), open.paths.clone());
        let session = Session::new(next_id(&mut self.seed, &mut self.number), None);
        shared.sessions.note(SessionEvent::Opened(session.clone()));
        let guard = SessionGuard::new(session, shared.sessions.clone());
        self.workers.run(Box::new(move || {
            actix_rt::spawn(serve_unix(stream, shared, guard, paths));
        }));
    }

    fn report(&self, alerts: Vec<Alert>) {
        self.shared.mail.root.do_send(ThreadReport::alerts(thread::HTTP, alerts));
    }
}

/// What clients call a socket: by the folder as it is configured, and as it is.
fn spellings(path: &Path) -> Vec<String> {
    let canonical = std::fs::canonicalize(path).ok();
    let mut all: Vec<String> = std::iter::once(path)
        .chain(canonical.as_deref())
        .filter_map(|path| path.to_str().map(str::to_owned))
        .collect();
    all.dedup();
    all
}

impl Actor for HttpSocket {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        if self.shared.mail.gate.load().listener.h2 {
            self.listen(ctx);
        }
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        log::info!("HTTP socket stopped");
    }
}

impl Supervised for HttpSocket {
    fn restarting(&mut self, _: &mut Context<Self>) {
        *self = Self::new(self.shared.clone(), self.workers.clone());
    }
}

impl StreamHandler<io::Result<UnixStream>> for HttpSocket {
    fn handle(&mut self, accepted: io::Result<UnixStream>, _: &mut Context<Self>) {
        match accepted {
            Ok(stream) => {
                if std::mem::take(&mut self.has_failed) {
                    self.report(vec![]);
                }
                self.admit(stream);
            }
            Err(error) => {
                if !std::mem::replace(&mut self.has_failed, true) {
                    let text = format!("the HTTP socket cannot accept connections: {error}");
                    log::error!("{text}");
                    self.report(vec![Alert::error(&text)]);
                }
            }
        }
    }
}

impl StreamHandler<Look> for HttpSocket {
    fn handle(&mut self, _: Look, ctx: &mut Context<Self>) {
        let found = identity(&self.shared.mail.paths.http_socket()).ok();
        if self.open.as_ref().is_some_and(|open| found != Some(open.file)) {
            log::warn!("the file of the HTTP socket is gone: it is made again");
            self.listen(ctx);
        }
    }
}

impl Handler<Reconfigure> for HttpSocket {
    type Result = ();

    fn handle(&mut self, _: Reconfigure, ctx: &mut Context<Self>) {
        let is_wanted = self.shared.mail.gate.load().listener.h2;
        if is_wanted && self.open.is_none() {
            self.listen(ctx);
        } else if !is_wanted && self.open.is_some() {
            self.close(ctx);
            _ = std::fs::remove_file(self.shared.mail.paths.http_socket());
            log::info!("HTTP socket closed: listener.h2 is false");
        }
    }
}
