//! Live subscriptions: to a stream, and by pub/sub.

use core::time::Duration;

use tickbus::Overrun;
use tickbus::hosted::engines::Redis;
use tickbus::hosted::{Deliveries, Engine, Gap, GapReason, Health};
use tokio::time::sleep;

use crate::servers::Proxy;
use crate::{
    delivery, envelope, next, nothing, number, on, publish, settings, started, subject, until, up,
    value,
};

#[test]
fn live_subscriptions_receive_what_the_core_matcher_says_once() {
    on(&["--notify-keyspace-events", "KEA"], async |server| {
        let streams = started(server.url()).await;
        let channels = up(Redis::new(server.url())).await;
        for redis in [&streams, &channels] {
            let mut all = redis.subscribe(">").unwrap().capacity(1000).open().await.unwrap();
            let mut star = redis.subscribe("a.*").unwrap().open().await.unwrap();
            let mut tail = redis.subscribe("a.>").unwrap().or("c").unwrap().open().await.unwrap();
            // The server sends each of them several times.
            let several = redis.subscribe("a.b").unwrap().or("a.*").unwrap().or("*.b").unwrap();
            let mut several = several.or("a.b.c").unwrap().or("a.>").unwrap().open().await.unwrap();
            // The server publishes of itself.
            server.say(&["SET", "x", "y"]);
            for subject in ["a", "a.b", "a.b.c", "b.a", "c", "A.b"] {
                redis.publish(envelope(subject)).await.unwrap();
            }
            let came = async |from: &mut Deliveries, wanted: &[&str]| {
                for wanted in wanted {
                    assert_eq!(subject(&delivery(from).await), *wanted);
                }
                nothing(from).await;
            };
            came(&mut all, &["a", "a.b", "a.b.c", "b.a", "c", "A.b"]).await;
            came(&mut star, &["a.b"]).await;
            came(&mut tail, &["a.b", "a.b.c", "c"]).await;
            came(&mut several, &["a.b", "a.b.c", "A.b"]).await;
        }
    });
}

#[test]
fn a_full_live_buffer_says_what_it_dropped() {
    on(&[], async |server| {
        for redis in [up(Redis::new(server.url())).await, started(server.url()).await] {
            let open = |overrun| redis.subscribe("a").unwrap().capacity(2).overrun(overrun).open();
            let mut newest = open(Overrun::DropNewest).await.unwrap();
            let mut oldest = open(Overrun::DropOldest).await.unwrap();
            for at in 1..=5 {
                redis.publish(number("a", at)).await.unwrap();
            }
            sleep(Duration::from_millis(100)).await;
            let gap = Gap::new(Some(3), GapReason::Overflow);
            assert_eq!(value(&delivery(&mut newest).await), 1);
            assert_eq!(value(&delivery(&mut newest).await), 2);
            assert_eq!(next(&mut newest).await.unwrap_err(), gap);
            assert_eq!(next(&mut oldest).await.unwrap_err(), gap);
            assert_eq!(value(&delivery(&mut oldest).await), 4);
            assert_eq!(value(&delivery(&mut oldest).await), 5);
        }
    });
}

#[test]
fn databases_do_not_part_channels_and_prefixes_do() {
    on(&[], async |server| {
        let zero = up(Redis::new(server.url())).await;
        let three = up(Redis::new(server.url()).db(3)).await;
        let apart = up(Redis::new(format!("{}/3", server.url())).prefix("three:")).await;
        let mut heard = zero.subscribe(">").unwrap().open().await.unwrap();
        let mut own = apart.subscribe("game.*").unwrap().open().await.unwrap();
        three.publish(envelope("game.1")).await.unwrap();
        apart.publish(envelope("game.2")).await.unwrap();
        assert_eq!(subject(&delivery(&mut heard).await), "game.1");
        assert_eq!(subject(&delivery(&mut own).await), "game.2");
        // The other one hears it by its full name, which is not that of the envelope.
        assert_eq!(next(&mut heard).await.unwrap_err().reason, GapReason::Unreadable);
        // A stream is in one database.
        let three = up(settings(server.url()).db(3)).await;
        let two = up(settings(format!("{}/2", server.url()))).await;
        let mut all = two.subscribe(">").unwrap().open().await.unwrap();
        publish(&three, "game.3").await;
        publish(&two, "game.4").await;
        assert_eq!(subject(&delivery(&mut all).await), "game.4");
    });
}

