//! Waiting, for tasks of any async runtime and, with `std`, for threads.
//!
//! Whether a bus, a lane, a topic, a feed or a latest value can be waited for is the last parameter of its
//! type: [`NoWaiters`], the default, or [`Waiters`]. Without waiters nothing is kept and no instruction runs
//! for them.
//!
//! | type | what can wait | awaited | on a thread, with `std` |
//! |---|---|---|---|
//! | [`Bus`](crate::Bus) | a publish, for room | `publish_async` | `publish_wait` |
//! | | its consumer | `next_async`, `ready_async` | `next_wait` |
//! | [`Lane`](crate::Lane) | its publisher, for room | `publish_async` | `publish_wait` |
//! | | its consumer | `next_async`, `ready_async` | `next_wait` |
//! | [`Topic`](crate::Topic), [`Feed`](crate::Feed) | subscribers, also [selective](crate::topic::Selective) ones | `next_async`, `ready_async` | `next_wait` |
//! | [`GatedTopic`](crate::GatedTopic) | a publish, for the gate | `publish_async` | `publish_wait` |
//! | | subscribers, also selective ones | `next_async`, `ready_async` | `next_wait` |
//! | [`Latest`](crate::Latest) | watchers | `changed_async` | `changed_wait` |
//!
//! # Examples
//!
//! ```
//! use core::task::{Context, Poll, Waker};
//! use std::pin::pin;
//! use tickbus::{Bus, Reject, Waiters};
//!
//! static BUS: Bus<u8, 2, Reject, Waiters<2>> = Bus::new();
//!
//! let mut events = BUS.consumer().expect("this task is the only consumer");
//! let mut context = Context::from_waker(Waker::noop()); // an executor has a better one
//!
//! assert_eq!(pin!(events.next_async()).poll(&mut context), Poll::Pending);
//! BUS.publish(1).unwrap(); // in an interrupt; this wakes the task
//! assert_eq!(pin!(events.next_async()).poll(&mut context), Poll::Ready(1));
//!
//! BUS.publish(2).unwrap();
//! BUS.publish(3).unwrap();
//! let mut waiting = pin!(BUS.publish_async(4));
//! assert_eq!(waiting.as_mut().poll(&mut context), Poll::Pending);
//! assert!(events.drain().eq([2, 3])); // and this the publisher
//! assert_eq!(waiting.poll(&mut context), Poll::Ready(Ok(())));
//! ```

mod error;
#[cfg(all(feature = "alloc", target_has_atomic = "ptr"))]
pub(crate) mod panics;
mod publish;
mod table;
#[cfg(feature = "std")]
pub(crate) mod thread;

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::ptr::NonNull;
use core::task::{Context, Poll};

#[cfg(feature = "std")]
pub use self::error::NotPublished;
pub use self::error::WaitError;
pub(crate) use self::publish::Offer;
pub use self::publish::PublishAsync;
#[cfg(feature = "std")]
pub(crate) use self::publish::block;
use self::table::{Seat, Table, Waiting};
#[cfg(feature = "std")]
pub use self::thread::{Cancel, Wait};
use crate::error::TooManyWaiters;
use crate::ring::kept::{Keeps, Kept, Left, Nowhere};
use crate::ring::link::{Anywhere, Link, Linked, Uniform};
use crate::ring::waiter::{Waiter, Want};
use crate::sync::AtomicWord;

/// Places for the wakers of up to `K` tasks that wait for something to change.
///
/// As the last parameter of a bus, a lane, a topic, a feed or a latest value, it lets tasks and threads wait for
/// that: see the [module](crate::wait). As a type of its own, it serves for anything else. Call
/// [`wake`](Self::wake) after each change; a task that waits for it calls [`wait_until`](Self::wait_until). A
/// `wake` wakes every task that waits, in no stated order. It costs a fence, a load and a branch when none does.
/// Every woken task checks its condition again, so a dropped future loses no wake-up.
///
/// New places are all zeros, so a `static` table lies in `.bss`. It takes one word, and three for each
/// place.
///
/// # How many
///
/// Reserve one place for each task that may wait at the same time. Reserve one more for each interrupt priority
/// below that of an executor from which you call `wake`: a `wake` that is interrupted in the few instructions in
/// which it takes a waker out keeps the place until it proceeds. Threads need none for that: a task that
/// finds no place because a wake is in progress is polled again.
///
/// # Interrupts
///
/// You may call `wake` in interrupt handlers, in destructors and in wakers. It masks nothing on targets with
/// compare-and-swap. On those without, taking a waker is two critical sections of a few instructions, and so
/// is putting one in. Wakers are cloned, woken and dropped outside of them.
///
/// # Progress
///
/// No operation spins: `wake` looks at each place once. A task that is interrupted while it waits or wakes holds
/// up no other.
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
/// static NONE: tickbus::Waiters<0> = tickbus::Waiters::new();
/// ```
pub struct Waiters<const K: usize> {
    table: Table<[Waiter; K]>,
}

