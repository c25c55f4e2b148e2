//! XML-RPC over HTTP/1.1: what the collector speaks.
//!
//! Written by hand on a blocking socket: one POST with one answer, so that a client of its own would be larger than what
//! it replaces. Answers are bounded in bytes, depth and time. No TLS: an `https` collector is refused with a clear error.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;
use serde_json::{Map, Value};

/// Largest answer that is read: 16 MiB.
const MAX_ANSWER: u64 = 16 << 20;

/// Deepest value that is read.
const MAX_DEPTH: usize = 32;

/// Longest line of an answer's header, and most lines.
const MAX_LINE: u64 = 16 << 10;
const MAX_HEADERS: usize = 100;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum HttpError {
    /// The URI is none that this client reads.
    Uri(String, &'static str),
    /// No connection, or a broken one.
    Io(String, std::io::Error),
    /// Not in time.
    Timeout(String, Duration),
    /// Not an answer of a web server.
    Protocol(String, &'static str),
    /// The web server refused.
    Status(String, u16),
    /// Not an answer of XML-RPC.
    Xml(String),
    /// The method failed there.
    Fault(String),
    /// What is asked is secret, and would leave this machine as it is.
    Plain(String),
}

impl std::fmt::Display for HttpError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Uri(uri, reason) => write!(f, "{uri}: {reason}"),
            Self::Io(host, error) => write!(f, "cannot reach {host}: {error}"),
            Self::Timeout(host, after) => {
                write!(f, "{host} did not answer within {} s", after.as_secs_f64())
            }
            Self::Protocol(host, reason) => write!(f, "{host} does not speak HTTP: {reason}"),
            Self::Status(uri, status) => write!(f, "{uri}: HTTP status {status}"),
            Self::Xml(reason) => write!(f, "the answer is not XML-RPC: {reason}"),
            Self::Fault(text) => write!(f, "the collector refused: {text}"),
            Self::Plain(host) => write!(
                f,
                "{host} is not asked: over http:// the key of this node would be readable on the way. Use a \
                 local proxy that adds TLS, or allow it: om node set --kw node.dbinsecure=true"
            ),
        }
    }
}

impl std::error::Error for HttpError {}

/// An `http` URI, split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Uri {
    host: String,
    port: u16,
    path: String,
    /// Only this machine may be asked.
    is_local: bool,
}

impl Uri {
    /// Reads a URI; a bare host is `http://<host>`.
    ///
    /// # Errors
    ///
    /// [`HttpError::Uri`].
    pub(super) fn parse(text: &str) -> Result<Self, HttpError> {
        let refuse = |reason| HttpError::Uri(text.to_owned(), reason);
        if text.contains(|c: char| c.is_control() || c == ' ') {
            return Err(refuse("has blanks or control characters"));
        }
        let rest = match text.split_once("://") {
            Some(("http", rest)) => rest,
            Some(("https", _)) => {
                return Err(refuse(
                    "https is not supported by this version: use http, or a local proxy that adds TLS",
                ));
            }
            Some(_) => return Err(refuse("expected http://<host>[:<port>]/<path>")),
            None => text,
        };
        let (authority, path) = match rest.find('/') {
            Some(at) => (&rest[..at], &rest[at..]),
            None => (rest, "/"),
        };
        if authority.contains('@') {
            return Err(refuse("a user in the URI is not supported"));
        }
        let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, port)) => (host, port.strip_prefix(':')),
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        if host.is_empty() {
            return Err(refuse("names no host"));
        }
        let port = match port {
            Some(port) => {
                port.parse().map_err(|_| refuse("the port is not a number up to 65535"))?
            }
            None => 80,
        };
        Ok(Self { host: host.to_owned(), port, path: path.to_owned(), is_local: false })
    }

    /// This URI with another path where it has none.
    pub(super) fn or_path(self, path: &str) -> Self {
        if self.path == "/" { Self { path: path.to_owned(), ..self } } else { self }
    }

    /// This URI for what is secret: only this machine is asked then.
    pub(super) fn local(self) -> Self {
        Self { is_local: true, ..self }
    }

    fn authority(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

/// One exchange with a web server.
struct Exchange {
    stream: TcpStream,
    deadline: Instant,
}

impl Read for Exchange {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(std::io::ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left))?;
        self.stream.read(buffer)
    }
}

/// Fetches a document.
///
/// # Errors
///
/// [`HttpError`].
pub(super) fn get(uri: &Uri, within: Duration) -> Result<Vec<u8>, HttpError> {
    exchange(uri, "GET", None, within)
}

