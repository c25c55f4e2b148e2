//! A request to a peer, over TCP, in the dialect it speaks.

use std::io;
use std::time::Duration;

use model::NodeName;
use ring::rand::SystemRandom;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wire::{ClusterSecret, Dialect, Form, Framing, Limits, Prepared, Sender};

use super::Context;
use crate::clock;

/// Longest wait for a connection (wire.md §1.1).
const CONNECT_PATIENCE: Duration = Duration::from_millis(1500);

/// Port of peers whose `listener.port` is not known (wire.md §1).
const PORT: u16 = 1214;

/// Asks a peer, and makes a reply of every failure (wire.md §6). Never longer than `patience`.
pub(super) async fn ask(
    context: &Context,
    peer: &str,
    request: &Value,
    patience: Duration,
) -> Value {
    match tokio::time::timeout(patience, exchange(context, peer, request)).await {
        Ok(Ok(reply)) => reply,
        Ok(Err(error)) => {
            let retryable =
                matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted);
            let text = match error.raw_os_error() {
                // As clients know it: `[Errno 111] Connection refused`.
                Some(number) => {
                    let text = error.to_string();
                    let text = text.split(" (os error").next().unwrap_or_default().to_owned();
                    format!("[Errno {number}] {text}")
                }
                None => error.to_string(),
            };
            wire::reply::unreachable(&text, error.raw_os_error(), retryable)
        }
        Err(_) => wire::reply::unreachable("timeout daemon request", None, true),
    }
}

fn failed(error: impl std::fmt::Display) -> io::Error {
    io::Error::other(error.to_string())
}

/// The dialect to speak first: what the configuration says, and what the peer published (sealed.md).
fn dialect(context: &Context, peer: &NodeName) -> Dialect {
    let config = context.config();
    let snapshot = context.snapshot();
    let published = snapshot.node(peer).and_then(|entry| entry.data.envelope.as_deref());
    match config.node.envelope {
        conf::Envelope::Sealed => Dialect::Sealed,
        conf::Envelope::Any if published == Some("sealed") => Dialect::Sealed,
        conf::Envelope::Any | conf::Envelope::Classic => Dialect::Classic,
    }
}

async fn exchange(context: &Context, peer: &str, request: &Value) -> io::Result<Value> {
    let peer = NodeName::new(peer).map_err(failed)?;
    let config = context.config();
    let settings = &config.node;
    let secret = settings.secret.as_ref().ok_or_else(|| failed("the cluster has no secret"))?;
    let sender = Sender {
        clustername: settings.cluster_name.as_str().into(),
        nodename: context.routes.nodename.as_str().into(),
        secret: ClusterSecret::new(secret.expose()),
    };
    let limits = Limits::default();
    let random = SystemRandom::new();
    let now_ms = clock::now_ms();
    let form = Form::request(dialect(context, &peer), now_ms, &random);
    let frame = sender.seal(&form, &Prepared::new(request), &random).map_err(failed)?;

    let connect = TcpStream::connect((peer.as_str(), PORT));
    let mut stream = tokio::time::timeout(CONNECT_PATIENCE, connect)
        .await
        .map_err(|_| io::Error::from_raw_os_error(rustix::io::Errno::TIMEDOUT.raw_os_error()))??;
    stream.write_all(&frame).await?;

    let mut framing = Framing::of_replies(&limits);
    let mut buffer = vec![0; 16 << 10];
    loop {
        let read = stream.read(&mut buffer).await?;
        let incoming = if read == 0 {
            framing.finish()
        } else {
            framing.push(&buffer[..read]).map_err(|_| failed("the reply is too long"))?;
            framing.next_frame()
        };
        match incoming {
            Some(wire::Incoming::Frame(bytes)) => {
                let opened = sender.open_reply(&bytes, &form, &limits).map_err(failed)?;
                return opened.read().map_err(failed);
            }
            // An empty answer is a null result.
            Some(_) => return Ok(Value::Null),
            None if read == 0 => return Ok(Value::Null),
            None => {}
        }
    }
}
