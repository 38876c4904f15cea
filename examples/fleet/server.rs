//! A NATS server: found, started on loopback with a folder of its own, killed and started again.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;
use std::{env, process, thread};

/// How long the server may take until it answers.
const START: Duration = Duration::from_secs(10);

/// A server that ends with this value, and its data with it.
pub(crate) struct Server {
    binary: PathBuf,
    folder: PathBuf,
    pub(crate) port: u16,
    /// `None` while it is down.
    child: Option<Child>,
}

impl Server {
    /// Finds a binary: the one that `.ci/servers` unpacks is newer than that of the system.
    pub(crate) fn find() -> Option<PathBuf> {
        let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/servers");
        let unpacked = fs::read_dir(unpacked).into_iter().flatten().flatten();
        let mut folders: Vec<PathBuf> = unpacked.map(|folder| folder.path()).collect();
        let path = env::var_os("PATH").unwrap_or_default();
        folders.extend(env::split_paths(&path).chain(["/usr/sbin".into()]));
        folders.into_iter().map(|folder| folder.join("nats-server")).find(|it| it.is_file())
    }

    pub(crate) fn start(binary: PathBuf, port: Option<u16>) -> Result<Self, String> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.unwrap_or(0)));
        let port = match listener.and_then(|it| it.local_addr()) {
            Ok(address) => address.port(),
            Err(error) => {
                let port = port.unwrap_or(0);
                return Err(format!("port {port}: {error}; choose another with --port"));
            }
        };
        let folder = env::temp_dir().join(format!("tickbus-fleet-{}-{port}", process::id()));
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let mut server = Self { binary, folder, port, child: None };
        server.run()?;
        Ok(server)
    }

    /// Starts it, again on its port and its data, and waits until it answers.
    pub(crate) fn run(&mut self) -> Result<(), String> {
        let failed = |why: String| format!("{} does not start: {why}", self.binary.display());
        let log = self.folder.join("log");
        let file = File::create(&log).map_err(|error| failed(error.to_string()))?;
        let mut child = Command::new(&self.binary)
            .args(["-a", "127.0.0.1", "-p", &self.port.to_string(), "-js", "-sd"])
            .arg(self.folder.join("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .map_err(|error| failed(error.to_string()))?;
        let began = Instant::now();
        let why = loop {
            if answers(self.port) {
                self.child = Some(child);
                return Ok(());
            }
            match child.try_wait() {
                Ok(Some(status)) => break format!("it ended at once ({status})"),
                _ if began.elapsed() > START => break "it does not answer".into(),
                _ => thread::sleep(Duration::from_millis(20)),
            }
        };
        let _ = child.kill();
        let _ = child.wait();
        let log = fs::read_to_string(log).unwrap_or_default();
        let last = log.lines().last().unwrap_or("it logs nothing");
        Err(failed(format!("{why}: {last}")))
    }

    /// Kills it as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Returns its process id: 0 while it is down.
    pub(crate) fn process(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// Returns where its data are.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn binary(&self) -> String {
        self.binary.display().to_string()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Returns whether a NATS server answers a ping there.
fn answers(port: u16) -> bool {
    let attempt = || -> std::io::Result<bool> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_millis(200))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"CONNECT {\"verbose\":false}\r\nPING\r\n")?;
        let mut lines = BufReader::new(stream).lines();
        let info = lines.next().transpose()?.unwrap_or_default();
        let answer = lines.next().transpose()?.unwrap_or_default();
        Ok(info.starts_with("INFO") && answer == "PONG")
    };
    attempt().unwrap_or(false)
}
