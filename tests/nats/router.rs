//! A router over NATS and memory.

use core::time::Duration;

use tickbus::hosted::engines::Nats;
use tickbus::hosted::engines::nats::Provision;
use tickbus::hosted::{
    BoxError, Context, Deliveries, Delivery, Engine, GapReason, Health, Level, MemoryEngine,
    OnStart, Router, RouterBuilder,
};
use tokio::time::timeout;

use crate::servers::{Nats as Server, TestServer};
use crate::{SOON, WHILE, delivery, envelope, next, on_both, run};

/// Each tenant has its own first segment on the server.
fn builder(url: impl Into<String>) -> RouterBuilder {
    let fleet = Nats::new(url)
        .stream("TENANTS")
        .subjects(["red.game.>", "blue.game.>", "_.game.>"])
        .provision(Provision::Create)
        .timeout(Duration::from_secs(2))
        .heartbeat(Duration::from_millis(250));
    let router = Router::builder().engine("near", MemoryEngine::new()).engine("fleet", fleet);
    router.route(["game.>"], "fleet").require(Level::Stored)
}

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
    on_both(async |server| {
        let router = builder(server.url()).tenants(true).build().unwrap();
        router.start().await.unwrap();
        let (red, blue) = (router.tenant("red").unwrap(), router.tenant("blue").unwrap());
        let mut reds = red.subscribe("game.>").unwrap().open().await.unwrap();
        let mut blues = blue.subscribe("game.>").unwrap().open().await.unwrap();
        let mut curious = blue.subscribe("red.game.>").unwrap().open().await.unwrap();
        let mut red_group = red.subscribe("game.>").unwrap().group("g").open().await.unwrap();
        let mut blue_group = blue.subscribe("game.>").unwrap().group("g").open().await.unwrap();
        let mut all = router.subscribe("game.*").unwrap().group("all").open().await.unwrap();

        let receipt = red.publish(envelope("game.1")).await.unwrap();
        assert_eq!((&*receipt.engine, receipt.level), ("fleet", Level::Stored));
        blue.publish(envelope("game.2")).await.unwrap();
        router.publish(envelope("game.3")).await.unwrap();
        assert!(red.publish((*envelope("game.4")).clone().header("tenant", "blue")).await.is_err());

        for from in [&mut reds, &mut red_group] {
            assert_eq!(shown(delivery(from).await), "red/game.1@fleet");
        }
        for from in [&mut blues, &mut blue_group] {
            assert_eq!(shown(delivery(from).await), "blue/game.2@fleet");
        }
        for expected in ["red/game.1@fleet", "blue/game.2@fleet", "/game.3@fleet"] {
            assert_eq!(shown(delivery(&mut all).await), expected);
        }
        for from in [&mut reds, &mut blues, &mut curious, &mut red_group, &mut blue_group, &mut all]
        {
            nothing_comes(from).await;
        }
        router.shutdown(SOON).await.unwrap();
    });
}

#[test]
fn a_router_goes_on_while_one_server_is_away() {
    let Some(mut server) = TestServer::start(Server::New, "") else { return };
    server.kill();
    run(async {
        let mut router = builder(server.url());
        router = router.on_start(OnStart::Background);
        let router = router.build().unwrap();
        router.start().await.unwrap();
        let mut all = router.subscribe(">").unwrap().open().await.unwrap();
        let error = router.publish(envelope("game.1")).await.unwrap_err();
        assert_eq!((error.engine(), error.is_unknown()), ("fleet", false));
        router.publish(envelope("chat")).await.unwrap();
        assert_eq!(delivery(&mut all).await.engine(), "near");
        assert_ne!(Engine::health(&router), Health::Up);

        server.run();
        let gap = next(&mut all).await.unwrap_err();
        assert_eq!((gap.missed, gap.reason), (None, GapReason::Reconnected));
        assert_eq!(Engine::health(&router), Health::Up);
        let error = router.publish(envelope("game.2")).await.unwrap_err();
        assert_eq!(error.engine(), "fleet", "the stream has no such subject without tenants");
        router.shutdown(SOON).await.unwrap();
    });
}

#[test]
fn handlers_of_a_router_are_counted_for_the_server() {
    on_both(async |server| {
        let router = builder(server.url()).tenants(true).build().unwrap();
        router.start().await.unwrap();
        let both = router.subscribe(">").unwrap().or("game.>").unwrap();
        let workers = both.workers(2).handle(async |_: Context| Ok::<_, BoxError>(()));
        let workers = workers.await.unwrap();
        router.publish(envelope("game.1")).await.unwrap();
        router.publish(envelope("chat")).await.unwrap();
        let handled = async {
            while workers.stats().handled < 2 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(SOON, handled).await.expect("both are handled");
        let stats = router.stats();
        let handled: Vec<_> = stats.engines.iter().map(|it| it.handlers.handled).collect();
        assert_eq!((handled, stats.total().handlers.handled), (vec![1, 1], 2));
        let report = router.shutdown(SOON).await.unwrap();
        assert_eq!((report.running, report.engines), (0, 0));
    });
}
