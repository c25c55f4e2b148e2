//! Addresses, in a network of their own.

use model::InstanceAction::Stop;
use model::ObjectPath;

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
fn an_address_that_somebody_takes_away_is_seen_at_once() {
    let node =
        Node::new("[ip#1]\nipname = 192.0.2.1\nipdev = v0\nnetmask = 24\ntags = nonrouted\n");
    if !can_link(&node) {
        return;
    }
    // Nothing is asked meanwhile: a question could have it evaluated.
    let script = format!(
        "{LINKS}$om daemon start >/dev/null 2>&1; trap '$om daemon stop >/dev/null 2>&1' EXIT
        is() {{ grep -q '\"avail\": *\"'$1'\"' $OSVC_ROOT_PATH/var/svc/svc1/status.json; }}
        now() {{ date +%s%3N; }}
        wait_for() {{ until is $1 || test $(now) -ge $2; do sleep 0.02; done; is $1; }}
        $om svc1 start --local; wait_for up $(($(now) + 10000)) || {{ echo NEVER UP; exit 1; }}
        for what in 'addr del 192.0.2.1/24 dev v0' 'addr add 192.0.2.1/24 dev v0' 'link set v1 down' 'link set v1 up'; do
            case $what in 'addr add'*|*up) state=up ;; *) state=down ;; esac
            ip $what; begin=$(now); wait_for $state $((begin + 20000)) || echo NEVER $state
            echo \"TOOK $(($(now) - begin)) $what\"
        done"
    );
    let (code, said) = node.in_own_network(&script);
    assert_eq!(code, 0, "{said}");
    let took: Vec<u64> = said
        .lines()
        .filter_map(|line| line.strip_prefix("TOOK ")?.split(' ').next()?.parse().ok())
        .collect();
    let limit = harness::at_this_load(std::time::Duration::from_secs(2));
    let is_soon = |took: &u64| u128::from(*took) < limit.as_millis();
    assert!(took.len() == 4 && took.iter().all(is_soon), "within {limit:?}: {said}");
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

/// A stand-in for `ip` that keeps addresses and the default route as files, and knows no link `eth9`.
const IP: &str = r#"d=$(dirname $0)/..
case "$*" in
*"addr show"*)
  echo "[{\"ifname\":\"lo\",\"addr_info\":["
  sep=; while read -r a; do echo "$sep{\"local\":\"${a%/*}\",\"prefixlen\":32}"; sep=,; done <$d/addresses
  echo "]}]" ;;
"addr add "*) echo "$3" >>$d/addresses ;;
"addr del "*) grep -vx "$3" $d/addresses >$d/rest; mv $d/rest $d/addresses ;;
*"route show default") cat $d/routes ;;
*"route replace "*)
  case "$*" in *"dev eth9"*) echo "Cannot find device eth9" >&2; exit 2 ;; esac
  shift 3; echo "$*" >$d/routes ;;
*"route del "*) : >$d/routes ;;
esac"#;

/// A node with this default route and two services of these gateways.
fn routed(route: &str, gateways: [&str; 2]) -> Node {
    let address = |index: u8, gateway: &str| {
        format!(
            "[ip#1]\nipname = 192.0.2.{index}\nipdev = lo\nnetmask = 32\ngateway = {gateway}\n\
             tags = nonrouted\ncheck_carrier = false\n"
        )
    };
    let node = Node::new(&address(1, gateways[0]));
    node.configure(&ObjectPath::parse("svc2").unwrap(), &address(2, gateways[1]));
    node.tool("ip", IP);
    std::fs::write(node.file("addresses"), "").unwrap();
    std::fs::write(node.file("routes"), format!("{route}\n")).unwrap();
    node
}

#[test]
fn a_default_route_that_cannot_come_back_keeps_no_address_up() {
    let node = routed("default via 192.0.2.254 dev eth9", ["192.0.2.100", "192.0.2.100"]);
    assert_eq!(node.om(&["svc1", "start", "--local"]).0, 0);
    assert_eq!(node.lines("addresses"), ["192.0.2.1/32"]);
    let (code, said) = node.om(&["svc1", "stop", "--local"]);
    assert_eq!((code, node.lines("addresses")), (0, vec![]), "{said}");
    assert!(said.contains("not given back"), "{said}");
    // It is still noted: once it can, it comes back.
    node.tool("ip", &IP.replace("eth9", "eth8"));
    assert_eq!(node.om(&["svc1", "stop", "--local"]).0, 0);
    assert_eq!(node.lines("routes"), ["default via 192.0.2.254 dev eth9"]);
}

#[test]
fn the_default_route_of_the_node_comes_back_after_the_last_service_that_replaced_it() {
    let host = "default proto static nexthop via 192.0.2.254 dev eth0 weight 1 \
                nexthop via 192.0.2.253 dev eth1 weight 1";
    let shown = host.replace(" nexthop", "\n\tnexthop");
    for gateways in [["192.0.2.100", "192.0.2.101"], ["192.0.2.100", "192.0.2.100"]] {
        let own = |index: usize| format!("default via {} dev lo", gateways[index]);
        for first in ["svc1", "svc2"] {
            let node = routed(&shown, gateways);
            for service in ["svc1", "svc2"] {
                assert_eq!(node.om(&[service, "start", "--local"]).0, 0);
            }
            assert_eq!(node.lines("routes"), [own(1)]);
            let (other, left) = if first == "svc1" { ("svc2", own(1)) } else { ("svc1", own(0)) };
            assert_eq!(node.om(&[first, "stop", "--local"]).0, 0);
            assert_eq!(node.lines("routes"), [left], "{gateways:?} {first}");
            assert_eq!(node.om(&[other, "stop", "--local"]).0, 0);
            assert_eq!(node.lines("routes"), [host], "{gateways:?} {first}");
        }
    }
}
