//! What was deleted: on the order of an operator, of a member, of a deployed agent.

use model::{Deletion, GlobalExpect, Kind};

use super::*;

use mail::propagation::Delete;

const KEYS: &str = "[DEFAULT]\nid = 7\n[data]\nk = v\n";

/// When something of the fixture was deleted: after it was written.
fn deletion(at: f64) -> Deletion {
    Deletion { id: Some("7".into()), at: Timestamp(at), ..Deletion::default() }
}

impl Fixture {
    fn order(&self, name: &str) -> impl Future<Output = Result<(), String>> + use<> {
        let order = Delete { path: path(name), purged: false, is_carried_out: true };
        let sent = self.actor.as_ref().expect("it was started").send(order);
        async move { sent.await.expect("it lives") }
    }

    /// A member remembers a deletion.
    fn peer_remembers(&mut self, peer: &str, name: &str, deletion: Deletion) {
        let data = &mut self.nodes.get_mut(&node(peer)).unwrap().data;
        data.deleted.insert(path(name), deletion);
    }

    fn commands(&self) -> Vec<String> {
        self.script.lock().unwrap().commands.clone()
    }

    fn remembered(&self) -> Vec<String> {
        self.script.lock().unwrap().deleted.keys().map(ToString::to_string).collect()
    }
}

#[actix::test]
async fn what_is_deleted_here_is_noted_first_and_not_fetched_again() {
    let mut it = Fixture::new();
    it.write("ns1/sec/key", KEYS, MTIME);
    it.peer_has("n2", "ns1/sec/key", KEYS, MTIME, "n1 n2 n3");
    it.start();
    it.settle().await;
    it.order("ns1/sec/key").await.unwrap();
    assert_eq!(it.commands(), ["ns1/sec/key delete --purge-collector --local"]);
    assert_eq!(it.read("etc/namespaces/ns1/sec/key.conf"), None);
    it.until("that it is gone is noted", |_| {
        let noted = it.read("var/node/deleted.json").unwrap();
        noted.contains("\"id\":\"7\"") && noted.contains("\"is_followed\":true")
    })
    .await;
    assert_eq!(it.remembered(), ["ns1/sec/key"]);
    // n2 has it still. The next life knows, too.
    it.settle().await;
    it.actor = None;
    it.start();
    it.settle().await;
    assert_eq!(it.read("etc/namespaces/ns1/sec/key.conf"), None);
    assert!(!it.script.lock().unwrap().asked.iter().any(|asked| asked.contains("key")));
    // All have followed.
    it.nodes.get_mut(&node("n2")).unwrap().config.remove(&path("ns1/sec/key"));
    it.settle().await;
    it.until("it is forgotten", |script| script.deleted.is_empty()).await;
}

#[actix::test]
async fn what_a_member_remembers_is_deleted_here_and_what_is_another_object_is_not() {
    let mut it = Fixture::new();
    for name in ["cfg/old", "cfg/newer", "cfg/other"] {
        it.write(name, KEYS, MTIME);
    }
    it.write("cfg/newer", KEYS, MTIME + 20.0);
    it.write("cfg/other", &KEYS.replace('7', "8"), MTIME);
    for name in ["cfg/old", "cfg/newer", "cfg/other", "cfg/absent"] {
        it.peer_remembers("n3", name, deletion(MTIME + 10.0));
    }
    it.start();
    it.settle().await;
    it.until("it is deleted", |script| script.commands.len() == 1).await;
    it.settle().await;
    assert_eq!(it.commands(), ["cfg/old delete --purge-collector --local"]);
    let modified = |name: &str| {
        machine::regular::modified(&std::fs::metadata(it.paths.config_file(&path(name))).unwrap())
    };
    assert_eq!(modified("cfg/newer"), Timestamp(MTIME + 20.0));
    assert!(modified("cfg/other").0 > MTIME + 10.0, "it counts for the others, too");
    // Nobody has the absent one, as far as anybody knows: who deleted it is told that it is not here.
    it.until("it is followed", |script| {
        script.deleted.get(&path("cfg/absent")).is_some_and(|deletion| deletion.followed)
    })
    .await;
}

