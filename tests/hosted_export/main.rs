//! What exporters say of engines, and the spans of publishes and deliveries.
#![cfg(all(feature = "hosted", not(tickbus_loom)))]

extern crate alloc;

use alloc::sync::Arc;
use core::time::Duration;
use std::sync::Mutex;
use std::sync::mpsc;

use proptest::prelude::*;
use tickbus::hosted::EngineStats;
#[cfg(any(feature = "dogstatsd", feature = "metrics"))]
use tickbus::hosted::RetryPolicy;
#[cfg(any(feature = "dogstatsd", feature = "metrics"))]
use tickbus::hosted::broker::{Broker, BrokerMetrics, ProcessingMode};
#[cfg(any(feature = "dogstatsd", feature = "metrics"))]
use tickbus::hosted::export::BrokerPrometheus;
use tickbus::hosted::export::{ExportError, Exporter, Prometheus};
#[cfg(any(feature = "dogstatsd", feature = "metrics"))]
use tickbus::hosted::store::{EventRecord, EventSource, MemoryStore};

const SECOND: Duration = Duration::from_secs(1);

fn paused<F: Future>(future: F) -> F::Output {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    let future = async { tokio::time::timeout(1000 * SECOND, future).await };
    runtime.block_on(future).expect("it ends in time")
}

fn engine(name: &str, delivered: u64, dropped: u64) -> EngineStats {
    let mut stats = EngineStats::new(name.into());
    stats.handlers.handled = delivered;
    stats.handlers.dropped.queue_full = dropped;
    stats
}

/// The lines of the two numbers that dashboards of other buses know.
fn documented(text: &str) -> Vec<&str> {
    let is = |line: &&str| {
        !line.starts_with('#')
            && (line.contains("delivered_total") || line.contains("dropped_total"))
    };
    text.lines().filter(is).collect()
}

/// How many lines an engine that knows its lag has, and one that does not.
const LINES: usize = 26;
const LINES_WITHOUT_LAG: usize = LINES - 1;

/// What a broker has measured of three events, and what its page for Prometheus says, without buckets.
#[cfg(any(feature = "dogstatsd", feature = "metrics"))]
async fn measured() -> (BrokerMetrics, Vec<(String, String)>) {
    let broker = Broker::builder().store(Arc::new(MemoryStore::default()));
    let broker =
        broker.mode(ProcessingMode::Synchronous).retry(RetryPolicy::new(0)).build().unwrap();
    let handle = |record: Arc<EventRecord>| async move {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        if record.parts().2 == "delete" { Err("no") } else { Ok(()) }
    };
    broker.subscribe("*", handle).unwrap();
    broker.start().unwrap();
    for (source, operation) in [
        (EventSource::Database, "create"),
        (EventSource::Database, "delete"),
        (EventSource::System, "create|\n,c"),
    ] {
        let record = EventRecord::new(source, "public", "users", operation);
        let _ = broker.publish(record).await;
    }
    let metrics = broker.metrics();
    let page = BrokerPrometheus::new().text(&metrics);
    let is_sample = |line: &&str| !line.starts_with('#') && !line.contains("_bucket");
    let samples = page.lines().filter(is_sample).map(|line| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.strip_prefix("eventbroker_").unwrap().to_string(), value.to_string())
    });
    let samples = samples.collect();
    (metrics, samples)
}

// ---- Prometheus --------------------------------------------------------------------------------

#[test]
fn prometheus_text_has_the_numbers_of_each_engine_and_of_all() {
    let mut fleet = engine("fleet", 40, 1);
    fleet.handlers.failed = 2; // a handler ran, badly
    fleet.handlers.dead_lettered = 1;
    fleet.handlers.retried = 1;
    fleet.handlers.dropped.expired = 3;
    fleet.handlers.in_flight = 9; // neither yet
    fleet.handlers.received = 56;
    fleet.handlers.calls = 44;
    fleet.published.offered = 60;
    fleet.published.stored = 59;
    fleet.published.unknown = 1;
    fleet.lag = Some(11);
    fleet.without_handler = 5;
    let text = Prometheus::new().text(&[engine("fast", 7, 0), fleet]);
    assert_eq!(text, include_str!("../golden/prometheus.txt"));
}

