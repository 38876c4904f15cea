//! A bus of any capacity and policy, and how systems publish to it.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::any::type_name;
use core::fmt;

use bevy_ecs::resource::Resource;
use bevy_ecs::system::{Res, SystemParam};

use super::frame::no_bus;
use crate::bus::{Bus, Consumer, Policy, Stats};
use crate::error::{Claimed, Full};
use crate::wait::Waits;

/// A bus that a plugin can drain: a [`Bus`] of any capacity and policy, with waiters or without.
///
/// With waiters, tasks may wait until a frame makes room. Dropping the app wakes them too; each
/// task then waits again unless it gives up.
///
/// This trait is sealed.
///
/// ```compile_fail,E0624
/// fn claim<B: tickbus::bevy::AnyBus<u8>>(bus: &'static B) {
///     let _ = bus.claim();
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a bus of `{E}` that a plugin can drain",
    note = "a plugin drains a `static` `Bus`; a `tickbus::Lane` has one publisher, and a \
            Bevy app has many"
)]
#[expect(private_bounds, reason = "sealed: no path outside this crate names or calls `Publish`")]
pub trait AnyBus<E>: Publish<E> {}

/// A bus without its capacity and its policy in the type.
pub(crate) trait Publish<E>: Pending {
    fn publish(&self, event: E) -> Result<(), Full<E>>;
    fn pending(&self) -> usize;
    fn capacity(&self) -> usize;
    fn stats(&self) -> Stats;
    fn claim(&'static self) -> Result<Box<dyn Read<E>>, Claimed>;
    fn as_pending(&'static self) -> &'static dyn Pending;
}

/// Whether a bus has events. A trait of its own, because it knows no event.
pub(crate) trait Pending: Send + Sync {
    fn is_pending(&self) -> bool;
}

/// The reading end of a bus.
pub(crate) trait Read<E>: Send + Sync {
    /// Moves at most `limit` of the events that are pending at this moment.
    fn read(&mut self, limit: usize, into: &mut Vec<E>);
    fn pending(&self) -> usize;
    fn stats(&self) -> Stats;
    /// Shows each pending event to `each`, and drops it.
    fn discard(&mut self, each: &mut dyn FnMut(&E));
}

impl<E, const N: usize, P, W> AnyBus<E> for Bus<E, N, P, W>
where
    E: Send + 'static,
    P: Policy + 'static,
    W: Waits,
{
}

impl<E, const N: usize, P, W> Publish<E> for Bus<E, N, P, W>
where
    E: Send + 'static,
    P: Policy + 'static,
    W: Waits,
{
    fn publish(&self, event: E) -> Result<(), Full<E>> {
        self.publish(event)
    }

    fn pending(&self) -> usize {
        self.pending()
    }

    fn capacity(&self) -> usize {
        N
    }

    fn stats(&self) -> Stats {
        self.stats()
    }

    fn claim(&'static self) -> Result<Box<dyn Read<E>>, Claimed> {
        Ok(Box::new(Reader(self.consumer()?)))
    }

    fn as_pending(&'static self) -> &'static dyn Pending {
        self
    }
}

impl<E, const N: usize, P, W> Pending for Bus<E, N, P, W>
where
    E: Send + 'static,
    P: Policy + 'static,
    W: Waits,
{
    fn is_pending(&self) -> bool {
        !self.is_empty()
    }
}

struct Reader<E: 'static, P: Policy + 'static, W: Waits>(Consumer<'static, E, P, W>);

impl<E: Send, P: Policy, W: Waits> Read<E> for Reader<E, P, W> {
    fn read(&mut self, limit: usize, into: &mut Vec<E>) {
        self.0.drain().at_most(limit).append_to(into);
    }

    fn pending(&self) -> usize {
        self.0.pending()
    }

    fn stats(&self) -> Stats {
        self.0.stats()
    }

    fn discard(&mut self, each: &mut dyn FnMut(&E)) {
        self.0.drain().for_each(|event| each(&event));
    }
}

/// Wakes the publishers that wait: without the app, no frame makes room for them.
impl<E, P: Policy, W: Waits> Drop for Reader<E, P, W> {
    fn drop(&mut self) {
        self.0.wake();
    }
}

/// The buses of `E` that an [`EventBusPlugin`](super::EventBusPlugin) drains.
///
/// Use it as a handle in code that does not name the `static`: clone it into a thread or a task.
///
/// # Examples
///
/// ```
/// use bevy_app::App;
/// use tickbus::Bus;
/// use tickbus::bevy::{EventBus, EventBusPlugin};
///
/// static HITS: Bus<u32, 4> = Bus::new();
/// let mut app = App::new();
/// app.add_plugins(EventBusPlugin::new(&HITS));
///
/// let hits = app.world().resource::<EventBus<u32>>().clone();
/// std::thread::spawn(move || hits.publish(7).unwrap()).join().unwrap();
/// assert_eq!(HITS.pending(), 1);
/// ```
#[derive(Resource)]
pub struct EventBus<E: 'static> {
    /// The bus with the highest priority first.
    pub(super) buses: Vec<&'static dyn Publish<E>>,
}

impl<E: 'static> EventBus<E> {
    /// Publishes `event` to the bus with the highest priority. Never blocks.
    ///
    /// # Errors
    ///
    /// Returns [`Full`] with the event if the bus is full and its policy is [`Reject`](crate::bus::Reject).
    pub fn publish(&self, event: E) -> Result<(), Full<E>> {
        self.buses[0].publish(event)
    }

    /// Publishes `event` to the bus with this priority, 0 being the highest. Never blocks.
    ///
    /// # Errors
    ///
    /// Returns [`Full`] with the event if the bus is full and its policy is [`Reject`](crate::bus::Reject).
    ///
    /// # Panics
    ///
    /// Panics if the app has no bus of `E` with this priority.
    pub fn publish_to(&self, priority: usize, event: E) -> Result<(), Full<E>> {
        self.buses[priority].publish(event)
    }

    /// Returns how many events are pending, over all buses.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.buses.iter().map(|bus| bus.pending()).sum()
    }

    /// Returns whether no event is pending on any bus.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pending() == 0
    }

