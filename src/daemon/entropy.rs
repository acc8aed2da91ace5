//! The one place that asks the operating system for randomness.

use super::error::StartError;
use crate::base::Random;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};

/// A generator with 256 bits of operating-system entropy.
///
/// # Errors
/// The system has none to give, and a relay with guessable nonces must not start.
pub fn random() -> Result<Random, StartError> {
    let mut seed = [0; 32];
    SystemRandom::new()
        .fill(&mut seed)
        .map_err(|_| StartError::new("system", "no randomness from the system", "check getrandom(2)"))?;
    Ok(Random::from_seed(seed))
}
