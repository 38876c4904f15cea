//! How long, and how often, an engine waits at most.

use core::time::Duration;

/// The longest time that a server or a clock is told: a century. They would take a longer one as
/// none at all, or panic.
pub(super) const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
/// The shortest time between two signs of life.
pub(super) const SHORTEST_HEARTBEAT: Duration = Duration::from_millis(100);