fn exchange(
    uri: &Uri,
    method: &str,
    body: Option<&str>,
    within: Duration,
) -> Result<Vec<u8>, HttpError> {
    let host = uri.authority();
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::TimedOut | std::io::ErrorKind::WouldBlock => {
            HttpError::Timeout(host.clone(), within)
        }
        _ => HttpError::Io(host.clone(), error),
    };
    let deadline = Instant::now() + within;
    let mut last = std::io::Error::new(std::io::ErrorKind::NotFound, "the name has no address");
    let mut connected = None;
    for address in (uri.host.as_str(), uri.port).to_socket_addrs().map_err(failed)? {
        if uri.is_local && !address.ip().to_canonical().is_loopback() {
            return Err(HttpError::Plain(host));
        }
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        match TcpStream::connect_timeout(&address, left) {
            Ok(stream) => {
                connected = Some(stream);
                break;
            }
            Err(error) => last = error,
        }
    }
    let mut stream = connected.ok_or_else(|| failed(last))?;
    let mut request = format!(
        "{method} {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: opensvc-om\r\nConnection: close\r\nAccept: */*\r\n",
        uri.path,
        uri.authority()
    );
    if let Some(body) = body {
        request.push_str(&format!("Content-Type: text/xml\r\nContent-Length: {}\r\n", body.len()));
    }
    request.push_str("\r\n");
    request.push_str(body.unwrap_or_default());
    stream.set_write_timeout(Some(within)).map_err(failed)?;
    stream.write_all(request.as_bytes()).map_err(failed)?;

    let mut answer = BufReader::new(Exchange { stream, deadline });
    let mut line = || -> Result<String, HttpError> {
        let mut bytes = vec![];
        (&mut answer).take(MAX_LINE).read_until(b'\n', &mut bytes).map_err(failed)?;
        let text = String::from_utf8_lossy(&bytes);
        Ok(text.trim_end_matches(['\r', '\n']).to_owned())
    };
    let first = line()?;
    let status: u16 = first
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.split(' ').nth(1))
        .and_then(|status| status.parse().ok())
        .ok_or_else(|| HttpError::Protocol(host.clone(), "no status line"))?;
    let (mut length, mut is_chunked) = (None, false);
    for count in 0.. {
        let header = line()?;
        if header.is_empty() {
            break;
        }
        if count > MAX_HEADERS {
            return Err(HttpError::Protocol(host.clone(), "too many headers"));
        }
        let Some((name, value)) = header.split_once(':') else { continue };
        match name.trim().to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse::<u64>().ok(),
            "transfer-encoding" => is_chunked = value.to_ascii_lowercase().contains("chunked"),
            _ => {}
        }
    }
    if status != 200 {
        return Err(HttpError::Status(format!("http://{host}{}", uri.path), status));
    }
    let too_large = || HttpError::Protocol(host.clone(), "the answer is too large");
    let mut body = vec![];
    if is_chunked {
        loop {
            let mut size = vec![];
            (&mut answer).take(MAX_LINE).read_until(b'\n', &mut size).map_err(failed)?;
            let size = String::from_utf8_lossy(&size);
            let size = size.trim().split(';').next().unwrap_or_default();
            let size = u64::from_str_radix(size, 16)
                .map_err(|_| HttpError::Protocol(host.clone(), "a chunk without a size"))?;
            if size == 0 {
                break;
            }
            if size + body.len() as u64 > MAX_ANSWER {
                return Err(too_large());
            }
            let before = body.len() as u64;
            (&mut answer).take(size).read_to_end(&mut body).map_err(failed)?;
            if body.len() as u64 != before + size {
                return Err(HttpError::Protocol(host.clone(), "the answer is cut"));
            }
            let mut end = vec![];
            (&mut answer).take(2).read_until(b'\n', &mut end).map_err(failed)?;
        }
        return Ok(body);
    }
    if length.is_some_and(|length| length > MAX_ANSWER) {
        return Err(too_large());
    }
    answer.take(length.unwrap_or(MAX_ANSWER + 1)).read_to_end(&mut body).map_err(failed)?;
    if body.len() as u64 > MAX_ANSWER {
        return Err(too_large());
    }
    if length.is_some_and(|length| length != body.len() as u64) {
        return Err(HttpError::Protocol(host.clone(), "the answer is cut"));
    }
    Ok(body)
}

