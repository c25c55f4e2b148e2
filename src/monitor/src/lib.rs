//! Every decision: node, instances, placement, blacklist, restarts.
