//! What becomes of deliveries, told to the server in batches.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use redis::{Cmd, Pipeline, Value};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, sleep};

use super::connection::Connection;
use super::id::Id;
use super::link::Link;
use super::reply::{array, error, int};
use super::scripts;
use super::settings::Keys;
use crate::hosted::engines::failed::{Failed, disconnected, refused};
use crate::hosted::engines::limits::FOR_EVER;
use crate::hosted::{Reason, SettleError, Verdict};
use crate::sync::{Lock, PlainNumber, Relaxed};

/// How many verdicts are told at once.
const BATCH: usize = 1024;
/// How long to wait for the connection before the next look at what is too late.
const PAUSE: Duration = Duration::from_millis(50);

/// A member of a group, as the server and its deliveries know it.
pub(super) struct Group {
    pub(super) connection: Arc<Connection>,
    pub(super) keys: Keys,
    pub(super) name: Box<str>,
    /// What is due and when.
    pub(super) due_key: String,
    /// The name of the member for what is new to the group. It says its lease.
    pub(super) me: String,
    /// Its name for what comes again. So an entry is delivered to the first name only once.
    pub(super) again: String,
    pub(super) lease: Duration,
    /// When something comes again that was given back here.
    pub(super) due: Lock<Option<Instant>>,
    /// Wakes the member.
    pub(super) wake: Notify,
    ended: PlainNumber,
}

/// An entry that a member has, as the server knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Has {
    /// The member has it under its name for what comes again.
    pub(super) again: bool,
    /// How often it was delivered.
    pub(super) count: u32,
    pub(super) id: Id,
}

impl Has {
    /// Returns whether one call can be about both.
    pub(super) fn is_alike(&self, other: &Self) -> bool {
        (self.again, self.count) == (other.again, other.count)
    }
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

impl Group {
    pub(super) fn new(
        connection: Arc<Connection>,
        keys: Keys,
        name: Box<str>,
        lease: Duration,
    ) -> Self {
        let (id, ms) = (uuid::Uuid::now_v7().simple(), millis(lease));
        Self {
            connection,
            due_key: keys.due(&name),
            keys,
            name,
            me: format!("tb:{id}:{ms}"),
            again: format!("tb:{id}a:{ms}"),
            lease,
            due: Lock::new(None),
            wake: Notify::new(),
            ended: PlainNumber::new(0),
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

    /// Remembers that something comes again at this time.
    pub(super) fn comes_again(&self, at: Instant) {
        let mut due = self.due.lock();
        *due = Some(due.map_or(at, |due| due.min(at)));
        drop(due);
        self.wake.notify_one();
    }

    /// Returns the name under which the member has an entry.
    fn holder(&self, has: Has) -> &str {
        if has.again { &self.again } else { &self.me }
    }

    /// Returns a call about entries that the member has under one name, each delivered as often.
    /// `flag` is for the script.
    pub(super) fn call_for(
        &self,
        script: &scripts::Lua,
        flag: bool,
        all: impl Iterator<Item = Has> + Clone,
    ) -> Cmd {
        let ids = || all.clone().map(|it| it.id);
        let (first, last) = (ids().min().unwrap_or_default(), ids().max().unwrap_or_default());
        let any = all.clone().next().unwrap_or_default();
        let mut call = script.call(&[&self.keys.stream]);
        call.arg(&*self.name).arg(self.holder(any)).arg(millis(self.lease));
        call.arg(any.count).arg(u8::from(flag)).arg(format!("{first}")).arg(format!("{last}"));
        for id in ids() {
            call.arg(format!("{id}"));
        }
        call
    }
}

/// Returns a time as the server counts it, at least 1 ms.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.min(FOR_EVER).as_millis()).unwrap_or(u64::MAX).max(1)
}

/// A verdict on its way.
pub(super) struct Said {
    pub(super) group: Arc<Group>,
    pub(super) has: Has,
    /// Whether it was extended.
    pub(super) extended: bool,
    pub(super) verdict: Verdict,
    /// How many of the deliveries were attempts.
    pub(super) attempts: u32,
    /// It is thrown away after this.
    pub(super) before: Instant,
    pub(super) reply: Option<oneshot::Sender<Result<(), SettleError>>>,
}

pub(super) enum Outgoing {
    Settle(Said),
    /// A member goes, and gives back what it has not begun.
    Leave {
        group: Arc<Group>,
        last: Id,
        waiting: Vec<Id>,
        client: i64,
    },
    /// Everything before it has left.
    Flush(oneshot::Sender<()>),
}

impl Said {
    fn is_plain_ack(&self) -> bool {
        matches!(self.verdict, Verdict::Ack) && !self.extended
    }

    fn tell(self, result: Result<(), SettleError>) {
        if result.is_ok()
            && let Verdict::RetryAfter(time) | Verdict::Extend(time) = self.verdict
        {
            self.group.comes_again(Instant::now() + time.min(FOR_EVER));
        }
        if let Some(reply) = self.reply {
            let _ = reply.send(result);
        }
    }

