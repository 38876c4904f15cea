//! The connection by which everything leaves, while it is there.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v5::{Packet, Publish};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::packets::{Frame, Wire};
use super::reason;
use super::target::{Limits, Taken};
use crate::hosted::engines::failed::{Failed, disconnected, refused};
use crate::hosted::{Health, Reason};
use crate::sync::Lock;

/// What became of a message: the number that the server gave as its reason.
pub(super) type Sent = Result<u8, Failed>;

/// A message that is to leave.
pub(super) struct Request {
    pub(super) message: Publish,
    pub(super) reply: oneshot::Sender<Sent>,
    /// Its place among those that the server lets be on their way.
    pub(super) place: Option<OwnedSemaphorePermit>,
}

/// The connection that is there now.
#[derive(Clone)]
pub(super) struct Up {
    pub(super) requests: mpsc::UnboundedSender<Request>,
    pub(super) places: Arc<Semaphore>,
    pub(super) limits: Limits,
}

pub(super) struct Link {
    state: Lock<State>,
}

enum State {
    Up(Up),
    Down(Arc<str>),
    Ended,
}

impl Link {
    pub(super) fn new(up: Up) -> Self {
        Self { state: Lock::new(State::Up(up)) }
    }

    fn set(&self, state: State) {
        let mut own = self.state.lock();
        if let State::Ended = *own {
            return;
        }
        let before = core::mem::replace(&mut *own, state);
        drop(own);
        drop(before);
    }

    pub(super) fn is_up(&self, up: Up) {
        self.set(State::Up(up));
    }

    pub(super) fn is_down(&self, why: &dyn core::fmt::Display) {
        self.set(State::Down(why.to_string().into()));
    }

    pub(super) fn end(&self) {
        self.set(State::Ended);
    }

    pub(super) fn up(&self) -> Result<Up, Reason> {
        match &*self.state.lock() {
            State::Up(up) => Ok(up.clone()),
            State::Down(why) => {
                Err(disconnected(format!("it was lost, and is being made again: {why}")))
            }
            State::Ended => Err(Reason::Closed),
        }
    }

    pub(super) fn health(&self) -> Health {
        match &*self.state.lock() {
            State::Up(_) => Health::Up,
            State::Down(why) => Health::Down(why.clone()),
            State::Ended => Health::Closed,
        }
    }
}

/// Carries messages out on one connection.
pub(super) struct Carrier {
    wire: Wire,
    requests: mpsc::UnboundedReceiver<Request>,
    places: Arc<Semaphore>,
    /// Those on their way, each at the place of its id less 1.
    waiting: Vec<Option<(oneshot::Sender<Sent>, Option<OwnedSemaphorePermit>)>>,
    free: Vec<u16>,
}

impl Carrier {
    pub(super) fn new(taken: Taken) -> (Up, Self) {
        let (requests, receiver) = mpsc::unbounded_channel();
        let places = Arc::new(Semaphore::new(taken.limits.in_flight.into()));
        let up = Up { requests, places: places.clone(), limits: taken.limits };
        let carrier = Self {
            wire: taken.wire,
            requests: receiver,
            places,
            waiting: Vec::new(),
            free: Vec::new(),
        };
        (up, carrier)
    }

    /// Carries until the connection is lost. Returns why.
    pub(super) async fn run(&mut self) -> String {
        loop {
            tokio::select! {
                frame = self.wire.next() => match frame {
                    Ok(frame) => {
                        self.receive(&frame);
                        loop {
                            match self.wire.buffered() {
                                Ok(Some(frame)) => self.receive(&frame),
                                Ok(None) => break,
                                Err(lost) => return lost.why,
                            }
                        }
                    }
                    Err(lost) => return lost.why,
                },
                // Without the engine nothing comes here, and the end is told elsewhere.
                Some(request) = self.requests.recv(), if self.wire.has_room() => {
                    self.send(request);
                    while self.wire.has_room() && let Ok(more) = self.requests.try_recv() {
                        self.send(more);
                    }
                }
            }
        }
    }

    fn receive(&mut self, frame: &Frame) {
        let Frame::Ack(id, code) = *frame else { return };
        let at = usize::from(id).wrapping_sub(1);
        if let Some((reply, place)) = self.waiting.get_mut(at).and_then(Option::take) {
            self.free.push(id);
            let _ = reply.send(Ok(code));
            drop(place);
        }
    }

    fn send(&mut self, request: Request) {
        let Request { mut message, reply, place } = request;
        if message.qos == QoS::AtMostOnce {
            let sent = self.wire.put(&Packet::Publish(message));
            let _ = reply.send(sent.map(|()| 0).map_err(unsound));
            return;
        }
        let id = self.free.pop().or_else(|| {
            self.waiting.push(None);
            u16::try_from(self.waiting.len()).ok()
        });
        // There are no more places than ids.
        let Some(id) = id else {
            let _ = reply.send(Err(Failed::NotSent(Reason::Full)));
            return;
        };
        message.pkid = id;
        match self.wire.put(&Packet::Publish(message)) {
            Ok(()) => self.waiting[usize::from(id) - 1] = Some((reply, place)),
            Err(error) => {
                self.free.push(id);
                let _ = reply.send(Err(unsound(error)));
            }
        }
    }

    /// Tells those that wait.
    pub(super) fn end(mut self, why: &str) {
        self.places.close();
        self.requests.close();
        for (reply, _) in self.waiting.drain(..).flatten() {
            let _ = reply.send(Err(Failed::Unknown(disconnected(why))));
        }
        while let Ok(request) = self.requests.try_recv() {
            let _ = request.reply.send(Err(Failed::NotSent(disconnected(why))));
        }
    }

    /// Says goodbye.
    pub(super) async fn bye(self) {
        self.places.close();
        self.wire.bye().await;
    }
}

fn unsound(error: rumqttc::mqttbytes::Error) -> Failed {
    Failed::NotSent(refused(format!("the client cannot write it: {error}")))
}

/// Returns the reason of a server that did not take a message. `None` if it did.
pub(super) fn refusal(code: u8) -> Option<Reason> {
    (code >= reason::REFUSED).then(|| refused(reason::shown(code)))
}
