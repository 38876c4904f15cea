//! Durable subscriptions: each is a member of a group, and has some of its lanes.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;
use std::collections::HashMap;

use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::super::error::PostgresError;
use super::base::{Attempted, reason};
use super::fetch::{Part, Read, Wanted, envelope, read};
use super::group::{self, Begin, Group, Held};
use super::lanes::{Changes, Dead, Lane, Put, Ready, write};
use super::log::{Log, Membership, Signal};
use super::position::Reads;
use super::queue::{Answer, Durable, Ended, Said, Shared, UNKNOWN, Waiting, waiting};
use crate::hosted::engines::limits::FOR_EVER;
use crate::hosted::engines::mailbox::{EndOf, Item, Mailbox};
use crate::hosted::{DurableOptions, Gap, GapReason, Reason, Receive, SettleError, Verdict};
use crate::sync::{PlainNumber, Relaxed};

/// How often a member says that it is there: at most, and at least.
const OFTEN: Duration = Duration::from_millis(50);
const SELDOM: Duration = Duration::from_secs(10);
/// The shortest time after which a member that has said nothing counts as gone.
const LEAST: Duration = Duration::from_millis(200);
/// How many events come at once.
const MOST: usize = 1024;
/// How long the server may not know what was acknowledged, if there is nothing else to write.
const LATER: Duration = Duration::from_millis(5);

pub(super) async fn open(
    log: Arc<Log>,
    mut options: DurableOptions,
) -> Result<Box<dyn Receive>, Reason> {
    options.lease = options.lease.min(FOR_EVER);
    options.max_attempts = options.max_attempts.or(log.base.max_attempts);
    let membership = log.join()?;
    let base = log.base.clone();
    let begin = Begin::At(options.start_at);
    let (number, wanted, last) = group::open(&base, &options, &begin).await?;
    let me = format!("{}", uuid::Uuid::now_v7().simple());
    let shared = Arc::new(Shared::new(log.clone(), options.lease));
    let mailbox = Mailbox::new();
    let lag = Arc::new(PlainNumber::new(UNKNOWN));
    log.watch(&lag);
    let now = Instant::now();
    let mut member = Member {
        group: Group { base: base.clone(), number, me, lease: options.lease.max(LEAST) },
        slots: Arc::new(Semaphore::new(options.in_flight.min(Semaphore::MAX_PERMITS))),
        signals: log.signals.subscribe(),
        events: base.wake.events.subscribe(),
        groups: base.wake.groups.subscribe(),
        reads: Reads::new(last, base.segment),
        lag: lag.clone(),
        shared: shared.clone(),
        mailbox: mailbox.clone(),
        wanted,
        lanes: BTreeMap::new(),
        work: HashMap::new(),
        ready: VecDeque::new(),
        is_behind: true,
        beat_at: now,
        poll_at: now + base.poll,
        retry_at: Some(now),
        tick_at: now,
        write_at: None,
        attempted: Attempted::new(&base, format!("the group `{}`", options.group)),
        has_said_so: false,
        options,
        _membership: membership,
    };
    member.beat().await.map_err(reason)?;
    base.wake.regrouped();
    let end = EndOf(mailbox.clone());
    log.runtime.spawn(async move {
        let _end = end;
        member.run().await;
    });
    Ok(Box::new(Durable { mailbox, shared, lag }))
}

/// One member of a group.
pub(super) struct Member {
    pub(super) group: Group,
    pub(super) options: DurableOptions,
    pub(super) wanted: Wanted,
    pub(super) reads: Reads,
    pub(super) shared: Arc<Shared>,
    pub(super) mailbox: Arc<Mailbox<Waiting>>,
    slots: Arc<Semaphore>,
    signals: watch::Receiver<Signal>,
    events: watch::Receiver<u64>,
    groups: watch::Receiver<u64>,
    lag: Arc<PlainNumber>,
    pub(super) lanes: BTreeMap<i32, Lane>,
    /// What is delivered and not settled, or waits for that: the lane, and the delivery.
    pub(super) work: HashMap<i64, (i32, Option<Arc<Answer>>)>,
    /// What has come and has no place yet.
    pub(super) ready: VecDeque<Item<Ready>>,
    /// Whether there may be more to read.
    is_behind: bool,
    pub(super) beat_at: Instant,
    poll_at: Instant,
    /// When something comes again that was given back.
    pub(super) retry_at: Option<Instant>,
    tick_at: Instant,
    /// When what can wait is written.
    write_at: Option<Instant>,
    attempted: Attempted,
    /// Whether the others know that it leaves.
    pub(super) has_said_so: bool,
    _membership: Membership,
}

