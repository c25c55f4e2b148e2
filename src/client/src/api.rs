//! What the daemon answers over HTTP, on the socket of this node.

use std::io::{Read as _, Write as _};
use std::time::Duration;

use cli::ApiCommand;
use link::socket::connect;
use serde_json::Value;

use crate::om::{Done, Failure, Om, print};

/// What is asked when nothing is named: all paths.
const DOCUMENT: &str = "/api/openapi.json";

/// Longest silence of the daemon.
const PATIENCE: Duration = Duration::from_secs(60);

/// `om api`: the answer, as it is. 1 where the request was refused.
pub(super) fn run(om: &Om, command: &ApiCommand) -> Done {
    let path = command.path.as_deref().unwrap_or(DOCUMENT);
    let link = om.link(command.server.as_deref())?;
    let (status, body) = match link.get(path, PATIENCE) {
        Some(answered) => answered?,
        None if command.server.is_some() => {
            return Err(Failure::usage("api asks this node, or --server https://host[:port]"));
        }
        None => ask(om, path)?,
    };
    let code = u8::from(!(200..400).contains(&status));
    match serde_json::from_slice::<Value>(&body) {
        Ok(value) if command.path.is_none() => om.show(&value, paths),
        Ok(value) => om.show(&value, cli::render::json),
        Err(_) if body.is_empty() => {}
        Err(_) => print(&String::from_utf8_lossy(&body)),
    }
    Ok(code)
}

/// One line for each path and method of the document.
fn paths(document: &Value) -> String {
    let mut lines = vec![];
    for (path, operations) in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in operations.as_object().into_iter().flatten() {
            let method = method.to_uppercase();
            let summary = operation["summary"].as_str().unwrap_or_default();
            lines.push(format!("{method:6} {path}  {summary}\n"));
        }
    }
    lines.concat()
}

/// The status and the content of an answer.
fn ask(om: &Om, path: &str) -> Result<(u16, Vec<u8>), Failure> {
    let socket = om.paths.http_socket();
    let failed = |error: std::io::Error| {
        Failure::new(format!("cannot ask the daemon at {}: {error}", socket.display()))
    };
    if path.contains(|c: char| c.is_control() || c.is_whitespace()) {
        return Err(Failure::new("a path has no blanks: write %20"));
    }
    let mut stream = connect(&socket).map_err(failed)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    // Of 1.0, an answer is what comes until the end.
    let ask = format!("GET {path} HTTP/1.0\r\nAccept: application/json\r\n\r\n");
    stream.write_all(ask.as_bytes()).map_err(failed)?;
    let mut answer = vec![];
    stream.read_to_end(&mut answer).map_err(failed)?;
    let end = answer.windows(4).position(|found| found == b"\r\n\r\n");
    let status = answer.get(9..12).and_then(|word| std::str::from_utf8(word).ok()?.parse().ok());
    match (end, status) {
        (Some(end), Some(status)) => Ok((status, answer.split_off(end + 4))),
        _ => Err(Failure::new("the daemon did not answer in HTTP")),
    }
}
