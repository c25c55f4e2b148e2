//! The listener: accepts peers and remote clients on TCP.
