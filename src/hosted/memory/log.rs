//! The log of the memory engine, and who has read how far. It has neither a lock nor a clock: each
//! call says what time it is.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::BuildHasher;
use core::time::Duration;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::seen::Seen;
use crate::envelope::{Envelope, Timestamp};
use crate::hosted::delivery::Verdict;
use crate::hosted::subscribe::DurableOptions;
use crate::subject::{PatternBuf, Subject};

/// How many events a group keeps aside because another member has their key, before it looks no
/// further.
const ASIDE: usize = 1024;

/// The reason of a dead letter that was delivered too often.
const SPENT: &str = "attempts spent";

/// Everything that durable subscriptions need.
pub(super) struct Log {
    entries: VecDeque<Entry>,
    /// The sequence of the first entry, or of the next one if there is none.
    first: u64,
    capacity: usize,
    seen: Seen,
    groups: Vec<Group>,
    dead: VecDeque<DeadLetter>,
    dead_capacity: usize,
    dead_lost: u64,
}

#[derive(Clone)]
struct Entry {
    envelope: Arc<Envelope>,
    at: Duration,
}

/// An event that a group gave up.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadLetter {
    /// The event.
    pub envelope: Arc<Envelope>,
    /// The group that gave it up.
    pub group: Arc<str>,
    /// The reason: that of the rejection, or `attempts spent`.
    pub reason: Box<str>,
    /// How often it was delivered.
    pub attempts: u32,
    /// Where it is in the log.
    pub sequence: u64,
}

/// Where a group begins, once times are those of the log.
pub(super) enum Begin {
    End,
    Earliest,
    Sequence(u64),
    Time(Duration),
}

/// When an event is too old.
#[derive(Clone, Copy, Default)]
pub(super) struct Ages {
    /// How old it may be.
    pub(super) ttl: Option<Duration>,
    /// The time of day. `None` if no event says until when it is good.
    pub(super) wall: Option<Timestamp>,
}

impl Ages {
    /// Returns whether an event that was accepted at `at` is too old at `now`.
    pub(super) fn is_over(&self, envelope: &Envelope, at: Duration, now: Duration) -> bool {
        self.ttl.is_some_and(|ttl| now.saturating_sub(at) >= ttl)
            || self.wall.is_some_and(|wall| expires(envelope).is_some_and(|end| end <= wall))
    }
}

/// The header that says until when an event is good.
pub(super) const EXPIRES: &str = "expires";

/// Returns until when the event is good, if it says so.
pub(super) fn expires(envelope: &Envelope) -> Option<Timestamp> {
    envelope.headers().get(EXPIRES).parse().ok()
}

/// One subscription of a group, as it takes.
pub(super) struct Taker {
    pub(super) group: usize,
    /// Unique on the engine.
    pub(super) member: u64,
    pub(super) in_flight: usize,
    pub(super) lease: Duration,
    pub(super) max_attempts: Option<u32>,
    /// How many events were too old, and it was not told yet.
    pub(super) expired: u64,
}

/// What a member takes.
#[derive(Debug)]
pub(super) enum Next {
    Event(Taken),
    /// So many events are missing, if it is known.
    Gap(Option<u64>),
    /// So many events were too old.
    Expired(u64),
    /// There is nothing, and nothing will be before this time unless something else happens.
    Wait(Option<Duration>),
}

#[derive(Debug)]
pub(super) struct Taken {
    pub(super) envelope: Arc<Envelope>,
    pub(super) sequence: u64,
    pub(super) attempt: u32,
    pub(super) epoch: u64,
    /// Whether it ends before all others: those who wait for something to end must look again.
    pub(super) ends_first: bool,
}

struct Group {
    name: Arc<str>,
    patterns: Vec<PatternBuf>,
    /// The next sequence to look at.
    cursor: u64,
    /// What was accepted before this is not for the group.
    begins: Option<Duration>,
    /// Rises with each delivery, so that no two have the same.
    epoch: u64,
    leased: HashMap<u64, Leased, FixedState>,
    /// Given back, or kept aside.
    waiting: BTreeMap<u64, Waiting>,
    /// How many of these were never delivered.
    aside: usize,
    /// Keys that are held or waited for, by their hash. Two keys with one hash count as one.
    keys: HashMap<u64, Key, FixedState>,
    /// How many each member holds.
    held: Vec<(u64, usize)>,
    /// No lease ends before this.
    soonest: Option<Duration>,
    /// How many events were trimmed before the group had them.
    missed: u64,
    /// Whether there were more, and it is not known how many.
    missed_unknown: bool,
}

