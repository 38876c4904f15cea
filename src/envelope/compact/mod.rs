//! Envelopes in fixed memory, for devices without an allocator: [`CompactEnvelope`].
//!
//! A compact envelope borrows all that it has from buffers of yours. It travels in two ways:
//!
//! | way | write | read |
//! |---|---|---|
//! | MQTT 5: a topic, user properties and a payload | [`mqtt::topic`], [`CompactEnvelope::properties`] | [`mqtt::subject`], [`CompactEnvelope::from_properties`] |
//! | bytes: a line, a radio, a record in flash | [`CompactEnvelope::encode`] | [`CompactEnvelope::decode`] |
//!
//! What a device sends by MQTT 5, the engine `hosted::engines::Mqtt` receives as the same envelope,
//! and the other way. A program with an allocator reads and writes the bytes by
//! `Envelope::from_compact` and `Envelope::to_compact` (feature `json`).
//!
//! # Ids and times
//!
//! A receiver tells duplicates by the id, so it must be unique for ever. [`Id`] is 16 bytes of
//! yours: random ones, or the number of the device, of its start and of the event. A number that
//! begins anew at each start is not unique: count the starts in flash, or take random bytes for
//! them.
//!
//! A device without a clock leaves the time out. The receiver then has an envelope whose `time` is
//! `None`. A bus, or an engine that publishes it on, fills in its own current time.
//!
//! # Bytes
//!
//! | bytes | what |
//! |--:|---|
//! | 1 | 1, the version of this form |
//! | 1 | the payload: 0 none, 1 JSON, 2 bytes |
//! | *n* | subject, id, time, source, key, trace id and span id, each a *text* |
//! | 1 | the number of headers, up to 255 |
//! | *n* | key and value of each header, each a *text* |
//! | *n* | the payload, as a *text*; nothing if there is none |
//!
//! A *text* is its length in bytes and then the bytes. They are UTF-8, except for a payload of
//! bytes. The length is 7 bits a byte, the lowest first, with bit 7 set in each byte but the last,
//! in as few bytes as possible: up to 5, below 2³². So an envelope has exactly one form, of 10 bytes
//! and its texts if each is shorter than 128 bytes and there are neither headers nor a payload.
//! Integers wider than a byte do not occur.
//!
//! # Bounds
//!
//! Nothing here allocates or recurses. Encoding and decoding take time in proportion to the bytes,
//! and to the square of the number of headers: each key is compared with those before it. Code that
//! you do not call is not linked.
//!
//! # Examples
//!
//! A thermometer writes a reading into a buffer. [`mqtt`] has an example with the packets of MQTT.
//!
//! ```
//! use tickbus::Subject;
//! use tickbus::envelope::compact::{CompactEnvelope, EncodeError, Id};
//!
//! let mut bytes = [0; 16];
//! bytes[..4].copy_from_slice(&7_u32.to_be_bytes()); // the device
//! bytes[4..8].copy_from_slice(&212_u32.to_be_bytes()); // its start
//! bytes[8..].copy_from_slice(&1_u64.to_be_bytes()); // the event
//! let id = Id::new(bytes);
//! assert_eq!(id.as_str(), "00000007-0000-00d4-0000-000000000001");
//!
//! let reading = CompactEnvelope::new(Subject::from_static("device.7.reading"))
//!     .with_id(id.as_str())
//!     .with_source("thermometer")
//!     .with_headers(&[("unit", "mC")])
//!     .with_raw_payload("21500");
//!
//! let mut buffer = [0; 128];
//! let sent = reading.encode(&mut buffer)?;
//! assert_eq!(sent.len(), 87);
//!
//! let received = CompactEnvelope::decode(sent).expect("it was encoded");
//! assert_eq!((received.id(), received.payload()), (id.as_str(), Some("21500")));
//! assert_eq!((received.header("unit"), received.header("place")), ("mC", ""));
//!
//! // A buffer that is too small says how many bytes it needs.
//! assert_eq!(reading.encode(&mut [0; 16]), Err(EncodeError::TooSmall { needed: 87 }));
//! # Ok::<(), EncodeError>(())
//! ```

mod codec;
mod error;
mod fields;
mod headers;
mod id;
pub mod mqtt;
#[cfg(feature = "json")]
mod owned;
mod time;

pub use error::{DecodeError, EncodeError};
pub use fields::CompactEnvelope;
pub use id::Id;
