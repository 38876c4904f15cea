//! A subscriber that skips events.

use core::fmt;

use super::subscriber::{Subscriber, SubscriberStats};
use super::{Many, Publishers};
use crate::error::Lagged;
use crate::ring::broadcast::Shelf;
use crate::sync::Word;
use crate::wait::{NoWaiters, Waits};

/// A [`Subscriber`] that reads some events and skips the others.
///
/// Three conditions apply, in this order:
///
/// 1. The filter returns `true` for the event.
/// 2. Of the events that pass, the subscriber reads [every nth](Self::every_nth), beginning with the first.
/// 3. Of these, it reads none before the [interval](Self::min_interval) has passed since the last one.
///
/// A skipped event is not missed: [`stats`](Self::stats) counts the two apart. Plain subscribers pay nothing for this.
///
/// # Examples
///
/// ```
/// use tickbus::Topic;
///
/// static SAMPLES: Topic<i32, 16> = Topic::new();
/// let mut plot = SAMPLES.subscribe().filter(|sample| *sample > 0).every_nth(2);
///
/// for sample in [1, -1, 2, 3, -2, 4, 5] {
///     SAMPLES.publish(sample);
/// }
/// assert!(plot.read().flatten().eq([1, 3, 5]));
/// assert_eq!((plot.stats().received, plot.stats().skipped, plot.stats().missed), (3, 4, 0));
/// ```
#[must_use = "a subscriber that is dropped is unsubscribed"]
pub struct Selective<'a, E: Copy, F = fn(&E) -> bool, P: Publishers = Many, W: Waits = NoWaiters> {
    pub(super) subscriber: Subscriber<'a, E, P, W>,
    wanted: F,
    /// One in so many is read, and how many to skip until then.
    nth: u32,
    until_next: u32,
    interval: u32,
    /// The latest `now`, and how long before it the last event was read, up to `u32::MAX`.
    told: Option<u32>,
    since: u32,
    masked: bool,
    skipped: usize,
}

impl<'a, E: Copy, P: Publishers, W: Waits> Subscriber<'a, E, P, W> {
    /// Turns this into a subscriber that reads only events for which `wanted` returns `true`.
    ///
    /// The reader calls `wanted`, never a publisher.
    ///
    /// # Examples
    ///
    /// Events of some kinds, by pattern:
    ///
    /// ```
    /// use tickbus::{Event, Pattern, Subject, Topic};
    ///
    /// tickbus::events! {
    ///     #[derive(Clone, Copy, Debug, PartialEq)]
    ///     enum Input {
    ///         #[subject = "input.button.pressed"] Pressed(u8),
    ///         #[subject = "input.button.released"] Released(u8),
    ///         #[subject = "input.tilt"] Tilt(i16),
    ///     }
    /// }
    ///
    /// static INPUT: Topic<Input, 8> = Topic::new();
    /// const BUTTONS: Pattern = Pattern::from_static("input.button.*");
    /// /// The compiler works it out, so reading compares no text.
    /// static IS_BUTTON: [bool; Input::KINDS] = {
    ///     let mut wanted = [false; Input::KINDS];
    ///     let mut kind = 0;
    ///     while kind < Input::KINDS {
    ///         wanted[kind] = BUTTONS.matches(Subject::from_static(Input::SUBJECTS[kind]));
    ///         kind += 1;
    ///     }
    ///     wanted
    /// };
    ///
    /// let mut buttons = INPUT.subscribe().filter(|event| IS_BUTTON[event.kind()]);
    /// for event in [Input::Pressed(1), Input::Tilt(3), Input::Released(1)] {
    ///     INPUT.publish(event);
    /// }
    /// assert!(buttons.read().flatten().eq([Input::Pressed(1), Input::Released(1)]));
    /// ```
    pub fn filter<F: FnMut(&E) -> bool>(self, wanted: F) -> Selective<'a, E, F, P, W> {
        Selective {
            subscriber: self,
            wanted,
            nth: 1,
            until_next: 0,
            interval: 0,
            told: None,
            since: u32::MAX,
            masked: false,
            skipped: 0,
        }
    }

    /// Turns this into a subscriber that reads every event, until you set a condition.
    pub fn selective(self) -> Selective<'a, E, fn(&E) -> bool, P, W> {
        self.filter(|_| true)
    }
}

impl<'a, E: Copy, F: FnMut(&E) -> bool, P: Publishers, W: Waits> Selective<'a, E, F, P, W> {
    /// Sets that the subscriber reads the first event, the one `n` after it, and so on. 0 and 1 mean every event.
    pub fn every_nth(mut self, n: u32) -> Self {
        self.nth = n.max(1);
        self.until_next = 0;
        self
    }

    /// Sets the least time between two events that are read.
    ///
    /// The time is the `now` that you pass to [`read_at`](Self::read_at), in any unit. It is the time of reading, not of
    /// publishing.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::Topic;
    ///
    /// static POSE: Topic<u8, 8> = Topic::new();
    /// let mut radio = POSE.subscribe().selective().min_interval(10);
    ///
    /// let mut sent = Vec::new();
    /// for tick in 0..25 {
    ///     POSE.publish(tick as u8);
    ///     sent.extend(radio.read_at(tick).flatten());
    /// }
    /// assert_eq!(sent, [0, 10, 20]);
    /// ```
    pub fn min_interval(mut self, interval: u32) -> Self {
        self.interval = interval;
        self
    }

