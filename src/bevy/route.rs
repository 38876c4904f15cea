//! The ways from a batch of events into the world.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::any::{TypeId, type_name};
use core::fmt;
use core::marker::PhantomData;
use core::ops::Deref;

use bevy_app::{App, SubApp};
use bevy_ecs::event::Event as Triggered;
use bevy_ecs::message::{Message, MessageRegistry, Messages};
use bevy_ecs::resource::Resource;
use bevy_ecs::world::World;

use super::drain::Buses;
use crate::{Event, Pattern, Subject};

/// What a bus delivers to, each a line of an app. The order of these lines and that of the plugins
/// does not matter.
///
/// For each event the observers come first, then [`BusDrained`], then messages and frames.
///
/// | line | who reads | cost |
/// |---|---|---|
/// | [`add_bus_frame`](Self::add_bus_frame) | [`BusFrame`](super::BusFrame), a slice | least |
/// | an observer of [`BusDrained`] | itself, a slice; no line needed | least |
/// | [`add_bus_message`](Self::add_bus_message) | `MessageReader` | less than `MessageWriter::write` |
/// | [`add_bus_event`](Self::add_bus_event) | observers, one call an event | some thirty times a message |
///
/// # Examples
///
/// ```
/// use bevy_app::{App, Update};
/// use bevy_ecs::prelude::*;
/// use tickbus::Bus;
/// use tickbus::bevy::{EventBusAppExt, EventBusPlugin};
///
/// #[derive(Message, Clone, Copy)]
/// struct Hit { damage: u32 }
///
/// #[derive(Resource)]
/// struct Health(u32);
///
/// static HITS: Bus<Hit, 256> = Bus::new();
///
/// fn hurt(mut hits: MessageReader<Hit>, mut health: ResMut<Health>) {
///     for hit in hits.read() {
///         health.0 -= hit.damage;
///     }
/// }
///
/// let mut app = App::new();
/// app.add_plugins(EventBusPlugin::new(&HITS))
///     .add_bus_message::<Hit>()
///     .insert_resource(Health(100))
///     .add_systems(Update, hurt);
///
/// std::thread::spawn(|| HITS.publish(Hit { damage: 30 })).join().unwrap().unwrap();
/// app.update();
/// assert_eq!(app.world().resource::<Health>().0, 70);
/// ```
pub trait EventBusAppExt: sealed::HasWorld {
    /// Delivers every `E` as a Bevy message.
    ///
    /// Events move into `Messages<E>` in one batch; they are cloned only where another message route
    /// or a frame wants them too. The messages live as long as Bevy's own. In a pause, which keeps
    /// Bevy from dropping old ones, the plugin drops them after two frames. Adding it again changes
    /// nothing.
    fn add_bus_message<E: Message + Clone>(&mut self) -> &mut Self {
        let world = self.world_of_buses();
        register_message::<E>(world);
        routes::<E>(world).add_slices(Box::new(Whole::<E> { current: 0, of: PhantomData }));
        self
    }

