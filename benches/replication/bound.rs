//! Every account is requested at a cache with a bound of 64 MiB: whether the bound holds.

use crate::support::figure::{figure, quantiles};
use crate::support::{self, until_metric};
use crate::world::World;

const BOUND: u64 = 64 << 20;

pub(crate) async fn run(world: &World) {
    let (_primary, port) = world.primary(&[]).await;
    let settings = [("NAS_REPLICA__CACHE_BYTES", "64MiB")];
    let (cache, port) = world.passing_cache(port, &settings);
    until_metric(port, "replica_feed_connected 1").await;
    let idle = cache.anonymous();
    let (times, whole) = support::load(port, world.deal(world.len())).await;
    quantiles("a cache in passing", &times);
    figure("a cache in passing, requests", times.len() as f64 / whole.as_secs_f64(), "per second");
    figure("a cache in passing, anonymous memory", cache.anonymous() as f64 / 1e6, "MB");
    figure("a cache in passing, its bound and its memory at first", (BOUND + idle) as f64 / 1e6, "MB");
}
