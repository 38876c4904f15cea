//! Records of events, and the store in memory.
#![cfg(all(feature = "hosted", not(tickbus_loom)))]

extern crate alloc;

use alloc::sync::Arc;
use core::pin::pin;
use core::task::{Context, Poll, Waker};

use proptest::prelude::*;
use tickbus::envelope::Timestamp;
use tickbus::hosted::store::{
    EventFilter, EventRecord, EventSource, EventStatus, InvalidRecord, MemoryStore, Missed, Page,
    PayloadError, Store, StoreError,
};
use tickbus::subject::GlobPattern;

/// The memory store never waits.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(it) => it,
        Poll::Pending => panic!("it waits"),
    }
}

fn at(seconds: i128) -> Timestamp {
    Timestamp::from_unix_nanos(seconds * 1_000_000_000).unwrap()
}

fn record(id: &str) -> EventRecord {
    let mut record = EventRecord::new(EventSource::Database, "public", "users", "create");
    record.id = id.into();
    record.instance_id = "shop-1".into();
    record.created_at = at(0);
    record
}

fn ids(page: &Page) -> Vec<&str> {
    page.records.iter().map(|record| &*record.id).collect()
}

#[test]
fn a_new_record_in_json_has_its_fields_in_order() {
    let json = serde_json::to_string(&record("1")).unwrap();
    assert_eq!(
        json,
        r#"{"id":"1","source":"database","type":"public.users.create","status":"pending","retry_count":0,"payload":null,"user_id":0,"session_id":"","instance_id":"shop-1","schema":"public","entity":"users","operation":"create","created_at":"1970-01-01T00:00:00Z","metadata":{}}"#
    );
    let mut whole = record("1");
    whole.set_payload(&1).unwrap();
    whole.metadata = None;
    whole.mark_processing(at(1));
    whole.mark_failed(at(2), "no");
    whole.increment_retry();
    let json = serde_json::to_string(&whole).unwrap();
    assert_eq!(
        json,
        r#"{"id":"1","source":"database","type":"public.users.create","status":"failed","retry_count":1,"payload":1,"user_id":0,"session_id":"","instance_id":"shop-1","schema":"public","entity":"users","operation":"create","created_at":"1970-01-01T00:00:00Z","metadata":null,"error":"no","processed_at":"1970-01-01T00:00:01Z","completed_at":"1970-01-01T00:00:02Z"}"#
    );
    assert_eq!(serde_json::from_str::<EventRecord>(&json).unwrap(), whole);
}