    /// Delivers every `E` as a [`BusMessage<E>`]: for types of other crates, which cannot be made a
    /// `Message`.
    fn add_foreign_bus_message<E: Clone + Send + Sync + 'static>(&mut self) -> &mut Self {
        self.add_bus_message_with(|event: &E| Some(BusMessage(event.clone())))
    }

    /// Delivers what `pick` makes of an `E` as a Bevy message. `None` makes no message.
    fn add_bus_message_with<E, M>(
        &mut self,
        pick: impl Fn(&E) -> Option<M> + Send + Sync + 'static,
    ) -> &mut Self
    where
        E: Send + Sync + 'static,
        M: Message,
    {
        let world = self.world_of_buses();
        register_message::<M>(world);
        routes::<E>(world).slices.push(Box::new(Picked { pick, current: 0, of: PhantomData }));
        self
    }

    /// Delivers the kinds of `E` whose subject `pattern` matches as a message type of their own.
    ///
    /// Other kinds cost one look into a table.
    ///
    /// # Panics
    ///
    /// If the pattern is malformed or matches no subject of `E`.
    ///
    /// # Examples
    ///
    /// ```
    /// use bevy_app::App;
    /// use bevy_ecs::message::{Message, Messages};
    /// use tickbus::Bus;
    /// use tickbus::bevy::{EventBusAppExt, EventBusPlugin};
    ///
    /// #[derive(Message, Clone, Copy)]
    /// struct Hit(u32);
    ///
    /// tickbus::events! {
    ///     enum Combat {
    ///         #[subject = "combat.hit"] Hit(Hit),
    ///         #[subject = "combat.miss"] Miss,
    ///     }
    /// }
    /// static COMBAT: Bus<Combat, 16> = Bus::new();
    ///
    /// let mut app = App::new();
    /// app.add_plugins(EventBusPlugin::new(&COMBAT)).add_bus_message_for(
    ///     "combat.hit",
    ///     |event| match event {
    ///         Combat::Hit(hit) => Some(*hit),
    ///         _ => None,
    ///     },
    /// );
    /// COMBAT.publish(Combat::Miss).ok();
    /// COMBAT.publish(Combat::Hit(Hit(3))).ok();
    /// app.update();
    /// assert_eq!(app.world().resource::<Messages<Hit>>().len(), 1);
    /// ```
    fn add_bus_message_for<E, M>(
        &mut self,
        pattern: &str,
        pick: impl Fn(&E) -> Option<M> + Send + Sync + 'static,
    ) -> &mut Self
    where
        E: Event + Send + Sync + 'static,
        M: Message,
    {
        let kinds = kinds_of::<E>(pattern);
        self.add_bus_message_with(move |event: &E| covered(&kinds, event).then(|| pick(event))?)
    }

    /// Triggers every `E` for Bevy's observers, and applies their commands before the next, as
    /// `Commands::trigger` would.
    ///
    /// Nothing is triggered while nobody observes `E`. Observers of one event run in no particular
    /// order: that is Bevy's. An observer that publishes an `E` does not recurse: see
    /// [`with_generations`](super::EventBusPlugin::with_generations).
    ///
    /// # Examples
    ///
    /// ```
    /// use bevy_app::App;
    /// use bevy_ecs::prelude::*;
    /// use tickbus::Bus;
    /// use tickbus::bevy::{EventBusAppExt, EventBusPlugin};
    ///
    /// #[derive(Event)]
    /// struct Boom;
    /// #[derive(Component)]
    /// struct Crater;
    ///
    /// static BOOMS: Bus<Boom, 16> = Bus::new();
    /// let mut app = App::new();
    /// app.add_plugins(EventBusPlugin::new(&BOOMS))
    ///     .add_bus_event::<Boom>()
    ///     .add_observer(|_: On<Boom>, mut commands: Commands| { commands.spawn(Crater); });
    ///
    /// BOOMS.publish(Boom).unwrap();
    /// app.update();
    /// assert_eq!(app.world_mut().query::<&Crater>().iter(app.world()).count(), 1);
    /// ```
    fn add_bus_event<E>(&mut self) -> &mut Self
    where
        E: for<'a> Triggered<Trigger<'a>: Default>,
    {
        routes::<E>(self.world_of_buses()).add_observers(Box::new(Observed));
        self
    }

    /// Triggers what `pick` makes of the kinds of `E` whose subject `pattern` matches, as
    /// [`add_bus_event`](Self::add_bus_event) does.
    ///
    /// # Panics
    ///
    /// If the pattern is malformed or matches no subject of `E`.
    fn add_bus_event_for<E, T>(
        &mut self,
        pattern: &str,
        pick: impl Fn(&E) -> Option<T> + Send + Sync + 'static,
    ) -> &mut Self
    where
        E: Event + Send + Sync + 'static,
        T: for<'a> Triggered<Trigger<'a>: Default>,
    {
        let kinds = kinds_of::<E>(pattern);
        let pick = move |event: &E| covered(&kinds, event).then(|| pick(event))?;
        routes::<E>(self.world_of_buses())
            .observers
            .push(Box::new(PickedObserved { pick, of: PhantomData }));
        self
    }

    /// Keeps the events of each frame for [`BusFrame`](super::BusFrame).
    fn add_bus_frame<E: Send + Sync + 'static>(&mut self) -> &mut Self {
        routes::<E>(self.world_of_buses()).frame = true;
        self
    }
}

impl EventBusAppExt for App {}
impl EventBusAppExt for SubApp {}

mod sealed {
    use super::{App, SubApp, World};

    pub trait HasWorld {
        fn world_of_buses(&mut self) -> &mut World;
    }

