//! How an envelope gets to the subscriptions that match.
//!
//! Most envelopes are delivered under one lock: nobody observes, and no subscription that matches has a
//! filter or lets the publisher wait. What is left then is delivered one by one, with the lock released
//! in between.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::task::Waker;

use super::cancel::{GaveUp, Wait};
use super::observer::{DropReason, Observer, WhenFull};
use super::queue::{About, Room, Settled, Ticket};
use super::routes::Target;
use super::shared::{Queues, Shared, State, UnderWay};
use super::{PublishError, Published, SubjectBus};
use crate::envelope::Envelope;
use crate::sync::host::this_thread;

/// How many deliveries are made under one lock.
pub(super) const RUN: usize = 8;

/// What a run leaves to be done after the lock.
#[derive(Default)]
struct After {
    wake: heapless::Vec<Waker, RUN>,
    /// What had to make room. Dropped.
    evicted: heapless::Vec<Arc<Envelope>, RUN>,
}

impl After {
    #[inline]
    fn run(&mut self) {
        while let Some(receiver) = self.wake.pop() {
            receiver.wake();
        }
    }
}

/// A publisher's place in a full subscription; given up if the publisher unwinds.
struct Place<'a> {
    shared: &'a Shared,
    about: Arc<About>,
    target: Target,
    ticket: Arc<Ticket>,
}

impl Place<'_> {
    /// Takes the envelope back, counted as dropped. `false` if its case is settled.
    fn withdraw(&self) -> bool {
        let mut state = self.shared.state.lock();
        let envelope =
            self.target.queue(&mut state.queues).and_then(|queue| queue.withdraw(&self.ticket));
        drop(state);
        envelope.is_some()
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
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.ticket.settled().is_none() {
            self.withdraw();
        }
    }
}

/// What became of an envelope at one subscription.
enum Offer {
    Delivered,
    /// Delivered, and the oldest had to go.
    Displaced(Arc<Envelope>),
    Dropped,
    Closed,
}

/// Delivers to the first targets, under the lock: to at most [`RUN`], and up to the first that has a
/// filter or is full and lets the publisher wait. Says how many that were. `give` gives the envelope, and
/// is told whether it is for the last target.
#[inline]
fn run(
    queues: &mut Queues,
    targets: &[Target],
    mut give: impl FnMut(bool) -> Option<Arc<Envelope>>,
    may_wait: bool,
    after: &mut After,
    published: &mut Published,
) -> usize {
    let most = targets.len().min(RUN);
    for (at, target) in targets[..most].iter().enumerate() {
        if target.filtered {
            return at;
        }
        let Some(queue) = target.queue(queues) else { continue };
        let displaced = match queue.room() {
            Room::Yes => None,
            Room::Displaced(oldest) => Some(oldest),
            Room::Full if may_wait && queue.when_full == WhenFull::Block => return at,
            Room::Full => {
                queue.refuse();
                published.dropped += 1;
                continue;
            }
            Room::Closed => {
                published.closed += 1;
                continue;
            }
        };
        let Some(envelope) = give(at + 1 == targets.len()) else { continue };
        if let Some(receiver) = queue.put(envelope) {
            let _ = after.wake.push(receiver); // has room for a run
        }
        if let Some(oldest) = displaced {
            let _ = after.evicted.push(oldest); // the same
        }
        published.delivered += 1;
    }
    most
}

/// With an id and a time. Copied where others have it.
#[cfg(feature = "std")]
#[cold]
fn stamped(mut envelope: Arc<Envelope>) -> Arc<Envelope> {
    Arc::make_mut(&mut envelope).stamp();
    envelope
}

impl SubjectBus {
    #[inline]
    pub(super) fn deliver(
        &self,
        envelope: Arc<Envelope>,
        wait: &Wait<'_>,
    ) -> Result<Published, PublishError> {
        #[cfg(feature = "std")] // without, id and time are the publisher's
        let envelope = match envelope.is_stamped() {
            true => envelope,
            false if self.is_closed() => return Err(PublishError::Closed(envelope)),
            false => stamped(envelope),
        };
        let mut state = self.shared.state.lock();
        if state.closed {
            drop(state);
            return Err(PublishError::Closed(envelope));
        }
        state.published += 1;
        let mut published = Published::default();
        if !self.observers.is_empty() {
            state.under_way += 1;
            drop(state);
            let _under_way = UnderWay::new(&self.shared);
            self.observe(|observer| observer.on_publish(&envelope));
            let targets = self.shared.state.lock().routes.find(envelope.subject()).keep();
            return self.deliver_rest(envelope, &targets, published, wait);
        }
        let State { routes, queues, under_way, .. } = &mut *state;
        let route = routes.find(envelope.subject());
        let mut after = After::default();
        // The last one gets what the publisher has; the others, a clone.
        let mut envelope = Some(envelope);
        let give = |last| if last { envelope.take() } else { envelope.clone() };
        let done = run(queues, route.targets, give, wait.waits(), &mut after, &mut published);
        if done == route.targets.len() {
            drop(state);
            after.run();
            return Ok(published);
        }
        let targets = route.keep();
        *under_way += 1;
        drop(state);
        let _under_way = UnderWay::new(&self.shared);
        after.run();
        match envelope {
            Some(envelope) => self.deliver_rest(envelope, &targets[done..], published, wait),
            None => Ok(published), // only the last one takes it
        }
    }

