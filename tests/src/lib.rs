//! Real daemons on real sockets.
