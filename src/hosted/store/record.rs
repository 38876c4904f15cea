//! What became of an event: [`EventRecord`].

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::error::Error;
use core::fmt;

use serde::de::{DeserializeOwned, IntoDeserializer};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::envelope::{Timestamp, raw};

/// Keeps an event together with what became of it.
///
/// A broker stores one for each event, and changes its status as handlers run. A clone shares what
/// cannot change: type and payload.
///
/// In JSON, the fields come in the order below: `id`, `source`, `type`, `status`, `retry_count`,
/// `payload`, `user_id`, `session_id`, `instance_id`, `schema`, `entity`, `operation`,
/// `created_at`, `metadata`. `error`, `processed_at` and `completed_at` follow where they are set. A
/// payload that is `null` is not set when it is read. Stores and groups keep the two apart.
///
/// # Examples
///
/// ```
/// use tickbus::envelope::Timestamp;
/// use tickbus::hosted::store::{EventRecord, EventSource, EventStatus, PayloadError};
///
/// let mut record = EventRecord::new(EventSource::Database, "public", "users", "create");
/// assert_eq!((record.event_type(), record.status), ("public.users.create", EventStatus::Pending));
/// assert!(matches!(record.payload::<u32>(), Err(PayloadError::Empty)));
///
/// record.set_payload(&[7, 8])?;
/// record.mark_failed(Timestamp::now(), "the disk is full");
/// assert_eq!(record.payload::<Vec<u32>>()?, [7, 8]);
/// assert_eq!(record.error, "the disk is full");
///
/// assert_eq!(record.validate().unwrap_err().to_string(), "instance ID is required");
/// # Ok::<(), PayloadError>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(expecting = "a record of an event")]
#[non_exhaustive]
pub struct EventRecord {
    /// Identifies the event. Storing the same id again replaces the record.
    pub id: String,
    /// Where the event comes from.
    #[serde(default, serialize_with = "write_source", deserialize_with = "read_source")]
    pub source: Option<EventSource>,
    #[serde(default, rename = "type")]
    pub(in crate::hosted) event_type: Arc<str>,
    /// How far the event is.
    #[serde(default)]
    pub status: EventStatus,
    /// How often the handlers were tried again.
    #[serde(default)]
    pub retry_count: u32,
    #[serde(default, deserialize_with = "read_payload")]
    pub(in crate::hosted) payload: Option<Arc<RawValue>>,
    /// The user on whose behalf the event happened. 0 is a user too.
    #[serde(default)]
    pub user_id: i64,
    /// The session of that user.
    #[serde(default)]
    pub session_id: String,
    /// The program that published the event.
    #[serde(default)]
    pub instance_id: String,
    #[serde(default)]
    pub(in crate::hosted) schema: Arc<str>,
    #[serde(default)]
    pub(in crate::hosted) entity: Arc<str>,
    #[serde(default)]
    pub(in crate::hosted) operation: Arc<str>,
    /// When the record was made.
    pub created_at: Timestamp,
    /// What else you want to keep. A new record has an empty map.
    #[serde(default)]
    pub metadata: Option<Map<String, Value>>,
    /// The last error of a handler. Empty if there was none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// When the handlers began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processed_at: Option<Timestamp>,
    /// When the handlers ended, well or badly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
}

/// What a payload is in JSON that is not set, or set to null.
const NULL: &str = "null";

/// Two records are equal if their JSON is: a payload that is not set equals one that is set to null.
impl PartialEq for EventRecord {
    fn eq(&self, other: &Self) -> bool {
        self.raw_payload().unwrap_or(NULL) == other.raw_payload().unwrap_or(NULL)
            && (&self.id, self.source, &self.event_type, self.status, self.retry_count)
                == (&other.id, other.source, &other.event_type, other.status, other.retry_count)
            && (self.user_id, &self.session_id, &self.instance_id, &self.schema, &self.entity)
                == (
                    other.user_id,
                    &other.session_id,
                    &other.instance_id,
                    &other.schema,
                    &other.entity,
                )
            && (&self.operation, self.created_at, &self.metadata, &self.error)
                == (&other.operation, other.created_at, &other.metadata, &other.error)
            && (self.processed_at, self.completed_at) == (other.processed_at, other.completed_at)
    }
}

impl EventRecord {
    /// Returns a pending record of an event of type `schema.entity.operation`, with a new id, made
    /// now.
    #[must_use]
    pub fn new(source: EventSource, schema: &str, entity: &str, operation: &str) -> Self {
        Self {
            id: format!("{}", Uuid::now_v7()),
            source: Some(source),
            event_type: format!("{schema}.{entity}.{operation}").into(),
            status: EventStatus::Pending,
            retry_count: 0,
            payload: None,
            user_id: 0,
            session_id: String::new(),
            instance_id: String::new(),
            schema: schema.into(),
            entity: entity.into(),
            operation: operation.into(),
            created_at: Timestamp::now(),
            metadata: Some(Map::new()),
            error: String::new(),
            processed_at: None,
            completed_at: None,
        }
    }

    /// Returns the type, `schema.entity.operation`: the subject under which handlers receive it.
    #[must_use]
    pub fn event_type(&self) -> &str {
        &self.event_type
    }

    /// Returns the schema, the entity and the operation.
    #[must_use]
    pub fn parts(&self) -> (&str, &str, &str) {
        (&self.schema, &self.entity, &self.operation)
    }

