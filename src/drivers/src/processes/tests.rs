use std::process::{Child, Command, Stdio};

use super::*;

struct Running(Child);

impl Running {
    fn new(id: &str, script: &str) -> Self {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).env("OPENSVC_SVC_ID", id).env("OPENSVC_RID", "app#1");
        Self(command.stdout(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

const SCRIPT: &str = "while :; do read line || sleep 5; done";

fn owner(id: &str, rid: &str) -> Owner {
    Owner { id: id.into(), rid: rid.into(), ..Owner::default() }
}

fn pids(found: &[Process]) -> Vec<u32> {
    found.iter().map(|process| process.pid).collect()
}

fn mains(found: &[Process]) -> Vec<u32> {
    pids(&main(found, Some("read line")))
}

pub(crate) fn wait_until(mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(10), "waited in vain");
        std::thread::yield_now();
    }
}

#[test]
fn a_process_is_found_by_its_identity_and_the_main_one_by_its_command_line() {
    let id = "9c0c7f0e-0000-4000-8000-000000000001";
    let mut running = Running::new(id, SCRIPT);
    let table = ProcessTable::default();
    let pid = running.0.id();
    let find = |rid, known: Option<&BTreeSet<u32>>| {
        mains(&table.find(&owner(id, rid), Some("read line"), known))
    };
    wait_until(|| find("app#1", None) == [pid]);
    assert!(find("app#2", None).is_empty());
    assert_eq!(find("app#1", Some(&BTreeSet::from([pid]))), [pid]);
    running.0.kill().unwrap();
    running.0.wait().unwrap();
    // Neither a known pid nor a fresh scan outlives the process.
    assert!(find("app#1", Some(&BTreeSet::from([pid]))).is_empty());
}

#[test]
fn a_process_of_another_node_on_this_machine_is_not_ours() {
    let id = "9c0c7f0e-0000-4000-8000-000000000002";
    let start = |root: &str| {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SCRIPT]).stdout(Stdio::null());
        command.env("OPENSVC_SVC_ID", id).env("OPENSVC_RID", "app#1").env(ROOT_VARIABLE, root);
        Running(command.spawn().unwrap())
    };
    let (_theirs, ours) = (start("/n2"), start(own_root().as_deref().unwrap_or_default()));
    wait_until(|| mains(&ProcessTable::all(&owner(id, "app#1"))) == [ours.0.id()]);
    assert!(is_same_root(Some("/n1/"), Some("/n1")) && is_same_root(Some(""), None));
    assert!(!is_same_root(Some("/n1"), None));
}

#[test]
fn a_copied_file_with_its_id_owns_nothing_of_the_first() {
    let id = "9c0c7f0e-0000-4000-8000-000000000005";
    let folder = tempfile::tempdir().unwrap();
    let paths = machine::paths::Paths::under(folder.path());
    paths.create().unwrap();
    let path = |name: &str| model::ObjectPath::parse(name).unwrap();
    let mut command = Command::new("/bin/sh");
    command.args(["-c", SCRIPT]).stdout(Stdio::null());
    command
        .env("OPENSVC_SVC_ID", id)
        .env("OPENSVC_RID", "app#1")
        .env(PATH_VARIABLE, "copies/svc/first");
    let running = Running(command.spawn().unwrap());
    let of = |name: &str| Owner { object: Some((path(name), paths.clone())), ..owner(id, "app#1") };
    let found = |name: &str| mains(&ProcessTable::all(&of(name)));
    // Renamed: its processes go with it.
    wait_until(|| found("copies/svc/second") == [running.0.id()]);
    std::fs::create_dir_all(paths.config_file(&path("copies/svc/first")).parent().unwrap())
        .unwrap();
    std::fs::write(paths.config_file(&path("copies/svc/first")), "").unwrap();
    assert_eq!(found("copies/svc/second"), Vec::<u32>::new());
    assert_eq!(found("copies/svc/first"), [running.0.id()]);
}

