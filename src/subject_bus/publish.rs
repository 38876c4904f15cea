//! How an envelope gets to the subscriptions that match.
//!
//! Most envelopes are enqueued under one lock: there is no observer, and no subscription that
//! matches has a filter or lets the publisher wait. The others are enqueued one by one, with the
//! lock released in between.

use alloc::sync::Arc;
use core::future::poll_fn;
use core::task::{Poll, Waker};
#[cfg(feature = "hosted")]
use core::time::Duration;

use super::bus::SubjectBus;
use super::observer::Overrun;
use super::offer::Offer;
use super::published::{Counts, PublishError, Published};
use super::queue::{Queue, Room, Ticket};
use super::room::{Place, Waits};
use super::routes::Target;
use super::shared::{Queues, State};
use crate::envelope::Envelope;
use crate::sync::Guard;
#[cfg(feature = "std")]
use crate::sync::host::this_thread;
use crate::wait::panics::Panics;
#[cfg(feature = "hosted")]
use crate::wait::thread::Cancel;
#[cfg(feature = "std")]
use crate::wait::thread::Wait;

/// How many subscriptions get the envelope under one lock.
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

/// Enqueues at the first targets, under the lock: at most [`RUN`], and up to the first that has a
/// filter or is full and lets the publisher wait. Returns how many that were. `give` returns the
/// envelope; its argument is whether it is for the last target.
#[inline]
fn run(
    queues: &mut Queues,
    targets: &[Target],
    mut give: impl FnMut(bool) -> Option<Arc<Envelope>>,
    may_wait: bool,
    after: &mut After,
    counts: &mut Counts,
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
            Room::Full if may_wait && queue.overrun == Overrun::Block => return at,
            Room::Full => {
                queue.refuse();
                counts.dropped += 1;
                continue;
            }
            Room::Closed => {
                counts.closed += 1;
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
        counts.enqueued += 1;
    }
    most
}

/// Fills in id and time where they are missing. Copies the envelope where it is shared then.
pub(super) fn stamp(envelope: &mut Arc<Envelope>) {
    #[cfg(feature = "std")] // without, id and time are the publisher's
    if !envelope.is_stamped() {
        Arc::make_mut(envelope).stamp();
    }
    #[cfg(not(feature = "std"))]
    let _ = envelope;
}

#[cfg(feature = "std")]
#[cold]
fn stamped(mut envelope: Arc<Envelope>) -> Arc<Envelope> {
    stamp(&mut envelope);
    envelope
}

/// A publish that waits for room as long as its subscriptions say.
#[cfg(feature = "hosted")]
pub(crate) struct Patient<'a>(Patience<'a>);

#[cfg(feature = "hosted")]
enum Patience<'a> {
    /// What became of the envelope, and the result until it is taken.
    Done(Published, Option<Result<Published, PublishError>>),
    Waits(Waits<'a>),
}

