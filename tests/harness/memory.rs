//! What a daemon takes, as the kernel counts it.

use crate::Node;

impl Node {
    /// A line of `/proc/<pid>/status` of the daemon, in KiB.
    fn kernel_kib(&self, line: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))
            .expect("the daemon runs");
        let line = status.lines().find_map(|text| text.strip_prefix(line));
        let number = line.and_then(|line| line.split_whitespace().next());
        number.and_then(|word| word.parse().ok()).expect("a number of the kernel")
    }

    /// Resident memory of the daemon, in KiB.
    #[must_use]
    pub fn resident_kib(&self) -> u64 {
        self.kernel_kib("VmRSS:")
    }

    /// The most that it ever was since [`Self::forget_peak`], in KiB.
    #[must_use]
    pub fn peak_kib(&self) -> u64 {
        self.kernel_kib("VmHWM:")
    }

    /// The peak counts from now on.
    ///
    /// # Panics
    ///
    /// When the kernel does not allow it.
    pub fn forget_peak(&self) {
        std::fs::write(format!("/proc/{}/clear_refs", self.pid()), "5").expect("our own child");
    }
}
