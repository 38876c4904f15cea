//! Queues with one consumer: [`Bus`] and [`Lane`], their [`Consumer`], their overrun policies, and [`Dispatch`].

mod budget;
mod consumer;
mod dispatch;
mod drain;
mod info;
mod lane;
mod overrun;
mod publish;
pub(crate) mod rows;
mod stats;
#[cfg(all(test, not(tickbus_loom)))]
mod tests;
mod waiting;

#[cfg(all(feature = "alloc", not(tickbus_loom)))]
use alloc::boxed::Box;
#[cfg(all(feature = "alloc", not(tickbus_loom)))]
use alloc::vec::Vec;
use core::fmt;

pub use self::budget::{Budget, Report};
pub use self::consumer::Consumer;
pub use self::dispatch::{Dispatch, ErrorHook, Flow, Handler, Message, Verdict};
#[cfg(any(not(tickbus_loom), all(feature = "alloc", target_has_atomic = "ptr")))]
pub(crate) use self::drain::Take;
pub use self::drain::{Drain, Source, Until};
pub use self::info::BusInfo;
pub use self::lane::{Lane, Publisher};
pub use self::overrun::{DropNewest, DropOldest, Policy, Queue, Reject, RejectsNew, Single};
pub use self::publish::Publish;
pub(crate) use self::publish::Put;
pub use self::stats::Stats;
pub use self::waiting::{NextAsync, ReadyAsync};
use crate::error::{Claimed, Full};
pub use crate::ring::Capacity;
#[cfg(all(feature = "alloc", not(tickbus_loom)))]
use crate::ring::boxed;
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
/// `N` is a power of two and at least 2, and all `N` slots can be used.
///
/// # Full
///
/// A bus is full while each of its `N` slots holds an event: a pending one, one that is being published, or one that the
/// consumer is moving out. The policy `P` decides about the next event. [`Reject`] returns it to the publisher,
/// [`DropOldest`] drops the oldest pending event for it, and [`DropNewest`] drops it. [`stats`](Self::stats) counts each
/// case.
///
/// # Waiting
///
/// With `W` = [`Waiters<K>`](crate::Waiters), a publish wakes the consumer and a take wakes publishers, and both
/// may wait: see [`publish_async`](Self::publish_async) and [`Consumer::next_async`]. While no task waits, a publish
/// then costs a load and a branch more, and a fence on targets other than x86. If the waker of a task panics, the
/// publish panics too, and its event is published. Methods with `&mut self` wake no task: none can wait for a bus that
/// you hold exclusively. With [`NoWaiters`], the default, waiting costs nothing.
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
/// a publish is one critical section for events of up to 8 bytes. A larger event moves between two sections. A take
/// has no section, or one on a [`DropOldest`] bus. To count a refusal or to read the counts takes one. No section is
/// longer than 20 instructions on a Cortex-M0, for every `E` and `N`: continuous integration counts them. Exception:
/// [`publish_all`](Self::publish_all) moves a group of small events in one section.
///
/// A single-core part with compare-and-swap may use the same ring: build the binary with
/// `--cfg tickbus_short_sections`. Events of up to 16 bytes, or 8 on a [`DropOldest`] bus, then move inside a section.
/// A publish on a Cortex-M3 takes 25 instructions instead of 38, and no section is longer than 20. In such a binary,
/// and on targets without compare-and-swap, do not publish from an NMI: a critical section does not mask it.
///
/// # Progress
///
/// A publisher that is interrupted at any instruction, for any time, delays its own event and holds one slot. Other
/// publishers proceed, and the consumer takes what they publish. An interrupted consumer holds the slot of the event
/// that it is moving out, or the up to 64 slots that `Drain::append_to` is emptying. On a [`DropOldest`] bus it holds
/// none.
///
/// Publishing is lock-free: a publish retries only if another publish or a take succeeded meanwhile. Taking is
/// wait-free on [`Reject`] and [`DropNewest`], and lock-free on [`DropOldest`]. On hosts, a publisher that
/// collides with another spins for 64 to 448 hints and then proceeds.
///
/// # Bounds
///
/// Every operation takes constant time without contention. A publisher that was interrupted for a while may leave an
/// old hint of where the bus ends. Until the next publish corrects the hint, a publish, a drain, a tick and a reading
/// of the counts search for the end. One search reads at most this many words, however many events have passed:
///
/// | target | policy | words |
/// |---|---|---|
/// | 64-bit atomics | [`Reject`], [`DropNewest`] | `log2(N) + 64` |
/// | 64-bit atomics | [`DropOldest`] | `log2(N) + 7` |
/// | 32-bit atomics | any | `log2(N) + 3` |
/// | without compare-and-swap | any | none: such a bus does not search |
///
/// A publish searches at most twice, and so does each generation of a tick of a [`DropOldest`] bus. A drain or a
/// reading of the counts searches once, and [`Drain::at_most`] on a [`DropOldest`] bus once more. Each publish that
/// commits during a search may make it start again.
///
/// With 64-bit atomics, the consumer of a [`Reject`] or [`DropNewest`] bus begins where its last drain ended. It reads
/// one word for each event or batch since then, up to 64, and searches only if there are more. To claim a consumer
/// takes a search too.
///
/// # Cost
///
/// The most instructions (not cycles) that an operation takes on a Cortex-M3 and a Cortex-M0, with events of 8 bytes
/// and 16 slots. *Late* is the first operation after a publisher was interrupted for a while. A Cortex-M0 does not
/// search, and takes the same number then.
///
/// | operation | M3 | M3, late | M0 |
/// |---|--:|--:|--:|
/// | `publish` | 44 | 234 | 32 |
/// | `publish` to a full bus | 27 | 59 | 32 |
/// | take: `drain().next()` | 47 | 175 | 40 |
/// | a [`tick`](Dispatch::tick) of one event | 52 | 180 | 45 |
/// | [`DropOldest`]: `publish` | 43 | 369 | 27 |
/// | [`DropOldest`]: `publish` to a full bus | 47 | 374 | 29 |
/// | [`DropOldest`]: take | 83 | 213 | 54 |
/// | [`DropOldest`]: a tick of one event | 112 | 368 | 59 |
///
/// Most publishes on a Cortex-M3 take 38: at most one in `N` loads the consumer's position. Each further event of a
/// drain takes about 17. The ticks are those of a program with one call of `tick`, which the compiler inlines.
/// Continuous integration fails if one of these counts grows by more than 2 %.
///
/// # Order
///
/// Events of one publisher keep their order. If one `publish` returned before another began, its event comes first.
/// Of two that were in progress at the same time, the one that commits first comes first.
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
/// ```compile_fail,E0277
/// static BUS: tickbus::Bus<u8, 3> = tickbus::Bus::new(); // not a power of two
/// ```
#[doc(alias = "mpsc")]
#[doc(alias = "channel")]
#[doc(alias = "event queue")]
#[doc(alias = "message queue")]
pub struct Bus<E, const N: usize, P: Policy = Reject, W: Waits = NoWaiters> {
    ring: Ring<E, N, P>,
    waiters: W,
}

