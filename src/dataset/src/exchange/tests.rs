use crate::exchange::check::faults;
use crate::exchange::received::Received;
use model::{Content, HeartbeatMessage};
use serde_json::json;

use super::*;

fn node(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

/// A message of a peer, its `gen` given as `[(node, generation)]`.
fn message(gens: &[(&str, u64)], updated: f64, content: Content) -> HeartbeatMessage {
    let r#gen = gens.iter().map(|(name, number)| (node(name), *number)).collect();
    HeartbeatMessage { r#gen, updated: Timestamp(updated), content }
}

fn ping(gens: &[(&str, u64)], updated: f64) -> HeartbeatMessage {
    message(gens, updated, Content::Ping { compat: Some(10), monitor: Map::new() })
}

fn full(gens: &[(&str, u64)], updated: f64) -> HeartbeatMessage {
    let data = object(json!({"a": updated, "updated": updated}));
    message(gens, updated, Content::Full { data })
}

/// Deltas that set `a` to their number, at the time of their number.
fn patch(gens: &[(&str, u64)], updated: f64, numbers: &[u64]) -> HeartbeatMessage {
    let delta = |number: u64| {
        let set = |key: &str| Op { path: vec![key.into()], value: Some((number as f64).into()) };
        (number, vec![set("a"), set("updated")])
    };
    let deltas = numbers.iter().map(|number| delta(*number)).collect();
    message(gens, updated, Content::Patch { deltas })
}

/// The local node `n1` at generation 100, and what it has of `n2`.
struct Bench {
    exchange: Exchange,
    data: Map<String, Value>,
    now: f64,
}

impl Bench {
    fn new() -> Self {
        Self { exchange: Exchange::new(node("n1"), 100), data: Map::new(), now: 1000.0 }
    }

    /// In step with `n2` at its generation 7, which changed at 7.0.
    fn in_step() -> Self {
        let mut bench = Self::new();
        bench.hear(full(&[("n2", 7), ("n1", 100)], 7.0));
        bench
    }

    fn hear(&mut self, message: HeartbeatMessage) -> Received {
        self.hear_from("n2", message)
    }

    fn hear_from(&mut self, from: &str, message: HeartbeatMessage) -> Received {
        self.now += 0.1;
        let mut other = Map::new();
        let data = if from == "n2" { &mut self.data } else { &mut other };
        self.exchange.receive(&node(from), message, Timestamp(self.now), data)
    }

    /// merged and acked of `n2`.
    fn state(&self) -> (Option<u64>, Option<u64>) {
        (self.exchange.merged(&node("n2")), self.exchange.acked(&node("n2")))
    }

    fn record(&mut self) -> u64 {
        let mut ops = Ops::new();
        ops.set(vec!["k".into()], 1.into());
        self.exchange.record(ops, Timestamp(self.now), || 1_000_000)
    }

    fn sent(&self) -> String {
        match self.exchange.sending() {
            Sending::Ping => "ping".to_owned(),
            Sending::Full => "full".to_owned(),
            Sending::Patch(deltas) => {
                format!("{:?}", deltas.iter().map(|(number, _)| *number).collect::<Vec<_>>())
            }
        }
    }
}

const CHANGED: Received = Received {
    is_data_changed: true,
    is_exchange_changed: true,
    is_send_due: false,
    is_stale: false,
    error: None,
};

#[test]
fn who_lacks_a_generation_is_told_until_it_acknowledges_it_or_is_forgotten() {
    let mut bench = Bench::in_step();
    let lacking = |bench: &Bench, generation| -> Vec<NodeName> {
        bench.exchange.lacking(generation).cloned().collect()
    };
    assert_eq!(lacking(&bench, 100), []);
    bench.hear_from("n3", ping(&[("n3", 1)], 1.0));
    assert_eq!(lacking(&bench, 100), [node("n3")]);
    let generation = bench.record();
    assert_eq!(lacking(&bench, generation), [node("n2"), node("n3")]);
    bench.hear(patch(&[("n2", 7), ("n1", generation)], 8.0, &[]));
    assert_eq!(lacking(&bench, generation), [node("n3")]);
    bench.exchange.forget(&node("n3"));
    assert_eq!(lacking(&bench, generation), []);
}

#[test]
fn who_was_lost_and_goes_on_where_it_stood_did_not_forget_this_node_again() {
    let mut bench = Bench::in_step();
    bench.exchange.forget(&node("n2"));
    assert!(bench.exchange.is_raise_due(), "an acknowledgement tells whether it is of before");
    let generation = bench.record();
    let unseen = |bench: &Bench| {
        let unseen = bench.exchange.unseen(&node("n2"));
        (unseen.times, unseen.times_anew, unseen.is_anew)
    };
    bench.hear(patch(&[("n2", 7), ("n1", 100)], 8.0, &[]));
    assert_eq!(unseen(&bench), (1, 1, true), "it has what it had before");
    // It notices that it had lost this node too, and has its data again.
    bench.hear(full(&[("n2", 8)], 9.0));
    assert_eq!(unseen(&bench), (1, 1, true));
    bench.hear(patch(&[("n2", 8), ("n1", generation)], 10.0, &[]));
    assert_eq!(unseen(&bench), (1, 1, false));
    bench.hear(patch(&[("n2", 8)], 11.0, &[]));
    assert_eq!(unseen(&bench), (2, 1, false), "now it did");
}

#[test]
fn who_starts_anew_did_not_forget_this_node() {
    let started = |status: &str| {
        let mut bench = Bench::in_step();
        let monitor = Map::from_iter([("status".to_owned(), Value::from(status))]);
        let content = Content::Ping { compat: Some(10), monitor };
        bench.hear(message(&[("n2", 9_000)], 20.0, content));
        let unseen = bench.exchange.unseen(&node("n2"));
        (unseen.times, unseen.has_started)
    };
    assert_eq!(started("init"), (1, true));
    assert_eq!(started("rejoin"), (1, true));
    assert_eq!(started("idle"), (2, false));
    // Its first message that comes says nothing of its life: the next one does.
    let mut bench = Bench::in_step();
    bench.hear(patch(&[("n2", 9_000)], 20.0, &[9_000]));
    assert_eq!(bench.exchange.unseen(&node("n2")).times, 1);
    let data = serde_json::json!({"monitor": {"status": "rejoin"}});
    let Value::Object(data) = data else { panic!("an object") };
    bench.hear(message(&[("n2", 9_001)], 21.0, Content::Full { data }));
    let unseen = bench.exchange.unseen(&node("n2"));
    assert_eq!((unseen.times, unseen.has_started), (1, true));
}

#[test]
fn who_is_first_heard_with_the_data_of_this_life_had_none_before() {
    let times = |ack: u64| {
        let mut bench = Bench::new();
        bench.hear(full(&[("n2", 7), ("n1", ack)], 7.0));
        bench.exchange.unseen(&node("n2")).times
    };
    assert_eq!(times(0), 1);
    assert_eq!(times(100), 1, "what it said before did not come");
    assert_eq!(times(99), 0, "it has those of the life before");
}

#[test]
fn a_node_alone_pings_and_answers_a_ping_by_a_full_at_once() {
    let mut bench = Bench::new();
    assert_eq!((bench.sent().as_str(), bench.exchange.generation()), ("ping", 100));
    let received = bench.hear(ping(&[("n2", 1)], 1.0));
    assert_eq!(received, Received { is_send_due: true, ..CHANGED });
    assert_eq!(bench.state(), (Some(0), Some(0)));
    assert_eq!(bench.sent(), "full");
    assert_eq!(bench.exchange.gens(), [(node("n1"), 100), (node("n2"), 0)].into());
    let again = bench.hear(ping(&[("n2", 1)], 2.0));
    assert!(!again.is_send_due, "a node that does not hear us is not answered faster");
}

#[test]
fn changes_are_sent_until_every_peer_has_them() {
    let mut bench = Bench::in_step();
    assert_eq!(bench.state(), (Some(7), Some(100)));
    assert_eq!(bench.sent(), "[]");
    assert_eq!((bench.record(), bench.record()), (101, 102));
    assert_eq!(bench.sent(), "[101, 102]");
    bench.hear(patch(&[("n2", 7), ("n1", 101)], 8.0, &[]));
    assert_eq!(bench.sent(), "[102]");
    bench.hear_from("n3", full(&[("n3", 1), ("n1", 100)], 1.0));
    assert_eq!(bench.sent(), "full", "101 is not kept for who never had it");
    bench.exchange.forget(&node("n3"));
    assert_eq!(bench.sent(), "[102]");
    bench.hear(patch(&[("n2", 7), ("n1", 102)], 9.0, &[]));
    assert_eq!((bench.sent().as_str(), bench.exchange.bytes()), ("[]", 0));
}

#[test]
fn a_patch_is_applied_from_the_next_generation_on_and_known_ones_are_skipped() {
    let mut bench = Bench::in_step();
    let received = bench.hear(patch(&[("n2", 9), ("n1", 100)], 10.0, &[6, 7, 8, 9]));
    assert_eq!(received, CHANGED);
    assert_eq!((bench.state(), &bench.data["a"]), ((Some(9), Some(100)), &json!(9.0)));
    let received = bench.hear(patch(&[("n2", 9), ("n1", 100)], 11.0, &[8, 9]));
    assert_eq!(received, Received::default(), "repeated until acknowledged");
}

#[test]
fn a_gap_asks_for_a_full_at_once_and_a_full_ends_the_wait() {
    let mut bench = Bench::in_step();
    let received = bench.hear(patch(&[("n2", 9), ("n1", 100)], 10.0, &[9]));
    assert_eq!((bench.state(), received.is_send_due), ((Some(0), Some(100)), true));
    assert!(bench.exchange.is_raise_due(), "a deployed agent would not look at it");
    assert_eq!(bench.data["a"], 7.0);
    let received = bench.hear(patch(&[("n2", 9), ("n1", 100)], 11.0, &[8, 9]));
    assert_eq!(received, Received::default(), "waiting for a full");
    let received = bench.hear(full(&[("n2", 10), ("n1", 100)], 12.0));
    assert_eq!(received, Received { is_send_due: true, ..CHANGED });
    assert_eq!(bench.state(), (Some(10), Some(100)));
}

#[test]
fn a_change_that_fails_is_undone_and_asks_for_a_full() {
    let mut bench = Bench::in_step();
    let mut message = patch(&[("n2", 9), ("n1", 100)], 10.0, &[8, 9]);
    let Content::Patch { deltas } = &mut message.content else { unreachable!() };
    let bad = Op { path: vec!["none".into(), "x".into()], value: Some(1.into()) };
    deltas.get_mut(&9).unwrap().push(bad);
    let received = bench.hear(message);
    assert_eq!(received.error, Some(ApplyError::NotFound));
    assert_eq!((bench.state(), &bench.data["a"]), ((Some(0), Some(100)), &json!(8.0)));
}

#[test]
fn an_unknown_sender_of_a_patch_is_asked_for_a_full() {
    let mut bench = Bench::new();
    let received = bench.hear(patch(&[("n2", 9)], 10.0, &[9]));
    let expected = Received { is_data_changed: false, is_send_due: true, ..CHANGED };
    assert_eq!((received, bench.state()), (expected, (Some(0), Some(0))));
    assert_eq!(bench.data, Map::new());
}

#[test]
fn a_known_full_has_no_effect_but_a_higher_acknowledgement() {
    let mut bench = Bench::in_step();
    bench.record();
    let received = bench.hear(full(&[("n2", 7), ("n1", 0)], 7.0));
    assert_eq!((received, bench.state()), (Received::default(), (Some(7), Some(100))));
    let received = bench.hear(full(&[("n2", 7), ("n1", 101)], 7.0));
    assert!(received.is_exchange_changed && !received.is_data_changed);
    assert_eq!(bench.state(), (Some(7), Some(101)));
    let received = bench.hear(full(&[], 9.0));
    assert_eq!(received, Received::default(), "a full without generation");
}

#[test]
fn a_full_that_changed_later_is_taken_under_a_lower_generation() {
    // A node that restarted at 1 and whose ping was lost; one that was alone, whose number stood still.
    for told in [1, 7] {
        let mut bench = Bench::in_step();
        bench.hear(full(&[("n2", told), ("n1", 100)], 9.0));
        assert_eq!((bench.state(), &bench.data["a"]), ((Some(told), Some(100)), &json!(9.0)));
    }
}

#[test]
fn a_message_of_the_past_has_no_effect_while_newer_ones_come() {
    let mut bench = Bench::in_step();
    bench.hear(patch(&[("n2", 8), ("n1", 100)], 20.0, &[8]));
    let stale = Received { is_stale: true, ..Received::default() };
    assert_eq!(bench.hear(ping(&[("n2", 1)], 19.0)), stale);
    assert_eq!(bench.hear(patch(&[("n2", 9)], 19.0, &[9])), stale);
    assert_eq!(bench.hear(full(&[("n2", 30)], 6.0)), Received::default());
    assert_eq!((bench.state(), &bench.data["a"]), ((Some(8), Some(100)), &json!(8.0)));
    // No newer one for so long: the clock of the sender was set back.
    bench.now += STALE_SECS;
    bench.hear(ping(&[("n2", 1)], 19.0));
    assert_eq!(bench.state(), (Some(0), Some(0)));
}

#[test]
fn a_peer_whose_clock_is_set_back_is_followed_after_a_few_messages() {
    let mut bench = Bench::in_step();
    bench.hear(patch(&[("n2", 8), ("n1", 100)], 5_000.0, &[8]));
    let stale = Received { is_stale: true, ..Received::default() };
    assert_eq!(bench.hear(patch(&[("n2", 9), ("n1", 100)], 20.0, &[9])), stale);
    // What comes late beside newer ones says nothing of a clock.
    bench.hear(patch(&[("n2", 8), ("n1", 100)], 5_000.2, &[]));
    for updated in [20.2, 20.4] {
        assert_eq!(bench.hear(patch(&[("n2", 9), ("n1", 100)], updated, &[9])), stale);
    }
    bench.hear(patch(&[("n2", 9), ("n1", 100)], 20.6, &[9]));
    assert_eq!((bench.state(), &bench.data["a"]), ((Some(9), Some(100)), &json!(9.0)));
    bench.hear(patch(&[("n2", 10), ("n1", 100)], 20.8, &[10]));
    assert_eq!(bench.state(), (Some(10), Some(100)), "and from then on at once");
}

#[test]
fn a_full_for_one_peer_has_a_new_generation_for_the_others() {
    let mut bench = Bench::in_step();
    let received = bench.hear_from("n3", ping(&[("n3", 1)], 1.0));
    assert!(received.is_send_due && bench.exchange.is_raise_due());
    let raised = bench.exchange.record(Ops::new(), Timestamp(1.0), || 0);
    assert_eq!((raised, bench.exchange.is_raise_due()), (101, false));
    // While n3 is silent, what n2 sent has to be acknowledged under a new one, but not at once.
    let received = bench.hear(patch(&[("n2", 8), ("n1", 101)], 8.0, &[8]));
    assert_eq!((received, bench.exchange.is_raise_due()), (CHANGED, true));
    assert_eq!(bench.sent(), "full");
}

#[test]
fn a_peer_that_remembers_more_than_there_is_moves_the_generation_above() {
    let mut bench = Bench::in_step();
    bench.hear(patch(&[("n2", 7), ("n1", 5_000)], 8.0, &[]));
    assert!(bench.exchange.is_raise_due());
    assert_eq!((bench.state(), bench.sent().as_str()), ((Some(7), Some(0)), "full"));
    assert_eq!(bench.record(), 5_001 + LIFE);
    bench.hear(patch(&[("n2", 7), ("n1", u64::MAX)], 9.0, &[]));
    assert_eq!(bench.record(), 5_002 + LIFE, "no generation");
}

#[test]
fn changes_larger_than_a_full_are_dropped_for_a_full() {
    let mut bench = Bench::in_step();
    let mut ops = Ops::new();
    ops.set(vec!["k".into()], "x".repeat(FREE_BYTES).into());
    bench.exchange.record(ops.clone(), Timestamp(1.0), || 1_000_000);
    assert_eq!(bench.sent(), "[101]");
    bench.exchange.record(ops.clone(), Timestamp(2.0), || 3 * FREE_BYTES);
    assert_eq!(bench.sent(), "[101, 102]");
    bench.exchange.record(ops, Timestamp(3.0), || 3 * FREE_BYTES);
    assert_eq!((bench.sent().as_str(), bench.exchange.bytes()), ("full", 0));
    bench.hear(patch(&[("n2", 7), ("n1", 103)], 8.0, &[]));
    assert_eq!(bench.sent(), "[]");
}

#[test]
fn many_repetitions_get_an_early_acknowledgement() {
    let mut bench = Bench::in_step();
    let numbers: Vec<u64> = (8..8 + MOST_REPEATED as u64).collect();
    let last = *numbers.last().unwrap();
    assert!(!bench.hear(patch(&[("n2", last), ("n1", 100)], 8.0, &numbers)).is_send_due);
    assert!(bench.hear(patch(&[("n2", last), ("n1", 100)], 9.0, &numbers)).is_send_due);
}

#[test]
fn asking_for_a_full_and_forgetting() {
    let mut bench = Bench::in_step();
    assert!(bench.exchange.ask_full(&node("n2")) && bench.exchange.is_raise_due());
    assert_eq!(bench.exchange.gens()[&node("n2")], 0);
    assert!(!bench.exchange.ask_full(&node("n9")));
    bench.exchange.forget(&node("n2"));
    assert_eq!((bench.state(), bench.sent().as_str()), ((None, None), "ping"));
    assert_eq!(bench.record(), 101, "changes count while alone too");
    assert_eq!(bench.exchange.gens(), [(node("n1"), 101)].into());
}

#[test]
fn instances_that_a_starting_peer_has_not_told_yet_are_kept() {
    let mut bench = Bench::new();
    let data = |status: &str, instances: Value| {
        object(json!({"monitor": {"status": status}, "services": {"status": instances, "config": {
            "svc1": {"updated": 1.0}, "svc2": {"updated": 1.0}, "svc3": {"updated": 1.0}
        }}}))
    };
    let send = |bench: &mut Bench, generation, status, instances| {
        let content = Content::Full { data: data(status, instances) };
        bench.hear(message(&[("n2", generation)], generation as f64, content));
        bench.data["services"]["status"].clone()
    };
    let all = json!({"svc1": {"avail": "up"}, "svc2": {"avail": "up"}, "gone": {"avail": "up"}});
    send(&mut bench, 1, "idle", all);
    for (generation, status) in [(2, "init"), (3, "maintenance"), (4, "upgrade")] {
        let kept = send(&mut bench, generation, status, json!({"svc1": {"avail": "down"}}));
        let svc2 = json!({"avail": "up", "preserved": true});
        assert_eq!(kept, json!({"svc1": {"avail": "down"}, "svc2": svc2}), "{status}");
    }
    assert_eq!(send(&mut bench, 5, "rejoin", json!({})), json!({}));
}

#[test]
fn the_text_of_a_patch_is_that_message() {
    let mut bench = Bench::in_step();
    bench.record();
    bench.record();
    let text = bench.exchange.sending().patch_text(&bench.exchange.gens(), Timestamp(2.0)).unwrap();
    let op = |at: f64| json!([[["k"], 1], [["updated"], at]]);
    let expected = json!({"kind": "patch", "deltas": {"101": op(bench.now), "102": op(bench.now)},
        "gen": {"n1": 102, "n2": 7}, "updated": 2.0});
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
    assert_eq!(Sending::Full.patch_text(&bench.exchange.gens(), Timestamp(2.0)), None);
}

#[test]
fn what_crashes_deployed_agents_is_found() {
    let good = json!({
        "compat": 10, "monitor": {"status": "idle"}, "gen": {"n1": 1}, "updated": 1.0, "frozen": 0,
        "locks": {"join": {"id": "x", "requester": "n1", "requested": 1.0}},
        "services": {
            "status": {"svc1": {"monitor": {"status": "idle"}, "frozen": 3.0}},
            "config": {"svc1": {"updated": 1.0, "csum": "x", "scope": []}}
        }
    });
    assert_eq!(faults(&object(good.clone())), Vec::<String>::new());
    for (path, value, fault) in [
        ("/compat", json!(11), "compat is not 10"),
        ("/monitor", json!({}), "monitor has no status"),
        ("/frozen", json!(3), "frozen is no 0 and no float"),
        ("/gen", json!(null), "gen has no generations"),
        ("/updated", json!(null), "updated is no time"),
        ("/locks/join/id", json!(null), "locks.join is no lock"),
        ("/services/status", json!(null), "services has no status or no config"),
        (
            "/services/status/svc1/monitor",
            json!(null),
            "services.status.svc1 has no monitor.status",
        ),
        (
            "/services/status/svc1/frozen",
            json!(3),
            "services.status.svc1.frozen is no 0 and no float",
        ),
        ("/services/config/svc1/updated", json!(null), "services.config.svc1.updated is no time"),
        (
            "/services/config/svc1/scope",
            json!(null),
            "services.config.svc1 has no csum or no scope",
        ),
    ] {
        let mut data = good.clone();
        *data.pointer_mut(path).unwrap() = value;
        assert_eq!(faults(&object(data)), [fault]);
    }
}

#[test]
fn what_a_peer_told_is_kept_for_a_while_by_one_that_tells_nothing_any_more() {
    let mut bench = Bench::new();
    let data = object(json!({"envelope": "sealed", "services": {"status": {}}, "frozen": 0}));
    let told = message(&[("n2", 7), ("n1", 100)], 7.0, Content::Full { data });
    bench.hear(told.clone());
    // It is a deployed agent again, which hears nobody.
    bench.hear(ping(&[("n2", 1)], 1000.5));
    assert_eq!(bench.data.get("envelope"), None, "what it speaks is not known any more");
    assert!(bench.data.contains_key("services"));
    bench.now += 14.0;
    bench.hear(ping(&[("n2", 1)], 1014.5));
    assert!(bench.data.contains_key("services"));
    // One that starts has not had the time to tell.
    bench.now += 1.0;
    let monitor = object(json!({"status": "init"}));
    let starting = Content::Ping { compat: Some(10), monitor };
    bench.hear(message(&[("n2", 1)], 1015.5, starting));
    assert!(bench.data.contains_key("services"));
    bench.hear(ping(&[("n2", 1)], 1016.5));
    assert!(!bench.data.contains_key("services"));
    assert_eq!(bench.data["frozen"], 0);
    let again = HeartbeatMessage { updated: Timestamp(1017.0), ..told };
    bench.hear(again);
    assert!(bench.data.contains_key("services") && bench.data.contains_key("envelope"));
    // Changes of what is missing tell nothing either.
    bench.hear(patch(&[("n2", 9), ("n1", 100)], 1018.0, &[9]));
    assert!(bench.data.contains_key("services"));
    bench.now += 15.0;
    bench.hear(patch(&[("n2", 9), ("n1", 100)], 1033.0, &[9]));
    assert!(!bench.data.contains_key("services"));
}
