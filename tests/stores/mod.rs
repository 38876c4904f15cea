//! What every store does: the same cases run on each of them.

use alloc::sync::Arc;
use core::time::Duration;

use proptest::prelude::*;
use tickbus::envelope::Timestamp;
use tickbus::hosted::store::{
    EventFilter, EventRecord, EventSource, EventStatus, Missed, Page, Store, StoreError,
};
use tickbus::subject::GlobPattern;

/// Makes a test of each case. `$run` gives a case a new store, with room for all that it stores.
macro_rules! store_tests {
    ($run:path) => {
        store_tests! { @ $run:
            a_record_comes_back_as_it_was_stored
            a_record_that_is_not_valid_is_stored_nowhere_and_counted_nowhere
            an_id_stored_twice_is_one_record
            an_id_that_is_unknown_is_not_found
            an_update_replaces_everything_but_the_place
            each_status_moves_the_counters
            pages_by_offset_and_by_cursor
            every_filter_selects
            an_empty_text_is_no_criterion_and_user_0_is_one
            both_times_are_inclusive_to_the_nanosecond
            a_clean_up_removes_old_records_that_have_ended
            a_stream_has_what_is_stored_and_ends_with_the_store
            a_slow_reader_is_told_what_it_missed
            records_stored_at_the_same_time_are_all_there
            a_closed_store_says_so
        }
    };
    (@ $run:path: $($case:ident)*) => {
        $(
            #[test]
            fn $case() {
                $run(async |store| $crate::stores::$case(store).await);
            }
        )*
    };
}
pub(crate) use store_tests;

pub(crate) fn at(seconds: i128) -> Timestamp {
    Timestamp::from_unix_nanos(seconds * 1_000_000_000).unwrap()
}

pub(crate) fn record(id: &str) -> EventRecord {
    let mut record = EventRecord::new(EventSource::Database, "public", "users", "create");
    record.id = id.into();
    record.instance_id = "shop-1".into();
    record.created_at = at(0);
    record
}

pub(crate) fn ids(page: &Page) -> Vec<&str> {
    page.records.iter().map(|record| &*record.id).collect()
}

async fn put(store: &dyn Store, ids: &[&str]) {
    for id in ids {
        store.put(record(id)).await.unwrap();
    }
}

pub(crate) async fn a_record_comes_back_as_it_was_stored(store: Arc<dyn Store>) {
    let mut whole = EventRecord::new(EventSource::WebSocket, "a.b", "ünï", "\"x\"\\ {},NULL");
    whole.instance_id = " i\n".into();
    whole.session_id = "NULL".into();
    whole.user_id = i64::MIN;
    whole.retry_count = u32::MAX;
    let payload = r#"{"b" : [1e400, 1.10, "\u0000\ud800 \/"],  "a":null,"a":12345678901234567890}"#;
    whole
        .set_payload(serde_json::value::RawValue::from_string(payload.into()).unwrap().as_ref())
        .unwrap();
    let metadata = serde_json::json!({ "": "\0", "nested": { "b": [true, null, 1.5], "a": "{" } });
    whole.metadata = metadata.as_object().cloned();
    whole.created_at = Timestamp::from_unix_nanos(1_234_567_890_123_456_789).unwrap();
    whole.mark_processing(Timestamp::from_unix_nanos(-1).unwrap());
    whole.mark_failed("9999-12-31T23:59:59.999999999Z".parse().unwrap(), "no\n\"");

    let mut least = record("least");
    least.metadata = None;
    least.created_at = "0000-01-01T00:00:00.000000001Z".parse().unwrap();
    let mut null = record("null");
    null.set_payload(&()).unwrap();
    for it in [&whole, &least, &null] {
        store.put(it.clone()).await.unwrap();
        assert_eq!(*store.get(&it.id).await.unwrap(), *it);
        assert_eq!(store.get(&it.id).await.unwrap().raw_payload(), it.raw_payload());
    }
    let page = store.list(EventFilter::new()).await.unwrap();
    let found: Vec<&EventRecord> = page.records.iter().map(Arc::as_ref).collect();
    assert_eq!(found, [&whole, &least, &null]);
}

