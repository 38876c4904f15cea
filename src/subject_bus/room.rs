//! A publisher that waits for room.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::task::{Poll, Waker};

use super::cancel::{GaveUp, Wait};
use super::publish::Offer;
use super::queue::{About, Settled, Ticket, Turn};
use super::routes::Target;
use super::shared::{Shared, UnderWay};
use super::{PublishError, Published, SubjectBus};
use crate::envelope::Envelope;

/// A publish that waits for room.
pub(super) struct Waits<'a> {
    pub(super) bus: &'a SubjectBus,
    pub(super) envelope: Arc<Envelope>,
    /// Where it has no room yet.
    pub(super) places: VecDeque<Place<'a>>,
    pub(super) published: Published,
    /// As long as `close` has to wait for it.
    pub(super) under_way: Option<UnderWay<'a>>,
}

impl<'a> Waits<'a> {
    /// Parks until it is over at each place in turn. The first reason to give up is the reason; after it,
    /// each place still gets its room if it is there.
    pub(super) fn wait(mut self, wait: &Wait<'_>) -> Result<Published, PublishError> {
        let places = core::mem::take(&mut self.places);
        let _woken = if places.is_empty() { None } else { wait.wake_on_cancel() };
        let mut gave_up = None;
        for place in places {
            let offer = match place.wait(wait) {
                Ok(settled) => settled.into(),
                Err(reason) => {
                    gave_up.get_or_insert(reason);
                    Offer::Dropped
                }
            };
            self.bus.told(&place.about, &self.envelope, offer, &mut self.published);
        }
        self.end(gave_up)
    }

    /// Whether it is over at all places. If not, `waker` is told when there is more to see.
    pub(super) fn poll(&mut self, waker: &Waker) -> Poll<Result<Published, PublishError>> {
        self.enter();
        // If an observer panics, the places go with it.
        let mut places = core::mem::take(&mut self.places);
        while let Some(place) = places.front() {
            let Poll::Ready(settled) = place.poll(waker) else {
                self.places = places;
                self.under_way = None;
                return Poll::Pending;
            };
            self.tell(place, settled.into());
            places.pop_front();
        }
        Poll::Ready(self.end(None))
    }

    /// Has `close` wait for what comes.
    fn enter(&mut self) {
        if self.under_way.is_none() {
            self.under_way = self.bus.shared.enter();
        }
    }

    /// As the bus does, but no observer hears of it after the bus was closed.
    fn tell(&mut self, place: &Place<'_>, offer: Offer) {
        let Self { bus, envelope, published, under_way, .. } = self;
        match under_way {
            Some(_) => bus.told(&place.about, envelope, offer, published),
            None => bus.count(&offer, published),
        }
    }

    fn end(&self, gave_up: Option<GaveUp>) -> Result<Published, PublishError> {
        let envelope = || self.envelope.clone();
        match gave_up {
            // Sent away by the bus, not by the subscriber.
            _ if self.published.closed > 0 && self.bus.is_closed() => {
                Err(PublishError::Closed(envelope()))
            }
            Some(GaveUp::TimedOut) => Err(PublishError::TimedOut(envelope())),
            Some(GaveUp::Cancelled) => Err(PublishError::Cancelled(envelope())),
            None => Ok(self.published),
        }
    }
}

/// Where it still waits, it drops the envelope.
impl Drop for Waits<'_> {
    fn drop(&mut self) {
        if !self.places.is_empty() {
            self.enter();
        }
        while let Some(place) = self.places.pop_front() {
            let offer = match place.ticket.settled() {
                Some(settled) => settled.into(),
                None if place.withdraw() => Offer::Dropped,
                None => place.ticket.settled().map_or(Offer::Closed, Offer::from),
            };
            self.tell(&place, offer);
        }
    }
}

/// A publisher's place in a full subscription; given up if the publisher unwinds.
pub(super) struct Place<'a> {
    pub(super) shared: &'a Shared,
    pub(super) about: Arc<About>,
    pub(super) target: Target,
    pub(super) turn: Turn,
    pub(super) ticket: Arc<Ticket>,
}

impl Place<'_> {
    /// Takes the envelope back, counted as dropped. `false` if its case is settled.
    fn withdraw(&self) -> bool {
        let mut state = self.shared.state.lock();
        let withdrawn =
            self.target.queue(&mut state.queues).and_then(|queue| queue.withdraw(self.turn));
        drop(state);
        withdrawn.is_some()
    }

    /// Parks until the envelope is in, or cannot get in any more.
    fn wait(&self, wait: &Wait<'_>) -> Result<Settled, GaveUp> {
        loop {
            if let Some(settled) = self.ticket.settled() {
                return Ok(settled);
            }
            if let Err(gave_up) = wait.park()
                && self.withdraw()
            {
                return Err(gave_up);
            }
            // If it was settled, that was under the lock, and the next look says how.
        }
    }

    /// Whether the envelope is in, or cannot get in any more. If neither, `waker` is told when.
    fn poll(&self, waker: &Waker) -> Poll<Settled> {
        if self.ticket.settled().is_none() {
            let waker = waker.clone(); // before the lock, for it may be a user's
            let mut state = self.shared.state.lock();
            let old = match self.target.queue(&mut state.queues) {
                Some(queue) => queue.wait_on(self.turn, waker),
                None => waker,
            };
            drop(state);
            drop(old); // after the lock
        }
        self.ticket.settled().map_or(Poll::Pending, Poll::Ready)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.ticket.settled().is_none() {
            self.withdraw();
        }
    }
}
