//! Between the buses of one program and a bus of envelopes: [`BridgeOut`] and [`BridgeIn`], pumped from the
//! tick.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;

use crate::bus::Take;
use crate::bus::{Budget, Source};
use crate::envelope::Envelope;
use crate::error::{Full, Lagged};
use crate::subject_bus::{PublishError, Subscription};
use crate::topic::{Publishers, Subscriber};
use crate::wait::Waits;

/// What carries the envelopes: any [`EnvelopeBus`](crate::subject_bus::EnvelopeBus).
#[cfg(feature = "std")]
type Carrier = dyn crate::subject_bus::EnvelopeBus;

/// What carries the envelopes, without threads.
#[cfg(not(feature = "std"))]
type Carrier = crate::subject_bus::SubjectBus;

/// Takes events off a bus or a topic and publishes them as envelopes.
///
/// It never waits: a subscription that is full drops the envelope, also one that says
/// [`Overrun::Block`](crate::Overrun::Block). What the budget does not cover, and everything while the bus
/// of envelopes is closed, stays where it is, in order, and that bus or topic does what it does when it is
/// full.
///
/// # Both ways
///
/// What a bridge sends comes back to a [`BridgeIn`] whose pattern matches it. Its subscription has to turn
/// it away, by the source that this bridge gives every envelope without one. What came in must not go out
/// again: let it in by another bus or topic than the one that is sent.
///
/// # Examples
///
/// ```
/// # #[cfg(all(feature = "json", feature = "std"))] {
/// use tickbus::{Budget, Bus, Envelope, SubjectBus, Topic};
/// use tickbus::bridge::{BridgeIn, BridgeOut};
///
/// tickbus::events! {
///     #[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
///     enum Game {
///         #[subject = "game.scored"] Scored { by: u32 },
///         #[subject = "game.ended"]  Ended,
///     }
/// }
///
/// static HERE: Topic<Game, 16> = Topic::new(); // what happens in this process
/// static THERE: Bus<Game, 16> = Bus::new(); // what happens in others
///
/// let service = SubjectBus::new();
/// let others = service.subscribe("game.*")?.filter(|sent| sent.source() != "arena-1").open();
/// let mut outward = BridgeOut::new(&service, "arena-1");
/// let mut inward = BridgeIn::new(others);
///
/// let mut here = HERE.subscribe();
/// HERE.publish(Game::Scored { by: 7 });
/// service.publish(Envelope::event(&Game::Ended)?.with_source("arena-2"))?;
///
/// // In the tick:
/// let sent = outward.pump(&mut here, Budget::events(64), Envelope::event);
/// let came = inward.pump(Budget::events(64), |found| found.decode_event(), |event| THERE.publish(event));
/// assert_eq!((sent.forwarded, sent.left), (1, 0));
/// assert_eq!((came.forwarded, came.left), (1, 0)); // not its own
/// assert!(THERE.consumer().unwrap().drain().eq([Game::Ended]));
/// # }
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
pub struct BridgeOut<'a> {
    bus: &'a Carrier,
    source: Box<str>,
}

impl<'a> BridgeOut<'a> {
    /// A bridge to `bus`, by whom all envelopes without a [source](Envelope::source) are from `source`.
    ///
    /// `bus` is any `EnvelopeBus` under the feature `std`, and a [`SubjectBus`](crate::SubjectBus) without.
    pub fn new(bus: &'a Carrier, source: impl Into<Box<str>>) -> Self {
        Self { bus, source: source.into() }
    }

