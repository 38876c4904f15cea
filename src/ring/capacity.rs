//! Which numbers of slots there are.

/// A number of slots that a bus, a lane, a topic, a feed or a hold may have: a power of two, at least 2.
///
/// `(): Capacity<N>` is a bound on the constructors, so a wrong number is an error at your line. `()`
/// implements the trait for every right number. Code that constructs such a type for an `N` of its own repeats
/// the bound; code that takes one that exists does not need it.
///
/// You cannot implement this trait.
///
/// # Examples
///
/// ```
/// use tickbus::Bus;
/// use tickbus::bus::Capacity;
///
/// struct Player<const N: usize> {
///     inbox: Bus<u8, N>,
/// }
///
/// impl<const N: usize> Player<N> {
///     const fn new() -> Self
///     where
///         (): Capacity<N>,
///     {
///         Self { inbox: Bus::new() }
///     }
/// }
///
/// static PLAYER: Player<4> = Player::new();
/// assert_eq!(PLAYER.inbox.capacity(), 4);
/// ```
///
/// ```compile_fail,E0277
/// static BUS: tickbus::Bus<u8, 3> = tickbus::Bus::new(); // not a power of two
/// ```
// Another crate owns neither the trait nor `()`, so it cannot implement the one for the other (E0117).
#[diagnostic::on_unimplemented(
    message = "`{N}` is not a capacity: it must be a power of two, at least 2",
    label = "a capacity of `{N}`",
    note = "in code that is generic over the capacity, add the bound `(): tickbus::bus::Capacity<N>`"
)]
pub trait Capacity<const N: usize> {}

macro_rules! capacities {
    ($($slots:literal)*) => {$(
        #[diagnostic::do_not_recommend]
        #[doc(hidden)]
        impl Capacity<$slots> for () {}
    )*};
}

capacities! { 2 4 8 16 32 64 128 256 512 1024 2048 4096 8192 16384 32768 }
#[cfg(not(target_pointer_width = "16"))]
capacities! { 0x10000 0x20000 0x40000 0x80000 0x100000 0x200000 0x400000 0x800000 0x1000000 0x2000000 0x4000000 0x8000000 0x10000000 0x20000000 0x40000000 0x80000000 }
#[cfg(target_pointer_width = "64")]
capacities! {
    0x100000000 0x200000000 0x400000000 0x800000000 0x1000000000 0x2000000000 0x4000000000 0x8000000000 0x10000000000 0x20000000000 0x40000000000 0x80000000000 0x100000000000 0x200000000000 0x400000000000 0x800000000000
    0x1000000000000 0x2000000000000 0x4000000000000 0x8000000000000 0x10000000000000 0x20000000000000 0x40000000000000 0x80000000000000 0x100000000000000 0x200000000000000 0x400000000000000 0x800000000000000 0x1000000000000000 0x2000000000000000 0x4000000000000000 0x8000000000000000
}
