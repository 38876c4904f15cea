//! Real servers for tests: found or skipped, on loopback and a free port, ended by their process id. And what
//! the tests of several engines share.
#![expect(dead_code, reason = "the tests of each engine use a part")]

pub(crate) mod authority;
pub(crate) mod conformance;
pub(crate) mod cost;
pub(crate) mod events;
pub(crate) mod jepsen;
pub(crate) mod process;

use alloc::sync::Arc;
use core::net::{Ipv4Addr, SocketAddr};
use core::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use core::time::Duration;
use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

/// How long a server may take until it answers.
const START: Duration = Duration::from_secs(10);

/// Which of the two servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nats {
    /// 2.9, of Debian: without consumers of several filters.
    Old,
    /// 2.15, of the index of Python.
    New,
}

impl Nats {
    pub(crate) const BOTH: [Self; 2] = [Self::Old, Self::New];

    pub(crate) fn binary(self) -> Option<PathBuf> {
        let variable = match self {
            Self::Old => "NATS_SERVER_OLD",
            Self::New => "NATS_SERVER_NEW",
        };
        if let Some(path) = env::var_os(variable) {
            return Some(path.into());
        }
        let mut found: Vec<PathBuf> = match self {
            Self::Old => {
                let path = env::var_os("PATH").unwrap_or_default();
                env::split_paths(&path).chain(["/usr/sbin".into()]).collect()
            }
            Self::New => {
                let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().map(Path::to_owned);
                let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
                let unpacked = |folder: PathBuf| fs::read_dir(folder.join("servers")).ok();
                let folders = target.into_iter().chain([beside]).filter_map(unpacked).flatten();
                folders.filter_map(|folder| Some(folder.ok()?.path())).collect()
            }
        };
        found.iter_mut().for_each(|folder| folder.push("nats-server"));
        found.into_iter().find(|binary| binary.is_file())
    }
}

/// A server that ends with this value.
#[derive(Debug)]
pub(crate) struct TestServer {
    binary: PathBuf,
    folder: PathBuf,
    port: u16,
    options: Vec<String>,
    child: Option<Child>,
}

impl TestServer {
    /// Starts a server with `JetStream` and these lines of configuration. `None`, and it says so, if
    /// there is no binary; a panic if `REQUIRE_SERVERS` is 1.
    pub(crate) fn start(nats: Nats, configuration: &str) -> Option<Self> {
        let Some(binary) = nats.binary() else {
            skip(&format!("no nats-server ({nats:?}): `.ci/servers` installs it"));
            return None;
        };
        let folder = folder();
        let port = free_port();
        let file = folder.join("server.conf");
        let store = if configuration.contains("store_dir") {
            String::new()
        } else {
            format!("jetstream {{ store_dir: \"{}\" }}", folder.join("data").display())
        };
        let text = format!(
            "server_name: tickbus_{port}\nhost: 127.0.0.1\nport: {port}\n{store}\n{configuration}\n"
        );
        fs::write(&file, text).expect("the folder of a test can be written");
        let options = vec!["-c".into(), file.display().to_string()];
        let mut server = Self { binary, folder, port, options, child: None };
        server.run();
        Some(server)
    }

    /// Starts it again, on its port and its data.
    pub(crate) fn run(&mut self) {
        assert!(self.child.is_none(), "the server runs already");
        let log = fs::File::create(self.folder.join("log")).expect("a log");
        let child = Command::new(&self.binary)
            .args(&self.options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        self.child = Some(child.expect("the server starts"));
        let began = Instant::now();
        while !answers(self.port) {
            let log = || fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(began.elapsed() < START, "the server does not answer: {}", log());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Kills it as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Stops all its threads, until it is killed.
    pub(crate) fn freeze(&self) {
        let process = self.child.as_ref().expect("a server that runs").id().to_string();
        let stop = Command::new("kill").args(["-STOP", &process]).status();
        assert!(stop.expect("there is a `kill`").success());
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub(crate) fn version(&self) -> String {
        conformance::version(&self.binary, "--version")
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Says that a test did not run. Fails it where servers are required.
pub(crate) fn skip(why: &str) {
    assert!(env::var("REQUIRE_SERVERS").as_deref() != Ok("1"), "{why}");
    // Past the harness, which swallows what `eprintln!` says in a test that passes.
    let _ = writeln!(io::stderr(), "SKIPPED: {why}");
}

/// A folder of its own for each call.
pub(crate) fn folder() -> PathBuf {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let name = format!("nats-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("the folder of a test");
    folder
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("an address").port()
}

/// Whether a NATS server answers a ping there, be it with a refusal.
fn answers(port: u16) -> bool {
    let attempt = || -> io::Result<bool> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_millis(200))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"CONNECT {\"verbose\":false}\r\nPING\r\n")?;
        let mut lines = BufReader::new(stream).lines();
        let info = lines.next().unwrap_or_else(|| Ok(String::new()))?;
        if info.contains("\"tls_required\":true") {
            return Ok(true);
        }
        let answer = lines.next().unwrap_or_else(|| Ok(String::new()))?;
        Ok(info.starts_with("INFO") && (answer == "PONG" || answer.starts_with("-ERR")))
    };
    attempt().unwrap_or(false)
}

/// Stands between a client and a server, to cut or to hold up what they say.
#[derive(Debug)]
pub(crate) struct Proxy {
    port: u16,
    shared: Arc<Cut>,
}

#[derive(Debug, Default)]
struct Cut {
    ended: AtomicBool,
    server: AtomicU16,
    /// Bytes stay where they are, and no side is told.
    held: AtomicBool,
    pairs: Mutex<Vec<(TcpStream, TcpStream)>>,
}

impl Proxy {
    pub(crate) fn to(server: u16) -> Self {
        let proxy = Self::to_later();
        proxy.lead_to(server);
        proxy
    }

    /// Stands before a server that needs its port to start.
    pub(crate) fn to_later() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Cut::default());
        let cut = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming() {
                if cut.ended.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(client) = client else { continue };
                let to = cut.server.load(Ordering::Relaxed);
                let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, to)) else {
                    continue;
                };
                let clones = || Ok::<_, io::Error>((client.try_clone()?, server.try_clone()?));
                if let (Ok(there), Ok(back), Ok(kept)) = (clones(), clones(), clones()) {
                    cut.pairs.lock().unwrap().push(kept);
                    let (one, other) = (Arc::clone(&cut), Arc::clone(&cut));
                    thread::spawn(move || pass(there.0, there.1, &one));
                    thread::spawn(move || pass(back.1, back.0, &other));
                }
            }
        });
        Self { port, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port())
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn lead_to(&self, server: u16) {
        self.shared.server.store(server, Ordering::Relaxed);
    }

    /// Passes nothing on, without a word, until it is told to go on.
    pub(crate) fn hold(&self, held: bool) {
        self.shared.held.store(held, Ordering::Relaxed);
    }

    /// Ends the connections of this moment.
    pub(crate) fn cut(&self) {
        for (client, server) in self.shared.pairs.lock().unwrap().drain(..) {
            let _ = client.shutdown(Shutdown::Both);
            let _ = server.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        self.hold(false);
        self.cut();
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, cut: &Cut) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        while cut.held.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(5));
        }
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
