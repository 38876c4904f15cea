//! What became of an envelope at one subscription, and how the publisher and the observers learn of
//! it.

use alloc::sync::Arc;

use super::bus::SubjectBus;
use super::observer::{DropReason, Observer};
use super::published::Published;
use super::queue::{About, Settled};
use crate::envelope::Envelope;
use crate::wait::panics::Panics;

/// What became of an envelope at one subscription.
pub(super) enum Offer {
    Enqueued,
    /// Enqueued, and the oldest had to go.
    Displaced(Arc<Envelope>),
    Dropped,
    Closed,
    Sampled,
}

impl Offer {
    pub(super) const fn count(&self, published: &mut Published) {
        match self {
            Self::Dropped => published.dropped += 1,
            Self::Closed => published.closed += 1,
            Self::Sampled => published.sampled += 1,
            Self::Enqueued | Self::Displaced(_) => published.enqueued += 1,
        }
    }
}

impl From<Settled> for Offer {
    fn from(settled: Settled) -> Self {
        match settled {
            Settled::Enqueued => Self::Enqueued,
            Settled::Closed => Self::Closed,
        }
    }
}

impl SubjectBus {
    /// Reports to the publisher and the observers what became of an envelope at one subscription.
    /// The numbers of the bus have it already.
    pub(super) fn report(
        &self,
        about: Option<&About>,
        envelope: &Arc<Envelope>,
        offer: Offer,
        published: &mut Published,
        panics: &mut Panics,
    ) {
        offer.count(published);
        #[cfg(feature = "hosted")]
        if let Offer::Displaced(oldest) = &offer {
            self.shared.lost([oldest]);
        }
        let Some(recipient) = about.map(About::recipient) else { return };
        let mut dropped = |envelope, reason| {
            self.observe(panics, |observer| observer.on_drop(envelope, recipient, reason));
        };
        match &offer {
            Offer::Dropped => dropped(envelope, DropReason::BufferFull),
            Offer::Closed => dropped(envelope, DropReason::Closed),
            Offer::Sampled => dropped(envelope, DropReason::Sampled),
            Offer::Enqueued | Offer::Displaced(_) => {
                if let Offer::Displaced(oldest) = &offer {
                    dropped(oldest, DropReason::BufferFull);
                }
                self.observe(panics, |observer| observer.on_deliver(envelope, recipient));
            }
        }
    }

    /// Calls each observer.
    pub(super) fn observe(&self, panics: &mut Panics, f: impl Fn(&dyn Observer)) {
        for observer in &self.observers {
            panics.run(|| f(&**observer));
        }
    }
}