/// Calls a method.
///
/// # Errors
///
/// [`HttpError`], a fault included.
pub(super) fn call(
    uri: &Uri,
    method: &str,
    params: &[Value],
    within: Duration,
) -> Result<Value, HttpError> {
    let mut body =
        format!("<?xml version='1.0'?>\n<methodCall><methodName>{method}</methodName><params>");
    for param in params {
        body.push_str("<param>");
        write_value(param, &mut body);
        body.push_str("</param>");
    }
    body.push_str("</params></methodCall>\n");
    let answer = exchange(uri, "POST", Some(&body), within)?;
    let text = String::from_utf8(answer).map_err(|_| HttpError::Xml("not UTF-8".into()))?;
    read_answer(&text)
}

fn write_value(value: &Value, xml: &mut String) {
    xml.push_str("<value>");
    match value {
        Value::Null => xml.push_str("<nil/>"),
        Value::Bool(is_set) => xml.push_str(&format!("<boolean>{}</boolean>", u8::from(*is_set))),
        Value::Number(number) if number.is_f64() => {
            xml.push_str(&format!("<double>{number}</double>"));
        }
        Value::Number(number) => xml.push_str(&format!("<int>{number}</int>")),
        Value::String(text) => {
            xml.push_str("<string>");
            write_text(text, xml);
            xml.push_str("</string>");
        }
        Value::Array(values) => {
            xml.push_str("<array><data>");
            values.iter().for_each(|value| write_value(value, xml));
            xml.push_str("</data></array>");
        }
        Value::Object(map) => {
            xml.push_str("<struct>");
            for (name, value) in map {
                xml.push_str("<member><name>");
                write_text(name, xml);
                xml.push_str("</name>");
                write_value(value, xml);
                xml.push_str("</member>");
            }
            xml.push_str("</struct>");
        }
    }
    xml.push_str("</value>");
}