    impl HasWorld for App {
        fn world_of_buses(&mut self) -> &mut World {
            self.world_mut()
        }
    }

    impl HasWorld for SubApp {
        fn world_of_buses(&mut self) -> &mut World {
            self.world_mut()
        }
    }
}

/// As `App::add_message` does it.
fn register_message<M: Message>(world: &mut World) {
    if !world.contains_resource::<Messages<M>>() {
        MessageRegistry::register_message::<M>(world);
    }
}

/// Which kinds a pattern covers.
#[track_caller]
fn kinds_of<E: Event>(pattern: &str) -> Vec<bool> {
    let parsed = Pattern::new(pattern).unwrap_or_else(|error| panic!("`{pattern}`: {error}"));
    let matches = |subject| Subject::new(subject).is_ok_and(|subject| parsed.matches(subject));
    let kinds: Vec<bool> = E::SUBJECTS.iter().map(|subject| matches(*subject)).collect();
    assert!(
        kinds.contains(&true),
        "`{pattern}` matches no subject of `{}`, which has {:?}",
        type_name::<E>(),
        E::SUBJECTS
    );
    kinds
}

fn covered<E: Event>(kinds: &[bool], event: &E) -> bool {
    kinds.get(event.kind()).is_some_and(|covered| *covered)
}

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

    /// A route of the events as they are is there once, however often it is added.
    fn add_slices(&mut self, route: Box<dyn Route<E>>) {
        if !(route.is_plain() && self.slices.iter().any(|route| route.is_plain())) {
            self.slices.push(route);
        }
    }

    fn add_observers(&mut self, route: Box<dyn Observe<E>>) {
        if !(route.is_plain() && self.observers.iter().any(|route| route.is_plain())) {
            self.observers.push(route);
        }
    }
}

/// The routes that the bus of `E` will adopt.
fn routes<E: Send + Sync + 'static>(world: &mut World) -> &mut Routes<E> {
    let mut buses = world.get_resource_or_init::<Buses>();
    buses.busy = true;
    buses.wanted.push((TypeId::of::<E>(), type_name::<E>()));
    world.get_resource_or_init::<Routes<E>>().into_inner()
}

/// Takes events by the slice.
pub(super) trait Route<E>: Send + Sync {
    fn deliver(&mut self, world: &mut World, events: &[E]);

    /// The same, where nobody needs the events afterwards.
    fn deliver_last(&mut self, world: &mut World, events: &mut Vec<E>) {
        self.deliver(world, events);
    }

    /// Whether it delivers the events as they are.
    fn is_plain(&self) -> bool {
        false
    }

    /// How many messages are there.
    fn waiting(&self, world: &World) -> usize;

    /// Drops the messages of the frame before the last, unless Bevy has done so in this frame.
    fn age(&mut self, world: &mut World);
}

/// Ages messages and remembers how many are current, by which a swap of Bevy's is told.
fn age<M: Message>(world: &mut World, current: &mut usize) {
    let mut messages = world.resource_mut::<Messages<M>>();
    let swapped = messages.iter_current_update_messages().len() < *current;
    if !swapped && !messages.is_empty() {
        messages.update();
    }
    *current = 0;
}

fn waiting<M: Message>(world: &World) -> usize {
    world.get_resource::<Messages<M>>().map_or(0, Messages::len)
}

struct Whole<E> {
    current: usize,
    of: PhantomData<fn() -> E>,
}

impl<E: Message + Clone> Route<E> for Whole<E> {
    fn is_plain(&self) -> bool {
        true
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

    fn age(&mut self, world: &mut World) {
        age::<E>(world, &mut self.current);
    }
}

struct Picked<E, M, F> {
    pick: F,
    current: usize,
    of: PhantomData<fn(&E) -> M>,
}

impl<E, M, F> Route<E> for Picked<E, M, F>
where
    E: 'static,
    M: Message,
    F: Fn(&E) -> Option<M> + Send + Sync,
{
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

    fn age(&mut self, world: &mut World) {
        age::<M>(world, &mut self.current);
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

struct Observed;

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

struct PickedObserved<E, T, F> {
    pick: F,
    of: PhantomData<fn(&E) -> T>,
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
/// [`add_foreign_bus_message`](EventBusAppExt::add_foreign_bus_message) delivers.
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