pub(crate) async fn a_record_that_is_not_valid_is_stored_nowhere_and_counted_nowhere(
    store: Arc<dyn Store>,
) {
    let mut invalid = record("1");
    invalid.instance_id.clear();
    for error in [store.put(invalid.clone()).await, store.update(invalid).await] {
        assert_eq!(error.unwrap_err().to_string(), "instance ID is required");
    }
    assert_eq!(store.stats().await.unwrap().total_events, 0);
    assert!(matches!(store.get("1").await, Err(StoreError::NotFound(id)) if id == "1"));
}

pub(crate) async fn an_id_stored_twice_is_one_record(store: Arc<dyn Store>) {
    put(&*store, &["1"; 7]).await;
    let mut failed = record("1");
    failed.mark_failed(at(1), "no");
    store.put(failed).await.unwrap();
    let stats = store.stats().await.unwrap();
    assert_eq!((stats.total_events, stats.pending_events, stats.failed_events), (1, 0, 1));
    assert_eq!(store.get("1").await.unwrap().error, "no");
}

pub(crate) async fn an_id_that_is_unknown_is_not_found(store: Arc<dyn Store>) {
    let not_found = |error: StoreError| assert_eq!(error.to_string(), "event not found: x");
    not_found(store.get("x").await.unwrap_err());
    not_found(store.delete("x").await.unwrap_err());
    not_found(store.update(record("x")).await.unwrap_err());
    assert!(matches!(store.get("\0").await, Err(StoreError::NotFound(_))));
    assert!(matches!(store.delete("\0").await, Err(StoreError::NotFound(_))));
    put(&*store, &["x"]).await;
    store.delete("x").await.unwrap();
    not_found(store.delete("x").await.unwrap_err());
    assert_eq!(store.stats().await.unwrap().total_events, 0);
}

pub(crate) async fn an_update_replaces_everything_but_the_place(store: Arc<dyn Store>) {
    put(&*store, &["1", "2", "3"]).await;
    let mut other = EventRecord::new(EventSource::System, "audit", "keys", "delete");
    (other.id, other.instance_id, other.created_at) = ("1".into(), "shop-2".into(), at(9));
    store.update(other.clone()).await.unwrap();
    assert_eq!(*store.get("1").await.unwrap(), other);
    store.put(record("2")).await.unwrap();
    assert_eq!(ids(&store.list(EventFilter::new()).await.unwrap()), ["1", "2", "3"]);
    let audit = store.list(EventFilter::new().schema("audit")).await.unwrap();
    assert_eq!((ids(&audit), audit.total), (vec!["1"], 1));
    store.delete("1").await.unwrap();
    put(&*store, &["1"]).await; // a new one, at the end
    assert_eq!(ids(&store.list(EventFilter::new()).await.unwrap()), ["2", "3", "1"]);
}

pub(crate) async fn each_status_moves_the_counters(store: Arc<dyn Store>) {
    let counts = async || {
        let it = store.stats().await.unwrap();
        [it.pending_events, it.processing_events, it.completed_events, it.failed_events]
    };
    let mut record = record("1");
    store.put(record.clone()).await.unwrap();
    for (status, expected) in [
        (EventStatus::Pending, [1, 0, 0, 0]),
        (EventStatus::Processing, [0, 1, 0, 0]),
        (EventStatus::Completed, [0, 0, 1, 0]),
        (EventStatus::Failed, [0, 0, 0, 1]),
        (EventStatus::Pending, [1, 0, 0, 0]),
    ] {
        record.status = status;
        store.update(record.clone()).await.unwrap();
        assert_eq!(counts().await, expected);
    }
}

