//! Durable subscriptions: each is a member of a group, on a connection of its own.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::time::Duration;

use krafka::consumer::{
    AutoOffsetReset, Consumer, ConsumerRebalanceListener, OffsetAndMetadata,
    PartitionAssignmentStrategy, TopicPartition,
};
use krafka::{CloseOptions, ConsumerRecord, KrafkaError};
use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::answer::{Answers, Assigned, Durable, Ended, Leaves};
use super::connection::{Connection, Membership, Signal, UNKNOWN};
use super::fault;
use super::message;
use super::start::Mark;
use super::table::{Came, Follows, MOST, Positions};
use super::topics::Place;
use crate::hosted::engines::limits::FOR_EVER;
use crate::hosted::engines::mailbox::EndOf;
use crate::hosted::engines::troubles::Trouble;
use crate::hosted::{DurableOptions, Gap, GapReason, Reason, Receive, Settle, SettleError};
use crate::sync::{Lock, PlainNumber, Relaxed};

/// How long a read waits for events.
const READ: Duration = Duration::from_millis(500);
/// How many events of a partition may wait behind one that is not done.
const HELD: usize = 10_000;
/// How long a partition that goes to another member waits for what is in work, at most.
const HANDOVER: Duration = Duration::from_secs(5);
/// How often a member looks how far it is, at least.
const LOOK: Duration = Duration::from_secs(1);
pub(super) async fn open(
    connection: Arc<Connection>,
    options: DurableOptions,
) -> Result<Box<dyn Receive>, Reason> {
    let runtime = connection.runtime.clone();
    // The client works on the runtime on which it is made.
    match runtime.spawn(join(connection, options)).await {
        Ok(opened) => opened.map(|durable| -> Box<dyn Receive> { Box::new(durable) }),
        Err(_) => Err(Reason::Closed),
    }
}

async fn join(connection: Arc<Connection>, options: DurableOptions) -> Result<Durable, Reason> {
    let membership = connection.join()?;
    let topics = connection.topics.carrying(&options.patterns);
    let places = connection.places(&topics).await?;
    let group = connection.settings.group(&options.group);
    let mark = connection.begin(&group, &places, &options).await?;
    let answers = Arc::new(Answers::new(options.in_flight, connection.timeout));
    let lag = Arc::new(PlainNumber::new(UNKNOWN));
    connection.watch(&lag);
    let lease = options.lease.min(FOR_EVER);
    let durable = Durable {
        answers: answers.clone(),
        lease,
        lag: lag.clone(),
        has_sequence: connection.topics.is_one(),
    };
    let member = Arc::new(Member {
        group,
        consumer: Lock::new(Weak::new()),
        gate: tokio::sync::Mutex::new(()),
        mark,
        not_before: Lock::default(),
        known: Lock::new(places.into_iter().collect()),
        unsure: Lock::default(),
        refused: PlainNumber::new(0),
        trouble: connection.troubles.join(),
        joined: watch::Sender::new(false),
        lag,
        lease,
        options,
        answers,
        connection,
    });
    let session = member.connection.settings.session_timeout();
    let client = member.connection.settings.client().await?;
    let consumer = client
        .consumer(&member.group)
        .enable_auto_commit(false)
        .auto_offset_reset(AutoOffsetReset::Earliest)
        // A partition that stays with its member keeps what is in work.
        .partition_assignment_strategy(PartitionAssignmentStrategy::CooperativeSticky)
        .max_poll_records(i32::try_from(member.options.in_flight.clamp(1, MOST)).unwrap_or(1))
        // What is buffered of a paused partition does not keep the others from being read.
        .max_buffered_records(0)
        .fetch_max_wait(READ)
        .session_timeout(session)
        .heartbeat_interval(session / 15)
        // So long a group waits for a member that does not join again.
        .max_poll_interval(session.max(HANDOVER * 2))
        .metrics_push(false)
        .rebalance_listener(Listener(member.clone()));
    let consumer = Arc::new(consumer.build().await.map_err(|error| fault::reason(&error))?);
    *member.consumer.lock() = Arc::downgrade(&consumer);
    let names = topics.iter().map(|topic| member.connection.topics.name(*topic));
    consumer.subscribe(names).await.map_err(|error| fault::reason(&error))?;
    let mut joined = member.joined.subscribe();
    let (patience, refuses) = (member.connection.timeout, watch::Sender::new(None));
    let mut refused = refuses.subscribe();
    tokio::spawn(member.run(consumer, membership, refuses));
    // A group of which a member has died joins when its session is over. The position is kept
    // meanwhile.
    tokio::select! {
        _ = timeout(patience, joined.wait_for(|joined| *joined)) => Ok(durable),
        why = refused.wait_for(Option::is_some) => {
            let why = why.ok().and_then(|why| why.clone());
            why.map_or(Ok(durable), |error: KrafkaError| Err(fault::reason(&error)))
        }
    }
}

