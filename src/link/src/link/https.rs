//! A daemon over HTTPS: asked by a user, with what proves who that is, from anywhere.
//!
//! Requests are those of the other ways; a stream comes as lines. Of several addresses the first that answers is asked.

use std::io::{self, BufRead as _, BufReader, Read as _};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use ureq::http::Response;
use ureq::{Agent, Body, Error};
use wire::{NodeSpec, Request};

use crate::link::conversation::OnItem;
use crate::link::error::AskError;
use crate::link::remote::Remote;
use crate::link::room::Room;
use crate::link::server::Server;
use crate::peer::CONNECT_PATIENCE;

/// Longest wait for a connection and its keys: other networks are slower than that of a cluster.
const PATIENCE: Duration = Duration::from_secs(5);

fn server(remote: &Arc<Remote>, node: Option<&str>) -> Server {
    Server::Https { remote: remote.clone(), node: node.map(str::to_owned) }
}

/// Most bytes of what is behind a path.
const MOST_PATH: u64 = 64 << 20;

fn agent(remote: &Arc<Remote>, within: Option<Duration>) -> Agent {
    let config = Agent::config_builder()
        .tls_config(remote.tls.clone())
        .proxy(None)
        .max_redirects(0)
        .http_status_as_error(false)
        .user_agent("opensvc-om")
        .timeout_connect(Some(within.map_or(PATIENCE, |within| within.min(PATIENCE))))
        .timeout_global(within.map(|within| within.max(CONNECT_PATIENCE)));
    config.build().new_agent()
}

/// The answer of the first address that answers.
fn send(
    remote: &Arc<Remote>,
    request: &Request,
    node: Option<&str>,
    within: Option<Duration>,
    since: Option<&str>,
) -> Result<Response<Body>, AskError> {
    let agent = agent(remote, within);
    let route = request.action.route();
    let name = route.names.first().copied().unwrap_or_default();
    let body = Value::from(request.action.to_options()).to_string();
    let mut last = AskError::Closed(server(remote, node));
    for address in &remote.addresses {
        let uri = format!("https://{address}/{name}");
        let accept = if route.is_stream { "text/event-stream" } else { "application/json" };
        let mut asked = match route.method {
            "POST" => agent.post(&uri),
            "DELETE" => agent.delete(&uri).force_send_body(),
            _ => agent.get(&uri).force_send_body(),
        };
        asked = asked.header("accept", accept);
        if let Some(since) = since {
            asked = asked.header("last-event-id", since);
        }
        if let Some(nodes) = nodes(request.node.as_ref(), node) {
            asked = asked.header("o-node", &nodes);
        }
        if let Some(authorization) = &remote.authorization {
            asked = asked.header("authorization", authorization.as_str());
        }
        match asked.send(&body) {
            Ok(answer) if answer.status() == 401 => {
                return Err(AskError::Unknown(server(remote, node)));
            }
            Ok(answer) => return Ok(answer),
            Err(error) => {
                let (error, is_unreached) = failure(remote, address, node, within, error);
                // What was sent may be done: nobody else is asked to do it again.
                if !is_unreached && route.method != "GET" {
                    return Err(error);
                }
                last = error;
            }
        }
    }
    Err(last)
}

/// Gets a path: the status, and what is answered.
pub(super) fn get(
    remote: &Arc<Remote>,
    node: Option<&str>,
    path: &str,
    within: Duration,
) -> Result<(u16, Vec<u8>), AskError> {
    let agent = agent(remote, Some(within));
    let mut last = AskError::Closed(server(remote, node));
    for address in &remote.addresses {
        let mut asked = agent.get(&format!("https://{address}{path}"));
        asked = asked.header("accept", "application/json");
        if let Some(authorization) = &remote.authorization {
            asked = asked.header("authorization", authorization.as_str());
        }
        match asked.call() {
            Ok(answer) => {
                let status = answer.status().as_u16();
                let mut body = vec![];
                let read = answer.into_body().into_reader().take(MOST_PATH).read_to_end(&mut body);
                read.map_err(|error| AskError::Broken(server(remote, node), error))?;
                return Ok((status, body));
            }
            Err(error) => last = failure(remote, address, node, Some(within), error).0,
        }
    }
    Err(last)
}

/// Why there is no answer, and whether nothing was asked yet.
fn failure(
    remote: &Arc<Remote>,
    address: &str,
    node: Option<&str>,
    within: Option<Duration>,
    error: Error,
) -> (AskError, bool) {
    let alone = Arc::new(Remote {
        addresses: vec![address.to_owned()],
        tls: remote.tls.clone(),
        authorization: None,
    });
    let of = server(&alone, node);
    let untrusted = |error: &io::Error| {
        let reason = error.get_ref().and_then(|reason| reason.downcast_ref::<rustls::Error>());
        reason.map(ToString::to_string)
    };
    match error {
        Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => {
            (AskError::Connect(of, io::ErrorKind::TimedOut.into()), true)
        }
        Error::Timeout(_) => (AskError::Timeout(of, within.unwrap_or(PATIENCE)), false),
        Error::Io(error) => match untrusted(&error) {
            Some(reason) => (AskError::Untrusted(of, reason), true),
            None => {
                let is_unreached = error.kind() == io::ErrorKind::ConnectionRefused;
                (AskError::Connect(of, error), is_unreached)
            }
        },
        Error::HostNotFound => {
            let error = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
            (AskError::Connect(of, error), true)
        }
        Error::ConnectionFailed => {
            (AskError::Connect(of, io::ErrorKind::ConnectionRefused.into()), true)
        }
        Error::Rustls(error) => (AskError::Untrusted(of, error.to_string()), true),
        Error::Tls(reason) => (AskError::Untrusted(of, reason.to_owned()), true),
        error => (AskError::Broken(of, io::Error::other(error.to_string())), false),
    }
}