struct Leased {
    envelope: Arc<Envelope>,
    /// The hash of its key, if it has one.
    key: Option<u64>,
    at: Duration,
    attempt: u32,
    epoch: u64,
    until: Duration,
    member: u64,
    max_attempts: Option<u32>,
}

struct Waiting {
    envelope: Arc<Envelope>,
    key: Option<u64>,
    at: Duration,
    attempts: u32,
    due: Duration,
}

#[derive(Default)]
struct Key {
    /// The member that holds events of it.
    owner: u64,
    held: usize,
    waiting: BTreeSet<u64>,
}

impl Log {
    pub(super) fn new(capacity: usize, seen: Seen, dead_capacity: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            first: 1,
            capacity,
            seen,
            groups: Vec::new(),
            dead: VecDeque::new(),
            dead_capacity,
            dead_lost: 0,
        }
    }

    fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// Appends, unless the id was there. Returns the sequence, and whether it was there.
    pub(super) fn append(&mut self, envelope: &Arc<Envelope>, now: Duration) -> (u64, bool) {
        let sequence = self.end();
        if let Some(old) = self.seen.insert(envelope, sequence, now) {
            return (old, true);
        }
        if self.entries.len() == self.capacity {
            self.trim();
        }
        self.entries.push_back(Entry { envelope: envelope.clone(), at: now });
        (sequence, false)
    }

    /// Removes the oldest, and tells the groups that have not seen it.
    fn trim(&mut self) {
        let Some(entry) = self.entries.pop_front() else { return };
        for group in &mut self.groups {
            if group.cursor == self.first {
                group.cursor += 1;
                group.missed += u64::from(group.wants(&entry));
            }
        }
        self.first += 1;
    }

    /// Finds or makes a group. `None` if it is there with other patterns.
    pub(super) fn open(&mut self, options: &DurableOptions, begin: &Begin) -> Option<usize> {
        if let Some(at) = self.groups.iter().position(|it| *it.name == *options.group) {
            return (self.groups[at].patterns == options.patterns).then_some(at);
        }
        let mut begins = None;
        let (cursor, missed_unknown) = match begin {
            Begin::End => (self.end(), false),
            Begin::Earliest => (self.first, false),
            Begin::Sequence(wanted) => {
                // Sequences begin with 1.
                (*wanted.clamp(&self.first, &self.end()), (*wanted).max(1) < self.first)
            }
            Begin::Time(at) => {
                begins = Some(*at);
                let before = self.entries.partition_point(|entry| entry.at < *at);
                (self.first + before as u64, false)
            }
        };
        self.groups.push(Group {
            name: (&*options.group).into(),
            patterns: options.patterns.clone(),
            cursor,
            begins,
            epoch: 0,
            leased: HashMap::default(),
            waiting: BTreeMap::new(),
            aside: 0,
            keys: HashMap::default(),
            held: Vec::new(),
            soonest: None,
            missed: 0,
            missed_unknown,
        });
        Some(self.groups.len() - 1)
    }

    /// Takes the next event for a member.
    pub(super) fn next(&mut self, taker: &mut Taker, now: Duration, ages: Ages) -> Next {
        let next = self.take(taker, now, ages);
        match core::mem::take(&mut taker.expired) {
            0 => next,
            expired => Next::Expired(expired),
        }
    }

    /// Takes the next event, unless some were too old: that is told before.
    fn take(&mut self, taker: &mut Taker, now: Duration, ages: Ages) -> Next {
        self.expire(taker.group, now);
        let group = &mut self.groups[taker.group];
        if group.missed > 0 || group.missed_unknown {
            let missed = core::mem::take(&mut group.missed);
            let unknown = core::mem::take(&mut group.missed_unknown);
            return Next::Gap((!unknown).then_some(missed));
        }
        if group.held(taker.member) >= taker.in_flight {
            return Next::Wait(group.wakes(now));
        }
        while let Some(sequence) = group.first_due(taker.member, now) {
            let it = &group.waiting[&sequence];
            if ages.is_over(&it.envelope, it.at, now) {
                group.take_waiting(sequence);
                taker.expired += 1;
                continue;
            }
            if taker.expired > 0 {
                return Next::Wait(None);
            }
            let Waiting { envelope, key, at, attempts, .. } = group.take_waiting(sequence);
            let entry = Entry { envelope, at };
            return Next::Event(group.lease(taker, sequence, entry, key, attempts + 1, now));
        }
        let end = self.first + self.entries.len() as u64;
        let group = &mut self.groups[taker.group];
        while group.cursor < end && group.aside < ASIDE {
            let sequence = group.cursor;
            let entry = &self.entries[(sequence - self.first) as usize];
            let wanted = group.wants(entry);
            let over = wanted && ages.is_over(&entry.envelope, entry.at, now);
            if wanted && !over && taker.expired > 0 {
                break;
            }
            group.cursor += 1;
            taker.expired += u64::from(over);
            if !wanted || over {
                continue;
            }
            let key = hash_of_key(&entry.envelope);
            if group.is_free(key, taker.member, None) {
                return Next::Event(group.lease(taker, sequence, entry.clone(), key, 1, now));
            }
            group.wait(sequence, entry.clone(), key, 0, now);
        }
        Next::Wait(group.wakes(now))
    }

    /// Settles a delivery. Returns `false` if its lease has ended.
    pub(super) fn settle(
        &mut self,
        group: usize,
        sequence: u64,
        epoch: u64,
        verdict: Verdict,
        now: Duration,
    ) -> bool {
        self.expire(group, now);
        let of = &mut self.groups[group];
        let Some(leased) = of.leased.get_mut(&sequence).filter(|it| it.epoch == epoch) else {
            return false;
        };
        if let Verdict::Extend(lease) = verdict {
            leased.until = now.saturating_add(lease);
            of.soonest = of.soonest.min(Some(leased.until));
            return true;
        }
        let spent = leased.is_spent();
        let Some(leased) = of.release(sequence) else { return false };
        match verdict {
            Verdict::RetryAfter(_) if spent => self.bury(group, sequence, leased, SPENT.into()),
            Verdict::RetryAfter(delay) => {
                let due = now.saturating_add(delay);
                let entry = Entry { envelope: leased.envelope, at: leased.at };
                of.wait(sequence, entry, leased.key, leased.attempt, due);
            }
            Verdict::Reject(reason) => self.bury(group, sequence, leased, reason),
            Verdict::Ack | Verdict::Extend(_) => {}
        }
        true
    }

    /// Takes back what was not settled in time.
    fn expire(&mut self, group: usize, now: Duration) {
        let of = &mut self.groups[group];
        if of.soonest.is_none_or(|soonest| soonest > now) {
            return;
        }
        let ended = of.leased.iter().filter(|(_, it)| it.until <= now).map(|(at, _)| *at);
        let mut ended: Vec<u64> = ended.collect();
        ended.sort_unstable();
        of.soonest = of.leased.values().map(|it| it.until).filter(|until| *until > now).min();
        for sequence in ended {
            let of = &mut self.groups[group];
            let Some(leased) = of.release(sequence) else { continue };
            if leased.is_spent() {
                self.bury(group, sequence, leased, SPENT.into());
            } else {
                let entry = Entry { envelope: leased.envelope, at: leased.at };
                of.wait(sequence, entry, leased.key, leased.attempt, now);
            }
        }
    }

    fn bury(&mut self, group: usize, sequence: u64, leased: Leased, reason: Box<str>) {
        if self.dead.len() == self.dead_capacity {
            self.dead_lost += 1;
            if self.dead.pop_front().is_none() {
                return; // none are kept
            }
        }
        self.dead.push_back(DeadLetter {
            envelope: leased.envelope,
            group: self.groups[group].name.clone(),
            reason,
            attempts: leased.attempt,
            sequence,
        });
    }

    pub(super) fn matches(&self, group: usize, subject: Subject<'_>) -> bool {
        self.groups[group].matches(subject)
    }

    /// Returns how many events the group has still to receive.
    pub(super) fn lag(&self, group: usize) -> u64 {
        let group = &self.groups[group];
        let from = group.cursor.saturating_sub(self.first) as usize;
        let ahead = self.entries.iter().skip(from);
        let ahead = ahead.filter(|entry| group.wants(entry)).count();
        (ahead + group.waiting.len()) as u64
    }

    /// Returns whether the group has received everything, and everything is settled.
    pub(super) fn is_done(&self, group: usize) -> bool {
        self.groups[group].leased.is_empty() && self.lag(group) == 0
    }

    /// Returns whether the group has nothing more to do with this event.
    pub(super) fn has_settled(&self, group: usize, sequence: u64) -> bool {
        let group = &self.groups[group];
        group.cursor > sequence
            && !group.leased.contains_key(&sequence)
            && !group.waiting.contains_key(&sequence)
    }

    /// Returns whether a member may find something that it did not find before a verdict.
    pub(super) fn has_more(&self, group: usize) -> bool {
        !self.groups[group].waiting.is_empty() || self.groups[group].cursor < self.end()
    }

    pub(super) const fn dead(&self) -> &VecDeque<DeadLetter> {
        &self.dead
    }

    pub(super) const fn dead_lost(&self) -> u64 {
        self.dead_lost
    }

    /// Returns the first sequence that is kept, and the next one.
    pub(super) fn kept(&self) -> (u64, u64) {
        (self.first, self.end())
    }
}

