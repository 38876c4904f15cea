use alloc::boxed::Box;
use alloc::format;
use alloc::string::ToString;

use super::{Arc, Duration, Envelope, Instant, Ledger, Next, Taken, Vec, Verdict};

const LEASE: Duration = Duration::from_secs(10);
const SECOND: Duration = Duration::from_secs(1);

fn event(id: u32, key: &str) -> Arc<Envelope> {
    Envelope::new("game.hit").unwrap().with_id(id.to_string()).with_key(key).into()
}

/// A ledger with one shard, and the events 1, 2, … of these keys.
fn ledger(keys: &[&str]) -> (Ledger, Instant) {
    let now = Instant::now();
    let mut ledger = Ledger::new(10, LEASE, None);
    ledger.add(1, now + LEASE * 10);
    for (at, key) in keys.iter().enumerate() {
        let at = u32::try_from(at).unwrap() + 1;
        ledger.log(1).unwrap().push(at.to_string().into(), None, event(at, key));
    }
    (ledger, now)
}

fn take(ledger: &mut Ledger, now: Instant) -> Taken {
    match ledger.next(now) {
        Next::Event(taken) => taken,
        Next::Gap(gap) => panic!("{gap}"),
        Next::Wait(_) => panic!("nothing"),
    }
}

fn done(ledger: &mut Ledger) -> Option<&str> {
    ledger.log(1).unwrap().done().map(|done| &**done)
}

#[test]
fn a_position_moves_only_when_everything_before_it_is_done() {
    let (mut ledger, now) = ledger(&["", "", ""]);
    let [one, two, three] = [0; 3].map(|_| take(&mut ledger, now).token);
    assert!(ledger.settle(two, &Verdict::Ack, now));
    assert_eq!(done(&mut ledger), None);
    assert!(ledger.settle(one, &Verdict::Ack, now));
    assert_eq!(done(&mut ledger), Some("2"));
    ledger.log(1).unwrap().skip("9".into());
    assert_eq!(done(&mut ledger), Some("2"), "what is not for the group is behind 3");
    assert!(ledger.settle(three, &Verdict::Reject("no".into()), now));
    assert_eq!(done(&mut ledger), Some("9"));
    ledger.log(1).unwrap().skip("10".into());
    assert_eq!(done(&mut ledger), Some("10"));
    assert!(ledger.log(1).unwrap().is_done());
}

#[test]
fn a_retry_holds_its_key_and_no_other() {
    let (mut ledger, now) = ledger(&["a", "a", "b", "", "a"]);
    let first = take(&mut ledger, now);
    assert!(ledger.settle(first.token, &Verdict::RetryAfter(SECOND), now));
    assert_eq!(&*ledger.id(now), "3");
    assert_eq!(&*ledger.id(now), "4");
    assert_eq!(&*ledger.id(now), "");
    assert_eq!(ledger.wakes(now), Some(now + SECOND));
    let later = now + SECOND;
    let again = take(&mut ledger, later);
    assert_eq!((again.envelope.id(), again.attempt), ("1", 2));
    // They are with one member, as before.
    assert_eq!(&*ledger.id(later), "2");
    assert_eq!(&*ledger.id(later), "5");
}

#[test]
fn a_lease_that_ended_comes_again_and_its_verdict_is_late() {
    let (mut ledger, now) = ledger(&["a"]);
    let first = take(&mut ledger, now);
    assert!(ledger.settle(first.token, &Verdict::Extend(LEASE * 2), now));
    assert_eq!(&*ledger.id(now + LEASE), "", "it was extended");
    let later = now + LEASE * 2;
    let again = take(&mut ledger, later);
    assert_eq!(again.attempt, 2);
    assert!(!ledger.settle(first.token, &Verdict::Ack, later));
    assert!(ledger.settle(again.token, &Verdict::Ack, later));
    assert!(!ledger.settle(again.token, &Verdict::Ack, later), "once");
}

#[test]
fn no_more_are_in_work_than_may_be() {
    let (mut ledger, now) = ledger(&["", "", ""]);
    ledger.in_flight = 2;
    let first = take(&mut ledger, now);
    assert_eq!(&*ledger.id(now), "2");
    assert_eq!(&*ledger.id(now), "");
    assert!(!ledger.has_ready(now));
    assert!(ledger.settle(first.token, &Verdict::Ack, now));
    assert!(ledger.has_ready(now));
    assert_eq!(&*ledger.id(now), "3");
}

#[test]
fn attempts_that_are_spent_are_a_gap() {
    let (mut ledger, now) = ledger(&["", ""]);
    ledger.max_attempts = Some(2);
    for _ in 0..2 {
        let taken = take(&mut ledger, now);
        assert_eq!(taken.envelope.id(), "1");
        assert!(ledger.settle(taken.token, &Verdict::RetryAfter(Duration::ZERO), now));
    }
    assert_eq!(&*ledger.id(now), "gap");
    assert_eq!(done(&mut ledger), Some("1"));
    assert_eq!(&*ledger.id(now), "2");
}

#[test]
fn a_shard_that_was_lost_or_whose_lease_ended_takes_no_verdict() {
    let (mut ledger, now) = ledger(&["", ""]);
    let first = take(&mut ledger, now);
    ledger.log(1).unwrap().renewed(now + SECOND);
    assert!(!ledger.settle(first.token, &Verdict::Ack, now + SECOND));
    assert_eq!(&*ledger.id(now + SECOND), "", "and gives out nothing");
    ledger.log(1).unwrap().renewed(now + LEASE);
    assert!(ledger.settle(first.token, &Verdict::Ack, now));
    let second = take(&mut ledger, now);
    ledger.remove(1);
    assert!(!ledger.settle(second.token, &Verdict::Ack, now));
    assert_eq!((ledger.held.len(), ledger.leases.len(), ledger.pending()), (0, 0, 0));
}

#[test]
fn a_shard_that_is_given_back_waits_for_what_is_in_work() {
    let (mut ledger, now) = ledger(&["", ""]);
    let first = take(&mut ledger, now);
    let log = ledger.log(1).unwrap();
    log.drain();
    assert!(!log.is_idle());
    assert_eq!(&*ledger.id(now), "");
    assert!(ledger.settle(first.token, &Verdict::Ack, now));
    assert!(ledger.log(1).unwrap().is_idle());
    assert_eq!(done(&mut ledger), Some("1"));
}

#[test]
fn shards_take_turns() {
    let (mut ledger, now) = ledger(&["", "", ""]);
    ledger.add(2, now + LEASE);
    for id in 11..14 {
        ledger.log(2).unwrap().push(format!("{id}").into(), None, event(id, ""));
    }
    let taken: Vec<_> = (0..4).map(|_| ledger.id(now)).collect();
    assert_eq!(taken, ["1".into(), "11".into(), "2".into(), Box::<str>::from("12")]);
}
