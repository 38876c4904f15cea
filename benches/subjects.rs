//! Ratios of the subject bus over its peers, from interleaved rounds in one run.
//!
//! `cargo bench -p tickbus-benches --bench subjects` runs all, with `-- route` the rows whose name contains the
//! word. Each round runs every contender of a row once, in rotating order; every row tells the median of the rounds.
//! Every contender does the work and checks its result in every call.

extern crate alloc;

use alloc::sync::Arc;
use core::hint::black_box;
use core::time::Duration;
use std::collections::HashMap;
use std::env;
use std::sync::Mutex;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tickbus::{Envelope, Subject, SubjectBus, Subscription};

/// How long one contender runs in one round.
const SLICE: Duration = Duration::from_micros(500);

struct Row {
    name: String,
    /// Tickbus first. What must be reached against each peer, if anything.
    contenders: Vec<(&'static str, Option<f64>, Work)>,
}

/// Does the work so many times, and says how long it took.
type Work = Box<dyn FnMut(u64) -> Duration>;

/// Times `f`, which is given the number of the turn.
fn work(mut f: impl FnMut(u64) + 'static) -> Work {
    let mut turn = 0;
    Box::new(move |times| {
        let begin = Instant::now();
        for _ in 0..times {
            f(turn);
            turn += 1;
        }
        begin.elapsed()
    })
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let measured =
        arguments.iter().any(|it| it == "--bench") && !arguments.iter().any(|it| it == "--test");
    let rounds = if measured { 101 } else { 1 };
    let wanted = |name: &str| {
        let mut filters = arguments.iter().filter(|it| !it.starts_with("--")).peekable();
        filters.peek().is_none() || filters.any(|filter| name.contains(filter.as_str()))
    };
    println!("| row | figure | contender | ns | tickbus / contender | target | |");
    println!("|---|---|---|--:|--:|--:|---|");
    for row in rows().iter_mut().filter(|row| wanted(&row.name)) {
        measure(row, rounds);
    }
}

fn measure(row: &mut Row, rounds: usize) {
    let times: Vec<u64> = row.contenders.iter_mut().map(|(.., work)| fill(work, rounds)).collect();
    let mut figures = vec![Vec::new(); times.len()];
    for round in 0..rounds {
        for turn in 0..times.len() {
            let which = (round + turn) % times.len();
            let elapsed = row.contenders[which].2(times[which]);
            figures[which].push(elapsed.as_secs_f64() * 1e9 / times[which] as f64);
        }
    }
    let medians = figures.into_iter().map(|mut figures| {
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 2]
    });
    let medians: Vec<f64> = medians.collect();
    for ((name, target, _), median) in row.contenders.iter().zip(&medians) {
        let ratio = medians[0] / median;
        let verdict = match target {
            Some(target) if ratio <= *target => format!("{target} | met"),
            Some(target) => format!("{target} | MISSED"),
            None => "|".to_owned(),
        };
        println!("| {} | median | {name} | {median:.1} | {ratio:.2} | {verdict} |", row.name);
    }
}

/// How many times fill a slice; warms the contender up.
fn fill(work: &mut Work, rounds: usize) -> u64 {
    if rounds == 1 {
        return 1;
    }
    let mut times = 1;
    loop {
        let elapsed = work(times);
        if elapsed >= SLICE {
            return (times as f64 * SLICE.div_duration_f64(elapsed)).ceil() as u64;
        }
        times *= 2;
    }
}

fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for size in [10, 1_000, 10_000] {
        rows.push(route_repeated(size));
        rows.push(route_new(size));
    }
    rows.extend([publish(1), publish(8), encode(), decode()]);
    rows
}

// ---- Routes ------------------------------------------------------------------------------------

/// A third of the patterns each: a literal, one with `*`, one with `>`.
fn patterns(size: usize) -> impl Iterator<Item = String> {
    (0..size).map(|n| match n % 3 {
        0 => format!("player.{n}.hit"),
        1 => format!("player.{n}.*"),
        _ => format!("player.{n}.>"),
    })
}

fn subscribed(size: usize) -> (SubjectBus, Vec<Subscription>) {
    let bus = SubjectBus::new();
    let open = |pattern: String| bus.subscribe(&pattern).expect("valid").capacity(1).open();
    let subscriptions = patterns(size).map(open).collect();
    (bus, subscriptions)
}

