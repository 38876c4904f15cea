//! Answers requests as a test says, or passes them on to a server.

use alloc::sync::Arc;
use core::net::Ipv4Addr;
use core::sync::atomic::{AtomicBool, Ordering};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;
use std::thread;

use serde_json::Value;

/// What to answer.
pub(crate) enum Answer {
    /// This status and this JSON.
    With(u16, String),
    /// What the server answers.
    Server,
    /// Nothing, ever.
    Nothing,
}

impl Answer {
    pub(crate) fn error(status: u16, code: &str, message: &str) -> Self {
        let message = message.replace('\n', "\\n");
        Self::With(status, format!(r#"{{"__type":"{code}","message":"{message}"}}"#))
    }
}

/// A server that stands for another one.
pub(crate) struct Stub {
    port: u16,
    ended: Arc<AtomicBool>,
    requests: Arc<Mutex<Vec<(String, Value)>>>,
}

type Say = dyn Fn(&str, &Value) -> Answer + Send + Sync;

/// A stream with one shard.
pub(crate) const SUMMARY: &str = r#"{"StreamDescriptionSummary":{"StreamName":"game",
    "StreamARN":"arn:aws:kinesis:us-east-1:0:stream/game","StreamStatus":"ACTIVE",
    "RetentionPeriodHours":24,"StreamCreationTimestamp":1764468000,"EnhancedMonitoring":[],
    "OpenShardCount":1}}"#;

impl Stub {
    /// Answers by `say`, of the name of the operation and what was sent. `server` is the port of what answers
    /// the rest.
    pub(crate) fn new(
        server: Option<u16>,
        say: impl Fn(&str, &Value) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let stub = Self { port, ended: Arc::default(), requests: Arc::default() };
        let (ended, requests) = (stub.ended.clone(), stub.requests.clone());
        let say: Arc<Say> = Arc::new(say);
        thread::spawn(move || {
            for client in listener.incoming() {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(client) = client else { continue };
                let (say, requests) = (say.clone(), requests.clone());
                thread::spawn(move || serve(client, server, &*say, &requests));
            }
        });
        stub
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What was sent to this operation.
    pub(crate) fn requests(&self, operation: &str) -> Vec<Value> {
        let requests = self.requests.lock().unwrap();
        requests.iter().filter(|(it, _)| it == operation).map(|(_, sent)| sent.clone()).collect()
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

fn serve(
    client: TcpStream,
    server: Option<u16>,
    say: &Say,
    requests: &Mutex<Vec<(String, Value)>>,
) -> Option<()> {
    let mut writer = client.try_clone().ok()?;
    let mut reader = BufReader::new(client);
    loop {
        let (mut head, mut length, mut operation) = (String::new(), 0, String::new());
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if line == "\r\n" {
                break;
            }
            let (name, value) = line.trim_end().split_once(": ").unwrap_or((line.trim_end(), ""));
            match &*name.to_lowercase() {
                "content-length" => length = value.parse().ok()?,
                "x-amz-target" => operation = value.rsplit('.').next()?.into(),
                "connection" => continue,
                _ => {}
            }
            head += &line;
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let sent: Value = serde_json::from_slice(&body).ok()?;
        requests.lock().unwrap().push((operation.clone(), sent.clone()));
        match say(&operation, &sent) {
            Answer::With(status, text) => {
                let answer = format!(
                    "HTTP/1.1 {status} Said\r\nContent-Type: application/x-amz-json-1.1\r\n\
                     Content-Length: {}\r\n\r\n{text}",
                    text.len()
                );
                writer.write_all(answer.as_bytes()).ok()?;
            }
            Answer::Server => {
                let mut to = TcpStream::connect((Ipv4Addr::LOCALHOST, server?)).ok()?;
                to.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes()).ok()?;
                to.write_all(&body).ok()?;
                let mut answer = Vec::new();
                to.read_to_end(&mut answer).ok()?;
                writer.write_all(&answer).ok()?;
                return None; // it said that it closes
            }
            Answer::Nothing => {
                let _ = reader.read(&mut [0; 1]);
                return None;
            }
        }
    }
}
