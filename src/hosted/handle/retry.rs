//! How often a handler tries again, and when: [`RetryPolicy`]. It has no clock, and allocates nothing.

use core::error::Error;
use core::fmt;
use core::time::Duration;

/// Says how often a failed event is tried again, and how long each further try waits.
///
/// The wait before retry `k` is `min(initial × factor^(k − 1), max)`. By default there are 3
/// retries, after 1 s, 2 s and 4 s, without jitter.
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use tickbus::hosted::RetryPolicy;
///
/// let policy = RetryPolicy::new(5).initial(Duration::from_millis(100)).max(Duration::from_secs(1));
/// let policy = policy.factor(3.0)?;
/// let delays: Vec<_> = policy.delays().map(|delay| delay.as_millis()).collect();
/// assert_eq!(delays, [100, 300, 900, 1000, 1000]);
///
/// assert!(policy.factor(f64::NAN).is_err());
/// # Ok::<(), tickbus::hosted::InvalidRetryPolicy>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub struct RetryPolicy {
    retries: u32,
    initial: Duration,
    max: Duration,
    factor: f64,
    jitter: f64,
}

impl RetryPolicy {
    /// Returns a policy with so many retries, and the defaults. With 0, each event is tried once.
    pub const fn new(retries: u32) -> Self {
        let (initial, max) = (Duration::from_secs(1), Duration::from_secs(30));
        Self { retries, initial, max, factor: 2.0, jitter: 0.0 }
    }

    /// Returns a policy without retries: each event is tried once.
    pub const fn none() -> Self {
        Self::new(0)
    }

    /// Sets the wait before the first retry: 1 s by default.
    pub const fn initial(mut self, wait: Duration) -> Self {
        self.initial = wait;
        self
    }

    /// Sets the longest wait: 30 s by default.
    pub const fn max(mut self, wait: Duration) -> Self {
        self.max = wait;
        self
    }

    /// Sets by how much each wait is longer than the one before: 2 by default.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidRetryPolicy`] if the number is negative, infinite or not a number.
    pub const fn factor(mut self, factor: f64) -> Result<Self, InvalidRetryPolicy> {
        if !factor.is_finite() || factor < 0.0 {
            return Err(InvalidRetryPolicy { setting: "factor", value: factor });
        }
        self.factor = factor;
        Ok(self)
    }

    /// Sets which part of a wait is random: 0 by default. With 0.2, a wait is between 0.8 and 1
    /// times what it is without.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidRetryPolicy`] if the number is not between 0 and 1.
    pub const fn jitter(mut self, part: f64) -> Result<Self, InvalidRetryPolicy> {
        if !(part >= 0.0 && part <= 1.0) {
            return Err(InvalidRetryPolicy { setting: "jitter", value: part });
        }
        self.jitter = part;
        Ok(self)
    }

    /// Returns how many retries there are.
    #[must_use]
    pub const fn retries(&self) -> u32 {
        self.retries
    }

    /// Returns how often an event is tried: the retries, and one.
    #[must_use]
    pub const fn attempts(&self) -> u32 {
        self.retries.saturating_add(1)
    }

    /// Returns the wait before retry `k`, without jitter. The first retry is 1.
    #[must_use]
    pub fn delay(&self, k: u32) -> Duration {
        if k <= 1 || self.initial.is_zero() {
            return self.initial.min(self.max);
        }
        let power = i32::try_from(k - 1).unwrap_or(i32::MAX);
        let seconds = self.initial.as_secs_f64() * self.factor.powi(power);
        // What is beyond the range of a duration is beyond the longest wait.
        Duration::try_from_secs_f64(seconds).map_or(self.max, |wait| wait.min(self.max))
    }

    /// Returns the wait before retry `k` with jitter, by a random number.
    #[must_use]
    pub fn delay_with(&self, k: u32, random: u64) -> Duration {
        let delay = self.delay(k);
        if self.jitter == 0.0 {
            return delay;
        }
        let part = (random >> 11) as f64 / (1_u64 << 53) as f64; // 0 to 1, without 1
        let seconds = delay.as_secs_f64() * (1.0 - self.jitter * part);
        // A number of seconds as large as the longest duration may be rounded up beyond it.
        Duration::try_from_secs_f64(seconds).unwrap_or(delay)
    }

    /// Returns the waits before all retries, without jitter.
    pub fn delays(&self) -> impl Iterator<Item = Duration> + use<> {
        let policy = *self;
        (1..=self.retries).map(move |k| policy.delay(k))
    }
}

/// Three retries.
impl Default for RetryPolicy {
    fn default() -> Self {
        Self::new(3)
    }
}

/// A number cannot be part of a [`RetryPolicy`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct InvalidRetryPolicy {
    /// The setting.
    pub setting: &'static str,
    /// The number.
    pub value: f64,
}

impl fmt::Display for InvalidRetryPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { setting, value } = self;
        let range = if *setting == "jitter" { "0 to 1" } else { "0 or more, and finite" };
        write!(f, "`{setting}` of a retry policy cannot be {value}: it is {range}")
    }
}

impl Error for InvalidRetryPolicy {}

#[cfg(test)]
mod tests;
