//! Checks many signatures of a few keys.
//!
//! Nearly all of a signature check is the product of two points with two numbers. One point is Ed25519's base point, the
//! other one is the signer's key, and both are the same for all JWTs of a key. So a table holds multiples of each, and the
//! product is a sum of 64 of them. A check takes less than half the time of [`PublicKey::verify`].
//!
//! The verdict is the same for every key, message and signature. The equation has no cofactor, and the multiples are of
//! the key as it is, also if it has a part of small order. So the sum is the very point that `PublicKey::verify` computes.

use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{LazyLock, OnceLock};

use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use sha2::{Digest as _, Sha512};

use super::PublicKey;

/// Keys that get a table, which takes 640 KiB. The first ones that sign enough get it.
const TABLES: usize = 4;
/// Checks after which a key gets its table: making it takes as long as about 50 checks.
const WORTH: u32 = 64;

/// Rows of a table, one for each byte of a number.
const ROWS: usize = 32;

static BASE: LazyLock<Multiples> = LazyLock::new(|| Multiples::of(ED25519_BASEPOINT_POINT));

/// Keys that may sign many tokens. Threads that check signatures do not wait for each other.
#[derive(Default)]
pub struct Signers {
    /// Sorted by key.
    signers: Vec<Signer>,
    tables: AtomicUsize,
}

struct Signer {
    key: PublicKey,
    checks: AtomicU32,
    /// Multiples of the key, with the sign changed.
    table: OnceLock<Multiples>,
}

impl Signers {
    /// For these keys.
    pub fn new(keys: &[PublicKey]) -> Self {
        let signer = |key: &PublicKey| Signer { key: *key, checks: AtomicU32::new(0), table: OnceLock::new() };
        let mut signers: Vec<_> = keys.iter().map(signer).collect();
        signers.sort_unstable_by_key(|signer| signer.key);
        Self { signers, tables: AtomicUsize::new(0) }
    }

    /// Whether `key` signed `message`, as [`PublicKey::verify`] decides. Costs about 20 µs for a key with a table, else 50 µs.
    pub fn verify(&self, key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
        match self.table(key) {
            Some(table) => verify(key, table, message, signature),
            None => key.verify(message, signature),
        }
    }

    fn table(&self, key: &PublicKey) -> Option<&Multiples> {
        let at = self.signers.binary_search_by(|signer| signer.key.cmp(key)).ok()?;
        let signer = self.signers.get(at)?;
        if let Some(table) = signer.table.get() {
            return Some(table);
        }
        // One thread makes the table, and the others go on without it.
        if signer.checks.fetch_add(1, Ordering::Relaxed) == WORTH
            && self.tables.fetch_add(1, Ordering::Relaxed) < TABLES
            && let Some(point) = CompressedEdwardsY(*key.raw()).decompress()
        {
            LazyLock::force(&BASE);
            let _ = signer.table.set(Multiples::of(-point));
        }
        signer.table.get()
    }
}

impl fmt::Debug for Signers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.signers.iter().map(|signer| signer.key)).finish()
    }
}

/// Whether `R`, the first half of the signature, is `S·B - k·A`: the check of RFC 8032 without the cofactor. `S`, the second
/// half, must be less than the order of the group.
fn verify(key: &PublicKey, table: &Multiples, message: &[u8], signature: &[u8]) -> bool {
    let Ok(signature) = <&[u8; 64]>::try_from(signature) else { return false };
    let (Some(r), Some(s)) = (signature.first_chunk::<32>(), signature.last_chunk::<32>()) else { return false };
    let Some(s) = Option::<Scalar>::from(Scalar::from_canonical_bytes(*s)) else { return false };
    let hash = Sha512::new().chain_update(r).chain_update(key.raw()).chain_update(message).finalize();
    let k = Scalar::from_bytes_mod_order_wide(&hash.into());
    table.add(&k, BASE.add(&s, EdwardsPoint::default())).compress().as_bytes() == r
}

/// Multiples of a point. Row `n` has 1 to 128 times `256^n` of it.
struct Multiples(Vec<[EdwardsPoint; 128]>);

