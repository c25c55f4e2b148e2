//! The publications of the cluster data, as an actor follows them: the newest state is what counts, not each change.

use actix::prelude::*;
use tokio::sync::watch;

use crate::cluster_data::WatchGeneration;

/// News of the cluster data: several publications at once are one.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Published;

/// Has an actor told of each publication, and of what is there already. The actor ends with the cluster data: as any fall,
/// that is repaired by its supervisor.
pub fn follow<A>(watch: &Recipient<WatchGeneration>, actor: &A, ctx: &mut Context<A>)
where
    A: Actor<Context = Context<A>> + StreamHandler<Published> + Handler<Published>,
{
    let watched = watch.send(WatchGeneration);
    ctx.spawn(watched.into_actor(actor).map(|watched, _, ctx| match watched {
        Ok(published) => {
            ctx.notify(Published);
            ctx.add_stream(publications(published));
        }
        Err(_) => ctx.stop(),
    }));
}

/// A value for each publication; several at once are one.
fn publications(
    published: watch::Receiver<u64>,
) -> impl futures_util::Stream<Item = Published> + 'static {
    futures_util::stream::unfold(published, |mut published| async move {
        published.changed().await.ok()?;
        Some((Published, published))
    })
}