    /// Takes what is queued at `from` at this moment, within `budget`, makes an envelope of each event and
    /// publishes it.
    ///
    /// The budget is used as by a tick, but for its generations: what is published meanwhile waits for the
    /// next pump. An event that `encode` fails on is lost and counted; the others go on. If `encode`
    /// panics, its event is lost, and the rest stays.
    ///
    /// # Examples
    ///
    /// An event of another crate's type, from a bus of six of which two are lost:
    ///
    /// ```
    /// # #[cfg(all(feature = "json", feature = "std"))] {
    /// use core::time::Duration;
    /// use tickbus::{Budget, Bus, DropOldest, Envelope, SubjectBus};
    /// use tickbus::bridge::BridgeOut;
    ///
    /// static SPIKES: Bus<Duration, 4, DropOldest> = Bus::new();
    ///
    /// let service = SubjectBus::new();
    /// let mut spikes = SPIKES.consumer().expect("the only one");
    /// let mut bridge = BridgeOut::new(&service, "arena-1");
    /// for millis in 20..26 {
    ///     SPIKES.publish(Duration::from_millis(millis)).expect("there is always room");
    /// }
    ///
    /// let encode = |spike: &Duration| Envelope::json("lag.spike", &spike.as_millis());
    /// let report = bridge.pump(&mut spikes, Budget::events(3), encode);
    /// assert_eq!((report.forwarded, report.dropped, report.left), (3, 2, 1));
    /// # }
    /// ```
    pub fn pump<S: Outgoing, X>(
        &mut self,
        from: &mut S,
        mut budget: Budget<impl FnMut() -> bool>,
        mut encode: impl FnMut(&S::Event) -> Result<Envelope, X>,
    ) -> Bridged<X> {
        let mut report = Bridged::default();
        if !self.bus.is_closed() {
            let mut taken = 0;
            let lost = from.hand_over(|event| {
                match encode(event) {
                    Ok(envelope) => self.publish(envelope, &mut report),
                    Err(error) => report.fail(error),
                }
                taken += 1;
                report.closed == 0 && budget.goes_on(taken)
            });
            report.dropped = lost;
        }
        let (left, dropped, refused) = HandOver::account(from);
        report.left = left;
        report.dropped += dropped;
        report.refused = refused;
        report
    }

    fn publish<X>(&self, envelope: Envelope, report: &mut Bridged<X>) {
        let envelope = if envelope.source().is_empty() {
            envelope.with_source(&*self.source)
        } else {
            envelope
        };
        match self.bus.try_publish(Arc::new(envelope)) {
            Ok(published) => {
                report.forwarded += 1;
                report.undelivered += published.dropped + published.closed;
            }
            Err(PublishError::Closed(_)) => report.closed += 1,
            // A broker behind the bus: whoever had no room has lost it.
            Err(PublishError::TimedOut(_) | PublishError::Cancelled(_)) => {
                report.forwarded += 1;
                report.undelivered += 1;
            }
        }
    }
}

impl fmt::Debug for BridgeOut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BridgeOut").field("source", &self.source).finish_non_exhaustive()
    }
}

/// Takes envelopes off a subscription and publishes the events in them on a bus or a topic.
///
/// It never waits, and loses nothing for want of room: an event that comes back in [`Full`] is kept and
/// goes first in the next pump. The rest waits in the subscription, which does what its
/// [`Overrun`](crate::Overrun) says when it is full in turn. An event that is kept when the bridge is
/// dropped is lost, unless [`into_parts`](Self::into_parts) takes it out.
///
/// See [`BridgeOut`] for the way out and for both together.
pub struct BridgeIn<E> {
    subscription: Subscription,
    /// Came back from a full bus.
    kept: Option<E>,
    /// How many losses of the subscription were reported.
    told: u64,
}

impl<E> BridgeIn<E> {
    /// A bridge from `subscription`.
    #[must_use]
    pub const fn new(subscription: Subscription) -> Self {
        Self { subscription, kept: None, told: 0 }
    }