/// One member of a group.
struct Member {
    connection: Arc<Connection>,
    group: String,
    options: DurableOptions,
    lease: Duration,
    /// What the server keeps beside each position.
    mark: Mark,
    answers: Arc<Answers>,
    /// Set while it runs.
    consumer: Lock<Weak<Consumer>>,
    /// Held while positions are told, and while partitions come and go: no position of a partition is
    /// told that has gone.
    gate: tokio::sync::Mutex<()>,
    /// Events of an earlier time are skipped until the first later one.
    not_before: Lock<BTreeMap<Place, i64>>,
    /// The partitions in which the group has a position.
    known: Lock<BTreeSet<Place>>,
    /// Partitions whose committed position the server did not return.
    unsure: Lock<BTreeSet<Place>>,
    /// Counts how often the server refused the mark. Each time, the mark becomes shorter.
    refused: PlainNumber,
    /// Why it cannot read.
    trouble: Arc<Trouble>,
    joined: watch::Sender<bool>,
    lag: Arc<PlainNumber>,
}

/// Hears which partitions come and go.
struct Listener(Arc<Member>);

impl ConsumerRebalanceListener for Listener {
    async fn on_partitions_assigned(&self, partitions: &[TopicPartition]) {
        self.0.assigned(&self.0.places(partitions)).await;
        self.0.joined.send_replace(true);
    }

    async fn on_partitions_revoked(&self, partitions: &[TopicPartition]) {
        self.0.revoked(&self.0.places(partitions)).await;
    }

    async fn on_partitions_lost(&self, partitions: &[TopicPartition]) {
        let places = self.0.places(partitions);
        let _gate = self.0.gate.lock().await;
        self.0.answers.table.lock().give_up(&places);
    }
}

impl Member {
    fn places(&self, partitions: &[TopicPartition]) -> Vec<Place> {
        partitions.iter().filter_map(|it| self.connection.place(it)).collect()
    }

    fn settle(&self) -> impl Fn(u64) -> Arc<dyn Settle> {
        let answers = self.answers.clone();
        move |key| Arc::new(Assigned { answers: answers.clone(), key })
    }

    async fn assigned(&self, places: &[Place]) {
        if places.is_empty() {
            return;
        }
        let _gate = self.gate.lock().await;
        self.take_over(places).await;
        self.answers.wake.notify_one();
    }

