//! Before, during and after maintenance: looking ahead, emptying nodes, going from node to node, failing over on purpose.
//!
//! What is safe, and in which order, is decided by `monitor`; here it is asked for, waited for and told.

mod claim;
pub(crate) mod drain;
pub(crate) mod drill;
pub(crate) mod exec;
mod glance;
mod probe;
pub(crate) mod roll;
pub(crate) mod whatif;
