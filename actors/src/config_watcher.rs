//! The config watcher: follows node.conf, cluster.conf and the object files.
