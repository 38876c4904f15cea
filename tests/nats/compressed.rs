//! Compressed payloads on real servers: what is too large for a server passes it.

use alloc::sync::Arc;
use core::time::Duration;

use tickbus::Envelope;
use tickbus::hosted::{Compressed, Compression, Engine, Level, Reason, StartAt};
use tokio::time::timeout;

use super::{SOON, delivery, on_both, settings, started};

#[test]
fn a_payload_larger_than_the_server_takes_passes_it_compressed() {
    on_both(async |server| {
        let plain = started(server.url()).await;
        let large = Envelope::json("game.map", &".#".repeat(100_000)).unwrap();
        let refused = plain.publish(large.clone().into()).await.unwrap_err();
        assert!(matches!(refused.reason(), Reason::TooLarge { limit: 65_536, .. }), "{refused}");

        // What a client of another language sees.
        let client = async_nats::connect(server.url()).await.unwrap();
        let mut raw = client.subscribe("game.>").await.unwrap();
        client.flush().await.unwrap();

        let engine = Compressed::new(settings(server.url()), Compression::above(1024));
        engine.start().await.unwrap();
        let receipt = engine.publish(large.clone().into()).await.unwrap();
        assert_eq!(receipt.level, Level::Stored);
        let results = engine.publish_batch(vec![Arc::new(large.clone().with_id("second"))]).await;
        assert!(results.iter().all(Result::is_ok), "{results:?}");

        let message = timeout(SOON, first(&mut raw)).await.expect("it comes");
        let headers = message.headers.expect("there are headers");
        for (key, value) in [("content-encoding", "gzip"), ("content-type", "application/json")] {
            assert_eq!(headers.get(key).map(|it| it.as_str()), Some(value));
        }
        assert!(message.payload.starts_with(&[0x1f, 0x8b]) && message.payload.len() < 1024);

        // A receiver needs no engine that compresses.
        let scores = plain.subscribe("game.map").unwrap().group("maps");
        let mut scores = scores.start_at(StartAt::Earliest).open().await.unwrap();
        for id in [large.id(), "second"] {
            let received = delivery(&mut scores).await;
            assert_eq!(**received.envelope(), large.clone().with_id(id));
            received.ack_async().await.unwrap();
        }
        engine.shutdown(Duration::from_secs(5)).await.unwrap();
    });
}

async fn first(messages: &mut async_nats::Subscriber) -> async_nats::Message {
    use futures_core::Stream;

    let next = core::future::poll_fn(|task| core::pin::Pin::new(&mut *messages).poll_next(task));
    next.await.expect("the connection is open")
}
