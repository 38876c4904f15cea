//! The broker of a configuration, as a registry makes it.

use std::sync::Arc;
use std::time::Duration;

use tickbus::hosted::broker::{Broker, ProcessingMode};
use tickbus::hosted::config::{Config, ConfigError, Registry, Settings};
use tickbus::hosted::store::{EventRecord, EventSource, MemoryStore};
use tickbus::hosted::{MemoryEngine, RetryPolicy};

use crate::{config, run};

/// The error of a broker that a registry cannot make of a text.
fn no_broker(text: &str) -> ConfigError {
    Registry::new().broker(&config(text)).expect_err("it is refused")
}

#[test]
fn a_registry_makes_no_broker_that_is_not_enabled() {
    for text in ["engine: memory", "event_broker: {}", "event_broker: { provider: redis }"] {
        assert!(Registry::new().broker(&config(text)).unwrap().is_none(), "{text}");
    }
}

#[test]
fn a_registry_says_which_provider_it_does_not_have() {
    let text = "event_broker:\n  enabled: true\n  provider: redis\n";
    let loaded = config(text);
    if !Registry::new().types().any(|it| it == "redis") {
        let error = Registry::new().broker(&loaded).unwrap_err();
        assert_eq!(
            error.to_string(),
            "bus.yaml:3:13: `event_broker.provider`: this version of tickbus has no engine of this \
             type: add one of your own with `Registry::register`"
        );
    }
    // One of the program's own gets the keys of the section.
    let own = Registry::new().register("redis", |settings: &Settings| {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        struct Own {
            url: String,
            stream_name: Option<String>,
            db: Option<u32>,
        }
        let own: Own = settings.read()?;
        let name = format!("{} {:?} {:?}", own.url, own.stream_name, own.db);
        Ok(MemoryEngine::builder().name(&name).log(0).build())
    });
    let error_of = |text: &str| {
        let broker = own.broker(&config(text)).unwrap().unwrap().build().unwrap();
        let mut error = String::new();
        run(async {
            broker.start().unwrap();
            error = broker.ready().await.unwrap_err().to_string();
        });
        error
    };
    let error = error_of(text);
    assert!(
        error.starts_with("engine `redis://localhost:6379 None None` has no groups"),
        "{error}"
    );
    let keys = "{ host: cache, port: 7, stream_name: s, db: 3, consumer_group: g }";
    let error = error_of(&format!("{text}  redis: {keys}\n"));
    assert!(
        error.starts_with("engine `redis://cache:7 Some(\"s\") Some(3)` has no groups"),
        "{error}"
    );
    let unknown = own.broker(&config(&format!("{text}  redis: {{ max_len: 3 }}\n"))).unwrap_err();
    assert_eq!(unknown.key(), "event_broker.redis.maxLen");
}

#[test]
fn a_registry_makes_a_broker_over_one_of_the_engines() {
    let text = "
eventbus:
  engines: [{ name: near, type: memory }, { name: far, type: memory }]
event_broker:
  enabled: true
  engine: far
  group: orders
  worker_count: 3
  instance_id: shop-1
";
    run(async {
        let builder = Registry::new().broker(&config(text)).unwrap().unwrap();
        let shown = format!("{builder:?}");
        for part in ["Engine(\"far\")", "group: Some(\"orders\")", "workers: 3"] {
            assert!(shown.contains(part), "{shown}");
        }
        let broker = builder.build().unwrap();
        broker.start().unwrap();
        broker.ready().await.unwrap();
        let mut record = EventRecord::new(EventSource::System, "a", "b", "c");
        record.id = "1".into();
        broker.publish(record).await.unwrap();
        broker.stop(Duration::from_secs(60)).await.unwrap();
        assert_eq!(broker.stats().total_processed, 1);
        assert_eq!(broker.store().get("1").await.unwrap().instance_id, "shop-1");
    });
    let far = |to: &str| text.replace("engine: far", to);
    let error = Config::loader().named("bus.yaml").text(&far("engine: fra")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "bus.yaml:6:11: `event_broker.engine`: there is no engine of this name: did you mean `far`?"
    );
    let error = Config::loader().text(&far("engine: far\n  provider: nats")).unwrap_err();
    assert!(error.to_string().ends_with("remove one of the two"), "{error}");
    let error = no_broker(&far("engine: far\n  mode: sync"));
    assert_eq!((error.key(), error.fault().code()), ("event_broker.mode".into(), "invalid"));
    // Records of a database are in a store of the program.
    let database = config(&far("engine: far\n  provider: database"));
    let builder = Registry::new().broker(&database).unwrap().unwrap();
    assert!(builder.build().unwrap_err().to_string().contains("`database`"));
    let builder = Registry::new().broker(&database).unwrap().unwrap();
    assert!(builder.store(Arc::new(MemoryStore::default())).build().is_ok());
}

#[cfg(feature = "nats")]
#[test]
fn a_registry_makes_a_broker_over_nats_by_its_section() {
    let text = "
event_broker:
  enabled: true
  provider: nats
  nats: { url: 'nats://127.0.0.1:1', stream_name: EVENTS, max_age: 24h, storage: memory, tls: false }
";
    let builder = Registry::new().broker(&config(text)).unwrap().unwrap();
    assert!(format!("{builder:?}").contains("Engine(\"event_broker\")"));
    assert!(builder.build().is_ok());
}

#[test]
fn a_broker_by_its_builder_is_the_one_of_the_same_configuration() {
    let text = "
event_broker:
  enabled: true
  mode: async
  worker_count: 7
  buffer_size: 200
  instance_id: here
  retry_policy: { max_retries: 0, initial_delay: 2s, max_delay: 1m, backoff_factor: 1.5 }
";
    let by_file = Registry::new().broker(&config(text)).unwrap().unwrap();
    let retry = RetryPolicy::new(0).initial(Duration::from_secs(2)).max(Duration::from_secs(60));
    let by_hand = Broker::builder()
        .store(Arc::new(MemoryStore::default()))
        .mode(ProcessingMode::Asynchronous)
        .workers(7)
        .buffer(200)
        .instance_id("here")
        .retry(retry.factor(1.5).unwrap());
    assert_eq!(format!("{by_file:?}"), format!("{by_hand:?}"));
    let sync = config(&text.replace("mode: async", "mode: sync"));
    let sync = Registry::new().broker(&sync).unwrap().unwrap();
    let by_hand = by_hand.mode(ProcessingMode::Synchronous);
    assert_eq!(format!("{sync:?}"), format!("{by_hand:?}"));
}
