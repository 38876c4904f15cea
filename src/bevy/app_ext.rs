//! The lines of an app that say what a bus delivers to.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::any::{TypeId, type_name};

use bevy_app::{App, MainScheduleOrder, SubApp};
use bevy_ecs::event::Event as Triggered;
use bevy_ecs::message::{Message, MessageRegistry, Messages};
use bevy_ecs::world::World;

use super::buses::Buses;
use super::drain::Kinds;
use super::frame::KeepsFrames;
use super::plugin::set_up;
use super::route::{BusMessage, Observed, Picked, PickedObserved, Routes, Whole};
use crate::event::Event;
use crate::subject::{Pattern, Subject};

/// What a bus delivers to, each a line of an app. The order of these lines and that of the plugins
/// does not matter.
///
/// The first drain panics if no bus carries an event that one of these lines is about, and if a bus has
/// neither one of these lines nor an observer of [`BusDrained`](super::BusDrained). An event that no
/// delivery takes is counted as [unhandled](super::LaneCounts::unhandled), and logged as a warning once.
///
/// For each event the observers come first, then [`BusDrained`](super::BusDrained), then messages and frames.
///
/// | line | who reads | cost |
/// |---|---|---|
/// | [`add_bus_frame`](Self::add_bus_frame) | [`BusFrame`](super::BusFrame), a slice | least |
/// | an observer of [`BusDrained`](super::BusDrained) | itself, a slice; no line needed | least |
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
///
/// This trait is sealed: what it has is not for use outside.
///
/// ```compile_fail,E0624
/// fn world<A: tickbus::bevy::EventBusAppExt>(app: &mut A) {
///     app.world_of_buses();
/// }
/// ```
#[expect(private_bounds, reason = "sealed: no path outside this crate names or calls `HasWorld`")]
pub trait EventBusAppExt: HasWorld {
    /// Delivers every `E` as a Bevy message.
    ///
    /// Events move into `Messages<E>` in one batch; they are cloned only where another message route
    /// or a frame wants them too. The messages live as long as Bevy's own. While Bevy's clock is
    /// paused, which keeps Bevy from dropping old ones, the plugin drops them after two frames. Adding it again changes
    /// nothing.
    fn add_bus_message<E: Message + Clone>(&mut self) -> &mut Self {
        let world = self.world_of_buses();
        register_message::<E>(world);
        routes::<E>(world).add_slices(Box::new(Whole));
        self
    }

    /// Delivers every `E` as a [`BusMessage<E>`]: for types of other crates, which cannot be made a
    /// `Message`. Adding it again changes nothing.
    fn add_foreign_bus_message<E: Clone + Send + Sync + 'static>(&mut self) -> &mut Self {
        let world = self.world_of_buses();
        register_message::<BusMessage<E>>(world);
        let wrap = |event: &E| Some(BusMessage(event.clone()));
        routes::<E>(world).add_slices(Box::new(Picked::all(wrap)));
        self
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
        routes::<E>(world).slices.push(Box::new(Picked::new(pick)));
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
        routes::<E>(self.world_of_buses()).kinds = Some(Kinds::of());
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
        let routes = routes::<E>(self.world_of_buses());
        routes.kinds = Some(Kinds::of());
        routes.observers.push(Box::new(PickedObserved::new(pick)));
        self
    }

    /// Keeps the events of each frame for [`BusFrame`](super::BusFrame), which does not work without it.
    fn add_bus_frame<E: Send + Sync + 'static>(&mut self) -> &mut Self {
        let world = self.world_of_buses();
        world.init_resource::<KeepsFrames<E>>();
        routes::<E>(world).frame = true;
        self
    }
}

impl EventBusAppExt for App {}
impl EventBusAppExt for SubApp {}

/// What has the world of the buses.
pub(crate) trait HasWorld {
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

/// The routes that the bus of `E` will adopt.
fn routes<E: Send + Sync + 'static>(world: &mut World) -> &mut Routes<E> {
    let mut buses = world.get_resource_or_init::<Buses>();
    buses.busy = true;
    buses.wanted.push((TypeId::of::<E>(), type_name::<E>()));
    if world.contains_resource::<MainScheduleOrder>() {
        set_up(world, None); // so that a drain finds out if no plugin comes
    }
    world.get_resource_or_init::<Routes<E>>().into_inner()
}
