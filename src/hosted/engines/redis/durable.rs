//! Durable subscriptions: each is a consumer of a group, and reads on a connection of its own.

use alloc::boxed::Box;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::pin::Pin;
use core::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, Pipeline, Value};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::answer::{Answer, deadline};
use super::connection::{Connection, Membership, Signal, UNKNOWN, wrong_type};
use super::id::Id;
use super::link::Own;
use super::queue::{Durable, Waiting};
use super::reply::{array, bytes, entries, error, int, read, text};
use super::scripts;
use super::settle::{Ended, Group, Has, Outgoing, Said};
use crate::envelope::Envelope;
use crate::hosted::engines::failed::refused;
use crate::hosted::engines::limits::FOR_EVER;
use crate::hosted::engines::mailbox::{EndOf, Item, Mailbox};
use crate::hosted::engines::troubles::Trouble;
use crate::hosted::{Delivery, DurableOptions, Gap, GapReason, Reason, Receive, StartAt, Verdict};
use crate::sync::{PlainNumber, Relaxed};

/// How often a member looks how far the group is, and what other members have left behind, at least.
const LOOK: Duration = Duration::from_secs(1);
/// How many entries come at once.
const MOST: usize = 1000;
/// How many leases a delivery may wait to be taken.
const PATIENCE: u32 = 8;

pub(super) async fn open(
    connection: Arc<Connection>,
    mut options: DurableOptions,
) -> Result<Box<dyn Receive>, Reason> {
    connection.check()?;
    options.lease = options.lease.min(FOR_EVER);
    let Some(keys) = connection.keys.clone() else { return Err(Reason::NotStarted) };
    let membership = connection.join()?;
    let mut own = connection.target.own().await?;
    let group = Group::new(connection.clone(), keys, options.group.clone(), options.lease);
    let (group, mailbox) = (Arc::new(group), Mailbox::new());
    let lag = Arc::new(PlainNumber::new(UNKNOWN));
    connection.watch(&lag);
    let now = Instant::now();
    let mut member = Member {
        slots: Arc::new(Semaphore::new(options.in_flight.min(Semaphore::MAX_PERMITS))),
        signals: connection.signals.subscribe(),
        lag: lag.clone(),
        resume: None,
        last: Id::default(),
        server: "".into(),
        sure: Id::default(),
        ready: VecDeque::new(),
        look_at: now + LOOK,
        claim_at: now,
        renew_at: now,
        group: group.clone(),
        mailbox: mailbox.clone(),
        options,
        trouble: connection.troubles.join(),
        _membership: membership,
    };
    member.ensure().await?;
    member.may_read(&mut own).await?;
    // What comes again comes first, and so does what is known to be missing.
    let room = member.slots.available_permits();
    if let Err(End::Refused(why)) = member.claim(room).await {
        return Err(refused(why));
    }
    let end = EndOf(mailbox.clone());
    connection.runtime.spawn(async move {
        let _end = end;
        member.run(own).await;
    });
    Ok(Box::new(Durable { mailbox, group, lag }))
}

/// One member of a group.
struct Member {
    group: Arc<Group>,
    options: DurableOptions,
    slots: Arc<Semaphore>,
    signals: watch::Receiver<Signal>,
    lag: Arc<PlainNumber>,
    mailbox: Arc<Mailbox<Waiting>>,
    /// The entry behind which the group goes on should it vanish. `None` before it was found or made.
    resume: Option<Id>,
    /// The last new entry that came here.
    last: Id,
    /// The server in which the group was found.
    server: Arc<str>,
    /// The newest entry that was looked for when the server had started anew.
    sure: Id,
    /// What has come and has no place yet.
    ready: VecDeque<Item<Ready>>,
    look_at: Instant,
    claim_at: Instant,
    renew_at: Instant,
    trouble: Arc<Trouble>,
    _membership: Membership,
}

/// An entry that is for this group.
struct Ready {
    has: Has,
    envelope: Arc<Envelope>,
    deadline: Instant,
}

/// Why a session has ended.
enum End {
    /// The subscription or the engine has ended.
    Closed,
    /// The connection or the group is gone.
    Lost,
    /// The server refuses, and says why.
    Refused(String),
}

