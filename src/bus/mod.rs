//! One consumer: [`Bus`] and [`Lane`], what is read from them, and what a full one does.

mod budget;
mod consumer;
mod dispatch;
mod drain;
mod lane;
mod overrun;
mod publish;
mod stats;
#[cfg(all(test, not(tickbus_loom)))]
mod tests;
mod waiting;

#[cfg(all(feature = "alloc", not(tickbus_loom)))]
use alloc::vec::Vec;
use core::fmt;

pub use self::budget::{Budget, Report};
pub use self::consumer::Consumer;
pub use self::dispatch::{Dispatch, ErrorHook, Flow, Handler, Verdict};
#[cfg(any(not(tickbus_loom), all(feature = "alloc", target_has_atomic = "ptr")))]
pub(crate) use self::drain::Take;
pub use self::drain::{Drain, Source, Until};
pub use self::lane::{Lane, Publisher};
pub use self::overrun::{DropNewest, DropOldest, Policy, Queue, Reject, Single};
pub use self::publish::Publish;
pub(crate) use self::publish::Put;
pub use self::stats::Stats;
pub use self::waiting::{NextAsync, ReadyAsync};
use crate::error::{Claimed, Full};
use crate::ring::queue::Ring;
#[cfg(not(tickbus_loom))]
use crate::ring::{Span, Tally};
use crate::wait::{NoWaiters, Waits};

