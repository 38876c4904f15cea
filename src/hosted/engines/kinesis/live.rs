//! Live subscriptions: what is added from now on, read from all shards.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::connection::{Connection, Membership, Signal};
use super::error::Failed;
use super::position::Position;
use super::reader::{Cursor, Page};
use super::shards::readable;
use crate::envelope::{Envelope, Timestamp};
use crate::hosted::engines::buffer::Live;
use crate::hosted::engines::mailbox::{EndOf, Mailbox};
use crate::hosted::{Gap, GapReason, LiveOptions, Reason, Receive};

/// How many events come at once.
const COUNT: usize = 1000;
/// How long to wait after a read that failed: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

pub(super) async fn open(
    connection: Arc<Connection>,
    options: LiveOptions,
) -> Result<Box<dyn Receive>, Reason> {
    let membership = connection.join()?;
    let shards = connection.shards().await.map_err(|failed| match failed {
        Failed::Missing(_) => connection.missing(),
        other => other.reason(),
    })?;
    let mut reader = Reader {
        opened: Timestamp::now(),
        signals: connection.signals.subscribe(),
        mailbox: Mailbox::new(),
        options,
        done: shards.iter().map(|shard| (shard.id.clone(), !shard.is_open)).collect(),
        idle: BTreeMap::new(),
        reads: JoinSet::new(),
        look_at: None,
        connection: connection.clone(),
        _membership: membership,
    };
    for shard in shards.iter().filter(|shard| shard.is_open) {
        let mut cursor = Cursor::new(&shard.id, None);
        cursor.pin(&connection).await.map_err(Failed::reason)?;
        reader.wait(cursor, Instant::now(), FIRST_PAUSE);
    }
    let mailbox = reader.mailbox.clone();
    let task = connection.runtime.spawn(reader.run()).abort_handle();
    Ok(Box::new(Live { mailbox, task }))
}

struct Reader {
    connection: Arc<Connection>,
    options: LiveOptions,
    signals: watch::Receiver<Signal>,
    mailbox: Arc<Mailbox<Arc<Envelope>>>,
    opened: Timestamp,
    /// The shards, and whether everything of each was read.
    done: BTreeMap<Arc<str>, bool>,
    /// Those that are not being read, when to read them, and how long to wait if that fails.
    idle: BTreeMap<Arc<str>, (Instant, Duration, Cursor)>,
    reads: JoinSet<(Cursor, Duration, Result<Page, Failed>)>,
    /// When to look for the children of shards that have ended.
    look_at: Option<Instant>,
    _membership: Membership,
}

impl Reader {
    async fn run(mut self) {
        let _end = EndOf(self.mailbox.clone());
        loop {
            if self.signals.borrow_and_update().closed {
                return;
            }
            let now = Instant::now();
            if self.look_at.is_some_and(|at| at <= now) {
                self.look().await;
            }
            self.start_reads(now);
            let next = self.idle.values().map(|it| it.0).chain(self.look_at).min();
            tokio::select! {
                biased;
                _ = self.signals.changed() => {}
                Some(read) = self.reads.join_next(), if !self.reads.is_empty() => {
                    if let Ok((cursor, pause, result)) = read {
                        self.came(cursor, pause, result);
                    }
                }
                () = sleep_until(next.unwrap_or(now)), if next.is_some() => {}
            }
        }
    }

    fn wait(&mut self, cursor: Cursor, at: Instant, pause: Duration) {
        self.idle.insert(cursor.shard.clone(), (at, pause, cursor));
    }

    fn start_reads(&mut self, now: Instant) {
        let due = self.idle.extract_if(.., |_, (at, ..)| *at <= now);
        for (_, (_, pause, mut cursor)) in due {
            let connection = self.connection.clone();
            self.reads.spawn(async move {
                let result = cursor.read(&connection, COUNT).await;
                (cursor, pause, result)
            });
        }
    }

    fn came(&mut self, mut cursor: Cursor, pause: Duration, result: Result<Page, Failed>) {
        let now = Instant::now();
        match result {
            Ok(page) => {
                self.pass(&page);
                if page.is_last {
                    self.done.insert(cursor.shard, true);
                    self.look_at = Some(now);
                    return;
                }
                let at = if page.is_behind { now } else { now + self.connection.poll };
                self.wait(cursor, at, FIRST_PAUSE);
            }
            Err(failed) => {
                match failed {
                    // Nothing has come from the shard yet.
                    Failed::Expired if cursor.from.is_none() => {
                        cursor = Cursor::new(&cursor.shard, Some(Position::At(self.opened)));
                    }
                    // It is the place in another stream of this name.
                    Failed::Invalid(_) => {
                        cursor = Cursor::new(&cursor.shard, None);
                        self.tell(Gap::new(None, GapReason::Reconnected));
                    }
                    _ => {}
                }
                self.wait(cursor, now + pause, (pause * 2).min(LONGEST_PAUSE));
            }
        }
    }

    fn pass(&self, page: &Page) {
        let mut unreadable = 0;
        for came in &page.records {
            match &came.envelope {
                Some(Ok(envelope)) if self.options.matches(envelope.subject()) => {
                    let envelope = envelope.clone();
                    self.mailbox.put(|items| items.push_or_overrun(envelope, &self.options));
                }
                Some(Err(_)) => unreadable += 1,
                _ => {}
            }
        }
        if unreadable > 0 {
            self.tell(Gap::new(Some(unreadable), GapReason::Unreadable));
        }
    }

    fn tell(&self, gap: Gap) {
        self.mailbox.put(|items| items.gap(gap));
    }

    /// Begins with the shards whose parents have ended.
    async fn look(&mut self) {
        let now = Instant::now();
        self.look_at = None;
        let Ok(shards) = self.connection.shards().await else {
            self.look_at = Some(now + LONGEST_PAUSE);
            return;
        };
        let known = self.done.iter().map(|(shard, done)| (&**shard, *done)).collect();
        let begin: alloc::vec::Vec<_> = readable(&shards, &known)
            .filter(|shard| !self.done.contains_key(&shard.id))
            .map(|shard| shard.id.clone())
            .collect();
        // The children of a shard that has just ended may not be listed yet.
        let has_open = shards.iter().any(|shard| self.done.get(&shard.id) == Some(&false));
        if begin.is_empty() && !has_open {
            self.look_at = Some(now + FIRST_PAUSE);
        }
        for shard in begin {
            self.done.insert(shard.clone(), false);
            self.wait(Cursor::new(&shard, Some(Position::Earliest)), now, FIRST_PAUSE);
        }
    }
}
