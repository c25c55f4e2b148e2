//! Arguments to a [`Command`].
//!
//! The field lets options come before, between and after the words of an action (`om web --local print status`), and
//! spells actions with several words. So the words are found first, and clap, which then checks options, suggests
//! spellings and writes the help, reads `<group> <action> <operands> <options>`.

mod groups;
mod operations;
mod reader;
mod tips;

use clap::error::ErrorKind;

use crate::clap_tree::tree;
use crate::command::{Command, DemoCommand, TopCommand};
use crate::lookup::{book_of, group_of};
use crate::options::{Opt, Takes};
use crate::parse::groups::{api, context, daemon, doc, monitor, net, node, object, pool};
use crate::parse::reader::Reader;
use crate::tree::Group;
use crate::unoffered;
use crate::usage::{Usage, usage};

/// Exit code of wrong usage.
const USAGE: u8 = 2;

/// The same where 2 is an answer: `EX_USAGE` of the system.
pub const NOT_ASKED: u8 = 64;

/// Exit code of a command that could not answer, where 1 is an answer: `EX_UNAVAILABLE` of the system.
pub const NOT_ANSWERED: u8 = 69;

/// Exit code of a command line that cannot be understood.
#[must_use]
pub fn usage_code(args: &[String]) -> u8 {
    const ANSWERS: [&[&str]; 3] = [&["status"], &["frozen"], &["validate", "config"]];
    let args: Vec<String> = args.to_vec();
    let (words, _) = split(args);
    // Behind the group or the selector, if there is one.
    let is_answer = |answer: &&[&str]| {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        words.starts_with(answer) || words.get(1..).is_some_and(|rest| rest.starts_with(answer))
    };
    let is_daemon =
        words.first().is_some_and(|word| matches!(word.as_str(), "daemon" | "pool" | "net"));
    if ANSWERS.iter().any(is_answer) && !is_daemon { NOT_ASKED } else { USAGE }
}

/// Reads a command line, program name left out.
///
/// # Errors
///
/// [`Usage`] with what is wrong and what would be right.
pub fn parse<S: Into<String>>(args: impl IntoIterator<Item = S>) -> Result<Command, Usage> {
    let args: Vec<String> = args.into_iter().map(Into::into).collect();
    if let [first, separator, words @ ..] = &args[..]
        && first == "__complete"
        && separator == "--"
    {
        return Ok(Command::Complete(words.to_vec()));
    }
    let Line { selector, words } = arrange(args)?;
    let tree = tree(words.first().map(String::as_str), words.get(1).map(String::as_str));
    let group = words.first().cloned().unwrap_or_default();
    let service = service_of(&words);
    let as_typed =
        |text: &str| tips::as_typed(text, &group, selector.as_deref(), service.as_deref());
    let rendered = |error: &clap::Error| as_typed(&error.render().ansi().to_string());
    let argv = std::iter::once("om").chain(words.iter().map(String::as_str));
    let matches = match tree.max_term_width(120).try_get_matches_from(argv) {
        Ok(matches) => matches,
        Err(error)
            if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) =>
        {
            return Ok(Command::Help(rendered(&error)));
        }
        Err(error) => {
            let not_taken = not_taken(&error, &words).map(|Usage(text)| Usage(as_typed(&text)));
            return Err(not_taken.unwrap_or_else(|| Usage(rendered(&error))));
        }
    };
    let (name, matches) = matches.subcommand().expect("the tree requires a group");
    let reader = Reader(matches);
    match name {
        "mon" => monitor(&reader, reader.operands().into_iter().next()),
        "top" => Ok(Command::Top(TopCommand {
            selector: reader.operands().into_iter().next(),
            server: reader.text("server"),
            output: reader.output()?,
        })),
        // Objects of all kinds, unless some are named.
        "ls" => {
            let all = reader.operands().is_empty() && reader.text("service").is_none();
            object("svc", all.then(|| "**".to_owned()), &reader, "ls")
        }
        "doc" => doc(&reader, conf::Book::Whole),
        "api" => api(&reader),
        "ctx" => context(&reader),
        "completion" => {
            let shell = reader.operands().into_iter().next().unwrap_or_default();
            let script = crate::complete::script(&shell);
            let script = script.ok_or_else(|| {
                usage(&format!("no completion for {shell:?}: expected bash, zsh or fish"))
            })?;
            Ok(Command::Help(script.to_owned()))
        }
        "demo" => Ok(Command::Demo(DemoCommand {
            keep: reader.flag("keep"),
            interactive: reader.flag("interactive"),
            serve: match reader.text("serve").map(|port| (port.parse(), port)) {
                None => None,
                Some((Ok(port), _)) => Some(port),
                Some((Err(_), port)) => {
                    return Err(usage(&format!("--serve {port}: expected a port")));
                }
            },
        })),
        group => {
            let (action, matches) = matches.subcommand().expect("each group requires an action");
            let reader = Reader(matches);
            match group {
                _ if action == "doc" => doc(&reader, book_of(group)),
                "daemon" => daemon(&reader, action),
                "node" => node(&reader, action),
                "pool" => pool(&reader, action),
                "net" => net(&reader, action),
                _ => object(group, selector, &reader, action),
            }
        }
    }
}

