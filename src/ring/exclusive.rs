//! What `&mut` allows: the same steps on plain words.

use super::{Policy, Ring, Shape, before};
use crate::sync::Word;

impl<E, const N: usize> Ring<E, N> {
    const SHAPE: Shape = Shape::of(N);

    #[inline(always)]
    const fn index(position: Word) -> usize {
        (position >> Self::SHAPE.shift) as usize & (N - 1)
    }

    /// [`Core::publish`](super::Core::publish) without atomics.
    #[inline]
    pub(crate) fn publish_mut<P: Policy>(&mut self, event: E) -> Result<Option<E>, E> {
        let shape = Self::SHAPE;
        let tail = *self.state.tail.0.get_mut();
        let slot = &mut self.slots[Self::index(tail)];
        let stamp = *slot.stamp.get_mut();
        if stamp == shape.free(tail) {
            // SAFETY: `&mut` makes the slot ours, and its stamp says that it is free.
            unsafe { slot.write(event) };
            *slot.stamp.get_mut() = shape.written(tail);
            *self.state.tail.0.get_mut() = tail.wrapping_add(shape.unit());
            return Ok(None);
        }
        let previous = tail.wrapping_sub(shape.span());
        if P::EVICTS && stamp == shape.written(previous) {
            // SAFETY: `&mut` makes the slot ours, and its stamp says that it holds an event, which
            // the next line replaces.
            let displaced = unsafe { slot.read() };
            // SAFETY: as above; the event has been moved out.
            unsafe { slot.write(event) };
            *slot.stamp.get_mut() = shape.written(tail);
            *self.state.tail.0.get_mut() = tail.wrapping_add(shape.unit());
            return Ok(Some(displaced));
        }
        self.core().publish::<P>(event)
    }

    /// The end of what is on the ring: the start of a drain.
    #[inline]
    pub(crate) fn freeze_mut<P: Policy>(&mut self) -> Word {
        let shape = Self::SHAPE;
        let end = shape.position(*self.state.tail.0.get_mut());
        let head = *self.state.head.0.get_mut();
        let waiting = (end.wrapping_sub(head) >> shape.shift).min(N as Word);
        let high_water = self.state.high_water.get_mut();
        *high_water = waiting.max(*high_water);
        *self.state.turns.get_mut() = self.state.turns_at(head);
        if P::EVICTS {
            let oldest = end.wrapping_sub(shape.span());
            if before(head, oldest) {
                let passed = oldest.wrapping_sub(head) >> shape.shift;
                let surplus = self.state.surplus.get_mut();
                *surplus = surplus.wrapping_sub(passed);
                *self.state.head.0.get_mut() = oldest;
            }
        }
        end
    }

    /// The next event before `end`, in order, if it is at the head. `Err`: something was passed
    /// over or is in the way, which a [`Reader`](super::Reader) sorts out.
    #[inline]
    pub(crate) fn take_mut(&mut self, end: Word) -> Result<Option<E>, ()> {
        let shape = Self::SHAPE;
        let head = *self.state.head.0.get_mut();
        if head == end {
            return Ok(None);
        }
        let slot = &mut self.slots[Self::index(head)];
        if *slot.stamp.get_mut() != shape.written(head) {
            return Err(());
        }
        // SAFETY: `&mut` makes the slot ours, and its stamp says that it holds an event. The stamp
        // below makes this the last read of it.
        let event = unsafe { slot.read() };
        *slot.stamp.get_mut() = shape.free(head).wrapping_add(shape.span());
        *self.state.head.0.get_mut() = head.wrapping_add(shape.unit());
        Ok(Some(event))
    }

    /// Whether an event may have been passed over, so that a [`Reader`](super::Reader) must look.
    #[inline]
    pub(crate) fn irregular<P: Policy>(&mut self) -> bool {
        // What has been displaced counts as passed over too.
        *self.state.voids.get_mut() != 0 || !P::EVICTS && *self.state.surplus.get_mut() != 0
    }
}