fn route_repeated(size: usize) -> Row {
    const SUBJECT: &str = "player.7.hit"; // the eighth pattern, one with `*`
    let (bus, held) = subscribed(size);
    let fold: HashMap<Box<str>, Arc<[usize]>, foldhash::fast::RandomState> =
        (0..1000).map(|n| (format!("player.{n}.hit").into(), Arc::from([n]))).collect();
    let sip: HashMap<Box<str>, Arc<[usize]>> =
        fold.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    let subject = Subject::from_static(SUBJECT);
    let shared = Mutex::new(fold.clone());
    Row {
        name: format!("route a repeated subject, {size} subscriptions"),
        contenders: vec![
            (
                "tickbus",
                None,
                work(move |_| {
                    assert_eq!(bus.matching(black_box(subject)), 1);
                    black_box(&held);
                }),
            ),
            // Both may be asked from any thread.
            (
                "HashMap in a Mutex, foldhash",
                Some(1.3),
                work(move |_| {
                    let routes = shared.lock().expect("no thread panics");
                    assert_eq!(routes[black_box(SUBJECT)].len(), 1);
                }),
            ),
            (
                "HashMap of one thread, foldhash",
                Some(1.3),
                work(move |_| assert_eq!(fold[black_box(SUBJECT)].len(), 1)),
            ),
            (
                "HashMap of one thread, SipHash",
                None,
                work(move |_| assert_eq!(sip[black_box(SUBJECT)].len(), 1)),
            ),
        ],
    }
}

/// A tree of segments as one writes it down: no lock, no sharing, numbers instead of subscriptions.
#[derive(Default)]
struct Trie {
    named: HashMap<Box<str>, Self, foldhash::fast::RandomState>,
    any: Option<Box<Self>>,
    here: Vec<usize>,
    rest: Vec<usize>,
}

impl Trie {
    fn insert(&mut self, pattern: &str, which: usize) {
        let mut node = self;
        for segment in pattern.split('.') {
            node = match segment {
                ">" => return node.rest.push(which),
                "*" => node.any.get_or_insert_default(),
                name => node.named.entry(name.into()).or_default(),
            };
        }
        node.here.push(which);
    }

    fn find(&self, mut segments: core::str::Split<'_, char>, found: &mut Vec<usize>) {
        let Some(first) = segments.next() else {
            found.extend_from_slice(&self.here);
            return;
        };
        found.extend_from_slice(&self.rest);
        if let Some(node) = self.named.get(first) {
            node.find(segments.clone(), found);
        }
        if let Some(node) = &self.any {
            node.find(segments, found);
        }
    }
}

fn route_new(size: usize) -> Row {
    /// Far more than any cache here holds, so each is new again when its turn comes.
    const SUBJECTS: usize = 1 << 16;
    let subjects: Arc<[String]> =
        (0..SUBJECTS).map(|n| format!("player.{}.hit", n * 7919 % SUBJECTS)).collect();
    let matches = |subject: &str| {
        let number = subject.split('.').nth(1).expect("three segments");
        usize::from(number.parse::<usize>().expect("a number") % SUBJECTS < size)
    };
    let (bus, held) = subscribed(size);
    let mut trie = Trie::default();
    patterns(size).enumerate().for_each(|(which, pattern)| trie.insert(&pattern, which));
    let mut found = Vec::new();
    for text in &*subjects {
        let subject = Subject::new(text).expect("valid");
        assert_eq!(bus.matching(subject), matches(text));
        found.clear();
        trie.find(text.split('.'), &mut found);
        assert_eq!(found.len(), matches(text));
    }
    let (ours, texts) = (subjects.clone(), subjects);
    Row {
        name: format!("route subjects that never repeat, {size} subscriptions"),
        contenders: vec![
            (
                "tickbus",
                None,
                work(move |turn| {
                    let subject = Subject::new(&ours[turn as usize % SUBJECTS]).expect("valid");
                    black_box(bus.matching(subject));
                    black_box(&held);
                }),
            ),
            (
                "token trie",
                Some(1.0),
                work(move |turn| {
                    let subject = Subject::new(&texts[turn as usize % SUBJECTS]).expect("valid");
                    found.clear();
                    trie.find(subject.as_str().split('.'), &mut found);
                    black_box(&found);
                }),
            ),
        ],
    }
}

// ---- Publish and receive -----------------------------------------------------------------------