#[actix::test]
async fn what_nobody_has_is_remembered_for_a_member_that_is_away_and_may_be_made_anew() {
    let mut it = Fixture::new();
    it.nodes.remove(&node("n2"));
    it.peer_remembers("n3", "cfg/it", deletion(MTIME + 10.0));
    it.start();
    it.settle().await;
    it.until("it is remembered", |script| script.deleted.len() == 1).await;
    it.settle().await;
    // A clock behind that of who deleted it.
    it.write("cfg/it", KEYS, MTIME);
    it.settle().await;
    let file = it.paths.config_file(&path("cfg/it"));
    let modified = machine::regular::modified(&std::fs::metadata(&file).unwrap());
    assert!(modified.0 > MTIME + 10.0, "{modified:?}");
    it.settle().await;
    assert!(it.remembered().is_empty(), "{:?}", it.remembered());
    assert!(it.commands().is_empty(), "{:?}", it.commands());
    // The one that is back has the old one: the new one goes before it.
    it.nodes.insert(node("n2"), idle());
    it.peer_has("n2", "cfg/it", "[DEFAULT]\nid = 7\n", MTIME + 5.0, "n1 n2 n3");
    it.settle().await;
    assert_eq!(it.read("etc/cfg/it.conf").as_deref(), Some(KEYS));
}

#[actix::test]
async fn a_deployed_agent_is_followed_and_asked_in_its_own_way() {
    let mut it = Fixture::new();
    for name in ["sec/theirs", "sec/ours", "sec/anew"] {
        it.write(name, KEYS, MTIME);
    }
    it.start();
    it.settle().await;
    let deployed = |name: &str, target: Option<GlobalExpect>, at: f64| {
        let monitor = InstanceMonitor {
            global_expect: target,
            global_expect_updated: Some(Timestamp(at)),
            ..InstanceMonitor::default()
        };
        let status = InstanceStatus {
            kind: Some(Kind::Sec),
            updated: Timestamp(MTIME),
            monitor: Some(monitor),
            ..InstanceStatus::default()
        };
        (path(name), Arc::new(status))
    };
    {
        let peer = it.nodes.get_mut(&node("n2")).unwrap();
        peer.data.release = None;
        for (name, at) in [("sec/theirs", MTIME + 5.0), ("sec/anew", MTIME - 5.0)] {
            let (path, status) = deployed(name, Some(GlobalExpect::Deleted), at);
            peer.status.insert(path, status);
        }
    }
    it.peer_has("n2", "sec/ours", KEYS, MTIME, "n1 n2 n3");
    it.publish();
    it.until("what it deletes is deleted here", |script| script.commands.len() == 1).await;
    assert_eq!(it.commands(), ["sec/theirs delete --purge-collector --local"]);
    it.order("sec/ours").await.unwrap();
    it.publish();
    it.until("it is asked", |script| script.orders == ["sec/ours deleted"]).await;
    it.nodes.get_mut(&node("n2")).unwrap().config.remove(&path("sec/ours"));
    it.publish();
    it.until("and no more", |script| script.orders.len() == 2).await;
    assert_eq!(it.script.lock().unwrap().orders[1], "sec/ours no more");
    assert!(it.read("etc/sec/anew.conf").is_some());
}

/// It fetched the object before it heard of the deletion, and tells seconds later that it has it.
#[actix::test]
async fn what_a_deployed_agent_tells_late_is_deleted_there_and_does_not_come_back() {
    let mut it = Fixture::new();
    it.write("sec/it", KEYS, MTIME);
    for peer in ["n2", "n3"] {
        it.nodes.get_mut(&node(peer)).unwrap().data.release = None;
    }
    it.start();
    it.settle().await;
    it.order("sec/it").await.unwrap();
    // Longer than members of ours take that have followed it.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(1) {
        it.settle().await;
    }
    assert_eq!(it.remembered(), ["sec/it"]);
    it.peer_has("n2", "sec/it", KEYS, MTIME, "n1 n2 n3");
    it.settle().await;
    it.until("it is asked to delete it", |script| script.orders == ["sec/it deleted"]).await;
    assert_eq!(it.read("etc/sec/it.conf"), None);
}
