//! A bus of any capacity and policy, and who publishes to it.

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
/// Tasks may wait on one with waiters until a frame makes room. They are woken when the app is dropped, too,
/// and go on waiting unless they give up.
///
/// This trait is sealed: what it has is not for use outside.
///
/// ```compile_fail,E0624
/// fn claim<B: tickbus::bevy::AnyBus<u8>>(bus: &'static B) {
///     let _ = bus.claim();
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no bus of `{E}` that a plugin can drain",
    note = "a plugin drains a `static` `Bus`; a `tickbus::Lane` has one publisher, and a \
            Bevy app has many"
)]
#[expect(private_bounds, reason = "sealed: no path outside this crate names or calls `Publish`")]
pub trait AnyBus<E>: Publish<E> {}

/// A bus without its capacity and its policy.
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
    /// Moves at most `limit` events, of those that wait at this moment.
    fn read(&mut self, limit: usize, into: &mut Vec<E>);
    fn pending(&self) -> usize;
    fn stats(&self) -> Stats;
    /// Drops what waits, when `each` has seen it.
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

/// With the app: nothing makes room now for those that wait for it, and they may want to know.
impl<E, P: Policy, W: Waits> Drop for Reader<E, P, W> {
    fn drop(&mut self) {
        self.0.wake();
    }
}

/// The buses of `E`, one for each lane: what an [`EventBusPlugin`](super::EventBusPlugin) was given.
///
/// A handle for code that does not name the `static`: clone it into a thread or a task.
///
/// # Examples
///
/// ```
/// use bevy_app::App;
/// use tickbus::Bus;
/// use tickbus::bevy::{EnvelopeBus, EventBusPlugin};
///
/// static HITS: Bus<u32, 4> = Bus::new();
/// let mut app = App::new();
/// app.add_plugins(EventBusPlugin::new(&HITS));
///
/// let hits = app.world().resource::<EnvelopeBus<u32>>().clone();
/// std::thread::spawn(move || hits.publish(7).unwrap()).join().unwrap();
/// assert_eq!(HITS.pending(), 1);
/// ```
#[derive(Resource)]
pub struct EnvelopeBus<E: 'static> {
    pub(super) lanes: Vec<&'static dyn Publish<E>>,
}

impl<E: 'static> EnvelopeBus<E> {
    /// Publishes `event` on the first lane. Never blocks.
    ///
    /// # Errors
    ///
    /// As for [`Bus::publish`].
    pub fn publish(&self, event: E) -> Result<(), Full<E>> {
        self.lanes[0].publish(event)
    }

    /// Publishes `event` on a lane, 0 being the first. Never blocks.
    ///
    /// # Errors
    ///
    /// As for [`Bus::publish`].
    ///
    /// # Panics
    ///
    /// If there is no such lane.
    pub fn publish_to(&self, lane: usize, event: E) -> Result<(), Full<E>> {
        self.lanes[lane].publish(event)
    }

    /// How many events wait on all lanes.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.lanes.iter().map(|lane| lane.pending()).sum()
    }

    /// Whether no event waits on any lane.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pending() == 0
    }

    /// What has happened on a lane so far.
    ///
    /// # Panics
    ///
    /// If there is no such lane.
    #[must_use]
    pub fn stats(&self, lane: usize) -> Stats {
        self.lanes[lane].stats()
    }
}

impl<E: 'static> Clone for EnvelopeBus<E> {
    fn clone(&self) -> Self {
        Self { lanes: self.lanes.clone() }
    }
}

impl<E: 'static> fmt::Debug for EnvelopeBus<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnvelopeBus")
            .field("event", &type_name::<E>())
            .field("lanes", &self.lanes.len())
            .field("pending", &self.pending())
            .finish_non_exhaustive()
    }
}

/// Publishes from a system.
///
/// Access is shared, so that systems with the same publisher run in parallel, which those with the
/// same `MessageWriter` do not. It does no more than the `static` does; a system that can name that
/// may publish without this parameter. What a system publishes is delivered in the next frame.
///
/// Bevy does not see that two systems publish to one bus. To publish in a fixed order, order the systems by
/// `before`, `after` or `chain`; the `_weak` forms order only what Bevy sees.
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
    bus: Res<'w, EnvelopeBus<E>>,
}

impl<E: 'static> BusPublisher<'_, E> {
    /// Publishes `event` on the first lane. Never blocks.
    ///
    /// # Errors
    ///
    /// As for [`Bus::publish`].
    pub fn publish(&self, event: E) -> Result<(), Full<E>> {
        self.bus.publish(event)
    }

    /// Publishes `event` on a lane, 0 being the first. Never blocks.
    ///
    /// # Errors
    ///
    /// As for [`Bus::publish`].
    ///
    /// # Panics
    ///
    /// If there is no such lane.
    pub fn publish_to(&self, lane: usize, event: E) -> Result<(), Full<E>> {
        self.bus.publish_to(lane, event)
    }
}

impl<E: 'static> fmt::Debug for BusPublisher<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BusPublisher").field("bus", &*self.bus).finish()
    }
}
