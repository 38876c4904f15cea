//! Servers that fail, refuse, are slow, or are away.

use core::time::Duration;
use std::sync::Mutex;
use std::time::Instant;

use alloc::sync::Arc;
use serde_json::{Value, json};
use tickbus::Envelope;
use tickbus::envelope::Timestamp;
use tickbus::hosted::engines::Kinesis;
use tickbus::hosted::engines::kinesis::{MemoryLeases, Provision};
use tickbus::hosted::{Engine, Gap, GapReason, Health, Reason, StartAt};
use tokio::time::timeout;

use crate::server::Server;
use crate::servers::Proxy;
use crate::stub::{Answer, SUMMARY, Stub};
use crate::{
    SOON, delivery, envelope, next, nothing, number, on, publish, run, settings, started, subject,
    until, up, value,
};

const TOO_MUCH: &str = "ProvisionedThroughputExceededException";

/// The envelopes of one request, by their payloads.
fn sent(request: &Value) -> Vec<u32> {
    let records = request["Records"].as_array().unwrap();
    let number = |record: &Value| {
        let text = unbased(record["Data"].as_str().unwrap());
        let envelope = Envelope::from_json(&text).unwrap();
        envelope.decode().unwrap().expect("a number")
    };
    records.iter().map(number).collect()
}

