//! How an envelope gets to the subscriptions that match.
//!
//! Most envelopes are delivered under one lock: nobody observes, and no subscription that matches has a
//! filter or lets the publisher wait. What is left then is delivered one by one, with the lock released
//! in between.

use alloc::sync::Arc;
use core::future::poll_fn;
use core::task::{Poll, Waker};

use super::cancel::Wait;
use super::observer::{DropReason, Observer, Overrun};
use super::panics::Panics;
use super::queue::{About, Room, Settled, Ticket};
use super::room::{Place, Waits};
use super::routes::Target;
use super::shared::{Queues, State};
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
    fn run(&mut self, panics: &mut Panics) {
        panics.wake(core::mem::take(&mut self.wake));
    }
}

/// What became of an envelope at one subscription.
pub(super) enum Offer {
    Delivered,
    /// Delivered, and the oldest had to go.
    Displaced(Arc<Envelope>),
    Dropped,
    Closed,
}

impl Offer {
    pub(super) const fn count(&self, published: &mut Published) {
        match self {
            Self::Dropped => published.dropped += 1,
            Self::Closed => published.closed += 1,
            Self::Delivered | Self::Displaced(_) => published.delivered += 1,
        }
    }
}

impl From<Settled> for Offer {
    fn from(settled: Settled) -> Self {
        match settled {
            Settled::Delivered => Self::Delivered,
            Settled::Closed => Self::Closed,
        }
    }
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
            Room::Full if may_wait && queue.when_full == Overrun::Block => return at,
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

/// What became of a publish at first.
enum Begun<'a> {
    Done(Published),
    Waits(Waits<'a>),
}

impl SubjectBus {
    /// The same as [`publish`](Self::publish) for a task: where a subscription is full and says
    /// [`Block`](Overrun::Block), the future waits for room, in the order in which publishers came, and
    /// the thread does not. Any executor will do.
    ///
    /// Nothing happens before it is polled. Dropped while it waits, it drops the envelope at the
    /// subscriptions that still have no room: counted, and observers are told. It does not hold up
    /// [`close`](Self::close); of what it waited for then, no observer hears.
    ///
    /// A poll that finds no room takes the lock of the bus, and a number of steps that grows with the
    /// logarithm of how many wait.
    ///
    /// # Errors
    ///
    /// If the bus is closed, or is closed while this waits. The error has the envelope.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "std")] {
    /// use core::task::{Context, Poll, Waker};
    /// use tickbus::{Envelope, SubjectBus, Overrun};
    ///
    /// let bus = SubjectBus::new();
    /// let jobs = bus.subscribe("job.*")?.capacity(1).overrun(Overrun::Block).open();
    /// bus.publish(Envelope::new("job.1")?)?;
    ///
    /// let mut second = Box::pin(bus.publish_async(Envelope::new("job.2")?));
    /// let mut context = Context::from_waker(Waker::noop()); // an executor has a real one
    /// assert!(second.as_mut().poll(&mut context).is_pending()); // full
    ///
    /// assert_eq!(jobs.try_recv().unwrap().subject().as_str(), "job.1");
    /// let Poll::Ready(published) = second.as_mut().poll(&mut context) else { unreachable!() };
    /// assert_eq!(published?.delivered, 1);
    /// # }
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[expect(clippy::missing_panics_doc, reason = "what is ready at once is polled once")]
    pub async fn publish_async(
        &self,
        envelope: impl Into<Arc<Envelope>>,
    ) -> Result<Published, PublishError> {
        let mut envelope = Some(envelope.into());
        let begun = poll_fn(|context| {
            let envelope = envelope.take().expect("the only poll");
            Poll::Ready(self.begin(envelope, true, || context.waker().clone()))
        });
        match begun.await? {
            Begun::Done(published) => Ok(published),
            Begun::Waits(mut waits) => poll_fn(|context| waits.poll(context.waker())).await,
        }
    }

    #[inline]
    pub(super) fn deliver(
        &self,
        envelope: Arc<Envelope>,
        wait: &Wait<'_>,
    ) -> Result<Published, PublishError> {
        match self.begin(envelope, wait.waits(), this_thread)? {
            Begun::Done(published) => Ok(published),
            Begun::Waits(waits) => waits.wait(wait),
        }
    }

