//! The vote of an arbitrator: any agent that answers, asked in the dialects that the configuration allows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use conf::ArbitratorSettings;
use model::NodeName;
use serde::Deserialize;
use serde_json::json;
use wire::{ClusterSecret, Dialect, Limits, Prepared};

use conf::peer_address::PeerAddress;

use link::dialects;
use link::heavy::Room;
use link::peer::error::PeerError;
use link::peer::{Names, Stranger, ask_stranger};

/// What counts of an answer: who may ask is answered.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    status: Option<i64>,
}

/// Asks for a vote: the dialect of the answer, or none without one within the arbitrator's timeout. `known` is the
/// dialect that it spoke last: when it does not answer that, it may have been replaced by another kind of agent. It is
/// asked in both only where `cluster.envelope`, or its own keyword `envelope`, allows both.
pub(super) async fn ask(
    nodename: NodeName,
    arbitrator: ArbitratorSettings,
    known: Option<Dialect>,
    names: Names,
) -> Option<Dialect> {
    let address = match PeerAddress::parse(&arbitrator.host) {
        Ok(address) => address,
        Err(reason) => {
            log::warn!(section = arbitrator.name.as_str(), reason; "arbitrator not asked");
            return None;
        }
    };
    let stranger = Stranger {
        address,
        nodename,
        secret: ClusterSecret::new(arbitrator.secret.expose()),
        limits: Limits::default(),
        names,
    };
    let request = json!({"action": "daemon_blacklist_status", "method": "GET", "options": {}});
    let request = Arc::new(Prepared::new(&request));
    let deadline = Instant::now() + arbitrator.timeout;
    for &dialect in dialects::to_try(arbitrator.envelope, known) {
        let left: Duration = deadline.saturating_duration_since(Instant::now());
        match ask_stranger::<Answer>(&stranger, dialect, &request, left, Room::VOTE).await {
            Ok((answer, _)) => return (answer.status == Some(0)).then_some(dialect),
            // What an agent does to a dialect that it does not speak.
            Err(PeerError::Closed | PeerError::Reply(_)) => {}
            Err(error) => {
                log::debug!(section = arbitrator.name.as_str(), error:% = error; "no vote");
                return None;
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use conf::{Envelope, Secret};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use wire::{Keyring, Sender};

    use super::*;
    use link::testing::Deaf;

    const SECRET: &str = "0123456789abcdef";

    /// What an arbitrator does with each request, instead of giving its vote or none.
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Evil {
        Says(i64),
        Silent,
        Drips,
        Endless,
        Garbage,
        Echoes,
        Inflates,
        /// It is another node each time.
        Moves,
        /// It has the secret, and answers as a node of another name than the one asked.
        Impostor,
        /// It repeats what it answered somebody before, under the same secret.
        Replays,
        /// It answers under the secret of another cluster.
        OfAnother,
        /// Its status is no number.
        Wordy,
        /// It says nothing of its status.
        Vague,
    }

    /// What it was made to do: connections, and bytes that were taken of it.
    #[derive(Debug, Default)]
    struct Work {
        connections: usize,
        requests: usize,
        bytes: usize,
    }

    fn keyring(name: &str) -> Keyring {
        keyring_of(name, SECRET)
    }

    fn keyring_of(name: &str, secret: &str) -> Keyring {
        Keyring {
            own: Sender::new("elsewhere", name, ClusterSecret::new(secret)),
            accepted: Default::default(),
            envelope: wire::Envelope::Sealed,
            drpnodes: Default::default(),
            limits: Limits::default(),
        }
    }

    /// What n1 asked it at another time.
    fn earlier() -> Vec<u8> {
        let random = ring::rand::SystemRandom::new();
        let form = wire::Form::request(Dialect::Sealed, "a1", machine::clock::stamp(), &random);
        let sender = Sender::new("join", "n1", ClusterSecret::new(SECRET));
        let request = Prepared::new(&json!({"action": "daemon_blacklist_status"}));
        let mut frame = sender.seal(&form, &request, &random).unwrap();
        frame.pop_if(|last| *last == 0);
        frame
    }

    /// What it answers to a request; none to close.
    fn answer(evil: Evil, asked: &[u8], number: usize) -> Option<Vec<u8>> {
        let reply = |name: &str, body: &serde_json::Value| {
            let keyring = keyring(name);
            let opened = match evil {
                Evil::Replays => keyring.open(&earlier()).unwrap(),
                _ => keyring.open(asked).ok()?,
            };
            let body = match (evil, keyring.check_recipient(&opened)) {
                (Evil::Impostor, _) | (_, Ok(())) => Prepared::new(body),
                (_, Err(refusal)) => Prepared::new(&refusal.to_reply()?),
            };
            let random = ring::rand::SystemRandom::new();
            let secret = if evil == Evil::OfAnother { "fedcba9876543210" } else { SECRET };
            let keyring = keyring_of(name, secret);
            keyring.seal_reply(&opened.reply_to(), &body, machine::clock::stamp(), &random)
        };
        match evil {
            Evil::Says(status) => reply("a1", &json!({"status": status})),
            Evil::Replays | Evil::OfAnother => reply("a1", &json!({"status": 0})),
            Evil::Wordy => reply("a1", &json!({"status": "0"})),
            Evil::Vague => reply("a1", &json!({"data": {}})),
            Evil::Inflates => reply("a1", &json!({"status": 0, "x": "a".repeat(64 << 20)})),
            Evil::Moves => reply(&format!("a{number}"), &json!({"status": 0})),
            Evil::Impostor => reply(&format!("a{number}"), &json!({"status": 0})),
            Evil::Garbage => Some([&[0xFF; 900][..], b"\0"].concat()),
            Evil::Echoes => Some([asked, b"\0"].concat()),
            Evil::Silent | Evil::Drips | Evil::Endless => None,
        }
    }

    async fn serve(mut stream: TcpStream, evil: Evil, work: &Mutex<Work>) -> Option<()> {
        work.lock().unwrap().connections += 1;
        loop {
            let mut asked = vec![];
            loop {
                match stream.read_u8().await.ok()? {
                    0 => break,
                    byte => asked.push(byte),
                }
            }
            let number = {
                let mut work = work.lock().unwrap();
                work.requests += 1;
                work.requests
            };
            let pause = match evil {
                Evil::Silent => Duration::from_secs(60),
                Evil::Drips => Duration::from_millis(20),
                _ => Duration::ZERO,
            };
            let piece = if evil == Evil::Endless { vec![b'x'; 16 << 10] } else { vec![b'x'] };
            match evil {
                Evil::Silent | Evil::Drips | Evil::Endless => loop {
                    tokio::time::sleep(pause).await;
                    work.lock().unwrap().bytes += stream.write(&piece).await.ok()?;
                },
                _ => stream.write_all(&answer(evil, &asked, number)?).await.ok()?,
            }
        }
    }

    /// Asks such an arbitrator: its vote, how long that took, and what it was made to do.
    async fn asked(evil: Evil, timeout: Duration) -> (Option<Dialect>, Duration, Work) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let arbitrator = ArbitratorSettings {
            name: "arbitrator#1".into(),
            host: listener.local_addr().unwrap().to_string(),
            envelope: Envelope::Any,
            secret: Secret::new(SECRET),
            timeout,
        };
        let work = Arc::new(Mutex::new(Work::default()));
        let kept = work.clone();
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let work = work.clone();
                tokio::spawn(async move { serve(stream, evil, &work).await });
            }
        });
        let begun = Instant::now();
        let vote = ask(NodeName::new("n1").unwrap(), arbitrator, None, Names::default()).await;
        let took = begun.elapsed();
        serving.abort();
        let work = std::mem::take(&mut *kept.lock().unwrap());
        (vote, took, work)
    }

    #[tokio::test]
    async fn an_evil_arbitrator_has_no_vote_and_costs_its_timeout_at_most() {
        let (vote, _, _) = asked(Evil::Says(0), Duration::from_secs(20)).await;
        assert_eq!(vote, Some(Dialect::Sealed), "one that is none has a vote");
        for evil in [
            Evil::Says(1),
            Evil::Silent,
            Evil::Drips,
            Evil::Endless,
            Evil::Garbage,
            Evil::Echoes,
            Evil::Inflates,
            Evil::Moves,
            Evil::Impostor,
            Evil::Replays,
            Evil::OfAnother,
            Evil::Wordy,
            Evil::Vague,
        ] {
            let is_late = matches!(evil, Evil::Silent | Evil::Drips);
            let timeout = Duration::from_secs(if is_late { 1 } else { 20 });
            let (vote, took, work) = asked(evil, timeout).await;
            assert_eq!(vote, None, "{evil:?}");
            // An answer that is awaited without an end would take as long as the test runs.
            let most = timeout + Duration::from_secs(60);
            assert!(took < most, "{evil:?}: {took:?}");
            // In two dialects, and once more by the name that it told.
            assert!(work.connections <= 3 && work.requests <= 4, "{evil:?}: {work:?}");
            // Beside what the kernel keeps.
            assert!(work.bytes < 16 << 20, "{evil:?}: {work:?}");
        }
    }

    #[tokio::test]
    async fn what_an_arbitrator_refuses_sealed_it_gets_in_classic_only_where_that_is_allowed() {
        for (envelope, heard) in [
            (Envelope::Sealed, vec![Dialect::Sealed]),
            (Envelope::Any, vec![Dialect::Sealed, Dialect::Classic]),
        ] {
            let mut deaf = Deaf::new().await;
            let arbitrator = ArbitratorSettings {
                name: "arbitrator#1".into(),
                host: deaf.address.clone(),
                envelope,
                secret: Secret::new("0123456789abcdef"),
                timeout: Duration::from_secs(10),
            };
            assert_eq!(
                ask(NodeName::new("n1").unwrap(), arbitrator, None, Names::default()).await,
                None
            );
            assert_eq!(deaf.heard(), heard);
        }
    }
}