    /// Delivers to these, with the lock released where it must be.
    #[cold]
    fn deliver_rest(
        &self,
        envelope: Arc<Envelope>,
        mut targets: &[Target],
        mut published: Published,
        wait: &Wait<'_>,
    ) -> Result<Published, PublishError> {
        let mut places = Vec::new();
        while let Some((first, rest)) = targets.split_first() {
            let mut done = 0;
            if self.observers.is_empty() && !first.filtered {
                let mut after = After::default();
                let give = |_| Some(envelope.clone());
                let closed = published.closed;
                let mut state = self.shared.state.lock();
                let queues = &mut state.queues;
                done = run(queues, targets, give, wait.waits(), &mut after, &mut published);
                state.too_late += (published.closed - closed) as u64;
                drop(state);
                after.run();
            }
            if done == 0 {
                places.extend(self.deliver_to(*first, &envelope, wait, &mut published));
                targets = rest;
            } else {
                targets = &targets[done..];
            }
        }
        let gave_up = self.wait_for_room(places, &envelope, wait, &mut published);
        match gave_up {
            // Sent away by the bus, not by the subscriber.
            _ if published.closed > 0 && self.is_closed() => Err(PublishError::Closed(envelope)),
            Some(GaveUp::TimedOut) => Err(PublishError::TimedOut(envelope)),
            Some(GaveUp::Cancelled) => Err(PublishError::Cancelled(envelope)),
            None => Ok(published),
        }
    }

    /// Delivers to one, after its filter; or finds the publisher a place to wait.
    fn deliver_to(
        &self,
        target: Target,
        envelope: &Arc<Envelope>,
        wait: &Wait<'_>,
        published: &mut Published,
    ) -> Option<Place<'_>> {
        let mut state = self.shared.state.lock();
        let about = target.queue(&mut state.queues)?.about.clone();
        if let Some(filter) = &about.predicate {
            drop(state);
            if !filter(envelope) {
                return None;
            }
            state = self.shared.state.lock();
        }
        let mut receiver = None;
        let offer = match target.queue(&mut state.queues) {
            None => Offer::Closed,
            Some(queue) => match queue.room() {
                Room::Yes => {
                    receiver = queue.put(envelope.clone());
                    Offer::Delivered
                }
                Room::Displaced(oldest) => {
                    receiver = queue.put(envelope.clone());
                    Offer::Displaced(oldest)
                }
                Room::Full if wait.waits() && about.when_full == WhenFull::Block => {
                    let ticket = Arc::new(Ticket::new(this_thread()));
                    if queue.wait(envelope.clone(), ticket.clone()) {
                        drop(state);
                        return Some(Place { shared: &self.shared, about, target, ticket });
                    }
                    Offer::Closed
                }
                Room::Full => {
                    queue.refuse();
                    Offer::Dropped
                }
                Room::Closed => Offer::Closed,
            },
        };
        drop(state);
        if let Some(receiver) = receiver {
            receiver.wake();
        }
        self.told(&about, envelope, offer, published);
        None
    }

    /// Waits at each place in turn. The first reason to give up is the reason; after it, each place
    /// still gets its room if it is there.
    fn wait_for_room(
        &self,
        places: Vec<Place<'_>>,
        envelope: &Arc<Envelope>,
        wait: &Wait<'_>,
        published: &mut Published,
    ) -> Option<GaveUp> {
        if places.is_empty() {
            return None;
        }
        let _woken = wait.wake_on_cancel();
        let mut gave_up = None;
        for place in places {
            let offer = match place.wait(wait) {
                Ok(Settled::Delivered) => Offer::Delivered,
                Ok(Settled::Closed) => Offer::Closed,
                Err(reason) => {
                    gave_up.get_or_insert(reason);
                    Offer::Dropped
                }
            };
            self.told(&place.about, envelope, offer, published);
        }
        gave_up
    }

    /// Counts what became of an envelope at one subscription, and tells the observers.
    fn told(
        &self,
        about: &About,
        envelope: &Arc<Envelope>,
        offer: Offer,
        published: &mut Published,
    ) {
        let dropped = |envelope, reason| {
            self.observe(|observer| observer.on_drop(envelope, about.recipient(), reason));
        };
        match offer {
            Offer::Dropped => {
                published.dropped += 1;
                dropped(envelope, DropReason::BufferFull);
            }
            Offer::Closed => {
                published.closed += 1;
                self.shared.state.lock().too_late += 1;
                dropped(envelope, DropReason::Closed);
            }
            offer => {
                published.delivered += 1;
                if let Offer::Displaced(oldest) = &offer {
                    dropped(oldest, DropReason::BufferFull);
                }
                self.observe(|observer| observer.on_deliver(envelope, about.recipient()));
            }
        }
    }

    fn observe(&self, f: impl Fn(&dyn Observer)) {
        for observer in &self.observers {
            f(&**observer);
        }
    }
}
