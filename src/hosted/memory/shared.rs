//! What the memory engine shares with its subscriptions: one lock, the subject bus, the clock.
//!
//! No code of a user runs under the lock: wakers are made before it, and called and dropped after.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::task::{Poll, Waker};
use core::time::Duration;

use slab::Slab;
use smallvec::SmallVec;

use super::followed::Followed;
use super::history::History;
use super::log::{Ages, Begin, DeadLetter, Log, Next, Taker};
use crate::envelope::{Envelope, Timestamp};
use crate::hosted::clock::Clock;
use crate::hosted::delivery::Verdict;
use crate::hosted::subscribe::{DurableOptions, StartAt};
use crate::subject::Pattern;
use crate::subject_bus::SubjectBus;
use crate::sync::{Lock, PlainNumber, Relaxed};
use crate::wait::panics::Panics;

pub(super) struct Shared {
    pub(super) bus: SubjectBus,
    pub(super) clock: Arc<dyn Clock>,
    /// How many live subscriptions there are, and how many of them let publishers wait.
    pub(super) live: PlainNumber,
    pub(super) blocking: PlainNumber,
    pub(super) followed: Arc<Followed>,
    /// How old an event may be.
    pub(super) ttl: Option<Duration>,
    /// Whether an event said until when it is good: 0 or 1.
    pub(super) dated: PlainNumber,
    /// How many events were too old when their turn came.
    pub(super) expired: PlainNumber,
    /// How many a live subscription had taken and not given out when it was dropped.
    pub(super) unsubscribed: PlainNumber,
    history: Option<Lock<History>>,
    has_log: bool,
    state: Lock<State>,
}

struct State {
    phase: Phase,
    /// `None` if there are no durable subscriptions.
    log: Option<Log>,
    members: Slab<Member>,
    last_member: u64,
    /// Wait for everything to be done.
    closers: Vec<Waker>,
    /// Wait until an event is settled: publishers.
    awaiting: Vec<Waker>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// Takes nothing in. Members receive what is there.
    Draining,
    /// Gives nothing out.
    Ended,
}

struct Member {
    group: usize,
    /// Waits for something.
    waker: Option<Waker>,
}

/// Called after the lock.
type Wakers = SmallVec<[Waker; 4]>;

/// Groups that a publisher waits for.
pub(super) type Groups = SmallVec<[usize; 4]>;

/// Returns the moment at which it is this time of day, which may be in the future.
fn moment(time: Timestamp, now: Duration, wall: Timestamp) -> Duration {
    let ahead = time.unix_nanos().saturating_sub(wall.unix_nanos());
    let by = Duration::from_nanos(u64::try_from(ahead.unsigned_abs()).unwrap_or(u64::MAX));
    if ahead < 0 { now.saturating_sub(by) } else { now.saturating_add(by) }
}

/// Most often there are none, and looking is all that it costs.
#[inline]
fn move_all(from: &mut Vec<Waker>, to: &mut Wakers) {
    if !from.is_empty() {
        to.extend(from.drain(..));
    }
}

#[inline]
fn wake(wakers: Wakers) {
    if !wakers.is_empty() {
        wake_all(wakers);
    }
}

#[cold]
fn wake_all(wakers: Wakers) {
    let mut panics = Panics::default();
    panics.wake(wakers);
    panics.resume();
}

/// The engine takes nothing in.
pub(super) struct Closed;

/// Why a durable subscription was not opened.
pub(super) enum NotOpened {
    Closed,
    OtherPatterns,
}

