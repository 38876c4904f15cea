//! A disk that is full.

use core::time::Duration;
use std::time::Instant;

use tickbus::Envelope;
use tickbus::hosted::{Engine, Health};
use tokio::time::sleep;

use crate::server::Server;
use crate::small_disk::Disk;
use crate::{SOON, delivery, next, publish, run, started, until};

/// With `always` a server that cannot write ends. Otherwise it refuses.
#[test]
fn a_full_disk_is_said_and_nothing_acknowledged_is_lost() {
    for sync in ["everysec", "always"] {
        let Some(disk) = Disk::new() else { return };
        let folder = disk.folder();
        let options = ["--dir", &folder, "--appendfsync", sync];
        let Some(mut server) = Server::start(&options) else { return };
        run(async {
            let redis = started(server.url()).await;
            let group = redis.subscribe(">").unwrap().group("all").lease(Duration::from_secs(1));
            let mut group = group.open().await.unwrap();
            publish(&redis, "game.first").await;
            delivery(&mut group).await.ack_async().await.unwrap();
            disk.leave(200_000);
            let mut acknowledged = Vec::new();
            let began = Instant::now();
            let error = loop {
                assert!(began.elapsed() < SOON, "the disk is never full");
                let large = Envelope::new("game.hit").unwrap().with_bytes(vec![7; 20_000]);
                let id = large.id().to_owned();
                match redis.publish(large.into()).await {
                    Ok(_) => acknowledged.push(id),
                    Err(error) => break error,
                }
            };
            if sync == "everysec" {
                assert!(!error.is_unknown() && error.to_string().contains("No space"), "{error}");
                disk.make_room();
            } else {
                assert!(error.is_unknown(), "{error}");
                until("it is noticed", || redis.health() != Health::Up).await;
                disk.make_room();
                server.kill();
                server.run();
                until("it is up", || redis.health() == Health::Up).await;
            }
            // The server looks once a second whether there is room.
            let mut again = error.into_envelope();
            let last = again.id().to_owned();
            while let Err(error) = redis.publish(again).await {
                assert!(began.elapsed() < SOON, "{error}");
                again = error.into_envelope();
                sleep(Duration::from_millis(50)).await;
            }
            acknowledged.push(last);
            if sync == "everysec" {
                sleep(Duration::from_millis(1500)).await; // it is on the disk
                server.kill();
                server.run();
                until("it is up", || redis.health() == Health::Up).await;
            }
            while !acknowledged.is_empty() {
                assert!(began.elapsed() < SOON * 2, "lost: {}", acknowledged.len());
                if let Ok(come) = next(&mut group).await {
                    acknowledged.retain(|id| id != come.envelope().id());
                    let _ = come.ack_async().await; // else it comes again
                }
            }
        });
    }
}
