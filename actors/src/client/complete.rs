//! What completes a word, with the objects and nodes of this machine. Asks no daemon: a shell waits for it.

use om::render::printable;

use super::print;
use crate::config;
use crate::paths::Paths;

/// Prints a candidate on each line, a tab and what it is for behind it; `:files` where the shell knows best.
pub(super) fn run(paths: &Paths, words: &[String]) {
    let found = om::complete(words);
    let last = words.last().map(String::as_str).unwrap_or_default();
    let mut lines: Vec<String> =
        found.words.iter().map(|(word, about)| format!("{word}\t{about}")).collect();
    if found.wants_objects {
        let objects = config::list_objects(paths).into_keys();
        let objects = objects.filter(|path| path.as_str().starts_with(last));
        lines.extend(objects.map(|path| format!("{}\tobject", printable(path.as_str()))));
    }
    if found.wants_nodes {
        let nodename = crate::clock::local_nodename().ok();
        let settings = nodename.and_then(|name| config::load_node(paths, name).ok());
        let nodes = settings.map(|settings| settings.nodes).unwrap_or_default();
        let nodes = nodes.iter().filter(|node| node.as_str().starts_with(last));
        lines.extend(nodes.map(|node| format!("{node}\tnode")));
    }
    if found.wants_files {
        lines.push(":files".to_owned());
    }
    print(&lines.iter().map(|line| format!("{line}\n")).collect::<String>());
}
