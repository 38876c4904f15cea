//! What the measures of the engines beside their clients have in common.

use alloc::sync::Arc;
use core::time::Duration;

use tickbus::Envelope;

/// How often the two are measured, in turns.
pub(crate) const PAIRS: usize = 15;
pub(crate) const PAYLOAD: &[u8] = &[b'x'; 100];

pub(crate) fn envelopes(subject: &str, count: usize) -> Vec<Arc<Envelope>> {
    let make = |_| Envelope::new(subject).unwrap().with_bytes(PAYLOAD).into();
    (0..count).map(make).collect()
}

/// Returns the nanoseconds of one event, if each time is that of so many.
pub(crate) fn median(mut times: Vec<Duration>, of: usize) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_nanos() as f64 / of as f64
}
