//! Servers that end and come back.

use core::time::Duration;
use std::fs;
use std::path::Path;
use std::time::Instant;

use tickbus::hosted::{Engine, Gap, GapReason, Health, Reason, SettleError};
use tokio::time::{sleep, timeout};

use crate::server::{Beside, Server};
use crate::servers::{Proxy, folder, free_port};
use crate::{
    SOON, client, delivery, envelope, group, next, nothing, number, on, position, publish, run,
    settings, started, trim, until, up, value,
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
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(SOON, publish()).await.expect("it is there again");
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

/// Runs a test on a server that has moods: a file in the folder switches one on.
fn on_moody(test: impl AsyncFn(Server, &str, &Path)) {
    on(async |server| {
        let (port, folder) = (free_port(), folder());
        let arguments = [&*server.port().to_string(), &*folder.display().to_string()];
        let Some(_beside) = Beside::start(port, "moody", &arguments) else { return };
        test(server, &format!("127.0.0.1:{port}"), &folder).await;
        let _ = fs::remove_dir_all(&folder);
    });
}

#[test]
fn what_the_retention_removed_is_told_if_the_server_said_late_where_the_group_was() {
    on_moody(async |server, moody, moods| {
        let kafka = up(settings(moody).timeout(Duration::from_secs(1))).await;
        let open = || group(&kafka, ">", "all").open();
        let mut all = open().await.unwrap();
        publish(&kafka, "game.0").await;
        delivery(&mut all).await.ack_async().await.unwrap();
        drop(all);
        for at in 1..6 {
            publish(&kafka, &format!("game.{at}")).await;
        }
        trim(&client(&server.brokers()).await.admin(), 4).await;
        fs::write(moods.join("deaf"), "").unwrap();
        let mut all = open().await.unwrap();
        assert_eq!(next(&mut all).await.unwrap_err(), Gap::new(Some(3), GapReason::Trimmed));
        for wanted in ["game.4", "game.5"] {
            let come = delivery(&mut all).await;
            assert_eq!(come.envelope().subject().as_str(), wanted);
            come.ack_async().await.unwrap();
        }
        nothing(&mut all).await;
    });
}

#[test]
fn a_server_that_keeps_little_beside_a_position_keeps_the_position() {
    on_moody(async |server, moody, moods| {
        let kafka = up(settings(moody)).await;
        fs::write(moods.join("short"), "").unwrap();
        let open = || {
            let several = (0..40).fold(group(&kafka, "game.>", "all"), |open, at| {
                open.or(&format!("number-{at}.>")).unwrap()
            });
            several.open()
        };
        let mut all = open().await.unwrap();
        for at in 0..2 {
            kafka.publish(number("game.shot", at)).await.unwrap();
            delivery(&mut all).await.ack_async().await.unwrap();
        }
        drop(all);
        let admin = client(&server.brokers()).await.admin();
        assert_eq!(position(&admin, "all", 0).await, Some(2));
        // It is the same group without what could not be said.
        let mut all = open().await.unwrap();
        kafka.publish(number("game.shot", 2)).await.unwrap();
        let come = delivery(&mut all).await;
        assert_eq!(value(&come), 2);
        come.ack_async().await.unwrap();
    });
}

#[test]
fn a_refused_commit_is_repeated_after_a_pause() {
    on_moody(async |server, moody, moods| {
        let kafka = up(settings(moody).commit_interval(Duration::ZERO)).await;
        let mut all = group(&kafka, "game.>", "all").open().await.unwrap();
        publish(&kafka, "game.0").await;
        let come = delivery(&mut all).await;
        // It has a byte for each commit that was refused.
        let denies = moods.join("denies");
        fs::write(&denies, "").unwrap();
        let refused = || fs::metadata(&denies).unwrap().len();
        let error = come.ack_async().await.unwrap_err();
        assert!(matches!(error, SettleError::Failed(Reason::Refused(_))), "{error}");
        let (began, before) = (Instant::now(), refused());
        sleep(Duration::from_millis(500)).await;
        let (again, most) = (refused() - before, began.elapsed().as_millis() / 20 + 1);
        assert!(again > 1 && u128::from(again) <= most, "{again} of at most {most}");

        fs::remove_file(&denies).unwrap();
        let admin = client(&server.brokers()).await.admin();
        let told = async {
            while position(&admin, "all", 0).await != Some(1) {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(SOON, told).await.expect("the position is told");
    });
}
