//! Keywords of ip resources.

use crate::convert::Converter::{Boolean, Duration, List};
use crate::keywords::keyword::{Keyword, table};
use crate::keywords::reasons::NO_DNS;

pub(super) const IP: &[Keyword] = table! {
    "ipname".at():
        "address of the service: an IP address, or a name that resolves to one";
    "ipdev".required().at():
        "network link that has the address while the resource is up";
    "netmask".at():
        "netmask of the address, as a prefix length or with dots; unset, that of the link";
    "check_carrier".to(Boolean).or("true").at():
        "take the address for down while the link has no carrier";
    "alias".to(Boolean).or("true").at().unread("this agent does not use ifconfig"):
        "add the address as an alias of the link";
    "wait_dns".to(Duration).or("0").at().unread(NO_DNS):
        "how long a start waits for the name of the service in the DNS of the cluster, in seconds";
    "expose".to(List).at().unread(NO_DNS):
        "ports that the DNS of the cluster announces for the address, as port/protocol";
    "gateway".at():
        "default gateway while the address is up";
    "network".at().unread("this agent computes the network of an address from its netmask"):
        "network of the address";
    "dns_name_suffix".at().unread(NO_DNS):
        "end of the name that the DNS has for the address";
    "dns_update".to(Boolean).at().unread(NO_DNS):
        "have the collector update the DNS when the address is started";
    "provisioner".at().unread("this agent asks no manager for addresses"):
        "who gives the address when the resource is provisioned";
};

pub(super) const IP_NETNS: &[Keyword] = table! {
    "netns".required().at():
        "container resource whose network namespace has the address";
    "nsdev".at():
        "name of the link inside of the namespace; unset, the first free eth";
    "macaddr".at():
        "hardware address of the link inside of the namespace";
    "mode".at():
        "how the namespace is linked to ipdev: bridge, dedicated, macvlan, ipvlan-l2, ipvlan-l3 or ovs";
    "vlan_tag".at():
        "VLAN of the ovs port";
    "vlan_mode".at():
        "VLAN mode of the ovs port: access, native-tagged or native-untagged";
    "del_net_route".to(Boolean).at():
        "remove the route to the network of the address inside of the namespace";
};
