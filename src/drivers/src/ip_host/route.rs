//! The default route, which keyword `gateway` replaces while the address is up: it is the node's, and several services may
//! want theirs in turn. What was there before the first of them is noted once, and comes back with the last one.
//!
//! Part of the `impl` of [`Ip`], in a file of its own for its length.

use std::path::PathBuf;
use std::time::Duration;

use machine::durable;
use machine::durable::FileLock;

use crate::driver::Scene;
use crate::exec::{Output, Program};
use crate::failure::Failure;
use crate::ip_host::Ip;
use crate::launched::boot_id;

/// How long another service that changes the route is waited for.
const LOCK_PATIENCE: Duration = Duration::from_secs(30);

/// The metric that the kernel gives an IPv6 route for which none is named.
const METRIC_OF_IPV6: &str = "1024";

/// Longest note: a route of many hops, and as many services.
const LONGEST_NOTE: u64 = 64 << 10;

/// The words of a route, as the tool takes them.
type Route = Vec<String>;

/// The default routes, as the tool prints them and takes them; without what it only prints. The hops of one follow it, each
/// in a line of its own.
fn routes(text: &str) -> Vec<Route> {
    let mut found: Vec<Route> = vec![];
    for line in text.lines() {
        let mut words: Route = line.split_whitespace().map(str::to_owned).collect();
        // How long one that a router told of still holds is printed, and not taken.
        if let Some(at) = words.iter().position(|word| word == "expires") {
            words.drain(at..(at + 2).min(words.len()));
        }
        words
            .retain(|word| !matches!(word.as_str(), "linkdown" | "dead" | "pervasive" | "offload"));
        match (words.first().map(String::as_str), found.last_mut()) {
            (Some("default"), _) => found.push(words),
            (Some("nexthop"), Some(route)) => route.extend(words),
            _ => {}
        }
    }
    found
}

/// Whether a route has the metric of one for which none is named: the one that `ip route replace` replaces.
fn is_replaced(route: &Route) -> bool {
    let metric = route.windows(2).find(|pair| pair[0] == "metric").map(|pair| pair[1].as_str());
    let is_ipv6 = route.windows(2).any(|pair| pair[0] == "via" && pair[1].contains(':'))
        || route.iter().any(|word| word == "pref");
    metric.is_none() || (is_ipv6 && metric == Some(METRIC_OF_IPV6))
}

/// A resource that wants the default route.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Owner {
    path: String,
    rid: String,
    gateway: String,
    dev: String,
}

impl Owner {
    fn is_same(&self, other: &Self) -> bool {
        self.path == other.path && self.rid == other.rid
    }

    /// Whether it is the one that wanted this route.
    fn has(&self, route: &Route) -> bool {
        let follows = |key: &str, value: &str| {
            route.windows(2).any(|pair| pair[0] == key && pair[1] == value)
        };
        let has_hops = route.iter().any(|word| word == "nexthop");
        !has_hops && follows("via", &self.gateway) && follows("dev", &self.dev)
    }

    fn words(&self) -> Route {
        ["default", "via", &self.gateway, "dev", &self.dev].map(str::to_owned).to_vec()
    }
}

/// What is noted of a family: the route that was there before the first owner, empty for none, and who replaced it since.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Note {
    before: Route,
    owners: Vec<Owner>,
}

impl Note {
    fn read(text: &str) -> Self {
        let mut note = Self::default();
        let mut lines = text.lines();
        // After a start of the node the default route is that of its configuration.
        if lines.next() != Some(boot_id().as_str()) {
            return note;
        }
        for line in lines {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                ["owner", path, rid, gateway, dev] => {
                    let [path, rid, gateway, dev] = [path, rid, gateway, dev].map(str::to_owned);
                    note.owners.push(Owner { path, rid, gateway, dev });
                }
                ["before", ref route @ ..] => {
                    note.before = route.iter().map(|&word| word.to_owned()).collect();
                }
                _ => {}
            }
        }
        note
    }

    fn text(&self) -> String {
        let mut text = format!("{}\nbefore {}\n", boot_id(), self.before.join(" "));
        for Owner { path, rid, gateway, dev } in &self.owners {
            text += &format!("owner {path} {rid} {gateway} {dev}\n");
        }
        text
    }

    /// Adds an owner, which is about to replace a route: what was there first, unless that is the route of another owner.
    fn take(&mut self, owner: Owner, replaced: Option<&Route>) {
        let is_owned = replaced.is_some_and(|route| self.owners.iter().any(|it| it.has(route)));
        let is_own = replaced.is_some_and(|route| owner.has(route));
        self.owners.retain(|other| !other.is_same(&owner));
        if !is_owned && (!is_own || self.owners.is_empty()) {
            self.before = replaced.cloned().unwrap_or_default();
        }
        self.owners.push(owner);
    }

    /// Takes an owner out: what is to be done to the route that is in the place of its own now.
    fn give(&mut self, owner: &Owner, now: Option<&Route>) -> Step {
        self.owners.retain(|other| !other.is_same(owner));
        let is_own = now.is_some_and(|route| owner.has(route));
        match self.owners.last() {
            // Somebody has set another one since.
            _ if now.is_some() && !is_own => Step::Nothing,
            Some(_) if now.is_some_and(|now| self.owners.iter().any(|it| it.has(now))) => {
                Step::Nothing
            }
            Some(next) => Step::Replace(next.words()),
            None if now == Some(&self.before) => Step::Nothing,
            None if !self.before.is_empty() => Step::Replace(self.before.clone()),
            None if is_own => Step::Remove(owner.words()),
            None => Step::Nothing,
        }
    }
}

