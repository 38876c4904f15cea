//! Live subscriptions by pub/sub: what a server passes on from now on, in a buffer of our own.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::poll_fn;
use core::time::Duration;

use futures_core::Stream;
use redis::Msg;
use redis::aio::{PubSubSink, PubSubStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::connection::{Connection, Membership, Signal};
use super::glob::Glob;
use super::publish::OF_THE_SERVER;
use super::reply::no_entry;
use crate::envelope::Envelope;
use crate::hosted::engines::buffer::Live;
use crate::hosted::engines::mailbox::{EndOf, Mailbox};
use crate::hosted::engines::troubles::Trouble;
use crate::hosted::wire;
use crate::hosted::{Gap, GapReason, LiveOptions, Reason, Receive};
use crate::subject::Subject;

pub(super) async fn open(
    connection: Arc<Connection>,
    options: LiveOptions,
) -> Result<Box<dyn Receive>, Reason> {
    connection.check()?;
    let globs = options.patterns.iter().map(|it| Glob::new(&connection.prefix, it.as_str()));
    let mut reader = Reader {
        globs: globs.collect(),
        signals: connection.signals.subscribe(),
        mailbox: Mailbox::new(),
        trouble: connection.troubles.join(),
        _membership: connection.join()?,
        connection: connection.clone(),
        options,
    };
    let subscribed = reader.subscribe().await?;
    let mailbox = reader.mailbox.clone();
    let task = connection.runtime.spawn(reader.run(subscribed)).abort_handle();
    Ok(Box::new(Live { mailbox, task }))
}

struct Reader {
    connection: Arc<Connection>,
    options: LiveOptions,
    globs: Vec<Glob>,
    signals: watch::Receiver<Signal>,
    mailbox: Arc<Mailbox<Arc<Envelope>>>,
    trouble: Arc<Trouble>,
    _membership: Membership,
}

type Subscribed = (PubSubSink, PubSubStream);

impl Reader {
    /// When it returns, the server passes on what it takes.
    async fn subscribe(&mut self) -> Result<Subscribed, Reason> {
        let (mut sink, stream) = self.connection.target.pub_sub().await?.split();
        let (plain, wild): (Vec<&Glob>, Vec<&Glob>) =
            self.globs.iter().partition(|glob| glob.is_plain());
        let subscribe = async {
            if !plain.is_empty() {
                let channels: Vec<&str> = plain.iter().map(|glob| glob.text()).collect();
                sink.subscribe(channels).await?;
            }
            if !wild.is_empty() {
                let patterns: Vec<&str> = wild.iter().map(|glob| glob.text()).collect();
                sink.psubscribe(patterns).await?;
            }
            Ok(())
        };
        match timeout(self.connection.timeout, subscribe).await {
            Ok(Ok(())) => Ok((sink, stream)),
            Ok(Err(error)) => Err(no_entry(&error)),
            Err(_) => Err(Reason::TimedOut),
        }
    }

    async fn run(mut self, mut subscribed: Subscribed) {
        let _end = EndOf(self.mailbox.clone());
        loop {
            if !self.session(&mut subscribed).await {
                return;
            }
            let mut pause = Duration::from_millis(20);
            loop {
                if self.signals.borrow_and_update().closed {
                    return;
                }
                match self.subscribe().await {
                    Ok(again) => {
                        self.trouble.clear();
                        subscribed = again;
                        break;
                    }
                    Err(why) => self.trouble.set(&why),
                }
                tokio::select! {
                    _ = self.signals.changed() => {}
                    () = sleep(pause) => pause = (pause * 2).min(Duration::from_secs(1)),
                }
            }
            self.tell(Gap::new(None, GapReason::Reconnected));
        }
    }

    /// Passes on what comes, until the connection is lost. Returns `false` at the end.
    async fn session(&mut self, (sink, stream): &mut Subscribed) -> bool {
        let (heartbeat, patience) = (self.connection.heartbeat, self.connection.timeout);
        loop {
            if self.signals.borrow_and_update().closed {
                return false;
            }
            tokio::select! {
                biased;
                _ = self.signals.changed() => {}
                next = poll_fn(|context| Pin::new(&mut *stream).poll_next(context)) => {
                    let Some(message) = next else { return true };
                    self.pass(&message);
                }
                () = sleep(heartbeat) => {
                    // The first sign of a connection that is silently dead.
                    let ping = timeout(patience, sink.ping::<redis::Value>());
                    if !matches!(ping.await, Ok(Ok(_))) {
                        return true;
                    }
                }
            }
        }
    }

    fn pass(&self, message: &Msg) {
        let Ok(channel) = message.get_channel::<String>() else { return };
        let channel = &*channel;
        // A message comes once for each of our patterns. The first one counts.
        let pattern: Option<String> = message.get_pattern().unwrap_or_default();
        let is_first = |glob: &&Glob| glob.matches(channel);
        let first = self.globs.iter().find(is_first);
        let own = pattern.as_deref().unwrap_or(channel);
        if first.is_none_or(|glob| glob.text() != own || glob.is_plain() == pattern.is_some()) {
            return;
        }
        let Some(text) = channel.strip_prefix(&*self.connection.prefix) else { return };
        let Ok(subject) = Subject::new(text) else { return };
        if channel.starts_with(OF_THE_SERVER) || !self.options.matches(subject) {
            return;
        }
        // Another program's message has no position.
        let position = || alloc::format!("{}", uuid::Uuid::now_v7());
        match wire::from_json(text, message.get_payload_bytes(), position) {
            Ok(envelope) if envelope.subject() == subject => {
                let envelope: Arc<Envelope> = envelope.into();
                self.mailbox.put(|items| items.push_or_overrun(envelope, &self.options));
            }
            // It is an envelope, and came where it does not belong.
            _ => self.tell(Gap::new(Some(1), GapReason::Unreadable)),
        }
    }

    fn tell(&self, gap: Gap) {
        self.mailbox.put(|items| items.gap(gap));
    }
}
