//! Locks of the cluster, claimed and given back.

use actix::prelude::*;
use mail::cluster_data::{ClaimLock, ReleaseLock};

use crate::ClusterData;

impl Handler<ClaimLock> for ClusterData {
    type Result = Option<String>;

    fn handle(&mut self, lock: ClaimLock, ctx: &mut Context<Self>) -> Option<String> {
        let id = self.state.claim_lock(
            &lock.name,
            &lock.requester,
            machine::random::random_uuid(),
            machine::clock::now(),
        );
        // Who got it may look for it at once.
        self.publish(ctx);
        id
    }
}

impl Handler<ReleaseLock> for ClusterData {
    type Result = ();

    fn handle(&mut self, lock: ReleaseLock, ctx: &mut Context<Self>) {
        self.state.release_lock(&lock.name, &lock.id);
        self.publish(ctx);
    }
}
