//! The task of a member of a group: it claims shards, reads them, and keeps how far they are.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::connection::{Membership, Signal, UNKNOWN};
use super::error::Failed;
use super::group::{EndOf, Ended, Group};
use super::leases::{LeaseStore, Renewal};
use super::position::{Mark, Position, wall};
use super::reader::{Cursor, Page};
use crate::hosted::engines::troubles::Trouble;
use crate::hosted::{BoxError, DurableOptions, EngineFuture, Gap, GapReason};
use crate::sync::{PlainNumber, Relaxed};

/// How often the position of a shard on which nothing happens is kept, so that it does not seem old.
const IDLE: i64 = 60_000;
/// How long to wait after a read that failed: at first, and at most.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How many events come at once, if the member may have fewer in work.
const FEWEST: usize = 256;

pub(super) struct Member {
    pub(super) group: Arc<Group>,
    pub(super) options: DurableOptions,
    pub(super) store: Arc<dyn LeaseStore>,
    /// The group in the store.
    pub(super) group_name: String,
    /// The member in the store.
    pub(super) me: Box<str>,
    /// Where a shard begins that the group does not have yet.
    pub(super) begin: Position,
    pub(super) signals: watch::Receiver<Signal>,
    pub(super) lag: Arc<PlainNumber>,
    /// Why the store does not answer.
    pub(super) trouble: Arc<Trouble>,
    pub(super) _membership: Membership,
    pub(super) owned: BTreeMap<Arc<str>, Owned>,
    pub(super) reads: JoinSet<Read>,
    /// Shards that were given to another member, and until when they are left to it.
    pub(super) given: BTreeMap<Arc<str>, Instant>,
    pub(super) numbers: u64,
    pub(super) look_at: Instant,
    pub(super) renew_at: Instant,
    pub(super) commit_at: Instant,
}

/// A shard that the member has.
pub(super) struct Owned {
    pub(super) number: u64,
    pub(super) epoch: u64,
    /// `None` while it is being read.
    pub(super) cursor: Option<Cursor>,
    /// When to read again.
    pub(super) read_at: Instant,
    pub(super) pause: Duration,
    /// Whether everything was read, and nothing more can come.
    pub(super) is_read: bool,
    /// Whether another member wants it.
    pub(super) is_wanted: bool,
    /// Whether there may be more at the server than was read.
    pub(super) is_behind: bool,
    /// What is kept in the store, and what should be.
    pub(super) saved: Mark,
    pub(super) mark: Mark,
    pub(super) until: Instant,
}

/// What a read returned: the shard, and since when the member has it.
pub(super) struct Read {
    number: u64,
    began: i64,
    cursor: Cursor,
    result: Result<Page, Failed>,
}

impl Member {
    pub(super) async fn run(mut self) {
        let _end = EndOf(self.group.clone());
        let mut is_closing = false;
        loop {
            let signal = *self.signals.borrow_and_update();
            if signal.closed && !is_closing {
                self.group.end(Ended::Closed);
            }
            is_closing |= self.group.ended() != Ended::No;
            self.expire();
            self.commit_if_due(is_closing).await;
            self.hand_over(is_closing).await;
            if is_closing && self.owned.is_empty() {
                return;
            }
            if signal.ended {
                return self.leave().await;
            }
            if Instant::now() >= self.renew_at {
                self.renew().await;
            }
            if !is_closing {
                if Instant::now() >= self.look_at {
                    let _: Result<_, BoxError> = self.look().await;
                }
                self.start_reads();
            }
            let alarm = self.alarm(is_closing);
            tokio::select! {
                biased;
                _ = self.signals.changed() => {}
                Some(read) = self.reads.join_next(), if !self.reads.is_empty() => {
                    if let Ok(read) = read {
                        self.came(read);
                    }
                }
                () = self.group.wake.notified() => {}
                () = sleep_until(alarm) => {}
            }
        }
    }

