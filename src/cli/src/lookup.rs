//! Look-ups in the tree, by what operators and requests spell.

use conf::Book;
use model::Kind;

use crate::options::{Opt, Takes};
use crate::tree::Group;

/// An option by its name as requests spell it: `dry_run`, `parm_rid`, and its older names.
fn spelled(name: &str) -> Option<&'static Opt> {
    let name = name.replace('_', "-");
    let name = name.strip_prefix("parm-").unwrap_or(&name);
    Opt::by_name(if name == "svcs" { "service" } else { name })
}

/// The long name of an option that a request spells in one of several ways; none where there is no such option.
#[must_use]
pub fn option_name(name: &str) -> Option<&'static str> {
    spelled(name).map(|opt| opt.name)
}

/// The long name of an option of `om <group> <action>`, and what follows it; none if that action has no such option.
/// `name` may be spelled as requests do; the action too: `print_status`.
#[must_use]
pub fn long_option(group: &str, action: &str, name: &str) -> Option<(&'static str, Takes)> {
    let opt = spelled(name)?;
    let group = crate::tree::Group::by_name(group)?;
    let words: Vec<&str> = action.split(['_', ' ']).collect();
    // A word may contain an underscore only where it stands for a blank.
    let (action, count) = group.find(&words)?;
    (count == words.len() && group.takes(action, opt.name)).then_some((opt.name, opt.takes))
}

/// An action on services of several words that begins so: `print status` for `print`, which is no object.
#[must_use]
pub fn action_that_begins(word: &str) -> Option<&'static str> {
    let all = Group::by_name("svc").into_iter().flat_map(Group::all).map(|action| action.words);
    let begun = |words: &&str| words.split_once(' ').is_some_and(|(first, _)| first == word);
    all.into_iter().find(begun)
}

/// The group of a selector: that of the kind that all its paths name, as `test/cfg/c1` does; else `svc`.
pub(crate) fn group_of(selector: &str) -> &'static str {
    let kind =
        |part: &str| part.rsplit('/').nth(1).and_then(Group::by_name).map(|group| group.name);
    let mut kinds = selector.split([',', '+']).map(kind);
    let first = kinds.next().flatten();
    first.filter(|first| kinds.all(|kind| kind == Some(first))).unwrap_or("svc")
}

/// The configurations that the actions of a group are about.
pub(crate) fn book_of(group: &str) -> Book {
    match group {
        "node" => Book::Node,
        "cluster" => Book::Object(Kind::Ccfg),
        kind => Kind::from_word(kind).map_or(Book::Whole, Book::Object),
    }
}
