//! The ways from a batch of events into the world.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::any::{TypeId, type_name};
use core::fmt;
use core::marker::PhantomData;
use core::ops::Deref;

use bevy_ecs::event::Event as Triggered;
use bevy_ecs::message::{Message, Messages};
use bevy_ecs::resource::Resource;
use bevy_ecs::world::World;

use super::kinds::Kinds;

/// The ways of one event into the world. A resource until its buses adopt them.
#[derive(Resource)]
pub(super) struct Routes<E: Send + Sync + 'static> {
    pub(super) slices: Vec<Box<dyn Route<E>>>,
    pub(super) observers: Vec<Box<dyn Observe<E>>>,
    pub(super) frame: bool,
    /// The kinds of the event, if a route knows them.
    pub(super) kinds: Option<Kinds<E>>,
}

impl<E: Send + Sync + 'static> Default for Routes<E> {
    fn default() -> Self {
        Self { slices: Vec::new(), observers: Vec::new(), frame: false, kinds: None }
    }
}

impl<E: Send + Sync + 'static> Routes<E> {
    pub(super) fn append(&mut self, other: Self) {
        other.slices.into_iter().for_each(|route| self.add_slices(route));
        other.observers.into_iter().for_each(|route| self.add_observers(route));
        self.frame |= other.frame;
        self.kinds = self.kinds.or(other.kinds);
    }

    /// Returns whether the bus has no delivery.
    pub(super) fn is_empty(&self) -> bool {
        self.slices.is_empty() && self.observers.is_empty() && !self.frame
    }

    /// Returns whether every event has a way into the world, whatever its kind.
    pub(super) fn take_all(&self) -> bool {
        self.frame || self.slices.iter().any(|route| route.plain().is_some())
    }

    /// Adds a route. A second route of all events, as they are, has no effect.
    pub(super) fn add_slices(&mut self, route: Box<dyn Route<E>>) {
        let plain = route.plain();
        if plain.is_none() || self.slices.iter().all(|other| other.plain() != plain) {
            self.slices.push(route);
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
    /// Sets `taken` for each event that it makes a message of. A route of all events sets nothing.
    fn deliver(&mut self, world: &mut World, events: &[E], taken: &mut [bool]);

    /// Does the same where the events are not needed afterwards.
    fn deliver_last(&mut self, world: &mut World, events: &mut Vec<E>, taken: &mut [bool]) {
        self.deliver(world, events, taken);
    }

    /// Returns the type of the messages if it delivers all events as they are. `None` if it picks.
    fn plain(&self) -> Option<TypeId> {
        None
    }

    /// Returns how many messages there are.
    fn waiting(&self, world: &World) -> usize;

    /// Returns the type of the messages.
    fn message(&self) -> MessageType;
}

/// One type of messages, however many routes of however many buses deliver it.
pub(super) struct MessageType {
    pub(super) of: TypeId,
    /// Whether a bus asks in this drain that old messages are dropped.
    pub(super) due: bool,
    mark: Mark,
    age: fn(&mut World, Mark, bool) -> Mark,
}

impl MessageType {
    fn new<M: Message>() -> Self {
        Self { of: TypeId::of::<M>(), due: false, mark: Mark::default(), age: age::<M> }
    }

    /// Drops the messages of the frame before the last if a bus asked for it and Bevy has not done so
    /// since the last drain.
    pub(super) fn end_frame(&mut self, world: &mut World) {
        self.mark = (self.age)(world, self.mark, core::mem::take(&mut self.due));
    }
}

/// Where the current messages of a type begin, and how many old ones there are. Writing changes
/// neither; a swap changes one of them, unless there was no message at all.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Mark {
    begin: usize,
    old: usize,
}

impl Mark {
    fn of<M: Message>(messages: &Messages<M>) -> Self {
        let old = messages.len() - messages.iter_current_update_messages().len();
        Self { begin: messages.oldest_message_count().wrapping_add(old), old }
    }
}

fn age<M: Message>(world: &mut World, before: Mark, due: bool) -> Mark {
    let Some(messages) = world.get_resource::<Messages<M>>() else { return before };
    let now = Mark::of(messages);
    if !due || now != before || messages.is_empty() {
        return now;
    }
    let mut messages = world.resource_mut::<Messages<M>>();
    messages.update();
    Mark::of(&messages)
}

