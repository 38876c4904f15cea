//! The events of a frame as one slice, and the queues that a rollback restores.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::any::type_name;
use core::fmt;
use core::marker::PhantomData;
use core::mem;
use core::time::Duration;

use bevy_ecs::change_detection::Mut;
use bevy_ecs::resource::Resource;
use bevy_ecs::system::{Local, Res, SystemParam};
use bevy_ecs::world::{FromWorld, World};
use bevy_platform::sync::Arc;

use crate::sync::{AtomicWord, Relaxed, Word};

/// What the plugin keeps of the buses of `E` from one frame to the next.
///
/// It holds the frame, the cursors of its readers, the pending events, the events that wait for
/// their fixed step, and the credit of each bus. All of it is plain data.
///
/// # Rollback
///
/// Clone this resource with the rest of the world, and insert the clone to roll back. It does not
/// contain the events that are still on a bus. Call
/// [`keep_pending`](super::EventBusPlugin::keep_pending) to leave no event on the bus after a
/// frame. Every frame then has a drain, which ends the restored frame in time. This resource does
/// not contain Bevy's `Messages` and their readers either. Let the systems that run again read
/// [`BusFrame`]s, and publish their events again.
///
/// # Examples
///
/// ```
/// use bevy_app::App;
/// use tickbus::Bus;
/// use tickbus::bevy::{EventBusAppExt, EventBusPlugin, EventBusState};
///
/// static INPUTS: Bus<u32, 8> = Bus::new();
/// let mut app = App::new();
/// app.add_plugins(EventBusPlugin::new(&INPUTS).keep_pending()).add_bus_frame::<u32>();
///
/// INPUTS.publish(7).unwrap();
/// app.update();
/// let snapshot = app.world().resource::<EventBusState<u32>>().clone();
/// app.update();
/// assert!(app.world().resource::<EventBusState<u32>>().frame().is_empty());
///
/// app.insert_resource(snapshot);
/// assert_eq!(app.world().resource::<EventBusState<u32>>().frame(), [7]);
/// ```
#[derive(Resource)]
pub struct EventBusState<E: Send + Sync + 'static> {
    frame: Vec<E>,
    /// The number of the event after the last of the frame, counted over all frames; wraps.
    end: Word,
    /// The number of the first event that a reader has not seen, reader by reader. A reader writes only
    /// its own, through a shared reference, so that readers run in parallel.
    cursors: Vec<Cursor>,
    /// How many readers had been made when the cursors were.
    made: Word,
    pub(super) buses: Vec<Kept<E>>,
}

/// How far a reader has come.
struct Cursor {
    /// The number of the reader.
    of: Word,
    next: AtomicWord,
}

/// What one bus keeps.
#[derive(Clone)]
pub(super) struct Kept<E> {
    /// Taken off the bus, not delivered.
    pub(super) pending: VecDeque<E>,
    /// Waiting for the fixed step that covers their time.
    pub(super) held: Vec<(Duration, E)>,
    /// What the bus is owed, in eighths of an event.
    pub(super) credit: usize,
}

impl<E> Default for Kept<E> {
    fn default() -> Self {
        Self { pending: VecDeque::new(), held: Vec::new(), credit: 0 }
    }
}