    /// Takes what is queued at this moment, within `budget`, makes an event of each envelope and hands it
    /// to `publish`.
    ///
    /// When `publish` gives an event back in [`Full`], the pump is over. To have an event dropped instead,
    /// take it: `|event| { let _ = BUS.publish(event); Ok(()) }`. The budget is used as by
    /// [`BridgeOut::pump`]. An envelope that `decode` fails on is lost and counted; the others go on. If
    /// `decode` or `publish` panics, that event is lost.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(all(feature = "json", feature = "std"))] {
    /// use tickbus::{Budget, Bus, Envelope, SubjectBus};
    /// use tickbus::bridge::BridgeIn;
    ///
    /// static LEVELS: Bus<u32, 2> = Bus::new();
    ///
    /// let service = SubjectBus::new();
    /// let mut bridge = BridgeIn::new(service.subscribe("tank.level")?.open());
    /// for level in ["7", "8", "low", "9"] {
    ///     service.publish(Envelope::new("tank.level")?.with_payload(level)?)?;
    /// }
    ///
    /// let decode = |found: &Envelope| found.decode::<&str>().unwrap().unwrap().parse();
    /// let report = bridge.pump(Budget::unlimited(), decode, |level| LEVELS.publish(level));
    /// assert_eq!((report.forwarded, report.failed, report.left), (2, 1, 1)); // 9 waits for room
    /// assert_eq!(report.error.unwrap().to_string(), "invalid digit found in string");
    ///
    /// assert!(LEVELS.consumer().unwrap().drain().eq([7, 8]));
    /// let report = bridge.pump(Budget::unlimited(), decode, |level| LEVELS.publish(level));
    /// assert_eq!((report.forwarded, report.left), (1, 0));
    /// # }
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    pub fn pump<X>(
        &mut self,
        mut budget: Budget<impl FnMut() -> bool>,
        mut decode: impl FnMut(&Envelope) -> Result<E, X>,
        mut publish: impl FnMut(E) -> Result<(), Full<E>>,
    ) -> Bridged<X> {
        let mut report = Bridged::default();
        let mut taken = 0;
        let kept = self.kept.take().map(Ok);
        let mut found = kept.into_iter().chain(self.subscription.drain().map(Err));
        while taken == 0 || budget.goes_on(taken) {
            let event = match found.next() {
                None => break,
                Some(Ok(kept)) => kept,
                Some(Err(envelope)) => match decode(&envelope) {
                    Ok(event) => event,
                    Err(error) => {
                        report.fail(error);
                        taken += 1;
                        continue;
                    }
                },
            };
            match publish(event) {
                Ok(()) => report.forwarded += 1,
                Err(Full(event)) => {
                    self.kept = Some(event);
                    break;
                }
            }
            taken += 1;
        }
        drop(found);
        let stats = self.subscription.stats();
        let dropped = stats.dropped();
        report.dropped = (dropped - self.told) as usize;
        self.told = dropped;
        report.left = stats.pending as usize + usize::from(self.kept.is_some());
        report
    }

    /// Where the envelopes come from: its numbers, and whether it has ended.
    pub const fn subscription(&self) -> &Subscription {
        &self.subscription
    }

    /// The subscription, and the event that came back from a full bus, if there is one.
    pub fn into_parts(self) -> (Subscription, Option<E>) {
        (self.subscription, self.kept)
    }
}

impl<E> fmt::Debug for BridgeIn<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BridgeIn")
            .field("subscription", &self.subscription)
            .field("keeps_one", &self.kept.is_some())
            .finish_non_exhaustive()
    }
}

/// What one pump of a bridge did.
///
/// Nothing gets lost silently. Summed over all pumps there were, what was to cross is
/// `forwarded + failed + closed + dropped`, and the `left` of the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a report tells what the pump left undone and what was lost"]
#[non_exhaustive]
pub struct Bridged<X> {
    /// Events that are on the other side.
    pub forwarded: usize,
    /// Events that wait on this side: on the bus, in the topic (where some may be overwritten already), in
    /// the subscription, or kept by the bridge.
    pub left: usize,
    /// Events lost because they could not be made into an envelope, or back.
    pub failed: usize,
    /// The first reason for that in this pump.
    pub error: Option<X>,
    /// Events lost because the bus of envelopes was closed after they had been taken: one at most, for a
    /// closed bus is sent nothing.
    pub closed: usize,
    /// Events lost for want of room on this side, before the bridge came to them: since the last pump, or
    /// since the bus, the topic's subscriber or the subscription was made.
    pub dropped: usize,
    /// Events that a full bus on this side gave back to its publishers, since the last pump. They have
    /// them; not part of the sum.
    pub refused: usize,
    /// Subscriptions on the other side that had no room for an envelope, or ended. Others have it; not
    /// part of the sum.
    pub undelivered: usize,
}

