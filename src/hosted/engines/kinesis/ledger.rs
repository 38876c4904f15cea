//! What a member has read and not settled: which event it may have next, and how far each shard is. It has
//! neither a lock nor a clock: each call says what time it is.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::BuildHasher;
use core::time::Duration;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use tokio::time::Instant;

use crate::envelope::Envelope;
use crate::hosted::engines::limits::FOR_EVER;
use crate::hosted::{Gap, GapReason, Verdict};

/// How many events of a shard may be behind one that is not settled, before the member reads no further.
const WINDOW: usize = 10_000;

/// What several shards have for one member.
pub(super) struct Ledger {
    logs: Vec<Log>,
    /// The log to look at first.
    turn: usize,
    /// Which event each unsettled delivery is: its log and its place there. A delivery that is not here is
    /// too late.
    held: HashMap<u64, (u64, u64), FixedState>,
    /// When each lease ends, and whose it is.
    leases: BTreeSet<(Instant, u64)>,
    /// The token of the last delivery.
    token: u64,
    gaps: VecDeque<Gap>,
    in_flight: usize,
    lease: Duration,
    max_attempts: Option<u32>,
}

/// What a member takes.
pub(super) enum Next {
    Event(Taken),
    Gap(Gap),
    /// There is nothing, and nothing will be before this time unless something else happens.
    Wait(Option<Instant>),
}

pub(super) struct Taken {
    pub(super) envelope: Arc<Envelope>,
    pub(super) attempt: u32,
    pub(super) token: u64,
    /// Whether the shard may be read now, and the task waits for that.
    pub(super) is_low: bool,
}

/// One shard for as long as the member has it.
pub(super) struct Log {
    number: u64,
    entries: VecDeque<Entry>,
    /// The place of the first entry.
    base: u64,
    /// The place of the first entry that was never looked at.
    fresh: u64,
    /// What comes again, or was kept aside, and when.
    waiting: BTreeMap<u64, Instant>,
    /// Which of these have a key, by its hash. Two keys with one hash count as one.
    keys: HashMap<u64, BTreeSet<u64>, FixedState>,
    /// How many deliveries are not settled.
    held: usize,
    /// Everything up to here is settled.
    done: Option<Arc<str>>,
    /// When the lease of the shard ends.
    until: Instant,
    /// It gives out nothing more.
    is_draining: bool,
    /// With fewer events than these, the task that waits for it reads on.
    low: Option<usize>,
}

struct Entry {
    /// The sequence of the event, or of the last one behind it that was not for the group.
    through: Arc<str>,
    /// When the event arrived, in milliseconds.
    arrived: Option<i64>,
    /// `None` if it is settled.
    envelope: Option<Arc<Envelope>>,
    key: Option<u64>,
    attempts: u32,
    token: u64,
    until: Option<Instant>,
}

impl Ledger {
    pub(super) fn new(in_flight: usize, lease: Duration, max_attempts: Option<u32>) -> Self {
        Self {
            logs: Vec::new(),
            turn: 0,
            held: HashMap::default(),
            leases: BTreeSet::new(),
            token: 0,
            gaps: VecDeque::new(),
            in_flight,
            lease,
            max_attempts,
        }
    }

    /// Adds a shard whose lease ends at `until`. `number` is unique.
    pub(super) fn add(&mut self, number: u64, until: Instant) {
        self.logs.push(Log {
            number,
            entries: VecDeque::new(),
            base: 0,
            fresh: 0,
            waiting: BTreeMap::new(),
            keys: HashMap::default(),
            held: 0,
            done: None,
            until,
            is_draining: false,
            low: None,
        });
    }

    /// Removes a shard with everything that is not settled.
    pub(super) fn remove(&mut self, number: u64) {
        let Some(at) = self.logs.iter().position(|log| log.number == number) else { return };
        for entry in self.logs.swap_remove(at).entries {
            if let Some(until) = entry.until {
                self.held.remove(&entry.token);
                self.leases.remove(&(until, entry.token));
            }
        }
    }

    pub(super) fn log(&mut self, number: u64) -> Option<&mut Log> {
        self.logs.iter_mut().find(|log| log.number == number)
    }

    /// Adds a gap before everything that was not taken.
    pub(super) fn gap(&mut self, gap: Gap) {
        let joined = self.gaps.back_mut().is_some_and(|last| last.join(gap));
        if !joined {
            self.gaps.push_back(gap);
        }
    }