/// What is read next: for each part its lanes, and about so many events.
struct Next {
    parts: Vec<Part>,
    lanes: Vec<Vec<i32>>,
    room: usize,
}

impl Member {
    async fn run(mut self) {
        let mut pause = Duration::ZERO;
        loop {
            match self.turn().await {
                Ok(true) => return,
                Ok(false) => {
                    self.attempted.succeeded();
                    pause = Duration::ZERO;
                }
                Err(_) if self.signals.borrow().closed => return,
                Err(error) => {
                    self.attempted.failed(&error);
                    pause = (pause * 2).clamp(Duration::from_millis(20), Duration::from_secs(1));
                    sleep(pause).await;
                    continue;
                }
            }
            if self.has_more() {
                continue;
            }
            self.wait().await;
        }
    }

    /// Does everything that there is to do. Returns whether the member is gone.
    async fn turn(&mut self) -> Result<bool, PostgresError> {
        let is_closed = self.signals.borrow_and_update().closed;
        let ended = if is_closed { Ended::Dropped } else { self.shared.ended() };
        let said = self.shared.take_said();
        said.into_iter().for_each(|said| self.settle(said));
        if ended != Ended::No {
            self.leave(ended, is_closed);
        }
        if Instant::now() >= self.beat_at || self.groups.has_changed().unwrap_or(false) {
            self.groups.mark_unchanged();
            self.beat().await?;
        }
        self.tick();
        let mut next = None;
        if ended == Ended::No {
            self.take_again().await?;
            // What comes again is older than what is new.
            if self.retry_at.is_none_or(|at| at > Instant::now()) {
                next = self.next();
            }
        }
        self.release();
        let writes = self.must_write() || ended != Ended::No;
        self.write_and_read(writes, next).await?;
        self.pour();
        if ended != Ended::No && self.lanes.is_empty() && self.shared.ended() != Ended::Closed {
            self.group.beat(true, false).await?;
            self.group.base.wake.regrouped();
            return Ok(true);
        }
        Ok(ended == Ended::Closed && self.lanes.is_empty() && self.mailbox_is_empty())
    }

    /// There may be more to read.
    pub(super) const fn look_again(&mut self) {
        self.is_behind = true;
    }

    /// Returns whether something has to be written now.
    fn must_write(&mut self) -> bool {
        let mut changed =
            self.lanes.values().map(|lane| &lane.changes).filter(|it| it.any).peekable();
        if changed.peek().is_none() {
            self.write_at = None;
            return false;
        }
        let now = Instant::now();
        !changed.all(Changes::can_wait) || *self.write_at.get_or_insert(now + LATER) <= now
    }

    fn mailbox_is_empty(&self) -> bool {
        self.mailbox.change(|items| items.events == 0)
    }

    fn room(&self) -> usize {
        let fresh: usize = self.lanes.values().map(|lane| lane.changes.fresh.len()).sum();
        self.slots.available_permits().saturating_sub(self.ready.len() + fresh)
    }

    fn wants_more(&self) -> bool {
        let (room, half) = (self.room(), (self.options.in_flight / 2).max(1));
        room > 0 && (room >= half || self.mailbox_is_empty())
    }

    fn has_more(&mut self) -> bool {
        if self.must_write() {
            return true;
        }
        let fetches = self.is_behind && !self.lanes.is_empty() && self.wants_more();
        fetches && self.shared.ended() == Ended::No && !self.signals.borrow().closed
    }

