//! What a shutdown has come to: [`ShutdownReport`].

use core::error::Error;
use core::fmt;
use core::ops::AddAssign;

/// What became of the events during a shutdown.
///
/// # Examples
///
/// ```
/// use tickbus::hosted::ShutdownReport;
///
/// let mut report = ShutdownReport::default();
/// (report.handled, report.abandoned, report.left) = (6, 1, 2);
/// assert_eq!(
///     report.to_string(),
///     "6 handled, 0 given back, 1 abandoned, 0 still running, 2 left in the engine",
/// );
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Deliveries that a handler finished since the shutdown began, well or badly.
    pub handled: u64,
    /// Deliveries that were given back to their group.
    pub returned: u64,
    /// Deliveries that are lost to this process: those that waited at the deadline, and those whose
    /// handler still ran.
    pub abandoned: u64,
    /// Events that the engine still has for the subscription, and that end with this process. Several
    /// handlers of one group count these once each.
    pub left: u64,
    /// Handlers that still ran at the deadline.
    pub running: u64,
    /// Engines that still had something to send or to hand out at the deadline. Only a router
    /// counts them.
    pub engines: u64,
}

impl AddAssign for ShutdownReport {
    fn add_assign(&mut self, other: Self) {
        self.handled += other.handled;
        self.returned += other.returned;
        self.abandoned += other.abandoned;
        self.left += other.left;
        self.running += other.running;
        self.engines += other.engines;
    }
}

impl fmt::Display for ShutdownReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { handled, returned, abandoned, left, running, engines } = self;
        write!(
            f,
            "{handled} handled, {returned} given back, {abandoned} abandoned, {running} still running"
        )?;
        if *left > 0 {
            write!(f, ", {left} left in the engine")?;
        }
        match engines {
            0 => {}
            1 => write!(f, ", 1 engine not done")?,
            _ => write!(f, ", {engines} engines not done")?,
        }
        Ok(())
    }
}

/// Handlers still ran at the deadline of a shutdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShutdownTimeout(pub ShutdownReport);

impl fmt::Display for ShutdownTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not everything ended before the deadline: {}", self.0)
    }
}

impl Error for ShutdownTimeout {}
