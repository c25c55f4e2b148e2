//! Who sends a request: decided for each one anew, from what it brings and from the certificate of its connection.

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use conf::Ini;
use dataset::keys::{self, Keys};
use http::header::{HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use machine::clock;
use model::{Kind, ObjectPath, Timestamp};
use rustls::pki_types::CertificateDer;
use web::credentials::Credentials;
use web::grants::Grants;
use web::token::{Expected, LEEWAY, TokenError, user_of as user_of_token};
use web::user::{Auth, User};
use zeroize::Zeroizing;

use crate::answer::Answer;
use crate::peer::{Peer, Secured};
use crate::proved::Proved;
use crate::tenure::Basis;

/// How late a failure is answered, without anything being held.
const FAILURE_DELAY: Duration = Duration::from_millis(250);

/// Bytes of the secret of the cluster that clients prove to know.
const SECRET_BYTES: usize = 32;

/// The key of a user's password.
const PASSWORD: &str = "password";

/// Why it is not told who asks.
#[derive(Debug)]
pub(crate) enum Denied {
    /// What was brought proves nothing.
    Refused,
    /// Too many failures from there: to be tried again later.
    Limited(Duration),
    /// It cannot be judged now.
    NotNow,
}

impl Denied {
    /// What is answered.
    pub(crate) fn to_answer(&self, cluster: &str) -> Answer {
        let (status, text) = match self {
            Self::Refused => (401, "Not Authorized"),
            Self::Limited(_) => (429, "too many failures: try again later"),
            Self::NotNow => (503, "the keys of the OpenID provider are not known: try again later"),
        };
        let mut answer = Answer::of_reply(&wire::reply::error(status, text));
        let header = match self {
            // No challenge for Basic: browsers would open a dialog of their own.
            Self::Refused => {
                let realm: String = cluster.chars().filter(|c| !matches!(c, '"' | '\\')).collect();
                let value = HeaderValue::from_str(&format!("Bearer realm=\"{realm}\""));
                value.ok().map(|value| (WWW_AUTHENTICATE, value))
            }
            Self::Limited(wait) => Some((RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)))),
            Self::NotNow => Some((RETRY_AFTER, HeaderValue::from(5))),
        };
        answer.headers.extend(header);
        answer
    }
}

/// Who sends a request that brings `credentials`. Nobody is one too.
pub(crate) async fn identify(peer: &Peer, credentials: Credentials) -> Result<Proved, Denied> {
    static ROOT: LazyLock<Arc<User>> = LazyLock::new(|| Arc::new(User::root(Auth::UnixSocket)));
    let Some(secured) = &peer.secured else { return Ok(Proved::lasting(ROOT.clone())) };
    let Some(address) = peer.address() else { return Err(Denied::Refused) };
    let is_tried = credentials != Credentials::None;
    if is_tried && let Some(wait) = peer.shared.guesses.wait(address) {
        return Err(Denied::Limited(wait));
    }
    let found = match credentials {
        Credentials::Secret(secret) => by_secret(peer, &Zeroizing::new(secret)),
        Credentials::Token(token) => by_token(peer, &Zeroizing::new(token)).await?,
        Credentials::Basic { name, password } => {
            by_password(peer, &name, &Zeroizing::new(password))
        }
        Credentials::Unreadable => None,
        Credentials::None => match secured.certificate() {
            Some(_) => by_certificate(peer, secured),
            None => return Ok(Proved::lasting(Arc::new(User::nobody()))),
        },
    };
    match found {
        Some(proved) => {
            if is_tried {
                peer.shared.guesses.on_success(address);
            }
            Ok(proved)
        }
        None => Err(fail(peer, address, is_tried).await),
    }
}

/// Counts a failure, and waits.
async fn fail(peer: &Peer, address: IpAddr, is_tried: bool) -> Denied {
    if is_tried && peer.shared.guesses.on_failure(address) {
        log::warn!(sender:% = address; "a client could not prove who it is");
    }
    tokio::time::sleep(FAILURE_DELAY).await;
    Denied::Refused
}

