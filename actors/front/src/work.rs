//! What all requests have in common: who asks, the body, the work, and what is told of it.

use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;

use futures_util::FutureExt as _;
use link::heavy::{self, Room};
use mail::requests::{Caller, Outcome};
use metrics::counts::{Handler, Proof};
use serde_json::{Value, json};
use web::credentials::Credentials;
use web::deployed::Bad;
use web::site;
use web::user::{Auth, User};
use wire::{Action, Request};

use crate::answer::Held;
use crate::body::{self, Body, Broken, Client};
use crate::head::Head;
use crate::identity::{self, Denied};
use crate::peer::Peer;
use crate::proved::Proved;
use crate::rooms::Sender;
use crate::shared::Share;
use crate::tenure::{self, Tenure};

/// Bodies up to this length are read where they arrive.
const SMALL_BODY: usize = 16 << 10;

/// Memory that reading a small one may take.
const SMALL_WEIGHT: usize = 256 << 10;

/// Most bytes of a body of who proved nothing, or may nothing.
const UNKNOWN_BODY: usize = 64 << 10;

/// Makes a request of a body, in so many bytes of memory.
pub(crate) trait Reading: Fn(&[u8], usize) -> Result<Request, Bad> + Send + 'static {}

impl<T: Fn(&[u8], usize) -> Result<Request, Bad> + Send + 'static> Reading for T {}

/// What a request was answered, and what it holds if it is a subscription.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) outcome: Outcome,
    pub(crate) held: Held,
}

/// Has a request carried out. `is_open`: everybody may ask.
pub(crate) async fn run(
    peer: &Rc<Peer>,
    head: &Head,
    client: &mut impl Client,
    is_open: bool,
    reading: impl Reading,
) -> Result<Done, Broken> {
    let Proved { user, basis } = identified(peer, head, is_open).await?;
    let (is_known, may_nothing) = (user.is_known(), user.grants.is_nothing());
    let sender = match (may_nothing, user.grants.is_root()) {
        (true, _) => Sender::Nobody,
        (false, true) => Sender::Root,
        (false, false) => Sender::User(format!("{:?}/{}", user.namespace, user.name)),
    };
    let caller = peer.caller(user);
    let most = peer.shared.mail.gate.load().listener.max_body;
    let most = if may_nothing { most.min(UNKNOWN_BODY) } else { most };
    let body = body::read(client, peer.shared.bodies.part(sender), most).await?;
    let request = read(reading, body, &caller).await.map_err(Broken::Bad)?;
    head.asked.set(Some(Handler::of(&request.action)));
    let share = match request.action.route().is_stream {
        false => Share::default(),
        true => peer
            .shared
            .subscribe(&request.action)
            .ok_or_else(|| Broken::Bad(Bad::of(429, "too many subscriptions: try again later")))?,
    };
    if is_known && !peer.session.prove() {
        // It had to make room meanwhile.
        return Err(Broken::Gone);
    }
    note(peer, &caller, &request);
    peer.session.on_validated();
    peer.session.on_progress(request.action.route().names.first().copied());
    let only_waits = only_waits(&request.action);
    let mut tenure = only_waits.then(|| Tenure::new(&peer.shared, basis)).flatten();
    let outcome = tokio::select! {
        biased;
        outcome = handle(peer, caller, request) => outcome,
        // Nobody is left to be told; what changes something goes on.
        () = client.gone(), if only_waits => return Err(Broken::Gone),
        () = tenure::ended(&mut tenure), if only_waits => return Err(refused(peer, Denied::Refused)),
    };
    // Only a stream goes on behind its answer.
    let tenure = tenure.filter(|_| matches!(outcome, Outcome::Stream(_)));
    Ok(Done { outcome, held: Held { share, tenure } })
}

/// Who asks. Where everybody may ask, who proves nothing is nobody.
pub(crate) async fn identified(peer: &Peer, head: &Head, is_open: bool) -> Result<Proved, Broken> {
    let origin = head.values("origin");
    let fetched = head.values("sec-fetch-site");
    if site::is_foreign(&head.method, &origin, &fetched, head.authority.as_deref()) {
        return Err(Broken::Bad(Bad::of(403, "Forbidden: asked by a page of another site")));
    }
    let gate = peer.shared.mail.gate.load_full();
    let secrets = if gate.listener.allow_secret { head.values("o-secret") } else { vec![] };
    let credentials = Credentials::read(&secrets, &head.values("authorization"));
    let method = credentials.method();
    let identified = identity::identify(peer, credentials).await;
    let counts = &peer.shared.mail.counts;
    let denied = match identified {
        Ok(proved) if proved.user.is_known() || is_open => {
            counts.on_proof(proved.user.auth.map_or("none", Auth::as_str), Proof::Accepted);
            return Ok(proved);
        }
        Ok(_) => Denied::Refused,
        Err(_) if is_open => return Ok(Proved::lasting(Arc::new(User::nobody()))),
        Err(denied) => denied,
    };
    counts.on_proof(
        method,
        if let Denied::Refused = denied { Proof::Refused } else { Proof::Limited },
    );
    Err(refused(peer, denied))
}

fn refused(peer: &Peer, denied: Denied) -> Broken {
    let cluster = peer.shared.mail.config.load().node.cluster_name.clone();
    Broken::Answered(Box::new(denied.to_answer(&cluster)))
}

/// Tells the log who changes what.
fn note(peer: &Peer, caller: &Caller, request: &Request) {
    let Some(address) = peer.address().filter(|_| request.action.route().method != "GET") else {
        return;
    };
    let options = request.action.to_options();
    let object = options.get("path").and_then(Value::as_str).unwrap_or_default();
    let auth = caller.user.auth.map_or("none", Auth::as_str);
    let (action, user) = (&*request.name, caller.user.name.as_str());
    log::info!(action, object, user, auth, sender:% = address; "request");
}

/// Whether a request does nothing but wait.
fn only_waits(action: &Action) -> bool {
    matches!(action, Action::Wait(_) | Action::Sync(_)) || action.route().is_stream
}

/// Reads a request: at once while it is small, outside of the arbiter and in as much memory as is held when it is not.
async fn read(reading: impl Reading, body: Body, caller: &Caller) -> Result<Request, Bad> {
    if body.bytes.len() <= SMALL_BODY {
        return reading(&body.bytes, SMALL_WEIGHT);
    }
    let crowded = || Bad::of(503, "too much is being read: try again");
    let held = heavy::hold(Room::LARGE.bytes()).await.ok_or_else(crowded)?;
    let work = move || {
        let request = reading(&body.bytes, wire::MOST_WEIGHT);
        let weight = request.as_ref().map_or(0, Request::weight);
        (request, weight, held)
    };
    let (request, weight, held) = heavy::apart(work).await.ok_or_else(crowded)?;
    caller.purse.put(held, weight);
    request
}

/// Has a request carried out. A panic of its handler is answered as what it is.
async fn handle(peer: &Peer, caller: Caller, request: Request) -> Outcome {
    let name = request.name.clone();
    let handled = (peer.shared.router)(peer.shared.mail.clone(), caller, request);
    AssertUnwindSafe(handled).catch_unwind().await.unwrap_or_else(|_| {
        log::error!(action:% = name; "a request handler panicked");
        Outcome::Json(json!({"status": 500, "error": "internal error", "traceback": ""}))
    })
}
