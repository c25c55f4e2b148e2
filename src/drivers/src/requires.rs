//! Requirements: states that other resources must have before a resource is acted upon.

use std::collections::BTreeMap;

use model::Status;

use crate::driver::{Instance, Resource};
use crate::failure::Failure;

/// One word of a requirement: a resource, and the states it may have.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    rid: String,
    states: Vec<String>,
}

/// Reads `rid(state,state)` words. A state may hold a blank, so parentheses hold a word together.
fn parse(text: &str) -> Vec<Requirement> {
    let mut words = vec![];
    let mut depth = 0_u32;
    let mut word = String::new();
    for sign in text.chars() {
        match sign {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if sign.is_whitespace() && depth == 0 {
            words.push(std::mem::take(&mut word));
        } else {
            word.push(sign);
        }
    }
    words.push(word);
    let read = |word: &String| {
        let word = word.trim();
        let (rid, states) = match word.split_once('(') {
            Some((rid, states)) => {
                let states = states.trim_end_matches(')').split(',');
                let states: Vec<_> = states
                    .map(|state| state.trim().to_owned())
                    .filter(|state| !state.is_empty())
                    .collect();
                (rid, states)
            }
            None => (word, vec![]),
        };
        let states = if states.is_empty() { vec!["up".into(), "stdby up".into()] } else { states };
        (!rid.is_empty()).then(|| Requirement { rid: rid.trim().to_owned(), states })
    };
    words.iter().filter_map(read).collect()
}

/// Checks keyword `<verb>_requires` of a resource against the states of others.
///
/// # Errors
///
/// The first requirement that is not met.
pub(crate) fn check(
    instance: &Instance,
    resource: &Resource,
    verb: &str,
    states: &BTreeMap<String, Status>,
) -> Result<(), Failure> {
    let keyword = format!("{verb}_requires");
    let section = instance.section(resource.rid.as_str());
    let text = match section.text(&keyword) {
        Ok(text) => text.unwrap_or_default(),
        // Few drivers know the requirements of each action.
        Err(_) => return Ok(()),
    };
    if text.trim().eq_ignore_ascii_case("impossible") {
        return Err(Failure::refused(format!("{keyword} is impossible to meet")));
    }
    for requirement in parse(&text) {
        let state = states.get(&requirement.rid).unwrap_or(&Status::Undef);
        if !requirement.states.iter().any(|wanted| wanted == state.as_str()) {
            return Err(Failure::refused(format!(
                "{keyword}: {} is {state}, expected {}",
                requirement.rid,
                requirement.states.join(" or ")
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_name_a_resource_and_its_states() {
        let read = parse("ip#1 fs#2(up, stdby up,n/a)  disk#1()");
        let states = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        assert_eq!(
            read,
            [
                Requirement { rid: "ip#1".into(), states: states(&["up", "stdby up"]) },
                Requirement { rid: "fs#2".into(), states: states(&["up", "stdby up", "n/a"]) },
                Requirement { rid: "disk#1".into(), states: states(&["up", "stdby up"]) },
            ]
        );
        assert!(parse("").is_empty());
        assert_eq!(parse("x(y")[0].states, ["y"]);
    }
}