#[test]
fn prometheus_text_has_help_and_type_before_the_lines_of_each_metric() {
    let text = Prometheus::new().text(&[engine("fast", 7, 0)]);
    let mut lines = text.lines().peekable();
    let mut seen = Vec::new();
    while let Some(help) = lines.next() {
        let (name, _) = help.strip_prefix("# HELP ").unwrap().split_once(' ').unwrap();
        let kind = lines.next().unwrap().strip_prefix(&format!("# TYPE {name} ")).unwrap();
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
        while lines.next_if(|line| line.starts_with(&format!("{name}{{"))).is_some() {}
        assert!(!seen.contains(&name), "{name} comes twice");
        seen.push(name);
    }
    assert_eq!(seen.len(), 16);
}

#[test]
fn prometheus_text_without_engines_has_the_sums() {
    let text = Prometheus::with_prefix("game").unwrap().text(&[]);
    let all = ["game_delivered_total{engine=\"_all\"} 0", "game_dropped_total{engine=\"_all\"} 0"];
    assert_eq!(documented(&text), all);
    assert!(text.lines().all(|line| line.starts_with('#') || line.contains("engine=\"_all\"")));
}

#[test]
fn a_series_comes_once_whatever_engines_are_called() {
    // Two of one name are one series. A sum among the engines is not counted again.
    let engines = [engine("a", 1, 0), engine("_all", 100, 100), engine("a", 2, 5)];
    let text = Prometheus::new().text(&engines);
    assert_eq!(
        documented(&text),
        [
            "modular_eventbus_delivered_total{engine=\"a\"} 3",
            "modular_eventbus_delivered_total{engine=\"_all\"} 3",
            "modular_eventbus_dropped_total{engine=\"a\"} 5",
            "modular_eventbus_dropped_total{engine=\"_all\"} 5",
        ]
    );
}

/// A sum that does not fit is the largest number, whatever the engines of the program count.
#[test]
fn a_sum_saturates() {
    let mut b = engine("b", u64::MAX, 3);
    (b.handlers.failed, b.lag) = (1, Some(u64::MAX));
    let mut a = engine("a", u64::MAX, u64::MAX);
    a.lag = Some(u64::MAX);
    let text = Prometheus::new().text(&[a, b]);
    for name in ["delivered_total", "dropped_total", "lag"] {
        let all = format!("modular_eventbus_{name}{{engine=\"_all\"}} {}\n", u64::MAX);
        assert!(text.contains(&all), "{name}");
    }
}

#[test]
fn label_values_are_escaped() {
    let text = Prometheus::new().text(&[engine("a\"} 1\nb\\", 1, 0)]);
    let line = text.lines().find(|line| line.contains("} 1")).unwrap();
    assert_eq!(line, r#"modular_eventbus_delivered_total{engine="a\"} 1\nb\\"} 1"#);
}

/// Reads a label's value as Prometheus does. Returns it, and what comes behind the quote.
fn label(text: &str) -> (String, &str) {
    let (mut value, mut chars) = (String::new(), text.char_indices());
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.push(match chars.next().unwrap().1 {
                'n' => '\n',
                c @ ('\\' | '"') => c,
                c => panic!("`\\{c}` is not an escape"),
            }),
            _ => value.push(c),
        }
    }
    panic!("no quote ends {text:?}")
}

