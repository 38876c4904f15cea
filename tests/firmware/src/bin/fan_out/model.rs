//! The sequential order of fan-out, and the search for an order of steps that explains what was seen.
//!
//! A step is an operation's, and some have several parts that others may come between: a publisher
//! first claims a position, which gives away the event N before it, and then commits it, at the first
//! position that is free. An order must keep to what was under way when: an operation in an interrupt
//! comes after every step that was over before, and before every step that began afterwards.

use instruments::points::LEVELS;

/// What a subject promises.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Promise {
    /// The last N events; who is behind is told; what finds N publishers halfway is lost, and told.
    Lagging,
    /// Never overtakes who gates, of whom there are at most so many.
    Gated(u8),
    /// The newest value.
    Latest,
}

#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub capacity: u8,
    pub promise: Promise,
    /// A publish that interrupts another one is refused.
    pub claims: bool,
    /// The readers want odd numbers only.
    pub filters: bool,
}

impl Rules {
    pub const fn new(capacity: u8, promise: Promise) -> Self {
        Self { capacity, promise, claims: false, filters: false }
    }
}

/// A step of an operation, as the one who ran it saw it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    Published(u32),
    /// "Full".
    Refused(u32),
    /// The same by those who leave `MARGIN` slots free.
    PublishedWithMargin(u32),
    RefusedWithMargin(u32),
    /// Both events of a group: claims two slots, and commits one event after the other.
    PublishedBoth(u32, u32),
    /// "Full", to both events of a group.
    RefusedBoth,
    /// A look at the last events began: what is committed now is what it shows.
    Looked,
    Recalled(u32),
    /// It has shown what there was and was not overwritten.
    RecalledAll,
    Subscribed,
    /// "Too many subscribers".
    NoPlace,
    Dropped,
    /// To read began: what is claimed now is what it will read.
    Opened,
    Saw(u32),
    /// Was told to have missed so many.
    Missed(u32),
    /// Found nothing more of its own.
    Ended,
    /// A newer value, and how many were skipped.
    Changed(u32, u8),
    Unchanged,
    /// The newest value, if there is one.
    Newest(Option<u32>),
    /// Skips everything, and does not gate.
    Masked,
    Unmasked,
}

/// What those leave free who publish with a margin.
pub const MARGIN: u8 = 1;

const STEPS: usize = 14;

/// The steps of one context in their order.
#[derive(Clone, Copy, Debug)]
pub struct Log {
    steps: [Step; STEPS],
    length: u8,
    /// How many steps of the contexts below were over when it began.
    began_after: [u8; LEVELS],
}

impl Log {
    pub const EMPTY: Self =
        Self { steps: [Step::Opened; STEPS], length: 0, began_after: [0; LEVELS] };

    pub fn begin(&mut self, below: &[Self]) {
        for (began_after, log) in self.began_after.iter_mut().zip(below) {
            *began_after = log.length;
        }
    }

    pub fn push(&mut self, step: Step) {
        assert!(
            usize::from(self.length) < STEPS,
            "more steps than an operation can have: {:?}",
            self.steps()
        );
        self.steps[usize::from(self.length)] = step;
        self.length += 1;
    }

    pub fn steps(&self) -> &[Step] {
        &self.steps[..usize::from(self.length)]
    }
}

/// Readers: one for each context, and one that only looks on.
pub const READERS: usize = LEVELS + 1;
pub const WITNESS: usize = LEVELS;

#[derive(Clone, Copy, Debug)]
pub struct Reader {
    /// The next position to read.
    next: u8,
    /// Where it stops this time.
    end: u8,
    /// How many lost events it knows of.
    lost: u8,
    /// Where it gates.
    gate: Option<u8>,
    is_masked: bool,
    /// Whether it gates, but for the time that it is masked.
    has_place: bool,
}

impl Reader {
    pub const NONE: Self =
        Self { next: 0, end: 0, lost: 0, gate: None, is_masked: false, has_place: false };

    pub fn subscribed(at: u8, gates: bool) -> Self {
        Self { next: at, gate: gates.then_some(at), has_place: gates, ..Self::NONE }
    }
}

/// A topic without concurrency. Small, for the search has many of them on a small stack.
#[derive(Clone, Copy)]
pub struct Model {
    rules: Rules,
    /// The events committed, from the first one on.
    events: [u32; 16],
    committed: u8,
    claims: u8,
    lost: u8,
    places: u8,
    readers: [Reader; READERS],
    /// Steps of each context that are over, and parts of the one under way.
    taken: [u8; LEVELS],
    parts: [u8; LEVELS],
}

/// What became of a step.
enum Taken {
    /// The rules do not let it have this result now.
    Not,
    /// The next part of it.
    Part,
    /// All of it.
    All,
}

