//! What a member has and has not acknowledged to the server: in which order it may, and what comes
//! again.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::envelope::Envelope;
use crate::hosted::engines::limits::FOR_EVER;
use crate::hosted::{Reason, SettleError, Verdict};

/// Keeps what has come, until the server knows that it is done.
///
/// A server wants the acknowledgements in the order in which the messages came. So one that is done
/// waits here for those before it.
pub(super) struct Table {
    entries: BTreeMap<u64, Entry>,
    /// In the order in which they came on this connection.
    order: VecDeque<u64>,
    /// Those of the connection before, by their ids, which the server sends again.
    before: BTreeMap<u16, u64>,
    /// The acknowledged events that the server may send again, by their ids.
    acknowledged: BTreeMap<u16, Acknowledged>,
    /// How many deliveries are given out and not settled.
    unsettled: usize,
    /// How many of them there may be.
    most: usize,
    /// The events that are not given out yet, because there are so many.
    held: VecDeque<u64>,
    next: u64,
    /// When the first of them comes again. A later one is never later than it says.
    due: Option<Instant>,
    /// Those that wait until the server has read an acknowledgement.
    confirm: Vec<oneshot::Sender<()>>,
    has_left: bool,
}

struct Entry {
    /// What the server calls it.
    id: u16,
    /// `None` if what came is not one, or is not for the group.
    envelope: Option<Arc<Envelope>>,
    state: State,
    /// Changes with each delivery: an answer to an earlier one is late.
    turn: u16,
    /// The server has sent it on this connection.
    is_listed: bool,
}

struct Acknowledged {
    /// The id of the event.
    event: Box<str>,
    /// The answer to so many pings says that the server has read the acknowledgement.
    ping: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Until it is taken.
    Waiting,
    /// In work until then.
    Out(Instant),
    /// It comes again then.
    Later(Instant),
    Done,
}

/// A delivery that is not in work yet.
pub(super) struct Waiting {
    /// Names the delivery.
    pub(super) token: u64,
    pub(super) envelope: Arc<Envelope>,
}

fn token(key: u64, turn: u16) -> u64 {
    key << 16 | u64::from(turn)
}

/// Returns the key and the turn.
const fn parts(token: u64) -> (u64, u16) {
    (token >> 16, (token & 0xffff) as u16)
}

/// Whether a message is the one that came before. That of another program has an id of ours, which
/// is new each time, and no time.
fn is_same(one: &Envelope, other: &Envelope) -> bool {
    one.subject() == other.subject()
        && (one.payload(), one.bytes()) == (other.payload(), other.bytes())
        && (one.id() == other.id() || one.time().is_none() && other.time().is_none())
}

impl Table {
    pub(super) fn new(most: usize) -> Self {
        Self {
            entries: BTreeMap::new(),
            order: VecDeque::new(),
            before: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            unsettled: 0,
            most,
            held: VecDeque::new(),
            next: 0,
            due: None,
            confirm: Vec::new(),
            has_left: false,
        }
    }

    fn add(&mut self, id: u16, envelope: Option<Arc<Envelope>>, state: State) -> u64 {
        let key = self.next;
        self.next += 1;
        let is_listed = id != 0;
        self.entries.insert(key, Entry { id, envelope, state, turn: 0, is_listed });
        if is_listed {
            self.order.push_back(key);
        }
        key
    }

    /// Takes a message in that is not for the group: only its place in the order counts.
    pub(super) fn skip(&mut self, id: u16) {
        self.add(id, None, State::Done);
    }

    /// An id that has a new message: the one before it is settled, and does not come again.
    fn reuse(&mut self, id: u16) {
        self.acknowledged.remove(&id);
        if let Some(key) = self.before.remove(&id)
            && self.entries.get(&key).is_some_and(|it| it.state == State::Done)
        {
            self.entries.remove(&key);
        }
    }

