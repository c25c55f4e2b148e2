//! `wait` and `sync`: answers held back until the cluster data says so.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dataset::snapshot::Snapshot;
use mail::cluster_data::WatchGeneration;
use mail::requests::{NotNow, Outcome, Refused};
use model::ObjectPath;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use web::filter;
use web::grants::Grants;
use wire::jsonpath::JsonPath;

use crate::context::{Context, blocking, selecting};

/// Longest wait, and the default, as in deployed agents.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// Longest condition, in bytes.
const LONGEST: usize = 16 << 10;

/// Conditions that are looked at, at once.
static LOOKING: Semaphore = Semaphore::const_new(2);

/// Of the time, one part in so many may go into looking at one condition.
const SHARE: u32 = 10;

/// Longest wait for the peers.
const MAX_SYNC: Duration = Duration::from_secs(600);

/// Operators of a condition: of two that begin at the same place the longer one counts, as `>=` is not `>`.
const OPERATORS: [(&str, Operator); 7] = [
    (">=", Operator::AtLeast),
    ("<=", Operator::AtMost),
    ("=", Operator::Equal),
    (">", Operator::More),
    ("<", Operator::Less),
    ("~", Operator::Matches),
    (" in ", Operator::In),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    AtLeast,
    AtMost,
    Equal,
    More,
    Less,
    Matches,
    In,
}

/// What a condition compares to.
#[derive(Debug)]
enum Test {
    /// Nothing: there is a value that is not empty.
    Present,
    /// Compared as the type of the value found.
    Compare(Operator, String),
    /// Any of these.
    In(Vec<Value>),
    /// A text that matches.
    Matches(regex::Regex),
}

/// `[!]<jsonpath>[<op><value>]`, read.
#[derive(Debug)]
struct Condition {
    is_negated: bool,
    path: JsonPath,
    test: Test,
}

impl Condition {
    fn parse(text: &str) -> Result<Self, String> {
        if text.len() > LONGEST {
            return Err("the condition is too long".to_owned());
        }
        let (is_negated, text) = match text.strip_prefix('!') {
            Some(text) => (true, text),
            None => (false, text),
        };
        let Some((path, operator, value)) = split_operator(text) else {
            let path = JsonPath::parse(text)?;
            return Ok(Self { is_negated, path, test: Test::Present });
        };
        let test = match operator {
            Operator::In => Test::In(match serde_json::from_str(value) {
                Ok(Value::Array(list)) => list,
                _ => value.split(',').map(|word| Value::from(word.trim())).collect(),
            }),
            // Before it is made: a sign may stand for a class of thousands.
            Operator::Matches if value.len() > conf::LONGEST_EXPRESSION => {
                let most = conf::LONGEST_EXPRESSION;
                return Err(format!("an expression of more than {most} bytes"));
            }
            Operator::Matches => Test::Matches(
                regex::RegexBuilder::new(value)
                    .size_limit(1 << 20)
                    .build()
                    .map_err(|error| format!("invalid expression: {error}"))?,
            ),
            operator => Test::Compare(operator, value.to_owned()),
        };
        Ok(Self { is_negated, path: JsonPath::parse(path)?, test })
    }

    /// On what a user is shown.
    fn holds(&self, snapshot: &Snapshot, grants: &Grants) -> Result<bool, String> {
        // A condition on one object costs that object, whatever the number of services.
        let object = self.path.object();
        let keep = |path: &ObjectPath| {
            object.is_none_or(|object| path.as_str() == object) && filter::shows(grants, path)
        };
        let mut data = snapshot.status(Some(&keep));
        if !grants.is_root() {
            filter::status(&mut data);
        }
        self.holds_in(&data)
    }

    fn holds_in(&self, data: &Value) -> Result<bool, String> {
        let found = self.path.find(data)?;
        Ok(self.is_negated ^ found.into_iter().any(|value| self.test.accepts(value)))
    }
}

