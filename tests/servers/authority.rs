//! Certificates for TLS, which `openssl` makes.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{folder, skip};

/// Signs certificates for this machine.
#[derive(Debug)]
pub(crate) struct Authority {
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
    pub(crate) fn new() -> Option<Self> {
        let folder = folder();
        let ca = format!("req -x509 {KEY} -keyout ca.key -out ca.pem -days 2 -subj /CN=authority");
        if openssl(&folder, &ca) {
            return Some(Self { folder });
        }
        skip("no openssl, which makes certificates");
        None
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Makes a certificate and its key, for this machine.
    pub(crate) fn sign(&self, name: &str) {
        self.sign_for(name, "IP:127.0.0.1", 2);
    }

    /// Makes a certificate and its key for another machine, or one that has expired.
    pub(crate) fn sign_for(&self, name: &str, machine: &str, days: i32) {
        let request = format!("req {KEY} -keyout {name}.key -out {name}.csr -subj /CN={name}");
        let machine = format!("subjectAltName={machine}\n");
        std::fs::write(self.path("ext"), machine).unwrap();
        let sign = format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days {days} \
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
