//! HTTP and HTTPS as a client: one request with one answer, bounded in bytes and time.
//!
//! No redirect and no proxy of the environment: what is asked goes to who is named, and to nobody else.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ureq::config::Config;
use ureq::http;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Error};

/// Largest answer that is read: 16 MiB.
const MAX_ANSWER: u64 = 16 << 20;

/// Why there is no answer.
#[derive(Debug)]
pub enum HttpError {
    /// The URI is none that this client reads.
    Uri(String, &'static str),
    /// No connection, or a broken one.
    Io(String, io::Error),
    /// Not in time.
    Timeout(String, Duration),
    /// Not an answer of a web server.
    Protocol(String, String),
    /// The web server refused.
    Status(String, u16),
    /// What is asked is secret, and would leave this machine as it is.
    Plain(String),
    /// No certificate that this machine trusts.
    Untrusted(String, String),
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
            Self::Plain(host) => write!(
                f,
                "{host} is not asked: over http:// the key of this node would be readable on the way. Use https://"
            ),
            Self::Untrusted(host, reason) => write!(
                f,
                "{host} is not trusted: {reason}. Its authority belongs to the certificates of this machine, or to \
                 the file that SSL_CERT_FILE names"
            ),
        }
    }
}

impl std::error::Error for HttpError {}

/// Who may read what is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Privacy {
    /// Whoever is on the way of http.
    Public,
    /// Only who is asked: http is for this machine.
    Secret,
    /// Whoever is on the way, of https too.
    Unguarded,
}

/// An `http` or `https` URI, and how it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uri {
    scheme: http::uri::Scheme,
    host: String,
    port: u16,
    path: String,
    privacy: Privacy,
}

impl Uri {
    /// Reads a URI; a bare host is `http://<host>`.
    ///
    /// # Errors
    ///
    /// [`HttpError::Uri`].
    pub fn parse(text: &str) -> Result<Self, HttpError> {
        const EXPECTED: &str = "expected http://<host>[:<port>]/<path> or https://..";
        let refuse = |reason| HttpError::Uri(text.to_owned(), reason);
        if text.contains(|c: char| c.is_control() || c == ' ') {
            return Err(refuse("has blanks or control characters"));
        }
        let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let uri: http::Uri = whole.parse().map_err(|_| refuse(EXPECTED))?;
        let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else {
            return Err(refuse(EXPECTED));
        };
        let usual = match scheme.as_str() {
            "http" => 80,
            "https" => 443,
            _ => return Err(refuse(EXPECTED)),
        };
        if authority.as_str().contains('@') {
            return Err(refuse("a user in the URI is not supported"));
        }
        let host = authority.host();
        if host.is_empty() {
            return Err(refuse("names no host"));
        }
        let port = match authority.port_u16() {
            None if authority.as_str() != host => {
                return Err(refuse("the port is not a number up to 65535"));
            }
            port => port.unwrap_or(usual),
        };
        Ok(Self {
            scheme: scheme.clone(),
            host: host.to_owned(),
            port,
            path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            privacy: Privacy::Public,
        })
    }

    /// This URI with another path where it has none.
    #[must_use]
    pub fn or_path(self, path: &str) -> Self {
        if self.path == "/" { Self { path: path.to_owned(), ..self } } else { self }
    }

    /// This URI for what is secret: over http only this machine is asked.
    #[must_use]
    pub fn secret(self) -> Self {
        Self { privacy: Privacy::Secret, ..self }
    }

    /// This URI for whoever is on the way: over http any machine is asked, over https one with any certificate.
    #[must_use]
    pub fn unguarded(self) -> Self {
        Self { privacy: Privacy::Unguarded, ..self }
    }

    fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    fn text(&self) -> String {
        format!("{}://{}{}", self.scheme, self.authority(), self.path)
    }

    fn is_https(&self) -> bool {
        self.scheme == http::uri::Scheme::HTTPS
    }
}

/// Fetches a document.
///
/// # Errors
///
/// [`HttpError`].
pub fn get(uri: &Uri, within: Duration) -> Result<Vec<u8>, HttpError> {
    get_short(uri, MAX_ANSWER, within)
}

/// The same for one of at most `most` bytes.
///
/// # Errors
///
/// [`HttpError`].
pub fn get_short(uri: &Uri, most: u64, within: Duration) -> Result<Vec<u8>, HttpError> {
    exchange(&agent(uri, within, tls(uri)?), uri, None, most, within)
}

