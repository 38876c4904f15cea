//! A router over Redis and memory.

use core::time::Duration;

use tickbus::hosted::engines::Redis;
use tickbus::hosted::engines::redis::Provision;
use tickbus::hosted::{Deliveries, Delivery, MemoryEngine, Router};
use tokio::time::timeout;

use crate::{SOON, WHILE, delivery, envelope, on};

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
    on(&[], async |server| {
        for stream in [Some("tenants"), None] {
            let fleet = Redis::new(server.url()).timeout(Duration::from_secs(2));
            let fleet = match stream {
                Some(stream) => fleet.stream(stream).provision(Provision::Create),
                None => fleet.prefix("t:"),
            };
            let router = Router::builder().engine("near", MemoryEngine::new());
            let router = router.engine("fleet", fleet).route(["game.>"], "fleet").tenants(true);
            let router = router.build().unwrap();
            router.start().await.unwrap();
            let (red, blue) = (router.tenant("red").unwrap(), router.tenant("blue").unwrap());
            let mut reds = vec![red.subscribe("game.>").unwrap().open().await.unwrap()];
            let mut blues = vec![blue.subscribe("game.>").unwrap().open().await.unwrap()];
            let mut curious = blue.subscribe("red.game.>").unwrap().open().await.unwrap();
            let mut all = vec![router.subscribe("game.*").unwrap().open().await.unwrap()];
            if stream.is_some() {
                reds.push(red.subscribe("game.>").unwrap().group("g").open().await.unwrap());
                blues.push(blue.subscribe("game.>").unwrap().group("g").open().await.unwrap());
                all.push(router.subscribe("game.*").unwrap().group("all").open().await.unwrap());
            }
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
        }
    });
}
