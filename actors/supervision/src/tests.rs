use std::collections::VecDeque;

use tokio::sync::mpsc;

use super::*;

#[derive(Message)]
#[rtype(result = "u32")]
struct Count;

#[derive(Message)]
#[rtype(result = "()")]
struct Hold(Arc<()>);

impl Handler<Hold> for Counter {
    type Result = ();

    fn handle(&mut self, Hold(held): Hold, ctx: &mut Context<Self>) {
        ctx.spawn(actix::fut::wrap_future(async move {
            std::future::pending::<()>().await;
            drop(held);
        }));
    }
}

#[derive(Message)]
#[rtype(result = "()")]
enum Do {
    Panic,
    Stop,
    Fail,
    End,
}

#[derive(Default)]
struct Counter(u32);

impl Actor for Counter {
    type Context = Context<Self>;
}

impl Supervised for Counter {
    fn restarting(&mut self, _: &mut Context<Self>) {
        *self = Self::default();
    }
}

impl Handler<Count> for Counter {
    type Result = u32;

    fn handle(&mut self, _: Count, _: &mut Context<Self>) -> u32 {
        self.0 += 1;
        self.0
    }
}

impl Handler<Do> for Counter {
    type Result = ();

    fn handle(&mut self, what: Do, ctx: &mut Context<Self>) {
        match what {
            Do::Panic => panic!("no {}", "luck"),
            Do::Stop => ctx.stop(),
            Do::Fail => fail(ctx, "no disk"),
            Do::End => end(ctx),
        }
    }
}

/// The parent: passes events on.
struct Parent(mpsc::UnboundedSender<ChildEvent>);

impl Actor for Parent {
    type Context = Context<Self>;
}

impl Handler<ChildEvent> for Parent {
    type Result = ();

    fn handle(&mut self, event: ChildEvent, _: &mut Context<Self>) {
        _ = self.0.send(event);
    }
}

struct Nursery {
    parent: Addr<Parent>,
    events: mpsc::UnboundedReceiver<ChildEvent>,
}

impl Nursery {
    fn new() -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        Self { parent: Parent(sender).start(), events }
    }

    fn child(&self, id: &str) -> Child {
        let backoff = Backoff { first: Duration::from_millis(5), ..Backoff::default() };
        Child { backoff, ..Child::new(id, self.parent.clone().recipient()) }
    }

    fn counter(&self) -> (Addr<Counter>, ChildHandle) {
        let (address, seat) = seat(16);
        (address, start_here(seat, self.child("counter"), Counter::default))
    }

    /// What happens next, in words.
    async fn next(&mut self) -> String {
        match self.events.recv().await.expect("the parent lives") {
            ChildEvent::Created(_) => "created".to_owned(),
            ChildEvent::Running { .. } => "running".to_owned(),
            ChildEvent::Fell { reason, tries, .. } => format!("{reason} ({tries})"),
            ChildEvent::Stopped { .. } => "stopped".to_owned(),
            ChildEvent::Ended { .. } => "ended".to_owned(),
        }
    }

    async fn expect(&mut self, events: &[&str]) {
        for expected in events {
            assert_eq!(self.next().await, *expected);
        }
    }
}

#[actix::test]
async fn a_panic_costs_the_message_but_neither_the_address_nor_the_queue() {
    let mut nursery = Nursery::new();
    let (counter, _) = nursery.counter();
    assert_eq!(counter.send(Count).await, Ok(1));
    let lost = counter.send(Do::Panic);
    let queued: VecDeque<_> = (0..10).map(|_| counter.send(Count)).collect();
    assert_eq!(lost.await, Err(MailboxError::Closed));
    let answers = futures_util::future::join_all(queued).await;
    assert_eq!(answers, (1..=10).map(Ok).collect::<Vec<_>>());
    nursery.expect(&["created", "running", "panic: no luck (1)", "running"]).await;
}

#[actix::test]
async fn a_stop_that_nobody_asked_for_and_a_failure_are_undone() {
    let mut nursery = Nursery::new();
    let (counter, _) = nursery.counter();
    _ = counter.send(Do::Stop).await;
    _ = counter.send(Do::Fail).await;
    assert_eq!(counter.send(Count).await, Ok(1));
    nursery
        .expect(&["created", "running", "stopped unexpectedly (1)", "running", "no disk (2)"])
        .await;
}

#[actix::test]
async fn a_stopped_child_stays_stopped_and_keeps_its_queue_until_started() {
    let mut nursery = Nursery::new();
    let (counter, handle) = nursery.counter();
    nursery.expect(&["created", "running"]).await;
    handle.stop();
    nursery.expect(&["stopped"]).await;
    let waiting = counter.send(Count);
    handle.stop();
    handle.start();
    nursery.expect(&["running"]).await;
    assert_eq!(waiting.await, Ok(1));
}

