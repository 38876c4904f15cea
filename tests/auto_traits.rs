//! What may go to another thread, and be seen from it, for events that are `Send` and no more. What
//! may not is in `tests/ui`.
#![cfg(not(tickbus_loom))]

extern crate alloc;

use alloc::rc::Rc;
use core::cell::Cell;

use tickbus::bus::{Flow, NextAsync, Policy, Queue, ReadyAsync, Until};
use tickbus::defer::Deferred;
use tickbus::error::{InvalidPattern, InvalidSubject, TooManySubscribers, TooManyWaiters};
use tickbus::hold::Held;
use tickbus::request::{AnswerError, Answers, InvalidRequest, RequestError, RequestId, Requests};
use tickbus::timer::{Fired, MissedTickBehavior, ScheduleError, TimerId};
use tickbus::topic::{
    Changed, Gating, History, Last, Many, Selective, SubscriberStats, TopicStats, Unread,
};
use tickbus::wait::{NoWaiters, PublishAsync, WaitError, WaitUntil, Waits};
use tickbus::{
    Budget, Bus, Consumer, Dispatch, Drain, DropNewest, DropOldest, Feed, Full, GatedTopic, Hold,
    Lagged, Lane, Latest, Pattern, Publisher, Reject, Report, Single, Stats, Subject, Subscriber,
    Timers, Topic, Waiters, Watcher,
};

/// An event that may be sent and not shared.
type Event = Cell<u8>;

fn send<T: Send>() {}
fn send_and_sync<T: Send + Sync>() {}

fn with<P: Policy + 'static>() {
    send_and_sync::<Bus<Event, 2, P>>();
    send_and_sync::<&'static Bus<Event, 2, P>>();
    send_and_sync::<Consumer<'static, Event, P>>();
    send_and_sync::<Drain<'static, Consumer<'static, Event, P>>>();
    send_and_sync::<Drain<'static, Bus<Event, 2, P>>>();
    send_and_sync::<Until<Drain<'static, Consumer<'static, Event, P>>, fn() -> bool>>();
    send_and_sync::<Until<Drain<'static, Bus<Event, 2, P>>, fn() -> bool>>();
    send_and_sync::<Bus<Event, 2, P, Waiters<1>>>();
    send_and_sync::<Consumer<'static, Event, P, Waiters<1>>>();
    send_and_sync::<Drain<'static, Consumer<'static, Event, P, Waiters<1>>>>();
    send_and_sync::<NextAsync<'static, 'static, Event, P, 1>>();
    send_and_sync::<ReadyAsync<'static, 'static, Event, P, 1>>();
    send::<PublishAsync<'static, Event, &'static Bus<Event, 2, P, Waiters<1>>>>();
    send_and_sync::<PublishAsync<'static, u8, &'static Bus<u8, 2, P, Waiters<1>>>>();
}

/// Whatever the queue, known or not, and whatever the events.
fn unpinned<E: 'static, P: Queue + 'static, W: Waits>() {
    fn unpinned<T: Unpin>() {}
    unpinned::<Consumer<'static, E, P, W>>();
    unpinned::<Drain<'static, Consumer<'static, E, P, W>>>();
    unpinned::<NextAsync<'static, 'static, E, P, 1>>();
    unpinned::<ReadyAsync<'static, 'static, E, P, 1>>();
}

/// Known or not whether it can be waited for.
fn sent_and_shared<P: Queue + 'static, W: Waits>() {
    send_and_sync::<Consumer<'static, Event, P, W>>();
    send_and_sync::<Publisher<'static, u8, W>>();
    send_and_sync::<Subscriber<'static, u8, Many, W>>();
    send_and_sync::<History<'static, u8>>();
    send_and_sync::<Last<'static, u8, Single>>();
    send_and_sync::<Watcher<'static, u8, W>>();
}

#[test]
fn what_reads_is_never_pinned() {
    unpinned::<core::marker::PhantomPinned, Reject, NoWaiters>();
    unpinned::<core::marker::PhantomPinned, Single, Waiters<1>>();
}

#[test]
fn what_holds_events_goes_where_they_go() {
    with::<Reject>();
    with::<DropOldest>();
    with::<DropNewest>();
    sent_and_shared::<Reject, NoWaiters>();
    sent_and_shared::<Single, Waiters<1>>();
    send_and_sync::<Lane<Event, 2>>();
    send_and_sync::<&'static Lane<Event, 2>>();
}

#[test]
fn a_hold_is_shared_and_its_reader_too() {
    send_and_sync::<Hold<&'static Bus<Event, 2>, 2>>();
}