/// What is to be done to the default route.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Nothing,
    Replace(Route),
    Remove(Route),
}

fn family(gateway: &str) -> &'static str {
    if gateway.contains(':') { "-6" } else { "-4" }
}

fn note_file(scene: &Scene<'_>, gateway: &str) -> PathBuf {
    let name = if family(gateway) == "-6" { "default_route_6" } else { "default_route_4" };
    scene.host.paths.node_var().join(name)
}

/// Where older versions noted it, each resource for itself.
fn older_note(scene: &Scene<'_>) -> PathBuf {
    scene.folder().join("default_route")
}

fn default_routes(scene: &Scene<'_>, gateway: &str) -> Result<Vec<Route>, Failure> {
    let program = Program::new(["ip", family(gateway), "route", "show", "default"]);
    let ended = scene.query(&program)?;
    if !ended.is_success() {
        let (command, line) = (program.to_string(), ended.last_line().to_owned());
        return Err(Failure::Exit { command, code: ended.code, line });
    }
    Ok(routes(&ended.out))
}

fn change(scene: &Scene<'_>, gateway: &str, step: &Step) -> Result<(), Failure> {
    let (word, route) = match step {
        Step::Nothing => return Ok(()),
        Step::Replace(route) => ("replace", route),
        Step::Remove(route) => ("del", route),
    };
    let words = ["ip", family(gateway), "route", word].map(str::to_owned).into_iter();
    let program = Program::new(words.chain(route.iter().cloned())).output(Output::Logged);
    scene.execute(&program).map(drop)
}

impl Ip {
    fn owner(&self, scene: &Scene<'_>, gateway: &str) -> Owner {
        Owner {
            path: scene.instance.path.to_string(),
            rid: scene.resource.rid.to_string(),
            gateway: gateway.to_owned(),
            dev: self.dev.clone(),
        }
    }

    fn lock_route(scene: &Scene<'_>) -> Result<FileLock, Failure> {
        FileLock::take(&scene.host.paths.locks().join("default_route"), LOCK_PATIENCE)
            .map_err(Failure::io("lock"))
    }

    /// What is noted, and what an older version noted of this resource.
    fn noted(&self, scene: &Scene<'_>, gateway: &str) -> Note {
        let text = machine::regular::read(&note_file(scene, gateway), LONGEST_NOTE);
        let mut note = Note::read(&String::from_utf8_lossy(&text.unwrap_or_default()));
        let owner = self.owner(scene, gateway);
        if let Some(older) = machine::regular::words(&older_note(scene)) {
            if note.owners.is_empty() {
                note.before = older.split_whitespace().map(str::to_owned).collect();
            }
            note.owners.retain(|other| !other.is_same(&owner));
            note.owners.push(owner);
        }
        note
    }

    fn write_note(scene: &Scene<'_>, gateway: &str, note: &Note) -> Result<(), Failure> {
        let file = note_file(scene, gateway);
        let written = match note.owners.is_empty() {
            true => durable::remove(&file),
            false => durable::write(&file, note.text().as_bytes(), 0o600),
        };
        written
            .and_then(|()| durable::remove(&older_note(scene)))
            .map_err(Failure::io("default route"))
    }

    /// Makes keyword `gateway` the default route, and notes the one that it takes the place of.
    pub(super) fn take_default_route(&self, scene: &Scene<'_>) -> Result<(), Failure> {
        let Some(gateway) = &self.gateway else { return Ok(()) };
        let _lock = Self::lock_route(scene)?;
        let routes = default_routes(scene, gateway)?;
        let mut note = self.noted(scene, gateway);
        let owner = self.owner(scene, gateway);
        let words = owner.words();
        note.take(owner, routes.iter().find(|route| is_replaced(route)));
        Self::write_note(scene, gateway, &note)?;
        change(scene, gateway, &Step::Replace(words))
    }

    /// Gives the default route back, unless somebody has set another one since. That it cannot be keeps nothing up: it is
    /// told, and stays noted for the next stop.
    pub(super) fn give_default_route_back(&self, scene: &Scene<'_>) {
        let Some(gateway) = &self.gateway else { return };
        let given = || {
            let _lock = Self::lock_route(scene)?;
            let mut note = self.noted(scene, gateway);
            let owner = self.owner(scene, gateway);
            if !note.owners.iter().any(|other| other.is_same(&owner)) {
                return Ok(());
            }
            let routes = default_routes(scene, gateway)?;
            let step = note.give(&owner, routes.iter().find(|route| is_replaced(route)));
            change(scene, gateway, &step)?;
            Self::write_note(scene, gateway, &note)
        };
        if let Err(failure) = given() {
            scene.journal.warn(format_args!("the default route is not given back: {failure}"));
        }
    }

