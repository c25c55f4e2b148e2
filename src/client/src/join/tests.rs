use cli::Output;
use model::NodeName;

use super::leaving::leave;
use super::*;

use machine::paths::Paths;

fn om(folder: &tempfile::TempDir) -> Om {
    let paths = Paths::under(folder.path());
    paths.create().unwrap();
    let text =
        "[cluster]\nname = own\nid = i\nsecret = 0123456789abcdef0123456789abcdef\nnodes = n1\n";
    std::fs::write(paths.cluster_conf(), text).unwrap();
    Om { paths, nodename: NodeName::new("n1").unwrap(), output: Output::default() }
}

/// All files below a folder with their content, locks left out.
fn state(folder: &Path) -> Vec<(String, String)> {
    let mut all = vec![];
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.display().to_string().contains("/lock/") {
                let text = std::fs::read_to_string(&path).unwrap_or_default();
                all.push((path.display().to_string(), text));
            }
        }
    }
    all.sort();
    all
}

#[test]
fn the_secret_is_the_first_line_of_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, "s3cret word\nmore\n").unwrap();
    let source = SecretSource::File(file.display().to_string());
    assert_eq!(secret(&source).unwrap().as_str(), "s3cret word");
    std::fs::write(&file, "\n").unwrap();
    assert_eq!(secret(&source).unwrap_err().code, 2);
    assert_eq!(secret(&SecretSource::File("/nowhere/x".into())).unwrap_err().code, 1);
    assert_eq!(secret(&SecretSource::Text("x".into())).unwrap().as_str(), "x");
}

#[test]
fn a_join_that_fails_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let om = om(&folder);
    let before = state(folder.path());
    // A listener that closes every connection, as one does that the secret does not open.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || listener.incoming().for_each(drop));
    let soon = Duration::from_secs(5);
    let failure = join(&om, &address, &"x".repeat(32), None, soon).unwrap_err();
    assert!(failure.lines[0].contains("failed"), "{failure:?}");
    assert_eq!(state(folder.path()), before);
    assert!(join(&om, "127.0.0.1:1", &"x".repeat(32), None, soon).is_err());
    assert_eq!(state(folder.path()), before);
}

#[test]
fn a_node_leaves_also_a_cluster_that_does_not_answer_and_has_a_new_secret() {
    let folder = tempfile::tempdir().unwrap();
    let om = om(&folder);
    let alone = state(folder.path());
    assert_eq!(leave(&om, false), Ok(0));
    assert_eq!(state(folder.path()), alone);
    let text = "[cluster]\nname = own\nid = i\nsecret = 0123456789abcdef0123456789abcdef\nnodes = n1 n2\n\
                [listener]\naddr@n2 = 127.0.0.1\nport@n2 = 1\n";
    std::fs::write(om.paths.cluster_conf(), text).unwrap();
    let text = "# mine\n[node]\nenv = PRD\n\n[hb#1]\ntype = unicast\n";
    std::fs::write(om.paths.node_conf(), text).unwrap();
    assert_eq!(leave(&om, false), Ok(0));
    let settings = files::load::load_node(&om.paths, om.nodename.clone()).unwrap();
    assert_eq!(settings.nodes, std::slice::from_ref(&om.nodename));
    assert_ne!(settings.cluster_id, "i");
    assert_ne!(settings.secret.unwrap().expose(), "0123456789abcdef0123456789abcdef");
    assert!(om.paths.node_frozen().exists());
    let node = std::fs::read_to_string(om.paths.node_conf()).unwrap();
    assert_eq!(node, "# mine\n[node]\nenv = PRD\n\n");
}

/// A node that closes each connection without a word, as one does that does not speak the dialect, or that stands between
/// two others and would like to hear a weaker one. Counts what it heard, by whether it was sealed.
fn deaf() -> (u16, std::sync::mpsc::Receiver<bool>) {
    use std::io::Read as _;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (heard, hears) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut first = [0; 4096];
            let count = stream.unwrap().read(&mut first).unwrap_or(0);
            let text = String::from_utf8_lossy(&first[..count]).into_owned();
            if heard.send(!text.contains("\"iv\"")).is_err() {
                return;
            }
        }
    });
    (port, hears)
}

#[test]
fn a_refusal_of_the_sealed_request_is_not_answered_by_a_classic_one() {
    let folder = tempfile::tempdir().unwrap();
    let om = om(&folder);
    let (port, hears) = deaf();
    let address = format!("127.0.0.1:{port}");
    let secret = "fedcba9876543210fedcba9876543210";
    let within = Duration::from_secs(5);
    let failure = join(&om, &address, secret, None, within).unwrap_err();
    assert_eq!(hears.try_iter().collect::<Vec<_>>(), [true]);
    assert!(failure.lines.join("\n").contains("--envelope classic"), "{:?}", failure.lines);
    let failure = rejoin(&om, Some(&address), None, within).unwrap_err();
    assert_eq!(hears.try_iter().collect::<Vec<_>>(), [true], "{:?}", failure.lines);
    let text = std::fs::read_to_string(om.paths.cluster_conf()).unwrap();
    std::fs::write(om.paths.cluster_conf(), text + "envelope = any\n").unwrap();
    rejoin(&om, Some(&address), None, within).unwrap_err();
    assert_eq!(hears.try_iter().collect::<Vec<_>>(), [true]);
    // Only who says so asks in the other one.
    let classic = Some(EnvelopeChoice::Classic);
    let failure = join(&om, &address, secret, classic, within).unwrap_err();
    assert_eq!(hears.try_iter().collect::<Vec<_>>(), [false]);
    assert!(!failure.lines.join("\n").contains("--envelope classic"), "{:?}", failure.lines);
}
