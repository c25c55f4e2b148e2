//! What a daemon takes, as the kernel counts it.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

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

    /// How often these bytes are in the memory that the daemon may write to. Its reader has to be root, or to trace it.
    ///
    /// # Panics
    ///
    /// When it cannot be read.
    #[must_use]
    pub fn in_memory(&self, wanted: &[u8]) -> usize {
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", self.pid())).expect("it runs");
        let memory = File::open(format!("/proc/{}/mem", self.pid())).expect("its memory is read");
        let pages = File::open(format!("/proc/{}/pagemap", self.pid())).expect("its pages");
        let mut count = 0;
        for line in maps.lines() {
            let mut words = line.split_whitespace();
            let (Some(range), Some(rights)) = (words.next(), words.next()) else { continue };
            let Some((from, to)) = range.split_once('-').filter(|_| rights.starts_with("rw"))
            else {
                continue;
            };
            let address = |text| u64::from_str_radix(text, 16).expect("an address");
            count += count_in(&memory, &pages, address(from), address(to), wanted);
        }
        count
    }

    /// The peak counts from now on.
    ///
    /// # Panics
    ///
    /// When the kernel does not allow it.
    pub fn forget_peak(&self) {
        let cleared = std::fs::write(format!("/proc/{}/clear_refs", self.pid()), "5");
        // Only root may: as another user, what was held before counts as well.
        assert!(cleared.is_ok() || !crate::is_root(), "our own child: {cleared:?}");
    }
}

/// Bytes of a page.
const PAGE: u64 = 4096;

/// How often these bytes are in a part of the memory. Pages that are not there are passed over.
fn count_in(memory: &File, pages: &File, from: u64, to: u64, wanted: &[u8]) -> usize {
    let mut entries = vec![0; usize::try_from((to - from) / PAGE * 8).expect("an address")];
    if pages.read_exact_at(&mut entries, from / PAGE * 8).is_err() {
        return 0;
    }
    // The highest bit of an entry: the page is in memory, the next one: on a disk.
    let mut is_there = entries.chunks_exact(8).map(|entry| entry[7] & 0xc0 != 0).enumerate();
    let mut count = 0;
    while let Some((first, _)) = is_there.find(|(_, is_there)| *is_there) {
        let more = is_there.by_ref().take_while(|(_, is_there)| *is_there).count() as u64;
        let mut run = vec![0; usize::try_from((more + 1) * PAGE).expect("an address")];
        if memory.read_exact_at(&mut run, from + first as u64 * PAGE).is_ok() {
            let starts = run.iter().enumerate().filter(|(_, byte)| **byte == wanted[0]);
            count += starts.filter(|(start, _)| run[*start..].starts_with(wanted)).count();
        }
    }
    count
}
