//! What a handler is told beside its event (rows 000.12, 000.13).
#![cfg(all(feature = "std", not(tickbus_loom)))]

use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use core::time::Duration;
use std::time::Instant;

use tickbus::bus::{Flow, Message};
use tickbus::context::Context;
use tickbus::envelope::TraceParent;
use tickbus::wait::{Cancel, Wait};
use tickbus::{Budget, Bus, Dispatch};

#[test]
fn a_context_without_a_limit_is_never_over() {
    let context = Context::new();
    assert!(!context.is_over() && !context.is_cancelled());
    assert_eq!((context.deadline(), context.trace()), (None, None));
}

#[test]
fn a_deadline_ends_it_and_is_told() {
    let soon = Instant::now() + Duration::from_millis(20);
    let context = Context::new().within(Wait::forever().deadline(soon));
    assert_eq!(context.deadline(), Some(soon));
    while !context.is_over() {
        assert!(Instant::now() < soon + Duration::from_secs(60));
    }
    assert!(Instant::now() >= soon && !context.is_cancelled());
    assert!(Context::new().within(Wait::never()).is_over(), "there is no time at all");
}

#[test]
fn a_cancellation_a_function_and_a_trace_reach_the_copy_of_a_context() {
    let (cancel, flag) = (Cancel::new(), AtomicBool::new(false));
    let is_over = || flag.load(Relaxed);
    let trace = TraceParent::new(7, 9);
    let context = Context::new().within(Wait::forever().until(&cancel)).with_trace(trace);
    let narrower = context.until(&is_over);
    flag.store(true, Relaxed);
    assert!(narrower.is_over() && !narrower.is_cancelled() && !context.is_over());
    cancel.cancel();
    assert!(context.is_over() && context.is_cancelled() && narrower.is_cancelled());
    assert_eq!(narrower.trace(), trace);
}

tickbus::events! {
    enum Order {
        #[subject = "order.buy"] Buy(u8),
    }
}

/// A message is neither an error nor an end of the row, in a table that has no hook for it.
#[test]
fn a_handler_of_a_dispatch_may_answer_with_a_message() {
    fn buy(sum: &mut u8, Order::Buy(price): &Order) -> Result<Message<&'static str>, Flow> {
        *sum += price;
        if *price > 9 { Err(Flow::Stop) } else { Ok(Message("bought")) }
    }
    let table: Dispatch<Order, u8, { Order::KINDS }, _> =
        Dispatch::new().on("order.buy", buy).on("order.*", buy);
    let mut bus: Bus<Order, 2> = Bus::new();
    bus.publish_mut(Order::Buy(1)).ok();
    bus.publish_mut(Order::Buy(10)).ok();
    let mut sum = 0;
    let report = table.tick(&mut sum, &mut bus, Budget::unlimited());
    assert_eq!((sum, report.handled, report.failed), (22, 2, 1));
}
