//! Leases of the shards of Kinesis, in a table: [`PostgresLeases`].

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use tokio::sync::OnceCell;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::connection::Connection;
use super::database::Database;
use super::error::PostgresError;
use super::table::Table;
use crate::hosted::engines::kinesis::{Claimed, LeaseStore, Opened, Renewal, ShardLease};
use crate::hosted::engines::limits::FOR_EVER;
use crate::hosted::provision::Provision;
use crate::hosted::{BoxError, EngineFuture};

const COLUMNS: &[(&str, &str)] = &[
    ("group_name", "text"),
    ("shard", "text"),
    ("member", "text"),
    ("epoch", "int8"),
    ("until", "timestamptz"),
    ("position", "text"),
    ("wanted", "bool"),
];

/// Keeps which member of a group reads which shard, and how far, in a table of a Postgres database.
///
/// The members may be in many processes. The clock of the database decides about the end of a lease.
///
/// # Examples
///
/// ```no_run
/// use tickbus::hosted::Engine;
/// use tickbus::hosted::engines::Kinesis;
/// use tickbus::hosted::engines::postgres::{Database, PostgresLeases, Provision};
///
/// # async fn run() -> Result<(), Box<dyn core::error::Error>> {
/// let database = Database::new("postgres://game@127.0.0.1/game").provision(Provision::Create);
/// let fleet = Kinesis::new("game").lease_store(PostgresLeases::new(&database, "leases")?);
/// fleet.start().await?;
/// # Ok(())
/// # }
/// ```
pub struct PostgresLeases {
    connection: Connection,
    table: Table,
    provision: Provision,
    provided: OnceCell<()>,
}

type Parameters<'a> = &'a [(&'a (dyn ToSql + Sync), Type)];

impl PostgresLeases {
    /// Returns a store on the table `table` or `schema.table`. It connects when it is used, and sees to
    /// the table then, as the settings say.
    ///
    /// # Errors
    ///
    /// Returns [`PostgresError`] if the settings are not possible.
    pub fn new(database: &Database, table: &str) -> Result<Self, PostgresError> {
        Ok(Self {
            connection: Connection::new(database)?,
            table: Table::new(table)?,
            provision: database.provision,
            provided: OnceCell::new(),
        })
    }

    async fn provide(&self) -> Result<(), PostgresError> {
        let table = &self.table;
        let create = format!(
            "CREATE TABLE {table} (
                group_name text NOT NULL,
                shard text NOT NULL,
                member text NOT NULL DEFAULT '',
                epoch bigint NOT NULL DEFAULT 0,
                until timestamptz,
                position text NOT NULL,
                wanted boolean NOT NULL DEFAULT false,
                PRIMARY KEY (group_name, shard)
            )"
        );
        let provide = || table.provide(&self.connection, self.provision, &create, COLUMNS);
        self.provided.get_or_try_init(provide).await.copied()
    }

    /// Asks until there is an answer. It returns the rows, and whether an attempt without an answer was
    /// before it.
    async fn ask(
        &self,
        sql: &str,
        parameters: Parameters<'_>,
    ) -> Result<(Vec<Row>, bool), PostgresError> {
        let mut attempts = self.connection.attempts();
        loop {
            let client = attempts.client().await?;
            let answer = attempts.answer(client.query_typed(sql, parameters)).await;
            client.give_back(&answer);
            if let Some(rows) = answer? {
                return Ok((rows, attempts.is_again()));
            }
        }
    }

    /// Changes the row of a shard, if the epoch is that of the last claim.
    async fn change(
        &self,
        what: &str,
        (group, shard, epoch): (&str, &str, u64),
        position: &str,
    ) -> Result<(bool, bool), BoxError> {
        let sql = format!(
            "UPDATE {} SET {what} WHERE group_name = $1 AND shard = $2 AND epoch = $3
             AND until IS NOT NULL AND $4 IS NOT NULL RETURNING 1",
            self.table
        );
        let epoch = signed(epoch);
        let parameters: Parameters<'_> = &[
            (&group, Type::TEXT),
            (&shard, Type::TEXT),
            (&epoch, Type::INT8),
            (&position, Type::TEXT),
        ];
        let (rows, is_again) = self.ask(&sql, parameters).await?;
        Ok((!rows.is_empty(), is_again))
    }
}

