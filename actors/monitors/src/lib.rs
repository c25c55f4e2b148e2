//! The monitors: of the node, and of the local instance of each object.

pub mod node;
pub mod service;
