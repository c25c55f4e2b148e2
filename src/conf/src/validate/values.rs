//! What is wrong with the value of one keyword, wherever it stands.

use crate::complaint::Severity;
use crate::convert::Converter;
use crate::convert::doubt::doubt_of;
use crate::convert::words::split_words;
use crate::keywords::keyword::{Keyword, base};
use crate::schedule::Schedule;
use crate::value::Value;

/// How bad it is.
pub(super) enum Fault {
    /// As bad wherever it stands.
    Sure(Severity),
    /// Deployed agents take it for something else.
    Tolerated,
}

const MISTAKE: Fault = Fault::Sure(Severity::Mistake);

/// What is wrong with a value that converts: `written` is its text.
pub(super) fn faults(
    definition: Option<&Keyword>,
    keyword: &str,
    is_scoped: bool,
    value: &Value,
    written: &str,
) -> Vec<(Fault, String)> {
    let mut faults = vec![];
    let keyword = base(keyword);
    let (converter, candidates, least) = match definition {
        Some(found) => (found.converter, found.candidates, found.least),
        None => (Converter::Text, &[][..], i64::MIN),
    };
    let text = value.to_string();
    let short = || written.chars().take(80).collect::<String>();
    if !candidates.is_empty() && !candidates.contains(&text.as_str()) {
        // An empty value is as good as none: nothing to advise.
        let named: Vec<&str> = candidates.iter().copied().filter(|word| !word.is_empty()).collect();
        let reason = format!("{text:?} is not one of {}", named.join(", "));
        faults.push((Fault::Sure(Severity::Error), reason));
    }
    let is_schedule = keyword == "schedule" || keyword.ends_with("_schedule");
    if is_schedule && let Err(error) = Schedule::parse(&text) {
        faults.push((MISTAKE, error.to_string()));
    }
    if written.trim().is_empty() {
        if keyword == "start" && definition.is_some() && !is_scoped {
            let reason =
                "it is empty: expected a command, true to call the script, or no such line";
            faults.push((MISTAKE, reason.to_owned()));
        } else if definition.is_some_and(|found| found.is_required) && !is_scoped {
            faults.push((MISTAKE, "it is required, and empty".to_owned()));
        }
        return faults;
    }
    if keyword == "grant" && definition.is_some() {
        // Deployed agents pass over what they do not know: the user is granted less than he reads.
        let wrong = written.split_whitespace().filter_map(wrong_grant);
        faults.extend(wrong.map(|reason| (Fault::Sure(Severity::Warning), reason)));
    }
    if is_command(keyword) && definition.is_some_and(|found| found.converter == Converter::Text) {
        match split_words(written) {
            Err(expected) => faults.push((MISTAKE, format!("{:?} is not {expected}", short()))),
            // Quotes around nothing name no program.
            Ok(words) if words.first().is_some_and(String::is_empty) => {
                let reason =
                    format!("{:?} names no program: expected a command, or no such line", short());
                faults.push((MISTAKE, reason));
            }
            Ok(_) => {}
        }
    }
    if converter != Converter::Nodes {
        if let Some(expected) = converter.doubt(written).or_else(|| doubt_of(keyword, written)) {
            faults.push((Fault::Tolerated, format!("{:?} is not {expected}", short())));
        } else if let Some(number) = number(converter, value)
            && number < least
        {
            let what = if converter == Converter::Integer { "a number" } else { "a size" };
            faults.push((Fault::Tolerated, format!("{:?} is not {what} from {least}", short())));
        }
    }
    faults
}

/// What is wrong with one word of the grants of a user.
fn wrong_grant(word: &str) -> Option<String> {
    const CLUSTER: [&str; 5] = ["root", "blacklistadmin", "squatter", "prioritizer", "heartbeat"];
    const NAMESPACES: [&str; 3] = ["admin", "operator", "guest"];
    let Some((roles, namespaces)) = word.split_once(':') else {
        return match word {
            _ if CLUSTER.contains(&word) => None,
            _ if NAMESPACES.contains(&word) => {
                Some(format!("{word:?} grants nothing: expected {word}:<namespaces>"))
            }
            _ => Some(format!(
                "{word:?} grants nothing: expected one of {}, or one of {} with namespaces, as guest:test",
                CLUSTER.join(", "),
                NAMESPACES.join(", ")
            )),
        };
    };
    if let Some(role) = roles.split(',').find(|role| !NAMESPACES.contains(role)) {
        let reason = match CLUSTER.contains(&role) {
            true => format!("{word:?}: {role} is of the whole cluster, and takes no namespaces"),
            false => format!("{word:?}: {role:?} is none of {}", NAMESPACES.join(", ")),
        };
        return Some(reason);
    }
    namespaces.split(',').all(str::is_empty).then(|| format!("{word:?} names no namespace"))
}

/// Whether a keyword holds a command line, which is split into words when it is run.
pub(super) fn is_command(keyword: &str) -> bool {
    matches!(
        keyword,
        "start" | "stop" | "check" | "info" | "command" | "on_error" | "pre_monitor_action"
    ) || ["pre_", "post_", "blocking_pre_", "blocking_post_"]
        .iter()
        .any(|prefix| keyword.starts_with(prefix))
}

fn number(converter: Converter, value: &Value) -> Option<i64> {
    match (converter, value) {
        (Converter::Integer | Converter::Size | Converter::Speed, Value::Integer(number)) => {
            Some(*number)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_grant_nothing_are_told() {
        for word in ["root", "guest:*", "admin,operator:test,dev-*", "heartbeat"] {
            assert_eq!(wrong_grant(word), None, "{word}");
        }
        for (word, expected) in [
            ("guest", "\"guest\" grants nothing: expected guest:<namespaces>"),
            ("root:test", "\"root:test\": root is of the whole cluster, and takes no namespaces"),
            ("admn:test", "\"admn:test\": \"admn\" is none of admin, operator, guest"),
            ("guest:", "\"guest:\" names no namespace"),
        ] {
            assert_eq!(wrong_grant(word).as_deref(), Some(expected), "{word}");
        }
        assert!(wrong_grant("rot").is_some_and(|it| it.contains("expected one of root, ")));
    }
}
