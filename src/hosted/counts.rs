//! What became of the deliveries of a subscription, and of the envelopes of a publisher.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::ops::AddAssign;

use super::capabilities::Mode;
use super::delivery::{Gap, Kind, SettleError};
use super::engine::{EngineError, Level, Receipt};
use crate::envelope::Envelope;
use crate::sync::{PlainNumber, Relaxed};
use crate::wait::panics::Panics;

/// Is called for each gap.
pub(super) type OnGap = Box<dyn Fn(Gap) + Send + Sync>;
/// Is called for each verdict that was refused.
pub(super) type OnRefused = Box<dyn Fn(&Envelope, &SettleError) + Send + Sync>;

/// The numbers of one subscription, shared with its deliveries.
pub(super) struct Counts {
    engine: Arc<str>,
    on_gap: Option<OnGap>,
    on_refused: Option<OnRefused>,
    handled: PlainNumber,
    retried: PlainNumber,
    rejected: PlainNumber,
    refused: PlainNumber,
    abandoned: PlainNumber,
    gaps: PlainNumber,
    missed: PlainNumber,
}

fn add(number: &PlainNumber, by: usize) {
    number.fetch_add(by, Relaxed);
}

fn read(number: &PlainNumber) -> u64 {
    number.load(Relaxed) as u64
}

impl Counts {
    pub(super) fn new(
        engine: Arc<str>,
        on_gap: Option<OnGap>,
        on_refused: Option<OnRefused>,
    ) -> Self {
        let zero = || PlainNumber::new(0);
        Self {
            engine,
            on_gap,
            on_refused,
            handled: zero(),
            retried: zero(),
            rejected: zero(),
            refused: zero(),
            abandoned: zero(),
            gaps: zero(),
            missed: zero(),
        }
    }

    pub(super) const fn engine(&self) -> &Arc<str> {
        &self.engine
    }

    pub(super) fn gap(&self, gap: Gap) {
        add(&self.gaps, 1);
        add(&self.missed, usize::try_from(gap.missed.unwrap_or(0)).unwrap_or(usize::MAX));
        if let Some(on_gap) = &self.on_gap {
            Panics::default().run(|| on_gap(gap));
        }
    }

    pub(super) fn settled(&self, verdict: Kind, taken: bool) {
        add(
            match verdict {
                _ if !taken => &self.refused,
                Kind::Ack => &self.handled,
                Kind::Retry => &self.retried,
                Kind::Reject => &self.rejected,
                Kind::Extend => return,
            },
            1,
        );
    }

    pub(super) fn refused(&self, envelope: &Envelope, error: &SettleError) {
        if let Some(on_refused) = &self.on_refused {
            Panics::default().run(|| on_refused(envelope, error));
        }
    }

    /// A delivery was dropped without a verdict.
    pub(super) fn abandoned(&self) {
        add(&self.abandoned, 1);
    }

    /// Reads the numbers, after so many were received. The subscription and each pending delivery
    /// have a clone of `this`. What is live is handled when it is dropped, without further notice.
    pub(super) fn stats(this: &Arc<Self>, received: u64, mode: Mode) -> DeliveryStats {
        let mut stats = DeliveryStats {
            received,
            handled: read(&this.handled),
            retried: read(&this.retried),
            rejected: read(&this.rejected),
            refused: read(&this.refused),
            abandoned: read(&this.abandoned),
            pending: Arc::strong_count(this).saturating_sub(1) as u64,
            gaps: read(&this.gaps),
            missed: read(&this.missed),
        };
        if mode == Mode::Live {
            let others = stats.retried + stats.rejected + stats.refused + stats.abandoned;
            stats.handled = received.saturating_sub(others + stats.pending);
        }
        stats
    }
}

/// Counts what became of the deliveries of one subscription.
///
/// At every quiet moment
/// `received == handled + retried + rejected + refused + abandoned + pending`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct DeliveryStats {
    /// Deliveries that came out of the subscription.
    pub received: u64,
    /// Deliveries that you acknowledged or, on a live subscription, dropped.
    pub handled: u64,
    /// Deliveries that you gave back, to come again.
    pub retried: u64,
    /// Deliveries that you rejected.
    pub rejected: u64,
    /// Deliveries whose verdict the engine refused: it was late, or there was no connection.
    pub refused: u64,
    /// Deliveries that you dropped without a verdict. Each comes again when its lease ends.
    pub abandoned: u64,
    /// Deliveries that you have not settled yet.
    pub pending: u64,
    /// How many gaps there were.
    pub gaps: u64,
    /// How many events were in these gaps, as far as the engine knew.
    pub missed: u64,
}

