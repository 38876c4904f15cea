//! Waiting, for tasks of any async runtime: [`Waiters`], and what has them: [`Awaited`].

mod bus;
mod lane;
mod topic;

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::slice;
use core::task::{Context, Poll, Waker};

pub use self::bus::{AwaitedConsumer, AwaitedDrain, NextEvent, PublishWait, Ready};
pub use self::lane::AwaitedLanePublisher;
pub use self::topic::{AwaitedPublisher, AwaitedSubscriber, AwaitedWatcher};
use crate::error::{Full, TooManyWaiters};
use crate::ring::kept::Kept;
use crate::ring::waiter::{Ticket, Waiter, Want, are_all_armed};
use crate::sync::{
    Acquire, AtomicWord, EXCHANGES_ARE_FENCES, Relaxed, Release, SeqCst, Word, fence,
};

/// Places for the wakers of up to `W` tasks that wait for something to change.
///
/// Who changes it says [`wake`](Self::wake) afterwards; who waits for it says
/// [`wait_until`](Self::wait_until). It belongs to whatever the two agree on, and to any executor. A
/// `wake` wakes everybody who waits, in no stated order, and costs a fence, a load and a branch when
/// nobody does. Each then looks for himself; so a future that is dropped, woken or not, takes nothing from
/// anybody. [`Awaited`] puts a table beside a bus and says `wake` where it has to be said.
///
/// New places are all zeros, so a `static` table lies in `.bss`. It takes one word, and three for each
/// place.
///
/// # How many
///
/// One place for each task that may wait at the same time. One more for each interrupt priority below
/// that of an executor at which somebody wakes: a `wake` that is interrupted in the few instructions in
/// which it takes a waker out keeps the place until it goes on. Threads need none for that: a task that
/// finds no place because a wake is under way is polled again.
///
/// # Interrupts
///
/// `wake` may be said in interrupts, in drops, and in wakers. It masks nothing on targets with
/// compare-and-swap; on those without, taking a waker is two critical sections of a few instructions, and so
/// is putting one in.
/// Wakers are cloned, woken and dropped outside of them.
///
/// # Progress
///
/// Nobody spins: `wake` looks at each place once, and a task that is stopped while it waits, or while it
/// wakes, holds up nobody else.
///
/// # Examples
///
/// ```
/// use core::sync::atomic::{AtomicBool, Ordering};
/// use core::task::{Context, Poll, Waker};
/// use std::pin::pin;
/// use tickbus::Waiters;
///
/// static PRESSED: AtomicBool = AtomicBool::new(false);
/// static BUTTON: Waiters<2> = Waiters::new();
///
/// let mut wait = pin!(BUTTON.wait_until(|| PRESSED.load(Ordering::Acquire).then_some(())));
/// let mut context = Context::from_waker(Waker::noop());
/// assert_eq!(wait.as_mut().poll(&mut context), Poll::Pending);
///
/// PRESSED.store(true, Ordering::Release); // first the change,
/// BUTTON.wake(); // then the word
/// assert_eq!(wait.as_mut().poll(&mut context), Poll::Ready(Ok(())));
/// ```
///
/// ```compile_fail,E0080
/// static NOBODY: tickbus::Waiters<0> = tickbus::Waiters::new();
/// ```
pub struct Waiters<const W: usize> {
    table: Table<[Waiter; W]>,
}

impl<const W: usize> Waiters<W> {
    /// A table in which nobody waits.
    #[cfg(not(tickbus_loom))]
    #[must_use]
    pub const fn new() -> Self {
        const { assert!(W > 0, "a table for waiters needs at least one place") };
        Self { table: Table { used: AtomicWord::new(0), places: [const { Waiter::new() }; W] } }
    }

    /// A table in which nobody waits.
    #[cfg(tickbus_loom)]
    #[must_use]
    pub fn new() -> Self {
        let places = core::array::from_fn(|_| Waiter::new());
        Self { table: Table { used: AtomicWord::new(0), places } }
    }

