//! What somebody probably meant who typed words that are none.

use model::nearest;

use crate::tree::{Action, GROUPS, Group};

/// Words of other tools, each with the actions that may be meant: the first that a group has.
const SYNONYMS: &[(&str, &[&str])] = &[
    ("show", &["print status", "status"]),
    ("info", &["print status", "status"]),
    ("state", &["print status", "status"]),
    ("ps", &["print status", "status"]),
    ("describe", &["explain", "print status", "status"]),
    ("why", &["explain"]),
    ("list", &["ls", "print status", "status"]),
    ("unfreeze", &["thaw"]),
    ("resume", &["thaw"]),
    ("pause", &["freeze"]),
    ("up", &["start"]),
    ("down", &["stop"]),
    ("kill", &["stop"]),
    ("reload", &["restart"]),
    ("move", &["switch"]),
    ("migrate", &["switch"]),
    ("relocate", &["switch"]),
    ("failover", &["switch"]),
    ("rm", &["delete"]),
    ("remove", &["delete"]),
    ("destroy", &["delete"]),
    ("new", &["create"]),
    ("apply", &["create"]),
    ("log", &["logs"]),
    ("journal", &["logs"]),
    ("config", &["print config"]),
    ("cat", &["print config", "decode"]),
    ("check", &["validate config"]),
    ("verify", &["validate config"]),
    ("lint", &["validate config"]),
];

/// What a word alone may mean, of those that are no action of an object.
const ALONE: &[(&str, &str)] = &[
    ("list", "ls"),
    ("services", "ls"),
    ("objects", "ls"),
    ("nodes", "node ls"),
    ("show", "mon"),
    ("status", "mon"),
    ("state", "mon"),
    ("info", "mon"),
    ("top", "mon"),
    ("watch", "mon --watch"),
    ("monitor", "mon"),
    ("version", "--version"),
    ("join", "daemon join"),
    ("leave", "daemon leave"),
    ("drain", "node drain"),
    ("events", "node events"),
    ("logs", "node logs"),
];

/// How to say `wait`, which no object has.
const WAIT: &str =
    "an action waits for its end with --wait, and `om node wait --filter ..` for a condition";

/// A word with which nothing is asked for.
pub(super) fn alone(word: &str) -> String {
    let meant = ALONE.iter().find(|(typed, _)| *typed == word).map(|(_, meant)| *meant);
    if let Some(meant) = meant {
        return format!("{word:?} is no group: did you mean `om {meant}`?");
    }
    let objects = Group::by_name("svc").expect("a group");
    if word == "wait" {
        return format!("{word:?} is no group: {WAIT}");
    }
    let first_words = ["mon", "ls", "doc", "api", "ctx", "demo", "completion"];
    let near = nearest(word, GROUPS.iter().map(|group| group.name).chain(first_words));
    match (near, meant_by(objects, &[word])) {
        (Some(near), _) => format!("{word:?} is no group: did you mean `om {near}`?"),
        (None, Some(action)) => {
            format!("{word:?} is no group: did you mean `om <object> {}`?", action.words)
        }
        (None, None) => format!(
            "{word:?} is no group: if it is an object, what to do with it? `om {word} --help` lists the actions, \
             `om --help` the groups"
        ),
    }
}

/// Words after a group, or after an object that was typed first, that are no action.
pub(super) fn unknown(group: &Group, selector: Option<&str>, found: &[&str]) -> String {
    let typed = typed(group, selector);
    if let Some(action) = meant_by(group, found) {
        let words = found.iter().take(action.words.split(' ').count());
        let words: Vec<&str> = words.copied().collect();
        return format!(
            "{:?} is no action of {}: did you mean `{typed} {}`?",
            words.join(" "),
            what(group),
            action.words
        );
    }
    // `om svc web start`: the object between its kind and the action.
    if let (None, [object, rest @ ..]) = (selector, found)
        && model::Kind::from_word(group.name).is_some()
        && let Some((action, _)) = group.find(rest)
    {
        let path = match group.name {
            "svc" => (*object).to_owned(),
            kind => format!("{kind}/{object}"),
        };
        return format!("{object:?} is no action of {}: om {path} {}", what(group), action.words);
    }
    // `om strat web`, `om show web`: the action in the place of the object.
    if let (Some(word), [object]) = (selector, found) {
        if word == "wait" {
            return format!("{word:?} is no object: {WAIT}");
        }
        if let Some(action) = meant_by(group, &[word]) {
            return format!("the object comes first: om {object} {}", action.words);
        }
    }
    let word = found.first().copied().unwrap_or_default();
    if word == "wait" {
        return format!("{word:?} is no action of {}: {WAIT}", what(group));
    }
    let of_keys = Group::by_name("cfg").is_some_and(|keys| keys.find(&[word]).is_some());
    if of_keys && group.name == "svc" {
        return format!(
            "{word:?} is no action of a service: keys are in objects of the kinds cfg, sec and usr"
        );
    }
    let begun: Vec<&str> = group
        .all()
        .map(|action| action.words)
        .filter(|words| words.split_once(' ').is_some_and(|(first, _)| first == word))
        .collect();
    if !begun.is_empty() {
        return format!(
            "{:?} is no action of {}: expected {}",
            found.iter().take(2).copied().collect::<Vec<_>>().join(" "),
            what(group),
            begun.join(", ")
        );
    }
    format!("{word:?} is no action of {}: `{typed} --help` lists them", what(group))
}

