//! The end of a drain: what was done, what is left, and what was lost.

use core::mem;

use bevy_ecs::message::Messages;
use bevy_ecs::world::World;

use super::buses::Buses;
use super::delivery::Delivery;
use super::frame::EventBusState;
use super::intake::Intakes;
use super::stats::{BusCounts, BusOverrun, EventBusStats};
use super::turn::Turn;

/// Puts the pending events away, and writes the numbers of the frame. `generations` is the number of
/// generations, and `spent` whether anything but the end of the drain keeps events on the bus. Returns
/// whether the next frame has something to do.
pub(super) fn close<E: Send + Sync + 'static>(
    world: &mut World,
    intakes: &mut Intakes<E>,
    delivery: &mut Delivery<E>,
    turn: &Turn,
    generations: usize,
    spent: bool,
) -> bool {
    // An observer may have reset them.
    Buses::begin_anew(world);
    world.get_resource_or_init::<EventBusState<E>>().make_room(intakes.buses.len());
    let Intakes { buses, first, keeps_pending, kinds } = intakes;
    let mut busy = false;
    for (at, bus) in buses.iter_mut().enumerate() {
        if *keeps_pending && turn.open[at] {
            let room = bus.capacity.saturating_sub(bus.pending.len());
            if room > 0 {
                bus.reader.read(room, &mut delivery.batch.events);
                bus.pending.extend(delivery.batch.events.drain(..));
            }
        }
        let now = bus.reader.stats();
        let (dropped, refused) = (
            now.dropped().wrapping_sub(bus.seen.dropped()),
            now.refused.wrapping_sub(bus.seen.refused),
        );
        let taken = bus.take_counts(&mut delivery.unhandled[at]);
        let counts = BusCounts { dropped, refused, ..taken };
        bus.seen = now;
        let waiting = bus.pending.len() + now.pending;
        busy |= waiting > 0 || counts != BusCounts::default();

        let slot = *first + at;
        let mut stats = world.get_resource_or_init::<EventBusStats>();
        let told = &mut stats.buses[slot];
        told.frame = BusCounts::default();
        told.count(counts);
        told.left = waiting;
        told.high_water = now.high_water;
        let event = told.event;
        told.left_by_kind.iter_mut().for_each(|count| *count = 0);
        for (told, count) in told.discarded_by_kind.iter_mut().zip(&mut bus.discarded) {
            *told = mem::take(count);
        }
        if let Some(kinds) = kinds {
            for waiting in &bus.pending {
                if let Some(count) = told.left_by_kind.get_mut((kinds.kind)(waiting)) {
                    *count += 1;
                }
            }
        }
        let left = if spent && turn.open[at] { waiting } else { 0 };
        if left > 0 || dropped > 0 || refused > 0 {
            let overrun = BusOverrun { event, priority: at, subject: None, left, dropped, refused };
            tell(world, overrun, slot, kinds.map_or(&[], |kinds| kinds.subjects));
        }
        let mut state = world.get_resource_or_init::<EventBusState<E>>();
        let kept = &mut state.buses[at];
        if !bus.pending.is_empty() {
            mem::swap(&mut bus.pending, &mut kept.pending);
        }
        let held = kept.held.len();
        busy |= held > 0; // a pause may have to discard them
        world.get_resource_or_init::<EventBusStats>().buses[slot].left += held;
    }
    let mut stats = world.get_resource_or_init::<EventBusStats>();
    stats.generations = stats.generations.max(generations);
    stats.spent += turn.spent();
    busy
}

/// Writes an overrun, one for each kind where kinds are known. `slot` is the place of the bus in the
/// statistics.
fn tell(world: &mut World, overrun: BusOverrun, slot: usize, subjects: &[&'static str]) {
    world.resource_mut::<Buses>().overrun = true;
    let mut unattributed = overrun.left;
    // Events that are left for another reason, such as a pause, are not an overrun.
    let subjects = if overrun.left > 0 { subjects } else { &[] };
    for (kind, subject) in subjects.iter().enumerate() {
        let told = &world.resource::<EventBusStats>().buses[slot];
        let left = told.left_by_kind.get(kind).copied().unwrap_or(0);
        if left > 0 {
            unattributed = unattributed.saturating_sub(left);
            let subject = Some(*subject);
            let of_kind = BusOverrun { subject, left, dropped: 0, refused: 0, ..overrun };
            world.get_resource_or_init::<Messages<BusOverrun>>().write(of_kind);
        }
    }
    // What the bus holds beyond the pending events, and what it lost.
    if unattributed > 0 || overrun.dropped > 0 || overrun.refused > 0 {
        let rest = BusOverrun { left: unattributed, ..overrun };
        world.get_resource_or_init::<Messages<BusOverrun>>().write(rest);
    }
}
