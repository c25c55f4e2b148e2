//! The text of messages.
//!
//! Part of the `impl` of [`Sending`], in a file of its own for its length.

use std::fmt::Write as _;

use super::*;

impl Sending {
    /// The JSON text of a patch sent at `now`; none for what is no patch. ASCII as far as its operations are.
    #[must_use]
    pub fn patch_text(&self, gens: &BTreeMap<NodeName, u64>, now: Timestamp) -> Option<String> {
        let Self::Patch(deltas) = self else { return None };
        let bytes: usize = deltas.iter().map(|(_, delta)| delta.json.len() + 16).sum();
        let mut text = String::with_capacity(bytes + 96 + 32 * gens.len());
        text.push_str(r#"{"kind":"patch","deltas":{"#);
        for (index, (number, delta)) in deltas.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(text, r#"{comma}"{number}":{}"#, delta.json).expect("a string takes all");
        }
        text.push_str(r#"},"gen":{"#);
        for (index, (node, number)) in gens.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(text, r#"{comma}"{node}":{number}"#).expect("a string takes all");
        }
        write!(text, r#"}},"updated":{}}}"#, Value::from(now.0)).expect("a string takes all");
        Some(text)
    }
}
