//! Bytes to requests, replies and heartbeats: frames, sealing, opening.