    /// Wakes everybody who waits. Say so after the change that they wait for.
    ///
    /// # Panics
    ///
    /// If a waker does, after all others have been woken.
    #[inline]
    pub fn wake(&self) {
        self.table().wake();
    }

    /// Waits until `ready` has something, and gives that.
    ///
    /// `ready` is called when the future is polled, once or twice. It must come to see what changed before
    /// a [`wake`](Self::wake); any atomic load does. To drop the future is to stop waiting: if `ready` had
    /// nothing, nothing has happened.
    ///
    /// # Errors
    ///
    /// [`TooManyWaiters`] if it would have to wait and `W` others do.
    pub fn wait_until<T, F: FnMut() -> Option<T>>(&self, ready: F) -> WaitUntil<'_, F> {
        self.table().wait_until(Want::Change, ready)
    }

    #[inline(always)]
    fn table(&self) -> &Table {
        &self.table
    }
}

impl<const W: usize> Default for Waiters<W> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const W: usize> fmt::Debug for Waiters<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiting = self.table.places.iter().filter(|place| place.is_armed()).count();
        f.debug_struct("Waiters").field("places", &W).field("waiting", &waiting).finish()
    }
}

/// Something and the tasks that wait for it.
///
/// | inside | who can wait |
/// |---|---|
/// | [`Bus`](crate::Bus) | its consumer; publishers when it is full |
/// | [`Lane`](crate::Lane) | its consumer; its publisher when it is full |
/// | [`Topic`](crate::Topic), [`Feed`](crate::Feed) | subscribers |
/// | [`GatedTopic`](crate::GatedTopic) | subscribers; publishers when a gate is shut |
/// | [`Latest`](crate::Latest) | watchers |
///
/// It has the methods of what is inside that need no `&mut`, with those that wait beside them, and wakes
/// whoever has to be. `W` is the number of places for tasks that wait at the same time, the consumer's included: see
/// [`Waiters`]. What is inside pays nothing for it where it is not wrapped.
///
/// # Examples
///
/// ```
/// use core::task::{Context, Poll, Waker};
/// use std::pin::pin;
/// use tickbus::Bus;
/// use tickbus::wait::Awaited;
///
/// static BUS: Awaited<Bus<u8, 2>, 2> = Awaited::new(Bus::new());
///
/// let mut events = BUS.consumer().expect("this task is the only consumer");
/// let mut context = Context::from_waker(Waker::noop()); // an executor has a better one
///
/// assert_eq!(pin!(events.next_event()).poll(&mut context), Poll::Pending);
/// BUS.publish(1).unwrap(); // in an interrupt; this wakes the task
/// assert_eq!(pin!(events.next_event()).poll(&mut context), Poll::Ready(1));
///
/// BUS.publish(2).unwrap();
/// BUS.publish(3).unwrap();
/// let mut waiting = pin!(BUS.publish_wait(4));
/// assert_eq!(waiting.as_mut().poll(&mut context), Poll::Pending);
/// assert!(events.drain().eq([2, 3])); // and this the publisher
/// assert_eq!(waiting.poll(&mut context), Poll::Ready(Ok(())));
/// ```
pub struct Awaited<T, const W: usize> {
    inner: T,
    waiters: Waiters<W>,
}

impl<T, const W: usize> Awaited<T, W> {
    /// `inner`, with nobody waiting for it.
    #[cfg(not(tickbus_loom))]
    #[must_use]
    pub const fn new(inner: T) -> Self {
        Self { inner, waiters: Waiters::new() }
    }

    /// `inner`, with nobody waiting for it.
    #[cfg(tickbus_loom)]
    #[must_use]
    pub fn new(inner: T) -> Self {
        Self { inner, waiters: Waiters::new() }
    }
}

impl<T: Default, const W: usize> Default for Awaited<T, W> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: fmt::Debug, const W: usize> fmt::Debug for Awaited<T, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Awaited")
            .field("inner", &self.inner)
            .field("waiters", &self.waiters)
            .finish()
    }
}

/// A wait until something is there: [`Waiters::wait_until`].
#[must_use = "a future does nothing until it is polled"]
pub struct WaitUntil<'a, F> {
    wait: Waiting<'a>,
    ready: F,
}

