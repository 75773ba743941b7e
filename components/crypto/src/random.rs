//! Randomness as an argument, so that a core can be run again from a seed.

use ring::rand::SecureRandom;

/// A source of unpredictable bytes. Programs use [`SystemRandom`]; simulations use a seeded generator.
pub trait Random: Send {
    /// Fills all of `bytes`.
    fn fill(&mut self, bytes: &mut [u8]);
}

/// Conveniences over [`Random`].
pub trait RandomExt: Random {
    /// `N` fresh bytes.
    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }
}

impl<R: Random + ?Sized> RandomExt for R {}

/// The operating system's generator.
#[derive(Debug, Clone)]
pub struct SystemRandom(ring::rand::SystemRandom);

impl SystemRandom {
    /// The operating system's generator.
    pub fn new() -> Self {
        SystemRandom(ring::rand::SystemRandom::new())
    }
}

impl Default for SystemRandom {
    fn default() -> Self {
        SystemRandom::new()
    }
}

impl Random for SystemRandom {
    fn fill(&mut self, bytes: &mut [u8]) {
        // Linux and macOS do not fail here once the system has started; carrying on without randomness would
        // hand out keys and ids that can be guessed.
        self.0.fill(bytes).expect("the operating system gives random bytes");
    }
}
