//! Keywords of sync resources.

use crate::convert::Converter::{Boolean, DurationMinutes, List, Speed, Words};
use crate::keywords::keyword::{Keyword, table};

const NO_SUCH_SYNC: &str = "this agent has no such sync action";

/// Common to all sync drivers.
pub(crate) const SYNC: &[Keyword] = table! {
    "sync_max_delay".to(DurationMinutes).or("1d3h").at():
        "age of the last copy after which the sync is late, and warn; a bare number is minutes";
    "schedule".inherits("sync_schedule").at():
        "when the data is copied, as 04:00-06:00@121, @60 or a list of such";
    "pre_sync_nodes".at():
        "command before a copy to the nodes, whose failure is a warning";
    "post_sync_nodes".at():
        "command after a copy to the nodes, whose failure is a warning";
    "blocking_pre_sync_nodes".at():
        "command before a copy to the nodes, whose failure ends the action";
    "blocking_post_sync_nodes".at():
        "command after a copy to the nodes, whose failure ends the action";
    "pre_sync_drp".at():
        "command before a copy to the drpnodes, whose failure is a warning";
    "post_sync_drp".at():
        "command after a copy to the drpnodes, whose failure is a warning";
    "blocking_pre_sync_drp".at():
        "command before a copy to the drpnodes, whose failure ends the action";
    "blocking_post_sync_drp".at():
        "command after a copy to the drpnodes, whose failure ends the action";
    "pre_sync_update".at():
        "command before a sync update, whose failure is a warning";
    "post_sync_update".at():
        "command after a sync update, whose failure is a warning";
    "blocking_pre_sync_update".at():
        "command before a sync update, whose failure ends the action";
    "blocking_post_sync_update".at():
        "command after a sync update, whose failure ends the action";
    "pre_sync_resync".at().unread(NO_SUCH_SYNC):
        "command before a resync of storage arrays, whose failure is a warning";
    "post_sync_resync".at().unread(NO_SUCH_SYNC):
        "command after a resync of storage arrays, whose failure is a warning";
    "blocking_pre_sync_resync".at().unread(NO_SUCH_SYNC):
        "command before a resync of storage arrays, whose failure ends the action";
    "blocking_post_sync_resync".at().unread(NO_SUCH_SYNC):
        "command after a resync of storage arrays, whose failure ends the action";
    "pre_sync_restore".at().unread(NO_SUCH_SYNC):
        "command before a restore from the copy, whose failure is a warning";
    "post_sync_restore".at().unread(NO_SUCH_SYNC):
        "command after a restore from the copy, whose failure is a warning";
    "blocking_pre_sync_restore".at().unread(NO_SUCH_SYNC):
        "command before a restore from the copy, whose failure ends the action";
    "blocking_post_sync_restore".at().unread(NO_SUCH_SYNC):
        "command after a restore from the copy, whose failure ends the action";
    "sync_nodes_requires".or("").at():
        "resources that have to be up for a copy to the nodes, as rid or rid(state,..)";
    "sync_drp_requires".or("").at():
        "resources that have to be up for a copy to the drpnodes, as rid or rid(state,..)";
    "sync_update_requires".or("").at():
        "resources that have to be up for a sync update, as rid or rid(state,..)";
    "sync_resync_requires".or("").at().unread(NO_SUCH_SYNC):
        "resources that have to be up for a resync of storage arrays, as rid or rid(state,..)";
};

pub(super) const SYNC_RSYNC: &[Keyword] = table! {
    "src".to(List).required().at():
        "files and folders that are copied; a slash at the end means what is in the folder";
    "dst".required():
        "absolute path at the target that the data is copied to";
    "target".to(List).required():
        "which nodes of the service get the copy: nodes, drpnodes, or both";
    "options".to(Words).or("").at():
        "more options for rsync";
    "reset_options".to(Boolean):
        "use the options alone, without those that the agent gives by itself";
    "bwlimit".to(Speed):
        "most bandwidth of a copy, in KB per second; unset, that of DEFAULT, else without limit";
    "dstfs":
        "mount point that has to be mounted at the target before anything is copied there";
    "snap".to(Boolean).refused("this agent makes no snapshots: nothing would be copied"):
        "copy from snapshots of the logical volumes below";
};
