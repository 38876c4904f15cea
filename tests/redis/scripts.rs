//! What the scripts refuse, whatever the member believes. Here they are called as a member calls them.

use core::time::Duration;
use std::thread;

use redis::Value;

use crate::on;
use crate::server::Server;

const ACK: &str = include_str!("../../src/hosted/engines/redis/scripts/ack.lua");
const LEAVE: &str = include_str!("../../src/hosted/engines/redis/scripts/leave.lua");
const RENEW: &str = include_str!("../../src/hosted/engines/redis/scripts/renew.lua");
const SETTLE: &str = include_str!("../../src/hosted/engines/redis/scripts/settle.lua");

const LONG: &str = "60000";

/// Makes a group whose member `me` has some entries, each delivered once.
fn delivered(server: &Server, entries: &[&str]) {
    server.say(&["XGROUP", "CREATE", "game", "g", "0", "MKSTREAM"]);
    for entry in entries {
        server.say(&["XADD", "game", entry, "v", "1"]);
    }
    server.say(&["XREADGROUP", "GROUP", "g", "me", "STREAMS", "game", ">"]);
}

/// Calls `ack` or `renew`.
fn tell(server: &Server, script: &str, lease: &str, entry: &str, count: &str) -> i64 {
    let call = ["EVAL", script, "1", "game", "g", "me", lease, count, "1", entry, entry, entry];
    match server.say(&call) {
        Value::Array(said) if let [Value::Int(said)] = said[..] => said,
        other => panic!("{other:?}"),
    }
}

/// Calls `settle`. `rest` is whether it was extended, the verdict, and what that has.
fn settle(server: &Server, lease: &str, entry: &str, count: &str, rest: &[&str]) -> Value {
    let call = ["EVAL", SETTLE, "3", "game", "due", "dead", "g", "me", lease, entry, count];
    server.say(&[&call[..], rest].concat())
}

#[test]
fn an_answer_after_the_lease_is_refused_also_if_no_other_member_has_it() {
    on(&[], async |server| {
        delivered(&server, &["1-1", "1-2"]);
        thread::sleep(Duration::from_millis(50));
        for script in [ACK, RENEW] {
            assert_eq!(tell(&server, script, "20", "1-1", "1"), 0);
        }
        for verdict in [&["0", "ack"][..], &["0", "retry", "0"], &["0", "extend", LONG]] {
            assert_eq!(settle(&server, "20", "1-1", "1", verdict), Value::Int(0));
        }
        // It is still there, and within a longer lease all of them hold.
        assert_eq!(tell(&server, RENEW, LONG, "1-1", "1"), 1);
        assert_eq!(tell(&server, ACK, LONG, "1-1", "1"), 1);
        assert_eq!(settle(&server, LONG, "1-2", "1", &["0", "ack"]), Value::Int(1));
    });
}

#[test]
fn an_answer_to_another_delivery_of_the_same_entry_is_refused() {
    on(&[], async |server| {
        delivered(&server, &["1-1"]);
        server.say(&["XCLAIM", "game", "g", "me", "0", "1-1"]); // the second delivery
        for script in [ACK, RENEW] {
            assert_eq!(tell(&server, script, LONG, "1-1", "1"), 0);
        }
        for verdict in [&["0", "ack"][..], &["0", "retry", "0"], &["0", "extend", LONG]] {
            assert_eq!(settle(&server, LONG, "1-1", "1", verdict), Value::Int(0));
        }
        assert_eq!(settle(&server, LONG, "1-1", "2", &["0", "ack"]), Value::Int(1));
        assert_eq!(settle(&server, LONG, "1-1", "2", &["0", "ack"]), Value::Int(0), "once");
    });
}

#[test]
fn an_answer_after_an_extension_is_refused_and_one_within_it_holds() {
    on(&[], async |server| {
        delivered(&server, &["1-1", "1-2"]);
        assert_eq!(settle(&server, LONG, "1-1", "1", &["0", "extend", "20"]), Value::Int(1));
        assert_eq!(settle(&server, LONG, "1-2", "1", &["0", "extend", LONG]), Value::Int(1));
        thread::sleep(Duration::from_millis(50));
        assert_eq!(settle(&server, LONG, "1-1", "1", &["1", "ack"]), Value::Int(0));
        // The lease of the member does not count any more.
        assert_eq!(settle(&server, "20", "1-2", "1", &["1", "ack"]), Value::Int(1));
        assert_eq!(server.say(&["ZCARD", "due"]), Value::Int(1), "the other one comes again");
    });
}

/// The ten entries `1-0` to `1-9`.
const TEN: [&str; 10] = ["1-0", "1-1", "1-2", "1-3", "1-4", "1-5", "1-6", "1-7", "1-8", "1-9"];

