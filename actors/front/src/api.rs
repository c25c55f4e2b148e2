//! The paths under `/api`: the same requests, in the shapes of REST.

use std::rc::Rc;

use dataset::config::csum;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderName, HeaderValue};
use mail::requests::Outcome;
use ring::digest::{SHA256, digest};
use serde_json::Value;
use web::rest::{self, Content as Shape, Found, NotFound, Page, Shaped, problem};

use crate::answer::{Answer, Content, Form, Text};
use crate::body::{Broken, Client};
use crate::head::Head;
use crate::peer::Peer;
use crate::work::{self, Done};

/// The node that answered.
const SERVED_BY: HeaderName = HeaderName::from_static("om-served-by");

/// Where OpenAPI is told; the second is how others spell it.
const DOCUMENT: [&str; 2] = ["/api/openapi.json", "/api/openapi"];

/// Bytes of a digest that tell one answer from another.
const TAG_BYTES: usize = 16;

/// Whether a path is one of these. `/api` alone is a request of deployed agents.
pub(crate) fn is_meant(path: &str) -> bool {
    path.strip_prefix("/api/").is_some_and(|rest| !rest.is_empty())
}

/// The methods of a path.
pub(crate) fn methods(path: &str) -> Vec<&'static str> {
    match rest::find("OPTIONS", path) {
        Err(NotFound::Method(methods)) => methods,
        _ if DOCUMENT.contains(&path) => vec!["GET"],
        _ => vec![],
    }
}

/// Answers a request. What goes wrong is a problem too.
pub(crate) async fn answer(
    peer: &Rc<Peer>,
    head: &Head,
    client: &mut impl Client,
) -> Result<Answer, Broken> {
    let mut answer = match answered(peer, head, client).await {
        Ok(answer) => answer,
        Err(Broken::Bad(bad)) => {
            let text = bad.reply["error"].as_str().unwrap_or_default().to_owned();
            plain(problem(bad.status, &text))
        }
        Err(Broken::Answered(denied)) => {
            let mut answer = plain(problem(denied.status, "Not Authorized"));
            let kept = denied.headers.into_iter().filter(|(name, _)| *name != CONTENT_TYPE);
            answer.headers.extend(kept);
            answer
        }
        Err(Broken::Gone) => return Err(Broken::Gone),
    };
    let node = HeaderValue::from_str(peer.shared.mail.nodename.as_str());
    answer.headers.extend(node.ok().map(|node| (SERVED_BY, node)));
    if !answer.headers.iter().any(|(name, _)| *name == CACHE_CONTROL) {
        answer.headers.push((CACHE_CONTROL, HeaderValue::from_static("no-store")));
    }
    Ok(answer)
}

async fn answered(
    peer: &Rc<Peer>,
    head: &Head,
    client: &mut impl Client,
) -> Result<Answer, Broken> {
    let method = if head.method == "HEAD" { "GET" } else { &head.method };
    if DOCUMENT.contains(&head.path()) && method == "GET" {
        let document = rest::document(env!("CARGO_PKG_VERSION"));
        let answer = plain(Shaped { status: 200, content: Shape::Json(document) });
        return Ok(tagged(head, answer, false));
    }
    let mut found = match rest::find(method, head.path()) {
        Ok(found) => found,
        Err(NotFound::Path) => return Ok(plain(problem(404, "no such path"))),
        Err(NotFound::Method(methods)) => {
            let mut answer = plain(problem(405, "not with this method"));
            let allow = HeaderValue::from_str(&methods.join(", "));
            answer.headers.extend(allow.ok().map(|allow| (ALLOW, allow)));
            return Ok(answer);
        }
    };
    let is_open = found.entry.route().role.is_empty();
    found.refine(head.query());
    let (asked, query) = (found.clone(), with_conditions(method, head));
    let reading = move |body: &[u8], budget: usize| asked.request(query.as_deref(), body, budget);
    let Done { outcome, held } = work::run(peer, head, client, is_open, reading).await?;
    if let Outcome::Stream(_) = outcome {
        let form = if head.form() == Form::Events { Form::Events } else { Form::Lines };
        let mut answer = Answer::of_outcome(outcome, form, held);
        if let Content::Stream(stream) = &mut answer.content {
            stream.is_brief = true;
        }
        return Ok(answer);
    }
    // The checksum of a file is that by which nodes know it.
    let is_file = found.entry.path.ends_with("/config/file");
    let answer = shaped(found, outcome, head.query()).await;
    Ok(match method {
        "GET" => tagged(head, answer, is_file),
        _ => answer,
    })
}