/// What a read of new entries returned: how far the group was before, if it asked, and the entries.
type Read = (Option<Value>, Value);
type Reading = Pin<Box<dyn Future<Output = Option<Read>> + Send>>;

impl Member {
    async fn run(mut self, own: Own) {
        let mut own = Some(own);
        let mut pause = Duration::ZERO;
        while let Some(mut connected) = own.take() {
            let began = Instant::now();
            let end = self.session(&mut connected).await;
            if let End::Refused(why) = &end {
                self.trouble.set(why);
            }
            match end {
                End::Closed => return self.leave(connected).await,
                _ if began.elapsed() > LOOK => pause = Duration::ZERO,
                End::Lost | End::Refused(_) => {}
            }
            drop(connected);
            while own.is_none() {
                sleep(pause).await;
                pause = (pause * 2).clamp(Duration::from_millis(20), Duration::from_secs(1));
                if self.is_over() {
                    // What it has comes again when its lease ends.
                    return;
                }
                if self.group.connection.check().is_ok()
                    && let Ok(made) = self.group.connection.target.own().await
                {
                    match self.ensure().await {
                        Ok(()) => own = Some(made),
                        Err(why) => self.trouble.set(&why),
                    }
                }
            }
        }
    }

    fn is_over(&mut self) -> bool {
        self.signals.borrow_and_update().closed || self.group.ended() != Ended::No
    }

    /// Gives back what is not begun.
    async fn leave(mut self, own: Own) {
        // What was received before `close` can still be taken.
        while self.group.ended() == Ended::Closed && !self.signals.borrow_and_update().closed {
            tokio::select! {
                () = self.group.wake.notified() => {}
                _ = self.signals.changed() => {}
                () = sleep_until(self.renew_at) => self.renew().await,
            }
        }
        let mut waiting = self.mailbox.give_back();
        waiting.extend(self.ready.drain(..).filter_map(|item| match item {
            Item::Event(ready) => Some(ready.has.id),
            Item::Gap(_) => None,
        }));
        let (group, last, client) = (self.group.clone(), self.last, own.client);
        let _ = self.group.connection.settle.send(Outgoing::Leave { group, last, waiting, client });
    }

    /// Finds the group, or makes it. Tells what the stream no longer has.
    async fn ensure(&mut self) -> Result<(), Reason> {
        let (how, before) = match (self.resume, self.options.start_at) {
            (Some(resume), _) => ("resume", resume),
            (None, StartAt::New) => ("new", Id::default()),
            (None, StartAt::Earliest) => ("earliest", Id::default()),
            (None, StartAt::Sequence(sequence)) => ("sequence", Id::of_sequence(sequence).before()),
            (None, StartAt::Time(time)) => {
                let ms = u64::try_from(time.unix_nanos() / 1_000_000).unwrap_or(0);
                ("time", Id { ms, part: 0 }.before())
            }
        };
        let group = &self.group;
        let link = &group.connection.link;
        let server = link.server();
        // A server that has started anew, or follows another one, may lack the end of what that one had.
        let newest = self.last.max(group.connection.newest());
        let seen = if server != self.server && newest > self.sure { newest } else { Id::default() };
        let keys = [&*group.keys.stream, &group.keys.groups, &group.keys.servers];
        let mut call = scripts::OPEN.call(&keys);
        call.arg(&*group.name).arg(self.patterns()).arg(how).arg(format!("{before}"));
        call.arg(u8::from(group.connection.creates())).arg(&*server).arg(format!("{seen}"));
        let answer = link.send(call).await.map_err(|failed| failed.reason())?;
        if let Some((_, why)) = error(&answer) {
            return Err(refused(why));
        }
        let [outcome, rest @ ..] = array(&answer) else {
            return Err(refused("the answer is not understood"));
        };
        let detail = rest.first().map(text).unwrap_or_default();
        match &*text(outcome) {
            "found" => {}
            "made" if self.resume.is_none() => {}
            // It is another group of the same name: its members may have had more than this one knows.
            // Or the server has lost what it had acknowledged, and perhaps more than that.
            "made" | "trimmed" | "back" => self.tell(Gap::new(None, GapReason::Trimmed)),
            "missing" => return Err(group.connection.missing()),
            "type" => return Err(wrong_type(&group.keys.stream, &detail)),
            _ => {
                return Err(refused(format!(
                    "the group `{}` exists for other patterns ({detail}): name another group",
                    group.name
                )));
            }
        }
        (self.server, self.sure) = (server, self.sure.max(seen));
        match self.look().await {
            Ok(()) => Ok(()),
            Err(End::Lost) => Err(refused("the group has vanished")),
            Err(End::Refused(why)) => Err(refused(why)),
            Err(End::Closed) => Err(Reason::Closed),
        }
    }