    /// Returns when there is something to do if nothing happens.
    fn alarm(&self, is_closing: bool) -> Instant {
        let mut alarm = self.renew_at;
        if !is_closing {
            alarm = alarm.min(self.look_at);
            let reads = self.owned.values().filter(|it| it.cursor.is_some() && !it.is_read);
            let reads = reads.filter(|it| !it.is_wanted && it.read_at > Instant::now());
            alarm = reads.map(|it| it.read_at).min().map_or(alarm, |at| at.min(alarm));
        }
        if self.group.is_dirty() {
            alarm = alarm.min(self.commit_at);
        }
        let alarm = self.group.sleeps(alarm);
        if is_closing || self.owned.values().any(|it| it.is_wanted || it.is_read) {
            self.group.wake_always();
        }
        alarm
    }

    /// Below how many events a shard is read.
    fn low(&self) -> usize {
        self.options.in_flight.clamp(1, FEWEST * 4)
    }

    /// Takes back the deliveries whose leases have ended. Those of a shard whose own lease has ended wait until
    /// the store says whose it is.
    fn expire(&self) {
        self.group.change(|ledger| ledger.expire(Instant::now()));
    }

    fn forget(&mut self, shard: &str) {
        if let Some(owned) = self.owned.remove(shard) {
            self.group.change(|ledger| ledger.remove(owned.number));
        }
    }

    /// Waits for the store, and not for ever.
    pub(super) async fn ask<T>(
        &self,
        step: EngineFuture<'_, Result<T, BoxError>>,
    ) -> Result<T, BoxError> {
        let patience = self.group.connection.timeout;
        let answer = timeout(patience, step).await;
        let answer = answer.unwrap_or_else(|_| Err("no answer in time".into()));
        match &answer {
            Ok(_) => self.trouble.clear(),
            Err(error) => self.trouble.set(&format_args!("the lease store: {error}")),
        }
        answer
    }

    async fn renew(&mut self) {
        let lease = self.group.connection.shard_lease;
        let began = Instant::now();
        self.renew_at = began + tick(lease);
        if self.owned.is_empty() {
            return;
        }
        let held: Vec<_> =
            self.owned.iter().map(|(shard, owned)| (shard.clone(), owned.epoch)).collect();
        let Ok(renewed) = self.ask(self.store.renew(&self.group_name, &held, lease)).await else {
            return;
        };
        for ((shard, _), renewal) in held.into_iter().zip(renewed) {
            if renewal == Renewal::Lost {
                self.forget(&shard);
                continue;
            }
            let Some(owned) = self.owned.get_mut(&shard) else { continue };
            owned.until = until(began, lease);
            owned.is_wanted |= renewal == Renewal::Wanted;
            self.group.change(|ledger| {
                if let Some(log) = ledger.log(owned.number) {
                    log.renewed(owned.until);
                    if owned.is_wanted {
                        log.drain();
                    }
                }
            });
        }
    }

    /// Keeps the positions that have moved, if it is time.
    async fn commit_if_due(&mut self, is_closing: bool) {
        let now = Instant::now();
        let is_urgent = is_closing || self.owned.values().any(|it| it.is_wanted);
        if !(is_urgent || now >= self.commit_at) {
            return;
        }
        let is_dirty = self.group.take_dirty();
        let is_idle =
            |owned: &Owned| owned.mark.seen.unwrap_or(0) - owned.saved.seen.unwrap_or(0) >= IDLE;
        if is_dirty || self.owned.values().any(is_idle) {
            self.commit_at = now + self.group.connection.checkpoint;
            let shards: Vec<_> = self.owned.keys().cloned().collect();
            for shard in shards {
                // If the store does not answer for one, the others need not wait as long for it.
                if !self.commit(&shard).await && self.group.is_dirty() {
                    break;
                }
            }
        }
    }

