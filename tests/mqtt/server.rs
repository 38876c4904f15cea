//! A server of MQTT for tests: `mosquitto`, or one of a few lines that says what a test wants.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::env;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Instant;

use crate::servers::conformance::version;
use crate::servers::{folder, free_port, skip};

/// A server that ends with this value.
#[derive(Debug)]
pub(crate) struct Server {
    binary: PathBuf,
    folder: PathBuf,
    port: u16,
    child: Option<Child>,
}

fn binary(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders = env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/bin".into()]);
    folders.find_map(|folder| Some(folder.join(name)).filter(|binary| binary.is_file()))
}

/// The first bytes of a client, of which nothing more is wanted.
const CONNECT: &[u8] = b"\x10\x10\0\x04MQTT\x05\x02\0\x05\0\0\x03tst";

impl Server {
    /// Starts a server that keeps its sessions in a file, with these lines of configuration.
    /// `None`, and it says so, if there is no binary; a panic if `REQUIRE_SERVERS` is 1.
    pub(crate) fn start(lines: &str) -> Option<Self> {
        let found = env::var_os("MOSQUITTO").map(PathBuf::from);
        let Some(binary) = found.or_else(|| binary("mosquitto")) else {
            skip("no mosquitto: `.ci/servers` installs it");
            return None;
        };
        let mut server = Self { binary, folder: folder(), port: free_port(), child: None };
        server.configure(lines);
        server.run();
        Some(server)
    }

    /// Starts a server that lets in only this user.
    pub(crate) fn with_password(lines: &str, user: &str, password: &str) -> Option<Self> {
        let file = folder().join("users");
        let made = Command::new(binary("mosquitto_passwd").unwrap_or_default())
            .args(["-b", "-c"])
            .arg(&file)
            .args([user, password])
            .stderr(Stdio::null())
            .status();
        if !made.is_ok_and(|status| status.success()) {
            skip("no mosquitto_passwd, which comes with the server");
            return None;
        }
        let file = file.display();
        let lines = format!("{lines}\nallow_anonymous false\npassword_file {file}");
        let server = Self::start(&lines);
        let _ = fs::remove_dir_all(PathBuf::from(file.to_string()).parent()?);
        server
    }

    fn configure(&mut self, lines: &str) {
        let folder = self.folder.display();
        // As root it would become another user, who cannot write there.
        let keeps = if lines.contains("persistence_location") {
            String::new()
        } else {
            format!("persistence_location {folder}/")
        };
        let text = format!(
            "user root\npersistence true\n{keeps}\nlistener {} 127.0.0.1\nallow_anonymous true\n{lines}\n",
            self.port,
        );
        fs::write(self.folder.join("conf"), text).expect("the folder of a test can be written");
    }

    /// Starts it again, on its port and its data.
    pub(crate) fn run(&mut self) {
        assert!(self.child.is_none(), "the server runs already");
        let log = fs::File::create(self.folder.join("log")).expect("a log");
        let child = Command::new(&self.binary)
            .arg("-c")
            .arg(self.folder.join("conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        self.child = Some(child.expect("the server starts"));
        let began = Instant::now();
        while !self.answers() {
            let log = || fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(began.elapsed() < Duration::from_secs(10), "no answer: {}", log());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Whether it answers a client, be it with a refusal, or hangs up on one without TLS.
    fn answers(&self) -> bool {
        let attempt = || -> std::io::Result<bool> {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
            let mut stream = TcpStream::connect_timeout(&address, Duration::from_millis(200))?;
            stream.set_read_timeout(Some(Duration::from_secs(1)))?;
            stream.write_all(CONNECT)?;
            let mut answer = [0];
            match stream.read(&mut answer) {
                Ok(count) => Ok(count == 0 || answer[0] == 0x20 || answer[0] == 0x15),
                Err(error) => Ok(error.kind() == std::io::ErrorKind::ConnectionReset),
            }
        };
        attempt().unwrap_or(false)
    }

    /// Kills it as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Ends it in an orderly way: it writes its file.
    pub(crate) fn end(&mut self) {
        self.signal("-TERM");
        if let Some(mut child) = self.child.take() {
            let _ = child.wait();
        }
    }

    /// Stops all its threads, or lets them go on.
    pub(crate) fn signal(&self, signal: &str) {
        let process = self.child.as_ref().expect("a server that runs").id().to_string();
        let kill = Command::new("kill").args([signal, &process]).status();
        assert!(kill.expect("there is a `kill`").success());
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.as_ref().expect("a server that runs").id()
    }

    pub(crate) fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    pub(crate) fn version(&self) -> String {
        version(&self.binary, "-h")
    }

    /// Publishes by the program that comes with the server's clients.
    pub(crate) fn publish(&self, words: &[&str]) {
        let program = binary("mosquitto_pub").expect("`.ci/servers` installs mosquitto-clients");
        let port = self.port.to_string();
        let output = Command::new(program).args(["-p", &port, "-V", "5"]).args(words).output();
        let output = output.expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A server of a few lines, which a test plays itself.
#[derive(Debug)]
pub(crate) struct Played {
    listener: TcpListener,
}

/// A client of a played server.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    /// How many pings have come.
    pub(crate) pings: usize,
}

impl Played {
    pub(crate) fn new() -> Self {
        Self { listener: TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port") }
    }

    pub(crate) fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.listener.local_addr().expect("an address").port())
    }

    /// Returns whether no client comes within this time.
    pub(crate) fn is_quiet(&self, time: Duration) -> bool {
        self.listener.set_nonblocking(true).unwrap();
        thread::sleep(time);
        self.listener.accept().is_err()
    }

    /// Waits for the next client, and answers it.
    pub(crate) fn accept(&self, answer: &[u8]) -> Client {
        let (stream, _) = self.listener.accept().expect("a client");
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut client = Client { stream, pings: 0 };
        let connect = client.read().expect("it says something");
        assert_eq!(connect[0], 0x10, "it connects");
        client.write(answer);
        client
    }
}

impl Client {
    /// Reads the next packet that is not a ping. Pings are answered.
    pub(crate) fn read(&mut self) -> Option<Vec<u8>> {
        loop {
            let mut byte = [0];
            self.stream.read_exact(&mut byte).ok()?;
            let mut packet = vec![byte[0]];
            let (mut length, mut shift) = (0_usize, 0);
            loop {
                self.stream.read_exact(&mut byte).ok()?;
                packet.push(byte[0]);
                length |= usize::from(byte[0] & 0x7f) << shift;
                shift += 7;
                if byte[0] & 0x80 == 0 {
                    break;
                }
            }
            let head = packet.len();
            packet.resize(head + length, 0);
            self.stream.read_exact(&mut packet[head..]).ok()?;
            if packet[0] != 0xc0 {
                return Some(packet);
            }
            self.pings += 1;
            self.write(&[0xd0, 0]);
        }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }
}