    /// Returns the statistics of the bus with this priority, 0 being the highest.
    ///
    /// # Panics
    ///
    /// Panics if the app has no bus of `E` with this priority.
    #[must_use]
    pub fn stats(&self, priority: usize) -> Stats {
        self.buses[priority].stats()
    }
}

impl<E: 'static> Clone for EventBus<E> {
    fn clone(&self) -> Self {
        Self { buses: self.buses.clone() }
    }
}

impl<E: 'static> fmt::Debug for EventBus<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventBus")
            .field("event", &type_name::<E>())
            .field("buses", &self.buses.len())
            .field("pending", &self.pending())
            .finish_non_exhaustive()
    }
}

/// Publishes from a system.
///
/// The next frame delivers the event. Systems with the same `BusPublisher` run in parallel; systems with the
/// same `MessageWriter` do not. A system that can name the `static` may publish to it without this parameter.
///
/// # Order
///
/// Bevy does not see that two systems publish to one bus. To publish in a fixed order, order the systems by
/// `before`, `after` or `chain`. The weak forms, such as `chain_weak`, have no effect here: they order only
/// systems whose access to the world conflicts.
///
/// # Examples
///
/// ```
/// use bevy_app::{App, Update};
/// use tickbus::Bus;
/// use tickbus::bevy::{BusPublisher, EventBusAppExt, EventBusPlugin};
///
/// static SHOTS: Bus<u32, 4> = Bus::new();
///
/// fn shoot(shots: BusPublisher<u32>) {
///     if shots.publish(7).is_err() {
///         println!("out of ammunition");
///     }
/// }
/// # bevy_ecs::system::assert_is_system(shoot);
///
/// let mut app = App::new();
/// app.add_plugins(EventBusPlugin::new(&SHOTS))
///     .add_bus_frame::<u32>()
///     .add_systems(Update, (shoot, shoot));
/// app.update();
/// assert_eq!(SHOTS.pending(), 2);
/// ```
#[derive(SystemParam)]
pub struct BusPublisher<'w, E: 'static> {
    #[system_param(validation_message = no_bus::<E>())]
    bus: Res<'w, EventBus<E>>,
}

impl<E: 'static> BusPublisher<'_, E> {
    /// Publishes `event` to the bus with the highest priority. Never blocks.
    ///
    /// # Errors
    ///
    /// Returns [`Full`] with the event if the bus is full and its policy is [`Reject`](crate::bus::Reject).
    pub fn publish(&self, event: E) -> Result<(), Full<E>> {
        self.bus.publish(event)
    }

    /// Publishes `event` to the bus with this priority, 0 being the highest. Never blocks.
    ///
    /// # Errors
    ///
    /// Returns [`Full`] with the event if the bus is full and its policy is [`Reject`](crate::bus::Reject).
    ///
    /// # Panics
    ///
    /// Panics if the app has no bus of `E` with this priority.
    pub fn publish_to(&self, priority: usize, event: E) -> Result<(), Full<E>> {
        self.bus.publish_to(priority, event)
    }
}

impl<E: 'static> fmt::Debug for BusPublisher<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BusPublisher").field("bus", &*self.bus).finish()
    }
}