    /// Takes a message in. Returns a delivery, unless it is one that is here already, or has to wait
    /// for [`pass`](Self::pass). The id 0 is of one that the server does not want to be
    /// acknowledged.
    pub(super) fn arrive(
        &mut self,
        id: u16,
        again: bool,
        envelope: Arc<Envelope>,
    ) -> Option<Waiting> {
        if again {
            if let Some(key) = self.before.get(&id).copied()
                && let Some(entry) = self.entries.get_mut(&key)
                && entry.envelope.as_ref().is_some_and(|it| is_same(it, &envelope))
            {
                self.before.remove(&id);
                entry.is_listed = true;
                self.order.push_back(key);
                return None;
            }
            let acknowledged = self.acknowledged.get(&id);
            if acknowledged.is_some_and(|it| *it.event == *envelope.id()) {
                self.add(id, Some(envelope), State::Done);
                return None;
            }
        }
        self.reuse(id);
        let key = self.add(id, Some(envelope.clone()), State::Waiting);
        if id != 0 && (self.unsettled >= self.most || !self.held.is_empty()) {
            self.held.push_back(key);
            return None;
        }
        self.unsettled += 1;
        Some(Waiting { token: token(key, 0), envelope })
    }

    /// Returns the next event that has waited until fewer are given out.
    pub(super) fn pass(&mut self) -> Option<Waiting> {
        if self.unsettled >= self.most {
            return None;
        }
        let key = self.held.pop_front()?;
        let envelope = self.entries.get(&key)?.envelope.clone()?;
        self.unsettled += 1;
        Some(Waiting { token: token(key, 0), envelope })
    }

    /// Begins a new connection, on which the server sends again what it has no acknowledgement for,
    /// if it has the session. The one before may have ended before it did.
    pub(super) fn reconnected(&mut self, has_session: bool) {
        self.order.clear();
        if !has_session {
            self.before.clear();
            self.acknowledged.clear();
        }
        // The pings of the connection before are not answered any more.
        self.acknowledged.values_mut().for_each(|it| it.ping = u64::MAX);
        self.entries.retain(|key, entry| {
            // What is done already needs no place, unless the server asks again.
            if entry.state == State::Done && !has_session {
                return false;
            }
            if has_session && entry.is_listed {
                self.before.insert(entry.id, *key);
            }
            entry.is_listed = false;
            true
        });
    }

    /// Returns whether a delivery is to be worked on, for at most `lease` from now on.
    pub(super) fn begin(&mut self, token: u64, now: Instant, lease: Duration) -> bool {
        let (key, turn) = parts(token);
        let Some(entry) = self.entries.get_mut(&key) else { return false };
        if self.has_left || entry.turn != turn || entry.state != State::Waiting {
            return false;
        }
        let until = now + lease.min(FOR_EVER);
        entry.state = State::Out(until);
        self.due_at(until);
        true
    }

    fn due_at(&mut self, at: Instant) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    pub(super) fn settle(
        &mut self,
        token: u64,
        verdict: &Verdict,
        now: Instant,
    ) -> Result<(), SettleError> {
        if self.has_left {
            return Err(SettleError::Failed(Reason::Closed));
        }
        let (key, turn) = parts(token);
        let entry = self.entries.get_mut(&key).ok_or(SettleError::Late)?;
        match entry.state {
            State::Out(until) if entry.turn == turn && now < until => {}
            _ => return Err(SettleError::Late),
        }
        let at = match verdict {
            Verdict::RetryAfter(delay) => {
                let at = now + (*delay).min(FOR_EVER);
                entry.state = State::Later(at);
                at
            }
            Verdict::Extend(time) => {
                let at = now + (*time).min(FOR_EVER);
                entry.state = State::Out(at);
                at
            }
            _ => {
                entry.state = State::Done;
                self.unsettled -= 1;
                // The server does not ask for it any more, or has not yet.
                let is_forgotten = !entry.is_listed && !self.before.contains_key(&entry.id);
                if is_forgotten {
                    self.entries.remove(&key);
                }
                return Ok(());
            }
        };
        self.due_at(at);
        Ok(())
    }

    /// Returns the ids that may be acknowledged now, in their order. The answer to so many pings
    /// will say that the server has read that.
    pub(super) fn release(&mut self, ping: u64) -> Vec<u16> {
        let mut ids = Vec::new();
        while let Some(key) = self.order.front() {
            if self.entries.get(key).is_some_and(|entry| entry.state != State::Done) {
                break;
            }
            let Some(key) = self.order.pop_front() else { break };
            let Some(entry) = self.entries.remove(&key) else { continue };
            ids.push(entry.id);
            let Some(envelope) = entry.envelope else { continue };
            let acknowledged = Acknowledged { event: envelope.id().into(), ping };
            self.acknowledged.insert(entry.id, acknowledged);
        }
        ids
    }

