//! What servers, other clients and users do to an engine on purpose.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::task::Wake;
use core::pin::pin;
use core::task::{Context, Waker};
use core::time::Duration;
use std::time::Instant;

use redis::Value;
use tickbus::hosted::engines::Redis;
use tickbus::hosted::{Engine, Gap, GapReason, Health, OnStart, Reason};
use tokio::time::{sleep, timeout};

use crate::servers::authority::Authority;
use crate::servers::free_port;
use crate::{
    SOON, delivery, envelope, next, number, on, publish, run, settings, started, subject, until,
    up, value,
};

#[test]
fn a_shutdown_ends_a_start_that_waits() {
    run(async {
        let url = format!("redis://127.0.0.1:{}", free_port());
        let redis = settings(url).on_start(OnStart::Wait(SOON * 6));
        let began = Instant::now();
        let (start, end) = tokio::join!(redis.start(), async {
            sleep(Duration::from_millis(100)).await;
            redis.shutdown(SOON).await
        });
        assert!(matches!(start.unwrap_err().reason, Reason::Closed));
        end.unwrap();
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        assert_eq!(redis.health(), Health::Closed);
    });
}

struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("a waker of a user");
    }
}

#[test]
fn a_waker_that_panics_does_not_end_the_subscription() {
    on(&[], async |server| {
        let redis = started(server.url()).await;
        let mut live = redis.subscribe(">").unwrap().open().await.unwrap();
        let mut group = redis.subscribe(">").unwrap().group("all").open().await.unwrap();
        let waker = Waker::from(Arc::new(Panics));
        for from in [&mut live, &mut group] {
            let mut next = pin!(from.next());
            assert!(next.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        for wanted in ["game.1", "game.2"] {
            publish(&redis, wanted).await;
            assert_eq!(subject(&delivery(&mut live).await), wanted);
            let come = delivery(&mut group).await;
            assert_eq!((subject(&come), come.attempt()), (wanted, 1));
            come.ack_async().await.unwrap();
        }
    });
}

/// The stream is always shorter than what is read at once.
#[test]
fn a_short_stream_that_is_trimmed_between_two_reads_is_a_gap() {
    on(&[], async |server| {
        let redis = started(server.url()).await;
        publish(&redis, "game.first").await;
        let mut live = redis.subscribe(">").unwrap().capacity(1000).open().await.unwrap();
        let group = redis.subscribe(">").unwrap().group("all").in_flight(1000);
        let mut group = group.open().await.unwrap();
        publish(&redis, "game.0").await;
        drop(delivery(&mut live).await);
        delivery(&mut group).await.ack_async().await.unwrap();
        // One step of the server, while this thread does nothing: 190 are added, and 90 removed.
        let add = "for i = 1, 190 do redis.call('XADD', 'game', '*', 'subject', 'game.' .. i) end \
                   redis.call('XTRIM', 'game', 'MAXLEN', 100)";
        server.say(&["EVAL", add, "1", "game"]);
        for from in [&mut live, &mut group] {
            let (mut come, mut missed) = (0, 0);
            while come + missed < 190 {
                match next(from).await {
                    Ok(delivery) => {
                        come += 1;
                        delivery.ack();
                    }
                    Err(gap) => {
                        assert_eq!(gap.reason, GapReason::Trimmed);
                        missed += gap.missed.unwrap();
                    }
                }
            }
            assert_eq!((come, missed), (100, 90));
        }
    });
}

/// What the server says, also of a script.
fn is_forbidden(error: &str) -> bool {
    error.contains("no permission") || error.contains("permissions") || error.contains("can't run")
}

/// Rights that are missing are said where they are needed first.
#[test]
fn a_command_that_is_forbidden_is_said() {
    on(&[], async |server| {
        drop(started(server.url()).await);
        let may = |forbidden: &str| {
            let rules = ["on", "nopass", "~*", "&*", "+@all", forbidden];
            let rules = [&["ACL", "SETUSER", "arena"][..], &rules].concat();
            assert_eq!(server.say(&rules), Value::Okay);
            settings(server.url()).login("arena", "any").stream("game")
        };
        let redis = up(may("+xinfo")).await;
        let join = || {
            let group = redis.subscribe(">").unwrap().group("all");
            group.lease(Duration::from_millis(50)).open()
        };
        let mut member = join().await.unwrap();
        publish(&redis, "game.1").await;
        // Of a member that is silent: the next one has to take it over.
        drop(delivery(&mut member).await);
        drop(member);
        sleep(Duration::from_millis(100)).await;
        for forbidden in ["-xclaim", "-xreadgroup", "-xpending", "-xinfo"] {
            may(forbidden);
            let error = join().await.expect_err(forbidden).to_string();
            assert!(is_forbidden(&error), "{forbidden}: {error}");
        }
        may("+xclaim");
        delivery(&mut join().await.unwrap()).await.ack_async().await.unwrap();
        for (forbidden, group) in [("-xgroup", Some("new")), ("-xread", None)] {
            may(forbidden);
            let open = redis.subscribe(">").unwrap();
            let open = if let Some(group) = group { open.group(group) } else { open };
            let error = open.open().await.expect_err(forbidden).to_string();
            assert!(is_forbidden(&error), "{forbidden}: {error}");
        }
        let redis = up(may("-xadd")).await;
        let error = redis.publish(envelope("game.1")).await.unwrap_err();
        assert!(!error.is_unknown() && is_forbidden(&error.to_string()), "{error}");
        for forbidden in ["-evalsha", "-script"] {
            let forbidden = may(forbidden);
            let told = match forbidden.start().await {
                Err(error) => error.to_string(),
                Ok(()) => forbidden.publish(envelope("game.1")).await.unwrap_err().to_string(),
            };
            assert!(is_forbidden(&told), "{told}");
        }
        server.say(&["ACL", "SETUSER", "arena", "+@all", "resetchannels"]);
        let channels = Redis::new(server.url()).login("arena", "any");
        let channels = up(channels).await;
        for open in [channels.subscribe("game.1"), channels.subscribe(">")] {
            let error = open.unwrap().open().await.unwrap_err().to_string();
            assert!(is_forbidden(&error), "{error}");
        }
        let error = channels.publish(envelope("game.1")).await.unwrap_err();
        assert!(!error.is_unknown() && is_forbidden(&error.to_string()), "{error}");
    });
}

#[test]
fn rights_that_a_subscription_loses_are_said_by_the_health() {
    on(&[], async |server| {
        drop(started(server.url()).await);
        let may = |rules: &[&str]| {
            let rules = [&["ACL", "SETUSER", "arena", "on", "nopass"][..], rules].concat();
            assert_eq!(server.say(&rules), Value::Okay);
        };
        may(&["~*", "&*", "+@all"]);
        let streams = up(settings(server.url()).login("arena", "any")).await;
        let channels = up(Redis::new(server.url()).login("arena", "any")).await;
        let lost = |redis: &Redis| match redis.health() {
            Health::Down(why) => is_forbidden(&why),
            _ => false,
        };
        let group = streams.subscribe(">").unwrap().group("all").open().await.unwrap();
        may(&["-xreadgroup"]);
        until("it is said of the group", || lost(&streams)).await;
        publish(&streams, "game.1").await;
        may(&["+xreadgroup"]);
        until("it is over", || streams.health() == Health::Up).await;
        let mut group = group;
        delivery(&mut group).await.ack_async().await.unwrap();
        drop(group);
        let mut live = streams.subscribe(">").unwrap().open().await.unwrap();
        may(&["-xread"]);
        until("it is said of the live one", || lost(&streams)).await;
        may(&["+xread"]);
        until("it is over", || streams.health() == Health::Up).await;
        publish(&streams, "game.2").await;
        assert_eq!(subject(&delivery(&mut live).await), "game.2");
        // The server ends the connection of one that may no longer hear.
        let heard = channels.subscribe("game.>").unwrap().open().await.unwrap();
        may(&["resetchannels"]);
        until("it is said of the channel", || lost(&channels)).await;
        drop(heard);
        until("it ends with the subscription", || channels.health() == Health::Up).await;
    });
}

#[test]
fn a_certificate_for_another_machine_or_of_yesterday_is_not_trusted() {
    let Some(ours) = Authority::new() else { return };
    for (name, machine, days) in
        [("other", "IP:127.0.0.2,DNS:example.org", 2), ("old", "IP:127.0.0.1", -1)]
    {
        ours.sign_for(name, machine, days);
        let of = |it: &str| ours.path(it).display().to_string();
        let (certificate, key) = (of(&format!("{name}.pem")), of(&format!("{name}.key")));
        let options = ["--port", "0", "--tls-port", "PORT", "--tls-auth-clients", "no"];
        let options = [&options[..], &["--tls-cert-file", &certificate, "--tls-key-file", &key]];
        let ca = of("ca.pem");
        let options = [&options.concat()[..], &["--tls-ca-cert-file", &ca]].concat();
        on(&options, async |server| {
            let url = server.url().replace("redis://", "rediss://arena:wordof@");
            let redis = settings(url).ca_file(ours.path("ca.pem"));
            let error = redis.start().await.unwrap_err();
            assert!(matches!(error.reason, Reason::Refused(_)), "{name}: {error}");
            let told = format!("{error} {error:?} {redis:?}");
            assert!(told.contains("certificate") && !told.contains("wordof"), "{told}");
        });
    }
}

/// All connections at once, again and again, while events are published, handled and settled.
#[test]
fn connections_that_the_server_kills_lose_nothing() {
    on(&[], async |server| {
        let redis = Arc::new(started(server.url()).await);
        let group = redis.subscribe("game.>").unwrap().group("all").lease(Duration::from_secs(1));
        let mut group = group.open().await.unwrap();
        let publisher = redis.clone();
        let publishes = tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            for at in 0..200 {
                let mut event = number("game.1", at);
                // A repeat has the same id: it is one event.
                while let Err(error) = publisher.publish(event).await {
                    event = error.into_envelope();
                    sleep(Duration::from_millis(10)).await;
                }
                acknowledged.push(at);
                sleep(Duration::from_millis(5)).await;
            }
            acknowledged
        });
        let mut come = BTreeMap::<u32, usize>::new();
        let began = Instant::now();
        let mut kill_at = began;
        while come.len() < 200 {
            assert!(began.elapsed() < SOON * 3, "{come:?}");
            if !publishes.is_finished() && Instant::now() >= kill_at {
                for kind in ["normal", "pubsub"] {
                    server.say(&["CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes"]);
                }
                kill_at = Instant::now() + Duration::from_millis(200);
            }
            if let Ok(next) = timeout(Duration::from_millis(50), group.next()).await {
                let next = next.unwrap().expect("nothing is missing");
                *come.entry(value(&next)).or_default() += 1;
                next.ack();
            }
        }
        assert!(publishes.await.unwrap().iter().all(|at| come.contains_key(at)));
        assert!(group.stats().add_up());
        assert_eq!(server.say(&["XLEN", "game"]), Value::Int(200), "a repeat is the same event");
    });
}