#[actix::test]
async fn a_stopped_child_lets_go_of_what_its_futures_hold() {
    let mut nursery = Nursery::new();
    let (counter, handle) = nursery.counter();
    let held = Arc::new(());
    counter.send(Hold(held.clone())).await.unwrap();
    assert_eq!(Arc::strong_count(&held), 2);
    nursery.expect(&["created", "running"]).await;
    handle.stop();
    nursery.expect(&["stopped"]).await;
    assert_eq!(Arc::strong_count(&held), 1);
}

#[actix::test]
async fn an_ended_child_is_gone_for_good() {
    let mut nursery = Nursery::new();
    let (counter, _) = nursery.counter();
    _ = counter.send(Do::End).await;
    nursery.expect(&["created", "running", "ended"]).await;
    assert_eq!(counter.send(Count).await, Err(MailboxError::Closed));
}

#[actix::test]
async fn a_child_is_ended_from_outside_whether_it_runs_or_stands() {
    let mut nursery = Nursery::new();
    let (running, handle) = nursery.counter();
    assert_eq!(running.send(Count).await, Ok(1));
    handle.end();
    nursery.expect(&["created", "running", "ended"]).await;
    assert_eq!(running.send(Count).await, Err(MailboxError::Closed));
    let (_standing, handle) = nursery.counter();
    nursery.expect(&["created", "running"]).await;
    handle.stop();
    nursery.expect(&["stopped"]).await;
    handle.end();
    nursery.expect(&["ended"]).await;
}

#[actix::test]
async fn a_start_does_not_undo_an_end() {
    let mut nursery = Nursery::new();
    let (address, handle) = nursery.counter();
    nursery.expect(&["created", "running"]).await;
    handle.end();
    handle.start();
    nursery.expect(&["ended"]).await;
    assert!(!address.connected());
}

#[actix::test]
async fn a_child_whose_address_is_dropped_ends() {
    let mut nursery = Nursery::new();
    drop(nursery.counter());
    nursery.expect(&["created", "running"]).await;
    assert!(["ended", "stopped unexpectedly (1)"].contains(&nursery.next().await.as_str()));
}

#[actix::test]
async fn a_panic_made_from_outside_leaves_siblings_alone() {
    let mut nursery = Nursery::new();
    let (first, handle) = nursery.counter();
    nursery.expect(&["created", "running"]).await;
    let (second, _) = nursery.counter();
    nursery.expect(&["created", "running"]).await;
    assert_eq!((first.send(Count).await, second.send(Count).await), (Ok(1), Ok(1)));
    handle.panic();
    nursery.expect(&["panic: test panic (1)", "running"]).await;
    assert_eq!((first.send(Count).await, second.send(Count).await), (Ok(1), Ok(2)));
}

#[actix::test]
async fn a_factory_that_panics_is_tried_again() {
    let mut nursery = Nursery::new();
    let luck = std::cell::Cell::new(0);
    let (counter, seat) = seat::<Counter>(16);
    start_here(seat, nursery.child("counter"), move || {
        luck.set(luck.get() + 1);
        assert!(luck.get() > 2, "bad start");
        Counter::default()
    });
    assert_eq!(counter.send(Count).await, Ok(1));
    nursery.expect(&["created", "panic: bad start (1)", "panic: bad start (2)", "running"]).await;
}

/// An actor that cannot start.
struct Flighty;

impl Actor for Flighty {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        panic!("bad start");
    }
}

impl Supervised for Flighty {}

#[actix::test]
async fn an_actor_that_panics_at_each_start_is_tried_ever_later_and_leaves_siblings_alone() {
    let mut nursery = Nursery::new();
    let (_flighty, seat) = seat::<Flighty>(16);
    let handle = start_here(seat, nursery.child("flighty"), || Flighty);
    let mut pauses = vec![];
    while pauses.len() < 5 {
        match nursery.events.recv().await.expect("the parent lives") {
            ChildEvent::Fell { reason, tries, retry_in, .. } => {
                pauses.push(retry_in.as_millis());
                assert_eq!((reason.as_str(), tries), ("panic: bad start", pauses.len() as u32));
            }
            ChildEvent::Created(_) | ChildEvent::Running { .. } => {}
            event => panic!("{event:?}"),
        }
    }
    assert_eq!(pauses, [5, 10, 20, 40, 80]);
    handle.stop();
    while nursery.next().await != "stopped" {}
    let (sibling, _) = nursery.counter();
    assert_eq!(sibling.send(Count).await, Ok(1));
    nursery.expect(&["created", "running"]).await;
}

#[actix::test]
async fn a_dead_arbiter_is_told_as_an_end() {
    let mut nursery = Nursery::new();
    let arbiter = actix_rt::Arbiter::new();
    let handle = arbiter.handle();
    arbiter.stop();
    arbiter.join().unwrap();
    let (counter, _) = start_new(16, nursery.child("counter"), &handle, Counter::default);
    nursery.expect(&["created", "ended"]).await;
    assert_eq!(counter.send(Count).await, Err(MailboxError::Closed));
}
