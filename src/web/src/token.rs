//! Tokens of an OpenID provider: signed by one of its keys, for us, now.
//!
//! How a token is signed is a property of the key, never of the token: `none`, and public keys taken for secrets, are nothing here.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
    UnparsedPublicKey,
};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::grants::Grants;
use crate::user::{Auth, User};

/// How far the clock of the provider may be off, in seconds: so long after its end a token is still taken.
pub const LEEWAY: f64 = 60.0;

/// Most keys of a provider.
const MOST_KEYS: usize = 64;

/// Longest token.
const LONGEST: usize = 12 << 10;

/// Why a token is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenError {
    /// It is not three parts of base64url, or not JSON.
    Form,
    /// No key of the provider has its `kid`: it may be a new one.
    UnknownKey,
    /// Its header names another way to sign than its key has.
    Algorithm,
    /// Its key has not signed it.
    Signature,
    /// A claim is missing, or not what it has to be.
    Claim(&'static str),
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form => f.write_str("it is no token"),
            Self::UnknownKey => f.write_str("the provider has no such key"),
            Self::Algorithm => f.write_str("its key signs in another way"),
            Self::Signature => f.write_str("its key has not signed it"),
            Self::Claim(name) => write!(f, "claim {name}"),
        }
    }
}

impl std::error::Error for TokenError {}

/// Shortest secret that signs, in bytes: what HS256 is as strong as.
const SHORTEST_SECRET: usize = 32;

/// A secret that the provider and this node share.
#[derive(Clone, PartialEq, Eq)]
struct Shared(Zeroizing<Vec<u8>>);

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared(..)")
    }
}

/// A key of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Key {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    Ed25519(Vec<u8>),
    Secret(Shared),
}

impl Key {
    /// Reads a JWK; none for what is no key to verify with.
    fn read(key: &Value) -> Option<Self> {
        let text = |name: &str| key.get(name).and_then(Value::as_str);
        let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?.trim_end_matches('=')).ok();
        if text("use").is_some_and(|used| used != "sig") {
            return None;
        }
        let found = match (text("kty")?, text("crv")) {
            ("RSA", _) => Self::Rsa { n: bytes("n")?, e: bytes("e")? },
            ("EC", Some("P-256")) => {
                let (x, y) = (bytes("x")?, bytes("y")?);
                Self::P256([&[4], x.as_slice(), y.as_slice()].concat())
            }
            ("OKP", Some("Ed25519")) => Self::Ed25519(bytes("x")?),
            // A secret says itself that it is one to sign with.
            ("oct", _) if text("alg").is_some() => Self::Secret(Shared(Zeroizing::new(
                bytes("k").filter(|secret| secret.len() >= SHORTEST_SECRET)?,
            ))),
            _ => return None,
        };
        text("alg").is_none_or(|alg| alg == found.algorithm()).then_some(found)
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa { .. } => "RS256",
            Self::P256(_) => "ES256",
            Self::Ed25519(_) => "EdDSA",
            Self::Secret(_) => "HS256",
        }
    }

    fn has_signed(&self, text: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Rsa { n, e } => RsaPublicKeyComponents { n, e }
                .verify(&RSA_PKCS1_2048_8192_SHA256, text, signature)
                .is_ok(),
            Self::P256(point) => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
                .verify(text, signature)
                .is_ok(),
            Self::Ed25519(key) => {
                UnparsedPublicKey::new(&ED25519, key).verify(text, signature).is_ok()
            }
            Self::Secret(Shared(secret)) => {
                hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, secret), text, signature).is_ok()
            }
        }
    }
}

/// The keys of a provider, by their ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeySet {
    keys: Vec<(Option<String>, Key)>,
}

impl KeySet {
    /// Reads the document behind `jwks_uri`. Keys that are of no use here are passed over; none is left where it is no such
    /// document.
    #[must_use]
    pub fn parse(text: &[u8]) -> Self {
        let document: Value = serde_json::from_slice(text).unwrap_or_default();
        let listed = document.get("keys").and_then(Value::as_array).into_iter().flatten();
        let id = |key: &Value| key.get("kid").and_then(Value::as_str).map(str::to_owned);
        let keys = listed.filter_map(|key| Some((id(key), Key::read(key)?)));
        Self { keys: keys.take(MOST_KEYS).collect() }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    fn find(&self, id: Option<&str>) -> Option<&Key> {
        match id {
            Some(id) => {
                self.keys.iter().find(|(own, _)| own.as_deref() == Some(id)).map(|(_, key)| key)
            }
            // A token that names none is signed by the only one.
            None => self.keys.first().filter(|_| self.keys.len() == 1).map(|(_, key)| key),
        }
    }
}

/// What a token has to say.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// `iss`: the provider.
    pub issuer: &'a str,
    /// `aud`, or one of it.
    pub audience: &'a str,
    /// Seconds since 1970.
    pub now: f64,
}