#[cfg(all(feature = "alloc", not(tickbus_loom)))]
boxed::zeroed! {
    [E, const N: usize, P: Policy] Bus<E, N, P, NoWaiters> { ring: Ring<E, N, P>, waiters: NoWaiters }
}

impl<E, const N: usize, P: Policy, W: Waits> Bus<E, N, P, W> {
    /// Creates an empty bus.
    #[cfg(not(tickbus_loom))]
    #[must_use]
    pub const fn new() -> Self
    where
        (): Capacity<N>,
    {
        Self { ring: Ring::new(), waiters: W::NEW }
    }

    /// Creates an empty bus.
    #[cfg(tickbus_loom)]
    #[must_use]
    pub fn new() -> Self
    where
        (): Capacity<N>,
    {
        Self { ring: Ring::new(), waiters: W::fresh() }
    }

    /// Returns an empty bus on the heap, without room for it on the stack.
    ///
    /// Use it for buses that are too large for a stack: `Box::new(Bus::new())` moves the whole value.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::Bus;
    ///
    /// let bus = Bus::<[u8; 64], 32768>::boxed(); // 2 MiB
    /// assert!(bus.publish([1; 64]).is_ok());
    /// ```
    #[cfg(all(feature = "alloc", not(tickbus_loom)))]
    #[must_use]
    pub fn boxed() -> Box<Self>
    where
        (): Capacity<N>,
    {
        boxed! { zeroed: [ring], each: [], waiters: W::NEW, }
    }

