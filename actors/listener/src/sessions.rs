//! Who is connected, and what was counted: `listener.stats.sessions` of `daemon_status`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use model::thread::{self, Traffic};
use monitor::{Admission, ConnectionLimits, Crowded, Episode};

use link::session::{Session, next_id};

/// Sessions that are listed one by one: with 10,000 clients the list would be most of `daemon_status`.
const MOST_LISTED: usize = 100;

/// Clients that are counted one by one; the others together.
const MOST_CLIENTS: usize = 1_024;

/// Name under which the clients beyond are counted.
const OTHERS: &str = "others";

/// What a client is counted as. Named only when it is shown: that costs more than all else that is counted of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Client {
    Address(IpAddr),
    /// Over the control socket.
    Local,
    Others,
}

impl Client {
    fn of(session: &Session) -> Self {
        session.address().map_or(Self::Local, Self::Address)
    }

    fn name(self) -> String {
        match self {
            Self::Address(address) => address.to_string(),
            Self::Local => "local".to_owned(),
            Self::Others => OTHERS.to_owned(),
        }
    }
}

/// Counts what a session carried.
fn add(traffic: &mut Traffic, session: &Session) {
    traffic.auth_validated += u64::from(session.validated());
    traffic.tx += session.sent();
    traffic.rx += session.received();
}

/// The sessions.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    admission: Admission,
    /// Those that the admission knows, by number.
    admitted: BTreeMap<u64, Arc<Session>>,
    admissions: u64,
    alive: BTreeMap<Arc<str>, Arc<Session>>,
    ended: Traffic,
    clients: BTreeMap<Client, Traffic>,
    dropped: u64,
    refused: u64,
    evicted: u64,
    /// Connections are refused; connections are closed to make room.
    crowds: [Episode; 3],
    number: u64,
    seed: Option<[u8; 16]>,
}

impl Sessions {
    /// An id that no other session of this daemon has, nor one of the daemon before.
    pub(super) fn next_id(&mut self) -> String {
        next_id(&mut self.seed, &mut self.number)
    }

    /// A session for a connection from `address`, and how many others were ended for it.
    pub(super) fn admit(
        &mut self,
        address: IpAddr,
        is_known: bool,
        limits: &ConnectionLimits,
    ) -> Result<(Arc<Session>, usize), Crowded> {
        self.admissions += 1;
        let number = self.admissions;
        let admitted = &self.admitted;
        // Of those that ended already nothing is left to end.
        let claim = |number| admitted.get(&number).is_none_or(|it| it.close_unproven());
        let closed = self.admission.enter(number, address, is_known, limits, claim)?;
        for closed in &closed {
            self.admitted.remove(closed);
        }
        let session = Session::numbered(self.next_id(), Some(address), number);
        self.admitted.insert(number, session.clone());
        self.on_opened(session.clone());
        self.evicted += closed.len() as u64;
        Ok((session, closed.len()))
    }

    pub(super) fn on_opened(&mut self, session: Arc<Session>) {
        self.ended.accepted += 1;
        self.client(&session).accepted += 1;
        self.alive.insert(session.id().clone(), session);
    }

    pub(super) fn on_closed(&mut self, session: &Session) {
        if self.alive.remove(session.id()).is_none() {
            return;
        }
        add(&mut self.ended, session);
        add(self.client(session), session);
        if session.address().is_some() {
            self.admission.leave(session.number());
            self.admitted.remove(&session.number());
        }
    }

    /// A blacklisted sender was closed at once.
    pub(super) fn on_dropped(&mut self) {
        self.dropped += 1;
    }

    /// A limit was reached; true when that begins.
    pub(super) fn on_refused(&mut self, now: Duration, crowded: Crowded) -> bool {
        self.refused += 1;
        let crowd = match crowded {
            Crowded::Total => 0,
            Crowded::Address => 1,
        };
        self.crowds[crowd].on_event(now)
    }

    /// Connections made room; true when that begins.
    pub(super) fn on_made_room(&mut self, now: Duration) -> bool {
        self.crowds[2].on_event(now)
    }

    /// Ends a session.
    pub(super) fn stop(&self, id: &str) -> bool {
        self.alive.get(id).map(|session| session.stop()).is_some()
    }

    pub(super) fn shown(&self) -> thread::Sessions {
        let mut total = self.ended;
        let mut clients = self.clients.clone();
        for session in self.alive.values() {
            add(&mut total, session);
            let client = Client::of(session);
            let client = if clients.contains_key(&client) { client } else { Client::Others };
            add(clients.entry(client).or_default(), session);
        }
        let listed = self.alive.values().take(MOST_LISTED);
        thread::Sessions {
            total,
            alive: listed.map(|session| (session.id().to_string(), session.shown())).collect(),
            alive_count: self.alive.len(),
            clients: clients.into_iter().map(|(client, sum)| (client.name(), sum)).collect(),
            dropped: self.dropped,
            refused: self.refused,
            evicted: self.evicted,
        }
    }

    fn client(&mut self, session: &Session) -> &mut Traffic {
        let mut client = Client::of(session);
        if !self.clients.contains_key(&client) && self.clients.len() >= MOST_CLIENTS {
            client = Client::Others;
        }
        self.clients.entry(client).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_outlives_its_session() {
        let mut sessions = Sessions::default();
        let address = IpAddr::from([10, 0, 0, 1]);
        let session = Session::new(sessions.next_id(), Some(address));
        sessions.on_opened(session.clone());
        assert_eq!(sessions.shown().alive_count, 1);
        assert!(sessions.stop(session.id()));
        sessions.on_closed(&session);
        sessions.on_closed(&session);
        let stats = sessions.shown();
        assert_eq!((stats.total.accepted, stats.alive_count), (1, 0));
        assert_eq!(stats.clients["10.0.0.1"].accepted, 1);
        assert!(!sessions.stop(session.id()));
    }

    #[test]
    fn clients_beyond_the_bound_are_counted_together() {
        let mut sessions = Sessions::default();
        for number in 0..=u32::try_from(MOST_CLIENTS).unwrap() + 5 {
            let address = IpAddr::from(std::net::Ipv4Addr::from(number));
            let session = Session::new(sessions.next_id(), Some(address));
            sessions.on_opened(session.clone());
            sessions.on_closed(&session);
        }
        assert_eq!(sessions.clients.len(), MOST_CLIENTS + 1);
        assert_eq!(sessions.shown().clients[OTHERS].accepted, 6);
    }
}
