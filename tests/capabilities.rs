//! The table of capabilities in the docs is what the kits have proved.
//!
//! The kit of each engine writes a report. This test has the memory engine's, and reads the others. With
//! `REQUIRE_SERVERS=1` the whole table must be theirs; else the memory engine's column. With `RENEW=1` it
//! writes the table. `.ci/capabilities` runs the kits and renews it.
#![cfg(all(feature = "hosted", not(any(miri, tickbus_loom))))]

#[path = "servers/conformance.rs"]
#[expect(dead_code, reason = "there is no server here")]
mod conformance;

use core::fmt::Write;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tickbus::envelope::Timestamp;
use tickbus::hosted::conformance::{Setup, run};
use tickbus::hosted::{Capability, Clock, EngineFuture, MemoryEngine, StartError, TestClock};

const HEAD: &str = "\
<!-- Written by tests/capabilities.rs: `.ci/capabilities` renews it. -->
# What each engine can do

The conformance kit has tried each engine on a real server. ✔: the engine claims it, and the kit proved it. –: the
engine does not claim it, and refused a subscription that demands it. A number: the engine claims it, and the kit
could not prove it here, for the reason below the table.

";

/// What the kit found out about one engine.
struct Column {
    engine: String,
    server: String,
    report: Value,
}

struct Memory(TestClock);

const KEPT: u64 = 100;

impl Setup for Memory {
    type Engine = MemoryEngine;

    fn connect(&self) -> EngineFuture<'_, Result<MemoryEngine, StartError>> {
        let memory = MemoryEngine::builder().clock(self.0);
        EngineFuture::ready(Ok(memory.log(100).max_payload(2000).build()))
    }

    fn kept(&self) -> Option<u64> {
        Some(KEPT)
    }

    fn now(&self) -> Option<Timestamp> {
        Some(self.0.wall())
    }

    fn dead_letters(&self, engine: &MemoryEngine) -> Option<Vec<String>> {
        Some(engine.dead_letters().iter().map(|it| it.envelope.id().to_owned()).collect())
    }

    fn secrets(&self) -> Vec<String> {
        vec!["it has none".into()]
    }
}

fn memory() -> Column {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let report = runtime.enable_time().start_paused(true).build().unwrap().block_on(async {
        let clock = TestClock::new("2026-11-30T00:00:00Z".parse().unwrap());
        run(&Memory(clock)).await
    });
    assert!(report.is_proven(), "{report}");
    Column { engine: "memory".into(), server: "no server".into(), report: json!(report) }
}

/// The memory engine, and the others of this run by name.
fn columns() -> Vec<Column> {
    let mut columns = vec![memory()];
    let files = fs::read_dir(conformance::reports()).into_iter().flatten().flatten();
    let mut others: Vec<_> = files.map(|file| read(&file.path())).collect();
    others.sort_by_key(|it| it.engine.to_lowercase());
    columns.extend(others);
    columns
}

fn read(file: &Path) -> Column {
    let mut found: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let (engine, server) = (text(&found["engine"]), text(&found["server"]));
    Column { engine, server, report: found["report"].take() }
}

fn rows(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

/// Whether the kit or one of the engines has something to say of it.
fn is_of_use(columns: &[Column], mode: &str, capability: &str) -> bool {
    columns.iter().any(|column| {
        let needs = |row: &Value| {
            row["mode"] == mode && rows(&row["needs"]).iter().any(|need| need == capability)
        };
        rows(&column.report["rows"]).iter().any(needs)
            || claim(column, mode, capability)["claimed"] == true
    })
}

fn claim<'c>(column: &'c Column, mode: &str, capability: &str) -> &'c Value {
    let claims = rows(&column.report["claims"]);
    let is_it = |it: &&Value| it["mode"] == mode && it["capability"] == capability;
    claims.iter().find(is_it).expect("the kit says something of each capability")
}

/// The name of an engine, as a link to its page in the docs.
fn link(engine: &str) -> String {
    let module = engine.split(' ').next().unwrap_or_default().to_lowercase();
    let to = if module == "memory" { "super::MemoryEngine" } else { &module };
    format!("[{engine}]({to})")
}

