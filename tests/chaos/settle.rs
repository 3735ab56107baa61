//! The end: all is healed, and everybody comes to hold the same, or says that he is ahead.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::play::Play;
use super::readers::read;

/// How long it may take. A replica that was led astray often leaves a server alone for a while.
const PEACE: Duration = Duration::from_secs(30);

impl Play {
    /// Waits until all agree; then every account is signed anew, and all agree without exception.
    pub(super) async fn settle(&self) {
        let went_back = self.world.went_back.load(Ordering::Relaxed);
        self.all_agree(went_back).await;
        let desk = self.desk();
        for subject in 0..self.world.used() {
            let number = self.world.mint(subject, 1);
            assert_eq!(desk.push(&self.world, false, number).await, Some(200));
        }
        self.all_agree(false).await;
    }

    async fn all_agree(&self, may_be_ahead: bool) {
        let began = Instant::now();
        loop {
            let differences = self.differences(may_be_ahead).await;
            self.world.judge(self.seed);
            let Some((subject, difference)) = differences.first() else { return };
            if began.elapsed() > PEACE {
                let all: Vec<&str> = differences.iter().map(|(_, difference)| difference.as_str()).collect();
                println!("{}", all.join("\n"));
                self.world.fault(*subject, &format!("{} differences remain, one: {difference}", differences.len()));
                self.world.judge(self.seed);
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Where replicas do not hold what the primary does.
    async fn differences(&self, may_be_ahead: bool) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        let mut primary = Vec::new();
        for subject in 0..self.world.used() {
            primary.push(self.shown(0, subject).await);
        }
        for (number, member) in self.members.iter().enumerate().skip(1) {
            let mut ahead = 0;
            let mut ahead_of = Vec::new();
            for (subject, there) in primary.iter().enumerate() {
                let here = self.shown(number, subject).await;
                if here == *there {
                    continue;
                }
                let (iat, deletion) = {
                    let ledger = self.world.ledger();
                    let iat = |shown: &Result<Option<usize>, u16>| {
                        shown.ok().flatten().map(|number| ledger.minted(number).iat)
                    };
                    ((iat(there), iat(&here)), iat(there).and_then(|iat| ledger.deletion_of(subject, iat)))
                };
                let primary_buried = self.members[0].node.book().get(&subject).map_or(0, |seen| seen.at_least);
                let is_mirror = member.is_mirror;
                let is_ahead = match iat {
                    // A cache has heard of something later, and holds nothing.
                    (_, None) if here == Err(503) && !is_mirror => true,
                    (Some(there), Some(here)) => here >= there,
                    // Deleted here, and the primary has lost that.
                    (Some(_), None) => here.is_ok() && deletion.is_some(),
                    (None, Some(here)) => here >= primary_buried,
                    (None, None) => false,
                };
                if is_ahead && may_be_ahead {
                    ahead_of.push((subject, here, *there, iat));
                    // A cache compares what it holds, and it holds nothing of what is deleted.
                    ahead += u32::from(iat.1.is_some() || is_mirror);
                } else {
                    let name = member.node.name;
                    found.push((
                        subject,
                        format!("{name} has {here:?} ({:?}), the primary {there:?} ({:?})", iat.1, iat.0),
                    ));
                }
            }
            let http = &member.server.as_ref().unwrap().http;
            let said = http.metric("replica_ahead_accounts", "").await;
            if said < f64::from(ahead) || (said > 0.0 && !may_be_ahead) {
                // One that it does not name, if there is one, says most.
                let named = http.get("/jwt/v1/ahead").await.body;
                ahead_of.sort_by_key(|ahead| named.contains(&self.world.accounts[ahead.0].account.key()));
                let (name, first) = (member.node.name, ahead_of.first().map_or(0, |ahead| ahead.0));
                found.push((
                    first,
                    format!("{name} is ahead for {ahead} accounts, and says {said}: {ahead_of:?}; it names {named}"),
                ));
            }
            if http.metric("replica_feed_connected", "").await < 1.0 {
                found.push((0, format!("{} does not follow the feed", member.node.name)));
            }
        }
        found
    }

    /// What a node shows of an account: a JWT, nothing, or another status.
    async fn shown(&self, number: usize, subject: usize) -> Result<Option<usize>, u16> {
        let reply = read(&self.world, &self.members[number].node, subject).await;
        match reply {
            Some(reply) if reply.status == 200 => Ok(self.world.ledger().number(&reply.body)),
            Some(reply) if reply.status == 404 => Ok(None),
            reply => Err(reply.map_or(0, |reply| reply.status)),
        }
    }
}
