//! What a record has on the wire, and what other programs write.

use core::time::Duration;

use krafka::Record;
use krafka::admin::{CreateTopicsOptions, NewTopic};
use tickbus::Envelope;
use tickbus::hosted::engines::kafka::{Mechanism, Provision};
use tickbus::hosted::{Engine, Gap, GapReason, Level, Reason, StartAt};

use crate::{client, delivery, group, next, on, publish, settings, started, subject, up};

#[test]
fn other_programs_see_headers_a_key_and_the_payload() {
    on(async |server| {
        let kafka = started(server.brokers()).await;
        let event =
            || Envelope::new("player.7.hit").unwrap().with_id("17").with_payload(&12).unwrap();
        kafka.publish(event().with_key("7").header("Colour", "red").into()).await.unwrap();
        kafka.publish(event().into()).await.unwrap();
        let consumer = client(&server.brokers()).await.consumer_without_group();
        let consumer = consumer.build().await.unwrap();
        consumer.assign("game", vec![0]).await.unwrap();
        consumer.seek("game", 0, 0).await.unwrap();
        let mut records = Vec::new();
        while records.len() < 2 {
            records.extend(consumer.poll(Duration::from_secs(1)).await.unwrap());
        }
        let [keyed, bare] = &records[..] else { panic!("{records:?}") };
        assert_eq!((keyed.key_str(), bare.key_str()), (Some("7"), Some("player.7.hit")));
        assert_eq!(keyed.value_str(), Some("12"));
        let names: Vec<&str> = keyed.headers.iter().map(|(name, _)| &**name).collect();
        let wanted = ["tb-subject", "tb-v", "tb-id", "tb-time", "tb-key", "content-type", "Colour"];
        assert_eq!(names, wanted);
        assert_eq!(keyed.header_str("tb-subject"), Some("player.7.hit"));
        assert_eq!(keyed.header_str("tb-id"), Some("17"));
        assert_eq!(bare.header_str("tb-key"), None);
    });
}

#[test]
fn messages_of_other_programs_have_their_place_as_the_id() {
    on(async |server| {
        let kafka = started(server.brokers()).await;
        let all = group(&kafka, ">", "all").start_at(StartAt::Earliest);
        let mut all = all.open().await.unwrap();
        let producer = client(&server.brokers()).await.producer().build().await.unwrap();
        let send = async |record: Record| producer.send(record).await.unwrap();
        let _ = send(Record::new("game", r#"{"a":1}"#).key("k").header("subject", "player.9.hit"))
            .await;
        let _ = send(Record::new("game", [1, 2, 3].to_vec()).null_header("x")).await;
        let _ = send(Record::tombstone("game", "k")).await;
        let _ = send(Record::new("game", "x").header("tb-v", "2")).await;
        let _ = send(Record::new("game", "x").header("subject", "not a..subject")).await;
        publish(&kafka, "game.last").await;
        let first = delivery(&mut all).await;
        let envelope = first.envelope();
        assert_eq!(
            (subject(&first), envelope.id(), envelope.key()),
            ("player.9.hit", "game/0/0", "k")
        );
        assert_eq!(envelope.payload().map(|it| it.to_string()), Some(r#"{"a":1}"#.into()));
        let second = delivery(&mut all).await;
        assert_eq!((subject(&second), second.envelope().id()), ("game", "game/0/1"));
        assert_eq!(second.envelope().bytes(), Some(&[1, 2, 3][..]));
        assert_eq!(subject(&delivery(&mut all).await), "game");
        assert_eq!(next(&mut all).await.unwrap_err(), Gap::new(Some(2), GapReason::Unreadable));
        assert_eq!(subject(&delivery(&mut all).await), "game.last");
    });
}

#[test]
fn the_settings_of_the_topic_say_how_large_and_how_certain_a_publish_is() {
    on(async |server| {
        let admin = client(&server.brokers()).await.admin();
        let topic = NewTopic::new("game", 1, 1).unwrap();
        let topic =
            topic.with_config("max.message.bytes", "3000").with_config("flush.messages", "1");
        let made = admin.create_topics([topic], CreateTopicsOptions::default()).await.unwrap();
        made.into_values().for_each(|it| it.unwrap());
        let kafka = up(settings(server.brokers()).provision(Provision::Check)).await;
        let can = kafka.capabilities();
        assert_eq!((can.payload_limit(), can.highest_level()), (Some(3000), Level::Stored));
        let event = |bytes: usize| Envelope::new("game.shot").unwrap().with_bytes(vec![1; bytes]);
        let receipt = kafka.publish(event(2000).into()).await.unwrap();
        assert_eq!((receipt.level, receipt.sequence), (Level::Stored, Some(0)));
        let batch = vec![event(10).into(), event(3000).into(), event(10).into()];
        let results = kafka.publish_batch(batch).await;
        let error = results[1].as_ref().unwrap_err();
        assert!(!error.is_unknown());
        assert!(matches!(error.reason(), Reason::TooLarge { limit: 3000, .. }), "{error}");
        let sequences = [0, 2].map(|at| results[at].as_ref().unwrap().sequence);
        assert_eq!(sequences, [Some(1), Some(2)]);
        // Without such settings.
        let other = started(server.brokers()).await;
        assert_eq!(other.capabilities().highest_level(), Level::Stored, "it is the same topic");
        let other = up(settings(server.brokers()).topic("other")).await;
        assert_eq!(other.capabilities().highest_level(), Level::Accepted);
        assert_eq!(other.capabilities().payload_limit(), Some(1_048_588));
    });
}

#[test]
fn no_secret_is_shown() {
    let kafka = settings("127.0.0.1:1").login(Mechanism::ScramSha512, "game", "hunter2");
    let shown = format!("{kafka:?} {kafka:#?}");
    assert!(!shown.contains("hunter2") && shown.contains("game"), "{shown}");
}
