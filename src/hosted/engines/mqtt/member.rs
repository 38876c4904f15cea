//! Durable subscriptions: each is a session of its own, on a connection of its own.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v5::{Packet, Publish};
use tokio::sync::{OwnedMutexGuard, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use super::answer::{Answers, Durable, Ended, Leaves};
use super::connection::{Connection, Membership, Seat, Signal, is_ended};
use super::message;
use super::packets::{Frame, Lost, Wire};
use super::table::Waiting;
use super::target::{Hello, Taken};
use super::topic;
use crate::envelope::compact::mqtt::LONGEST;
use crate::hosted::engines::failed::refused;
use crate::hosted::engines::limits::FOR_EVER;
use crate::hosted::engines::mailbox::{EndOf, Mailbox};
use crate::hosted::engines::troubles::Trouble;
use crate::hosted::{DurableOptions, Gap, GapReason, Reason, Receive};

/// How long a member waits before it takes a session back from another client that has taken it.
const TAKEN_OVER: Duration = Duration::from_secs(5);

/// After how many acknowledgements the engine asks whether the server has read them. Until then it
/// remembers them.
const ASKS_AFTER: usize = 1024;

pub(super) async fn open(
    connection: Arc<Connection>,
    options: DurableOptions,
) -> Result<Box<dyn Receive>, Reason> {
    let membership = connection.join()?;
    let limits = connection.link.up()?.limits;
    if !limits.shares || !limits.confirms {
        return Err(refused("the server has no shared subscriptions that it confirms"));
    }
    let Some((client_id, session)) = connection.session.clone() else {
        return Err(Reason::NotStarted);
    };
    let filters = connection.topics.filters(&options.patterns)?;
    let share = |filter: &String| topic::shared(&options.group, filter);
    let filters: Vec<String> = filters.iter().map(share).collect();
    if !filters.iter().all(|filter| filter.len() <= LONGEST) {
        return Err(refused("the name of the group is too long"));
    }
    let (seat, client_id) = connection.seat(&topic::session(&client_id, &filters));
    let in_flight = u16::try_from(options.in_flight).unwrap_or(u16::MAX);
    let mailbox = Mailbox::new();
    let answers = Arc::new(Answers::new(in_flight.into(), connection.target.timeout));
    let lease = options.lease.min(FOR_EVER);
    // From here on the seat is left, whatever happens.
    let durable = Durable {
        mailbox: mailbox.clone(),
        answers: answers.clone(),
        settle: answers.clone(),
        lease,
        seat: seat.clone(),
    };
    let busy = "the member before it still works on events of this session: settle them first";
    let occupied = seat.sit(connection.target.timeout).await.map_err(|_| refused(busy))?;
    let mut member = Member {
        hello: Hello { client_id, session, in_flight },
        filters,
        options,
        lease,
        seat,
        _leaves: Leaves(answers.clone()),
        answers,
        mailbox,
        signals: connection.signals.subscribe(),
        confirms: Vec::new(),
        unasked: 0,
        trouble: connection.troubles.join(),
        connection: connection.clone(),
        membership: Some(membership),
        _occupied: occupied,
    };
    let wire = member.enter().await?;
    let end = EndOf(member.mailbox.clone());
    connection.runtime.spawn(async move {
        let _end = end;
        member.run(wire).await;
    });
    Ok(Box::new(durable))
}

/// One member of a group.
struct Member {
    connection: Arc<Connection>,
    hello: Hello,
    filters: Vec<String>,
    options: DurableOptions,
    lease: Duration,
    seat: Arc<Seat>,
    answers: Arc<Answers>,
    mailbox: Arc<Mailbox<Waiting>>,
    signals: watch::Receiver<Signal>,
    /// Those that wait for the answer to a ping, and for which.
    confirms: Vec<(u64, oneshot::Sender<()>)>,
    /// How many acknowledgements have left since the last ping for them.
    unasked: usize,
    membership: Option<Membership>,
    /// Why it cannot enter.
    trouble: Arc<Trouble>,
    /// Dropped in this order: no verdict is taken once the next member may have the session.
    _leaves: Leaves,
    _occupied: OwnedMutexGuard<()>,
}

impl Member {
    /// Connects, finds the session or makes it, and subscribes.
    async fn enter(&mut self) -> Result<Wire, Reason> {
        let Taken { mut wire, limits, session } =
            self.connection.target.connect(&self.hello).await?;
        if !limits.keeps_sessions {
            wire.bye().await;
            return Err(refused("the server keeps no sessions"));
        }
        self.answers.table.lock().reconnected(session);
        let is_first = !session && !self.seat.know();
        if !session && !is_first {
            self.tell(Gap::new(None, GapReason::Trimmed));
        }
        // A session has its subscriptions: again, it is no other. What it has comes at once.
        let connection = self.connection.clone();
        let subscribe = connection.target.subscribe(
            &mut wire,
            &self.filters,
            QoS::AtLeastOnce,
            |_, message| self.receive(&message),
        );
        if let Err(refused) = subscribe.await {
            if is_first {
                // It may have some of the filters, and would keep a share that has no member.
                self.seat.forget();
                wire.end_session().await;
            }
            return Err(refused);
        }
        self.seat.know();
        let old = self.confirms.drain(..).map(|(_, told)| told);
        self.answers.table.lock().confirm_again(old);
        Ok(wire)
    }

    async fn run(mut self, mut wire: Wire) {
        let mut pause = Duration::ZERO;
        loop {
            let began = Instant::now();
            let lost = match self.session(&mut wire).await {
                None => return self.leave(wire).await,
                Some(lost) => lost,
            };
            drop(wire);
            if began.elapsed() > Duration::from_secs(1) {
                pause = Duration::ZERO;
            }
            if lost.taken_over {
                pause = pause.max(TAKEN_OVER);
            }
            wire = loop {
                let until = Instant::now() + pause;
                pause = (pause * 2).clamp(Duration::from_millis(20), Duration::from_secs(1));
                while Instant::now() < until {
                    // Leases end, and retries come, without a connection too.
                    self.pour();
                    tokio::select! {
                        () = sleep_until(until.min(self.wake_at())) => {}
                        () = self.answers.wake.notified() => {}
                        _ = self.signals.changed() => {}
                    }
                    if self.is_over() {
                        return; // what it has comes again, in its session
                    }
                }
                match self.enter().await {
                    Ok(wire) => {
                        self.trouble.clear();
                        break wire;
                    }
                    Err(why) => self.trouble.set(&why),
                }
            };
        }
    }

    fn is_over(&mut self) -> bool {
        self.signals.borrow_and_update().closed || self.answers.ended() != Ended::No
    }

    /// When it has to look again, at the latest.
    fn wake_at(&self) -> Instant {
        let tick = (self.lease / 4).clamp(Duration::from_millis(5), Duration::from_secs(1));
        let at = Instant::now() + tick;
        self.answers.table.lock().due().map_or(at, |due| due.min(at))
    }

    /// Passes on until the connection is lost. Returns `None` at the end.
    async fn session(&mut self, wire: &mut Wire) -> Option<Lost> {
        while !self.is_over() {
            self.acknowledge(wire);
            self.pour();
            let wake_at = self.wake_at();
            tokio::select! {
                frame = wire.next() => {
                    let mut frame = frame.map(Some);
                    loop {
                        match frame {
                            Ok(Some(frame)) => self.take(frame),
                            Ok(None) => break,
                            Err(lost) => return Some(lost),
                        }
                        frame = wire.buffered();
                    }
                }
                () = self.answers.wake.notified() => {}
                _ = self.signals.changed() => {}
                () = sleep_until(wake_at) => {}
            }
        }
        None
    }

    fn take(&mut self, frame: Frame) {
        match frame {
            Frame::Packet(Packet::Publish(message)) => self.receive(&message),
            Frame::Pong(answered) => self.heard(answered),
            _ => {}
        }
    }

    /// The server has read what was written before so many pings.
    fn heard(&mut self, answered: u64) {
        self.answers.table.lock().heard(answered);
        for (_, told) in self.confirms.extract_if(.., |(ping, _)| *ping <= answered) {
            let _ = told.send(());
        }
    }

    fn receive(&self, message: &Publish) {
        let (id, again) = (message.pkid, message.dup);
        let is_held = message.qos != QoS::AtMostOnce;
        match message::read(&self.connection.topics, message) {
            Some(Ok(envelope)) if self.options.matches(envelope.subject()) => {
                if !is_held && self.is_full() {
                    // The server holds none of these back.
                    return self.tell(Gap::new(Some(1), GapReason::Overflow));
                }
                let arrived = self.answers.table.lock().arrive(id, again, envelope);
                if let Some(waiting) = arrived {
                    self.mailbox.put(|items| items.push(waiting));
                }
            }
            other => {
                if is_held {
                    self.answers.table.lock().skip(id);
                }
                if let Some(Err(_)) = other {
                    self.tell(Gap::new(Some(1), GapReason::Unreadable));
                }
            }
        }
    }

    fn tell(&self, gap: Gap) {
        self.mailbox.put(|items| items.gap(gap));
    }

    /// Acknowledges what is done, as far as it may.
    fn acknowledge(&mut self, wire: &mut Wire) {
        let mut table = self.answers.table.lock();
        let (ids, confirm) = (table.release(wire.next_ping()), table.take_confirm());
        drop(table);
        self.unasked += ids.len();
        for id in ids {
            wire.acknowledge(id);
        }
        if !confirm.is_empty() || self.unasked >= ASKS_AFTER {
            self.unasked = 0;
            let ping = wire.ping();
            self.confirms.extend(confirm.into_iter().map(|told| (ping, told)));
        }
    }

    /// Passes on what comes again, and what has waited for its turn.
    fn pour(&self) {
        let mut table = self.answers.table.lock();
        let mut pass = table.again(Instant::now());
        pass.extend(core::iter::from_fn(|| table.pass()));
        drop(table);
        for waiting in pass {
            self.mailbox.put(|items| items.push(waiting));
        }
    }

    /// Ends the connection and not the session: what is not acknowledged comes to the next member
    /// that has it. What is in work can be settled until its lease ends.
    async fn leave(mut self, mut wire: Wire) {
        let closed = self.signals.borrow().closed;
        if closed || self.answers.ended() == Ended::Dropped {
            drop(self.mailbox.change(core::mem::take));
            self.mailbox.end();
        }
        let mut flushed = None;
        loop {
            // First: what is settled by now is acknowledged below.
            let works = self.answers.table.lock().has_work(Instant::now());
            self.acknowledge(&mut wire);
            self.pour(); // into nothing: it comes again in its session
            // A subscription that is only closed can still be read.
            let ends = self.answers.ended() == Ended::Dropped || self.signals.borrow().closed;
            if ends && !works && self.confirms.is_empty() || is_ended(&self.signals) {
                break;
            }
            let ping = *flushed.get_or_insert_with(|| wire.ping());
            let wake_at = self.wake_at();
            tokio::select! {
                frame = wire.next() => match frame {
                    Ok(Frame::Pong(answered)) => {
                        self.heard(answered);
                        if ends && answered >= ping {
                            // The end of the engine need not wait for what is in work.
                            self.membership = None;
                        }
                    }
                    Ok(_) => {} // it comes again
                    Err(_) => return,
                },
                () = self.answers.wake.notified() => {}
                changed = self.signals.changed() => if changed.is_err() { break },
                () = sleep_until(wake_at) => {}
            }
        }
        self.answers.table.lock().leave();
        wire.bye().await;
    }

    fn is_full(&self) -> bool {
        self.mailbox.change(|items| items.events >= self.options.in_flight)
    }
}
