//! How envelopes leave, and what comes back about them.

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use redis::{Cmd, Pipeline, Value};

use super::connection::Connection;
use super::id::Id;
use super::reply::{array, bytes, error, int};
use super::scripts;
use super::settings::Keys;
use crate::envelope::Envelope;
use crate::hosted::engines::failed::{Failed, refused};
use crate::hosted::engines::server::Publish;
use crate::hosted::wire;
use crate::hosted::{EngineError, Level, Reason, Receipt, stamped};

/// How many envelopes and how many bytes leave at once.
const CHUNK: usize = 1024;
const CHUNK_BYTES: usize = 8 << 20;

/// A script passes on 8,000 values at most: an entry with more fields than this is added without one.
const FIELDS: usize = 3900;

/// The server publishes events of its own on channels that begin so.
pub(super) const OF_THE_SERVER: &str = "__";

impl Publish for Connection {
    async fn publish(
        &self,
        engine: &Arc<str>,
        envelope: Arc<Envelope>,
    ) -> Result<Receipt, EngineError> {
        let publish = async {
            let up = self.link.up().map_err(Failed::NotSent)?;
            let (command, _) = self.command(&envelope, up.limit).map_err(Failed::NotSent)?;
            let answer = self.link.send(command).await?;
            self.receipt(engine, &answer, up.syncs)
        };
        publish.await.map_err(|failed: Failed| failed.of(engine, envelope))
    }

    async fn publish_batch(
        &self,
        engine: &Arc<str>,
        envelopes: Vec<Arc<Envelope>>,
    ) -> Vec<Result<Receipt, EngineError>> {
        let mut results = Vec::with_capacity(envelopes.len());
        let mut envelopes = envelopes.into_iter().map(stamped).peekable();
        while envelopes.peek().is_some() {
            let up = match self.link.up() {
                Ok(up) => up,
                Err(_) => {
                    results.extend(envelopes.by_ref().map(|envelope| {
                        let reason = self.link.up().err().unwrap_or(Reason::TimedOut);
                        Err(EngineError::not_sent(engine, envelope, reason))
                    }));
                    break;
                }
            };
            let (mut chunk, mut commands, mut size) = (Vec::new(), Pipeline::new(), 0);
            while chunk.len() < CHUNK
                && size < CHUNK_BYTES
                && let Some(envelope) = envelopes.next()
            {
                let refused = match self.command(&envelope, up.limit) {
                    Ok((command, bytes)) => {
                        commands.add_command(command);
                        size += bytes;
                        None
                    }
                    Err(reason) => Some(reason),
                };
                chunk.push((envelope, refused));
            }
            let answers = match commands.is_empty() {
                true => Ok(Vec::new()),
                false => self.link.send_all(commands).await,
            };
            let mut answers = answers.map(|answers| answers.into_iter());
            for (envelope, refused) in chunk {
                let result = match (refused, &mut answers) {
                    (Some(reason), _) => Err(Failed::NotSent(reason)),
                    (None, Ok(answers)) => match answers.next() {
                        Some(answer) => self.receipt(engine, &answer, up.syncs),
                        None => Err(Failed::Unknown(Reason::TimedOut)),
                    },
                    (None, Err(failed)) => Err(failed.again()),
                };
                results.push(result.map_err(|failed| failed.of(engine, envelope)));
            }
        }
        results
    }
}

impl Connection {
    /// Returns the command that publishes an envelope, and how many bytes it has.
    fn command(&self, envelope: &Envelope, limit: usize) -> Result<(Cmd, usize), Reason> {
        if self.signals.borrow().closed {
            return Err(Reason::Closed);
        }
        match &self.keys {
            Some(keys) => self.add(keys, envelope, limit),
            None => self.announce(envelope, limit),
        }
    }

    /// Adds an entry to the stream.
    fn add(&self, keys: &Keys, envelope: &Envelope, limit: usize) -> Result<(Cmd, usize), Reason> {
        let fields = wire::to_fields(envelope);
        let mut size = 0;
        for (_, value) in &fields {
            if value.len() > limit {
                return Err(Reason::TooLarge { bytes: value.len(), limit });
            }
            size += value.len();
        }
        let mut command = if self.window.is_zero() || fields.len() > FIELDS {
            let mut command = Cmd::with_capacity(fields.len() * 2 + 6, size + 256);
            command.arg("XADD").arg(&keys.stream);
            if !self.creates() {
                command.arg("NOMKSTREAM");
            }
            if self.max_len > 0 {
                command.arg("MAXLEN").arg("~").arg(self.max_len);
            }
            command.arg("*");
            command
        } else {
            let mut command = scripts::PUBLISH.call(&[&keys.stream, &keys.id(envelope.id())]);
            // A time of less than the server counts is the shortest one that it knows.
            let window = u64::try_from(self.window.as_millis()).unwrap_or(u64::MAX).max(1);
            command.arg(window).arg(self.max_len).arg(u8::from(self.creates()));
            command
        };
        for (name, value) in &fields {
            command.arg(name.as_bytes()).arg(&**value);
        }
        Ok((command, size))
    }

    /// Publishes to the channel of the subject.
    fn announce(&self, envelope: &Envelope, limit: usize) -> Result<(Cmd, usize), Reason> {
        let channel = format!("{}{}", self.prefix, envelope.subject());
        if channel.starts_with(OF_THE_SERVER) {
            let why = "the server has channels of its own that begin with `__`";
            return Err(Reason::Subject(why.into()));
        }
        let text = envelope.to_json();
        if text.len() > limit {
            return Err(Reason::TooLarge { bytes: text.len(), limit });
        }
        let mut command = Cmd::with_capacity(3, text.len() + 256);
        command.arg("PUBLISH").arg(channel).arg(&text);
        Ok((command, text.len()))
    }

    fn receipt(&self, engine: &Arc<str>, answer: &Value, syncs: bool) -> Result<Receipt, Failed> {
        if let Some((code, why)) = error(answer) {
            // It is said before anything is written.
            return Err(Failed::NotSent(match (code, &self.keys) {
                ("WRONGTYPE", Some(keys)) => {
                    refused(format!("the key `{}` is not a stream: {why}", keys.stream))
                }
                _ => refused(why),
            }));
        }
        let (entry, duplicate) = match answer {
            Value::Int(_) => return Ok(Receipt::new(engine, Level::Accepted)),
            Value::Array(_) => (array(answer).first(), array(answer).get(1).and_then(int)),
            entry => (Some(entry), None),
        };
        let Some(entry) = entry.and_then(bytes) else {
            return Err(Failed::NotSent(self.missing()));
        };
        let level = if syncs { Level::Stored } else { Level::Accepted };
        let receipt = Receipt::new(engine, level).duplicate(duplicate == Some(1));
        let entry = Id::parse(entry);
        entry.into_iter().for_each(|entry| self.acknowledged(entry));
        Ok(match entry.and_then(Id::sequence) {
            Some(sequence) => receipt.at(sequence),
            None => receipt,
        })
    }
}
