//! What a member has of its partitions: what is in work, what comes again, and how far each is done.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::topics::Place;
use crate::envelope::Envelope;
use crate::hosted::engines::limits::FOR_EVER;
use crate::hosted::{Gap, Reason, Settle, SettleError, Verdict};

/// What a confirmation says: the server has the position, or why not.
type Told = oneshot::Sender<Result<(), SettleError>>;

/// The member stops reading when this many events have no place.
pub(super) const MOST: usize = 500;

/// Keeps what has come, until the server has a position behind it.
///
/// A group has one position in a partition. So an event that is done waits here for those before it.
pub(super) struct Table {
    /// By a number that is new whenever a partition comes: an answer to an earlier one is late.
    partitions: BTreeMap<u64, Partition>,
    /// The numbers of those that are here.
    keys: BTreeMap<Place, u64>,
    /// What has no place yet, in its order.
    ready: VecDeque<Ready>,
    /// How many deliveries are not settled, and may be.
    out: usize,
    in_flight: usize,
    next: u64,
    /// When the first of them comes again. A later one is never later than it says.
    due: Option<Instant>,
    /// One of several tasks passes on what is ready.
    pouring: bool,
    has_left: bool,
}

enum Ready {
    Event { key: u64, offset: i64 },
    Gap(Gap),
}

struct Partition {
    place: Place,
    /// Settles its deliveries.
    settle: Arc<dyn Settle>,
    /// In the order of their offsets.
    entries: VecDeque<Entry>,
    /// Everything before it is done.
    position: i64,
    /// The position that the server has. If it is not known, the next one is committed at once.
    committed: Option<i64>,
    /// The offset that comes next if nothing is missing.
    expected: Option<i64>,
    /// Those that wait until the server has a position.
    confirm: Vec<(i64, Told)>,
    /// Begins nothing more: it goes to another member.
    goes: bool,
    /// Too much waits behind an event that is not done.
    is_held: bool,
    /// The consumer has paused it.
    is_paused: bool,
}

struct Entry {
    offset: i64,
    /// `None` if what came is not one, or is not for the group.
    envelope: Option<Arc<Envelope>>,
    state: State,
    /// Changes with each delivery: an answer to an earlier one is late.
    turn: u16,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// It has no place yet.
    Ready,
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
    pub(super) key: u64,
    pub(super) place: Place,
    pub(super) offset: i64,
    pub(super) turn: u16,
    pub(super) envelope: Arc<Envelope>,
    pub(super) settle: Arc<dyn Settle>,
}

impl Waiting {
    /// Names the delivery, with the number of its partition.
    pub(super) const fn token(&self) -> u64 {
        self.offset.cast_unsigned() << 16 | self.turn as u64
    }
}

/// Returns the offset and the turn.
const fn parts(token: u64) -> (i64, u16) {
    ((token >> 16).cast_signed(), (token & 0xffff) as u16)
}

pub(super) enum Pour {
    Event(Waiting),
    Gap(Gap),
}

/// What has come of a partition.
pub(super) enum Came {
    Event(Arc<Envelope>),
    /// It is not for the group, or is not an event.
    Skip,
}

/// How an offset follows the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follows {
    /// As it should.
    Next,
    /// Some are missing. The server may have removed them.
    Jump(i64),
    /// It was here already: another log has this name.
    Back,
}

/// Positions to tell the server, and those that wait for the answer.
#[derive(Default)]
pub(super) struct Positions {
    pub(super) all: Vec<(u64, Place, i64)>,
    confirm: Vec<(u64, i64, Told)>,
}

impl Entry {
    const fn is(&self, turn: u16, state: State) -> bool {
        self.turn == turn
            && matches!(
                (self.state, state),
                (State::Ready, State::Ready)
                    | (State::Waiting, State::Waiting)
                    | (State::Out(_), State::Out(_))
            )
    }
}

impl Partition {
    fn entry(&mut self, offset: i64) -> Option<&mut Entry> {
        let at = self.entries.binary_search_by_key(&offset, |entry| entry.offset).ok()?;
        self.entries.get_mut(at)
    }

    /// Moves the position behind what is done.
    fn release(&mut self) {
        while let Some(entry) = self.entries.front()
            && entry.state == State::Done
        {
            self.position = entry.offset + 1;
            self.entries.pop_front();
        }
    }

    fn is_dirty(&self) -> bool {
        self.position >= 0 && self.committed != Some(self.position)
    }

