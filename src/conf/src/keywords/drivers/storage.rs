//! Keywords of what holds data: fs, disk, volume.

use crate::convert::Converter::{Boolean, Duration, List, Size, Words};
use crate::keywords::keyword::{Keyword, table};
use crate::keywords::reasons::{NO_PROMOTION, NO_RESERVATION, NO_SNAPSHOT};

const NO_LV: &str = "this agent makes no logical volumes";

pub(super) const FS_FLAG: &[Keyword] = table! {
    "stat_timeout".to(Duration).or("5").at().unread("a flag needs no time to answer"):
        "how long the flag may take to answer, in seconds";
};

pub(super) const FS_DIRECTORY: &[Keyword] = table! {
    "path".required().at():
        "folder that is there while the resource is started";
    "user".at():
        "owner of the folder, set by a start, and a warning where it is another";
    "group".at():
        "group of the folder, set by a start, and a warning where it is another";
    "perm".at():
        "mode of the folder, octal, set by a start, and a warning where it is another";
};

/// What is mounted, whatever from.
pub(super) const MOUNT: &[Keyword] = table! {
    "mnt".required().at():
        "mount point, made where it is missing";
    "mnt_opt".at():
        "mount options, as of mount -o";
    "stat_timeout".to(Duration).or("5").at():
        "how long the file system may take to answer, in seconds, before it is warn";
    "check_read".to(Boolean):
        "test by reading instead of writing that the file system works";
    "user".at():
        "owner of the mount point, set by a start, and a warning where it is another";
    "group".at():
        "group of the mount point, set by a start, and a warning where it is another";
    "perm".at():
        "mode of the mount point, octal, set by a start, and a warning where it is another";
    "size".to(Size).at():
        "size of what is made for the file system, in bytes";
    "zone".at().unread("this agent has no zones"):
        "zone below whose root the file system is mounted";
};

pub(super) const FS_TMPFS: &[Keyword] = table! {
    "dev".at():
        "name that the mount shows as its device";
};

pub(super) const FS: &[Keyword] = table! {
    "dev".required().at():
        "what is mounted: a device, an image, LABEL=, UUID=, host:/path, or a folder for bind";
    "vg".at().unread(NO_LV):
        "volume group in which a logical volume is made for the file system";
    "mkfs_opt".to(Words).or("").at():
        "more options for mkfs when the file system is provisioned";
    "create_options".to(Words).or("").at().unread(NO_LV):
        "more options for the logical volume that is made for the file system";
    "snap_size".at().unread(NO_SNAPSHOT):
        "size of snapshots of the file system";
    "snap_size_orig".at().unread(NO_SNAPSHOT):
        "older name of snap_size";
    "promote_rw".to(Boolean).at().unread(NO_PROMOTION):
        "make the disks below writable before a start";
    "prkey".at().unread(NO_RESERVATION):
        "key of the SCSI reservation of the resource; unset, that of DEFAULT, else of the node";
    "scsireserv".to(Boolean).at().unread(NO_RESERVATION):
        "hold a SCSI reservation on the disks below while the resource is up";
    "no_preempt_abort".to(Boolean).at().unread(NO_RESERVATION):
        "take the SCSI reservation of another node without aborting its commands";
};

pub(super) const DISK_LOOP: &[Keyword] = table! {
    "file".required().at():
        "image file that the loop device shows";
    "size".to(Size).or("100m").at():
        "size of the image that is made when the disk is provisioned, in bytes";
    "promote_rw".to(Boolean).at().unread(NO_PROMOTION):
        "make the disks below writable before a start";
    "scsireserv".to(Boolean).at().unread(NO_RESERVATION):
        "hold a SCSI reservation on the disks below while the resource is up";
    "no_preempt_abort".to(Boolean).at().unread(NO_RESERVATION):
        "take the SCSI reservation of another node without aborting its commands";
    "prkey".at().unread(NO_RESERVATION):
        "key of the SCSI reservation of the resource; unset, that of DEFAULT, else of the node";
};

pub(super) const VOLUME: &[Keyword] = table! {
    "name".or("{name}-vol-{rindex}").at():
        "vol object of the namespace that the service uses";
    "pool".at():
        "pool of the cluster that the vol object is made of; unset, one that has what is asked for";
    "size".to(Size).at():
        "size of the vol object that is made when the volume is provisioned, in bytes";
    "access".or("rwo").one_of(&["rwo", "roo", "rwx", "rox"]):
        "who uses the volume: one node (o) or several at a time (x), to write (rw) or to read (ro)";
    "format".to(Boolean).or("true").at():
        "make a file system on the volume; with false it is a bare device";
    "nodes".at():
        "nodes of the vol object that is made; unset, those of the service";
    "configs".to(Words).or("").at():
        "keys of cfg objects that a start installs in the volume, as object/key:path";
    "secrets".to(Words).or("").at():
        "keys of sec objects that a start installs in the volume, as object/key:path";
    "directories".to(List).at():
        "folders that a start makes in the volume";
    "user".at():
        "owner of what a start installs in the volume";
    "group".at():
        "group of what a start installs in the volume";
    "perm".at():
        "mode of the files that a start installs in the volume, octal";
    "dirperm".at():
        "mode of the folders that a start makes in the volume, octal";
    "signal".at().unread("this agent sends no signal when the content of a volume changes"):
        "signal for resources when what is installed in the volume changed, as hup:container#1";
};