    /// Keeps how far a shard is. Returns whether the store has it.
    async fn commit(&mut self, shard: &Arc<str>) -> bool {
        let Some(owned) = self.owned.get_mut(shard) else { return false };
        let (done, oldest) = self.group.change(|ledger| {
            let log = ledger.log(owned.number);
            log.map_or((None, None), |log| (log.done().cloned(), log.oldest()))
        });
        if let Some(done) = done {
            owned.mark.position = Position::After(done);
        }
        let mut mark = owned.mark.clone();
        // What is read and not settled is not behind the position.
        mark.seen = mark.seen.map(|seen| oldest.map_or(seen, |oldest| oldest.min(seen)));
        let is_old = mark.seen.unwrap_or(0) - owned.saved.seen.unwrap_or(0) >= IDLE;
        if mark.position == owned.saved.position && !is_old {
            return true;
        }
        self.save(shard, mark).await
    }

    async fn save(&mut self, shard: &Arc<str>, mark: Mark) -> bool {
        let Some(epoch) = self.owned.get(shard).map(|it| it.epoch) else { return false };
        let text = mark.text();
        match self.ask(self.store.checkpoint(&self.group_name, shard, epoch, &text)).await {
            Ok(true) => {
                if let Some(owned) = self.owned.get_mut(shard) {
                    owned.saved = mark;
                }
                true
            }
            Ok(false) => {
                self.forget(shard);
                false
            }
            // It is tried again, as when something has moved.
            Err(_) => {
                self.commit_at = Instant::now() + FIRST_PAUSE.max(self.group.connection.checkpoint);
                self.group.mark_dirty();
                false
            }
        }
    }

    /// Gives back the shards of which nothing is in work: those that are done, those that another member
    /// wants, and all of them at the end.
    async fn hand_over(&mut self, is_closing: bool) {
        let mut ready = Vec::new();
        for (shard, owned) in &self.owned {
            let (is_idle, is_done) = self.group.change(|ledger| {
                ledger.log(owned.number).map_or((true, true), |log| {
                    if is_closing {
                        log.drain();
                    }
                    (log.is_idle(), log.is_done())
                })
            });
            let is_finished = owned.is_read && is_done;
            if is_finished || (is_closing || owned.is_wanted) && is_idle {
                ready.push((shard.clone(), is_finished));
            }
        }
        for (shard, is_finished) in ready {
            if is_finished {
                if self.save(&shard, Mark::new(Position::End)).await {
                    self.release(&shard).await;
                    // Its children may begin.
                    self.look_at = Instant::now();
                }
            } else if self.commit(&shard).await || is_closing {
                let wanted = self.owned.get(&shard).is_some_and(|it| it.is_wanted);
                self.release(&shard).await;
                if wanted {
                    let left = Instant::now() + self.group.connection.shard_lease;
                    self.given.insert(shard, left);
                }
            }
        }
    }

    async fn release(&mut self, shard: &Arc<str>) {
        let Some(owned) = self.owned.get(shard) else { return };
        let epoch = owned.epoch;
        // If it fails, the lease ends by itself.
        let _ = self.ask(self.store.release(&self.group_name, shard, epoch)).await;
        self.forget(shard);
    }

    /// Keeps the positions and gives everything back, whatever is in work.
    async fn leave(&mut self) {
        let shards: Vec<_> = self.owned.keys().cloned().collect();
        for shard in shards {
            let _ = self.commit(&shard).await;
            self.release(&shard).await;
        }
    }

    fn start_reads(&mut self) {
        let (now, low) = (Instant::now(), self.low());
        let most = (self.options.in_flight * 4).clamp(FEWEST, FEWEST * 16);
        for owned in self.owned.values_mut() {
            if owned.is_read || owned.is_wanted || owned.read_at > now || owned.cursor.is_none() {
                continue;
            }
            let may = self
                .group
                .change(|ledger| ledger.log(owned.number).is_some_and(|log| log.reads_on(low)));
            let Some(mut cursor) = owned.cursor.take_if(|_| may) else { continue };
            let (connection, number) = (self.group.connection.clone(), owned.number);
            self.reads.spawn(async move {
                let began = wall();
                let result = cursor.read(&connection, most).await;
                Read { number, began, cursor, result }
            });
        }
    }