    /// How many of its deliveries are not settled.
    fn out(&self) -> usize {
        let is_out = |entry: &&Entry| matches!(entry.state, State::Waiting | State::Out(_));
        self.entries.iter().filter(is_out).count()
    }
}

impl Table {
    pub(super) fn new(in_flight: usize) -> Self {
        Self {
            partitions: BTreeMap::new(),
            keys: BTreeMap::new(),
            ready: VecDeque::new(),
            out: 0,
            in_flight: in_flight.max(1),
            next: 0,
            due: None,
            pouring: false,
            has_left: false,
        }
    }

    /// Takes a partition over, behind what is committed. `is_marked` is whether the server has what
    /// we say of the group there.
    pub(super) fn take(
        &mut self,
        place: Place,
        committed: Option<i64>,
        is_marked: bool,
        settle: impl FnOnce(u64) -> Arc<dyn Settle>,
    ) {
        if self.has_left {
            return;
        }
        let partition = Partition {
            place,
            settle: settle(self.next),
            entries: VecDeque::new(),
            position: committed.unwrap_or(-1),
            committed: committed.filter(|_| is_marked),
            expected: committed,
            confirm: Vec::new(),
            goes: false,
            is_held: false,
            is_paused: false,
        };
        self.keys.insert(place, self.next);
        self.partitions.insert(self.next, partition);
        self.next += 1;
    }

    /// Begins nothing more of these partitions.
    pub(super) fn goes(&mut self, places: &[Place]) {
        for partition in self.partitions.values_mut() {
            partition.goes |= places.contains(&partition.place);
        }
    }

    /// Gives these partitions up. Answers to their deliveries are late.
    pub(super) fn give_up(&mut self, places: &[Place]) {
        let Self { partitions, keys, ready, out, .. } = self;
        for key in places.iter().filter_map(|place| keys.remove(place)) {
            let Some(mut partition) = partitions.remove(&key) else { continue };
            *out -= partition.out();
            for (_, told) in partition.confirm.drain(..) {
                let _ = told.send(Err(SettleError::Late));
            }
        }
        ready.retain(|ready| match ready {
            Ready::Event { key, .. } => partitions.contains_key(key),
            Ready::Gap(_) => true,
        });
    }

    /// Returns how an offset follows what came before. `None` if the partition is not here.
    pub(super) fn follows(&self, place: Place, offset: i64) -> Option<Follows> {
        let expected = self.partitions.get(self.keys.get(&place)?)?.expected;
        Some(match expected {
            Some(expected) if offset > expected => Follows::Jump(expected),
            Some(expected) if offset < expected => Follows::Back,
            _ => Follows::Next,
        })
    }

    /// Begins a partition anew, at this offset: it is another log.
    pub(super) fn restart(
        &mut self,
        place: Place,
        offset: i64,
        settle: impl FnOnce(u64) -> Arc<dyn Settle>,
    ) {
        self.give_up(&[place]);
        self.take(place, Some(offset), false, settle);
    }

    pub(super) fn gap(&mut self, gap: Gap) {
        self.ready.push_back(Ready::Gap(gap));
    }

    /// Takes in what has come.
    pub(super) fn arrive(&mut self, place: Place, offset: i64, came: Came) {
        let Some(key) = self.keys.get(&place).copied() else { return };
        let Some(partition) = self.partitions.get_mut(&key) else { return };
        partition.expected = Some(offset + 1);
        let (envelope, state) = match came {
            Came::Event(envelope) => (Some(envelope), State::Ready),
            Came::Skip if partition.entries.is_empty() => {
                partition.position = offset + 1;
                return;
            }
            Came::Skip => (None, State::Done),
        };
        partition.entries.push_back(Entry { offset, envelope, state, turn: 0 });
        if state == State::Ready {
            self.ready.push_back(Ready::Event { key, offset });
        }
    }