pub(crate) async fn pages_by_offset_and_by_cursor(store: Arc<dyn Store>) {
    put(&*store, &["1", "2", "3", "4", "5"]).await;
    let all = EventFilter::new().schema("public");
    let list = async |filter: EventFilter| store.list(filter).await.unwrap();
    assert_eq!(ids(&list(all.clone().limit(0)).await), ["1", "2", "3", "4", "5"]);
    assert_eq!(ids(&list(all.clone().offset(1).limit(2)).await), ["2", "3"]);
    let past = list(all.clone().offset(5)).await;
    assert_eq!((ids(&past), past.total, past.next), (vec![], 5, None));
    assert_eq!(ids(&list(all.clone().offset(9).limit(1)).await), [""; 0]);
    assert_eq!(ids(&list(all.clone().offset(usize::MAX).limit(usize::MAX)).await), [""; 0]);
    let first = list(all.clone().limit(2)).await;
    assert_eq!((ids(&first), first.total), (vec!["1", "2"], 5));
    store.delete("1").await.unwrap(); // an offset would skip the third now
    put(&*store, &["6"]).await;
    let second = list(all.clone().limit(2).after(first.next.unwrap())).await;
    assert_eq!((ids(&second), second.total), (vec!["3", "4"], 5));
    let third = list(all.clone().limit(2).after(second.next.unwrap())).await;
    assert_eq!((ids(&third), third.next), (vec!["5", "6"], None));
    let beyond = list(all.limit(1).offset(1).after(second.next.unwrap())).await;
    assert_eq!((ids(&beyond), beyond.next), (vec!["6"], None));
}

pub(crate) async fn every_filter_selects(store: Arc<dyn Store>) {
    let mut one = EventRecord::new(EventSource::Frontend, "s", "e", "o");
    (one.id, one.instance_id, one.user_id) = ("1".into(), "i".into(), 7);
    (one.status, one.created_at) = (EventStatus::Failed, at(5));
    store.put(record("other")).await.unwrap();
    store.put(one).await.unwrap();
    let new = EventFilter::new;
    let every = new()
        .source(EventSource::Frontend)
        .status(EventStatus::Failed)
        .user_id(7)
        .schema("s")
        .entity("e")
        .operation("o")
        .instance_id("i")
        .from(at(5))
        .to(at(5));
    for filter in [
        new().source(EventSource::Frontend),
        new().status(EventStatus::Failed),
        new().user_id(7),
        new().schema("s"),
        new().entity("e"),
        new().operation("o"),
        new().instance_id("i"),
        new().from(at(1)),
        new().from(at(5)).to(at(9)),
        every.clone(),
    ] {
        let page = store.list(filter.clone()).await.unwrap();
        assert_eq!((ids(&page), page.total), (vec!["1"], 1), "{filter:?}");
    }
    for none in [
        every.clone().source(EventSource::System),
        every.clone().status(EventStatus::Pending),
        every.clone().user_id(0),
        every.clone().schema("S"),
        every.clone().entity("e "),
        every.clone().operation("%"),
        every.clone().instance_id("i\0"),
        every.clone().from(at(6)),
        every.to(at(4)),
    ] {
        assert_eq!(store.list(none.clone()).await.unwrap().total, 0, "{none:?}");
    }
}

pub(crate) async fn an_empty_text_is_no_criterion_and_user_0_is_one(store: Arc<dyn Store>) {
    put(&*store, &["1"]).await;
    let mut other = record("2");
    other.user_id = 7;
    store.put(other).await.unwrap();
    let total = async |filter| store.list(filter).await.unwrap().total;
    let empty = EventFilter::new().schema("").entity("").operation("").instance_id("");
    assert_eq!(total(empty).await, 2);
    assert_eq!(total(EventFilter::new().user_id(0)).await, 1);
}