fn unbased(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

/// A stub whose answer to the nth request of several records fails these of them, by their payloads.
fn failing(fails: Vec<Vec<(u32, &'static str)>>) -> Stub {
    let fails = Mutex::new(fails.into_iter());
    Stub::new(None, move |operation, request| match operation {
        "DescribeStreamSummary" => Answer::With(200, SUMMARY.into()),
        "PutRecords" => {
            let fails = fails.lock().unwrap().next().unwrap_or_default();
            let result = |number: &u32| match fails.iter().find(|(it, _)| it == number) {
                Some((_, code)) => json!({ "ErrorCode": code, "ErrorMessage": "not now" }),
                None => json!({ "SequenceNumber": "49", "ShardId": "shardId-000000000000" }),
            };
            let records: Vec<_> = sent(request).iter().map(result).collect();
            let answer = json!({ "FailedRecordCount": fails.len(), "Records": records });
            Answer::With(200, answer.to_string())
        }
        _ => Answer::error(400, "AccessDeniedException", operation),
    })
}

async fn on_stub(stub: &Stub) -> Kinesis {
    up(settings(stub.url()).timeout(Duration::from_millis(1500))).await
}

fn events(keys: &[&str]) -> Vec<Arc<Envelope>> {
    let event = |(at, key): (usize, &&str)| {
        Arc::new(number("game.shot", u32::try_from(at).unwrap()).with_key(*key))
    };
    keys.iter().enumerate().map(event).collect()
}

#[test]
fn only_the_records_that_failed_are_sent_again() {
    let stub = failing(vec![vec![(1, TOO_MUCH), (3, "InternalFailure")], vec![(3, TOO_MUCH)]]);
    run(async {
        let results = on_stub(&stub).await.publish_batch(events(&[""; 5])).await;
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        let requests: Vec<_> = stub.requests("PutRecords").iter().map(sent).collect();
        assert_eq!(requests, [vec![0, 1, 2, 3, 4], vec![1, 3], vec![3]]);
    });
}

#[test]
fn the_events_of_a_key_never_pass_one_that_failed() {
    let stub = failing(vec![vec![(0, TOO_MUCH)]]);
    run(async {
        let results = on_stub(&stub).await.publish_batch(events(&["a", "a", "b", "", "a"])).await;
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        let requests: Vec<_> = stub.requests("PutRecords").iter().map(sent).collect();
        assert_eq!(requests, [vec![0, 2, 3], vec![0], vec![1], vec![4]]);
    });
    // One that fails for good takes those behind it with it: sent again together, they are in order.
    let stub = failing(vec![vec![(0, TOO_MUCH), (2, "InternalFailure")]; 100]);
    run(async {
        let results = on_stub(&stub).await.publish_batch(events(&["a", "a", "b", "", "a"])).await;
        let is_unknown = |at: usize| results[at].as_ref().unwrap_err().is_unknown();
        assert_eq!([0, 1, 2, 4].map(is_unknown), [false, false, true, false]);
        assert!(results[3].is_ok());
        let why = results[4].as_ref().unwrap_err().to_string();
        assert!(why.contains("the limit of throughput is reached"), "{why}");
        assert!(stub.requests("PutRecords").iter().all(|it| !sent(it).contains(&4)));
    });
}

/// The first attempt may have stored it, whatever the later ones say.
#[test]
fn a_record_that_one_attempt_may_have_stored_stays_unknown() {
    let mut fails = vec![vec![(0, TOO_MUCH), (1, TOO_MUCH)]; 100];
    fails[0] = vec![(0, "InternalFailure"), (1, TOO_MUCH)];
    let stub = failing(fails);
    run(async {
        let results = on_stub(&stub).await.publish_batch(events(&[""; 2])).await;
        let is_unknown = |at: usize| results[at].as_ref().unwrap_err().is_unknown();
        assert_eq!([0, 1].map(is_unknown), [true, false]);
    });
}

/// An event is in work for longer than the stream keeps it: what came behind it may be gone for the next member.
#[test]
fn a_position_behind_which_something_is_in_work_grows_old() {
    use base64::Engine as _;
    let old = Timestamp::now().unix_nanos() / 1_000_000_000 - 30 * 3600;
    let event = number("game.shot", 7).to_json();
    let event = base64::engine::general_purpose::STANDARD.encode(event);
    let stub = Stub::new(None, move |operation, request| {
        let answer = match operation {
            "DescribeStreamSummary" => return Answer::With(200, SUMMARY.into()),
            "ListShards" => json!({ "Shards": [{
                "ShardId": "shardId-000000000000",
                "HashKeyRange": { "StartingHashKey": "0", "EndingHashKey": "9" },
                "SequenceNumberRange": { "StartingSequenceNumber": "1" },
            }] }),
            "GetShardIterator" => json!({ "ShardIterator": "first" }),
            "GetRecords" => {
                let records = match request["ShardIterator"].as_str() {
                    Some("first") => json!([{
                        "SequenceNumber": "49",
                        "ApproximateArrivalTimestamp": i64::try_from(old).unwrap(),
                        "Data": event,
                        "PartitionKey": "k",
                    }]),
                    _ => json!([]),
                };
                json!({ "Records": records, "NextShardIterator": "next", "MillisBehindLatest": 0 })
            }
            _ => return Answer::error(400, "AccessDeniedException", operation),
        };
        Answer::With(200, answer.to_string())
    });
    run(async {
        let kinesis = up(settings(stub.url()).lease_store(MemoryLeases::new())).await;
        let open = || {
            let group = kinesis.subscribe(">").unwrap().group("all").lease(Duration::from_secs(1));
            group.start_at(StartAt::Earliest).open()
        };
        let mut first = open().await.unwrap();
        let works = delivery(&mut first).await;
        let reads = || stub.requests("GetRecords").len();
        let before = reads();
        until("it reads on", || reads() > before + 3).await;
        drop((works, first));
        let mut second = open().await.unwrap();
        assert_eq!(next(&mut second).await.unwrap_err(), Gap::new(None, GapReason::Trimmed));
        assert_eq!(value(&delivery(&mut second).await), 7);
    });
}

#[test]
fn a_batch_keeps_the_limits_of_a_request() {
    let stub = failing(Vec::new());
    run(async {
        let kinesis = on_stub(&stub).await;
        let results = kinesis.publish_batch(events(&[""; 1201])).await;
        assert!(results.iter().all(Result::is_ok));
        let counts: Vec<_> = stub.requests("PutRecords").iter().map(|it| sent(it).len()).collect();
        assert_eq!(counts, [500, 500, 201]);
    });
    let stub = Stub::new(None, |operation, request| match operation {
        "DescribeStreamSummary" => Answer::With(200, SUMMARY.into()),
        _ => {
            let records = request["Records"].as_array().unwrap();
            let result = json!({ "SequenceNumber": "49", "ShardId": "shardId-000000000000" });
            Answer::With(200, json!({ "Records": vec![result; records.len()] }).to_string())
        }
    });
    run(async {
        let kinesis = up(settings(stub.url()).timeout(SOON)).await;
        let large = |_| Arc::new(Envelope::new("game.map").unwrap().with_bytes(vec![7; 700_000]));
        let results = kinesis.publish_batch((0..8).map(large).collect()).await;
        assert!(results.iter().all(Result::is_ok));
        let requests = stub.requests("PutRecords");
        let bytes = |request: &Value| -> usize {
            let records = request["Records"].as_array().unwrap().iter();
            records.map(|it| unbased(it["Data"].as_str().unwrap()).len()).sum()
        };
        assert!(requests.iter().all(|it| bytes(it) <= 5 << 20), "{:?}", requests.len());
        assert_eq!(requests.len(), 2);
    });
}

#[test]
fn a_limit_of_throughput_is_waited_out_and_then_told() {
    let put = |busy: usize| {
        let count = Mutex::new(0);
        Stub::new(None, move |operation, _| {
            if operation != "PutRecord" {
                return Answer::With(200, SUMMARY.into());
            }
            *count.lock().unwrap() += 1;
            if *count.lock().unwrap() <= busy {
                return Answer::error(400, TOO_MUCH, "Rate exceeded for shard 0");
            }
            Answer::With(200, r#"{"SequenceNumber":"49","ShardId":"shardId-0"}"#.into())
        })
    };
    let stub = put(2);
    run(async { publish(&on_stub(&stub).await, "game.1").await });
    assert_eq!(stub.requests("PutRecord").len(), 3);
    let stub = put(1000);
    run(async {
        let kinesis = on_stub(&stub).await;
        let began = Instant::now();
        let error = kinesis.publish(envelope("game.1")).await.unwrap_err();
        assert!(!error.is_unknown(), "{error}");
        let text = error.to_string();
        assert!(text.contains("the limit of throughput is reached: "), "{text}");
        assert!(text.contains("Rate exceeded for shard 0"), "{text}");
        assert!(began.elapsed() < SOON);
        assert_eq!(kinesis.health(), Health::Up, "it answers");
    });
    assert!((2..10).contains(&stub.requests("PutRecord").len()));
}

#[test]
fn an_answer_that_says_nothing_certain_is_unknown() {
    let answers = [
        (500, "InternalFailure", true),
        (503, "ServiceUnavailable", true),
        (400, "AccessDeniedException", false),
        (400, "KMSDisabledException", false),
    ];
    for (status, code, unknown) in answers {
        let stub = Stub::new(None, move |operation, _| match operation {
            "DescribeStreamSummary" => Answer::With(200, SUMMARY.into()),
            _ => Answer::error(status, code, "so it is"),
        });
        run(async {
            let kinesis = on_stub(&stub).await;
            let error = kinesis.publish(envelope("game.1")).await.unwrap_err();
            assert_eq!(error.is_unknown(), unknown, "{error}");
            assert!(error.to_string().contains(code), "{error}");
            let results = kinesis.publish_batch(events(&["a", "b"])).await;
            assert!(results.iter().all(|it| it.as_ref().unwrap_err().is_unknown() == unknown));
            assert_eq!(stub.requests("PutRecord").len(), 1, "it is not sent again by itself");
        });
    }
    let stub = Stub::new(None, |operation, _| match operation {
        "DescribeStreamSummary" => Answer::With(200, SUMMARY.into()),
        _ => Answer::Nothing,
    });
    run(async {
        let kinesis = on_stub(&stub).await;
        let error = kinesis.publish(envelope("game.1")).await.unwrap_err();
        assert!(error.is_unknown() && matches!(error.reason(), Reason::TimedOut), "{error}");
    });
}

#[test]
fn a_refused_login_says_why_and_shows_no_secret() {
    let stub = Stub::new(None, |_, _| {
        let message = "The security token included in the request is invalid.\nThe Canonical \
                       String was x-amz-security-token:wordofsession";
        Answer::error(400, "UnrecognizedClientException", message)
    });
    run(async {
        let kinesis = settings(stub.url()).session_token("wordofsession");
        let error = kinesis.start().await.unwrap_err();
        assert!(matches!(error.reason, Reason::Refused(_)), "{error}");
        let shown = format!("{error} {error:?} {kinesis:?} {}", kinesis.health());
        assert!(shown.contains("The security token included in the request is invalid"), "{shown}");
        assert!(!shown.contains("wordof"), "{shown}");
    });
}

/// Answers some reads with an error, and passes everything else on.
fn disturbed(server: &Server, code: &'static str, status: u16, every: usize) -> Stub {
    let count = Mutex::new(0_usize);
    Stub::new(Some(server.port()), move |operation, _| {
        if operation != "GetRecords" {
            return Answer::Server;
        }
        let mut count = count.lock().unwrap();
        *count += 1;
        if count.is_multiple_of(every) {
            Answer::error(status, code, "not now")
        } else {
            Answer::Server
        }
    })
}

#[test]
fn a_read_that_fails_is_read_again_and_nothing_is_missing() {
    on(async |server| {
        server.client().create(1).await;
        for (round, (code, status)) in
            [("ExpiredIteratorException", 400), (TOO_MUCH, 400), ("InternalFailure", 500)]
                .into_iter()
                .enumerate()
        {
            let stub = disturbed(&server, code, status, 2);
            let kinesis = settings(stub.url()).lease_store(MemoryLeases::new());
            let kinesis = up(kinesis).await;
            let group = kinesis.subscribe("game.>").unwrap().group(format!("g{round}"));
            let mut group = group.in_flight(3).open().await.unwrap();
            let mut live = kinesis.subscribe("game.>").unwrap().open().await.unwrap();
            // Iterators of a shard from which nothing has come expire too.
            tokio::time::sleep(Duration::from_millis(300)).await;
            let to = up(settings(server.url())).await;
            for it in 0..10 {
                to.publish(number("game.shot", it).into()).await.unwrap();
            }
            for it in 0..10 {
                let next = delivery(&mut group).await;
                assert_eq!(value(&next), it, "{code}");
                next.ack();
            }
            nothing(&mut group).await;
            for it in 0..10 {
                assert_eq!(value(&delivery(&mut live).await), it, "{code}");
            }
        }
    });
}

#[test]
fn a_server_that_is_away_is_noticed_and_found_again() {
    let Some(mut server) = Server::start() else { return };
    run(async {
        let kinesis = started(server.url()).await;
        let mut group = kinesis.subscribe("game.>").unwrap().group("all").open().await.unwrap();
        let mut live = kinesis.subscribe("game.>").unwrap().open().await.unwrap();
        publish(&kinesis, "game.1").await;
        delivery(&mut group).await.ack_async().await.unwrap();
        drop(delivery(&mut live).await);
        server.kill();
        until("it is noticed", || kinesis.health() != Health::Up).await;
        let error = kinesis.publish(envelope("game.2")).await.unwrap_err();
        assert!(!error.is_unknown(), "there was no connection: {error}");
        assert!(matches!(error.reason(), Reason::Disconnected(_)), "{error}");
        let results = kinesis.publish_batch(vec![envelope("game.2"), envelope("game.2")]).await;
        assert!(results.iter().all(|it| it.as_ref().is_err_and(|error| !error.is_unknown())));
        server.run();
        until("it is up", || kinesis.health() == Health::Up).await;
        publish(&kinesis, "game.3").await;
        for from in [&mut group, &mut live] {
            let next = delivery(from).await;
            assert_eq!(subject(&next), "game.3");
            next.ack();
        }
    });
}

#[test]
fn a_silent_connection_leaves_an_unknown_outcome_and_a_working_engine() {
    on(async |server| {
        let proxy = Proxy::to(server.port());
        let url = format!("http://127.0.0.1:{}", proxy.port());
        let leases = MemoryLeases::new();
        let kinesis = settings(url).timeout(Duration::from_millis(500)).lease_store(leases);
        let kinesis = up(kinesis).await;
        let group = kinesis.subscribe("game.>").unwrap().group("all");
        let mut group = group.open().await.unwrap();
        publish(&kinesis, "game.1").await;
        delivery(&mut group).await.ack_async().await.unwrap();
        proxy.hold(true);
        let error = kinesis.publish(envelope("game.2")).await.unwrap_err();
        assert!(error.is_unknown() && matches!(error.reason(), Reason::TimedOut), "{error}");
        until("it is noticed", || kinesis.health() != Health::Up).await;
        proxy.cut();
        proxy.hold(false);
        until("it is mended", || kinesis.health() == Health::Up).await;
        let again = error.into_envelope();
        kinesis.publish(again.clone()).await.unwrap();
        let next = delivery(&mut group).await;
        assert_eq!(next.envelope().id(), again.id());
        next.ack();
    });
}

#[test]
fn a_missing_stream_is_said_and_made_if_the_settings_say_so() {
    on(async |server| {
        for start in [Provision::Check, Provision::default()] {
            let error = settings(server.url()).provision(start).start().await.unwrap_err();
            let text = error.to_string();
            assert!(text.contains("the stream `game` does not exist"), "{text}");
        }
        let never = settings(server.url()).provision(Provision::Never);
        let never = up(never.lease_store(MemoryLeases::new())).await;
        let error = never.publish(envelope("game.1")).await.unwrap_err();
        assert!(!error.is_unknown() && error.to_string().contains("does not exist"), "{error}");
        let results = never.publish_batch(vec![envelope("game.1")]).await;
        assert!(results[0].as_ref().unwrap_err().to_string().contains("does not exist"));
        for open in [never.subscribe(">"), never.subscribe(">").map(|it| it.group("g"))] {
            let error = open.unwrap().open().await.unwrap_err().to_string();
            assert!(error.contains("does not exist"), "{error}");
        }
        let creates = started(server.url()).await;
        assert_eq!(server.client().shards().await.len(), 2);
        publish(&never, "game.1").await;
        server.client().delete().await;
        publish(&creates, "game.2").await;
        server.client().delete().await;
        let results = creates.publish_batch(vec![envelope("game.3")]).await;
        assert!(results[0].is_ok(), "{results:?}");
    });
}

#[test]
fn an_oversized_event_is_not_sent_and_the_others_of_its_batch_are() {
    on(async |server| {
        let kinesis = started(server.url()).await;
        let mut live = kinesis.subscribe("game.>").unwrap().open().await.unwrap();
        let limit = kinesis.capabilities().payload_limit().unwrap();
        assert_eq!(limit, 1 << 20);
        // Less than the limit, and more as JSON.
        let large = Arc::new(Envelope::new("game.map").unwrap().with_bytes(vec![0; limit * 4 / 5]));
        let error = kinesis.publish(large.clone()).await.unwrap_err();
        assert!(!error.is_unknown(), "{error}");
        assert!(
            matches!(error.reason(), Reason::TooLarge { bytes, limit: of } if bytes > of),
            "{error}"
        );
        let results =
            kinesis.publish_batch(vec![envelope("game.1"), large, envelope("game.2")]).await;
        assert!(results[0].is_ok() && results[1].is_err() && results[2].is_ok());
        let mut come = [subject(&delivery(&mut live).await).to_owned(), String::new()];
        come[1] = subject(&delivery(&mut live).await).to_owned();
        come.sort_unstable();
        assert_eq!(come, ["game.1", "game.2"]);
        let largest = Envelope::new("game.map").unwrap().with_bytes(vec![9; limit * 7 / 10]);
        kinesis.publish(largest.clone().into()).await.unwrap();
        let next = timeout(SOON, live.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(**next.envelope(), largest);
    });
}
