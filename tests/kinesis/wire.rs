//! What travels, and what other programs send.

use aws_sdk_kinesis::types::ShardIteratorType;
use tickbus::Envelope;
use tickbus::hosted::engines::kinesis::MemoryLeases;
use tickbus::hosted::{Engine, StartAt};

use crate::{delivery, on, settings, up};

#[test]
fn an_envelope_is_its_json_form_and_its_key_decides() {
    on(async |server| {
        let raw = server.client();
        raw.create(1).await;
        let kinesis = up(settings(server.url())).await;
        let with_key = Envelope::new("game.shot").unwrap().with_key("key 7").with_bytes([0, 255]);
        let without = Envelope::new("game.shot").unwrap().header("a", "ä");
        let shard = raw.shards().await[0].shard_id.clone();
        for (envelope, key) in [(with_key, "key 7"), (without, "game.shot")] {
            let request = raw.0.get_shard_iterator().stream_name("game").shard_id(&shard);
            let request = request.shard_iterator_type(ShardIteratorType::Latest);
            let iterator = request.send().await.unwrap().shard_iterator.unwrap();
            kinesis.publish(envelope.clone().into()).await.unwrap();
            let read = raw.0.get_records().shard_iterator(iterator).send().await.unwrap();
            let [record] = &read.records[..] else { panic!("{read:?}") };
            assert_eq!(record.data.as_ref(), envelope.to_json().as_bytes());
            assert_eq!(record.partition_key.as_deref(), Some(key));
        }
    });
}

#[test]
fn what_other_programs_send_has_the_name_of_the_stream_and_its_position() {
    on(async |server| {
        let raw = server.client();
        raw.create(1).await;
        let kinesis = up(settings(server.url()).lease_store(MemoryLeases::new())).await;
        let mut ids = Vec::new();
        let sent: [&[u8]; 5] = [
            b"{\"paid\":true}",
            b"not json",
            b"{\"subject\":\"a..b\",\"id\":\"1\"}",
            b"\xff\x00",
            b"",
        ];
        for data in sent {
            let (shard, sequence) = raw.put("k", data).await;
            ids.push(format!("game/{shard}/{sequence}"));
        }
        let ours = Envelope::new("game.own").unwrap();
        raw.put("k", ours.to_json().as_bytes()).await;
        let all = kinesis.subscribe(">").unwrap().group("all").start_at(StartAt::Earliest);
        let mut all = all.open().await.unwrap();
        for (data, id) in sent.into_iter().zip(ids) {
            let come = delivery(&mut all).await;
            let envelope = come.envelope();
            assert_eq!((envelope.id(), envelope.subject().as_str()), (&*id, "game"));
            let payload = envelope.payload().map(str::as_bytes).or(envelope.bytes());
            assert_eq!(payload.unwrap_or_default(), data);
            come.ack();
        }
        assert_eq!(**delivery(&mut all).await.envelope(), ours);
    });
}