#[test]
fn after_a_lost_connection_a_stream_goes_on_and_pub_sub_tells_a_gap() {
    on(&["--stream-node-max-entries", "1"], async |server| {
        let proxy = Proxy::to(server.port());
        let url = format!("redis://127.0.0.1:{}", proxy.port());
        let (near, far) = (started(server.url()).await, started(&*url).await);
        let channels = Redis::new(&*url).heartbeat(Duration::from_millis(250));
        let channels = up(channels.timeout(Duration::from_secs(1))).await;
        let mut stream = far.subscribe(">").unwrap().open().await.unwrap();
        let mut group = far.subscribe(">").unwrap().group("all").open().await.unwrap();
        let mut heard = channels.subscribe(">").unwrap().open().await.unwrap();
        publish(&near, "game.1").await;
        for from in [&mut stream, &mut group] {
            delivery(from).await.ack();
        }
        proxy.cut();
        publish(&near, "game.2").await;
        for from in [&mut stream, &mut group] {
            let come = delivery(from).await;
            assert_eq!(subject(&come), "game.2", "and no gap");
            come.ack();
        }
        assert_eq!(next(&mut heard).await.unwrap_err(), Gap::new(None, GapReason::Reconnected));
        until("it is up", || channels.health() == Health::Up).await;
        channels.publish(envelope("game.3")).await.unwrap();
        assert_eq!(subject(&delivery(&mut heard).await), "game.3");

        // What the stream removes meanwhile is a gap there.
        proxy.hold(true);
        proxy.cut();
        for at in 0..5 {
            near.publish(number("game.4", at)).await.unwrap();
        }
        server.say(&["XTRIM", "game", "MAXLEN", "2"]);
        proxy.hold(false);
        for from in [&mut stream, &mut group] {
            assert_eq!(next(from).await.unwrap_err(), Gap::new(Some(3), GapReason::Trimmed));
            assert_eq!(value(&delivery(from).await), 3);
        }
    });
}

#[test]
fn a_live_subscription_may_be_there_before_its_stream() {
    on(&[], async |server| {
        use tickbus::hosted::engines::redis::Provision;
        let early = up(settings(server.url()).provision(Provision::Never)).await;
        let mut live = early.subscribe(">").unwrap().open().await.unwrap();
        let error = early.publish(envelope("game.1")).await.unwrap_err();
        assert!(!error.is_unknown() && error.to_string().contains("`game` does not exist"));
        let error = early.subscribe(">").unwrap().group("g").open().await.unwrap_err();
        assert!(error.to_string().contains("`game` does not exist"), "{error}");
        let other = started(server.url()).await;
        publish(&other, "game.2").await;
        assert_eq!(subject(&delivery(&mut live).await), "game.2");
    });
}

#[test]
fn a_live_subscription_goes_on_after_its_server_was_killed() {
    let Some(mut server) = crate::server::Server::start(&[]) else { return };
    crate::run(async {
        let channels = Redis::new(server.url()).heartbeat(Duration::from_millis(250));
        let channels = up(channels.timeout(Duration::from_secs(1))).await;
        let mut live = channels.subscribe("game.>").unwrap().open().await.unwrap();
        channels.publish(envelope("game.1")).await.unwrap();
        assert_eq!(subject(&delivery(&mut live).await), "game.1");
        server.kill();
        until("it is noticed", || channels.health() != Health::Up).await;
        server.run();
        until("it is up", || channels.health() == Health::Up).await;
        channels.publish(envelope("game.2")).await.unwrap();
        assert_eq!(next(&mut live).await.unwrap_err(), Gap::new(None, GapReason::Reconnected));
        assert_eq!(subject(&delivery(&mut live).await), "game.2");
    });
}