proptest! {
    #[test]
    fn any_name_of_an_engine_can_be_read_back(name in any::<String>()) {
        prop_assume!(name != "_all");
        let text = Prometheus::new().text(&[engine(&name, 3, 4)]);
        // No name makes a line of its own.
        let ends = text.split_terminator('\n').filter(|line| !line.starts_with('#')).count();
        prop_assert_eq!(ends, 2 * LINES_WITHOUT_LAG);
        let values = text.split_terminator('\n').filter_map(|line| line.split_once("{engine=\""));
        let names: Vec<_> = values.map(|(_, rest)| label(rest)).collect();
        let expected = [(name.clone(), "} 3"), ("_all".into(), "} 3"), (name.clone(), "} 4"), ("_all".into(), "} 4")];
        prop_assert_eq!(&names[..4], expected);
        for pair in names.chunks(2) {
            prop_assert_eq!((&*pair[0].0, &*pair[1].0), (&*name, "_all"));
        }
    }
}

#[test]
fn a_prefix_is_the_beginning_of_a_name_of_prometheus() {
    for prefix in ["a", "_", "game", "Game_2", "modular_eventbus"] {
        assert!(Prometheus::with_prefix(prefix).is_ok(), "{prefix}");
    }
    for prefix in ["", "2game", "ga me", "ga-me", "ga.me", "ga:me", "spiel\u{fc}", "a\n", "a{"] {
        let error = Prometheus::with_prefix(prefix).unwrap_err();
        assert!(matches!(error, ExportError::Prefix { .. }), "{prefix}");
    }
    assert_eq!(
        Prometheus::with_prefix("ga-me\n").unwrap_err().to_string(),
        "`ga-me\\n` is not a prefix of metrics: letters of ASCII, digits and `_`, and not a digit first"
    );
}

// ---- Exporters of your own ---------------------------------------------------------------------

#[test]
fn an_exporter_of_your_own_polls_the_numbers_at_its_interval_and_at_the_end() {
    paused(async {
        let total = Arc::new(Mutex::new(0));
        let (send, exports) = mpsc::channel();
        let numbers = total.clone();
        let stats = move || vec![engine("fast", *numbers.lock().unwrap(), 0)];
        let export = move |engines: &[EngineStats]| {
            send.send(engines[0].handlers.delivered()).unwrap();
        };
        let exporter = Exporter::spawn(5 * SECOND, stats, export).unwrap();

        let exported = || exports.try_iter().collect::<Vec<_>>();
        tokio::time::sleep(SECOND * 49 / 10).await;
        assert_eq!(exported(), [0; 0]);
        tokio::time::sleep(SECOND).await;
        assert_eq!(exported(), [0]);
        *total.lock().unwrap() = 2;
        tokio::time::sleep(10 * SECOND).await;
        assert_eq!(exported(), [2, 2]);
        *total.lock().unwrap() = 3;
        exporter.close().await;
        assert_eq!(exported(), [3]);
        tokio::time::sleep(20 * SECOND).await;
        assert_eq!(exported(), [0; 0]);
    });
}

#[test]
fn an_exporter_that_is_dropped_exports_for_the_last_time() {
    paused(async {
        let (send, exports) = mpsc::channel();
        let export = move |_: &[EngineStats]| send.send(()).unwrap();
        let exporter = Exporter::spawn(Duration::MAX, Vec::new, export).unwrap();
        drop(exporter);
        tokio::time::sleep(SECOND).await;
        assert_eq!(exports.iter().count(), 1); // and the task has ended
    });
}

#[test]
fn an_exporter_needs_an_interval_and_a_runtime() {
    let error = Exporter::spawn(SECOND, Vec::new, |_| ()).unwrap_err();
    assert!(matches!(error, ExportError::NoRuntime));
    paused(async {
        let error = Exporter::spawn(Duration::ZERO, Vec::new, |_| ()).unwrap_err();
        assert_eq!(error.to_string(), "`interval` is not valid: it is 0");
    });
}

#[test]
#[should_panic(expected = "no numbers today")]
fn close_passes_on_a_panic_of_the_export() {
    paused(async {
        let exporter = Exporter::spawn(SECOND, Vec::new, |_| panic!("no numbers today")).unwrap();
        exporter.close().await;
    });
}

