//! What takes the node down at once: the kernel's sysrq.

use std::io;
use std::sync::Arc;

use crate::paths::{Paths, ROOT_VARIABLE};

/// Asks the kernel for something at once: `b` reboots, `c` crashes. Replaced in tests.
pub type Sysrq = Arc<dyn Fn(char) -> io::Result<()> + Send + Sync>;

/// The real one. Refuses unless root of an installed agent asks: a test, or a private tree, never takes the machine down.
///
/// # Errors
///
/// Refused, or the kernel does not offer it.
pub fn sysrq(paths: &Paths, letter: char) -> io::Result<()> {
    let is_root = rustix::process::geteuid().is_root();
    let is_private = *paths != Paths::packaged() || std::env::var_os(ROOT_VARIABLE).is_some();
    if !is_root || is_private {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "only root, and an agent without private root, may take the node down",
        ));
    }
    std::fs::write("/proc/sysrq-trigger", letter.to_string())
}