impl Model {
    /// After `before` was published, and with these readers.
    pub fn new(rules: Rules, before: &[u32], readers: [Reader; READERS]) -> Self {
        let mut events = [0; 16];
        events[..before.len()].copy_from_slice(before);
        Self {
            rules,
            events,
            committed: before.len() as u8,
            claims: before.len() as u8,
            lost: 0,
            places: readers.iter().filter(|reader| reader.gate.is_some()).count() as u8,
            readers,
            taken: [0; LEVELS],
            parts: [0; LEVELS],
        }
    }

    /// The events published so far.
    pub fn events(&self) -> &[u32] {
        &self.events[..usize::from(self.committed)]
    }

    fn under_way(&self) -> u8 {
        self.claims - self.committed
    }

    fn is_held_up(&self, margin: u8) -> bool {
        let gates = self.readers.iter().filter_map(|reader| reader.gate);
        gates.min().is_some_and(|gate| self.claims - gate + margin >= self.rules.capacity)
    }

    fn commit(&mut self, event: u32) {
        self.events[usize::from(self.committed)] = event;
        self.committed += 1;
    }

    /// Whether a reader that filters skips what is there.
    fn is_unwanted(&self, position: u8) -> bool {
        position < self.committed && self.events[usize::from(position)].is_multiple_of(2)
    }

    /// Skips what a reader does not want and may read.
    fn skip(&mut self, by: usize) {
        while self.rules.filters
            && self.readers[by].next < self.readers[by].end
            && self.is_unwanted(self.readers[by].next)
        {
            self.readers[by].next += 1;
        }
    }

    /// Takes the next part of a step, if it can have the result that was seen.
    #[inline(never)]
    fn step(&mut self, by: usize, part: u8, step: Step, interrupts_publish: bool) -> Taken {
        let Rules { capacity, promise, claims, .. } = self.rules;
        let is_all_claimed = self.under_way() == capacity;
        let oldest = self.claims.saturating_sub(capacity);
        let newest = self.events().last().copied();
        let reader = &mut self.readers[by];
        let is_allowed = match (step, promise, part) {
            (Step::Published(event), Promise::Latest, _) => {
                self.claims += 1;
                self.commit(event);
                true
            }
            (Step::Published(_), Promise::Lagging, 0) if is_all_claimed => {
                self.lost += 1;
                true
            }
            (Step::Published(_) | Step::PublishedWithMargin(_), _, 0) => {
                let margin = if matches!(step, Step::Published(_)) { 0 } else { MARGIN };
                if is_all_claimed || self.is_held_up(margin) {
                    return Taken::Not;
                }
                self.claims += 1;
                return Taken::Part;
            }
            (Step::Published(event) | Step::PublishedWithMargin(event), _, _) => {
                self.commit(event);
                true
            }
            (Step::Refused(_), Promise::Gated(_), _) => is_all_claimed || self.is_held_up(0),
            (Step::RefusedWithMargin(_), Promise::Gated(_), _) => {
                is_all_claimed || self.is_held_up(MARGIN)
            }
            (Step::Refused(_), _, _) => claims && interrupts_publish,
            (Step::RefusedWithMargin(_), _, _) => false,

            (Step::PublishedBoth(..), Promise::Gated(_), 0) => {
                if self.under_way() + 2 > capacity || self.is_held_up(1) {
                    return Taken::Not;
                }
                self.claims += 2;
                return Taken::Part;
            }
            (Step::PublishedBoth(first, _), Promise::Gated(_), 1) => {
                self.commit(first);
                return Taken::Part;
            }
            (Step::PublishedBoth(_, second), Promise::Gated(_), _) => {
                self.commit(second);
                true
            }
            (Step::RefusedBoth, Promise::Gated(_), _) => {
                self.under_way() + 2 > capacity || self.is_held_up(1)
            }
            (Step::PublishedBoth(..) | Step::RefusedBoth, _, _) => false,
            (Step::Looked, _, _) => {
                reader.next = self.committed.saturating_sub(capacity);
                reader.end = self.committed;
                true
            }
            (Step::Recalled(event), _, _) => {
                let position = reader.next.max(oldest);
                reader.next = position + 1;
                position < reader.end && self.events[usize::from(position)] == event
            }
            (Step::RecalledAll, _, _) => reader.next.max(oldest) >= reader.end,

            (Step::Masked, _, 0) => {
                reader.gate = None;
                return Taken::Part;
            }
            (Step::Masked, _, _) => {
                reader.next = self.committed;
                reader.is_masked = true;
                true
            }
            // As in subscribing.
            (Step::Unmasked, _, 0 | 1) if reader.has_place => {
                if part == 0 {
                    reader.gate = Some(self.committed);
                } else {
                    reader.next = self.committed;
                }
                return Taken::Part;
            }
            (Step::Unmasked, _, _) => {
                if reader.has_place {
                    reader.gate = Some(reader.next);
                } else {
                    reader.next = self.committed;
                }
                reader.is_masked = false;
                true
            }

            (Step::Subscribed, Promise::Gated(places), 0) => {
                if self.places == places {
                    return Taken::Not;
                }
                self.places += 1;
                return Taken::Part;
            }
            // Gates from here on, if only in case that it does not get any further.
            (Step::Subscribed, Promise::Gated(_), 1) => {
                reader.gate = Some(self.committed);
                return Taken::Part;
            }
            (Step::Subscribed, Promise::Gated(_), 2) => {
                reader.next = self.committed;
                return Taken::Part;
            }
            (Step::Subscribed, Promise::Gated(_), _) => {
                reader.gate = Some(reader.next);
                true
            }
            (Step::Subscribed, _, 0) => {
                reader.lost = self.lost;
                return Taken::Part;
            }
            (Step::Subscribed, _, _) => {
                reader.next = self.committed;
                true
            }
            (Step::NoPlace, _, _) => promise == Promise::Gated(self.places),
            (Step::Dropped, _, _) => {
                self.places -= u8::from(reader.gate.is_some());
                reader.gate = None;
                true
            }

            (Step::Opened, _, _) if reader.is_masked => {
                reader.next = self.committed;
                reader.end = self.committed;
                true
            }
            (Step::Opened, _, _) => {
                reader.end = self.claims;
                true
            }
            (Step::Saw(event), _, _) => {
                self.skip(by);
                let reader = &mut self.readers[by];
                let position = reader.next;
                reader.next += 1;
                if let Some(gate) = &mut reader.gate {
                    *gate = reader.next;
                }
                (oldest..reader.end.min(self.committed)).contains(&position)
                    && self.events[usize::from(position)] == event
            }
            (Step::Missed(_), _, _) if reader.gate.is_some() => false,
            (Step::Missed(missed), _, _) => {
                // Events may have been skipped before the next ones were overwritten.
                while self.rules.filters
                    && u32::from(oldest.saturating_sub(self.readers[by].next)) > missed
                    && self.is_unwanted(self.readers[by].next)
                {
                    self.readers[by].next += 1;
                }
                let reader = &mut self.readers[by];
                let overwritten = oldest.saturating_sub(reader.next);
                let lost = self.lost - reader.lost;
                if reader.next < reader.end && u32::from(overwritten) == missed {
                    reader.next = oldest;
                } else {
                    reader.lost = self.lost;
                    if u32::from(lost) != missed {
                        return Taken::Not;
                    }
                }
                missed > 0
            }
            (Step::Ended, _, _) => {
                self.skip(by);
                let reader = &self.readers[by];
                reader.next >= reader.end.min(self.committed) && reader.lost == self.lost
            }

            (Step::Changed(event, skipped), _, _) => {
                let come = self.committed - reader.next;
                reader.next = self.committed;
                come == skipped + 1 && newest == Some(event)
            }
            (Step::Unchanged, _, _) => reader.next == self.committed,
            (Step::Newest(event), _, _) => event == newest,
        };
        if is_allowed { Taken::All } else { Taken::Not }
    }

