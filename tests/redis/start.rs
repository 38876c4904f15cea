//! How an engine starts and ends, and what it says of itself.

use core::time::Duration;
use std::net::TcpListener;
use std::time::Instant;

use redis::Value;
use tickbus::hosted::engines::redis::{Provision, Redis, unstable};
use tickbus::hosted::{Engine, Health, OnStart, OpenError, Reason};
use tokio::time::{sleep, timeout};

use crate::server::Server;
use crate::servers::authority::Authority;
use crate::servers::free_port;
use crate::{
    SOON, WHILE, delivery, envelope, number, on, publish, run, settings, started, until, up,
};

const PASSWORD: &str = "wordof/mine @:";

#[test]
fn a_start_that_fails_says_why_and_no_secret() {
    let Some(server) = Server::with_password(&[], PASSWORD) else { return };
    run(async {
        let right = settings(server.url()).password(PASSWORD);
        right.start().await.unwrap();
        let encoded = server.url().replace("//", "//:wordof%2Fmine%20%40%3A@");
        let in_url = up(settings(encoded)).await;
        let as_user = up(settings(server.url()).login("default", PASSWORD)).await;
        let client = redis::Client::open(server.url().replace("//", "//:wordof%2Fmine%20%40%3A@"));
        let of_client = unstable::from_client(&client.unwrap()).stream("game");
        of_client.start().await.unwrap();
        publish(&of_client, "game.1").await;

        let wrong = settings(server.url()).password("wrongword");
        let error = wrong.start().await.unwrap_err();
        assert!(error.to_string().contains("authentication failed"), "{error}");
        assert!(matches!(wrong.health(), Health::Down(_)));
        let without = settings(server.url()).start().await.unwrap_err();
        assert!(
            without.to_string().ends_with(
                "did not start: NOAUTH Authentication required.: call `login` or `password`, or put the \
                 password into the URL"
            ),
            "{without}"
        );
        let debug = format!(
            "{right:?} {wrong:?} {in_url:?} {as_user:?} {of_client:?} {error:?} {error} {without:?}"
        );
        assert!(!debug.contains("wordof") && !debug.contains("wrongword"), "{debug}");
        assert!(debug.contains("redis://127.0.0.1:"), "{debug}");

        let db = settings(server.url()).password(PASSWORD).db(99).start().await.unwrap_err();
        assert!(matches!(db.reason, Reason::Refused(_)), "{db}");
        assert!(db.to_string().contains("DB index is out of range"), "{db}");
        let missing = Redis::new(server.url()).password(PASSWORD).stream("other");
        let error = missing.start().await.unwrap_err().to_string();
        assert!(error.contains("the stream `other` does not exist"), "{error}");
    });
    run(async {
        let port = free_port();
        let absent = Redis::new(format!("redis://arena:wordof@127.0.0.1:{port}"));
        let error = absent.publish(envelope("a")).await.unwrap_err();
        assert!(matches!(error.reason(), Reason::NotStarted));
        let error = absent.start().await.unwrap_err();
        assert!(matches!(error.reason, Reason::Disconnected(_)), "{error}");
        let text = format!("{error} {error:?} {absent:?}");
        assert!(text.contains(&format!("`redis://127.0.0.1:{port}`")), "{text}");
        assert!(!text.contains("wordof") && !text.contains("arena"), "{text}");
        for url in ["redis://arena:wordof@:x", "wordof", "", "rediss://:wordof@h:1/#insecure"] {
            let redis = Redis::new(url);
            let error = redis.start().await.unwrap_err();
            assert!(matches!(error.reason, Reason::Refused(_)), "{url}: {error}");
            let shown = format!("{error:?} {error} {redis:?}");
            assert!(!shown.contains("wordof") && !shown.contains("arena"), "{shown}");
        }
    });
}

