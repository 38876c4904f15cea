//! Writes records: what waits at the same time goes in one statement.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use std::collections::HashSet;

use tokio::sync::broadcast::Sender;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_postgres::Row;

use super::super::connection::Connection;
use super::super::error::{PostgresError, is_of_a_row};
use super::super::table::Table;
use super::columns::{self, Rows};
use crate::hosted::store::{EventRecord, StoreError};

/// How many records, and about how many bytes, a statement has at most.
const MOST_RECORDS: usize = 512;
const MOST_BYTES: usize = 4 << 20;

/// A record to write, and where the answer goes.
pub(super) struct Write {
    pub(super) record: Arc<EventRecord>,
    /// Whether it must be there already.
    pub(super) is_update: bool,
    pub(super) until: Instant,
    pub(super) answer: oneshot::Sender<Result<(), StoreError>>,
}

impl Write {
    fn answer(self, answer: Result<(), StoreError>) {
        let _ = self.answer.send(answer); // the caller may have gone
    }
}

pub(super) struct Writer {
    connection: Connection,
    news: Sender<Arc<EventRecord>>,
    insert: String,
    put: String,
    update: String,
    /// How many statements replace what is there, until it tries again whether all is new.
    replaces: u32,
}

/// As many after one that was not all new.
const REPLACES: u32 = 64;

/// Writes of different ids: they can go in any order.
#[derive(Default)]
struct Batch {
    ids: HashSet<Arc<str>>,
    bytes: usize,
    puts: Vec<Write>,
    updates: Vec<Write>,
}

impl Batch {
    fn has_room(&self) -> bool {
        self.puts.len() + self.updates.len() < MOST_RECORDS && self.bytes < MOST_BYTES
    }

    /// Takes a write, or gives it back if it has one of the same id.
    fn add(&mut self, write: Write) -> Result<(), Write> {
        if !self.ids.insert((&*write.record.id).into()) {
            return Err(write);
        }
        self.bytes += columns::size(&write.record);
        if write.is_update { &mut self.updates } else { &mut self.puts }.push(write);
        Ok(())
    }
}

impl Writer {
    pub(super) fn new(
        connection: Connection,
        table: &Table,
        news: Sender<Arc<EventRecord>>,
    ) -> Self {
        let (insert, put) = (columns::insert(table), columns::put(table));
        let update = columns::update(table);
        Self { connection, news, insert, put, update, replaces: 0 }
    }

    /// Writes what comes, until the store is closed and everything before that is written.
    pub(super) async fn run(mut self, mut queue: mpsc::UnboundedReceiver<Write>) {
        let mut held = None;
        loop {
            let mut next = match held.take() {
                Some(write) => Some(write),
                None => queue.recv().await,
            };
            if next.is_none() {
                break;
            }
            let mut batch = Batch::default();
            while let Some(write) = next {
                if let Err(again) = batch.add(write) {
                    held = Some(again);
                    break;
                }
                next = if batch.has_room() { queue.try_recv().ok() } else { None };
            }
            self.put(batch.puts).await;
            self.update(batch.updates).await;
        }
        self.connection.close();
    }

    async fn put(&mut self, writes: Vec<Write>) {
        if writes.is_empty() {
            return;
        }
        if self.replaces > 0 {
            self.replaces -= 1;
            return self.replace(writes).await;
        }
        match self.execute(&self.insert, &writes).await {
            Ok(_) => {
                for write in writes {
                    let _ = self.news.send(write.record.clone()); // without a reader it goes nowhere
                    write.answer(Ok(()));
                }
            }
            // One is there already, or at fault.
            Err(error) if is_of_a_row(&error) => {
                self.replaces = REPLACES;
                self.replace(writes).await;
            }
            Err(error) => {
                for write in writes {
                    write.answer(Err(error.clone().into()));
                }
            }
        }
    }

    /// Stores records that may be there.
    async fn replace(&self, writes: Vec<Write>) {
        self.each_part(&self.put, writes, |written, is_again, writes| {
            // After an attempt that got no answer, what is there may be of that one.
            let new = written.iter().filter(|row| is_again || row.get(1));
            let new: BTreeSet<&str> = new.map(|row| row.get(0)).collect();
            for write in writes {
                if new.contains(&*write.record.id) {
                    let _ = self.news.send(write.record.clone()); // without a reader it goes nowhere
                }
                write.answer(Ok(()));
            }
        })
        .await;
    }

    async fn update(&self, writes: Vec<Write>) {
        self.each_part(&self.update, writes, |written, _, writes| {
            let there: BTreeSet<&str> = written.iter().map(|row| row.get(0)).collect();
            for write in writes {
                let id = &write.record.id;
                let is_there = there.contains(&**id);
                let answer = if is_there { Ok(()) } else { Err(StoreError::NotFound(id.clone())) };
                write.answer(answer);
            }
        })
        .await;
    }

    /// Executes a statement for all writes. If one of them is at fault, the others are written
    /// without it: halves of a batch, and halves of these.
    async fn each_part(
        &self,
        sql: &str,
        writes: Vec<Write>,
        mut done: impl FnMut(&[Row], bool, Vec<Write>),
    ) {
        let mut parts = alloc::vec![writes];
        while let Some(mut part) = parts.pop() {
            if part.is_empty() {
                continue;
            }
            match self.execute(sql, &part).await {
                Ok((rows, is_again)) => done(&rows, is_again, part),
                Err(error) if is_of_a_row(&error) && part.len() > 1 => {
                    let second = part.split_off(part.len() / 2);
                    parts.push(second);
                    parts.push(part); // first
                }
                Err(error) => {
                    for write in part {
                        write.answer(Err(error.clone().into()));
                    }
                }
            }
        }
    }

    /// Returns the rows, and whether an attempt without an answer was before it.
    async fn execute(
        &self,
        sql: &str,
        writes: &[Write],
    ) -> Result<(Vec<Row>, bool), PostgresError> {
        let until = writes.last().map_or_else(Instant::now, |write| write.until);
        let mut rows = Rows::default();
        for write in writes {
            rows.add(&write.record);
        }
        let mut attempts = self.connection.attempts_until(until);
        loop {
            let client = attempts.client().await?;
            let question = async {
                let statement = client.prepare_cached(sql).await?;
                client.query(&statement, &rows.parameters()).await
            };
            let answer = attempts.answer(question).await;
            client.give_back(&answer);
            if let Some(rows) = answer? {
                return Ok((rows, attempts.is_again()));
            }
        }
    }
}