impl DeliveryStats {
    /// Returns whether the numbers add up, as they do at every quiet moment.
    #[must_use]
    pub const fn add_up(&self) -> bool {
        let Self { received, handled, retried, rejected, refused, abandoned, pending, .. } = *self;
        received == handled + retried + rejected + refused + abandoned + pending
    }
}

/// One line: `received 9 = handled 6 + retried 1 + rejected 0 + refused 0 + abandoned 0 + pending 2; gaps 1, missed 4`.
impl fmt::Display for DeliveryStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { received, handled, retried, rejected, refused, abandoned, pending, .. } = self;
        let Self { gaps, missed, .. } = self;
        write!(
            f,
            "received {received} = handled {handled} + retried {retried} + rejected {rejected} \
             + refused {refused} + abandoned {abandoned} + pending {pending}; \
             gaps {gaps}, missed {missed}"
        )
    }
}

/// The numbers of one publisher.
#[derive(Default)]
pub(super) struct Sent {
    offered: PlainNumber,
    buffered: PlainNumber,
    accepted: PlainNumber,
    stored: PlainNumber,
    duplicate: PlainNumber,
    refused: PlainNumber,
    unknown: PlainNumber,
}

impl Sent {
    pub(super) fn offered(&self, count: usize) {
        add(&self.offered, count);
    }

    pub(super) fn result(&self, result: &Result<Receipt, EngineError>) {
        add(
            match result {
                Ok(receipt) if receipt.duplicate => &self.duplicate,
                Ok(receipt) => match receipt.level {
                    Level::Buffered => &self.buffered,
                    Level::Accepted => &self.accepted,
                    Level::Stored => &self.stored,
                },
                Err(error) if error.is_unknown() => &self.unknown,
                Err(_) => &self.refused,
            },
            1,
        );
    }

    pub(super) fn unknown(&self, count: usize) {
        add(&self.unknown, count);
    }

    pub(super) fn stats(&self) -> PublishStats {
        PublishStats {
            offered: read(&self.offered),
            buffered: read(&self.buffered),
            accepted: read(&self.accepted),
            stored: read(&self.stored),
            duplicate: read(&self.duplicate),
            refused: read(&self.refused),
            unknown: read(&self.unknown),
        }
    }
}

/// Counts what became of the envelopes of one publisher.
///
/// When no publish is in progress,
/// `offered == buffered + accepted + stored + duplicate + refused + unknown`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct PublishStats {
    /// Envelopes given to the engine.
    pub offered: u64,
    /// Publishes that returned [`Level::Buffered`].
    pub buffered: u64,
    /// Publishes that returned [`Level::Accepted`].
    pub accepted: u64,
    /// Publishes that returned [`Level::Stored`].
    pub stored: u64,
    /// Publishes of an id that the engine had already.
    pub duplicate: u64,
    /// Publishes that returned [`EngineError::NotSent`].
    pub refused: u64,
    /// Publishes that returned [`EngineError::Unknown`], or that you dropped before they were
    /// ready.
    pub unknown: u64,
}

impl PublishStats {
    /// Returns whether the numbers add up, as they do when no publish is in progress.
    #[must_use]
    pub const fn add_up(&self) -> bool {
        let Self { offered, buffered, accepted, stored, duplicate, refused, unknown } = *self;
        offered == buffered + accepted + stored + duplicate + refused + unknown
    }
}

/// One line: `offered 9 = buffered 0 + accepted 8 + stored 0 + duplicate 0 + refused 1 + unknown 0`.
impl fmt::Display for PublishStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offered, buffered, accepted, stored, duplicate, refused, unknown } = self;
        write!(
            f,
            "offered {offered} = buffered {buffered} + accepted {accepted} + stored {stored} \
             + duplicate {duplicate} + refused {refused} + unknown {unknown}"
        )
    }
}

impl AddAssign for PublishStats {
    fn add_assign(&mut self, other: Self) {
        self.offered = self.offered.saturating_add(other.offered);
        self.buffered = self.buffered.saturating_add(other.buffered);
        self.accepted = self.accepted.saturating_add(other.accepted);
        self.stored = self.stored.saturating_add(other.stored);
        self.duplicate = self.duplicate.saturating_add(other.duplicate);
        self.refused = self.refused.saturating_add(other.refused);
        self.unknown = self.unknown.saturating_add(other.unknown);
    }
}

impl fmt::Debug for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counts").field("engine", &self.engine).finish_non_exhaustive()
    }
}
