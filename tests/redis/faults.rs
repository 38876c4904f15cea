//! Connections that die, and servers that are killed.

use core::time::Duration;
use std::time::Instant;

use tickbus::hosted::engines::Redis;
use tickbus::hosted::{Engine, EngineError, Gap, GapReason, Health, Reason};
use tokio::time::sleep;

use crate::server::Server;
use crate::servers::Proxy;
use crate::{
    SOON, delivery, envelope, next, on, publish, run, settings, started, subject, until, up,
};

#[test]
fn a_silent_connection_is_noticed_and_mended() {
    on(&[], async |server| {
        let proxy = Proxy::to(server.port());
        let url = format!("redis://127.0.0.1:{}", proxy.port());
        let redis = up(settings(&*url).timeout(Duration::from_secs(1))).await;
        let channels = Redis::new(&*url).timeout(Duration::from_secs(1));
        let channels = up(channels.heartbeat(Duration::from_millis(250))).await;
        let beside = started(server.url()).await;
        let lease = Duration::from_secs(1);
        let durable = redis.subscribe("game.>").unwrap().group("all").lease(lease);
        let mut durable = durable.open().await.unwrap();
        let mut live = channels.subscribe("game.>").unwrap().open().await.unwrap();
        publish(&redis, "game.1").await;
        delivery(&mut durable).await.ack_async().await.unwrap();

        proxy.hold(true);
        let error = redis.publish(envelope("game.2")).await.unwrap_err();
        assert!(error.is_unknown(), "it may have arrived: {error}");
        until("it is noticed", || redis.health() != Health::Up).await;
        let refused = redis.publish(envelope("game.3")).await.unwrap_err();
        assert!(!refused.is_unknown() && matches!(refused.reason(), Reason::Disconnected(_)));
        let results = redis.publish_batch(vec![envelope("game.3"), envelope("game.3")]).await;
        assert!(results.iter().all(|it| it.as_ref().is_err_and(|error| !error.is_unknown())));
        publish(&beside, "game.4").await;
        proxy.cut();
        proxy.hold(false);
        let mut come = Vec::new();
        while !come.contains(&"game.4".to_owned()) {
            let next = delivery(&mut durable).await;
            come.push(subject(&next).to_owned());
            next.ack();
        }
        assert!(!come.contains(&"game.3".to_owned()));
        assert_eq!(next(&mut live).await.unwrap_err(), Gap::new(None, GapReason::Reconnected));
        until("it is mended", || redis.health() == Health::Up).await;
        // It is the same event, whether it had arrived or not.
        let EngineError::Unknown { envelope, .. } = error else { panic!("{error}") };
        let arrived = come.contains(&"game.2".to_owned());
        assert_eq!(redis.publish(envelope).await.unwrap().duplicate, arrived);
    });
}

#[test]
fn verdicts_survive_a_short_loss_of_the_connection() {
    on(&[], async |server| {
        let proxy = Proxy::to(server.port());
        let redis = started(format!("redis://127.0.0.1:{}", proxy.port())).await;
        let mut member = redis.subscribe("game.>").unwrap().group("all").open().await.unwrap();
        publish(&redis, "game.1").await;
        let come = delivery(&mut member).await;
        proxy.hold(true);
        come.ack(); // it is on its way, and does not arrive
        sleep(Duration::from_millis(50)).await;
        proxy.cut();
        proxy.hold(false);
        let done = || {
            let said = server.say(&["XPENDING", "game", "all"]);
            matches!(said, redis::Value::Array(it) if it[0] == redis::Value::Int(0))
        };
        until("it is acknowledged", done).await;
    });
}

#[test]
fn a_server_that_is_killed_comes_back_with_everything() {
    let Some(mut server) = Server::start(&["--appendfsync", "always"]) else { return };
    run(async {
        let redis = started(server.url()).await;
        let lease = Duration::from_secs(1);
        let member = redis.subscribe("game.>").unwrap().group("all").lease(lease);
        let mut member = member.open().await.unwrap();
        let mut live = redis.subscribe("game.>").unwrap().open().await.unwrap();
        let first = publish(&redis, "game.1").await;
        let held = delivery(&mut member).await;
        drop(delivery(&mut live).await);
        let second = publish(&redis, "game.2").await;
        delivery(&mut member).await.ack_async().await.unwrap();
        drop(delivery(&mut live).await);
        server.kill();
        until("it is noticed", || redis.health() != Health::Up).await;
        let error = redis.publish(envelope("game.3")).await.unwrap_err();
        assert!(!error.is_unknown(), "{error}");
        server.run();
        until("it is up", || redis.health() == Health::Up).await;
        let third = publish(&redis, "game.3").await;
        assert!(first < second && second < third);
        assert_eq!(subject(&delivery(&mut live).await), "game.3", "and no gap");
        let mut come = Vec::new();
        while come.len() < 2 {
            let next = delivery(&mut member).await;
            come.push((next.sequence().unwrap(), next.attempt()));
            next.ack();
        }
        come.sort_unstable();
        assert_eq!(come, [(first, 2), (third, 1)]);
        drop(held);
    });
}

