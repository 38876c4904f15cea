//! The shop: a broker that keeps a record of each order, and the handler that ships.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::time::Duration;
use std::sync::Mutex;

use tickbus::hosted::broker::{Broker, BrokerError};
use tickbus::hosted::store::{
    EventFilter, EventRecord, EventSource, EventStatus, Store, StoreError,
};
use tickbus::hosted::{BoxError, RetryPolicy};
use tokio::time::sleep;

use crate::input::{HERE, Order};
use crate::output::Output;

/// How many records a page of a list has.
const PAGE: usize = 1000;
/// How often it looks whether the orders are handled.
const LOOK: Duration = Duration::from_millis(2);
/// How often the customs office has not answered before it does.
const SLOW: u32 = 2;

pub(crate) struct Shop {
    broker: Broker,
    books: Arc<Mutex<Books>>,
}

/// What the handler needs to know, and what it has earned.
struct Books {
    prices: BTreeMap<String, u32>,
    takings: u64,
}

/// What became of the orders.
#[derive(Default)]
struct Sums {
    completed: usize,
    failed: usize,
    /// The program ended before they were handled.
    left: usize,
}

impl Shop {
    /// Opens the shop: its handler runs from now on.
    pub(crate) fn open(store: Arc<dyn Store>) -> Result<Self, BoxError> {
        let prices = [("lamp", 1900), ("chair", 4900), ("desk", 12900)];
        let prices = prices.map(|(item, cents)| (item.to_owned(), cents)).into();
        let books = Arc::new(Mutex::new(Books { prices, takings: 0 }));
        let broker = Broker::builder()
            .store(store)
            .workers(32)
            .retry(RetryPolicy::new(3).initial(Duration::from_millis(5)))
            .clean_up(Duration::ZERO, Duration::ZERO) // it keeps every record
            .build()?;
        let of_handler = books.clone();
        broker.subscribe("shop.orders.create", move |record: Arc<EventRecord>| {
            let books = of_handler.clone();
            async move { ship(&record, &books) }
        })?;
        broker.start()?;
        Ok(Self { broker, books })
    }

    /// Takes an order. A worker handles it soon after.
    pub(crate) async fn take(&self, order: Order, line: u64) -> Result<(), BoxError> {
        match self.broker.store().get(&order.id).await {
            Ok(_) => return Err(format!("there is an order `{}` already", order.id).into()),
            Err(StoreError::NotFound(_)) => {}
            Err(error) => return Err(error.into()),
        }
        let mut record = EventRecord::new(EventSource::Frontend, "shop", "orders", "create");
        record.id = order.id.clone();
        record.set_payload(&order)?;
        record.metadata.get_or_insert_default().insert("line".into(), line.into());
        self.publish(record).await
    }

    /// Publishes a record. While the queue is full it waits: so the input is read no faster than orders
    /// are handled.
    async fn publish(&self, record: EventRecord) -> Result<(), BoxError> {
        loop {
            match self.broker.publish(record.clone()).await {
                Err(BrokerError::QueueFull) => sleep(LOOK).await,
                other => return Ok(other?),
            }
        }
    }

    /// Waits until every order that was taken is handled.
    async fn quiet(&self) {
        while self.broker.stats().in_progress > 0 {
            sleep(LOOK).await;
        }
    }

    /// Sets the price of an item, for orders that are taken or replayed from now on.
    pub(crate) async fn fix(&self, item: &str, cents: u32) {
        self.quiet().await;
        self.books.lock().unwrap().prices.insert(item.into(), cents);
    }

    /// Handles again what has failed, and what was left when a program ended: one order, or all.
    pub(crate) async fn replay(
        &self,
        id: Option<&str>,
        output: &mut Output,
    ) -> Result<(), BoxError> {
        self.quiet().await;
        let again = match id {
            Some(id) => {
                let record = self.broker.store().get(id).await.map_err(|error| match error {
                    StoreError::NotFound(id) => format!("there is no order `{id}`").into(),
                    error => BoxError::from(error),
                })?;
                if record.status == EventStatus::Completed {
                    return Err(format!("`{id}` is completed already").into());
                }
                vec![record]
            }
            None => {
                let mut all = self.all(EventFilter::new()).await?;
                all.retain(|record| record.status != EventStatus::Completed);
                all
            }
        };
        let ids: Vec<_> = again.iter().map(|record| record.id.clone()).collect();
        for record in again {
            // Of the same id: it takes the place of the old record.
            let mut record = EventRecord::clone(&record);
            record.status = EventStatus::Pending;
            record.retry_count = 0;
            record.error.clear();
            (record.processed_at, record.completed_at) = (None, None);
            let metadata = record.metadata.get_or_insert_default();
            let replays = metadata.get("replays").and_then(|it| it.as_u64()).unwrap_or(0);
            metadata.insert("replays".into(), (replays + 1).into());
            self.publish(record).await?;
        }
        self.quiet().await;
        let mut sums = Sums::default();
        for id in &ids {
            sums.add(&*self.broker.store().get(id).await?);
        }
        output.say(format_args!("replayed {}: {sums}", ids.len()));
        Ok(())
    }

