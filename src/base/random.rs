//! Unpredictable numbers from a seed that the driver took from the operating system.

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

/// A ChaCha20 generator: what it yields cannot be told from random without the seed.
///
/// Nonces, relay ports, tokens and hash keys come from here. Tests seed it with a small number and
/// get the same run again; the daemon seeds it with 256 bits of operating-system entropy.
#[derive(Clone, Debug)]
pub struct Random(ChaCha20Rng);

impl Random {
    /// A generator that continues from 256 bits of entropy.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(ChaCha20Rng::from_seed(seed))
    }

    /// A repeatable generator, for tests and simulations only.
    pub fn seeded(seed: u64) -> Self {
        Self(ChaCha20Rng::seed_from_u64(seed))
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// `N` unpredictable bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        self.0.fill_bytes(&mut out);
        out
    }

    /// A number in `0..bound`, or 0 when `bound` is 0. The bias is below 2^-32 for 32-bit bounds.
    pub fn below(&mut self, bound: u32) -> u32 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u32
    }

    /// A generator of its own, whose stream tells nothing about this one's.
    pub fn fork(&mut self) -> Self {
        Self::from_seed(self.bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_stays_below_and_reaches_both_ends() {
        let mut random = Random::seeded(1);
        let drawn: Vec<u32> = (0..1000).map(|_| random.below(7)).collect();
        assert!(drawn.iter().all(|n| *n < 7));
        assert!((0..7).all(|n| drawn.contains(&n)));
        assert_eq!(random.below(0), 0);
    }
}
