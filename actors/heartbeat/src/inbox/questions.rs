//! What a peer is asked whose messages may be of another time: what it answers is of now.
//!
//! Part of the `impl` of [`Inbox`], in a file of its own for its length.

use std::time::{Duration, Instant};

use model::{Alert, HeartbeatMessage, NodeName};
use ring::rand::SecureRandom as _;
use serde_json::{Value, json};
use wire::Refusal;

use mail::peers::AskPeer;

use crate::inbox::Inbox;

/// Shortest pause between two questions to a peer whose messages come late, and how long it may take.
const PROOF_PAUSE: Duration = Duration::from_secs(2);
const PROOF_PATIENCE: Duration = Duration::from_secs(2);

/// Part of the timeout of a heartbeat after which a peer that repeats a full is asked again whether it is there.
const REPEATED_PART: u32 = 4;

impl Inbox {
    pub(super) fn on_old(&self, peer: &NodeName, refusal: &Refusal) {
        if let Refusal::Stale { seconds } = refusal {
            let seconds = seconds.unsigned_abs();
            let text = format!(
                "{peer}: its clock differs from ours by {seconds} s: it is not heard before it answered us, or both are \
                 set right"
            );
            self.notes.alert(&format!("clock {peer}"), Some(Alert::error(text)));
        }
        self.notes.failed(None, format_args!("{peer}: {refusal}"));
        if matches!(refusal, Refusal::Stale { .. } | Refusal::Late { .. } | Refusal::Retired) {
            self.ask_for_proof(peer);
        }
    }

    /// Asks a peer that sends what may be old, whether it is there: what it answers is of now.
    fn ask_for_proof(&self, peer: &NodeName) {
        if !self.is_question_due(peer, PROOF_PAUSE) {
            return;
        }
        let question = json!({"action": "daemon_blacklist_status", "method": "GET", "options": {}});
        let question = AskPeer::new(peer.clone(), &question, PROOF_PATIENCE);
        let answered = self.ties.ask.send(question);
        // Whatever comes back, the actor has learned from it.
        tokio::task::spawn_local(async move { _ = answered.await });
    }

    /// Whether a peer was asked nothing for that long; it is then.
    fn is_question_due(&self, peer: &NodeName, pause: Duration) -> bool {
        let mut asked = self.asked.borrow_mut();
        let now = Instant::now();
        let is_due = asked.get(peer).is_none_or(|at| now.duration_since(*at) >= pause);
        if is_due {
            asked.insert(peer.clone(), now);
        }
        is_due
    }

    /// A deployed agent repeats the bytes of a full, and so could whoever recorded it. The peer is asked for something that
    /// nobody knows: every agent names what it does not support. If it answers, it beats, and this is what it says.
    pub(super) fn ask_for_sign(&self, peer: NodeName, message: HeartbeatMessage, length: usize) {
        let timeout = self.section.settings.timeout;
        if !self.is_question_due(&peer, PROOF_PAUSE.min(timeout / REPEATED_PART)) {
            return;
        }
        let mut nonce = [0; 16];
        if self.random.fill(&mut nonce).is_err() {
            return;
        }
        let action = format!("sign_{:032x}", u128::from_be_bytes(nonce));
        let question = json!({"action": action, "method": "GET", "options": {}});
        let patience = PROOF_PATIENCE.min(timeout);
        let answered = self.ties.ask.send(AskPeer::new(peer.clone(), &question, patience));
        let this = self.clone();
        tokio::task::spawn_local(async move {
            let notes = &this.notes;
            match answered.await {
                Ok(Ok(answer)) if names(&answer, &action) => {
                    this.ties.classic.on_heard();
                    this.hand_over(&peer, message, None, Some(length)).await;
                }
                Ok(Ok(_)) => {
                    notes.failed(None, format_args!("{peer}: its answer is of another time"))
                }
                Ok(Err(error)) => {
                    notes.failed(
                        None,
                        format_args!(
                            "{peer} sends what may be a recording, and is not there: {error}"
                        ),
                    );
                }
                Err(error) => notes.failed(None, format_args!("{peer}: {error}")),
            }
        });
    }
}

/// Whether an answer is to the question that has this name.
fn names(answer: &Value, action: &str) -> bool {
    answer.get("error").and_then(Value::as_str).is_some_and(|text| text.contains(action))
}
