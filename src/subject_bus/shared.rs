//! What a bus and its subscriptions share: one lock, and all that changes under it.
//!
//! One lock for all of a bus: a publish takes it once however many match, counts without atomics,
//! and is over for `close` when it releases the lock. It is held for a search, and for what one
//! envelope does to at most [`RUN`](super::publish::RUN) queues; longer only for a group that is
//! published as a whole. It is never held while code of a user runs, wakers and destructors
//! included.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
#[cfg(feature = "std")]
use core::cell::Cell;
use core::fmt;
use core::task::Waker;

use slab::Slab;

use super::hold::Hold;
use super::info::SubscriptionInfo;
use super::queue::{About, End, Pending, Predicate, Queue, Sent};
#[cfg(feature = "std")]
use super::request::Requests;
use super::routes::{Kept, Routes, Target, grow, key};
use super::stats::{SubjectBusStats, SubscriptionStats};
#[cfg(feature = "hosted")]
use crate::envelope::Envelope;
use crate::subject::Subject;
use crate::sync::Lock;
#[cfg(feature = "std")]
use crate::sync::host::{park, this_thread, thread_local};
use crate::wait::panics::Panics;

pub(super) struct Shared {
    pub(super) state: Lock<State>,
    #[cfg(feature = "hosted")]
    pub(super) on_loss: Option<OnLoss>,
}

/// Is told of an envelope that leaves a buffer although it was not received.
#[cfg(feature = "hosted")]
pub(crate) type OnLoss = Box<dyn Fn(&Arc<Envelope>) + Send + Sync>;

/// Boxed, so that more of them do not move those that are there.
pub(super) type Queues = Slab<Box<Queue>>;

pub(super) struct State {
    pub(super) closed: bool,
    /// Whether a publish goes straight to the subscriptions: the bus is open and started, and no
    /// replay is in progress.
    pub(super) live: bool,
    pub(super) hold: Hold,
    #[cfg(feature = "std")]
    pub(super) requests: Requests,
    /// Publishers that release the lock before they are done: `close` waits for them.
    pub(super) under_way: usize,
    /// Wait in `close`.
    pub(super) closers: Vec<Waker>,
    pub(super) published: u64,
    /// Envelopes that came too late for a subscription.
    pub(super) too_late: u64,
    pub(super) routes: Routes,
    /// Counts the publishes that several subscriptions match, if these take turns.
    pub(super) rotation: Option<u64>,
    /// One for each handle.
    pub(super) queues: Queues,
    last_id: u64,
    /// The sums over the handles that are gone.
    retired: SubscriptionStats,
}

#[cfg(feature = "std")]
thread_local! {
    /// How many calls of this thread, on any bus, another thread in `close` may wait for.
    static WAITED_FOR: Cell<usize> = Cell::default();
}

/// While it lives, another thread in `close` may wait for what this thread does. So this thread
/// does not wait in `close` itself.
struct WaitedFor;

impl WaitedFor {
    fn new() -> Self {
        #[cfg(feature = "std")]
        WAITED_FOR.with(|count| count.set(count.get() + 1));
        Self
    }
}

impl Drop for WaitedFor {
    fn drop(&mut self) {
        #[cfg(feature = "std")]
        WAITED_FOR.with(|count| count.set(count.get() - 1));
    }
}

/// A publisher that releases the lock before it is done. Meanwhile it calls the user's filters,
/// observers, wakers, and their destructors.
pub(super) struct UnderWay<'a> {
    bus: &'a Shared,
    _waited_for: WaitedFor,
}

impl<'a> UnderWay<'a> {
    /// Makes one that `State::under_way` counts already.
    pub(super) fn new(bus: &'a Shared) -> Self {
        Self { bus, _waited_for: WaitedFor::new() }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.bus.leave();
    }
}

/// Wakes those whose wait has ended. A waker may be a user's, and the publishers after it cannot
/// leave before they are woken.
fn wake(sent: impl IntoIterator<Item = Sent>, panics: &mut Panics) {
    let _waited_for = WaitedFor::new();
    panics.wake(sent.into_iter().flat_map(Sent::wakers));
}

