//! Durable subscriptions: a group is a pull consumer, and each member asks it for what it has room
//! for.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Write;
use core::time::Duration;

use async_nats::StatusCode;
use async_nats::datetime::DateTime;
use async_nats::jetstream::consumer::{self, AckPolicy, DeliverPolicy, PullConsumer, pull};
use async_nats::jetstream::{self, Message};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::answer::Answer;
use super::connection::{Connection, Signal, next};
use super::publish::read;
use super::queue::{Durable, PATIENCE, Waiting};
use crate::hosted::engines::failed::refused;
use crate::hosted::engines::filter::{cover, covers, filters};
use crate::hosted::engines::limits::FOR_EVER;
use crate::hosted::engines::mailbox::{EndOf, Mailbox};
use crate::hosted::{Delivery, DurableOptions, Gap, GapReason, Reason, Receive, StartAt, Verdict};
use crate::subject::Subject;
use crate::sync::{PlainNumber, Relaxed};

/// How long the server keeps a request for messages.
const REQUEST: Duration = Duration::from_secs(30);
/// How often a member asks how far the group is, at least: to know where to continue should the consumer
/// vanish, and what is gone.
const LOOK: Duration = Duration::from_secs(5);

pub(super) async fn open(
    connection: Arc<Connection>,
    mut options: DurableOptions,
) -> Result<Box<dyn Receive>, Reason> {
    connection.check()?;
    options.lease = options.lease.min(FOR_EVER);
    let Some(stream) = connection.stream.clone() else { return Err(Reason::NotStarted) };
    let mailbox = Mailbox::new();
    let lag = Arc::new(PlainNumber::new(0));
    let mut member = Member {
        name: consumer_name(&options.group),
        resume: None,
        created: None,
        begins: 0,
        begins_at: None,
        told: 0,
        seen: None,
        slots: Arc::new(Semaphore::new(options.in_flight)),
        signals: connection.signals.subscribe(),
        lag: lag.clone(),
        stream,
        connection: connection.clone(),
        options,
        mailbox: mailbox.clone(),
    };
    let consumer = member.ensure().await?;
    let end = EndOf(mailbox.clone());
    let member = async move {
        let _end = end;
        member.run(consumer).await;
    };
    let task = connection.runtime.spawn(member).abort_handle();
    Ok(Box::new(Durable { mailbox, task, lag }))
}

/// The name of a consumer may have neither dots nor wildcards, white space or slashes.
fn consumer_name(group: &str) -> String {
    let mut name = String::with_capacity(group.len());
    for byte in group.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            name.push(char::from(byte));
        } else {
            let _ = write!(name, "={byte:02X}");
        }
    }
    name
}

/// One member of a group.
struct Member {
    connection: Arc<Connection>,
    stream: String,
    name: String,
    options: DurableOptions,
    /// Where the group goes on should its consumer vanish. `None` before it was found or made.
    resume: Option<u64>,
    /// When the stream was created. `None` before it was found.
    created: Option<DateTime>,
    /// What is before this is not for the group, even if a server of 2.9 has forgotten it.
    begins: u64,
    /// What the stream has of an earlier time is not for the group: if that is still to come, the
    /// server begins with the next event.
    begins_at: Option<DateTime>,
    /// What is missing before this has been told.
    told: u64,
    /// The consumer at the last look.
    seen: Option<Seen>,
    slots: Arc<Semaphore>,
    signals: watch::Receiver<Signal>,
    lag: Arc<PlainNumber>,
    mailbox: Arc<Mailbox<Waiting>>,
}

/// What a consumer has at one moment.
struct Seen {
    created: DateTime,
    /// How many events the group has still to receive.
    pending: u64,
    /// How many deliveries there were, repeated ones included.
    deliveries: u64,
}

impl Seen {
    fn of(info: &consumer::Info) -> Self {
        let (pending, deliveries) = (info.num_pending, info.delivered.consumer_sequence);
        Self { created: info.created, pending, deliveries }
    }

    /// Returns whether events are gone that were pending here and not delivered until `later`. A purge
    /// moves the position of the consumer, which alone says nothing then.
    fn lost_until(&self, later: &Self) -> bool {
        let delivered = later.deliveries.checked_sub(self.deliveries);
        self.created == later.created
            && delivered.is_some_and(|delivered| self.pending > later.pending + delivered)
    }
}

/// Why a session has ended.
enum End {
    /// The subscription or the engine has ended.
    Closed,
    /// The server may no longer know what it was asked for.
    Lost,
}

