//! Live subscriptions to a stream: what is added from now on, read on a connection of its own.

use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;
use core::time::Duration;

use redis::{Cmd, Value};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::connection::{Connection, Membership, Signal, wrong_type};
use super::id::Id;
use super::link::Own;
use super::reply::{bytes, entries, error, field, int, read};
use super::settings::Keys;
use super::settle::millis;
use crate::envelope::Envelope;
use crate::hosted::engines::buffer::Live;
use crate::hosted::engines::failed::{disconnected, refused};
use crate::hosted::engines::mailbox::{EndOf, Mailbox};
use crate::hosted::engines::troubles::Trouble;
use crate::hosted::{Gap, GapReason, LiveOptions, Reason, Receive};

/// How many entries come at once.
const COUNT: usize = 256;
/// How often it looks whether the stream has removed something that it has not read, at least.
const LOOK: Duration = Duration::from_secs(1);

pub(super) async fn open(
    connection: Arc<Connection>,
    keys: Keys,
    options: LiveOptions,
) -> Result<Box<dyn Receive>, Reason> {
    connection.check()?;
    let membership = connection.join()?;
    let mut own = connection.target.own().await?;
    let mut reader = Reader {
        last: Id::default(),
        seen: 0,
        check_at: Instant::now() + LOOK,
        signals: connection.signals.subscribe(),
        mailbox: Mailbox::new(),
        connection: connection.clone(),
        keys,
        options,
        trouble: connection.troubles.join(),
        _membership: membership,
    };
    let place = reader.place(&mut own).await?;
    reader.may_read(&mut own).await?;
    (reader.last, reader.seen) = (place.last, place.added);
    let mailbox = reader.mailbox.clone();
    let task = connection.runtime.spawn(reader.run(own)).abort_handle();
    Ok(Box::new(Live { mailbox, task }))
}

struct Reader {
    connection: Arc<Connection>,
    keys: Keys,
    options: LiveOptions,
    signals: watch::Receiver<Signal>,
    mailbox: Arc<Mailbox<Arc<Envelope>>>,
    /// The last entry that it has read.
    last: Id,
    /// How many entries the stream had up to that one.
    seen: u64,
    check_at: Instant,
    trouble: Arc<Trouble>,
    _membership: Membership,
}

/// How far a stream is.
#[derive(Clone, Copy, Default)]
struct Place {
    last: Id,
    first: Option<Id>,
    /// How many entries there were.
    added: u64,
    /// How many of them are gone.
    removed: u64,
}

impl Reader {
    async fn run(mut self, own: Own) {
        let _end = EndOf(self.mailbox.clone());
        let mut own = Some(own);
        let mut pause = Duration::ZERO;
        loop {
            let mut signals = self.signals.clone();
            if signals.borrow_and_update().closed {
                return;
            }
            tokio::select! {
                biased;
                _ = signals.changed() => {}
                came = self.read(&mut own) => match came {
                    Some(()) => {
                        pause = Duration::ZERO;
                        self.trouble.clear();
                    }
                    None => {
                        own = None;
                        sleep(pause).await;
                        pause = (pause * 2)
                            .clamp(Duration::from_millis(20), Duration::from_secs(1));
                    }
                },
            }
        }
    }

    /// Reads what comes next. `None` if there is no connection.
    async fn read(&mut self, own: &mut Option<Own>) -> Option<()> {
        let own = match own {
            Some(own) => own,
            None => {
                let made = own.insert(self.connection.target.own().await.ok()?);
                self.check(made).await?;
                made
            }
        };
        let block = self.connection.heartbeat;
        let mut more = Cmd::new();
        more.arg("XREAD").arg("COUNT").arg(COUNT).arg("BLOCK").arg(millis(block));
        more.arg("STREAMS").arg(&self.keys.stream).arg(format!("{}", self.last));
        let answer = own.connection.send_packed_command(&more);
        let answer = timeout(block + self.connection.timeout, answer).await.ok()?.ok()?;
        if let Some((_, why)) = error(&answer) {
            self.trouble.set(&why);
            return None;
        }
        let mut came = 0;
        for (id, fields) in entries(&answer) {
            came += 1;
            self.last = id;
            self.pass(id, fields);
        }
        self.seen += came as u64;
        // It may be so far behind that the stream has removed what comes next. A short stream may
        // have done so between two reads.
        if came == COUNT || Instant::now() >= self.check_at {
            self.check(own).await?;
        }
        Some(())
    }

    fn pass(&self, id: Id, fields: &Value) {
        match read(&self.keys.stream, id, fields) {
            Ok(envelope) if self.options.matches(envelope.subject()) => {
                self.mailbox.put(|items| items.push_or_overrun(envelope, &self.options));
            }
            Ok(_) => {}
            Err(_) => self.tell(Gap::new(Some(1), GapReason::Unreadable)),
        }
    }

    fn tell(&self, gap: Gap) {
        self.mailbox.put(|items| items.gap(gap));
    }

    /// Tells what the stream has removed before it was read.
    async fn check(&mut self, own: &mut Own) -> Option<()> {
        let place = self.place(own).await.inspect_err(|why| self.trouble.set(why)).ok()?;
        self.check_at = Instant::now() + LOOK;
        if place.last < self.last {
            // Another stream of this name.
            self.tell(Gap::new(None, GapReason::Trimmed));
            (self.last, self.seen) = (Id::default(), 0);
            return Some(());
        }
        let is_before = place.first.map_or(self.last < place.last, |first| self.last < first);
        let had = if is_before {
            place.removed
        } else if place.last == self.last {
            place.added
        } else {
            return Some(());
        };
        if had < self.seen {
            // Another stream of this name, which has gone on behind that one.
            self.tell(Gap::new(None, GapReason::Trimmed));
        } else if had > self.seen {
            // Not everything that is gone was for this subscription.
            let all = self.options.patterns.iter().any(|pattern| pattern.as_str() == ">");
            self.tell(Gap::new(all.then_some(had - self.seen), GapReason::Trimmed));
        }
        self.seen = had;
        Some(())
    }

    /// Reads what is behind the end, which is nothing: a user who may not read learns it here.
    async fn may_read(&self, own: &mut Own) -> Result<(), Reason> {
        let mut read = Cmd::new();
        read.arg("XREAD").arg("STREAMS").arg(&self.keys.stream).arg("$");
        own.ask(&read, self.connection.timeout).await.map(drop)
    }

    async fn place(&self, own: &mut Own) -> Result<Place, Reason> {
        let mut ask = Cmd::new();
        ask.arg("XINFO").arg("STREAM").arg(&self.keys.stream);
        let answer = timeout(self.connection.timeout, own.connection.send_packed_command(&ask));
        let answer = answer.await.map_err(|_| Reason::TimedOut)?;
        let answer = answer.map_err(|error| disconnected(format!("{error}")))?;
        match error(&answer) {
            Some(("WRONGTYPE", _)) => return Err(wrong_type(&self.keys.stream, "another")),
            // It may come.
            Some((_, why)) if why.contains("no such key") => return Ok(Place::default()),
            Some((_, why)) => return Err(refused(why)),
            None => {}
        }
        let id = |value: &Value| bytes(value).and_then(Id::parse);
        let number = |name| field(&answer, name).and_then(int).unwrap_or(0).cast_unsigned();
        let first = field(&answer, "first-entry").and_then(|it| super::reply::array(it).first());
        Ok(Place {
            last: field(&answer, "last-generated-id").and_then(id).unwrap_or_default(),
            first: first.and_then(id),
            added: number("entries-added"),
            removed: number("entries-added").saturating_sub(number("length")),
        })
    }
}