    async fn wait(&mut self) {
        let mut until = self.beat_at.min(self.poll_at);
        if !self.work.is_empty() {
            until = until.min(self.tick_at);
        }
        if let Some(at) = self.write_at {
            until = until.min(at);
        }
        if let Some(retry) = self.retry_at
            && self.room() > 0
        {
            until = until.min(retry);
        }
        if self.signals.borrow().closed || self.shared.ended() != Ended::No {
            until = until.min(Instant::now() + OFTEN);
        }
        let shared = self.shared.clone();
        let slots = self.slots.clone();
        let waits = !self.ready.is_empty();
        tokio::select! {
            biased;
            _ = self.signals.changed() => {}
            () = shared.wake.notified() => {}
            _ = self.groups.changed() => self.groups.mark_changed(),
            _ = self.events.changed() => self.is_behind = true,
            _ = slots.acquire(), if waits => {}
            () = sleep_until(until) => {
                let now = Instant::now();
                if now >= self.poll_at {
                    self.poll_at = now + self.group.base.poll;
                    self.is_behind = true;
                }
            }
        }
    }

    /// Returns what is read next, if there is room and something new.
    fn next(&mut self) -> Option<Next> {
        if !self.is_behind || !self.ready.is_empty() || !self.wants_more() {
            return None;
        }
        self.events.mark_unchanged();
        let mut parts: Vec<(Part, Vec<i32>)> = Vec::new();
        for (number, lane) in self.lanes.iter().filter(|(_, lane)| !lane.leaving) {
            match parts.iter_mut().find(|(part, _)| part.position == *lane.position) {
                Some((_, lanes)) => lanes.push(*number),
                None => {
                    let part = Part { position: (*lane.position).clone(), lanes: None };
                    parts.push((part, alloc::vec![*number]));
                }
            }
        }
        if parts.is_empty() {
            return None;
        }
        let all = usize::try_from(self.group.base.lanes).unwrap_or(usize::MAX);
        let of_all = parts.len() == 1 && parts[0].1.len() == all;
        let (mut parts, lanes): (Vec<Part>, Vec<Vec<i32>>) = parts.into_iter().unzip();
        if !of_all {
            for (part, lanes) in parts.iter_mut().zip(&lanes) {
                part.lanes = Some(lanes.clone());
            }
        }
        Some(Next { parts, lanes, room: self.room().min(MOST) })
    }

