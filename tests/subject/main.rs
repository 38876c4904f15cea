//! What a subject bus offers beyond publish and receive: does it do what its pages say, at each number of
//! matches that lies beside a border of a run?
#![cfg(all(feature = "std", not(tickbus_loom)))]

extern crate alloc;

mod group;
mod hold;
mod hooks;
mod request;
mod subscribe;
#[path = "../watch/mod.rs"]
mod watch;

use alloc::sync::Arc;
use std::sync::Mutex;

use tickbus::subject_bus::{DropReason, Observer, Recipient};
use tickbus::{Envelope, Overrun, SubjectBus, Subscription};

/// One run takes 8.
const MATCHES: [usize; 5] = [1, 7, 8, 9, 33];

const POLICIES: [Overrun; 3] = [Overrun::DropNewest, Overrun::DropOldest, Overrun::Block];

fn event(subject: &str) -> Envelope {
    Envelope::unstamped(subject).unwrap()
}

fn numbered(n: usize) -> Envelope {
    event("n").with_source(n.to_string())
}

fn number(envelope: &Envelope) -> usize {
    envelope.source().parse().unwrap()
}

fn drained(subscription: &Subscription) -> Vec<usize> {
    subscription.drain().map(|envelope| number(&envelope)).collect()
}

fn subjects(subscription: &Subscription) -> Vec<String> {
    subscription.drain().map(|envelope| envelope.subject().to_string()).collect()
}

fn publish(bus: &SubjectBus, numbers: impl IntoIterator<Item = usize>) {
    for n in numbers {
        bus.publish(numbered(n)).unwrap();
    }
}

/// What observers see, a line for each call.
#[derive(Default)]
struct Log(Mutex<Vec<String>>);

impl Log {
    fn take(&self) -> Vec<String> {
        core::mem::take(&mut *self.0.lock().unwrap())
    }
    fn write(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }
}

impl Observer for Log {
    fn on_publish(&self, envelope: &Arc<Envelope>) {
        self.write(format!("publish {}", envelope.source()));
    }
    fn on_deliver(&self, envelope: &Arc<Envelope>, to: Recipient<'_>) {
        self.write(format!("deliver {} to {}", envelope.source(), to.name));
    }
    fn on_drop(&self, envelope: &Arc<Envelope>, to: Recipient<'_>, reason: DropReason) {
        self.write(format!("drop {} of {}: {reason}", envelope.source(), to.name));
    }
}

fn observed() -> (Arc<SubjectBus>, Arc<Log>) {
    let log = Arc::new(Log::default());
    (Arc::new(SubjectBus::builder().observer(log.clone()).build()), log)
}
