//! The daemon process: start, signals, the lock against a second one, the service manager.
