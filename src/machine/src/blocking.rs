//! Work that waits for the machine, on threads of one pool.
//!
//! Each thread with actors has a pool of its own otherwise. More threads would live, and an allocator keeps memory for each.

use std::cell::Cell;
use std::sync::OnceLock;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// The runtime of which the pool is used.
static POOL: OnceLock<Handle> = OnceLock::new();

/// Has all that follows use the pool of a runtime, which outlives it. The first one stays.
pub fn use_pool(of: Handle) {
    _ = POOL.set(of);
}

thread_local! {
    static HAS_OWN_POOL: Cell<bool> = const { Cell::new(false) };
}

/// Has the calling thread go on using the pool of its own runtime: a thread that it starts has its priority, and what runs there
/// for others would have it too, with the programs that they start.
pub fn keep_own_pool() {
    HAS_OWN_POOL.set(true);
}

/// Runs work on a thread that may wait; without a pool of all, on one of the runtime that this is called in. Work that is begun
/// goes on when nobody waits for it.
pub fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    match POOL.get().filter(|_| !HAS_OWN_POOL.get()) {
        Some(pool) => pool.spawn_blocking(work),
        None => tokio::task::spawn_blocking(work),
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use tokio::runtime::{Builder, Runtime};

    use super::*;

    fn runtime() -> Runtime {
        Builder::new_current_thread().build().unwrap()
    }

    #[test]
    fn threads_with_a_runtime_each_share_one_pool() {
        let own = || runtime().block_on(async { run(|| thread::current().id()).await.unwrap() });
        assert_ne!(own(), own(), "a pool each");
        let shared = runtime();
        use_pool(shared.handle().clone());
        let first = thread::spawn(own).join().unwrap();
        assert_eq!(first, thread::spawn(own).join().unwrap());
        let apart = move || {
            keep_own_pool();
            own()
        };
        assert_ne!(first, thread::spawn(apart).join().unwrap());
    }
}
