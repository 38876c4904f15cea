//! Connects a bus of events with a bus of envelopes: [`BridgeOut`] and [`BridgeIn`], which you pump
//! in the tick.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::ops::Deref;

use crate::bus::Take;
use crate::bus::{Budget, Source};
use crate::envelope::Envelope;
use crate::error::{Full, Lagged};
use crate::subject_bus::{EnvelopeBus, PublishError, SubjectBus, Subscription};
use crate::topic::{Publishers, Subscriber};
use crate::wait::Waits;

/// Takes events off a bus or a topic and publishes them as envelopes.
///
/// It owns `B`, through which it reaches the bus of envelopes: a reference or an `Arc`, of a
/// [`SubjectBus`], of a `dyn EnvelopeBus`, or of any other [`EnvelopeBus`]. With an `Arc`, a struct
/// or a Bevy resource can hold the bridge beside the bus.
///
/// A pump never waits. A full subscription drops the envelope, also one with
/// [`Overrun::Block`](crate::Overrun::Block). Events beyond the budget stay in the source, in
/// order. While the bus of envelopes is closed, all events stay there. If the source becomes full,
/// its own policy decides.
///
/// # Both ways
///
/// A [`BridgeIn`] whose pattern matches the envelopes of this bridge receives them too. Let its
/// subscription filter them out by their source: this bridge sets its own source on every envelope
/// without one. Do not send received events out again: publish them on another bus or topic than
/// the one that you send.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "json")] {
/// use std::sync::Arc;
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
/// struct Arena { service: Arc<SubjectBus>, outward: BridgeOut, inward: BridgeIn<Game> }
///
/// let service = Arc::new(SubjectBus::new());
/// let others = service.subscribe("game.*")?.filter(|sent| sent.source() != "arena-1").open();
/// let mut arena = Arena {
///     outward: BridgeOut::new(service.clone(), "arena-1"),
///     inward: BridgeIn::new(others),
///     service,
/// };
///
/// let mut here = HERE.subscribe();
/// HERE.publish(Game::Scored { by: 7 });
/// let ended = Envelope::unstamped_event(&Game::Ended)?.with_source("arena-2");
/// arena.service.try_publish(ended)?;
///
/// // In the tick:
/// let budget = || Budget::events(64);
/// let sent = arena.outward.pump(&mut here, budget(), Envelope::unstamped_event);
/// let came = arena.inward.pump(budget(), |found| found.decode_event(), |event| THERE.publish(event));
/// assert_eq!((sent.forwarded, sent.left), (1, 0));
/// assert_eq!((came.forwarded, came.left), (1, 0)); // not its own
/// assert!(THERE.consumer().unwrap().drain().eq([Game::Ended]));
/// # }
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[doc(alias("gateway", "connector", "forwarder"))]
pub struct BridgeOut<B = Arc<SubjectBus>> {
    bus: B,
    source: Box<str>,
}

/// What a [`BridgeOut`] reaches its bus through: a reference to an [`EnvelopeBus`], or an `Arc` of one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not point to a bus of envelopes",
    label = "not a reference to an `EnvelopeBus`, nor an `Arc` of one",
    note = "a bridge needs a reference or an `Arc`: `&bus`, `Arc::new(bus)`, or `link.bus()` of a `Link`"
)]
pub trait BusPointer: Deref<Target: EnvelopeBus> {}

#[diagnostic::do_not_recommend]
impl<B: Deref<Target: EnvelopeBus>> BusPointer for B {}

impl<B> BridgeOut<B> {
    /// Returns a bridge to `bus`. It sets the [source](Envelope::source) of each envelope without
    /// one to `source`.
    pub fn new(bus: B, source: impl Into<Box<str>>) -> Self
    where
        B: BusPointer,
    {
        Self { bus, source: source.into() }
    }
}

impl<B: Deref<Target: EnvelopeBus>> BridgeOut<B> {
    /// Returns the bus of envelopes.
    #[must_use]
    pub fn bus(&self) -> &B::Target {
        &self.bus
    }

    /// Takes the events that are pending at `from`, within `budget`, makes an envelope of each with
    /// `encode`, and publishes it.
    ///
    /// It uses the budget as a tick does, without generations: later events stay pending for the
    /// next pump. If `encode` fails, that event is lost and counted, and the pump continues. If
    /// `encode` panics, that event is lost, and the rest stays.
    ///
    /// # Examples
    ///
    /// Bridges an event of another crate's type. Of six events, a bus of four slots loses two:
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
                report.not_enqueued += published.dropped + published.closed;
            }
            Err(PublishError::Closed(_)) => report.closed += 1,
            // From a full hold or a bus of another crate: what had no room has lost it.
            Err(_) => {
                report.forwarded += 1;
                report.not_enqueued += 1;
            }
        }
    }
}

impl<B> fmt::Debug for BridgeOut<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BridgeOut").field("source", &self.source).finish_non_exhaustive()
    }
}

