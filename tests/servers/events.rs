//! What the tests of each engine publish, and how they wait for what comes. The crate says how long: `SOON`
//! and `WHILE`.

use alloc::sync::Arc;
use core::time::Duration;

use tickbus::Envelope;
use tickbus::hosted::{Deliveries, Delivery, Gap};
use tokio::time::timeout;

use crate::{SOON, WHILE};

pub(crate) fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(test)
}

pub(crate) fn envelope(subject: &str) -> Arc<Envelope> {
    Envelope::new(subject).unwrap().into()
}

pub(crate) fn number(subject: &str, number: u32) -> Arc<Envelope> {
    Envelope::json(subject, &number).unwrap().into()
}

pub(crate) async fn next(from: &mut Deliveries) -> Result<Delivery, Gap> {
    timeout(SOON, from.next()).await.expect("a delivery comes").expect("and not the end")
}

pub(crate) async fn delivery(from: &mut Deliveries) -> Delivery {
    next(from).await.expect("a delivery, not a gap")
}

pub(crate) async fn nothing(from: &mut Deliveries) {
    if let Ok(come) = timeout(WHILE, from.next()).await {
        panic!("{come:?}");
    }
}

pub(crate) fn subject(delivery: &Delivery) -> &str {
    delivery.envelope().subject().as_str()
}

pub(crate) fn value(delivery: &Delivery) -> u32 {
    delivery.envelope().decode().unwrap().expect("a number")
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(SOON, wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}
