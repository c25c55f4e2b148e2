//! What every request works with: the mail, who asks, and how an owner of state is asked.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use dataset::config::LoadedConfig;
use dataset::snapshot::Snapshot;
use futures_util::future::LocalBoxFuture;
use link::heavy::{self, Purse};
use mail::config_watcher::Look;
use mail::hearer::Hears;
use mail::mail::Mail;
use mail::requests::{Caller, NotNow, Outcome, Refused};
use model::ObjectPath;
use serde_json::Value;
use tokio::sync::Semaphore;
use web::grants::ROOT_NAMESPACE;
use wire::{Prepared, Request};

/// How long an owner of state may take to answer a message. Far more than any takes; an actor that is restarting
/// answers when it is back.
pub(crate) const ASK_PATIENCE: Duration = Duration::from_secs(10);

/// Answers a request for the local node: the table of handlers, for those that ask it again.
type Answer = for<'a> fn(&'a Context, &'a Request) -> LocalBoxFuture<'a, Outcome>;

/// What a handler works with.
pub(crate) struct Context {
    pub(crate) mail: Arc<Mail>,
    pub(crate) caller: Caller,
    /// Answers a request for the local node.
    pub(crate) answer: Answer,
}

impl Context {
    /// The same, for what lasts: nothing of its request is kept for it.
    pub(crate) fn lasting(&self) -> Self {
        let caller = Caller { purse: Purse::default(), ..self.caller.clone() };
        Self { mail: self.mail.clone(), caller, answer: self.answer }
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.mail.snapshot.load_full()
    }

    pub(crate) fn config(&self) -> Arc<LoadedConfig> {
        self.mail.config.load_full()
    }

    /// Asks an owner of state. A closed mailbox, a full one and a late answer are all "not now".
    pub(crate) async fn ask<M>(
        &self,
        owner: &impl Hears<M>,
        message: M,
    ) -> Result<M::Result, NotNow>
    where
        M: Message + Send + 'static,
        M::Result: Send,
    {
        self.ask_for(owner, message, ASK_PATIENCE).await
    }

    /// The same, for what may take its time: no longer than `patience`.
    pub(crate) async fn ask_for<M>(
        &self,
        owner: &impl Hears<M>,
        message: M,
        patience: Duration,
    ) -> Result<M::Result, NotNow>
    where
        M: Message + Send + 'static,
        M::Result: Send,
    {
        owner.post().send(message).timeout(patience).await.map_err(|_| NotNow)
    }

    /// The namespaces of the objects that there are: `root` for those without.
    pub(crate) fn namespaces(&self) -> BTreeSet<String> {
        let (config, snapshot) = (self.config(), self.snapshot());
        let found = config.objects.namespaces().chain(snapshot.services().namespaces());
        let found: BTreeSet<&str> = found.map(|found| found.unwrap_or(ROOT_NAMESPACE)).collect();
        found.into_iter().map(str::to_owned).collect()
    }

    /// The path of an object that is configured here or seen anywhere; a 404 otherwise. Deployed commands write the file of a
    /// new object and tell of it at once: a file that nobody has looked at yet is looked at.
    pub(crate) async fn known_object(&self, path: &str) -> Result<ObjectPath, Refused> {
        let unknown = || Refused::new(404, format!("{} not found", shorten(path)));
        let object = ObjectPath::parse(path).map_err(|_| unknown())?;
        if !self.is_known(&object) && self.mail.paths.config_file(&object).exists() {
            self.ask(&self.mail.config_watcher, Look(vec![object.clone()])).await?;
        }
        if self.is_known(&object) { Ok(object) } else { Err(unknown()) }
    }

    fn is_known(&self, object: &ObjectPath) -> bool {
        self.config().objects.contains_key(object)
            || self.snapshot().services().contains_key(object)
    }
}

/// What a peer wrote, as an error text may repeat it.
pub(crate) fn shorten(text: &str) -> String {
    text.chars().take(200).collect()
}

/// Selectors that are expanded at once: each may take a second of a processor.
static SELECTING: Semaphore = Semaphore::const_new(2);

/// Expands selectors beside the actors, few at a time.
pub(crate) async fn selecting<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, NotNow> {
    let turn = tokio::time::timeout(heavy::PATIENCE, SELECTING.acquire()).await;
    let turn = turn.map_err(|_| NotNow)?;
    // With its turn: work that is begun goes on when nobody waits for it any more.
    let work = move || (work(), turn);
    heavy::apart(work).await.map(|(done, _)| done).ok_or(NotNow)
}

/// Makes a message ready.
pub(crate) async fn prepared(message: Value) -> Result<Arc<Prepared>, NotNow> {
    link::prepare::prepared(message).await.ok_or(NotNow)
}

/// Runs file work on the blocking pool.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, NotNow> {
    machine::blocking::run(work).await.map_err(|_| NotNow)
}