    /// Reads what it has not settled, which is nothing: a user who may not read learns it here.
    async fn may_read(&self, own: &mut Own) -> Result<(), Reason> {
        let mut read = Cmd::new();
        read.arg("XREADGROUP").arg("GROUP").arg(&*self.group.name).arg(&self.group.me);
        read.arg("COUNT").arg(1).arg("STREAMS").arg(&self.group.keys.stream).arg(0);
        own.ask(&read, self.group.connection.timeout).await.map(drop)
    }

    /// What is said of a group, so that members with other patterns are found out.
    fn patterns(&self) -> String {
        let mut patterns: Vec<&str> =
            self.options.patterns.iter().map(|pattern| pattern.as_str()).collect();
        patterns.sort_unstable();
        patterns.dedup();
        patterns.join(" ")
    }

    fn tell(&mut self, gap: Gap) {
        self.ready.push_back(Item::Gap(gap));
    }

    /// Asks how far the group is.
    async fn look(&mut self) -> Result<(), End> {
        self.look_at = Instant::now() + LOOK;
        match self.group.connection.link.send(look(&self.group)).await {
            Ok(said) => self.looked(&said),
            Err(_) => Ok(()), // the session decides whether it is lost
        }
    }

    fn looked(&mut self, said: &Value) -> Result<(), End> {
        if let Some((_, why)) = error(said) {
            return Err(End::Refused(why));
        }
        let [missed, lag, floor, delivered] = array(said) else {
            return Err(End::Lost); // no group
        };
        match int(missed).unwrap_or(0) {
            0 => {}
            missed => {
                // Not everything that is gone was for this group.
                let all = self.options.patterns.iter().any(|pattern| pattern.as_str() == ">");
                let missed = u64::try_from(missed).ok().filter(|_| all);
                self.tell(Gap::new(missed, GapReason::Trimmed));
            }
        }
        let lag = int(lag).and_then(|lag| usize::try_from(lag).ok());
        self.lag.store(lag.unwrap_or(UNKNOWN), Relaxed);
        let id = |value: &Value| bytes(value).and_then(Id::parse);
        self.resume = id(floor).map(Id::before).or(id(delivered)).or(self.resume);
        Ok(())
    }

    /// Reads and passes on, until the connection or the group is gone.
    async fn session(&mut self, own: &mut Own) -> End {
        let group = self.group.clone();
        let half = (self.options.in_flight / 2).clamp(1, u32::MAX as usize);
        // Whether entries may have come and gone since the last read.
        let mut behind = true;
        let mut reading: Option<(usize, Reading)> = None;
        loop {
            if self.is_over() {
                return End::Closed;
            }
            let due = group.due.lock().take();
            self.claim_at = due.map_or(self.claim_at, |due| due.min(self.claim_at));
            let mut room = self.slots.available_permits();
            if room > 0 && Instant::now() >= self.claim_at {
                if let Err(end) = self.claim(room).await {
                    return end;
                }
                room = self.slots.available_permits();
            }
            self.pour();
            let is_empty = self.mailbox.is_empty();
            if reading.is_none() && self.ready.is_empty() && room > 0 && (is_empty || room >= half)
            {
                let room = room.min(MOST);
                let block = (!behind).then_some(group.connection.heartbeat);
                let read = read_new(own.connection.clone(), group.clone(), room, block);
                reading = Some((room, Box::pin(read)));
            }
            let slots = self.slots.clone();
            let waits = !self.ready.is_empty();
            let wanted = if is_empty || waits { 1 } else { half };
            let wanted = u32::try_from(wanted).unwrap_or(1);
            tokio::select! {
                biased;
                _ = self.signals.changed() => {}
                read = next_of(&mut reading), if reading.is_some() => {
                    let Some((room, read)) = read else { return End::Lost };
                    match self.received(&read) {
                        Err(end) => return end,
                        Ok(came) => behind = came == room,
                    }
                }
                _ = slots.acquire_many(wanted), if waits || reading.is_none() && room < half => {
                    behind = true;
                }
                () = group.wake.notified() => {}
                () = sleep_until(self.look_at) => {
                    if let Err(end) = self.look().await {
                        return end;
                    }
                }
                () = sleep_until(self.claim_at), if room > 0 => {}
                () = sleep_until(self.renew_at) => self.renew().await,
            }
        }
    }

