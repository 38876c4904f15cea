//! The drain: from the lanes of a bus into the world, once a frame.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;
use core::any::type_name;
use core::time::Duration;

use bevy_ecs::message::Messages;
use bevy_ecs::world::World;

use super::bus::Read;
use super::buses::{Buses, Drained};
use super::clock::{self, Clock};
use super::frame::{EventBusState, FrameReaders, LaneState};
use super::route::{BusDrained, Routes, is_observed};
use super::share::{MAX_LANES, allot};
use super::{BusOverrun, EventBusConfig, EventBusStats, LaneCounts, PausePolicy};
use crate::Stats;

/// Events between two looks at the clock.
const BATCH: usize = 64;

/// How many drains come after the last that found something: messages of a pause live two frames.
const LINGER: u8 = 2;

/// The kinds of an event.
pub(super) struct Kinds<E> {
    pub(super) subjects: &'static [&'static str],
    pub(super) kind: fn(&E) -> usize,
}

/// How the events of a bus are told their fixed step.
pub(super) struct Steps<E> {
    /// The clock of the stamps, now.
    pub(super) now: Clock,
    /// The stamp.
    pub(super) at: fn(&E) -> Duration,
}

// By hand, for a derive would ask the same of the event.
impl<E> Clone for Kinds<E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for Kinds<E> {}

impl<E> Clone for Steps<E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for Steps<E> {}

/// One bus with its lanes and its ways into the world.
pub(super) struct Work<E: Send + Sync + 'static> {
    /// Its place in the configuration.
    pub(super) index: usize,
    /// The place of its first lane in the statistics.
    pub(super) first_lane: usize,
    pub(super) lanes: Vec<Lane<E>>,
    /// Whether the rest moves to the backlog.
    pub(super) keeps_backlog: bool,
    pub(super) kinds: Option<Kinds<E>>,
    pub(super) clock: Option<Clock>,
    pub(super) steps: Option<Steps<E>>,
    pub(super) routes: Routes<E>,
    pub(super) batch: BusDrained<E>,
    /// How many events of the batch the observers have been given.
    pub(super) observed: usize,
    /// Whether observers have been given the batch as a whole.
    pub(super) announced: bool,
    /// For how many frames a drain has to come, whether there are events or not: to end the frame
    /// that was, and to count from zero.
    pub(super) linger: u8,
}

/// One bus of several that carry the same event.
pub(super) struct Lane<E> {
    reader: Box<dyn Read<E>>,
    capacity: usize,
    /// The numbers of the bus when they were last looked at.
    seen: Stats,
    /// Taken and not delivered. Between two drains it is in the world.
    backlog: VecDeque<E>,
    /// What happened in this frame.
    counts: LaneCounts,
    /// How many of each kind were discarded in this frame, where kinds are known.
    discarded: Vec<usize>,
}

impl<E> Lane<E> {
    pub(super) fn new(reader: Box<dyn Read<E>>, capacity: usize, kinds: usize) -> Self {
        let seen = reader.stats();
        let (backlog, counts) = (VecDeque::new(), LaneCounts::default());
        Self { reader, capacity, seen, backlog, counts, discarded: vec![0; kinds] }
    }

    /// Drops all that waits.
    fn discard(&mut self, kept: &mut LaneState<E>, kinds: Option<Kinds<E>>) {
        let Self { counts, discarded, .. } = self;
        let mut each = |event: &E| {
            counts.discarded += 1;
            let kind = kinds.map(|kinds| (kinds.kind)(event));
            if let Some(of_kind) = kind.and_then(|kind| discarded.get_mut(kind)) {
                *of_kind += 1;
            }
        };
        self.backlog.drain(..).for_each(|event| each(&event));
        kept.held.drain(..).for_each(|(_, event)| each(&event));
        self.reader.discard(&mut each);
    }

    fn waiting(&self) -> usize {
        self.backlog.len() + self.reader.backlog()
    }

    /// The most that can ever be taken at once.
    fn most(&self) -> usize {
        self.backlog.len() + self.capacity
    }

    /// Takes at most `limit` events, oldest first.
    fn take(&mut self, limit: usize, into: &mut Vec<E>) -> usize {
        let before = into.len();
        let old = limit.min(self.backlog.len());
        into.extend(self.backlog.drain(..old));
        if limit > old {
            self.reader.read(limit - old, into);
        }
        into.len() - before
    }
}

/// What holds for one drain.
struct Frame {
    /// Which lanes may deliver.
    open: [bool; MAX_LANES],
    /// When the drain has to end.
    end: Option<(Clock, Duration)>,
}

impl Frame {
    fn is_late(&self) -> bool {
        self.end.is_some_and(|(now, end)| now() >= end)
    }
}