/// The user of a token, and when it ends.
///
/// # Errors
///
/// [`TokenError`].
pub fn user_of(
    token: &str,
    keys: &KeySet,
    expected: Expected<'_>,
) -> Result<(User, f64), TokenError> {
    let claims = verified(token, keys)?;
    let number = |name: &str| claims.get(name).and_then(Value::as_f64);
    let end = number("exp").ok_or(TokenError::Claim("exp"))?;
    if end + LEEWAY <= expected.now {
        return Err(TokenError::Claim("exp"));
    }
    let begin = match claims.get("nbf") {
        None | Some(Value::Null) => None,
        Some(_) => Some(number("nbf").ok_or(TokenError::Claim("nbf"))?),
    };
    if begin.is_some_and(|begin| begin - LEEWAY > expected.now) {
        return Err(TokenError::Claim("nbf"));
    }
    if claims.get("iss").and_then(Value::as_str) != Some(expected.issuer) {
        return Err(TokenError::Claim("iss"));
    }
    let is_for_us = match claims.get("aud") {
        Some(Value::String(audience)) => audience == expected.audience,
        Some(Value::Array(all)) => all.iter().any(|one| one == expected.audience),
        _ => false,
    };
    if !is_for_us {
        return Err(TokenError::Claim("aud"));
    }
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let name = text("preferred_username").map(str::to_owned);
    let name = name.or_else(|| text("name").map(|name| name.replace(' ', "_")));
    let name = name.unwrap_or_else(|| "unknown".to_owned());
    // It has no object, and becomes no path all the same.
    let is_word = |c: char| !c.is_control() && !c.is_whitespace() && c != '/';
    if !(1..=128).contains(&name.len()) || name.contains("..") || !name.chars().all(is_word) {
        return Err(TokenError::Claim("preferred_username"));
    }
    let grant = match claims.get("grant") {
        Some(Value::String(grant)) => grant.clone(),
        Some(Value::Array(words)) => {
            words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
        }
        _ => String::new(),
    };
    let (grants, _) = Grants::parse(&grant);
    // It has no object; deployed agents show it among the users of the cluster.
    let namespace = Some("system".to_owned());
    Ok((User { name, namespace, auth: Some(Auth::Token), grants }, end))
}

/// The claims of a token that a key of the provider has signed.
fn verified(token: &str, keys: &KeySet) -> Result<Value, TokenError> {
    if token.len() > LONGEST {
        return Err(TokenError::Form);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Form)?;
    let (head, claims) = signed.split_once('.').ok_or(TokenError::Form)?;
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Form);
    let read = |part: &str| -> Result<Value, TokenError> {
        let read: Value = serde_json::from_slice(&decode(part)?).map_err(|_| TokenError::Form)?;
        if read.is_object() { Ok(read) } else { Err(TokenError::Form) }
    };
    let (head, signature) = (read(head)?, decode(signature)?);
    let id = match head.get("kid") {
        None => None,
        Some(id) => Some(id.as_str().ok_or(TokenError::Form)?),
    };
    let named = head.get("alg").and_then(Value::as_str).ok_or(TokenError::Form)?;
    // What it says that has to be understood is not.
    if head.get("crit").is_some() || !matches!(named, "RS256" | "ES256" | "EdDSA" | "HS256") {
        return Err(TokenError::Algorithm);
    }
    let key = keys.find(id).ok_or(TokenError::UnknownKey)?;
    if named != key.algorithm() {
        return Err(TokenError::Algorithm);
    }
    if !key.has_signed(signed.as_bytes(), &signature) {
        return Err(TokenError::Signature);
    }
    read(claims)
}

/// What a provider says of itself: its name, and where its keys are.
#[must_use]
pub fn provider(text: &[u8]) -> Option<(String, String)> {
    let document: Value = serde_json::from_slice(text).ok()?;
    let word = |name: &str| document.get(name).and_then(Value::as_str).map(str::to_owned);
    Some((word("issuer")?, word("jwks_uri")?))
}

#[cfg(test)]
mod tests;
