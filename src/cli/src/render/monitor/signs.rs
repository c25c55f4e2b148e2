//! The signs of an instance.

use serde_json::Value;

use super::read::{number, text};
use crate::render::text::{Cell, Tone};

/// Whether an instance counts as up.
pub(super) fn is_up(avail: &str) -> bool {
    matches!(avail, "up" | "warn")
}

/// What is behind, and where it shall go.
pub(super) fn with_target(cell: Cell, target: &str) -> Cell {
    if target.is_empty() {
        return cell;
    }
    let gap = if cell.is_empty() { ">" } else { " >" };
    cell.and(Tone::Note, gap).and(Tone::Note, target)
}

/// The signs of an instance: state, `!` warnings, `^` leader, `*` frozen, `P` not provisioned, then what it does.
pub(super) fn instance_signs(instance: &Value) -> Cell {
    let instance = Some(instance);
    let (tone, sign) = match text(instance, "avail") {
        "up" => (Tone::Good, "O"),
        "stdby up" => (Tone::Good, "S"),
        "down" => (Tone::Bad, "X"),
        "stdby down" => (Tone::Bad, "s"),
        "warn" => (Tone::Warn, "!"),
        // Also of an instance that was not evaluated yet.
        "undef" | "unknown" | "" => (Tone::Warn, "?"),
        _ => (Tone::Note, "/"),
    };
    let mut cell = Cell::new(tone, sign);
    let monitor = instance.and_then(|instance| instance.get("monitor"));
    if text(instance, "overall") == "warn" {
        cell = cell.and(Tone::Warn, "!");
    }
    if text(monitor, "placement") == "leader" {
        cell = cell.and(Tone::Note, "^");
    }
    if number(instance, "frozen").is_some_and(|since| since > 0.0) {
        cell = cell.and(Tone::Note, "*");
    }
    if let Some(Value::Bool(false)) = instance.and_then(|instance| instance.get("provisioned")) {
        cell = cell.and(Tone::Warn, "P");
    }
    let status = text(monitor, "status");
    if !matches!(status, "" | "idle") {
        let tone = if status.ends_with("failed") { Tone::Bad } else { Tone::Note };
        cell = cell.and(Tone::Plain, " ").and(tone, status);
    }
    with_target(cell, text(monitor, "global_expect"))
}
