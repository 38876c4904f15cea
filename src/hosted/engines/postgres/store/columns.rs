//! The table of a store: its columns, records as rows, rows as records.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::error::Error;

use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde_json::value::RawValue;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, ToSql};

use super::super::error::PostgresError;
use super::super::table::Table;
use super::super::time::{Micros, joined, parted};
use crate::envelope::Timestamp;
use crate::hosted::store::EventRecord;

/// What a table must have, in the order of [`Rows::parameters`], and before them the place.
pub(super) const COLUMNS: &[(&str, &str)] = &[
    ("place", "int8"),
    ("id", "text"),
    ("source", "text"),
    ("type", "text"),
    ("status", "text"),
    ("retry_count", "int8"),
    ("payload", "json"),
    ("user_id", "int8"),
    ("session_id", "text"),
    ("instance_id", "text"),
    ("schema", "text"),
    ("entity", "text"),
    ("operation", "text"),
    ("created_at", "timestamptz"),
    ("created_nanos", "int2"),
    ("metadata", "json"),
    ("error", "text"),
    ("processed_at", "timestamptz"),
    ("processed_nanos", "int2"),
    ("completed_at", "timestamptz"),
    ("completed_nanos", "int2"),
];

/// Creates the table. Each criterion of a filter that can select few records has an index.
pub(super) fn create(table: &Table) -> String {
    format!(
        "CREATE TABLE {table} (
            place bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            id text NOT NULL UNIQUE,
            source text NOT NULL,
            type text NOT NULL,
            status text NOT NULL,
            retry_count bigint NOT NULL,
            payload json,
            user_id bigint NOT NULL,
            session_id text NOT NULL,
            instance_id text NOT NULL,
            schema text NOT NULL,
            entity text NOT NULL,
            operation text NOT NULL,
            created_at timestamptz NOT NULL,
            created_nanos smallint NOT NULL,
            metadata json,
            error text NOT NULL,
            processed_at timestamptz,
            processed_nanos smallint,
            completed_at timestamptz,
            completed_nanos smallint
        );
        CREATE INDEX ON {table} (status, place);
        CREATE INDEX ON {table} (user_id, place);
        CREATE INDEX ON {table} (entity, place);
        CREATE INDEX ON {table} (instance_id, place);
        CREATE INDEX ON {table} (created_at, created_nanos)"
    )
}

/// The columns of a record, without its place.
fn names() -> impl Iterator<Item = &'static str> {
    COLUMNS[1..].iter().map(|(name, _)| *name)
}

/// What a query selects so that [`read`] can read it.
pub(super) fn selected() -> String {
    let column = |name| match name {
        "payload" | "metadata" => format!("{name}::text"),
        name => name.into(),
    };
    let columns: Vec<String> = names().map(column).collect();
    columns.join(", ")
}

/// The rows that [`Rows::parameters`] has, as a table `new`.
fn new() -> String {
    let types = COLUMNS[1..].iter().map(|(_, kind)| match *kind {
        "json" => "text",
        kind => kind,
    });
    let arrays: Vec<String> =
        types.enumerate().map(|(at, kind)| format!("${}::{kind}[]", at + 1)).collect();
    let names: Vec<&str> = names().collect();
    format!("unnest({}) AS new({})", arrays.join(", "), names.join(", "))
}

/// The values of `new`, in the order of the columns.
fn values() -> String {
    let value = |name| match name {
        "payload" | "metadata" => format!("new.{name}::json"),
        name => format!("new.{name}"),
    };
    let values: Vec<String> = names().map(value).collect();
    values.join(", ")
}

/// Stores rows that are all new, in their order. It costs the server less than [`put`].
pub(super) fn insert(table: &Table) -> String {
    let names: Vec<&str> = names().collect();
    format!("INSERT INTO {table} ({}) SELECT {} FROM {}", names.join(", "), values(), new())
}

/// Stores rows, in their order. Returns the id of each, and whether it is new.
pub(super) fn put(table: &Table) -> String {
    let names: Vec<&str> = names().collect();
    let excluded: Vec<String> = names.iter().map(|name| format!("excluded.{name}")).collect();
    format!(
        "{} ON CONFLICT (id) DO UPDATE SET ({}) = ROW ({}) RETURNING id, xmax = 0",
        insert(table),
        names.join(", "),
        excluded.join(", "),
    )
}

/// Replaces rows. Returns the ids of those that are there.
pub(super) fn update(table: &Table) -> String {
    let names: Vec<&str> = names().collect();
    format!(
        "UPDATE {table} AS old SET ({}) = ROW ({}) FROM {} WHERE old.id = new.id RETURNING old.id",
        names.join(", "),
        values(),
        new(),
    )
}

/// Records as columns.
#[derive(Default)]
pub(super) struct Rows<'a> {
    id: Vec<&'a str>,
    source: Vec<&'a str>,
    kind: Vec<&'a str>,
    status: Vec<&'a str>,
    retry_count: Vec<i64>,
    payload: Vec<Option<&'a str>>,
    user_id: Vec<i64>,
    session_id: Vec<&'a str>,
    instance_id: Vec<&'a str>,
    schema: Vec<&'a str>,
    entity: Vec<&'a str>,
    operation: Vec<&'a str>,
    created: Times,
    metadata: Vec<Option<String>>,
    error: Vec<&'a str>,
    processed: Times,
    completed: Times,
}