// ---- DogStatsD ---------------------------------------------------------------------------------

#[cfg(feature = "dogstatsd")]
mod dogstatsd {
    use std::net::UdpSocket;

    use tickbus::hosted::export::{DogStatsd, DogStatsdBuilder};

    use super::*;

    struct Agent(UdpSocket);

    impl Agent {
        fn new() -> (Self, DogStatsdBuilder) {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            // Loopback delivers before `send` returns: what is not there does not come.
            socket.set_nonblocking(true).unwrap();
            let address = socket.local_addr().unwrap().to_string();
            (Self(socket), DogStatsd::builder().address(&address))
        }

        fn packets(&self) -> Vec<String> {
            let mut bytes = vec![0; 1 << 16];
            let mut packets = Vec::new();
            while let Ok(length) = self.0.recv(&mut bytes) {
                packets.push(str::from_utf8(&bytes[..length]).unwrap().to_string());
            }
            packets
        }

        fn lines(&self) -> Vec<String> {
            let packets = self.packets();
            packets.iter().flat_map(|packet| packet.split('\n')).map(str::to_string).collect()
        }
    }

    #[test]
    fn the_defaults_are_those_of_the_documentation() {
        let text = format!("{:?}", DogStatsd::builder());
        assert_eq!(
            text,
            "DogStatsdBuilder { address: \"127.0.0.1:8125\", prefix: \"modular.eventbus.\", \
             interval: 5s, packet: 1432, per_engine: true, runtime_tasks: true, tags: \"\" }"
        );
    }

    #[test]
    fn gauges_are_sent_every_five_seconds_and_for_the_last_time_on_close() {
        paused(async {
            let (agent, builder) = Agent::new();
            let delivered = Arc::new(Mutex::new(1));
            let numbers = delivered.clone();
            let stats = move || vec![engine("fast", *numbers.lock().unwrap(), 2)];
            let exporter = builder.spawn(stats).unwrap();

            tokio::time::sleep(SECOND * 49 / 10).await;
            assert_eq!(agent.packets(), [""; 0]);
            tokio::time::sleep(SECOND).await;
            let lines = agent.lines();
            let expected = include_str!("../golden/dogstatsd.txt");
            assert_eq!(lines, expected.lines().collect::<Vec<_>>());

            *delivered.lock().unwrap() = u64::MAX;
            exporter.close().await;
            let lines = agent.lines();
            let last = "modular.eventbus.delivered_total:18446744073709551615|g|#engine:fast";
            assert_eq!((lines.len(), &*lines[0]), (2 * LINES_WITHOUT_LAG + 1, last));
            tokio::time::sleep(20 * SECOND).await;
            assert_eq!(agent.packets(), [""; 0]);
        });
    }

    #[test]
    fn packets_have_at_most_the_bytes_that_fit_and_no_line_is_cut() {
        for packet in (110..300).step_by(7).chain([1432, 8000]) {
            let (agent, builder) = Agent::new();
            let sender = builder.max_packet(packet).runtime_tasks(false).build().unwrap();
            let names: Vec<_> = (0..8).map(|number| format!("engine-{number}")).collect();
            let engines: Vec<_> = names.iter().map(|name| engine(name, 12, 3)).collect();
            sender.send(&engines).unwrap();

            let packets = agent.packets();
            let lines: Vec<_> = packets.iter().flat_map(|packet| packet.split('\n')).collect();
            assert_eq!(lines.len(), 9 * LINES_WITHOUT_LAG);
            for (name, lines) in names.iter().zip(lines.chunks(LINES_WITHOUT_LAG)) {
                let delivered = format!("modular.eventbus.delivered_total:12|g|#engine:{name}");
                let dropped = format!("modular.eventbus.dropped_total:3|g|#engine:{name}");
                assert_eq!(lines[..2], [delivered, dropped]);
                let by_reason = "modular.eventbus.dropped_by_reason_total:3|g";
                assert!(lines.contains(&&*format!("{by_reason}|#engine:{name},reason:queue_full")));
            }
            assert!(packets.iter().all(|bytes| bytes.len() <= packet));
            // As many as fit: with the first line of the next one it would be too long.
            for pair in packets.windows(2) {
                let next = pair[1].split('\n').next().unwrap();
                assert!(pair[0].len() + 1 + next.len() > packet);
            }
        }
    }

