//! What a configuration says, and how it says what is wrong.
#![cfg(all(feature = "yaml", not(tickbus_loom)))]
#![expect(clippy::std_instead_of_alloc, clippy::std_instead_of_core, reason = "as in a program")]

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use tickbus::error::PatternFault;
use tickbus::hosted::config::{
    BrokerMode, BrokerProvider, Config, ConfigError, ConfigFault, CustomSettings, DeliveryMode,
    FilterType, KafkaProtocol, KafkaSettings, KinesisSettings, MemorySettings, MqttSettings,
    NatsSettings, Place, PostgresSettings, ProvisionMode, RedisSettings, Registry, SaslMechanism,
    Secret, ServerUrl, Settings, Storage,
};
use tickbus::hosted::{BoxError, Engine, Level, MemoryEngine};
#[cfg(any(feature = "kafka", feature = "mqtt", feature = "postgres", feature = "redis"))]
use tickbus::hosted::{Capability, Mode};
use tickbus::{Envelope, Subject};

#[path = "config/broker.rs"]
mod broker;

/// What must never be seen.
const SECRET: &str = "hunter2-of-the-test";

/// Loads a text in which `SECRET` is a variable, `FIVE` is 5 and `EMPTY` is there and empty.
fn load(text: &str) -> Result<Config, ConfigError> {
    let variables = |name: &str| match name {
        "SECRET" => Some(SECRET.to_owned()),
        "FIVE" => Some("5".to_owned()),
        "YES" => Some("true".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    };
    let loaded = Config::loader().named("bus.yaml").variables(variables).text(text);
    let shown = match &loaded {
        Ok(config) => format!("{config:?}"),
        Err(error) => format!("{error} {error:?}"),
    };
    assert!(!shown.contains(SECRET), "{shown}");
    loaded
}

/// Runs a test on paused time, for at most a minute of it.
fn run(test: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    runtime
        .block_on(async { tokio::time::timeout(Duration::from_secs(60), test).await })
        .expect("the test hangs");
}

#[track_caller]
fn config(text: &str) -> Config {
    load(text).unwrap_or_else(|error| panic!("{error}"))
}

/// The settings of the only engine.
#[track_caller]
fn only<T: serde::de::DeserializeOwned>(text: &str) -> T {
    let config = config(text);
    let [engine] = config.engines() else { panic!("{config:?}") };
    engine.read().unwrap_or_else(|error| panic!("{error}"))
}

/// The error of a text, or of building what it says. Each names the file, the place and the key.
#[track_caller]
fn error(text: &str) -> ConfigError {
    let error = match load(text) {
        Ok(config) => match Registry::new().build(&config) {
            Ok(_) => panic!("it is valid: {config:?}"),
            Err(error) => error,
        },
        Err(error) => error,
    };
    let said = error.to_string();
    let place = error.place().unwrap_or_else(|| panic!("there is no place: {said}"));
    assert!(said.starts_with(&format!("bus.yaml:{place}: ")), "{said}");
    assert_eq!(error.file(), Some("bus.yaml"));
    let key = error.key();
    assert!(key.is_empty() || said.contains(&format!("`{key}`: ")), "{said}");
    error
}

/// The error, as its code, its place and its key.
#[track_caller]
fn refused(text: &str, code: &str, place: (u32, u32), key: &str) {
    let error = error(text);
    let Place { line, column } = error.place().expect("checked");
    let is = (error.fault().code(), (line, column), error.key());
    assert_eq!(is, (code, place, key.to_owned()), "{error}");
}

fn memory(keys: &str) -> String {
    format!(
        "eventbus:\n  engines:\n    - name: a\n      type: memory\n      config: {{ {keys} }}\n"
    )
}

// ---- Forms and defaults -------------------------------------------------------------------------

#[test]
fn unset_keys_have_the_documented_defaults() {
    let settings: MemorySettings = only("eventbus:\n  engine: memory\n");
    assert_eq!(settings.max_event_queue_size.get(), 1000);
    assert_eq!(settings.default_event_buffer_size.get(), 10);
    assert_eq!(settings.worker_count.get(), 5);
    assert_eq!(settings.event_ttl, Duration::from_secs(3600));
    assert_eq!(settings.retention_days, 7);
    assert_eq!(settings.delivery_mode, DeliveryMode::Drop);
    assert!(settings.rotate_subscriber_order);
    assert_eq!(settings.publish_block_timeout, None);
    assert_eq!(settings.max_history_events.get(), 100_000);
    assert_eq!(settings.max_history_bytes.get(), 64 * 1024 * 1024);
}

#[test]
fn a_single_engine_with_flat_keys_is_one_engine_named_default() {
    let config = config(LEGACY);
    let [engine] = config.engines() else { panic!("{config:?}") };
    assert_eq!((engine.name(), engine.type_name()), ("default", "memory"));
    assert!(config.warnings().is_empty(), "{:?}", config.warnings());
    let settings: MemorySettings = engine.read().unwrap();
    assert_eq!(settings, MemorySettings::default());
    assert_eq!(config.engine_for(Subject::from_static("user.created")), Some("default"));
}

#[test]
fn both_forms_of_the_same_settings_are_equal() {
    let flat = "engine: memory\nworkerCount: 3\ndeliveryMode: block\nrotateSubscriberOrder: false";
    let keys = "workerCount: 3, deliveryMode: block, rotateSubscriberOrder: false";
    let settings: MemorySettings = only(&memory(keys));
    assert_eq!(only::<MemorySettings>(flat), settings);
    assert_eq!((settings.worker_count.get(), settings.rotate_subscriber_order), (3, false));
    assert_eq!(settings.delivery_mode, DeliveryMode::Block);
}

#[test]
fn the_external_broker_of_the_flat_form_is_the_server_of_each_type() {
    let flat = |engine: &str, url: &str| {
        format!(
            "eventbus:\n  engine: {engine}\n  workerCount: 2\n  externalBrokerURL: \"{url}\"\n  \
             externalBrokerUser: game\n  externalBrokerPassword: ${{SECRET}}\n"
        )
    };
    let redis: RedisSettings = only(&flat("redis", "redis://cache:6379"));
    assert_eq!(redis.url.expose(), "redis://cache:6379");
    assert_eq!(redis.username.as_deref(), Some("game"));
    assert_eq!(redis.password, Some(Secret::new(SECRET)));
    assert_eq!(redis.worker_count.get(), 2);

    let kafka: KafkaSettings = only(&flat("kafka", "one:9092, two:9092"));
    assert_eq!(kafka.brokers, ["one:9092", "two:9092"]);
    let sasl = kafka.sasl.expect("a login");
    assert_eq!((sasl.mechanism, &*sasl.username), (SaslMechanism::Plain, "game"));
    assert_eq!(sasl.password.expose(), SECRET);

    let kinesis: KinesisSettings = only(&flat("kinesis", "http://127.0.0.1:4567"));
    assert_eq!(kinesis.endpoint, Some(ServerUrl::new("http://127.0.0.1:4567")));
    assert_eq!(kinesis.access_key_id.as_deref(), Some("game"));
    assert_eq!(kinesis.secret_access_key, Some(Secret::new(SECRET)));

    let memory = flat("memory", "redis://cache:6379");
    refused(&memory, "invalid", (4, 3), "eventbus.externalBrokerURL");
}

#[test]
fn the_flat_form_says_which_keys_have_no_effect_on_a_type() {
    let config = config("engine: redis\neventTTL: 3600s\nretentionDays: 7\nworkerCount: 5\n");
    let warned: Vec<_> = config.warnings().iter().map(|it| (&*it.key, it.place)).collect();
    let at = |line| Some(Place { line, column: 1 });
    assert_eq!(warned, [("eventTTL", at(2)), ("retentionDays", at(3))]);
    assert!(config.warnings()[0].to_string().starts_with("bus.yaml:2:1: `eventTTL`: "));
}

#[test]
fn the_two_forms_do_not_mix() {
    let text = "engines:\n  - { name: a, type: memory }\nworkerCount: 5\n";
    refused(text, "mixed_forms", (3, 1), "workerCount");
}

#[test]
fn a_file_without_a_section_is_that_of_the_engines() {
    let bare = config("engine: memory\nworkerCount: 3\n");
    let json = config(r#"{ "eventbus": { "engine": "memory", "workerCount": 3 } }"#);
    for config in [bare, json] {
        let settings: MemorySettings = config.engines()[0].read().unwrap();
        assert_eq!(settings.worker_count.get(), 3);
    }
    refused("", "no_engine", (1, 1), "");
    refused("engines: []", "no_engine", (1, 10), "engines");
    refused("- a", "wrong_type", (1, 1), "");
    refused("eventbuss:\n  engine: memory", "unknown_key", (1, 1), "eventbuss");
}

#[test]
fn other_sections_of_a_program_are_errors_unless_they_are_allowed() {
    let text = "logger: { dev: true }\neventbus: { engine: memory }\n";
    refused(text, "unknown_key", (1, 1), "logger");
    let config = Config::loader().other_sections().text(text).unwrap();
    assert_eq!(config.engines().len(), 1);
    assert!(Config::loader().other_sections().text("logger: {}\n").is_err());
}

#[test]
fn another_format_brings_a_configuration_without_places() {
    let json =
        r#"{"eventbus":{"engines":[{"name":"a","type":"memory","config":{"workerCount":0}}]}}"#;
    let error = serde_json::from_str::<Config>(json).unwrap_err().to_string();
    assert!(error.starts_with("`eventbus.engines[0].config.workerCount`: "), "{error}");
    let json = json.replace(":0", ":4");
    let config: Config = serde_json::from_str(&json).unwrap();
    let settings: MemorySettings = config.engines()[0].read().unwrap();
    assert_eq!(settings.worker_count.get(), 4);
    assert_eq!(config.engines()[0].place(), None);
}

// ---- Keys ---------------------------------------------------------------------------------------

/// The form with one engine, with each of its documented keys.
const LEGACY: &str = r#"
eventbus:
  engine: memory              # memory, redis, kafka, kinesis
  maxEventQueueSize: 1000
  defaultEventBufferSize: 10
  workerCount: 5
  eventTTL: 3600s
  retentionDays: 7
  externalBrokerURL: ""
  externalBrokerUser: ""
  externalBrokerPassword: ""
"#;

/// The form with several engines, with each documented key of each type.
const SEVERAL: &str = r#"
eventbus:
  engines:
    - name: "memory-fast"
      type: "memory"
      config:
        maxEventQueueSize: 500
        defaultEventBufferSize: 32
        workerCount: 3
        eventTTL: 30m
        retentionDays: 1
        deliveryMode: timeout         # drop | drop_oldest | block | timeout
        publishBlockTimeout: 250ms
        rotateSubscriberOrder: false
        maxHistoryEvents: 5000
        maxHistoryBytes: 1048576
        maxLogEvents: 256
        maxDeadLetters: 16
        deduplicationWindow: 10s
        maxDeduplicationIds: 64
        maxPayload: 65536
    - name: "redis-durable"
      type: "redis"
      config:
        url: "redis://localhost:6379"
        db: 2
        poolSize: 11
        username: "game"
        password: "${SECRET}"
        streamName: "game"
        provision: create
        maxLen: 5000
        deduplicationWindow: 30s
        maxDeadLetters: 100
        timeout: 2s
        heartbeat: 3s
        tls: { caFile: "ca.pem" }
        workerCount: 4
    - name: "kafka-analytics"
      type: "kafka"
      config:
        brokers: ["localhost:9092"]
        groupId: "eventbus-analytics"
        sasl: { mechanism: SCRAM-SHA-256, username: "game", password: "${SECRET}" }
        security: { security.protocol: SASL_SSL }
        provision: never
        tls: true
    - name: "kinesis-stream"
      type: "kinesis"
      config:
        region: "eu-west-1"
        streamName: "events-stream"
        shardCount: 2
        endpoint: "http://localhost:4567"
        accessKeyId: "id"
        secretAccessKey: "${SECRET}"
        sessionToken: "${SECRET}"
        pollInterval: 500ms
        provision: check
    - name: "nats-fleet"
      type: "nats"
      config:
        url: "nats://localhost:4222"
        username: "game"
        password: "${SECRET}"
        streamName: "GAME"
        subjects: ["match.>"]
        provision: create
        replicas: 3
        maxAge: 24h
        timeout: 2s
        heartbeat: 1s
        tls: { enabled: true, caFile: "ca.pem", certFile: "me.pem", keyFile: "me.key" }
    - name: "postgres-log"
      type: "postgres"
      config:
        url: "postgres://localhost/game"
        username: "game"
        password: "${SECRET}"
        tableName: "bus"
        poolSize: 4
        lanes: 8
        segmentEvents: 5000
        maxEvents: 9000
        maxAge: 48h
        maxDeadLetters: 12
        maxAttempts: 6
        pollInterval: 2s
        timeout: 3s
        provision: create
        tls: false
    - name: "mqtt-things"
      type: "mqtt"
      config:
        url: "mqtt://localhost:1883"
        clientId: "game-1"
        username: "game"
        password: "${SECRET}"
        prefix: "fleet/1"
        qos: 0
        keepAlive: 15s
        sessionExpiry: 2h
        timeout: 3s
        tls: false
    - name: "custom-engine"
      type: "custom"
      config:
        enableMetrics: false
        metricsInterval: "45s"
        eventFilters:
          - { type: topicPrefix, prefixes: ["user.", "order."] }
  routing:
    - topics: ["user.*", "auth.*"]
      engine: "memory-fast"
    - topics: ["analytics.*", "metrics.*"]
      engine: "kafka-analytics"
      require: stored
    - topics: ["stream.*"]
      engine: "kinesis-stream"
    - topics: ["match.*"]
      engine: "nats-fleet"
    - topics: ["*"]
      engine: "redis-durable"

event_broker:
  enabled: true
  provider: nats              # memory, redis, nats, database
  mode: sync                  # sync, async
  worker_count: 7
  buffer_size: 200
  instance_id: "${HOST:-here}"
  retry_policy:
    max_retries: 0
    initial_delay: 2s
    max_delay: 1m
    backoff_factor: 1.5
  redis:
    stream_name: "resolvespec:events"
    consumer_group: "workers"
    max_len: 100
    host: "cache"
    port: 6380
    password: "${SECRET}"
    db: 3
  nats:
    url: "nats://localhost:4222"
    stream_name: "EVENTS"
    subjects: ["events.>"]
    storage: memory
    max_age: 24h
  database:
    table_name: "records"
    channel: "changes"
    poll_interval: 5s
"#;

#[test]
fn every_key_of_a_memory_engine_is_read() {
    let config = config(SEVERAL);
    let settings: MemorySettings = config.engines()[0].read().unwrap();
    let mut expected = MemorySettings::default();
    expected.max_event_queue_size = 500.try_into().unwrap();
    expected.default_event_buffer_size = 32.try_into().unwrap();
    expected.worker_count = 3.try_into().unwrap();
    expected.event_ttl = Duration::from_secs(1800);
    expected.retention_days = 1;
    expected.delivery_mode = DeliveryMode::Timeout;
    expected.publish_block_timeout = Some(Duration::from_millis(250));
    expected.rotate_subscriber_order = false;
    expected.max_history_events = 5000.try_into().unwrap();
    expected.max_history_bytes = 1_048_576.try_into().unwrap();
    expected.max_log_events = 256;
    expected.max_dead_letters = 16;
    expected.deduplication_window = Duration::from_secs(10);
    expected.max_deduplication_ids = 64;
    expected.max_payload = Some(65_536.try_into().unwrap());
    assert_eq!(settings, expected);
}

#[test]
fn every_key_of_the_engines_on_servers_is_read() {
    let config = config(SEVERAL);
    let [_, redis, kafka, kinesis, nats, postgres, mqtt, _] = config.engines() else {
        panic!("{config:?}")
    };
    let secret = Some(Secret::new(SECRET));

    let redis: RedisSettings = redis.read().unwrap();
    assert_eq!(redis.url.expose(), "redis://localhost:6379");
    assert_eq!((redis.db, redis.pool_size.get(), redis.worker_count.get()), (Some(2), 11, 4));
    assert_eq!((redis.stream_name.as_deref(), redis.max_len), (Some("game"), 5000));
    assert_eq!(
        (redis.deduplication_window, redis.max_dead_letters),
        (Duration::from_secs(30), 100)
    );
    assert_eq!(
        (redis.timeout, redis.heartbeat, redis.prefix),
        (Duration::from_secs(2), Duration::from_secs(3), None)
    );
    assert_eq!((redis.username.as_deref(), &redis.password), (Some("game"), &secret));
    assert_eq!(redis.provision, ProvisionMode::Create);
    assert_eq!((redis.tls.enabled, redis.tls.ca_file.as_deref()), (true, Some("ca.pem")));

    let kafka: KafkaSettings = kafka.read().unwrap();
    assert_eq!(kafka.brokers, ["localhost:9092"]);
    assert_eq!(kafka.group_id.as_deref(), Some("eventbus-analytics"));
    assert_eq!(kafka.sasl.as_ref().map(|it| it.mechanism), Some(SaslMechanism::ScramSha256));
    assert_eq!(kafka.security.protocol, Some(KafkaProtocol::SaslSsl));
    assert_eq!((kafka.provision, kafka.tls.enabled), (ProvisionMode::Never, true));

    let kinesis: KinesisSettings = kinesis.read().unwrap();
    assert_eq!((&*kinesis.region, &*kinesis.stream_name), ("eu-west-1", "events-stream"));
    assert_eq!((kinesis.shard_count.get(), kinesis.poll_interval.as_millis()), (2, 500));
    assert_eq!(
        (kinesis.secret_access_key, kinesis.session_token),
        (secret.clone(), secret.clone())
    );
    assert_eq!(kinesis.access_key_id.as_deref(), Some("id"));
    assert_eq!(kinesis.endpoint, Some(ServerUrl::new("http://localhost:4567")));
    assert_eq!(kinesis.provision, ProvisionMode::Check);

    let nats: NatsSettings = nats.read().unwrap();
    assert_eq!(nats.url.expose(), "nats://localhost:4222");
    assert_eq!((nats.username.as_deref(), &nats.password), (Some("game"), &secret));
    assert_eq!((nats.stream_name.as_deref(), &*nats.subjects[0]), (Some("GAME"), "match.>"));
    assert_eq!((nats.provision, nats.replicas.get()), (ProvisionMode::Create, 3));
    assert_eq!(nats.max_age, Duration::from_secs(24 * 3600));
    assert_eq!((nats.timeout.as_secs(), nats.heartbeat.as_secs()), (2, 1));
    assert_eq!(
        (nats.tls.cert_file.as_deref(), nats.tls.key_file.as_deref()),
        (Some("me.pem"), Some("me.key"))
    );

    let postgres: PostgresSettings = postgres.read().unwrap();
    assert_eq!(postgres.url.expose(), "postgres://localhost/game");
    assert_eq!(
        (&*postgres.table_name, postgres.pool_size.get(), postgres.lanes.get()),
        ("bus", 4, 8)
    );
    assert_eq!((postgres.poll_interval.as_secs(), postgres.tls.enabled), (2, false));
    assert_eq!((postgres.segment_events.get(), postgres.max_events), (5000, 9000));
    assert_eq!((postgres.max_age.as_secs(), postgres.timeout.as_secs()), (48 * 3600, 3));
    assert_eq!((postgres.max_dead_letters, postgres.max_attempts), (12, 6));
    assert_eq!((postgres.username.as_deref(), &postgres.password), (Some("game"), &secret));
    assert_eq!(postgres.provision, ProvisionMode::Create);

    let mqtt: MqttSettings = mqtt.read().unwrap();
    assert_eq!(
        (mqtt.url.expose(), mqtt.client_id.as_deref()),
        ("mqtt://localhost:1883", Some("game-1"))
    );
    assert_eq!((mqtt.keep_alive.as_secs(), mqtt.session_expiry.as_secs()), (15, 7200));
    assert_eq!((mqtt.username.as_deref(), &mqtt.password), (Some("game"), &secret));
    assert_eq!((mqtt.prefix.as_deref(), mqtt.qos), (Some("fleet/1"), 0));
    assert_eq!((mqtt.timeout.as_secs(), mqtt.tls.enabled), (3, false));
}

#[test]
fn every_key_of_an_event_broker_is_read() {
    let config = config(SEVERAL);
    let broker = config.broker().expect("a section");
    assert!(broker.enabled);
    assert_eq!((broker.provider, broker.mode), (BrokerProvider::Nats, BrokerMode::Sync));
    assert_eq!((broker.worker_count.get(), broker.buffer_size.get()), (7, 200));
    assert_eq!(broker.instance_id.as_deref(), Some("here"));
    assert_eq!(broker.retry_policy.max_retries, 0, "0 is 0");
    assert_eq!(broker.retry_policy.initial_delay, Duration::from_secs(2));
    assert_eq!(broker.retry_policy.max_delay, Duration::from_secs(60));
    assert_eq!(broker.retry_policy.backoff_factor, 1.5);
    let redis = &broker.redis;
    assert_eq!((&*redis.stream_name, &*redis.consumer_group), ("resolvespec:events", "workers"));
    assert_eq!((redis.max_len, &*redis.host, redis.port.get(), redis.db), (100, "cache", 6380, 3));
    assert_eq!(redis.password, Some(Secret::new(SECRET)));
    let nats = &broker.nats;
    assert_eq!((nats.url.expose(), &*nats.stream_name), ("nats://localhost:4222", "EVENTS"));
    assert_eq!((&*nats.subjects[0], nats.storage), ("events.>", Storage::Memory));
    assert_eq!(nats.max_age, Duration::from_secs(24 * 3600));
    let database = &broker.database;
    assert_eq!((&*database.table_name, &*database.channel), ("records", "changes"));
    assert_eq!(database.poll_interval, Duration::from_secs(5));
}

#[test]
fn an_event_broker_has_the_documented_defaults() {
    let config = config("event_broker: {}\n");
    let broker = config.broker().expect("a section");
    assert!(config.engines().is_empty() && !broker.enabled);
    assert_eq!((broker.provider, broker.mode), (BrokerProvider::Memory, BrokerMode::Async));
    assert_eq!((broker.worker_count.get(), broker.buffer_size.get()), (10, 1000));
    assert_eq!(broker.instance_id, None);
    let policy = broker.retry_policy;
    assert_eq!((policy.max_retries, policy.backoff_factor), (3, 2.0));
    assert_eq!((policy.initial_delay.as_secs(), policy.max_delay.as_secs()), (1, 30));
}

#[test]
fn spans_of_time_have_units_or_are_seconds() {
    let millis = |text: &str| {
        let settings: MemorySettings = only(&memory(&format!("eventTTL: {text}")));
        settings.event_ttl.as_millis()
    };
    let table = [
        ("3600s", 3_600_000),
        ("3600", 3_600_000),
        ("250ms", 250),
        ("1h30m", 5_400_000),
        ("\"2m\"", 120_000),
        ("1.5", 1500),
        ("0", 0),
        ("0s", 0),
        ("\"${FIVE}\"", 5000),
        ("\"${FIVE}m\"", 300_000),
    ];
    for (text, expected) in table {
        assert_eq!(millis(text), expected, "{text}");
    }
    for text in
        ["5 parsecs", "-1s", "-1", "P1D", "true", "[]", "1e30", ".nan", "9999999999s", ".inf"]
    {
        let error = error(&memory(&format!("eventTTL: {text}")));
        assert!(matches!(error.fault().code(), "invalid" | "wrong_type"), "{text}: {error}");
    }
}

// ---- Unset, false and 0 -------------------------------------------------------------------------

#[test]
fn unset_false_and_zero_differ() {
    let rotation = |keys: &str| only::<MemorySettings>(&memory(keys)).rotate_subscriber_order;
    assert!(rotation("") && rotation("rotateSubscriberOrder: true"));
    assert!(!rotation("rotateSubscriberOrder: false"));

    let days = |keys: &str| only::<MemorySettings>(&memory(keys)).retention_days;
    assert_eq!((days(""), days("retentionDays: 0"), days("retentionDays: 3")), (7, 0, 3));

    let ttl = |keys: &str| only::<MemorySettings>(&memory(keys)).event_ttl.as_secs();
    assert_eq!((ttl(""), ttl("eventTTL: 0"), ttl("eventTTL: 1m")), (3600, 0, 60));

    let retries = |text: &str| config(text).broker().unwrap().retry_policy.max_retries;
    assert_eq!(retries("event_broker: {}"), 3);
    assert_eq!(retries("event_broker: { retry_policy: { max_retries: 0 } }"), 0);
}

#[test]
fn zero_workers_queues_and_buffers_are_errors() {
    for key in ["workerCount", "maxEventQueueSize", "defaultEventBufferSize"] {
        let path = format!("eventbus.engines[0].config.{key}");
        let column = 19 + u32::try_from(key.len()).unwrap();
        refused(&memory(&format!("{key}: 0")), "invalid", (5, column), &path);
        refused(&format!("engine: redis\n{key}: 0"), "invalid", (2, column - 16), key);
        // Also of a type that only the program knows.
        let text = format!("engines:\n  - name: a\n    type: mine\n    config: {{ {key}: 0 }}\n");
        refused(&text, "invalid", (4, column - 2), &path["eventbus.".len()..]);
    }
    // Nothing is compressed by leaving the key out, not by 0. The old form does not have it.
    let path = "eventbus.engines[0].config.compressAbove";
    refused(&memory("compressAbove: 0"), "invalid", (5, 32), path);
    for key in ["worker_count", "buffer_size"] {
        let text = format!("event_broker:\n  {key}: 0");
        assert_eq!(error(&text).key(), format!("event_broker.{key}"));
    }
}

#[test]
fn a_block_timeout_of_zero_is_a_value_and_a_missing_one_an_error() {
    let settings: MemorySettings = only(&memory("deliveryMode: timeout, publishBlockTimeout: 0"));
    assert_eq!(settings.publish_block_timeout, Some(Duration::ZERO));
    let missing = memory("deliveryMode: timeout");
    refused(&missing, "missing_key", (5, 15), "eventbus.engines[0].config.publishBlockTimeout");
}

#[test]
fn a_key_without_a_value_is_an_error() {
    let text = "eventbus:\n  engine: memory\n  workerCount:\n";
    let found = error(text);
    assert!(matches!(found.fault(), ConfigFault::NoValue), "{found}");
    assert_eq!(found.key(), "eventbus.workerCount");
    assert_eq!(error("engine: memory\nretentionDays: ~").fault().code(), "no_value");
    // All of its keys may be comments.
    let config = config("engines:\n  - name: a\n    type: memory\n    config:\n");
    assert_eq!(config.engines()[0].read::<MemorySettings>().unwrap(), MemorySettings::default());
}

// ---- Errors -------------------------------------------------------------------------------------

#[test]
fn each_fault_has_an_error_of_its_own_with_the_place_and_the_key() {
    let two = "engines:\n  - name: a\n    type: memory\n  - name: b\n    type: memory\n";
    let with = |more: &str| format!("{two}{more}");
    let again = two.replace("name: b", "name: a");
    refused(&again, "duplicate_engine", (4, 11), "engines[1].name");
    let unnamed = two.replace("name: b", "name: ''");
    refused(&unnamed, "invalid", (4, 11), "engines[1].name");
    let rule = with("routing:\n  - topics: ['*']\n    engine: c\n");
    refused(&rule, "unknown_engine", (8, 13), "routing[0].engine");
    let kind = two.replace("type: memory\n  -", "type: memroy\n  -");
    refused(&kind, "unknown_type", (3, 11), "engines[0].type");
    refused(&with("rooting: []\n"), "unknown_key", (6, 1), "rooting");
    refused("engines:\n  - name: a\n    kind: memory\n", "unknown_key", (3, 5), "engines[0].kind");
    refused("engines:\n  - name: a\n", "missing_key", (2, 5), "engines[0].type");
    refused("engines:\n  - type: memory\n", "missing_key", (2, 5), "engines[0].name");
    refused(
        &memory("workerCount: many"),
        "wrong_type",
        (5, 30),
        "eventbus.engines[0].config.workerCount",
    );
    refused(&with("routing: [{ topics: [], engine: a }]"), "invalid", (6, 21), "routing[0].topics");
    refused("engine: memory\nengine: redis\n", "duplicate_key", (2, 1), "engine");
    refused("engine: memory\nworkerCount: [\n", "syntax", (2, 14), "");
    refused("engine: memory\ndeliveryMode: dorp\n", "unknown_value", (2, 15), "deliveryMode");
    refused("engine: custom\n", "no_such_engine", (1, 9), "engine");
    refused("engine: *memory\n", "syntax", (1, 9), "");
    refused("a: 1\n---\nb: 2\n", "syntax", (3, 1), "");
    refused("5: 1\n", "syntax", (1, 1), "");
}

#[test]
fn an_unreachable_rule_is_an_error_that_names_the_earlier_one() {
    let rules = |rules: &[&str]| {
        let rules: Vec<_> =
            rules.iter().map(|topics| format!("  - topics: [{topics}]\n    engine: a\n")).collect();
        format!("engines:\n  - {{ name: a, type: memory }}\nrouting:\n{}", rules.concat())
    };
    for unreachable in [
        &["'*'", "user.created"][..],
        &["'user.*'", "user.created"],
        &["'user*'", "'user.*'"],
        &["'user.*'", "'user.a*', user.b"],
        &["user.created", "user.created"],
        &["'user.*', 'auth.*'", "auth.login, user.created"],
    ] {
        let error = error(&rules(unreachable));
        assert!(
            matches!(error.fault(), ConfigFault::UnreachableRule { earlier: Some(it), .. } if it.line == 4),
            "{unreachable:?}: {error}"
        );
        assert_eq!(error.place(), Some(Place { line: 6, column: 5 }));
        assert_eq!(error.key(), "routing[1]");
    }
    // By two rules together.
    let error = error(&rules(&["'user.*'", "'auth.*'", "user.created, auth.login"]));
    assert_eq!((error.fault().code(), &*error.key()), ("unreachable_rule", "routing[2]"));
    assert_eq!(
        error.to_string(),
        "bus.yaml:8:5: `routing[2]`: rule 3 decides nothing, because rules 1 and 2 have all its \
         subjects: move it up, or remove it"
    );
    let error = crate::error(&rules(&["'user.*'", "user.created"]));
    assert_eq!(
        error.to_string(),
        "bus.yaml:6:5: `routing[1]`: rule 2 decides nothing, because rule 1 has all its subjects, at \
         4:5: move it up, or remove it"
    );
    for reachable in [
        &["user.created", "'user.*'"][..],
        &["'user.*'", "user"],
        &["'user.*'", "'user*'"],
        &["'user.*'", "user.created, auth.login"],
        &["'user.*'", "'*'"],
    ] {
        config(&rules(reachable));
    }
}

/// A file and code refuse the same rules, and name them alike.
#[test]
fn an_unreachable_rule_is_the_same_error_in_a_file_and_in_code() {
    for rules in [
        &[&["*"][..], &["user.created"]][..],
        &[&["user.*"], &["user.a*", "user.b"]],
        &[&["user.*"], &["auth.*"], &["user.created", "auth.login"]],
        &[&["user.*"], &["user.created", "auth.login"]],
        &[&["user.*"], &["user"], &["user*"], &["users"]],
    ] {
        let file: String = rules
            .iter()
            .map(|topics| format!("  - {{ topics: {topics:?}, engine: a }}\n"))
            .collect();
        let file = load(&format!("engines: [{{ name: a, type: memory }}]\nrouting:\n{file}"));
        let code = rules.iter().fold(
            tickbus::hosted::Router::builder().engine("a", MemoryEngine::new()),
            |builder, topics| {
                let rule =
                    topics.iter().fold(tickbus::hosted::Rule::new("a"), |rule, it| rule.prefix(it));
                builder.rule(rule)
            },
        );
        // `rule 2 … because rule 1 has`
        let words = |text: String| -> Vec<String> {
            let rule = &text[text.find("rule ").unwrap()..];
            let (rule, why) = (&rule[..6], &text[text.find("because").unwrap()..]);
            let why = &why[..why.find(" all its subjects").unwrap()];
            vec![rule.into(), why.into()]
        };
        let file = file.err().map(|error| words(error.to_string()));
        let code = code.build().err().map(|error| words(error.to_string()));
        assert_eq!(file, code, "{rules:?}");
    }
}

/// `engine` is a type in the form with one engine.
#[test]
fn a_list_of_engines_under_the_key_engine_says_what_was_meant() {
    let list = "eventbus:\n  engine:\n    - { name: a, type: memory }\n";
    refused(list, "wrong_type", (3, 5), "eventbus.engine");
    assert_eq!(
        error(list).to_string(),
        "bus.yaml:3:5: `eventbus.engine`: it is a list, and must be the type of the only engine, as \
         `memory`: did you mean `engines`, with a list?"
    );
    let mapping = "engine: { name: a, type: memory }\n";
    refused(mapping, "wrong_type", (1, 9), "engine");
    assert!(error(mapping).to_string().contains("it is a mapping, and must be"));
}

/// Each documented key, misspelled, is refused where it stands, with the right one.
#[test]
fn an_unknown_key_is_an_error_that_suggests_the_known_one() {
    let said = |text: &str| error(text).to_string();
    assert_eq!(
        said("eventbus:\n  engine: memory\n  workerCuont: 5\n"),
        "bus.yaml:3:3: `eventbus.workerCuont`: unknown key: did you mean `workerCount`?"
    );
    assert!(said(&memory("worker_count: 5")).ends_with("did you mean `workerCount`?"));
    assert!(said(&memory("eventTtl: 5")).ends_with("did you mean `eventTTL`?"));
    let far = said(&memory("color: 5"));
    assert!(far.contains("unknown key: possible are `eventTTL`, `retentionDays`"), "{far}");

    // Documented keys that other buses ignore where there are several engines.
    for key in ["deliveryMode", "publishBlockTimeout", "rotateSubscriberOrder"] {
        let wrong = format!("{key}x");
        let error = error(&memory(&format!("{wrong}: 1")));
        let ConfigFault::UnknownKey { near, .. } = error.fault() else { panic!("{error}") };
        assert_eq!(near.as_deref(), Some(key));
    }
    // One level further in, and of a type of the program.
    let text = "event_broker:\n  retry_policy:\n    max_retry: 1\n";
    refused(text, "unknown_key", (3, 5), "event_broker.retry_policy.max_retry");
}

#[test]
fn a_number_of_another_type_is_an_error_and_not_a_default() {
    for value in ["\"5\"", "5.5", "true", "[5]", "{ a: 5 }", "five", "1_0x"] {
        let error = error(&memory(&format!("workerCount: {value}")));
        assert_eq!(error.fault().code(), "wrong_type", "{value}: {error}");
    }
    for value in ["-1", "4294967296", "99999999999999999999999999"] {
        let error = error(&memory(&format!("workerCount: {value}")));
        assert!(matches!(error.fault().code(), "invalid" | "wrong_type"), "{value}: {error}");
    }
    for value in ["1", "\"false\"", "no", "off"] {
        let error = error(&memory(&format!("rotateSubscriberOrder: {value}")));
        assert_eq!(error.fault().code(), "wrong_type", "{value}: {error}");
    }
    let quoted = error("event_broker: { redis: { password: 12345 } }").to_string();
    assert!(quoted.ends_with("it is a number, and must be a text: write it in quotes"), "{quoted}");
}

#[test]
fn retries_that_mean_nothing_are_refused() {
    for policy in [
        "max_retries: -1",
        "initial_delay: -1s",
        "backoff_factor: -1",
        "backoff_factor: .nan",
        "backoff_factor: .inf",
    ] {
        let error = error(&format!("event_broker:\n  retry_policy: {{ {policy} }}\n"));
        assert!(error.key().starts_with("event_broker.retry_policy."), "{error}");
    }
}

#[test]
fn settings_that_exclude_each_other_are_errors() {
    let nats =
        |keys: &str| format!("engines:\n  - name: a\n    type: nats\n    config: {{ {keys} }}\n");
    let key = |text: &str| error(text).key();
    assert_eq!(key(&nats("token: a, nkey: b")), "engines[0].config.nkey");
    assert_eq!(key(&nats("username: a")), "engines[0].config.username");
    assert_eq!(key(&nats("password: a")), "engines[0].config.password");
    assert_eq!(key(&nats("provision: create")), "engines[0].config.provision");
    assert_eq!(key(&nats("tls: { certFile: a }")), "engines[0].config.tls");
    assert_eq!(key(&nats("tls: { enabled: false, caFile: a }")), "engines[0].config.tls");
    let kafka = |keys: &str| key(&nats(keys).replace("nats", "kafka"));
    assert_eq!(kafka("brokers: []"), "engines[0].config.brokers");
    for (protocol, wrong) in [("SASL_SSL", "security"), ("PLAINTEXT, tls: true", "tls")] {
        let (protocol, more) = protocol.split_once(',').unwrap_or((protocol, ""));
        let keys = format!("security: {{ security.protocol: {protocol} }}, {more}");
        assert_eq!(kafka(&keys), format!("engines[0].config.{wrong}"));
    }
    let sasl = "sasl: { mechanism: PLAIN, username: a, password: b }";
    let plain = format!("{sasl}, security: {{ security.protocol: SSL }}");
    assert_eq!(kafka(&plain), "engines[0].config.security");
    let twice = format!("{sasl}, security: {{ sasl.mechanism: PLAIN }}");
    assert_eq!(kafka(&twice), "engines[0].config.sasl");
    assert_eq!(kafka("security: { sasl.mechanism: PLAIN }"), "engines[0].config.security");
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let folder = std::env::temp_dir().join(format!("tickbus-config-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let missing = folder.join("missing.yaml");
    let error = Config::from_file(&missing).unwrap_err();
    assert_eq!(error.fault().code(), "unreadable");
    assert!(
        error.to_string().starts_with(&format!("{}: the file cannot be read", missing.display()))
    );
    assert!(error.source().is_some());

    let latin = folder.join("latin.yaml");
    std::fs::write(&latin, b"engine: memory\n# caf\xe9\n").unwrap();
    let error = Config::from_file(&latin).unwrap_err();
    assert_eq!(error.place(), Some(Place { line: 2, column: 6 }));

    let good = folder.join("good.json");
    std::fs::write(&good, r#"{"engine": "memory"}"#).unwrap();
    assert_eq!(Config::from_file(&good).unwrap().engines().len(), 1);
    std::fs::remove_dir_all(&folder).unwrap();
}

// ---- Variables ----------------------------------------------------------------------------------

#[test]
fn variables_are_replaced_in_values_and_then_converted() {
    let keys = "workerCount: \"${FIVE}\", maxEventQueueSize: \"${UNSET:-7}\", \
                rotateSubscriberOrder: \"${UNSET:-false}\", deliveryMode: \"${UNSET:-block}\", \
                defaultEventBufferSize: \"1${FIVE}\"";
    let settings: MemorySettings = only(&memory(keys));
    assert_eq!((settings.worker_count.get(), settings.max_event_queue_size.get()), (5, 7));
    assert_eq!(settings.default_event_buffer_size.get(), 15);
    assert_eq!(
        (settings.rotate_subscriber_order, settings.delivery_mode),
        (false, DeliveryMode::Block)
    );
    // Without quotes too, and an empty one is as one that is not set.
    let settings: MemorySettings = only("engine: memory\nworkerCount: ${EMPTY:-9}\n");
    assert_eq!(settings.worker_count.get(), 9);
}

#[test]
fn the_value_of_a_variable_cannot_change_the_structure() {
    let evil = "x\n  workerCount: 1\n- : } ] # ${FIVE} *a !b";
    let loader = Config::loader().variables(move |name| (name == "EVIL").then(|| evil.into()));
    let config = loader.text("event_broker:\n  instance_id: ${EVIL}\n").unwrap();
    assert_eq!(config.broker().unwrap().instance_id.as_deref(), Some(evil));
    // Keys have no variables.
    refused("engine: memory\n${FIVE}: 1\n", "unknown_key", (2, 1), "${FIVE}");
}

#[test]
fn a_variable_that_is_not_set_or_not_one_is_an_error() {
    let text = "engine: memory\nworkerCount: ${WORKERS}\n";
    assert_eq!(
        error(text).to_string(),
        "bus.yaml:2:14: `workerCount`: the variable `WORKERS` is not set: \
         set it, or write `${WORKERS:-default}`"
    );
    for text in ["${FIVE", "${}", "${5}", "${A B}", "${A:-${FIVE}}", "${A-5}", "a${"] {
        refused(
            &format!("engine: memory\nworkerCount: '{text}'\n"),
            "bad_variable",
            (2, 14),
            "workerCount",
        );
    }
    let literal = config("event_broker: { instance_id: 'a$${FIVE}b$5' }");
    assert_eq!(literal.broker().unwrap().instance_id.as_deref(), Some("a${FIVE}b$5"));
    // What is converted is checked, and not shown.
    for value in ["${SECRET}", "${YES}", "${FIVE}.5"] {
        let error = error(&format!("engine: memory\nworkerCount: '{value}'\n"));
        assert_eq!(error.fault().code(), "wrong_type", "{error}");
    }
}

// ---- Secrets ------------------------------------------------------------------------------------

#[test]
fn secrets_are_never_shown() {
    let config = config(SEVERAL);
    let mut shown = format!("{config:?}");
    for engine in config.engines() {
        shown += &format!("{engine:?} {:?}", engine.common());
    }
    let [_, redis, kafka, kinesis, nats, postgres, mqtt, _] = config.engines() else {
        panic!("{config:?}")
    };
    shown += &format!("{:?}", redis.read::<RedisSettings>().unwrap());
    shown += &format!("{:?}", kafka.read::<KafkaSettings>().unwrap());
    shown += &format!("{:?}", kinesis.read::<KinesisSettings>().unwrap());
    shown += &format!("{:?}", nats.read::<NatsSettings>().unwrap());
    shown += &format!("{:?}", postgres.read::<PostgresSettings>().unwrap());
    shown += &format!("{:?}", mqtt.read::<MqttSettings>().unwrap());
    shown += &format!("{:?} {:?}", config.broker(), Registry::new().build(&config));
    assert!(!shown.contains(SECRET), "{shown}");
    assert!(shown.matches("***").count() >= 8, "{shown}");
}

#[test]
fn an_error_beside_a_secret_does_not_show_it() {
    let texts = [
        "engine: redis\nexternalBrokerPassword: [\"${SECRET}\"]\n",
        "engine: memory\neventTTL: ${SECRET}\n",
        "engine: memory\ndeliveryMode: ${SECRET}\n",
        "engines: [{ name: a, type: memory, config: ${SECRET} }]\n",
        "engines: [{ name: a, type: nats, config: { tls: \"${SECRET}\" } }]\n",
        "engines: [{ name: a, type: memory }]\nrouting: [{ topics: [\"${SECRET}*x\"], engine: a }]\n",
        "engines: [{ name: a, type: memory }]\nrouting: [{ topics: [a], engine: \"${SECRET}\" }]\n",
    ];
    for text in texts {
        // `error` and `load` look for it.
        assert!(!error(text).to_string().contains(SECRET));
    }
    // Written into the file, also where YAML breaks beside it.
    for text in [
        "p: !PASS x",
        "p: *PASS",
        "p: \"PASS",
        "p: 'PASS\nq: 1",
        "p: PASS: x",
        "p: @PASS",
        "event_broker: { redis: { password: { PASS: 1 } } }",
        "event_broker: { redis: { password: [PASS] } }",
    ] {
        let text = text.replace("PASS", SECRET);
        let error = Config::from_yaml(&text).unwrap_err();
        let said = format!("{error} {error:?}");
        assert!(!said.contains(SECRET) || text.contains("{ hunter2"), "{text}: {said}");
    }
}

#[test]
fn a_url_shows_its_server_and_nothing_that_may_be_a_login() {
    let table = [
        ("redis://cache:6379/0", "redis://cache:6379/0"),
        ("redis://game:pass@cache:6379", "redis://***@cache:6379"),
        ("redis://:p@ss@cache", "redis://***@cache"),
        ("nats://a:b,c@one:1,nats://d:e@two:2", "nats://***@two:2"),
        ("postgres://h/db?password=pass", "postgres://h/db?***"),
        ("http://h/#pass", "http://h/#***"),
        ("host=h password=pass", "***"),
        ("game:pass@cache", "***@cache"),
        ("postgres://db/game?application_name=a@b&password=p", "***"),
        ("postgres://db/game?password=p@ss", "***"),
        ("pa ss://x", "***"),
        ("cache:6379", "cache:6379"),
        ("", ""),
    ];
    for (url, shown) in table {
        let url = ServerUrl::new(url);
        assert_eq!((url.to_string(), format!("{url:?}")), (shown.to_owned(), shown.to_owned()));
    }
}

// ---- Rules --------------------------------------------------------------------------------------

#[test]
fn patterns_of_a_configuration_are_prefixes_and_star_alone_is_everything() {
    let config = config(SEVERAL);
    let engine = |subject: &'static str| config.engine_for(Subject::from_static(subject)).unwrap();
    assert_eq!(engine("user.created"), "memory-fast");
    assert_eq!(engine("user.7.created.twice"), "memory-fast");
    assert_eq!(engine("user"), "redis-durable");
    assert_eq!(engine("analytics.click"), "kafka-analytics");
    assert_eq!(engine("anything"), "redis-durable");
    let requires: Vec<_> = config.rules().iter().map(|rule| rule.require).collect();
    assert_eq!(requires, [None, Some(Level::Stored), None, None, None]);

    for (topic, fault) in [
        ("user.>", PatternFault::NotInDialect),
        ("user.*.created", PatternFault::WildcardNotLast),
        ("a..b", PatternFault::DoubleDot),
        ("", PatternFault::Empty),
    ] {
        let text = format!(
            "engines: [{{ name: a, type: memory }}]\nrouting:\n  - topics: [ok, '{topic}']\n    engine: a\n"
        );
        let error = error(&text);
        assert!(
            matches!(error.fault(), ConfigFault::Topic(it) if *it == fault),
            "{topic}: {error}"
        );
        assert_eq!((error.place().unwrap().line, &*error.key()), (3, "routing[0].topics[1]"));
    }
}

#[test]
fn the_first_engine_carries_what_no_rule_matches() {
    let text = "engines:\n  - { name: a, type: memory }\n  - { name: b, type: memory }\n";
    let without = config(text);
    assert_eq!(without.engine_for(Subject::from_static("x")), Some("a"));
    let with = config(&format!("{text}routing: [{{ topics: ['u.*'], engine: b }}]\n"));
    assert_eq!(with.engine_for(Subject::from_static("u.x")), Some("b"));
    assert_eq!(with.engine_for(Subject::from_static("x")), Some("a"));
}

#[test]
fn an_engine_without_a_rule_is_a_warning() {
    let config = config("engines:\n  - { name: a, type: memory }\n  - { name: b, type: memory }\n");
    let [warning] = config.warnings() else { panic!("{:?}", config.warnings()) };
    assert_eq!(
        warning.to_string(),
        "bus.yaml:3:13: `engines[1]`: no rule names this engine: it carries nothing"
    );
}

// ---- Types of engines ---------------------------------------------------------------------------

#[test]
fn known_types_without_an_engine_say_so_and_unknown_types_are_another_error() {
    refused("engine: custom\n", "no_such_engine", (1, 9), "engine");
    let unknown = error("engine: rabbit\n");
    let ConfigFault::UnknownType { near: None, known } = unknown.fault() else {
        panic!("{unknown}")
    };
    assert!(known.contains(&"memory".into()));
    #[cfg(not(feature = "nats"))]
    {
        let nats = error("engine: nats\n");
        assert!(matches!(nats.fault(), ConfigFault::FeatureMissing("nats")), "{nats}");
    }
    #[cfg(feature = "nats")]
    {
        let config = config("engine: nats\nexternalBrokerURL: nats://u:p@h:4222\n");
        let engines = Registry::new().build(&config).unwrap();
        assert_eq!(&**engines[0].name(), "default");
    }
}

#[test]
fn kafka_is_built_by_all_of_its_keys() {
    let text = "engines:\n  - name: a\n    type: kafka\n    config:\n      brokers: [one:9092, two:9092]\n      \
        groupId: game\n      topic: events\n      topics: [{ pattern: 'chat.>', topic: chat }]\n      \
        partitions: 12\n      replicas: 3\n      provision: create\n      sessionTimeout: 10s\n      \
        commitInterval: 0s\n      timeout: 2s\n      heartbeat: 1s\n      tls: { caFile: ca.pem }\n      \
        security:\n        security.protocol: SASL_SSL\n        sasl.mechanism: SCRAM-SHA-512\n        \
        sasl.username: game\n        sasl.password: hunter2\n";
    let settings: KafkaSettings = config(text).engines()[0].read().unwrap();
    assert_eq!((&*settings.topic, &*settings.topics[0].topic), ("events", "chat"));
    assert_eq!(settings.partitions.map(|it| it.get()), Some(12));
    #[cfg(not(feature = "kafka"))]
    {
        let kafka = error("engine: kafka\n");
        assert!(matches!(kafka.fault(), ConfigFault::FeatureMissing("kafka")), "{kafka}");
    }
    #[cfg(feature = "kafka")]
    {
        let engines = Registry::new().build(&config(text)).unwrap();
        let shown = format!("{:?}", engines[0]);
        assert_eq!(&**engines[0].name(), "a");
        assert!(!shown.contains("hunter2"), "{shown}");
        let can = engines[0].capabilities();
        assert!(!can.has(Mode::Durable, Capability::KeyOrderAcrossGroup), "it has two topics");
        assert!(can.has(Mode::Durable, Capability::FencingServer));
    }
}

#[test]
fn redis_says_which_keys_do_not_go_together() {
    let one =
        |keys: &str| format!("engines:\n  - name: a\n    type: redis\n    config: {{ {keys} }}\n");
    for (keys, key) in [
        ("username: game", "username"),
        ("provision: create", "provision"),
        ("maxLen: 10", "maxLen"),
        ("deduplicationWindow: 1s", "deduplicationWindow"),
        ("maxDeadLetters: 1", "maxDeadLetters"),
    ] {
        let column = 17 + u32::try_from(key.len()).unwrap();
        refused(&one(keys), "invalid", (4, column), &format!("engines[0].config.{key}"));
    }
    let both = one("streamName: game, prefix: x");
    refused(&both, "invalid", (4, 41), "engines[0].config.prefix");
    #[cfg(not(feature = "redis"))]
    {
        let redis = error("engine: redis\n");
        assert!(matches!(redis.fault(), ConfigFault::FeatureMissing("redis")), "{redis}");
    }
    #[cfg(feature = "redis")]
    {
        let all = "streamName: game, db: 2, poolSize: 3, username: u, password: hunter2, maxLen: 9";
        let config = config(&one(all));
        let engines = Registry::new().build(&config).unwrap();
        assert_eq!(&**engines[0].name(), "a");
        let can = engines[0].capabilities();
        assert!(can.has(Mode::Durable, Capability::Deduplication));
        let config = self::config(&one("url: 'redis://u:hunter2@h:1', prefix: x"));
        let engines = Registry::new().build(&config).unwrap();
        assert!(!engines[0].capabilities().has(Mode::Durable, Capability::Durable));
    }
}

#[test]
fn postgres_says_which_keys_are_not_valid() {
    let one = |keys: &str| {
        format!("engines:\n  - name: a\n    type: postgres\n    config: {{ {keys} }}\n")
    };
    for (keys, key) in [("password: x", "password"), ("segmentEvents: 1", "segmentEvents")] {
        let error = error(&one(keys));
        assert!(matches!(error.fault(), ConfigFault::Invalid(_)), "{error}");
        assert_eq!(error.key(), format!("engines[0].config.{key}"));
    }
    #[cfg(not(feature = "postgres"))]
    {
        let postgres = error("engine: postgres\n");
        assert!(matches!(postgres.fault(), ConfigFault::FeatureMissing("postgres")), "{postgres}");
    }
    #[cfg(feature = "postgres")]
    {
        let all = "tableName: game, lanes: 1, poolSize: 3, username: u, password: hunter2, \
                   maxDeadLetters: 9";
        let engines = Registry::new().build(&config(&one(all))).unwrap();
        assert_eq!(&**engines[0].name(), "a");
        let can = engines[0].capabilities();
        assert!(can.has(Mode::Durable, Capability::DeadLetters));
        assert!(can.has(Mode::Durable, Capability::PublisherOrder), "one lane");
        let engines = Registry::new().build(&config(&one("lanes: 2"))).unwrap();
        let can = engines[0].capabilities();
        assert!(!can.has(Mode::Durable, Capability::PublisherOrder));
        assert!(!can.has(Mode::Durable, Capability::DeadLetters));
    }
}

#[test]
fn mqtt_says_which_keys_are_not_valid() {
    let one =
        |keys: &str| format!("engines:\n  - name: a\n    type: mqtt\n    config: {{ {keys} }}\n");
    for (keys, key) in
        [("qos: 2", "qos"), ("clientId: ''", "clientId"), ("password: x", "password")]
    {
        let column = 15 + key.len() as u32 + 2; // of the value
        refused(&one(keys), "invalid", (4, column), &format!("engines[0].config.{key}"));
    }
    #[cfg(not(feature = "mqtt"))]
    {
        let mqtt = error("engine: mqtt\n");
        assert!(matches!(mqtt.fault(), ConfigFault::FeatureMissing("mqtt")), "{mqtt}");
    }
    #[cfg(feature = "mqtt")]
    {
        let all = "clientId: c, username: u, password: hunter2, prefix: p, qos: 0";
        let engines = Registry::new().build(&config(&one(all))).unwrap();
        assert_eq!(&**engines[0].name(), "a");
        let can = engines[0].capabilities();
        assert!(can.has(Mode::Durable, Capability::Redelivery));
        assert_eq!(can.highest_level(), Level::Buffered);
        for keys in ["url: 'mqtt://u:hunter2@h:1'", "clientId: c, sessionExpiry: 0s"] {
            let engines = Registry::new().build(&config(&one(keys))).unwrap();
            let can = engines[0].capabilities();
            assert!(!can.has(Mode::Durable, Capability::Durable));
            assert_eq!(can.highest_level(), Level::Accepted);
        }
    }
}

/// Counts what it carries, and lets only some subjects through: an engine that a program registers.
mod custom {
    use super::*;
    use std::sync::Mutex;
    use tickbus::hosted::{
        Capabilities, DurableOptions, EngineError, EngineFuture, LiveOptions, OpenError, Receipt,
        Receive, ShutdownError,
    };

    pub(crate) struct Custom {
        pub(crate) settings: CustomSettings,
        inner: MemoryEngine,
        pub(crate) counts: Arc<Mutex<Vec<String>>>,
    }

    impl Custom {
        pub(crate) fn new(
            settings: &Settings,
            counts: &Arc<Mutex<Vec<String>>>,
        ) -> Result<Self, BoxError> {
            let inner = MemoryEngine::builder().name(settings.name()).build();
            Ok(Self { settings: settings.read()?, inner, counts: counts.clone() })
        }

        fn lets_through(&self, subject: &str) -> bool {
            self.settings.event_filters.iter().all(|filter| match filter.kind {
                FilterType::TopicPrefix => {
                    let prefixes = &filter.prefixes;
                    prefixes.is_empty() || prefixes.iter().any(|it| subject.starts_with(&**it))
                }
                _ => true,
            })
        }
    }

    impl Engine for Custom {
        fn name(&self) -> &Arc<str> {
            self.inner.name()
        }

        fn capabilities(&self) -> Capabilities {
            self.inner.capabilities()
        }

        fn publish(&self, it: Arc<Envelope>) -> EngineFuture<'_, Result<Receipt, EngineError>> {
            let subject = it.subject().as_str().to_owned();
            if !self.lets_through(&subject) {
                return EngineFuture::ready(Ok(Receipt::new(self.name(), Level::Accepted)));
            }
            if self.settings.enable_metrics {
                self.counts.lock().unwrap().push(subject);
            }
            Engine::publish(&self.inner, it)
        }

        fn open_live(
            &self,
            options: LiveOptions,
        ) -> EngineFuture<'_, Result<Box<dyn Receive>, OpenError>> {
            self.inner.open_live(options)
        }

        fn open_durable(
            &self,
            options: DurableOptions,
        ) -> EngineFuture<'_, Result<Box<dyn Receive>, OpenError>> {
            self.inner.open_durable(options)
        }

        fn shutdown(&self, deadline: Duration) -> EngineFuture<'_, Result<(), ShutdownError>> {
            self.inner.shutdown(deadline)
        }
    }
}

#[test]
fn a_registered_type_is_built_from_its_own_keys() {
    run(async {
        let counts = Arc::default();
        let kept = Arc::clone(&counts);
        let registry = Registry::new()
            .register("custom", move |settings| custom::Custom::new(settings, &kept));
        assert!(registry.types().any(|name| name == "custom"));

        let text = "engines:\n  - name: counted\n    type: custom\n    config:\n      enableMetrics: true\n      \
                metricsInterval: 30s\n      eventFilters: [{ type: topicPrefix, prefixes: ['user.'] }]\n";
        let engines = registry.build(&config(text)).unwrap();
        let engine = &engines[0];
        assert_eq!(&**engine.name(), "counted");
        let mut all = engine.subscribe(">").unwrap().open().await.unwrap();
        for subject in ["user.created", "order.created", "user.deleted"] {
            engine.publish(Envelope::new(subject).unwrap().into()).await.unwrap();
        }
        assert_eq!(*counts.lock().unwrap(), ["user.created", "user.deleted"]);
        let next = all.next().await.unwrap().unwrap();
        assert_eq!(next.envelope().subject().as_str(), "user.created");

        let off = text.replace("enableMetrics: true", "enableMetrics: false");
        let engines = registry.build(&config(&off)).unwrap();
        engines[0].publish(Envelope::new("user.created").unwrap().into()).await.unwrap();
        assert_eq!(counts.lock().unwrap().len(), 2);
    });
}

#[test]
fn a_factory_that_fails_is_an_error_with_the_place_of_its_engine() {
    #[derive(Debug, serde::Deserialize)]
    struct Mine {
        #[expect(dead_code, reason = "only read")]
        colour: String,
    }
    let registry = Registry::new()
        .register("mine", |settings: &Settings| -> Result<MemoryEngine, BoxError> {
            let _: Mine = settings.read()?;
            Err(settings.invalid("colour", "it is not a colour").into())
        })
        .register("broken", |_: &Settings| -> Result<MemoryEngine, BoxError> {
            Err("there is no such device".into())
        });
    let build = |config: &Config| registry.build(config).unwrap_err();
    let text = |kind: &str, keys: &str| {
        config(&format!("engines:\n  - name: a\n    type: {kind}\n    config: {{ {keys} }}\n"))
    };
    assert_eq!(
        build(&text("mine", "colour: red")).to_string(),
        "bus.yaml:4:23: `engines[0].config.colour`: it is not a colour"
    );
    // The keys of all engines are not its own, and not unknown.
    let error = build(&text("mine", "workerCount: 3, color: red"));
    assert_eq!(
        error.to_string(),
        "bus.yaml:4:31: `engines[0].config.color`: unknown key: did you mean `colour`?"
    );
    assert_eq!(build(&text("mine", "")).fault().code(), "missing_key");
    let error = build(&text("broken", ""));
    assert_eq!(
        error.to_string(),
        "bus.yaml:2:11: `engines[0].config`: the engine cannot be built: there is no such device"
    );
    assert_eq!(error.source().unwrap().to_string(), "there is no such device");
}

#[test]
fn a_configured_memory_engine_keeps_its_limits() {
    run(async {
        let text =
            memory("maxLogEvents: 2, maxPayload: 8, maxDeadLetters: 1, maxDeduplicationIds: 0");
        let engines = Registry::new().build(&config(&text)).unwrap();
        let engine = &engines[0];
        assert_eq!(&**engine.name(), "a");
        let can = engine.capabilities();
        use tickbus::hosted::{Capability, Mode};
        assert!(!can.has(Mode::Durable, Capability::Deduplication));
        let large = Envelope::json("x", &"more than 8").unwrap();
        assert!(engine.publish(large.into()).await.is_err());

        let without = Registry::new().build(&config(&memory("maxLogEvents: 0"))).unwrap();
        assert!(!without[0].capabilities().has(Mode::Durable, Capability::Durable));
    });
}

// ---- What a memory engine does with its keys ------------------------------------------------------

/// A memory engine of these keys, on the time of the test.
fn memory_engine(keys: &str) -> MemoryEngine {
    let begin = "2030-01-01T00:00:00Z".parse().unwrap();
    let settings: MemorySettings = only(&memory(keys));
    settings.builder().clock(tickbus::hosted::TestClock::new(begin)).build()
}

async fn publish(engine: &MemoryEngine, subject: &str, number: u32) {
    engine.publish(Envelope::json(subject, &number).unwrap()).await.unwrap();
}

/// What is pending on a live subscription, and how much is missing.
fn pending(live: &mut tickbus::hosted::Deliveries) -> (Vec<u32>, u64) {
    let (mut all, mut missed) = (Vec::new(), 0);
    while let std::task::Poll::Ready(Some(next)) = live.try_next() {
        match next {
            Ok(delivery) => all.push(delivery.envelope().decode().unwrap().unwrap()),
            Err(gap) => missed += gap.missed.unwrap_or(0),
        }
    }
    (all, missed)
}

#[test]
fn the_buffer_and_the_delivery_mode_of_a_configuration_take_effect() {
    for (mode, kept) in [("drop", [1, 2]), ("drop_oldest", [3, 4])] {
        run(async {
            let engine = memory_engine(&format!("defaultEventBufferSize: 2, deliveryMode: {mode}"));
            let mut live = engine.subscribe(">").unwrap().open().await.unwrap();
            for number in 1..=4 {
                publish(&engine, "a", number).await;
            }
            let (all, _) = pending(&mut live);
            assert_eq!(all, kept, "{mode}");
            assert_eq!(engine.dropped().buffer_full, 2);
        });
    }
    run(async {
        let keys = "defaultEventBufferSize: 1, deliveryMode: timeout, publishBlockTimeout: 250ms";
        let engine = memory_engine(keys);
        let _live = engine.subscribe(">").unwrap().open().await.unwrap();
        publish(&engine, "a", 1).await;
        let before = tokio::time::Instant::now();
        publish(&engine, "a", 2).await;
        assert_eq!(before.elapsed(), Duration::from_millis(250));

        let engine = memory_engine("defaultEventBufferSize: 1, deliveryMode: block");
        let _live = engine.subscribe(">").unwrap().open().await.unwrap();
        publish(&engine, "a", 1).await;
        let wait = tokio::time::timeout(Duration::from_secs(9), publish(&engine, "a", 2)).await;
        assert!(wait.is_err(), "it waits for room");

        let keys = "defaultEventBufferSize: 1, deliveryMode: timeout, publishBlockTimeout: 0";
        let engine = memory_engine(keys);
        let _live = engine.subscribe(">").unwrap().open().await.unwrap();
        let before = tokio::time::Instant::now();
        publish(&engine, "a", 1).await;
        publish(&engine, "a", 2).await;
        assert_eq!((before.elapsed(), engine.dropped().buffer_full), (Duration::ZERO, 1));
    });
}

#[test]
fn the_time_to_live_of_a_configuration_takes_effect() {
    run(async {
        for (keys, left) in [("eventTTL: 10s", 0), ("eventTTL: 0", 1), ("", 1)] {
            let engine = memory_engine(keys);
            let mut live = engine.subscribe(">").unwrap().open().await.unwrap();
            publish(&engine, "a", 1).await;
            tokio::time::advance(Duration::from_secs(11)).await;
            assert_eq!(pending(&mut live).0.len(), left, "{keys}");
        }
    });
}

#[test]
fn the_history_of_a_configuration_takes_effect() {
    run(async {
        let day = Duration::from_secs(24 * 3600);
        let keys = "maxEventQueueSize: 2, maxHistoryEvents: 3, retentionDays: 1, eventTTL: 0";
        let engine = memory_engine(keys);
        for number in 1..=3 {
            publish(&engine, "a", number).await;
            publish(&engine, "b", number).await;
        }
        let kept = |pattern: &str| {
            let kept = engine.history(pattern).unwrap().all();
            kept.iter().map(|it| it.decode::<u32>().unwrap().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!((kept("b"), kept(">").len()), (vec![2, 3], 3));
        tokio::time::advance(day + Duration::from_secs(1)).await;
        assert_eq!(kept(">"), [0; 0]);

        let engine = memory_engine("retentionDays: 0");
        publish(&engine, "a", 1).await;
        assert!(engine.history(">").unwrap().all().is_empty());
        let engine = memory_engine("maxHistoryBytes: 1");
        publish(&engine, "a", 1).await;
        assert!(engine.history(">").unwrap().all().is_empty());
        let engine = memory_engine("");
        publish(&engine, "a", 1).await;
        assert_eq!(engine.history(">").unwrap().all().len(), 1, "it is on by default");
    });
}

/// With one place left in all, the subscription that is served first gets it.
#[test]
fn the_rotation_of_a_configuration_takes_effect() {
    run(async {
        for (keys, rotates) in [("", true), ("rotateSubscriberOrder: false", false)] {
            let engine = memory_engine(keys);
            let order = Arc::new(std::sync::Mutex::new(Vec::new()));
            let mut open = Vec::new();
            for name in ["first", "second"] {
                let order = order.clone();
                let mut live = engine.subscribe(">").unwrap().open().await.unwrap();
                open.push(tokio::spawn(async move {
                    while let Some(Ok(_)) = live.next().await {
                        order.lock().unwrap().push(name);
                    }
                }));
            }
            for number in 0..2 {
                tokio::task::yield_now().await;
                publish(&engine, "a", number).await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let order = order.lock().unwrap().clone();
            let fixed = ["first", "second", "first", "second"];
            assert_eq!(order != fixed, rotates, "{keys}: {order:?}");
            open.iter().for_each(tokio::task::JoinHandle::abort);
        }
    });
}

#[test]
fn an_event_broker_is_built_of_its_section() {
    let text =
        "event_broker: { instance_id: game-1, mode: sync, retry_policy: { max_retries: 0 } }";
    let loaded = config(text);
    let broker = loaded.broker().unwrap().builder().build().unwrap();
    assert_eq!(&*broker.stats().instance_id, "game-1");
    let policy = loaded.broker().unwrap().retry_policy.policy();
    assert_eq!((policy.retries(), policy.attempts()), (0, 1));

    let default = config("event_broker: {}");
    let policy = default.broker().unwrap().retry_policy.policy();
    assert_eq!(policy.delays().map(|it| it.as_secs()).collect::<Vec<_>>(), [1, 2, 4]);
    assert!(default.broker().unwrap().builder().build().is_ok(), "the host has a name");

    for provider in ["redis", "nats", "database"] {
        let named = config(&format!("event_broker: {{ provider: {provider} }}"));
        let error = named.broker().unwrap().builder().build().unwrap_err().to_string();
        let begin = format!("a broker with the provider `{provider}` needs what");
        assert!(error.starts_with(&begin), "{error}");
    }
}

// ---- The JSON schema ------------------------------------------------------------------------------

#[cfg(feature = "schema")]
mod schema {
    use serde_json::{Map, Value, json};

    use super::*;

    /// What is wrong with `value` by `schema`, for the words that the schema uses. A word that this
    /// does not know fails the test.
    fn faults(root: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
        if let Some(all) = schema.as_bool() {
            return if all { vec![] } else { vec![format!("{at}: nothing is valid here")] };
        }
        let schema = schema.as_object().expect("an object or a truth value");
        let mut found = Vec::new();
        let mut fault = |is_fault: bool, what: &str| {
            if is_fault {
                found.push(format!("{at}: {what}"));
            }
        };
        let is_valid = |schema: &Value| faults(root, schema, value, at).is_empty();
        let mut inner = Vec::new();
        for (word, said) in schema {
            match &**word {
                "title" | "description" | "default" | "format" | "$schema" | "$defs" | "then"
                | "else" => {}
                "$ref" => {
                    let pointer = said.as_str().unwrap().trim_start_matches('#');
                    let target = root.pointer(pointer).expect("the reference has a target");
                    inner.extend(faults(root, target, value, at));
                }
                "type" => {
                    let one = [said.clone()];
                    let kinds = said.as_array().map_or(&one[..], |kinds| kinds);
                    let is = kinds.iter().any(|kind| is_of(value, kind.as_str().unwrap()));
                    fault(!is, &format!("it is not {said}"));
                }
                "enum" => fault(!said.as_array().unwrap().contains(value), "it is none of these"),
                "const" => fault(said != value, &format!("it is not {said}")),
                "minimum" => {
                    let less = value.as_f64().is_some_and(|it| it < said.as_f64().unwrap());
                    fault(less, "it is too small");
                }
                "maximum" => {
                    let more = value.as_f64().is_some_and(|it| it > said.as_f64().unwrap());
                    fault(more, "it is too large");
                }
                "minLength" => {
                    let short = value.as_str().is_some_and(|it| it.len() < number(said));
                    fault(short, "it is too short");
                }
                "minItems" => {
                    let short = value.as_array().is_some_and(|it| it.len() < number(said));
                    fault(short, "it has too few");
                }
                "pattern" => {
                    let fits = |text: &str| fits(said.as_str().unwrap(), text);
                    fault(value.as_str().is_some_and(|text| !fits(text)), "it does not look so");
                }
                "items" => {
                    for (nth, one) in value.as_array().into_iter().flatten().enumerate() {
                        inner.extend(faults(root, said, one, &format!("{at}[{nth}]")));
                    }
                }
                "properties" => {
                    let said = said.as_object().unwrap();
                    for (key, one) in value.as_object().into_iter().flatten() {
                        if let Some(schema) = said.get(key) {
                            inner.extend(faults(root, schema, one, &format!("{at}.{key}")));
                        }
                    }
                }
                "additionalProperties" => {
                    assert_eq!(said, false);
                    let none = Map::new();
                    let known = schema.get("properties").and_then(Value::as_object);
                    let known = known.unwrap_or(&none);
                    let mut keys = value.as_object().into_iter().flat_map(Map::keys);
                    let unknown = keys.find(|key| !known.contains_key(*key));
                    fault(unknown.is_some(), &format!("there is no {unknown:?}"));
                }
                "required" => {
                    let has = |key: &Value| value.get(key.as_str().unwrap()).is_some();
                    let all = !value.is_object() || said.as_array().unwrap().iter().all(has);
                    fault(!all, &format!("{said} must be there"));
                }
                "anyOf" => {
                    fault(!said.as_array().unwrap().iter().any(is_valid), "it is none of these");
                }
                "allOf" => {
                    for one in said.as_array().unwrap() {
                        inner.extend(faults(root, one, value, at));
                    }
                }
                "if" => {
                    let branch = schema.get(if is_valid(said) { "then" } else { "else" });
                    if let Some(branch) = branch {
                        inner.extend(faults(root, branch, value, at));
                    }
                }
                other => panic!("{at}: the test does not know `{other}`"),
            }
        }
        found.extend(inner);
        found
    }

    fn number(said: &Value) -> usize {
        usize::try_from(said.as_u64().unwrap()).unwrap()
    }

    fn is_of(value: &Value, kind: &str) -> bool {
        match kind {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "null" => value.is_null(),
            "number" => value.is_number(),
            "integer" => value.is_i64() || value.is_u64(),
            other => panic!("{other}"),
        }
    }

    /// The three forms of patterns that the schema has.
    fn fits(pattern: &str, text: &str) -> bool {
        let is_variable = text.contains("${");
        match pattern {
            r"\$\{" => is_variable,
            _ if pattern.starts_with("^(") => {
                let is_span = !text.is_empty()
                    && text.starts_with(|c: char| c.is_ascii_digit())
                    && text.chars().all(|c| c.is_ascii_digit() || ".nuµmshd".contains(c));
                is_span || is_variable
            }
            _ => text == pattern.trim_start_matches('^').trim_end_matches('$'),
        }
    }

    fn check(text: &str) -> Vec<String> {
        let schema = Config::schema();
        let value: Value = serde_saphyr_to_json(text);
        faults(&schema, &schema, &value, "")
    }

    /// The same parser, without ours behind it.
    fn serde_saphyr_to_json(text: &str) -> Value {
        serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    #[test]
    fn the_documented_configurations_are_valid_by_the_schema() {
        for text in [LEGACY, SEVERAL, "engine: memory", "event_broker: {}", "eventbus: {}"] {
            assert_eq!(check(text), [""; 0], "{text}");
        }
        // Each documented default is one that may be written.
        assert_eq!(check("engine: memory\nworkerCount: ${WORKERS:-5}\neventTTL: 0"), [""; 0]);
        assert_eq!(
            check(&memory("rotateSubscriberOrder: '${YES}', deliveryMode: '${MODE}'")),
            [""; 0]
        );
    }

    #[test]
    fn what_is_not_a_configuration_is_not_valid_by_the_schema() {
        for text in [
            "eventbuss: {}",
            "engine: memory\nworkerCuont: 5",
            "engine: memory\nworkerCount: 0",
            "engine: memory\nworkerCount: '5'",
            "engine: memory\neventTTL: 5 parsecs",
            "engine: memory\nrotateSubscriberOrder: 1",
            "engine: memory\nretentionDays: ~",
            "engines: [{ name: a }]",
            "engines: [{ name: '', type: memory }]",
            "engines: [{ name: a, type: memory, color: red }]",
            "engines: [{ name: a, type: memory }]\nrouting: [{ topics: [], engine: a }]",
            "event_broker: { retry_policy: { max_retries: -1 } }",
            "event_broker: { provider: oracle }",
        ] {
            assert_ne!(check(text), [""; 0], "{text}");
            assert!(load(text).is_err(), "{text}");
        }
        for key in ["deliveryMode: dorp", "url: a", "workerCount: 0", "maxPayload: ~"] {
            assert_ne!(check(&memory(key)), [""; 0], "{key}");
        }
        // A type of the program has keys of its own.
        assert_eq!(check("engines: [{ name: a, type: mine, config: { color: red } }]"), [""; 0]);
    }

    /// Collects the keys of a document, and of the parts of a schema.
    fn keys(value: &Value, all: &mut std::collections::BTreeSet<String>) {
        match value {
            Value::Object(entries) => {
                for (key, value) in entries {
                    all.insert(key.clone());
                    keys(value, all);
                }
            }
            Value::Array(list) => list.iter().for_each(|value| keys(value, all)),
            _ => {}
        }
    }

    #[test]
    fn every_documented_key_has_a_description_in_the_schema() {
        let mut documented = std::collections::BTreeSet::new();
        for text in [LEGACY, SEVERAL] {
            keys(&serde_saphyr_to_json(text), &mut documented);
        }
        assert!(documented.len() >= 90, "{}", documented.len());
        let schema = Config::schema();
        let mut described = std::collections::BTreeSet::new();
        for definition in schema["$defs"].as_object().unwrap().values() {
            for (key, about) in definition["properties"].as_object().into_iter().flatten() {
                assert!(about.get("description").is_some(), "`{key}` has no description: {about}");
                described.insert(key.clone());
            }
        }
        let missing: Vec<_> = documented.difference(&described).collect();
        assert!(missing.is_empty(), "{missing:?}");
        // The defaults are those of the types.
        let memory = &schema["$defs"]["MemorySettings"]["properties"];
        let default = |key: &str| memory[key]["default"].clone();
        assert_eq!(default("workerCount"), 5);
        assert_eq!(default("eventTTL"), 3600);
        assert_eq!(default("retentionDays"), 7);
        assert_eq!(default("rotateSubscriberOrder"), true);
        assert_eq!(default("maxPayload"), json!(null));
    }

    #[test]
    fn the_schema_has_no_example_of_a_secret() {
        let schema = Config::schema();
        for definition in schema["$defs"].as_object().unwrap().values() {
            for (key, about) in definition["properties"].as_object().into_iter().flatten() {
                let is_secret =
                    ["assword", "oken", "nkey", "ecret"].iter().any(|it| key.contains(it));
                let shows = ["default", "examples", "const", "enum"];
                assert!(
                    !is_secret || shows.iter().all(|it| about.get(it).is_none()),
                    "{key}: {about}"
                );
            }
        }
    }
}

// ---- The router of a configuration ----------------------------------------------------------------

/// How many handlers of a subscription run at a time, and what is dropped, with 20 events.
async fn handled_at_once(
    router: &tickbus::hosted::Router,
    set: impl Fn(tickbus::hosted::Subscribe<'_>) -> tickbus::hosted::Subscribe<'_>,
) -> (usize, u64) {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    let running = Arc::new(AtomicUsize::new(0));
    let count = running.clone();
    let subscription = set(router.subscribe("job.*").unwrap());
    let workers = subscription
        .handle(move |_| {
            count.fetch_add(1, Relaxed);
            std::future::pending::<Result<(), BoxError>>()
        })
        .await
        .unwrap();
    for number in 0..20 {
        let job = Envelope::json("job.x", &number).unwrap().with_key(format!("{number}"));
        router.publish(job).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let dropped = workers.stats().dropped.queue_full;
    (running.load(Relaxed), dropped)
}

#[test]
fn the_workers_and_the_queue_of_a_configuration_take_effect() {
    run(async {
        for (keys, workers, dropped) in [
            ("workerCount: 3, maxEventQueueSize: 4", 3, 13),
            ("workerCount: 2, maxEventQueueSize: 1000", 2, 0),
            ("", 5, 0),
        ] {
            let router = Registry::new().router(&config(&memory(keys))).unwrap().build().unwrap();
            router.start().await.unwrap();
            let pooled = handled_at_once(&router, |it| it.pooled()).await;
            assert_eq!(pooled, (workers, dropped), "{keys}");
            let by_key = handled_at_once(&router, |it| it.by_key()).await;
            assert_eq!(by_key, (workers, dropped), "{keys}");
            let own = handled_at_once(&router, |it| it.workers(1).queue(6)).await;
            assert_eq!(own, (1, 13), "what the program says goes before the file");
            let in_order = handled_at_once(&router, |it| it).await;
            assert_eq!(in_order.0, 1, "in order is one at a time, whatever the file says");
        }
    });
}

#[test]
fn the_buffer_of_a_configuration_is_that_of_a_registered_type_too() {
    run(async {
        let registry = Registry::new().register("mine", |settings: &Settings| {
            Ok(MemoryEngine::builder().name(settings.name()).build())
        });
        let text = "engines: [{ name: a, type: mine, config: { defaultEventBufferSize: 3 } }]";
        let router = registry.router(&config(text)).unwrap().build().unwrap();
        router.start().await.unwrap();
        let mut live = router.subscribe(">").unwrap().open().await.unwrap();
        let mut wide = router.subscribe(">").unwrap().capacity(4).open().await.unwrap();
        for number in 0..5 {
            router.publish(Envelope::json("a", &number).unwrap()).await.unwrap();
        }
        assert_eq!(pending(&mut live).0.len(), 3);
        assert_eq!(pending(&mut wide).0.len(), 4);
    });
}

#[cfg(feature = "compression")]
#[test]
fn payloads_above_the_size_of_a_configuration_are_compressed() {
    run(async {
        let text =
            "engines: [{ name: a, type: memory, config: { maxPayload: 200, compressAbove: 100 } }]";
        let router = Registry::new().router(&config(text)).unwrap().build().unwrap();
        router.start().await.unwrap();
        let mut live = router.subscribe(">").unwrap().open().await.unwrap();
        let large = Envelope::json("a", &"x".repeat(1000)).unwrap();
        router.publish(large.clone()).await.unwrap();
        let received = live.next().await.unwrap().unwrap();
        assert_eq!(**received.envelope(), large);
    });
}

#[cfg(not(feature = "compression"))]
#[test]
fn a_key_of_a_missing_feature_is_an_error_with_its_place() {
    let config = config("engines:\n  - { name: a, type: memory, config: { compressAbove: 100 } }");
    let error = Registry::new().build(&config).unwrap_err();
    assert_eq!(
        error.to_string(),
        "bus.yaml:2:55: `engines[0].config.compressAbove`: \
         it needs the feature `compression` of tickbus",
    );
}

#[test]
fn a_router_of_a_configuration_routes_by_its_rules() {
    run(async {
        let text = "engines:\n  - { name: a, type: memory }\n  - { name: b, type: memory }\nrouting:\n  \
                    - { topics: ['user*'], engine: b, require: accepted }\n";
        let config = config(text);
        let router = Registry::new().router(&config).unwrap().build().unwrap();
        router.start().await.unwrap();
        for subject in ["user", "users.7", "user.created.twice", "use", "auth.user"] {
            let receipt = router.publish(Envelope::new(subject).unwrap()).await.unwrap();
            let by_file = config.engine_for(Subject::new(subject).unwrap()).unwrap();
            assert_eq!(&*receipt.engine, by_file, "{subject}");
            assert_eq!(by_file, if subject.starts_with("user") { "b" } else { "a" });
        }
    });
}

#[test]
fn a_rule_that_requires_too_much_is_an_error_with_its_place() {
    let text = "eventbus:\n  engines: [{ name: a, type: memory }]\n  routing:\n    - topics: ['*']\n      \
                engine: a\n      require: stored\n";
    let error = Registry::new().router(&config(text)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "bus.yaml:6:16: `eventbus.routing[0].require`: the engine `a` reaches `accepted` at most"
    );
    let none = Registry::new().router(&config("event_broker: {}")).unwrap_err();
    assert!(matches!(none.fault(), ConfigFault::NoEngine), "{none}");
}

#[test]
fn each_engine_says_what_its_start_does() {
    use tickbus::hosted::OnStart;
    let start = |text: &str| {
        config(&format!("engines: [{{ name: a, type: memory{text} }}]")).engines()[0].on_start()
    };
    assert_eq!(start(""), OnStart::Fail);
    assert_eq!(start(", onStart: fail"), OnStart::Fail);
    assert_eq!(start(", onStart: background"), OnStart::Background);
    assert_eq!(start(", onStart: 1m"), OnStart::Wait(Duration::from_secs(60)));
    assert_eq!(start(", onStart: 10"), OnStart::Wait(Duration::from_secs(10)));
    let wrong = "engines:\n  - name: a\n    type: memory\n    onStart: later\n";
    refused(wrong, "invalid", (4, 14), "engines[0].onStart");
    let all = "engines:\n  - name: _all\n    type: memory\n";
    refused(all, "invalid", (2, 11), "engines[0].name");
}

/// One meaning has one type, wherever it is said.
#[test]
fn a_configuration_and_an_engine_say_provision_alike() {
    let all = [ProvisionMode::Never, ProvisionMode::Check, ProvisionMode::Create];
    for (text, provision) in ["never", "check", "create"].into_iter().zip(all) {
        let said: tickbus::hosted::Provision = serde_json::from_value(text.into()).unwrap();
        assert_eq!(said, provision);
    }
    assert_eq!(tickbus::hosted::Provision::default(), ProvisionMode::Check);
    #[cfg(feature = "nats")]
    assert_eq!(tickbus::hosted::engines::nats::Provision::Check, ProvisionMode::Check);
    #[cfg(feature = "redis")]
    assert_eq!(tickbus::hosted::engines::redis::Provision::Check, ProvisionMode::Check);
    #[cfg(feature = "postgres")]
    assert_eq!(tickbus::hosted::engines::postgres::Provision::Check, ProvisionMode::Check);
    #[cfg(any(feature = "nats", feature = "redis", feature = "postgres"))]
    assert_eq!(tickbus::hosted::engines::Provision::Check, ProvisionMode::Check);
}
