//! What a type has beside its ring.

use super::overrun::Taken;
use super::{Bus, Consumer, DropOldest, Lane, Publisher, Reject, Single};
use crate::ring::{Side, queue, spsc};

/// A parameter that is not used costs no byte.
#[test]
fn what_has_no_waiters_has_no_room_for_them() {
    assert_eq!(size_of::<Bus<u64, 4>>(), size_of::<queue::Ring<u64, 4, Reject>>());
    assert_eq!(size_of::<Bus<u64, 4, DropOldest>>(), size_of::<queue::Ring<u64, 4, DropOldest>>());
    assert_eq!(size_of::<Lane<u64, 4>>(), size_of::<spsc::Ring<u64, 4>>());
    assert_eq!(size_of::<Publisher<'_, u64>>(), size_of::<spsc::Writer<'_, u64>>());
    assert_eq!(
        size_of::<Consumer<'_, u64>>(),
        size_of::<Side<'_, <Reject as Taken>::Reader<u64>>>()
    );
    assert_eq!(
        size_of::<Consumer<'_, u64, Single>>(),
        size_of::<Side<'_, <Single as Taken>::Reader<u64>>>()
    );
}