impl<const K: usize> Waiters<K> {
    /// Creates a table in which no task waits.
    #[cfg(not(tickbus_loom))]
    #[must_use]
    pub const fn new() -> Self {
        const { assert!(K > 0, "a table for waiters needs at least one place") };
        Self { table: Table { used: AtomicWord::new(0), places: [const { Waiter::new() }; K] } }
    }

    /// Creates a table in which no task waits.
    #[cfg(tickbus_loom)]
    #[must_use]
    pub fn new() -> Self {
        let places = core::array::from_fn(|_| Waiter::new());
        Self { table: Table { used: AtomicWord::new(0), places } }
    }

    /// Wakes every task that waits. Call it after the change that they wait for.
    ///
    /// # Panics
    ///
    /// Panics if a waker does, after all others have been woken.
    #[inline]
    pub fn wake(&self) {
        self.table().wake();
    }

    /// Waits until `ready` returns something, and returns that.
    ///
    /// Each poll calls `ready` once or twice. `ready` must come to see what changed before a
    /// [`wake`](Self::wake); any atomic load does. Dropping the future ends the wait: if `ready` has returned
    /// `None`, nothing has happened.
    ///
    /// # Errors
    ///
    /// Returns [`TooManyWaiters`] if it would have to wait and `K` others do.
    pub fn wait_until<T, F: FnMut() -> Option<T>>(&self, ready: F) -> WaitUntil<'_, F> {
        self.table().wait_until(Want::Change, ready)
    }

    #[inline(always)]
    pub(crate) fn table(&self) -> &Table {
        &self.table
    }
}

impl<const K: usize> Default for Waiters<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const K: usize> fmt::Debug for Waiters<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiting = self.table.places.iter().filter(|place| place.is_armed()).count();
        f.debug_struct("Waiters").field("places", &K).field("waiting", &waiting).finish()
    }
}

/// The last parameter of a bus, a lane, a topic, a feed or a latest value: [`NoWaiters`] or [`Waiters`].
///
/// It says whether tasks and threads can wait for that. It is a type, so that a bus without waiters carries no code
/// for them.
///
/// This trait is sealed.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is neither `NoWaiters` nor `Waiters<K>`",
    note = "the last parameter of a bus, a lane or a topic is `NoWaiters` (the default) or `Waiters<K>`"
)]
#[expect(private_bounds, reason = "sealed: no path outside this crate names or calls `Wakes`")]
pub trait Waits: Wakes {}

/// No places: a bus of this type is polled, or drained once a tick. The default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoWaiters;

impl Waits for NoWaiters {}
impl<const K: usize> Waits for Waiters<K> {}

/// What wakes, and after what.
pub(crate) trait Wakes: Linked + Keeps + Send + Sync {
    /// Without any that wait.
    #[cfg(not(tickbus_loom))]
    const NEW: Self;

    /// Without any that wait.
    #[cfg(tickbus_loom)]
    fn fresh() -> Self;

    /// Where a handle waits.
    type Seat: Default + Unpin + Send + Sync;

    /// Waits there no longer.
    fn leave(&self, seat: &mut Self::Seat);

    /// Wakes all, after a change.
    fn wake(&self);

    /// Wakes all, after a publish to a bus, which has ended with a committing exchange.
    fn wake_after_commit(&self);

