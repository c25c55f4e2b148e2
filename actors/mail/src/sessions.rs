//! The sessions of clients, as their connections tell the listener of them.

use std::ops::Deref;
use std::sync::Arc;

use link::session::{Session, SessionEvent, SessionLog};

use crate::listener::{SessionsChanged, ToListener};

/// The sessions that came and went since the listener counted them, and whom to tell.
#[derive(Debug)]
pub struct SessionBook {
    log: SessionLog,
    listener: ToListener,
}

impl SessionBook {
    /// Nobody came yet.
    #[must_use]
    pub fn new(listener: ToListener) -> Self {
        Self { log: SessionLog::default(), listener }
    }

    /// Tells the listener what happened to a session, when it looks next.
    pub fn note(&self, event: SessionEvent) {
        if self.log.push(event) {
            self.listener.do_send(SessionsChanged);
        }
    }
}

impl Deref for SessionBook {
    type Target = SessionLog;

    fn deref(&self) -> &SessionLog {
        &self.log
    }
}

/// A session as its connection holds it: when dropped, whatever the reason, the listener hears of the end.
#[derive(Debug)]
pub struct SessionGuard {
    session: Arc<Session>,
    book: Arc<SessionBook>,
}

impl SessionGuard {
    /// Tells the listener of `book` when it is dropped.
    #[must_use]
    pub fn new(session: Arc<Session>, book: Arc<SessionBook>) -> Self {
        Self { session, book }
    }
}

impl Deref for SessionGuard {
    type Target = Arc<Session>;

    fn deref(&self) -> &Arc<Session> {
        &self.session
    }
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        self.book.note(SessionEvent::Closed(self.session.clone()));
    }
}