/// Whether a condition holds now: found out outside of the arbiter, and by few at a time, because a condition without an
/// object reads all of the cluster data.
async fn holds(context: &Context, condition: &Arc<Condition>) -> Result<bool, Refused> {
    let turn = LOOKING.acquire().await;
    let (snapshot, condition) = (context.mail.snapshot.load_full(), condition.clone());
    let user = context.caller.user.clone();
    // With its turn: work that is begun goes on when nobody waits for it any more.
    let look = move || {
        let _turn = turn;
        condition.holds(&snapshot, &user.grants)
    };
    blocking(look).await?.map_err(|error| Refused::new(400, error))
}

/// Splits at the first operator that is not inside quotes: `a.'b=c'>=1`. The value may have any of them.
fn split_operator(text: &str) -> Option<(&str, Operator, &str)> {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => continue,
            None if matches!(c, '\'' | '"') => quote = Some(c),
            None => {
                let rest = &text[at..];
                let found = OPERATORS.iter().find(|(sign, _)| rest.starts_with(sign));
                if let Some((sign, operator)) = found {
                    return Some((text[..at].trim(), *operator, rest[sign.len()..].trim()));
                }
            }
        }
    }
    None
}

impl Test {
    fn accepts(&self, value: &Value) -> bool {
        match self {
            Self::Present => is_truthy(value),
            Self::In(list) => list.contains(value),
            Self::Matches(regex) => value.as_str().is_some_and(|text| regex.is_match(text)),
            Self::Compare(operator, wanted) => compare(*operator, value, wanted),
        }
    }
}

/// As the deployed agents test a value that is compared to nothing.
fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

fn compare(operator: Operator, value: &Value, wanted: &str) -> bool {
    use std::cmp::Ordering;
    let order = match value {
        Value::Number(number) => number
            .as_f64()
            .zip(wanted.parse::<f64>().ok())
            .and_then(|(value, wanted)| value.partial_cmp(&wanted)),
        Value::Bool(value) => match wanted.to_ascii_lowercase().as_str() {
            "true" | "yes" | "y" | "t" | "1" => Some(value.cmp(&true)),
            "false" | "no" | "n" | "f" | "0" => Some(value.cmp(&false)),
            _ => None,
        },
        Value::String(text) => Some(text.as_str().cmp(wanted)),
        Value::Null => matches!(wanted, "None" | "null" | "none" | "").then_some(Ordering::Equal),
        Value::Array(_) | Value::Object(_) => None,
    };
    let Some(order) = order else { return false };
    match operator {
        Operator::AtLeast => order.is_ge(),
        Operator::AtMost => order.is_le(),
        Operator::More => order.is_gt(),
        Operator::Less => order.is_lt(),
        Operator::Equal => order.is_eq(),
        Operator::Matches | Operator::In => false,
    }
}

/// GET `wait`: answers when the condition holds, or after `duration` seconds, at most 30.
pub(super) async fn wait(
    context: &Context,
    condition: &str,
    duration: Duration,
) -> Result<Outcome, Refused> {
    let wait = duration.min(MAX_WAIT);
    let duration =
        if wait.subsec_nanos() == 0 { json!(wait.as_secs()) } else { json!(wait.as_secs_f64()) };
    let answer = |is_satisfied: bool, elapsed: Value| {
        Ok(Outcome::Json(json!({
            "status": u8::from(!is_satisfied),
            "data": {"satisfied": is_satisfied, "duration": duration, "elapsed": elapsed},
        })))
    };
    if condition.is_empty() {
        return answer(true, json!(0));
    }
    let text = condition.to_owned();
    let condition = selecting(move || Condition::parse(&text)).await?;
    let condition = Arc::new(condition.map_err(|error| Refused::new(400, error))?);
    let start = Instant::now();
    if holds(context, &condition).await? {
        return answer(true, json!(0));
    }
    let mut took = start.elapsed();
    let until = tokio::time::sleep(wait);
    tokio::pin!(until);
    let mut generation = context.ask(&context.mail.cluster_data, WatchGeneration).await?;
    loop {
        tokio::select! {
            () = &mut until => return answer(false, json!(start.elapsed().as_secs_f64())),
            changed = generation.changed() => {
                // The cluster data restarted: its next life has a watch of its own.
                if changed.is_err() {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    generation = context.ask(&context.mail.cluster_data, WatchGeneration).await?;
                }
            }
        }
        // What costs much is looked at rarely, but at the end of the wait at the latest.
        let pause = (took * SHARE).min(Duration::from_secs(2));
        let left = wait.saturating_sub(start.elapsed());
        if took > Duration::from_millis(5) {
            tokio::time::sleep(pause.min(left)).await;
        }
        let begun = Instant::now();
        if holds(context, &condition).await? {
            return answer(true, json!(start.elapsed().as_secs_f64()));
        }
        took = begun.elapsed();
    }
}