    #[test]
    fn without_engines_of_their_own_there_are_only_the_sums() {
        let (agent, builder) = Agent::new();
        let sender = builder.per_engine(false).build().unwrap();
        sender.send(&[engine("a", 1, 2), engine("b", 3, 4)]).unwrap(); // in no runtime: no tasks
        let sums = [
            "modular.eventbus.delivered_total:4|g|#engine:_all",
            "modular.eventbus.dropped_total:6|g|#engine:_all",
        ];
        let lines = agent.lines();
        assert_eq!((lines.len(), &lines[..2]), (LINES_WITHOUT_LAG, &sums.map(str::to_string)[..]));
    }

    #[test]
    fn prefix_and_tags_are_on_each_line() {
        paused(async {
            let (agent, builder) = Agent::new();
            let sender = builder.prefix("game").tag("env:test").tag("a,b|c\nd").build().unwrap();
            sender.send(&[]).unwrap();
            let lines = agent.lines();
            assert_eq!(lines[0], "game.delivered_total:0|g|#env:test,a_b_c_d,engine:_all");
            assert_eq!(lines.last().unwrap(), "game.runtime.tasks:0|g|#env:test,a_b_c_d");
            let (last, of_engines) = lines.split_last().unwrap();
            assert!(of_engines.iter().all(|it| it.contains("|g|#env:test,a_b_c_d,engine:_all")));
            assert!(last.starts_with("game."));
        });
    }

    #[test]
    fn no_name_of_an_engine_makes_a_line_or_a_tag_of_its_own() {
        let (agent, builder) = Agent::new();
        let sender = builder.build().unwrap();
        sender.send(&[engine("a\nb:1|c,x:y|#z", 1, 0)]).unwrap();
        let lines = agent.lines();
        assert_eq!(lines.len(), 2 * LINES_WITHOUT_LAG);
        assert_eq!(lines[0], "modular.eventbus.delivered_total:1|g|#engine:a_b:1_c_x:y_#z");
    }

    #[test]
    fn a_line_that_does_not_fit_is_an_error_and_the_others_are_sent() {
        let (agent, builder) = Agent::new();
        let sender = builder.build().unwrap();
        let error = sender.send(&[engine(&"x".repeat(1432), 1, 0), engine("b", 1, 0)]).unwrap_err();
        assert_eq!(error.to_string(), "a line does not fit into a packet");
        let packets = agent.packets();
        assert!(packets.iter().all(|packet| packet.len() <= 1432));
        let lines = packets.iter().map(|packet| packet.split('\n').count()).sum::<usize>();
        assert_eq!(lines, 2 * LINES_WITHOUT_LAG);
    }

    #[test]
    fn the_gauges_of_a_broker_are_the_numbers_of_its_page_for_prometheus() {
        paused(async {
            let (agent, builder) = Agent::new();
            let sender = builder.prefix("eventbroker").tag("env:test").build().unwrap();
            let (metrics, samples) = measured().await;
            sender.send_broker(&metrics).unwrap();
            let expected = samples.iter().map(|(name, value)| {
                let (name, labels) = name.split_once('{').unwrap_or((name, ""));
                // No text ends a tag or a line.
                let labels = labels.trim_end_matches('}').replace("|\\n,", "___");
                let labels = labels.replace("=\"", ":").replace('"', "");
                let tags = if labels.is_empty() { "" } else { "," };
                format!("eventbroker.{name}:{value}|g|#env:test{tags}{labels}")
            });
            let (mut lines, mut expected) = (agent.lines(), expected.collect::<Vec<_>>());
            lines.sort();
            expected.sort();
            assert_eq!(lines, expected);
            assert!(lines.iter().any(|line| line.contains("_seconds_sum:1.5|g|")));
            assert_eq!(lines.len(), 5 * 3 + 1);
        });
    }

