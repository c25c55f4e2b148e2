//! Promise: the house keeps its rooms. An actor's crate knows no other one, pure crates know nothing of the machine, no two
//! files of a crate import each other, and no file grows past what one reads.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The crates that do no work on the machine: values in, values out.
const PURE: [&str; 9] =
    ["model", "conf", "wire", "web", "certs", "monitor", "dataset", "metrics", "cli"];

/// What no pure crate depends on.
const BANNED: [&str; 10] =
    ["machine", "files", "link", "logs", "drivers", "client", "demo", "actix", "actix-rt", "tokio"];

/// The crates beside the actors that every actor may know.
const SHARED: [&str; 2] = ["mail", "supervision"];

/// Who may know the drivers.
const KNOW_DRIVERS: [&str; 5] = ["runner", "root", "client", "demo", "om"];

/// Most lines of a file.
const MOST_LINES: usize = 500;

/// How the header of a file says that it adds to the type of its parent.
const PART: &str = "Part of the `impl`";

/// How the header of a file begins the reason why it is longer.
const REASON: &str = "Long, because";

/// Files that are longer without a reason, and are to be cut. A file that is cut leaves this list; none is added.
const TOO_LONG: [&str; 0] = [];

/// The folder of the workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The crates of `src` or `actors`, by name.
fn crates(room: &str) -> Vec<String> {
    let entries = std::fs::read_dir(root().join(room)).expect("the room is there");
    let named = entries.map(|entry| name_of(&entry.expect("an entry").path()));
    named.filter(|name| root().join(room).join(name).join("Cargo.toml").exists()).collect()
}

/// The normal dependencies of a crate.
fn dependencies(room: &str, name: &str) -> BTreeSet<String> {
    let text = read(&root().join(room).join(name).join("Cargo.toml"));
    dependencies_of(&text)
}

fn dependencies_of(manifest: &str) -> BTreeSet<String> {
    let mut section = "";
    let mut found = BTreeSet::new();
    for line in manifest.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
            let table = section.rsplit_once("dependencies.").filter(|(kind, _)| is_normal(kind));
            found.extend(table.map(|(_, name)| name.to_owned()));
        } else if section.strip_suffix("dependencies").is_some_and(is_normal)
            && let Some((name, _)) = line.split_once(['=', '.'])
        {
            found.insert(name.trim().to_owned());
        }
    }
    found
}

/// Whether what stands before `dependencies` names those of the product: for all targets, or for some.
fn is_normal(kind: &str) -> bool {
    !kind.contains("dev-") && !kind.contains("build-") && !kind.contains("workspace")
}