pub(crate) async fn both_times_are_inclusive_to_the_nanosecond(store: Arc<dyn Store>) {
    let nanos = |nanos| Timestamp::from_unix_nanos(nanos).unwrap();
    for time in [-2, -1, 0, 1, 999, 1000, 1001] {
        let mut record = record(&time.to_string());
        record.created_at = nanos(time);
        store.put(record).await.unwrap();
    }
    let between = async |from, to| {
        let filter = EventFilter::new().from(nanos(from)).to(nanos(to));
        store.list(filter).await.unwrap().total
    };
    assert_eq!(between(-1, 999).await, 4);
    assert_eq!(between(999, 1000).await, 2);
    assert_eq!(between(1000, 1000).await, 1);
    assert_eq!(between(1002, 5000).await, 0);
    assert_eq!(between(1000, 999).await, 0);
}

pub(crate) async fn a_clean_up_removes_old_records_that_have_ended(store: Arc<dyn Store>) {
    for (id, status, time) in [
        ("old, pending", EventStatus::Pending, 0),
        ("old, processing", EventStatus::Processing, 0),
        ("old, completed", EventStatus::Completed, 0),
        ("old, failed", EventStatus::Failed, 9),
        ("young, failed", EventStatus::Failed, 10),
    ] {
        let mut record = record(id);
        (record.status, record.created_at) = (status, at(time));
        store.put(record).await.unwrap();
    }
    assert_eq!(store.clean_up(at(10)).await.unwrap(), 2);
    assert_eq!(store.clean_up(at(10)).await.unwrap(), 0);
    let left = store.list(EventFilter::new()).await.unwrap();
    assert_eq!(ids(&left), ["old, pending", "old, processing", "young, failed"]);
}

pub(crate) async fn a_stream_has_what_is_stored_and_ends_with_the_store(store: Arc<dyn Store>) {
    put(&*store, &["before"]).await;
    let mut users = store.stream(GlobPattern::new("public.users.*").unwrap()).unwrap();
    let mut all = store.stream(GlobPattern::new("*").unwrap()).unwrap();
    let mut orders = EventRecord::new(EventSource::System, "public", "orders", "create");
    (orders.id, orders.instance_id) = ("orders".into(), "1".into());
    store.put(orders).await.unwrap();
    put(&*store, &["users"]).await;
    store.update(record("users")).await.unwrap(); // no news
    put(&*store, &["before"]).await; // neither
    assert_eq!(store.stats().await.unwrap().active_streams, 2);
    store.close();
    store.close();
    assert_eq!(users.next().await.unwrap().unwrap().id, "users");
    assert!(users.next().await.is_none() && users.next().await.is_none());
    let mut both = Vec::new();
    while let Some(next) = all.next().await {
        both.push(next.unwrap().id.clone());
    }
    assert_eq!(both, ["orders", "users"]);
}

pub(crate) async fn a_slow_reader_is_told_what_it_missed(store: Arc<dyn Store>) {
    let mut all = store.stream(GlobPattern::new("*").unwrap()).unwrap();
    for id in 0..1030 {
        store.put(record(&id.to_string())).await.unwrap();
    }
    assert_eq!(all.next().await.unwrap().unwrap_err(), Missed(6));
    assert_eq!(all.next().await.unwrap().unwrap().id, "6");
}

