//! What was expected of a text that does not convert.

/// Conversion of a text failed: what was expected.
pub type Expected = &'static str;
