//! Messages to an actor that may not keep up: what has no room is kept here, the last one a key, and sent again.
//!
//! Whoever can make an actor tell another one something, over and over, fills no mailbox that way.

use std::collections::BTreeMap;
use std::time::Duration;

use actix::prelude::*;

/// Pause after which what had no room is sent again.
pub const AGAIN: Duration = Duration::from_millis(100);

/// What is sent to one actor.
pub struct Latest<K, M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    to: Recipient<M>,
    waiting: BTreeMap<K, M>,
    /// [`Self::again`] will be called.
    is_due: bool,
}

impl<K, M> std::fmt::Debug for Latest<K, M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Latest({} waiting)", self.waiting.len())
    }
}

impl<K, M> Latest<K, M>
where
    K: Ord + Clone,
    M: Message + Send + 'static,
    M::Result: Send,
{
    /// Nothing waits.
    pub fn new(to: Recipient<M>) -> Self {
        Self { to, waiting: BTreeMap::new(), is_due: false }
    }

    /// Sends a message, after what waits. True: something waits, and [`Self::again`] is to be called after [`AGAIN`], which
    /// nobody was told before.
    pub fn send(&mut self, key: K, message: M) -> bool {
        self.waiting.insert(key, message);
        let was_due = self.is_due;
        self.again() && !was_due
    }

    /// Takes back what waits by this key: it holds no more.
    pub fn take_back(&mut self, key: &K) {
        self.waiting.remove(key);
    }

    /// Whoever was to call [`Self::again`] is gone. True: it is to be called after [`AGAIN`].
    pub fn on_restart(&mut self) -> bool {
        self.is_due = !self.waiting.is_empty();
        self.is_due
    }

    /// Sends what waits, whether there is room or not: the last that its sender does.
    pub fn send_all(&mut self) {
        for message in std::mem::take(&mut self.waiting).into_values() {
            self.to.do_send(message);
        }
    }

    /// Sends what waits. True: something still does.
    pub fn again(&mut self) -> bool {
        while let Some((key, message)) = self.waiting.pop_first() {
            // A closed mailbox is that of an actor that ends: nobody is left to be told.
            if let Err(SendError::Full(message)) = self.to.try_send(message) {
                self.waiting.insert(key, message);
                self.is_due = true;
                return true;
            }
        }
        self.is_due = false;
        false
    }
}

/// Sends a message that waits; it stays where there is no room for it. A closed mailbox is that of an actor that ends: nobody
/// is left to be told. Never to a copy of an address that is made for it: each copy has a place of its own in the mailbox.
pub fn post<M>(waiting: &mut Option<M>, send: impl FnOnce(M) -> Result<(), SendError<M>>) {
    if let Some(message) = waiting.take()
        && let Err(SendError::Full(message)) = send(message)
    {
        *waiting = Some(message);
    }
}

/// The same to each of many, the last message a key.
pub fn post_to<K: Ord, M>(
    waiting: &mut BTreeMap<K, M>,
    send: impl Fn(&K, M) -> Result<(), SendError<M>>,
) {
    for (key, message) in std::mem::take(waiting) {
        if let Err(SendError::Full(message)) = send(&key, message) {
            waiting.insert(key, message);
        }
    }
}

/// Calls `again` after [`AGAIN`], and so on, while it tells that something still waits.
pub fn keep_on<A>(ctx: &mut Context<A>, again: fn(&mut A) -> bool)
where
    A: Actor<Context = Context<A>>,
{
    ctx.run_later(AGAIN, move |this, ctx| {
        if again(this) {
            keep_on(ctx, again);
        }
    });
}

#[cfg(test)]
mod tests {
    use actix::dev::channel;

    use super::*;

    #[derive(Debug, PartialEq, Message)]
    #[rtype(result = "()")]
    struct Said(u32);

    struct Ear;

    impl Actor for Ear {
        type Context = Context<Self>;
    }

    impl Handler<Said> for Ear {
        type Result = ();

        fn handle(&mut self, _: Said, _: &mut Context<Self>) {}
    }

    #[actix::test]
    async fn an_actor_that_stands_still_holds_one_message_a_key_beside_its_mailbox() {
        // Nobody reads this mailbox.
        let (sender, mailbox) = channel::channel::<Ear>(4);
        let mut latest = Latest::new(Addr::new(sender).recipient());
        let mut told = 0;
        for number in 0..10_000 {
            told += usize::from(latest.send(number % 3, Said(number)));
        }
        assert_eq!(told, 1, "it is to be called again once, however much waits");
        assert!(latest.again() && latest.on_restart());
        let left: Vec<_> = latest.waiting.values().collect();
        assert_eq!(left, [&Said(9_999), &Said(9_997), &Said(9_998)]);
        latest.take_back(&1);
        assert_eq!(latest.waiting.len(), 2);
        // It is gone: nothing is kept for it.
        drop(mailbox);
        assert!(!latest.again() && latest.waiting.is_empty() && !latest.on_restart());
    }

    #[actix::test]
    async fn of_many_actors_those_that_stand_still_hold_up_nobody_else() {
        let (stalled, stalled_mailbox) = channel::channel::<Ear>(2);
        let (well, well_mailbox) = channel::channel::<Ear>(1 << 20);
        let all: BTreeMap<&str, Recipient<Said>> =
            [("stalled", Addr::new(stalled).recipient()), ("well", Addr::new(well).recipient())]
                .into();
        let send = |name: &&str, said| all.get(name).map_or(Ok(()), |to| to.try_send(said));
        let (mut one, mut many) = (None, BTreeMap::new());
        for number in 0..10_000 {
            one = Some(Said(number));
            post(&mut one, |said| all["stalled"].try_send(said));
            for name in ["stalled", "well", "gone"] {
                many.insert(name, Said(number));
            }
            post_to(&mut many, send);
        }
        assert_eq!(one, Some(Said(9_999)), "it waits, instead of those before");
        assert_eq!(many, [("stalled", Said(9_999))].into());
        drop((stalled_mailbox, well_mailbox));
        post_to(&mut many, send);
        assert!(many.is_empty(), "nobody is left to be told");
    }
}