/// Text as XML takes it: what XML 1.0 cannot hold becomes `?`.
fn write_text(text: &str, xml: &mut String) {
    for c in text.chars() {
        match c {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            '\n' | '\t' => xml.push(c),
            '\r' => xml.push_str("&#13;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => xml.push('?'),
            c => xml.push(c),
        }
    }
}

/// An element, as far as XML-RPC goes: elements or text, no attributes.
#[derive(Debug, Default)]
struct Element {
    name: String,
    text: String,
    children: Vec<Element>,
}

fn read_answer(text: &str) -> Result<Value, HttpError> {
    let error = |reason: &str| HttpError::Xml(reason.to_owned());
    let root = read_tree(text)?;
    if root.name != "methodResponse" {
        return Err(error("no methodResponse"));
    }
    let first = root.children.first().ok_or_else(|| error("an empty methodResponse"))?;
    match first.name.as_str() {
        "params" => {
            let value = first.children.first().and_then(|param| param.children.first());
            value.map_or(Ok(Value::Null), read_value)
        }
        "fault" => {
            let fault = first.children.first().map_or(Ok(Value::Null), read_value)?;
            let text = fault.get("faultString").and_then(Value::as_str);
            Err(HttpError::Fault(text.map_or_else(|| fault.to_string(), str::to_owned)))
        }
        _ => Err(error("neither params nor fault")),
    }
}

fn read_tree(text: &str) -> Result<Element, HttpError> {
    let failed = |reason: String| HttpError::Xml(reason);
    let mut reader = Reader::from_str(text);
    let mut open: Vec<Element> = vec![];
    loop {
        let event = reader.read_event().map_err(|error| failed(error.to_string()))?;
        let closed = match event {
            Event::Start(start) => {
                if open.len() > MAX_DEPTH * 4 {
                    return Err(failed("nested too deep".into()));
                }
                let name = start.local_name().as_ref().to_owned();
                open.push(Element { name, ..Element::default() });
                None
            }
            Event::Empty(start) => {
                let name = start.local_name().as_ref().to_owned();
                Some(Element { name, ..Element::default() })
            }
            Event::End(_) => open.pop(),
            Event::Text(text) => {
                if let Some(element) = open.last_mut() {
                    element.text.push_str(&text.xml10_content());
                }
                None
            }
            Event::CData(data) => {
                if let Some(element) = open.last_mut() {
                    element.text.push_str(&data.xml10_content());
                }
                None
            }
            Event::GeneralRef(reference) => {
                let c = reference.resolve_char_ref().map_err(|error| failed(error.to_string()))?;
                let name = reference.xml10_content();
                let resolved = match c {
                    Some(c) => c.to_string(),
                    // No entity of its own: that is how small answers become gigabytes.
                    None => resolve_predefined_entity(&name)
                        .ok_or_else(|| failed(format!("unknown entity {name:?}")))?
                        .to_owned(),
                };
                if let Some(element) = open.last_mut() {
                    element.text.push_str(&resolved);
                }
                None
            }
            Event::DocType(_) => return Err(failed("a document type".into())),
            Event::Eof => return Err(failed("the answer is cut".into())),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => None,
        };
        if let Some(element) = closed {
            match open.last_mut() {
                Some(parent) => parent.children.push(element),
                None => return Ok(element),
            }
        }
    }
}

/// Reads a `<value>`.
fn read_value(value: &Element) -> Result<Value, HttpError> {
    let error = |text: &str, kind: &str| HttpError::Xml(format!("{text:?} is no {kind}"));
    let Some(typed) = value.children.first() else {
        // A value without a type is a string.
        return Ok(Value::String(value.text.clone()));
    };
    let text = typed.text.trim();
    match typed.name.as_str() {
        "string" => Ok(Value::String(typed.text.clone())),
        "int" | "i4" | "i8" => {
            text.parse::<i64>().map(Value::from).map_err(|_| error(text, "integer"))
        }
        "double" => text.parse::<f64>().map(Value::from).map_err(|_| error(text, "number")),
        "boolean" => Ok(Value::Bool(matches!(text, "1" | "true"))),
        "nil" => Ok(Value::Null),
        "array" => typed
            .children
            .first()
            .map_or(&[][..], |data| &data.children)
            .iter()
            .map(read_value)
            .collect::<Result<Vec<_>, _>>()
            .map(Value::Array),
        "struct" => {
            let mut map = Map::new();
            for member in &typed.children {
                let [name, value] = &member.children[..] else {
                    return Err(HttpError::Xml("a member without name or value".into()));
                };
                map.insert(name.text.clone(), read_value(value)?);
            }
            Ok(Value::Object(map))
        }
        // Dates and base64: as their text.
        _ => Ok(Value::String(typed.text.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_read_back_as_written() {
        let value = json!([["uuid", "n1"], 7, -1, 1.5, true, null, {"a <&> b": "é\n\"x\""}, []]);
        let mut xml = String::from("<methodResponse><params><param>");
        write_value(&value, &mut xml);
        xml.push_str("</param></params></methodResponse>");
        assert_eq!(read_answer(&xml).unwrap(), value);
    }

    #[test]
    fn what_xml_cannot_hold_is_replaced() {
        let mut xml = String::new();
        write_text("a\u{1b}[31m\u{0}b", &mut xml);
        assert_eq!(xml, "a?[31m?b");
    }

    #[test]
    fn an_untyped_value_is_a_string_and_a_fault_an_error() {
        let untyped = "<?xml version='1.0'?><methodResponse><params><param><value>a &amp; b</value></param></params></methodResponse>";
        assert_eq!(read_answer(untyped).unwrap(), json!("a & b"));
        let fault = "<methodResponse><fault><value><struct><member><name>faultString</name><value>no such node</value></member></struct></value></fault></methodResponse>";
        assert!(
            matches!(read_answer(fault), Err(HttpError::Fault(text)) if text == "no such node")
        );
    }

    #[test]
    fn hostile_answers_are_refused() {
        let deep = "<value>".repeat(100_000);
        for text in [
            "",
            "<",
            "<a>",
            "hello",
            "<methodResponse/>",
            "<methodResponse><x/></methodResponse>",
            deep.as_str(),
            "<!DOCTYPE x [<!ENTITY a 'aaaa'>]><methodResponse/>",
            "<methodResponse><params><param><value><int>x</int></value></param></params></methodResponse>",
            "<methodResponse><params><param><value>&bomb;</value></param></params></methodResponse>",
        ] {
            assert!(read_answer(text).is_err(), "{text:.60}");
        }
    }

    #[test]
    fn uris_are_split_or_refused() {
        let uri = |text| Uri::parse(text).map(|uri| (uri.host, uri.port, uri.path)).ok();
        let some = |host: &str, port, path: &str| Some((host.to_owned(), port, path.to_owned()));
        assert_eq!(uri("http://c.example/feed"), some("c.example", 80, "/feed"));
        assert_eq!(uri("http://[::1]:8080"), some("::1", 8080, "/"));
        assert_eq!(uri("collector:81"), some("collector", 81, "/"));
        for text in
            ["https://c", "ftp://c", "http://", "http://c:x/", "http://u@c/", "http://c/\r\nX: y"]
        {
            assert_eq!(uri(text), None, "{text}");
        }
    }
}
