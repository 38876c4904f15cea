//! Servers that end and come back.

use core::time::Duration;

use tickbus::hosted::{Engine, Gap, GapReason, Health, Reason};

use crate::server::Server;
use crate::servers::Proxy;
use crate::{
    delivery, envelope, group, next, nothing, number, on, run, settings, started, until, up, value,
};

#[test]
fn a_server_that_comes_back_finds_everything_as_it_was() {
    on(async |mut server| {
        let kafka = started(server.brokers()).await;
        let mut all = group(&kafka, "game.>", "all").open().await.unwrap();
        let mut live = kafka.subscribe("game.>").unwrap().open().await.unwrap();
        for at in 0..3 {
            kafka.publish(number("game.shot", at)).await.unwrap();
        }
        let first = delivery(&mut all).await;
        assert_eq!(value(&first), 0);
        first.ack_async().await.unwrap();
        let held = delivery(&mut all).await;

        server.stop();
        until("it is noticed", || matches!(kafka.health(), Health::Down(_))).await;
        let error = kafka.publish(envelope("game.lost")).await.unwrap_err();
        assert!(!error.is_unknown(), "{error}");
        assert!(matches!(error.reason(), Reason::Disconnected(_)), "{error}");
        assert!(error.to_string().contains("`kafka`"), "{error}");
        server.run();
        until("it is mended", || kafka.health() == Health::Up).await;
        kafka.publish(number("game.shot", 3)).await.unwrap();
        // The lease of what was in work goes on, if the member has its place again in time.
        drop(held);
        let mut come = Vec::new();
        while !come.contains(&3) {
            let next = delivery(&mut all).await;
            come.push(value(&next));
            next.ack_async().await.unwrap();
        }
        assert!(!come.contains(&0), "it was acknowledged: {come:?}");
        assert!(come.contains(&2), "{come:?}");
        for wanted in 0..4 {
            assert_eq!(value(&delivery(&mut live).await), wanted);
        }
    });
}

#[test]
fn a_server_that_has_lost_everything_is_a_gap() {
    on(async |mut server| {
        let kafka = started(server.brokers()).await;
        let mut all = group(&kafka, "game.>", "all").open().await.unwrap();
        let mut live = kafka.subscribe("game.>").unwrap().open().await.unwrap();
        for at in 0..3 {
            kafka.publish(number("game.shot", at)).await.unwrap();
            delivery(&mut all).await.ack_async().await.unwrap();
            let _ = delivery(&mut live).await;
        }
        server.kill();
        server.forget();
        server.run();
        until("it is noticed and mended", || kafka.health() == Health::Up).await;
        // The topic is made again.
        let publish = async || {
            while kafka.publish(number("game.shot", 9)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(crate::SOON, publish()).await.expect("it is there again");
        for from in [&mut all, &mut live] {
            let trimmed = Gap::new(None, GapReason::Trimmed);
            assert_eq!(next(from).await.unwrap_err(), trimmed);
            // The log is gone, and so is the group: it is told of each.
            let come = loop {
                match next(from).await {
                    Ok(come) => break come,
                    Err(gap) => assert_eq!(gap, trimmed),
                }
            };
            assert_eq!(value(&come), 9);
        }
        nothing(&mut live).await;
    });
}

#[test]
fn a_silent_connection_is_noticed_and_mended() {
    let advertised = Proxy::to_later();
    let Some(server) = Server::behind(advertised.port()) else { return };
    advertised.lead_to(server.port());
    run(async {
        let at = || settings(format!("127.0.0.1:{}", advertised.port()));
        let kafka = up(at().timeout(Duration::from_secs(1))).await;
        let mut all = group(&kafka, "game.>", "all").open().await.unwrap();
        kafka.publish(number("game.shot", 0)).await.unwrap();
        delivery(&mut all).await.ack_async().await.unwrap();
        advertised.hold(true);
        let error = kafka.publish(number("game.shot", 1)).await.unwrap_err();
        assert!(error.is_unknown(), "it may have arrived: {error}");
        until("it is noticed", || matches!(kafka.health(), Health::Down(_))).await;
        let error = kafka.publish(number("game.shot", 2)).await.unwrap_err();
        assert!(!error.is_unknown(), "{error}");
        advertised.cut();
        advertised.hold(false);
        until("it is mended", || kafka.health() == Health::Up).await;
        kafka.publish(number("game.shot", 3)).await.unwrap();
        let mut come = Vec::new();
        while !come.contains(&3) {
            let next = delivery(&mut all).await;
            come.push(value(&next));
            next.ack_async().await.unwrap();
        }
        assert!(!come.contains(&2) && !come.contains(&0), "{come:?}");
    });
}