#[test]
fn a_server_that_is_frozen_for_long_loses_nothing() {
    on(&[], async |server| {
        let redis = up(settings(server.url()).timeout(Duration::from_secs(1))).await;
        let group = redis.subscribe("game.>").unwrap().group("all").lease(Duration::from_secs(1));
        let mut group = group.open().await.unwrap();
        publish(&redis, "game.1").await;
        let held = delivery(&mut group).await;
        server.signal("-STOP");
        let error = redis.publish(envelope("game.2")).await.unwrap_err();
        assert!(error.is_unknown(), "{error}");
        held.ack(); // its answer does not come either
        until("it is noticed", || redis.health() != Health::Up).await;
        assert!(matches!(redis.health(), Health::Down(_)));
        sleep(Duration::from_millis(1200)).await;
        server.signal("-CONT");
        until("it is up", || redis.health() == Health::Up).await;
        for event in [error.into_envelope(), envelope("game.3")] {
            let mut event = event;
            while let Err(error) = redis.publish(event).await {
                event = error.into_envelope(); // on a slow machine
            }
        }
        let mut come = Vec::new();
        // What the server had given to the old connection comes when its lease ends.
        while !["game.2", "game.3"].iter().all(|it| come.iter().any(|come| come == it)) {
            let next = delivery(&mut group).await;
            come.push(subject(&next).to_owned());
            let _ = next.ack_async().await; // it may be late
        }
        assert_eq!(server.say(&["XLEN", "game"]), Value::Int(3), "a repeat is the same event");
    });
}