impl Member {
    async fn run(mut self, mut consumer: PullConsumer) {
        let mut pause = Duration::ZERO;
        loop {
            let began = Instant::now();
            match self.session(&consumer).await {
                End::Closed => return,
                End::Lost if began.elapsed() > Duration::from_secs(1) => pause = Duration::ZERO,
                End::Lost => {}
            }
            loop {
                if self.pause(pause).await {
                    return;
                }
                pause = (pause * 2).clamp(Duration::from_millis(20), Duration::from_secs(1));
                if self.connection.check().is_ok()
                    && let Ok(found) = self.ensure().await
                {
                    consumer = found;
                    break;
                }
            }
        }
    }

    /// Waits, at most until something happens to the connection. Returns whether all is over.
    async fn pause(&mut self, pause: Duration) -> bool {
        tokio::select! {
            () = sleep(pause) => {}
            _ = self.signals.changed() => {}
        }
        self.is_over()
    }

    fn is_over(&mut self) -> bool {
        self.signals.borrow_and_update().closed
    }

    /// Finds the consumer of the group, or makes it. Tells what the stream no longer has.
    async fn ensure(&mut self) -> Result<PullConsumer, Reason> {
        let context = self.connection.context.clone();
        let stream = context.get_stream(&self.stream).await.map_err(refused)?;
        let (state, config) = (&stream.cached_info().state, &stream.cached_info().config);
        // An empty stream begins behind its last event.
        let (first, last) = (state.first_sequence, state.last_sequence);
        let first = if state.messages == 0 { last + 1 } else { first };
        let created = stream.cached_info().created;
        let is_another = self.created.replace(created).is_some_and(|before| before != created);
        if is_another || self.resume.is_some_and(|resume| resume > last + 1) {
            // Another stream of this name, which counts anew.
            self.tell(Gap::new(None, GapReason::Trimmed));
            (self.resume, self.told, self.begins) = (Some(first), first, first);
        }
        // Two members may make it at once: the second finds it.
        let mut attempts = 2;
        let (consumer, follows) = loop {
            attempts -= 1;
            let found = context.get_consumer_from_stream(&*self.name, &self.stream).await;
            match found {
                Ok(consumer) => {
                    self.adopt(&consumer)?;
                    let follows = consumer.cached_info().delivered.stream_sequence + 1;
                    break (consumer, follows);
                }
                Err(error) if !is_missing(&error) => return Err(refused(error)),
                Err(_) => {}
            }
            let (policy, follows) = self.begin(first, last)?;
            match self.create(policy, &config.subjects).await {
                Ok(consumer) => break (consumer, follows),
                Err(error) if attempts == 0 => return Err(error),
                Err(_) => {}
            }
        };
        let info = consumer.cached_info();
        match info.config.deliver_policy {
            DeliverPolicy::ByStartSequence { start_sequence } => self.begins = start_sequence,
            DeliverPolicy::ByStartTime { start_time } => self.begins_at = Some(start_time),
            _ => {}
        }
        self.lag.store(info.num_pending as usize, Relaxed);
        let seen = Seen::of(info);
        let purged = self.seen.as_ref().is_some_and(|before| before.lost_until(&seen));
        self.seen = Some(seen);
        if first > follows.max(self.told) {
            // With a filter, not everything that is gone was for this group.
            let all =
                info.config.filter_subject.is_empty() && info.config.filter_subjects.is_empty();
            let missed = all.then_some(first - follows.max(self.told));
            self.tell(Gap::new(missed, GapReason::Trimmed));
            self.told = first;
        } else if purged {
            self.tell(Gap::new(None, GapReason::Trimmed));
            self.told = first;
        }
        self.look(info, follows.max(first));
        Ok(consumer)
    }

    /// Remembers where the group would go on.
    fn look(&mut self, info: &consumer::Info, next: u64) {
        let settled = info.ack_floor.stream_sequence + 1;
        // Nothing is in work: everything before the next one is done, also what was not for it.
        let resume = if info.num_ack_pending == 0 { next.max(settled) } else { settled };
        self.resume = Some(self.resume.unwrap_or(0).max(resume));
    }

    fn tell(&self, gap: Gap) {
        self.mailbox.put(|items| items.gap(gap));
    }