/// Takes envelopes off a subscription and publishes the events in them on a bus or a topic.
///
/// A pump never waits, and loses nothing for want of room. The bridge keeps an event that comes
/// back in [`Full`], and publishes it first in the next pump. The rest stays pending in the
/// subscription. If the subscription becomes full, its [`Overrun`](crate::Overrun) decides.
/// Dropping the bridge loses an event that it keeps: [`into_parts`](Self::into_parts) takes it out.
///
/// The bridge owns its subscription, so a struct or a Bevy resource can hold it beside the bus.
///
/// See [`BridgeOut`] for the other direction, and for both directions together.
pub struct BridgeIn<E> {
    subscription: Subscription,
    /// Came back from a full bus.
    kept: Option<E>,
    /// How many losses of the subscription were reported.
    reported: u64,
}

impl<E> BridgeIn<E> {
    /// Returns a bridge from `subscription`.
    #[must_use]
    pub const fn new(subscription: Subscription) -> Self {
        Self { subscription, kept: None, reported: 0 }
    }

    /// Takes the envelopes that are pending at this moment, within `budget`, makes an event of each
    /// with `decode`, and hands it to `publish`.
    ///
    /// The pump ends when `publish` returns an event in [`Full`]. To drop such an event instead,
    /// write `|event| { let _ = BUS.publish(event); Ok(()) }`. It uses the budget as
    /// [`BridgeOut::pump`] does. If `decode` fails, that envelope is lost and counted, and the pump
    /// continues. If `decode` or `publish` panics, that event is lost.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "json")] {
    /// use tickbus::{Budget, Bus, Envelope, SubjectBus};
    /// use tickbus::bridge::BridgeIn;
    ///
    /// static LEVELS: Bus<u32, 2> = Bus::new();
    ///
    /// let service = SubjectBus::new();
    /// let mut bridge = BridgeIn::new(service.subscribe("tank.level")?.open());
    /// for level in ["7", "8", "low", "9"] {
    ///     service.try_publish(Envelope::unstamped("tank.level")?.with_payload(level)?)?;
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
        report.dropped = (dropped - self.reported) as usize;
        self.reported = dropped;
        report.left = stats.pending as usize + usize::from(self.kept.is_some());
        report
    }

    /// Returns the subscription, for its numbers and its end.
    pub const fn subscription(&self) -> &Subscription {
        &self.subscription
    }

    /// Returns the subscription, and the event that came back from a full bus, if there is one.
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

/// Counts what one pump of a bridge did.
///
/// Over all pumps, `forwarded + failed + closed + dropped`, and the `left` of the last pump, add up
/// to the events that were to cross.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a report tells what the pump left undone and what was lost"]
#[non_exhaustive]
pub struct Bridged<X> {
    /// Events that the bridge published on the other side, including those that no subscription took.
    pub forwarded: usize,
    /// Events that are pending on this side: on the bus, in the topic, in the subscription, or kept
    /// by the bridge. A topic may have overwritten some of them already.
    pub left: usize,
    /// Events lost because `encode` or `decode` failed.
    pub failed: usize,
    /// The first of these errors in this pump.
    pub error: Option<X>,
    /// Events lost because the bus of envelopes was closed after the bridge had taken them. One at
    /// most: the bridge sends nothing to a closed bus.
    pub closed: usize,
    /// Events lost for want of room on this side, before the bridge came to them. The number counts
    /// from the last pump. The first pump counts from the creation of the bus, of the topic's
    /// subscriber or of the subscription.
    pub dropped: usize,
    /// Events that a full bus on this side gave back to its publishers since the last pump. The
    /// publishers have them, so they are not part of the sum.
    pub refused: usize,
    /// How often an envelope was not put in a buffer on the other side: a subscription had no room or
    /// ended, or a bus that is not started had no room to hold it. These are not part of the sum.
    pub not_enqueued: usize,
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
            not_enqueued: 0,
        }
    }
}

/// Gives events to a [`BridgeOut`]: a [`Source`], or the [`Subscriber`] of a topic or a feed.
///
/// This trait is sealed: you can neither implement it nor call its methods.
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

/// The methods of [`Outgoing`].
pub(crate) trait HandOver {
    /// The type of the events.
    type Item;

    /// Takes the events of this moment and shows them to `each`, until that returns `false`.
    /// Returns how many it found lost meanwhile.
    fn hand_over(&mut self, each: impl FnMut(&Self::Item) -> bool) -> usize;

    /// Returns what is pending, and the losses since the last call: dropped and refused.
    fn account(&mut self) -> (usize, usize, usize);
}

impl<S: Source> HandOver for S {
    type Item = <S as Source>::Event;

    fn hand_over(&mut self, mut each: impl FnMut(&Self::Item) -> bool) -> usize {
        let mut span = self.freeze();
        let mut goes_on = true;
        while goes_on
            && self.show_most(&mut span, 1, |_| (), |_, (), event| goes_on = each(event)) == 1
        {
        }
        0 // `account` has them
    }

    fn account(&mut self) -> (usize, usize, usize) {
        let span = self.freeze();
        Take::account(self, &span)
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

/// Shows what a subscriber reads to `each`, until that returns `false`. Returns how many the
/// subscriber missed.
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
