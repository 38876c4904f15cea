//! Waiting, for tasks of any async runtime and, with `std`, for threads.
//!
//! The last parameter of a bus, a lane, a topic, a feed or a latest value says whether you can wait for it:
//! [`NoWaiters`], the default, or [`Waiters`]. With [`NoWaiters`], waiting takes no memory and no instruction.
//!
//! | type | what can wait | a task | a thread, with `std` |
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
//! assert!(events.drain().eq([2, 3])); // this wakes the publisher
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
use core::ptr::NonNull;
use core::task::{Context, Poll};

#[cfg(feature = "std")]
pub use self::error::NotPublished;
pub use self::error::WaitError;
pub(crate) use self::publish::Offer;
pub use self::publish::PublishAsync;
#[cfg(feature = "std")]
pub(crate) use self::publish::block;
pub use self::table::WaitUntil;
use self::table::{Seat, Table};
#[cfg(feature = "std")]
pub use self::thread::{Cancel, Wait};
use crate::error::TooManyWaiters;
use crate::ring::kept::{Keeps, Kept, Left, Nowhere};
use crate::ring::link::{Anywhere, Link, Linked, Uniform};
use crate::ring::waiter::{Waiter, Want};
use crate::sync::AtomicWord;

/// Places for the wakers of up to `K` tasks that wait for something to change.
///
/// As the last parameter of a bus, a lane, a topic, a feed or a latest value, it lets tasks and threads wait for it: see
/// the [module](crate::wait). You can also use it by itself, for anything else that changes. Call [`wake`](Self::wake)
/// after each change. A task that waits for the change calls [`wait_until`](Self::wait_until).
///
/// A `wake` wakes every task that waits, in no stated order. It costs a fence, a load and a branch while no task waits.
/// Every woken task checks its condition again, so a dropped future loses no wake-up.
///
/// New places are all zeros, so a `static` table lies in `.bss`. It takes one word, and three for each
/// place.
///
/// # How many
///
/// Reserve one place for each task that may wait at the same time. Reserve one more for each interrupt priority
/// below that of an executor from which you call `wake`: if a `wake` is interrupted while it takes a waker out, it holds
/// the place until it proceeds. Threads need no place for that: a task that finds no place because a wake is in progress
/// is polled again.
///
/// # Interrupts
///
/// You may call `wake` in interrupt handlers, in destructors and in wakers. With compare-and-swap, it masks no interrupts.
/// Without it, taking a waker out is two critical sections of a few instructions, and so is putting one in. Wakers are
/// cloned, woken and dropped outside these sections.
///
/// # Progress
///
/// No operation spins: `wake` looks at each place once. A task that is interrupted while it waits or wakes delays no
/// other.
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
/// BUTTON.wake(); // then the wake
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

    /// Waits until `ready` returns a value, and returns that value.
    ///
    /// Each poll calls `ready` once or twice. `ready` must see what changed before a [`wake`](Self::wake), as any atomic
    /// load does. Dropping the future ends the wait.
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
/// It says whether tasks and threads can wait for it. It is a type, so a bus without waiters carries no code for them.
///
/// This trait is sealed.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is neither `NoWaiters` nor `Waiters<K>`",
    note = "the last parameter of a bus, a lane or a topic is `NoWaiters` (the default) or `Waiters<K>`"
)]
#[expect(private_bounds, reason = "sealed: no path outside this crate names or calls `Wakes`")]
pub trait Waits: Wakes {}

/// The default: without places for tasks that wait. You drain such a bus once a tick, or poll it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoWaiters;

impl Waits for NoWaiters {}

#[cfg(all(feature = "alloc", not(tickbus_loom)))]
crate::ring::boxed::zeroed! { [] NoWaiters {} }

impl<const K: usize> Waits for Waiters<K> {}

/// Where tasks wait, and what wakes them.
pub(crate) trait Wakes: Linked + Keeps + Send + Sync {
    /// A value in which no task waits.
    #[cfg(not(tickbus_loom))]
    const NEW: Self;

    /// A value in which no task waits.
    #[cfg(tickbus_loom)]
    fn fresh() -> Self;

    /// The place of a handle.
    type Seat: Default + Unpin + Send + Sync;

    /// Ends a wait at that place.
    fn leave(&self, seat: &mut Self::Seat);

    /// Wakes every task, after a change.
    fn wake(&self);

    /// Wakes every task, after a publish to a bus, which has ended with a committing exchange.
    fn wake_after_commit(&self);

    /// Wakes the tasks that wait for room, and returns what was taken. If a waker panics, that is in `kept`. `is_room` says
    /// whether the take has made room.
    fn wake_keeping<T>(
        &self,
        taken: T,
        kept: &mut Kept<T, Self>,
        is_room: impl FnOnce() -> bool,
    ) -> T;

    /// Wakes the tasks that wait for room, and then calls `then`, also if a waker panics.
    fn wake_then<R>(&self, is_room: impl FnOnce() -> bool, then: impl FnOnce() -> R) -> R;

    /// Wakes the tasks that wait for room.
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

/// The way from a handle to the waiters, and its place among them. The place is here and not in the futures, so a
/// forgotten future does not hold it.
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

    /// Ends the wait.
    #[inline(always)]
    pub(crate) fn leave(&mut self) {
        self.waiters.get().leave(&mut self.seat);
    }
}

impl<const K: usize> Stand<'_, Waiters<K>> {
    /// Waits until `ready` returns a value.
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
