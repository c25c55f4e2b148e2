//! A subscription to the events of a node.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use serde_json::{Value, json};

use crate::{Node, PATIENCE};

/// An open stream of events, patches included.
pub struct Events(BufReader<UnixStream>);

impl Events {
    /// Subscribes over the control socket.
    ///
    /// # Panics
    ///
    /// When the node does not answer.
    #[must_use]
    pub fn subscribe(node: &Node, options: &Value) -> Self {
        Self::open(node, &json!({"action": "events", "method": "GET", "options": options}))
    }

    /// Opens another stream over the control socket: a followed log.
    ///
    /// # Panics
    ///
    /// When the node does not answer.
    #[must_use]
    pub fn open(node: &Node, request: &Value) -> Self {
        let mut stream =
            UnixStream::connect(node.path("var/lsnr/lsnr.sock")).expect("the control socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
        stream.write_all(format!("{request}\0").as_bytes()).expect("the request is sent");
        Self(BufReader::new(stream))
    }

    /// The next document, or none for a lone NUL: a sign of life.
    ///
    /// # Panics
    ///
    /// When the stream ends, or nothing comes in time.
    pub fn next_or_sign(&mut self) -> Option<Value> {
        let mut document = vec![];
        self.0.read_until(0, &mut document).expect("the stream goes on");
        let text = document.strip_suffix(b"\0").expect("the stream goes on");
        (!text.is_empty()).then(|| serde_json::from_slice(text).expect("a JSON document"))
    }

    /// The next document; none at the end of the stream.
    ///
    /// # Panics
    ///
    /// When nothing but signs of life comes in time.
    pub fn next_document(&mut self) -> Option<Value> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut document = vec![];
            self.0.read_until(0, &mut document).expect("the stream goes on");
            match document.strip_suffix(b"\0")? {
                b"" => assert!(Instant::now() < deadline, "nothing but signs of life"),
                text => return Some(serde_json::from_slice(text).expect("a JSON document")),
            }
        }
    }

    /// Waits for a document that satisfies `condition`.
    ///
    /// # Panics
    ///
    /// When the stream ends, or it does not come in time.
    pub fn wait(&mut self, what: &str, mut condition: impl FnMut(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let document =
                self.next_document().unwrap_or_else(|| panic!("the stream ended before: {what}"));
            if condition(&document) {
                return document;
            }
            assert!(Instant::now() < deadline, "never told: {what}");
        }
    }
}