    #[cfg(test)]
    pub(crate) fn starting_before_wrap(back: usize) -> Self
    where
        (): Capacity<N>,
    {
        Self { ring: Ring::starting_before_wrap(back), ..Self::new() }
    }

    /// Publishes `event`.
    ///
    /// Never blocks. An event that is published before there is a consumer stays pending. Takes constant time without
    /// contention. Each concurrent publish may add a step, and an interrupted one may add two [searches](Bus#bounds) of
    /// at most `log2(N) + 64` steps each.
    ///
    /// # Errors
    ///
    /// Returns [`Full`] with the event if all `N` slots are taken: by pending events, by publishes in progress, or by
    /// the event that the consumer is moving out. A full [`DropOldest`] bus drops its oldest pending event instead. It
    /// returns [`Full`] only if publishes in progress hold all `N` slots.
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

    /// As [`publish`](Self::publish), but returns the displaced event and does not count a refused one.
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
    /// It claims runs of free slots instead of one slot for each event. Events of other publishers may come in between,
    /// and the consumer may see the first events before the last. A [`DropOldest`] bus publishes them one by one, and
    /// so do targets without compare-and-swap.
    ///
    /// # Errors
    ///
    /// Returns [`Full`] with the events that found no room. The events before them are published.
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

    /// Publishes all of `events`, in order, or none of them.
    ///
    /// The room for the group is claimed in one step, whatever other publishers, interrupts and the consumer do
    /// meanwhile. Events of publishers in progress may come in between, and a drain that begins meanwhile may find
    /// only the first ones. [`Publisher::publish_all`] of a lane shows the group at once, and so does this where steps
    /// are critical sections, for events of up to 8 bytes. That section then grows with the group.
    ///
    /// # Errors
    ///
    /// Returns [`Full`] with the events if they do not all fit. Each counts as refused, on a
    /// [`DropNewest`] bus as dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::{Bus, Full};
    ///
    /// static BUS: Bus<&str, 4> = Bus::new();
    ///
    /// assert_eq!(BUS.publish_all(["debit", "credit", "receipt"]), Ok(()));
    /// assert_eq!(BUS.publish_all(["debit", "credit"]), Err(Full(["debit", "credit"])));
    /// assert!(BUS.consumer().unwrap().drain().eq(["debit", "credit", "receipt"]));
    /// ```
    ///
    /// A group that can never fit does not compile, and neither does one on a [`DropOldest`] bus:
    ///
    /// ```compile_fail,E0080
    /// static BUS: tickbus::Bus<u8, 2> = tickbus::Bus::new();
    /// let _ = BUS.publish_all([1, 2, 3]);
    /// ```
    #[inline]
    pub fn publish_all<const M: usize>(&self, events: [E; M]) -> Result<(), Full<[E; M]>>
    where
        P: RejectsNew,
    {
        const { assert!(M <= N, "a group must not have more events than the bus has room for") };
        match self.ring.publish_all(events) {
            Ok(()) => {
                self.waiters.wake_after_commit();
                Ok(())
            }
            Err(events) => {
                self.ring.core().turn_away(M);
                Err(Full(events))
            }
        }
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

    /// Returns how many events are pending, those being published included.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.ring.core().pending::<P>()
    }

