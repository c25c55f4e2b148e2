//! What a monitoring system reads of a node.
//!
//! What happens is counted where it happens, in cells that nobody waits for ([`counts`]); everything else is a fact of the
//! published snapshot. Both become series when somebody asks ([`series`]), and text in one of two forms ([`exposition`]).

pub mod counts;
pub mod exposition;
pub mod series;
pub mod tallies;