#[test]
fn what_is_wrong_with_the_settings_is_named() {
    run(async {
        for (url, why) in [
            ("http://arena:wordof@h", "the scheme is another one"),
            ("wordof", "the scheme is another one"),
            ("redis://arena:wordof@h:70000", "the port is not a number up to 65535"),
            ("redis://arena:wordof@:1", "there is no host"),
            ("redis://h/wordof", "the database is not a number"),
            ("redis://arena:a/wordof@h", "the name or the password has a `/`, a `?` or a `#`"),
            ("redis://arena:a?wordof@h", "the name or the password has a `/`, a `?` or a `#`"),
            ("redis://arena:a#wordof@h", "the name or the password has a `/`, a `?` or a `#`"),
            ("redis://h?pasword=wordof", "there is no key `pasword`, but protocol"),
            ("rediss://h/1?protocol=resp3&db=1", "there is no key `db`, but protocol"),
            (
                "unix:/run/r?pasword=wordof",
                "there is no key `pasword`, but db, user, pass, protocol",
            ),
            ("redis://h?protocol=wordof", "a part of it is not possible"),
        ] {
            let error = Redis::new(url).start().await.unwrap_err().to_string();
            assert!(
                error.contains(&format!("the URL is not valid: {why}: it is")),
                "{url}: {error}"
            );
            assert!(error.contains("`unix:path`") && error.contains("`%40`"), "{error}");
            assert!(!error.contains("wordof") && !error.contains("arena"), "{error}");
        }
        let none = Redis::new("redis://h").pool_size(0).start().await.unwrap_err().to_string();
        assert!(
            none.ends_with(
                "did not start: a pool of 0 connections never answers: give it 1 or more"
            )
        );
        let both = settings("redis://h").prefix("a.").start().await.unwrap_err().to_string();
        assert!(both.ends_with("`stream` is set: remove one of them"), "{both}");
    });
}

#[test]
fn a_server_without_tls_or_without_an_answer_is_named() {
    on(&[], async |server| {
        let url = server.url().replace("redis://", "rediss://");
        let tls = settings(&*url).timeout(Duration::from_millis(300));
        let error = tls.start().await.unwrap_err();
        assert!(matches!(error.reason, Reason::Disconnected(_)), "{error}");
        let why = format!("`{url}`: there was no answer in time: does the server speak TLS?");
        assert!(error.to_string().contains(&why), "{error}");
    });
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", silent.local_addr().unwrap());
    run(async {
        let silent = Redis::new(&*url).timeout(Duration::from_millis(200));
        let error = silent.start().await.unwrap_err().to_string();
        assert!(error.ends_with(&format!("`{url}`: there was no answer in time")), "{error}");
    });
    let Some(mut server) = Server::start(&[]) else { return };
    run(async {
        let redis = up(Redis::new(server.url())).await;
        server.kill();
        until("it is lost", || redis.health() != Health::Up).await;
        let error = redis.subscribe("a").unwrap().open().await.unwrap_err().to_string();
        let lost = format!("there is no connection: it was lost: `{}`: ", server.url());
        assert!(error.contains(&lost), "{error}");
        assert_eq!(error.matches("there is no connection").count(), 1, "{error}");
    });
}

#[test]
fn a_key_of_another_type_is_said() {
    on(&[], async |server| {
        server.say(&["SET", "game", "over"]);
        for provision in [Provision::Check, Provision::Create] {
            let error = settings(server.url()).provision(provision).start().await.unwrap_err();
            let text = error.to_string();
            assert!(
                text.contains("the key `game` is of type `string`, and not a stream"),
                "{text}"
            );
        }
        let redis = up(settings(server.url()).provision(Provision::Never)).await;
        let error = redis.publish(envelope("game.1")).await.unwrap_err();
        assert!(!error.is_unknown(), "{error}");
        assert!(error.to_string().contains("the key `game` is not a stream: WRONGTYPE"), "{error}");
        let results = redis.publish_batch(vec![envelope("game.1")]).await;
        assert!(results[0].as_ref().is_err_and(|error| !error.is_unknown()));
        for open in [redis.subscribe(">"), redis.subscribe(">").map(|it| it.group("g"))] {
            let error = open.unwrap().open().await.unwrap_err().to_string();
            assert!(error.contains("and not a stream"), "{error}");
        }
        assert_eq!(server.say(&["GET", "game"]), Value::BulkString(b"over".to_vec()));
    });
}

#[test]
fn a_stream_is_provided_as_the_settings_say() {
    on(&[], async |server| {
        let redis = started(server.url()).await;
        started(server.url()).await;
        assert_eq!(server.say(&["XLEN", "game"]), Value::Int(0));
        assert_eq!(server.say(&["XINFO", "GROUPS", "game"]), Value::Array(vec![]));
        let checks = up(settings(server.url()).provision(Provision::Check)).await;
        publish(&checks, "game.1").await;
        // Gone later, it is made by no other than one that creates it.
        server.say(&["DEL", "game"]);
        for window in [Duration::ZERO, SOON] {
            let checks = settings(server.url()).provision(Provision::Never).deduplicate(window);
            let error = up(checks).await.publish(envelope("game.2")).await.unwrap_err();
            assert!(error.to_string().contains("`game` does not exist"), "{error}");
        }
        publish(&redis, "game.3").await;
        assert_eq!(server.say(&["XLEN", "game"]), Value::Int(1));
    });
}

