//! Pages of a device, read and written past the cache of the system: what a peer wrote is on the device, not in it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

use rustix::fs::OFlags;
use wire::heartbeat::disk::{
    self as layout, DoesNotFit, META, Message, Names, PAGE, SLOT, message_offset, name_offset,
};

/// Bytes read first of a message: most are shorter.
const FIRST: usize = 16 << 10;

/// A buffer at a page boundary, as direct reads and writes need it. The vector is never grown, so it stays there.
struct Pages {
    bytes: Vec<u8>,
    start: usize,
}

impl Pages {
    fn new(length: usize) -> Self {
        let bytes = vec![0; length + PAGE];
        let start = bytes.as_ptr().align_offset(PAGE);
        Self { bytes, start }
    }

    fn get(&mut self, length: usize) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + length]
    }
}

/// A device, opened anew by each call.
pub(super) struct Device {
    path: PathBuf,
    pages: Pages,
}

impl Device {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, pages: Pages::new(SLOT) }
    }

    /// The device behind links, and whether it is one: a regular file serves for tests.
    pub(super) fn examine(&mut self) -> io::Result<(PathBuf, bool)> {
        let path = self.path.canonicalize()?;
        let kind = path.metadata()?.file_type();
        if !kind.is_block_device() && !kind.is_file() {
            return Err(io::Error::other("not a block device"));
        }
        self.open()?;
        Ok((path, kind.is_block_device()))
    }

    fn open(&self) -> io::Result<File> {
        let open = |flags: OFlags| {
            let flags = i32::try_from(flags.bits()).unwrap_or_default();
            OpenOptions::new().read(true).write(true).custom_flags(flags).open(&self.path)
        };
        let synchronous = OFlags::SYNC | OFlags::DSYNC | OFlags::CLOEXEC;
        match open(synchronous | OFlags::DIRECT) {
            // Some file systems have no direct access; devices do.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INVAL.raw_os_error()) => {
                open(synchronous)
            }
            opened => opened,
        }
    }

    /// Whose the slots are.
    pub(super) fn names(&mut self) -> io::Result<Names> {
        let file = self.open()?;
        let mut region = Vec::with_capacity(FIRST);
        while region.len() < META {
            let pages = self.pages.get(FIRST);
            file.read_exact_at(pages, region.len() as u64)?;
            region.extend_from_slice(pages);
            if Names::read(&region[region.len() - FIRST..]).free.is_some() {
                break;
            }
        }
        Ok(Names::read(&region))
    }

    /// Writes the name of a node into a slot.
    pub(super) fn write_name(&mut self, slot: usize, node: &str) -> io::Result<()> {
        let file = self.open()?;
        let page = self.pages.get(PAGE);
        layout::write_name(page, node);
        file.write_all_at(page, name_offset(slot))
    }

    /// Writes a message into the slot of a node, and returns the bytes written. None: the slot is another's.
    pub(super) fn write_message(
        &mut self,
        slot: usize,
        node: &str,
        message: &Message,
    ) -> io::Result<Option<Result<usize, DoesNotFit>>> {
        let file = self.open()?;
        let page = self.pages.get(PAGE);
        file.read_exact_at(page, name_offset(slot))?;
        if layout::name(page).as_deref() != Some(node) {
            return Ok(None);
        }
        let length = match message.write(self.pages.get(SLOT)) {
            Ok(length) => length,
            Err(too_long) => return Ok(Some(Err(too_long))),
        };
        // Readers stop at the NUL: the rest of the slot need not change.
        let pages = self.pages.get(length.next_multiple_of(PAGE));
        file.write_all_at(pages, message_offset(slot))?;
        Ok(Some(Ok(length)))
    }

    /// Reads the message of a slot.
    pub(super) fn read_message(&mut self, slot: usize) -> io::Result<Option<Message>> {
        let file = self.open()?;
        let first = self.pages.get(FIRST);
        file.read_exact_at(first, message_offset(slot))?;
        if first.contains(&0) {
            return Ok(Message::read(first));
        }
        let whole = self.pages.get(SLOT);
        file.read_exact_at(whole, message_offset(slot))?;
        Ok(Message::read(whole))
    }
}
