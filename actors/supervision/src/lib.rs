//! Keeps actors alive: a child that panics, stops unasked or gives up comes back, with its address and its queue.
//!
//! [`start`] puts an actor into a guarded future on an arbiter. The address exists before the actor
//! ([`seat`]), stays the same across restarts, and may be held for ever. What happens to the child is told to its
//! parent (the root) as [`ChildEvent`]s; the parent stops, starts or kills it through its [`ChildHandle`].

pub mod workers;

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{self, Poll, ready};
use std::time::{Duration, Instant};

use actix::dev::ContextFut;
use actix::dev::channel::{self, AddressReceiver};
use actix::prelude::*;
use actix_rt::ArbiterHandle;
use futures_util::task::AtomicWaker;
use monitor::{Backoff, Restarts};

/// Name of a child: a thread id of the field (`listener`, `monitor`, ..), or `service_monitor <path>`.
pub type ChildId = Arc<str>;

/// What a parent has to know of a child.
#[derive(Debug, Clone)]
pub struct Child {
    /// Its name.
    pub id: ChildId,
    /// When it comes back after a fall.
    pub backoff: Backoff,
    /// Who is told what happens to it.
    pub parent: Recipient<ChildEvent>,
}

impl Child {
    /// A child of `parent` with the usual backoff.
    #[must_use]
    pub fn new(id: &str, parent: Recipient<ChildEvent>) -> Self {
        Self { id: id.into(), backoff: Backoff::default(), parent }
    }
}

/// What happened to a child.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub enum ChildEvent {
    /// It was put on its arbiter, and can be controlled from now on.
    Created(ChildHandle),
    /// It runs, its `started` is behind it: for the first time, after a fall, or after a stop.
    Running {
        /// Its name.
        id: ChildId,
        /// Kernel id of its thread.
        tid: i32,
    },
    /// It fell, and comes back.
    Fell {
        /// Its name.
        id: ChildId,
        /// The text of the panic, or what it did instead of going on.
        reason: String,
        /// Restarts in a row, this one included.
        tries: u32,
        /// When it comes back.
        retry_in: Duration,
    },
    /// It was asked to stop, and did.
    Stopped {
        /// Its name.
        id: ChildId,
    },
    /// It is gone for good: nobody holds its address any more, or its arbiter ended.
    Ended {
        /// Its name.
        id: ChildId,
    },
}

/// Stops, starts and kills a child. Clones control the same child.
#[derive(Clone)]
pub struct ChildHandle {
    id: ChildId,
    control: Arc<Control>,
}

impl fmt::Debug for ChildHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ChildHandle").field(&self.id).finish()
    }
}

#[derive(Default)]
struct Control {
    is_stop_wanted: AtomicBool,
    is_end_wanted: AtomicBool,
    is_panic_wanted: AtomicBool,
    is_probed: AtomicBool,
    waker: AtomicWaker,
}

impl ChildHandle {
    /// Its name.
    #[must_use]
    pub fn id(&self) -> &ChildId {
        &self.id
    }

    /// Asks the child to stop. It tells [`ChildEvent::Stopped`], and stays stopped until [`ChildHandle::start`];
    /// what is sent to it meanwhile waits in its queue.
    pub fn stop(&self) {
        self.control.is_stop_wanted.store(true, Ordering::Release);
        self.control.waker.wake();
    }

    /// Asks a stopped child to run again, and a falling one to come back at once with a clean record.
    pub fn start(&self) {
        self.control.is_stop_wanted.store(false, Ordering::Release);
        self.control.waker.wake();
    }

    /// Asks the child to stop for good, whatever it does now: it tells [`ChildEvent::Ended`].
    pub fn end(&self) {
        self.control.is_end_wanted.store(true, Ordering::Release);
        self.stop();
    }

    /// Whether it was asked to stop.
    #[must_use]
    pub fn is_stop_wanted(&self) -> bool {
        self.control.is_stop_wanted.load(Ordering::Acquire)
    }

    /// Whether the child was polled since the last call: its arbiter is not blocked. The first call answers true.
    #[must_use]
    pub fn probe(&self) -> bool {
        let is_answered = !self.control.is_probed.swap(true, Ordering::AcqRel);
        self.control.waker.wake();
        is_answered
    }

    /// Makes the child panic as if one of its futures did: for the tests of supervision.
    pub fn panic(&self) {
        self.control.is_panic_wanted.store(true, Ordering::Release);
        self.control.waker.wake();
    }
}

/// Where an actor will sit: its queue, before there is an actor. Its address can be given out already.
pub struct Seat<A: Actor> {
    queue: AddressReceiver<A>,
}

impl<A: Actor> fmt::Debug for Seat<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seat(..)")
    }
}

/// Makes the address of an actor that is started later, with room for `capacity` messages (`try_send` and
/// `send().await` obey it; `do_send` does not).
#[must_use]
pub fn seat<A: Actor<Context = Context<A>>>(capacity: usize) -> (Addr<A>, Seat<A>) {
    let (sender, queue) = channel::channel(capacity);
    (Addr::new(sender), Seat { queue })
}

