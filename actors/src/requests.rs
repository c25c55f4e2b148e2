//! The requests: one function per action of the protocol.
