//! Faults of other service buses, and traps of the servers: which test shows that this one does not have them.
//!
//! `kit` is the conformance kit, which each engine runs: the names are those of its behaviours.
//!
//! # Subscriptions and groups
//!
//! - A subscription pattern goes through the rules for publishing, so `*` reaches one engine only: `hosted_router`
//!   `a_subscription_is_on_every_engine_that_can_carry_a_matching_subject`.
//! - A pattern is a literal topic at the server, and never matches: kit `live_patterns_are_those_of_the_matcher`,
//!   `durable_patterns_are_those_of_the_matcher`; kafka `a_pattern_matches_subjects_and_is_no_topic`.
//! - The default group has a random name at each start, begins at the end, and cannot resume. Here a group has
//!   the name that you give it, or there is none: kit `durable_group_continues_where_it_stopped`; `hosted_own_engine`
//!   `a_setting_of_the_other_kind_is_refused`; mqtt `a_session_keeps_what_comes_while_its_member_is_away`;
//!   kafka `a_group_continues_after_a_start_and_each_subscription_is_one_session`; kinesis
//!   `a_group_continues_where_it_stopped_over_engines`.
//! - Each subscription begins another session of the group, and they take events from each other: kit
//!   `durable_group_shares`, `durable_groups_have_all_each`.
//! - Subscriptions with different patterns share one group and one consumer, and acknowledge what is not theirs:
//!   `hosted_memory` `a_group_has_the_patterns_that_it_was_opened_with`; nats and redis
//!   `several_patterns_are_one_group_in_order`; mqtt `members_with_other_patterns_take_nothing_from_each_other`.
//! - The same pattern twice replaces the first subscription: `the_same_pattern_twice_is_two_subscriptions` here.
//! - A new subscription replays the whole log: kit `durable_begins_now_by_default`, `live_begins_now`; postgres
//!   `a_new_subscription_begins_now`.
//! - There is no group, and each instance handles each event: `hosted_broker`
//!   `each_record_is_handled_by_one_broker_of_the_group_and_all_its_handlers_run`; postgres
//!   `one_instance_of_a_group_handles_an_event`.
//!
//! # Acknowledgement
//!
//! - An event is done before its handler has ended, or although it failed:
//!   `an_event_whose_process_ends_in_the_handler_goes_to_another_member` here; `hosted_handle`
//!   `a_failed_event_comes_again_after_the_delays_of_the_policy`,
//!   `an_event_is_acknowledged_only_when_its_dead_letter_is_accepted`; nats
//!   `a_record_of_a_broker_that_is_killed_in_its_handler_is_handled_by_another_one`; kafka
//!   `what_a_handler_has_not_done_is_not_marked_even_if_it_failed`,
//!   `a_position_is_told_only_when_everything_before_it_is_done`; kinesis
//!   `a_position_stays_before_what_is_not_settled`.
//! - A slow handler loses its place in the group: kafka `a_slow_handler_keeps_its_place_in_the_group`.
//! - Some records of a batch fail, and all are sent again or none: kinesis
//!   `only_the_records_that_failed_are_sent_again`, `the_events_of_a_key_never_pass_one_that_failed`.
//! - What a dead member had is never taken back: kit `durable_lease_ends`; redis
//!   `what_is_not_settled_comes_again_and_late_answers_are_refused`; mqtt
//!   `an_event_that_is_not_settled_comes_again_here_and_to_the_next_process`.
//! - What is still in work is taken back: kit `durable_extend_holds`; `hosted_handle`
//!   `a_timeout_longer_than_the_lease_extends_the_lease`; redis and nats `what_waits_to_be_taken_keeps_its_lease`.
//! - The first group that acknowledges an event deletes it for all: redis
//!   `what_one_group_has_acknowledged_is_there_for_another`.
//! - An entry that was removed while it was in work is forgotten: redis
//!   `what_is_removed_while_it_waits_to_come_again_is_a_gap`.
//! - Deliveries without end: kit `durable_attempts_are_bounded`; nats `attempts_are_bounded`; redis
//!   `attempts_are_bounded_and_the_rest_is_a_gap_or_a_dead_letter`.
//! - A full buffer loses an event, and the position moves on without a word: kit `live_tells_of_a_full_buffer`,
//!   `durable_tells_of_what_was_trimmed`; nats and redis `a_full_live_buffer_says_what_it_dropped`; postgres
//!   `a_full_buffer_is_a_gap_when_live_and_no_loss_in_a_group`.
//!
//! # Numbers and records
//!
//! - Numbers are those of the memory engine only: `hosted_router`
//!   `numbers_are_for_each_engine_and_in_total_for_engines_of_users_too`; nats
//!   `handlers_of_a_router_are_counted_for_the_server`.
//! - An engine that fails at its start leaves the others running: `hosted_router`
//!   `a_start_that_fails_leaves_none_running`.
//! - The status goes where no reader looks: `hosted_broker` `a_record_says_what_its_handlers_did`,
//!   `each_status_is_stored_at_its_time`; postgres `two_stores_of_one_table_have_the_same_records`.
//! - An offset past the end returns everything: all stores `pages_by_offset_and_by_cursor`.
//! - A notification is sent, and no listener is there: postgres `a_commit_wakes_the_relay`.
//!
//! # Servers that end and come back
//!
//! - A client buffers while the server is away, and says that it has published: nats
//!   `nothing_is_accepted_that_a_lost_connection_swallowed`.
//! - A publish that failed was stored, and its repeat is another event: nats
//!   `a_publish_is_stored_and_its_repeat_is_a_duplicate`; redis `a_publish_is_accepted_and_its_repeat_is_a_duplicate`.
//! - A client connects again, and its subscriptions are gone: nats, redis and mqtt
//!   `a_live_subscription_goes_on_after_its_server_was_killed`; redis
//!   `after_a_lost_connection_a_stream_goes_on_and_pub_sub_tells_a_gap`.
//! - A server without its sessions loses without a word: mqtt `what_a_killed_server_loses_is_where_the_gap_is`,
//!   `a_session_that_the_server_has_lost_is_a_gap_and_one_that_it_keeps_is_none`.
//! - A consumer stalls after a reconnect: nats `a_silent_connection_is_noticed_and_mended`,
//!   `a_consumer_that_vanishes_is_made_again_where_the_group_was`.
//! - A listening connection is dead after a restart: postgres `a_lost_session_is_made_again_and_listens_again`.
//!
//! # Traps of servers
//!
//! - An old server ignores several filters, and sends everything: nats `several_patterns_are_one_group_in_order`.
//! - A filter at the server is wider than the pattern, or two of them bring an event twice: redis
//!   `live_subscriptions_receive_what_the_core_matcher_says_once`; mqtt
//!   `several_patterns_are_one_session_and_an_event_comes_once`.
//! - `>` brings the internal subjects of the server: nats
//!   `live_subscriptions_receive_what_the_core_matcher_says_and_nothing_of_the_server`.
//! - A subject that the server cannot carry ends the connection, or arrives as another one: mqtt
//!   `what_mqtt_cannot_carry_is_not_sent`; nats `what_nats_cannot_carry_is_not_sent`; redis
//!   `what_redis_cannot_carry_is_not_sent`.
//! - A blocking read holds up all others on its connection: redis `publishes_do_not_wait_for_blocked_reads`,
//!   `each_subscription_has_a_connection_of_the_pool`.
//! - A slow transaction with an early number commits late, and is skipped: postgres
//!   `each_key_is_in_order_however_transactions_overlap_and_engines_fail`, and the log
//!   `a_transaction_that_commits_late_delays_its_own_events_only`.
//! - A cursor on random ids skips events: postgres `an_event_whose_id_is_before_the_last_one_is_not_skipped`.
//! - A notification is lost or too large, and a reader waits for ever: postgres
//!   `a_wake_up_takes_milliseconds_and_a_lost_one_a_poll`.
//! - Shards are split and merged, and events are lost or change their order: kinesis
//!   `nothing_is_lost_and_keys_stay_in_order_when_shards_are_split_and_merged`.
#![cfg(all(feature = "hosted", not(any(miri, tickbus_loom))))]

