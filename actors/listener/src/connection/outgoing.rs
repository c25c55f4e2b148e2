//! What a connection is answered, in the dialect in which it asked.
//!
//! Part of the `impl` of [`Talk`], in a file of its own for its length.

use std::sync::Arc;

use link::{heavy, prepare};
use machine::clock;
use ring::rand::SystemRandom;
use wire::{Prepared, ReplyTo};

use crate::connection::Talk;
use crate::connection::socket::Close;

/// Replies from this size on are sealed outside of the arbiter.
const LARGE_REPLY: usize = 512 * 1024;

impl Talk<'_> {
    pub(super) async fn reply(&self, reply_to: &ReplyTo, body: Arc<Prepared>) -> Result<(), Close> {
        let bytes = match reply_to {
            ReplyTo::Plain => {
                match body.parts() {
                    [] => self.send_plain(&body).await?,
                    parts => {
                        for part in parts {
                            self.send_plain(part).await?;
                        }
                    }
                }
                self.socket.send(b"\0").await?;
                self.session.on_sent(body.len() + 1);
                return Ok(());
            }
            ReplyTo::Classic | ReplyTo::Sealed { .. } => {
                let gate = self.shared.mail.gate.load_full();
                let random = SystemRandom::new();
                let reply_to = reply_to.clone();
                let is_large = body.seal_bytes() >= LARGE_REPLY;
                let seal = move || {
                    let keyring = gate.keyring.as_ref()?;
                    keyring.seal_reply(&reply_to, &body, clock::stamp(), &random)
                };
                if is_large {
                    let _turn = self.shared.sealing.acquire().await;
                    heavy::apart(seal).await.flatten()
                } else {
                    seal()
                }
            }
        };
        let bytes = bytes.ok_or(Close::Broken)?;
        self.session.on_sent(bytes.len());
        self.socket.send(&bytes).await
    }

    /// Sends a text as it is: what the cluster data prepared without a copy, and what is kept compressed once it is its
    /// turn to be inflated.
    async fn send_plain(&self, body: &Arc<Prepared>) -> Result<(), Close> {
        if let Some(text) = body.plain() {
            return self.socket.send(text).await;
        }
        let text = {
            let _turn = self.shared.sealing.acquire().await;
            let body = body.clone();
            let inflate = move || body.json().into_owned();
            heavy::apart(inflate).await.ok_or(Close::Broken)?
        };
        self.socket.send(&text).await
    }

    /// Whether answers there would be sealed with the secret before the one in force, which opens the hand-over only.
    fn is_handed_only(&self, reply_to: &ReplyTo) -> bool {
        match reply_to {
            ReplyTo::Plain | ReplyTo::Classic => false,
            ReplyTo::Sealed { generation, .. } => {
                self.shared.mail.secret_use.load().handed_only == Some(*generation)
            }
        }
    }

    /// Sends what comes until either side ends.
    pub(super) async fn stream(
        &self,
        reply_to: &ReplyTo,
        mut items: tokio::sync::mpsc::Receiver<mail::stream::Item>,
    ) -> Result<(), Close> {
        loop {
            let item = tokio::select! {
                item = items.recv() => item,
                () = self.socket.closed() => return Ok(()),
            };
            match item {
                None => return Ok(()),
                // Begun with a secret that is to open nothing more: who follows asks again, with the one in force.
                Some(_) if self.is_handed_only(reply_to) => return Ok(()),
                Some(text) if text.is_empty() => self.socket.send(b"\0").await?,
                // As it is: megabytes that all readers share are not copied for each.
                Some(text) if *reply_to == ReplyTo::Plain => {
                    self.socket.send(text.as_bytes()).await?;
                    self.socket.send(b"\0").await?;
                    self.session.on_sent(text.len() + 1);
                }
                Some(text) => {
                    let body = prepare::prepared_text(text.text).await.ok_or(Close::Broken)?;
                    self.reply(reply_to, body).await?;
                }
            }
        }
    }
}
