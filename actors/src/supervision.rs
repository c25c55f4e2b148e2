//! Supervision: an actor that panics comes back with its address and its queue.