    #[test]
    fn a_setting_out_of_range_is_an_error() {
        let error = |builder: DogStatsdBuilder| builder.build().unwrap_err();
        for prefix in ["", "2a", "a b", "a-b", "a..b", "a:b", ".a", "\u{fc}"] {
            let error = error(DogStatsd::builder().prefix(prefix));
            assert!(matches!(error, ExportError::Prefix { .. }), "{prefix}");
        }
        for packet in [0, 95, 65_508] {
            let error = error(DogStatsd::builder().max_packet(packet));
            assert!(matches!(error, ExportError::Setting { setting: "max_packet", .. }));
        }
        for packet in [96, 65_507] {
            DogStatsd::builder().max_packet(packet).build().unwrap();
        }
        for address in ["", "127.0.0.1", "127.0.0.1:x"] {
            let error = error(DogStatsd::builder().address(address));
            assert!(matches!(error, ExportError::Address { .. }), "{address}");
        }
        let error = DogStatsd::builder().interval(Duration::ZERO).spawn(Vec::new).unwrap_err();
        assert!(matches!(error, ExportError::Setting { setting: "interval", .. }));
    }
}

// ---- The crate metrics -------------------------------------------------------------------------

#[cfg(feature = "metrics")]
mod facade {
    use alloc::collections::BTreeMap;
    use core::sync::atomic::{AtomicU64, Ordering};

    use metrics::{
        Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    };
    use tickbus::hosted::export::MetricsFacade;

    use super::*;

    #[derive(Default)]
    struct Counters {
        counters: Mutex<BTreeMap<String, Arc<AtomicU64>>>,
        described: Mutex<Vec<(String, Option<Unit>)>>,
        registered: AtomicU64,
    }