#[test]
fn each_subscription_has_a_connection_of_the_pool() {
    on(&[], async |server| {
        for redis in [settings(server.url()).pool_size(3), Redis::new(server.url()).pool_size(3)] {
            let redis = up(redis).await;
            let open = || redis.subscribe("a").unwrap().open();
            let (one, _two) = (open().await.unwrap(), open().await.unwrap());
            let error = open().await.unwrap_err().to_string();
            assert!(error.contains("all 3 of the pool are in use"), "{error}");
            drop(one);
            until_open(&redis).await;
        }
    });
}

async fn until_open(redis: &Redis) {
    let began = Instant::now();
    while redis.subscribe("a").unwrap().open().await.is_err() {
        assert!(began.elapsed() < SOON);
        sleep(Duration::from_millis(10)).await;
    }
}

#[test]
fn a_start_can_wait_for_the_server() {
    let Some(mut server) = Server::start(&[]) else { return };
    server.kill();
    let url = server.url();
    let start = std::thread::spawn(move || {
        run(async {
            let redis = up(settings(url).on_start(OnStart::Wait(SOON))).await;
            publish(&redis, "game.started").await;
        });
    });
    std::thread::sleep(Duration::from_millis(300));
    server.run();
    start.join().unwrap();
}

#[test]
fn a_start_in_the_background_comes_up_by_itself() {
    let Some(mut server) = Server::start(&[]) else { return };
    server.kill();
    run(async {
        let redis = settings(server.url()).on_start(OnStart::Background);
        assert_eq!(redis.health(), Health::NotStarted);
        let began = Instant::now();
        redis.start().await.unwrap();
        redis.start().await.unwrap();
        assert!(began.elapsed() < WHILE, "{:?}", began.elapsed());
        for _ in 0..2 {
            assert_eq!(redis.health(), Health::Connecting);
            let error = redis.publish(envelope("game.1")).await.unwrap_err();
            assert!(!error.is_unknown(), "{error}");
            assert!(matches!(error.reason(), Reason::Disconnected(_)), "{error}");
            assert_eq!(error.to_string().matches("there is no connection").count(), 1, "{error}");
            let errors = redis.publish_batch(vec![envelope("game.1")]).await;
            assert!(matches!(errors[0].as_ref().unwrap_err().reason(), Reason::Disconnected(_)));
            for open in [redis.subscribe(">"), redis.subscribe(">").map(|it| it.group("g"))] {
                let error = open.unwrap().open().await.unwrap_err();
                let is_lost =
                    matches!(error, OpenError::Failed { reason: Reason::Disconnected(_), .. });
                assert!(is_lost, "{error}");
            }
            sleep(WHILE).await; // the first attempts have failed
        }
        server.run();
        until("it is up", || redis.health() == Health::Up).await;
        publish(&redis, "game.started").await;

        let refused = Redis::new(server.url()).stream("other").on_start(OnStart::Background);
        refused.start().await.unwrap();
        until("it says why", || matches!(refused.health(), Health::Down(_))).await;
        assert!(refused.health().to_string().contains("`other` does not exist"));
        server.say(&["XADD", "other", "*", "a", "b"]);
        until("it is up", || refused.health() == Health::Up).await;
        refused.shutdown(SOON).await.unwrap();
        assert_eq!(refused.health(), Health::Closed);
        assert!(matches!(refused.start().await.unwrap_err().reason, Reason::Closed));
    });
}

