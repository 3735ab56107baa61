//! How many replicas there are at each distance from this server, and how far they are behind.

use super::Replicas;
use crate::feed::Head;

/// Replicas at one distance from this server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tier {
    /// How many count.
    pub replicas: u64,
    /// Changes that the furthest of them lacks. `None`: there is none.
    pub lag: Option<u64>,
}

impl Tier {
    fn add(&mut self, replicas: u64, serial: u64, here: Head) {
        self.replicas += replicas;
        self.lag = self.lag.max(Some(here.serial.saturating_sub(serial)));
    }
}

impl Replicas {
    /// Those that report here, and those that follow one that does, which are as far as the furthest of them and it.
    pub fn tiers(&self) -> (Tier, Tier) {
        let state = self.state.lock();
        let (mut direct, mut below) = (Tier::default(), Tier::default());
        let Some(here) = state.here else { return (direct, below) };
        for row in state.rows.values().filter(|row| row.counts()) {
            if !row.follower.is_leaving {
                let own = row.own.filter(|own| own.session == here.session).map_or(0, |own| own.serial);
                direct.add(1, own, here);
            }
            if row.follower.below > 0 {
                below.add(row.follower.below, row.serial(here.session), here);
            }
        }
        (direct, below)
    }
}
