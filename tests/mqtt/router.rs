//! A router over MQTT and memory.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicUsize, Ordering};

use tickbus::hosted::{BoxError, Context, Deliveries, Delivery, MemoryEngine, Router};
use tokio::time::timeout;

use crate::{SOON, WHILE, delivery, envelope, on, settings, until};

fn shown(it: Delivery) -> String {
    let envelope = it.envelope();
    let text = format!("{}/{}@{}", envelope.headers().tenant(), envelope.subject(), it.engine());
    it.ack();
    text
}

async fn nothing_comes(from: &mut Deliveries) {
    let next = timeout(WHILE, from.next()).await;
    assert!(next.is_err(), "{next:?}");
}

/// What one tenant publishes comes to no other, by no pattern and no group.
#[test]
fn a_tenant_sees_its_own_events_only() {
    on("", async |server| {
        let router = Router::builder().engine("near", MemoryEngine::new());
        let router = router.engine("fleet", settings(server.url()).prefix("t"));
        let router = router.route(["game.>"], "fleet").tenants(true).build().unwrap();
        router.start().await.unwrap();
        let (red, blue) = (router.tenant("red").unwrap(), router.tenant("blue").unwrap());
        let mut reds = vec![red.subscribe("game.>").unwrap().open().await.unwrap()];
        let mut blues = vec![blue.subscribe("game.>").unwrap().open().await.unwrap()];
        let mut curious = blue.subscribe("red.game.>").unwrap().open().await.unwrap();
        let mut all = vec![router.subscribe("game.*").unwrap().open().await.unwrap()];
        reds.push(red.subscribe("game.>").unwrap().group("g").open().await.unwrap());
        blues.push(blue.subscribe("game.>").unwrap().group("g").open().await.unwrap());
        all.push(router.subscribe("game.*").unwrap().group("all").open().await.unwrap());
        assert_eq!(&*red.publish(envelope("game.1")).await.unwrap().engine, "fleet");
        blue.publish(envelope("game.2")).await.unwrap();
        router.publish(envelope("game.3")).await.unwrap();
        let other = (*envelope("game.4")).clone().header("tenant", "blue");
        assert!(red.publish(other).await.is_err());
        for from in &mut reds {
            assert_eq!(shown(delivery(from).await), "red/game.1@fleet");
        }
        for from in &mut blues {
            assert_eq!(shown(delivery(from).await), "blue/game.2@fleet");
        }
        for from in &mut all {
            for expected in ["red/game.1@fleet", "blue/game.2@fleet", "/game.3@fleet"] {
                assert_eq!(shown(delivery(from).await), expected);
            }
        }
        for from in reds.iter_mut().chain(&mut blues).chain(&mut all).chain([&mut curious]) {
            nothing_comes(from).await;
        }
        router.shutdown(SOON).await.unwrap();
    });
}

/// A handler that is declared on the builder receives what waits in the session.
#[test]
fn a_declared_handler_receives_what_its_session_has_kept() {
    on("max_queued_messages 0", async |server| {
        let handled = Arc::new(AtomicUsize::new(0));
        let router = || {
            let count = handled.clone();
            let handle = move |_: Context| {
                let count = count.clone();
                async move {
                    if count.fetch_add(1, Ordering::Relaxed) == 1 {
                        return Err(BoxError::from("once"));
                    }
                    Ok(())
                }
            };
            let router = Router::builder().engine("things", settings(server.url()));
            let router = router.on_with("game.>", |it| it.group("all").workers(4), handle);
            router.build().unwrap()
        };
        let first = router();
        first.start().await.unwrap();
        first.publish(envelope("game.1")).await.unwrap();
        until("it is handled", || handled.load(Ordering::Relaxed) == 1).await;
        first.shutdown(SOON).await.unwrap();
        let other = crate::up(settings(server.url()).client_id("other")).await;
        for at in 0..100 {
            other_publish(&other, at).await;
        }
        let second = router();
        second.start().await.unwrap();
        // One has failed, and is tried again.
        until("all are handled", || handled.load(Ordering::Relaxed) == 102).await;
        second.shutdown(SOON).await.unwrap();
    });
}

async fn other_publish(mqtt: &tickbus::hosted::engines::Mqtt, at: u32) {
    use tickbus::hosted::Engine;
    mqtt.publish(crate::number("game.2", at)).await.unwrap();
}