    /// Returns where a consumer begins that is made now, and at which sequence, of a stream that has
    /// these.
    fn begin(&self, first: u64, last: u64) -> Result<(DeliverPolicy, u64), Reason> {
        let at = |sequence| (DeliverPolicy::ByStartSequence { start_sequence: sequence }, sequence);
        if let Some(resume) = self.resume {
            return Ok(at(resume));
        }
        Ok(match self.options.start_at {
            // Not `New`: a server that loses the position of a consumer begins anew where it says.
            StartAt::New => at(last + 1),
            StartAt::Earliest => (DeliverPolicy::All, first),
            // Beyond the end, the server begins with the next event.
            StartAt::Sequence(sequence) => at(sequence.clamp(1, last + 1)),
            StartAt::Time(time) => {
                let time = async_nats::datetime::from_nanos(time.unix_nanos()).map_err(refused)?;
                (DeliverPolicy::ByStartTime { start_time: time }, first)
            }
        })
    }

    /// What the consumer says of itself, so that members with other patterns are found out.
    fn description(&self) -> String {
        let mut patterns: Vec<&str> =
            self.options.patterns.iter().map(|pattern| pattern.as_str()).collect();
        patterns.sort_unstable();
        patterns.dedup();
        format!("tickbus: {}", patterns.join(" "))
    }

    /// Checks that a consumer is for the same patterns, with the same lease.
    fn adopt(&mut self, consumer: &PullConsumer) -> Result<(), Reason> {
        let config = &consumer.cached_info().config;
        let group = &self.options.group;
        let description = config.description.as_deref().unwrap_or_default();
        if description != self.description() {
            return Err(refused(format!(
                "the group `{group}` exists for other patterns ({description}): name another group"
            )));
        }
        if self.resume.is_some() {
            // It was changed at the server while this member was there.
            self.options.lease = config.ack_wait;
        } else if config.ack_wait != self.options.lease {
            return Err(refused(format!(
                "the group `{group}` exists with another lease ({:?} instead of {:?}): \
                 give all members the same, or name another group",
                config.ack_wait, self.options.lease
            )));
        }
        Ok(())
    }

    async fn create(
        &self,
        begin: DeliverPolicy,
        subjects: &[String],
    ) -> Result<PullConsumer, Reason> {
        let config = pull::Config {
            durable_name: Some(self.name.clone()),
            description: Some(self.description()),
            deliver_policy: begin,
            ack_policy: AckPolicy::Explicit,
            ack_wait: self.options.lease,
            // Bounded by the members, each by its own.
            max_ack_pending: -1,
            ..Default::default()
        };
        let wide = cover(&self.options.patterns);
        let wide = Some(wide).filter(|wide| !subjects.iter().all(|it| covers(wide, it)));
        let covered = |filter: Option<String>| pull::Config {
            filter_subject: filter.unwrap_or_default(),
            ..config.clone()
        };
        let several = filters(&self.options.patterns);
        if several.len() > 1 && self.connection.client.is_server_compatible(2, 10, 0) {
            let config = pull::Config { filter_subjects: several.clone(), ..config.clone() };
            let consumer = self.make(config).await?;
            let mut taken = consumer.cached_info().config.filter_subjects.clone();
            taken.sort_unstable();
            if taken == several {
                return Ok(consumer);
            }
            // The one that leads is older than the one that answers, and ignores them.
            let delete =
                self.connection.context.delete_consumer_from_stream(&self.name, &self.stream);
            delete.await.map_err(refused)?;
        }
        match self.make(covered(wide.clone())).await {
            // An old server takes no filter that is wider than the subjects of the stream.
            Err(_) if wide.is_some() => self.make(covered(None)).await,
            made => made,
        }
    }

    async fn make(&self, config: pull::Config) -> Result<PullConsumer, Reason> {
        // Strict: a plain one would change the consumer of a member that was faster.
        let make = self.connection.context.create_consumer_strict_on_stream(config, &self.stream);
        make.await.map_err(refused)
    }