    /// Delivers where there is room. `waker` is for where there is none and the publisher `may_wait`.
    #[inline]
    fn begin(
        &self,
        envelope: Arc<Envelope>,
        may_wait: bool,
        waker: impl Fn() -> Waker,
    ) -> Result<Begun<'_>, PublishError> {
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
        let waker = may_wait.then_some(&waker as &dyn Fn() -> Waker);
        if !self.observers.is_empty() {
            state.under_way += 1;
            drop(state);
            let mut waits = Waits::new(self, envelope);
            let Waits { envelope, panics, .. } = &mut waits;
            self.observe(panics, |observer| observer.on_publish(envelope));
            let targets = self.shared.state.lock().routes.find(envelope.subject()).keep();
            self.deliver_rest(&targets, &mut waits, waker);
            return Ok(Begun::Waits(waits));
        }
        let State { routes, queues, under_way, .. } = &mut *state;
        let route = routes.find(envelope.subject());
        let mut after = After::default();
        let mut published = Published::default();
        // The last one gets what the publisher has; the others, a clone.
        let mut envelope = Some(envelope);
        let give = |last| if last { envelope.take() } else { envelope.clone() };
        let done = run(queues, route.targets, give, may_wait, &mut after, &mut published);
        if done == route.targets.len() {
            drop(state);
            if !after.wake.is_empty() {
                let mut panics = Panics::default();
                after.run(&mut panics);
                panics.resume();
            }
            return Ok(Begun::Done(published));
        }
        let targets = route.keep();
        *under_way += 1;
        drop(state);
        let envelope = envelope.expect("only the last one takes it");
        let mut waits = Waits::new(self, envelope);
        waits.published = published;
        after.run(&mut waits.panics);
        self.deliver_rest(&targets[done..], &mut waits, waker);
        Ok(Begun::Waits(waits))
    }

    /// Delivers to these, with the lock released where it must be. With a waker it may wait.
    #[cold]
    fn deliver_rest<'a>(
        &'a self,
        mut targets: &[Target],
        waits: &mut Waits<'a>,
        waker: Option<&dyn Fn() -> Waker>,
    ) {
        while let Some((first, rest)) = targets.split_first() {
            let mut done = 0;
            if self.observers.is_empty() && !first.filtered {
                let mut after = After::default();
                let Waits { envelope, published, .. } = waits;
                let give = |_| Some(envelope.clone());
                let closed = published.closed;
                let mut state = self.shared.state.lock();
                let queues = &mut state.queues;
                done = run(queues, targets, give, waker.is_some(), &mut after, published);
                state.too_late += (published.closed - closed) as u64;
                drop(state);
                after.run(&mut waits.panics);
            }
            if done == 0 {
                self.deliver_to(*first, waits, waker);
                targets = rest;
            } else {
                targets = &targets[done..];
            }
        }
    }

    /// Delivers to one, after its filter; or finds the publisher a place to wait.
    fn deliver_to<'a>(
        &'a self,
        target: Target,
        waits: &mut Waits<'a>,
        waker: Option<&dyn Fn() -> Waker>,
    ) {
        let Waits { envelope, published, panics, places, .. } = waits;
        let mut state = self.shared.state.lock();
        let Some(queue) = target.queue(&mut state.queues) else { return };
        let about = (!self.observers.is_empty()).then(|| queue.about.clone());
        let (filter, when_full) = (queue.predicate.clone(), queue.when_full);
        let waker = waker.filter(|_| when_full == Overrun::Block);
        let mut publisher = None;
        if filter.is_some() || waker.is_some() {
            drop(state);
            if let Some(filter) = filter {
                let wanted = panics.run(|| filter(envelope));
                panics.dispose(filter); // the handle may be gone
                if wanted != Some(true) {
                    return;
                }
            }
            publisher = waker.and_then(|waker| panics.run(waker));
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
                Room::Full => match publisher.take() {
                    Some(waker) => {
                        let ticket = Arc::new(Ticket::new());
                        match queue.wait(envelope.clone(), ticket.clone(), waker) {
                            Ok(turn) => {
                                let about = queue.about.clone();
                                drop(state);
                                let shared = &self.shared;
                                places.push_back(Place { shared, about, target, turn, ticket });
                                return;
                            }
                            Err(waker) => publisher = Some(waker),
                        }
                        Offer::Closed
                    }
                    None => {
                        queue.refuse();
                        Offer::Dropped
                    }
                },
                Room::Closed => Offer::Closed,
            },
        };
        state.too_late += u64::from(matches!(offer, Offer::Closed));
        drop(state);
        panics.dispose(publisher); // after the lock
        panics.wake(receiver);
        self.told(about.as_deref(), envelope, offer, published, panics);
    }

    /// Tells the publisher and the observers what became of an envelope at one subscription. The numbers of the
    /// bus have it already.
    pub(super) fn told(
        &self,
        about: Option<&About>,
        envelope: &Arc<Envelope>,
        offer: Offer,
        published: &mut Published,
        panics: &mut Panics,
    ) {
        offer.count(published);
        let Some(recipient) = about.map(About::recipient) else { return };
        let mut dropped = |envelope, reason| {
            self.observe(panics, |observer| observer.on_drop(envelope, recipient, reason));
        };
        match &offer {
            Offer::Dropped => dropped(envelope, DropReason::BufferFull),
            Offer::Closed => dropped(envelope, DropReason::Closed),
            Offer::Delivered | Offer::Displaced(_) => {
                if let Offer::Displaced(oldest) = &offer {
                    dropped(oldest, DropReason::BufferFull);
                }
                self.observe(panics, |observer| observer.on_deliver(envelope, recipient));
            }
        }
    }

    fn observe(&self, panics: &mut Panics, f: impl Fn(&dyn Observer)) {
        for observer in &self.observers {
            panics.run(|| f(&**observer));
        }
    }
}
