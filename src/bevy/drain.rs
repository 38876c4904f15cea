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
use super::frame::{EventBusState, LaneState, make_cursors};
use super::route::{BusDrained, Routes, is_observed};
use super::share::{MAX_LANES, allot};
use super::{BusOverrun, EventBusConfig, EventBusStats, LaneCounts, PausePolicy};
use crate::bus::Stats;
use crate::event::Event;

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

impl<E: Event> Kinds<E> {
    pub(super) fn of() -> Self {
        Self { subjects: E::SUBJECTS, kind: E::kind }
    }
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
    /// Whether the rest moves to the pending.
    pub(super) keeps_backlog: bool,
    pub(super) kinds: Option<Kinds<E>>,
    pub(super) clock: Option<Clock>,
    pub(super) steps: Option<Steps<E>>,
    pub(super) routes: Routes<E>,
    /// Whether the app has started, and the bus was found to have a delivery.
    pub(super) started: bool,
    /// The places of the message types of the routes among those of the app.
    pub(super) messages: Vec<usize>,
    pub(super) batch: BusDrained<E>,
    /// How many events of the batch are of each lane. Those of the first lane come first.
    pub(super) in_batch: [usize; MAX_LANES],
    /// Which events of the batch a delivery has taken, where a delivery may not; shorter than the batch
    /// where none has.
    pub(super) taken: Vec<bool>,
    /// The kinds of which it was told that no delivery takes them. One place for all if kinds are not known.
    pub(super) told: Vec<bool>,
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
    pending: VecDeque<E>,
    /// What happened in this frame.
    counts: LaneCounts,
    /// How many of each kind were discarded in this frame, where kinds are known.
    discarded: Vec<usize>,
}

impl<E> Lane<E> {
    pub(super) fn new(reader: Box<dyn Read<E>>, capacity: usize, kinds: usize) -> Self {
        let seen = reader.stats();
        let (pending, counts) = (VecDeque::new(), LaneCounts::default());
        Self { reader, capacity, seen, pending, counts, discarded: vec![0; kinds] }
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
        // One by one: where `each` panics, the others stay.
        while let Some(event) = self.pending.pop_front() {
            each(&event);
        }
        while let Some((_, event)) = kept.held.pop() {
            each(&event);
        }
        self.reader.discard(&mut each);
    }

    fn waiting(&self) -> usize {
        self.pending.len() + self.reader.pending()
    }

    /// The most that can ever be taken at once.
    fn most(&self) -> usize {
        self.pending.len() + self.capacity
    }

    /// Takes at most `limit` events, oldest first.
    fn take(&mut self, limit: usize, into: &mut Vec<E>) -> usize {
        let before = into.len();
        let old = limit.min(self.pending.len());
        into.extend(self.pending.drain(..old));
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
    /// Which lanes drop what they have.
    discards: [bool; MAX_LANES],
    /// Whether the drain is to drop old messages, for Bevy does not.
    ages: bool,
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
        // What a bus with a pending keeps may have come back by a rollback.
        self.linger == 0
            && !self.keeps_backlog
            && self.batch.events.is_empty()
            && self.lanes.iter().all(|lane| lane.reader.pending() == 0)
    }

    #[cfg(feature = "bevy_time")]
    fn is_fixed(&self) -> bool {
        self.steps.is_some()
    }

    fn begin(&mut self, world: &mut World) {
        if self.started && self.is_idle() {
            return;
        }
        if let Some(routes) = world.remove_resource::<Routes<E>>() {
            self.adopt(world, routes);
        }
        if !self.started {
            let name = type_name::<E>();
            assert!(
                !self.routes.is_empty() || is_observed::<BusDrained<E>>(world),
                "the bus of `{name}` has no delivery, so that all its events would be lost: call \
                 `add_bus_message::<{name}>()`, or another line of `EventBusAppExt`, on the app, or add an \
                 observer of `BusDrained<{name}>` before the first frame"
            );
            self.started = true;
        }
        if !self.is_idle() && self.frame(world).ages {
            let mut buses = world.resource_mut::<Buses>();
            self.messages.iter().for_each(|at| buses.messages[*at].due = true);
        }
    }

