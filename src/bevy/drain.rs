//! The drain: from the buses of an app into its world, once a frame.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::any::{TypeId, type_name};
use core::time::Duration;

use bevy_ecs::message::Messages;
use bevy_ecs::resource::Resource;
use bevy_ecs::system::Res;
use bevy_ecs::world::World;

use super::bus::Read;
use super::clock::{self, Clock};
use super::frame::{EventBusState, FrameReaders};
use super::route::{BusDrained, Routes, is_observed};
use super::{BusOverrun, EventBusConfig, EventBusStats, LaneCounts, PausePolicy};
use crate::Stats;

/// Events between two looks at the clock.
const BATCH: usize = 64;

/// Lanes below the first have a right to this part of the budget each, when they have events.
const SHARE: usize = 8;

/// So that the first lane has a part of the budget as well.
pub(super) const MAX_LANES: usize = SHARE;

/// How many drains come after the last that found something: messages of a pause live two frames.
const LINGER: u8 = 2;

/// Every bus of an app.
#[derive(Resource, Default)]
pub(super) struct Buses {
    pub(super) buses: Vec<Entry>,
    /// Events that somebody wants delivered, and that nobody has looked for yet.
    pub(super) wanted: Vec<(TypeId, &'static str)>,
    /// Nobody but the drain ends the life of messages: the app has no main schedule.
    pub(super) by_hand: bool,
    /// Every lane of every bus.
    pub(super) lanes: Vec<&'static dyn Pending>,
    /// Whether a drain has to come even if nothing is pending.
    pub(super) busy: bool,
    /// Whether there are overruns to forget.
    overrun: bool,
}

/// Whether a lane has events. A trait of its own, because it knows no event.
pub(super) trait Pending: Send + Sync {
    fn is_pending(&self) -> bool;
}

/// One bus, and what it is a bus of.
pub(super) struct Entry {
    pub(super) of: TypeId,
    /// `None` while it is drained.
    pub(super) bus: Option<Box<dyn Drained>>,
}

/// A bus without its event.
pub(super) trait Drained: Send + Sync {
    /// Whether a drain would find nothing and change nothing.
    fn is_idle(&self) -> bool;

    fn drain(&mut self, world: &mut World);

    /// Delivers what the fixed step covers that ends at `end`.
    #[cfg(feature = "bevy_time")]
    fn release(&mut self, world: &mut World, end: Duration);

    #[cfg(feature = "bevy_time")]
    fn is_fixed(&self) -> bool;
}

/// Whether there is anything to drain: a condition, so that idle buses cost no more than a look.
pub(super) fn any_work(buses: Res<Buses>) -> bool {
    buses.busy || buses.lanes.iter().any(|lane| lane.is_pending())
}

pub(super) fn drain_all(world: &mut World) {
    let mut buses = world.resource_mut::<Buses>();
    buses.busy = true; // until all has gone well
    for (of, name) in core::mem::take(&mut buses.wanted) {
        assert!(
            buses.buses.iter().any(|entry| entry.of == of),
            "events of `{name}` are to be delivered, but no bus carries them: add an \
             `EventBusPlugin` with a bus of `{name}`"
        );
    }
    if core::mem::take(&mut buses.overrun) {
        let mut overruns = world.resource_mut::<Messages<BusOverrun>>();
        overruns.update();
        let any = !overruns.is_empty();
        world.resource_mut::<Buses>().overrun = any;
    }
    let mut stats = world.resource_mut::<EventBusStats>();
    stats.generations = 0;
    stats.spent = Duration::ZERO;
    let mut busy = false;
    for at in 0..world.resource::<Buses>().buses.len() {
        with_bus(world, at, |bus, world| {
            if !bus.is_idle() {
                bus.drain(world);
            }
            busy |= !bus.is_idle();
        });
    }
    let mut buses = world.resource_mut::<Buses>();
    buses.busy = busy || buses.overrun;
}

/// Whether fixed steps have anything to do with a bus.
#[cfg(feature = "bevy_time")]
pub(super) fn any_fixed(buses: Res<Buses>) -> bool {
    buses.buses.iter().any(|entry| entry.bus.as_ref().is_some_and(|bus| bus.is_fixed()))
}

#[cfg(feature = "bevy_time")]
pub(super) fn release_all(world: &mut World) {
    let end = clock::end_of_step(world);
    for at in 0..world.resource::<Buses>().buses.len() {
        with_bus(world, at, |bus, world| {
            if bus.is_fixed() {
                bus.release(world, end);
            }
        });
    }
}

/// Takes a bus out of the world for as long as it works on the world, and puts it back also when an
/// observer panics.
pub(super) fn with_bus(
    world: &mut World,
    at: usize,
    work: impl FnOnce(&mut dyn Drained, &mut World),
) {
    struct PutBack<'w> {
        world: &'w mut World,
        at: usize,
        bus: Box<dyn Drained>,
    }