    /// Whether the next step of `level` may begin, or the one under way go on.
    fn is_its_turn(&self, logs: &[Log; LEVELS], level: usize) -> bool {
        let is_after_what_was_over =
            (0..level).all(|below| self.taken[below] >= logs[level].began_after[below]);
        let is_before_what_was_to_come = (level + 1..LEVELS).all(|above| {
            let Log { length, began_after, .. } = logs[above];
            self.taken[level] <= began_after[level] || self.taken[above] == length
        });
        is_after_what_was_over && is_before_what_was_to_come
    }

    /// Is there an order of all steps that leads to what the readers found afterwards, and to so many
    /// lost?
    pub fn explains(
        &self,
        logs: &[Log; LEVELS],
        rests: &[Option<Log>; READERS],
        lost: usize,
    ) -> bool {
        let mut is_over = true;
        for (level, log) in logs.iter().enumerate() {
            let Some(&step) = log.steps().get(usize::from(self.taken[level])) else { continue };
            is_over = false;
            if !self.is_its_turn(logs, level) {
                continue;
            }
            let mut next = *self;
            let interrupts_publish = logs[..level].iter().zip(self.taken).any(|(log, taken)| {
                matches!(
                    log.steps().get(usize::from(taken)),
                    Some(Step::Published(_) | Step::Refused(_))
                )
            });
            match next.step(level, self.parts[level], step, interrupts_publish) {
                Taken::Not => continue,
                Taken::Part => next.parts[level] += 1,
                Taken::All => {
                    next.parts[level] = 0;
                    next.taken[level] += 1;
                }
            }
            if next.explains(logs, rests, lost) {
                return true;
            }
        }
        is_over && usize::from(self.lost) == lost && self.under_way() == 0 && self.ends_with(rests)
    }

    #[inline(never)]
    fn ends_with(&self, rests: &[Option<Log>; READERS]) -> bool {
        let mut quiet = *self;
        rests.iter().enumerate().all(|(reader, rest)| {
            let mut steps = rest.iter().flat_map(Log::steps);
            steps.all(|step| matches!(quiet.step(reader, 0, *step, false), Taken::All))
        })
    }
}
