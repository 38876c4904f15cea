//! The operations of every queue.

use tickbus::Event as _;

use crate::event::{Context, Event, HANDLERS};

/// Slots of every ring.
pub const SLOTS: usize = 16;

/// A queue under test: a handle, or nothing where the queue is a `static`.
pub trait Queue {
    const NAME: &str;
    const DISPLACES: bool = false;
    const TICKS: bool = true;

    fn publish(&mut self, event: Event) -> bool;

    fn take(&mut self) -> Option<Event>;

    #[inline(always)]
    fn drain(&mut self, mut each: impl FnMut(Event)) {
        while let Some(event) = self.take() {
            each(event);
        }
    }

    /// Publishes, and drops the oldest event if there is no room.
    #[inline(always)]
    fn displace(&mut self, event: Event) -> bool {
        self.publish(event)
    }

    /// Takes one event and calls its handler. A tick of the bus does more: it takes every pending event.
    #[inline(always)]
    fn tick(&mut self, context: &mut Context) {
        if let Some(event) = self.take() {
            HANDLERS[event.kind()](context, &event);
        }
    }
}
