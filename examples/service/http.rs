//! Answers `GET` on loopback: enough of HTTP for a browser, `curl` and Prometheus.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Instant;

/// How many bytes a head may have, and how long a client may take for it.
const BYTES: usize = 8 << 10;
const PATIENCE: Duration = Duration::from_secs(2);

/// A status, a media type and a body.
pub(crate) type Answer = (&'static str, &'static str, String);
pub(crate) const TEXT: &str = "text/plain; charset=utf-8";

/// Answers each `GET` with what `answer` returns for the path and the query, in a thread of its own.
pub(crate) fn serve(
    port: u16,
    answer: impl Fn(&str, &str) -> Answer + Send + Sync + 'static,
) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    let address = listener.local_addr()?;
    thread::Builder::new().name("http".into()).spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = reply(stream, &answer); // a client that has gone
        }
    })?;
    Ok(address)
}

fn reply(mut stream: TcpStream, answer: impl Fn(&str, &str) -> Answer) -> io::Result<()> {
    let (status, kind, body) = match target(&mut stream)? {
        Ok(target) => {
            let (path, query) = target.split_once('?').unwrap_or((&target, ""));
            answer(path, query)
        }
        Err(status) => (status, TEXT, format!("{status}\n")),
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{body}"
    )
}

/// Reads the head of a request. Returns the target of a `GET`, else the status that says why not.
fn target(stream: &mut TcpStream) -> io::Result<Result<String, &'static str>> {
    let (mut head, mut chunk) = (Vec::new(), [0; 1024]);
    let until = Instant::now() + PATIENCE;
    stream.set_write_timeout(Some(PATIENCE))?;
    loop {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(&head) {
            Ok(httparse::Status::Complete(_)) => {
                return Ok(match (request.method, request.path) {
                    (Some("GET"), Some(path)) => Ok(path.into()),
                    _ => Err("405 Method Not Allowed"),
                });
            }
            Ok(httparse::Status::Partial) if head.len() < BYTES => {}
            Ok(httparse::Status::Partial) => return Ok(Err("431 Request Header Fields Too Large")),
            Err(_) => return Ok(Err("400 Bad Request")),
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Err("408 Request Timeout"));
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut chunk) {
            Ok(0) => return Ok(Err("400 Bad Request")),
            Ok(length) => head.extend_from_slice(&chunk[..length]),
            Err(_) => return Ok(Err("408 Request Timeout")),
        }
    }
}
