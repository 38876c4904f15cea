//! What a member has received: what waits to be taken, what is in work, and how it is settled.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::task::{Context, Poll};
use core::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, oneshot};
use tokio::time::{Instant, timeout};

use super::log::Log;
use crate::envelope::Envelope;
use crate::hosted::engines::limits::FOR_EVER;
use crate::hosted::engines::mailbox::{Item, Items, Mailbox};
use crate::hosted::{
    Delivery, EngineFuture, Gap, Lease, Reason, Receive, Settle, SettleError, Verdict,
};
use crate::sync::{Lock, PlainNumber, Relaxed};

/// A number of events that is not known.
pub(super) const UNKNOWN: usize = usize::MAX;

/// Returns a number of events, unless it is not known.
pub(super) fn known(lag: &PlainNumber) -> Option<u64> {
    Some(lag.load(Relaxed)).filter(|lag| *lag != UNKNOWN).map(|lag| lag as u64)
}

/// How far the end of a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ended {
    No,
    /// It receives nothing more.
    Closed,
    /// What it has received and not begun is given back.
    Dropped,
}

/// What a member shares with its deliveries.
pub(super) struct Shared {
    pub(super) log: Arc<Log>,
    pub(super) lease: Duration,
    /// Wakes the member.
    pub(super) wake: Notify,
    said: Lock<Vec<Said>>,
    ended: PlainNumber,
    /// Until then no other member has its lanes.
    pub(super) valid: Lock<Instant>,
}

/// A verdict on its way.
pub(super) struct Said {
    pub(super) answer: Arc<Answer>,
    pub(super) verdict: Verdict,
    pub(super) reply: Option<Reply>,
}

pub(super) type Reply = oneshot::Sender<Result<(), SettleError>>;

impl Shared {
    pub(super) fn new(log: Arc<Log>, lease: Duration) -> Self {
        Self {
            log,
            lease,
            wake: Notify::new(),
            said: Lock::default(),
            ended: PlainNumber::new(0),
            valid: Lock::new(Instant::now()),
        }
    }

    pub(super) fn ended(&self) -> Ended {
        match self.ended.load(Relaxed) {
            0 => Ended::No,
            1 => Ended::Closed,
            _ => Ended::Dropped,
        }
    }

    pub(super) fn end(&self, ended: Ended) {
        let _ = self.ended.fetch_max(ended as usize, Relaxed);
        self.wake.notify_one();
    }

    pub(super) fn take_said(&self) -> Vec<Said> {
        core::mem::take(&mut self.said.lock())
    }

    fn is_valid(&self) -> bool {
        Instant::now() < *self.valid.lock()
    }
}

/// One delivery of an event.
pub(super) struct Answer {
    pub(super) shared: Arc<Shared>,
    pub(super) lane: i32,
    pub(super) xid: i64,
    pub(super) seq: i64,
    /// How often the event was delivered, this time included.
    pub(super) attempt: u32,
    /// For the next time.
    pub(super) envelope: Arc<Envelope>,
    state: Lock<State>,
}

enum State {
    /// Nobody has taken it out.
    Waiting(OwnedSemaphorePermit),
    /// Its place is free when it is settled, or its lease has ended.
    InWork {
        ends: Instant,
        _slot: OwnedSemaphorePermit,
    },
    Over,
}

impl Answer {
    pub(super) fn new(
        shared: Arc<Shared>,
        (lane, xid, seq): (i32, i64, i64),
        attempt: u32,
        envelope: Arc<Envelope>,
        slot: OwnedSemaphorePermit,
    ) -> Self {
        Self { shared, lane, xid, seq, attempt, envelope, state: Lock::new(State::Waiting(slot)) }
    }

    /// The lease begins. Returns whether there is something to begin.
    fn begin(&self) -> bool {
        let mut state = self.state.lock();
        match core::mem::replace(&mut *state, State::Over) {
            State::Waiting(slot) => {
                *state = State::InWork { ends: Instant::now() + self.shared.lease, _slot: slot };
                true
            }
            other => {
                *state = other;
                false
            }
        }
    }

    /// Ends it if `is_due` says so of the end of its lease. `None` is one that has not begun. Returns
    /// whether it had begun.
    pub(super) fn end_if(&self, is_due: impl FnOnce(Option<Instant>) -> bool) -> Option<bool> {
        let mut state = self.state.lock();
        let (ends, had_begun) = match &*state {
            State::Waiting(_) => (None, false),
            State::InWork { ends, .. } => (Some(*ends), true),
            State::Over => return None,
        };
        if !is_due(ends) {
            return None;
        }
        *state = State::Over;
        Some(had_begun)
    }

    /// Returns when its lease ends, if it is in work.
    pub(super) fn ends(&self) -> Option<Instant> {
        match &*self.state.lock() {
            State::InWork { ends, .. } => Some(*ends),
            _ => None,
        }
    }

