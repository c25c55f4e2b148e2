//! What the connections of this node share.

use std::sync::Arc;

use link::lane::Lane;
use mail::mail::Mail;
use mail::router::Router;
use mail::sessions::SessionBook;
use tokio::sync::Semaphore;

/// What connections share.
#[derive(Debug)]
pub struct Shared {
    /// The other actors. Shared by all connections: a copy for each request would touch every one of its counters.
    pub mail: Arc<Mail>,
    /// Has requests carried out.
    pub router: Router,
    /// The sessions that came and went since the listener counted them.
    pub sessions: Arc<SessionBook>,
    /// Where strangers wait until they are read.
    pub lane: Lane,
    /// Large messages being opened: as many at once as there are processors.
    pub opening: Semaphore,
    /// Large replies being sealed: each takes several times its size while it is, and processors are few.
    pub sealing: Semaphore,
    /// Whether `test_panic` is served on the control socket (`OSVC_TEST_PANIC=1` at start). The router does not know
    /// this request: everywhere else it is not supported.
    pub is_panic_allowed: bool,
}
