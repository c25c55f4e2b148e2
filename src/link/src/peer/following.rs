//! Streams of other daemons: frames that come one after the other, until either side ends.
//!
//! Part of the `impl` of [`Identity`], in a file of its own for its length.

use std::time::Duration;

use machine::clock;
use ring::rand::SystemRandom;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::mpsc::Sender;
use wire::reply::Part;
use wire::{Form, Framing, Incoming};

use crate::heavy::{Purse, Room};
use crate::peer::error::PeerError;
use crate::peer::{Answer, Asked, Identity, LONGEST_REPLY, closed_or, receive};

/// Silence after which a peer is gone: it gives a sign of life each second.
const SILENCE: Duration = Duration::from_secs(15);

impl Identity {
    /// Sends a request for a stream, and hands its items over. Ok: nobody listens any more.
    ///
    /// # Errors
    ///
    /// [`PeerError`], also when the peer ends it.
    pub async fn follow(
        &self,
        stream: &mut TcpStream,
        asked: &mut Asked<Part>,
        items: &Sender<Part>,
    ) -> Result<(), PeerError> {
        let mut limits = Room::LARGE.frame_limits(&self.limits);
        limits.max_frame = limits.max_frame.min(LONGEST_REPLY);
        let form = Form::request(self.dialect, &self.to, clock::stamp(), &SystemRandom::new());
        let frame = self.seal(&form, &asked.request).await?;
        stream.write_all(&frame).await.map_err(|error| closed_or(error.into()))?;
        let mut framing = Framing::of_replies(&limits);
        loop {
            match framing.next_frame() {
                Some(Incoming::Frame(frame)) => {
                    let form = form.clone();
                    let answer = Answer { frame, form, share: None, is_reusable: false };
                    let item = self.take(answer, asked).await?;
                    if items.send(item).await.is_err() {
                        return Ok(());
                    }
                    // What one item took is not held for the next.
                    asked.purse = Purse::default();
                    continue;
                }
                // A sign of life.
                Some(Incoming::DequeueActions) => continue,
                None => {}
            }
            let received = tokio::select! {
                () = items.closed() => return Ok(()),
                received = tokio::time::timeout(SILENCE, receive(stream, &mut framing)) => received,
            };
            if received.map_err(|_| PeerError::Late(SILENCE))?? == 0 {
                return Err(PeerError::Closed);
            }
        }
    }
}