impl Target {
    /// Returns its queue, if the handle is alive.
    #[inline]
    pub(super) fn queue(self, queues: &mut Queues) -> Option<&mut Queue> {
        queues
            .get_mut(self.key as usize)
            .map(|queue| &mut **queue)
            .filter(|queue| queue.id == self.id)
    }
}

impl State {
    /// Finds the subscriptions that match, beginning with the one whose turn it is.
    pub(super) fn find(&mut self, subject: Subject<'_>) -> Kept {
        let route = self.routes.find(subject);
        let most = route.targets.len();
        let Some(count) = self.rotation.as_mut().filter(|_| most > 1) else {
            return Kept::Cached(route.keep());
        };
        let first = (*count % most as u64) as usize;
        *count = count.wrapping_add(1);
        let (last, first) = route.targets.split_at(first);
        Kept::Turned(first.iter().chain(last).copied().collect())
    }

    /// Goes on to `end` in every queue.
    fn advance(&mut self, end: End) -> Vec<Sent> {
        let sent: Vec<_> = self.queues.iter_mut().map(|(_, queue)| queue.advance(end)).collect();
        self.too_late += sent.iter().map(Sent::publishers).sum::<u64>();
        sent
    }
}

impl Shared {
    /// Makes the state of a bus that keeps the routes of `cache` subjects.
    pub(super) fn new(cache: usize, hold: Hold, rotate: bool) -> Self {
        Self {
            #[cfg(feature = "hosted")]
            on_loss: None,
            state: Lock::new(State {
                closed: false,
                live: hold.started,
                hold,
                #[cfg(feature = "std")]
                requests: Requests::default(),
                under_way: 0,
                closers: Vec::new(),
                published: 0,
                too_late: 0,
                routes: Routes::new(cache),
                rotation: rotate.then_some(0),
                queues: Slab::new(),
                last_id: 0,
                retired: SubscriptionStats::default(),
            }),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    /// Adds a subscription, gives it its id, and tells it of the replay that it missed unless it is
    /// late on purpose. It has ended already if `ended` or if the bus is closed.
    pub(super) fn insert(
        &self,
        mut about: About,
        predicate: Option<Predicate>,
        ended: bool,
    ) -> (Arc<About>, Target) {
        let mut state = self.state.lock();
        state.last_id += 1;
        about.id = state.last_id;
        about.missed_replay = if about.late { 0 } else { state.hold.replayed };
        let about = Arc::new(about);
        let ended = ended || state.closed;
        let end = if ended { End::Closed } else { End::Open };
        let queue = Box::new(Queue::new(about.clone(), predicate, end));
        grow(&mut state.queues);
        let place = state.queues.vacant_entry();
        let target = queue.target(key(place.key()));
        place.insert(queue);
        let stale = (!ended).then(|| state.routes.insert(about.patterns(), target));
        drop(state);
        drop(stale);
        (about, target)
    }

    /// Ends a subscription. What is pending stays.
    pub(super) fn close_one(&self, about: &About, target: Target) {
        let mut panics = Panics::default();
        self.end(about, target, &mut panics);
        panics.resume();
    }

    fn end(&self, about: &About, target: Target, panics: &mut Panics) {
        let mut state = self.state.lock();
        let sent = target.queue(&mut state.queues).map(|queue| queue.advance(End::Closed));
        state.too_late += sent.as_ref().map_or(0, Sent::publishers);
        let stale = state.routes.remove(about.patterns(), target);
        drop(state);
        drop(stale);
        wake(sent, panics);
    }

    /// Takes a subscription out.
    pub(super) fn remove(&self, about: &About, target: Target) {
        let mut panics = Panics::default();
        self.end(about, target, &mut panics);
        let mut state = self.state.lock();
        let queue = state.queues.try_remove(target.key as usize);
        if let Some(queue) = &queue {
            state.retired.add(&queue.final_stats());
        }
        drop(state);
        #[cfg(feature = "hosted")]
        if let Some(queue) = &queue {
            self.lost(queue.pending());
        }
        panics.dispose(queue); // after the lock
        panics.resume();
    }

    /// Says that these left a buffer although they were not received. After the lock.
    #[cfg(feature = "hosted")]
    pub(super) fn lost<'e>(&self, envelopes: impl IntoIterator<Item = &'e Arc<Envelope>>) {
        if let Some(on_loss) = &self.on_loss {
            envelopes.into_iter().for_each(on_loss);
        }
    }

    pub(super) fn close(&self) {
        let mut panics = Panics::default();
        let mut state = self.state.lock();
        state.closed = true; // no publisher and no subscription comes any more
        state.live = false;
        let held = state.hold.abandon();
        let sent = state.advance(End::Closing);
        #[cfg(feature = "std")]
        let callers = state.requests.wakers();
        drop(state);
        drop(held);
        #[cfg(feature = "std")]
        panics.wake(callers);
        wake(sent, &mut panics);
        // Called by what a publisher or `wake` calls, this thread would wait for itself. Without threads, every
        // publisher in progress is such a caller.
        #[cfg(feature = "std")]
        if WAITED_FOR.with(Cell::get) == 0 {
            self.wait_for_publishers();
        }
        let mut state = self.state.lock();
        let sent = state.advance(End::Closed);
        drop(state);
        wake(sent, &mut panics);
        panics.resume();
    }

    #[cfg(feature = "std")]
    fn wait_for_publishers(&self) {
        loop {
            let mut state = self.state.lock();
            if state.under_way == 0 {
                return;
            }
            let me = this_thread();
            if !state.closers.iter().any(|closer| closer.will_wake(&me)) {
                state.closers.push(me);
            }
            drop(state);
            park();
        }
    }

    /// Counts a publisher as in progress. `None` on a closed bus.
    pub(super) fn enter(&self) -> Option<UnderWay<'_>> {
        let mut state = self.state.lock();
        if state.closed {
            return None;
        }
        state.under_way += 1;
        drop(state);
        Some(UnderWay::new(self))
    }

