//! The methods of an app that add deliveries to a bus.

use alloc::boxed::Box;
use core::any::{TypeId, type_name};

use bevy_app::{App, MainScheduleOrder, SubApp};
use bevy_ecs::event::Event as Triggered;
use bevy_ecs::message::{Message, MessageRegistry, Messages};
use bevy_ecs::world::World;

use super::buses::Buses;
use super::frame::KeepsFrames;
use super::kinds::{Covered, Kinds};
use super::plugin::set_up;
use super::route::{BusMessage, Observed, Picked, PickedObserved, Routes, Whole};
use crate::event::Event;

/// Adds deliveries to an app: the messages, observers and frames that the buses of an event feed.
///
/// Call these methods before or after you add the plugins. For each event the observers come first, then
/// [`BusDrained`](super::BusDrained), then messages and frames.
///
/// | delivery | readers | cost |
/// |---|---|---|
/// | [`add_bus_frame`](Self::add_bus_frame) | [`BusFrame`](super::BusFrame), a slice | least |
/// | an observer of [`BusDrained`](super::BusDrained), without a method | the observer, a slice | least |
/// | [`add_bus_message`](Self::add_bus_message) | `MessageReader` | less than `MessageWriter::write` |
/// | [`add_bus_event`](Self::add_bus_event) | observers, one call an event | some thirty times a message |
///
/// # Events without a delivery
///
/// The first drain panics if a bus has neither a delivery by one of these methods nor an observer of
/// [`BusDrained`](super::BusDrained). It also panics if a delivery has no bus. If no delivery takes an event,
/// [`unhandled`](super::BusCounts::unhandled) counts it, and the plugin logs one warning for its kind.
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
/// This trait is sealed: only this crate implements it, and calls the method that it needs.
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
    /// A drain moves its events into `Messages<E>` in one batch. It clones them only if another delivery
    /// needs them too. The messages stay for two frames, as Bevy's own do. A paused clock keeps Bevy from
    /// dropping old messages; the plugin then drops them. A second call for `E` has no effect.
    fn add_bus_message<E: Message + Clone>(&mut self) -> &mut Self {
        let world = self.world_of_buses();
        register_message::<E>(world);
        routes::<E>(world).add_slices(Box::new(Whole));
        self
    }

    /// Delivers every `E` as a [`BusMessage<E>`].
    ///
    /// Use it for types of other crates, for which you cannot implement `Message`. A second call for `E` has no
    /// effect.
    fn add_foreign_bus_message<E: Clone + Send + Sync + 'static>(&mut self) -> &mut Self {
        let world = self.world_of_buses();
        register_message::<BusMessage<E>>(world);
        let wrap = |event: &E| Some(BusMessage(event.clone()));
        routes::<E>(world).add_slices(Box::new(Picked::all(wrap)));
        self
    }

    /// Delivers the result of `pick` for each `E` as a Bevy message. An event for which `pick`
    /// returns `None` makes no message.
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

    /// Delivers the result of `pick` for each kind that `pattern` matches as a Bevy message.
    ///
    /// `pattern` matches the subjects of the kinds: `*` stands for one segment, `>` at the end for
    /// one or more. A kind that it does not match costs one lookup in a table.
    ///
    /// # Panics
    ///
    /// Panics if the pattern is malformed, or matches no subject of `E`.
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
    #[track_caller]
    fn add_bus_message_for<E, M>(
        &mut self,
        pattern: &str,
        pick: impl Fn(&E) -> Option<M> + Send + Sync + 'static,
    ) -> &mut Self
    where
        E: Event + Send + Sync + 'static,
        M: Message,
    {
        let covered = Covered::by::<E>(pattern);
        routes::<E>(self.world_of_buses()).kinds = Some(Kinds::of());
        self.add_bus_message_with(move |event: &E| covered.contains(event).then(|| pick(event))?)
    }

    /// Triggers every `E` for Bevy's observers.
    ///
    /// The drain applies the commands of the observers of one event before it triggers the next event, as
    /// `Commands::trigger` does. It triggers nothing while `E` has no observer. Bevy runs the observers of one
    /// event in no particular order.
    ///
    /// The next frame, or the next [generation](super::EventBusPlugin::with_generations), triggers
    /// an `E` that an observer publishes. Observers never recurse.
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

    /// Triggers the result of `pick` for each kind that `pattern` matches, for Bevy's observers.
    ///
    /// The pattern works as in [`add_bus_message_for`](Self::add_bus_message_for), and the
    /// observers run as in [`add_bus_event`](Self::add_bus_event).
    ///
    /// # Panics
    ///
    /// Panics if the pattern is malformed, or matches no subject of `E`.
    #[track_caller]
    fn add_bus_event_for<E, T>(
        &mut self,
        pattern: &str,
        pick: impl Fn(&E) -> Option<T> + Send + Sync + 'static,
    ) -> &mut Self
    where
        E: Event + Send + Sync + 'static,
        T: for<'a> Triggered<Trigger<'a>: Default>,
    {
        let covered = Covered::by::<E>(pattern);
        let pick = move |event: &E| covered.contains(event).then(|| pick(event))?;
        let routes = routes::<E>(self.world_of_buses());
        routes.kinds = Some(Kinds::of());
        routes.observers.push(Box::new(PickedObserved::new(pick)));
        self
    }

    /// Keeps the events of each frame for [`BusFrame`](super::BusFrame).
    ///
    /// A system with a `BusFrame<E>` does not run without it. A second call for `E` has no effect.
    fn add_bus_frame<E: Send + Sync + 'static>(&mut self) -> &mut Self {
        let world = self.world_of_buses();
        world.init_resource::<KeepsFrames<E>>();
        routes::<E>(world).frame = true;
        self
    }
}

impl EventBusAppExt for App {}
impl EventBusAppExt for SubApp {}

/// An app, or a part of one, with a world for the buses.
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

/// Registers a type of messages as `App::add_message` does.
fn register_message<M: Message>(world: &mut World) {
    if !world.contains_resource::<Messages<M>>() {
        MessageRegistry::register_message::<M>(world);
    }
}

/// Returns the routes that the buses of `E` adopt in the next drain.
fn routes<E: Send + Sync + 'static>(world: &mut World) -> &mut Routes<E> {
    let mut buses = world.get_resource_or_init::<Buses>();
    buses.busy = true;
    buses.wanted.push((TypeId::of::<E>(), type_name::<E>()));
    if world.contains_resource::<MainScheduleOrder>() {
        set_up(world, None); // so that a drain finds out if no plugin comes
    }
    world.get_resource_or_init::<Routes<E>>().into_inner()
}
