//! The generations of one drain: what is pending at its start, and then what observers publish.

use bevy_ecs::world::World;

use super::delivery::Delivery;
use super::intake::Intakes;
use super::turn::Turn;

/// Events between two looks at the clock.
const BATCH: usize = 64;

/// Takes and delivers up to `budget` events. Returns the number of generations, and whether a limit ended
/// the last one.
pub(super) fn deliver_all<E: Send + Sync + 'static>(
    world: &mut World,
    intakes: &mut Intakes<E>,
    delivery: &mut Delivery<E>,
    turn: &Turn,
    mut budget: usize,
) -> (usize, bool) {
    for generation in 0..turn.generations {
        let taken = observe_one(world, intakes, delivery, turn, budget);
        if taken == 0 {
            return (generation, budget == 0);
        }
        budget = budget.saturating_sub(taken);
        delivery.deliver(world);
        if budget == 0 || turn.is_late() {
            return (generation + 1, true);
        }
    }
    (turn.generations, false)
}

/// Takes one generation into the batch, and gives it to the observers. Returns the number of events.
fn observe_one<E: Send + Sync + 'static>(
    world: &mut World,
    intakes: &mut Intakes<E>,
    delivery: &mut Delivery<E>,
    turn: &Turn,
    budget: usize,
) -> usize {
    let allowed = intakes.allot(world, turn, budget);
    let step = if turn.is_timed() { BATCH } else { usize::MAX };
    let mut sum = 0;
    for (at, (bus, mut allowed)) in intakes.buses.iter_mut().zip(allowed).enumerate() {
        let mut first = true;
        while allowed > 0 && (first || !turn.is_late()) {
            let taken = delivery.add(at, |batch| bus.take(allowed.min(step), batch));
            if taken == 0 {
                break; // displaced meanwhile
            }
            bus.count_taken(taken);
            // Without a time to look at, one take is all of this generation.
            allowed = if turn.is_timed() { allowed.saturating_sub(taken) } else { 0 };
            sum += taken;
            first = false;
            if turn.is_timed() {
                delivery.observe(world);
            }
        }
    }
    // After all buses are drained: what observers publish is of the next generation.
    delivery.observe(world);
    sum
}
