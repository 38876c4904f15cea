//! How an engine starts and ends, and what it says of itself.

use core::time::Duration;

use tickbus::hosted::engines::kinesis::{Kinesis, MemoryLeases, Provision, unstable};
use tickbus::hosted::{Engine, Health, Level, OnStart, Reason};

use crate::server::{Server, config};
use crate::servers::authority::Authority;
use crate::servers::free_port;
use crate::{
    SECRET, SOON, delivery, envelope, on, publish, run, settings, started, subject, until, up,
};

#[test]
fn a_start_that_fails_says_why_and_no_secret() {
    run(async {
        let port = free_port();
        let absent = settings(format!("http://127.0.0.1:{port}"));
        let error = absent.publish(envelope("a")).await.unwrap_err();
        assert!(matches!(error.reason(), Reason::NotStarted));
        let error = absent.start().await.unwrap_err();
        assert!(matches!(error.reason, Reason::Disconnected(_)), "{error}");
        assert!(matches!(absent.health(), Health::Down(_)));
        let shown = format!("{error} {error:?} {absent:?} {:?}", absent.health());
        assert!(!shown.contains(SECRET), "{shown}");
        assert!(shown.contains("`game`") || shown.contains("\"game\""), "{shown}");

        let login = settings("http://user:wordofmine@127.0.0.1:1");
        assert!(!format!("{login:?}").contains("wordofmine"));
        // Other tests set no variables, and neither does this one.
        if std::env::var_os("AWS_ACCESS_KEY_ID").is_none() {
            let error = Kinesis::new("game").region("us-east-1").start().await.unwrap_err();
            assert!(error.to_string().contains("there are no credentials"), "{error}");
        }
        if std::env::var_os("AWS_REGION").is_none() {
            let error = Kinesis::new("game").credentials("a", "b").start().await.unwrap_err();
            assert!(error.to_string().contains("there is no region"), "{error}");
        }
        let missing = Kinesis::new("game").region("us-east-1").credentials("a", "b");
        let error = missing.ca_file("nothing.pem").start().await.unwrap_err();
        assert!(error.to_string().contains("nothing.pem"), "{error}");
        let plain = settings("http://127.0.0.1:1").ca_file("nothing.pem");
        let error = plain.start().await.unwrap_err().to_string();
        assert!(error.contains("a CA file is for TLS"), "{error}");
    });
}

#[test]
fn it_never_asks_a_server_that_it_must_not_ask() {
    run(async {
        let never = settings(format!("http://127.0.0.1:{}", free_port()));
        let never = up(never.provision(Provision::Never)).await;
        let error = never.publish(envelope("a")).await.unwrap_err();
        assert!(!error.is_unknown() && matches!(error.reason(), Reason::Disconnected(_)));
        until("it is noticed", || never.health() != Health::Up).await;
    });
}

#[test]
fn a_start_waits_or_goes_on_in_the_background() {
    let Some(mut server) = Server::start() else { return };
    server.kill();
    let url = server.url();
    let (waiting, behind) = run(async {
        let behind = up(settings(&*url).on_start(OnStart::Background)).await;
        assert!(matches!(behind.health(), Health::Connecting | Health::Down(_)));
        let error = behind.publish(envelope("a")).await.unwrap_err();
        assert!(matches!(error.reason(), Reason::Disconnected(_)), "{error}");
        let waiting = settings(&*url).on_start(OnStart::Wait(SOON));
        let start = async {
            waiting.start().await.unwrap();
            publish(&waiting, "game.1").await;
            until("it is up", || behind.health() == Health::Up).await;
            publish(&behind, "game.2").await;
        };
        let server = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            server.run();
        };
        let ((), ()) = tokio::join!(start, server);
        (waiting, behind)
    });
    assert_eq!((waiting.health(), behind.health()), (Health::Up, Health::Up));
}

#[test]
fn a_client_that_is_set_up_elsewhere_is_taken() {
    on(async |server| {
        server.client().create(1).await;
        let kinesis = unstable::from_config(config(&server.url()), "game");
        let kinesis = kinesis.poll_interval(Duration::from_millis(20));
        let kinesis = up(kinesis.lease_store(MemoryLeases::new())).await;
        let mut group = kinesis.subscribe("game.*").unwrap().group("all").open().await.unwrap();
        publish(&kinesis, "game.1").await;
        assert_eq!(subject(&delivery(&mut group).await), "game.1");
        assert!(format!("{kinesis:?}").contains("a client's"));
    });
}