/// GET `sync`: answers when every peer has merged the newest generation of the local node, or after `timeout` seconds.
pub(super) async fn sync(context: &Context, timeout: Duration) -> Result<Outcome, Refused> {
    let generation = context.ask(&context.mail.cluster_data, mail::cluster_data::Flush).await?;
    let nodename = context.mail.nodename.clone();
    let local_gen = |snapshot: &Snapshot| {
        let local = snapshot.local().and_then(|node| node.data.r#gen.get(&nodename));
        local.copied().unwrap_or(generation)
    };
    let wanted = local_gen(&context.mail.snapshot.load());
    let is_merged = |snapshot: &Snapshot| {
        snapshot.nodes().iter().all(|(peer, node)| {
            let merged = node.data.r#gen.get(&nodename);
            *peer == nodename || merged.is_some_and(|merged| *merged >= wanted)
        })
    };
    let answer = |is_satisfied: bool| {
        let data = json!({"satisfied": is_satisfied, "gen": wanted});
        Ok(Outcome::Json(json!({"status": u8::from(!is_satisfied), "data": data})))
    };
    let mut watch = context.ask(&context.mail.cluster_data, WatchGeneration).await?;
    let until = tokio::time::sleep(timeout.min(MAX_SYNC));
    tokio::pin!(until);
    loop {
        if is_merged(&context.mail.snapshot.load()) {
            return answer(true);
        }
        tokio::select! {
            () = &mut until => return answer(false),
            changed = watch.changed() => changed.map_err(|_| NotNow)?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(condition: &str) -> bool {
        let data = json!({"monitor": {"frozen": "thawed", "compat": true, "services": {"svc1": {"avail": "up"}},
            "nodes": {"n1": {"stats": {"score": 70}, "labels": {}, "monitor": {"local_expect": null}}}}});
        Condition::parse(condition).unwrap().holds_in(&data).unwrap()
    }

    #[test]
    fn a_condition_compares_as_the_type_of_what_it_finds() {
        assert!(holds("monitor.services.'svc1'.avail=up"));
        assert!(!holds("monitor.services.'svc1'.avail=down"));
        assert!(holds("!monitor.services.'nosuch'"));
        assert!(holds("monitor.services.'svc1'"));
        assert!(holds("monitor.nodes.n1.stats.score>=70"));
        assert!(!holds("monitor.nodes.n1.stats.score>70"));
        assert!(holds("monitor.nodes.*.stats.score<100"));
        assert!(!holds("monitor.nodes.n1.labels"));
        assert!(holds("monitor.compat=true"));
        assert!(holds("monitor.services.svc1.avail in up,warn"));
        assert!(holds("monitor.services.svc1.avail in [\"up\"]"));
        assert!(holds("$.monitor.frozen~^th"));
        assert!(holds("monitor.nodes.n1.monitor.local_expect=None"));
        assert!(Condition::parse("a~(").is_err());
        // The first operator counts, and none inside of a name.
        assert!(holds("monitor.services.'svc1'.avail~^u.=|up$"));
        assert!(!holds("monitor.services.'a=b'"));
    }

    #[test]
    fn an_expression_is_measured_before_it_is_made() {
        for long in [r"\w".repeat(600), "x".repeat(LONGEST)] {
            let error = Condition::parse(&format!("a~{long}")).unwrap_err();
            assert!(error.contains("more than") || error.contains("too long"), "{error}");
        }
        assert!(Condition::parse(&format!("a~{}", r"\w".repeat(10))).is_ok());
    }

    #[test]
    fn what_is_no_condition_is_refused_and_not_waited_for() {
        for text in
            ["(((", "$.a b", "a!=b", "$.monitor | length", "=1", "!", "a.{b}", "a[?(@.b)]=1"]
        {
            assert!(Condition::parse(text).is_err(), "{text}");
        }
    }
}