/// The value of `-s`, `--service`.
fn service_of(words: &[String]) -> Option<String> {
    let at =
        words.iter().position(|word| word.starts_with("-s") || word.starts_with("--service"))?;
    let word = &words[at];
    match word.strip_prefix("--service").or_else(|| word.strip_prefix("-s")) {
        Some("") => words.get(at + 1).cloned(),
        Some(rest) => Some(rest.trim_start_matches('=').to_owned()),
        None => None,
    }
}

/// A command line in clap's order.
struct Line {
    /// The selector that stood first.
    selector: Option<String>,
    /// Group, action, operands, options.
    words: Vec<String>,
}

/// Finds group, action and operands among the options.
fn arrange(mut args: Vec<String>) -> Result<Line, Usage> {
    if args.is_empty() {
        return Ok(Line { selector: None, words: vec![] });
    }
    respell(&mut args);
    let first = args[0].clone();
    if first == "om" && args.len() > 1 {
        return Err(usage(&format!("om is typed twice: om {}", args[1..].join(" "))));
    }
    if let Some(text) = unoffered::first_word(&first) {
        return Err(one_line(&text));
    }
    let (group, selector) = match first.as_str() {
        "mon" | "top" | "ls" | "doc" | "api" | "ctx" | "demo" | "completion" | "-h" | "--help"
        | "-V" | "--version" => {
            return Ok(Line { selector: None, words: args });
        }
        word if Group::by_name(word).is_some() => {
            args.remove(0);
            (word, None)
        }
        word if word.starts_with("-s") || word.starts_with("--service") => ("svc", None),
        word if word.starts_with('-') => return Ok(Line { selector: None, words: args }),
        "" => return Err(usage("the object selector is empty")),
        word => {
            args.remove(0);
            (group_of(word), Some(word.to_owned()))
        }
    };
    let group = Group::by_name(group).expect("looked up above");
    let (found, options) = split(args);
    let mut words = vec![group.name.to_owned()];
    words.extend(action_words(group, selector.as_deref(), &found, &options)?);
    words.extend(options);
    Ok(Line { selector, words })
}

/// Writes older spellings as they are read.
fn respell(args: &mut Vec<String>) {
    if args[0] == "help" {
        args.rotate_left(1);
        args.last_mut().expect("it is not empty").replace_range(.., "--help");
    }
    // That of the manual: `om node daemon blacklist status`.
    if args[0] == "node" && args.get(1).is_some_and(|word| word == "daemon") {
        args.remove(0);
    }
    // The first word of who does not know yet what is wrong.
    if matches!(args[0].as_str(), "doctor" | "support") {
        args.insert(0, "node".to_owned());
    }
    if args[0] == "network" {
        args[0] = "net".to_owned();
    }
}