    fn command(&self) -> Cmd {
        let group = &self.group;
        let keys = [&*group.keys.stream, &group.due_key, &group.keys.dead];
        let mut call = scripts::SETTLE.call(&keys);
        let Has { count, id, .. } = self.has;
        call.arg(&*group.name).arg(group.holder(self.has)).arg(millis(group.lease));
        call.arg(format!("{id}")).arg(count).arg(u8::from(self.extended));
        // A delay of 0 is 0.
        let ms = |time: &Duration| if time.is_zero() { 0 } else { millis(*time) };
        match &self.verdict {
            Verdict::RetryAfter(delay) => call.arg("retry").arg(ms(delay)),
            Verdict::Extend(time) => call.arg("extend").arg(ms(time)),
            Verdict::Reject(why) => {
                call.arg("reject").arg(&**why).arg(group.connection.dead_letters).arg(self.attempts)
            }
            _ => call.arg("ack"),
        };
        call
    }
}

/// Tells the server until the last sender is gone.
pub(super) async fn settle_all(link: Arc<Link>, mut incoming: mpsc::UnboundedReceiver<Outgoing>) {
    let mut changes = link.changes.subscribe();
    let mut open = Vec::new();
    loop {
        if open.is_empty() {
            if incoming.recv_many(&mut open, BATCH).await == 0 {
                return;
            }
        } else {
            // There was no connection.
            tokio::select! {
                _ = changes.changed() => {}
                () = sleep(PAUSE) => {}
            }
            while open.len() < BATCH
                && let Ok(next) = incoming.try_recv()
            {
                open.push(next);
            }
        }
        open = attempt(&link, open).await;
    }
}

/// Tells the server. Returns what has to be told later.
async fn attempt(link: &Link, open: Vec<Outgoing>) -> Vec<Outgoing> {
    let now = Instant::now();
    let (mut acks, mut others, mut leaves, mut flushes) =
        (Vec::<Vec<Said>>::new(), Vec::new(), Vec::new(), Vec::new());
    for outgoing in open {
        match outgoing {
            // The event may be in other hands by then, and comes again otherwise.
            Outgoing::Settle(said) if now >= said.before => said.tell(Err(SettleError::Late)),
            Outgoing::Settle(said) if said.is_plain_ack() => {
                let joins = |several: &&mut Vec<Said>| {
                    Arc::ptr_eq(&several[0].group, &said.group)
                        && several[0].has.is_alike(&said.has)
                };
                match acks.iter_mut().find(joins) {
                    Some(several) => several.push(said),
                    None => acks.push(alloc::vec![said]),
                }
            }
            Outgoing::Settle(said) => others.push(said),
            Outgoing::Leave { group, last, waiting, client } => {
                leaves.push((group, last, waiting, client));
            }
            Outgoing::Flush(done) => flushes.push(done),
        }
    }
    let mut commands = Pipeline::new();
    for several in &acks {
        // Under the name for what is new, the server knows the delivery by its owner.
        let each = several[0].has.again || several.iter().any(|said| said.reply.is_some());
        let all = several.iter().map(|said| said.has);
        commands.add_command(several[0].group.call_for(&scripts::ACK, each, all));
    }
    for said in &others {
        commands.add_command(said.command());
    }
    for (group, last, waiting, client) in &leaves {
        // From here on, no read of the member is served.
        commands.cmd("CLIENT").arg("UNBLOCK").arg(*client);
        for (name, last) in [(&group.me, *last), (&group.again, Id::LAST)] {
            let mut leave = scripts::LEAVE.call(&[&*group.keys.stream, &group.due_key]);
            leave.arg(&*group.name).arg(name).arg(format!("{last}"));
            for id in waiting {
                leave.arg(format!("{id}"));
            }
            commands.add_command(leave);
        }
    }
    let answers = match commands.is_empty() {
        true => Ok(Vec::new()),
        false => link.send_all(commands).await,
    };
    let later = match answers {
        Ok(answers) => {
            let mut answers = answers.into_iter();
            for several in acks {
                let answer = answers.next().unwrap_or_default();
                for (at, said) in several.into_iter().enumerate() {
                    let own = array(&answer).get(at).unwrap_or(&answer);
                    said.tell(result(own));
                }
            }
            for said in others {
                said.tell(result(&answers.next().unwrap_or_default()));
            }
            Vec::new()
        }
        Err(failed) => again(link, acks.into_iter().flatten().chain(others), &failed),
    };
    if later.is_empty() {
        for done in flushes {
            let _ = done.send(());
        }
        return later;
    }
    later.into_iter().chain(flushes.into_iter().map(Outgoing::Flush)).collect()
}

/// Keeps what can be told later. Those that wait for an answer learn that there is none.
fn again(link: &Link, said: impl Iterator<Item = Said>, failed: &Failed) -> Vec<Outgoing> {
    let is_over = matches!(link.check(), Err(Reason::Closed));
    let mut later = Vec::new();
    for said in said {
        if is_over || said.reply.is_some() {
            said.tell(Err(SettleError::Failed(failed.again().reason())));
        } else {
            later.push(Outgoing::Settle(said));
        }
    }
    later
}

fn result(answer: &Value) -> Result<(), SettleError> {
    if let Some((_, why)) = error(answer) {
        return Err(SettleError::Failed(refused(why)));
    }
    match int(answer) {
        Some(1) => Ok(()),
        Some(0) => Err(SettleError::Late),
        Some(2) => Err(SettleError::Failed(refused("the stream has removed the event"))),
        _ => Err(SettleError::Failed(disconnected("the answer is not understood"))),
    }
}