impl Leased {
    fn is_spent(&self) -> bool {
        self.max_attempts.is_some_and(|most| self.attempt >= most)
    }
}

/// Returns the hash of the key, if there is one.
fn hash_of_key(envelope: &Envelope) -> Option<u64> {
    let key = envelope.key();
    (!key.is_empty()).then(|| FixedState::default().hash_one(key))
}

impl Group {
    fn matches(&self, subject: Subject<'_>) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches(subject))
    }

    fn wants(&self, entry: &Entry) -> bool {
        self.matches(entry.envelope.subject())
            && self.begins.is_none_or(|begins| entry.at >= begins)
    }

    fn held(&self, member: u64) -> usize {
        self.held.iter().find(|(id, _)| *id == member).map_or(0, |(_, held)| *held)
    }

    /// Returns when a member that waits has to look again.
    fn wakes(&self, now: Duration) -> Option<Duration> {
        let due = self.waiting.values().map(|it| it.due).filter(|due| *due > now).min();
        self.soonest.into_iter().chain(due).min()
    }

    /// Returns whether the member may have the event: no other has its key, and no earlier one of
    /// its key waits. `waits` is its sequence if it waits itself.
    fn is_free(&self, key: Option<u64>, member: u64, waits: Option<u64>) -> bool {
        let Some(key) = key.and_then(|key| self.keys.get(&key)) else { return true };
        (key.held == 0 || key.owner == member) && key.waiting.first().copied() == waits
    }