#[test]
fn no_crate_knows_another_that_it_must_not() {
    let actors: BTreeSet<String> = crates("actors").into_iter().collect();
    let mut wrong = vec![];
    for name in &actors {
        for other in dependencies("actors", name).intersection(&actors) {
            if name != "root" && !SHARED.contains(&other.as_str()) {
                wrong.push(format!("actors/{name} depends on actors/{other}"));
            }
        }
    }
    for name in crates("src") {
        for other in dependencies("src", &name).intersection(&actors) {
            if (name.as_str(), other.as_str()) != ("om", "root") {
                wrong.push(format!("src/{name} depends on actors/{other}"));
            }
        }
    }
    for room in ["src", "actors"] {
        for name in crates(room) {
            let known = dependencies(room, &name);
            if known.contains("drivers") && !KNOW_DRIVERS.contains(&name.as_str()) {
                wrong.push(format!("{room}/{name} depends on src/drivers"));
            }
            for banned in BANNED.iter().filter(|banned| known.contains(**banned)) {
                if PURE.contains(&name.as_str()) {
                    wrong.push(format!("src/{name} is pure, and depends on {banned}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_dependencies_of_a_crate_are_read() {
    let manifest = "[package]\nname = \"x\"\n[dependencies]\na.workspace = true\nb = { path = \"b\" }\n\
                    [dev-dependencies]\nc.workspace = true\n[target.'cfg(unix)'.dependencies]\nd = \"1\"\n\
                    [dependencies.e]\nversion = \"1\"\n";
    let found: Vec<String> = dependencies_of(manifest).into_iter().collect();
    assert_eq!(found, ["a", "b", "d", "e"]);
}

/// A file of a crate, by the path of its module.
type Module = Vec<String>;

/// What a file says, without comments and the content of texts.
fn code(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let end = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if let Some(end) = raw_text(rest, code.chars().next_back()) {
            end
        } else if c == '"' {
            quoted(rest, '"').unwrap_or(rest.len())
        } else if c == '\'' && (rest[1..].starts_with('\\') || rest.chars().nth(2) == Some('\'')) {
            // Anything else is a lifetime.
            quoted(rest, '\'').unwrap_or(rest.len())
        } else {
            code.push(c);
            c.len_utf8()
        };
        rest = &rest[end..];
    }
    code
}

/// Where a text `r".."`, `r#".."#` ends that begins here.
fn raw_text(rest: &str, before: Option<char>) -> Option<usize> {
    if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
        return None;
    }
    let hashes = rest.strip_prefix('r')?;
    let count = hashes.len() - hashes.trim_start_matches('#').len();
    let body = hashes[count..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(count));
    Some(2 + count + body.find(&end)? + end.len())
}

/// Where a quoted text ends that begins here.
fn quoted(rest: &str, quote: char) -> Option<usize> {
    let mut is_escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            _ if c == quote => return Some(at + c.len_utf8()),
            _ => {}
        }
    }
    None
}

/// The leaves of a `use`: the path, and the name that it has here.
fn leaves(tree: &str) -> Vec<(Vec<String>, String)> {
    let tree = tree.trim();
    let Some(open) = tree.find('{') else {
        let (path, alias) = match tree.split_once(" as ") {
            Some((path, alias)) => (path, Some(alias.trim().to_owned())),
            None => (tree, None),
        };
        let mut path: Vec<String> = path.split("::").map(|part| part.trim().to_owned()).collect();
        if path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        let Some(name) = alias.or_else(|| path.last().cloned()) else { return vec![] };
        return vec![(path, name)];
    };
    let head = tree[..open].trim();
    let body = &tree[open + 1..tree.rfind('}').unwrap_or(tree.len())];
    let mut depth = 0;
    let parts = body.split(|c: char| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    });
    parts
        .filter(|part| !part.trim().is_empty())
        .flat_map(|part| leaves(&format!("{head}{}", part.trim())))
        .collect()
}

/// One file, as far as its imports go.
struct File {
    /// Other files of the crate and names in them, as they are written.
    paths: Vec<Vec<String>>,
    /// What a name of another file is called here.
    names: BTreeMap<String, Vec<String>>,
}

/// The files of a crate that are built for the product.
struct Crate(BTreeMap<Module, File>);

impl Crate {
    /// Reads the files below a folder.
    fn read(folder: &Path) -> Self {
        let mut texts = BTreeMap::new();
        collect(folder, folder, &mut texts);
        Self::of(&texts)
    }

    fn of(texts: &BTreeMap<Module, String>) -> Self {
        let mut tests: BTreeSet<Module> = BTreeSet::new();
        let mut codes = BTreeMap::new();
        for (module, text) in texts {
            let mut code = code(text);
            let mut is_test = false;
            let mut cut = None;
            let mut at = 0;
            for line in code.split_inclusive('\n') {
                let item = line.trim_start_matches("pub ").trim_start_matches("pub(crate) ");
                if let Some(name) = item.strip_prefix("mod ").filter(|_| is_test) {
                    match name.trim_end().strip_suffix(';') {
                        Some(name) => {
                            _ = tests.insert([&module[..], &[name.to_owned()][..]].concat())
                        }
                        // Tests stand at the end of their file.
                        None => cut = cut.or(Some(at)),
                    }
                }
                is_test = line.starts_with("#[cfg(test)]")
                    || (is_test && (line.starts_with("#[") || line.trim().is_empty()));
                at += line.len();
            }
            code.truncate(cut.unwrap_or(code.len()));
            codes.insert(module.clone(), code);
        }
        let is_test = |module: &Module| (0..=module.len()).any(|n| tests.contains(&module[..n]));
        codes.retain(|module, _| !is_test(module));
        let known: BTreeSet<Module> = codes.keys().cloned().collect();
        let read = |(module, code): (Module, String)| {
            let file = File::read(&known, &module, &code);
            (module, file)
        };
        Self(codes.into_iter().map(read).collect())
    }

    /// The file where a path ends, through what other files pass on.
    fn home(&self, path: &[String]) -> Option<Module> {
        let mut path = path.to_vec();
        for _ in 0..10 {
            let file = (0..=path.len()).rev().find(|n| self.0.contains_key(&path[..*n]))?;
            let passed = path.get(file).and_then(|name| self.0[&path[..file]].names.get(name));
            match passed.map(|passed| [&passed[..], &path[file + 1..]].concat()) {
                Some(next) if next != path => path = next,
                _ => return Some(path[..file].to_vec()),
            }
        }
        None
    }

    /// Files that import each other, directly or through others: each arrow of them.
    fn circles(&self) -> Vec<String> {
        let arrows: BTreeMap<&Module, BTreeSet<Module>> = self
            .0
            .iter()
            .map(|(module, file)| {
                let homes = file.paths.iter().filter_map(|path| self.home(path));
                (module, homes.filter(|home| home != module).collect())
            })
            .collect();
        let leads_back = |from: &Module, to: &Module| {
            let mut seen: BTreeSet<&Module> = BTreeSet::new();
            let mut next = vec![from];
            while let Some(module) = next.pop() {
                if module == to {
                    return true;
                }
                if seen.insert(module) {
                    next.extend(arrows.get(module).into_iter().flatten());
                }
            }
            false
        };
        let show = |module: &Module| match module.as_slice() {
            [] => "lib".to_owned(),
            parts => parts.join("::"),
        };
        let mut found = vec![];
        for (from, all) in &arrows {
            for to in all.iter().filter(|to| leads_back(to, from)) {
                found.push(format!("{} -> {}", show(from), show(to)));
            }
        }
        found
    }
}

fn collect(root: &Path, folder: &Path, texts: &mut BTreeMap<Module, String>) {
    for entry in std::fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(root, &path, texts);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            let name = path.strip_prefix(root).expect("below the root").with_extension("");
            let parts = name.iter().map(|part| part.to_string_lossy().into_owned());
            let module = parts.filter(|part| part != "lib").collect();
            texts.insert(module, read(&path));
        }
    }
}

