//! TLS, with certificates that a test makes.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tickbus::hosted::{Engine, Level, Reason};

use crate::servers::{Nats as Server, TestServer, folder, skip};
use crate::{envelope, run, settings};

struct Authority {
    folder: PathBuf,
}

fn openssl(folder: &Path, arguments: &str) -> bool {
    let done = Command::new("openssl")
        .args(arguments.split(' '))
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    done.is_ok_and(|status| status.success())
}

const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";

impl Authority {
    fn new() -> Option<Self> {
        let folder = folder();
        let ca = format!("req -x509 {KEY} -keyout ca.key -out ca.pem -days 2 -subj /CN=authority");
        if openssl(&folder, &ca) {
            return Some(Self { folder });
        }
        skip("no openssl, which makes certificates");
        None
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Makes a certificate and its key, for this machine.
    fn sign(&self, name: &str) {
        let request = format!("req {KEY} -keyout {name}.key -out {name}.csr -subj /CN={name}");
        std::fs::write(self.path("ext"), "subjectAltName=IP:127.0.0.1\n").unwrap();
        let sign = format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
             -out {name}.pem -extfile ext"
        );
        assert!(openssl(&self.folder, &request) && openssl(&self.folder, &sign));
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

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
    for server in Server::BOTH {
        let Some(server) = TestServer::start(server, &configuration) else { continue };
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
            let missing = settings(&*url).ca_file(ours.path("nothing.pem"));
            let error = missing.start().await.unwrap_err().to_string();
            assert!(error.contains("nothing.pem"), "{error}");
        });
    }
}