/// Calls `ack` without a confirmation. Returns how many are pending then.
fn ack_all(server: &Server, me: &str, lease: &str, entries: &[&str]) -> i64 {
    let (first, last) = (entries[0], entries[entries.len() - 1]);
    let call = ["EVAL", ACK, "1", "game", "g", me, lease, "1", "0", first, last];
    server.say(&[&call[..], entries].concat());
    match server.say(&["XPENDING", "game", "g"]) {
        Value::Array(pending) if let Value::Int(pending) = pending[0] => pending,
        other => panic!("{other:?}"),
    }
}

/// Says who has which entry.
fn owners(server: &Server) -> String {
    let said = server.cli(&["XPENDING", "game", "g", "-", "+", "100"]);
    let lines: Vec<&str> = said.lines().collect();
    let owners: Vec<String> = lines.chunks(4).map(|it| format!("{} {}", it[0], it[1])).collect();
    owners.join(", ")
}

#[test]
fn many_answers_at_once_are_taken_if_all_are_in_time() {
    on(&[], async |server| {
        delivered(&server, &TEN);
        server.say(&["XADD", "game", "2-0", "v", "1"]);
        server.say(&["XREADGROUP", "GROUP", "g", "other", "STREAMS", "game", ">"]);
        assert_eq!(ack_all(&server, "me", LONG, &TEN[..7]), 4, "what it has not answered stays");
        assert_eq!(ack_all(&server, "me", LONG, &TEN), 1, "the other one's");
    });
}

#[test]
fn of_many_answers_at_once_those_that_come_too_late_are_refused() {
    on(&[], async |server| {
        delivered(&server, &TEN);
        server.say(&["XCLAIM", "game", "g", "other", "0", "1-3"]);
        server.say(&["XCLAIM", "game", "g", "again", "0", "1-9", "JUSTID"]);
        assert_eq!(ack_all(&server, "me", LONG, &TEN), 2, "those of the others");
        assert_eq!(owners(&server), "1-3 other, 1-9 again");
        // Of its own name for what comes again.
        assert_eq!(ack_all(&server, "again", LONG, &TEN), 1);
        assert_eq!(owners(&server), "1-3 other");
    });
    on(&[], async |server| {
        delivered(&server, &TEN);
        thread::sleep(Duration::from_millis(50));
        server.say(&["XCLAIM", "game", "g", "me", "0", "1-2", "1-4", "JUSTID"]);
        assert_eq!(ack_all(&server, "me", "40", &TEN), 8, "all but the two that were renewed");
    });
}

/// A read that was on its way when the member left.
#[test]
fn what_a_member_has_never_seen_is_given_back_when_it_leaves() {
    on(&[], async |server| {
        delivered(&server, &["1-1", "1-2", "1-3"]);
        // It has begun 1-1, has not begun 1-2, and 1-2 was the last one that it saw.
        let call = ["EVAL", LEAVE, "2", "game", "due", "g", "me", "1-2", "1-2"];
        assert_eq!(server.say(&call), Value::Int(2));
        let due = ["ZRANGE", "due", "0", "-1"];
        let both = ["1-2", "1-3"].map(|it| Value::BulkString(it.into()));
        assert_eq!(server.say(&due), Value::Array(both.into()));
        // What it works on stays its own.
        assert_eq!(tell(&server, ACK, LONG, "1-1", "1"), 1);
        assert_eq!(tell(&server, ACK, LONG, "1-3", "1"), 0);
    });
}

#[test]
fn a_member_may_have_more_in_flight_than_a_script_looks_at_once() {
    on(&[], async |server| {
        let fill = "redis.call('XGROUP', 'CREATE', 'game', 'g', '0', 'MKSTREAM') \
                    for i = 1, 100001 do redis.call('XADD', 'game', i .. '-1', 'v', '1') end \
                    return #redis.call('XREADGROUP', 'GROUP', 'g', 'me', 'COUNT', 200000, \
                    'STREAMS', 'game', '>')[1][2]";
        assert_eq!(server.say(&["EVAL", fill, "1", "game"]), Value::Int(100_001));
        let (first, last) = ("1-1", "100001-1");
        let call = ["1", "game", "g", "me", "60000", "1", "1", first, last, first, last];
        let both = Value::Array(vec![Value::Int(1), Value::Int(1)]);
        for script in [RENEW, ACK] {
            assert_eq!(server.say(&[&["EVAL", script][..], &call].concat()), both);
        }
        // All but the last one that was left are given back.
        let call = ["EVAL", LEAVE, "2", "game", "due", "g", "me", "0-0"];
        assert_eq!(server.say(&call), Value::Int(99_999));
    });
}