    /// Takes over what a read returned.
    fn came(&mut self, Read { number, began, mut cursor, result }: Read) {
        let group = self.group.clone();
        let poll = group.connection.poll;
        let owned = self.owned.values_mut().find(|owned| owned.number == number);
        let Some(owned) = owned else { return };
        let now = Instant::now();
        match result {
            Ok(page) => {
                (owned.pause, owned.is_read) = (FIRST_PAUSE, page.is_last);
                owned.is_behind = page.is_behind && !page.is_last;
                owned.read_at = if owned.is_behind { now } else { now + poll };
                if is_too_old(owned.mark.seen, group.connection.retention()) {
                    group.change(|ledger| ledger.gap(Gap::new(None, GapReason::Trimmed)));
                }
                owned.mark.seen = page.seen(began).or(owned.mark.seen);
                let options = &self.options;
                let moved = group.change(|ledger| {
                    let mut unreadable = 0;
                    let Some(log) = ledger.log(number) else { return false };
                    for came in page.records {
                        match came.envelope {
                            Some(Ok(envelope)) if options.matches(envelope.subject()) => {
                                log.push(came.sequence, came.arrived, envelope);
                                continue;
                            }
                            Some(Err(_)) => unreadable += 1,
                            _ => {}
                        }
                        log.skip(came.sequence);
                    }
                    let moved = log.is_done() && log.done().is_some();
                    if unreadable > 0 {
                        ledger.gap(Gap::new(Some(unreadable), GapReason::Unreadable));
                    }
                    moved
                });
                if moved {
                    group.mark_dirty();
                }
            }
            // The place is gone, or of another stream of this name.
            Err(Failed::Invalid(_)) if matches!(cursor.from, Some(Position::After(_))) => {
                group.change(|ledger| ledger.gap(Gap::new(None, GapReason::Trimmed)));
                cursor = Cursor::new(&cursor.shard, Some(Position::Earliest));
                owned.read_at = now + FIRST_PAUSE;
            }
            // The newest event is another one by now.
            Err(Failed::Expired | Failed::Invalid(_)) if cursor.from.is_none() => {
                cursor = Cursor::new(&cursor.shard, Some(owned.mark.position.clone()));
                owned.read_at = now + FIRST_PAUSE;
            }
            Err(Failed::Expired | Failed::Invalid(_)) => owned.read_at = now + FIRST_PAUSE,
            Err(_) => {
                owned.read_at = now + owned.pause;
                owned.pause = (owned.pause * 2).min(LONGEST_PAUSE);
            }
        }
        owned.cursor = Some(cursor);
        self.measure();
    }

    /// Says how much is to come, if everything was read that there is.
    fn measure(&self) {
        let is_known = self.owned.values().all(|it| !it.is_behind);
        let pending = self.group.change(|ledger| ledger.pending());
        self.lag.store(if is_known { pending } else { UNKNOWN }, Relaxed);
    }
}

/// How often a member sees to what has a lease.
pub(super) fn tick(lease: Duration) -> Duration {
    (lease / 4).max(Duration::from_millis(5))
}

/// Returns until when the store certainly waits, if it was asked at `from`.
pub(super) fn until(from: Instant, lease: Duration) -> Instant {
    from + lease - lease / 10
}

/// Returns whether the stream may have removed something that was not read.
fn is_too_old(seen: Option<i64>, retention: Option<Duration>) -> bool {
    let age = seen.map(|seen| wall().saturating_sub(seen));
    let (Some(age), Some(retention)) = (age, retention) else { return false };
    u128::try_from(age).is_ok_and(|age| age > retention.as_millis())
}

#[cfg(test)]
mod tests {
    use super::{Duration, is_too_old, wall};

    #[test]
    fn a_position_is_too_old_when_the_stream_keeps_less() {
        let day = Duration::from_secs(24 * 3600);
        let ago = |hours: i64| Some(wall() - hours * 3_600_000);
        assert!(!is_too_old(ago(23), Some(day)));
        assert!(is_too_old(ago(25), Some(day)));
        assert!(!is_too_old(ago(25), None) && !is_too_old(None, Some(day)));
        assert!(!is_too_old(ago(-1), Some(day)), "a clock that is ahead");
    }
}