    /// Wakes those that wait for room, after something was taken, and gives that back. If a waker panics, it is
    /// in `kept`. `is_room` says whether the take has made room.
    fn wake_keeping<T>(
        &self,
        taken: T,
        kept: &mut Kept<T, Self>,
        is_room: impl FnOnce() -> bool,
    ) -> T;

    /// Wakes those that wait for room, after something was taken, and hands that on by `then`: also if a waker
    /// panics.
    fn wake_then<R>(&self, is_room: impl FnOnce() -> bool, then: impl FnOnce() -> R) -> R;

    /// Wakes those that wait for room, after something was taken.
    #[inline(always)]
    fn wake_for_room(&self) {
        self.wake_then(|| true, || ());
    }
}

impl Linked for NoWaiters {
    type Pointer = Anywhere;
}

impl Uniform for NoWaiters {
    const ANY: &'static Self = &Self;
}

impl Keeps for NoWaiters {
    type Place<T> = Nowhere;
}

impl Wakes for NoWaiters {
    #[cfg(not(tickbus_loom))]
    const NEW: Self = Self;

    #[cfg(tickbus_loom)]
    fn fresh() -> Self {
        Self
    }

    type Seat = ();

    #[inline(always)]
    fn leave(&self, (): &mut ()) {}

    #[inline(always)]
    fn wake(&self) {}

    #[inline(always)]
    fn wake_after_commit(&self) {}

    #[inline(always)]
    fn wake_keeping<T>(&self, taken: T, _: &mut Kept<T, Self>, _: impl FnOnce() -> bool) -> T {
        taken
    }

    #[inline(always)]
    fn wake_then<R>(&self, _: impl FnOnce() -> bool, then: impl FnOnce() -> R) -> R {
        then()
    }
}

impl<const K: usize> Linked for Waiters<K> {
    type Pointer = NonNull<Self>;
}

impl<const K: usize> Keeps for Waiters<K> {
    type Place<T> = Left<T>;
}

impl<const K: usize> Wakes for Waiters<K> {
    #[cfg(not(tickbus_loom))]
    const NEW: Self = Self::new();

    #[cfg(tickbus_loom)]
    fn fresh() -> Self {
        Self::new()
    }

    type Seat = Seat;

    fn leave(&self, seat: &mut Seat) {
        self.table().leave(seat);
    }

    #[inline(always)]
    fn wake(&self) {
        self.table().wake();
    }

    #[inline(always)]
    fn wake_after_commit(&self) {
        self.table().wake_after_commit();
    }

    #[inline(always)]
    fn wake_keeping<T>(
        &self,
        taken: T,
        kept: &mut Kept<T, Self>,
        is_room: impl FnOnce() -> bool,
    ) -> T {
        self.table().wake_keeping(taken, &mut kept.0, is_room)
    }

    #[inline(always)]
    fn wake_then<R>(&self, is_room: impl FnOnce() -> bool, then: impl FnOnce() -> R) -> R {
        self.table().wake_then(is_room, then)
    }
}

/// What a handle that may wait keeps: the way to the waiters, and its place among them. It is kept here and not
/// in the futures, lest one that is forgotten keeps it.
pub(crate) struct Stand<'a, W: Waits> {
    waiters: Link<'a, W>,
    seat: W::Seat,
}

impl<'a, W: Waits> Stand<'a, W> {
    #[inline(always)]
    pub(crate) fn beside(waiters: &'a W) -> Self {
        Self { waiters: Link::to(waiters), seat: W::Seat::default() }
    }

    #[inline(always)]
    pub(crate) fn waiters(&self) -> &'a W {
        self.waiters.get()
    }

    /// Waits no longer.
    #[inline(always)]
    pub(crate) fn leave(&mut self) {
        self.waiters.get().leave(&mut self.seat);
    }
}

impl<const K: usize> Stand<'_, Waiters<K>> {
    /// Waits until `ready` has something.
    pub(crate) fn poll<T>(
        &mut self,
        context: &mut Context<'_>,
        ready: impl FnMut() -> Option<T>,
    ) -> Poll<Result<T, TooManyWaiters>> {
        let Self { waiters, seat } = self;
        waiters.get().table().poll(seat, Want::Change, context, ready)
    }
}

impl<W: Waits> Drop for Stand<'_, W> {
    #[inline(always)]
    fn drop(&mut self) {
        self.leave();
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