impl<X> Bridged<X> {
    fn fail(&mut self, error: X) {
        self.failed += 1;
        self.error.get_or_insert(error);
    }
}

impl<X> Default for Bridged<X> {
    fn default() -> Self {
        Self {
            forwarded: 0,
            left: 0,
            failed: 0,
            error: None,
            closed: 0,
            dropped: 0,
            refused: 0,
            undelivered: 0,
        }
    }
}

/// Where a [`BridgeOut`] takes events from: a [`Source`], or the [`Subscriber`] of a topic or a feed.
///
/// This trait is sealed: what it has is not for use outside.
///
/// ```compile_fail,E0624
/// fn take<S: tickbus::bridge::Outgoing<Event = u8>>(from: &mut S) {
///     from.hand_over(|_| true);
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "a bridge cannot take events from `{Self}`",
    note = "a bridge takes a `Consumer`, as `BUS.consumer()` gives it, \
            or a `Subscriber`, as `TOPIC.subscribe()` and `FEED.subscribe()` do"
)]
#[expect(private_bounds, reason = "sealed: no path outside this crate names or calls `HandOver`")]
pub trait Outgoing: HandOver<Item = <Self as Outgoing>::Event> {
    /// The type of the events.
    type Event;
}

impl<S: Source> Outgoing for S {
    type Event = <S as Source>::Event;
}

impl<E: Copy, P: Publishers, W: Waits> Outgoing for Subscriber<'_, E, P, W> {
    type Event = E;
}

/// What a bridge does to where it takes events from.
pub(crate) trait HandOver {
    /// What is taken.
    type Item;

    /// Takes the events of this moment and shows them to `each`, until it says to stop. Gives the number of
    /// those that were found lost meanwhile.
    fn hand_over(&mut self, each: impl FnMut(&Self::Item) -> bool) -> usize;

    /// What is pending, and the losses since the last call: dropped and refused.
    fn account(&mut self) -> (usize, usize, usize);
}

impl<S: Source> HandOver for S {
    type Item = <S as Source>::Event;

    fn hand_over(&mut self, mut each: impl FnMut(&Self::Item) -> bool) -> usize {
        let mut span = self.freeze();
        let mut goes_on = true;
        while goes_on && self.show_most(&mut span, 1, |_, event| goes_on = each(event)) == 1 {}
        0 // `account` has them
    }

    fn account(&mut self) -> (usize, usize, usize) {
        Take::account(self)
    }
}

impl<E: Copy, P: Publishers, W: Waits> HandOver for Subscriber<'_, E, P, W> {
    type Item = E;

    fn hand_over(&mut self, each: impl FnMut(&E) -> bool) -> usize {
        read(self.read(), each)
    }

    fn account(&mut self) -> (usize, usize, usize) {
        (self.unread(), 0, 0)
    }
}

/// Shows what a subscriber reads to `each`, until it says to stop. Gives the number of those that it missed.
fn read<E>(
    unread: impl Iterator<Item = Result<E, Lagged>>,
    mut each: impl FnMut(&E) -> bool,
) -> usize {
    let mut missed = 0;
    for found in unread {
        match found {
            Ok(event) if each(&event) => {}
            Ok(_) => break,
            Err(Lagged(count)) => missed += count as usize,
        }
    }
    missed
}
