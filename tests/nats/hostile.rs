//! What machines and users do to an engine on purpose.

use std::time::Instant;

use tickbus::Envelope;
use tickbus::hosted::{Engine, Reason, StartAt};
use tokio::time::sleep;

use crate::servers::authority::Authority;
use crate::servers::{Nats as Server, TestServer};
use crate::small_disk::Disk;
use crate::{SOON, delivery, run, settings, started};

#[test]
fn a_certificate_for_another_machine_or_of_yesterday_is_not_trusted() {
    let Some(ours) = Authority::new() else { return };
    for (name, machine, days) in
        [("other", "IP:127.0.0.2,DNS:example.org", 2), ("old", "IP:127.0.0.1", -1)]
    {
        ours.sign_for(name, machine, days);
        let of = |it: &str| ours.path(&format!("{name}.{it}")).display().to_string();
        let lines = format!("tls {{ cert_file: \"{}\", key_file: \"{}\" }}", of("pem"), of("key"));
        let Some(server) = TestServer::start(Server::New, &lines) else { return };
        run(async {
            let url = server.url().replace("nats://", "tls://arena:wordof@");
            let nats = settings(url).ca_file(ours.path("ca.pem"));
            let error = nats.start().await.unwrap_err();
            assert!(matches!(error.reason, Reason::Refused(_)), "{name}: {error}");
            let told = format!("{error} {error:?} {nats:?}");
            assert!(told.contains("certificate") && !told.contains("wordof"), "{told}");
        });
    }
}

#[test]
fn a_full_disk_is_said_and_nothing_acknowledged_is_lost() {
    for server in Server::BOTH {
        let Some(disk) = Disk::new() else { return };
        let lines = format!("jetstream {{ store_dir: \"{}\" }}", disk.folder());
        let Some(mut server) = TestServer::start(server, &lines) else { continue };
        run(async {
            let nats = started(server.url()).await;
            disk.leave(300_000);
            let mut acknowledged = Vec::new();
            let began = Instant::now();
            let mut refused = None;
            while refused.is_none() {
                assert!(began.elapsed() < SOON, "the disk is never full");
                let large = Envelope::new("game.hit").unwrap().with_bytes(vec![7; 20_000]);
                let id = large.id().to_owned();
                match nats.publish(large.into()).await {
                    Ok(_) => acknowledged.push(id),
                    Err(error) => refused = Some(error),
                }
            }
            println!("{:?}", refused.as_ref().map(ToString::to_string));
            disk.make_room();
            let mut again = refused.unwrap().into_envelope();
            let last = again.id().to_owned();
            let mut anew = false;
            while let Err(error) = nats.publish(again).await {
                println!("{error}");
                assert!(began.elapsed() < SOON * 2, "{error}");
                again = error.into_envelope();
                if began.elapsed() > SOON / 2 && !anew {
                    // A server that has given its storage up needs a start of its own.
                    anew = true;
                    server.kill();
                    server.run();
                }
                sleep(core::time::Duration::from_millis(100)).await;
            }
            acknowledged.push(last);
            let all = nats.subscribe("game.>").unwrap().group("all").start_at(StartAt::Earliest);
            let mut all = all.open().await.unwrap();
            while !acknowledged.is_empty() {
                let come = delivery(&mut all).await;
                acknowledged.retain(|id| id != come.envelope().id());
                come.ack();
            }
        });
    }
}