    /// Returns what has a place now, for the one that passes it on. It calls again until nothing comes.
    /// `None` if another one does so.
    pub(super) fn pour(&mut self, goes_on: bool) -> Option<Vec<Pour>> {
        if self.pouring && !goes_on {
            return None;
        }
        let mut poured = Vec::new();
        while let Some(next) = self.ready.front() {
            match next {
                Ready::Gap(gap) => poured.push(Pour::Gap(*gap)),
                Ready::Event { .. } if self.out >= self.in_flight => break,
                Ready::Event { key, offset } => {
                    let (key, offset) = (*key, *offset);
                    if let Some(partition) = self.partitions.get_mut(&key) {
                        let (place, settle) = (partition.place, partition.settle.clone());
                        let entry = partition.entry(offset);
                        if let Some(entry) = entry.filter(|entry| entry.state == State::Ready)
                            && let Some(envelope) = entry.envelope.clone()
                        {
                            entry.state = State::Waiting;
                            let turn = entry.turn;
                            self.out += 1;
                            poured.push(Pour::Event(Waiting {
                                key,
                                place,
                                offset,
                                turn,
                                envelope,
                                settle,
                            }));
                        }
                    }
                }
            }
            self.ready.pop_front();
        }
        self.pouring = !poured.is_empty();
        self.pouring.then_some(poured)
    }

    /// How much has no place yet.
    pub(super) fn backlog(&self) -> usize {
        self.ready.len()
    }

    /// Returns whether there is room to read more.
    pub(super) fn has_room(&self) -> bool {
        self.ready.len() < self.in_flight.min(MOST)
    }

    /// Returns the partitions to pause, and those to resume. A partition pauses while there is no
    /// room, and while `most` events wait behind one that is not done.
    pub(super) fn pauses(&mut self, most: usize) -> (Vec<Place>, Vec<Place>) {
        let (mut pause, mut resume) = (Vec::new(), Vec::new());
        let has_room = self.has_room();
        for partition in self.partitions.values_mut() {
            let most = if partition.is_held { most / 2 } else { most };
            partition.is_held = partition.entries.len() >= most;
            let pauses = !has_room || partition.is_held;
            if pauses != partition.is_paused {
                partition.is_paused = pauses;
                if pauses { &mut pause } else { &mut resume }.push(partition.place);
            }
        }
        (pause, resume)
    }

