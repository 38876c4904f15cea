//! Overrun policies: what a full bus does with the next event. A policy is a type, chosen where the bus is declared.

use crate::ring::{Cell, Eviction, Read, Side, queue, spsc};

/// What a full bus does with the next event: [`Reject`], [`DropOldest`] or [`DropNewest`].
///
/// The policy is a type, so a bus carries no code for the policies that it does not use.
///
/// This trait is sealed.
///
/// # Examples
///
/// ```
/// use tickbus::{Bus, DropNewest, DropOldest, Full};
///
/// let commands: Bus<u8, 2> = Bus::new(); // Reject
/// let positions: Bus<u8, 2, DropOldest> = Bus::new();
/// let samples: Bus<u8, 2, DropNewest> = Bus::new();
/// for event in [1, 2] {
///     commands.publish(event)?;
///     positions.publish(event)?;
///     samples.publish(event)?;
/// }
///
/// assert_eq!(commands.publish(3), Err(Full(3))); // comes back: nothing is lost
/// assert_eq!(positions.publish(3), Ok(())); // 1 is dropped
/// assert_eq!(samples.publish(3), Err(Full(3))); // 3 comes back, and counts as dropped
///
/// assert_eq!(commands.stats().dropped(), 0);
/// assert_eq!(positions.stats().dropped_oldest, 1);
/// assert_eq!(samples.stats().dropped_newest, 1);
/// # Ok::<(), Full<u8>>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an overrun policy",
    note = "a bus takes `Reject` (the default), `DropOldest` or `DropNewest` as its policy"
)]
#[expect(private_bounds, reason = "sealed: no path outside this crate names or reads `Eviction`")]
pub trait Policy: Queue + Shared {}

/// A policy under which a full bus rejects the new event: [`Reject`] or [`DropNewest`].
///
/// Only such a bus can publish [all events or none](crate::Bus::publish_all). [`DropOldest`] makes room by dropping
/// pending events, which it cannot give back.
///
/// This trait is sealed.
#[diagnostic::on_unimplemented(
    message = "a bus with `{Self}` cannot publish all events or none",
    note = "publish groups to a bus with `Reject` or `DropNewest`, which drop no pending event"
)]
pub trait RejectsNew: Policy {}

impl RejectsNew for Reject {}
impl RejectsNew for DropNewest {}

/// The kind of queue that a [`Consumer`](crate::Consumer) takes from: the [policy](Policy) of a bus, or [`Single`] for a
/// lane.
///
/// This trait is sealed.
#[expect(private_bounds, reason = "sealed: no path outside this crate names `Taken`")]
pub trait Queue: Taken {}

/// The reader of a queue, and how the queue counts an event that found no room.
pub(crate) trait Taken {
    type Reader<E>: Read<Event = E>;
    /// Whether that event counts as refused. Else it counts as dropped.
    const REFUSES: bool;
    /// The name for reports.
    const LABEL: &'static str;
}

/// How a bus gives out its reader.
pub(crate) trait Shared: Taken + Eviction {
    fn reader<E, const N: usize>(
        ring: &queue::Ring<E, N, Self>,
    ) -> Option<Side<'_, Self::Reader<E>>>;
}

/// The default policy: a full bus returns the event to its publisher in [`Full`](crate::Full) and counts it as refused.
/// No event is lost; the publisher decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reject;

/// A full bus drops its oldest pending event, counts it, and appends the new one. For events that are only useful while
/// they are fresh.
///
/// Taking an event costs a compare-and-swap. The bus has memory for one event more than its capacity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DropOldest;

/// A full bus drops the new event and counts it as dropped. `publish` still returns the event in
/// [`Full`](crate::Full), so that the caller can see it. You may ignore that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DropNewest;

/// The policy in the type of a lane's [`Consumer`](crate::Consumer): one publisher, and a full [`Lane`](crate::Lane)
/// rejects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Single;

impl Queue for Single {}

impl Taken for Single {
    type Reader<E> = spsc::Reader<E>;
    const REFUSES: bool = true;
    const LABEL: &'static str = "reject";
}

macro_rules! policies {
    ($($policy:ty: $refuses:literal, $label:literal;)*) => {$(
        impl Policy for $policy {}
        impl Queue for $policy {}

        impl Taken for $policy {
            type Reader<E> = queue::Raw<E, Self>;
            const REFUSES: bool = $refuses;
            const LABEL: &'static str = $label;
        }

        impl Shared for $policy {
            #[inline(always)]
            fn reader<E, const N: usize>(
                ring: &queue::Ring<E, N, Self>,
            ) -> Option<Side<'_, Self::Reader<E>>> {
                ring.reader()
            }
        }
    )*};
}

policies! {
    Reject: true, "reject";
    DropOldest: false, "drop_oldest";
    DropNewest: false, "drop_newest";
}

impl Eviction for Reject {
    const EVICTS: bool = false;
    type Spare<E> = [Cell<E>; 0];
}

impl Eviction for DropOldest {
    const EVICTS: bool = true;
    type Spare<E> = [Cell<E>; 1];
}

impl Eviction for DropNewest {
    const EVICTS: bool = false;
    type Spare<E> = [Cell<E>; 0];
}