fn envelope() -> Arc<Envelope> {
    Arc::new(Envelope::json("player.7.hit", &(3, 12)).expect("valid"))
}

/// 32 envelopes to each subscription, then received: a tick.
const BURST: usize = 32;

fn publish(subscriptions: usize) -> Row {
    let sent = envelope();
    let bus = SubjectBus::new();
    let open = |_| bus.subscribe("player.*.hit").expect("valid").open();
    let ours: Vec<_> = (0..subscriptions).map(open).collect();
    let channels: Vec<_> =
        (0..subscriptions).map(|_| crossbeam_channel::bounded::<Arc<Envelope>>(64)).collect();
    let (sender, _) = tokio::sync::broadcast::channel::<Arc<Envelope>>(64);
    let mut receivers: Vec<_> = (0..subscriptions).map(|_| sender.subscribe()).collect();
    let (for_channels, for_tokio) = (sent.clone(), sent.clone());
    Row {
        name: format!("publish {BURST} to {subscriptions} and receive"),
        contenders: vec![
            (
                "tickbus",
                None,
                work(move |_| {
                    for _ in 0..BURST {
                        let published = bus.publish(black_box(sent.clone())).expect("open");
                        assert_eq!(published.enqueued, subscriptions);
                    }
                    let got: usize = ours.iter().map(|one| one.drain().count()).sum();
                    assert_eq!(got, BURST * subscriptions);
                }),
            ),
            (
                "crossbeam-channel each",
                Some(1.0),
                work(move |_| {
                    for _ in 0..BURST {
                        for (sender, _) in &channels {
                            sender.try_send(black_box(for_channels.clone())).expect("room");
                        }
                    }
                    let got: usize =
                        channels.iter().map(|(_, receiver)| receiver.try_iter().count()).sum();
                    assert_eq!(got, BURST * subscriptions);
                }),
            ),
            (
                "tokio broadcast",
                Some(1.0),
                work(move |_| {
                    for _ in 0..BURST {
                        let to = sender.send(black_box(for_tokio.clone())).expect("receivers");
                        assert_eq!(to, subscriptions);
                    }
                    let mut got = 0;
                    for receiver in &mut receivers {
                        while let Ok(envelope) = receiver.try_recv() {
                            black_box(envelope);
                            got += 1;
                        }
                    }
                    assert_eq!(got, BURST * subscriptions);
                }),
            ),
        ],
    }
}

// ---- JSON --------------------------------------------------------------------------------------

/// An envelope without rules: the time is any text.
#[derive(Serialize, Deserialize)]
struct Plain {
    id: String,
    subject: String,
    time: String,
    headers: alloc::collections::BTreeMap<String, String>,
    payload: Box<RawValue>,
}

fn full() -> Envelope {
    let payload = r#"{"by":3,"amount":12,"at":[1.5,2.5,3.5]}"#;
    let envelope = Envelope::new("player.7.hit").expect("valid");
    let envelope = envelope.header("tenant", "arena").header("match", "42");
    envelope.with_raw_payload(payload).expect("valid")
}

fn encode() -> Row {
    let ours = full();
    let json = ours.to_json();
    let plain: Plain = serde_json::from_str(&json).expect("the same members");
    assert_eq!(serde_json::to_string(&plain).expect("valid"), json);
    let length = json.len();
    Row {
        name: "an envelope to JSON".to_owned(),
        contenders: vec![
            ("tickbus", None, work(move |_| assert_eq!(black_box(&ours).to_json().len(), length))),
            (
                "serde_json, plain struct",
                Some(1.1),
                work(move |_| {
                    let json = serde_json::to_string(black_box(&plain)).expect("valid");
                    assert_eq!(json.len(), length);
                }),
            ),
        ],
    }
}

fn decode() -> Row {
    let json = full().to_json();
    let theirs = json.clone();
    Row {
        name: "an envelope from JSON".to_owned(),
        contenders: vec![
            (
                "tickbus",
                None,
                work(move |_| {
                    let envelope = Envelope::from_json(black_box(&*json)).expect("valid");
                    assert_eq!(envelope.headers().len(), 2);
                }),
            ),
            (
                "serde_json, plain struct",
                Some(1.1),
                work(move |_| {
                    let plain: Plain =
                        serde_json::from_slice(black_box(theirs.as_bytes())).expect("valid");
                    assert_eq!(plain.headers.len(), 2);
                }),
            ),
        ],
    }
}