fn waiting<M: Message>(world: &World) -> usize {
    world.get_resource::<Messages<M>>().map_or(0, Messages::len)
}

fn write<E, M: Message>(world: &mut World, messages: impl IntoIterator<Item = M>) {
    let Some(mut all) = world.get_resource_mut::<Messages<M>>() else {
        panic!(
            "the bus of `{}` delivers messages `{}`, but the app has no such messages any more: do not \
             remove `Messages` of a type that a bus delivers",
            type_name::<E>(),
            type_name::<M>()
        )
    };
    all.write_batch(messages);
}

/// Every event as a message.
pub(super) struct Whole;

impl<E: Message + Clone> Route<E> for Whole {
    fn plain(&self) -> Option<TypeId> {
        Some(TypeId::of::<E>())
    }

    fn deliver(&mut self, world: &mut World, events: &[E], _: &mut [bool]) {
        write::<E, E>(world, events.iter().cloned());
    }

    fn deliver_last(&mut self, world: &mut World, events: &mut Vec<E>, _: &mut [bool]) {
        write::<E, E>(world, events.drain(..));
    }

    fn waiting(&self, world: &World) -> usize {
        waiting::<E>(world)
    }

    fn message(&self) -> MessageType {
        MessageType::new::<E>()
    }
}

/// What is made of an event as a message.
pub(super) struct Picked<E, M, F> {
    pick: F,
    /// Whether it picks all, as they are.
    plain: bool,
    of: PhantomData<fn(&E) -> M>,
}

impl<E, M, F> Picked<E, M, F> {
    pub(super) fn new(pick: F) -> Self {
        Self { pick, plain: false, of: PhantomData }
    }

    pub(super) fn all(pick: F) -> Self {
        Self { pick, plain: true, of: PhantomData }
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

    fn deliver(&mut self, world: &mut World, events: &[E], taken: &mut [bool]) {
        let mut picked = events
            .iter()
            .enumerate()
            .filter_map(|(at, event)| {
                let message = (self.pick)(event)?;
                if let Some(taken) = taken.get_mut(at) {
                    *taken = true;
                }
                Some(message)
            })
            .peekable();
        if picked.peek().is_some() {
            write::<E, M>(world, picked);
        }
    }

    fn waiting(&self, world: &World) -> usize {
        waiting::<M>(world)
    }

    fn message(&self) -> MessageType {
        MessageType::new::<M>()
    }
}

/// Takes events one by one.
pub(super) trait Observe<E>: Send + Sync {
    /// Triggers what it makes of the event, if anything observes that, and sets `taken` before.
    fn observe(&self, world: &mut World, event: &mut E, taken: &mut bool);

    /// Does the same for all events that have not been seen. Each counts as seen before it is observed.
    fn observe_all(
        &self,
        world: &mut World,
        events: &mut [E],
        seen: &mut usize,
        taken: &mut [bool],
    ) {
        let mut unused = false;
        while let Some(event) = events.get_mut(*seen) {
            let taken = taken.get_mut(*seen).unwrap_or(&mut unused);
            *seen += 1;
            self.observe(world, event, taken);
        }
    }

    fn is_observed(&self, world: &World) -> bool;

    /// Returns whether it delivers the events as they are.
    fn is_plain(&self) -> bool {
        false
    }
}

/// Returns whether any observer would run.
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
    fn observe(&self, world: &mut World, event: &mut E, taken: &mut bool) {
        // For each event: the observer of the one before may have been the last.
        if is_observed::<E>(world) {
            *taken = true;
            world.trigger_ref(event);
            world.flush();
        }
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
    fn observe(&self, world: &mut World, event: &mut E, taken: &mut bool) {
        if is_observed::<T>(world)
            && let Some(picked) = (self.pick)(event)
        {
            *taken = true;
            world.trigger(picked);
            world.flush();
        }
    }

    fn is_observed(&self, world: &World) -> bool {
        is_observed::<T>(world)
    }
}

/// An event as a Bevy message, for types that are not a `Message`.
///
/// [`add_foreign_bus_message`](super::EventBusAppExt::add_foreign_bus_message) delivers it.
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

/// The events of one drain, for observers that take them as a slice.
///
/// It dereferences to the events. If it has an observer, the drain triggers it once a generation,
/// or once a step for buses in fixed steps. If it is the only delivery of a bus, add an observer
/// before the first frame, in `Startup` at the latest.
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
