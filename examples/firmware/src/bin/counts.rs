//! Counts the instructions of each operation of the bus and of its peers, in one binary.
#![no_std]
#![no_main]
#![cfg(target_arch = "arm")]

use core::cell::{Cell, RefCell, UnsafeCell};
use core::hint::black_box;
use core::mem::MaybeUninit;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU32, Ordering};

use critical_section::Mutex;
use semihosting::println;
use tickbus_firmware::{clock, host};

/// 8 bytes, eight kinds.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(u8)]
pub enum Event {
    K0(u32),
    K1(u32),
    K2(u32),
    K3(u32),
    K4(u32),
    K5(u32),
    K6(u32),
    K7(u32),
}

impl Event {
    fn kind(&self) -> usize {
        match self {
            Event::K0(_) => 0,
            Event::K1(_) => 1,
            Event::K2(_) => 2,
            Event::K3(_) => 3,
            Event::K4(_) => 4,
            Event::K5(_) => 5,
            Event::K6(_) => 6,
            Event::K7(_) => 7,
        }
    }
    fn value(&self) -> u32 {
        let (Event::K0(v) | Event::K1(v) | Event::K2(v) | Event::K3(v) | Event::K4(v) | Event::K5(v) | Event::K6(v) | Event::K7(v)) = self;
        *v
    }
}

struct Context {
    sum: u32,
}

#[inline(never)]
fn add(context: &mut Context, event: &Event) {
    context.sum = context.sum.wrapping_add(event.value());
}
#[inline(never)]
fn sub(context: &mut Context, event: &Event) {
    context.sum = context.sum.wrapping_sub(event.value());
}

static TABLE: [fn(&mut Context, &Event); 8] = [add, sub, sub, sub, sub, sub, sub, sub];

const N: usize = 16;

trait Contender {
    const NAME: &str;
    const KEEPS: usize = N;
    type Handle;
    fn open() -> Self::Handle;
    fn publish(queue: &mut Self::Handle, event: Event) -> bool;
    fn take(queue: &mut Self::Handle) -> Option<Event>;
    /// Publishes even into a full queue, at the price of the oldest.
    fn displace(_queue: &mut Self::Handle, _event: Event) -> bool {
        false
    }
}

fn publish<C: Contender>(queue: &mut C::Handle, event: Event) -> bool {
    C::publish(queue, event)
}
fn take<C: Contender>(queue: &mut C::Handle, _: Event) -> Option<Event> {
    C::take(queue)
}
fn displace<C: Contender>(queue: &mut C::Handle, event: Event) -> bool {
    C::displace(queue, event)
}
fn drain<C: Contender>(queue: &mut C::Handle, _: Event) -> u32 {
    let mut sum = 0;
    while let Some(event) = C::take(queue) {
        sum += event.value();
    }
    sum
}
fn whole<C: Contender>((queue, context): &mut (C::Handle, Context), event: Event) -> bool {
    let ok = C::publish(queue, event);
    if let Some(event) = C::take(queue) {
        TABLE[event.kind()](context, &event);
    }
    ok
}

fn nothing_bool<H>(_: &mut H, _: Event) -> bool {
    true
}
fn nothing_event<H>(_: &mut H, event: Event) -> Option<Event> {
    Some(event)
}
fn nothing_u32<H>(_: &mut H, _: Event) -> u32 {
    0
}

