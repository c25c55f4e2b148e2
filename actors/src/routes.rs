//! Where requests go: the addresses and snapshots that the root hands out.