    /// Takes partitions over behind their committed positions. Returns `false` if the server does not
    /// return them.
    async fn take_over(&self, places: &[Place]) -> bool {
        let committed = self.connection.committed(&self.group, places).await;
        let mut unsure = self.unsure.lock();
        let mut table = self.answers.table.lock();
        table.give_up(places);
        for place in places {
            let own = committed.iter().flatten().find(|it| it.place == *place);
            let mark = own.and_then(|it| it.mark.as_ref());
            if let Some(time) = mark.unwrap_or(&self.mark).not_before {
                self.not_before.lock().insert(*place, time);
            }
            if committed.is_err() {
                unsure.insert(*place);
            } else {
                unsure.remove(place);
                let is_known = !self.known.lock().insert(*place);
                if is_known && own.is_none() {
                    // The server has forgotten the group. It begins with the earliest.
                    table.gap(Gap::new(None, GapReason::Trimmed));
                }
            }
            let offset = own.map(|it| it.offset);
            table.take(*place, offset, mark == Some(&self.mark), self.settle());
        }
        committed.is_ok()
    }

    /// Lets what is in work be settled, and gives the partitions up.
    async fn revoked(&self, places: &[Place]) {
        self.answers.table.lock().goes(places);
        let until = Instant::now() + HANDOVER.min(self.lease);
        while Instant::now() < until
            && self.answers.table.lock().has_work(Some(places), Instant::now())
        {
            sleep(Duration::from_millis(5)).await;
        }
        self.commit().await;
        let _gate = self.gate.lock().await;
        self.answers.table.lock().give_up(places);
        self.answers.pour();
    }

    async fn run(
        self: Arc<Self>,
        consumer: Arc<Consumer>,
        membership: Membership,
        refuses: watch::Sender<Option<KrafkaError>>,
    ) {
        let _leaves = Leaves(self.answers.clone());
        let _end = EndOf(self.answers.mailbox.clone());
        let over = watch::Sender::new(false);
        let keep = async {
            self.keep(membership).await;
            over.send_replace(true);
            consumer.wakeup();
        };
        tokio::join!(self.read(&consumer, over.subscribe(), refuses), keep);
        self.trouble.clear();
        let options = CloseOptions::new().timeout(self.connection.timeout);
        let _ = consumer.close_with(options).await;
    }

    /// Reads from the server. It does so also while nothing has room: that keeps the member in the
    /// group.
    async fn read(
        &self,
        consumer: &Consumer,
        mut over: watch::Receiver<bool>,
        refuses: watch::Sender<Option<KrafkaError>>,
    ) {
        let mut pause = Duration::ZERO;
        while !*over.borrow() {
            let is_full = !self.answers.table.lock().has_room();
            let (pause_now, resume) = self.answers.table.lock().pauses(HELD);
            for (name, partitions) in self.by_topic(&pause_now) {
                consumer.pause(name, &partitions).await;
            }
            for (name, partitions) in self.by_topic(&resume) {
                consumer.resume(name, &partitions).await;
            }
            let wait = if is_full { Duration::ZERO } else { READ };
            match consumer.poll(wait).await {
                Ok(records) if records.is_empty() => {
                    pause = Duration::ZERO;
                    self.trouble.clear();
                    // The client may have answered at once.
                    yield_now().await;
                }
                Ok(records) => {
                    pause = Duration::ZERO;
                    self.trouble.clear();
                    self.receive(consumer, records).await;
                    continue;
                }
                Err(KrafkaError::Wakeup) => {}
                Err(error) => {
                    if !error.is_retriable() {
                        self.trouble.set(&fault::reason(&error));
                        if !*self.joined.borrow() {
                            refuses.send_replace(Some(error));
                        }
                    }
                    pause = (pause * 2).clamp(Duration::from_millis(20), Duration::from_secs(1));
                    tokio::select! {
                        () = sleep(pause) => {}
                        _ = over.wait_for(|over| *over) => {}
                    }
                    continue;
                }
            }
            if is_full {
                tokio::select! {
                    () = self.answers.room.notified() => {}
                    () = sleep(READ / 5) => {}
                    _ = over.wait_for(|over| *over) => {}
                }
            }
        }
    }

    fn by_topic(&self, places: &[Place]) -> BTreeMap<&str, Vec<i32>> {
        let mut by_topic = BTreeMap::<_, Vec<i32>>::new();
        for place in places {
            let name = self.connection.topics.name(place.topic);
            by_topic.entry(name).or_default().push(place.partition);
        }
        by_topic
    }