/// What one owner keeps may be sent; whether it may be shared is the event's business.
#[test]
fn what_keeps_events_for_one_owner_moves() {
    send::<Timers<Event, 2>>();
    send::<Deferred<Event, 2>>();
    send::<Requests<u8, Event, 2, 2>>();
    send::<Answers<u8, Event, 2>>();
    send::<RequestError<u8, Event, 2>>();
    send::<AnswerError<Event>>();
    send::<ScheduleError<Event>>();
    send_and_sync::<Timers<u8, 2>>();
    send_and_sync::<Deferred<u8, 2>>();
    send_and_sync::<Requests<u8, u8, 2, 2>>();
    send_and_sync::<(TimerId, Fired, MissedTickBehavior, RequestId, InvalidRequest, Held)>();
}

/// It may be sent; whether it may be shared as well is the event's business.
#[test]
fn a_producer_moves() {
    send::<Publisher<'static, Event>>();
    send_and_sync::<Publisher<'static, u8>>();
    send_and_sync::<Lane<Event, 2, Waiters<1>>>();
    send::<Publisher<'static, Event, Waiters<1>>>();
    send_and_sync::<Publisher<'static, u8, Waiters<1>>>();
    send::<PublishAsync<'static, Event, &'static mut Publisher<'static, Event, Waiters<1>>>>();
}

#[test]
fn what_is_given_back_goes_where_its_event_goes() {
    send::<Full<Event>>();
    send_and_sync::<Full<u8>>();
}

/// Topics hand out copies, so what they carry need not be shared either.
#[test]
fn topics_go_where_their_events_go() {
    /// May be sent and copied, and not shared.
    #[derive(Clone, Copy)]
    struct Sent(#[expect(dead_code, reason = "for its type")] *const u8);
    // SAFETY: no code follows the pointer.
    unsafe impl Send for Sent {}

    send_and_sync::<Topic<Sent, 2>>();
    send_and_sync::<GatedTopic<Sent, 2, 1>>();
    send_and_sync::<Latest<Sent>>();
    send_and_sync::<Feed<Sent, 2>>();
    send::<Publisher<'static, Sent>>();
    send_and_sync::<Publisher<'static, u8>>();
    send_and_sync::<(Many, Single)>();
    send_and_sync::<Subscriber<'static, Sent, Single>>();
    send_and_sync::<Unread<'static, 'static, Sent, Single>>();
    send_and_sync::<Subscriber<'static, Sent>>();
    send_and_sync::<Unread<'static, 'static, Sent>>();
    send_and_sync::<Selective<'static, Sent>>();
    send_and_sync::<Watcher<'static, Sent>>();
    send::<Changed<Sent>>();
}

/// What may be sent can be waited for by tasks that move between threads, shared or not.
#[test]
fn what_waits_goes_where_its_events_go() {
    #[derive(Clone, Copy)]
    struct Sent(#[expect(dead_code, reason = "for its type")] *const u8);
    // SAFETY: no code follows the pointer.
    unsafe impl Send for Sent {}
    fn is_sent(_: impl Send) {}
    let event = || Sent(core::ptr::null());

    let bus: Bus<Sent, 2, Reject, Waiters<2>> = Bus::default();
    is_sent(bus.publish_async(event()));
    let mut events = bus.consumer().unwrap();
    is_sent(events.ready_async());
    is_sent(events.next_async());
    let lane: Lane<Sent, 2, Waiters<2>> = Lane::default();
    is_sent(lane.publisher().unwrap().publish_async(event()));

    let gated: GatedTopic<Sent, 2, 1, Waiters<1>> = GatedTopic::default();
    is_sent(gated.publish_async(event()));
    is_sent(gated.subscribe().unwrap().next_async());
    let feed: Feed<Sent, 2, Waiters<1>> = Feed::default();
    is_sent(feed.subscribe().next_async());
    is_sent(feed.subscribe().ready_async());
    is_sent(feed.subscribe().selective().next_async());
    is_sent(gated.subscribe().unwrap().selective().ready_async());
    let latest: Latest<Sent, Waiters<1>> = Latest::default();
    is_sent(latest.watch().changed_async());
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
    send_and_sync::<SubscriberStats>();
    send_and_sync::<TopicStats>();
    send_and_sync::<Gating>();
    send_and_sync::<Lagged>();
    send_and_sync::<TooManySubscribers>();
    send_and_sync::<TooManyWaiters>();
    send_and_sync::<Topic<u8, 2, Waiters<1>>>();
    send_and_sync::<Feed<u8, 2, Waiters<1>>>();
    send_and_sync::<WaitError>();
    send_and_sync::<GatedTopic<u8, 2, 1, Waiters<1>>>();
    send_and_sync::<Latest<u8, Waiters<1>>>();
    send_and_sync::<Subscriber<'static, u8, Many, Waiters<1>>>();
    send_and_sync::<Watcher<'static, u8, Waiters<1>>>();
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
