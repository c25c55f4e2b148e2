//! In which order resources are acted upon.

use crate::driver::{Instance, Resource};

/// Groups in the order of a start. A stop reverses it.
const GROUPS: [&str; 8] = ["ip", "volume", "disk", "fs", "share", "container", "app", "task"];

/// Which way an action goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Towards up.
    Start,
    /// Towards down.
    Stop,
}

/// Resources that are acted upon together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Set {
    /// Group, or `group:subset`.
    pub name: String,
    /// Driver group.
    pub group: String,
    /// All at once.
    pub is_parallel: bool,
    /// Positions in [`Instance::resources`], in order.
    pub members: Vec<usize>,
}

/// Where a resource stands: rank of its group, and its set.
fn place(resource: &Resource) -> Option<(usize, String)> {
    let rank = |group: &str| GROUPS.iter().position(|known| *known == group);
    // An address inside a container needs that first.
    let is_inner = resource.rid.group() == "ip"
        && resource.tags.iter().any(|tag| tag.starts_with("container#"));
    let rank = rank(if is_inner { "container" } else { resource.rid.group() })?;
    Some((rank * 2 + usize::from(is_inner), resource.set()))
}

/// A key whose number, if it ends in one, is compared as a number: `app#-10` before `app#-1`, `app#9` before `app#10`.
fn numbered(key: &str) -> String {
    match key.split_once('#').map(|(group, number)| (group, number.parse::<i64>())) {
        Some((group, Ok(number))) => {
            let above_the_least = i128::from(number) - i128::from(i64::MIN);
            format!("{group}#{above_the_least:020}")
        }
        _ => key.to_owned(),
    }
}

/// The sets of the selected resources, in order.
pub(crate) fn sets(
    instance: &Instance,
    direction: Direction,
    is_selected: impl Fn(&Resource) -> bool,
) -> Vec<Set> {
    let mut placed: Vec<_> = instance
        .resources
        .iter()
        .enumerate()
        .filter(|(_, resource)| is_selected(resource))
        .filter_map(|(index, resource)| {
            let rid = resource.rid.to_string();
            let key = resource.driver.sort_key().map_or_else(|| rid.clone(), |key| numbered(&key));
            Some((place(resource)?, key, rid, index))
        })
        .collect();
    placed.sort();
    if direction == Direction::Stop {
        placed.reverse();
    }
    let mut sets: Vec<(usize, Set)> = vec![];
    for ((rank, name), _, _, index) in placed {
        match sets.last_mut() {
            Some((last, set)) if *last == rank && set.name == name => set.members.push(index),
            _ => {
                let group = instance.resources[index].rid.group().to_owned();
                let is_parallel = instance.parallel.contains(&name);
                sets.push((rank, Set { name, group, is_parallel, members: vec![index] }));
            }
        }
    }
    sets.into_iter().map(|(_, set)| set).collect()
}

/// Cuts the sets after the resource or the group that `--upto` or `--downto` names.
pub(crate) fn cut(instance: &Instance, sets: Vec<Set>, last: &str) -> Vec<Set> {
    let mut kept: Vec<Set> = vec![];
    let is_group = !last.contains('#');
    let mut group_seen = false;
    for mut set in sets {
        if is_group {
            if group_seen && set.group != last {
                return kept;
            }
            group_seen |= set.group == last;
        } else if let Some(at) =
            set.members.iter().position(|index| instance.resources[*index].rid.as_str() == last)
        {
            set.members.truncate(at + 1);
            kept.push(set);
            return kept;
        }
        kept.push(set);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_as_numbers_below_zero_too() {
        let sorted = ["app#-10", "app#-1", "app#0", "app#9", "app#10", "app#100", "app#x"];
        let mut keys = sorted;
        keys.reverse();
        keys.sort_by_key(|key| numbered(key));
        assert_eq!(keys, sorted);
    }
}
