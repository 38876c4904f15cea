//! One declared publisher, one consumer.

use core::fmt;

use super::consumer::Consumer;
use super::overrun::{Single, Taken};
use super::stats::Stats;
use crate::error::{Claimed, Full};
use crate::ring::spsc::{Ring, Writer};

/// A bus for exactly one publisher: no read-modify-write when publishing.
///
/// The publisher claims the [`publisher`](Self::publisher) and the reader the
/// [`consumer`](Self::consumer), which is the same [`Consumer`] that a [`Bus`](crate::Bus) has. A
/// full lane rejects. Publishing and taking are wait-free and mask no interrupts on any target, but for
/// the count of what was refused.
///
/// # Examples
///
/// ```
/// use tickbus::{Full, Lane};
///
/// static SAMPLES: Lane<u16, 2> = Lane::new();
///
/// let mut adc = SAMPLES.publisher().expect("the interrupt is the only publisher");
/// let mut samples = SAMPLES.consumer().expect("main is the only consumer");
/// assert!(SAMPLES.publisher().is_err());
///
/// adc.publish(1)?;
/// adc.publish(2)?;
/// assert_eq!(adc.publish(3), Err(Full(3)));
/// assert!(samples.drain().eq([1, 2]));
/// # Ok::<(), Full<u16>>(())
/// ```
#[doc(alias = "spsc")]
#[doc(alias = "channel")]
pub struct Lane<E, const N: usize> {
    ring: Ring<E, N>,
}

impl<E, const N: usize> Lane<E, N> {
    /// An empty lane.
    #[cfg(not(tickbus_loom))]
    #[must_use]
    pub const fn new() -> Self {
        Self { ring: Ring::new() }
    }

    /// An empty lane.
    #[cfg(tickbus_loom)]
    #[must_use]
    pub fn new() -> Self {
        Self { ring: Ring::new() }
    }

    #[cfg(test)]
    pub(crate) fn starting_before_wrap(back: usize) -> Self {
        Self { ring: Ring::starting_before_wrap(back) }
    }

    /// Claims the publishing end.
    ///
    /// # Errors
    ///
    /// Returns [`Claimed`] while another [`Publisher`] of this lane is alive. Dropping that one gives the end
    /// back. [`publish`](Self::publish) counts an event that meets that case.
    pub fn publisher(&self) -> Result<Publisher<'_, E>, Claimed> {
        Ok(Publisher { writer: self.ring.writer().ok_or(Claimed::PUBLISHER)? })
    }

    /// Publishes `event` without a [`Publisher`]: claims the publishing end for this one event and gives it
    /// back.
    ///
    /// For an interrupt handler that keeps no handle. It never blocks. It costs a compare-and-swap more than
    /// [`Publisher::publish`].
    ///
    /// # Errors
    ///
    /// Returns [`Full`] with the event if all `N` slots are taken, or if the publishing end is claimed: by a
    /// [`Publisher`], or by a publish that this one has interrupted. The lane counts it as refused in both
    /// cases.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::{Full, Lane};
    ///
    /// static SAMPLES: Lane<u16, 2> = Lane::new();
    ///
    /// assert_eq!(SAMPLES.publish(1), Ok(()));
    /// let publisher = SAMPLES.publisher().unwrap();
    /// assert_eq!(SAMPLES.publish(2), Err(Full(2))); // the end is claimed
    /// drop(publisher);
    /// assert_eq!(SAMPLES.publish(3), Ok(()));
    /// assert_eq!((SAMPLES.stats().published, SAMPLES.stats().refused), (2, 1));
    /// ```
    pub fn publish(&self, event: E) -> Result<(), Full<E>> {
        match self.publisher() {
            Ok(mut publisher) => publisher.publish(event),
            Err(_) => {
                self.ring.turn_away();
                Err(Full(event))
            }
        }
    }

    /// Claims the reading end.
    ///
    /// # Errors
    ///
    /// Returns [`Claimed`] while another [`Consumer`] of this lane is alive. Dropping that one gives the end
    /// back.
    pub fn consumer(&self) -> Result<Consumer<'_, E, Single>, Claimed> {
        Consumer::new(self.ring.reader())
    }

    /// How many events wait.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.ring.pending()
    }

    /// Whether no event waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pending() == 0
    }

    /// How many events fit: `N`.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        N
    }

    /// What has happened so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats::of(self.ring.counts(), Single::REFUSES)
    }
}

impl<E, const N: usize> Default for Lane<E, N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E, const N: usize> fmt::Debug for Lane<E, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane")
            .field("capacity", &N)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// The one publishing end of a [`Lane`].
#[must_use = "a publisher that is dropped is given back"]
pub struct Publisher<'a, E> {
    writer: Writer<'a, E>,
}

impl<E> Publisher<'_, E> {
    /// Publishes `event`. Never blocks, constant time.
    ///
    /// # Errors
    ///
    /// [`Full`] gives the event back when all slots are taken.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::{Full, Lane};
    ///
    /// static LANE: Lane<u8, 2> = Lane::new();
    /// let mut publisher = LANE.publisher().unwrap();
    ///
    /// assert_eq!(publisher.publish_batch(&[1, 2]), Ok(()));
    /// assert_eq!(publisher.publish(3), Err(Full(3)));
    /// ```
    #[inline]
    pub fn publish(&mut self, event: E) -> Result<(), Full<E>> {
        self.offer(event).map_err(|event| {
            self.writer.turn_away(1);
            Full(event)
        })
    }

    /// [`publish`](Self::publish) that does not count what was refused.
    #[inline(always)]
    pub(crate) fn offer(&mut self, event: E) -> Result<(), E> {
        self.writer.publish(event)
    }

    /// Publishes `events`, in order. The consumer sees all of them at once.
    ///
    /// # Errors
    ///
    /// [`Full`] has the events that found no room. The ones before are published.
    #[inline]
    pub fn publish_batch<'e>(&mut self, events: &'e [E]) -> Result<(), Full<&'e [E]>>
    where
        E: Copy,
    {
        let rest = &events[self.writer.publish_batch(events)..];
        if rest.is_empty() {
            return Ok(());
        }
        self.writer.turn_away(rest.len());
        Err(Full(rest))
    }
}

impl<E> fmt::Debug for Publisher<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher")
            .field("capacity", &self.writer.capacity())
            .finish_non_exhaustive()
    }
}