    /// Forgets the acknowledgements that the server has read: it has answered so many pings.
    pub(super) fn heard(&mut self, answered: u64) {
        self.acknowledged.retain(|_, it| it.ping > answered);
    }

    /// Waits with `told` until the server has read the acknowledgement of a delivery that is done.
    /// Returns `false` if that has to wait for others.
    pub(super) fn confirm(&mut self, token: u64, told: oneshot::Sender<()>) -> bool {
        let (key, _) = parts(token);
        let done = |key| self.entries.get(key).is_none_or(|it| it.state == State::Done);
        let is_next = self.entries.get(&key).is_some_and(|entry| entry.is_listed)
            && self.order.iter().take_while(|it| **it != key).all(done);
        if is_next {
            self.confirm.push(told);
        }
        is_next
    }

    /// Lets those wait once more that waited on the connection before.
    pub(super) fn confirm_again(&mut self, told: impl IntoIterator<Item = oneshot::Sender<()>>) {
        self.confirm.extend(told);
    }

    /// Returns those that wait for the server to have read what is acknowledged by now.
    pub(super) fn take_confirm(&mut self) -> Vec<oneshot::Sender<()>> {
        core::mem::take(&mut self.confirm)
    }

    /// Returns what comes again now.
    pub(super) fn again(&mut self, now: Instant) -> Vec<Waiting> {
        if self.due.is_none_or(|due| now < due) {
            return Vec::new();
        }
        let mut again = Vec::new();
        self.due = None;
        for (key, entry) in &mut self.entries {
            let (State::Out(at) | State::Later(at)) = entry.state else { continue };
            if at > now {
                self.due = Some(self.due.map_or(at, |due| due.min(at)));
                continue;
            }
            let Some(envelope) = entry.envelope.clone() else { continue };
            entry.state = State::Waiting;
            entry.turn = entry.turn.wrapping_add(1);
            again.push(Waiting { token: token(*key, entry.turn), envelope });
        }
        again
    }

    pub(super) const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Returns whether a delivery is in work whose lease has not ended.
    pub(super) fn has_work(&self, now: Instant) -> bool {
        self.entries.values().any(|entry| matches!(entry.state, State::Out(until) if until > now))
    }

    /// Refuses all verdicts from now on.
    pub(super) fn leave(&mut self) {
        self.has_left = true;
        self.confirm.clear();
    }
}

#[cfg(test)]
mod tests {
    use alloc::borrow::ToOwned;
    use alloc::sync::Arc;
    use alloc::vec;
    use core::time::Duration;

    use tokio::sync::oneshot;
    use tokio::time::Instant;

    use super::Table;
    use crate::envelope::Envelope;
    use crate::hosted::{SettleError, Verdict};

    const LEASE: Duration = Duration::from_secs(10);

    fn event(id: &str) -> Arc<Envelope> {
        Envelope::new("a").unwrap().with_id(id).into()
    }

    fn take(table: &mut Table, id: u16, event: &Arc<Envelope>, now: Instant) -> u64 {
        let waiting = table.arrive(id, false, event.clone()).unwrap();
        assert!(table.begin(waiting.token, now, LEASE));
        waiting.token
    }

    #[test]
    fn acknowledgements_are_in_the_order_of_arrival() {
        let (mut table, now) = (Table::new(8), Instant::now());
        let [a, b, c] = ["a", "b", "c"].map(event);
        let (a, b, c) = (
            take(&mut table, 7, &a, now),
            take(&mut table, 3, &b, now),
            take(&mut table, 5, &c, now),
        );
        table.settle(c, &Verdict::Ack, now).unwrap();
        table.settle(b, &Verdict::Reject("no".into()), now).unwrap();
        assert!(table.release(1).is_empty());
        let (told, _heard) = oneshot::channel();
        assert!(!table.confirm(c, told), "it has to wait for `a`");
        table.settle(a, &Verdict::Ack, now).unwrap();
        assert_eq!(table.release(1), [7, 3, 5]);
        assert!(matches!(table.settle(a, &Verdict::Ack, now), Err(SettleError::Late)));
        assert!(table.entries.is_empty() && table.order.is_empty());
    }