/// Starts an actor on `arbiter` in its seat and keeps it alive. `factory` runs there; after a fall, and after a stop,
/// the actor's `restarting` must make it new (`*self = Self::new(..)`), and `started` runs again.
pub fn start<A, F>(seat: Seat<A>, child: Child, arbiter: &ArbiterHandle, factory: F) -> ChildHandle
where
    A: Supervised + Actor<Context = Context<A>>,
    F: Fn() -> A + Send + Unpin + 'static,
{
    let handle = ChildHandle { id: child.id.clone(), control: Arc::default() };
    let ended = child.clone();
    ended.parent.do_send(ChildEvent::Created(handle.clone()));
    let control = handle.control.clone();
    let is_spawned = arbiter.spawn_fn(move || {
        actix_rt::spawn(Guarded::new(seat, child, control, factory));
    });
    if !is_spawned {
        ended.parent.do_send(ChildEvent::Ended { id: ended.id });
    }
    handle
}

/// [`seat`] and [`start`] in one, for actors that nobody has to know before they exist.
pub fn start_new<A, F>(
    capacity: usize,
    child: Child,
    arbiter: &ArbiterHandle,
    factory: F,
) -> (Addr<A>, ChildHandle)
where
    A: Supervised + Actor<Context = Context<A>>,
    F: Fn() -> A + Send + Unpin + 'static,
{
    let (address, seat) = seat(capacity);
    let handle = start(seat, child, arbiter, factory);
    (address, handle)
}

/// [`start`] on the arbiter of the caller, at once: for the many children of an actor.
pub fn start_here<A, F>(seat: Seat<A>, child: Child, factory: F) -> ChildHandle
where
    A: Supervised + Actor<Context = Context<A>>,
    F: Fn() -> A + Unpin + 'static,
{
    let handle = ChildHandle { id: child.id.clone(), control: Arc::default() };
    child.parent.do_send(ChildEvent::Created(handle.clone()));
    actix_rt::spawn(Guarded::new(seat, child, handle.control.clone(), factory));
    handle
}

/// Why the actor polled now stops.
enum Stop {
    /// It gives up, and is restarted.
    Failure(String),
    /// It is done.
    End,
}

thread_local! {
    // Set by `fail` and `end`, taken by the `Guarded` that polls, before anything else runs on the thread.
    static STOP: std::cell::Cell<Option<Stop>> = const { std::cell::Cell::new(None) };
}

/// Gives up: stops the actor of `ctx` with a reason. It is restarted as after a panic, without unwinding.
pub fn fail<A: Actor<Context = Context<A>>>(ctx: &mut Context<A>, reason: impl Into<String>) {
    STOP.set(Some(Stop::Failure(reason.into())));
    ctx.stop();
}

/// Ends for good, as the service monitor of a deleted object does: nothing restarts it, its address is closed.
pub fn end<A: Actor<Context = Context<A>>>(ctx: &mut Context<A>) {
    STOP.set(Some(Stop::End));
    ctx.stop();
}

#[expect(
    clippy::large_enum_variant,
    reason = "taken nearly always: a box would cost each actor an allocation"
)]
enum Place<A: Actor<Context = Context<A>>, F> {
    /// Not made yet.
    Empty(AddressReceiver<A>, F),
    /// Made.
    Taken(ContextFut<A, Context<A>>),
    /// Gone for good.
    Gone,
}

enum Phase {
    New,
    Running,
    /// Asked to stop, on its way.
    Stopping,
    Waiting(Pin<Box<tokio::time::Sleep>>),
    Stopped,
}

/// Polls one actor; a panic or an unasked stop restarts it with its address and its queue.
struct Guarded<A: Actor<Context = Context<A>>, F> {
    actor: Place<A, F>,
    child: Child,
    control: Arc<Control>,
    phase: Phase,
    /// The parent knows that it runs.
    is_running_told: bool,
    restarts: Restarts,
    up_since: Instant,
}

