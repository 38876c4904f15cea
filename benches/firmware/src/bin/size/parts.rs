//! The parts of every program of the size report: an interrupt that makes events, and eight handlers.
#![allow(dead_code, reason = "no program uses everything")]

use core::hint::black_box;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU32, Ordering};

tickbus::events! {
    /// An event of 8 bytes.
    #[derive(Clone, Copy)]
    pub enum Event {
        #[subject = "part.first"]
        First(u32),
        #[subject = "part.second"]
        Second(u32),
        #[subject = "part.third"]
        Third(u32),
        #[subject = "part.fourth"]
        Fourth(u32),
        #[subject = "part.fifth"]
        Fifth(u32),
        #[subject = "part.sixth"]
        Sixth(u32),
        #[subject = "part.seventh"]
        Seventh(u32),
        #[subject = "part.eighth"]
        Eighth(u32),
    }
}

/// Slots of every queue: a payload of 128 bytes.
pub const SLOTS: usize = 16;

/// Stands for the registers of a device: one for input, one for output.
static INPUT: [AtomicU32; 2] = [const { AtomicU32::new(0) }; 2];
static OUTPUT: AtomicU32 = AtomicU32::new(0);

/// The event that the interrupt makes.
#[inline(always)]
pub fn read_input() -> Event {
    let input = black_box(&INPUT);
    let value = input[1].load(Ordering::Relaxed);
    match input[0].load(Ordering::Relaxed) % 8 {
        0 => Event::First(value),
        1 => Event::Second(value),
        2 => Event::Third(value),
        3 => Event::Fourth(value),
        4 => Event::Fifth(value),
        5 => Event::Sixth(value),
        6 => Event::Seventh(value),
        _ => Event::Eighth(value),
    }
}

/// The state of the handlers.
pub struct Context(pub u32);

macro_rules! handlers {
    ($($handler:ident $kind:ident $number:literal,)*) => {
        $(
            #[inline(never)]
            pub fn $handler(context: &mut Context, event: &Event) {
                if let Event::$kind(value) = *event {
                    context.0 ^= value.rotate_left($number);
                    black_box(&OUTPUT).store(context.0, Ordering::Relaxed);
                }
            }
        )*
    };
}

handlers! {
    first First 1,
    second Second 2,
    third Third 3,
    fourth Fourth 4,
    fifth Fifth 5,
    sixth Sixth 6,
    seventh Seventh 7,
    eighth Eighth 8,
}

/// A table of handlers by hand.
pub static HANDLERS: [fn(&mut Context, &Event); 8] =
    [first, second, third, fourth, fifth, sixth, seventh, eighth];

/// Without a message: the report does not measure the cost of panics.
#[panic_handler]
fn panic(_: &PanicInfo) -> ! {
    loop {
        cortex_m::asm::udf();
    }
}
