//! One request and its answer, whichever HTTP carries them.

use std::rc::Rc;
use std::time::Instant;

use http::header::{ALLOW, HeaderValue};
use metrics::counts::Handler;
use serde_json::Value;
use web::deployed::{Bad, Rest, Target};

use crate::answer::{Answer, Content};
use crate::api;
use crate::body::{Broken, Client};
use crate::head::Head;
use crate::page;
use crate::peer::Peer;
use crate::scrape;
use crate::work;

/// The methods that a path may have.
const METHODS: [&str; 3] = ["GET", "POST", "DELETE"];

/// Answers a request. None: the client is gone.
pub(crate) async fn answer(
    peer: &Rc<Peer>,
    head: Head,
    client: &mut impl Client,
) -> Option<Answer> {
    let (is_head, begun) = (head.method == "HEAD", Instant::now());
    let answered = if head.method == "OPTIONS" {
        Ok(options(head.path()))
    } else if scrape::is_meant(&head) {
        scrape::answer(peer, &head).await
    } else {
        match api::is_meant(head.path()) {
            true => api::answer(peer, &head, client).await,
            false => deployed(peer, &head, client).await,
        }
    };
    peer.session.on_progress(None);
    let mut answer = match answered {
        Ok(answer) => answer,
        Err(Broken::Gone) => return None,
        Err(Broken::Bad(bad)) => bad.into(),
        Err(Broken::Answered(answer)) => *answer,
    };
    count(peer, &head, &answer, begun);
    if is_head && let Content::Stream(_) = answer.content {
        answer.content = Content::Texts(vec![]);
    }
    Some(answer)
}

/// Counts an answer.
fn count(peer: &Peer, head: &Head, answer: &Answer, begun: Instant) {
    // What is refused before it is read is told by its path.
    let (handler, is_at_once) = head.asked.take().unwrap_or_else(|| (named(head), true));
    let took = is_at_once.then(|| begun.elapsed());
    peer.shared.mail.counts.on_request(peer.transport, handler, answer.status, took);
}

/// What a path asks.
fn named(head: &Head) -> Handler {
    let method = if head.method == "HEAD" { "GET" } else { &head.method };
    let route = match api::is_meant(head.path()) {
        true => web::rest::find(method, head.path()).ok().map(|found| found.entry.route()),
        false => Target::find(method, head.path()).ok().map(|target| target.route),
    };
    let name = route.and_then(|route| route.names.first());
    name.map_or(Handler::Unknown, |name| Handler::named(name))
}

/// What a path may be asked.
fn options(path: &str) -> Answer {
    let mut words = match api::is_meant(path) {
        _ if scrape::is_path(path) => vec!["GET"],
        true => api::methods(path),
        false => METHODS.into_iter().filter(|method| Target::find(method, path).is_ok()).collect(),
    };
    if words.contains(&"GET") {
        words.push("HEAD");
    }
    words.push("OPTIONS");
    let mut answer = Answer::empty(204);
    let allow = HeaderValue::from_str(&words.join(", "));
    answer.headers.extend(allow.ok().map(|allow| (ALLOW, allow)));
    answer
}

/// Answers a request as deployed agents do.
async fn deployed(
    peer: &Rc<Peer>,
    head: &Head,
    client: &mut impl Client,
) -> Result<Answer, Broken> {
    let method = if head.method == "HEAD" { "GET" } else { &head.method };
    if method == "GET" {
        let (accepts, known) = (head.values("accept"), head.values("if-none-match"));
        if let Some(page) = page::answer(peer, head.path(), &accepts, &known).await {
            head.asked.set(Some((Handler::Page, true)));
            return Ok(page);
        }
    }
    let target = Target::find(method, head.path());
    let target = target.map_err(|error| Broken::Bad(Bad::of(501, &error.to_string())))?;
    let is_open = target.route.role.is_empty();
    let nodes: Vec<String> = head.values("o-node").into_iter().map(str::to_owned).collect();
    let is_multiplexed = !head.values("o-multiplexed").is_empty();
    let query = head.query_with_last();
    let reading = move |body: &[u8], budget: usize| {
        let nodes: Vec<&str> = nodes.iter().map(String::as_str).collect();
        let rest = Rest { query: query.as_deref(), nodes: &nodes, is_multiplexed };
        target.request(&rest, body, budget)
    };
    let done = work::run(peer, head, client, is_open, reading).await?;
    Ok(Answer::of_outcome(done.outcome, head.form(), done.held))
}

/// The reply to a request that panicked outside of its handler.
pub(crate) fn internal_error() -> Answer {
    let reply: Value = wire::reply::error(500, "internal error");
    Answer::of_reply(&reply)
}