impl File {
    fn read(known: &BTreeSet<Module>, module: &Module, code: &str) -> Self {
        let mut file = Self { paths: vec![], names: BTreeMap::new() };
        let mut rest = String::new();
        let mut modules: BTreeMap<String, Module> = BTreeMap::new();
        let mut statements = code.split_inclusive(';');
        for statement in &mut statements {
            let begin = statement.rfind("use ").filter(|at| {
                let line = statement[..*at].rsplit('\n').next().unwrap_or_default().trim();
                line.is_empty() || line.starts_with("pub") && !line.contains(' ')
            });
            let Some(at) = begin else {
                rest.push_str(statement);
                continue;
            };
            rest.push_str(&statement[..at]);
            let tree = statement[at + 4..].trim_end_matches(';');
            for (path, name) in leaves(&tree.split_whitespace().collect::<Vec<_>>().join(" ")) {
                let Some(path) = absolute(known, module, &path) else { continue };
                match path.last().map(String::as_str) {
                    // A glob takes what its file has.
                    Some("*") => file.paths.push(path[..path.len() - 1].to_vec()),
                    // A file by its name counts where something of it is used.
                    _ if known.contains(&path) => _ = modules.insert(name, path),
                    _ => {
                        file.names.insert(name, path.clone());
                        file.paths.push(path);
                    }
                }
            }
        }
        let words = rest.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
        for word in words.map(|word| word.trim_matches(':')).filter(|word| word.contains("::")) {
            let path: Vec<String> = word.split("::").map(str::to_owned).collect();
            match modules.get(&path[0]) {
                Some(named) => file.paths.push([&named[..], &path[1..]].concat()),
                None => file.paths.extend(absolute(known, module, &path)),
            }
        }
        file.names.extend(modules);
        file
    }
}

/// A path as seen from the root of the crate; none of another crate.
fn absolute(known: &BTreeSet<Module>, module: &Module, path: &[String]) -> Option<Vec<String>> {
    let first = path.first()?;
    match first.as_str() {
        "crate" => Some(path[1..].to_vec()),
        "self" => Some([&module[..], &path[1..]].concat()),
        "super" => {
            let ups = path.iter().take_while(|part| *part == "super").count();
            Some([&module[..module.len().checked_sub(ups)?], &path[ups..]].concat())
        }
        _ => {
            let child = [&module[..], std::slice::from_ref(first)].concat();
            known.contains(&child).then(|| [&module[..], path].concat())
        }
    }
}

#[test]
fn no_two_files_of_a_crate_import_each_other() {
    let mut found = vec![];
    for room in ["src", "actors"] {
        for name in crates(room) {
            let circles = Crate::read(&root().join(room).join(&name).join("src")).circles();
            found.extend(circles.into_iter().map(|arrow| format!("{room}/{name}: {arrow}")));
        }
    }
    assert!(found.is_empty(), "files that import each other:\n{}", found.join("\n"));
}