#[cfg(feature = "hosted")]
impl Patient<'_> {
    const fn done(published: Published, result: Result<Published, PublishError>) -> Self {
        Self(Patience::Done(published, Some(result)))
    }

    /// Returns what became of the envelope so far.
    pub(crate) const fn published(&self) -> Published {
        match &self.0 {
            Patience::Done(published, _) => *published,
            Patience::Waits(waits) => waits.published,
        }
    }

    /// Takes the result if it is there. It is there once.
    pub(crate) const fn now(&mut self) -> Option<Result<Published, PublishError>> {
        match &mut self.0 {
            Patience::Done(_, result) => result.take(),
            Patience::Waits(_) => None,
        }
    }

    /// Drops the envelope where it has no room yet.
    pub(crate) fn abandon(&mut self) {
        if let Patience::Waits(waits) = &mut self.0 {
            waits.abandon();
        }
    }

    /// Waits for room. Drops the envelope where the patience of the subscription is over, and
    /// everywhere when `cancel` is cancelled. `sleep` returns what is ready so long after the
    /// publish began.
    pub(crate) async fn wait<S: Future<Output = ()> + Unpin>(
        &mut self,
        cancel: Option<&Cancel>,
        mut sleep: impl FnMut(Duration) -> S,
    ) -> Result<Published, PublishError> {
        let waits = match &mut self.0 {
            Patience::Done(_, result) => return result.take().expect("it is taken once"),
            Patience::Waits(waits) => waits,
        };
        let mut cancelled = false;
        let mut timer: Option<(Duration, S)> = None;
        let mut _registered = None;
        poll_fn(|context| {
            loop {
                if let Poll::Ready(published) = waits.poll(context.waker()) {
                    let envelope = &waits.envelope;
                    return Poll::Ready(published.and_then(|published| match cancelled {
                        false => Ok(published),
                        true => Err(PublishError::Cancelled(envelope.clone())),
                    }));
                }
                if let Some(cancel) = cancel {
                    let waker = context.waker().clone();
                    _registered = Some(cancel.on_cancel(move || waker.wake()));
                    if cancel.is_cancelled() {
                        cancelled |= waits.give_up(|_| true);
                        continue;
                    }
                }
                let Some(patience) = waits.patience() else { return Poll::Pending };
                let timer = match &mut timer {
                    Some((end, timer)) if *end == patience => timer,
                    timer => &mut timer.insert((patience, sleep(patience))).1,
                };
                if core::pin::Pin::new(timer).poll(context).is_pending() {
                    return Poll::Pending;
                }
                waits.give_up(|about| about.patience.is_some_and(|own| own <= patience));
            }
        })
        .await
    }
}

/// A publish after its first look at each subscription.
pub(super) enum Begun<'a> {
    Done(Counts),
    Held,
    Waits(Waits<'a>),
}

impl SubjectBus {
    /// Puts `envelope` into the buffer of each subscription that matches, and waits for room at
    /// those that are full and say [`Block`](Overrun::Block). Needs `std`, since it blocks the
    /// thread.
    ///
    /// It fills in the id and the time of the envelope where they are missing. Before it waits, it
    /// serves all other subscriptions. The wait has no limit; that of
    /// [`publish_wait`](Self::publish_wait) has one.
    ///
    /// # Errors
    ///
    /// Returns [`PublishError::Closed`] with the envelope if the bus is closed before or during the
    /// wait, and [`PublishError::HoldFull`] if the bus is not started and its hold is full.
    #[cfg(feature = "std")]
    pub fn publish(&self, envelope: impl Into<Arc<Envelope>>) -> Result<Published, PublishError> {
        self.publish_wait(envelope, Wait::forever())
    }

    /// Puts `envelope` into the buffer of each subscription that matches, and never waits. A full
    /// subscription that says [`Block`](Overrun::Block) drops the envelope.
    ///
    /// Under the feature `std`, it fills in the id and the time where they are missing. Without
    /// `std`, set them yourself: the bus has neither a clock nor a source of ids.
    ///
    /// # Errors
    ///
    /// Returns [`PublishError::Closed`] with the envelope if the bus is closed, and
    /// [`PublishError::HoldFull`] if the bus is not started and its hold is full.
    pub fn try_publish(
        &self,
        envelope: impl Into<Arc<Envelope>>,
    ) -> Result<Published, PublishError> {
        match self.begin(envelope.into(), None)? {
            Begun::Done(counts) => Ok(counts.into()),
            Begun::Held => Ok(Published::HELD),
            Begun::Waits(mut waits) => waits.end(),
        }
    }

    /// Puts `envelope` into the buffer of each subscription that matches, and waits for room as
    /// long as `wait` says: see [`publish`](Self::publish).
    ///
    /// # Errors
    ///
    /// Returns [`PublishError`] with the envelope if the bus is closed before or during the wait,
    /// or if its hold is full. Also returns it if the wait ends before all subscriptions had room.
    /// Those that had room then have the envelope, and the others dropped it.
    #[cfg(feature = "std")]
    #[inline]
    pub fn publish_wait(
        &self,
        envelope: impl Into<Arc<Envelope>>,
        wait: Wait<'_>,
    ) -> Result<Published, PublishError> {
        match self.begin(envelope.into(), wait.waits().then_some(&this_thread))? {
            Begun::Done(counts) => Ok(counts.into()),
            Begun::Held => Ok(Published::HELD),
            Begun::Waits(waits) => waits.wait(&wait),
        }
    }

