//! Why a keyword is not done: the reasons that several tables name.

pub(super) const NO_COLLECTOR: &str = "this agent pushes nothing to the collector";
pub(super) const NO_DNS: &str = "this agent does not answer for the DNS";
pub(super) const NO_PROMOTION: &str = "this agent does not make disks writable";
pub(super) const NO_SNAPSHOT: &str = "this agent makes no snapshots";
pub(super) const NO_RESERVATION: &str =
    "this agent takes no SCSI reservations: nothing keeps another node from writing";