/// What is in it is never pinned.
impl<F> Unpin for WaitUntil<'_, F> {}

impl<T, F: FnMut() -> Option<T>> Future for WaitUntil<'_, F> {
    type Output = Result<T, TooManyWaiters>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { wait, ready } = self.get_mut();
        wait.poll(context, ready)
    }
}

impl<F> fmt::Debug for WaitUntil<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitUntil").field("wait", &self.wait).finish_non_exhaustive()
    }
}

/// The places, however many.
struct Table<P: ?Sized = [Waiter]> {
    /// How many are in use, or are about to be. Never more than there are.
    used: AtomicWord,
    places: P,
}

/// Why there is no place.
enum NoPlace {
    /// Others wait at every one.
    Taken,
    /// A place is changing hands at this moment.
    Changing,
}

impl Table {
    fn wait_until<T, F: FnMut() -> Option<T>>(&self, want: Want, ready: F) -> WaitUntil<'_, F> {
        WaitUntil { wait: Waiting::new(self, want), ready }
    }

    #[inline(always)]
    fn wake(&self) {
        // Store, then load, here and in `Waiting::poll`, crosswise: a change here and `used` there, `used`
        // here and the change there. Of two SeqCst fences one is first, and what was stored before it is
        // seen behind the other: either we see that a task waits, and where, or it sees the change.
        fence(SeqCst);
        if self.used.load(Relaxed) != 0 {
            self.wake_all(Want::Change);
        }
    }

    /// Wakes after a publish to a bus, which has ended with a committing exchange.
    #[inline(always)]
    fn wake_after_commit(&self) {
        if !EXCHANGES_ARE_FENCES {
            return self.wake();
        }
        // SeqCst, as the exchange: if this is before the fence of a task that waits, so is the exchange, and
        // the task sees the entry behind its fence. If not, this sees that the task waits, but not yet where:
        // no other load of this thread is ordered. So the fence of `wake` comes before those.
        if self.used.load(SeqCst) != 0 {
            self.wake_late();
        }
    }

    #[cold]
    #[inline(never)]
    fn wake_late(&self) {
        self.wake();
    }

    /// Wakes those that wait for room, after something was taken, and gives that back. If a waker panics, it
    /// is in `kept`. What was taken may have made no room: then `is_room` says so, asked after the fence.
    #[inline(always)]
    fn wake_keeping<T>(&self, taken: T, kept: &mut Kept<T>, is_room: impl FnOnce() -> bool) -> T {
        // Pairs with the fence in `Waiting::poll`, as that in `wake`.
        fence(SeqCst);
        if self.used.load(Relaxed) == 0 || !is_room() {
            return taken;
        }
        kept.put(taken);
        self.wake_all(Want::Room);
        kept.take().unwrap_or_else(|| unreachable!("put there, and borrowed since"))
    }

    /// Wakes those that wait for room, after something was taken.
    #[inline(always)]
    fn wake_for_room(&self) {
        self.wake_then(|| true, || ());
    }

    /// Wakes those that wait for room, after something was taken, and hands that on by `then`: also if a
    /// waker panics.
    #[inline(always)]
    fn wake_then<R>(&self, is_room: impl FnOnce() -> bool, then: impl FnOnce() -> R) -> R {
        let mut then = Finally(Some(then));
        // Pairs with the fence in `Waiting::poll`, as that in `wake`.
        fence(SeqCst);
        if self.used.load(Relaxed) != 0 && is_room() {
            self.wake_all(Want::Room);
        }
        then.run().unwrap_or_else(|| unreachable!("it runs once"))
    }

    #[cold]
    #[inline(never)]
    fn wake_all(&self, want: Want) {
        /// Goes on with the others when a waker panics.
        struct Rest<'a> {
            used: &'a AtomicWord,
            want: Want,
            places: slice::Iter<'a, Waiter>,
        }
        impl Rest<'_> {
            fn run(&mut self) {
                for place in self.places.by_ref() {
                    if let Some(waker) = place.take(self.want) {
                        leave(self.used);
                        waker.wake();
                    }
                }
            }
        }
        impl Drop for Rest<'_> {
            fn drop(&mut self) {
                self.run();
            }
        }
        Rest { used: &self.used, want, places: self.places.iter() }.run();
    }

    /// Finds a place for the waker.
    fn arm(&self, want: Want, mut waker: Waker) -> Result<Place, NoPlace> {
        let mut used = self.used.load(Relaxed);
        loop {
            let is_full = used as usize >= self.places.len();
            let next = if is_full { used } else { used.wrapping_add(1) };
            // By comparing and swapping also when it is full, so that it is full now and not a while ago.
            match self.used.compare_exchange(used, next, Relaxed, Relaxed) {
                Ok(_) if is_full => {
                    let is_taken = are_all_armed(&self.places);
                    return Err(if is_taken { NoPlace::Taken } else { NoPlace::Changing });
                }
                Ok(_) => break,
                Err(found) => used = found,
            }
        }
        // Counted in, so at every moment one place is free. We miss it only if others get ahead.
        loop {
            for (index, place) in self.places.iter().enumerate() {
                match place.arm(want, waker) {
                    Ok(ticket) => return Ok(Place { index, ticket }),
                    Err(back) => waker = back,
                }
            }
            // Acquire: pairs with the Release in `leave`; the next look sees what was freed before this.
            self.used.fetch_add(0, Acquire);
        }
    }

    fn disarm(&self, place: Place) -> Option<Waker> {
        let waker = self.places[place.index].take_as(place.ticket);
        if waker.is_some() {
            leave(&self.used);
        }
        waker
    }
}

