use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use ring::{hmac, signature};
use serde_json::json;

use super::*;

/// What a provider and a node may share.
const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

const NOW: f64 = 1_000_000.0;

fn coded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

struct Signer {
    ed: Ed25519KeyPair,
    p256: EcdsaKeyPair,
}

impl Signer {
    fn new() -> Self {
        let random = SystemRandom::new();
        let ed = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        let kind = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let p256 = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
        Self {
            ed: Ed25519KeyPair::from_pkcs8(ed.as_ref()).unwrap(),
            p256: EcdsaKeyPair::from_pkcs8(kind, p256.as_ref(), &random).unwrap(),
        }
    }

    fn keys(&self) -> KeySet {
        let point = self.p256.public_key().as_ref();
        let document = json!({"keys": [
            {"kty": "OKP", "crv": "Ed25519", "kid": "e1", "x": coded(self.ed.public_key().as_ref())},
            {"kty": "EC", "crv": "P-256", "kid": "p1", "x": coded(&point[1..33]), "y": coded(&point[33..]), "use": "sig"},
            {"kty": "EC", "crv": "P-256", "kid": "enc", "x": "AA", "y": "AA", "use": "enc"},
            {"kty": "oct", "kid": "h1", "alg": "HS256", "k": coded(SECRET)},
            {"kty": "oct", "kid": "hs", "k": coded(SECRET)},
            {"kty": "oct", "kid": "short", "alg": "HS256", "k": coded(&SECRET[1..])},
            {"kty": "RSA", "kid": "half"},
        ]});
        KeySet::parse(document.to_string().as_bytes())
    }

    fn token(&self, head: &Value, claims: &Value) -> String {
        let text = format!(
            "{}.{}",
            coded(head.to_string().as_bytes()),
            coded(claims.to_string().as_bytes())
        );
        let signature = match head["kid"].as_str() {
            Some("p1") => {
                let signature: signature::Signature =
                    self.p256.sign(&SystemRandom::new(), text.as_bytes()).unwrap();
                coded(signature.as_ref())
            }
            Some("h1") => {
                let secret = hmac::Key::new(hmac::HMAC_SHA256, SECRET);
                coded(hmac::sign(&secret, text.as_bytes()).as_ref())
            }
            _ => coded(self.ed.sign(text.as_bytes()).as_ref()),
        };
        format!("{text}.{signature}")
    }
}

fn claims() -> Value {
    json!({"iss": "https://idp", "aud": ["x", "demo"], "exp": NOW + 10.0, "nbf": NOW, "name": "Al Ice",
        "grant": ["guest:*", "heartbeat"]})
}

fn judge(keys: &KeySet, token: &str) -> Result<User, TokenError> {
    let expected = Expected { issuer: "https://idp", audience: "demo", now: NOW };
    user_of(token, keys, expected).map(|(user, _)| user)
}

#[test]
fn a_token_is_a_user_whichever_key_signed_it() {
    let signer = Signer::new();
    let keys = signer.keys();
    for head in [
        json!({"alg": "EdDSA", "kid": "e1"}),
        json!({"alg": "ES256", "kid": "p1"}),
        json!({"alg": "HS256", "kid": "h1"}),
    ] {
        let user = judge(&keys, &signer.token(&head, &claims())).unwrap();
        assert_eq!((user.name.as_str(), user.grants.raw()), ("Al_Ice", "guest:* heartbeat"));
        assert_eq!(user.auth, Some(Auth::Token));
    }
}

#[test]
fn the_key_says_how_it_signs_and_never_the_token() {
    let signer = Signer::new();
    let keys = signer.keys();
    for (alg, kid) in [
        ("ES256", "e1"),
        ("RS256", "e1"),
        ("EdDSA", "p1"),
        ("none", "e1"),
        ("HS256", "e1"),
        ("None", "e1"),
        ("none", "h1"),
        ("EdDSA", "h1"),
    ] {
        let token = signer.token(&json!({"alg": alg, "kid": kid}), &claims());
        assert_eq!(judge(&keys, &token), Err(TokenError::Algorithm), "{alg} {kid}");
    }
    // The public key as the secret of a HMAC.
    let secret = hmac::Key::new(hmac::HMAC_SHA256, signer.ed.public_key().as_ref());
    for alg in ["HS256", "EdDSA"] {
        let head = json!({"alg": alg, "kid": "e1"});
        let text = format!(
            "{}.{}",
            coded(head.to_string().as_bytes()),
            coded(claims().to_string().as_bytes())
        );
        let forged = format!("{text}.{}", coded(hmac::sign(&secret, text.as_bytes()).as_ref()));
        assert!(judge(&keys, &forged).is_err(), "{alg}");
        assert!(judge(&keys, &format!("{text}.")).is_err());
    }
    for kid in ["enc", "hs", "short", "half", "../../etc/passwd", ""] {
        let token = signer.token(&json!({"alg": "EdDSA", "kid": kid}), &claims());
        assert_eq!(judge(&keys, &token), Err(TokenError::UnknownKey), "{kid}");
    }
    assert!(!format!("{keys:?}").contains("48, 49, 50"), "a secret is not shown");
    let critical = signer.token(&json!({"alg": "EdDSA", "kid": "e1", "crit": ["x"]}), &claims());
    assert_eq!(judge(&keys, &critical), Err(TokenError::Algorithm));
}

#[test]
fn each_claim_has_to_be_what_it_is_to_be() {
    let signer = Signer::new();
    let keys = signer.keys();
    for (name, value) in [
        ("exp", json!(NOW - 61.0)),
        ("exp", json!("tomorrow")),
        ("exp", Value::Null),
        ("nbf", json!(NOW + 61.0)),
        ("nbf", json!("x")),
        ("iss", json!("https://other")),
        ("aud", json!("other")),
        ("aud", json!(["other"])),
        ("aud", Value::Null),
    ] {
        let mut changed = claims();
        changed[name] = value.clone();
        let token = signer.token(&json!({"alg": "EdDSA", "kid": "e1"}), &changed);
        assert_eq!(judge(&keys, &token), Err(TokenError::Claim(name)), "{name} {value}");
    }
    for name in ["../x", "a/b", "..", "x\n"] {
        let mut changed = claims();
        changed["preferred_username"] = name.into();
        let token = signer.token(&json!({"alg": "EdDSA", "kid": "e1"}), &changed);
        assert!(judge(&keys, &token).is_err(), "{name:?}");
    }
}

#[test]
fn what_is_no_token_is_none() {
    let signer = Signer::new();
    let keys = signer.keys();
    let good = signer.token(&json!({"alg": "EdDSA", "kid": "e1"}), &claims());
    assert!(judge(&keys, &good).is_ok());
    let changed = good.replacen('.', ".e30", 1);
    for token in [
        "",
        "..",
        "a.b",
        "e30.e30.",
        "a.b.c.d",
        &good[..good.len() - 4],
        &changed,
        &"a.".repeat(1 << 20),
    ] {
        assert!(judge(&keys, token).is_err(), "{token:.40}");
    }
    let far = "[".repeat(100_000);
    let deep = format!("{}.{}.x", coded(b"{\"alg\":\"EdDSA\"}"), coded(far.as_bytes()));
    assert_eq!(judge(&keys, &deep), Err(TokenError::Form));
    for document in ["", "[]", "{\"keys\": 1}", "{\"keys\": [1, {}]}", &far] {
        assert!(KeySet::parse(document.as_bytes()).is_empty(), "{document:.20}");
    }
}
