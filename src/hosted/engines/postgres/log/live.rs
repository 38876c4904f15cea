//! Live subscriptions: what comes from now on.

use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;
use core::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::super::error::PostgresError;
use super::base::{Attempted, Base, reason};
use super::fetch::{Part, Read, Wanted, read};
use super::filter::Filter;
use super::log::{Log, Membership, Signal, closed};
use super::position::{Position, Reads, Snapshot};
use crate::envelope::Envelope;
use crate::hosted::engines::buffer::Live;
use crate::hosted::engines::mailbox::{EndOf, Mailbox};
use crate::hosted::{Gap, GapReason, LiveOptions, Reason, Receive};

/// How many events come at once.
const COUNT: usize = 256;

pub(super) async fn open(log: Arc<Log>, options: LiveOptions) -> Result<Box<dyn Receive>, Reason> {
    let membership = log.join()?;
    let base = log.base.clone();
    let (last, position) = now(&base).await.map_err(reason)?;
    let reads = Reads::new(last, base.segment);
    let reader = Reader {
        wanted: Wanted::all_that_match(Filter::new(&options.patterns)),
        position,
        reads,
        signals: log.signals.subscribe(),
        events: base.wake.events.subscribe(),
        mailbox: Mailbox::new(),
        attempted: Attempted::new(&base, "a live subscription"),
        base,
        options,
        _membership: membership,
    };
    let mailbox = reader.mailbox.clone();
    let task = log.runtime.spawn(reader.run()).abort_handle();
    Ok(Box::new(Live { mailbox, task }))
}

/// Returns the last sequence, and the position of a reader that wants what comes from now on.
pub(super) async fn now(base: &Base) -> Result<(i64, Position), PostgresError> {
    let last = format!(
        "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {}",
        base.tables.sequence
    );
    let last = base.ask(&last, &[]).await?.first().map_or(0, |row| row.get(0));
    base.seen(last);
    // An open transaction may have written before.
    let now = format!(
        "SELECT pg_current_snapshot()::text, (SELECT max(xid) FROM {})",
        base.tables.events
    );
    let rows = base.ask(&now, &[]).await?;
    let newest = rows.first().and_then(|row| row.get::<_, Option<i64>>(1)).map_or(0, |it| it + 1);
    let now = rows.first().and_then(|row| Snapshot::parse(row.get(0)));
    let now = now.ok_or_else(|| PostgresError::Answer("it is not a snapshot".into()))?;
    Ok((last, Position { done: now.bounded(newest), window: None, mark: last, low: 0 }))
}

struct Reader {
    base: Arc<Base>,
    wanted: Wanted,
    position: Position,
    reads: Reads,
    options: LiveOptions,
    signals: watch::Receiver<Signal>,
    events: watch::Receiver<u64>,
    mailbox: Arc<Mailbox<Arc<Envelope>>>,
    attempted: Attempted,
    _membership: Membership,
}

impl Reader {
    async fn run(mut self) {
        let _end = EndOf(self.mailbox.clone());
        let mut signals = self.signals.clone();
        let mut pause = Duration::ZERO;
        loop {
            self.events.mark_unchanged();
            tokio::select! {
                biased;
                () = closed(&mut signals) => return,
                read = self.read() => match read {
                    Ok(is_behind) => {
                        self.attempted.succeeded();
                        pause = Duration::ZERO;
                        if is_behind {
                            continue;
                        }
                    }
                    Err(error) => {
                        self.attempted.failed(&error);
                        sleep(pause).await;
                        pause = (pause * 2).clamp(Duration::from_millis(20), Duration::from_secs(1));
                        continue;
                    }
                },
            }
            let poll = Instant::now() + self.base.poll;
            tokio::select! {
                () = closed(&mut signals) => return,
                _ = self.events.changed() => {}
                () = sleep_until(poll) => {}
            }
        }
    }

    /// Reads what comes next. Returns whether there may be more.
    async fn read(&mut self) -> Result<bool, PostgresError> {
        let part = Part { position: self.position.clone(), lanes: None };
        let read =
            read(&self.base, &self.wanted, core::slice::from_ref(&part), COUNT, &mut self.reads);
        let Read { mut parts, is_behind, trimmed } = read.await?;
        let Some((position, events)) = parts.pop() else { return Ok(false) };
        if position.done.xmax < self.position.done.xmax {
            // The server has lost what it had.
            self.tell(Gap::new(None, GapReason::Reconnected));
        }
        self.position = position;
        if trimmed.is_some() {
            self.tell(Gap::new(None, GapReason::Trimmed));
        }
        for event in events {
            match event.envelope {
                Ok(envelope) if self.options.matches(envelope.subject()) => {
                    self.mailbox.put(|items| items.push_or_overrun(envelope, &self.options));
                }
                Ok(_) => {}
                Err(_) => self.tell(Gap::new(Some(1), GapReason::Unreadable)),
            }
        }
        Ok(is_behind)
    }

    fn tell(&self, gap: Gap) {
        self.mailbox.put(|items| items.gap(gap));
    }
}
