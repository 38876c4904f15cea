//! Events that travel: subject, sender and time, and the payload as JSON or bytes. See
//! [`Envelope`].

#[cfg(feature = "json")]
mod cloud_event;
#[cfg(feature = "json")]
mod event;
#[cfg(feature = "json")]
mod exact;
mod fields;
mod headers;
#[cfg(feature = "json")]
mod json;
#[cfg(feature = "json")]
pub(crate) mod raw;
mod time;
mod trace;
#[cfg(not(feature = "json"))]
mod without_json;

#[cfg(feature = "json")]
pub use cloud_event::InvalidCloudEvent;
#[cfg(feature = "json")]
pub use event::InvalidEvent;
pub use fields::Envelope;
pub use headers::Headers;
#[cfg(feature = "json")]
pub use json::{InvalidEnvelope, InvalidJson, InvalidPayload};
pub use time::{InvalidTime, Timestamp};
pub use trace::{InvalidTraceParent, TraceParent};
