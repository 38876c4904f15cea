//! Devices that have a connection each to a NATS server, by hand: no client costs less.

use core::net::Ipv4Addr;
use core::time::Duration;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Instant;

use crate::measure::PAYLOAD;

pub(crate) struct Devices {
    connections: Vec<TcpStream>,
    sent: u64,
    acknowledged: u64,
    bytes: (u64, u64),
}

/// Writes what the engine writes for an envelope: its headers, and a payload that begins with a number.
pub(crate) fn message(device: usize, id: &str, number: u64, stream: &str) -> Vec<u8> {
    let headers = format!(
        "NATS/1.0\r\nNats-Msg-Id: {id}\r\nNats-Expected-Stream: {stream}\r\ntb-v: 1\r\ntb-id: {id}\r\n\
         tb-time: 2026-11-30T12:00:00.000000000Z\r\ntb-key: device-{device}\r\n\
         content-type: application/octet-stream\r\n\r\n"
    );
    let mut payload = number.to_be_bytes().to_vec();
    payload.resize(PAYLOAD, b'x');
    let (head, all) = (headers.len(), headers.len() + payload.len());
    let line = format!("HPUB device.{device}.reading _D.{device} {head} {all}\r\n{headers}");
    [line.as_bytes(), &payload, b"\r\n"].concat()
}

impl Devices {
    pub(crate) fn connect(port: u16, count: usize) -> io::Result<Self> {
        let mut connections = Vec::with_capacity(count);
        for device in 0..count {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
            stream.set_nodelay(true)?;
            let connect = "CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\n";
            stream.write_all(format!("{connect}SUB _D.{device} 1\r\nPING\r\n").as_bytes())?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            let (mut buffer, mut length) = ([0; 4096], 0);
            while !buffer[..length].ends_with(b"PONG\r\n") {
                length += stream.read(&mut buffer[length..])?;
            }
            stream.set_nonblocking(true)?;
            connections.push(stream);
        }
        Ok(Self { connections, sent: 0, acknowledged: 0, bytes: (0, 0) })
    }

    /// Publishes an event of a device, with a number.
    pub(crate) fn publish(&mut self, device: usize, id: &str, number: u64) -> io::Result<()> {
        self.read(device)?;
        let message = message(device, id, number, "GROWTH");
        let mut rest = &message[..];
        while !rest.is_empty() {
            match self.connections[device].write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::yield_now(),
                Err(error) => return Err(error),
            }
        }
        self.sent += 1;
        self.bytes.0 += message.len() as u64;
        Ok(())
    }

    /// Reads the answers that have come, and counts them.
    fn read(&mut self, device: usize) -> io::Result<()> {
        let mut buffer = [0; 4096];
        loop {
            match self.connections[device].read(&mut buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    let answer = &buffer[..count];
                    if answer.starts_with(b"PING") {
                        self.connections[device].write_all(b"PONG\r\n")?;
                    }
                    assert!(!answer.windows(7).any(|it| it == b"\"error\""), "it is refused");
                    let answers = answer.windows(5).filter(|it| *it == b"\"seq\"").count();
                    self.acknowledged += answers as u64;
                    self.bytes.1 += count as u64;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits until everything is acknowledged. Returns whether it is.
    pub(crate) fn settle(&mut self, patience: Duration) -> bool {
        let began = Instant::now();
        while self.acknowledged < self.sent && began.elapsed() < patience {
            for device in 0..self.connections.len() {
                let _ = self.read(device); // what does not answer is not acknowledged
            }
            thread::sleep(Duration::from_millis(10));
        }
        self.acknowledged == self.sent
    }

    /// Returns how many bytes were sent, and how many came as answers.
    pub(crate) const fn bytes(&self) -> (u64, u64) {
        self.bytes
    }
}