#[test]
fn a_record_reads_back_where_serde_buffers_it() {
    #[derive(serde::Deserialize)]
    #[serde(tag = "op")]
    enum Line {
        #[serde(rename = "put")]
        Put(Box<EventRecord>),
    }
    let mut whole = record("1");
    whole.set_payload(&serde_json::json!({"a": [1.5, "x", null]})).unwrap();
    let json = serde_json::to_string(&whole).unwrap();
    let Line::Put(read) = serde_json::from_str(&json.replacen('{', r#"{"op":"put","#, 1)).unwrap();
    assert_eq!(*read, whole);
}

#[test]
fn sources_and_statuses_have_their_names() {
    let sources = [
        EventSource::Database,
        EventSource::WebSocket,
        EventSource::Frontend,
        EventSource::System,
        EventSource::Internal,
    ];
    let names = ["database", "websocket", "frontend", "system", "internal"];
    assert_eq!(sources.map(EventSource::name), names);
    for source in sources {
        assert_eq!(serde_json::to_value(source).unwrap(), source.name());
    }
    for status in EventStatus::ALL {
        assert_eq!(serde_json::to_value(status).unwrap(), status.name());
    }
    let json = serde_json::to_string(&record("1")).unwrap().replace("database", "mars");
    let error = serde_json::from_str::<EventRecord>(&json).unwrap_err().to_string();
    assert!(error.contains("mars"), "{error}");
}

#[test]
fn a_payload_that_is_not_there_is_empty_and_null_is_one() {
    let mut record = record("1");
    let error = record.payload::<u32>().unwrap_err();
    assert!(matches!(error, PayloadError::Empty));
    assert_eq!(error.to_string(), "payload is empty");
    record.set_payload(&()).unwrap();
    assert_eq!(record.raw_payload(), Some("null"));
    record.set_payload(&[1, 2]).unwrap();
    assert!(
        record.payload::<String>().unwrap_err().to_string().starts_with("the payload does not")
    );
    assert_eq!(record.payload::<[u32; 2]>().unwrap(), [1, 2]);
}

#[test]
fn marks_set_the_times_and_the_error() {
    let mut record = record("1");
    record.mark_processing(at(1));
    assert_eq!((record.status, record.processed_at), (EventStatus::Processing, Some(at(1))));
    assert_eq!(record.completed_at, None);
    let copy = record.clone();
    record.mark_completed(at(2));
    assert_eq!((record.status, record.completed_at), (EventStatus::Completed, Some(at(2))));
    record.mark_failed(at(3), "late");
    assert_eq!((record.status, record.completed_at), (EventStatus::Failed, Some(at(3))));
    assert_eq!((&*record.error, record.processed_at), ("late", Some(at(1))));
    assert_eq!((copy.status, copy.completed_at), (EventStatus::Processing, None));
}

#[test]
fn a_record_lacks_its_fields_in_order() {
    let empty = r#"{"id":"","created_at":"1970-01-01T00:00:00Z"}"#;
    let mut record: EventRecord = serde_json::from_str(empty).unwrap();
    let lacks = |record: &EventRecord| record.validate().unwrap_err();
    assert_eq!(lacks(&record).to_string(), "event ID is required");
    record.id = "1".into();
    assert_eq!(lacks(&record).to_string(), "event source is required");
    record.source = Some(EventSource::System);
    assert_eq!(lacks(&record).to_string(), "event type is required");
    let mut typed = EventRecord::new(EventSource::System, "", "", "");
    assert_eq!(lacks(&typed), InvalidRecord::Type);
    typed = EventRecord::new(EventSource::System, "a", "b", "c");
    assert_eq!(lacks(&typed).to_string(), "instance ID is required");
    typed.instance_id = "1".into();
    assert_eq!(typed.validate(), Ok(()));
}

#[test]
fn a_record_that_is_not_valid_is_stored_nowhere_and_counted_nowhere() {
    let store = MemoryStore::default();
    let mut invalid = record("1");
    invalid.instance_id.clear();
    let error = now(store.put(invalid)).unwrap_err();
    assert_eq!(error.to_string(), "instance ID is required");
    assert_eq!(now(store.stats()).unwrap().total_events, 0);
    assert!(matches!(now(store.get("1")), Err(StoreError::NotFound(id)) if id == "1"));
}

#[test]
fn an_id_stored_twice_is_one_record() {
    let store = MemoryStore::new(3);
    for _ in 0..7 {
        now(store.put(record("1"))).unwrap();
    }
    let mut failed = record("1");
    failed.mark_failed(at(1), "no");
    now(store.put(failed)).unwrap();
    let stats = now(store.stats()).unwrap();
    assert_eq!((stats.total_events, stats.pending_events, stats.failed_events), (1, 0, 1));
    assert_eq!(now(store.get("1")).unwrap().error, "no");
}

#[test]
fn an_id_that_is_unknown_is_not_found() {
    let store = MemoryStore::default();
    let not_found = |error: StoreError| assert_eq!(error.to_string(), "event not found: x");
    not_found(now(store.get("x")).unwrap_err());
    not_found(now(store.delete("x")).unwrap_err());
    not_found(now(store.update(record("x"))).unwrap_err());
}

#[test]
fn a_full_store_removes_what_was_stored_first() {
    let store = MemoryStore::new(2);
    for id in ["1", "2", "1", "3"] {
        now(store.put(record(id))).unwrap();
    }
    assert_eq!(ids(&now(store.list(EventFilter::new())).unwrap()), ["2", "3"]);
    assert_eq!(now(store.stats()).unwrap().evicted_events, 1);
}

#[test]
fn pages_by_offset_and_by_cursor() {
    let store = MemoryStore::default();
    for id in ["1", "2", "3", "4", "5"] {
        now(store.put(record(id))).unwrap();
    }
    let all = EventFilter::new().schema("public");
    let list = |filter: EventFilter| now(store.list(filter)).unwrap();
    assert_eq!(ids(&list(all.clone().limit(0))), ["1", "2", "3", "4", "5"]);
    assert_eq!(ids(&list(all.clone().offset(1).limit(2))), ["2", "3"]);
    assert_eq!(ids(&list(all.clone().offset(5))), [""; 0]);
    assert_eq!(ids(&list(all.clone().offset(9).limit(1))), [""; 0]);
    let first = list(all.clone().limit(2));
    now(store.delete("1")).unwrap(); // an offset would skip the third now
    let second = list(all.clone().limit(2).after(first.next.unwrap()));
    assert_eq!((ids(&second), second.total), (vec!["3", "4"], 4));
    let third = list(all.limit(2).after(second.next.unwrap()));
    assert_eq!((ids(&third), third.next), (vec!["5"], None));
}

#[test]
fn an_empty_text_is_no_criterion_and_user_0_is_one() {
    let store = MemoryStore::default();
    now(store.put(record("1"))).unwrap();
    let mut other = record("2");
    other.user_id = 7;
    now(store.put(other)).unwrap();
    let list = |filter| now(store.list(filter)).unwrap().total;
    assert_eq!(list(EventFilter::new().entity("").instance_id("")), 2);
    assert_eq!(list(EventFilter::new().user_id(0)), 1);
}

#[test]
fn each_criterion_selects_by_its_field_and_both_times_are_inclusive() {
    let store = MemoryStore::default();
    for (id, time) in [("1", 10), ("2", 20), ("3", 30)] {
        let names = [id, &*format!("e{id}"), &*format!("o{id}")];
        let source = if id == "2" { EventSource::Frontend } else { EventSource::System };
        let mut record = EventRecord::new(source, names[0], names[1], names[2]);
        (record.id, record.instance_id) = (id.into(), format!("i{id}"));
        (record.created_at, record.user_id) = (at(time), id.parse().unwrap());
        record.status = if id == "3" { EventStatus::Failed } else { EventStatus::Pending };
        now(store.put(record)).unwrap();
    }
    let list = |filter: EventFilter| ids(&now(store.list(filter)).unwrap()).join(" ");
    let all = EventFilter::new;
    assert_eq!(list(all().source(EventSource::System)), "1 3");
    assert_eq!(list(all().status(EventStatus::Pending)), "1 2");
    assert_eq!(list(all().user_id(3)), "3");
    assert_eq!(list(all().schema("2")), "2");
    assert_eq!(list(all().entity("e1")), "1");
    assert_eq!(list(all().operation("o3")), "3");
    assert_eq!(list(all().instance_id("i2")), "2");
    assert_eq!(list(all().schema("2").entity("e1")), "");
    assert_eq!(list(all().from(at(20))), "2 3");
    assert_eq!(list(all().to(at(20))), "1 2");
    assert_eq!(list(all().from(at(20)).to(at(20))), "2");
    assert_eq!(list(all().from(at(21)).to(at(29))), "");
}

#[test]
fn status_counters_follow_replaced_and_updated_records() {
    let store = MemoryStore::new(3);
    let mut one = record("1");
    for (status, counts) in [
        (EventStatus::Pending, [1, 0, 0, 0]),
        (EventStatus::Processing, [0, 1, 0, 0]),
        (EventStatus::Failed, [0, 0, 0, 1]),
        (EventStatus::Completed, [0, 0, 1, 0]),
    ] {
        one.status = status;
        for put in [true, false] {
            let stored = if put { store.put(one.clone()) } else { store.update(one.clone()) };
            now(stored).unwrap();
            let it = now(store.stats()).unwrap();
            let now =
                [it.pending_events, it.processing_events, it.completed_events, it.failed_events];
            assert_eq!((now, it.total_events), (counts, 1), "{status}");
        }
    }
    now(store.delete("1")).unwrap();
    let stats = now(store.stats()).unwrap();
    assert_eq!((stats.completed_events, stats.total_events), (0, 0));
}

/// Lists are rare here, so that the index has many changes to catch up with.
#[test]
fn the_index_follows_thousands_of_changes() {
    const ROOM: usize = 1500;
    let (store, mut plain) = (MemoryStore::new(ROOM), Plain { room: ROOM, ..Plain::default() });
    let mut random = 1_u64;
    let mut next = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 33) % below
    };
    for step in 0..12_000 {
        let id = if next(3) == 0 { next(step + 1) } else { step };
        let mut record = record(&id.to_string());
        record.status = EventStatus::ALL[next(4) as usize];
        (record.user_id, record.created_at) = (next(5) as i64, at(i128::from(step / 10)));
        match next(8) {
            0 => {
                plain.records.retain(|record| record.id != id.to_string());
                let _ = now(store.delete(&id.to_string()));
            }
            1 | 2 => {
                if let Some(old) = plain.find(&record.id) {
                    *old = record.clone();
                }
                let _ = now(store.update(record));
            }
            _ => {
                plain.put(record.clone());
                now(store.put(record)).unwrap();
            }
        }
        if step % 1999 == 1998 {
            for filter in [
                EventFilter::new(),
                EventFilter::new().status(EventStatus::Failed),
                EventFilter::new().user_id(3).status(EventStatus::Pending),
                EventFilter::new().from(at(i128::from(step / 10) - 60)).user_id(1),
            ] {
                let expected: Vec<_> = plain
                    .records
                    .iter()
                    .filter(|it| filter.matches(it))
                    .map(|it| &*it.id)
                    .collect();
                let page = now(store.list(filter)).unwrap();
                assert_eq!(ids(&page), expected, "after {step}");
                assert_eq!(page.total, expected.len() as u64);
            }
            assert_eq!(now(store.stats()).unwrap().evicted_events, plain.evicted);
        }
    }
    assert!(plain.evicted > 2000, "{}", plain.evicted);
}

