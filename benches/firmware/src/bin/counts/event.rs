//! The event of 8 bytes, and its handlers.

tickbus::events! {
    #[derive(Clone, Copy, Debug, PartialEq)]
    pub enum Event {
        #[subject = "count.first"]
        First(u32),
        #[subject = "count.second"]
        Second(u32),
        #[subject = "count.third"]
        Third(u32),
        #[subject = "count.fourth"]
        Fourth(u32),
        #[subject = "count.fifth"]
        Fifth(u32),
        #[subject = "count.sixth"]
        Sixth(u32),
        #[subject = "count.seventh"]
        Seventh(u32),
        #[subject = "count.eighth"]
        Eighth(u32),
    }
}

const _: () = assert!(size_of::<Event>() == 8);

impl Event {
    pub fn value(&self) -> u32 {
        match *self {
            Self::First(value)
            | Self::Second(value)
            | Self::Third(value)
            | Self::Fourth(value)
            | Self::Fifth(value)
            | Self::Sixth(value)
            | Self::Seventh(value)
            | Self::Eighth(value) => value,
        }
    }
}

pub struct Context {
    pub sum: u32,
}

#[inline(never)]
pub fn add(context: &mut Context, event: &Event) {
    context.sum = context.sum.wrapping_add(event.value());
}

#[inline(never)]
pub fn subtract(context: &mut Context, event: &Event) {
    context.sum = context.sum.wrapping_sub(event.value());
}

/// A table of handlers by hand, for the peers.
pub static HANDLERS: [fn(&mut Context, &Event); 8] =
    [add, subtract, subtract, subtract, subtract, subtract, subtract, subtract];
