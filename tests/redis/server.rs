//! A Redis server for tests.

use alloc::sync::Arc;
use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::env;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Instant;

use redis::Value;

use crate::servers::conformance::version;
use crate::servers::{folder, free_port, skip};

/// A server that ends with this value.
#[derive(Debug)]
pub(crate) struct Server {
    binary: PathBuf,
    folder: PathBuf,
    port: u16,
    options: Vec<String>,
    password: Option<Arc<str>>,
    child: Option<Child>,
}

fn binary(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders = env::split_paths(&path).chain(["/usr/bin".into()]);
    folders.find_map(|folder| Some(folder.join(name)).filter(|binary| binary.is_file()))
}

impl Server {
    /// Starts a server that appends to a file, with these options. `None`, and it says so, if there is
    /// no binary; a panic if `REQUIRE_SERVERS` is 1.
    pub(crate) fn start(options: &[&str]) -> Option<Self> {
        let found = env::var_os("REDIS_SERVER").map(PathBuf::from);
        let Some(binary) = found.or_else(|| binary("redis-server")) else {
            skip("no redis-server: `.ci/servers` installs it");
            return None;
        };
        let mut server = Self {
            binary,
            folder: folder(),
            port: free_port(),
            options: options.iter().map(|option| (*option).into()).collect(),
            password: None,
            child: None,
        };
        server.run();
        Some(server)
    }

    pub(crate) fn with_password(options: &[&str], password: &str) -> Option<Self> {
        let mut server = Self::start(&[options, &["--requirepass", password]].concat())?;
        server.password = Some(password.into());
        Some(server)
    }

    /// Starts it again, on its port and its data.
    pub(crate) fn run(&mut self) {
        assert!(self.child.is_none(), "the server runs already");
        let log = fs::File::create(self.folder.join("log")).expect("a log");
        let mut command = Command::new(&self.binary);
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--dir"]);
        command.arg(&self.folder);
        if !self.options.iter().any(|option| option == "--tls-port") {
            command.args(["--port", &self.port.to_string()]);
        }
        let port = self.port.to_string();
        command.args(self.options.iter().map(|option| option.replace("PORT", &port)));
        let child = command.stdin(Stdio::null()).stdout(log).stderr(Stdio::null()).spawn();
        self.child = Some(child.expect("the server starts"));
        let began = Instant::now();
        while !self.answers() {
            let log = || fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(began.elapsed() < Duration::from_secs(10), "no answer: {}", log());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Whether it answers a ping, be it with a refusal, and has read its data.
    fn answers(&self) -> bool {
        let attempt = || -> std::io::Result<bool> {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
            let mut stream = TcpStream::connect_timeout(&address, Duration::from_millis(200))?;
            if self.options.iter().any(|option| option == "--tls-port") {
                return Ok(true);
            }
            stream.set_read_timeout(Some(Duration::from_secs(1)))?;
            stream.write_all(b"PING\r\n")?;
            let mut answer = [0; 7];
            stream.read_exact(&mut answer)?;
            Ok(&answer == b"+PONG\r\n" || answer.starts_with(b"-NOAUTH"))
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

    /// Stops all its threads, or lets them go on.
    pub(crate) fn signal(&self, signal: &str) {
        let process = self.child.as_ref().expect("a server that runs").id().to_string();
        let kill = Command::new("kill").args([signal, &process]).status();
        assert!(kill.expect("there is a `kill`").success());
    }

    /// The file that it appends to.
    fn appends_to(&self) -> PathBuf {
        let files = fs::read_dir(self.folder.join("appendonlydir")).expect("it appends");
        let mut files = files.map(|file| file.expect("a file").path());
        files.find(|file| file.to_string_lossy().ends_with(".incr.aof")).expect("it appends")
    }

    /// How many bytes it has appended.
    pub(crate) fn appended(&self) -> u64 {
        fs::metadata(self.appends_to()).expect("a file").len()
    }

    /// Kills it as a slow disk lets it be killed: what came after so many bytes was in memory only.
    pub(crate) fn kill_before_it_wrote(&mut self, from: u64) {
        self.kill();
        let file = fs::File::options().write(true).open(self.appends_to()).expect("a file");
        file.set_len(from).expect("a shorter file");
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.as_ref().expect("a server that runs").id()
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn version(&self) -> String {
        version(&self.binary, "--version")
    }

    /// Says something to it, as another program does.
    pub(crate) fn say(&self, words: &[&str]) -> Value {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        self.say_bytes(&words)
    }

    /// Says several things on one connection. Returns the last answer.
    pub(crate) fn say_all(&self, all: &[&[&str]]) -> Value {
        let client = redis::Client::open(self.url()).unwrap();
        let mut connection = client.get_connection().unwrap();
        let said = all.iter().map(|words| {
            let mut command = redis::Cmd::new();
            command.arg(*words);
            redis::ConnectionLike::req_command(&mut connection, &command).unwrap()
        });
        said.last().expect("something is said")
    }

    pub(crate) fn say_bytes(&self, words: &[&[u8]]) -> Value {
        let client = redis::Client::open(self.url()).unwrap();
        let mut connection = client.get_connection().unwrap();
        let mut say = |words: &[&[u8]]| {
            let mut command = redis::Cmd::new();
            for word in words {
                command.arg(*word);
            }
            redis::ConnectionLike::req_command(&mut connection, &command).unwrap()
        };
        if let Some(password) = &self.password {
            say(&[b"AUTH", password.as_bytes()]);
        }
        say(words)
    }

    /// Says it by the program that comes with the server.
    pub(crate) fn cli(&self, words: &[&str]) -> String {
        let cli = binary("redis-cli").expect("it comes with the server");
        let output = Command::new(cli).args(["-p", &self.port.to_string()]).args(words).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