    fn check(&self) -> Result<(), SettleError> {
        let log = &self.shared.log;
        if !self.shared.is_valid() {
            // Another member may have it by now.
            return Err(SettleError::Late);
        }
        if log.base.connection.is_closed() {
            return Err(SettleError::Failed(Reason::Closed));
        }
        Ok(())
    }

    fn apply(&self, verdict: &Verdict) -> Result<bool, SettleError> {
        self.check()?;
        let mut state = self.state.lock();
        let now = Instant::now();
        match (&mut *state, verdict) {
            (State::InWork { ends, .. }, _) if *ends <= now => Err(SettleError::Late),
            (State::InWork { ends, .. }, Verdict::Extend(time)) => {
                *ends = now + (*time).min(FOR_EVER);
                Ok(false)
            }
            (State::InWork { .. }, _) => {
                *state = State::Over;
                Ok(true)
            }
            _ => Err(SettleError::Late),
        }
    }
}

/// Settles one delivery.
pub(super) struct Settler(Arc<Answer>);

impl Settler {
    pub(super) const fn new(answer: Arc<Answer>) -> Self {
        Self(answer)
    }

    fn say(&self, verdict: Verdict, reply: Option<Reply>) {
        let shared = &self.0.shared;
        shared.said.lock().push(Said { answer: self.0.clone(), verdict, reply });
        shared.wake.notify_one();
    }
}

impl Settle for Settler {
    fn settle(&self, _: Lease, verdict: Verdict) -> Result<(), SettleError> {
        if self.0.apply(&verdict)? {
            self.say(verdict, None);
        }
        Ok(())
    }

    fn settle_async(
        &self,
        _: Lease,
        verdict: Verdict,
    ) -> EngineFuture<'_, Result<(), SettleError>> {
        EngineFuture::new(async move {
            if !self.0.apply(&verdict)? {
                return Ok(());
            }
            let (reply, answer) = oneshot::channel();
            self.say(verdict, Some(reply));
            // The member asks for as long itself, twice perhaps.
            match timeout(self.0.shared.log.base.connection.timeout() * 3, answer).await {
                Ok(Ok(settled)) => settled,
                Ok(Err(_)) => Err(SettleError::Failed(Reason::Closed)),
                Err(_) => Err(SettleError::Failed(Reason::TimedOut)),
            }
        })
    }
}

/// A delivery that is not taken out yet. Its lease has not begun.
pub(super) struct Waiting {
    pub(super) delivery: Delivery,
    pub(super) answer: Arc<Answer>,
}

pub(super) struct Durable {
    pub(super) mailbox: Arc<Mailbox<Waiting>>,
    pub(super) shared: Arc<Shared>,
    pub(super) lag: Arc<PlainNumber>,
}

impl Durable {
    fn take(&self, context: Option<&mut Context<'_>>) -> Poll<Option<Result<Delivery, Gap>>> {
        let mut over = Vec::new(); // dropped after the lock
        // Others may have what waits here, if the server was not told in time that this one is there.
        let is_valid = self.shared.is_valid() || self.shared.ended() != Ended::No;
        let mut is_last = false;
        let taken = self.mailbox.take(context, |items| {
            let taken = next(items, is_valid, &mut over);
            is_last = items.events == 0;
            taken
        });
        if is_last && (taken.is_ready() || !over.is_empty()) {
            self.shared.wake.notify_one(); // it may read more
        }
        taken
    }
}

fn next(
    items: &mut Items<Waiting>,
    is_valid: bool,
    over: &mut Vec<Waiting>,
) -> Option<Result<Delivery, Gap>> {
    loop {
        if !is_valid && matches!(items.queue.front(), Some(Item::Event(_))) {
            return None;
        }
        match items.pop()? {
            Item::Gap(gap) => return Some(Err(gap)),
            Item::Event(waiting) if waiting.answer.begin() => return Some(Ok(waiting.delivery)),
            Item::Event(waiting) => over.push(waiting),
        }
    }
}

impl Receive for Durable {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Delivery, Gap>>> {
        self.take(Some(context))
    }

    fn try_next(&mut self) -> Poll<Option<Result<Delivery, Gap>>> {
        self.take(None)
    }

    fn close(&mut self) {
        self.shared.end(Ended::Closed);
        self.mailbox.end();
    }

    fn lag(&self) -> Option<u64> {
        known(&self.lag)
    }
}

impl Drop for Durable {
    fn drop(&mut self) {
        // Other members need not wait for the end of the lease.
        self.shared.end(Ended::Dropped);
    }
}

/// A delivery as the member passes it on.
pub(super) fn waiting(answer: Answer) -> (Waiting, Arc<Answer>) {
    let answer = Arc::new(answer);
    let settler: Arc<dyn Settle> = Arc::new(Settler::new(answer.clone()));
    let delivery = Delivery::shared(answer.envelope.clone(), settler)
        .with_attempt(answer.attempt)
        .with_sequence(answer.seq.cast_unsigned());
    (Waiting { delivery, answer: answer.clone() }, answer)
}