/// The secret of the cluster: root.
fn by_secret(peer: &Peer, secret: &str) -> Option<Proved> {
    let config = peer.shared.mail.config.load();
    let own = config.node.secret.as_ref()?.expose();
    let own = own.as_bytes().get(..SECRET_BYTES).unwrap_or(own.as_bytes());
    let is_same = peer.shared.guesses.is_same(own, secret.as_bytes());
    let basis = Basis::Secret(config.node.secret_generation);
    is_same.then(|| Proved::new(User::root(Auth::Secret), basis))
}

/// A token of the OpenID provider.
async fn by_token(peer: &Peer, token: &str) -> Result<Option<Proved>, Denied> {
    let (config, shared) = (peer.shared.mail.config.load_full(), &peer.shared);
    let settings = &config.node.listener;
    let Some(url) = settings.openid_well_known.clone() else { return Ok(None) };
    shared.providers.refresh(settings, false).await;
    let audience = settings.openid_client_id.as_ref().unwrap_or(&config.node.cluster_name);
    for is_last in [false, true] {
        let Some(provider) = shared.providers.known(settings) else { return Err(Denied::NotNow) };
        let expected = Expected { issuer: &provider.issuer, audience, now: clock::now().0 };
        match user_of_token(token, &provider.keys, expected) {
            Ok((user, end)) => {
                // As long as the token is taken.
                let basis = Basis::Token { provider: url, end: Timestamp(end + LEEWAY) };
                return Ok(Some(Proved::new(user, basis)));
            }
            // It may be new.
            Err(TokenError::UnknownKey) if !is_last => {
                shared.providers.refresh(settings, true).await
            }
            Err(error) => {
                log::debug!(reason:% = error; "a token is refused");
                return Ok(None);
            }
        }
    }
    Ok(None)
}

/// The name and the password of a `usr` object of the namespace `system`. Who there is not costs as much.
fn by_password(peer: &Peer, name: &str, password: &str) -> Option<Proved> {
    let path = model::validate_object_name(&format!("system/usr/{name}")).ok();
    let path = path.filter(|path| path.kind() == Kind::Usr && path.namespace() == Some("system"));
    let found = path.and_then(|path| {
        let own = read_key(peer, &path, PASSWORD)?;
        Some((user_of(peer, &path, Auth::Basic, Arc::new([]))?, own))
    });
    let (user, own) = match found {
        Some((user, own)) => (Some(user), own),
        None => (None, Zeroizing::new(b"nobody has this one".to_vec())),
    };
    let is_same = peer.shared.guesses.is_same(&own, password.as_bytes());
    user.filter(|_| is_same && !own.is_empty())
}

/// The `usr` object that the certificate of the connection names. It is looked at again once the authorities, what they have
/// revoked, its object, or time went on.
fn by_certificate(peer: &Peer, secured: &Secured) -> Option<Proved> {
    let trust = peer.shared.trust.load_full()?;
    secured.check(&trust, clock::now()).ok()?;
    let config = peer.shared.mail.config.load();
    if let Some(known) = secured.known(&config) {
        return Some(known);
    }
    let cluster = config.node.cluster_name.as_str();
    let path = certs::user_of(secured.common_name()?, cluster).ok()?;
    let proved = user_of(peer, &path, Auth::Certificate, secured.chain())?;
    secured.know(cluster, proved.clone());
    Some(proved)
}

/// A user, as its object is configured now.
fn user_of(
    peer: &Peer,
    path: &ObjectPath,
    auth: Auth,
    chain: Arc<[CertificateDer<'static>]>,
) -> Option<Proved> {
    let config = peer.shared.mail.config.load();
    let object = config.objects.get(path)?;
    let conf = object.conf();
    let (grants, _) = Grants::parse(conf.ini().get("DEFAULT", "grant").unwrap_or_default());
    let user = User {
        name: path.name().to_owned(),
        namespace: path.namespace().map(str::to_owned),
        auth: Some(auth),
        grants,
    };
    let basis = Basis::Object { path: path.clone(), csum: object.csum.to_string(), chain };
    Some(Proved::new(user, basis))
}

/// A key of an object of secrets.
fn read_key(peer: &Peer, path: &ObjectPath, key: &str) -> Option<Zeroizing<Vec<u8>>> {
    let config = peer.shared.mail.config.load_full();
    let object = config.objects.get(path)?;
    let conf = object.conf();
    let ini: &Ini = conf.ini();
    let own = Keys::of(&config.node);
    keys::decode(ini, path, key, own.as_ref()).ok().map(Zeroizing::new)
}