impl Multiples {
    /// Takes about 1 ms.
    fn of(point: EdwardsPoint) -> Self {
        let mut unit = point;
        let row = |_| {
            let mut next = unit;
            let row = std::array::from_fn(|_| {
                let this = next;
                next += unit;
                this
            });
            unit = row[127] + row[127];
            row
        };
        Self((0..ROWS).map(row).collect())
    }

    /// `to` plus `times` times the point. The time that it takes depends on `times`, which is public here.
    fn add(&self, times: &Scalar, to: EdwardsPoint) -> EdwardsPoint {
        let (mut sum, mut carry) = (to, 0);
        for (row, byte) in self.0.iter().zip(times.as_bytes()) {
            // Digits from -127 to 128 need half as many multiples as those from 0 to 255. The highest byte of a scalar is
            // small, so nothing is carried out of it.
            let digit = usize::from(*byte) + carry;
            carry = usize::from(digit > 128);
            if carry == 0 && digit > 0 {
                sum += &row[digit - 1];
            } else if carry == 1 && digit < 256 {
                sum -= &row[255 - digit];
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use curve25519_dalek::constants::EIGHT_TORSION;
    use nkeys::KeyPair;
    use proptest::prelude::*;

    use super::*;
    use crate::key::Kind;

    /// A key, with its table if it is a point.
    struct Both {
        key: PublicKey,
        table: Option<Multiples>,
    }

    impl Both {
        fn of(raw: [u8; 32]) -> Self {
            let table = CompressedEdwardsY(raw).decompress().map(|point| Multiples::of(-point));
            Self { key: operator(raw), table }
        }

        /// The verdict with a table. It must be the one without, which is that of the nkeys crate.
        fn verdict(&self, message: &[u8], signature: &[u8]) -> bool {
            let slow = self.key.verify(message, signature);
            if let Some(table) = &self.table {
                let fast = verify(&self.key, table, message, signature);
                assert_eq!(fast, slow, "{} {message:x?} {signature:x?}", self.key);
            }
            slow
        }
    }

    fn operator(raw: [u8; 32]) -> PublicKey {
        PublicKey::from_raw(Kind::Operator, raw)
    }

    fn hash(r: &[u8; 32], key: &PublicKey, message: &[u8]) -> Scalar {
        let hash = Sha512::new().chain_update(r).chain_update(key.raw()).chain_update(message).finalize();
        Scalar::from_bytes_mod_order_wide(&hash.into())
    }

    /// The order of the group, which is the first number that `S` must not have.
    fn order() -> [u8; 32] {
        let mut order = (-Scalar::ONE).to_bytes();
        order[0] += 1;
        order
    }

    #[test]
    fn a_multiple_is_what_the_library_computes() {
        let mut numbers = vec![Scalar::ZERO, Scalar::ONE, -Scalar::ONE];
        numbers.extend((0..=255u8).map(|byte| Scalar::from_bytes_mod_order([byte; 32])));
        numbers.extend([127u64, 128, 129, 255, 256, 257, 0x8080, 0x7f81, u64::MAX].map(Scalar::from));
        for torsion in [0, 1, 4] {
            let point = ED25519_BASEPOINT_POINT * Scalar::from(7u64) + EIGHT_TORSION[torsion];
            let multiples = Multiples::of(point);
            for number in &numbers {
                let sum = multiples.add(number, point);
                assert_eq!(sum.compress(), (point + point * number).compress(), "{number:?}");
            }
        }
    }

    #[test]
    fn keys_and_signatures_of_small_order_get_the_same_verdict() {
        let secret = Scalar::from(5u64);
        let mut accepted = 0;
        for a in EIGHT_TORSION {
            for (secret, random) in [(Scalar::ZERO, Scalar::ZERO), (secret, Scalar::from(9u64))] {
                let both = Both::of((ED25519_BASEPOINT_POINT * secret + a).compress().to_bytes());
                for r in EIGHT_TORSION {
                    let r = (ED25519_BASEPOINT_POINT * random + r).compress().to_bytes();
                    for message in 0..8u8 {
                        let s = random + hash(&r, &both.key, &[message]) * secret;
                        accepted += usize::from(both.verdict(&[message], &[r, s.to_bytes()].concat()));
                    }
                }
            }
        }
        assert!((100..900).contains(&accepted), "of 1024, those in which the parts of small order cancel: {accepted}");
    }

    #[test]
    fn odd_spellings_get_the_same_verdict() {
        // `y` of a point of small order, and of the point with `y = 1`, spelt with a number that is too large.
        let mut large = [0xff; 32];
        large[31] = 0x7f;
        let spelt = |low: u8, high: u8| {
            let mut raw = large;
            (raw[0], raw[31]) = (low, high);
            raw
        };
        let odd: Vec<_> =
            [0xec, 0xed, 0xee, 0xef, 0xff].into_iter().flat_map(|low| [spelt(low, 0x7f), spelt(low, 0xff)]).collect();
        for raw in &odd {
            let both = Both::of(*raw);
            for r in odd.iter().chain(&[[0; 32], Scalar::ONE.to_bytes()]) {
                for s in [[0; 32], Scalar::ONE.to_bytes(), order(), [0xff; 32]] {
                    for message in 0..8 {
                        both.verdict(&[message], &[*r, s].concat());
                    }
                }
            }
        }
    }

    #[test]
    fn a_signature_has_one_spelling() {
        let pair = KeyPair::new_operator();
        let both = Both::of(*PublicKey::parse(&pair.public_key()).expect("own key").raw());
        let signature = pair.sign(b"text").expect("has a seed");
        assert!(both.verdict(b"text", &signature));
        // `S` plus the order of the group solves the same equation.
        let mut carry = 0;
        let mut longer = signature.clone();
        for (byte, order) in longer[32..].iter_mut().zip(order()) {
            carry += u16::from(*byte) + u16::from(order);
            *byte = carry.to_le_bytes()[0];
            carry >>= 8;
        }
        assert!(!both.verdict(b"text", &longer));
        for length in [0, 32, 63, 65] {
            assert!(!both.verdict(b"text", &[&signature[..], &[0]].concat()[..length]));
        }
    }

    #[test]
    fn a_key_gets_a_table_once_it_is_worth_it_and_there_is_room() {
        let pairs: Vec<_> = (0..=TABLES).map(|_| KeyPair::new_operator()).collect();
        let keys: Vec<_> = pairs.iter().map(|pair| PublicKey::parse(&pair.public_key()).expect("own key")).collect();
        let signers = Signers::new(&keys);
        for (n, (pair, key)) in pairs.iter().zip(&keys).enumerate() {
            let signature = pair.sign(b"text").expect("has a seed");
            for check in 0..WORTH + 9 {
                let has_table = signers.signers.iter().any(|signer| signer.key == *key && signer.table.get().is_some());
                assert_eq!(has_table, check > WORTH && n < TABLES, "key {n}, check {check}");
                let message = if check % 2 == 0 { b"text" } else { b"tuxt" };
                assert_eq!(signers.verify(key, message, &signature), check % 2 == 0, "key {n}, check {check}");
            }
        }
        let other = PublicKey::parse(&KeyPair::new_operator().public_key()).expect("own key");
        assert!(!signers.verify(&other, b"text", &pairs[0].sign(b"text").expect("has a seed")));
    }

    proptest! {
        #[test]
        fn the_verdict_is_that_of_the_nkeys_crate(
            message: Vec<u8>,
            at in 0usize..64,
            with: u8,
            in_key in 0usize..256,
            raw: [u8; 32],
            other: [u8; 32],
        ) {
            let pair = KeyPair::new_operator();
            let both = Both::of(*PublicKey::parse(&pair.public_key()).expect("own key").raw());
            let signature = pair.sign(&message).expect("has a seed");
            prop_assert!(both.verdict(&message, &signature));
            let mut spoilt = signature.clone();
            spoilt[at] ^= with;
            prop_assert_eq!(both.verdict(&message, &spoilt), with == 0);
            let mut near = *both.key.raw();
            near[in_key / 8] ^= 1 << (in_key % 8);
            prop_assert!(!Both::of(near).verdict(&message, &signature));
            Both::of(raw).verdict(&message, &[raw, other].concat());
        }
    }
}