    async fn receive(&self, consumer: &Consumer, records: Vec<ConsumerRecord>) {
        let mut read = Vec::with_capacity(records.len());
        for record in records {
            let Some(topic) = self.connection.topics.number(&record.topic) else { continue };
            let place = Place { topic, partition: record.partition };
            let came = message::read(&record).map(|envelope| {
                let is_ours = self.options.matches(envelope.subject())
                    && !self.is_before(place, record.timestamp);
                if is_ours { Came::Event(envelope) } else { Came::Skip }
            });
            read.push((place, record.offset, came));
        }
        let unsure: BTreeSet<Place> = {
            let unsure = self.unsure.lock();
            read.iter().map(|(place, ..)| *place).filter(|place| unsure.contains(place)).collect()
        };
        if !unsure.is_empty() {
            let unsure: Vec<Place> = unsure.into_iter().collect();
            if !self.take_over(&unsure).await {
                // Something may be missing before what has come.
                self.unsure.lock().retain(|place| !unsure.contains(place));
                self.answers.table.lock().gap(Gap::new(None, GapReason::Trimmed));
            }
        }
        for (place, offset, came) in read {
            let follows = self.answers.table.lock().follows(place, offset);
            match follows {
                None | Some(Follows::Next) => {}
                Some(Follows::Jump(expected)) => self.jumped(consumer, place, expected).await,
                Some(Follows::Back) => {
                    let mut table = self.answers.table.lock();
                    table.restart(place, offset, self.settle());
                    table.gap(Gap::new(None, GapReason::Trimmed));
                }
            }
            let mut table = self.answers.table.lock();
            match came {
                Ok(came) => table.arrive(place, offset, came),
                Err(_) => {
                    table.gap(Gap::new(Some(1), GapReason::Unreadable));
                    table.arrive(place, offset, Came::Skip);
                }
            }
        }
        self.answers.pour();
        if self.answers.table.lock().is_dirty().0 {
            self.answers.wake.notify_one();
        }
    }

    /// Offsets may be missing without a loss: in a compacted topic, and after a transaction.
    async fn jumped(&self, consumer: &Consumer, place: Place, expected: i64) {
        let lag = consumer.lag().await;
        let first = lag.get(&self.connection.partition(place)).and_then(|it| it.log_start_offset);
        if let Some(first) = first.filter(|first| *first > expected) {
            // Not everything that is gone was for this group.
            let all = self.options.patterns.iter().any(|pattern| pattern.as_str() == ">");
            let missed = u64::try_from(first - expected).ok().filter(|_| all);
            self.answers.table.lock().gap(Gap::new(missed, GapReason::Trimmed));
        }
    }

    /// Returns whether an event is older than the time at which the group begins.
    fn is_before(&self, place: Place, time: i64) -> bool {
        let mut all = self.not_before.lock();
        match all.get(&place) {
            Some(first) if time < *first => true,
            Some(_) => {
                all.remove(&place);
                false
            }
            None => false,
        }
    }

    fn is_over(&self, signals: &mut watch::Receiver<Signal>) -> bool {
        signals.borrow_and_update().closed || self.answers.ended() != Ended::No
    }