/// The action that is meant, with its operands, of what stands beside the options of a group.
fn action_words(
    group: &Group,
    selector: Option<&str>,
    found: &[String],
    options: &[String],
) -> Result<Vec<String>, Usage> {
    let refs: Vec<&str> = found.iter().map(String::as_str).collect();
    let asks_help = options.iter().any(|option| matches!(option.as_str(), "-h" | "--help"));
    // `om create web`: an action in the place of the object.
    if let Some(word) = selector
        && group.find(&[word]).is_some()
        && group.find(&refs).is_none()
        && !asks_help
    {
        let object = found.first().map_or("<object>", String::as_str);
        return Err(usage(&format!("the object comes first: om {object} {word}")));
    }
    match group.find(&refs) {
        // What follows an option that is none may be its value: the option is what to tell of.
        Some((action, count))
            if action.operand.is_none()
                && refs.len() > count
                && !options.iter().any(|option| is_unknown(option)) =>
        {
            Err(usage(&tips::surplus(group, selector, action, &refs[count..])))
        }
        Some((action, count)) => {
            let operands = if action.operand.is_some() { &found[count..] } else { &[] };
            Ok([&[action.words.to_owned()], operands].concat())
        }
        // A word alone that is no group may be an object, or a typing error: the help of the group alone hides it.
        None if found.is_empty() => match selector.filter(|_| !asks_help) {
            Some(selector) => Err(usage(&tips::alone(selector))),
            None => Ok(vec![]),
        },
        None => Err(no_action(group, selector, &refs)),
    }
}

/// What is wrong with words that are no action.
fn no_action(group: &Group, selector: Option<&str>, refs: &[&str]) -> Usage {
    if let Some(text) = unoffered::action(group, refs) {
        return one_line(&text);
    }
    let begun = refs.join(" ");
    let longer: Vec<&str> = group
        .all()
        .map(|action| action.words)
        .filter(|words| words.starts_with(&format!("{begun} ")))
        .collect();
    if !longer.is_empty() {
        return usage(&format!("{begun:?} needs one more word: {}", longer.join(", ")));
    }
    usage(&tips::unknown(group, selector, refs))
}

/// Whether it looks like an option, and no action has it.
fn is_unknown(option: &str) -> bool {
    let long = option.strip_prefix("--").map(|long| long.split('=').next().unwrap_or_default());
    long.is_some_and(|long| {
        !matches!(long, "" | "help" | "version") && Opt::by_name(long).is_none()
    })
}

/// Words, and options with their values.
fn split(args: Vec<String>) -> (Vec<String>, Vec<String>) {
    let (mut words, mut options) = (vec![], vec![]);
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        if arg == "--" {
            words.extend(args);
            break;
        }
        let takes_next = if let Some(long) = arg.strip_prefix("--") {
            !long.contains('=') && Opt::by_name(long).is_some_and(|opt| opt.takes != Takes::Nothing)
        } else if arg.len() > 1 && arg.starts_with('-') {
            let valued = |c| Opt::by_short(c).is_some_and(|opt| opt.takes != Takes::Nothing);
            let shorts: Vec<char> = arg[1..].chars().collect();
            shorts.iter().position(|c| valued(*c)) == Some(shorts.len() - 1)
        } else {
            words.push(arg);
            continue;
        };
        options.push(arg);
        if takes_next && let Some(value) = args.next() {
            options.push(value);
        }
    }
    (words, options)
}

/// What needs no help beside it.
fn one_line(text: &str) -> Usage {
    Usage(format!("error: {text}"))
}

/// An option that other actions have, and this one does not.
fn not_taken(error: &clap::Error, words: &[String]) -> Option<Usage> {
    use clap::error::{ContextKind, ContextValue};
    if error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidArg) else { return None };
    let name = typed.split('=').next().unwrap_or_default();
    let is_known = match (name.strip_prefix("--"), name.strip_prefix('-')) {
        (Some(long), _) => Opt::by_name(long).is_some(),
        (None, Some(short)) => short.chars().next().and_then(Opt::by_short).is_some(),
        (None, None) => false,
    };
    let place = words.iter().take_while(|word| !word.starts_with('-')).take(2);
    let place = place.map(String::as_str).collect::<Vec<_>>().join(" ");
    is_known.then(|| {
        one_line(&format!("`om {place}` takes no {name}: `om {place} --help` lists its options"))
    })
}

#[cfg(test)]
mod tests;
