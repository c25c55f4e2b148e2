//! Where the tests kill this process, to see what is left when it dies there.

use std::sync::atomic::{AtomicU64, Ordering};

/// Names the point at which this process is killed: of a request (`join.locked`), or `write:<n>`, the n-th step of making a
/// file durable. Unset but in tests.
const VARIABLE: &str = "OSVC_TEST_CRASH";

/// This point is passed.
pub fn point(name: &str) {
    if std::env::var_os(VARIABLE).is_some_and(|wanted| *wanted == *name) {
        die();
    }
}

/// A step of making a file durable is about to be taken.
pub fn on_write() {
    static PASSED: AtomicU64 = AtomicU64::new(0);
    if std::env::var_os(VARIABLE).is_some() {
        let number = PASSED.fetch_add(1, Ordering::Relaxed) + 1;
        point(&format!("write:{number}"));
    }
}

/// As `kill -9`: nothing is undone.
fn die() {
    _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    std::process::abort();
}