    fn drain(&mut self, world: &mut World) {
        let begin = self.clock.map(|now| (now, now()));
        let mut frame = self.frame(world);
        let settings = &world.resource::<EventBusConfig>().buses[self.index];
        let (budget, generations) = (settings.budget, settings.generations.max(1));
        let message_limit = settings.message_limit;
        if let (Some((now, begin)), Some(time)) = (begin, budget.time) {
            frame.end = Some((now, begin.saturating_add(time)));
        }

        self.open_state(world, &frame.discards);
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

        let mut stats = world.get_resource_or_init::<EventBusStats>();
        stats.generations = stats.generations.max(worked);
        if let Some((now, begin)) = begin {
            stats.spent += now().saturating_sub(begin);
        }
    }

    #[cfg(feature = "bevy_time")]
    fn release(&mut self, world: &mut World, end: Duration) {
        self.observe(world);
        self.deliver(world);

        let config = world.get_resource_or_init::<EventBusConfig>();
        let mut stopped = [false; MAX_LANES];
        if let Some(settings) = config.buses.get(self.index).filter(|_| config.paused) {
            for (stopped, policy) in stopped.iter_mut().zip(&settings.pause) {
                *stopped = *policy != PausePolicy::PassThrough;
            }
        }
        let mut state = world.get_resource_or_init::<EventBusState<E>>();
        state.begin_frame(&mut self.batch.events);
        let lanes = self.lanes.iter_mut().zip(&mut state.lanes);
        for (at, (lane, kept)) in lanes.enumerate().filter(|(at, _)| !stopped[*at]) {
            let before = self.batch.events.len();
            let due = kept.held.extract_if(.., |(at, _)| *at < end);
            self.batch.events.extend(due.map(|(_, event)| event));
            self.in_batch[at] = self.batch.events.len() - before;
            lane.counts.delivered += self.in_batch[at];
        }
        if self.batch.events.is_empty() {
            return;
        }
        let released = self.in_batch;
        self.observe(world);
        self.deliver(world);

        let mut stats = world.get_resource_or_init::<EventBusStats>();
        let told = stats.lanes.iter_mut().skip(self.first_lane);
        for ((told, lane), released) in told.zip(&mut self.lanes).zip(released) {
            if released > 0 {
                told.count(core::mem::take(&mut lane.counts));
                told.left = told.left.saturating_sub(released);
            }
        }
    }
}