    /// Counts a publisher in progress as done.
    fn leave(&self) {
        let mut state = self.state.lock();
        state.under_way -= 1;
        let last = state.under_way == 0;
        let closers = if last { core::mem::take(&mut state.closers) } else { Vec::new() };
        drop(state);
        closers.into_iter().for_each(Waker::wake);
    }

    pub(super) fn matching(&self, subject: Subject<'_>) -> usize {
        self.state.lock().routes.find(subject).targets.len()
    }

    /// Takes the oldest envelope whose number is below `end`, and lets the first publisher that
    /// waits put its own in. Where there is none, the error is whether the subscription has ended.
    #[inline]
    pub(super) fn take_before(&self, target: Target, end: u64) -> Result<Pending, bool> {
        let mut state = self.state.lock();
        let Some(queue) = target.queue(&mut state.queues) else { return Err(true) };
        let Some(taken) = queue.take_before(end) else { return Err(queue.end == End::Closed) };
        drop(state);
        Ok(taken.wake())
    }

    pub(super) fn subscriptions(&self) -> Vec<SubscriptionInfo> {
        let state = self.state.lock();
        let mut all: Vec<_> = state.queues.iter().map(|(_, it)| SubscriptionInfo::of(it)).collect();
        drop(state);
        all.sort_unstable_by_key(|subscription| subscription.id);
        all
    }

    pub(super) fn stats(&self) -> SubjectBusStats {
        let state = self.state.lock();
        let mut totals = state.retired;
        state.queues.iter().for_each(|(_, queue)| totals.add(&queue.stats()));
        SubjectBusStats {
            published: state.published,
            held: state.hold.pending(),
            held_dropped: state.hold.dropped,
            held_abandoned: state.hold.abandoned,
            closed: state.too_late,
            subscriptions: state.queues.len() as u64,
            totals,
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}