fn signed(epoch: u64) -> i64 {
    i64::try_from(epoch).unwrap_or(i64::MAX)
}

/// Returns a time as the server counts it.
fn millis(time: Duration) -> f64 {
    time.min(FOR_EVER).as_secs_f64() * 1000.0
}

impl LeaseStore for PostgresLeases {
    fn open<'a>(
        &'a self,
        group: &'a str,
        about: &'a str,
        shards: &'a [(Box<str>, Box<str>)],
    ) -> EngineFuture<'a, Result<Opened, BoxError>> {
        EngineFuture::new(async move {
            self.provide().await?;
            // The row without a shard is that of the group.
            let sql = format!(
                "WITH made AS (
                    INSERT INTO {0} (group_name, shard, position) VALUES ($1, '', $2)
                    ON CONFLICT DO NOTHING RETURNING 1
                ), begun AS (
                    INSERT INTO {0} (group_name, shard, position)
                    SELECT $1, it.shard, it.position
                    FROM unnest($3, $4) AS it (shard, position)
                    WHERE EXISTS (SELECT FROM made)
                    ON CONFLICT DO NOTHING
                ) SELECT EXISTS (SELECT FROM made)",
                self.table
            );
            let ids: Vec<&str> = shards.iter().map(|(shard, _)| &**shard).collect();
            let positions: Vec<&str> = shards.iter().map(|(_, position)| &**position).collect();
            let parameters: Parameters<'_> = &[
                (&group, Type::TEXT),
                (&about, Type::TEXT),
                (&ids, Type::TEXT_ARRAY),
                (&positions, Type::TEXT_ARRAY),
            ];
            let (rows, _) = self.ask(&sql, parameters).await?;
            let created = rows.first().is_some_and(|row| row.get(0));
            let sql =
                format!("SELECT position FROM {} WHERE group_name = $1 AND shard = ''", self.table);
            let (rows, _) = self.ask(&sql, &[(&group, Type::TEXT)]).await?;
            let about = rows.first().map(|row| row.get::<_, String>(0)).unwrap_or_default();
            Ok(Opened::new(created, about))
        })
    }

    fn shards<'a>(&'a self, group: &'a str) -> EngineFuture<'a, Result<Vec<ShardLease>, BoxError>> {
        EngineFuture::new(async move {
            let sql = format!(
                "SELECT shard, position, CASE WHEN until > clock_timestamp() THEN member END, wanted
                 FROM {} WHERE group_name = $1 AND shard <> ''",
                self.table
            );
            let (rows, _) = self.ask(&sql, &[(&group, Type::TEXT)]).await?;
            let shown = |row: &Row| {
                let text = |at: usize| row.get::<_, String>(at);
                let lease = ShardLease::new(text(0), text(1));
                match row.get::<_, Option<String>>(2) {
                    Some(member) => lease.held_by(member, row.get(3)),
                    None => lease,
                }
            };
            Ok(rows.iter().map(shown).collect())
        })
    }

    fn claim<'a>(
        &'a self,
        group: &'a str,
        shard: &'a str,
        member: &'a str,
        lease: Duration,
        begin: &'a str,
    ) -> EngineFuture<'a, Result<Option<Claimed>, BoxError>> {
        EngineFuture::new(async move {
            let sql = format!(
                "INSERT INTO {} AS old (group_name, shard, member, epoch, until, position)
                 VALUES ($1, $2, $3, 1, clock_timestamp() + $4 * interval '1 ms', $5)
                 ON CONFLICT (group_name, shard) DO UPDATE
                 SET member = EXCLUDED.member, epoch = old.epoch + 1, wanted = false,
                     until = clock_timestamp() + $4 * interval '1 ms'
                 WHERE old.until IS NULL OR old.until <= clock_timestamp() OR old.member = $3
                 RETURNING epoch, position",
                self.table
            );
            let lease = millis(lease);
            let parameters: Parameters<'_> = &[
                (&group, Type::TEXT),
                (&shard, Type::TEXT),
                (&member, Type::TEXT),
                (&lease, Type::FLOAT8),
                (&begin, Type::TEXT),
            ];
            let (rows, _) = self.ask(&sql, parameters).await?;
            let claimed = rows.first().map(|row| {
                let epoch = u64::try_from(row.get::<_, i64>(0)).unwrap_or(0);
                Claimed::new(epoch, row.get::<_, String>(1))
            });
            Ok(claimed)
        })
    }

    fn renew<'a>(
        &'a self,
        group: &'a str,
        held: &'a [(Arc<str>, u64)],
        lease: Duration,
    ) -> EngineFuture<'a, Result<Vec<Renewal>, BoxError>> {
        EngineFuture::new(async move {
            let sql = format!(
                "UPDATE {} AS own SET until = clock_timestamp() + $4 * interval '1 ms'
                 FROM unnest($2, $3) AS held (shard, epoch)
                 WHERE own.group_name = $1 AND own.shard = held.shard AND own.epoch = held.epoch
                 AND own.until IS NOT NULL RETURNING own.shard, own.wanted",
                self.table
            );
            let ids: Vec<&str> = held.iter().map(|(shard, _)| &**shard).collect();
            let epochs: Vec<i64> = held.iter().map(|(_, epoch)| signed(*epoch)).collect();
            let lease = millis(lease);
            let parameters: Parameters<'_> = &[
                (&group, Type::TEXT),
                (&ids, Type::TEXT_ARRAY),
                (&epochs, Type::INT8_ARRAY),
                (&lease, Type::FLOAT8),
            ];
            let (rows, _) = self.ask(&sql, parameters).await?;
            let renewed = |(shard, _): &(Arc<str>, u64)| match rows
                .iter()
                .find(|row| row.get::<_, &str>(0) == &**shard)
            {
                Some(row) if row.get(1) => Renewal::Wanted,
                Some(_) => Renewal::Kept,
                None => Renewal::Lost,
            };
            Ok(held.iter().map(renewed).collect())
        })
    }

    fn checkpoint<'a>(
        &'a self,
        group: &'a str,
        shard: &'a str,
        epoch: u64,
        position: &'a str,
    ) -> EngineFuture<'a, Result<bool, BoxError>> {
        EngineFuture::new(async move {
            Ok(self.change("position = $4", (group, shard, epoch), position).await?.0)
        })
    }

    fn release<'a>(
        &'a self,
        group: &'a str,
        shard: &'a str,
        epoch: u64,
    ) -> EngineFuture<'a, Result<bool, BoxError>> {
        EngineFuture::new(async move {
            let (changed, is_again) =
                self.change("until = NULL", (group, shard, epoch), "").await?;
            Ok(changed || is_again) // an attempt before may have released it
        })
    }

    fn want<'a>(
        &'a self,
        group: &'a str,
        shard: &'a str,
    ) -> EngineFuture<'a, Result<(), BoxError>> {
        EngineFuture::new(async move {
            let sql = format!(
                "UPDATE {} SET wanted = true WHERE group_name = $1 AND shard = $2",
                self.table
            );
            self.ask(&sql, &[(&group, Type::TEXT), (&shard, Type::TEXT)]).await?;
            Ok(())
        })
    }
}

impl fmt::Debug for PostgresLeases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresLeases")
            .field("server", &self.connection.server())
            .field("table", &self.table.name())
            .finish_non_exhaustive()
    }
}
