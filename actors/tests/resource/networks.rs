//! Addresses, in a network of their own.

use om::InstanceAction::Stop;

use crate::resource::node::{Node, has_tool, is_root};

/// Links `v0` and `v1`, tied to each other, and where the agent looks for them.
const LINKS: &str = "mount -t sysfs sysfs /sys; ip link set lo up; ip link add v0 type veth peer name v1; ip link set v0 up; ip link set v1 up; ";

fn can_link(node: &Node) -> bool {
    let can = is_root()
        && ["ip", "unshare"].iter().all(|tool| has_tool(tool))
        && node.in_own_network(LINKS).0 == 0;
    if !can {
        println!("skipped: needs root, ip, and a kernel with networks of their own and veth links");
    }
    can
}

#[test]
fn an_address_that_goes_leaves_the_others_of_its_network() {
    let address = |index: u8| {
        format!(
            "[ip#{index}]\nipname = 192.0.2.{index}\nipdev = v0\nnetmask = 24\ntags = nonrouted\n"
        )
    };
    let node = Node::new(&[address(1), address(2)].concat());
    if !can_link(&node) {
        return;
    }
    // The last one: where the kernel may not be told, as in a container.
    let read_only = "mount --bind /proc/sys /proc/sys; mount -o remount,ro,bind /proc/sys; ";
    for (promote, refusal) in [("0", ""), ("1", ""), ("0", read_only)] {
        let script = format!(
            "{LINKS}echo {promote} >/proc/sys/net/ipv4/conf/v0/promote_secondaries; \
             echo 0 >/proc/sys/net/ipv4/conf/all/promote_secondaries; {refusal}\
             $om svc1 start --rid ip#1 --local; $om svc1 start --rid ip#2 --local; \
             ip addr add 192.0.2.3/24 dev v0 label v0:x; ip addr add 198.51.100.1/24 dev v0; \
             $om svc1 stop --rid ip#1 --local; echo ADDRESSES; ip -o -4 addr show dev v0; \
             cat /proc/sys/net/ipv4/conf/v0/promote_secondaries"
        );
        let (code, said) = node.in_own_network(&script);
        let told = said.split("ADDRESSES").nth(1).unwrap_or_default();
        let has = |address: &str| told.contains(&format!("inet {address}/24"));
        let found = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "198.51.100.1"].map(has);
        assert_eq!((code, found), (0, [false, true, true, true]), "{said}");
        // What the machine is told is what it was told before.
        assert!(
            told.trim().ends_with(promote) || told.contains(&format!("\n{promote}\n")),
            "{said}"
        );
    }
}

#[test]
fn the_default_route_of_the_host_comes_back() {
    let node = Node::new(
        "[ip#1]\nipname = 198.51.100.7\nipdev = v0\nnetmask = 24\ngateway = 198.51.100.1\ntags = nonrouted\n",
    );
    if !can_link(&node) {
        return;
    }
    let run = |before: &str, between: &str| {
        let script = format!(
            "{LINKS}ip addr add 192.0.2.1/24 dev v0; {before}\
             $om svc1 start --local; echo UP; ip route show default; {between}\
             $om svc1 stop --local; echo DOWN; ip route show default"
        );
        let (code, said) = node.in_own_network(&script);
        assert_eq!(code, 0, "{said}");
        let part = |after: &str, until: &str| -> Vec<String> {
            let text = said.split(after).nth(1).unwrap_or_default();
            let text = text.split(until).next().unwrap_or_default();
            let lines = text.lines().filter(|line| line.starts_with("default"));
            lines.map(|line| line.trim().to_owned()).collect()
        };
        (part("UP\n", "DOWN\n"), part("DOWN\n", "\u{0}"))
    };
    let own = "default via 198.51.100.1 dev v0".to_owned();
    let host = "default via 192.0.2.254 dev v0 proto static".to_owned();
    let (up, down) = run("ip route add default via 192.0.2.254 dev v0 proto static; ", "");
    assert_eq!((up, down), (vec![own.clone()], vec![host]));
    // There was none, so there is none again.
    assert_eq!(run("", ""), (vec![own.clone()], vec![]));
    // One with a metric stays beside ours, and is left alone.
    let other = "default via 192.0.2.253 dev v0 metric 100".to_owned();
    let (up, down) = run("ip route add default via 192.0.2.253 dev v0 metric 100; ", "");
    assert_eq!((up, down), (vec![own, other.clone()], vec![other]));
    // What an operator set meanwhile is what counts.
    let (_, down) = run("", "ip route replace default via 192.0.2.252 dev v0; ");
    assert_eq!(down, ["default via 192.0.2.252 dev v0"]);
    assert_eq!(node.act(Stop), 0);
}