    /// Writes what has changed, and reads what is next meanwhile. What was read is not passed on before the server
    /// knows of it: it is written after that.
    async fn write_and_read(
        &mut self,
        writes: bool,
        next: Option<Next>,
    ) -> Result<(), PostgresError> {
        let changed = |(_, lane): &(&i32, &Lane)| lane.changes.any;
        let wanted: Vec<i32> = self.lanes.iter().filter(changed).map(|(it, _)| *it).collect();
        let Self { group, options, lanes, reads, wanted: filter, .. } = self;
        let write = async {
            if !writes || wanted.is_empty() {
                return Ok(None);
            }
            write(group, &options.group, lanes).await.map(Some)
        };
        let read = async {
            let Some(next) = next else { return Ok(None) };
            let read = read(&group.base, filter, &next.parts, next.room, reads).await?;
            Ok(Some((read, next.lanes)))
        };
        let (written, came) = tokio::join!(write, read);
        let written = match written {
            Ok(Some(written)) => self.written(&wanted, &written).await,
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if let Some((read, lanes)) = came? {
            self.came(read, lanes);
        }
        written
    }

    /// Takes in what was read for these lanes of each part. Some may be lost meanwhile.
    fn came(&mut self, read: Read, lanes: Vec<Vec<i32>>) {
        let Read { parts, is_behind, trimmed } = read;
        self.is_behind = is_behind;
        self.lag.store(if is_behind { UNKNOWN } else { 0 }, Relaxed);
        if trimmed.is_some() {
            self.tell(Gap::new(None, GapReason::Trimmed));
        }
        for ((position, events), lanes) in parts.into_iter().zip(lanes) {
            let position = Arc::new(position);
            for number in lanes {
                if let Some(lane) = self.lanes.get_mut(&number) {
                    lane.position = position.clone();
                    lane.changes.any |= trimmed.is_some();
                }
            }
            for event in events {
                let Some(lane) = self.lanes.get_mut(&event.lane) else { continue };
                lane.changes.any = true;
                match event.envelope {
                    Ok(it) if self.options.matches(it.subject()) => {
                        lane.open.insert(event.seq, event.xid);
                        self.work.insert(event.seq, (event.lane, None));
                        lane.changes.fresh.push(Ready {
                            lane: event.lane,
                            xid: event.xid,
                            seq: event.seq,
                            attempt: 1,
                            envelope: it,
                        });
                    }
                    Ok(_) => {}
                    Err(error) => {
                        if self.group.base.dead_letters > 0 {
                            let reason = format!("{error}").into();
                            let (xid, seq) = (event.xid, event.seq);
                            lane.changes.dead.push(Dead { xid, seq, reason, attempts: 0 });
                        }
                        self.tell(Gap::new(Some(1), GapReason::Unreadable));
                    }
                }
            }
        }
    }

    /// Reads what is due again.
    async fn take_again(&mut self) -> Result<(), PostgresError> {
        let room = self.room().min(MOST);
        let now = Instant::now();
        if self.lanes.is_empty() || room == 0 || self.retry_at.is_none_or(|at| at > now) {
            return Ok(());
        }
        let lanes: Vec<i32> = self
            .lanes
            .iter()
            .filter(|(_, lane)| !lane.leaving)
            .map(|(number, _)| *number)
            .collect();
        let (due, next) = self.group.due(&lanes, room).await?;
        self.retry_at = if due.len() >= room { Some(now) } else { next.map(|next| now + next) };
        for it in due {
            if self.work.contains_key(&it.seq) {
                continue;
            }
            let Some((subject, text)) = it.event else {
                self.tell(Gap::new(Some(1), GapReason::Trimmed));
                if let Some(lane) = self.lanes.get_mut(&it.lane) {
                    lane.settle(it.seq);
                }
                continue;
            };
            match envelope(&self.group.base, it.seq, &subject, &text) {
                Ok(envelope) => {
                    let (lane, xid, seq, attempt) = (it.lane, it.xid, it.seq, it.attempts + 1);
                    self.again(Ready { lane, xid, seq, attempt, envelope });
                }
                Err(_) => {
                    self.tell(Gap::new(Some(1), GapReason::Unreadable));
                    if let Some(lane) = self.lanes.get_mut(&it.lane) {
                        lane.settle(it.seq);
                    }
                }
            }
        }
        Ok(())
    }

    /// Delivers an event another time, or for the last time not.
    fn again(&mut self, ready: Ready) {
        let Ready { lane, xid, seq, attempt, .. } = ready;
        let Some(lane) = self.lanes.get_mut(&lane) else { return };
        if self.options.max_attempts.is_some_and(|most| attempt > most) {
            lane.settle(seq);
            self.work.remove(&seq);
            if self.group.base.dead_letters > 0 {
                let reason = "its attempts are spent".into();
                lane.changes.dead.push(Dead { xid, seq, reason, attempts: attempt - 1 });
            } else {
                self.tell(Gap::new(Some(1), GapReason::Exhausted));
            }
            return;
        }
        lane.put(Put { xid, seq, attempts: attempt, delay: None });
        self.work.insert(seq, (ready.lane, None));
        lane.changes.fresh.push(ready);
    }

    fn settle(&mut self, said: Said) {
        let Said { answer, verdict, reply } = said;
        let Answer { lane, xid, seq, attempt, .. } = *answer;
        let own = self.work.get(&seq).and_then(|(_, own)| own.as_ref());
        let is_own = own.is_some_and(|own| Arc::ptr_eq(own, &answer));
        let Some(it) = self.lanes.get_mut(&lane).filter(|_| is_own) else {
            if let Some(reply) = reply {
                let _ = reply.send(Err(SettleError::Late));
            }
            return;
        };
        self.work.remove(&seq);
        it.changes.any = true;
        it.changes.replies.extend(reply);
        match verdict {
            Verdict::RetryAfter(Duration::ZERO) => {
                let envelope = answer.envelope.clone();
                self.again(Ready { lane, xid, seq, attempt: attempt + 1, envelope });
            }
            Verdict::RetryAfter(delay) => {
                let delay = delay.min(FOR_EVER);
                it.put(Put { xid, seq, attempts: attempt, delay: Some(delay) });
                self.comes_again(Instant::now() + delay);
            }
            Verdict::Reject(reason) => {
                it.settle(seq);
                if self.group.base.dead_letters > 0 {
                    it.changes.dead.push(Dead { xid, seq, reason, attempts: attempt });
                }
            }
            _ => it.settle(seq),
        }
    }

    fn comes_again(&mut self, at: Instant) {
        self.retry_at = Some(self.retry_at.map_or(at, |retry| retry.min(at)));
    }

    /// Gives those another time whose lease is over.
    fn tick(&mut self) {
        let now = Instant::now();
        if now < self.tick_at {
            return;
        }
        let often = self.options.lease / 8;
        self.tick_at = now + often.clamp(Duration::from_millis(5), Duration::from_millis(250));
        let mut over = Vec::new();
        for (_, answer) in self.work.values() {
            let Some(answer) = answer else { continue };
            if answer.end_if(|ends| ends.is_some_and(|ends| ends <= now)).is_some() {
                over.push(answer.clone());
            }
        }
        over.sort_unstable_by_key(|answer| (answer.xid, answer.seq));
        for it in over {
            let (lane, xid, seq, attempt) = (it.lane, it.xid, it.seq, it.attempt + 1);
            self.again(Ready { lane, xid, seq, attempt, envelope: it.envelope.clone() });
        }
    }

    /// Passes on what has a place.
    fn pour(&mut self) {
        while let Some(next) = self.ready.pop_front() {
            let ready = match next {
                Item::Gap(gap) => {
                    self.mailbox.put(|items| items.gap(gap));
                    continue;
                }
                Item::Event(ready) => ready,
            };
            let Ok(slot) = self.slots.clone().try_acquire_owned() else {
                self.ready.push_front(Item::Event(ready));
                return;
            };
            let place = (ready.lane, ready.xid, ready.seq);
            let shared = self.shared.clone();
            let answer = Answer::new(shared, place, ready.attempt, ready.envelope, slot);
            let (waiting, answer) = waiting(answer);
            self.work.insert(ready.seq, (ready.lane, Some(answer)));
            self.mailbox.put(|items| items.push(waiting));
        }
    }

    pub(super) fn tell(&mut self, gap: Gap) {
        self.ready.push_back(Item::Gap(gap));
    }

    /// The server knows of what has changed in the lanes that were `written`, and has refused others.
    async fn written(&mut self, wanted: &[i32], written: &[i32]) -> Result<(), PostgresError> {
        self.write_at = None;
        let mut released = false;
        let mut fresh = Vec::new();
        for number in written {
            let Some(lane) = self.lanes.get_mut(number) else { continue };
            let is_gone = lane.changes.release;
            fresh.extend(lane.written());
            if is_gone {
                released = true;
                self.lanes.remove(number);
            }
        }
        // As they were published, over all lanes.
        fresh.sort_unstable_by_key(|ready| (ready.xid, ready.seq));
        self.ready.extend(fresh.into_iter().map(Item::Event));
        if released {
            self.group.base.wake.regrouped();
        }
        if wanted.iter().any(|lane| !written.contains(lane)) {
            // Another version was written: by another member, or by the one that moves rows.
            let (held, _) = self.group.look().await?;
            self.compare(&held);
        }
        Ok(())
    }

    /// Compares the lanes with what the server says of them.
    pub(super) fn compare(&mut self, held: &[Held]) {
        let all: Vec<i32> = self.lanes.keys().copied().collect();
        for number in all {
            let own = held.iter().find(|it| it.lane == number && it.member == self.group.me);
            match (own, self.lanes.get_mut(&number)) {
                (Some(own), Some(lane)) => (lane.slot, lane.version) = (own.slot, own.version),
                _ => self.lose(number),
            }
        }
    }

    /// Another member has the lane.
    fn lose(&mut self, number: i32) {
        if let Some(lane) = self.lanes.remove(&number) {
            lane.lost();
        }
        self.work.retain(|_, (lane, answer)| {
            if *lane != number {
                return true;
            }
            if let Some(answer) = answer {
                answer.end_if(|_| true);
            }
            false
        });
        self.ready.retain(|item| match item {
            Item::Event(ready) => ready.lane != number,
            Item::Gap(_) => true,
        });
    }
}

/// How often a member with this lease says that it is there.
pub(super) fn beat_every(lease: Duration) -> Duration {
    (lease / 4).clamp(OFTEN, SELDOM)
}