    impl Drop for PutBack<'_> {
        fn drop(&mut self) {
            let bus = core::mem::replace(&mut self.bus, Box::new(Nothing));
            if let Some(mut buses) = self.world.get_resource_mut::<Buses>() {
                buses.buses[self.at].bus = Some(bus);
            }
        }
    }

    let Some(bus) = world.resource_mut::<Buses>().buses[at].bus.take() else { return };
    let mut out = PutBack { world, at, bus };
    work(&mut *out.bus, out.world);
}

/// What stands in for a bus that goes back. Allocates nothing.
struct Nothing;

impl Drained for Nothing {
    fn is_idle(&self) -> bool {
        true
    }

    fn drain(&mut self, _: &mut World) {}

    #[cfg(feature = "bevy_time")]
    fn release(&mut self, _: &mut World, _: Duration) {}

    #[cfg(feature = "bevy_time")]
    fn is_fixed(&self) -> bool {
        false
    }
}

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
}

impl<E> Lane<E> {
    pub(super) fn new(reader: Box<dyn Read<E>>, capacity: usize) -> Self {
        let seen = reader.stats();
        Self { reader, capacity, seen, backlog: VecDeque::new(), counts: LaneCounts::default() }
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

        let passing = paused && frame.open[..self.lanes.len()].contains(&true);
        if passing || world.resource::<Buses>().by_hand {
            self.routes.slices.iter_mut().for_each(|route| route.age(world));
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
        if config.paused {
            for (stopped, policy) in stopped.iter_mut().zip(&config.buses[self.index].pause) {
                *stopped = *policy != PausePolicy::PassThrough;
            }
        }
        let mut delivered = [0; MAX_LANES];
        let mut state = world.resource_mut::<EventBusState<E>>();
        state.begin_frame();
        for (at, kept) in state.lanes.iter_mut().enumerate().filter(|(at, _)| !stopped[*at]) {
            let before = self.batch.events.len();
            let due = kept.held.extract_if(.., |(at, _)| *at < end);
            self.batch.events.extend(due.map(|(_, event)| event));
            delivered[at] = self.batch.events.len() - before;
        }
        if self.batch.events.is_empty() {
            return;
        }
        self.linger = LINGER;
        world.resource_mut::<Buses>().busy = true;
        let mut stats = world.resource_mut::<EventBusStats>();
        for (told, delivered) in stats.lanes[self.first_lane..].iter_mut().zip(delivered) {
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
            state.begin_frame();
        }
        state.make_cursors(readers);
        for (at, (lane, kept)) in self.lanes.iter_mut().zip(&mut state.lanes).enumerate() {
            if !kept.backlog.is_empty() {
                core::mem::swap(&mut lane.backlog, &mut kept.backlog);
            }
            if discards[at] {
                lane.counts.discarded += lane.backlog.len() + kept.held.len();
                lane.backlog.clear();
                kept.held.clear();
                lane.counts.discarded += lane.reader.discard();
            }
        }
    }

    /// How many messages there is room for.
    fn room(&self, world: &World, limit: usize) -> usize {
        let waiting = self.routes.slices.iter().map(|route| route.waiting(world)).max();
        waiting.map_or(usize::MAX, |waiting| limit.saturating_sub(waiting))
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
        let frame = self.routes.frame || world.resource::<EventBusState<E>>().has_readers();
        if let Some((last, others)) = self.routes.slices.split_last_mut() {
            others.iter_mut().for_each(|route| route.deliver(world, &self.batch.events));
            if frame {
                last.deliver(world, &self.batch.events);
            } else {
                last.deliver_last(world, &mut self.batch.events);
            }
        }
        if frame {
            world.resource_mut::<EventBusState<E>>().extend_frame(&mut self.batch.events);
        }
        self.batch.events.clear();
        self.observed = 0;
        self.announced = false;
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
            world.resource_mut::<EventBusStats>().lanes[self.first_lane + at].left += held;
        }
        self.linger = if busy { LINGER } else { self.linger.saturating_sub(1) };
    }
}

