//! What actions tell, in the journal of a machine of their own.

use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::resource::node::{Node, has_tool, is_root};

#[test]
fn what_an_action_of_the_daemon_tells_is_in_the_journal_once_and_with_its_fields() {
    let node = Node::new("[app#1]\ntype = simple\nstart = /bin/sleep 71090\n");
    if !is_root() || !has_tool("unshare") || node.in_own_network("mount -t tmpfs none /run").0 != 0
    {
        println!("skipped: needs root, and mounts of its own");
        return;
    }
    let folder = node.file("journal");
    std::fs::create_dir(&folder).unwrap();
    let socket = UnixDatagram::bind(folder.join("socket")).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let folder = folder.display();
    // The daemon takes its stderr for a stream of the journal.
    let script = format!(
        "mount -t tmpfs none /run; mkdir -p /run/systemd/journal; mount --bind {folder} /run/systemd/journal
        : >{folder}/stderr
        JOURNAL_STREAM=$(stat -c %d:%i {folder}/stderr) $om daemon start --foreground 2>{folder}/stderr &
        for round in $(seq 200); do $om daemon status >/dev/null 2>&1 && break; sleep 0.05; done
        $om svc1 start --wait --time 30s; $om svc1 stop --wait --time 30s
        $om daemon stop; wait"
    );
    let is_over = AtomicBool::new(false);
    let ((code, said), told) = std::thread::scope(|scope| {
        let told = scope.spawn(|| {
            let mut told: Vec<String> = vec![];
            let mut bytes = vec![0; 1 << 16];
            loop {
                match socket.recv(&mut bytes) {
                    Ok(length) => told.push(String::from_utf8_lossy(&bytes[..length]).into_owned()),
                    Err(_) if is_over.load(Ordering::Relaxed) => return told,
                    Err(_) => {}
                }
            }
        });
        let done = node.in_own_network(&script);
        is_over.store(true, Ordering::Relaxed);
        (done, told.join().unwrap())
    });
    assert_eq!(code, 0, "{said}");
    let of_start: Vec<&String> =
        told.iter().filter(|line| line.contains("/bin/sleep 71090")).collect();
    let [line] = &of_start[..] else { panic!("{of_start:?}, of {told:?}, {said}") };
    let fields: Vec<&str> = line.split(|c: char| c.is_control()).collect();
    for expected in ["OBJ_PATH", "svc1", "RID", "app#1", "NODE", "n1"] {
        assert!(fields.contains(&expected), "{expected} in {line:?}");
    }
    let streamed = std::fs::read_to_string(node.file("journal/stderr")).unwrap();
    assert!(!streamed.contains("/bin/sleep 71090"), "a second time: {streamed}");
}