#[test]
fn a_clean_up_removes_old_records_that_have_ended() {
    let store = MemoryStore::default();
    for (id, status, time) in [
        ("old, pending", EventStatus::Pending, 0),
        ("old, processing", EventStatus::Processing, 0),
        ("old, completed", EventStatus::Completed, 0),
        ("old, failed", EventStatus::Failed, 9),
        ("young, failed", EventStatus::Failed, 10),
    ] {
        let mut record = record(id);
        (record.status, record.created_at) = (status, at(time));
        now(store.put(record)).unwrap();
    }
    assert_eq!(now(store.clean_up(at(10))).unwrap(), 2);
    let left = now(store.list(EventFilter::new())).unwrap();
    assert_eq!(ids(&left), ["old, pending", "old, processing", "young, failed"]);
}

#[test]
fn a_stream_has_what_is_stored_and_ends_with_the_store() {
    let store = MemoryStore::default();
    now(store.put(record("before"))).unwrap();
    let mut users = store.stream(GlobPattern::new("public.users.*").unwrap()).unwrap();
    let mut all = store.stream(GlobPattern::new("*").unwrap()).unwrap();
    let mut orders = EventRecord::new(EventSource::System, "public", "orders", "create");
    (orders.id, orders.instance_id) = ("orders".into(), "1".into());
    now(store.put(orders)).unwrap();
    now(store.put(record("users"))).unwrap();
    now(store.update(record("users"))).unwrap(); // no news
    assert_eq!(now(store.stats()).unwrap().active_streams, 2);
    store.close();
    store.close();
    assert!(matches!(now(store.put(record("after"))), Err(StoreError::Closed)));
    assert!(matches!(store.stream(GlobPattern::new("*").unwrap()), Err(StoreError::Closed)));
    assert_eq!(now(users.next()).unwrap().unwrap().id, "users");
    assert!(now(users.next()).is_none() && now(users.next()).is_none());
    let both = [now(all.next()), now(all.next())].map(|it| it.unwrap().unwrap().id.clone());
    assert_eq!(both, ["orders", "users"]);
    assert!(now(all.next()).is_none());
}

