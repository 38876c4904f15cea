//! The sequential order: what a bus would do if operations never overlapped, and the search for an
//! order of their steps that explains what was seen.
//!
//! To take an event has two steps, since its slot is in use until it has been moved out: on a bus that
//! drops the oldest, a publisher that comes in between drops the one behind it.

use instruments::points::LEVELS;

/// What happens to an event that does not fit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Policy {
    Reject,
    DropNewest,
    DropOldest,
}

/// A step of an operation, as the one who ran it saw it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// The bus took the event.
    Published(u32),
    /// The bus gave the event back.
    Refused(u32),
    /// The bus has room for both events of a group.
    Claimed,
    /// The next event of the group is there.
    Committed(u32),
    /// The bus gave both events of a group back.
    RefusedBoth,
    /// A drain or tick began: what is pending now is what it will take.
    Opened,
    Took(u32),
    /// The drain or tick found nothing more of its own.
    Ended,
}

const STEPS: usize = 12;

/// The steps of one context in their order.
#[derive(Clone, Copy, Debug)]
pub struct Log {
    steps: [Step; STEPS],
    length: usize,
}

impl Log {
    pub const EMPTY: Self = Self { steps: [Step::Opened; STEPS], length: 0 };

    pub fn push(&mut self, step: Step) {
        assert!(self.length < STEPS, "more steps than an operation can have: {:?}", self.steps());
        self.steps[self.length] = step;
        self.length += 1;
    }

    pub fn steps(&self) -> &[Step] {
        &self.steps[..self.length]
    }
}

/// What was seen from outside when all was over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Counts {
    pub dropped: usize,
    pub refused: usize,
}

/// A bus without concurrency. Positions only grow.
#[derive(Clone, Copy)]
struct Model {
    events: [u32; 16],
    head: usize,
    tail: usize,
    counts: Counts,
    /// Where the drain of each context ends.
    ends: [usize; LEVELS],
    /// How many steps of each context have been taken.
    taken: [usize; LEVELS],
    /// Slots of groups that are claimed and have no event yet.
    claimed: usize,
    /// Who is moving an event out, which keeps its slot until that is done.
    holder: Option<usize>,
}

/// The rules that a search goes by.
#[derive(Clone, Copy)]
pub struct Rules {
    pub capacity: usize,
    pub overrun: Policy,
    /// A drain ends where the bus ended when it began; without, it goes on while there are events.
    pub ends_are_frozen: bool,
    /// A publish that interrupts another one is refused.
    pub claims: bool,
}

impl Model {
    /// Takes the step, if the rules let it have the result that was seen. `under_way` are operations
    /// of other contexts that are not over; `interrupts_publish`: one of them publishes, and is below.
    fn step(
        &mut self,
        rules: Rules,
        level: usize,
        step: Step,
        under_way: usize,
        interrupts_publish: bool,
    ) -> bool {
        let held = usize::from(self.holder.is_some());
        let used = self.tail - self.head + held + self.claimed;
        let is_full = used == rules.capacity;
        let has_room_for_both = used + 2 <= rules.capacity;
        match step {
            Step::Published(event) => {
                if is_full {
                    if rules.overrun != Policy::DropOldest || self.head == self.tail {
                        return false;
                    }
                    self.head += 1;
                    self.counts.dropped += 1;
                }
                self.events[self.tail] = event;
                self.tail += 1;
                true
            }
            Step::Refused(_) => {
                match rules.overrun {
                    Policy::Reject => self.counts.refused += 1,
                    Policy::DropNewest => self.counts.dropped += 1,
                    // Only if each slot belongs to an interrupted publisher.
                    Policy::DropOldest => {
                        self.counts.dropped += 1;
                        return under_way >= rules.capacity;
                    }
                }
                is_full || (rules.claims && interrupts_publish)
            }
            Step::Claimed => {
                self.claimed += 2;
                has_room_for_both
            }
            Step::Committed(event) => {
                self.claimed -= 1;
                self.events[self.tail] = event;
                self.tail += 1;
                true
            }
            Step::RefusedBoth => {
                self.counts.refused += 2;
                !has_room_for_both
            }
            Step::Opened => {
                self.ends[level] = if rules.ends_are_frozen { self.tail } else { usize::MAX };
                true
            }
            Step::Took(event) => {
                if self.holder == Some(level) {
                    self.holder = None;
                    return true;
                }
                let is_next = self.head < self.end(level) && self.events[self.head] == event;
                self.head += 1;
                self.holder = Some(level);
                is_next
            }
            Step::Ended => self.head >= self.end(level),
        }
    }

    fn end(&self, level: usize) -> usize {
        self.ends[level].min(self.tail)
    }

    fn is_explained_by_some_order(
        self,
        rules: Rules,
        logs: &[Log; LEVELS],
        rest: &[u32],
        counts: Counts,
    ) -> bool {
        let mut is_over = true;
        for (level, log) in logs.iter().enumerate() {
            let Some(&step) = log.steps().get(self.taken[level]) else { continue };
            is_over = false;
            let others = logs.iter().zip(self.taken).enumerate();
            let under_way = others
                .filter(|(other, (log, taken))| *other != level && *taken < log.length)
                .count();
            let mut next = self;
            let interrupts_publish = logs[..level].iter().zip(self.taken).any(|(log, taken)| {
                matches!(log.steps().get(taken), Some(Step::Published(_) | Step::Refused(_)))
            });
            let is_allowed = next.step(rules, level, step, under_way, interrupts_publish);
            if next.holder != Some(level) {
                next.taken[level] += 1;
            }
            if is_allowed && next.is_explained_by_some_order(rules, logs, rest, counts) {
                return true;
            }
        }
        is_over && self.events[self.head..self.tail] == *rest && self.counts == counts
    }
}

/// Is there an order of all steps, with those of each context in theirs, that leads from the events
/// `before` to the events `rest` and to these counts?
pub fn is_explained(
    rules: Rules,
    before: &[u32],
    logs: &[Log; LEVELS],
    rest: &[u32],
    counts: Counts,
) -> bool {
    let mut model = Model {
        events: [0; 16],
        head: 0,
        tail: before.len(),
        counts: Counts { dropped: 0, refused: 0 },
        ends: [0; LEVELS],
        taken: [0; LEVELS],
        claimed: 0,
        holder: None,
    };
    model.events[..before.len()].copy_from_slice(before);
    model.is_explained_by_some_order(rules, logs, rest, counts)
}