    /// Takes over what a read returned. Returns how many entries it had.
    fn received(&mut self, (look, new): &Read) -> Result<usize, End> {
        if let Some(look) = look
            && error(look).is_none()
        {
            self.looked(look)?;
        }
        if let Some((_, why)) = error(new) {
            return Err(End::Refused(why));
        }
        self.trouble.clear();
        let mut came = 0;
        for (id, fields) in entries(new) {
            came += 1;
            self.last = self.last.max(id);
            self.receive(Has { again: false, count: 1, id }, fields);
        }
        let lag = self.lag.load(Relaxed);
        if lag != UNKNOWN {
            self.lag.store(lag.saturating_sub(came), Relaxed);
        }
        self.pour();
        Ok(came)
    }

    /// Takes what comes again.
    async fn claim(&mut self, room: usize) -> Result<(), End> {
        let group = self.group.clone();
        self.claim_at = Instant::now() + tick(self.options.lease);
        let mut call = scripts::CLAIM.call(&[&*group.keys.stream, &group.due_key]);
        let room = room.min(MOST);
        call.arg(&*group.name).arg(&group.again).arg(room);
        let Ok(answer) = group.connection.link.send(call).await else { return Ok(()) };
        if let Some((_, why)) = error(&answer) {
            return Err(End::Refused(why));
        }
        let [taken, gone, wait] = array(&answer) else { return Err(End::Lost) };
        // The oldest are removed first.
        if let Some(gone @ 1..) = int(gone).and_then(|gone| u64::try_from(gone).ok()) {
            self.tell(Gap::new(Some(gone), GapReason::Trimmed));
        }
        for entry in array(taken) {
            let [id, fields, count] = array(entry) else { continue };
            let Some(id) = bytes(id).and_then(Id::parse) else { continue };
            let count = int(count).and_then(|count| u32::try_from(count).ok()).unwrap_or(u32::MAX);
            self.receive(Has { again: true, count, id }, fields);
        }
        if let Some(wait) = int(wait).and_then(|wait| u64::try_from(wait).ok()) {
            let next = Instant::now() + Duration::from_millis(wait);
            self.claim_at = self.claim_at.min(next);
        }
        if array(taken).len() >= room {
            self.claim_at = Instant::now();
        }
        self.pour();
        Ok(())
    }

    /// Looks at an entry. It waits for its place, unless it is not for this group.
    fn receive(&mut self, has: Has, fields: &Value) {
        let deadline = deadline(Instant::now(), self.options.lease);
        let refuse = |verdict, attempts| {
            let (group, before) = (self.group.clone(), deadline);
            let said = Said { group, has, extended: false, verdict, attempts, before, reply: None };
            let _ = self.group.connection.settle.send(Outgoing::Settle(said));
        };
        let count = has.count;
        match read(&self.group.keys.stream, has.id, fields) {
            Err(error) => {
                refuse(Verdict::Reject(format!("{error}").into()), count);
                self.tell(Gap::new(Some(1), GapReason::Unreadable));
            }
            Ok(envelope) if !self.options.matches(envelope.subject()) => {
                refuse(Verdict::Ack, count);
            }
            Ok(_) if self.options.max_attempts.is_some_and(|most| count > most) => {
                // This one is none.
                refuse(Verdict::Reject("its attempts are spent".into()), count - 1);
                if self.group.connection.dead_letters == 0 {
                    self.tell(Gap::new(Some(1), GapReason::Exhausted));
                }
            }
            Ok(envelope) => {
                self.ready.push_back(Item::Event(Ready { has, envelope, deadline }));
            }
        }
    }