extern crate alloc;

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use core::time::Duration;
use std::fs;
use std::path::Path;

use tickbus::Envelope;
use tickbus::hosted::{BoxError, Context, Deliveries, MemoryEngine, Router, conformance};
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::timeout;

fn paused<F: Future>(test: F) -> F::Output {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    let test = async { timeout(Duration::from_secs(1000), test).await };
    runtime.block_on(test).expect("the test waits for what never comes")
}

/// A router over two memory engines with logs.
async fn router() -> Router {
    let engine = || MemoryEngine::builder().log(100).build();
    let router = Router::builder().engine("a", engine()).engine("b", engine());
    let router = router.route(["b.>"], "b").build().unwrap();
    router.start().await.unwrap();
    router
}

fn event(subject: &str, id: &str) -> Arc<Envelope> {
    Envelope::new(subject).unwrap().with_id(id).into()
}

async fn next(from: &mut Deliveries) -> String {
    let it = from.next().await.expect("it goes on").expect("no gap");
    let id = it.envelope().id().to_owned();
    it.ack_async().await.ok(); // a live one needs none
    id
}

#[test]
fn the_same_pattern_twice_is_two_subscriptions() {
    paused(async {
        let router = router().await;
        let subscribe = || router.subscribe("*.x").unwrap();
        let mut live = [subscribe().open().await.unwrap(), subscribe().open().await.unwrap()];
        let mut groups = [
            subscribe().group("g").open().await.unwrap(),
            subscribe().group("h").open().await.unwrap(),
        ];
        assert_eq!(router.subscriber_count("*.x"), 4);
        for (subject, id) in [("a.x", "1"), ("b.x", "2")] {
            router.publish(event(subject, id)).await.unwrap();
            for from in live.iter_mut().chain(&mut groups) {
                assert_eq!(next(from).await, id);
            }
        }
        // The end of one is not the end of the other.
        let [gone, mut left] = live;
        drop(gone);
        assert_eq!(router.subscriber_count("*.x"), 3);
        router.publish(event("b.x", "3")).await.unwrap();
        assert_eq!(next(&mut left).await, "3");
    });
}