/// A password that is changed, and all clients put out, as after a leak.
#[test]
fn a_password_that_is_changed_is_said_until_it_is_changed_back() {
    on(&[], async |server| {
        let redis = up(settings(server.url()).login("default", "wordof")).await;
        let mut group = redis.subscribe(">").unwrap().group("all").open().await.unwrap();
        server.say(&["ACL", "SETUSER", "default", "resetpass", ">another"]);
        let put_out =
            [&["AUTH", "another"][..], &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]];
        server.say_all(&put_out);
        let refused =
            || matches!(redis.health(), Health::Down(why) if why.contains("authentication"));
        until("it is refused", refused).await;
        let error = redis.publish(envelope("game.1")).await.unwrap_err();
        let told = format!("{error} {error:?} {redis:?} {:?}", redis.health());
        assert!(!error.is_unknown() && !told.contains("wordof"), "{told}");
        server.say_all(&[&["AUTH", "another"], &["ACL", "SETUSER", "default", "nopass"]]);
        until("it is up", || redis.health() == Health::Up).await;
        publish(&redis, "game.1").await;
        delivery(&mut group).await.ack_async().await.unwrap();
    });
}

#[test]
fn a_stream_that_becomes_something_else_is_said_and_comes_back() {
    on(&[], async |server| {
        let redis = started(server.url()).await;
        let mut group = redis.subscribe(">").unwrap().group("all").open().await.unwrap();
        let mut live = redis.subscribe(">").unwrap().open().await.unwrap();
        publish(&redis, "game.1").await;
        delivery(&mut group).await.ack_async().await.unwrap();
        drop(delivery(&mut live).await);
        server.say(&["DEL", "game"]);
        server.say(&["SET", "game", "over"]);
        let error = redis.publish(envelope("game.2")).await.unwrap_err();
        assert!(!error.is_unknown() && error.to_string().contains("not a stream"), "{error}");
        sleep(Duration::from_millis(300)).await;
        server.say(&["FLUSHALL"]);
        // The stream that comes next is another one: both are told, before its first event or soon
        // after.
        publish(&redis, "game.3").await;
        for from in [&mut group, &mut live] {
            let (mut gaps, mut come) = (0, 0);
            while (gaps, come) != (1, 1) {
                match next(from).await {
                    Ok(delivery) => {
                        assert_eq!(subject(&delivery), "game.3");
                        come += 1;
                        delivery.ack();
                    }
                    Err(gap) => {
                        assert_eq!(gap, Gap::new(None, GapReason::Trimmed));
                        gaps += 1;
                    }
                }
                assert!(gaps <= 1 && come <= 1, "{gaps} gaps, {come} events");
            }
        }
    });
}