    /// Lists the orders that have failed.
    pub(crate) async fn failed(&self, output: &mut Output) -> Result<(), BoxError> {
        self.quiet().await;
        let failed = self.all(EventFilter::new().status(EventStatus::Failed)).await?;
        output.say(format_args!("{} failed", failed.len()));
        for record in failed {
            output.say(format_args!("  {}: {}", record.id, record.error));
        }
        Ok(())
    }

    /// Tells what became of one order.
    pub(crate) async fn tell(&self, id: &str, output: &mut Output) -> Result<(), BoxError> {
        self.quiet().await;
        let record = self.broker.store().get(id).await?;
        match record.status {
            EventStatus::Failed => output.say(format_args!("{id} failed: {}", record.error)),
            status => output.say(format_args!("{id} {status}, tries: {}", tries(&record))),
        }
        Ok(())
    }

    /// Prints what became of each order. Returns whether all are completed.
    pub(crate) async fn table(&self, output: &mut Output) -> Result<bool, BoxError> {
        if self.broker.is_running() {
            self.quiet().await;
        }
        let records = self.all(EventFilter::new()).await?;
        let rows: Vec<_> = records.iter().map(|record| row(record)).collect();
        let head = ["order", "item", "quantity", "country", "status", "tries", "what"];
        let mut widths = head.map(|cell| cell.chars().count());
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        let mut line = |cells: [&str; 7]| {
            let cells = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
            output.say(cells.collect::<Vec<_>>().join("  ").trim_end());
        };
        if !rows.is_empty() {
            line(head);
        }
        rows.iter().for_each(|row| line(row.each_ref().map(|cell| &**cell)));

        let mut sums = Sums::default();
        records.iter().for_each(|record| sums.add(record));
        let orders = if records.len() == 1 { "order" } else { "orders" };
        let takings = price(self.books.lock().unwrap().takings);
        output.say(format_args!("{} {orders}: {sums}; takings {takings}", records.len()));
        let evicted = self.broker.store().stats().await?.evicted_events;
        if evicted > 0 {
            output.say(format_args!("{evicted} older records had to make room"));
        }
        Ok(sums.failed + sums.left == 0)
    }

    /// Returns the selected orders, page by page.
    async fn all(&self, filter: EventFilter) -> Result<Vec<Arc<EventRecord>>, StoreError> {
        let filter = filter.schema("shop").entity("orders").limit(PAGE);
        let mut page = self.broker.store().list(filter.clone()).await?;
        let mut records = page.records;
        while let Some(next) = page.next {
            page = self.broker.store().list(filter.clone().after(next)).await?;
            records.append(&mut page.records);
        }
        Ok(records)
    }

    /// Closes the shop when what was taken is handled, and at the latest at the deadline.
    pub(crate) async fn close(&self, deadline: Duration) -> Result<(), BrokerError> {
        self.broker.stop(deadline).await
    }
}

/// The handler. It fails by what the order says, so that every run is the same.
fn ship(record: &EventRecord, books: &Mutex<Books>) -> Result<(), BoxError> {
    let order: Order = record.payload()?;
    let mut books = books.lock().unwrap();
    let Some(cents) = books.prices.get(&order.item) else {
        return Err(format!("`{}` has no price", order.item).into());
    };
    let sum = u64::from(*cents) * u64::from(order.quantity);
    if order.country != HERE && record.retry_count < SLOW {
        return Err(format!("the customs office of {} does not answer", order.country).into());
    }
    books.takings = books.takings.saturating_add(sum);
    Ok(())
}

/// How often the handler was called, since the last replay.
fn tries(record: &EventRecord) -> u32 {
    if record.processed_at.is_some() { record.retry_count + 1 } else { 0 }
}

/// The cells of an order.
fn row(record: &EventRecord) -> [String; 7] {
    let metadata = |key| record.metadata.as_ref()?.get(key)?.as_u64();
    let mut what = record.error.clone();
    if let Some(replays) = metadata("replays") {
        let times = if replays == 1 { "once" } else { "several times" };
        what = format!("{what}{}replayed {times}", if what.is_empty() { "" } else { ", " });
    }
    let (item, quantity, country) = match record.payload::<Order>() {
        Ok(order) => (order.item, order.quantity.to_string(), order.country),
        Err(error) => (error.to_string(), String::new(), String::new()),
    };
    let status = record.status.to_string();
    [record.id.clone(), item, quantity, country, status, tries(record).to_string(), what]
}

/// Cents as a price.
pub(crate) fn price(cents: u64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

impl Sums {
    const fn add(&mut self, record: &EventRecord) {
        match record.status {
            EventStatus::Completed => self.completed += 1,
            EventStatus::Failed => self.failed += 1,
            EventStatus::Pending | EventStatus::Processing => self.left += 1,
        }
    }
}

impl core::fmt::Display for Sums {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} completed, {} failed", self.completed, self.failed)?;
        if self.left > 0 {
            write!(f, ", {} not handled: `replay` handles them", self.left)?;
        }
        Ok(())
    }
}