impl<E: Send + Sync + 'static> Work<E> {
    /// Takes over what an app says that the bus delivers to.
    fn adopt(&mut self, world: &mut World, routes: Routes<E>) {
        self.routes.append(routes);
        let mut buses = world.resource_mut::<Buses>();
        self.messages.clear();
        for route in &self.routes.slices {
            let message = route.message();
            let known = buses.messages.iter().position(|other| other.of == message.of);
            let at = known.unwrap_or(buses.messages.len());
            if known.is_none() {
                buses.messages.push(message);
            }
            if !self.messages.contains(&at) {
                self.messages.push(at);
            }
        }
    }

    /// What holds for a drain, without a time at which it has to end.
    fn frame(&self, world: &World) -> Frame {
        let config = world.resource::<EventBusConfig>();
        let paused = config.paused || clock::stands_still(world);
        let mut open = [true; MAX_LANES];
        let mut discards = [false; MAX_LANES];
        if paused {
            let pause = &config.buses[self.index].pause;
            for (at, policy) in pause.iter().enumerate().take(MAX_LANES) {
                open[at] = *policy == PausePolicy::PassThrough;
                discards[at] = *policy == PausePolicy::Drop;
            }
        }
        // Not in a pause by hand: fixed steps go on, and may not have read what Bevy keeps for them.
        let passing =
            clock::keeps_messages(world, paused) && open[..self.lanes.len()].contains(&true);
        let ages = passing || world.resource::<Buses>().by_hand.is_some();
        Frame { open, discards, ages, end: None }
    }

    /// Ends the frame before, brings the pending here, and discards what a pause says.
    fn open_state(&mut self, world: &mut World, discards: &[bool; MAX_LANES]) {
        let mut state = world.get_resource_or_init::<EventBusState<E>>();
        if self.steps.is_none() {
            state.begin_frame(&mut self.batch.events);
        }
        make_cursors::<E>(world);
        let mut state = world.resource_mut::<EventBusState<E>>();
        state.make_lanes(self.lanes.len());
        for (at, (lane, kept)) in self.lanes.iter_mut().zip(&mut state.lanes).enumerate() {
            if !kept.pending.is_empty() {
                core::mem::swap(&mut lane.pending, &mut kept.pending);
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
        let mut state = world.get_resource_or_init::<EventBusState<E>>();
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
                self.in_batch[at] += taken;
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
        let observers = &self.routes.observers[..];
        if observers.iter().any(|observers| observers.is_observed(world)) {
            if !self.routes.take_all() {
                self.taken.resize(events.len(), false);
            }
            if let [only] = observers {
                only.observe_all(world, events, seen, &mut self.taken);
            }
            let mut unused = false;
            while let Some(event) = events.get_mut(*seen) {
                let taken = self.taken.get_mut(*seen).unwrap_or(&mut unused);
                *seen += 1;
                observers.iter().for_each(|observers| observers.observe(world, event, taken));
            }
        }
        *seen = events.len();
    }

    /// Gives the batch to all who take slices, and leaves it empty.
    fn deliver(&mut self, world: &mut World) {
        if self.batch.events.is_empty() {
            return;
        }
        let mut all = self.routes.take_all();
        if core::mem::replace(&mut self.announced, true) {
            all = true; // an observer of the batch has panicked
        } else if is_observed::<BusDrained<E>>(world) {
            world.trigger_ref(&mut self.batch);
            world.flush();
            all = true;
        }
        // Out of the batch: if a route panics while picking or cloning, no route gets the same events again.
        let mut events = core::mem::take(&mut self.batch.events);
        let mut taken = core::mem::take(&mut self.taken);
        let in_batch = core::mem::take(&mut self.in_batch);
        self.observed = 0;
        self.announced = false;
        taken.resize(if all { 0 } else { events.len() }, false);
        let frame = self.routes.frame;
        if let Some((last, others)) = self.routes.slices.split_last_mut() {
            others.iter_mut().for_each(|route| route.deliver(world, &events, &mut taken));
            if frame || !all {
                last.deliver(world, &events, &mut taken);
            } else {
                last.deliver_last(world, &mut events, &mut taken);
            }
        }
        if frame {
            world.get_resource_or_init::<EventBusState<E>>().extend_frame(&mut events);
        }
        if taken.contains(&false) {
            self.count_unhandled(&events, &taken, in_batch);
        }
        events.clear();
        taken.clear();
        self.batch.events = events;
        self.taken = taken;
    }

    /// Counts the events that no delivery has taken, and tells of each kind once.
    fn count_unhandled(&mut self, events: &[E], taken: &[bool], in_batch: [usize; MAX_LANES]) {
        let mut rest = taken;
        for (lane, count) in self.lanes.iter_mut().zip(in_batch) {
            let (own, others) = rest.split_at(count.min(rest.len()));
            rest = others;
            let unhandled = own.iter().filter(|taken| !**taken).count();
            lane.counts.delivered = lane.counts.delivered.wrapping_sub(unhandled);
            lane.counts.unhandled = lane.counts.unhandled.wrapping_add(unhandled);
        }
        let kinds = self.kinds.or(self.routes.kinds);
        self.told.resize(kinds.map_or(1, |kinds| kinds.subjects.len()), false);
        if !self.told.contains(&false) {
            return;
        }
        for (event, _) in events.iter().zip(taken).filter(|(_, taken)| !**taken) {
            let kind = kinds.map_or(0, |kinds| (kinds.kind)(event));
            let Some(told) = self.told.get_mut(kind).filter(|told| !**told) else { continue };
            *told = true;
            let name = type_name::<E>();
            let subject = kinds.and_then(|kinds| kinds.subjects.get(kind));
            log::warn!(
                "an event of `{name}`{}{} reached no message, no observer and no frame. All such events count as \
                 `unhandled` in `EventBusStats`; this is logged once. Add a delivery, see `EventBusAppExt`",
                if subject.is_some() { " of the kind " } else { "" },
                subject.unwrap_or(&"")
            );
        }
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
        let mut state = world.get_resource_or_init::<EventBusState<E>>();
        for (at, (lane, kept)) in self.lanes.iter_mut().zip(&mut state.lanes).enumerate() {
            let room = lane.capacity.saturating_sub(kept.held.len()).min(allowed[at]);
            left |= frame.open[at] && lane.take(room, &mut self.batch.events) >= room;
            let new = kept.held.len();
            // At first as if due at once: where a stamp panics, no event is lost.
            kept.held.extend(self.batch.events.drain(..).map(|event| (Duration::ZERO, event)));
            for (at, event) in &mut kept.held[new..] {
                *at = time.of(now.saturating_sub(stamp(event)));
                lane.counts.late += usize::from(*at < time.begin);
            }
        }
        left
    }

    /// Puts the pending away and tells what was done and what is left.
    fn close(&mut self, world: &mut World, frame: &Frame, spent: bool) {
        // An observer may have reset them.
        Buses::begin_anew(world);
        world.get_resource_or_init::<EventBusState<E>>().make_lanes(self.lanes.len());
        let mut busy = false;
        for at in 0..self.lanes.len() {
            let lane = &mut self.lanes[at];
            if self.keeps_backlog && frame.open[at] {
                let room = lane.capacity.saturating_sub(lane.pending.len());
                if room > 0 {
                    lane.reader.read(room, &mut self.batch.events);
                    lane.pending.extend(self.batch.events.drain(..));
                }
            }
            let now = lane.reader.stats();
            let counts = LaneCounts {
                dropped: now.dropped().wrapping_sub(lane.seen.dropped()),
                refused: now.refused.wrapping_sub(lane.seen.refused),
                ..core::mem::take(&mut lane.counts)
            };
            lane.seen = now;
            let waiting = lane.pending.len() + now.pending;
            busy |= waiting > 0 || counts != LaneCounts::default();

            let left = if spent && frame.open[at] { waiting } else { 0 };
            let mut stats = world.get_resource_or_init::<EventBusStats>();
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
                for waiting in &lane.pending {
                    if let Some(count) = told.left_by_kind.get_mut((kinds.kind)(waiting)) {
                        *count += 1;
                    }
                }
            }
            let (dropped, refused) = (counts.dropped, counts.refused);
            if left > 0 || dropped > 0 || refused > 0 {
                let overrun = BusOverrun { event, lane: at, subject: None, left, dropped, refused };
                let subjects = self.kinds.as_ref().map_or(&[][..], |kinds| kinds.subjects);
                tell(world, overrun, self.first_lane + at, subjects);
            }
            let mut state = world.get_resource_or_init::<EventBusState<E>>();
            let kept = &mut state.lanes[at];
            if !lane.pending.is_empty() {
                core::mem::swap(&mut lane.pending, &mut kept.pending);
            }
            let held = kept.held.len();
            busy |= held > 0; // a pause may have to discard them
            world.get_resource_or_init::<EventBusStats>().lanes[self.first_lane + at].left += held;
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
        let lanes = &world.resource::<EventBusStats>().lanes;
        let left = lanes[slot].left_by_kind.get(kind).copied().unwrap_or(0);
        if left > 0 {
            unattributed = unattributed.saturating_sub(left);
            let subject = Some(*subject);
            let of_kind = BusOverrun { subject, left, dropped: 0, refused: 0, ..overrun };
            world.get_resource_or_init::<Messages<BusOverrun>>().write(of_kind);
        }
    }
    // What the bus has beyond the pending, and what it lost.
    if unattributed > 0 || overrun.dropped > 0 || overrun.refused > 0 {
        let rest = BusOverrun { left: unattributed, ..overrun };
        world.get_resource_or_init::<Messages<BusOverrun>>().write(rest);
    }
}
