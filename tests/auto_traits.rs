//! What may go to another thread, and be seen from it, for events that are `Send` and no more. What
//! may not is in `tests/ui`.
#![cfg(not(tickbus_loom))]

extern crate alloc;

use alloc::rc::Rc;
use core::cell::Cell;

use tickbus::{
    Awaited, AwaitedConsumer, AwaitedDrain, Budget, Bus, Consumer, Dispatch, Drain, DrainMut,
    DropNewest, DropOldest, Flow, Full, InvalidPattern, InvalidSubject, Lane, NextEvent, Overrun,
    Pattern, Producer, PublishWait, Ready, Reject, Report, Stats, Subject, TooManyWaiters, Until,
    WaitUntil, Waiters,
};

/// An event that may be sent and not shared.
type Event = Cell<u8>;

fn send<T: Send>() {}
fn send_and_sync<T: Send + Sync>() {}

fn with<P: Overrun + 'static>() {
    send_and_sync::<Bus<Event, 2, P>>();
    send_and_sync::<&'static Bus<Event, 2, P>>();
    send_and_sync::<Consumer<'static, Event, P>>();
    send_and_sync::<Drain<'static, 'static, Event, P>>();
    send_and_sync::<DrainMut<'static, Event, 2, P>>();
    send_and_sync::<Until<Drain<'static, 'static, Event, P>, fn() -> bool>>();
    send_and_sync::<Until<DrainMut<'static, Event, 2, P>, fn() -> bool>>();
    send_and_sync::<Awaited<Bus<Event, 2, P>, 1>>();
    send_and_sync::<AwaitedConsumer<'static, Event, P>>();
    send_and_sync::<AwaitedDrain<'static, 'static, Event, P>>();
    send_and_sync::<NextEvent<'static, 'static, Event, P>>();
    send_and_sync::<Ready<'static, 'static, Event, P>>();
    send::<PublishWait<'static, Event, 2, P>>();
    send_and_sync::<PublishWait<'static, u8, 2, P>>();
}

#[test]
fn what_holds_events_goes_where_they_go() {
    with::<Reject>();
    with::<DropOldest>();
    with::<DropNewest>();
    send_and_sync::<Lane<Event, 2>>();
    send_and_sync::<&'static Lane<Event, 2>>();
}

/// It may be sent; whether it may be shared as well is the event's business.
#[test]
fn a_producer_moves() {
    send::<Producer<'static, Event>>();
    send_and_sync::<Producer<'static, u8>>();
}

#[test]
fn what_is_given_back_goes_where_its_event_goes() {
    send::<Full<Event>>();
    send_and_sync::<Full<u8>>();
}

/// A table holds functions only: neither the events nor what the handlers work on.
#[test]
fn a_table_is_shared_whatever_it_handles() {
    send_and_sync::<Dispatch<Rc<u8>, Rc<u8>, 1>>();
    send_and_sync::<Dispatch<Rc<u8>, Rc<u8>, 1, Result<(), Rc<u8>>, 4>>();
}

#[test]
fn numbers_and_words_are_shared() {
    send_and_sync::<Budget>();
    send_and_sync::<Report>();
    send_and_sync::<Stats>();
    send_and_sync::<TooManyWaiters>();
    send_and_sync::<Waiters<1>>();
    send_and_sync::<WaitUntil<'static, fn() -> Option<u8>>>();
    send_and_sync::<Reject>();
    send_and_sync::<DropOldest>();
    send_and_sync::<DropNewest>();
    send_and_sync::<Flow>();
    send_and_sync::<InvalidPattern>();
    send_and_sync::<InvalidSubject>();
    send_and_sync::<Pattern<'static>>();
    send_and_sync::<Subject<'static>>();
}

/// The deadline decides: a clock of one thread keeps its budget there.
#[test]
fn a_budget_goes_where_its_deadline_goes() {
    fn of<F: FnMut() -> bool + Send>(_: &Budget<F>)
    where
        Budget<F>: Send,
    {
    }
    let asked = Cell::new(0);
    of(&Budget::events(1).until(move || asked.replace(1) == 1));
}
