//! The sum by which two stores tell whether they hold the same JWTs.

use crate::gate::Digest;

/// XOR of the digests of some JWTs, 32 zero bytes if there is none: as nats-server's full resolver computes it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sum(pub(super) [u8; 32]);

impl Sum {
    /// Takes in a digest, or takes out one that is in it, which is the same.
    pub(super) fn toggle(&mut self, digest: &Digest) {
        for (byte, other) in self.0.iter_mut().zip(digest) {
            *byte ^= other;
        }
    }
}