    fn first_due(&self, member: u64, now: Duration) -> Option<u64> {
        let mut due = self.waiting.iter().filter(|(_, it)| it.due <= now);
        due.find(|(at, it)| self.is_free(it.key, member, Some(**at))).map(|(at, _)| *at)
    }

    fn wait(
        &mut self,
        sequence: u64,
        entry: Entry,
        key: Option<u64>,
        attempts: u32,
        due: Duration,
    ) {
        let Entry { envelope, at } = entry;
        if let Some(key) = key {
            self.keys.entry(key).or_default().waiting.insert(sequence);
        }
        self.aside += usize::from(attempts == 0);
        self.waiting.insert(sequence, Waiting { envelope, key, at, attempts, due });
    }

    fn take_waiting(&mut self, sequence: u64) -> Waiting {
        let waiting = self.waiting.remove(&sequence).expect("it was found just now");
        self.aside -= usize::from(waiting.attempts == 0);
        self.change_key(waiting.key, |key| {
            key.waiting.remove(&sequence);
        });
        waiting
    }

    fn change_key(&mut self, hash: Option<u64>, change: impl FnOnce(&mut Key)) {
        let Some(hash) = hash else { return };
        if let Some(key) = self.keys.get_mut(&hash) {
            change(key);
            if key.held == 0 && key.waiting.is_empty() {
                self.keys.remove(&hash);
            }
        }
    }

    fn lease(
        &mut self,
        taker: &Taker,
        sequence: u64,
        Entry { envelope, at }: Entry,
        key: Option<u64>,
        attempt: u32,
        now: Duration,
    ) -> Taken {
        self.epoch += 1;
        let (epoch, member) = (self.epoch, taker.member);
        let until = now.saturating_add(taker.lease);
        if let Some(key) = key {
            let key = self.keys.entry(key).or_default();
            (key.owner, key.held) = (member, key.held + 1);
        }
        match self.held.iter_mut().find(|(id, _)| *id == member) {
            Some((_, held)) => *held += 1,
            None => self.held.push((member, 1)),
        }
        let ends_first = self.soonest.is_none_or(|soonest| until < soonest);
        if ends_first {
            self.soonest = Some(until);
        }
        let max_attempts = taker.max_attempts;
        let leased = Leased {
            envelope: envelope.clone(),
            key,
            at,
            attempt,
            epoch,
            until,
            member,
            max_attempts,
        };
        self.leased.insert(sequence, leased);
        Taken { envelope, sequence, attempt, epoch, ends_first }
    }

    /// Ends a lease. What becomes of the event is the caller's.
    fn release(&mut self, sequence: u64) -> Option<Leased> {
        let leased = self.leased.remove(&sequence)?;
        self.change_key(leased.key, |key| key.held -= 1);
        if let Some(at) = self.held.iter().position(|(id, _)| *id == leased.member) {
            self.held[at].1 -= 1;
            if self.held[at].1 == 0 {
                self.held.swap_remove(at);
            }
        }
        if self.leased.is_empty() {
            self.soonest = None;
        }
        Some(leased)
    }
}
