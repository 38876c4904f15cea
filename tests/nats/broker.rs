//! Brokers of a group over NATS, one of them in a process that is killed in its handler.

use alloc::sync::Arc;
use core::time::Duration;
use std::env;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use tickbus::Envelope;
use tickbus::envelope::Timestamp;
use tickbus::hosted::broker::Broker;
use tickbus::hosted::engines::nats::{Nats, Provision};
use tickbus::hosted::store::{
    EventFilter, EventRecord, EventSource, EventStatus, Page, Records, Store, StoreError,
    StoreStats,
};
use tickbus::hosted::{Engine, EngineFuture};
use tickbus::subject::GlobPattern;
use tokio::time::{sleep, timeout};

use crate::servers::folder;
use crate::servers::jepsen::LEASE;
use crate::servers::process::{Process, say};
use crate::{SOON, on_both, run};

/// A file for each record, which several processes share.
struct Files(PathBuf);

impl Files {
    fn file(&self, id: &str) -> PathBuf {
        self.0.join(id)
    }

    fn read(&self, id: &str) -> Result<Arc<EventRecord>, StoreError> {
        let bytes = fs::read(self.file(id)).map_err(|error| match error.kind() {
            ErrorKind::NotFound => StoreError::NotFound(id.into()),
            _ => StoreError::Failed(error.into()),
        })?;
        let record = serde_json::from_slice(&bytes);
        record.map(Arc::new).map_err(|error| StoreError::Failed(error.into()))
    }

    fn write(&self, record: &EventRecord) -> Result<(), StoreError> {
        let half = self.file(&format!("{}.{}", record.id, std::process::id()));
        let written = fs::write(&half, serde_json::to_vec(record).unwrap());
        let moved = written.and_then(|()| fs::rename(&half, self.file(&record.id)));
        moved.map_err(|error| StoreError::Failed(error.into()))
    }
}

impl Store for Files {
    fn put(&self, record: EventRecord) -> EngineFuture<'_, Result<(), StoreError>> {
        EngineFuture::ready(self.write(&record))
    }

    fn get(&self, id: &str) -> EngineFuture<'_, Result<Arc<EventRecord>, StoreError>> {
        EngineFuture::ready(self.read(id))
    }

    fn update(&self, record: EventRecord) -> EngineFuture<'_, Result<(), StoreError>> {
        EngineFuture::ready(self.read(&record.id).and_then(|_| self.write(&record)))
    }

    fn delete(&self, id: &str) -> EngineFuture<'_, Result<(), StoreError>> {
        let removed = fs::remove_file(self.file(id));
        EngineFuture::ready(removed.map_err(|_| StoreError::NotFound(id.into())))
    }

    fn list(&self, _: EventFilter) -> EngineFuture<'_, Result<Page, StoreError>> {
        EngineFuture::ready(Err(StoreError::Closed))
    }

    fn clean_up(&self, _: Timestamp) -> EngineFuture<'_, Result<u64, StoreError>> {
        EngineFuture::ready(Ok(0))
    }

    fn stream(&self, _: GlobPattern<'_>) -> Result<Records, StoreError> {
        Err(StoreError::Closed)
    }

    fn stats(&self) -> EngineFuture<'_, Result<StoreStats, StoreError>> {
        EngineFuture::ready(Err(StoreError::Closed))
    }

    fn close(&self) {}
}

fn nats(url: &str) -> Nats {
    let nats = Nats::new(url).stream("RECORDS").subjects(["events.>"]);
    nats.provision(Provision::Create).in_memory().heartbeat(Duration::from_millis(250))
}

/// A member of the group. Its handler says what it gets, and never ends if `hangs`.
async fn member(url: &str, files: &Path, name: &str, hangs: bool) -> Broker {
    let broker = Broker::builder().store(Arc::new(Files(files.into()))).instance_id(name);
    let broker = broker.engine(nats(url)).group("orders").lease(LEASE).build().unwrap();
    broker
        .subscribe("*", move |record: Arc<EventRecord>| async move {
            say(&format!("handles {} {}", record.id, record.retry_count));
            if hangs {
                core::future::pending::<()>().await;
            }
            Ok::<(), String>(())
        })
        .unwrap();
    broker.start().unwrap();
    broker.ready().await.unwrap();
    broker
}

/// What the next test runs in another process. Alone it does nothing.
#[test]
fn in_another_process() {
    let (Ok(url), Ok(files)) = (env::var("TICKBUS_URL"), env::var("TICKBUS_FILES")) else { return };
    run(async {
        let _broker = member(&url, Path::new(&files), "other", true).await;
        say("ready");
        core::future::pending::<()>().await;
    });
}

#[test]
fn a_record_of_a_broker_that_is_killed_in_its_handler_is_handled_by_another_one() {
    on_both(async |server| {
        let (url, files) = (server.url(), folder());
        let store = Files(files.clone());
        let variables = [("TICKBUS_URL", url.as_ref()), ("TICKBUS_FILES", files.as_ref())];
        let mut other = Process::start("broker::in_another_process", variables);
        other.says("ready");
        let mut record = EventRecord::new(EventSource::System, "shop", "orders", "create");
        (record.id, record.instance_id) = ("1".into(), "shop-1".into());
        store.put(record.clone()).await.unwrap();
        let sender = nats(&url);
        sender.start().await.unwrap();
        let envelope = Envelope::json("events.shop.orders.create", &record).unwrap();
        sender.publish(envelope.with_id("1").into()).await.unwrap();
        other.says("handles 1 0");
        drop(other); // `kill -9`
        assert_eq!(store.read("1").unwrap().status, EventStatus::Processing);

        let broker = member(&url, &files, "this", false).await;
        let ended = async {
            while store.read("1").unwrap().status != EventStatus::Completed {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(SOON, ended).await.expect("another broker has it");
        assert_eq!(store.read("1").unwrap().retry_count, 1);
        sleep(LEASE + LEASE / 2).await;
        let stats = broker.stats();
        assert_eq!((stats.total_received, stats.total_processed, stats.duplicates), (1, 1, 0));
        assert_eq!(stats.queue_size, 0, "it is acknowledged");

        // Published again by a broker, it has ended; another one goes its way.
        broker.publish(record).await.unwrap();
        let mut next = EventRecord::new(EventSource::System, "shop", "orders", "create");
        next.id = "2".into();
        broker.publish(next).await.unwrap();
        broker.stop(SOON).await.unwrap();
        let left = store.read("2").unwrap().status;
        assert!(matches!(left, EventStatus::Pending | EventStatus::Completed), "{left}");
        broker.start().unwrap();
        broker.ready().await.unwrap();
        let ended = async {
            while store.read("2").unwrap().status != EventStatus::Completed {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(SOON, ended).await.expect("it continues where it stopped");
        broker.stop(SOON).await.unwrap();
        assert_eq!((broker.stats().duplicates, broker.stats().total_published), (1, 1));
    });
}