/// The header `o-node`.
fn nodes(spec: Option<&NodeSpec>, node: Option<&str>) -> Option<String> {
    match spec {
        None => node.map(str::to_owned),
        Some(NodeSpec::Any) => Some("ANY".to_owned()),
        Some(NodeSpec::Names(names)) => Some(names.join(",")),
        Some(NodeSpec::Selector(selector)) => Some(selector.clone()),
    }
}

/// Asks, and hands over what is answered: one document, or the items of a stream, behind the one of the id `last` if there
/// is one. It is then that of the last item that came.
pub(super) fn exchange(
    (remote, node): (&Arc<Remote>, Option<&str>),
    request: &Request,
    within: Option<Duration>,
    last: &mut Option<String>,
    on_item: &mut OnItem<'_>,
) -> Result<(), AskError> {
    let is_stream = request.action.route().is_stream;
    let answer = send(remote, request, node, within, last.as_deref())?;
    let (server, room) = (server(remote, node), Room::of(request));
    let is_refused = answer.status() != 200;
    let broken = |error: io::Error| match error.kind() {
        io::ErrorKind::TimedOut => AskError::Timeout(server.clone(), within.unwrap_or(PATIENCE)),
        _ => AskError::Broken(server.clone(), error),
    };
    let most = u64::try_from(room.text).unwrap_or(u64::MAX);
    let mut body = BufReader::new(answer.into_body().into_reader());
    if !is_stream || is_refused {
        let mut text = vec![];
        body.take(most + 1).read_to_end(&mut text).map_err(broken)?;
        if text.len() > room.text {
            return Err(AskError::TooLarge(server, room.text));
        }
        let value = room.read(&text, &server)?;
        return match is_stream {
            true => {
                let errors = wire::reply::Lines::of(&value).errors;
                Err(AskError::Refused(server, errors.join(", ")))
            }
            false => {
                _ = on_item(value);
                Ok(())
            }
        };
    }
    let (mut line, mut id) = (vec![], None);
    loop {
        line.clear();
        if (&mut body).take(most + 1).read_until(b'\n', &mut line).map_err(broken)? == 0 {
            return Ok(());
        }
        if line.len() > room.text {
            return Err(AskError::TooLarge(server, room.text));
        }
        match Line::read(&line) {
            Line::Id(text) => id = Some(text),
            Line::Data(text) => {
                let item = room.read(text, &server)?;
                note(last, &mut id);
                if on_item(item) == ControlFlow::Break(()) {
                    return Ok(());
                }
            }
            // An id alone tells where the stream is.
            Line::End => note(last, &mut id),
            Line::Nothing => {}
        }
    }
}

/// Keeps the id of what came. Those of deployed agents are numbers of one connection, which say nothing on another one.
fn note(last: &mut Option<String>, id: &mut Option<String>) {
    if let Some(id) = id.take().filter(|id| id.contains('.')) {
        *last = Some(id);
    }
}

/// A line of server-sent events.
#[derive(Debug, PartialEq, Eq)]
enum Line<'a> {
    Id(String),
    Data(&'a [u8]),
    /// Of an item.
    End,
    /// A sign of life, or a field that is not read.
    Nothing,
}

impl<'a> Line<'a> {
    fn read(line: &'a [u8]) -> Self {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let value = |field: &[u8]| {
            let rest = line.strip_prefix(field)?.strip_prefix(b":")?;
            Some(rest.strip_prefix(b" ").unwrap_or(rest))
        };
        if line.is_empty() {
            Self::End
        } else if let Some(data) = value(b"data") {
            Self::Data(data)
        } else if let Some(id) = value(b"id") {
            Self::Id(String::from_utf8_lossy(id).into_owned())
        } else {
            Self::Nothing
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_events_is_an_id_or_data_or_an_end() {
        assert_eq!(Line::read(b"id: a.1\n"), Line::Id("a.1".into()));
        assert_eq!(Line::read(b"data: {}\r\n"), Line::Data(b"{}"));
        assert_eq!(Line::read(b"data:{}"), Line::Data(b"{}"));
        assert_eq!(Line::read(b"\n"), Line::End);
        for line in [b":\n".as_slice(), b"event: x\n", b"database: x\n", b"data\n"] {
            assert_eq!(Line::read(line), Line::Nothing, "{line:?}");
        }
        let (mut last, mut id) = (None, Some("7".to_owned()));
        note(&mut last, &mut id);
        assert_eq!(last, None, "the number of an item of a deployed agent");
        note(&mut last, &mut Some("a.7".to_owned()));
        note(&mut last, &mut None);
        assert_eq!(last.as_deref(), Some("a.7"));
    }
}
