//! The queues that firmware uses today.

use core::cell::RefCell;

use critical_section::Mutex;
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::channel::Channel;
use heapless::Deque;
use heapless::spsc;

use crate::event::Event;
use crate::queue::{Queue, SLOTS};

pub struct Spsc(spsc::Producer<'static, Event>, spsc::Consumer<'static, Event>);

impl Spsc {
    pub fn open() -> Self {
        let queue = cortex_m::singleton!(: spsc::Queue<Event, SLOTS> = spsc::Queue::new());
        let (publisher, consumer) = queue.expect("opened once").split();
        Self(publisher, consumer)
    }
}

impl Queue for Spsc {
    const NAME: &str = "heapless spsc";

    #[inline(always)]
    fn publish(&mut self, event: Event) -> bool {
        self.0.enqueue(event).is_ok()
    }

    #[inline(always)]
    fn take(&mut self) -> Option<Event> {
        self.1.dequeue()
    }
}

static DEQUE: Mutex<RefCell<Deque<Event, SLOTS>>> = Mutex::new(RefCell::new(Deque::new()));

pub struct DequeGuarded(());

impl DequeGuarded {
    pub fn open() -> Self {
        Self(())
    }
}

impl Queue for DequeGuarded {
    const NAME: &str = "heapless Deque in a critical section";
    const DISPLACES: bool = true;

    #[inline(always)]
    fn publish(&mut self, event: Event) -> bool {
        critical_section::with(|cs| DEQUE.borrow_ref_mut(cs).push_back(event).is_ok())
    }

    #[inline(always)]
    fn take(&mut self) -> Option<Event> {
        critical_section::with(|cs| DEQUE.borrow_ref_mut(cs).pop_front())
    }

    #[inline(always)]
    fn displace(&mut self, event: Event) -> bool {
        critical_section::with(|cs| {
            let mut deque = DEQUE.borrow_ref_mut(cs);
            if deque.is_full() {
                deque.pop_front();
            }
            deque.push_back(event).is_ok()
        })
    }
}

#[expect(deprecated, reason = "it is what firmware with several publishers has used")]
static MPMC: heapless::mpmc::Queue<Event, SLOTS> = heapless::mpmc::Queue::new();

pub struct Mpmc(());

impl Mpmc {
    pub fn open() -> Self {
        Self(())
    }
}

impl Queue for Mpmc {
    const NAME: &str = "heapless mpmc (deprecated)";
    const DISPLACES: bool = true;

    #[inline(always)]
    fn publish(&mut self, event: Event) -> bool {
        MPMC.enqueue(event).is_ok()
    }

    #[inline(always)]
    fn take(&mut self) -> Option<Event> {
        MPMC.dequeue()
    }

    #[inline(always)]
    fn displace(&mut self, event: Event) -> bool {
        let mut event = event;
        while let Err(back) = MPMC.enqueue(event) {
            MPMC.dequeue();
            event = back;
        }
        true
    }
}

static CHANNEL: Channel<CriticalSectionRawMutex, Event, SLOTS> = Channel::new();

pub struct Embassy(());

impl Embassy {
    pub fn open() -> Self {
        Self(())
    }
}

impl Queue for Embassy {
    const NAME: &str = "embassy-sync Channel, critical section";
    const DISPLACES: bool = true;

    #[inline(always)]
    fn publish(&mut self, event: Event) -> bool {
        CHANNEL.try_send(event).is_ok()
    }

    #[inline(always)]
    fn take(&mut self) -> Option<Event> {
        CHANNEL.try_receive().ok()
    }

    #[inline(always)]
    fn displace(&mut self, event: Event) -> bool {
        use embassy_sync::channel::TrySendError;
        let mut event = event;
        while let Err(TrySendError::Full(back)) = CHANNEL.try_send(event) {
            let _ = CHANNEL.try_receive();
            event = back;
        }
        true
    }
}

type RticSender = rtic_sync::channel::Sender<'static, Event, SLOTS>;
type RticReceiver = rtic_sync::channel::Receiver<'static, Event, SLOTS>;

pub struct RticSync(RticSender, RticReceiver);

impl RticSync {
    pub fn open() -> Self {
        let (sender, receiver) = rtic_sync::make_channel!(Event, SLOTS);
        Self(sender, receiver)
    }
}

impl Queue for RticSync {
    const NAME: &str = "rtic-sync channel";

    #[inline(always)]
    fn publish(&mut self, event: Event) -> bool {
        self.0.try_send(event).is_ok()
    }

    #[inline(always)]
    fn take(&mut self) -> Option<Event> {
        self.1.try_recv().ok()
    }
}

#[cfg(target_has_atomic = "ptr")]
mod with_compare_and_swap {
    use thingbuf::{Recycle, StaticThingBuf};

    use super::{Event, Queue, SLOTS};

    struct Overwrite;

    impl Recycle<Event> for Overwrite {
        fn new_element(&self) -> Event {
            Event::First(0)
        }

        fn recycle(&self, _: &mut Event) {}
    }

    static BUFFER: StaticThingBuf<Event, SLOTS, Overwrite> =
        StaticThingBuf::with_recycle(Overwrite);

    pub struct Thingbuf(());

    impl Thingbuf {
        pub fn open() -> Self {
            Self(())
        }
    }

    impl Queue for Thingbuf {
        const NAME: &str = "thingbuf";

        #[inline(always)]
        fn publish(&mut self, event: Event) -> bool {
            BUFFER.push(event).is_ok()
        }

        #[inline(always)]
        fn take(&mut self) -> Option<Event> {
            BUFFER.pop()
        }
    }
}

#[cfg(target_has_atomic = "ptr")]
pub use with_compare_and_swap::Thingbuf;
