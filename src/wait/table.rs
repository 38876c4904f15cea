//! The places of tasks that wait, and one wait.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::slice;
use core::task::{Context, Poll, Waker};

use crate::error::TooManyWaiters;
use crate::ring::kept::Left;
use crate::ring::waiter::{Ticket, Waiter, Want, are_all_armed};
use crate::sync::{
    Acquire, AtomicWord, EXCHANGES_ARE_FENCES, Relaxed, Release, SeqCst, Word, fence,
};

/// The places. Handles do not know their number.
pub(crate) struct Table<P: ?Sized = [Waiter]> {
    /// How many places are in use, or about to be: at most as many as there are.
    pub(super) used: AtomicWord,
    pub(super) places: P,
}

/// Why there is no place.
enum NoPlace {
    /// Other tasks wait at every place.
    Taken,
    /// A place is changing hands at this moment.
    Changing,
}

impl Table {
    pub(crate) fn wait_until<T, F: FnMut() -> Option<T>>(
        &self,
        want: Want,
        ready: F,
    ) -> WaitUntil<'_, F> {
        WaitUntil { wait: Waiting::new(self, want), ready }
    }

    #[inline(always)]
    pub(crate) fn wake(&self) {
        // Both sides store, then fence, then load. This side stores the change and loads `used`; `poll` stores `used` and
        // loads the change. Of two SeqCst fences one is first, and the loads behind the other see the stores before it.
        // So either we see that a task waits, and where, or it sees the change.
        fence(SeqCst);
        if self.used.load(Relaxed) != 0 {
            self.wake_all(Want::Change);
        }
    }

    /// Wakes after a publish to a bus, which has ended with a committing exchange.
    #[inline(always)]
    pub(crate) fn wake_after_commit(&self) {
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

    /// Wakes the tasks that wait for room, and returns what was taken. If a waker panics, that is in `kept`. `is_room`,
    /// called after the fence, says whether the take has made room.
    #[inline(always)]
    pub(crate) fn wake_keeping<T>(
        &self,
        taken: T,
        kept: &mut Left<T>,
        is_room: impl FnOnce() -> bool,
    ) -> T {
        // Pairs with the fence in `poll`, as that in `wake`.
        fence(SeqCst);
        if self.used.load(Relaxed) == 0 || !is_room() {
            return taken;
        }
        kept.put(taken);
        self.wake_all(Want::Room);
        kept.take().unwrap_or_else(|| unreachable!("put there, and borrowed since"))
    }

    /// Wakes the tasks that wait for room, and then calls `then`, also if a waker panics.
    #[inline(always)]
    pub(crate) fn wake_then<R>(
        &self,
        is_room: impl FnOnce() -> bool,
        then: impl FnOnce() -> R,
    ) -> R {
        let mut then = Finally(Some(then));
        // Pairs with the fence in `poll`, as that in `wake`.
        fence(SeqCst);
        if self.used.load(Relaxed) != 0 && is_room() {
            self.wake_all(Want::Room);
        }
        then.run().unwrap_or_else(|| unreachable!("it runs once"))
    }

    #[cold]
    #[inline(never)]
    fn wake_all(&self, want: Want) {
        /// Wakes the others also if a waker panics.
        struct Rest<'a> {
            used: &'a AtomicWord,
            want: Want,
            places: slice::Iter<'a, Waiter>,
        }
        impl Rest<'_> {
            fn run(&mut self) {
                for place in self.places.by_ref() {
                    if let Some(waker) = place.take(self.want) {
                        give_back(self.used);
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
        // This is counted in, so at every moment one place is free for it. It misses that place only if others get
        // ahead.
        loop {
            for (index, place) in self.places.iter().enumerate() {
                match place.arm(want, waker) {
                    Ok(ticket) => return Ok(Place { index, ticket }),
                    Err(back) => waker = back,
                }
            }
            // Acquire: pairs with the Release in `give_back`; the next look sees what was freed before this.
            self.used.fetch_add(0, Acquire);
        }
    }

    /// Calls `ready`, and again when the waker is in its place.
    pub(crate) fn poll<T>(
        &self,
        seat: &mut Seat,
        want: Want,
        context: &mut Context<'_>,
        mut ready: impl FnMut() -> Option<T>,
    ) -> Poll<Result<T, TooManyWaiters>> {
        self.leave(seat);
        if let Some(found) = ready() {
            return Poll::Ready(Ok(found));
        }
        match self.arm(want, context.waker().clone()) {
            Ok(place) => *seat = Some(place),
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
                self.leave(seat);
                Poll::Ready(Ok(found))
            }
            None => Poll::Pending,
        }
    }

    /// Ends the wait.
    pub(crate) fn leave(&self, seat: &mut Seat) {
        let waker = seat.take().and_then(|place| self.disarm(place));
        drop(waker);
    }

    fn disarm(&self, place: Place) -> Option<Waker> {
        let waker = self.places[place.index].take_as(place.ticket);
        if waker.is_some() {
            give_back(&self.used);
        }
        waker
    }
}

/// Calls a function once: by `run`, or when it is dropped.
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
fn give_back(used: &AtomicWord) {
    // Release: pairs with the Acquire in `Table::arm`.
    used.fetch_add(Word::MAX, Release);
}

/// The place of a waker, and the ticket of its wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    index: usize,
    ticket: Ticket,
}

/// The place of a task, if it waits.
pub(crate) type Seat = Option<Place>;

/// One wait, as futures hold it.
pub(crate) struct Waiting<'a> {
    pub(super) table: &'a Table,
    want: Want,
    seat: Seat,
}

impl<'a> Waiting<'a> {
    pub(crate) fn new(table: &'a Table, want: Want) -> Self {
        Self { table, want, seat: None }
    }

    /// As [`Table::poll`].
    pub(crate) fn poll<T>(
        &mut self,
        context: &mut Context<'_>,
        ready: impl FnMut() -> Option<T>,
    ) -> Poll<Result<T, TooManyWaiters>> {
        self.table.poll(&mut self.seat, self.want, context, ready)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.table.leave(&mut self.seat);
    }
}

impl fmt::Debug for Waiting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").field("place", &self.seat).finish_non_exhaustive()
    }
}

/// A wait for a condition: [`Waiters::wait_until`](super::Waiters::wait_until).
#[must_use = "a future does nothing until it is polled"]
pub struct WaitUntil<'a, F> {
    wait: Waiting<'a>,
    ready: F,
}

/// Its content is never pinned.
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