impl<E: Send + Sync + 'static> EventBusState<E> {
    /// Returns the events of this frame, or of this fixed step. Moves no cursor.
    ///
    /// The slice is always empty without [`add_bus_frame`](super::EventBusAppExt::add_bus_frame).
    #[must_use]
    pub fn frame(&self) -> &[E] {
        &self.frame
    }

    /// Returns how many events of this state are pending, including those that wait for their fixed step.
    ///
    /// The number does not include events that are still on a bus.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.buses.iter().map(|bus| bus.pending.len() + bus.held.len()).sum()
    }

    /// Ends the frame before, and leaves its buffer to an empty batch, so that there is one for both.
    pub(super) fn begin_frame(&mut self, batch: &mut Vec<E>) {
        self.frame.clear();
        if batch.is_empty() && self.frame.capacity() > batch.capacity() {
            mem::swap(&mut self.frame, batch);
        }
    }

    /// Adds a batch to the frame, and leaves an empty one.
    pub(super) fn extend_frame(&mut self, batch: &mut Vec<E>) {
        // Numbers wrap.
        self.end = self.end.wrapping_add(batch.len() as Word);
        if self.frame.is_empty() {
            mem::swap(&mut self.frame, batch);
        } else {
            self.frame.append(batch);
        }
    }

    fn first(&self) -> Word {
        self.end.wrapping_sub(self.frame.len() as Word)
    }

    /// Makes cursors for readers that have none: they see what is in the frame now. A state that was
    /// saved before a reader was made has none for it, or one of a reader that was dropped.
    pub(super) fn make_cursors(&mut self, readers: &FrameReaders<E>) {
        if self.made == readers.made {
            return;
        }
        self.made = readers.made;
        let first = self.first();
        for (at, (of, _)) in readers.slots.iter().enumerate() {
            let cursor = || Cursor { of: *of, next: AtomicWord::new(first) };
            match self.cursors.get_mut(at) {
                Some(old) if old.of != *of => *old = cursor(),
                Some(_) => {}
                None => self.cursors.push(cursor()),
            }
        }
    }

    /// Makes places for `count` buses where there are fewer, as in a new state.
    pub(super) fn make_room(&mut self, count: usize) {
        if self.buses.len() < count {
            self.buses.resize_with(count, Kept::default);
        }
    }

    fn cursor(&self, reader: &Reader<E>) -> Option<&AtomicWord> {
        let cursor = self.cursors.get(reader.index)?;
        (cursor.of == reader.number).then_some(&cursor.next)
    }

    /// How many of the events up to the end of the frame a reader has not seen.
    fn behind(&self, reader: &Reader<E>) -> Word {
        // Relaxed: one system at a time writes a cursor, and the schedule orders its runs.
        let cursor = self.cursor(reader).map(|cursor| cursor.load(Relaxed));
        self.end.wrapping_sub(cursor.unwrap_or(self.first()))
    }

    /// How many events of earlier frames the reader has not seen.
    fn missed(&self, reader: &Reader<E>) -> Word {
        self.behind(reader).saturating_sub(self.frame.len() as Word)
    }

    fn read(&self, reader: &Reader<E>) -> &[E] {
        let unread = usize::try_from(self.behind(reader)).unwrap_or(usize::MAX);
        if let Some(cursor) = self.cursor(reader) {
            cursor.store(self.end, Relaxed);
        }
        &self.frame[self.frame.len() - unread.min(self.frame.len())..]
    }
}

impl<E: Send + Sync + 'static> Default for EventBusState<E> {
    fn default() -> Self {
        Self { frame: Vec::new(), end: 0, cursors: Vec::new(), made: 0, buses: Vec::new() }
    }
}

impl<E: Clone + Send + Sync + 'static> Clone for EventBusState<E> {
    fn clone(&self) -> Self {
        let cursors = self.cursors.iter().map(|cursor| Cursor {
            of: cursor.of,
            next: AtomicWord::new(cursor.next.load(Relaxed)),
        });
        Self {
            frame: self.frame.clone(),
            end: self.end,
            cursors: cursors.collect(),
            made: self.made,
            buses: self.buses.clone(),
        }
    }
}

impl<E: Send + Sync + 'static> fmt::Debug for EventBusState<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventBusState")
            .field("frame", &self.frame.len())
            .field("readers", &self.cursors.len())
            .field("pending", &self.pending())
            .finish_non_exhaustive()
    }
}

/// Reads the events of a frame as one slice: the cheapest way into a system.
///
/// Call [`add_bus_frame`](super::EventBusAppExt::add_bus_frame) on the app to keep the frames. Each system
/// reads each event at most once, also if it runs several times in a frame. Systems that read the same frame
/// run in parallel.
///
/// # Lagging
///
/// The slice stays until the next drain. For a bus
/// [in fixed steps](super::EventBusPlugin::in_fixed_step) it stays until the next step. A system that does not
/// run in that time loses its events, and [`missed`](Self::missed) returns how many.
///
/// # Panics
///
/// Bevy panics instead of running the system if the app has no bus of `E`, or no `add_bus_frame::<E>()`. With
/// `Option<BusFrame<E>>` the system runs without them.
///
/// # Examples
///
/// ```
/// use bevy_app::{App, Update};
/// use bevy_ecs::prelude::*;
/// use tickbus::Bus;
/// use tickbus::bevy::{BusFrame, EventBusAppExt, EventBusPlugin};
///
/// static SAMPLES: Bus<u32, 64> = Bus::new();
///
/// #[derive(Resource, Default)]
/// struct Loudness { sum: u32, missed: u64 }
///
/// fn loudness(mut samples: BusFrame<u32>, mut loudness: ResMut<Loudness>) {
///     loudness.missed += samples.missed(); // before reading
///     loudness.sum += samples.read().iter().sum::<u32>();
/// }
///
/// let every_other_frame = |mut count: Local<u32>| {
///     *count += 1;
///     *count % 2 == 1
/// };
/// let mut app = App::new();
/// app.add_plugins(EventBusPlugin::new(&SAMPLES))
///     .add_bus_frame::<u32>()
///     .init_resource::<Loudness>()
///     .add_systems(Update, loudness.run_if(every_other_frame));
///
/// for sample in [1, 10, 100] {
///     SAMPLES.publish(sample).unwrap();
///     app.update();
/// }
/// let loudness = app.world().resource::<Loudness>();
/// assert_eq!((loudness.sum, loudness.missed), (101, 1));
/// ```
#[derive(SystemParam)]
pub struct BusFrame<'w, 's, E: Send + Sync + 'static> {
    #[system_param(validation_message = no_bus::<E>())]
    state: Res<'w, EventBusState<E>>,
    #[system_param(validation_message = no_frames::<E>())]
    _kept: Res<'w, KeepsFrames<E>>,
    reader: Local<'s, Reader<E>>,
}

