//! Live subscriptions: what a server passes on from now on, in a buffer of our own.

use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::sync::Arc;
use tokio::sync::watch;

use super::connection::{Connection, Signal, next};
use super::publish::{is_reserved, read};
use crate::envelope::Envelope;
use crate::hosted::engines::buffer::Live;
use crate::hosted::engines::failed::disconnected;
use crate::hosted::engines::filter::cover;
use crate::hosted::engines::mailbox::{EndOf, Mailbox};
use crate::hosted::{Gap, GapReason, LiveOptions, Reason, Receive};
use crate::subject::Subject;

pub(super) async fn open(
    connection: Arc<Connection>,
    options: LiveOptions,
) -> Result<Box<dyn Receive>, Reason> {
    connection.check()?;
    let subscriber = connection.client.subscribe(cover(&options.patterns)).await;
    let subscriber = subscriber.map_err(disconnected)?;
    let connects = connection.connects();
    // From here on the server passes on what it takes.
    connection.confirm().await?;
    let mailbox = Mailbox::new();
    let reader = Reader {
        subscriber,
        signals: connection.signals.subscribe(),
        connects,
        slow: connection.signals.borrow().slow,
        connection: connection.clone(),
        options,
        mailbox: mailbox.clone(),
    };
    let task = connection.runtime.spawn(reader.run()).abort_handle();
    Ok(Box::new(Live { mailbox, task }))
}

struct Reader {
    subscriber: async_nats::Subscriber,
    connection: Arc<Connection>,
    signals: watch::Receiver<Signal>,
    /// How often the client had connected, as far as the subscription knows.
    connects: u64,
    slow: u64,
    options: LiveOptions,
    mailbox: Arc<Mailbox<Arc<Envelope>>>,
}

impl Reader {
    async fn run(mut self) {
        let _end = EndOf(self.mailbox.clone());
        loop {
            let next = tokio::select! {
                biased;
                changed = self.signals.changed() => {
                    if changed.is_err() || self.signals.borrow_and_update().closed {
                        return;
                    }
                    self.gaps();
                    continue;
                }
                next = next(&mut self.subscriber) => next,
            };
            let Some(message) = next else { return };
            self.gaps();
            let Ok(subject) = Subject::new(&message.subject) else { continue };
            if message.status.is_some()
                || is_reserved(subject.as_str())
                || !self.options.matches(subject)
            {
                continue;
            }
            // Another program's message has no position in core NATS.
            match read(&message, || uuid::Uuid::now_v7().to_string()) {
                Ok(envelope) => {
                    self.mailbox.put(|items| items.push_or_overrun(envelope, &self.options));
                }
                Err(_) => self.gap(Gap::new(Some(1), GapReason::Unreadable)),
            }
        }
    }

    fn gap(&self, gap: Gap) {
        self.mailbox.put(|items| items.gap(gap));
    }

    /// Tells what was lost since the last look.
    fn gaps(&mut self) {
        let connects = self.connection.connects();
        if core::mem::replace(&mut self.connects, connects) != connects {
            self.gap(Gap::new(None, GapReason::Reconnected));
        }
        let slow = self.signals.borrow().slow;
        if core::mem::replace(&mut self.slow, slow) != slow {
            self.gap(Gap::new(None, GapReason::Overflow));
        }
    }
}