/// The answer of a request in the shape of its path, made outside of the arbiter where it is long.
async fn shaped(found: Found, outcome: Outcome, query: Option<&str>) -> Answer {
    let page = Page::of(query);
    match outcome {
        Outcome::Json(reply) => plain(found.shaped(reply, &page)),
        Outcome::Nothing | Outcome::Stream(_) => plain(found.shaped(Value::Null, &page)),
        Outcome::Prepared(body) => {
            let work = move || {
                let read = wire::parse_within(&body.json(), wire::MOST_WEIGHT);
                read.map(|reply| plain(found.shaped(reply, &page)))
            };
            match machine::blocking::run(work).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) | Err(_) => plain(problem(503, "the answer is too long to be shaped")),
            }
        }
    }
}

fn plain(shaped: Shaped) -> Answer {
    let with = |content_type: &'static str, text: String| {
        Answer::new(shaped.status, HeaderValue::from_static(content_type), text)
    };
    match shaped.content {
        Shape::None => Answer::empty(shaped.status),
        Shape::Json(value) => with("application/json", value.to_string()),
        Shape::Problem(value) => with("application/problem+json", value.to_string()),
        Shape::Text(text) => with("text/plain; charset=utf-8", text),
        Shape::Octets(text) => with("application/octet-stream", text),
    }
}

/// The query, with what a writer says that has to be there: `if-match`, `if-none-match: *`.
fn with_conditions(method: &str, head: &Head) -> Option<String> {
    let mut query = head.query_with_last();
    let mut add = |option: &str, value: &str| {
        let before = query.take().filter(|query| !query.is_empty());
        let before = before.map_or_else(String::new, |query| format!("{query}&"));
        query = Some(format!("{before}{option}={value}"));
    };
    if method == "PUT" {
        let known =
            head.values("if-match").pop().map(|tag| tag.trim().trim_matches('"').to_owned());
        match known.as_deref() {
            Some("*") => add("only", "existing"),
            // What is no checksum is none that is there.
            Some(tag) => {
                let is_tag = !tag.is_empty() && tag.chars().all(|c| c.is_ascii_alphanumeric());
                add("etag", if is_tag { tag } else { "none" });
            }
            None => {}
        }
        if head.values("if-none-match").iter().any(|tag| tag.trim() == "*") {
            add("only", "new");
        }
    }
    query
}

/// With a tag that tells its content; 304 to who has that already.
fn tagged(head: &Head, mut answer: Answer, is_file: bool) -> Answer {
    let Content::Texts(texts) = &answer.content else { return answer };
    let [Text::Plain(bytes)] = texts.as_slice() else { return answer };
    if answer.status != 200 {
        return answer;
    }
    let hex: String = if is_file {
        csum(bytes)
    } else {
        let digest = digest(&SHA256, bytes);
        digest.as_ref()[..TAG_BYTES].iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let tag = format!("\"{hex}\"");
    let known = head.values("if-none-match");
    let is_known = known.iter().flat_map(|header| header.split(',')).any(|own| {
        let own = own.trim();
        own == "*" || own.strip_prefix("W/").unwrap_or(own) == tag
    });
    if is_known {
        answer = Answer::empty(304);
    }
    answer.headers.extend(HeaderValue::from_str(&tag).ok().map(|tag| (ETAG, tag)));
    answer.headers.push((CACHE_CONTROL, HeaderValue::from_static("no-cache")));
    answer
}