/// Sends an XML text, and returns the answer.
///
/// # Errors
///
/// [`HttpError`].
pub fn post(uri: &Uri, body: &str, within: Duration) -> Result<Vec<u8>, HttpError> {
    exchange(&agent(uri, within, tls(uri)?), uri, Some(body), MAX_ANSWER, within)
}

/// Whom a URI makes this machine trust.
fn tls(uri: &Uri) -> Result<TlsConfig, HttpError> {
    if !uri.is_https() {
        return Ok(trusting(vec![]));
    }
    if uri.privacy == Privacy::Unguarded {
        return Ok(builder().disable_verification(true).build());
    }
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let first = found.errors.first().map_or_else(String::new, |error| format!(": {error}"));
        let reason = format!("this machine has no certificates of authorities{first}");
        return Err(HttpError::Untrusted(uri.authority(), reason));
    }
    Ok(trusting(found.certs.iter().map(|der| Certificate::from_der(der).to_owned()).collect()))
}

fn builder() -> ureq::tls::TlsConfigBuilder {
    // Of the one cryptography of the whole program.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    TlsConfig::builder().unversioned_rustls_crypto_provider(provider)
}

fn trusting(authorities: Vec<Certificate<'static>>) -> TlsConfig {
    builder().root_certs(RootCerts::from(authorities)).build()
}

fn agent(uri: &Uri, within: Duration, tls: TlsConfig) -> Agent {
    let config = Agent::config_builder()
        .tls_config(tls)
        .proxy(None)
        .max_redirects(0)
        .http_status_as_error(false)
        .user_agent("opensvc-om")
        .timeout_global(Some(within))
        .build();
    match uri.privacy {
        Privacy::Secret if !uri.is_https() => {
            Agent::with_parts(config, DefaultConnector::default(), ThisMachine::default())
        }
        Privacy::Secret | Privacy::Public | Privacy::Unguarded => config.new_agent(),
    }
}

fn exchange(
    agent: &Agent,
    uri: &Uri,
    body: Option<&str>,
    most: u64,
    within: Duration,
) -> Result<Vec<u8>, HttpError> {
    let failed = |error| failure(uri, within, error);
    let answer = match body {
        Some(body) => {
            agent.post(uri.text()).header("Connection", "close").content_type("text/xml").send(body)
        }
        None => agent.get(uri.text()).header("Connection", "close").call(),
    };
    let mut answer = answer.map_err(failed)?;
    if answer.status() != http::StatusCode::OK {
        return Err(HttpError::Status(uri.text(), answer.status().as_u16()));
    }
    answer.body_mut().with_config().limit(most).read_to_vec().map_err(failed)
}

fn failure(uri: &Uri, within: Duration, error: Error) -> HttpError {
    let host = uri.authority();
    let untrusted = |error: &io::Error| {
        let reason = error.get_ref().and_then(|reason| reason.downcast_ref::<rustls::Error>());
        reason.map(ToString::to_string)
    };
    match error {
        Error::Timeout(_) => HttpError::Timeout(host, within),
        Error::Io(error) => match untrusted(&error) {
            Some(reason) => HttpError::Untrusted(host, reason),
            None if error.kind() == io::ErrorKind::TimedOut => HttpError::Timeout(host, within),
            None => HttpError::Io(host, error),
        },
        Error::HostNotFound => {
            let error = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
            HttpError::Io(host, error)
        }
        Error::BodyExceedsLimit(_) => HttpError::Protocol(host, "the answer is too large".into()),
        Error::Other(other) if other.is::<Elsewhere>() => HttpError::Plain(host),
        Error::Rustls(error) => HttpError::Untrusted(host, error.to_string()),
        Error::Tls(reason) => HttpError::Untrusted(host, reason.to_owned()),
        Error::ConnectionFailed => HttpError::Io(host, io::ErrorKind::ConnectionRefused.into()),
        error => HttpError::Protocol(host, error.to_string()),
    }
}

/// Finds the addresses of names that are this machine.
#[derive(Debug, Default)]
struct ThisMachine(DefaultResolver);

impl Resolver for ThisMachine {
    fn resolve(
        &self,
        uri: &http::Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let found = self.0.resolve(uri, config, timeout)?;
        match found.iter().all(|address| address.ip().to_canonical().is_loopback()) {
            true => Ok(found),
            false => Err(Error::Other(Box::new(Elsewhere))),
        }
    }
}

/// A name is another machine.
#[derive(Debug)]
struct Elsewhere;

impl std::fmt::Display for Elsewhere {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("another machine")
    }
}

impl std::error::Error for Elsewhere {}

#[cfg(test)]
mod tests;
