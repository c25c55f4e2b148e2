//! The node monitor: drives this node.