impl<E: Send + Sync + 'static> Drained for Work<E> {
    fn is_idle(&self) -> bool {
        // What a bus with a backlog keeps may have come back by a rollback.
        self.linger == 0
            && !self.keeps_backlog
            && self.batch.events.is_empty()
            && self.lanes.iter().all(|lane| lane.reader.backlog() == 0)
    }

    #[cfg(feature = "bevy_time")]
    fn is_fixed(&self) -> bool {
        self.steps.is_some()
    }

    fn drain(&mut self, world: &mut World) {
        if let Some(routes) = world.remove_resource::<Routes<E>>() {
            self.routes.append(routes);
        }
        let begin = self.clock.map(|now| (now, now()));
        let config = world.resource::<EventBusConfig>();
        let settings = &config.buses[self.index];
        let (budget, generations) = (settings.budget, settings.generations.max(1));
        let message_limit = settings.message_limit;
        let paused = config.paused || clock::stands_still(world);
        let mut frame = Frame { open: [true; MAX_LANES], end: None };
        let mut discards = [false; MAX_LANES];
        if paused {
            for (at, policy) in settings.pause.iter().enumerate().take(MAX_LANES) {
                frame.open[at] = *policy == PausePolicy::PassThrough;
                discards[at] = *policy == PausePolicy::Drop;
            }
        }
        if let (Some((now, begin)), Some(time)) = (begin, budget.time) {
            frame.end = Some((now, begin.saturating_add(time)));
        }

        // Not in a pause by hand: fixed steps go on, and may not have read what Bevy keeps for them.
        let passing =
            clock::keeps_messages(world, paused) && frame.open[..self.lanes.len()].contains(&true);
        if passing || world.resource::<Buses>().by_hand {
            self.routes.age(world);
        }
        self.open_state(world, &discards);
        // What the panic of an observer has interrupted.
        let mut worked = usize::from(!self.batch.events.is_empty());
        self.observe(world);
        self.deliver(world);

        let mut left = budget.events.max(1).min(self.room(world, message_limit));
        // Whether anything but the end of the drain keeps events on the bus.
        let mut spent = left == 0;
        if self.steps.is_some() {
            spent |= self.hold(world, &frame, left);
        } else {
            for _ in 0..generations {
                let taken = self.generation(world, &frame, left);
                if taken == 0 {
                    break;
                }
                worked += 1;
                left = left.saturating_sub(taken);
                self.deliver(world);
                spent = left == 0 || frame.is_late();
                if spent {
                    break;
                }
            }
        }
        self.close(world, &frame, spent);

        let mut stats = world.resource_mut::<EventBusStats>();
        stats.generations = stats.generations.max(worked);
        if let Some((now, begin)) = begin {
            stats.spent += now().saturating_sub(begin);
        }
    }

    #[cfg(feature = "bevy_time")]
    fn release(&mut self, world: &mut World, end: Duration) {
        self.observe(world);
        self.deliver(world);

        let config = world.resource::<EventBusConfig>();
        let mut stopped = [false; MAX_LANES];
        if let Some(settings) = config.buses.get(self.index).filter(|_| config.paused) {
            for (stopped, policy) in stopped.iter_mut().zip(&settings.pause) {
                *stopped = *policy != PausePolicy::PassThrough;
            }
        }
        let mut delivered = [0; MAX_LANES];
        let mut state = world.resource_mut::<EventBusState<E>>();
        state.begin_frame(&mut self.batch.events);
        for (at, kept) in state.lanes.iter_mut().enumerate().filter(|(at, _)| !stopped[*at]) {
            let before = self.batch.events.len();
            let due = kept.held.extract_if(.., |(at, _)| *at < end);
            self.batch.events.extend(due.map(|(_, event)| event));
            delivered[at] = self.batch.events.len() - before;
        }
        if self.batch.events.is_empty() {
            return;
        }
        let mut stats = world.resource_mut::<EventBusStats>();
        for (told, delivered) in stats.lanes.iter_mut().skip(self.first_lane).zip(delivered) {
            if delivered > 0 {
                told.count(LaneCounts { delivered, ..LaneCounts::default() });
                told.left = told.left.saturating_sub(delivered);
            }
        }
        self.observe(world);
        self.deliver(world);
    }
}

