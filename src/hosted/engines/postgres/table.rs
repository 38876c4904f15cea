//! Tables: their names in SQL, and whether they are there.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use tokio_postgres::error::SqlState;

use super::connection::Connection;
use super::error::PostgresError;
use crate::hosted::provision::Provision;

/// The name of a table.
#[derive(Clone)]
pub(super) struct Table {
    name: Box<str>,
    quoted: Box<str>,
}

impl Table {
    /// Reads `table` or `schema.table`.
    pub(super) fn new(name: &str) -> Result<Self, PostgresError> {
        let parts: Vec<&str> = name.split('.').collect();
        let is_name = |part: &&str| (1..=63).contains(&part.len()) && !part.contains('\0');
        if parts.len() > 2 || !parts.iter().all(is_name) {
            let why = alloc::format!(
                "{name:?} is not the name of a table: `table` or `schema.table`, each of 1 to 63 bytes"
            );
            return Err(PostgresError::Settings(why.into()));
        }
        let quoted: Vec<String> =
            parts.iter().map(|part| alloc::format!("\"{}\"", part.replace('"', "\"\""))).collect();
        Ok(Self { name: name.into(), quoted: quoted.join(".").into() })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Returns what names the table for the whole database, as an expression in SQL.
    pub(super) fn oid(&self) -> String {
        alloc::format!("'{}'::regclass::oid", self.quoted.replace('\'', "''"))
    }

    /// Returns the channel on which its news is announced, as an expression in SQL.
    pub(super) fn channel(&self) -> String {
        alloc::format!("'tickbus_' || {}", self.oid())
    }

    /// Sees to the table, as `provision` says. `columns` is what `create` makes: names and types.
    pub(super) async fn provide(
        &self,
        connection: &Connection,
        provision: Provision,
        create: &str,
        columns: &[(&str, &str)],
    ) -> Result<(), PostgresError> {
        let mut attempts = connection.attempts();
        loop {
            let mut client = attempts.client().await?;
            let answer = attempts
                .answer(async {
                    if provision == Provision::Create {
                        self.create(&mut client, create).await?;
                    }
                    match provision {
                        Provision::Never => Ok(Ok(())),
                        _ => self.check(&client, columns).await,
                    }
                })
                .await;
            client.give_back(&answer);
            if let Some(there) = answer? {
                return there;
            }
        }
    }

    async fn create(
        &self,
        client: &mut tokio_postgres::Client,
        create: &str,
    ) -> Result<(), tokio_postgres::Error> {
        let exists = "SELECT to_regclass($1) IS NOT NULL";
        let name: &str = &self.quoted;
        if client.query_one(exists, &[&name]).await?.get(0) {
            return Ok(()); // a user without the right to create may use it
        }
        let transaction = client.transaction().await?;
        // Two that create a table at the same moment disturb each other. The number is ours.
        transaction.batch_execute("SELECT pg_advisory_xact_lock(8101099)").await?;
        match transaction.batch_execute(create).await {
            Ok(()) => transaction.commit().await,
            // Another one has created it.
            Err(error) if error.code() == Some(&SqlState::DUPLICATE_TABLE) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Compares the columns with those that it must have.
    async fn check(
        &self,
        client: &tokio_postgres::Client,
        columns: &[(&str, &str)],
    ) -> Result<Result<(), PostgresError>, tokio_postgres::Error> {
        let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
        let select = alloc::format!("SELECT {} FROM {self} LIMIT 0", names.join(", "));
        let wrong = |why: String| Ok(Err(PostgresError::Table(why.into())));
        let statement = match client.prepare(&select).await {
            Ok(statement) => statement,
            Err(error) => {
                return match error.code() {
                    Some(&SqlState::UNDEFINED_TABLE | &SqlState::INVALID_SCHEMA_NAME) => {
                        wrong(alloc::format!(
                            "the table `{}` is missing: `Provision::Create` creates it",
                            self.name
                        ))
                    }
                    Some(&SqlState::UNDEFINED_COLUMN) => {
                        let why = error.as_db_error().map_or("", |refused| refused.message());
                        wrong(alloc::format!("the table `{}` is another one: {why}", self.name))
                    }
                    _ => Err(error),
                };
            }
        };
        for (column, (name, kind)) in statement.columns().iter().zip(columns) {
            let found = column.type_().to_string();
            if found != *kind {
                return wrong(alloc::format!(
                    "the table `{}` is another one: its column `{name}` is {found} and not {kind}",
                    self.name
                ));
            }
        }
        Ok(Ok(()))
    }
}

/// As SQL has it.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.quoted)
    }
}