    /// Returns how many events were read and are not in work.
    pub(super) fn pending(&self) -> usize {
        self.logs.iter().map(|log| log.unread() + log.waiting.len()).sum()
    }

    /// Takes the next event.
    pub(super) fn next(&mut self, now: Instant) -> Next {
        self.expire(now);
        if let Some(gap) = self.gaps.pop_front() {
            return Next::Gap(gap);
        }
        if self.held.len() >= self.in_flight {
            return Next::Wait(self.wakes(now));
        }
        for step in 0..self.logs.len() {
            let at = (self.turn + step) % self.logs.len();
            while let Some(place) = self.logs[at].first_ready(now) {
                let log = &mut self.logs[at];
                log.stop_waiting(place);
                let entry = &log.entries[log.index(place)];
                if self.max_attempts.is_some_and(|most| entry.attempts >= most) {
                    log.settle(place);
                    self.gap(Gap::new(Some(1), GapReason::Exhausted));
                    return self.next(now);
                }
                self.turn = at + 1;
                if let Some(taken) = self.lease(at, place, now) {
                    return Next::Event(taken);
                }
            }
        }
        Next::Wait(self.wakes(now))
    }

    fn lease(&mut self, at: usize, place: u64, now: Instant) -> Option<Taken> {
        self.token += 1;
        let (token, until) = (self.token, now + self.lease);
        let log = &mut self.logs[at];
        let (number, index) = (log.number, log.index(place));
        let entry = log.entries.get_mut(index)?;
        let envelope = entry.envelope.clone()?;
        entry.attempts += 1;
        (entry.token, entry.until) = (token, Some(until));
        let attempt = entry.attempts;
        let is_low = log.low.is_some_and(|low| log.unread() < low);
        if is_low {
            log.low = None;
        }
        log.held += 1;
        self.held.insert(token, (number, place));
        self.leases.insert((until, token));
        Some(Taken { envelope, attempt, token, is_low })
    }

    /// Settles a delivery. Returns `false` if it is too late.
    pub(super) fn settle(&mut self, token: u64, verdict: &Verdict, now: Instant) -> bool {
        self.expire(now);
        let Some((number, place)) = self.held.get(&token).copied() else { return false };
        let Some(log) = self.logs.iter_mut().find(|log| log.number == number) else {
            return false;
        };
        if log.until <= now {
            return false;
        }
        let index = log.index(place);
        let Some(until) = log.entries[index].until else { return false };
        self.leases.remove(&(until, token));
        if let Verdict::Extend(time) = verdict {
            let until = now + (*time).min(FOR_EVER);
            log.entries[index].until = Some(until);
            self.leases.insert((until, token));
            return true;
        }
        self.held.remove(&token);
        log.held -= 1;
        log.entries[index].until = None;
        match verdict {
            Verdict::RetryAfter(delay) => {
                log.wait(place, now + (*delay).min(FOR_EVER));
            }
            _ => log.settle(place),
        }
        true
    }

    /// Takes back what was not settled in time.
    pub(super) fn expire(&mut self, now: Instant) {
        while let Some((until, token)) = self.leases.first().copied().filter(|it| it.0 <= now) {
            self.leases.remove(&(until, token));
            let Some((number, place)) = self.held.remove(&token) else { continue };
            let Some(log) = self.log(number) else { continue };
            let index = log.index(place);
            log.held -= 1;
            log.entries[index].until = None;
            log.wait(place, now);
        }
    }

    /// Returns when there may be something that is not there now.
    pub(super) fn wakes(&self, now: Instant) -> Option<Instant> {
        let lease = self.leases.first().map(|(until, _)| *until);
        let logs = self.logs.iter().filter(|log| !log.is_draining);
        let due = logs.flat_map(|log| log.waiting.values().copied()).filter(|due| *due > now).min();
        lease.into_iter().chain(due).min()
    }

    /// Returns whether a member that waits may find something now.
    pub(super) fn has_ready(&self, now: Instant) -> bool {
        !self.gaps.is_empty()
            || self.held.len() < self.in_flight
                && self.logs.iter().any(|log| {
                    !log.is_draining
                        && (log.unread() > 0 || log.waiting.values().any(|due| *due <= now))
                })
    }
}

impl Log {
    fn index(&self, place: u64) -> usize {
        usize::try_from(place - self.base).unwrap_or(usize::MAX)
    }

