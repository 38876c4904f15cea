//! A publisher that waits for room.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::task::{Poll, Waker};

use super::bus::SubjectBus;
use super::offer::Offer;
use super::published::{PublishError, Published};
use super::queue::{About, Settled, Ticket, Turn};
use super::routes::Target;
use super::shared::{Shared, UnderWay};
use crate::envelope::Envelope;
use crate::wait::panics::Panics;
#[cfg(feature = "std")]
use crate::wait::thread::{GaveUp, Wait};

/// A publish that has begun, and may wait for room.
///
/// Once code of a user has panicked it waits no more: where it has no room, it drops the envelope.
pub(super) struct Waits<'a> {
    bus: &'a SubjectBus,
    pub(super) envelope: Arc<Envelope>,
    /// Where it has no room yet.
    pub(super) places: VecDeque<Place<'a>>,
    pub(super) published: Published,
    pub(super) panics: Panics,
    /// As long as `close` has to wait for it.
    under_way: Option<UnderWay<'a>>,
}

impl<'a> Waits<'a> {
    /// Makes one that `State::under_way` counts already.
    pub(super) fn new(bus: &'a SubjectBus, envelope: Arc<Envelope>) -> Self {
        Self {
            bus,
            envelope,
            places: VecDeque::new(),
            published: Published::default(),
            panics: Panics::default(),
            under_way: Some(UnderWay::new(&bus.shared)),
        }
    }

    /// Parks until it is over at each place in turn. The first reason to give up is the error.
    /// After it, each place still gets its room if it is there.
    #[cfg(feature = "std")]
    pub(super) fn wait(mut self, wait: &Wait<'_>) -> Result<Published, PublishError> {
        let _woken = if self.places.is_empty() { None } else { wait.wake_on_cancel() };
        let mut gave_up = None;
        while self.panics.none()
            && let Some(place) = self.places.front()
        {
            let offer = match place.wait(wait, &mut self.panics) {
                Ok(settled) => settled.into(),
                Err(reason) => {
                    gave_up.get_or_insert(reason);
                    Offer::Dropped
                }
            };
            self.first_is(offer);
        }
        let published = self.end()?;
        match gave_up {
            None => Ok(published),
            Some(GaveUp::TimedOut) => Err(PublishError::TimedOut(self.envelope.clone())),
            Some(GaveUp::Cancelled) => Err(PublishError::Cancelled(self.envelope.clone())),
        }
    }

    /// Ready when it is over at all places. If it is not, `waker` is woken when there is more to
    /// see.
    pub(super) fn poll(&mut self, waker: &Waker) -> Poll<Result<Published, PublishError>> {
        self.enter();
        while self.panics.none()
            && let Some(place) = self.places.front()
        {
            let Poll::Ready(settled) = place.poll(waker) else {
                self.under_way = None;
                return Poll::Pending;
            };
            self.first_is(settled.into());
        }
        Poll::Ready(self.end())
    }

    /// Returns the shortest patience of the subscriptions that have no room.
    #[cfg(feature = "hosted")]
    pub(super) fn patience(&self) -> Option<core::time::Duration> {
        self.places.iter().filter_map(|place| place.about.patience).min()
    }

    /// Drops the envelope where it has no room yet and `over` is true. Returns whether it did.
    #[cfg(feature = "hosted")]
    pub(super) fn give_up(&mut self, over: impl Fn(&About) -> bool) -> bool {
        self.enter();
        let mut gave_up = false;
        for _ in 0..self.places.len() {
            let Some(place) = self.places.front() else { break };
            if over(&place.about) && place.withdraw(&mut self.panics) {
                gave_up = true;
                self.first_is(Offer::Dropped);
            } else {
                self.places.rotate_left(1);
            }
        }
        gave_up
    }

    /// Makes `close` wait for what comes.
    fn enter(&mut self) {
        if self.under_way.is_none() {
            self.under_way = self.bus.shared.enter();
        }
    }

    /// It is over at the first place. Reports that to the publisher, and unless the bus was closed
    /// to the observers.
    fn first_is(&mut self, offer: Offer) {
        let Self { bus, envelope, places, published, panics, under_way } = self;
        let Some(place) = places.pop_front() else { return };
        match under_way {
            Some(_) => bus.report(Some(&place.about), envelope, offer, published, panics),
            None => offer.count(published),
        }
    }

    /// Drops the envelope where it still waits. Then lets a panic continue.
    fn leave(&mut self) {
        while let Some(place) = self.places.front() {
            let offer = match place.ticket.settled() {
                Some(settled) => settled.into(),
                None if place.withdraw(&mut self.panics) => Offer::Dropped,
                None => place.ticket.settled().map_or(Offer::Closed, Offer::from),
            };
            self.first_is(offer);
        }
        core::mem::take(&mut self.panics).resume();
    }

    /// Drops the envelope where it still waits, and says what became of it.
    pub(super) fn end(&mut self) -> Result<Published, PublishError> {
        self.leave();
        if self.published.closed > 0 && self.bus.is_closed() {
            // The bus ended the wait, not the subscriber.
            return Err(PublishError::Closed(self.envelope.clone()));
        }
        Ok(self.published)
    }
}

impl Waits<'_> {
    /// Drops the envelope where it still waits.
    pub(super) fn abandon(&mut self) {
        if !self.places.is_empty() {
            self.enter();
            self.leave();
        }
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.abandon();
    }
}

/// A publisher's place in a full subscription.
pub(super) struct Place<'a> {
    pub(super) shared: &'a Shared,
    pub(super) about: Arc<About>,
    pub(super) target: Target,
    pub(super) turn: Turn,
    pub(super) ticket: Arc<Ticket>,
}

impl Place<'_> {
    /// Takes the envelope back and counts it as dropped. `false` if its case is settled.
    fn withdraw(&self, panics: &mut Panics) -> bool {
        let mut state = self.shared.state.lock();
        let withdrawn =
            self.target.queue(&mut state.queues).and_then(|queue| queue.withdraw(self.turn));
        drop(state);
        let was_there = withdrawn.is_some();
        panics.dispose(withdrawn); // after the lock
        was_there
    }

    /// Parks until the envelope is in, or cannot get in any more.
    #[cfg(feature = "std")]
    fn wait(&self, wait: &Wait<'_>, panics: &mut Panics) -> Result<Settled, GaveUp> {
        loop {
            if let Some(settled) = self.ticket.settled() {
                return Ok(settled);
            }
            if let Err(gave_up) = wait.park()
                && self.withdraw(panics)
            {
                return Err(gave_up);
            }
            // If it was settled, that was under the lock, and the next look says how.
        }
    }

    /// Ready when the envelope is in, or cannot get in any more. If it is neither, `waker` is woken
    /// then. A panic of a waker's clone or drop passes through: then the publish ends.
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