/// A bus: many publishers, one consumer, room for `N` events.
///
/// Threads, tasks, interrupt handlers and handlers of the bus itself may all [publish](Self::publish), and a
/// publish never waits. One reader claims the [`consumer`](Self::consumer) and takes what is pending once per
/// tick, by hand or through a [`Dispatch`] table.
///
/// `N` is a power of two and at least 2, and all `N` slots can be used. What a full bus does is the
/// policy `P`: [`Reject`], [`DropOldest`] or [`DropNewest`].
///
/// # Waiting
///
/// With `W` = [`Waiters<K>`](crate::Waiters), a publish wakes the consumer and a take wakes publishers, and both
/// may wait: see [`publish_async`](Self::publish_async) and [`Consumer::next_async`]. A publish then costs a load
/// and a branch more when nothing waits, and a fence except on x86, where a publish is one. It panics if the waker
/// of a task does; the event is published then. Methods with `&mut self` wake nothing, since nothing waits for a bus
/// that you have for yourself. With [`NoWaiters`], the default, waiting costs nothing.
///
/// # Memory
///
/// A new bus is all zeros, so a `static` one lies in `.bss`. Beside the event, each slot takes one word with
/// compare-and-swap, and 2 bytes without. The bus itself takes eleven or twelve words, which hosts pad to cache
/// lines. A [`DropOldest`] bus takes one event more. The capacity stops at 1048576 on targets without 64-bit
/// atomics, and at 32768 where the steps are critical sections.
///
/// # Interrupts
///
/// With compare-and-swap, no operation masks interrupts. Without it (Cortex-M0, RISC-V without the A extension),
/// a publish is one critical section for events of up to 8 bytes. Larger events move outside of two sections. A
/// take needs none, or one on a [`DropOldest`] bus; so do counting a refusal and reading the counts. No section is
/// longer than 20 instructions on a Cortex-M0, whatever `E` and `N`: continuous integration counts them.
///
/// A single-core part with compare-and-swap may use the same ring: build the binary with
/// `--cfg tickbus_short_sections`, which moves events of up to 16 bytes (8 on a [`DropOldest`] bus) inside of a
/// section. A publish on a Cortex-M3 then takes 25 instructions instead of 38, and no section is longer than 20. Do
/// not publish from an NMI in such a binary, nor on a target without compare-and-swap: a critical section does not
/// mask it.
///
/// # Progress
///
/// A publisher that is interrupted at any instruction, for any time, holds up its own event and the one slot
/// for it. Other publishers proceed, and the consumer takes what they have published. An interrupted consumer
/// holds up the slot of the event that it moves out, or of the up to 64 that `Drain::append_to` moves at once,
/// and none on a [`DropOldest`] bus.
///
/// Publishing is lock-free: a publish retries only if another publish or a take succeeded meanwhile. Taking is
/// wait-free on [`Reject`] and [`DropNewest`], and lock-free on [`DropOldest`]. On hosts, a publisher that
/// collides with another spins for 64 to 448 hints and then proceeds.
///
/// # Bounds
///
/// Every operation takes constant time without contention. A publisher that is interrupted for a while may
/// leave behind an old hint of where the bus ends. Until the next publish mends it, a publish, a drain, a
/// tick or a reading of the counts searches for the end. One search reads, however many events have passed:
///
/// | target | policy | words, at most |
/// |---|---|---|
/// | 64-bit atomics | [`Reject`], [`DropNewest`] | `log2(N) + 64` |
/// | 64-bit atomics | [`DropOldest`] | `log2(N) + 7` |
/// | 32-bit atomics | any | `log2(N) + 7` |
/// | without compare-and-swap | any | none: such a bus does not search |
///
/// A publish searches twice at most, and so does each generation of a tick of a [`DropOldest`] bus. A drain
/// or a reading searches once, and [`Drain::at_most`] of a [`DropOldest`] bus once more. Each publish that ends
/// during a search may make the search start again.
///
/// With 64-bit atomics, a consumer of a [`Reject`] or [`DropNewest`] bus begins where its last drain ended: it
/// reads one word for each event or batch since then, 64 at most, and searches only if there are more. The claim
/// of a consumer searches too.
///
/// # Cost
///
/// What operations take at most on a Cortex-M3 and a Cortex-M0: instructions, not cycles, for events of 8 bytes and
/// 16 slots. *Late* is the next operation after a publisher that was interrupted for a while. A Cortex-M0 does not
/// search, and takes the same then.
///
/// | operation | M3 | M3, late | M0 |
/// |---|--:|--:|--:|
/// | `publish` | 53 | 320 | 32 |
/// | `publish` to a full bus | 36 | 68 | 32 |
/// | take: `drain().next()` | 56 | 261 | 45 |
/// | a [`tick`](Dispatch::tick) of one event | 74 | 277 | 64 |
/// | [`DropOldest`]: `publish` | 43 | 463 | 27 |
/// | [`DropOldest`]: `publish` to a full bus | 47 | 468 | 29 |
/// | [`DropOldest`]: take | 97 | 275 | 59 |
/// | [`DropOldest`]: a tick of one event | 123 | 478 | 63 |
///
/// Most publishes on a Cortex-M3 take 38: at most one in `N` looks up how far the consumer is. Each further event
/// of a drain takes about 18. A tick is counted as it is where the program has one call of it, which the compiler
/// inlines. Continuous integration fails when one of these counts grows by more than 2 %.
///
/// # Order
///
/// Events of one publisher are taken in the order of their publishing, and so are events of which one
/// was published before the publishing of the other began. Between two that were under way at the
/// same time the bus decides: the one that ends first is first.
///
/// # Examples
///
/// ```
/// use tickbus::{Bus, Full};
///
/// static BUS: Bus<u8, 2> = Bus::new();
///
/// BUS.publish(1)?;
/// BUS.publish(2)?;
/// assert_eq!(BUS.publish(3), Err(Full(3)));
///
/// let mut events = BUS.consumer().expect("main is the only consumer");
/// assert!(BUS.consumer().is_err());
/// assert!(events.drain().eq([1, 2]));
/// # Ok::<(), Full<u8>>(())
/// ```
///
/// ```compile_fail,E0080
/// static BUS: tickbus::Bus<u8, 3> = tickbus::Bus::new(); // no power of two
/// ```
#[doc(alias = "mpsc")]
#[doc(alias = "channel")]
#[doc(alias = "event queue")]
#[doc(alias = "message queue")]
pub struct Bus<E, const N: usize, P: Policy = Reject, W: Waits = NoWaiters> {
    ring: Ring<E, N, P>,
    waiters: W,
}

impl<E, const N: usize, P: Policy, W: Waits> Bus<E, N, P, W> {
    /// An empty bus.
    #[cfg(not(tickbus_loom))]
    #[must_use]
    pub const fn new() -> Self {
        Self { ring: Ring::new(), waiters: W::NEW }
    }

    /// An empty bus.
    #[cfg(tickbus_loom)]
    #[must_use]
    pub fn new() -> Self {
        Self { ring: Ring::new(), waiters: W::fresh() }
    }

