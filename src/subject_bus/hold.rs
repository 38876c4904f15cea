//! Start and pause: what is published meanwhile is kept, and replayed in its order.

use alloc::collections::VecDeque;
use alloc::sync::Arc;

use super::bus::SubjectBus;
use super::publish::Begun;
use super::published::PublishError;
use super::shared::State;
use crate::envelope::Envelope;
use crate::sync::Guard;
#[cfg(feature = "std")]
use crate::sync::host::this_thread;
use crate::wait::panics::Panics;
#[cfg(feature = "std")]
use crate::wait::thread::Wait;

/// How many envelopes a bus keeps until it is started, by default.
const CAPACITY: usize = 1024;

/// What a bus keeps until it is started. It lies under the lock of the bus.
pub(super) struct Hold {
    pub(super) started: bool,
    /// Whether a caller takes envelopes out. What is published meanwhile comes after them.
    replaying: bool,
    capacity: usize,
    kept: VecDeque<Arc<Envelope>>,
    /// How many went from here to the subscriptions.
    pub(super) replayed: u64,
    pub(super) dropped: u64,
    pub(super) abandoned: u64,
}

impl Hold {
    /// Makes the hold of a bus that begins paused if it says how many it keeps.
    pub(super) fn new(capacity: Option<usize>) -> Self {
        Self {
            started: capacity.is_none(),
            replaying: false,
            capacity: capacity.filter(|capacity| *capacity > 0).unwrap_or(CAPACITY),
            kept: VecDeque::new(),
            replayed: 0,
            dropped: 0,
            abandoned: 0,
        }
    }

    pub(super) fn pending(&self) -> u64 {
        self.kept.len() as u64
    }

    /// Counts what is kept as abandoned. Returns it, to be dropped after the lock.
    pub(super) fn abandon(&mut self) -> VecDeque<Arc<Envelope>> {
        self.abandoned += self.pending();
        core::mem::take(&mut self.kept)
    }
}

impl State {
    /// Keeps these until the start, all or none. The bus is open, and not live.
    pub(super) fn hold_back(&mut self, envelopes: &[Arc<Envelope>]) -> bool {
        let has_room = envelopes.len() <= self.hold.capacity - self.hold.kept.len();
        if has_room {
            self.hold.kept.extend(envelopes.iter().cloned());
        }
        has_room
    }
}

impl SubjectBus {
    /// Starts the bus. It replays what it holds, in the order of publishing, to the subscriptions
    /// that are open at this moment. Each later publish goes straight to the subscriptions. No
    /// envelope overtakes another. A second call has no effect.
    ///
    /// A bus is started when you make it, unless you ask its builder for a
    /// [hold](super::SubjectBusBuilder::hold). Until the start, a publish returns
    /// [`Published::held`](super::Published::held). A replay never waits: a full subscription that
    /// says [`Block`](super::Overrun::Block) drops the envelope, as with
    /// [`try_publish`](Self::try_publish). Envelopes published during the replay come after the
    /// held ones, and this call replays them too.
    ///
    /// If another thread replays at this moment, this call returns at once. On a closed bus it has
    /// no effect.
    ///
    /// # Panics
    ///
    /// Panics if an observer or a filter panics. Under the feature `std`, it panics after the
    /// replay.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::{Envelope, SubjectBus};
    /// use tickbus::subject_bus::PublishError;
    ///
    /// let bus = SubjectBus::builder().hold(2).build();
    /// let early = bus.subscribe("boot.*")?.open();
    /// assert!(bus.try_publish(Envelope::unstamped("boot.disk")?)?.held);
    /// assert!(bus.try_publish(Envelope::unstamped("boot.net")?)?.held);
    /// let error = bus.try_publish(Envelope::unstamped("boot.gpu")?).unwrap_err();
    /// assert!(matches!(error, PublishError::HoldFull(_)));
    ///
    /// bus.start(); // every part of the program has subscribed
    /// assert!(early.drain().map(|it| it.subject().to_string()).eq(["boot.disk", "boot.net"]));
    ///
    /// let published = bus.try_publish(Envelope::unstamped("boot.done")?)?;
    /// assert_eq!((published.held, published.enqueued), (false, 1)); // one subscription has it
    /// let late = bus.subscribe("boot.*")?.open();
    /// assert_eq!(late.missed_replay(), 2);
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    pub fn start(&self) {
        self.replay(
            |begun| {
                if let Begun::Waits(mut waits) = begun {
                    let _ = waits.end();
                }
            },
            false,
        );
    }

    /// Starts the bus as [`start`](Self::start) does, and waits for room at full subscriptions that
    /// say [`Block`](super::Overrun::Block), as long as `wait` says. After that, these
    /// subscriptions drop each envelope for which they have no room.
    ///
    /// # Panics
    ///
    /// Panics after the replay if an observer or a filter panics.
    #[cfg(feature = "std")]
    pub fn start_wait(&self, wait: Wait<'_>) {
        self.replay(
            |begun| {
                if let Begun::Waits(waits) = begun {
                    let _ = waits.wait(&wait);
                }
            },
            wait.waits(),
        );
    }

    /// Pauses the bus: it keeps what you publish from now on, until you [start](Self::start) it
    /// again. A replay in progress ends after its current envelope. A second call has no effect.
    ///
    /// A bus without a [hold](super::SubjectBusBuilder::hold) keeps up to 1024 envelopes. On a
    /// closed bus it has no effect.
    pub fn pause(&self) {
        let mut state = self.shared.state.lock();
        if !state.closed {
            state.hold.started = false;
            state.live = false;
        }
    }

    /// Returns whether the bus is started.
    #[must_use]
    pub fn is_started(&self) -> bool {
        self.shared.state.lock().hold.started
    }

    /// Keeps an envelope, on a bus that is not live.
    #[cold]
    pub(super) fn hold_one(
        &self,
        mut state: Guard<'_, State>,
        envelope: Arc<Envelope>,
    ) -> Result<Begun<'_>, PublishError> {
        if state.closed {
            drop(state);
            return Err(PublishError::Closed(envelope));
        }
        state.published += 1;
        if state.hold_back(core::slice::from_ref(&envelope)) {
            return Ok(Begun::Held);
        }
        state.hold.dropped += 1;
        Err(PublishError::HoldFull(envelope))
    }

    /// Takes out one after the other, and hands each on. One caller at a time does so, which keeps
    /// the order; another start leaves it the rest.
    fn replay(&self, finish: impl Fn(Begun<'_>), may_wait: bool) {
        #[cfg(feature = "std")]
        let waker = if may_wait { Some(&this_thread as &dyn Fn() -> _) } else { None };
        #[cfg(not(feature = "std"))]
        let waker = {
            let _ = may_wait;
            None
        };
        let mut panics = Panics::default();
        let mut state = self.shared.state.lock();
        if state.closed {
            return;
        }
        state.hold.started = true;
        if state.hold.replaying {
            return;
        }
        state.hold.replaying = true;
        loop {
            let next = if state.hold.started { state.hold.kept.pop_front() } else { None };
            let Some(envelope) = next else { break };
            panics.run(|| self.route(state, envelope, waker, true).map(&finish));
            state = self.shared.state.lock();
        }
        state.hold.replaying = false;
        state.live = state.hold.started && !state.closed;
        drop(state);
        panics.resume();
    }
}