#[test]
fn what_another_user_writes_in_an_environment_is_no_mark() {
    use std::os::unix::process::CommandExt as _;
    if !rustix::process::geteuid().is_root() {
        _ = std::io::Write::write_all(
            &mut std::io::stderr(),
            b"skipped: only root may be another user\n",
        );
        return;
    }
    let id = "9c0c7f0e-0000-4000-8000-000000000003";
    let folder = tempfile::tempdir().unwrap();
    // A program that makes who runs it root keeps their environment.
    let raised = folder.path().join("raised");
    std::fs::copy("/bin/sleep", &raised).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode;
    std::fs::set_permissions(&raised, mode(0o4755)).unwrap();
    std::fs::set_permissions(folder.path(), mode(0o755)).unwrap();
    let start = |program: &Path, uid: u32| {
        let mut command = Command::new(program);
        command.arg("1000.5").uid(uid).env("OPENSVC_SVC_ID", id).env("OPENSVC_RID", "app#1");
        Running(command.spawn().unwrap())
    };
    let sleep = Path::new("/bin/sleep");
    let (own, forged, raised) = (start(sleep, 0), start(sleep, 65_534), start(&raised, 65_534));
    let (own, forged, raised) = (own.0.id(), forged.0.id(), raised.0.id());
    let (mut owner, as_user) = (owner(id, "app#1"), BTreeSet::from([65_534]));
    wait_until(|| {
        owner.users = as_user.clone();
        [own, forged].iter().all(|pid| pids(&ProcessTable::all(&owner)).contains(pid))
    });
    let mount = rustix::fs::statvfs(folder.path()).unwrap();
    if mount.f_flag.contains(rustix::fs::StatVfsMountFlags::NOSUID) {
        _ = std::io::Write::write_all(
            &mut std::io::stderr(),
            b"skipped: programs are not raised on the file system of the test\n",
        );
        return;
    }
    assert!(Marks::read(raised).is_some_and(|marks| marks.users.is_none()));
    assert!(!pids(&ProcessTable::all(&owner)).contains(&raised));
    owner.users.clear();
    assert_eq!(pids(&ProcessTable::all(&owner)), [own]);
    let known = BTreeSet::from([forged]);
    let found = ProcessTable::default().find(&owner, Some("sleep"), Some(&known));
    assert_eq!(pids(&found), [own]);
}

#[test]
fn what_is_in_the_group_or_was_launched_belongs_whatever_its_environment_says() {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", SCRIPT]).env_clear().stdout(Stdio::null());
    let running = Running(command.spawn().unwrap());
    let pid = running.0.id();
    let mut owner = owner("9c0c7f0e-0000-4000-8000-000000000004", "app#1");
    assert_eq!(ProcessTable::all(&owner), []);
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("inner")).unwrap();
    std::fs::write(folder.path().join("inner/cgroup.procs"), format!("{pid}\n")).unwrap();
    std::fs::write(folder.path().join("cgroup.procs"), "1\n").unwrap();
    owner.groups = vec![folder.path().to_owned()];
    assert_eq!(pids(&ProcessTable::all(&owner)), [pid]);
    owner.groups.clear();
    let start = Stat::read(pid).unwrap().start;
    owner.launched = vec![Leader { pid, start: start + 1 }];
    assert_eq!(ProcessTable::all(&owner), [], "its id was another's");
    owner.launched = vec![Leader { pid, start }];
    let found = ProcessTable::all(&owner);
    assert_eq!(pids(&found), [pid]);
    assert_eq!(pids(&main(&found, Some("redis-server *:6379"))), [pid]);
    assert_eq!(pids(&main(&found, None)), [pid]);
}

#[test]
fn children_of_a_match_are_not_counted() {
    let process =
        |pid, parent| Process { pid, parent, start: 1, is_leader: false, command: "x".into() };
    let all = [process(10, 1), process(11, 10), process(12, 11), process(20, 1)];
    assert_eq!(pids(&main(&all, Some("x"))), [10, 20]);
    assert_eq!(pids(&main(&all, Some("x*"))), [] as [u32; 0]);
}