    /// Passes on what has a place.
    fn pour(&mut self) {
        while let Some(next) = self.ready.pop_front() {
            let Ready { has, envelope, deadline } = match next {
                Item::Gap(gap) => {
                    self.mailbox.put(|items| items.gap(gap));
                    continue;
                }
                Item::Event(ready) => ready,
            };
            let Ok(slot) = self.slots.clone().try_acquire_owned() else {
                self.ready.push_front(Item::Event(Ready { has, envelope, deadline }));
                return;
            };
            let answer = Answer::new(self.group.clone(), has, deadline, slot);
            let answer = Arc::new(answer);
            let mut delivery = Delivery::shared(envelope, answer.clone()).with_attempt(has.count);
            if let Some(sequence) = has.id.sequence() {
                delivery = delivery.with_sequence(sequence);
            }
            let until = Instant::now() + self.options.lease * PATIENCE;
            let waiting = Waiting { delivery, answer, until };
            self.mailbox.put(|items| items.push(waiting));
        }
    }

    /// Keeps what is not in work yet.
    async fn renew(&mut self) {
        let now = Instant::now();
        self.renew_at = now + tick(self.options.lease);
        let answers = self.mailbox.to_renew();
        self.ready.retain(|item| match item {
            Item::Event(ready) => ready.deadline > now,
            Item::Gap(_) => true,
        });
        let half = now + self.options.lease / 2;
        let mut held: Vec<_> = answers.iter().map(|answer| answer.has).collect();
        held.extend(self.ready.iter().filter_map(|item| match item {
            Item::Event(ready) if ready.deadline < half => Some(ready.has),
            _ => None,
        }));
        if held.is_empty() {
            return;
        }
        held.sort_unstable();
        let mut calls = Pipeline::new();
        for alike in held.chunk_by(Has::is_alike) {
            let all = alike.iter().copied();
            calls.add_command(self.group.call_for(&scripts::RENEW, true, all));
        }
        let Ok(said) = self.group.connection.link.send_all(calls).await else { return };
        let mut kept = BTreeSet::new();
        for (alike, said) in held.chunk_by(Has::is_alike).zip(&said) {
            let said = alike.iter().zip(array(said)).filter(|(_, it)| int(it) == Some(1));
            kept.extend(said.map(|(has, _)| *has));
        }
        let renewed = deadline(now, self.options.lease);
        for answer in answers.iter().filter(|answer| kept.contains(&answer.has)) {
            answer.renewed(renewed);
        }
        for item in &mut self.ready {
            if let Item::Event(ready) = item
                && kept.contains(&ready.has)
            {
                ready.deadline = renewed;
            }
        }
    }
}

/// How often a member sees to what has a lease.
fn tick(lease: Duration) -> Duration {
    (lease / 4).clamp(Duration::from_millis(5), LOOK)
}

fn look(group: &Group) -> Cmd {
    let mut call = scripts::LOOK.call(&[&group.keys.stream, &group.keys.servers]);
    call.arg(&*group.name).arg(&*group.connection.link.server());
    call
}

async fn next_of(reading: &mut Option<(usize, Reading)>) -> Option<(usize, Read)> {
    let (room, read) = reading.as_mut()?;
    let (room, read) = (*room, read.await);
    *reading = None;
    Some((room, read?))
}

/// Reads new entries, and waits for the first one if it may. `None` if there is no connection.
async fn read_new(
    mut connection: MultiplexedConnection,
    group: Arc<Group>,
    count: usize,
    block: Option<Duration>,
) -> Option<Read> {
    let mut new = Cmd::new();
    new.arg("XREADGROUP").arg("GROUP").arg(&*group.name).arg(&group.me).arg("COUNT").arg(count);
    if let Some(block) = block {
        new.arg("BLOCK").arg(super::settle::millis(block));
    }
    new.arg("STREAMS").arg(&group.keys.stream).arg(">");
    let patience = group.connection.timeout + block.unwrap_or_default();
    if block.is_some() {
        let answer = timeout(patience, connection.send_packed_command(&new)).await;
        return Some((None, answer.ok()?.ok()?));
    }
    let mut both = Pipeline::with_capacity(2);
    both.add_command(look(&group));
    both.add_command(new);
    let answers = timeout(patience, connection.send_packed_commands(&both, 0, 2)).await;
    let mut answers = answers.ok()?.ok()?.into_iter();
    Some((answers.next(), answers.next()?))
}
