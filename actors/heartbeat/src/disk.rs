//! Frames in slots of a shared device.
//!
//! All reading and writing is done by a thread of its own, which a device that hangs may hang; the worker waits for it no
//! longer than the timeout, and tells.

mod device;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use model::thread::HeartbeatConfig;
use model::{Alert, NodeName};
use tokio::sync::oneshot;
use wire::heartbeat::disk::{Message, Names};

use machine::clock;

use crate::disk::device::Device;
use crate::inbox::{Inbox, Origin, Taken};
use crate::note::{Note, Notes};
use crate::outbox::Outbox;
use dataset::heartbeats::section::Section;

/// Shortest pause between two messages: each is a synchronous write.
const WRITE_PAUSE: Duration = Duration::from_millis(50);

/// How long the writer of a name waits before it reads whether it is still there: another node may take the same slot.
const CLAIM_PAUSE: Duration = Duration::from_millis(100);

type Job = Box<dyn FnOnce(&mut Device) + Send>;

/// A device, and the thread that reads and writes it.
struct Disk {
    jobs: mpsc::Sender<Job>,
    /// Longest wait for one job.
    patience: Duration,
    notes: Notes,
}

impl Disk {
    /// Checks the keyword `dev` and starts the thread. The device is opened for each job anew.
    fn new(section: &Section, notes: &Notes) -> Result<Self, String> {
        let dev = section.keyword("dev").unwrap_or_default();
        if dev.starts_with("/dev/dm-") {
            return Err(format!(
                "{dev} is not the same device after a boot: use its /dev/mapper name"
            ));
        }
        if dev.starts_with("/dev/sd") {
            let text = format!("{dev} may be another device after a boot: use its /dev/disk name");
            notes.alert("dev", Some(Alert::warning(text)));
        }
        let path = PathBuf::from(dev);
        let (jobs, received) = mpsc::channel::<Job>();
        let name = format!("{} disk", section.settings.name);
        let spawned = std::thread::Builder::new().name(name).spawn(move || {
            let mut device = Device::new(path);
            // Until the driver ends.
            while let Ok(job) = received.recv() {
                job(&mut device);
            }
        });
        spawned.map_err(|error| format!("no thread for {dev}: {error}"))?;
        Ok(Self { jobs, patience: section.settings.timeout, notes: notes.clone() })
    }

    /// Has the thread do something.
    async fn job<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Device) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let (done, result) = oneshot::channel();
        let job = Box::new(move |device: &mut Device| _ = done.send(work(device)));
        let gone = || io::Error::other("the thread of the device is gone");
        self.jobs.send(job).map_err(|_| gone())?;
        let mut result = result;
        match tokio::time::timeout(self.patience, &mut result).await {
            Ok(result) => result.map_err(|_| gone())?,
            Err(_) => {
                // What hangs is waited for, not doubled.
                let text = "the device does not answer".to_owned();
                self.notes.alert("device", Some(Alert::error(text)));
                let late = result.await.map_err(|_| gone())?;
                self.notes.alert("device", None);
                late
            }
        }
    }

    async fn tell(&self, section: &Section) -> io::Result<()> {
        let (shown, is_block) = self.job(|device| device.examine()).await?;
        let dev = Some(shown.display().to_string());
        let config = HeartbeatConfig { dev, ..HeartbeatConfig::default() };
        self.notes.tell(Note::Config(Box::new(config)));
        if !is_block {
            let dev = section.keyword("dev").unwrap_or_default();
            let text = format!("{dev} is a file, not a block device: good for tests only");
            self.notes.alert("file", Some(Alert::warning(text)));
        }
        Ok(())
    }

    fn tell_slots(&self, section: &Section, names: &Names) {
        for node in &section.settings.nodes {
            let slot = names.slot(node.as_str()).and_then(|slot| i64::try_from(slot).ok());
            self.notes.tell(Note::Slot { node: node.clone(), slot: slot.unwrap_or(-1) });
        }
        for (name, slot) in names.duplicates() {
            log::warn!("heartbeat slot {slot} also names {name}: the first one counts");
        }
    }
}

fn failure(section: &Section, error: &io::Error) -> String {
    format!("disk {}: {error}", section.keyword("dev").unwrap_or_default())
}

/// Writes each beat into the slot of this node.
pub(super) async fn transmit(outbox: Outbox) -> String {
    let section = outbox.section.clone();
    let disk = match Disk::new(&section, &outbox.notes) {
        Ok(disk) => disk,
        Err(reason) => return reason,
    };
    match write_all(&disk, outbox).await {
        Ok(()) => "nothing is sent any more".to_owned(),
        Err(error) => failure(&section, &error),
    }
}

