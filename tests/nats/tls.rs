//! TLS, with certificates that a test makes.

use tickbus::hosted::{Engine, Level, Reason};

use crate::servers::authority::Authority;
use crate::servers::{Nats as Server, TestServer};
use crate::{envelope, run, settings};

#[test]
fn it_connects_by_tls_to_a_server_that_it_trusts_and_to_no_other() {
    let (Some(ours), Some(other)) = (Authority::new(), Authority::new()) else { return };
    ours.sign("server");
    ours.sign("game");
    other.sign("game");
    let of = |name: &str| ours.path(name).display().to_string();
    let configuration = format!(
        "tls {{ cert_file: \"{}\", key_file: \"{}\", ca_file: \"{}\", verify: true }}",
        of("server.pem"),
        of("server.key"),
        of("ca.pem"),
    );
    for kind in Server::BOTH {
        let Some(server) = TestServer::start(kind, &configuration) else { continue };
        run(async {
            let url = server.url().replace("nats://", "tls://");
            let with = |certificate: &Authority, ca: &Authority| {
                settings(&*url)
                    .ca_file(ca.path("ca.pem"))
                    .client_certificate(certificate.path("game.pem"), certificate.path("game.key"))
            };
            let nats = with(&ours, &ours);
            nats.start().await.unwrap();
            let receipt = nats.publish(envelope("game.started")).await.unwrap();
            assert_eq!(receipt.level, Level::Stored);

            for wrong in [with(&ours, &other), with(&other, &ours), settings(&*url)] {
                let error = wrong.start().await.unwrap_err();
                assert!(matches!(error.reason, Reason::Refused(_)), "{error}");
            }
            let error = settings(server.url()).start().await.unwrap_err().to_string();
            assert!(error.contains("a URL that begins with `tls://`"), "{error}");
            let plain = TestServer::start(kind, "").expect("it has started before");
            let wants = settings(plain.url().replace("nats://", "tls://"));
            let error = wants.start().await.unwrap_err().to_string();
            assert!(error.contains("does the server speak TLS?"), "{error}");
            let missing = settings(&*url).ca_file(ours.path("nothing.pem"));
            let error = missing.start().await.unwrap_err().to_string();
            assert!(error.contains("nothing.pem"), "{error}");
        });
    }
}