    /// Reads as [`Subscriber::read`] does, and skips unwanted events. It ignores the interval.
    ///
    /// # Errors
    ///
    /// As for [`Subscriber::read`]: an item is [`Lagged`] where events were overwritten.
    pub fn read(&mut self) -> Selected<'_, 'a, E, F, P, W> {
        self.read_with(false)
    }

    /// Reads at the time `now`, which may wrap.
    ///
    /// Call it at least every `i32::MAX` ticks. If `now` is up to 2^31 ticks earlier than at the last call, no time has
    /// passed.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read).
    pub fn read_at(&mut self, now: u32) -> Selected<'_, 'a, E, F, P, W> {
        let passed = self.told.map_or(0, |told| now.wrapping_sub(told));
        if passed <= i32::MAX as u32 {
            self.told = Some(now);
            self.since = self.since.saturating_add(passed);
        }
        self.read_with(true)
    }

    fn read_with(&mut self, is_timed: bool) -> Selected<'_, 'a, E, F, P, W> {
        let end = if self.masked { self.skip_all() } else { self.subscriber.ring.end() };
        Selected { selective: self, is_timed, end }
    }

    /// Skips what is published so far, and returns the end of it.
    pub(super) fn skip_all(&mut self) -> Word {
        let end = self.subscriber.ring.committed();
        self.skip_to(end);
        end
    }

    /// Masks the subscriber, or ends that.
    ///
    /// A masked subscriber reads no event. It skips the events that it has not read, and those that are published
    /// meanwhile. It does not gate while it is masked.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::GatedTopic;
    ///
    /// static LOG: GatedTopic<u8, 2, 1> = GatedTopic::new();
    /// let mut uplink = LOG.subscribe().unwrap().selective();
    ///
    /// uplink.set_masked(true);
    /// for event in 0..9 {
    ///     LOG.publish(event).unwrap();
    /// }
    /// uplink.set_masked(false);
    /// LOG.publish(9).unwrap();
    /// assert!(uplink.read().flatten().eq([9]));
    /// assert_eq!(uplink.stats().skipped, 9);
    /// ```
    pub fn set_masked(&mut self, masked: bool) {
        if masked == self.masked {
            return;
        }
        self.masked = masked;
        let Subscriber { ring, place, .. } = &self.subscriber;
        let now = match place {
            Some(place) if masked => {
                place.open();
                ring.committed()
            }
            Some(place) => place.gate::<E>(*ring),
            None => ring.committed(),
        };
        self.skip_to(now);
        if self.subscriber.place.is_some() {
            self.subscriber.waiters.get().wake_for_room();
        }
    }

    /// Returns whether it is masked.
    #[must_use]
    pub fn is_masked(&self) -> bool {
        self.masked
    }

    /// Returns what has happened since the subscription.
    #[must_use]
    pub fn stats(&self) -> SubscriberStats {
        let stats = self.subscriber.stats();
        let received = stats.received.wrapping_sub(self.skipped);
        SubscriberStats { received, skipped: self.skipped, ..stats }
    }

    fn skip_to(&mut self, position: Word) {
        let skipped = position.wrapping_sub(self.subscriber.cursor);
        self.subscriber.cursor = position;
        let kept = usize::from(self.subscriber.kept.take_left().is_some());
        self.skipped = self.skipped.wrapping_add(skipped as usize).wrapping_add(kept);
    }

    /// Returns whether an event that was read is wanted, and counts it as skipped if not.
    pub(super) fn takes(&mut self, event: &E, is_timed: bool) -> bool {
        // Skipped, until it is wanted: the filter may panic.
        let skipped = self.skipped;
        self.skipped = skipped.wrapping_add(1);
        let is_wanted = self.wants(event, is_timed);
        if is_wanted {
            self.skipped = skipped;
        }
        is_wanted
    }

    fn wants(&mut self, event: &E, is_timed: bool) -> bool {
        if !(self.wanted)(event) {
            return false;
        }
        if self.until_next > 0 {
            self.until_next -= 1;
            return false;
        }
        self.until_next = self.nth - 1;
        if is_timed {
            if self.since < self.interval {
                return false;
            }
            self.since = 0;
        }
        true
    }
}

impl<E: Copy, F, P: Publishers, W: Waits> fmt::Debug for Selective<'_, E, F, P, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Selective")
            .field("subscriber", &self.subscriber)
            .field("nth", &self.nth)
            .field("interval", &self.interval)
            .field("masked", &self.masked)
            .field("skipped", &self.skipped)
            .finish_non_exhaustive()
    }
}

/// The wanted ones among the unread events of a subscriber: [`Selective::read`].
#[must_use = "nothing is read until it is iterated over"]
pub struct Selected<'s, 'a, E: Copy, F, P: Publishers = Many, W: Waits = NoWaiters> {
    selective: &'s mut Selective<'a, E, F, P, W>,
    is_timed: bool,
    end: Word,
}

impl<E: Copy, F: FnMut(&E) -> bool, P: Publishers, W: Waits> Iterator
    for Selected<'_, '_, E, F, P, W>
{
    type Item = Result<E, Lagged>;

    fn next(&mut self) -> Option<Result<E, Lagged>> {
        loop {
            let event = match self.selective.subscriber.take_before(self.end)? {
                Ok(event) => event,
                Err(lagged) => return Some(Err(lagged)),
            };
            if self.selective.takes(&event, self.is_timed) {
                return Some(Ok(event));
            }
        }
    }
}

impl<E: Copy, F, P: Publishers, W: Waits> fmt::Debug for Selected<'_, '_, E, F, P, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Selected").field("selective", &self.selective).finish_non_exhaustive()
    }
}
