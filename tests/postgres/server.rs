//! A Postgres server for tests: found or skipped, on loopback and a free port, ended with this process.

use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use std::env;
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::Instant;

use crate::servers::conformance::version;
use crate::servers::{free_port, skip};

/// How long a server may take until it answers.
const START: Duration = Duration::from_secs(20);
/// Who may log in, and how.
const LOGINS: &str =
    "host all locked 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n";

/// A server that ends with this value, or with this process however that ends.
#[derive(Debug)]
pub(crate) struct Postgres {
    binaries: PathBuf,
    folder: PathBuf,
    port: u16,
    options: Vec<String>,
    keeper: Option<(Child, ChildStdin)>,
}

/// Where `initdb` and `postgres` are.
fn binaries() -> Option<PathBuf> {
    if let Some(path) = env::var_os("POSTGRES_BIN") {
        return Some(path.into());
    }
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    found.sort();
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = found.into_iter().rev().chain(env::split_paths(&path));
    folders.into_iter().find(|folder| folder.join("initdb").is_file())
}

/// Postgres refuses to run as root.
fn as_its_user(program: &Path) -> Command {
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n");
    if !is_root {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
    command
}

impl Postgres {
    /// Starts a server with these options. `None`, and it says so, if there is no binary; a panic if
    /// `REQUIRE_SERVERS` is 1.
    pub(crate) fn start(options: &[&str]) -> Option<Self> {
        let Some(binaries) = binaries() else {
            skip("no Postgres server: `.ci/servers` installs it");
            return None;
        };
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        // Not in the target folder, which another user may not be able to reach.
        let folder = env::temp_dir().join(format!("tickbus-pg-{}-{next}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("the folder of a test");
        let _ = Command::new("chown").arg("postgres").arg(&folder).stderr(Stdio::null()).status();
        let data = folder.join("data");
        let made = as_its_user(&binaries.join("initdb"))
            .arg("-D")
            .arg(&data)
            .args(["--no-sync", "--auth=trust", "--username=postgres"])
            .args(["--encoding=UTF8", "--locale=C"])
            .current_dir(&folder)
            .output()
            .expect("initdb runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        fs::write(data.join("pg_hba.conf"), LOGINS).expect("who may log in");
        let options = options.iter().map(|option| (*option).into()).collect();
        let mut server = Self { binaries, folder, port: free_port(), options, keeper: None };
        server.run();
        Some(server)
    }

    /// Starts a server that speaks TLS only.
    pub(crate) fn with_certificate(
        authority: &crate::servers::authority::Authority,
    ) -> Option<Self> {
        let mut server = Self::start(&[])?;
        server.kill();
        let data = server.folder.join("data");
        for (from, to) in [("server.pem", "server.crt"), ("server.key", "server.key")] {
            let to = data.join(to);
            fs::copy(authority.path(from), &to).expect("a certificate");
            let path = to.display().to_string();
            let _ = Command::new("chown").args(["postgres", &path]).stderr(Stdio::null()).status();
            assert!(
                Command::new("chmod").args(["600", &path]).status().is_ok_and(|it| it.success())
            );
        }
        fs::write(data.join("pg_hba.conf"), "hostssl all all 127.0.0.1/32 trust\n")
            .expect("a rule");
        server.options.push("ssl=on".into());
        server.run();
        Some(server)
    }

    /// Starts it again, on its port and its data. A shell ends it when this process has ended.
    pub(crate) fn run(&mut self) {
        assert!(self.keeper.is_none(), "the server runs already");
        let began = Instant::now();
        while !self.run_once() {
            // What was killed may still hold its memory.
            let log = || fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(began.elapsed() < START, "the server does not start: {}", log());
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn run_once(&mut self) -> bool {
        let log = fs::File::create(self.folder.join("log")).expect("a log");
        let script = "folder=$1; shift; \"$@\" & echo $! >\"$folder/pid\"; read -r _; \
                      kill -QUIT $!; wait; rm -rf \"$folder\"";
        let mut child = as_its_user(Path::new("sh"))
            .args(["-c", script, "sh"])
            .arg(&self.folder)
            .arg(self.binaries.join("postgres"))
            .arg("-D")
            .arg(self.folder.join("data"))
            .args(["-p", &self.port.to_string()])
            .args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="])
            .args(["-c", "fsync=off", "-c", "shared_buffers=32MB"])
            .args(self.options.iter().flat_map(|option| ["-c", option]))
            .current_dir(&self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the server starts");
        let stdin = child.stdin.take().expect("a pipe");
        self.keeper = Some((child, stdin));
        let began = Instant::now();
        loop {
            // After a kill there is the file of the one before.
            let status = fs::read_to_string(self.folder.join("data/postmaster.pid"));
            let status = status.unwrap_or_default();
            let is_own = status.lines().next() == self.pid().as_deref();
            if is_own && status.lines().nth(7).is_some_and(|it| it.trim() == "ready") {
                break;
            }
            if !self.is_alive() || began.elapsed() > START {
                self.kill();
                return false;
            }
            thread::sleep(Duration::from_millis(10));
        }
        TcpStream::connect(("127.0.0.1", self.port)).is_ok()
    }

    fn pid(&self) -> Option<String> {
        let pid = fs::read_to_string(self.folder.join("pid")).ok()?;
        (!pid.trim().is_empty()).then(|| pid.trim().into())
    }

    /// A process that has ended is a zombie while the shell does not wait for it.
    fn is_alive(&self) -> bool {
        let Some(pid) = self.pid() else { return true }; // the shell has just begun
        let status = fs::read_to_string(format!("/proc/{pid}/status"));
        status.is_ok_and(|it| !it.contains("State:\tZ"))
    }

    /// Kills all its processes as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        if let Some((mut keeper, _stdin)) = self.keeper.take() {
            if let Some(pid) = self.pid() {
                let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
                let children = children.unwrap_or_default();
                let all = core::iter::once(&*pid).chain(children.split_whitespace());
                let _ = Command::new("kill").arg("-9").args(all).stderr(Stdio::null()).status();
            }
            let _ = keeper.kill();
            let _ = keeper.wait();
            let _ = fs::remove_file(self.folder.join("pid"));
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn version(&self) -> String {
        version(&self.binaries.join("postgres"), "--version")
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some((mut keeper, stdin)) = self.keeper.take() {
            drop(stdin); // the shell ends the server
            let _ = keeper.wait();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The one server of all tests that do it no harm. It ends with this process.
pub(crate) fn shared() -> Option<&'static Postgres> {
    static SHARED: OnceLock<Option<Postgres>> = OnceLock::new();
    SHARED.get_or_init(|| Postgres::start(&[])).as_ref()
}
