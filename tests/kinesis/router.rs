//! A router over Kinesis and memory.

use tickbus::hosted::engines::kinesis::MemoryLeases;
use tickbus::hosted::{Delivery, MemoryEngine, Router};

use crate::{SOON, delivery, envelope, nothing, on, settings};

fn shown(it: Delivery) -> String {
    let envelope = it.envelope();
    let text = format!("{}/{}@{}", envelope.headers().tenant(), envelope.subject(), it.engine());
    it.ack();
    text
}

/// What one tenant publishes comes to no other, by no pattern and no group.
#[test]
fn a_tenant_sees_its_own_events_only() {
    on(async |server| {
        server.client().create(1).await;
        let fleet = settings(server.url()).lease_store(MemoryLeases::new());
        let router = Router::builder().engine("near", MemoryEngine::new());
        let router = router.engine("fleet", fleet).route(["game.>"], "fleet").tenants(true);
        let router = router.build().unwrap();
        router.start().await.unwrap();
        let (red, blue) = (router.tenant("red").unwrap(), router.tenant("blue").unwrap());
        let mut reds = [
            red.subscribe("game.>").unwrap().open().await.unwrap(),
            red.subscribe("game.>").unwrap().group("g").open().await.unwrap(),
        ];
        let mut blues = [
            blue.subscribe("game.>").unwrap().open().await.unwrap(),
            blue.subscribe("game.>").unwrap().group("g").open().await.unwrap(),
        ];
        let mut curious = blue.subscribe("red.game.>").unwrap().open().await.unwrap();
        let mut all = [
            router.subscribe("game.*").unwrap().open().await.unwrap(),
            router.subscribe("game.*").unwrap().group("all").open().await.unwrap(),
        ];
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
            let mut come = Vec::new();
            for _ in 0..3 {
                come.push(shown(delivery(from).await));
            }
            come.sort_unstable();
            assert_eq!(come, ["/game.3@fleet", "blue/game.2@fleet", "red/game.1@fleet"]);
        }
        for from in reds.iter_mut().chain(&mut blues).chain(&mut all).chain([&mut curious]) {
            nothing(from).await;
        }
        router.shutdown(SOON).await.unwrap();
    });
}