#[test]
fn a_slow_reader_is_told_what_it_missed() {
    let store = MemoryStore::default();
    let mut all = store.stream(GlobPattern::new("*").unwrap()).unwrap();
    for id in 0..1030 {
        now(store.put(record(&id.to_string()))).unwrap();
    }
    assert_eq!(now(all.next()).unwrap().unwrap_err(), Missed(6));
    assert_eq!(now(all.next()).unwrap().unwrap().id, "6");
}

/// What the store is compared with: every record in a vector.
struct Plain {
    room: usize,
    records: Vec<EventRecord>,
    evicted: u64,
}

impl Default for Plain {
    fn default() -> Self {
        Self { room: ROOM, records: Vec::new(), evicted: 0 }
    }
}

#[derive(Clone, Debug)]
enum Step {
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

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => records().prop_map(Step::Put),
        2 => records().prop_map(Step::Update),
        1 => (0..12_u32).prop_map(|id| Step::Delete(id.to_string())),
        1 => (0..6_i128).prop_map(|time| Step::CleanUp(at(time))),
        4 => (filters(), 0..4_usize, 0..4_usize).prop_map(|(filter, offset, limit)| Step::List(filter, offset, limit)),
    ]
}

const ROOM: usize = 8;

impl Plain {
    fn find(&mut self, id: &str) -> Option<&mut EventRecord> {
        self.records.iter_mut().find(|record| record.id == id)
    }