    /// Stores `payload` as JSON.
    ///
    /// # Errors
    ///
    /// Returns [`PayloadError::Json`] if it is not possible as JSON. The old payload stays.
    pub fn set_payload<T: Serialize + ?Sized>(&mut self, payload: &T) -> Result<(), PayloadError> {
        let raw = serde_json::value::to_raw_value(payload).map_err(PayloadError::Json)?;
        self.payload = Some(raw.into());
        Ok(())
    }

    /// Reads the payload.
    ///
    /// # Errors
    ///
    /// Returns [`PayloadError::Empty`] if there is none, and [`PayloadError::Json`] if it is no
    /// `T`.
    pub fn payload<T: DeserializeOwned>(&self) -> Result<T, PayloadError> {
        let raw = self.payload.as_ref().ok_or(PayloadError::Empty)?;
        serde_json::from_str(raw.get()).map_err(PayloadError::Json)
    }

    /// Sets a payload to null that JSON did not say to be set.
    pub(in crate::hosted) fn restore_null(&mut self) {
        if self.payload.is_none() {
            self.payload = Some(RawValue::NULL.to_owned().into());
        }
    }

    /// Returns the payload as JSON, byte for byte as it was set.
    #[must_use]
    pub fn raw_payload(&self) -> Option<&str> {
        self.payload.as_deref().map(RawValue::get)
    }

    /// Sets the status to processing. Its handlers begin at `now`.
    pub fn mark_processing(&mut self, now: Timestamp) {
        self.status = EventStatus::Processing;
        self.processed_at = Some(now);
    }

    /// Sets the status to completed. Its handlers ended at `now`.
    pub fn mark_completed(&mut self, now: Timestamp) {
        self.status = EventStatus::Completed;
        self.completed_at = Some(now);
    }

    /// Sets the status to failed. Its handlers ended at `now` with this error.
    pub fn mark_failed(&mut self, now: Timestamp, error: impl fmt::Display) {
        self.status = EventStatus::Failed;
        self.completed_at = Some(now);
        self.error = format!("{error}");
    }

    /// Counts one more try of the handlers.
    pub const fn increment_retry(&mut self) {
        self.retry_count = self.retry_count.saturating_add(1);
    }

    pub(in crate::hosted) const fn has_ended(&self) -> bool {
        matches!(self.status, EventStatus::Completed | EventStatus::Failed)
    }

    /// Checks that the record has what a store needs.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidRecord`] for the first of these that is missing: id, source, type, instance
    /// id. A type with an empty part, as `public..create`, is missing too: it is not a subject, so no
    /// handler could receive it.
    pub fn validate(&self) -> Result<(), InvalidRecord> {
        if self.id.is_empty() {
            Err(InvalidRecord::Id)
        } else if self.source.is_none() {
            Err(InvalidRecord::Source)
        } else if self.event_type.split('.').any(str::is_empty) {
            Err(InvalidRecord::Type)
        } else if self.instance_id.is_empty() {
            Err(InvalidRecord::InstanceId)
        } else {
            Ok(())
        }
    }
}

/// Where an event comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum EventSource {
    /// A change in a database.
    Database,
    /// A message on a web socket.
    WebSocket,
    /// The program that a person uses.
    Frontend,
    /// The operating system, or the machine.
    System,
    /// Your own program.
    #[doc(alias = "Application")]
    Internal,
}

impl EventSource {
    /// Returns the name in JSON and in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::WebSocket => "websocket",
            Self::Frontend => "frontend",
            Self::System => "system",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for EventSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How far an event is.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum EventStatus {
    /// Its handlers have not begun.
    #[default]
    Pending,
    /// Its handlers run.
    Processing,
    /// Its handlers ended well.
    Completed,
    /// A handler failed, and is not tried again.
    Failed,
}

impl EventStatus {
    /// All statuses.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Processing, Self::Completed, Self::Failed];

    /// Returns the name in JSON and in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Processing => "processing",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for EventStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A record lacks what a store needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidRecord {
    /// There is no id.
    Id,
    /// There is no source.
    Source,
    /// There is no type, or a part of it is empty.
    Type,
    /// There is no instance id.
    InstanceId,
}

impl fmt::Display for InvalidRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Id => "event ID is required",
            Self::Source => "event source is required",
            Self::Type => "event type is required",
            Self::InstanceId => "instance ID is required",
        })
    }
}

impl Error for InvalidRecord {}

/// A payload was not read or not set.
#[derive(Debug)]
#[non_exhaustive]
pub enum PayloadError {
    /// There is no payload.
    Empty,
    /// The payload is not possible as JSON, or is JSON of another type.
    Json(serde_json::Error),
}

impl fmt::Display for PayloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.pad("payload is empty"),
            Self::Json(error) => write!(f, "the payload does not fit: {error}"),
        }
    }
}

impl Error for PayloadError {}

fn write_source<S: Serializer>(source: &Option<EventSource>, json: S) -> Result<S::Ok, S::Error> {
    json.serialize_str(source.map_or("", EventSource::name))
}

fn read_source<'de, D: Deserializer<'de>>(json: D) -> Result<Option<EventSource>, D::Error> {
    let name = String::deserialize(json)?;
    if name.is_empty() {
        return Ok(None);
    }
    EventSource::deserialize(name.into_deserializer()).map(Some)
}

fn read_payload<'de, D: Deserializer<'de>>(json: D) -> Result<Option<Arc<RawValue>>, D::Error> {
    raw::read(json).map(|payload| (payload.get() != NULL).then(|| payload.into()))
}
