//! The cluster data: the one writer of what `daemon_status` shows.
