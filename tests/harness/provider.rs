//! A provider of tokens.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};

use crate::Site;

/// A provider of tokens on this machine, with one key.
pub struct Provider {
    site: Site,
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
        let site = Site::start();
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
        let key = Ed25519KeyPair::from_pkcs8(document.as_ref()).expect("a key");
        let issuer = site.url("");
        let x = URL_SAFE_NO_PAD.encode(key.public_key().as_ref());
        let keys = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k1", "x": x}]});
        let about = json!({"issuer": issuer, "jwks_uri": format!("{issuer}/keys")});
        site.put("/keys", keys.to_string());
        for page in ["/.well-known/openid-configuration", "/wk"] {
            site.put(page, about.to_string());
        }
        Self { site, key }
    }

    /// Who it says to be.
    #[must_use]
    pub fn issuer(&self) -> String {
        self.site.url("")
    }

    /// A token with this head and these claims, signed.
    #[must_use]
    pub fn token(&self, head: &Value, claims: &Value) -> String {
        let coded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", coded(head), coded(claims));
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(self.key.sign(text.as_bytes())))
    }
}
