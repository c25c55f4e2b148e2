//! Keywords of `pool#` sections.

use crate::convert::Converter::{Integer, List};
use crate::keywords::keyword::{Keyword, table};

/// Types of pools, those of which this agent makes volumes first.
pub(crate) const POOL_TYPES: &[&str] = &[
    "directory",
    "loop",
    "shm",
    "vg",
    "zpool",
    "drbd",
    "share",
    "virtual",
    "freenas",
    "symmetrix",
    "dorado",
    "hcs",
    "pure",
];

pub(super) const POOL: &[Keyword] = table! {
    "type".or("directory").one_of(POOL_TYPES):
        "what volumes of the pool are made of";
    "path":
        "folder that volumes are made in; unset, one of the agent for the type";
    "name":
        "older name of path; of a vg or zpool pool, that of the group or pool";
    "fs_type".or("xfs"):
        "file system that is made on volumes that are formatted";
    "mkfs_opt":
        "more options for mkfs";
    "mnt_opt".at():
        "mount options of the volumes";
    "status_schedule":
        "when the state of the volumes is evaluated, noted in each that is made";
    "comment".or("").describes():
        "note for who reads the configuration";
};

/// What only the pools of other agents have.
const NO_POOL: &str = "this agent makes no volumes of such a pool";

pub(super) const POOL_ELSEWHERE: &[Keyword] = table! {
    "mkblk_opt".unread(NO_POOL):
        "more options for the block device of a volume of a vg, zpool or drbd pool";
    "vg".unread(NO_POOL):
        "volume group that backing devices of a drbd pool are made in";
    "zpool".unread(NO_POOL):
        "zpool that backing devices of a drbd pool are made in";
    "addr".at().unread(NO_POOL):
        "address that volumes of a drbd pool replicate over";
    "network".unread(NO_POOL):
        "network of the cluster whose addresses volumes of a drbd pool replicate over";
    "max_peers".to(Integer).or("0").unread(NO_POOL):
        "how many peers the metadata of a drbd volume has room for";
    "template".unread(NO_POOL):
        "object whose configuration volumes of a virtual pool copy";
    "volume_env".to(List).unread(NO_POOL):
        "keywords of the service that volumes of a virtual pool get in their section env";
    "optional_volume_env".to(List).unread(NO_POOL):
        "keywords of the service that volumes of a virtual pool get in their section env where they are set";
    "capabilities".to(List).unread(NO_POOL):
        "what volumes of a virtual pool are good for, as rwo, rwx, blk, shared";
    "array".unread(NO_POOL):
        "section of the storage array that volumes are made in";
    "diskgroup".unread(NO_POOL):
        "disk group of the storage array that volumes are made in";
    "pool".unread(NO_POOL):
        "pool of the storage array that volumes are made in";
    "pod".unread(NO_POOL):
        "pod of the pure array that volumes are made in";
    "volumegroup".unread(NO_POOL):
        "volume group of the pure array that volumes are made in";
    "domain".unread(NO_POOL):
        "domain of the storage array that volumes are made in";
    "srp".unread(NO_POOL):
        "storage resource pool of the symmetrix array that volumes are made in";
    "slo".unread(NO_POOL):
        "service level of volumes of the symmetrix array";
    "srdf".unread(NO_POOL):
        "replicate volumes of the symmetrix array to another one";
    "rdfg".unread(NO_POOL):
        "replication group of volumes of the symmetrix array";
    "label_prefix".unread(NO_POOL):
        "begin of the labels that volumes have in the storage array";
    "delete_now".unread(NO_POOL):
        "destroy deleted volumes of the pure array at once";
    "compression".unread(NO_POOL):
        "compress volumes of the storage array";
    "dedup".unread(NO_POOL):
        "store equal blocks of the storage array once";
    "sparse".unread(NO_POOL):
        "let volumes of the storage array take room as they are written";
    "blocksize".unread(NO_POOL):
        "block size of volumes of the storage array, in bytes";
    "insecure_tpc".unread(NO_POOL):
        "let any initiator copy within the freenas array";
    "hypermetrodomain".unread(NO_POOL):
        "domain that volumes of the dorado array are mirrored in";
    "volume_id_range_from".unread(NO_POOL):
        "first id that volumes of the hcs array get";
    "volume_id_range_to".unread(NO_POOL):
        "last id that volumes of the hcs array get";
    "vsm_id".unread(NO_POOL):
        "virtual machine of the hcs array that volumes are made in";
};