/// Whether any of these was published.
#[inline(always)]
fn is_any_published<E>(events: &[E], done: &Result<(), Full<&[E]>>) -> bool {
    events.len() != done.as_ref().err().map_or(0, |Full(rest)| rest.len())
}

/// Calls a function once: when it is told to, or when it is dropped.
struct Finally<R, F: FnOnce() -> R>(Option<F>);

impl<R, F: FnOnce() -> R> Finally<R, F> {
    fn run(&mut self) -> Option<R> {
        self.0.take().map(|run| run())
    }
}

impl<R, F: FnOnce() -> R> Drop for Finally<R, F> {
    fn drop(&mut self) {
        self.run();
    }
}

/// Counts a place as free again, after it is.
fn leave(used: &AtomicWord) {
    // Release: pairs with the Acquire in `Table::arm`.
    used.fetch_add(Word::MAX, Release);
}

/// Where one's waker is.
#[derive(Clone, Copy, Debug)]
struct Place {
    index: usize,
    ticket: Ticket,
}

/// One who waits: what every future here is made of.
struct Waiting<'a> {
    table: &'a Table,
    want: Want,
    place: Option<Place>,
}

impl<'a> Waiting<'a> {
    fn new(table: &'a Table, want: Want) -> Self {
        Self { table, want, place: None }
    }

    /// Asks `ready`, and again when the waker is in its place.
    fn poll<T>(
        &mut self,
        context: &mut Context<'_>,
        mut ready: impl FnMut() -> Option<T>,
    ) -> Poll<Result<T, TooManyWaiters>> {
        self.end();
        if let Some(found) = ready() {
            return Poll::Ready(Ok(found));
        }
        match self.table.arm(self.want, context.waker().clone()) {
            Ok(place) => self.place = Some(place),
            Err(NoPlace::Taken) => return Poll::Ready(Err(TooManyWaiters)),
            Err(NoPlace::Changing) => {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        // Pairs with the fence in `Table::wake`.
        fence(SeqCst);
        match ready() {
            Some(found) => {
                self.end();
                Poll::Ready(Ok(found))
            }
            None => Poll::Pending,
        }
    }

    /// Waits no longer.
    fn end(&mut self) {
        let waker = self.place.take().and_then(|place| self.table.disarm(place));
        drop(waker);
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for Waiting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").field("place", &self.place).finish_non_exhaustive()
    }
}