#[test]
fn an_event_whose_process_ends_in_the_handler_goes_to_another_member() {
    paused(async {
        let router = router().await;
        let (to, mut begun) = unbounded_channel();
        let group = || router.subscribe("b.>").unwrap().group("g").lease(Duration::from_secs(1));
        let hangs = move |it: Context| {
            to.send(it.envelope().id().to_owned()).unwrap();
            core::future::pending::<Result<(), BoxError>>()
        };
        let workers = group().workers(2).handle(hangs).await.unwrap();
        for id in ["1", "2"] {
            router.publish(event("b.x", id)).await.unwrap();
            assert_eq!(begun.recv().await.unwrap(), id);
        }
        assert_eq!(workers.stats().handled, 0, "it is in the handler");
        drop(workers);
        let mut other = group().open().await.unwrap();
        let mut come = [next(&mut other).await, next(&mut other).await];
        come.sort_unstable();
        assert_eq!(come, ["1", "2"]);
    });
}

/// The names of all files and functions in a folder.
fn functions(folder: &Path, into: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            functions(&path, into);
        } else if path.extension().is_some_and(|it| it == "rs") {
            into.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
            let text = fs::read_to_string(path).unwrap();
            let names = text.split("fn ").skip(1).filter_map(|it| it.split('(').next());
            into.extend(names.map(str::to_owned));
        }
    }
}

#[test]
fn each_test_that_is_named_above_is_there() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut known: BTreeSet<String> =
        conformance::behaviours().into_iter().map(str::to_owned).collect();
    functions(&here, &mut known);
    let text = fs::read_to_string(here.join("known_faults.rs")).unwrap();
    let head = text.lines().take_while(|line| line.starts_with("//!"));
    let head: String = head.collect::<Vec<_>>().join("\n");
    let named: Vec<_> = head.split('`').filter(|word| word.matches('_').count() > 1).collect();
    let named: Vec<_> = named.into_iter().filter(|word| !word.contains(' ')).collect();
    assert!(named.len() > 50, "{named:?}");
    let missing: Vec<_> = named.into_iter().filter(|name| !known.contains(*name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
