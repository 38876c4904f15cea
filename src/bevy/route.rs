//! The ways from a batch of events into the world.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::any::TypeId;
use core::fmt;
use core::marker::PhantomData;
use core::ops::Deref;

use bevy_ecs::event::Event as Triggered;
use bevy_ecs::message::{Message, Messages};
use bevy_ecs::resource::Resource;
use bevy_ecs::world::World;

/// The ways of one event, on their way to its bus.
#[derive(Resource)]
pub(super) struct Routes<E: Send + Sync + 'static> {
    pub(super) slices: Vec<Box<dyn Route<E>>>,
    pub(super) observers: Vec<Box<dyn Observe<E>>>,
    pub(super) frame: bool,
}

impl<E: Send + Sync + 'static> Default for Routes<E> {
    fn default() -> Self {
        Self { slices: Vec::new(), observers: Vec::new(), frame: false }
    }
}

impl<E: Send + Sync + 'static> Routes<E> {
    pub(super) fn append(&mut self, other: Self) {
        other.slices.into_iter().for_each(|route| self.add_slices(route));
        other.observers.into_iter().for_each(|route| self.add_observers(route));
        self.frame |= other.frame;
    }

    /// A route of all events as they are is there once, however often it is added.
    pub(super) fn add_slices(&mut self, route: Box<dyn Route<E>>) {
        let plain = route.plain();
        if plain.is_none() || self.slices.iter().all(|other| other.plain() != plain) {
            self.slices.push(route);
        }
    }

    /// Drops old messages, those of each type once however many routes it has.
    pub(super) fn age(&mut self, world: &mut World) {
        let mut routes = &mut self.slices[..];
        while let Some((route, others)) = routes.split_first_mut() {
            let mut current = core::mem::replace(route.current(), AGED);
            if current != AGED {
                let of = route.message();
                for other in others.iter_mut().filter(|other| other.message() == of) {
                    current = current.max(core::mem::replace(other.current(), AGED));
                }
                route.age(world, current);
            }
            *route.current() = 0;
            routes = others;
        }
    }

    pub(super) fn add_observers(&mut self, route: Box<dyn Observe<E>>) {
        if !(route.is_plain() && self.observers.iter().any(|route| route.is_plain())) {
            self.observers.push(route);
        }
    }
}

/// Takes events by the slice.
pub(super) trait Route<E>: Send + Sync {
    fn deliver(&mut self, world: &mut World, events: &[E]);

    /// The same, where nobody needs the events afterwards.
    fn deliver_last(&mut self, world: &mut World, events: &mut Vec<E>) {
        self.deliver(world, events);
    }

    /// As what it delivers all events as they are. `None` if it picks.
    fn plain(&self) -> Option<TypeId> {
        None
    }

    /// How many messages are there.
    fn waiting(&self, world: &World) -> usize;

    /// The type of the messages.
    fn message(&self) -> TypeId;

    /// How many messages were current after the last delivery, by which a swap of Bevy's is told.
    fn current(&mut self) -> &mut usize;

    /// Drops the messages of the frame before the last, unless Bevy has done so in this frame.
    fn age(&self, world: &mut World, current: usize);
}

/// In the place of a number of messages: another route of the same type has seen to them.
const AGED: usize = usize::MAX;

fn age<M: Message>(world: &mut World, current: usize) {
    let mut messages = world.resource_mut::<Messages<M>>();
    let swapped = messages.iter_current_update_messages().len() < current;
    if !swapped && !messages.is_empty() {
        messages.update();
    }
}

fn waiting<M: Message>(world: &World) -> usize {
    world.get_resource::<Messages<M>>().map_or(0, Messages::len)
}

/// Every event as a message.
pub(super) struct Whole<E> {
    current: usize,
    of: PhantomData<fn() -> E>,
}

impl<E> Whole<E> {
    pub(super) fn new() -> Self {
        Self { current: 0, of: PhantomData }
    }
}

impl<E: Message + Clone> Route<E> for Whole<E> {
    fn plain(&self) -> Option<TypeId> {
        Some(TypeId::of::<E>())
    }

    fn deliver(&mut self, world: &mut World, events: &[E]) {
        let mut messages = world.resource_mut::<Messages<E>>();
        messages.write_batch(events.iter().cloned());
        self.current = messages.iter_current_update_messages().len();
    }

    fn deliver_last(&mut self, world: &mut World, events: &mut Vec<E>) {
        let mut messages = world.resource_mut::<Messages<E>>();
        messages.write_batch(events.drain(..));
        self.current = messages.iter_current_update_messages().len();
    }

    fn waiting(&self, world: &World) -> usize {
        waiting::<E>(world)
    }

    fn message(&self) -> TypeId {
        TypeId::of::<E>()
    }

    fn current(&mut self) -> &mut usize {
        &mut self.current
    }

    fn age(&self, world: &mut World, current: usize) {
        age::<E>(world, current);
    }
}

/// What is made of an event as a message.
pub(super) struct Picked<E, M, F> {
    pick: F,
    /// Whether it picks all, as they are.
    plain: bool,
    current: usize,
    of: PhantomData<fn(&E) -> M>,
}

impl<E, M, F> Picked<E, M, F> {
    pub(super) fn new(pick: F) -> Self {
        Self { pick, plain: false, current: 0, of: PhantomData }
    }

    pub(super) fn all(pick: F) -> Self {
        Self { pick, plain: true, current: 0, of: PhantomData }
    }
}