    fn put(&mut self, record: EventRecord) {
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
}

proptest! {
    #[test]
    fn it_does_what_a_vector_does(steps in prop::collection::vec(steps(), 1..60)) {
        let (store, mut plain) = (MemoryStore::new(ROOM), Plain::default());
        for step in steps {
            match step {
                Step::Put(record) => {
                    plain.put(record.clone());
                    now(store.put(record)).unwrap();
                }
                Step::Update(record) => {
                    let there = plain.find(&record.id).map(|old| *old = record.clone()).is_some();
                    prop_assert_eq!(now(store.update(record)).is_ok(), there);
                }
                Step::Delete(id) => {
                    let before = plain.records.len();
                    plain.records.retain(|record| record.id != id);
                    prop_assert_eq!(now(store.delete(&id)).is_ok(), plain.records.len() < before);
                }
                Step::CleanUp(time) => {
                    let before = plain.records.len();
                    plain.records.retain(|record| {
                        !matches!(record.status, EventStatus::Completed | EventStatus::Failed)
                            || record.created_at >= time
                    });
                    let removed = (before - plain.records.len()) as u64;
                    prop_assert_eq!(now(store.clean_up(time)).unwrap(), removed);
                }
                Step::List(filter, offset, limit) => {
                    let selected: Vec<_> =
                        plain.records.iter().filter(|record| filter.matches(record)).collect();
                    let most = if limit == 0 { usize::MAX } else { limit };
                    let expected: Vec<_> = selected.iter().copied().skip(offset).take(most).collect();
                    let page = now(store.list(filter.clone().offset(offset).limit(limit))).unwrap();
                    prop_assert_eq!(page.total, selected.len() as u64);
                    let found: Vec<&EventRecord> = page.records.iter().map(Arc::as_ref).collect();
                    prop_assert_eq!(&found, &expected);
                    prop_assert_eq!(page.next.is_some(), offset + expected.len() < selected.len());
                    // Page by page it is the same, whatever the first page was.
                    let mut rest = page.next;
                    let mut all: Vec<Arc<EventRecord>> = page.records.clone();
                    while let Some(cursor) = rest {
                        let page = now(store.list(filter.clone().limit(2).after(cursor))).unwrap();
                        all.extend(page.records);
                        rest = page.next;
                    }
                    let all: Vec<&EventRecord> = all.iter().map(Arc::as_ref).collect();
                    let expected: Vec<_> = selected.into_iter().skip(offset).collect();
                    prop_assert_eq!(all, expected);
                }
            }
            let stats = now(store.stats()).unwrap();
            let count = |status| plain.records.iter().filter(|it| it.status == status).count() as u64;
            prop_assert_eq!(stats.total_events, plain.records.len() as u64);
            prop_assert_eq!(stats.pending_events, count(EventStatus::Pending));
            prop_assert_eq!(stats.processing_events, count(EventStatus::Processing));
            prop_assert_eq!(stats.completed_events, count(EventStatus::Completed));
            prop_assert_eq!(stats.failed_events, count(EventStatus::Failed));
            prop_assert_eq!(stats.evicted_events, plain.evicted);
        }
    }
}

/// A page of 100 out of a million records, by any filter: `cargo test --release -- --ignored`.
#[test]
#[ignore = "measures: a debug build says nothing"]
fn a_page_of_a_million_records_takes_at_most_10_ms() {
    const COUNT: i128 = 1_000_000;
    let store = MemoryStore::new(COUNT as usize);
    for n in 0..COUNT {
        let (schema, entity) = (["public", "audit"][(n % 2) as usize], format!("e{}", n % 100));
        let mut record = EventRecord::new(EventSource::Database, schema, &entity, "create");
        record.id = n.to_string();
        record.instance_id = format!("i{}", n % 7);
        (record.user_id, record.created_at) = ((n % 100_000) as i64, at(n / 10));
        record.status = EventStatus::ALL[(n % 4) as usize];
        now(store.put(record)).unwrap();
    }
    let all = EventFilter::new().limit(100);
    for (name, filter) in [
        ("all", all.clone()),
        ("status", all.clone().status(EventStatus::Failed)),
        ("user", all.clone().user_id(77_777)),
        (
            "schema and status that exclude each other",
            all.clone().schema("public").status(EventStatus::Processing),
        ),
        (
            "entity, instance, status",
            all.clone().entity("e3").instance_id("i3").status(EventStatus::Failed),
        ),
        ("the middle half by time", all.clone().from(at(25_000)).to(at(75_000))),
        ("a second, last page", all.clone().from(at(99_999)).to(at(99_999))),
        ("offset of 400,000 of 500,000", all.schema("public").offset(400_000)),
    ] {
        let begin = std::time::Instant::now();
        let page = now(store.list(filter)).unwrap();
        println!("{name}: {:?}, {} of {}", begin.elapsed(), page.records.len(), page.total);
    }
}
