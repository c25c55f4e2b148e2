//! What completes a word, with the objects and nodes of this machine. Asks no daemon: a shell waits for it.

use cli::Known;
use cli::render::printable;
use model::Kind;

use files::{load, read};
use machine::paths::Paths;

use crate::om::print;
use crate::select::{Selection, namespace};

/// Prints a candidate on each line, a tab and what it is for behind it; `:files` where the shell knows best.
pub(super) fn run(paths: &Paths, words: &[String]) {
    let found = cli::complete(words);
    let last = words.last().map(String::as_str).unwrap_or_default();
    let mut lines: Vec<String> =
        found.words.iter().map(|(word, about)| format!("{word}\t{about}")).collect();
    if found.wants_objects {
        let objects = read::list_objects(paths).into_keys();
        let objects = objects.filter(|path| path.as_str().starts_with(last));
        lines.extend(objects.map(|path| format!("{}\tobject", printable(path.as_str()))));
    }
    if found.wants_nodes {
        let nodename = machine::clock::local_nodename().ok();
        let settings = nodename.and_then(|name| load::load_node(paths, name).ok());
        let nodes = settings.map(|settings| settings.nodes).unwrap_or_default();
        let nodes = nodes.iter().filter(|node| node.as_str().starts_with(last));
        lines.extend(nodes.map(|node| format!("{node}\tnode")));
    }
    if let Some(wanted) = &found.wants_sections {
        let words = wanted.words(&sections(paths, wanted)).into_iter();
        lines.extend(words.map(|(word, about)| format!("{}\t{about}", printable(&word))));
    }
    if found.wants_files {
        lines.push(":files".to_owned());
    }
    print(&lines.iter().map(|line| format!("{line}\n")).collect::<String>());
}

/// The sections of the configuration that a line is about, as far as they can be read.
fn sections(paths: &Paths, wanted: &cli::Sections) -> Vec<Known> {
    let files = match (wanted.group, &wanted.object) {
        ("node", _) => vec![paths.node_conf(), paths.cluster_conf()],
        ("cluster", _) => vec![paths.cluster_conf()],
        (_, None) => vec![],
        (group, object) => {
            let kind = Kind::from_word(group).unwrap_or(Kind::Svc);
            let namespace = namespace(wanted.namespace.clone());
            let selection = Selection { selector: object.clone(), kind, namespace };
            let objects = selection.literals().unwrap_or_default();
            objects.iter().map(|path| paths.config_file(path)).collect()
        }
    };
    let texts = files.iter().filter_map(|file| std::fs::read(file).ok());
    let documents = texts.filter_map(|text| conf::Ini::from_bytes(&text).ok());
    let known = documents.flat_map(|ini| {
        let of = |section: &str| {
            let driver = ini.get(section, "type").map(str::to_owned);
            (section.to_owned(), driver)
        };
        ini.sections().map(of).collect::<Vec<_>>()
    });
    known.collect()
}
