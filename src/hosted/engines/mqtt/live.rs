//! Live subscriptions: what a server passes on from now on, in a buffer of our own.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v5::{Packet, Publish};
use tokio::sync::watch;
use tokio::time::sleep;

use super::connection::{Connection, Membership, Signal};
use super::message;
use super::packets::{Frame, Wire};
use crate::envelope::Envelope;
use crate::hosted::engines::buffer::Live;
use crate::hosted::engines::mailbox::{EndOf, Mailbox};
use crate::hosted::engines::troubles::Trouble;
use crate::hosted::{Gap, GapReason, LiveOptions, Reason, Receive};

pub(super) async fn open(
    connection: Arc<Connection>,
    options: LiveOptions,
) -> Result<Box<dyn Receive>, Reason> {
    let membership = connection.join()?;
    let reader = Reader {
        filters: connection.topics.filters(&options.patterns)?,
        signals: connection.signals.subscribe(),
        mailbox: Mailbox::new(),
        trouble: connection.troubles.join(),
        connection: connection.clone(),
        options,
        _membership: membership,
    };
    let wire = reader.enter().await?;
    let mailbox = reader.mailbox.clone();
    let task = connection.runtime.spawn(reader.run(wire)).abort_handle();
    Ok(Box::new(Live { mailbox, task }))
}

struct Reader {
    connection: Arc<Connection>,
    filters: Vec<String>,
    signals: watch::Receiver<Signal>,
    options: LiveOptions,
    mailbox: Arc<Mailbox<Arc<Envelope>>>,
    trouble: Arc<Trouble>,
    _membership: Membership,
}

impl Reader {
    /// When it returns, the server passes on what it takes.
    async fn enter(&self) -> Result<Wire, Reason> {
        let target = &self.connection.target;
        let mut wire = target.connect(&self.connection.guest()).await?.wire;
        let qos = match self.connection.link.up()?.limits.confirms {
            true => self.connection.qos.of_wire(),
            false => QoS::AtMostOnce,
        };
        let receive = |wire: &mut Wire, message| self.receive(wire, &message);
        target.subscribe(&mut wire, &self.filters, qos, receive).await?;
        Ok(wire)
    }

    async fn run(mut self, mut wire: Wire) {
        let _end = EndOf(self.mailbox.clone());
        loop {
            if !self.session(&mut wire).await {
                return wire.bye().await;
            }
            let mut pause = Duration::from_millis(20);
            wire = loop {
                if self.signals.borrow_and_update().closed {
                    return;
                }
                match self.enter().await {
                    Ok(again) => {
                        self.trouble.clear();
                        break again;
                    }
                    Err(why) => self.trouble.set(&why),
                }
                tokio::select! {
                    _ = self.signals.changed() => {}
                    () = sleep(pause) => pause = (pause * 2).min(Duration::from_secs(1)),
                }
            };
        }
    }

    /// Passes on what comes, until the connection is lost. Returns `false` at the end.
    async fn session(&mut self, wire: &mut Wire) -> bool {
        loop {
            if self.signals.borrow_and_update().closed {
                return false;
            }
            tokio::select! {
                _ = self.signals.changed() => {}
                frame = wire.next() => {
                    let mut frame = frame.map(Some);
                    loop {
                        match frame {
                            Ok(Some(Frame::Packet(Packet::Publish(message)))) => {
                                self.receive(wire, &message);
                            }
                            Ok(Some(_)) => {}
                            Ok(None) => break,
                            Err(_) => {
                                self.tell(Gap::new(None, GapReason::Reconnected));
                                return true;
                            }
                        }
                        frame = wire.buffered();
                    }
                }
            }
        }
    }

    fn receive(&self, wire: &mut Wire, message: &Publish) {
        if message.qos != QoS::AtMostOnce {
            wire.acknowledge(message.pkid);
        }
        match message::read(&self.connection.topics, message) {
            Some(Ok(envelope)) if self.options.matches(envelope.subject()) => {
                self.mailbox.put(|items| items.push_or_overrun(envelope, &self.options));
            }
            Some(Err(_)) => self.tell(Gap::new(Some(1), GapReason::Unreadable)),
            _ => {}
        }
    }

    fn tell(&self, gap: Gap) {
        self.mailbox.put(|items| items.gap(gap));
    }
}