#[test]
fn a_circle_is_found_however_it_is_written() {
    let circles = |files: &[(&str, &str)]| {
        let file = |(name, text): &(&str, &str)| {
            let parts = name.split("::").filter(|part| !part.is_empty());
            (parts.map(str::to_owned).collect(), (*text).to_owned())
        };
        Crate::of(&files.iter().map(file).collect()).circles()
    };
    let a = "use crate::b::{B, other as C};\nfn f() {}\n";
    assert_eq!(circles(&[("", ""), ("a", a), ("b", "pub struct B;")]), [""; 0]);
    for b in [
        "use super::a::f;",
        "use crate::{\n    a::f,\n};",
        "fn g() { crate::a::f(); }",
        "use crate::a;\nfn g() { a::f() }",
        "use crate::f;",
        "use crate::a::*;",
    ] {
        let found = circles(&[("", "pub use a::f;"), ("a", a), ("b", b)]);
        assert_eq!(found, ["a -> b", "b -> a"], "{b}");
    }
    // What is said in a comment, in a text or by a test is no import.
    for b in [
        "// crate::a::f",
        "const T: &str = \"crate::a::f\";",
        "const T: &str = r#\"\"crate::a::f\"#;",
        "const T: char = '\"'; // crate::a::f \"",
        "#[cfg(test)]\nmod tests {\n    use crate::a::f;\n}\n",
    ] {
        assert_eq!(circles(&[("", ""), ("a", a), ("b", b)]), [""; 0], "{b}");
    }
    let parent = "mod child;\nfn f() { child::g() }";
    let child = "use super::f;\nfn g() {}";
    assert_eq!(circles(&[("a", parent), ("a::child", child)]), ["a -> a::child", "a::child -> a"]);
}

/// The files of the product, by their path below the root of the workspace, with their text.
fn product() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for room in ["src", "actors"] {
        for name in crates(room) {
            let mut texts = BTreeMap::new();
            let folder = root().join(room).join(&name).join("src");
            collect(&folder, &folder, &mut texts);
            for (module, text) in texts {
                let is_test = |part: &String| matches!(part.as_str(), "tests" | "testing");
                if module.iter().any(is_test) {
                    continue;
                }
                let path = if module.is_empty() { "lib".to_owned() } else { module.join("/") };
                found.insert(format!("{room}/{name}/src/{path}.rs"), text);
            }
        }
    }
    found
}

fn header(text: &str) -> String {
    let lines = text.lines().take_while(|line| line.starts_with("//!"));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_file_that_adds_to_its_parent_says_so() {
    let files = product();
    let mut silent = vec![];
    for (path, text) in &files {
        let Some((folder, _)) = path.rsplit_once('/') else { continue };
        let Some(parent) = files.get(&format!("{folder}.rs")) else { continue };
        let adds = text.lines().filter_map(|line| line.strip_prefix("impl ")).any(|line| {
            let name = line.split(['<', ' ', '{']).next().unwrap_or_default();
            let is_trait = line.contains(" for ");
            let defined = ["struct", "enum"].map(|kind| format!("{kind} {name}"));
            let is_parents = parent.lines().any(|line| {
                let line = line.trim_start_matches("pub ").trim_start_matches("pub(crate) ");
                defined.iter().any(|defined| {
                    line.strip_prefix(defined.as_str())
                        .is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric()))
                })
            });
            !is_trait && is_parents
        });
        if adds && !header(text).contains(PART) {
            silent.push(path.as_str());
        }
    }
    assert!(silent.is_empty(), "no header says {PART:?}:\n{}", silent.join("\n"));
}

#[test]
fn no_file_grows_past_what_one_reads() {
    let long: BTreeSet<String> = product()
        .into_iter()
        .filter(|(_, text)| text.lines().count() > MOST_LINES && !header(text).contains(REASON))
        .map(|(path, _)| path)
        .collect();
    let listed: BTreeSet<String> = TOO_LONG.iter().map(|path| (*path).to_owned()).collect();
    let new: Vec<&String> = long.difference(&listed).collect();
    assert!(
        new.is_empty(),
        "more than {MOST_LINES} lines, and no header says {REASON:?}: cut {new:?}"
    );
    let cut: Vec<&String> = listed.difference(&long).collect();
    assert!(cut.is_empty(), "not too long any more: take {cut:?} off the list");
}
