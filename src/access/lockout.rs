//! The pause after wrong passwords.
//!
//! A client is an address, or a network of IPv6, together with the name that it gives. After some wrong passwords in a row it
//! has to wait, longer each time. That must not keep out somebody else who comes from the same address with the same name: a
//! nats-server behind the same router as an attacker. So a credential that verified once never comes here, and of those that
//! did not yet, the one that is shown *again* goes first: an attacker has no reason to try the same password twice, and a
//! client that was told to wait comes back with the one that it has.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Wrong passwords of a client before it has to wait.
const FREE: u32 = 5;
/// The first wait. Each further wrong password doubles it.
const FIRST: Duration = Duration::from_millis(250);
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(60);
/// The wait for a credential that was not shown before, where others come in between.
const STRANGER: Duration = Duration::from_secs(1);
/// After so long without a wrong password, all is forgotten.
const FORGET: Duration = Duration::from_secs(600);
/// Clients that are remembered at most.
const MOST: usize = 50_000;
/// Credentials that were turned away and are remembered at most, and for how long.
const MOST_SHOWN: u64 = 100_000;
const SHOWN: Duration = Duration::from_secs(120);

/// A client: its address, and a number for the name that it gives.
pub(super) type LoginClient = (IpAddr, u64);
/// The number that stands for all names.
const ANY_NAME: u64 = u64::MAX;
/// A number for a credential.
pub(super) type CredentialId = [u8; 32];

/// The clients that have to wait.
#[derive(Debug)]
pub(super) struct Lockout {
    rows: Mutex<HashMap<LoginClient, Row>>,
    /// Credentials that were turned away without having been looked at.
    shown: moka::sync::Cache<CredentialId, ()>,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    failures: u32,
    /// The next password is looked at from then on.
    until: Instant,
    /// The last one that was wrong.
    last: Instant,
    /// The last one that was turned away.
    turned_away: Option<Instant>,
}

impl Default for Lockout {
    fn default() -> Self {
        let shown = moka::sync::Cache::builder().max_capacity(MOST_SHOWN).time_to_live(SHOWN).build();
        Self { rows: Mutex::default(), shown }
    }
}

impl Lockout {
    /// Whether the password of a client may be looked at. The error says how long it has to wait.
    pub(super) fn admit(&self, client: LoginClient, credential: &CredentialId, now: Instant) -> Result<(), Duration> {
        let mut rows = self.rows.lock();
        let Some(row) = rows.get_mut(&client).filter(|row| row.is_locked(now)) else { return Ok(()) };
        let wait = row.until.saturating_duration_since(now);
        let is_alone = row.turned_away.is_none_or(|at| now.saturating_duration_since(at) > row.pause());
        if wait.is_zero() && (is_alone || self.shown.contains_key(credential)) {
            // One at a time: whatever comes of it, the next one waits.
            row.until = now + row.pause();
            return Ok(());
        }
        row.turned_away = Some(now);
        drop(rows);
        self.turned_away(credential);
        Err(wait.max(STRANGER.min(wait + FIRST)))
    }

    /// Remembers a credential that was not looked at.
    pub(super) fn turned_away(&self, credential: &CredentialId) {
        self.shown.insert(*credential, ());
    }

    /// Whether a credential was turned away before.
    pub(super) fn was_turned_away(&self, credential: &CredentialId) -> bool {
        self.shown.contains_key(credential)
    }

    /// Whether several passwords from an address were wrong lately, whatever the names.
    pub(super) fn is_suspect(&self, address: IpAddr, now: Instant) -> bool {
        self.rows.lock().get(&(address, ANY_NAME)).is_some_and(|row| row.is_locked(now))
    }

    /// A password was wrong.
    pub(super) fn failed(&self, client: LoginClient, now: Instant) {
        self.count((client.0, ANY_NAME), now);
        self.count(client, now);
    }

    fn count(&self, client: LoginClient, now: Instant) {
        let mut rows = self.rows.lock();
        if rows.len() >= MOST && !rows.contains_key(&client) {
            rows.retain(|_, row| row.until > now);
            if rows.len() >= MOST {
                rows.clear();
            }
        }
        let row = rows.entry(client).or_insert(Row { failures: 0, until: now, last: now, turned_away: None });
        if now.saturating_duration_since(row.last) > FORGET {
            row.failures = 0;
        }
        row.failures = row.failures.saturating_add(1);
        row.last = now;
        if row.failures >= FREE {
            row.until = now + row.pause();
        }
    }

    /// A password was right.
    pub(super) fn passed(&self, client: LoginClient) {
        let mut rows = self.rows.lock();
        rows.remove(&client);
        rows.remove(&(client.0, ANY_NAME));
    }
}

impl Row {
    fn is_locked(&self, now: Instant) -> bool {
        self.failures >= FREE && now.saturating_duration_since(self.last) <= FORGET
    }

    fn pause(&self) -> Duration {
        let doublings = self.failures.saturating_sub(FREE).min(16);
        FIRST.saturating_mul(1 << doublings).min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: LoginClient = (IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

    fn id(number: u32) -> CredentialId {
        let mut id = [0; 32];
        id[..4].copy_from_slice(&number.to_be_bytes());
        id
    }

    #[test]
    fn the_wait_grows_and_has_an_end() {
        let (lockout, start) = (Lockout::default(), Instant::now());
        for number in 0..FREE {
            assert_eq!(lockout.admit(CLIENT, &id(number), start), Ok(()));
            lockout.failed(CLIENT, start);
        }
        let mut now = start;
        for expected in [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000] {
            let expected = Duration::from_millis(expected);
            assert!(lockout.admit(CLIENT, &id(99), now).is_err_and(|wait| wait >= expected), "{expected:?}");
            // A client that waits long enough is alone.
            now += 2 * expected + Duration::from_millis(1);
            assert_eq!(lockout.admit(CLIENT, &id(100), now), Ok(()), "{expected:?}");
            lockout.failed(CLIENT, now);
        }
        assert!(lockout.admit((CLIENT.0, 2), &id(1), now).is_ok(), "another name");
        assert!(lockout.is_suspect(CLIENT.0, now));
        assert!(lockout.admit(CLIENT, &id(1), now + FORGET + Duration::from_secs(1)).is_ok(), "it is forgotten");
        lockout.passed(CLIENT);
        assert!(lockout.admit(CLIENT, &id(1), now).is_ok());
    }

    #[test]
    fn among_a_thousand_guesses_a_second_the_one_that_comes_again_gets_its_turn() {
        let (lockout, start) = (Lockout::default(), Instant::now());
        (0..FREE).for_each(|_| lockout.failed(CLIENT, start));
        let (valid, mut looked_at, mut passed_at) = (id(u32::MAX), 0, None);
        for millis in 0..5_000u32 {
            let now = start + Duration::from_millis(u64::from(millis));
            if lockout.admit(CLIENT, &id(millis), now).is_ok() {
                looked_at += 1;
                lockout.failed(CLIENT, now);
            }
            // A client that tries once in a second.
            if millis % 1_000 == 500 && passed_at.is_none() && lockout.admit(CLIENT, &valid, now).is_ok() {
                passed_at = Some(millis);
            }
        }
        assert!(looked_at <= 1, "{looked_at}");
        assert!(passed_at.is_some_and(|at| at <= 1_500), "{passed_at:?}");
    }

    #[test]
    fn what_is_remembered_has_a_bound() {
        let (lockout, now) = (Lockout::default(), Instant::now());
        for name in 0..3 * MOST as u64 {
            lockout.failed((CLIENT.0, name), now);
        }
        assert!(lockout.rows.lock().len() <= MOST);
    }
}