    /// Returns whether a delivery is to be worked on, for at most `lease` from now on.
    pub(super) fn begin(&mut self, waiting: &Waiting, now: Instant, lease: Duration) -> bool {
        let Some(partition) = self.partitions.get_mut(&waiting.key) else { return false };
        if self.has_left || partition.goes {
            return false;
        }
        let Some(entry) = partition.entry(waiting.offset) else { return false };
        if !entry.is(waiting.turn, State::Waiting) {
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

    /// Settles a delivery. Returns whether the member has something to do now that it had not before.
    pub(super) fn settle(
        &mut self,
        key: u64,
        token: u64,
        verdict: &Verdict,
        now: Instant,
    ) -> Result<bool, SettleError> {
        if self.has_left {
            return Err(SettleError::Failed(Reason::Closed));
        }
        let (offset, turn) = parts(token);
        let partition = self.partitions.get_mut(&key).ok_or(SettleError::Late)?;
        let was_dirty = partition.is_dirty();
        let entry = partition.entry(offset).ok_or(SettleError::Late)?;
        match entry.state {
            State::Out(until) if entry.turn == turn && now < until => {}
            _ => return Err(SettleError::Late),
        }
        let at = match verdict {
            Verdict::RetryAfter(delay) => {
                let at = now + (*delay).min(FOR_EVER);
                entry.state = State::Later(at);
                self.out -= 1;
                at
            }
            Verdict::Extend(time) => {
                let at = now + (*time).min(FOR_EVER);
                entry.state = State::Out(at);
                at
            }
            _ => {
                entry.state = State::Done;
                entry.envelope = None;
                self.out -= 1;
                partition.release();
                return Ok(partition.goes || !was_dirty && partition.is_dirty());
            }
        };
        let sooner = self.due.is_none_or(|due| at < due);
        self.due_at(at);
        Ok(sooner)
    }

    /// Waits with `told` until the server has the position behind a delivery that is done. Returns
    /// `false` if that has to wait for others.
    pub(super) fn confirm(&mut self, key: u64, token: u64, told: Told) -> bool {
        let (offset, _) = parts(token);
        let Some(partition) = self.partitions.get_mut(&key) else { return false };
        let is_next = partition.position > offset;
        if is_next {
            partition.confirm.push((offset, told));
        }
        is_next
    }

    /// Returns whether the server is to be told of a position, and whether a delivery waits for that.
    pub(super) fn is_dirty(&self) -> (bool, bool) {
        let mut dirty = self.partitions.values().filter(|it| it.is_dirty()).peekable();
        let is_dirty = dirty.peek().is_some();
        let waits = self.partitions.values().any(|partition| !partition.confirm.is_empty());
        (is_dirty, waits)
    }

    /// Returns the positions that the server does not have.
    pub(super) fn positions(&mut self) -> Positions {
        let mut positions = Positions::default();
        for (key, partition) in &mut self.partitions {
            let waits = partition.confirm.drain(..).map(|(offset, told)| (*key, offset, told));
            positions.confirm.extend(waits);
            if partition.is_dirty() && partition.position >= 0 {
                positions.all.push((*key, partition.place, partition.position));
            }
        }
        positions
    }

    /// Remembers that the server has these positions.
    pub(super) fn committed(&mut self, positions: Positions) {
        for (key, _, position) in positions.all {
            if let Some(partition) = self.partitions.get_mut(&key) {
                partition.committed = Some(position);
            }
        }
        for (_, _, told) in positions.confirm {
            let _ = told.send(Ok(()));
        }
    }

    /// Lets those wait once more whose position the server could not be told.
    pub(super) fn again_later(&mut self, positions: Positions) {
        for (key, offset, told) in positions.confirm {
            match self.partitions.get_mut(&key) {
                Some(partition) => partition.confirm.push((offset, told)),
                None => drop(told.send(Err(SettleError::Late))),
            }
        }
    }

    /// Returns whether something comes again now, and lets it.
    pub(super) fn again(&mut self, now: Instant) {
        if self.due.is_none_or(|due| now < due) {
            return;
        }
        self.due = None;
        let mut due = None::<Instant>;
        for (key, partition) in &mut self.partitions {
            for entry in &mut partition.entries {
                let (State::Out(at) | State::Later(at)) = entry.state else { continue };
                if at > now {
                    due = Some(due.map_or(at, |due| due.min(at)));
                    continue;
                }
                if let State::Out(_) = entry.state {
                    self.out -= 1;
                }
                entry.state = State::Ready;
                entry.turn = entry.turn.wrapping_add(1);
                self.ready.push_back(Ready::Event { key: *key, offset: entry.offset });
            }
        }
        self.due = due;
    }

    pub(super) const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Returns whether a delivery of these partitions is in work whose lease has not ended. Without
    /// places, of all partitions.
    pub(super) fn has_work(&self, places: Option<&[Place]>, now: Instant) -> bool {
        let mut of = self
            .partitions
            .values()
            .filter(|partition| places.is_none_or(|places| places.contains(&partition.place)));
        of.any(|partition| {
            let mut entries = partition.entries.iter();
            entries.any(|entry| matches!(entry.state, State::Out(until) if until > now))
        })
    }

    /// Begins nothing more.
    pub(super) fn go(&mut self) {
        self.partitions.values_mut().for_each(|partition| partition.goes = true);
    }

    /// Refuses all verdicts from now on.
    pub(super) fn leave(&mut self) {
        self.has_left = true;
        self.partitions.clear();
        self.keys.clear();
        self.ready.clear();
    }
}

impl Positions {
    /// Tells those that wait why the server does not have the position.
    pub(super) fn refuse(self, why: impl Fn() -> SettleError) {
        for (_, _, told) in self.confirm {
            let _ = told.send(Err(why()));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use alloc::sync::Arc;
    use alloc::vec::Vec;
    use core::time::Duration;

    use tokio::sync::oneshot;
    use tokio::time::Instant;

    use super::{Came, Follows, Place, Pour, Table, Waiting};
    use crate::envelope::Envelope;
    use crate::hosted::{Lease, Settle, SettleError, Verdict};

    const LEASE: Duration = Duration::from_secs(10);
    const PLACE: Place = Place { topic: 0, partition: 3 };

    struct Nothing;

    impl Settle for Nothing {
        fn settle(&self, _: Lease, _: Verdict) -> Result<(), SettleError> {
            Ok(())
        }
    }

    fn table(in_flight: usize) -> Table {
        let mut table = Table::new(in_flight);
        table.take(PLACE, Some(5), true, |_| Arc::new(Nothing));
        table
    }

    fn event(id: i64) -> Came {
        Came::Event(Arc::new(Envelope::new("a").unwrap().with_id(alloc::format!("{id}"))))
    }

    fn pour(table: &mut Table) -> Vec<Waiting> {
        let poured = table.pour(true).unwrap_or_default().into_iter();
        let events = poured.filter_map(|it| match it {
            Pour::Event(waiting) => Some(waiting),
            Pour::Gap(_) => None,
        });
        events.collect()
    }

    fn take(table: &mut Table, now: Instant) -> Vec<Waiting> {
        let all = pour(table);
        assert!(all.iter().all(|waiting| table.begin(waiting, now, LEASE)));
        all
    }

    fn positions(table: &mut Table) -> Vec<i64> {
        let positions = table.positions();
        let all = positions.all.iter().map(|(_, _, position)| *position).collect();
        table.committed(positions);
        all
    }

    #[test]
    fn a_position_moves_only_when_everything_before_it_is_done() {
        let (mut table, now) = (table(8), Instant::now());
        (5..8).for_each(|offset| table.arrive(PLACE, offset, event(offset)));
        table.arrive(PLACE, 9, Came::Skip);
        let all = take(&mut table, now);
        assert!(!table.settle(0, all[2].token(), &Verdict::Ack, now).unwrap());
        assert!(!table.settle(0, all[1].token(), &Verdict::Reject("no".into()), now).unwrap());
        let (told, _heard) = oneshot::channel();
        assert!(!table.confirm(0, all[2].token(), told), "it has to wait for the first");
        assert_eq!(positions(&mut table), [0_i64; 0]);
        assert!(table.settle(0, all[0].token(), &Verdict::Ack, now).unwrap(), "now there is news");
        let (told, mut heard) = oneshot::channel();
        assert!(table.confirm(0, all[0].token(), told));
        assert_eq!(positions(&mut table), [10]);
        assert!(matches!(heard.try_recv(), Ok(Ok(()))));
        let again = table.settle(0, all[0].token(), &Verdict::Ack, now);
        assert!(matches!(again, Err(SettleError::Late)));
        assert_eq!(positions(&mut table), [0_i64; 0], "the server has it");
    }

    #[test]
    fn what_is_not_for_the_group_moves_the_position() {
        let mut table = table(8);
        table.arrive(PLACE, 5, Came::Skip);
        table.arrive(PLACE, 6, Came::Skip);
        assert_eq!(positions(&mut table), [7]);
    }

    #[test]
    fn what_is_given_back_or_not_settled_comes_again_and_late_answers_are_refused() {
        let (mut table, now) = (table(8), Instant::now());
        (5..7).for_each(|offset| table.arrive(PLACE, offset, event(offset)));
        let all = take(&mut table, now);
        table.settle(0, all[0].token(), &Verdict::RetryAfter(LEASE / 2), now).unwrap();
        table.again(now + LEASE / 4);
        assert!(pour(&mut table).is_empty());
        table.again(now + LEASE / 2);
        let again = pour(&mut table);
        assert!(again.len() == 1 && again[0].offset == 5);
        assert!(table.begin(&again[0], now + LEASE / 2, LEASE));
        let late = table.settle(0, all[0].token(), &Verdict::Ack, now);
        assert!(matches!(late, Err(SettleError::Late)));
        table.settle(0, all[1].token(), &Verdict::Extend(LEASE * 2), now + LEASE / 2).unwrap();
        table.settle(0, again[0].token(), &Verdict::Ack, now + LEASE / 2).unwrap();
        assert_eq!(positions(&mut table), [6]);
        table.again(now + LEASE * 2);
        assert!(pour(&mut table).is_empty(), "it is extended");
        let at = now + LEASE * 3;
        assert!(matches!(
            table.settle(0, all[1].token(), &Verdict::Ack, at),
            Err(SettleError::Late)
        ));
        table.again(at);
        assert_eq!(pour(&mut table).len(), 1);
        assert!(!table.has_work(None, at));
    }

    #[test]
    fn no_more_than_may_be_in_flight_has_a_place() {
        let (mut table, now) = (table(2), Instant::now());
        (5..10).for_each(|offset| table.arrive(PLACE, offset, event(offset)));
        let first = take(&mut table, now);
        assert_eq!((first.len(), table.backlog()), (2, 3));
        table.settle(0, first[1].token(), &Verdict::Ack, now).unwrap();
        let second = take(&mut table, now);
        assert_eq!(second.iter().map(|it| it.offset).collect::<Vec<_>>(), [7]);
        // What is given back has no place until it comes again.
        table.settle(0, first[0].token(), &Verdict::RetryAfter(LEASE), now).unwrap();
        assert_eq!(take(&mut table, now).len(), 1);
        table.again(now + LEASE / 2);
        assert!(pour(&mut table).is_empty());
    }

    #[test]
    fn a_partition_that_goes_takes_its_answers_with_it() {
        let (mut table, now) = (table(8), Instant::now());
        (5..8).for_each(|offset| table.arrive(PLACE, offset, event(offset)));
        let all = pour(&mut table);
        assert!(table.begin(&all[0], now, LEASE));
        table.goes(&[PLACE]);
        assert!(!table.begin(&all[1], now, LEASE), "it goes to another member");
        assert!(table.has_work(Some(&[PLACE]), now));
        assert!(table.settle(0, all[0].token(), &Verdict::Ack, now).unwrap());
        let (told, mut heard) = oneshot::channel();
        assert!(table.confirm(0, all[0].token(), told));
        table.give_up(&[PLACE]);
        assert!(matches!(heard.try_recv(), Ok(Err(SettleError::Late))));
        assert_eq!(positions(&mut table), [0_i64; 0]);
        // It comes back with another number.
        table.take(PLACE, Some(6), true, |_| Arc::new(Nothing));
        table.arrive(PLACE, 6, event(6));
        let again = take(&mut table, now);
        assert_eq!(again[0].key, 1);
        let late = table.settle(0, all[1].token(), &Verdict::Ack, now);
        assert!(matches!(late, Err(SettleError::Late)));
        table.settle(1, again[0].token(), &Verdict::Ack, now).unwrap();
        assert_eq!(positions(&mut table), [7]);
        assert_eq!(table.out, 0);
    }

    #[test]
    fn offsets_that_jump_or_go_back_are_seen() {
        let (mut table, now) = (table(8), Instant::now());
        assert_eq!(table.follows(PLACE, 5), Some(Follows::Next));
        assert_eq!(table.follows(PLACE, 9), Some(Follows::Jump(5)));
        table.arrive(PLACE, 9, event(9));
        let all = take(&mut table, now);
        assert_eq!(table.follows(PLACE, 0), Some(Follows::Back));
        table.restart(PLACE, 0, |_| Arc::new(Nothing));
        table.arrive(PLACE, 0, event(0));
        let late = table.settle(0, all[0].token(), &Verdict::Ack, now);
        assert!(matches!(late, Err(SettleError::Late)));
        let again = take(&mut table, now);
        table.settle(again[0].key, again[0].token(), &Verdict::Ack, now).unwrap();
        assert_eq!(positions(&mut table), [1]);
        assert_eq!(table.follows(Place { topic: 1, partition: 3 }, 0), None);
    }

    #[test]
    fn a_partition_is_held_while_too_much_waits_behind_one_event() {
        let (mut table, now) = (table(100), Instant::now());
        (5..15).for_each(|offset| table.arrive(PLACE, offset, event(offset)));
        let all = take(&mut table, now);
        for waiting in &all[1..] {
            table.settle(0, waiting.token(), &Verdict::Ack, now).unwrap();
        }
        assert_eq!(table.pauses(10), ([PLACE].into(), [].into()));
        assert_eq!(table.pauses(10), ([].into(), [].into()));
        table.settle(0, all[0].token(), &Verdict::Ack, now).unwrap();
        assert_eq!(table.pauses(10), ([].into(), [PLACE].into()));
    }

    #[test]
    fn a_partition_that_comes_while_there_is_no_room_pauses_too() {
        let (mut table, now) = (table(2), Instant::now());
        (5..10).for_each(|offset| table.arrive(PLACE, offset, event(offset)));
        let all = take(&mut table, now);
        assert_eq!(table.pauses(100), ([PLACE].into(), [].into()));
        let other = Place { topic: 0, partition: 4 };
        table.take(other, Some(0), true, |_| Arc::new(Nothing));
        assert_eq!(table.pauses(100), ([other].into(), [].into()));
        for waiting in &all {
            table.settle(0, waiting.token(), &Verdict::Ack, now).unwrap();
        }
        assert_eq!((take(&mut table, now).len(), table.has_room()), (2, true));
        assert_eq!(table.pauses(100), ([].into(), [PLACE, other].into()));
    }

    #[test]
    fn a_group_without_a_mark_is_marked_before_anything_is_done() {
        let mut table = Table::new(8);
        table.take(PLACE, Some(5), false, |_| Arc::new(Nothing));
        assert_eq!(positions(&mut table), [5]);
        assert_eq!(positions(&mut table), [0_i64; 0]);
    }
}