    /// Puts `envelope` into the buffer of each subscription that matches, and awaits room at those
    /// that are full and say [`Block`](Overrun::Block).
    ///
    /// It works with any executor. Publishers get room in the order in which they came. The future
    /// does nothing before you poll it. If you drop it while it waits, the subscriptions that still
    /// have no room drop the envelope. They count it, and the bus calls the observers. The future
    /// does not delay [`close`](Self::close); observers do not see an envelope that is still
    /// waiting then.
    ///
    /// A poll that finds no room takes the lock of the bus. Its steps grow with the logarithm of
    /// the number of waiting publishers.
    ///
    /// # Errors
    ///
    /// Returns [`PublishError::Closed`] with the envelope if the bus is closed before or during the
    /// wait, and [`PublishError::HoldFull`] if the bus is not started and its hold is full.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::task::{Context, Poll, Waker};
    /// use tickbus::{Envelope, Overrun, SubjectBus};
    ///
    /// let bus = SubjectBus::new();
    /// let jobs = bus.subscribe("job.*")?.capacity(1).overrun(Overrun::Block).open();
    /// bus.try_publish(Envelope::unstamped("job.1")?)?;
    ///
    /// let mut second = Box::pin(bus.publish_async(Envelope::unstamped("job.2")?));
    /// let mut context = Context::from_waker(Waker::noop()); // an executor has a real one
    /// assert!(second.as_mut().poll(&mut context).is_pending()); // full
    ///
    /// assert_eq!(jobs.try_recv().unwrap().subject().as_str(), "job.1");
    /// let Poll::Ready(published) = second.as_mut().poll(&mut context) else { unreachable!() };
    /// assert_eq!(published?.enqueued, 1);
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
            Poll::Ready(self.begin(envelope, Some(&|| context.waker().clone())))
        });
        match begun.await? {
            Begun::Done(counts) => Ok(counts.into()),
            Begun::Held => Ok(Published::HELD),
            Begun::Waits(mut waits) => poll_fn(|context| waits.poll(context.waker())).await,
        }
    }

    /// Publishes where there is room, at once. What it returns waits where there is none.
    #[cfg(feature = "hosted")]
    pub(crate) fn publish_patient(
        &self,
        envelope: Arc<Envelope>,
    ) -> Result<Patient<'_>, PublishError> {
        let mut waits = match self.begin(envelope, Some(&|| Waker::noop().clone()))? {
            Begun::Done(counts) => return Ok(Patient::done(counts.into(), Ok(counts.into()))),
            Begun::Held => return Ok(Patient::done(Published::HELD, Ok(Published::HELD))),
            Begun::Waits(waits) => waits,
        };
        // The first poll, so that `close` does not wait for the second.
        match waits.poll(Waker::noop()) {
            Poll::Ready(result) => Ok(Patient::done(waits.published, result)),
            Poll::Pending => Ok(Patient(Patience::Waits(waits))),
        }
    }

    /// Enqueues where there is room. With a `waker`, the publisher may wait where there is none.
    #[inline]
    fn begin(
        &self,
        envelope: Arc<Envelope>,
        waker: Option<&dyn Fn() -> Waker>,
    ) -> Result<Begun<'_>, PublishError> {
        #[cfg(feature = "std")] // without, id and time are the publisher's
        let envelope = match envelope.is_stamped() {
            true => envelope,
            false if self.is_closed() => return Err(PublishError::Closed(envelope)),
            false => stamped(envelope),
        };
        let mut state = self.shared.state.lock();
        if !state.live {
            return self.hold_one(state, envelope);
        }
        state.published += 1;
        self.route(state, envelope, waker, false)
    }

    /// Enqueues where there is room, under the lock and after it. The bus is open. Never an error:
    /// the type saves `begin` a copy.
    #[inline]
    pub(super) fn route(
        &self,
        mut state: Guard<'_, State>,
        envelope: Arc<Envelope>,
        waker: Option<&dyn Fn() -> Waker>,
        is_replay: bool,
    ) -> Result<Begun<'_>, PublishError> {
        if !self.observers.is_empty() || state.rotation.is_some() {
            state.under_way += 1;
            drop(state);
            let mut waits = Waits::new(self, envelope);
            let Waits { envelope, panics, .. } = &mut waits;
            self.observe(panics, |observer| observer.on_publish(envelope));
            let mut state = self.shared.state.lock();
            state.hold.replayed += u64::from(is_replay);
            let targets = state.find(envelope.subject());
            drop(state);
            self.enqueue_rest(&targets, &mut waits, waker);
            return Ok(Begun::Waits(waits));
        }
        let State { routes, queues, under_way, hold, .. } = &mut *state;
        hold.replayed += u64::from(is_replay);
        let route = routes.find(envelope.subject());
        let mut after = After::default();
        let mut counts = Counts::default();
        // The last one gets what the publisher has; the others, a clone.
        let mut envelope = Some(envelope);
        let give = |last| if last { envelope.take() } else { envelope.clone() };
        let done = run(queues, route.targets, give, waker.is_some(), &mut after, &mut counts);
        if done == route.targets.len() {
            drop(state);
            #[cfg(feature = "hosted")]
            if !after.evicted.is_empty() {
                self.shared.lost(&after.evicted);
            }
            if !after.wake.is_empty() {
                let mut panics = Panics::default();
                after.run(&mut panics);
                panics.resume();
            }
            return Ok(Begun::Done(counts));
        }
        let targets = route.keep();
        *under_way += 1;
        drop(state);
        #[cfg(feature = "hosted")]
        self.shared.lost(&after.evicted);
        let envelope = envelope.expect("only the last one takes it");
        let mut waits = Waits::new(self, envelope);
        waits.published = counts.into();
        after.run(&mut waits.panics);
        self.enqueue_rest(&targets[done..], &mut waits, waker);
        Ok(Begun::Waits(waits))
    }

    /// Enqueues at these, with the lock released where it must be. With a waker it may wait.
    #[cold]
    fn enqueue_rest<'a>(
        &'a self,
        mut targets: &[Target],
        waits: &mut Waits<'a>,
        waker: Option<&dyn Fn() -> Waker>,
    ) {
        while let Some((first, rest)) = targets.split_first() {
            let mut done = 0;
            if self.observers.is_empty() && !first.filtered {
                let mut after = After::default();
                let mut counts = Counts::default();
                let give = |_| Some(waits.envelope.clone());
                let mut state = self.shared.state.lock();
                let queues = &mut state.queues;
                done = run(queues, targets, give, waker.is_some(), &mut after, &mut counts);
                state.too_late += counts.closed as u64;
                drop(state);
                #[cfg(feature = "hosted")]
                self.shared.lost(&after.evicted);
                waits.published.add(counts);
                after.run(&mut waits.panics);
            }
            if done == 0 {
                self.enqueue_at(*first, waits, waker);
                targets = rest;
            } else {
                targets = &targets[done..];
            }
        }
    }

    /// Enqueues at one, after its filter; or finds the publisher a place to wait.
    fn enqueue_at<'a>(
        &'a self,
        target: Target,
        waits: &mut Waits<'a>,
        waker: Option<&dyn Fn() -> Waker>,
    ) {
        let Waits { envelope, published, panics, places, .. } = waits;
        let mut state = self.shared.state.lock();
        let Some(queue) = target.queue(&mut state.queues) else { return };
        let about = (!self.observers.is_empty()).then(|| queue.about.clone());
        let (filter, overrun) = (queue.predicate.clone(), queue.overrun);
        let waker = waker.filter(|_| overrun == Overrun::Block);
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
        let sampled = target.queue(&mut state.queues).is_some_and(Queue::samples_away);
        let offer = match target.queue(&mut state.queues) {
            None => Offer::Closed,
            Some(_) if sampled => Offer::Sampled,
            Some(queue) => match queue.room() {
                Room::Yes => {
                    receiver = queue.put(envelope.clone());
                    Offer::Enqueued
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
        self.report(about.as_deref(), envelope, offer, published, panics);
    }
}
