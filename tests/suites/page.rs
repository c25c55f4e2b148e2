//! The page: who opens it sees the cluster live, and does what he may.

use harness::{Browser, Cluster, ClusterConf, Http, Port, Scene, skip, wait_for};

/// A text that would be a script where it is taken for HTML.
const EVIL: &str = "<img src=x onerror=document.title='taken'>";

/// The same as the name of a key, which has no `=`.
const KEY: &str = "<img>";

/// Two nodes with a service, TLS and users: root, and a guest of the namespace of the service.
struct World {
    scene: Scene,
    ports: Vec<Port>,
}

impl World {
    fn start() -> Self {
        let ports: Vec<Port> = (0..2).map(|_| Port::reserve()).collect();
        let cluster = Cluster::configured(2, &ClusterConf::default().patient());
        let scene = Scene::of(cluster, &[("web", "nodes = n1 n2")], |scene| {
            for (at, node) in scene.cluster.nodes.iter().enumerate() {
                let port = ports[at].number();
                node.write(
                    "etc/node.conf",
                    &format!(
                        "[node]\nrejoin_grace_period = 15\n[listener]\ntls_addr = 127.0.0.1\ntls_port = {port}\n"
                    ),
                );
            }
        });
        scene.wait_up(1, "web", &[0]);
        let n1 = &scene.cluster.nodes[0];
        n1.om_ok(&["cluster", "tls"]);
        for (name, grant) in [("alice", "root"), ("gina", "guest:root")] {
            n1.add_user(name, grant);
        }
        n1.om_ok(&["test/cfg/c1", "create"]);
        n1.om_ok(&["test/cfg/c1", "add", "--key", KEY, "--value", EVIL]);
        let it = Self { scene, ports };
        for at in 0..2 {
            wait_for("it listens, and knows its users", || {
                let header = "Basic YWxpY2U6cHctYWxpY2U=";
                let kept = Http::tls(it.ports[at].number(), None).keep();
                let reply =
                    kept.and_then(|mut kept| kept.get("/whoami", &[("authorization", header)]));
                reply.is_some_and(|reply| reply.json()["name"] == "alice")
            });
        }
        it
    }

    /// A browser that finds the nodes by their names, at one port.
    fn browser(&self) -> Option<Browser> {
        self.browser_of((1280, 900))
    }

    fn browser_of(&self, size: (u32, u32)) -> Option<Browser> {
        let hosts: Vec<(String, String)> = (0..2)
            .map(|at| {
                (format!("n{}:1215", at + 1), format!("127.0.0.1:{}", self.ports[at].number()))
            })
            .collect();
        Browser::start(size, &hosts)
    }
}

fn log_in(browser: &Browser, name: &str, password: &str) {
    browser.write("username", name);
    browser.write("password", password);
    browser.press("Log in");
}

/// The signs of the service on a node, as the table shows them.
const SIGNS: &str = "const at = [...document.querySelectorAll('table[aria-label=Objects] thead th')].findIndex((each) => \
                     each.textContent === arguments[1]); const row = [...document.querySelectorAll('table[aria-label=Objects] \
                     tbody tr')].find((each) => each.children[0].textContent.startsWith(arguments[0])); return \
                     !!row && row.children[at].textContent.startsWith(arguments[2]);";

fn wait_sign(browser: &Browser, node: &str, sign: &str) {
    browser.wait(&format!("web is {sign} on {node}"), SIGNS, &["web", node, sign]);
}

#[test]
fn the_page_shows_the_cluster_live_and_survives_its_node() {
    let mut world = World::start();
    let Some(browser) = world.browser() else {
        return skip("no chromium with chromedriver can be run");
    };
    browser.open("https://n2:1215/");
    log_in(&browser, "alice", "wrong");
    browser.wait_text("This is not accepted.");
    log_in(&browser, "alice", "pw-alice");
    wait_sign(&browser, "n1", "O");
    wait_sign(&browser, "n2", "X");

    // What others wrote is text.
    browser.open("https://n2:1215/#/object/test/cfg/c1");
    browser.press("Keys");
    browser.press(KEY);
    browser.wait(
        "its value is shown",
        "return document.querySelector('main pre')?.textContent === arguments[0]",
        &[EVIL],
    );
    assert_eq!(browser.script("return document.querySelectorAll('main img').length", &[]), 0);
    browser.press("Log");
    browser.press("Cluster");
    assert_eq!(browser.console(), [] as [String; 0]);

    // A node dies, and its service is taken over without a reload.
    world.scene.kill(0);
    wait_sign(&browser, "n2", "O");
    world.scene.cluster.nodes[0].start();
    world.scene.cluster.wait_beating();
    wait_sign(&browser, "n1", "X");
    wait_for("it shows its page again", || {
        Http::tls(world.ports[0].number(), None).keep().is_some()
    });

    wait_for("nothing moves any more", || {
        let looked = world.scene.cluster.nodes[1].om(&["web", "switch", "--to", "n1", "--dry-run"]);
        looked.code == Some(0) && looked.out.contains("start")
    });

    // Looked at first, then not done, then done.
    browser.open("https://n2:1215/#/object/web");
    for is_meant in [false, true] {
        browser.press("Switch");
        browser.press("Look");
        browser.wait(
            "the steps are shown",
            "return document.querySelectorAll('#steps li').length >= 2",
            &[],
        );
        browser.wait_text("n2: stop");
        browser.press(if is_meant { "Switch" } else { "Cancel" });
        if !is_meant {
            assert_eq!(
                world.scene.aggregate(1, "web", "placement"),
                "non-optimal",
                "nothing moved"
            );
        }
    }
    world.scene.wait_up(1, "web", &[0]);
    browser.press("Cluster");
    wait_sign(&browser, "n1", "O");

    // The node of the page dies: its page tells, and leads to another one.
    world.scene.kill(1);
    browser.wait_text("This node does not answer.");
    browser.press("n1:1215");
    log_in(&browser, "alice", "pw-alice");
    wait_sign(&browser, "n1", "O");
    // And one that only waits sees its node again.
    world.scene.kill(0);
    browser.wait_text("This node does not answer.");
    world.scene.cluster.nodes[0].start();
    browser.wait("the node is back", "return document.getElementById('banner').hidden", &[]);
}

#[test]
fn a_guest_sees_no_button_that_would_be_refused() {
    let world = World::start();
    let Some(browser) = world.browser() else {
        return skip("no chromium with chromedriver can be run");
    };
    browser.open("https://n1:1215/ui/");
    log_in(&browser, "gina", "pw-gina");
    wait_sign(&browser, "n1", "O");
    browser.open("https://n1:1215/ui/#/object/web");
    browser.wait_text("Instances");
    let buttons = "return [...document.querySelectorAll('main button')].map((each) => each.textContent).join()";
    assert_eq!(browser.script(buttons, &[]), "Status,Log,History");
    // On a telephone, nothing is wider than the screen.
    let narrow = world.browser_of((390, 800)).expect("it was there a moment ago");
    narrow.open("https://n1:1215/");
    log_in(&narrow, "gina", "pw-gina");
    wait_sign(&narrow, "n1", "O");
    let fits = "return document.documentElement.scrollWidth <= window.innerWidth";
    assert_eq!(narrow.script(fits, &[]), true);
}