#[test]
fn after_the_shutdown_everything_has_ended_and_the_rest_is_given_back() {
    on(&[], async |server| {
        let redis = started(server.url()).await;
        let channels = up(Redis::new(server.url())).await;
        let mut durable = redis.subscribe("game.>").unwrap().group("all").open().await.unwrap();
        let mut live = redis.subscribe("game.>").unwrap().open().await.unwrap();
        let mut heard = channels.subscribe("game.>").unwrap().open().await.unwrap();
        for at in 0..5 {
            redis.publish(number("game.job", at)).await.unwrap();
        }
        let kept = delivery(&mut durable).await;
        delivery(&mut durable).await.ack();
        for engine in [&redis, &channels] {
            engine.shutdown(SOON).await.unwrap();
            engine.shutdown(SOON).await.unwrap();
            assert_eq!(engine.health(), Health::Closed);
            let error = engine.publish(envelope("game.3")).await.unwrap_err();
            assert!(matches!(error.reason(), Reason::Closed));
            let error = engine.subscribe("game.>").unwrap().open().await.unwrap_err();
            assert!(matches!(error, OpenError::Failed { reason: Reason::Closed, .. }));
            assert!(matches!(engine.start().await.unwrap_err().reason, Reason::Closed));
        }
        while timeout(SOON, live.next()).await.unwrap().is_some() {}
        assert!(timeout(SOON, heard.next()).await.unwrap().is_none());
        assert!(timeout(SOON, durable.next()).await.unwrap().is_none());
        kept.ack();
        assert_eq!((durable.stats().handled, durable.stats().refused), (1, 1));

        // The answer before the shutdown has arrived, and the one after it has not. What was not begun
        // comes at once.
        let again = started(server.url()).await;
        let mut member = again.subscribe("game.>").unwrap().group("all").open().await.unwrap();
        for at in 2..5 {
            let come = delivery(&mut member).await;
            assert_eq!((crate::value(&come), come.attempt()), (at, 1));
            come.ack_async().await.unwrap();
        }
        crate::nothing(&mut member).await;
        let Value::Array(pending) = server.say(&["XPENDING", "game", "all"]) else { panic!() };
        assert_eq!(pending[0], Value::Int(1));
    });
}

#[test]
fn a_shutdown_waits_for_the_server_no_longer_than_its_deadline() {
    on(&[], async |server| {
        let redis = started(server.url()).await;
        let mut member = redis.subscribe("game.>").unwrap().group("all").open().await.unwrap();
        publish(&redis, "game.1").await;
        let come = delivery(&mut member).await;
        let proxy_free = Instant::now();
        server.say(&["CLIENT", "PAUSE", "2000", "WRITE"]);
        come.ack();
        let error = redis.shutdown(Duration::from_millis(200)).await.unwrap_err();
        assert!(matches!(error.reason, Reason::TimedOut), "{error}");
        assert!(proxy_free.elapsed() < Duration::from_millis(1500));
    });
}

#[test]
fn it_connects_by_tls_to_a_server_that_it_trusts_and_to_no_other() {
    let (Some(ours), Some(other)) = (Authority::new(), Authority::new()) else { return };
    ours.sign("server");
    ours.sign("game");
    other.sign("game");
    let of = |name: &str| ours.path(name).display().to_string();
    let (certificate, key, ca) = (of("server.pem"), of("server.key"), of("ca.pem"));
    let options = [
        "--port",
        "0",
        "--tls-port",
        "PORT",
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-file",
        &ca,
    ];
    on(&options, async |server| {
        let url = server.url().replace("redis://", "rediss://");
        let with = |certificate: &Authority, ca: &Authority| {
            settings(&*url)
                .ca_file(ca.path("ca.pem"))
                .client_certificate(certificate.path("game.pem"), certificate.path("game.key"))
        };
        let redis = up(with(&ours, &ours)).await;
        let mut live = redis.subscribe(">").unwrap().open().await.unwrap();
        let mut group = redis.subscribe(">").unwrap().group("all").open().await.unwrap();
        publish(&redis, "game.started").await;
        drop(delivery(&mut live).await);
        delivery(&mut group).await.ack_async().await.unwrap();
        let channels = Redis::new(&*url).ca_file(ours.path("ca.pem"));
        let channels = channels.client_certificate(ours.path("game.pem"), ours.path("game.key"));
        let channels = up(channels).await;
        let mut heard = channels.subscribe(">").unwrap().open().await.unwrap();
        channels.publish(envelope("game.1")).await.unwrap();
        drop(delivery(&mut heard).await);

        for wrong in [with(&ours, &other), settings(&*url)] {
            let error = wrong.start().await.unwrap_err();
            assert!(matches!(error.reason, Reason::Refused(_)), "{error}");
        }
        // The server says so in a message after the handshake, or hangs up.
        with(&other, &ours).start().await.unwrap_err();
        let error = settings(server.url()).start().await.unwrap_err().to_string();
        assert!(error.contains("does it want TLS"), "{error}");
        let missing = settings(&*url).ca_file(ours.path("nothing.pem"));
        let error = missing.start().await.unwrap_err().to_string();
        assert!(error.contains("nothing.pem"), "{error}");
    });
}
