//! How an engine starts, and what it needs at the server.

use core::time::Duration;
use std::time::Instant;

use tickbus::hosted::engines::Kafka;
use tickbus::hosted::engines::kafka::{Mechanism, Provision};
use tickbus::hosted::{Engine, Health, OnStart, Reason, StartError};

use crate::server::{Beside, Server, Which};
use crate::servers::authority::Authority;
use crate::servers::free_port;
use crate::{
    client, delivery, envelope, group, number, on, run, settings, started, until, up, value,
};

async fn refused(kafka: Kafka) -> StartError {
    kafka.start().await.expect_err("it does not start")
}

#[test]
fn a_missing_topic_is_an_error_that_names_it_or_is_made() {
    on(async |server| {
        let at = || settings(server.brokers()).topic("none");
        let error = refused(at().provision(Provision::Check)).await.to_string();
        assert!(error.contains("the topic `none` does not exist"), "{error}");

        let never = up(at().provision(Provision::Never)).await;
        let began = Instant::now();
        let error = never.publish(envelope("game.1")).await.unwrap_err();
        assert!(!error.is_unknown() && error.to_string().contains("`none`"), "{error}");
        assert!(began.elapsed() < Duration::from_secs(2), "it does not wait for one");
        let error = group(&never, "game.>", "all").open().await.unwrap_err().to_string();
        assert!(error.contains("the topic `none` does not exist"), "{error}");
        let error = never.subscribe("game.>").unwrap().open().await.unwrap_err().to_string();
        assert!(error.contains("the topic `none` does not exist"), "{error}");

        let create = at().provision(Provision::Create).partitions(3);
        let created = up(create).await;
        created.publish(envelope("game.1")).await.unwrap();
        let admin = client(&server.brokers()).await.admin();
        let topics = admin.describe_topics(["none"], Default::default()).await.unwrap();
        assert_eq!(topics["none"].as_ref().unwrap().partitions.len(), 3);
        // It is seen where it was missing.
        until("it is there", || never.capabilities().payload_limit().is_some()).await;
        never.publish(envelope("game.2")).await.unwrap();

        let error = refused(settings(server.brokers()).topic("user.*")).await.to_string();
        assert!(error.contains("`user.*` is not the name of a topic"), "{error}");
    });
}

#[test]
fn without_a_server_a_start_fails_or_goes_on_in_the_background() {
    run(async {
        let nowhere = format!("127.0.0.1:{}", free_port());
        let error = refused(settings(&*nowhere)).await;
        assert!(matches!(error.reason, Reason::Disconnected(_)), "{error}");
        assert!(error.to_string().contains(&nowhere), "{error}");
        let kafka = up(settings(&*nowhere).on_start(OnStart::Background)).await;
        until("it tried", || kafka.health() == Health::Connecting).await;
        let error = kafka.publish(envelope("game.1")).await.unwrap_err();
        assert!(!error.is_unknown(), "{error}");
        kafka.shutdown(Duration::ZERO).await.unwrap();
        assert_eq!(kafka.health(), Health::Closed);
        let error = refused(settings("no port")).await.to_string();
        assert!(error.contains("no port"), "{error}");
    });
}

#[test]
fn a_login_that_a_server_refuses_is_an_error_and_not_shown() {
    // The servers here know no logins.
    let port = free_port();
    let Some(_server) = Beside::start(port, "login", &[]) else { return };
    run(async {
        let at = |mechanism| {
            let kafka = settings(format!("127.0.0.1:{port}")).login(mechanism, "game", "hunter2");
            // It does not wait: a wrong password is as wrong later.
            kafka.on_start(OnStart::Wait(Duration::from_secs(30)))
        };
        for mechanism in [Mechanism::Plain, Mechanism::ScramSha256, Mechanism::ScramSha512] {
            let began = Instant::now();
            let error = refused(at(mechanism)).await;
            assert!(matches!(error.reason, Reason::Refused(_)), "{mechanism:?}: {error}");
            assert!(began.elapsed() < Duration::from_secs(10), "{mechanism:?}");
            let shown = format!("{error} {error:?}");
            assert!(shown.contains("uthentication"), "{shown}");
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    });
}

#[test]
fn an_authority_is_trusted_or_the_server_is_not() {
    let Some(authority) = Authority::new() else { return };
    authority.sign("server");
    let path = |name: &str| authority.path(name).display().to_string();
    let port = free_port();
    // Its own TLS cannot be switched on: it refuses a certificate with a key.
    let Some(server) = Server::behind(port) else { return };
    let (behind, certificate, key) =
        (server.port().to_string(), path("server.pem"), path("server.key"));
    let Some(_tls) = Beside::start(port, "tls", &[&behind, &certificate, &key]) else { return };
    run(async {
        let at = || settings(format!("127.0.0.1:{port}"));
        let kafka = up(at().ca_file(path("ca.pem"))).await;
        let mut live = kafka.subscribe("game.>").unwrap().open().await.unwrap();
        let mut all = group(&kafka, "game.>", "all").open().await.unwrap();
        kafka.publish(number("game.1", 7)).await.unwrap();
        assert_eq!(value(&delivery(&mut live).await), 7);
        let come = delivery(&mut all).await;
        assert_eq!(value(&come), 7);
        come.ack_async().await.unwrap();

        let error = refused(at().tls()).await;
        assert!(matches!(error.reason, Reason::Refused(_)), "{error}");
        let other = Authority::new().unwrap();
        let error = refused(at().ca_file(other.path("ca.pem"))).await;
        assert!(matches!(error.reason, Reason::Refused(_)), "{error}");
        let error = refused(at().ca_file("/no/such/file")).await.to_string();
        assert!(error.contains("/no/such/file"), "{error}");
        // Without TLS it understands nothing.
        refused(at()).await;
    });
}

#[test]
fn another_server_of_the_protocol_has_groups_too() {
    let Some(server) = Server::start(Which::Tansu) else { return };
    run(async {
        let kafka = started(server.brokers()).await;
        let mut all = group(&kafka, "game.*", "all").open().await.unwrap();
        for at in 0..10 {
            kafka.publish(number("game.shot", at)).await.unwrap();
        }
        for at in 0..10 {
            let come = delivery(&mut all).await;
            assert_eq!(value(&come), at);
            come.ack_async().await.unwrap();
        }
        drop(all);
        kafka.publish(number("game.shot", 10)).await.unwrap();
        let mut all = group(&kafka, "game.*", "all").open().await.unwrap();
        assert_eq!(value(&delivery(&mut all).await), 10, "it continues");
    });
}
