//! Events that travel: subject, sender and time, and the payload as JSON or bytes. See
//! [`Envelope`], and [`compact`] for devices without an allocator.

#[cfg(feature = "json")]
mod cloud_event;
pub mod compact;
#[cfg(feature = "json")]
mod event;
#[cfg(feature = "json")]
mod exact;
#[cfg(feature = "alloc")]
mod fields;
#[cfg(feature = "alloc")]
mod headers;
#[cfg(feature = "json")]
mod json;
#[cfg(feature = "json")]
pub(crate) mod raw;
#[cfg(feature = "alloc")]
mod time;
#[cfg(feature = "alloc")]
mod trace;
#[cfg(all(feature = "alloc", not(feature = "json")))]
mod without_json;

#[cfg(feature = "json")]
pub use cloud_event::InvalidCloudEvent;
#[cfg(feature = "json")]
pub use event::InvalidEvent;
#[cfg(feature = "alloc")]
pub use fields::Envelope;
#[cfg(feature = "alloc")]
pub use headers::Headers;
#[cfg(feature = "json")]
pub use json::{InvalidEnvelope, InvalidJson, InvalidPayload};
#[cfg(feature = "alloc")]
pub use time::{InvalidTime, Timestamp};
#[cfg(feature = "alloc")]
pub use trace::{InvalidTraceParent, TraceParent};