    #[test]
    fn what_is_given_back_or_not_settled_comes_again_and_late_answers_are_refused() {
        let (mut table, now) = (Table::new(8), Instant::now());
        let (a, b) = (event("a"), event("b"));
        let (first, held) = (take(&mut table, 1, &a, now), take(&mut table, 2, &b, now));
        table.settle(first, &Verdict::RetryAfter(LEASE / 2), now).unwrap();
        assert!(table.again(now + LEASE / 4).is_empty());
        let again = table.again(now + LEASE / 2);
        assert_eq!(again.len(), 1);
        assert!(table.begin(again[0].token, now + LEASE / 2, LEASE));
        assert!(matches!(table.settle(first, &Verdict::Ack, now), Err(SettleError::Late)));
        table.settle(held, &Verdict::Extend(LEASE * 2), now + LEASE / 2).unwrap();
        table.settle(again[0].token, &Verdict::Ack, now + LEASE / 2).unwrap();
        assert_eq!(table.release(1), [1]);
        assert!(table.again(now + LEASE * 2).is_empty(), "it is extended");
        let at = now + LEASE * 3;
        assert!(matches!(table.settle(held, &Verdict::Ack, at), Err(SettleError::Late)));
        assert_eq!(table.again(at).len(), 1);
        assert!(table.release(1).is_empty() && !table.has_work(at));
    }

    #[test]
    fn a_session_that_goes_on_gives_nothing_twice() {
        let (mut table, now) = (Table::new(8), Instant::now());
        let [a, b, c, d] = ["a", "b", "c", "d"].map(event);
        let done = take(&mut table, 1, &a, now);
        table.settle(done, &Verdict::Ack, now).unwrap();
        assert_eq!(table.release(1), [1]);
        let (b_token, c_token) = (take(&mut table, 2, &b, now), take(&mut table, 3, &c, now));
        table.settle(c_token, &Verdict::Ack, now).unwrap();
        table.reconnected(true);
        // That one was lost too, before anything came.
        table.reconnected(true);
        // A verdict without a connection is kept.
        table.settle(b_token, &Verdict::Ack, now).unwrap();
        assert!(table.release(1).is_empty());
        for (id, event) in [(1, &a), (2, &b), (3, &c)] {
            assert!(table.arrive(id, true, event.clone()).is_none());
        }
        assert_eq!(table.release(1), [1, 2, 3]);
        // An id that is used again is another event.
        assert!(table.arrive(2, true, d).is_some());
        assert!(table.arrive(1, false, a).is_some(), "it was published again");
    }

    #[test]
    fn what_the_server_does_not_send_again_is_forgotten() {
        let (mut table, now) = (Table::new(8), Instant::now());
        let [a, b, c] = ["a", "b", "c"].map(event);
        let (early, late) = (take(&mut table, 1, &a, now), take(&mut table, 2, &b, now));
        table.reconnected(true);
        table.settle(early, &Verdict::Ack, now).unwrap();
        let next = take(&mut table, 1, &c, now);
        let again = take(&mut table, 2, &c, now);
        table.settle(late, &Verdict::Ack, now).unwrap();
        table.settle(next, &Verdict::Ack, now).unwrap();
        table.settle(again, &Verdict::Ack, now).unwrap();
        assert_eq!(table.release(1), [1, 2]);
        assert!(table.entries.is_empty() && table.before.is_empty());
    }