async fn write_all(disk: &Disk, mut outbox: Outbox) -> io::Result<()> {
    let section = outbox.section.clone();
    disk.tell(&section).await?;
    let mut slot = claim(disk, &section).await?;
    loop {
        if outbox.beats.changed().await.is_err() {
            return Ok(());
        }
        let Some(beat) = outbox.beats.borrow_and_update().clone() else { continue };
        let Some(frame) = beat.common_frame() else { continue };
        let message =
            Message { msg: String::from_utf8_lossy(frame).into_owned(), updated: clock::now().0 };
        let node = section.nodename.to_string();
        match disk.job(move |device| device.write_message(slot, &node, &message)).await? {
            Some(Ok(_)) => {
                outbox.notes.alert("length", None);
                outbox.notes.tell(Note::BeatToAll { bytes: frame.len() });
            }
            Some(Err(too_long)) => {
                outbox.notes.failed(None, too_long);
                outbox.notes.alert("length", Some(Alert::error(too_long.to_string())));
            }
            // Another node wrote its name there.
            None => slot = claim(disk, &section).await?,
        }
        tokio::time::sleep(WRITE_PAUSE).await;
    }
}

/// The slot of this node; the first free one is taken when it has none.
async fn claim(disk: &Disk, section: &Section) -> io::Result<usize> {
    loop {
        let names = disk.job(Device::names).await?;
        disk.tell_slots(section, &names);
        if let Some(slot) = names.slot(section.nodename.as_str()) {
            return Ok(slot);
        }
        let free = names.free.ok_or_else(|| io::Error::other("all slots are taken"))?;
        let node = section.nodename.to_string();
        disk.job(move |device| device.write_name(free, &node)).await?;
        // Nothing locks this: whoever wrote last has it, the other one finds out and takes the next.
        tokio::time::sleep(CLAIM_PAUSE).await;
    }
}

/// What was seen in the slots of the peers.
///
/// A device keeps the last message of a node that is gone: what is in a slot at first says nothing. Whoever changes it
/// is there, whatever time it writes: the clocks of two nodes may be an hour apart.
#[derive(Default)]
struct Sights(BTreeMap<NodeName, (usize, Option<u64>)>);

impl Sights {
    /// Whether the slot of a peer holds another message than when it was read last. The first time it does not.
    fn is_change(&mut self, peer: &NodeName, slot: usize, message: Option<&Message>) -> bool {
        let mark = message.map(|message| {
            let mut hasher = DefaultHasher::new();
            message.updated.to_bits().hash(&mut hasher);
            message.msg.hash(&mut hasher);
            hasher.finish()
        });
        let before = self.0.insert(peer.clone(), (slot, mark));
        before.is_some_and(|(old_slot, old_mark)| old_slot == slot && old_mark != mark)
    }
}

/// What is told of a deployed agent whose clock is off by that much: it is heard, and does not hear this node.
fn clock_alert(peer: &NodeName, age: f64, timeout: f64) -> Option<Alert> {
    // In steps of 10 s: what wavers is no news.
    let seconds = (age.abs() / 10.0).round() * 10.0;
    let text = format!(
        "{peer}: its clock differs from ours by {seconds:.0} s: a deployed agent does not hear this disk: set them right"
    );
    (age.abs() > timeout).then_some(Alert::warning(text))
}

/// Reads the slots of the peers, once per interval.
pub(super) async fn receive(inbox: Inbox) -> String {
    let section = inbox.section().clone();
    let disk = match Disk::new(&section, inbox.notes()) {
        Ok(disk) => disk,
        Err(reason) => return reason,
    };
    match read_all(&disk, &inbox).await {
        Ok(()) => "nothing is received any more".to_owned(),
        Err(error) => failure(&section, &error),
    }
}

async fn read_all(disk: &Disk, inbox: &Inbox) -> io::Result<()> {
    let section = inbox.section();
    let peers: Vec<NodeName> = section.peers().cloned().collect();
    disk.tell(section).await?;
    let mut names = Names::default();
    let mut sights = Sights::default();
    let mut is_moved = false;
    loop {
        let begun = tokio::time::Instant::now();
        // Deployed agents look for a missing name each sixth round: a peer that starts a moment later is not heard for 30 s.
        if std::mem::take(&mut is_moved)
            || peers.iter().any(|peer| names.slot(peer.as_str()).is_none())
        {
            let found = disk.job(Device::names).await?;
            if found != names {
                names = found;
                disk.tell_slots(section, &names);
            }
        }
        for peer in &peers {
            let Some(slot) = names.slot(peer.as_str()) else { continue };
            let message = disk.job(move |device| device.read_message(slot)).await?;
            if !sights.is_change(peer, slot, message.as_ref()) {
                continue;
            }
            let Some(message) = message else { continue };
            let taken = inbox.take(message.msg.into_bytes(), Origin::Slot).await;
            let Taken::Heard { peer: sender, is_sealed } = taken else { continue };
            if !is_sealed {
                let timeout = section.settings.timeout.as_secs_f64();
                let alert = clock_alert(&sender, clock::now().0 - message.updated, timeout);
                inbox.notes().alert(&format!("clock {sender}"), alert);
            }
            if sender != *peer {
                log::warn!(peer:% = peer, sender:% = sender; "a heartbeat slot holds another's message");
                is_moved = true;
            }
        }
        tokio::time::sleep_until(begun + section.settings.interval).await;
    }
}

#[cfg(test)]
mod tests;