#[derive(Default)]
struct Times {
    at: Vec<Option<Micros>>,
    nanos: Vec<Option<i16>>,
}

impl Times {
    fn add(&mut self, time: Option<Timestamp>) {
        let parted = time.map(parted);
        self.at.push(parted.map(|(at, _)| at));
        self.nanos.push(parted.map(|(_, nanos)| nanos));
    }
}

impl<'a> Rows<'a> {
    pub(super) fn add(&mut self, record: &'a EventRecord) {
        self.id.push(&record.id);
        self.source.push(record.source.map_or("", |source| source.name()));
        self.kind.push(&record.event_type);
        self.status.push(record.status.name());
        self.retry_count.push(record.retry_count.into());
        self.payload.push(record.raw_payload());
        self.user_id.push(record.user_id);
        self.session_id.push(&record.session_id);
        self.instance_id.push(&record.instance_id);
        self.schema.push(&record.schema);
        self.entity.push(&record.entity);
        self.operation.push(&record.operation);
        self.created.add(Some(record.created_at));
        // A map whose keys are texts is always possible as JSON.
        self.metadata.push(record.metadata.as_ref().and_then(|it| serde_json::to_string(it).ok()));
        self.error.push(&record.error);
        self.processed.add(record.processed_at);
        self.completed.add(record.completed_at);
    }

    pub(super) fn parameters(&self) -> [&(dyn ToSql + Sync); 20] {
        [
            &self.id,
            &self.source,
            &self.kind,
            &self.status,
            &self.retry_count,
            &self.payload,
            &self.user_id,
            &self.session_id,
            &self.instance_id,
            &self.schema,
            &self.entity,
            &self.operation,
            &self.created.at,
            &self.created.nanos,
            &self.metadata,
            &self.error,
            &self.processed.at,
            &self.processed.nanos,
            &self.completed.at,
            &self.completed.nanos,
        ]
    }
}

/// Checks what Postgres would refuse for all rows of a statement, and not only for this one.
pub(super) fn check(record: &EventRecord) -> Result<(), PostgresError> {
    let texts = [
        ("id", &*record.id),
        ("type", &*record.event_type),
        ("session_id", &record.session_id),
        ("instance_id", &record.instance_id),
        ("schema", &*record.schema),
        ("entity", &*record.entity),
        ("operation", &*record.operation),
        ("error", &record.error),
    ];
    match texts.into_iter().find(|(_, text)| text.contains('\0')) {
        Some((name, _)) => Err(PostgresError::Nul(name)),
        None => Ok(()),
    }
}

/// How much a record adds to a statement, about.
pub(super) fn size(record: &EventRecord) -> usize {
    let metadata = record.metadata.as_ref().map_or(0, |it| it.len() * 64);
    record.raw_payload().map_or(0, str::len) + record.error.len() + metadata + 512
}

/// Reads what [`selected`] selects, from the column `from` on.
pub(super) fn read(row: &Row, from: usize) -> Result<Arc<EventRecord>, PostgresError> {
    try_read(row, from)
        .map(Arc::new)
        .map_err(|error| PostgresError::Answer(format!("a row is no record: {error}").into()))
}

fn try_read(row: &Row, from: usize) -> Result<EventRecord, Box<dyn Error + Send + Sync>> {
    let mut next = from;
    fn take<'a, T: FromSql<'a>>(
        row: &'a Row,
        next: &mut usize,
    ) -> Result<T, tokio_postgres::Error> {
        *next += 1;
        row.try_get(*next - 1)
    }
    fn time(
        row: &Row,
        next: &mut usize,
    ) -> Result<Option<Timestamp>, Box<dyn Error + Send + Sync>> {
        match (take::<Option<Micros>>(row, next)?, take::<Option<i16>>(row, next)?) {
            (Some(at), nanos) => joined(at, nanos.unwrap_or(0)).map(Some),
            (None, _) => Ok(None),
        }
    }
    /// Reads the name of a source or a status.
    fn named<'a, T: Deserialize<'a>>(name: &'a str) -> Result<T, serde::de::value::Error> {
        T::deserialize(name.into_deserializer())
    }
    let next = &mut next;
    Ok(EventRecord {
        id: take(row, next)?,
        source: Some(named(take(row, next)?)?),
        event_type: take::<&str>(row, next)?.into(),
        status: named(take(row, next)?)?,
        retry_count: u32::try_from(take::<i64>(row, next)?)?,
        payload: take::<Option<String>>(row, next)?
            .map(RawValue::from_string)
            .transpose()?
            .map(Arc::from),
        user_id: take(row, next)?,
        session_id: take(row, next)?,
        instance_id: take(row, next)?,
        schema: take::<&str>(row, next)?.into(),
        entity: take::<&str>(row, next)?.into(),
        operation: take::<&str>(row, next)?.into(),
        created_at: time(row, next)?.ok_or("it has no time")?,
        metadata: match take::<Option<&str>>(row, next)? {
            Some(metadata) => Some(serde_json::from_str(metadata)?),
            None => None,
        },
        error: take(row, next)?,
        processed_at: time(row, next)?,
        completed_at: time(row, next)?,
    })
}