#[test]
fn a_shutdown_waits_for_what_is_in_work_and_keeps_its_position() {
    on(async |server| {
        let leases = MemoryLeases::new();
        server.client().create(1).await;
        let engine = || settings(server.url()).lease_store(leases.clone());
        let kinesis = up(engine()).await;
        let mut group = kinesis.subscribe("game.>").unwrap().group("all").open().await.unwrap();
        for it in 1..=2 {
            publish(&kinesis, &format!("game.{it}")).await;
        }
        let held = delivery(&mut group).await;
        let shutdown = async {
            kinesis.shutdown(SOON).await.unwrap();
        };
        let work = async {
            assert!(group.next().await.is_none(), "nothing new begins");
            let error = kinesis.publish(envelope("game.3")).await.unwrap_err();
            assert!(matches!(error.reason(), Reason::Closed), "{error}");
            held.ack_async().await.unwrap();
        };
        let ((), ()) = tokio::join!(shutdown, work);
        assert_eq!(kinesis.health(), Health::Closed);
        let next = up(engine()).await;
        let mut group = next.subscribe("game.>").unwrap().group("all").open().await.unwrap();
        let two = delivery(&mut group).await;
        assert_eq!((subject(&two), two.attempt()), ("game.2", 1));
    });
}

#[test]
fn it_connects_by_tls_to_a_server_that_it_trusts_and_to_no_other() {
    let (Some(ours), Some(other)) = (Authority::new(), Authority::new()) else { return };
    ours.sign("server");
    let of = |name: &str| ours.path(name).display().to_string();
    let options =
        format!(r#"{{"ssl":true,"key":"{}","cert":"{}"}}"#, of("server.key"), of("server.pem"));
    let Some(server) = Server::with(&options) else { return };
    run(async {
        let url = server.url().replace("http://", "https://");
        let kinesis = up(settings(&*url).ca_file(ours.path("ca.pem"))).await;
        let receipt = kinesis.publish(envelope("game.started")).await.unwrap();
        assert_eq!(receipt.level, Level::Stored);
        for wrong in [settings(&*url).ca_file(other.path("ca.pem")), settings(&*url)] {
            let error = wrong.start().await.unwrap_err();
            assert!(error.to_string().contains("certificate"), "{error}");
        }
        let error = settings(server.url()).start().await.unwrap_err();
        assert!(matches!(error.reason, Reason::Disconnected(_)), "{error}");
    });
}

#[cfg(feature = "yaml")]
#[test]
fn a_configuration_builds_it() {
    use tickbus::hosted::config::{Config, Registry};

    on(async |server| {
        let text = |more: &str| {
            format!(
                "engines:\n  - name: fleet\n    type: kinesis\n    config: {{ region: eu-west-1, \
                 streamName: shots, shardCount: 3, endpoint: \"{}\", accessKeyId: id, \
                 secretAccessKey: {SECRET}, provision: create, pollInterval: 20ms{more} }}\n",
                server.url()
            )
        };
        let config = Config::from_yaml(&text(", leases: memory")).unwrap();
        let engines = Registry::new().build(&config).unwrap();
        let fleet = &engines[0];
        assert!(!fleet.outlives_process());
        fleet.start().await.unwrap();
        let shards = server.client().0.list_shards().stream_name("shots").send().await.unwrap();
        assert_eq!(shards.shards.unwrap().len(), 3);
        let mut group = fleet.subscribe("game.*").unwrap().group("all").open().await.unwrap();
        fleet.publish(envelope("game.1")).await.unwrap();
        assert_eq!(subject(&delivery(&mut group).await), "game.1");
        for (more, expected) in [
            (", leasesUrl: \"postgres://h/d\"", "`engines[0].config.leasesUrl`"),
            (", leases: postgres", "`engines[0].config.leasesUrl`"),
            (", leases: disk", "`engines[0].config.leases`"),
            (", sessionTokens: x", "did you mean `sessionToken`?"),
        ] {
            let error = match Config::from_yaml(&text(more)) {
                Ok(config) => Registry::new().build(&config).map(drop).unwrap_err(),
                Err(error) => error,
            };
            let error = error.to_string();
            assert!(error.contains(expected) && !error.contains(SECRET), "{more}: {error}");
        }
    });
}

#[test]
fn an_engine_that_is_dropped_ends_its_tasks() {
    on(async |server| {
        let kinesis = started(server.url()).await;
        let mut live = kinesis.subscribe("game.>").unwrap().open().await.unwrap();
        kinesis.shutdown(Duration::ZERO).await.ok();
        assert!(live.next().await.is_none());
        kinesis.shutdown(Duration::ZERO).await.unwrap();
    });
}