fn measure<C: Contender>() {
    let one = Event::K0(1);
    let mut pair = (C::open(), Context { sum: 0 });
    let queue = &mut pair.0;
    let (empty_bool, _) = clock::count(nothing_bool, queue, one);
    let (empty_event, _) = clock::count(nothing_event, queue, one);
    let (empty_u32, _) = clock::count(nothing_u32, queue, one);

    println!("{empty_bool} {empty_event} {empty_u32}");
    // Not the first: positions away from zero.
    for _ in 0..3 {
        assert!(C::publish(queue, one));
        assert!(C::take(queue).is_some());
    }

    let (published, ok) = clock::count(publish::<C>, queue, Event::K0(7));
    assert!(ok);
    let (taken, event) = clock::count(take::<C>, queue, one);
    assert_eq!(event, Some(Event::K0(7)));
    let (empty, event) = clock::count(take::<C>, queue, one);
    assert_eq!(event, None);

    for value in 1..=8 {
        assert!(C::publish(queue, Event::K0(value)));
    }
    let (drained, sum) = clock::count(drain::<C>, queue, one);
    assert_eq!(sum, 36);

    for value in 1..=C::KEEPS as u32 {
        assert!(C::publish(queue, Event::K0(value)));
    }
    let (full, ok) = clock::count(publish::<C>, queue, one);
    assert!(!ok);
    let (displaced, ok) = clock::count(displace::<C>, queue, Event::K0(100));
    if ok {
        assert_eq!(C::take(queue), Some(Event::K0(2)));
    } else {
        assert_eq!(C::take(queue), Some(Event::K0(1)));
    }
    while C::take(queue).is_some() {}

    let (empty_pair, _) = clock::count(nothing_bool, &mut pair, one);
    let (whole, ok) = clock::count(whole::<C>, &mut pair, Event::K0(5));
    assert!(ok);
    assert_eq!(pair.1.sum, 5);
    println!(
        "{:<28} {:>4} {:>4} {:>4} {:>5}/8 {:>4} {:>4} {:>4}",
        C::NAME,
        published,
        taken,
        empty,
        drained,
        full,
        if ok { displaced } else { 0 },
        whole,
    );
}

struct Spsc;
impl Contender for Spsc {
    const NAME: &str = "heapless spsc";
    const KEEPS: usize = N - 1;
    type Handle = (heapless::spsc::Producer<'static, Event>, heapless::spsc::Consumer<'static, Event>);
    fn open() -> Self::Handle {
        static QUEUE: Global<heapless::spsc::Queue<Event, N>> = Global(UnsafeCell::new(heapless::spsc::Queue::new()));
        unsafe { (*QUEUE.0.get()).split() }
    }
    #[inline(always)]
    fn publish(queue: &mut Self::Handle, event: Event) -> bool {
        queue.0.enqueue(event).is_ok()
    }
    #[inline(always)]
    fn take(queue: &mut Self::Handle) -> Option<Event> {
        queue.1.dequeue()
    }
}

struct Global<T>(UnsafeCell<T>);
unsafe impl<T> Sync for Global<T> {}

static DEQUE: Mutex<RefCell<heapless::Deque<Event, N>>> = Mutex::new(RefCell::new(heapless::Deque::new()));
static DEQUE2: Global<heapless::Deque<Event, N>> = Global(UnsafeCell::new(heapless::Deque::new()));

struct DequeCs;
impl Contender for DequeCs {
    const NAME: &str = "Deque RefCell cs";
    type Handle = ();
    fn open() -> Self::Handle {
    }
    #[inline(always)]
    fn publish(_: &mut Self::Handle, event: Event) -> bool {
        critical_section::with(|cs| DEQUE.borrow_ref_mut(cs).push_back(event).is_ok())
    }
    #[inline(always)]
    fn take(_: &mut Self::Handle) -> Option<Event> {
        critical_section::with(|cs| DEQUE.borrow_ref_mut(cs).pop_front())
    }
}
struct DequeCs2;
impl Contender for DequeCs2 {
    const NAME: &str = "Deque cs";
    type Handle = ();
    fn open() -> Self::Handle {
    }
    #[inline(always)]
    fn publish(_: &mut Self::Handle, event: Event) -> bool {
        critical_section::with(|_| unsafe { (*DEQUE2.0.get()).push_back(event).is_ok() })
    }
    #[inline(always)]
    fn take(_: &mut Self::Handle) -> Option<Event> {
        critical_section::with(|_| unsafe { (*DEQUE2.0.get()).pop_front() })
    }
}

#[cortex_m_rt::entry]
fn main() -> ! {
    let mut core = cortex_m::Peripherals::take().expect("main runs once");
    clock::start(&mut core.SYST);
    println!("calibration: {} ticks per 1000 instructions", clock::ticks_per_thousand());
    measure::<Spsc>();
    measure::<DequeCs>();
    measure::<DequeCs2>();
    host::done()
}

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    host::fail(info)
}