/// Writes an overrun, one for each kind where kinds are known; `slot` is the lane's in the statistics.
fn tell(world: &mut World, overrun: BusOverrun, slot: usize, subjects: &[&'static str]) {
    world.resource_mut::<Buses>().overrun = true;
    let mut unattributed = overrun.left;
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

/// Shares a budget out among lanes, the first being the highest.
///
/// A lane gets what the lanes above leave, and those below the first an eighth of the budget at
/// least. What makes no whole event is kept as credit, in eighths, so that a budget of 1 reaches the
/// lowest lane too. A lane that has nothing to deliver saves nothing.
fn allot(
    budget: usize,
    waiting: &[usize; MAX_LANES],
    credits: &mut [usize; MAX_LANES],
) -> [usize; MAX_LANES] {
    let all = waiting.iter().fold(0_usize, |sum, waiting| sum.saturating_add(*waiting));
    if all <= budget {
        *credits = [0; MAX_LANES];
        return *waiting;
    }
    // `budget` is less than what waits, so far from the end of its range.
    let mut owed = [0; MAX_LANES];
    for at in 1..MAX_LANES {
        credits[at] = match waiting[at] {
            0 => 0,
            // What it had no use for is not saved up: one share a frame, and the fraction.
            _ => (credits[at] + budget).min(budget + SHARE - 1),
        };
        owed[at] = (credits[at] / SHARE).min(waiting[at]);
    }
    let mut rest = budget;
    let mut promised: usize = owed.iter().sum();
    let mut allowed = [0; MAX_LANES];
    for at in 0..MAX_LANES {
        promised -= owed[at];
        allowed[at] = waiting[at].min(rest.saturating_sub(promised).max(owed[at].min(rest)));
        rest -= allowed[at];
        credits[at] -= SHARE * owed[at].min(allowed[at]);
    }
    allowed
}

#[cfg(test)]
mod tests {
    use super::{MAX_LANES, allot};

    fn lanes<const K: usize>(values: [usize; K]) -> [usize; MAX_LANES] {
        core::array::from_fn(|at| values.get(at).copied().unwrap_or(0))
    }

    fn share<const K: usize>(budget: usize, waiting: [usize; K]) -> [usize; MAX_LANES] {
        allot(budget, &lanes(waiting), &mut [0; MAX_LANES])
    }

    #[test]
    fn all_is_allowed_that_the_budget_covers() {
        assert_eq!(share(10, [4, 6]), lanes([4, 6]));
        assert_eq!(share(usize::MAX, [usize::MAX, 6]), lanes([usize::MAX, 6]));
    }

    #[test]
    fn the_first_lane_leaves_an_eighth_to_each_lane_below() {
        assert_eq!(share(80, [1000, 1000]), lanes([70, 10]));
        assert_eq!(share(80, [1000, 1000, 1000]), lanes([60, 10, 10]));
        assert_eq!(share(80, [1000, 3, 1000]), lanes([67, 3, 10]));
        assert_eq!(share(80, [0, 1000, 1000]), lanes([0, 70, 10]));
        assert_eq!(share(80, [1000; 8]), lanes([10; 8]));
    }

    /// For budgets and backlogs at random: never more than the budget or than what waits, all of the
    /// budget where enough waits, and nobody waits for ever.
    #[test]
    fn shares_add_up_and_nobody_starves() {
        let mut random = 1_u64;
        let mut next = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            ((random >> 33) % below) as usize
        };
        for _ in 0..2000 {
            let budget = 1 + next(40);
            let mut waiting: [usize; MAX_LANES] = core::array::from_fn(|_| next(3) * next(100));
            let mut credits = [0; MAX_LANES];
            let mut hungry = [0; MAX_LANES];
            for _ in 0..64 {
                let allowed = allot(budget, &waiting, &mut credits);
                let (given, all) = (allowed.iter().sum::<usize>(), waiting.iter().sum::<usize>());
                assert_eq!(given, budget.min(all));
                for at in 0..MAX_LANES {
                    assert!(allowed[at] <= waiting[at]);
                    hungry[at] =
                        if allowed[at] == 0 && waiting[at] > 0 { hungry[at] + 1 } else { 0 };
                    assert!(hungry[at] <= 15, "lane {at}, {budget}, {waiting:?}, {credits:?}");
                    waiting[at] += next(20) * 2;
                    waiting[at] -= allowed[at];
                }
            }
        }
    }
}