impl<E: Send + Sync + 'static> Work<E> {
    /// Ends the frame before, brings the backlog here, and discards what a pause says.
    fn open_state(&mut self, world: &mut World, discards: &[bool; MAX_LANES]) {
        let readers = world.get_resource::<FrameReaders<E>>().map_or(0, |readers| readers.count);
        let mut state = world.resource_mut::<EventBusState<E>>();
        if self.steps.is_none() {
            state.begin_frame(&mut self.batch.events);
        }
        state.make_cursors(readers);
        state.make_lanes(self.lanes.len());
        for (at, (lane, kept)) in self.lanes.iter_mut().zip(&mut state.lanes).enumerate() {
            if !kept.backlog.is_empty() {
                core::mem::swap(&mut lane.backlog, &mut kept.backlog);
            }
            if discards[at] {
                lane.discard(kept, self.kinds);
            }
        }
    }

    /// How many messages there is room for.
    fn room(&self, world: &World, limit: usize) -> usize {
        let waiting = self.routes.slices.iter().map(|route| route.waiting(world)).max();
        waiting.map_or(usize::MAX, |waiting| limit.max(1).saturating_sub(waiting))
    }

    /// How many events each lane may deliver.
    fn allot(&self, world: &mut World, frame: &Frame, budget: usize) -> [usize; MAX_LANES] {
        let mut waiting = [0; MAX_LANES];
        let mut most = 0_usize;
        for (at, lane) in self.lanes.iter().enumerate().filter(|(at, _)| frame.open[*at]) {
            waiting[at] = lane.waiting();
            most = most.saturating_add(lane.most());
        }
        if most <= budget && frame.end.is_none() {
            // Whatever is published meanwhile: a drain without a limit is the fast one.
            for (waiting, lane) in waiting.iter_mut().zip(&self.lanes).filter(|(w, _)| **w > 0) {
                *waiting = lane.most();
            }
        }
        if self.lanes.len() == 1 {
            waiting[0] = waiting[0].min(budget);
            return waiting;
        }
        let mut state = world.resource_mut::<EventBusState<E>>();
        let mut credits = [0; MAX_LANES];
        for (credit, kept) in credits.iter_mut().zip(&state.lanes) {
            *credit = kept.credit;
        }
        let allowed = allot(budget, &waiting, &mut credits);
        for (credit, kept) in credits.iter().zip(&mut state.lanes) {
            kept.credit = *credit;
        }
        allowed
    }

    /// Takes a generation of events into the batch, and gives it to the observers.
    fn generation(&mut self, world: &mut World, frame: &Frame, budget: usize) -> usize {
        let allowed = self.allot(world, frame, budget);
        let step = if frame.end.is_some() { BATCH } else { usize::MAX };
        let mut sum = 0;
        for (at, mut allowed) in allowed.into_iter().enumerate().take(self.lanes.len()) {
            let mut first = true;
            while allowed > 0 && (first || !frame.is_late()) {
                let lane = &mut self.lanes[at];
                let taken = lane.take(allowed.min(step), &mut self.batch.events);
                if taken == 0 {
                    break; // displaced meanwhile
                }
                lane.counts.delivered += taken;
                // Without a time to look at, one drain is all of this generation.
                allowed = if frame.end.is_some() { allowed.saturating_sub(taken) } else { 0 };
                sum += taken;
                first = false;
                if frame.end.is_some() {
                    self.observe(world);
                }
            }
        }
        // After all lanes are drained: what observers publish is of the next generation.
        self.observe(world);
        sum
    }

    /// Gives the observers what they have not seen of the batch.
    fn observe(&mut self, world: &mut World) {
        let (events, seen) = (&mut self.batch.events, &mut self.observed);
        if self.routes.observers.iter().any(|observers| observers.is_observed(world)) {
            if let [only] = &self.routes.observers[..] {
                only.observe_all(world, events, seen);
            }
            while let Some(event) = events.get_mut(*seen) {
                *seen += 1;
                self.routes.observers.iter().for_each(|observers| observers.observe(world, event));
            }
        }
        *seen = events.len();
    }

    /// Gives the batch to all who take slices, and leaves it empty.
    fn deliver(&mut self, world: &mut World) {
        if self.batch.events.is_empty() {
            return;
        }
        if !core::mem::replace(&mut self.announced, true) && is_observed::<BusDrained<E>>(world) {
            world.trigger_ref(&mut self.batch);
            world.flush();
        }
        // Out of the batch: who panics while picking or cloning is not given the same events again.
        let mut events = core::mem::take(&mut self.batch.events);
        self.observed = 0;
        self.announced = false;
        let frame = self.routes.frame || world.resource::<EventBusState<E>>().has_readers();
        if let Some((last, others)) = self.routes.slices.split_last_mut() {
            others.iter_mut().for_each(|route| route.deliver(world, &events));
            if frame {
                last.deliver(world, &events);
            } else {
                last.deliver_last(world, &mut events);
            }
        }
        if frame {
            world.resource_mut::<EventBusState<E>>().extend_frame(&mut events);
        }
        events.clear();
        self.batch.events = events;
    }

    /// Takes what the budget allows, to be released in the fixed steps that cover it.
    /// Whether it had to leave any.
    fn hold(&mut self, world: &mut World, frame: &Frame, budget: usize) -> bool {
        let Some(steps) = &self.steps else { return false };
        let time = clock::fixed(world, type_name::<E>());
        let now = (steps.now)();
        let stamp = steps.at;
        let allowed = self.allot(world, frame, budget);
        let mut left = false;
        let mut state = world.resource_mut::<EventBusState<E>>();
        for (at, (lane, kept)) in self.lanes.iter_mut().zip(&mut state.lanes).enumerate() {
            let room = lane.capacity.saturating_sub(kept.held.len()).min(allowed[at]);
            left |= frame.open[at] && lane.take(room, &mut self.batch.events) >= room;
            for event in self.batch.events.drain(..) {
                let at = time.of(now.saturating_sub(stamp(&event)));
                lane.counts.late += usize::from(at < time.begin);
                kept.held.push((at, event));
            }
        }
        left
    }

    /// Puts the backlog away and tells what was done and what is left.
    fn close(&mut self, world: &mut World, frame: &Frame, spent: bool) {
        // An observer may have reset them.
        Buses::begin_anew(world);
        world.resource_mut::<EventBusState<E>>().make_lanes(self.lanes.len());
        let mut busy = false;
        for at in 0..self.lanes.len() {
            let lane = &mut self.lanes[at];
            if self.keeps_backlog && frame.open[at] {
                let room = lane.capacity.saturating_sub(lane.backlog.len());
                if room > 0 {
                    lane.reader.read(room, &mut self.batch.events);
                    lane.backlog.extend(self.batch.events.drain(..));
                }
            }
            let now = lane.reader.stats();
            let counts = LaneCounts {
                dropped: now.dropped().wrapping_sub(lane.seen.dropped()),
                refused: now.refused.wrapping_sub(lane.seen.refused),
                ..core::mem::take(&mut lane.counts)
            };
            lane.seen = now;
            let waiting = lane.backlog.len() + now.pending;
            busy |= waiting > 0 || counts != LaneCounts::default();

            let lost = counts.dropped.wrapping_add(counts.refused);
            let left = if spent && frame.open[at] { waiting } else { 0 };
            let mut stats = world.resource_mut::<EventBusStats>();
            let told = &mut stats.lanes[self.first_lane + at];
            told.frame = LaneCounts::default();
            told.count(counts);
            told.left = waiting;
            told.high_water = now.high_water;
            let event = told.event;
            told.left_by_kind.iter_mut().for_each(|count| *count = 0);
            for (told, count) in told.discarded_by_kind.iter_mut().zip(&mut lane.discarded) {
                *told = core::mem::take(count);
            }
            if let Some(kinds) = &self.kinds {
                for waiting in &lane.backlog {
                    if let Some(count) = told.left_by_kind.get_mut((kinds.kind)(waiting)) {
                        *count += 1;
                    }
                }
            }
            if left > 0 || lost > 0 {
                let overrun = BusOverrun { event, lane: at, subject: None, left, lost };
                let subjects = self.kinds.as_ref().map_or(&[][..], |kinds| kinds.subjects);
                tell(world, overrun, self.first_lane + at, subjects);
            }
            let mut state = world.resource_mut::<EventBusState<E>>();
            let kept = &mut state.lanes[at];
            if !lane.backlog.is_empty() {
                core::mem::swap(&mut lane.backlog, &mut kept.backlog);
            }
            let held = kept.held.len();
            busy |= held > 0; // a pause may have to discard them
            world.resource_mut::<EventBusStats>().lanes[self.first_lane + at].left += held;
        }
        self.linger = if busy { LINGER } else { self.linger.saturating_sub(1) };
    }
}

/// Writes an overrun, one for each kind where kinds are known; `slot` is the lane's in the statistics.
fn tell(world: &mut World, overrun: BusOverrun, slot: usize, subjects: &[&'static str]) {
    world.resource_mut::<Buses>().overrun = true;
    let mut unattributed = overrun.left;
    // What is left otherwise, in a pause for example, is no overrun.
    let subjects = if overrun.left > 0 { subjects } else { &[] };
    for (kind, subject) in subjects.iter().enumerate() {
        let left = world.resource::<EventBusStats>().lanes[slot].left_by_kind[kind];
        if left > 0 {
            unattributed = unattributed.saturating_sub(left);
            let of_kind = BusOverrun { subject: Some(*subject), left, lost: 0, ..overrun };
            world.resource_mut::<Messages<BusOverrun>>().write(of_kind);
        }
    }
    // What the bus has beyond the backlog, and what it lost.
    if unattributed > 0 || overrun.lost > 0 {
        let rest = BusOverrun { left: unattributed, ..overrun };
        world.resource_mut::<Messages<BusOverrun>>().write(rest);
    }
}