    /// Tells the server how far the group is, and lets come again what is due, until the end.
    async fn keep(&self, membership: Membership) {
        let mut signals = self.connection.signals.subscribe();
        let every = self.connection.settings.commit_interval;
        let mut commit_at = Instant::now();
        let mut look_at = Instant::now() + LOOK;
        let mut membership = Some(membership);
        let mut leave_at = None;
        loop {
            let now = Instant::now();
            self.answers.table.lock().again(now);
            self.answers.pour();
            let is_over = self.is_over(&mut signals);
            let (is_dirty, waits) = self.answers.table.lock().is_dirty();
            if waits || is_dirty && (now >= commit_at || is_over) {
                commit_at = Instant::now() + every;
                if !self.commit().await {
                    sleep(Duration::from_millis(20)).await;
                }
            }
            let closed = signals.borrow().closed;
            let ends = closed || self.answers.ended() == Ended::Dropped;
            if ends {
                // A subscription that is only closed can still be read.
                drop(self.answers.mailbox.change(core::mem::take));
                self.answers.mailbox.end();
                self.answers.table.lock().go();
                // The end of the engine need not wait for what is in work.
                drop(membership.take());
                let until = now + HANDOVER.min(self.lease);
                let leave_at = *leave_at.get_or_insert(until);
                let works = self.answers.table.lock().has_work(None, now);
                if !works || now >= leave_at || signals.borrow().ended {
                    break;
                }
            }
            if now >= look_at {
                look_at = now + LOOK;
                self.look().await;
            }
            let (is_dirty, _) = self.answers.table.lock().is_dirty();
            let due = self.answers.table.lock().due().unwrap_or(look_at);
            let wake_at = due.min(look_at).min(if is_dirty { commit_at } else { look_at });
            let wake_at = leave_at.map_or(wake_at, |at| wake_at.min(at));
            tokio::select! {
                () = self.answers.wake.notified() => {}
                _ = signals.changed() => {}
                () = sleep_until(wake_at) => {}
            }
        }
        self.commit().await;
        // What is in work now comes again, so its partitions need not wait for it.
        self.answers.table.lock().leave();
        drop(membership);
    }

    /// Tells the server how far the group is. Returns whether that is done with.
    async fn commit(&self) -> bool {
        let _gate = self.gate.lock().await;
        let Some(consumer) = self.consumer.lock().upgrade() else { return true };
        let positions = self.answers.table.lock().positions();
        if positions.is_empty() {
            self.answers.table.lock().committed(positions);
            return true;
        }
        let mark = self.mark.shortened(self.refused.load(Relaxed));
        let offsets = positions.all.iter().map(|(_, place, position)| {
            let offset = OffsetAndMetadata::with_metadata(*position, &mark);
            (self.connection.partition(*place), offset)
        });
        let told = timeout(self.connection.timeout, consumer.commit_offsets(offsets)).await;
        match told {
            Ok(Ok(())) => self.answers.table.lock().committed(positions),
            Ok(Err(error)) => return self.not_committed(positions, &error),
            Err(_) => {
                positions.refuse(|| SettleError::Failed(Reason::TimedOut));
                return false;
            }
        }
        true
    }

    fn not_committed(&self, positions: Positions, error: &KrafkaError) -> bool {
        if fault::says_too_much(error)
            && !self.mark.shortened(self.refused.load(Relaxed)).is_empty()
        {
            let _ = self.refused.fetch_add(1, Relaxed);
            self.answers.table.lock().again_later(positions);
            return false;
        }
        let refused = matches!(fault::reason(error), Reason::Refused(_)) && !error.is_retriable();
        if refused && !fault::is_fenced(error) {
            positions.refuse(|| SettleError::Failed(fault::reason(error)));
        } else {
            // Its server is away, or the group is joining. If this member has lost its place there, it
            // loses its partitions too, and then these answers are late.
            self.answers.table.lock().again_later(positions);
        }
        false
    }

    /// Looks how much is still to come.
    async fn look(&self) {
        let Some(consumer) = self.consumer.lock().upgrade() else { return };
        let mut sum = 0_u64;
        for lag in consumer.lag().await.into_values() {
            let Some(lag) = lag.lag else {
                return self.lag.store(UNKNOWN, Relaxed);
            };
            sum += lag;
        }
        let sum = sum.saturating_add(self.answers.table.lock().backlog() as u64);
        self.lag.store(usize::try_from(sum).unwrap_or(UNKNOWN), Relaxed);
    }
}
