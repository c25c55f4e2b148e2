//! What deployed agents sent (heartbeats.json).

use dataset::exchange::Exchange;
use dataset::exchange::check::faults;
use dataset::journal::apply;
use model::{HeartbeatMessage, NodeName, Op, Timestamp};
use serde_json::{Map, Value};

use crate::random::Random;

fn vectors() -> Value {
    serde_json::from_str(include_str!("../data/heartbeats.json")).unwrap()
}

fn node(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

/// Null is absent.
pub(crate) fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let kept = object.iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(key, value)| (key.clone(), without_nulls(value))).collect())
        }
        Value::Array(list) => Value::Array(list.iter().map(without_nulls).collect()),
        other => other.clone(),
    }
}

#[test]
fn their_changes_end_as_theirs_or_fail_so_that_a_full_follows() {
    for case in vectors()["journal"].as_array().unwrap() {
        let name = &case["name"];
        let mut data = object(&case["from"]);
        let ops: Vec<Op> = serde_json::from_value(case["diff"].clone()).unwrap();
        let end: Result<(), _> = ops.iter().try_for_each(|op| apply(&mut data, op));
        let data = without_nulls(&Value::Object(data));
        match (&end, case["converges"].as_bool().unwrap()) {
            (Ok(()), true) => assert_eq!(data, without_nulls(&case["to"]), "{name}"),
            (Err(_), true) => panic!("{name}: {end:?}"),
            (Ok(()), false) => {
                let (to, theirs) = (without_nulls(&case["to"]), without_nulls(&case["applied"]));
                assert!(data == to || data == theirs, "{name}: {data}");
            }
            (Err(_), false) => {}
        }
    }
}

#[test]
fn our_changes_lead_from_each_of_their_cases_to_the_other() {
    for case in vectors()["journal"].as_array().unwrap() {
        let mut ops = dataset::journal::Ops::new();
        ops.diff(&mut vec![], Some(&case["from"]), Some(&case["to"]));
        let mut data = object(&case["from"]);
        for op in ops.as_slice() {
            apply(&mut data, op).unwrap_or_else(|error| panic!("{}: {error}", case["name"]));
            // What fails or goes wrong at a deployed agent: an index, a key below what is no object.
            assert!(op.path.iter().all(|key| matches!(key, model::OpKey::Name(_))));
        }
        assert_eq!(Value::Object(data), case["to"], "{}", case["name"]);
    }
}

#[test]
fn the_recorded_replay_converges() {
    let vectors = vectors();
    let replay = &vectors["replay"];
    let mut exchange = Exchange::new(node("n22"), 1_795_363_989_000);
    let mut data = Map::new();
    let messages = [&replay["start"]].into_iter().chain(replay["patches"].as_array().unwrap());
    for message in messages {
        let message = HeartbeatMessage::from_value(message.clone()).unwrap();
        let now = message.updated;
        let received = exchange.receive(&node("n21"), message, now, &mut data);
        assert_eq!((received.error, received.is_stale), (None, false));
    }
    assert_eq!(exchange.merged(&node("n21")), Some(20));
    let compared = |data: &Map<String, Value>| {
        let mut data = data.clone();
        data.remove("gen");
        without_nulls(&Value::Object(data))
    };
    assert_eq!(compared(&data), compared(&object(&replay["end"])));
}

#[test]
fn recorded_messages_in_sequence_keep_one_state_per_sender() {
    let mut exchange = Exchange::new(node("n9"), 1_795_363_989_000);
    let mut nodes: std::collections::BTreeMap<NodeName, Map<String, Value>> = Default::default();
    for recorded in vectors()["messages"].as_array().unwrap() {
        let message = HeartbeatMessage::from_value(recorded["message"].clone()).unwrap();
        assert_eq!(message.to_json(), recorded["message"], "{}", recorded["name"]);
        if let model::Content::Full { data } = &message.content {
            assert_eq!(faults(data), Vec::<String>::new(), "{}", recorded["name"]);
        }
        let sender = node(recorded["sender"].as_str().unwrap());
        let now = message.updated;
        exchange.receive(&sender, message, now, nodes.entry(sender.clone()).or_default());
    }
    // What was recorded has gaps, after which a full is asked for; the last of n24 is its first full.
    assert_eq!(exchange.merged(&node("n24")), Some(3));
    // Who was asked in vain for longer than its data are kept has none.
    let has_told = |name: &NodeName| exchange.merged(name).is_some_and(|number| number > 0);
    for (name, data) in nodes.into_iter().filter(|(name, _)| has_told(name)) {
        assert!(data["services"]["config"]["cluster"]["csum"].is_string(), "{name}");
    }
}

/// Damages a value somewhere.
fn damage(value: &mut Value, random: &mut Random) {
    let children = match value {
        Value::Object(object) => object.len(),
        Value::Array(list) => list.len(),
        _ => 0,
    };
    if children > 0 && !random.happens(15) {
        let at = random.below(children);
        match value {
            Value::Object(object) => {
                let key = object.keys().nth(at).unwrap().clone();
                if random.happens(10) {
                    let moved = object.remove(&key).unwrap();
                    object.insert(
                        random.pick(&["services", "", "0", "-1", "n21"]).to_string(),
                        moved,
                    );
                } else {
                    damage(&mut object[&key], random);
                }
            }
            Value::Array(list) => damage(&mut list[at], random),
            _ => unreachable!(),
        }
        return;
    }
    let texts = ["", "services", "\u{0}", "n22", "é"];
    *value = match random.below(8) {
        0 => Value::Null,
        1 => Value::Bool(true),
        2 => (random.below(50) as u64).into(),
        3 => u64::MAX.into(),
        4 => (-1).into(),
        5 => f64::MAX.into(),
        6 => (*random.pick(&texts)).into(),
        _ => serde_json::json!([[["services", "status"], {"x": [[]]}], [[]], {"a": {}}]),
    };
}

fn size(value: &Value) -> usize {
    value.to_string().len()
}

#[test]
fn damaged_messages_never_panic_and_never_bloat() {
    let vectors = vectors();
    let mut messages: Vec<Value> =
        vectors["messages"].as_array().unwrap().iter().map(|m| m["message"].clone()).collect();
    messages.push(vectors["replay"]["start"].clone());
    messages.extend(vectors["replay"]["patches"].as_array().unwrap().iter().cloned());
    let (mut refused, mut taken) = (0, 0);
    for seed in 0..300 {
        let mut random = Random::new(seed);
        let mut exchange = Exchange::new(node("n22"), 1_795_363_989_000);
        let mut data = Map::new();
        let mut received = 0;
        for step in 0..40 {
            let mut message = random.pick(&messages).clone();
            for _ in 0..random.below(4) {
                damage(&mut message, &mut random);
            }
            received += size(&message);
            let Ok(message) = HeartbeatMessage::from_value(message) else {
                refused += 1;
                continue;
            };
            let now = Timestamp(1_795_363_990.0 + f64::from(step));
            taken +=
                u32::from(exchange.receive(&node("n21"), message, now, &mut data).is_data_changed);
            assert!(exchange.generation() <= 1 << 54, "seed {seed}");
        }
        assert!(size(&Value::Object(data)) <= received, "seed {seed}");
    }
    assert!(refused > 100 && taken > 100, "{refused} refused, {taken} taken");
}