    #[cfg(test)]
    pub(crate) fn starting_before_wrap(back: usize) -> Self {
        Self { ring: Ring::starting_before_wrap(back), ..Self::new() }
    }

    /// Publishes `event`.
    ///
    /// Never blocks. An event that is published before a consumer exists waits for one. Takes constant time
    /// without contention. Each concurrent publish may add a step, and an interrupted one may add two
    /// [searches](Bus#bounds) of at most `log2(N) + 64` steps each.
    ///
    /// # Errors
    ///
    /// [`Full`] gives the event back when all `N` slots are taken: by events that wait, by publishers
    /// in the middle of theirs, or by what the consumer is just moving out. On a
    /// [`DropOldest`] bus the oldest event that waits gives way instead, and this fails only if none
    /// waits: all `N` slots belong to publishers in the middle of theirs.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::{Bus, DropOldest};
    ///
    /// static LATEST: Bus<u8, 2, DropOldest> = Bus::new();
    ///
    /// for event in 1..=3 {
    ///     assert!(LATEST.publish(event).is_ok());
    /// }
    /// assert!(LATEST.consumer().unwrap().drain().eq([2, 3]));
    /// ```
    #[inline]
    pub fn publish(&self, event: E) -> Result<(), Full<E>> {
        match self.offer(event) {
            Ok(displaced) => {
                self.waiters.wake_after_commit();
                drop(displaced);
                Ok(())
            }
            Err(event) => Err(self.turn_away(event)),
        }
    }

    /// [`publish`](Self::publish) that leaves to the caller what was displaced, and does not count what
    /// was refused.
    #[inline(always)]
    pub(crate) fn offer(&self, event: E) -> Result<Option<E>, E> {
        self.ring.publish(event)
    }

    /// Counts an event that found no room.
    #[inline(always)]
    pub(crate) fn turn_away(&self, event: E) -> Full<E> {
        self.ring.core().turn_away(1);
        Full(event)
    }

    /// Publishes `events`, in order.
    ///
    /// Costs one claim for each run of free slots instead of one for each event. Events of other
    /// publishers may come in between, and a consumer may see the first ones before the last.
    /// [`DropOldest`] publishes them one by one, and so do targets without compare-and-swap.
    ///
    /// # Errors
    ///
    /// [`Full`] has the events that found no room. The ones before are published.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::{Bus, Full};
    ///
    /// static BUS: Bus<u8, 4> = Bus::new();
    ///
    /// assert_eq!(BUS.publish_batch(&[1, 2, 3]), Ok(()));
    /// assert_eq!(BUS.publish_batch(&[4, 5, 6]), Err(Full(&[5, 6][..])));
    /// ```
    #[inline]
    pub fn publish_batch<'e>(&self, events: &'e [E]) -> Result<(), Full<&'e [E]>>
    where
        E: Copy,
    {
        let published = self.ring.publish_batch(events);
        let rest = &events[published..];
        if !rest.is_empty() {
            self.ring.core().turn_away(rest.len());
        }
        if published > 0 {
            self.waiters.wake_after_commit();
        }
        if rest.is_empty() { Ok(()) } else { Err(Full(rest)) }
    }

    /// Claims the reading end.
    ///
    /// # Errors
    ///
    /// Returns [`Claimed`] while another [`Consumer`] of this bus is alive. Dropping that one gives the end
    /// back.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::Bus;
    ///
    /// static BUS: Bus<u8, 2> = Bus::new();
    ///
    /// let first = BUS.consumer();
    /// assert!(first.is_ok());
    /// assert!(BUS.consumer().is_err());
    /// drop(first);
    /// assert!(BUS.consumer().is_ok());
    /// ```
    pub fn consumer(&self) -> Result<Consumer<'_, E, P, W>, Claimed> {
        Consumer::new(P::reader(&self.ring), &self.waiters)
    }

    /// How many events wait, with those that are being published at this moment.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.ring.core().pending::<P>()
    }

    /// Whether no event waits or is being published.
    ///
    /// A reader that has interrupted a publisher must not drain until this is true: the publisher goes on
    /// after the reader has ended, and no drain finds its event before. Drain once.
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
        Stats::of(self.ring.core().counts::<P>(), P::REFUSES)
    }
}