    impl Recorder for Counters {
        fn describe_counter(&self, key: KeyName, unit: Option<Unit>, _: SharedString) {
            self.described.lock().unwrap().push((key.as_str().to_string(), unit));
        }
        fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, _: SharedString) {
            self.described.lock().unwrap().push((format!("gauge {}", key.as_str()), unit));
        }
        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {
            unreachable!("there are no histograms")
        }
        fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
            Counter::from_arc(self.register(key))
        }
        fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
            Gauge::from_arc(self.register(key))
        }
        fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
            unreachable!("there are no histograms")
        }
    }

    impl Counters {
        fn register(&self, key: &Key) -> Arc<AtomicU64> {
            self.registered.fetch_add(1, Ordering::Relaxed);
            let labels: Vec<_> =
                key.labels().map(|l| format!("{}={}", l.key(), l.value())).collect();
            let name = format!("{} {}", key.name(), labels.join(","));
            self.counters.lock().unwrap().entry(name).or_default().clone()
        }

        /// Those of the two numbers that dashboards of other buses know.
        fn documented(&self) -> Vec<(String, u64)> {
            let is =
                |name: &str| name.contains("_delivered_total ") || name.contains("_dropped_total ");
            self.values().into_iter().filter(|(name, _)| is(name)).collect()
        }

        fn values(&self) -> Vec<(String, u64)> {
            let counters = self.counters.lock().unwrap();
            counters.iter().map(|(k, v)| (k.clone(), v.load(Ordering::Relaxed))).collect()
        }
    }

    #[test]
    fn the_recorder_has_the_numbers_of_each_engine_and_of_all() {
        let recorder = Counters::default();
        metrics::with_local_recorder(&recorder, || {
            let mut facade = MetricsFacade::with_prefix("game").unwrap();
            facade.record(&[engine("fast", 1, 2)]);
            let mut fast = engine("fast", 5, 2);
            fast.lag = Some(3);
            facade.record(&[fast, engine("fleet", 10, 1)]);
        });
        let all = recorder.values();
        let value = |name: &str| all.iter().find(|(it, _)| it == name).expect("it is there").1;
        assert_eq!(value("game_dropped_by_reason_total engine=fast,reason=queue_full"), 2);
        assert_eq!(value("game_handled_total engine=_all"), 15);
        assert_eq!(f64::from_bits(value("game_lag engine=fast")), 3.0);
        let values = recorder.documented();
        let values: Vec<_> = values.iter().map(|(name, value)| (&**name, *value)).collect();
        assert_eq!(
            values,
            [
                ("game_delivered_total engine=_all", 15),
                ("game_delivered_total engine=fast", 5),
                ("game_delivered_total engine=fleet", 10),
                ("game_dropped_total engine=_all", 3),
                ("game_dropped_total engine=fast", 2),
                ("game_dropped_total engine=fleet", 1),
            ]
        );
        // Each handle is kept.
        assert_eq!(recorder.registered.load(Ordering::Relaxed), 3 * LINES as u64);
        let described = recorder.described.lock().unwrap();
        let names: Vec<_> = described.iter().map(|(name, unit)| (&**name, *unit)).collect();
        let count = Some(Unit::Count);
        assert_eq!(names[..2], [("game_delivered_total", count), ("game_dropped_total", count)]);
        assert_eq!(names[14..], [("gauge game_in_flight", count), ("gauge game_lag", count)]);
    }

    #[test]
    fn the_metrics_of_a_broker_are_the_numbers_of_its_page_for_prometheus() {
        let (metrics, samples) = paused(measured());
        let recorder = Counters::default();
        let facade = MetricsFacade::with_prefix("eventbroker").unwrap();
        metrics::with_local_recorder(&recorder, || facade.record_broker(&metrics));
        let values = recorder.values();
        assert_eq!(values.len(), samples.len());
        let sums = |text: &str| text.contains("_seconds_sum");
        let total = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>();
        let counted = values.iter().filter(|(name, _)| !sums(name)).map(|(_, it)| *it as f64);
        let shown = samples.iter().filter(|(name, _)| !sums(name));
        let shown = shown.map(|(_, value)| value.parse::<f64>().unwrap());
        assert_eq!(total(&mut counted.into_iter()), total(&mut shown.into_iter()));
        let completed: Vec<_> =
            values.iter().filter(|(name, _)| name.contains("status=completed")).collect();
        assert_eq!(completed.len(), 3);
        // A gauge of the recorder is the bits of its number.
        let spent = values.iter().filter(|(name, _)| sums(name)).map(|(_, it)| f64::from_bits(*it));
        assert_eq!(spent.sum::<f64>(), 4.5);
        let described = recorder.described.lock().unwrap();
        let names: Vec<_> = described.iter().map(|(name, _)| &**name).collect();
        assert_eq!(
            names,
            [
                "eventbroker_events_published_total",
                "eventbroker_events_processed_total",
                "eventbroker_event_processing_duration_seconds_count",
                "gauge eventbroker_event_processing_duration_seconds_sum",
                "gauge eventbroker_queue_size",
            ]
        );
    }

    #[test]
    fn a_prefix_of_the_facade_is_one_of_prometheus() {
        assert!(matches!(MetricsFacade::with_prefix("a b"), Err(ExportError::Prefix { .. })));
        let recorder = Counters::default();
        metrics::with_local_recorder(&recorder, || MetricsFacade::new().record(&[]));
        assert_eq!(recorder.documented()[0].0, "modular_eventbus_delivered_total engine=_all");
    }
}

// ---- Spans -------------------------------------------------------------------------------------

#[cfg(feature = "opentelemetry")]
mod spans;
