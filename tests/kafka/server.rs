//! Servers that speak the protocol of Kafka, for tests.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::env;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Instant;

use crate::servers::conformance::version;
use crate::servers::{folder, free_port, skip};

/// Which of the two servers. Each can what the other cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// Knows the settings of topics, removes records, and keeps its data when it ends in an orderly way.
    Noida,
    /// Can stand behind another port, and keeps nothing.
    Tansu,
}

impl Which {
    fn binary(self) -> Option<PathBuf> {
        let (variable, folder, name) = match self {
            Self::Noida => ("NOIDA_DB", "noida-0.2.3", "noida-db"),
            Self::Tansu => ("TANSU", "tansu-0.1.2", "tansu"),
        };
        if let Some(path) = env::var_os(variable) {
            return Some(path.into());
        }
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().map(Path::to_owned);
        let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
        let mut folders = target.into_iter().chain([beside]);
        folders.find_map(|target| {
            Some(target.join("servers").join(folder).join(name)).filter(|it| it.is_file())
        })
    }
}

/// A server that ends with this value.
#[derive(Debug)]
pub(crate) struct Server {
    which: Which,
    binary: PathBuf,
    folder: PathBuf,
    port: u16,
    /// Where it says that it is.
    advertised: u16,
    child: Option<Child>,
}

/// A program of Python that stands where a server is, or before one.
#[derive(Debug)]
pub(crate) struct Beside(Child);

impl Beside {
    /// `None`, and it says so, if there is no Python.
    pub(crate) fn start(port: u16, what: &str, arguments: &[&str]) -> Option<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kafka/servers.py");
        let mut command = Command::new("python3");
        command.arg(script).args([what, &port.to_string()]).args(arguments);
        let Ok(child) = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn() else {
            skip("no python3");
            return None;
        };
        let it = Self(child);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let began = Instant::now();
        while TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_err() {
            assert!(began.elapsed() < Duration::from_secs(10), "it does not listen");
            thread::sleep(Duration::from_millis(10));
        }
        Some(it)
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Server {
    /// Starts a server. `None`, and it says so, if there is no binary; a panic if `REQUIRE_SERVERS` is
    /// 1.
    pub(crate) fn start(which: Which) -> Option<Self> {
        let port = free_port();
        Self::at(which, port, port)
    }

    /// Starts one that says that it is at another port. Only [`Which::Tansu`] can.
    pub(crate) fn behind(advertised: u16) -> Option<Self> {
        Self::at(Which::Tansu, free_port(), advertised)
    }

    fn at(which: Which, port: u16, advertised: u16) -> Option<Self> {
        let Some(binary) = which.binary() else {
            skip(&format!("no server of Kafka ({which:?}): `.ci/servers` installs it"));
            return None;
        };
        let mut server = Self { which, binary, folder: folder(), port, advertised, child: None };
        server.run();
        Some(server)
    }

    /// Starts it again, on its port and its data.
    pub(crate) fn run(&mut self) {
        assert!(self.child.is_none(), "the server runs already");
        let log = fs::File::create(self.folder.join("log")).expect("a log");
        let mut command = Command::new(&self.binary);
        match self.which {
            Which::Noida => {
                command.args(["start", "--only", "kafka", "--host", "127.0.0.1"]);
                command.args(["--kafka-port", &self.port.to_string(), "--data-dir"]);
                command.arg(&self.folder);
            }
            Which::Tansu => {
                let url = |port: u16| format!("tcp://127.0.0.1:{port}");
                command.args(["broker", "--listener-url", &url(self.port)]);
                command.args(["--advertised-listener-url", &url(self.advertised)]);
                command.args(["--storage-engine", "memory://tansu/"]);
            }
        }
        command.current_dir(&self.folder);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        self.child = Some(child.expect("the server starts"));
        let began = Instant::now();
        while !self.answers() {
            let log = || fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(began.elapsed() < Duration::from_secs(10), "no answer: {}", log());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Whether it says which requests it knows.
    fn answers(&self) -> bool {
        let attempt = || -> std::io::Result<()> {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
            let mut stream = TcpStream::connect_timeout(&address, Duration::from_millis(200))?;
            stream.set_read_timeout(Some(Duration::from_secs(1)))?;
            // The length, `ApiVersions` 0, the number 1, and no client id.
            stream.write_all(&[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff])?;
            stream.read_exact(&mut [0; 8])
        };
        attempt().is_ok()
    }

    /// Kills it as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Ends it as an operator does: it keeps its data, if it keeps any.
    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = Command::new("kill").arg(child.id().to_string()).status();
            let _ = child.wait();
        }
    }

    /// Removes what it keeps.
    pub(crate) fn forget(&self) {
        let _ = fs::remove_file(self.folder.join("kafka.json"));
    }

    /// Stops all its threads, or lets them go on.
    pub(crate) fn freeze(&self, frozen: bool) {
        let process = self.child.as_ref().expect("a server that runs").id().to_string();
        let signal = if frozen { "-STOP" } else { "-CONT" };
        let sent = Command::new("kill").args([signal, &process]).status();
        assert!(sent.expect("there is a `kill`").success());
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn version(&self) -> String {
        let option = match self.which {
            Which::Noida => "version",
            Which::Tansu => "--version",
        };
        version(&self.binary, option)
    }

    pub(crate) fn brokers(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