    fn end(&self) -> u64 {
        self.base + self.entries.len() as u64
    }

    /// Returns how many events were never given out.
    fn unread(&self) -> usize {
        usize::try_from(self.end() - self.fresh).unwrap_or(usize::MAX)
    }

    /// Returns whether the member reads on, with fewer than `low` events that it has not given out. If
    /// not, it is told when it does.
    pub(super) fn reads_on(&mut self, low: usize) -> bool {
        let reads = self.unread() < low && self.entries.len() < WINDOW;
        self.low = (!reads).then_some(low);
        reads
    }

    /// Returns whether no delivery is in work.
    pub(super) const fn is_idle(&self) -> bool {
        self.held == 0
    }

    /// Returns whether everything is settled.
    pub(super) fn is_done(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the sequence up to which everything is settled.
    pub(super) const fn done(&self) -> Option<&Arc<str>> {
        self.done.as_ref()
    }

    /// Returns when the first event that is not settled arrived.
    pub(super) fn oldest(&self) -> Option<i64> {
        self.entries.front().and_then(|first| first.arrived)
    }

    pub(super) fn drain(&mut self) {
        self.is_draining = true;
    }

    pub(super) fn renewed(&mut self, until: Instant) {
        self.until = until;
    }

    /// Adds an event of the group.
    pub(super) fn push(
        &mut self,
        sequence: Arc<str>,
        arrived: Option<i64>,
        envelope: Arc<Envelope>,
    ) {
        let key = envelope.key();
        let key = (!key.is_empty()).then(|| FixedState::default().hash_one(key));
        self.entries.push_back(Entry {
            through: sequence,
            arrived,
            envelope: Some(envelope),
            key,
            attempts: 0,
            token: 0,
            until: None,
        });
    }

    /// Passes over an event that is not for the group.
    pub(super) fn skip(&mut self, sequence: Arc<str>) {
        match self.entries.back_mut() {
            Some(last) => last.through = sequence,
            None => self.done = Some(sequence),
        }
    }

    /// Returns the first event that may be given out: no earlier one of its key waits.
    fn first_ready(&mut self, now: Instant) -> Option<u64> {
        if self.is_draining || self.until <= now {
            return None;
        }
        let due = self.waiting.iter().filter(|(_, due)| **due <= now).map(|(place, _)| *place);
        if let Some(place) = due.into_iter().find(|place| self.is_first_of_key(*place)) {
            return Some(place);
        }
        while self.fresh < self.end() {
            let place = self.fresh;
            self.fresh += 1;
            let key = self.entries[self.index(place)].key;
            if key.is_none_or(|key| !self.keys.contains_key(&key)) {
                return Some(place);
            }
            self.wait(place, now);
        }
        None
    }

    fn is_first_of_key(&self, place: u64) -> bool {
        let key = self.entries[self.index(place)].key;
        let waiting = key.and_then(|key| self.keys.get(&key));
        waiting.is_none_or(|waiting| waiting.first() == Some(&place))
    }

    fn wait(&mut self, place: u64, due: Instant) {
        if let Some(key) = self.entries[self.index(place)].key {
            self.keys.entry(key).or_default().insert(place);
        }
        self.waiting.insert(place, due);
    }

    fn stop_waiting(&mut self, place: u64) {
        if self.waiting.remove(&place).is_none() {
            return;
        }
        let Some(key) = self.entries[self.index(place)].key else { return };
        if let Some(waiting) = self.keys.get_mut(&key) {
            waiting.remove(&place);
            if waiting.is_empty() {
                self.keys.remove(&key);
            }
        }
    }

    /// Marks an event as settled, and moves up to the first one that is not.
    fn settle(&mut self, place: u64) {
        let index = self.index(place);
        self.entries[index].envelope = None;
        while let Some(first) = self.entries.front().filter(|it| it.envelope.is_none()) {
            self.done = Some(first.through.clone());
            self.entries.pop_front();
            self.base += 1;
        }
        self.fresh = self.fresh.max(self.base);
    }
}

/// For a test: what a member would take, as a text.
#[cfg(test)]
impl Ledger {
    fn id(&mut self, now: Instant) -> alloc::boxed::Box<str> {
        match self.next(now) {
            Next::Event(taken) => taken.envelope.id().into(),
            Next::Gap(_) => "gap".into(),
            Next::Wait(_) => "".into(),
        }
    }
}

#[cfg(test)]
mod tests;