    /// After a start of the node the default route is that of its configuration.
    pub(super) fn forget_default_route(scene: &Scene<'_>) -> Result<(), Failure> {
        durable::remove(&older_note(scene)).map_err(Failure::io("default route"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_route_of_the_usual_metric_is_the_one_that_is_replaced() {
        let text = "default via fe80::1 dev eth0 proto ra metric 1024 expires 1700sec hoplimit 64 pref medium\n\
                    default via 2001:db8::1 dev eth1 metric 100 pref medium\n2001:db8::/64 dev eth1\n";
        let found = routes(text);
        assert_eq!(found.len(), 2);
        assert_eq!(
            found[0].join(" "),
            "default via fe80::1 dev eth0 proto ra metric 1024 hoplimit 64 pref medium"
        );
        assert_eq!((is_replaced(&found[0]), is_replaced(&found[1])), (true, false));
        let found = routes(
            "default via 192.0.2.1 dev eth0\ndefault via 192.0.2.1 dev eth1 metric 1024 linkdown\n",
        );
        assert_eq!((is_replaced(&found[0]), is_replaced(&found[1])), (true, false));
    }

    #[test]
    fn a_route_of_several_hops_is_noted_with_all_of_them() {
        let text = "default proto static \n\tnexthop via 192.0.2.1 dev eth0 weight 1 \n\t\
                    nexthop via 192.0.2.2 dev eth1 weight 1 dead linkdown \n";
        let words = "default proto static nexthop via 192.0.2.1 dev eth0 weight 1 \
                     nexthop via 192.0.2.2 dev eth1 weight 1";
        assert_eq!(routes(text), [route(words)]);
        let mut note = Note::default();
        note.take(owner("a", "192.0.2.1", "eth0"), Some(&routes(text)[0]));
        let read = Note::read(&note.text());
        assert_eq!((read.before.join(" "), &read), (words.to_owned(), &note));
    }

    fn route(text: &str) -> Route {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn owner(path: &str, gateway: &str, dev: &str) -> Owner {
        let [path, gateway, dev] = [path, gateway, dev].map(str::to_owned);
        Owner { path, rid: "ip#1".into(), gateway, dev }
    }

    #[test]
    fn the_route_of_the_node_comes_back_with_the_last_one_that_replaced_it() {
        let host = route("default via 192.0.2.254 dev eth0");
        let (a, b) = (owner("a", "192.0.2.1", "eth0"), owner("b", "192.0.2.2", "eth0"));
        let mut note = Note::default();
        note.take(a.clone(), Some(&host));
        note.take(b.clone(), Some(&a.words()));
        assert_eq!(note.before, host);
        // In the order of their starts, and the other way round.
        let mut first = note.clone();
        assert_eq!(first.give(&a, Some(&b.words())), Step::Nothing);
        assert_eq!(first.give(&b, Some(&b.words())), Step::Replace(host.clone()));
        let mut last = note.clone();
        assert_eq!(last.give(&b, Some(&b.words())), Step::Replace(a.words()));
        assert_eq!(last.give(&a, Some(&a.words())), Step::Replace(host.clone()));
        // One that another boot noted says nothing.
        let other = note.text().replacen(&boot_id(), "another boot", 1);
        assert_eq!(Note::read(&other), Note::default());
    }

    #[test]
    fn two_that_want_the_same_route_have_it_until_the_last_one_stops() {
        let host = route("default via 192.0.2.254 dev eth0");
        let (a, b) = (owner("a", "192.0.2.1", "eth0"), owner("b", "192.0.2.1", "eth0"));
        let mut note = Note::default();
        note.take(a.clone(), Some(&host));
        note.take(b.clone(), Some(&a.words()));
        assert_eq!(note.give(&a, Some(&a.words())), Step::Nothing);
        assert_eq!(note.give(&b, Some(&b.words())), Step::Replace(host));
    }

    #[test]
    fn what_was_set_since_counts_and_what_was_not_there_goes() {
        let (a, set) = (owner("a", "192.0.2.1", "eth0"), route("default via 192.0.2.9 dev eth0"));
        let mut note = Note::default();
        note.take(a.clone(), None);
        assert_eq!(note.clone().give(&a, Some(&set)), Step::Nothing);
        assert_eq!(note.clone().give(&a, Some(&a.words())), Step::Remove(a.words()));
        assert_eq!(note.give(&a, None), Step::Nothing);
        // The node's own is the one that is wanted: it stays.
        let mut note = Note::default();
        note.take(a.clone(), Some(&a.words()));
        assert_eq!(note.give(&a, Some(&a.words())), Step::Nothing);
    }
}