fn table(columns: &[Column]) -> String {
    let mut text = HEAD.to_owned();
    let mut line = |first: &str, second: &str, cells: Vec<String>| {
        writeln!(text, "| {first} | {second} | {} |", cells.join(" | ")).unwrap();
    };
    line("", "", columns.iter().map(|it| link(&it.engine)).collect());
    line("---", "---", columns.iter().map(|_| "---".to_owned()).collect());
    let level = |it: &Column| it.report["level"].as_str().unwrap().to_owned();
    line("a publish", "is, on that server,", columns.iter().map(level).collect());
    let mut reasons: Vec<String> = Vec::new();
    for mode in ["live", "durable"] {
        for capability in Capability::ALL.map(Capability::name) {
            if !is_of_use(columns, mode, capability) {
                continue;
            }
            let cells = columns.iter().map(|column| {
                let claim = claim(column, mode, capability);
                match claim["outcome"].as_str().unwrap() {
                    "proven" => "✔".into(),
                    "refused" => "–".into(),
                    "skipped" => {
                        let why = claim["why"].as_str().unwrap().to_owned();
                        let known = reasons.iter().position(|reason| *reason == why);
                        let at = known.unwrap_or_else(|| {
                            reasons.push(why);
                            reasons.len() - 1
                        });
                        format!("({})", at + 1)
                    }
                    other => panic!("{} {mode} {capability}: {other}", column.engine),
                }
            });
            line(mode, &format!("`{capability}`"), cells.collect());
        }
    }
    text.push('\n');
    for (number, reason) in (1..).zip(&reasons) {
        writeln!(text, "- ({number}): {reason}.").unwrap();
    }
    if !reasons.is_empty() {
        text.push('\n');
    }
    text.push_str("It was tried on:\n");
    for column in columns {
        writeln!(text, "- {}: {}", column.engine, column.server).unwrap();
    }
    text
}

/// The mode, the capability and the cell of the memory engine, of each row. The numbers of reasons are those
/// of a whole table.
fn of_memory(text: &str) -> Vec<[&str; 3]> {
    let lines = text.lines().filter_map(|line| line.strip_prefix('|'));
    lines
        .map(|line| {
            let mut cells = line.split('|').map(str::trim);
            let mut next = || cells.next().expect("three columns and more");
            let (mode, capability, cell) = (next(), next(), next());
            [mode, capability, if cell.starts_with('(') { "(number)" } else { cell }]
        })
        .collect()
}

/// The table without the versions of servers: another machine may have others.
fn without_versions(text: &str) -> String {
    let (table, servers) = text.split_once("It was tried on:\n").expect("it names the servers");
    let is_version = |word: &&str| word.starts_with(|c: char| c.is_ascii_digit());
    let line = |line: &str| {
        let (engine, server) = line.split_once(": ").unwrap();
        let server: Vec<_> = server.split(' ').filter(|word| !is_version(word)).collect();
        format!("{engine}: {}\n", server.join(" "))
    };
    format!("{table}{}", servers.lines().map(line).collect::<String>())
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/hosted/engines/capabilities.md")
}

const STALE: &str =
    "the table of capabilities is not what the kits proved: `.ci/capabilities` renews it";

#[test]
fn the_table_is_what_the_kits_proved() {
    let is_set = |variable| env::var(variable).as_deref() == Ok("1");
    if is_set("RENEW") {
        fs::write(file(), table(&columns())).unwrap();
    }
    let committed = fs::read_to_string(file()).unwrap();
    if is_set("REQUIRE_SERVERS") {
        let proved = table(&columns());
        assert!(without_versions(&committed) == without_versions(&proved), "{STALE}\n\n{proved}");
    }
    // The reports of others may be there and old. Each row of memory is one of the committed ones.
    let (proved, committed) = (table(&[memory()]), of_memory(&committed));
    let missing = of_memory(&proved).into_iter().filter(|row| !committed.contains(row));
    let missing: Vec<_> = missing.collect();
    assert!(missing.is_empty(), "{STALE}\n\n{missing:?}");
}

#[test]
fn another_patch_version_of_a_server_is_no_other_table() {
    let column = |engine: &str, server: &str| Column {
        engine: engine.into(),
        server: server.into(),
        report: memory().report,
    };
    let tables = ["redis-server 7.0.15", "redis-server 7.2", "valkey-server 7.2"]
        .map(|server| table(&[column("memory", "no server"), column("Redis", server)]));
    assert!(tables[0] != tables[1]);
    let [one, two, other] = tables.map(|table| without_versions(&table));
    assert!(one == two && two != other, "{one}");
}

#[test]
fn the_table_says_what_is_proven_refused_and_not_provable() {
    let mut report = memory().report;
    for claim in report["claims"].as_array_mut().unwrap() {
        if claim["capability"] == "extend" {
            (claim["claimed"], claim["outcome"]) = (false.into(), "refused".into());
        }
        if claim["capability"] == "dead_letters" && claim["mode"] == "durable" {
            claim["outcome"] = "skipped".into();
            claim["why"] = "they are not shown".into();
        }
    }
    let text =
        table(&[memory(), Column { engine: "X on y".into(), server: "x 1.2".into(), report }]);
    let line = |start: &str| text.lines().find(|line| line.starts_with(start)).unwrap();
    assert_eq!(line("|  |"), "|  |  | [memory](super::MemoryEngine) | [X on y](x) |");
    assert_eq!(line("| durable | `extend` "), "| durable | `extend` | ✔ | – |");
    assert_eq!(line("| durable | `delay` "), "| durable | `delay` | ✔ | ✔ |");
    assert_eq!(line("| durable | `dead_letters` "), "| durable | `dead_letters` | ✔ | (2) |");
    assert_eq!(line("- (2)"), "- (2): they are not shown.");
    assert_eq!(line("- X"), "- X on y: x 1.2");
}