impl<A, F> Guarded<A, F>
where
    A: Supervised + Actor<Context = Context<A>>,
    F: Fn() -> A + Unpin,
{
    fn new(seat: Seat<A>, child: Child, control: Arc<Control>, factory: F) -> Self {
        Self {
            actor: Place::Empty(seat.queue, factory),
            child,
            control,
            phase: Phase::New,
            is_running_told: false,
            restarts: Restarts::default(),
            up_since: Instant::now(),
        }
    }

    fn tell(&self, event: ChildEvent) {
        self.child.parent.do_send(event);
    }

    /// Makes the actor, or makes it new. False: nobody holds its address.
    fn revive(&mut self) -> Result<bool, String> {
        self.actor = match std::mem::replace(&mut self.actor, Place::Gone) {
            Place::Empty(queue, factory) => match catch_unwind(AssertUnwindSafe(&factory)) {
                Ok(actor) => Place::Taken(Context::with_receiver(queue).into_future(actor)),
                Err(panic) => {
                    self.actor = Place::Empty(queue, factory);
                    return Err(format!("panic: {}", text(&*panic)));
                }
            },
            Place::Taken(mut actor) => {
                let restarted = catch_unwind(AssertUnwindSafe(|| actor.restart()));
                self.actor = Place::Taken(actor);
                return restarted.map_err(|panic| format!("panic: {}", text(&*panic)));
            }
            Place::Gone => return Ok(false),
        };
        Ok(true)
    }

    /// Brings the child into running; false when it is gone.
    fn run(&mut self) -> bool {
        match self.revive() {
            Ok(true) => {
                self.phase = Phase::Running;
                self.is_running_told = false;
                self.up_since = Instant::now();
                true
            }
            Ok(false) => false,
            Err(reason) => {
                self.fall(reason);
                true
            }
        }
    }

    /// Tells once that it runs: who waits for that finds what `started` made, a socket for one.
    fn tell_running(&mut self) {
        if !std::mem::replace(&mut self.is_running_told, true) {
            let tid = rustix::thread::gettid().as_raw_nonzero().get();
            self.tell(ChildEvent::Running { id: self.child.id.clone(), tid });
        }
    }

    fn fall(&mut self, reason: String) {
        let retry_in = self.restarts.on_fall(&self.child.backoff, self.up_since.elapsed());
        let (id, tries) = (self.child.id.clone(), self.restarts.in_a_row());
        self.tell(ChildEvent::Fell { id, reason, tries, retry_in });
        self.phase = Phase::Waiting(Box::pin(tokio::time::sleep(retry_in)));
        self.release();
    }

    /// Drops what the actor was doing, and with it the sockets and files of its futures; actix does that in a restart
    /// only. A panic there comes again, and is told, when the actor is to run.
    fn release(&mut self) {
        if let Place::Taken(actor) = &mut self.actor {
            _ = catch_unwind(AssertUnwindSafe(|| actor.restart()));
        }
    }

    fn halt(&mut self) {
        self.phase = Phase::Stopped;
        self.restarts = Restarts::default();
        self.release();
        self.tell(ChildEvent::Stopped { id: self.child.id.clone() });
    }
}

impl<A, F> Future for Guarded<A, F>
where
    A: Supervised + Actor<Context = Context<A>>,
    F: Fn() -> A + Unpin,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        this.control.waker.register(cx.waker());
        this.control.is_probed.store(false, Ordering::Release);
        loop {
            let is_end_wanted = this.control.is_end_wanted.load(Ordering::Acquire);
            // A start that comes after the end was asked for does not undo it.
            let is_stop_wanted =
                is_end_wanted || this.control.is_stop_wanted.load(Ordering::Acquire);
            if is_end_wanted && !matches!(this.phase, Phase::Running | Phase::Stopping) {
                return Poll::Ready(());
            }
            match &mut this.phase {
                Phase::New | Phase::Waiting(_) if is_stop_wanted => this.halt(),
                Phase::New => {
                    if !this.run() {
                        return Poll::Ready(());
                    }
                }
                Phase::Waiting(pause) => {
                    ready!(pause.as_mut().poll(cx));
                    if !this.run() {
                        return Poll::Ready(());
                    }
                }
                Phase::Stopped if is_stop_wanted => return Poll::Pending,
                Phase::Stopped => {
                    if !this.run() {
                        return Poll::Ready(());
                    }
                }
                Phase::Running | Phase::Stopping => {
                    let Place::Taken(actor) = &mut this.actor else { return Poll::Ready(()) };
                    if is_stop_wanted && matches!(this.phase, Phase::Running) {
                        actor.ctx().stop();
                        this.phase = Phase::Stopping;
                    }
                    if this.control.is_panic_wanted.swap(false, Ordering::AcqRel) {
                        let panic = async { panic!("test panic") };
                        actor.ctx().spawn(actix::fut::wrap_future(panic));
                    }
                    STOP.set(None);
                    let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(actor).poll(cx)));
                    let stop = STOP.take();
                    if polled.is_ok() {
                        this.tell_running();
                    }
                    match polled {
                        Ok(Poll::Pending) => return Poll::Pending,
                        Ok(Poll::Ready(())) if is_end_wanted => return Poll::Ready(()),
                        Ok(Poll::Ready(())) if matches!(this.phase, Phase::Stopping) => this.halt(),
                        Ok(Poll::Ready(())) => match stop {
                            Some(Stop::End) => return Poll::Ready(()),
                            Some(Stop::Failure(reason)) => this.fall(reason),
                            None => this.fall("stopped unexpectedly".to_owned()),
                        },
                        Err(panic) => this.fall(format!("panic: {}", text(&*panic))),
                    }
                }
            }
        }
    }
}

impl<A: Actor<Context = Context<A>>, F> Drop for Guarded<A, F> {
    fn drop(&mut self) {
        if matches!(self.phase, Phase::Stopped | Phase::Waiting(_)) {
            // Dropping an actor that is not started starts it, to stop it. This only happens when its arbiter ends.
            std::mem::forget(std::mem::replace(&mut self.actor, Place::Gone));
        }
        self.child.parent.do_send(ChildEvent::Ended { id: self.child.id.clone() });
    }
}

fn text(panic: &(dyn Any + Send)) -> String {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (None, Some(text)) => text.clone(),
        (None, None) => "no text".to_owned(),
    }
}

#[cfg(test)]
mod tests;