    #[test]
    fn no_more_are_given_out_than_may_be_however_many_the_server_sends() {
        let (mut table, now) = (Table::new(2), Instant::now());
        let events = ["a", "b", "c", "d", "e"].map(event);
        let a = take(&mut table, 1, &events[0], now);
        let b = take(&mut table, 2, &events[1], now);
        assert!(table.arrive(3, false, events[2].clone()).is_none());
        table.settle(a, &Verdict::Ack, now).unwrap();
        assert!(table.arrive(4, false, events[3].clone()).is_none(), "it is behind `c`");
        let pass = |table: &mut Table| {
            let waiting = table.pass()?;
            assert!(table.begin(waiting.token, now, LEASE));
            Some((waiting.token, waiting.envelope.id().to_owned()))
        };
        let (c, id) = pass(&mut table).unwrap();
        assert_eq!((&*id, pass(&mut table)), ("c", None));
        // It comes again, so it keeps its place.
        table.settle(b, &Verdict::RetryAfter(LEASE), now).unwrap();
        assert_eq!(pass(&mut table), None);
        table.reconnected(true);
        for (id, event) in (2..).zip(&events[1..4]) {
            assert!(table.arrive(id, true, event.clone()).is_none());
        }
        assert_eq!(pass(&mut table), None);
        // The session is lost, and what has come is not.
        table.reconnected(false);
        assert!(table.arrive(1, false, events[4].clone()).is_none());
        table.settle(c, &Verdict::Ack, now).unwrap();
        let (d, id) = pass(&mut table).unwrap();
        assert_eq!((&*id, pass(&mut table)), ("d", None));
        table.settle(d, &Verdict::Ack, now).unwrap();
        let (e, id) = pass(&mut table).unwrap();
        assert_eq!(id, "e");
        table.settle(e, &Verdict::Ack, now).unwrap();
        assert_eq!((table.release(1), table.pass().is_none()), (vec![1], true));
    }

    #[test]
    fn an_acknowledgement_is_remembered_until_the_server_has_read_it() {
        let (mut table, now) = (Table::new(2), Instant::now());
        let events = ["a", "b", "c", "d", "e"].map(event);
        let acknowledge = |table: &mut Table, id: u16, ping: u64| {
            let token = take(table, id, &events[usize::from(id) - 1], now);
            table.settle(token, &Verdict::Ack, now).unwrap();
            assert_eq!(table.release(ping), [id]);
        };
        acknowledge(&mut table, 1, 1);
        acknowledge(&mut table, 2, 1);
        for id in 3..=5 {
            acknowledge(&mut table, id, 2);
        }
        table.heard(1);
        assert!(table.acknowledged.keys().eq(&[3, 4, 5]));
        table.reconnected(true);
        // The pings of this connection are others.
        table.heard(2);
        for id in 3..=5 {
            assert!(table.arrive(id, true, events[usize::from(id) - 1].clone()).is_none());
        }
        assert_eq!(table.release(3), [3, 4, 5]);
        table.heard(3);
        assert!(table.acknowledged.is_empty());
        assert!(table.arrive(3, true, events[2].clone()).is_some());
    }

    #[test]
    fn what_is_in_work_outlives_a_session_that_is_lost() {
        let (mut table, now) = (Table::new(8), Instant::now());
        let [a, b, c] = ["a", "b", "c"].map(event);
        let (a, b) = (take(&mut table, 1, &a, now), take(&mut table, 2, &b, now));
        table.settle(b, &Verdict::Ack, now).unwrap();
        table.reconnected(false);
        let c = take(&mut table, 1, &c, now);
        table.settle(a, &Verdict::RetryAfter(Duration::ZERO), now).unwrap();
        let again = table.again(now);
        assert!(again.len() == 1 && table.begin(again[0].token, now, LEASE));
        table.settle(again[0].token, &Verdict::Ack, now).unwrap();
        assert!(table.release(1).is_empty());
        table.settle(c, &Verdict::Ack, now).unwrap();
        assert_eq!(table.release(1), [1], "the new one alone");
        assert!(table.entries.is_empty());
    }

    #[test]
    fn messages_of_other_programs_are_known_again_while_they_are_not_acknowledged() {
        let (mut table, now) = (Table::new(8), Instant::now());
        let foreign = |id: &str| -> Arc<Envelope> {
            Envelope::unstamped("a").unwrap().with_id(id).with_bytes([1]).into()
        };
        let one = take(&mut table, 1, &foreign("x"), now);
        table.reconnected(true);
        assert!(table.arrive(1, true, foreign("y")).is_none());
        table.settle(one, &Verdict::Ack, now).unwrap();
        assert_eq!(table.release(1), [1]);
        table.reconnected(true);
        assert!(table.arrive(1, true, foreign("z")).is_some(), "it may be another one");
    }
}
