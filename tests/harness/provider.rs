//! A provider of tokens.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};

/// A provider of tokens on this machine, with one key.
pub struct Provider {
    port: u16,
    key: Ed25519KeyPair,
}

impl Provider {
    /// A provider that answers from now on.
    ///
    /// # Panics
    ///
    /// Without a port.
    #[must_use]
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
        let key = Ed25519KeyPair::from_pkcs8(document.as_ref()).expect("a key");
        let issuer = format!("http://127.0.0.1:{port}");
        let x = URL_SAFE_NO_PAD.encode(key.public_key().as_ref());
        let keys = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k1", "x": x}]});
        let about = json!({"issuer": issuer, "jwks_uri": format!("{issuer}/keys")});
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut reader = BufReader::new(stream);
                let mut line = String::new();
                _ = reader.read_line(&mut line);
                let body = if line.contains("/keys") { &keys } else { &about }.to_string();
                let mut head = String::new();
                while reader.read_line(&mut head).is_ok_and(|length| length > 2) {
                    head.clear();
                }
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
                );
                _ = reader.get_mut().write_all(answer.as_bytes());
            }
        });
        Self { port, key }
    }

    /// Who it says to be.
    #[must_use]
    pub fn issuer(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A token with this head and these claims, signed.
    #[must_use]
    pub fn token(&self, head: &Value, claims: &Value) -> String {
        let coded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", coded(head), coded(claims));
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(self.key.sign(text.as_bytes())))
    }
}
