//! What is wrong with nodes, and what mends it (`om doctor`).

use std::collections::BTreeMap;

use model::{Check, Verdict};

use super::text::{Cell, Text, Tone};

/// Renders the findings: a line each, what mends it below. Of several nodes, under their names; the last line counts.
#[must_use]
pub fn doctor(found: &BTreeMap<String, Vec<Check>>) -> Text {
    let mut text = Text::default();
    let all = || found.values().flatten();
    let width = all().map(|check| check.id.len()).max().unwrap_or(0);
    for (node, checks) in found {
        if found.len() > 1 {
            text.push(Cell::new(Tone::Strong, node));
        }
        for check in checks {
            let head = Cell::new(tone(check.verdict), check.verdict.as_str());
            let id = Cell::plain(&check.id).padded(width + 2);
            text.push(head.and(Tone::Plain, "  ").join(id).and(Tone::Plain, &check.what));
            if !check.remedy.is_empty() {
                let indent = " ".repeat("PASS".len() + 2 + width + 2);
                text.push(Cell::plain(&indent).and(Tone::Note, &check.remedy));
            }
        }
    }
    let count = |verdict| all().filter(|check| check.verdict == verdict).count();
    let counts = [Verdict::Pass, Verdict::Warn, Verdict::Fail]
        .map(|verdict| format!("{} {}", count(verdict), verdict.as_str()));
    text.push(Cell::new(Tone::Strong, &counts.join(", ")));
    text
}

fn tone(verdict: Verdict) -> Tone {
    match verdict {
        Verdict::Pass => Tone::Good,
        Verdict::Warn => Tone::Warn,
        Verdict::Fail => Tone::Bad,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_finding_has_a_line_and_what_mends_it_below() {
        let n1 = vec![
            Check::pass("disk", "roomy"),
            Check::warn("heartbeat", "none\u{1b}", "om cluster set"),
        ];
        let mut found = BTreeMap::from([("n1".to_owned(), n1)]);
        assert_eq!(
            doctor(&found).plain(),
            "PASS  disk       roomy\nWARN  heartbeat  none\\u{1b}\n                 om cluster set\n\
             1 PASS, 1 WARN, 0 FAIL\n"
        );
        found.insert("n2".to_owned(), vec![Check::fail("disk", "full", "make room")]);
        let shown = doctor(&found).plain();
        assert!(shown.starts_with("n1\nPASS") && shown.contains("\nn2\nFAIL  disk"), "{shown}");
        assert!(shown.ends_with("1 PASS, 1 WARN, 1 FAIL\n"), "{shown}");
    }
}