    /// Asks for messages and passes them on, until the server may no longer know of it.
    async fn session(&mut self, consumer: &PullConsumer) -> End {
        let connection = self.connection.clone();
        let connects = connection.connects();
        let inbox = async_nats::Subject::from(connection.client.new_inbox());
        let Ok(mut inbound) = connection.client.subscribe(inbox.clone()).await else {
            return End::Lost;
        };
        let heartbeat = connection.heartbeat.min(REQUEST / 3);
        // How many were asked for and have not come.
        let mut asked = 0_usize;
        let mut heard = Instant::now();
        let mut looked = heard;
        let look = LOOK.min(heartbeat * 4);
        let slots = self.slots.clone();
        // One clock for all that is due from time to time.
        let mut clock = interval((self.options.lease / 4).min(heartbeat));
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if self.is_over() {
                return End::Closed;
            }
            if connection.connects() != connects {
                return End::Lost;
            }
            let room = slots.available_permits().saturating_sub(asked);
            if room > 0 && asked <= self.options.in_flight / 2 {
                let request = pull::BatchConfig {
                    batch: room,
                    expires: Some(REQUEST),
                    idle_heartbeat: heartbeat,
                    ..Default::default()
                };
                if consumer.request_batch(request, inbox.clone()).await.is_err() {
                    return End::Lost;
                }
                asked += room;
                heard = Instant::now();
            }
            let message = tokio::select! {
                biased;
                message = next(&mut inbound) => message,
                _ = self.signals.changed() => continue,
                _ = slots.acquire(), if asked == 0 => continue,
                now = clock.tick() => {
                    if asked > 0 && now >= heard + heartbeat * 2 {
                        return End::Lost;
                    }
                    self.mailbox.extend_all();
                    if now >= looked + look {
                        looked = now;
                        // The heartbeat decides whether it is lost.
                        if let Ok(info) = consumer.get_info().await {
                            self.lag.store(info.num_pending as usize, Relaxed);
                            self.look(&info, info.delivered.stream_sequence + 1);
                            let seen = Seen::of(&info);
                            let purged = self.seen.as_ref().is_some_and(|it| it.lost_until(&seen));
                            if purged || info.config.ack_wait != self.options.lease {
                                return End::Lost; // `ensure` sees to it
                            }
                            self.seen = Some(seen);
                        }
                    }
                    continue;
                }
            };
            let Some(message) = message else { return End::Lost };
            heard = Instant::now();
            match message.status {
                None | Some(StatusCode::OK) => {
                    asked = asked.saturating_sub(1);
                    self.deliver(message);
                }
                Some(StatusCode::IDLE_HEARTBEAT) => {}
                // A request has ended: after its time, or early. The server says what is open of it.
                Some(StatusCode::TIMEOUT) => match open_of(&message) {
                    Some(open) => asked = asked.saturating_sub(open),
                    None => asked = 0,
                },
                // The consumer is gone, the leader has changed, the server shuts down, and the like.
                Some(_) => return End::Lost,
            }
        }
    }

    /// Passes a message on, unless it is not for this group.
    fn deliver(&mut self, message: async_nats::Message) {
        let message = Message { message, context: self.connection.context.clone() };
        let (Ok(info), Some(reply)) = (message.info(), message.message.reply.clone()) else {
            return;
        };
        let arrived = Instant::now();
        let attempt = u32::try_from(info.delivered).unwrap_or(u32::MAX);
        let sequence = info.stream_sequence;
        self.lag.store(info.pending as usize, Relaxed);
        let lease = self.options.lease;
        let Ok(slot) = self.slots.clone().try_acquire_owned() else { return };
        let answer = Answer::new(self.connection.clone(), reply, lease, slot);
        let subject = Subject::new(&message.message.subject);
        let is_early =
            sequence < self.begins || self.begins_at.is_some_and(|begins| info.published < begins);
        if is_early || subject.is_ok_and(|subject| !self.options.matches(subject)) {
            let _ = answer.say(&Verdict::Ack);
            return;
        }
        if self.options.max_attempts.is_some_and(|most| attempt > most) {
            let _ = answer.say(&Verdict::Reject("its attempts are spent".into()));
            self.tell(Gap::new(Some(1), GapReason::Exhausted));
            return;
        }
        match read(&message.message, || format!("{}/{sequence}", self.stream)) {
            Ok(envelope) => {
                let answer = Arc::new(answer);
                let delivery = Delivery::shared(envelope, answer.clone());
                let delivery = delivery.with_sequence(sequence).with_attempt(attempt);
                let until = arrived + lease * PATIENCE;
                let waiting = Waiting { delivery, answer, until };
                self.mailbox.put(|items| items.push(waiting));
            }
            Err(error) => {
                let _ = answer.say(&Verdict::Reject(format!("{error}").into()));
                self.tell(Gap::new(Some(1), GapReason::Unreadable));
            }
        }
    }
}

fn is_missing(error: &jetstream::stream::ConsumerError) -> bool {
    use jetstream::stream::ConsumerErrorKind::JetStream;
    matches!(error.kind(), JetStream(error) if error.error_code() == jetstream::ErrorCode::CONSUMER_NOT_FOUND)
}

/// Returns how many messages of a request will not come.
fn open_of(message: &async_nats::Message) -> Option<usize> {
    message.headers.as_ref()?.get("Nats-Pending-Messages")?.as_str().parse().ok()
}
