//! The connection by which everything leaves, while it is there.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::BytesMut;
use rumqttc::mqttbytes::v5::{Packet, Publish};
use tokio::sync::{Mutex, Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};

use super::packets::{Frame, Wire};
use super::reason;
use super::target::{Limits, Taken};
use crate::hosted::engines::failed::{Failed, disconnected, refused};
use crate::hosted::{Health, Reason};
use crate::sync::Lock;

/// How many bytes of messages without a confirmation may wait to be carried.
const OUTBOX: usize = 64 << 10;

/// What became of a message: the number that the server gave as its reason.
pub(super) type Sent = Result<u8, Failed>;

/// A message that is to leave, and that the server confirms.
pub(super) struct Request {
    pub(super) message: Publish,
    pub(super) reply: oneshot::Sender<Sent>,
    /// Its place among those that the server lets be on their way.
    pub(super) place: OwnedSemaphorePermit,
}

/// The connection that is there now.
#[derive(Clone)]
pub(super) struct Up {
    pub(super) requests: mpsc::UnboundedSender<Request>,
    pub(super) outbox: Arc<Outbox>,
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

    pub(super) fn is_down(&self, why: &str) {
        self.set(State::Down(why.into()));
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

/// Messages that the server does not confirm, as they leave.
pub(super) struct Outbox {
    /// `None` when the connection has ended.
    bytes: Lock<Option<BytesMut>>,
    /// Wakes the carrier.
    filled: Notify,
    /// Held by the publish that puts, or waits for room.
    turn: Mutex<()>,
    /// Wakes the one that waits for room.
    emptied: Notify,
}

impl Outbox {
    fn new() -> Self {
        let bytes = Lock::new(Some(BytesMut::with_capacity(OUTBOX)));
        Self { bytes, filled: Notify::new(), turn: Mutex::new(()), emptied: Notify::new() }
    }

    /// Puts a message in as soon as there is room, and after those that came before.
    pub(super) async fn put(&self, message: &Publish, deadline: Instant) -> Result<(), Failed> {
        // A turn that is given up goes to the first that waits. It is never free before that.
        let _turn = match self.turn.try_lock() {
            Ok(turn) => turn,
            Err(_) => match timeout_at(deadline, self.turn.lock()).await {
                Ok(turn) => turn,
                Err(_) => return Err(Failed::NotSent(Reason::TimedOut)),
            },
        };
        loop {
            let emptied = self.emptied.notified(); // before it looks
            if self.try_put(message)? {
                return Ok(());
            }
            if timeout_at(deadline, emptied).await.is_err() {
                return Err(Failed::NotSent(Reason::TimedOut));
            }
        }
    }

    /// Puts a message in. Returns whether there was room.
    fn try_put(&self, message: &Publish) -> Result<bool, Failed> {
        let mut bytes = self.bytes.lock();
        let Some(own) = &mut *bytes else {
            return Err(Failed::NotSent(disconnected("it was lost")));
        };
        let before = own.len();
        if before >= OUTBOX {
            return Ok(false);
        }
        if let Err(error) = message.write(own) {
            own.truncate(before);
            return Err(unsound(error));
        }
        drop(bytes);
        if before == 0 {
            self.filled.notify_one();
        }
        Ok(true)
    }

    /// Moves what is there to a wire.
    fn empty(&self, wire: &mut Wire) {
        if let Some(bytes) = &mut *self.bytes.lock() {
            wire.append(bytes);
        }
        self.emptied.notify_waiters();
    }

    /// Takes nothing in any more. Returns what is there.
    fn end(&self) -> BytesMut {
        let left = self.bytes.lock().take();
        self.emptied.notify_waiters();
        left.unwrap_or_default()
    }
}

/// Ends an outbox from which nothing is carried any more.
struct Closes(Arc<Outbox>);

impl Drop for Closes {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Carries messages out on one connection.
pub(super) struct Carrier {
    wire: Wire,
    requests: mpsc::UnboundedReceiver<Request>,
    /// The runtime may drop it at any time.
    outbox: Closes,
    places: Arc<Semaphore>,
    /// Those on their way, each at the place of its id less 1.
    waiting: Vec<Option<(oneshot::Sender<Sent>, OwnedSemaphorePermit)>>,
    free: Vec<u16>,
}

impl Carrier {
    pub(super) fn new(taken: Taken) -> (Up, Self) {
        let (requests, receiver) = mpsc::unbounded_channel();
        let places = Arc::new(Semaphore::new(taken.limits.in_flight.into()));
        let outbox = Arc::new(Outbox::new());
        let (own, limits) = (outbox.clone(), taken.limits);
        let up = Up { requests, outbox, places: places.clone(), limits };
        let carrier = Self {
            wire: taken.wire,
            requests: receiver,
            outbox: Closes(own),
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
                () = self.outbox.0.filled.notified(), if self.wire.has_room() => {
                    self.outbox.0.empty(&mut self.wire);
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

    /// Reports the end to publishers that wait.
    pub(super) fn end(mut self, why: &str) {
        self.places.close();
        self.outbox.0.end();
        self.requests.close();
        for (reply, _) in self.waiting.drain(..).flatten() {
            let _ = reply.send(Err(Failed::Unknown(disconnected(why))));
        }
        while let Ok(request) = self.requests.try_recv() {
            let _ = request.reply.send(Err(Failed::NotSent(disconnected(why))));
        }
    }

    /// Says goodbye. Drops `carried` when everything has left.
    pub(super) async fn bye(mut self, carried: watch::Sender<()>) {
        self.places.close();
        self.wire.append(&mut self.outbox.0.end());
        self.wire.bye_after(|| drop(carried)).await;
    }
}

fn unsound(error: rumqttc::mqttbytes::Error) -> Failed {
    Failed::NotSent(refused(format!("the client cannot write it: {error}")))
}

/// Returns the reason of a server that did not take a message. `None` if it did.
pub(super) fn refusal(code: u8) -> Option<Reason> {
    (code >= reason::REFUSED).then(|| refused(reason::shown(code)))
}

#[cfg(test)]
mod tests {
    use alloc::boxed::Box;
    use core::pin::pin;
    use core::task::{Context, Waker};
    use core::time::Duration;

    use rumqttc::mqttbytes::QoS;
    use rumqttc::mqttbytes::v5::Publish;
    use tokio::time::Instant;

    use super::{Failed, OUTBOX, Outbox, Wire};
    use crate::hosted::Reason;

    #[test]
    fn publishes_that_wait_for_room_keep_their_order() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        runtime.unwrap().block_on(async {
            let patience = Duration::from_secs(10);
            let soon = Instant::now() + patience;
            let mut wire = Wire::new(Box::new(tokio::io::duplex(1).0), patience, patience);
            let outbox = Outbox::new();
            let large = Publish::new("a", QoS::AtMostOnce, alloc::vec![0; OUTBOX], None);
            let mut context = Context::from_waker(Waker::noop());
            outbox.put(&large, soon).await.unwrap();
            let mut first = pin!(outbox.put(&large, soon));
            assert!(first.as_mut().poll(&mut context).is_pending());
            outbox.empty(&mut wire);
            let mut second = pin!(outbox.put(&large, soon));
            assert!(second.as_mut().poll(&mut context).is_pending(), "it waits for the first");
            let late = outbox.put(&large, Instant::now()).await;
            assert!(matches!(late, Err(Failed::NotSent(Reason::TimedOut))));
            assert!(first.as_mut().poll(&mut context).is_ready());
            assert!(second.as_mut().poll(&mut context).is_pending(), "it waits for room");
            let mut third = pin!(outbox.put(&large, soon));
            assert!(third.as_mut().poll(&mut context).is_pending());
            outbox.end();
            for ended in [second.await, third.await] {
                assert!(matches!(ended, Err(Failed::NotSent(Reason::Disconnected(_)))));
            }
        });
    }
}
