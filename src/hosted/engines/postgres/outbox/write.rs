//! Writes an event in a transaction.

use alloc::format;
use alloc::sync::Arc;

use tokio_postgres::types::{ToSql, Type};

use super::super::error::{Failure, PostgresError};
use super::Outbox;
use crate::envelope::Envelope;
use crate::hosted::stamped;

impl Outbox {
    pub(in super::super) async fn write(
        &self,
        transaction: &tokio_postgres::Transaction<'_>,
        envelope: Envelope,
    ) -> Result<Arc<Envelope>, PostgresError> {
        // Postgres would refuse it, and with it the whole transaction.
        for (field, text) in [("key", envelope.key()), ("subject", envelope.subject().as_str())] {
            if text.contains('\0') {
                return Err(PostgresError::Nul(field));
            }
        }
        let envelope = stamped(envelope.into());
        let refused = |error| match Failure::of(&error, self.connection.server()) {
            Failure::Passing(error) | Failure::Lasting(error) => error,
        };
        let (table, key) = (&self.table, envelope.key());
        if !key.is_empty() {
            // Before the place is given: places of a key are in the order of commits.
            let lock = format!("SELECT pg_advisory_xact_lock({}::int4, hashtext($1))", table.oid());
            transaction.query_typed(&lock, &[(&key, Type::TEXT)]).await.map_err(refused)?;
        }
        let notify =
            if self.notifies { format!(", pg_notify({}, '')", table.channel()) } else { "".into() };
        let insert = format!(
            "INSERT INTO {table} (key, subject, envelope) VALUES ($1, $2, $3::json) \
             RETURNING place{notify}"
        );
        let (subject, json) = (envelope.subject(), envelope.to_json());
        let subject = subject.as_str();
        let parameters: [(&(dyn ToSql + Sync), Type); 3] =
            [(&key, Type::TEXT), (&subject, Type::TEXT), (&json, Type::TEXT)];
        transaction.query_typed(&insert, &parameters).await.map_err(refused)?;
        Ok(envelope)
    }
}