impl Shared {
    pub(super) fn new(
        bus: SubjectBus,
        followed: Arc<Followed>,
        clock: Arc<dyn Clock>,
        log: Option<Log>,
        ttl: Option<Duration>,
        history: Option<History>,
    ) -> Self {
        let has_log = log.is_some();
        let zero = || PlainNumber::new(0);
        let (live, blocking, dated, expired) = (zero(), zero(), zero(), zero());
        let unsubscribed = zero();
        let history = history.map(Lock::new);
        let state = Lock::new(State {
            phase: Phase::Open,
            log,
            members: Slab::new(),
            last_member: 0,
            closers: Vec::new(),
            awaiting: Vec::new(),
        });
        Self {
            bus,
            clock,
            live,
            blocking,
            followed,
            ttl,
            dated,
            expired,
            unsubscribed,
            history,
            has_log,
            state,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.state.lock().phase == Phase::Open
    }

    /// Appends to the log, if there is one: the sequence, and whether the id was there. `Err` if it
    /// takes nothing in.
    pub(super) fn append(&self, envelope: &Arc<Envelope>) -> Result<Option<(u64, bool)>, Closed> {
        if !self.has_log {
            return Ok(None); // the subject bus knows whether it is closed
        }
        let now = self.clock.now();
        let mut wakers = Wakers::new();
        let mut state = self.state.lock();
        if state.phase != Phase::Open {
            return Err(Closed);
        }
        let State { log, members, .. } = &mut *state;
        let Some(log) = log else { return Ok(None) };
        let appended = log.append(envelope, now);
        if !appended.1 {
            for (_, member) in members {
                if member.waker.is_some() && log.matches(member.group, envelope.subject()) {
                    wakers.extend(member.waker.take());
                }
            }
            move_all(&mut state.awaiting, &mut wakers); // it may have trimmed
        }
        drop(state);
        wake(wakers);
        Ok(Some(appended))
    }

    /// Opens a member: how it takes, and its place.
    pub(super) fn open(&self, options: &DurableOptions) -> Result<(Taker, usize), NotOpened> {
        let (now, wall) = (self.clock.now(), self.clock.wall());
        let mut state = self.state.lock();
        if state.phase != Phase::Open {
            return Err(NotOpened::Closed);
        }
        let State { log, members, last_member, .. } = &mut *state;
        let log = log.as_mut().ok_or(NotOpened::Closed)?;
        let begin = match options.start_at {
            StartAt::New => Begin::End,
            StartAt::Earliest => Begin::Earliest,
            StartAt::Sequence(sequence) => Begin::Sequence(sequence),
            StartAt::Time(time) => {
                // The log knows no time of day, which may be set back.
                Begin::Time(moment(time, now, wall))
            }
        };
        let group = log.open(options, &begin).ok_or(NotOpened::OtherPatterns)?;
        *last_member += 1;
        let taker = Taker {
            group,
            member: *last_member,
            in_flight: options.in_flight,
            lease: options.lease,
            max_attempts: options.max_attempts,
            expired: 0,
        };
        Ok((taker, members.insert(Member { group, waker: None })))
    }

    /// Removes a member. Those that wait miss nothing by it: what comes in wakes all of them.
    pub(super) fn leave(&self, place: usize) {
        let mut state = self.state.lock();
        let member = state.members.remove(place);
        let mut wakers = Wakers::new();
        state.waiting_for_less(&mut wakers);
        drop(state);
        drop(member);
        wake(wakers);
    }

    /// Takes the next event for a member, or leaves its waker. `None` is the end.
    pub(super) fn next(
        &self,
        taker: &mut Taker,
        place: usize,
        waker: Option<Waker>,
    ) -> Option<Next> {
        let (now, ages) = (self.clock.now(), self.ages());
        let mut wakers = Wakers::new();
        let mut state = self.state.lock();
        let State { phase, log, members, awaiting, .. } = &mut *state;
        let log = log.as_mut().filter(|_| *phase != Phase::Ended)?;
        let next = log.next(taker, now, ages);
        move_all(awaiting, &mut wakers); // it may have given some up
        if let Next::Expired(count) = next {
            self.expired.fetch_add(usize::try_from(count).unwrap_or(usize::MAX), Relaxed);
        }
        let old = match &next {
            Next::Wait(_) if *phase == Phase::Draining && log.is_done(taker.group) => {
                state.waiting_for_less(&mut wakers);
                drop(state);
                wake(wakers);
                return None;
            }
            Next::Wait(_) => match waker {
                Some(waker) => members[place].waker.replace(waker),
                None => None,
            },
            Next::Event(taken) if taken.ends_first => {
                state.waiting(taker.group, &mut wakers);
                waker
            }
            _ => waker,
        };
        drop(state);
        drop(old);
        wake(wakers);
        Some(next)
    }

    /// Settles a delivery. `Some(false)` if it is late, `None` if the engine has ended.
    pub(super) fn settle(
        &self,
        group: usize,
        sequence: u64,
        epoch: u64,
        verdict: Verdict,
    ) -> Option<bool> {
        let now = self.clock.now();
        let mut state = self.state.lock();
        let State { phase, log, .. } = &mut *state;
        let log = log.as_mut().filter(|_| *phase != Phase::Ended)?;
        // A lease that ends sooner than the others is news to those that wait for their end.
        let extends = matches!(verdict, Verdict::Extend(_));
        let settled = log.settle(group, sequence, epoch, verdict, now);
        let more = extends || *phase != Phase::Open || log.has_more(group);
        let mut wakers = Wakers::new();
        if more {
            state.waiting(group, &mut wakers);
        }
        state.waiting_for_less(&mut wakers);
        drop(state);
        wake(wakers);
        Some(settled)
    }

    /// How many events the live subscriptions, and the groups that have a member, have still to
    /// receive.
    pub(super) fn lag_of_all(&self) -> u64 {
        let live = self.bus.stats().totals.pending;
        let state = self.state.lock();
        let mut groups: SmallVec<[usize; 8]> =
            state.members.iter().map(|(_, it)| it.group).collect();
        groups.sort_unstable();
        groups.dedup();
        let lag = |log: &Log| groups.iter().map(|group| log.lag(*group)).sum::<u64>();
        live + state.log.as_ref().map_or(0, lag)
    }

    pub(super) fn lag(&self, group: usize) -> u64 {
        self.state.lock().log.as_ref().map_or(0, |log| log.lag(group))
    }

    pub(super) fn with_log<R>(&self, read: impl FnOnce(&Log) -> R) -> Option<R> {
        self.state.lock().log.as_ref().map(read)
    }

    /// Takes nothing in any more, and wakes those that wait.
    pub(super) fn close(&self) {
        self.change(Phase::Draining);
        self.bus.close();
    }

    /// Gives nothing out any more. Returns whether everything was done.
    pub(super) fn end(&self) -> bool {
        let done = self.change(Phase::Ended);
        self.bus.close();
        done
    }

    fn change(&self, phase: Phase) -> bool {
        let mut state = self.state.lock();
        let done = state.phase == Phase::Ended || state.is_done();
        if state.phase == Phase::Open || phase == Phase::Ended {
            state.phase = phase;
        }
        let mut wakers: Wakers =
            state.members.iter_mut().filter_map(|(_, member)| member.waker.take()).collect();
        wakers.extend(state.closers.drain(..));
        wakers.extend(state.awaiting.drain(..));
        drop(state);
        wake(wakers);
        done
    }

    /// Waits until the groups that have members have received everything, and all is settled.
    pub(super) fn poll_done(&self, waker: &Waker) -> Poll<()> {
        let waker = waker.clone();
        let mut state = self.state.lock();
        let done = state.phase == Phase::Ended || state.is_done();
        let rest = if done {
            Some(waker)
        } else {
            state.closers.push(waker);
            None
        };
        drop(state);
        drop(rest);
        if done { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Returns the groups with a member that receive what was appended with this sequence.
    pub(super) fn groups_of(&self, sequence: u64, envelope: &Envelope) -> Groups {
        let state = self.state.lock();
        let Some(log) = &state.log else { return Groups::new() };
        let mut groups: Groups = state.members.iter().map(|(_, member)| member.group).collect();
        groups.sort_unstable();
        groups.dedup();
        groups.retain(|group| {
            log.matches(*group, envelope.subject()) && !log.has_settled(*group, sequence)
        });
        groups
    }

    /// Ready with `true` when each of the groups has settled the event or has no member any more,
    /// and `rest` is true. Ready with `false` if the engine has ended before.
    pub(super) fn poll_settled(
        &self,
        sequence: u64,
        groups: &[usize],
        rest: bool,
        waker: &Waker,
    ) -> Poll<bool> {
        let waker = waker.clone();
        let mut state = self.state.lock();
        let open = |group| state.members.iter().any(|(_, member)| member.group == group);
        let log = state.log.as_ref();
        let settled = groups
            .iter()
            .all(|group| log.is_none_or(|log| log.has_settled(*group, sequence)) || !open(*group));
        let ready = match (settled && rest, state.phase) {
            (true, _) => Poll::Ready(true),
            (false, Phase::Ended) => Poll::Ready(false),
            (false, _) => Poll::Pending,
        };
        let mut unused = None;
        if ready.is_ready() || state.awaiting.iter().any(|other| other.will_wake(&waker)) {
            unused = Some(waker);
        } else {
            state.awaiting.push(waker);
        }
        drop(state);
        drop(unused);
        ready
    }

    /// Returns when an event is too old.
    pub(super) fn ages(&self) -> Ages {
        let dated = self.dated.load(Relaxed) > 0;
        Ages { ttl: self.ttl, wall: dated.then(|| self.clock.wall()) }
    }

    /// Adds what was accepted to the history, if there is one.
    pub(super) fn remember(&self, envelope: &Arc<Envelope>) {
        // Without a log, the bus knows whether the engine takes anything in.
        if let Some(history) =
            self.history.as_ref().filter(|_| self.has_log || !self.bus.is_closed())
        {
            let now = self.clock.now();
            history.lock().add(envelope, now);
        }
    }

    /// Returns the last ones in the history that match and are not before a time.
    pub(super) fn history(
        &self,
        pattern: Pattern<'_>,
        since: Option<Timestamp>,
        most: usize,
    ) -> Vec<Arc<Envelope>> {
        let Some(history) = &self.history else { return Vec::new() };
        let (now, wall) = (self.clock.now(), self.clock.wall());
        let since = since.map_or(Duration::ZERO, |time| moment(time, now, wall));
        history.lock().find(pattern, since, most, now)
    }

    pub(super) fn dead_letters(&self) -> Vec<DeadLetter> {
        self.with_log(|log| log.dead().iter().cloned().collect()).unwrap_or_default()
    }
}

impl State {
    /// Adds those of the group that wait.
    fn waiting(&mut self, group: usize, wakers: &mut Wakers) {
        for (_, member) in &mut self.members {
            if member.group == group
                && let Some(waker) = member.waker.take()
            {
                wakers.push(waker);
            }
        }
    }

    fn is_done(&self) -> bool {
        let Some(log) = &self.log else { return true };
        self.members.iter().all(|(_, member)| log.is_done(member.group))
    }

    /// Adds those that wait until less is to be done.
    fn waiting_for_less(&mut self, wakers: &mut Wakers) {
        move_all(&mut self.awaiting, wakers);
        if !self.closers.is_empty() && self.is_done() {
            move_all(&mut self.closers, wakers);
        }
    }
}