impl<E, M, F> Route<E> for Picked<E, M, F>
where
    E: 'static,
    M: Message,
    F: Fn(&E) -> Option<M> + Send + Sync,
{
    fn plain(&self) -> Option<TypeId> {
        self.plain.then(TypeId::of::<M>)
    }

    fn deliver(&mut self, world: &mut World, events: &[E]) {
        let mut picked = events.iter().filter_map(&self.pick).peekable();
        if picked.peek().is_some() {
            let mut messages = world.resource_mut::<Messages<M>>();
            messages.write_batch(picked);
            self.current = messages.iter_current_update_messages().len();
        }
    }

    fn waiting(&self, world: &World) -> usize {
        waiting::<M>(world)
    }

    fn message(&self) -> TypeId {
        TypeId::of::<M>()
    }

    fn current(&mut self) -> &mut usize {
        &mut self.current
    }

    fn age(&self, world: &mut World, current: usize) {
        age::<M>(world, current);
    }
}

/// Takes events one by one.
pub(super) trait Observe<E>: Send + Sync {
    fn observe(&self, world: &mut World, event: &mut E);

    /// The same for all events that have not been seen; each counts as seen before it is observed.
    fn observe_all(&self, world: &mut World, events: &mut [E], seen: &mut usize) {
        while let Some(event) = events.get_mut(*seen) {
            *seen += 1;
            self.observe(world, event);
        }
    }

    fn is_observed(&self, world: &World) -> bool;

    /// Whether it delivers the events as they are.
    fn is_plain(&self) -> bool {
        false
    }
}

/// Whether any observer would run.
pub(super) fn is_observed<T: Triggered>(world: &World) -> bool {
    let Some(key) = world.event_key::<T>() else { return false };
    world.observers().try_get_observers(key).is_some_and(|observers| {
        !observers.global_observers().is_empty()
            || !observers.entity_observers().is_empty()
            || !observers.component_observers().is_empty()
    })
}

/// Every event for observers.
pub(super) struct Observed;

impl<E: for<'a> Triggered<Trigger<'a>: Default>> Observe<E> for Observed {
    fn observe(&self, world: &mut World, event: &mut E) {
        world.trigger_ref(event);
        world.flush();
    }

    fn is_observed(&self, world: &World) -> bool {
        is_observed::<E>(world)
    }

    fn is_plain(&self) -> bool {
        true
    }
}

/// What is made of an event for observers.
pub(super) struct PickedObserved<E, T, F> {
    pick: F,
    of: PhantomData<fn(&E) -> T>,
}

impl<E, T, F> PickedObserved<E, T, F> {
    pub(super) fn new(pick: F) -> Self {
        Self { pick, of: PhantomData }
    }
}

impl<E, T, F> Observe<E> for PickedObserved<E, T, F>
where
    T: for<'a> Triggered<Trigger<'a>: Default>,
    F: Fn(&E) -> Option<T> + Send + Sync,
{
    fn observe(&self, world: &mut World, event: &mut E) {
        if let Some(picked) = (self.pick)(event) {
            world.trigger(picked);
            world.flush();
        }
    }

    fn is_observed(&self, world: &World) -> bool {
        is_observed::<T>(world)
    }
}

/// An event of a type that is no `Message`: what
/// [`add_foreign_bus_message`](super::EventBusAppExt::add_foreign_bus_message) delivers.
///
/// # Examples
///
/// ```
/// use bevy_app::{App, Update};
/// use bevy_ecs::prelude::*;
/// use core::net::IpAddr;
/// use tickbus::Bus;
/// use tickbus::bevy::{BusMessage, EventBusAppExt, EventBusPlugin};
///
/// static PEERS: Bus<IpAddr, 16> = Bus::new(); // a type of another crate
///
/// fn greet(mut peers: MessageReader<BusMessage<IpAddr>>) {
///     for BusMessage(peer) in peers.read() {
///         println!("hello, {peer}");
///     }
/// }
///
/// App::new()
///     .add_plugins(EventBusPlugin::new(&PEERS))
///     .add_foreign_bus_message::<IpAddr>()
///     .add_systems(Update, greet)
///     .update();
/// ```
#[derive(Message, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BusMessage<E: Send + Sync + 'static>(pub E);

/// The events of one drain, triggered once: for observers that take them by the slice.
///
/// Dereferences to the events. Triggered for every bus that has an observer of it and events to
/// deliver, once a generation; for a bus in fixed steps, once a step.
///
/// # Examples
///
/// ```
/// use bevy_app::App;
/// use bevy_ecs::prelude::*;
/// use tickbus::Bus;
/// use tickbus::bevy::{BusDrained, EventBusPlugin};
///
/// #[derive(Resource, Default)]
/// struct Sums(Vec<u32>);
///
/// static SAMPLES: Bus<u32, 8> = Bus::new();
/// let mut app = App::new();
/// app.add_plugins(EventBusPlugin::new(&SAMPLES)).init_resource::<Sums>().add_observer(
///     |samples: On<BusDrained<u32>>, mut sums: ResMut<Sums>| sums.0.push(samples.iter().sum()),
/// );
///
/// SAMPLES.publish_batch(&[1, 2, 3]).unwrap();
/// app.update();
/// assert_eq!(app.world().resource::<Sums>().0, [6]); // one call for three events
/// ```
#[derive(Triggered)]
pub struct BusDrained<E: Send + Sync + 'static> {
    pub(super) events: Vec<E>,
}

impl<E: Send + Sync + 'static> Deref for BusDrained<E> {
    type Target = [E];

    fn deref(&self) -> &[E] {
        &self.events
    }
}

impl<E: Send + Sync + 'static> fmt::Debug for BusDrained<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BusDrained").field("events", &self.events.len()).finish_non_exhaustive()
    }
}
