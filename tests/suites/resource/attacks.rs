//! Configurations that people write, and that are wrong: what is told, and what a stop does all the same.

use model::InstanceAction::{Start, Stop};
use model::Status;

use crate::resource::node::Node;

/// What a command said, without its path.
fn said(node: &Node, words: &[&str]) -> (i32, String) {
    let (code, text) = node.om(words);
    (code, text.replace(&node.folder.path().display().to_string(), "{dir}"))
}

fn refused(config: &str, why: &str) {
    let node = Node::new(config);
    let (code, text) = said(&node, &["svc1", "start", "--local"]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains(why), "{why:?}: {text}");
    assert_eq!(node.act(Stop), 0, "nothing runs");
}

#[test]
fn what_keeps_a_program_from_running_is_named() {
    let app = |keywords: &str| format!("[app#1]\ntype = simple\n{keywords}");
    refused(
        &app("start = /bin/sleep 1003.25\ncwd = /no/such/folder\n"),
        "cwd /no/such/folder does not exist",
    );
    refused(
        &app("start = /bin/sleep 1003.25\ncwd = /etc/passwd\n"),
        "cwd /etc/passwd is no folder",
    );
    refused(&app("start = /usr/bin\n"), "/usr/bin is a folder, and no program");
    refused(
        &app("start = /bin/sleep 1003.25\nsecrets_environment = nosec/key\n"),
        "secrets_environment nosec/key: sec/nosec does not exist",
    );
    refused(&app("start = /bin/sleep 1003.25\nuser = nosuch\n"), "user nosuch does not exist");
    refused(&app("start = vol/bin/x\n"), "volume vol is not available");
    refused(&app("start = /bin/sh -c 'sleep 1\n"), "unmatched quotes");
}

#[test]
fn a_folder_that_is_relative_is_made_nowhere() {
    for config in [
        "[fs#1]\ntype = directory\npath = some/where\n",
        "[fs#1]\ntype = tmpfs\nmnt = some/where\nsize = 1m\n",
    ] {
        let node = Node::new(config);
        let (code, text) = said(&node, &["svc1", "start", "--local"]);
        assert_eq!(code, 1, "{text}");
        assert!(text.contains("\"some/where\" is no absolute path"), "{text}");
        assert!(!node.file("some").exists());
    }
}

#[test]
fn an_app_in_a_volume_that_is_gone_is_stopped() {
    let app = |start: &str| format!("[DEFAULT]\nid = i\n[app#1]\ntype = simple\nstart = {start}\n");
    let node = Node::new(&app("/bin/sleep 1003.5"));
    assert_eq!(node.act(Start), 0);
    node.configure(&node.path, &app("vol/bin/sleep 1003.5"));
    assert_eq!(node.state("app#1"), Status::Up);
    assert_eq!(node.act(Stop), 0);
    assert_eq!(node.state("app#1"), Status::Undef);
}

#[test]
fn an_app_in_a_volume_is_not_evaluated_where_the_volume_is_not() {
    let node =
        Node::new("[fs#1]\ntype = flag\n[app#1]\ntype = simple\nstart = vol/bin/sleep 1003.5\n");
    assert_eq!(node.state("app#1"), Status::NotApplicable);
}
