//! Checks of the servers that are not in use, so that requests return to a preferred one when it answers again.

use std::time::Duration;

use futures_util::future::join_all;

use super::Upstream;
use super::health::ServerVerdict;
use crate::backoff::drawn;

/// The longest pause between two checks; the shortest is half of it.
const PAUSE: Duration = Duration::from_secs(2);
/// The number of good checks in a row before requests return.
const LOOKS: u32 = 2;

impl Upstream {
    /// Returns to a preferred server when that answers again. Runs as long as the process.
    pub(crate) async fn look_after(&self) {
        if !self.has_others() {
            return;
        }
        let mut good = vec![0; self.servers.len()];
        loop {
            // Replicas that lost a server in one moment must not all check it in one.
            tokio::time::sleep(drawn(PAUSE, 0.5..=1.0)).await;
            let current = self.place();
            let (operator, all) = (self.operator_wanted(), self.servers.iter().enumerate());
            let looks = all.filter(|(place, server)| *place < current || server.health.is_foreign());
            let looks = looks.map(async |(place, server)| {
                let look = self.noted(place, server.look(operator.as_ref()).await);
                (place, look.is_ok())
            });
            for (place, is_good) in join_all(looks).await {
                good[place] = if is_good { good[place] + 1 } else { 0 };
                if good[place] >= LOOKS && self.servers[place].health.may_return() {
                    good[place] = 0;
                    self.is_well(place);
                }
            }
        }
    }

    /// A server that was out of use answers again.
    fn is_well(&self, place: usize) {
        self.servers[place].health.judge(ServerVerdict::Unknown);
        self.servers[place].health.answered();
        if place < self.place() {
            self.go(place, |_| "it is well again, and preferred".into());
        }
    }
}
