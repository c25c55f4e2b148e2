//! A peer of a node that answers what the test tells it to.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use ring::rand::SystemRandom;
use serde_json::{Value, json};
use wire::{ClusterSecret, Envelope, Keyring, Limits, Prepared, Sender};

use crate::Node;

/// Listens where the configuration says that the peer does.
pub struct Responder {
    listener: TcpListener,
}

impl Responder {
    /// On a free port of a loopback address.
    ///
    /// # Panics
    ///
    /// When there is none.
    #[must_use]
    pub fn new(address: Ipv4Addr) -> Self {
        Self { listener: TcpListener::bind((address, 0)).expect("a free port") }
    }

    /// Where it listens.
    ///
    /// # Panics
    ///
    /// Never.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("it is bound")
    }

    /// Answers as `name` from now on: `body` to who asks for logs, and that it refuses to everybody else.
    ///
    /// # Panics
    ///
    /// When no descriptor is left.
    pub fn answer(&self, node: &Node, name: &str, body: Prepared) {
        self.serve(node, name, body, |action| action.contains("backlogs"));
    }

    /// Answers as `name` from now on: `body` to everybody.
    ///
    /// # Panics
    ///
    /// When no descriptor is left.
    pub fn answer_all(&self, node: &Node, name: &str, body: Prepared) {
        self.serve(node, name, body, |_| true);
    }

    fn serve(&self, node: &Node, name: &str, body: Prepared, is_meant: fn(&str) -> bool) {
        let keyring = Arc::new(Keyring {
            own: Sender::new("demo", name, ClusterSecret::new(node.secret())),
            accepted: Default::default(),
            envelope: Envelope::Sealed,
            drpnodes: Default::default(),
            limits: Limits::default(),
        });
        let (listener, body) = (self.listener.try_clone().expect("a descriptor"), Arc::new(body));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (keyring, body) = (keyring.clone(), body.clone());
                std::thread::spawn(move || serve(stream, &keyring, &body, is_meant));
            }
        });
    }
}

/// Answers until the other side ends.
fn serve(stream: TcpStream, keyring: &Keyring, body: &Prepared, is_meant: fn(&str) -> bool) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut asked = vec![];
        if !matches!(stream.read_until(0, &mut asked), Ok(1..)) {
            return;
        }
        asked.pop();
        let Ok(opened) = keyring.open(&asked) else { return };
        let request: Value = opened.read().unwrap_or_default();
        let told = keyring.check_recipient(&opened).err().and_then(|refusal| refusal.to_reply());
        let refused = told.unwrap_or_else(|| json!({"status": 1, "error": "not now"}));
        let is_for_us = keyring.check_recipient(&opened).is_ok();
        let is_meant = is_for_us && request["action"].as_str().is_some_and(is_meant);
        let refused = Prepared::new(&refused);
        let reply = if is_meant { body } else { &refused };
        let (now, random) = (::machine::clock::stamp(), SystemRandom::new());
        let Some(frame) = keyring.seal_reply(&opened.reply_to(), reply, now, &random) else {
            return;
        };
        if stream.get_mut().write_all(&frame).is_err() {
            return;
        }
    }
}