/// Several tasks store, change and remove: each sees what it did itself.
pub(crate) async fn records_stored_at_the_same_time_are_all_there(store: Arc<dyn Store>) {
    let tasks: Vec<_> = (0..20)
        .map(|task| {
            let store = store.clone();
            tokio::spawn(async move {
                for n in 0..10 {
                    let mut record = record(&format!("{task}-{n}"));
                    record.user_id = task;
                    store.put(record.clone()).await.unwrap();
                    record.mark_processing(at(1));
                    store.update(record.clone()).await.unwrap();
                    assert_eq!(*store.get(&record.id).await.unwrap(), record);
                    // All tasks store this one.
                    store.put(self::record("all")).await.unwrap();
                    if n == 0 {
                        store.delete(&record.id).await.unwrap();
                    }
                }
                let own = store.list(EventFilter::new().user_id(task)).await.unwrap();
                let expected: Vec<_> = (1..10).map(|n| format!("{task}-{n}")).collect();
                let own: Vec<_> =
                    ids(&own).into_iter().filter(|id| *id != "all").map(String::from).collect();
                assert_eq!(own, expected);
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let stats = store.stats().await.unwrap();
    assert_eq!((stats.total_events, stats.processing_events), (181, 180));
}

pub(crate) async fn a_closed_store_says_so(store: Arc<dyn Store>) {
    put(&*store, &["1"]).await;
    store.close();
    let closed = |error: StoreError| assert!(matches!(error, StoreError::Closed), "{error}");
    closed(store.put(record("2")).await.unwrap_err());
    closed(store.update(record("1")).await.unwrap_err());
    closed(store.get("1").await.unwrap_err());
    closed(store.delete("1").await.unwrap_err());
    closed(store.list(EventFilter::new()).await.unwrap_err());
    closed(store.clean_up(at(0)).await.unwrap_err());
    closed(store.stats().await.unwrap_err());
    closed(store.stream(GlobPattern::new("*").unwrap()).unwrap_err());
}

/// Waits for a test, but not for ever.
pub(crate) async fn in_time<T>(test: impl Future<Output = T>) -> T {
    // A soak runs so many rounds, of some seconds each, or for so many seconds: three times as long if its
    // figures differ too much.
    let number = |name| std::env::var(name).ok().and_then(|it| it.parse::<u64>().ok()).unwrap_or(0);
    let limit = Duration::from_secs(180 + 10 * number("ROUNDS") + 3 * number("SECONDS"));
    tokio::time::timeout(limit, test).await.expect("the test hangs")
}

// ---- What a store is compared with: every record in a vector ------------------------------------

/// `room` is how many records there are at most.
pub(crate) struct Plain {
    pub(crate) records: Vec<EventRecord>,
    pub(crate) evicted: u64,
    room: usize,
}

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Put(EventRecord),
    Update(EventRecord),
    Delete(String),
    CleanUp(Timestamp),
    List(EventFilter, usize, usize),
}

fn records() -> impl Strategy<Value = EventRecord> {
    let ids = 0..12_u32;
    let statuses = prop::sample::select(&EventStatus::ALL[..]);
    let sources = prop::sample::select(&[EventSource::System, EventSource::Database][..]);
    let names = || prop::sample::select(&["a", "b"][..]);
    (ids, statuses, sources, names(), names(), names(), 0..3_i64, 0..6_i128).prop_map(
        |(id, status, source, schema, entity, operation, user, time)| {
            let mut record = EventRecord::new(source, schema, entity, operation);
            record.id = id.to_string();
            (record.status, record.user_id) = (status, user);
            record.instance_id = format!("i{}", user % 2);
            record.created_at = at(time);
            record
        },
    )
}

fn filters() -> impl Strategy<Value = EventFilter> {
    let statuses = prop::option::of(prop::sample::select(&EventStatus::ALL[..]));
    let sources = prop::option::of(prop::sample::select(
        &[EventSource::System, EventSource::Database, EventSource::Frontend][..],
    ));
    let names = || prop::sample::select(&["", "", "a", "c"][..]);
    let times = || prop::option::weighted(0.3, 0..6_i128);
    let users = prop::option::weighted(0.3, 0..3_i64);
    (statuses, sources, names(), names(), users, times(), times()).prop_map(
        |(status, source, schema, entity, user, from, to)| {
            let mut filter = EventFilter::new().schema(schema).entity(entity);
            if let Some(status) = status {
                filter = filter.status(status);
            }
            if let Some(source) = source {
                filter = filter.source(source);
            }
            if let Some(user) = user {
                filter = filter.user_id(user);
            }
            if let Some(from) = from {
                filter = filter.from(at(from));
            }
            if let Some(to) = to {
                filter = filter.to(at(to));
            }
            filter
        },
    )
}

pub(crate) fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => records().prop_map(Step::Put),
        2 => records().prop_map(Step::Update),
        1 => (0..12_u32).prop_map(|id| Step::Delete(id.to_string())),
        1 => (0..6_i128).prop_map(|time| Step::CleanUp(at(time))),
        4 => (filters(), 0..4_usize, 0..4_usize)
            .prop_map(|(filter, offset, limit)| Step::List(filter, offset, limit)),
    ]
}

impl Plain {
    pub(crate) fn new(room: usize) -> Self {
        Self { records: Vec::new(), evicted: 0, room }
    }

    pub(crate) fn find(&mut self, id: &str) -> Option<&mut EventRecord> {
        self.records.iter_mut().find(|record| record.id == id)
    }

    pub(crate) fn put(&mut self, record: EventRecord) {
        if let Some(old) = self.find(&record.id) {
            *old = record;
            return;
        }
        if self.records.len() == self.room {
            self.records.remove(0);
            self.evicted += 1;
        }
        self.records.push(record);
    }

    /// Does the same to both.
    pub(crate) async fn step(
        &mut self,
        store: &dyn Store,
        step: Step,
    ) -> Result<(), TestCaseError> {
        match step {
            Step::Put(record) => {
                self.put(record.clone());
                store.put(record).await.unwrap();
            }
            Step::Update(record) => {
                let there = self.find(&record.id).map(|old| *old = record.clone()).is_some();
                prop_assert_eq!(store.update(record).await.is_ok(), there);
            }
            Step::Delete(id) => {
                let before = self.records.len();
                self.records.retain(|record| record.id != id);
                prop_assert_eq!(store.delete(&id).await.is_ok(), self.records.len() < before);
            }
            Step::CleanUp(time) => {
                let before = self.records.len();
                self.records.retain(|record| {
                    !matches!(record.status, EventStatus::Completed | EventStatus::Failed)
                        || record.created_at >= time
                });
                let removed = (before - self.records.len()) as u64;
                prop_assert_eq!(store.clean_up(time).await.unwrap(), removed);
            }
            Step::List(filter, offset, limit) => {
                self.compare_lists(store, filter, offset, limit).await?;
            }
        }
        let stats = store.stats().await.unwrap();
        let count = |status| self.records.iter().filter(|it| it.status == status).count() as u64;
        prop_assert_eq!(stats.total_events, self.records.len() as u64);
        prop_assert_eq!(stats.pending_events, count(EventStatus::Pending));
        prop_assert_eq!(stats.processing_events, count(EventStatus::Processing));
        prop_assert_eq!(stats.completed_events, count(EventStatus::Completed));
        prop_assert_eq!(stats.failed_events, count(EventStatus::Failed));
        prop_assert_eq!(stats.evicted_events, self.evicted);
        Ok(())
    }

    async fn compare_lists(
        &self,
        store: &dyn Store,
        filter: EventFilter,
        offset: usize,
        limit: usize,
    ) -> Result<(), TestCaseError> {
        let selected: Vec<_> = self.records.iter().filter(|it| filter.matches(it)).collect();
        let most = if limit == 0 { usize::MAX } else { limit };
        let expected: Vec<_> = selected.iter().copied().skip(offset).take(most).collect();
        let page = store.list(filter.clone().offset(offset).limit(limit)).await.unwrap();
        prop_assert_eq!(page.total, selected.len() as u64);
        let found: Vec<&EventRecord> = page.records.iter().map(Arc::as_ref).collect();
        prop_assert_eq!(&found, &expected);
        prop_assert_eq!(page.next.is_some(), offset + expected.len() < selected.len());
        // Page by page it is the same, whatever the first page was.
        let mut rest = page.next;
        let mut all: Vec<Arc<EventRecord>> = page.records.clone();
        while let Some(cursor) = rest {
            let page = store.list(filter.clone().limit(2).after(cursor)).await.unwrap();
            all.extend(page.records);
            rest = page.next;
        }
        let all: Vec<&EventRecord> = all.iter().map(Arc::as_ref).collect();
        let expected: Vec<_> = selected.into_iter().skip(offset).collect();
        prop_assert_eq!(all, expected);
        Ok(())
    }
}