impl<E: Send + Sync + 'static> BusFrame<'_, '_, E> {
    /// Returns the events of this frame that this system has not read yet.
    pub fn read(&mut self) -> &[E] {
        self.state.read(&self.reader)
    }

    /// Returns how many events this system has missed since it last called [`read`](Self::read).
    ///
    /// Call it before `read`: afterwards it returns 0.
    #[must_use]
    pub fn missed(&self) -> u64 {
        // A word has 64 bits at most.
        #[cfg_attr(
            target_has_atomic = "64",
            expect(clippy::useless_conversion, reason = "32 bits elsewhere")
        )]
        u64::from(self.state.missed(&self.reader))
    }
}

impl<E: Send + Sync + 'static> fmt::Debug for BusFrame<'_, '_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BusFrame").field("missed", &self.missed()).finish_non_exhaustive()
    }
}

/// Returns the remedy for a system parameter without a bus.
pub(super) fn no_bus<E>() -> String {
    let name = type_name::<E>();
    format!("the app has no bus of `{name}`: add an `EventBusPlugin` with one")
}

fn no_frames<E>() -> String {
    let name = type_name::<E>();
    format!("the app keeps no frames of `{name}`: call `add_bus_frame::<{name}>()` on it")
}

/// A resource of apps whose drain keeps frames.
#[derive(Resource)]
pub(super) struct KeepsFrames<E: 'static>(PhantomData<fn() -> E>);

impl<E: 'static> Default for KeepsFrames<E> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

/// Which cursor a system has. It never changes; what changes is in the resource.
#[derive(Debug)]
struct Reader<E> {
    index: usize,
    number: Word,
    /// Shared with the slot, which is free when this one is gone.
    _in_use: Arc<()>,
    of: PhantomData<fn() -> E>,
}

impl<E: Send + Sync + 'static> FromWorld for Reader<E> {
    fn from_world(world: &mut World) -> Self {
        let mut readers = world.get_resource_or_init::<FrameReaders<E>>();
        // Numbers wrap.
        let number = readers.made.wrapping_add(1);
        readers.made = number;
        let in_use = Arc::new(());
        let slot = (number, in_use.clone());
        let free = readers.slots.iter().position(|(_, in_use)| Arc::strong_count(in_use) == 1);
        let index = free.unwrap_or(readers.slots.len());
        match free {
            Some(index) => readers.slots[index] = slot,
            None => readers.slots.push(slot),
        }
        make_cursors::<E>(world);
        Self { index, number, _in_use: in_use, of: PhantomData }
    }
}

/// Opens the state for a drain of `count` buses. Ends the frame before, and leaves its buffer to `ended`,
/// unless a fixed step ends it.
pub(super) fn open<E: Send + Sync + 'static>(
    world: &mut World,
    count: usize,
    ended: Option<&mut Vec<E>>,
) {
    let mut state = world.get_resource_or_init::<EventBusState<E>>();
    state.make_room(count);
    if let Some(batch) = ended {
        state.begin_frame(batch);
    }
    make_cursors::<E>(world);
}

/// Makes the cursors of readers that are new, or that a restored state does not know. Without a bus there is no
/// state yet. Then the first drain makes the cursors.
fn make_cursors<E: Send + Sync + 'static>(world: &mut World) {
    let Some(readers) = world.get_resource::<FrameReaders<E>>() else { return };
    let made = readers.made;
    if world.get_resource::<EventBusState<E>>().is_some_and(|state| state.made != made) {
        world.try_resource_scope(|world, mut state: Mut<EventBusState<E>>| {
            if let Some(readers) = world.get_resource::<FrameReaders<E>>() {
                state.make_cursors(readers);
            }
        });
    }
}

/// The readers of the app. A rollback of the state keeps them.
#[derive(Resource)]
pub(super) struct FrameReaders<E: 'static> {
    /// The number of the reader that has, or had, a cursor.
    slots: Vec<(Word, Arc<()>)>,
    /// The number of the newest reader.
    made: Word,
    of: PhantomData<fn() -> E>,
}

impl<E: 'static> Default for FrameReaders<E> {
    fn default() -> Self {
        Self { slots: Vec::new(), made: 0, of: PhantomData }
    }
}