/// Words after an action that takes none.
pub(super) fn surplus(
    group: &Group,
    selector: Option<&str>,
    action: &Action,
    words: &[&str],
) -> String {
    let typed = typed(group, selector);
    let more = words.join(" ");
    match (selector, words) {
        (None, [object]) if model::Kind::from_word(group.name).is_some() => {
            let path = match group.name {
                "svc" => (*object).to_owned(),
                kind => format!("{kind}/{object}"),
            };
            format!("the object comes first: om {path} {}", action.words)
        }
        (_, words) => {
            let word = words.first().copied().unwrap_or_default();
            let option = option_for(action, word).filter(|_| words.len() == 1);
            let meant = option.map(|option| {
                format!(": did you mean `{typed} {} --{option} {word}`?", action.words)
            });
            format!(
                "unexpected {more:?} after `{typed} {}`{}",
                action.words,
                meant.unwrap_or_default()
            )
        }
    }
}

/// The option whose value a word may be that was typed without it.
fn option_for(action: &Action, word: &str) -> Option<&'static str> {
    let mut options = action.options.iter().copied().flatten();
    let wanted: &[&str] = if word.contains('#') { &["rid"] } else { &["to"] };
    options.find(|option| wanted.contains(*option)).copied()
}

/// A text of clap, with the object where its usage names the group, as it was typed.
pub(super) fn as_typed(
    text: &str,
    group: &str,
    selector: Option<&str>,
    service: Option<&str>,
) -> String {
    if let (None, Some(service)) = (selector, service) {
        // `om svc -s web start`: where the object stood, and not where clap would have it.
        let mut text = text.replace(&format!("om {group} "), &format!("om {group} -s {service} "));
        let usage = text.find("Usage:").unwrap_or(text.len());
        let at = |text: &str, word: &str| text[usage..].find(word).map(|at| usage + at);
        if let (Some(start), Some(end)) = (at(&text, "--service"), at(&text, "<SELECTOR>")) {
            text.replace_range(start..end + "<SELECTOR>".len(), "");
        }
        return text;
    }
    let Some(selector) = selector else { return text.to_owned() };
    text.replace(&format!("om {group} "), &format!("om {selector} "))
}

/// The action that words probably mean.
fn meant_by(group: &Group, found: &[&str]) -> Option<&'static Action> {
    let first = *found.first()?;
    let both = found.iter().take(2).copied().collect::<Vec<_>>().join(" ");
    let synonym = SYNONYMS.iter().find(|(word, _)| *word == first);
    let synonyms = synonym.into_iter().flat_map(|(_, meant)| meant.iter());
    let mut meant = synonyms.filter_map(|words| group.all().find(|action| action.words == *words));
    if let Some(action) = meant.next() {
        return Some(action);
    }
    let spellings = || {
        group
            .all()
            .flat_map(|action| std::iter::once(action.words).chain(action.aliases.iter().copied()))
    };
    let near = nearest(&both, spellings()).or_else(|| nearest(first, spellings()))?;
    group.all().find(|action| action.words == near || action.aliases.contains(&near))
}

/// The words before the action, as they were typed.
pub(super) fn typed(group: &Group, selector: Option<&str>) -> String {
    format!("om {}", selector.unwrap_or(group.name))
}

fn what(group: &Group) -> &'static str {
    match group.name {
        "daemon" => "the daemon",
        "node" => "a node",
        "cluster" => "the cluster",
        "svc" => "a service",
        "pool" => "the pools",
        "net" => "the networks",
        _ => "such an object",
    }
}