#[test]
fn what_a_killed_server_had_not_written_is_one_gap() {
    // What is lost: what a member has received, what was only published, or the group itself.
    for lost in ["received", "published", "group"] {
        let Some(mut server) = Server::start(&["--appendfsync", "always"]) else { return };
        run(async {
            let redis = started(server.url()).await;
            publish(&redis, "game.0").await;
            let before = server.appended();
            let member = redis.subscribe("game.>").unwrap().group("all").in_flight(1);
            let member = member.lease(Duration::from_secs(1));
            let mut member = member.open().await.unwrap();
            publish(&redis, "game.1").await;
            let mut held = Some(delivery(&mut member).await);
            let from = if lost == "group" { before } else { server.appended() };
            if lost == "received" {
                held.take().unwrap().ack_async().await.unwrap();
            }
            publish(&redis, "game.2").await;
            if lost == "received" {
                delivery(&mut member).await.ack_async().await.unwrap();
            }
            let restart = async |server: &mut Server, from: Option<u64>| {
                match from {
                    Some(from) => server.kill_before_it_wrote(from),
                    None => server.kill(),
                }
                until("it is noticed", || redis.health() != Health::Up).await;
                server.run();
                until("it is up", || redis.health() == Health::Up).await;
            };
            restart(&mut server, Some(from)).await;
            drop(held);
            let gap = next(&mut member).await.expect_err(lost);
            assert_eq!(gap, Gap::new(None, GapReason::Trimmed), "{lost}");
            // What follows comes, and a server that has lost nothing is no gap.
            for (at, wanted) in ["game.3", "game.4"].into_iter().enumerate() {
                if at > 0 {
                    restart(&mut server, None).await;
                }
                publish(&redis, wanted).await;
                let mut is_there = false;
                while !is_there {
                    let come = delivery(&mut member).await;
                    is_there = subject(&come) == wanted;
                    come.ack_async().await.unwrap();
                }
            }
        });
    }
}

#[test]
fn an_answer_that_cannot_come_is_not_waited_for() {
    let Some(mut server) = Server::start(&[]) else { return };
    run(async {
        let redis = up(settings(server.url()).timeout(Duration::from_secs(60))).await;
        publish(&redis, "game.1").await;
        server.say(&["CLIENT", "PAUSE", "60000", "ALL"]);
        let envelope = envelope("game.2");
        let began = Instant::now();
        let (sent, ()) = tokio::join!(redis.publish(envelope.clone()), async {
            sleep(Duration::from_millis(100)).await;
            server.kill();
        });
        assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
        assert!(sent.unwrap_err().is_unknown());
        server.run();
        until("it is up", || redis.health() == Health::Up).await;
        assert!(!redis.publish(envelope).await.unwrap().duplicate, "it had not been read");
    });
}

#[test]
fn a_server_that_has_become_a_replica_is_left_for_the_one_that_follows_it() {
    on(&[], async |server| {
        let redis = started(server.url()).await;
        let mut member = redis.subscribe("game.>").unwrap().group("all").open().await.unwrap();
        publish(&redis, "game.1").await;
        delivery(&mut member).await.ack_async().await.unwrap();
        server.say(&["REPLICAOF", "127.0.0.1", "1"]);
        let error = redis.publish(envelope("game.2")).await.unwrap_err();
        assert!(!error.is_unknown() && error.to_string().contains("READONLY"), "{error}");
        until("it connects anew", || redis.health() != Health::Up).await;
        server.say(&["REPLICAOF", "NO", "ONE"]);
        until("it is up", || redis.health() == Health::Up).await;
        publish(&redis, "game.2").await;
        assert_eq!(subject(&delivery(&mut member).await), "game.2");
    });
}