    /// Returns whether no event is pending or being published.
    ///
    /// # Interrupts
    ///
    /// In an interrupt handler, drain once; do not loop until this is true. An event whose publisher you interrupted
    /// counts as pending, but cannot be taken yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pending() == 0
    }

    /// Returns how many events fit: `N`.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        N
    }

    /// Returns what has happened so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats::of(self.ring.core().counts::<P>(), P::REFUSES)
    }

    /// Returns what a log or a debugger shows of the bus: its events, capacity, overrun policy and numbers.
    /// # Examples
    ///
    /// ```
    /// use tickbus::{Bus, DropOldest};
    ///
    /// static SAMPLES: Bus<u16, 4, DropOldest> = Bus::new();
    /// for sample in 0..6 {
    ///     SAMPLES.publish(sample).unwrap();
    /// }
    ///
    /// let info = SAMPLES.info();
    /// assert_eq!((info.event, info.capacity, info.overrun), ("u16", 4, "drop_oldest"));
    /// assert!(info.to_string().starts_with(
    ///     "u16: 4 of 4 pending, drop_oldest; published 6 = handled 0 + dropped 2 + pending 4;"
    /// ));
    /// ```
    #[must_use]
    pub fn info(&self) -> BusInfo {
        BusInfo::of::<E, P>(N, self.stats())
    }
}

#[cfg(not(tickbus_loom))]
impl<E, const N: usize, P: Policy, W: Waits> Bus<E, N, P, W> {
    /// Publishes `event` with exclusive access: without atomics, at the cost of an array.
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

    /// Publishes `events`, in order, with exclusive access.
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

    /// Publishes as [`publish_all`](Self::publish_all) does, with exclusive access.
    ///
    /// # Errors
    ///
    /// As for [`publish_all`](Self::publish_all).
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::{Bus, Full};
    ///
    /// let mut bus: Bus<u8, 2> = Bus::new();
    /// bus.publish_mut(1)?;
    /// assert_eq!(bus.publish_all_mut([2, 3]), Err(Full([2, 3])));
    /// assert_eq!(bus.publish_all_mut([2]), Ok(()));
    /// # Ok::<(), Full<u8>>(())
    /// ```
    pub fn publish_all_mut<const M: usize>(&mut self, events: [E; M]) -> Result<(), Full<[E; M]>>
    where
        P: RejectsNew,
    {
        const { assert!(M <= N, "a group must not have more events than the bus has room for") };
        if N - self.pending() < M {
            self.ring.turn_away_mut(M);
            return Err(Full(events));
        }
        for event in events {
            let published = self.ring.publish_mut(event);
            debug_assert!(published.is_ok(), "there is room for all");
        }
        Ok(())
    }

    /// Takes the pending events with exclusive access, as [`Consumer::drain`] does: without a claim and without atomics.
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
    fn show_most<L>(
        &mut self,
        span: &mut Span,
        most: usize,
        look: impl Fn(&E) -> L,
        each: impl FnMut(&Tally, L, &E),
    ) -> usize {
        self.ring.show_most_mut(span, most, look, each)
    }

    #[cfg(feature = "alloc")]
    #[inline]
    fn append(&mut self, span: &mut Span, into: &mut Vec<E>) -> usize {
        self.ring.append_mut(span, into)
    }

    #[cfg(feature = "parallel")]
    fn tally(&self) -> &Tally {
        self.ring.tally()
    }

    #[inline]
    fn account(&mut self, span: &Span) -> (usize, usize, usize) {
        drain::account(self.ring.core().account::<P>(span), P::REFUSES)
    }
}

impl<E, const N: usize, P: Policy, W: Waits> Default for Bus<E, N, P, W>
where
    (): Capacity<N>,
{
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
