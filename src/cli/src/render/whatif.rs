//! What would become of the services (`om cluster whatif`, `om node drain --dry-run`).

use model::{Fate, NodeName, Outlook, WhatIf};

use super::table::{Align, table};
use super::text::{Cell, Text, Tone};

/// Renders what is foretold: a line for each service that something happens to, the worst first.
#[must_use]
pub fn what_if(foretold: &WhatIf) -> Text {
    let mut text = Text::default();
    let mut heads = vec![];
    if !foretold.drained.is_empty() {
        heads.push(format!("if {} drained", were(&foretold.drained)));
    }
    if !foretold.down.is_empty() {
        let missed = format!("missed after {} s", foretold.missed_after);
        heads.push(format!("if {} died ({missed})", names(&foretold.down)));
    }
    text.push(Cell::new(Tone::Strong, &heads.join(", ")));
    if let Some(quorum) = foretold.quorum {
        let votes = format!("{} of {} votes are left", quorum.votes, quorum.voting);
        text.push(match (quorum.survives, foretold.taken_out.as_slice()) {
            (true, _) => Cell::plain("  quorum: ").and(Tone::Plain, &votes),
            (false, []) => Cell::plain("  no majority: ").and(Tone::Warn, &votes),
            (false, nodes) => {
                let what = format!("{votes}: node.split_action ends {}", names(nodes));
                Cell::plain("  no majority: ").and(Tone::Bad, &what)
            }
        });
    }
    let rows = foretold.objects.iter().map(row).collect();
    text.extend(table(rows, &[Align::Left], 2));
    let count = |fates: &[Fate]| {
        foretold.objects.iter().filter(|outlook| fates.contains(&outlook.fate)).count()
    };
    let (moves, lost) = (count(&[Fate::Moves]), count(&[Fate::Down, Fate::Degraded]));
    text.push(match (foretold.objects.len(), lost) {
        (0, _) => Cell::plain("no service would be stopped or moved"),
        (_, 0) => Cell::new(Tone::Good, &format!("{moves} would move, none is without a place")),
        _ => Cell::new(Tone::Bad, &format!("{moves} would move, {lost} without a place")),
    });
    text
}

fn row(outlook: &Outlook) -> Vec<Cell> {
    let left: Vec<NodeName> =
        outlook.from.iter().filter(|node| !outlook.to.contains(node)).cloned().collect();
    let new: Vec<NodeName> =
        outlook.to.iter().filter(|node| !outlook.from.contains(node)).cloned().collect();
    let dash = |nodes: &[NodeName]| if nodes.is_empty() { "-".to_owned() } else { names(nodes) };
    let stays = outlook.to.iter().any(|node| outlook.from.contains(node));
    let after =
        if outlook.after > 0.0 { format!(" after {} s", outlook.after) } else { String::new() };
    let (tone, note) = match outlook.fate {
        Fate::Down | Fate::Degraded => (Tone::Bad, outlook.outcome.clone()),
        Fate::Moves if stays => (Tone::Plain, format!("goes on elsewhere{after}")),
        Fate::Moves => (Tone::Plain, format!("starts{after}")),
        Fate::Shrinks => (Tone::Plain, format!("goes on on {}", names(&outlook.to))),
        Fate::Starts => (Tone::Plain, format!("starts{after}, as it may then")),
    };
    let note = if outlook.is_settled { note } else { format!("{note}; it does not come to rest") };
    vec![
        Cell::plain("  ").and(Tone::Strong, outlook.path.as_str()),
        Cell::plain(&format!("{} -> {}", dash(&left), dash(&new))),
        Cell::new(tone, &note),
    ]
}

fn names(nodes: &[NodeName]) -> String {
    nodes.iter().map(NodeName::as_str).collect::<Vec<_>>().join(", ")
}

fn were(nodes: &[NodeName]) -> String {
    format!("{} {}", names(nodes), if nodes.len() == 1 { "was" } else { "were" })
}

#[cfg(test)]
mod tests {
    use model::{ObjectPath, QuorumLeft, Status};

    use super::*;

    fn node(name: &str) -> NodeName {
        NodeName::new(name).unwrap()
    }

    fn outlook(path: &str, fate: Fate, from: &[&str], to: &[&str]) -> Outlook {
        let nodes = |names: &[&str]| names.iter().map(|name| node(name)).collect();
        Outlook {
            path: ObjectPath::parse(path).unwrap(),
            fate,
            from: nodes(from),
            to: nodes(to),
            after: 5.0,
            avail: Some(Status::Up),
            outcome: format!("{path} is down: it has no other node"),
            refusals: vec![],
            is_settled: true,
            steps: vec![],
        }
    }

    #[test]
    fn each_service_has_a_line_the_worst_first() {
        let mut foretold = WhatIf {
            node: node("n1"),
            drained: vec![],
            down: vec![node("n2")],
            missed_after: 15.0,
            quorum: Some(QuorumLeft { votes: 2, voting: 3, survives: true }),
            taken_out: vec![],
            objects: vec![
                outlook("web", Fate::Moves, &["n2"], &["n3"]),
                outlook("db", Fate::Down, &["n2"], &[]),
            ],
        };
        foretold.sort();
        assert_eq!(
            what_if(&foretold).plain(),
            "if n2 died (missed after 15 s)\n  quorum: 2 of 3 votes are left\n\
             \x20 db   n2 -> -   db is down: it has no other node\n\
             \x20 web  n2 -> n3  starts after 5 s\n1 would move, 1 without a place\n"
        );
        foretold.quorum = Some(QuorumLeft { votes: 1, voting: 3, survives: false });
        foretold.taken_out = vec![node("n3")];
        foretold.objects.clear();
        let shown = what_if(&foretold).plain();
        assert!(shown.contains("1 of 3 votes are left: node.split_action ends n3"), "{shown}");
        assert!(shown.ends_with("no service would be stopped or moved\n"), "{shown}");
    }
}
