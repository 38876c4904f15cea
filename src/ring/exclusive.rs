//! What `&mut` allows: the same steps on plain words.

use super::{Policy, Reader, Ring, Shape, Span, State, WRITTEN};
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
            *self.state.tail.0.get_mut() = tail.wrapping_add(shape.unit);
            return Ok(None);
        }
        let previous = tail.wrapping_sub(shape.span);
        if P::EVICTS && stamp == shape.written(previous) {
            // SAFETY: `&mut` makes the slot ours, and its stamp says that it holds an event, which
            // the next line replaces.
            let displaced = unsafe { slot.read() };
            // SAFETY: as above; the event has been moved out.
            unsafe { slot.write(event) };
            *slot.stamp.get_mut() = shape.written(tail);
            *self.state.tail.0.get_mut() = tail.wrapping_add(shape.unit);
            return Ok(Some(displaced));
        }
        let core = self.core();
        match core.claim_slow::<P>() {
            Some(claim) => Ok(core.fill::<P>(claim, event)),
            None => Err(event),
        }
    }

    /// What is on the ring: the start of a drain.
    #[inline]
    pub(crate) fn freeze_mut<P: Policy>(&mut self) -> Span {
        let shape = Self::SHAPE;
        let end = shape.position(*self.state.tail.0.get_mut());
        let mut head = *self.state.head.0.get_mut();
        let voids = *self.state.voids.get_mut() | *self.state.passed_over.get_mut();
        if P::EVICTS && voids == 0 {
            let oldest = end.wrapping_sub(shape.span);
            if end.wrapping_sub(head) > shape.span {
                let passed = oldest.wrapping_sub(head) >> shape.shift;
                let surplus = self.state.surplus.get_mut();
                *surplus = surplus.wrapping_sub(passed);
                head = oldest;
                *self.state.head.0.get_mut() = oldest;
            }
        }
        let waiting = end.wrapping_sub(head);
        let high_water = self.state.high_water.get_mut();
        if waiting > *high_water {
            *high_water = waiting;
        }
        self.state.turn(head);
        let late = (voids != 0 || !P::EVICTS && *self.state.surplus.get_mut() != 0)
            && self.needs_reader::<P>();
        Span { end, stop: if late { head } else { end }, late }
    }

    /// Whether the next event is one that only a [`Reader`] can take.
    #[cold]
    fn needs_reader<P: Policy>(&self) -> bool {
        let reader = Reader::new(self.core());
        reader.sees_late::<P>() || !P::EVICTS && reader.frees_loosely(reader.head())
    }

    /// Counts events that found no room.
    pub(crate) fn turn_away_mut(&mut self, events: usize) {
        let turned_away = self.state.turned_away.get_mut();
        *turned_away = turned_away.wrapping_add(events as Word);
    }

    /// Hands the events to `each`, until it says to stop.
    #[inline]
    pub(crate) fn take_while_mut<P: Policy>(
        &mut self,
        span: &mut Span,
        mut each: impl FnMut(&State, E) -> bool,
    ) {
        let shape = Self::SHAPE;
        loop {
            let mut head = *self.state.head.0.get_mut();
            // Run by run: between two ends of the slots all stamps are of one lap.
            'runs: while head != span.stop {
                let start = Self::index(head);
                let run = shape.count(span.stop.wrapping_sub(head)).min(N - start);
                let written = shape.written(head);
                for slot in &mut self.slots[start..start + run] {
                    if *slot.stamp.get_mut() != written {
                        break 'runs;
                    }
                    // SAFETY: as in `take_mut`.
                    let event = unsafe { slot.read() };
                    *slot.stamp.get_mut() = written.wrapping_add(shape.span - WRITTEN);
                    head = head.wrapping_add(shape.unit);
                    *self.state.head.0.get_mut() = head;
                    if !each(&self.state, event) {
                        return;
                    }
                }
            }
            let Some(event) = self.take_mut::<P>(span) else { return };
            if !each(&self.state, event) {
                return;
            }
        }
    }

    /// The next event, in order.
    #[inline]
    pub(crate) fn take_mut<P: Policy>(&mut self, span: &mut Span) -> Option<E> {
        let shape = Self::SHAPE;
        let head = *self.state.head.0.get_mut();
        if head == span.stop {
            return if span.late || head != span.end {
                self.take_irregular::<P>(span)
            } else {
                None
            };
        }
        let slot = &mut self.slots[Self::index(head)];
        let written = shape.written(head);
        if *slot.stamp.get_mut() != written {
            return self.take_irregular::<P>(span);
        }
        // SAFETY: `&mut` makes the slot ours, and its stamp says that it holds an event. The stamp
        // below makes this the last read of it.
        let event = unsafe { slot.read() };
        *slot.stamp.get_mut() = written.wrapping_add(shape.span - WRITTEN);
        *self.state.head.0.get_mut() = head.wrapping_add(shape.unit);
        Some(event)
    }

    /// The next event where publishers were once stopped halfway.
    #[cold]
    #[inline(never)]
    fn take_irregular<P: Policy>(&mut self, span: &mut Span) -> Option<E> {
        // The reader may hold slots, which a consumer that was forgotten has the claim for.
        let claim = *self.state.consumer.get_mut();
        let mut reader = Reader::new(self.core());
        let mut all = reader.freeze::<P>();
        let event = reader.take::<P>(&mut all);
        *self.state.consumer.get_mut() = claim;
        span.late = event.is_some() && self.needs_reader::<P>();
        span.stop = if span.late { *self.state.head.0.get_mut() } else { span.end };
        event
    }
}
