//! Packets over a connection: what comes, what leaves, and whether the server is still there.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use core::time::Duration;

use bytes::{Buf, BytesMut};
use rumqttc::mqttbytes::Error;
use rumqttc::mqttbytes::v5::{
    Disconnect, DisconnectProperties, DisconnectReasonCode, Packet, PubAck,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::{Instant, sleep_until, timeout};

use super::reason;

pub(super) trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Socket for S {}

/// How many bytes may wait to leave before nothing more is taken in.
const HIGH_WATER: usize = 1 << 20;

/// How many bytes are read at once at most, and below which room there is made room for that again.
/// Messages keep the part of the buffer that they came in.
const READ: usize = 16 << 10;
const LEAST_ROOM: usize = 4 << 10;

/// Why a connection has ended.
#[derive(Debug)]
pub(super) struct Lost {
    pub(super) why: String,
    /// Whether another client has the session now.
    pub(super) taken_over: bool,
}

impl Lost {
    fn new(why: impl Into<String>) -> Self {
        Self { why: why.into(), taken_over: false }
    }
}

/// What comes.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one at a time is read, and most are messages")]
pub(super) enum Frame {
    /// The answer to a publish, with the number of its reason. Servers say more than the standard
    /// lists.
    Ack(u16, u8),
    /// The answer to so many pings in all.
    Pong(u64),
    /// Nothing has come, but there is [room](Wire::has_room) again.
    Room,
    Packet(Packet),
}

pub(super) struct Wire {
    reader: ReadHalf<Box<dyn Socket>>,
    writer: WriteHalf<Box<dyn Socket>>,
    input: BytesMut,
    output: BytesMut,
    is_flushed: bool,
    /// How long the server may take to answer a ping.
    patience: Duration,
    heartbeat: Duration,
    beat_at: Instant,
    asked: u64,
    answered: u64,
    /// Since when nothing has come although a ping has no answer.
    waits_since: Option<Instant>,
}

impl Wire {
    pub(super) fn new(socket: Box<dyn Socket>, keep_alive: Duration, patience: Duration) -> Self {
        let (reader, writer) = tokio::io::split(socket);
        let heartbeat = keep_alive / 2;
        Self {
            reader,
            writer,
            input: BytesMut::with_capacity(READ),
            output: BytesMut::new(),
            is_flushed: true,
            patience,
            heartbeat,
            beat_at: Instant::now() + heartbeat,
            asked: 0,
            answered: 0,
            waits_since: None,
        }
    }

    /// Sets how often the connection must show that it is alive.
    pub(super) fn keep_alive(&mut self, keep_alive: Duration) {
        self.heartbeat = keep_alive / 2;
        self.beat_at = Instant::now() + self.heartbeat;
    }

    /// Puts a packet behind those that wait to leave. [`next`](Self::next) writes it.
    pub(super) fn put(&mut self, packet: &Packet) -> Result<(), Error> {
        let before = self.output.len();
        let put = packet.write(&mut self.output, None);
        if put.is_err() {
            self.output.truncate(before);
        }
        self.is_flushed = false;
        put.map(drop)
    }

    /// Puts whole packets behind those that wait to leave.
    pub(super) fn append(&mut self, packets: &mut BytesMut) {
        if self.output.is_empty() {
            core::mem::swap(&mut self.output, packets);
        } else {
            self.output.extend_from_slice(packets);
            packets.clear();
        }
        self.is_flushed = false;
    }

    /// Acknowledges a message.
    pub(super) fn acknowledge(&mut self, id: u16) {
        let _ = self.put(&Packet::PubAck(PubAck::new(id, None))); // it is of fixed length
    }

    /// Asks for an answer to everything before. Returns how many pings there are then.
    pub(super) fn ping(&mut self) -> u64 {
        let _ = self.put(&Packet::PingReq);
        self.asked += 1;
        self.waits_since.get_or_insert_with(Instant::now);
        self.asked
    }

    /// Returns how many pings there are with the next one.
    pub(super) const fn next_ping(&self) -> u64 {
        self.asked + 1
    }

    pub(super) fn has_room(&self) -> bool {
        self.output.len() < HIGH_WATER
    }

    /// Writes what waits, and waits for what comes. Nothing is lost if you drop the future.
    pub(super) async fn next(&mut self) -> Result<Frame, Lost> {
        loop {
            if let Some(frame) = self.buffered()? {
                return Ok(frame);
            }
            let due = match self.waits_since {
                Some(since) => since + self.patience,
                None => self.beat_at,
            };
            let has_output = !self.output.is_empty() || !self.is_flushed;
            let is_full = !self.has_room();
            if self.input.capacity() - self.input.len() < LEAST_ROOM {
                self.input.reserve(READ);
            }
            tokio::select! {
                wrote = write(&mut self.writer, &mut self.output), if has_output => {
                    match wrote {
                        Ok(is_flushed) => {
                            self.is_flushed = is_flushed;
                            if is_full && self.has_room() {
                                return Ok(Frame::Room);
                            }
                        }
                        Err(error) => return Err(self.lost(&error).await),
                    }
                }
                read = self.reader.read_buf(&mut self.input) => match read {
                    Ok(0) => return Err(Lost::new("the server has ended it")),
                    // The answer to a ping may stand behind a large message.
                    Ok(_) => {
                        self.waits_since = self.waits_since.map(|_| Instant::now());
                    }
                    Err(error) => return Err(Lost::new(format!("{error}"))),
                },
                () = sleep_until(due) => {
                    if self.waits_since.is_some() {
                        return Err(Lost::new("the server does not answer"));
                    }
                    self.ping();
                }
            }
        }
    }

    /// A server that refuses to read may have said why.
    async fn lost(&mut self, error: &std::io::Error) -> Lost {
        let read = async { while let Ok(1..) = self.reader.read_buf(&mut self.input).await {} };
        let _ = timeout(Duration::from_millis(100), read).await;
        loop {
            match self.buffered() {
                Ok(Some(_)) => {}
                Ok(None) => return Lost::new(format!("{error}")),
                Err(lost) => return lost,
            }
        }
    }

    /// Returns what has come already.
    pub(super) fn buffered(&mut self) -> Result<Option<Frame>, Lost> {
        if let Some(ack) = ack(&mut self.input) {
            return Ok(Some(ack));
        }
        if let Some(lost) = disconnect(&self.input) {
            return Err(lost);
        }
        let before = self.input.len();
        match Packet::read(&mut self.input, None) {
            Ok(Packet::PingResp) => {
                self.answered += 1;
                self.waits_since = (self.answered < self.asked).then(Instant::now);
                self.beat_at = Instant::now() + self.heartbeat;
                Ok(Some(Frame::Pong(self.answered)))
            }
            Ok(packet) => Ok(Some(Frame::Packet(packet))),
            // A packet that is there and too short is an error, and not one that is still to come.
            Err(Error::InsufficientBytes(more)) if self.input.len() == before => {
                self.input.reserve(more);
                Ok(None)
            }
            Err(error) => Err(Lost::new(format!("what came is not MQTT 5: {error}"))),
        }
    }

    /// Says goodbye, and waits until the server has read everything and ended the connection.
    pub(super) async fn bye(self) {
        self.bye_after(|| {}).await;
    }

    /// Says goodbye. Calls `left` when everything has left, before the server has read it.
    pub(super) async fn bye_after(self, left: impl FnOnce() + Send) {
        let packet = Disconnect::new(DisconnectReasonCode::NormalDisconnection);
        self.leave(packet, left).await;
    }

    /// Says goodbye, and that the session is not needed any more.
    pub(super) async fn end_session(self) {
        let properties = DisconnectProperties {
            session_expiry_interval: Some(0),
            reason_string: None,
            user_properties: alloc::vec::Vec::new(),
            server_reference: None,
        };
        let reason_code = DisconnectReasonCode::NormalDisconnection;
        self.leave(Disconnect { reason_code, properties: Some(properties) }, || {}).await;
    }

    async fn leave(mut self, packet: Disconnect, left: impl FnOnce() + Send) {
        let _ = self.put(&Packet::Disconnect(packet));
        let patience = self.patience;
        let bye = async {
            self.writer.write_all_buf(&mut self.output).await?;
            self.writer.flush().await?;
            left();
            self.writer.shutdown().await?;
            loop {
                self.input.clear();
                if self.reader.read_buf(&mut self.input).await? == 0 {
                    return std::io::Result::Ok(());
                }
            }
        };
        let _ = timeout(patience, bye).await;
    }
}

/// Writes some of it. Returns whether all has left.
async fn write(
    writer: &mut WriteHalf<Box<dyn Socket>>,
    output: &mut BytesMut,
) -> std::io::Result<bool> {
    if output.is_empty() {
        writer.flush().await?;
        return Ok(true);
    }
    match writer.write_buf(output).await? {
        0 => Err(std::io::ErrorKind::WriteZero.into()),
        _ => Ok(false),
    }
}

/// Returns where the content of the first packet begins and ends, if all of it has come.
fn content(input: &[u8]) -> Option<(usize, usize)> {
    let (mut length, mut at) = (0_usize, 1);
    loop {
        let byte = *input.get(at)?;
        length |= usize::from(byte & 0x7f) << (7 * (at - 1));
        at += 1;
        if byte & 0x80 == 0 {
            return Some((at, at + length)).filter(|(_, end)| *end <= input.len());
        }
        if at > 4 {
            return None; // it is malformed
        }
    }
}

/// Reads the answer to a publish. The reader of the client does not know all numbers that servers
/// send.
fn ack(input: &mut BytesMut) -> Option<Frame> {
    const PUBACK: u8 = 0x40;
    if input.first() != Some(&PUBACK) {
        return None;
    }
    let (begin, end) = content(input)?;
    let content = &input[begin..end];
    let id = u16::from_be_bytes([*content.first()?, *content.get(1)?]);
    let code = content.get(2).copied().unwrap_or(0);
    input.advance(end);
    Some(Frame::Ack(id, code))
}

/// Reads why the server ends the connection. The reader of the client knows neither all numbers nor
/// the short form.
fn disconnect(input: &[u8]) -> Option<Lost> {
    const DISCONNECT: u8 = 0xe0;
    if input.first() != Some(&DISCONNECT) {
        return None;
    }
    let (begin, end) = content(input)?;
    let code = input[begin..end].first().copied().unwrap_or(0);
    let why = format!("the server has ended it: {}", reason::shown(code));
    Some(Lost { why, taken_over: code == reason::TAKEN_OVER })
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use bytes::BytesMut;

    use super::{ack, disconnect};

    #[test]
    fn answers_are_read_whatever_their_number() {
        let read = |bytes: &[u8]| {
            let mut input = BytesMut::from(bytes);
            let read = ack(&mut input);
            (read.map(|it| format!("{it:?}")), input.len())
        };
        let ack = |id: u16, code: u8| Some(format!("Ack({id}, {code})"));
        assert_eq!(read(&[0x40, 2, 1, 2, 0x40]), (ack(258, 0), 1));
        assert_eq!(read(&[0x40, 3, 0, 7, 0x95]), (ack(7, 0x95), 0));
        assert_eq!(read(&[0x40, 4, 0, 7, 0x10, 0]), (ack(7, 0x10), 0));
        for (bytes, why) in [
            (&[0xe0, 1, 0x8e][..], "another client has taken over the session (0x8e)"),
            (&[0xe0, 2, 0x95, 0], "packet too large (0x95)"),
            (&[0xe0, 0], "without a reason (0x00)"),
            (&[0xe0, 1, 0xff], "unknown reason (0xff)"),
        ] {
            let lost = disconnect(bytes).unwrap();
            assert_eq!(lost.why, format!("the server has ended it: {why}"));
            assert_eq!(lost.taken_over, bytes.contains(&0x8e));
        }
        assert!(disconnect(&[0xe0, 2, 0x95]).is_none());
        for part in [&[0x40][..], &[0x40, 2], &[0x40, 3, 0, 7], &[0x30, 2, 0, 0], &[0x40, 0x84]] {
            assert_eq!(read(part), (None, part.len()), "{part:?}");
        }
    }
}