#[cfg(not(tickbus_loom))]
impl<E, const N: usize, P: Policy, W: Waits> Bus<E, N, P, W> {
    /// [`publish`](Self::publish) for the only one who can see the bus: no atomics, the cost of an
    /// array.
    ///
    /// # Errors
    ///
    /// As for [`publish`](Self::publish).
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::{Bus, Full};
    ///
    /// let mut bus: Bus<u8, 2> = Bus::new();
    /// bus.publish_mut(1)?;
    /// bus.publish_mut(2)?;
    /// assert_eq!(bus.publish_mut(3), Err(Full(3)));
    /// assert!(bus.drain().eq([1, 2]));
    /// # Ok::<(), Full<u8>>(())
    /// ```
    #[inline]
    pub fn publish_mut(&mut self, event: E) -> Result<(), Full<E>> {
        match self.ring.publish_mut(event) {
            Ok(displaced) => {
                drop(displaced);
                Ok(())
            }
            Err(event) => {
                self.ring.turn_away_mut(1);
                Err(Full(event))
            }
        }
    }

    /// [`publish_batch`](Self::publish_batch) for the only one who can see the bus.
    ///
    /// # Errors
    ///
    /// As for [`publish_batch`](Self::publish_batch).
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::{Bus, Full};
    ///
    /// let mut bus: Bus<u8, 2> = Bus::new();
    /// assert_eq!(bus.publish_batch_mut(&[1, 2, 3]), Err(Full(&[3][..])));
    /// ```
    #[inline]
    pub fn publish_batch_mut<'e>(&mut self, events: &'e [E]) -> Result<(), Full<&'e [E]>>
    where
        E: Copy,
    {
        for (done, event) in events.iter().enumerate() {
            if self.ring.publish_mut(*event).is_err() {
                let rest = &events[done..];
                self.ring.turn_away_mut(rest.len());
                return Err(Full(rest));
            }
        }
        Ok(())
    }

    /// [`Consumer::drain`] for the only one who can see the bus: no claim, no atomics.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::Bus;
    ///
    /// let mut bus: Bus<u8, 4> = Bus::new();
    /// bus.publish_batch_mut(&[1, 2, 3]).unwrap();
    ///
    /// assert!(bus.drain().take(2).eq([1, 2])); // the rest stays
    /// assert!(bus.drain().eq([3]));
    /// ```
    #[inline]
    pub fn drain(&mut self) -> Drain<'_, Self> {
        Drain::new(self)
    }
}

#[cfg(not(tickbus_loom))]
impl<E, const N: usize, P: Policy, W: Waits> Source for Bus<E, N, P, W> {
    type Event = E;

    fn pending(&self) -> usize {
        self.pending()
    }

    fn stats(&self) -> Stats {
        self.stats()
    }
}

#[cfg(not(tickbus_loom))]
impl<E, const N: usize, P: Policy, W: Waits> Take for Bus<E, N, P, W> {
    type Item = E;

    #[inline]
    fn freeze(&mut self) -> Span {
        self.ring.freeze_mut()
    }

    #[inline]
    fn shorten(&mut self, span: &mut Span, most: usize) {
        self.ring.shorten_mut(span, most);
    }

    #[inline]
    fn take(&mut self, span: &mut Span) -> Option<E> {
        self.ring.take_mut(span)
    }

    #[inline]
    fn take_all(&mut self, span: &mut Span, each: impl FnMut(E)) {
        self.ring.take_all_mut(span, each);
    }

    #[inline]
    fn show_most(&mut self, span: &mut Span, most: usize, each: impl FnMut(&Tally, &E)) -> usize {
        self.ring.show_most_mut(span, most, each)
    }

    #[cfg(feature = "alloc")]
    #[inline]
    fn append(&mut self, span: &mut Span, into: &mut Vec<E>) -> usize {
        self.ring.append_mut(span, into)
    }

    #[inline]
    fn account(&mut self) -> (usize, usize, usize) {
        drain::account(self.ring.core().account::<P>(), P::REFUSES)
    }
}

impl<E, const N: usize, P: Policy, W: Waits> Default for Bus<E, N, P, W> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E, const N: usize, P: Policy, W: Waits> fmt::Debug for Bus<E, N, P, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus")
            .field("capacity", &N)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
