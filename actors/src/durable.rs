//! Writing files so that a crash leaves the old or the new, and locking them.
