//! The example `orders`: each order has a record, what has failed can be replayed after a fix, and a bad
//! line is reported with its number and loses nothing else.
#![cfg(all(feature = "hosted", not(any(miri, tickbus_loom))))]

mod watch;

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::{env, thread};

use watch::watchdog;

/// What a run printed, and its exit code.
#[derive(Debug, PartialEq)]
struct Ended {
    code: Option<i32>,
    output: String,
    errors: String,
}

fn order(id: &str, item: &str) -> String {
    format!("{{\"id\":\"{id}\",\"item\":\"{item}\",\"quantity\":2}}\n")
}

#[test]
fn the_sample_shows_retries_a_failure_a_fix_and_a_replay() {
    let _watched = watchdog();
    let sample = run("", &["--sample"]);
    let expected = r#"> {"id": "A-1", "item": "lamp", "quantity": 2}
> {"id": "A-2", "item": "chair", "quantity": 4, "country": "SE"}
> {"id": "A-3", "item": "sofa", "quantity": 1}
> {"id": "A-4", "item": "desk", "quantity": 1}
> {"id": "A-5", "item": "sofa", "quantity": 2, "country": "FR"}
> failed
2 failed
  A-3: `sofa` has no price (after 4 attempts)
  A-5: `sofa` has no price (after 4 attempts)
> fix sofa 89900
sofa costs 899.00
> replay
replayed 2: 2 completed, 0 failed
order  item   quantity  country  status     tries  what
A-1    lamp   2         DE       completed  1
A-2    chair  4         SE       completed  3
A-3    sofa   1         DE       completed  1      replayed once
A-4    desk   1         DE       completed  1
A-5    sofa   2         FR       completed  3      replayed once
5 orders: 5 completed, 0 failed; takings 3060.00
"#;
    assert_eq!(sample, Ended { code: Some(0), output: expected.into(), errors: "".into() });
}

#[test]
fn a_bad_line_is_reported_with_its_number_and_loses_nothing_else() {
    let _watched = watchdog();
    let mut lines = Vec::new();
    let bad: &[(&[u8], &str)] = &[
        (br#"{"id":"B","item":"lamp","quantity":}"#, "column 36: expected value"),
        (
            br#"{"id":"B","item":"lamp","quantity":-1}"#,
            "column 37: invalid value: integer `-1`, expected u32",
        ),
        (br#"{"id":"B","item":"lamp","quantity":0}"#, "`quantity` is 0"),
        (br#"{"id":"B","item":"lamp"}"#, "column 24: missing field `quantity`"),
        (
            br#"{"id":"B C","item":"lamp","quantity":1}"#,
            "`id` is `B C`: it needs 1 to 40 characters without white space",
        ),
        (
            br#"{"id":"B","item":"\u001b[2J","quantity":1}"#,
            r"`item` is `\u{1b}[2J`: it needs 1 to 40 characters without white space",
        ),
        (br#"{"id":"A-0","item":"lamp","quantity":1}"#, "there is an order `A-0` already"),
        (b"caf\xe9", "it is not UTF-8: see byte 4"),
        (&[b'{'; 70_000], "it has more than 65536 bytes"),
        (&[b'{'; 65_536], "column 2: key must be a string"),
        (b"oops", "`oops` is not an order, which is an object of JSON, nor a command: see `help`"),
        (b"fix sofa", "`fix` needs an item and its price in cents: `fix sofa 89900`"),
        (b"fix sofa 1.50", "`1.50` is not a price in cents, such as 1999"),
        (b"replay B", "there is no order `B`"),
        (b"replay A-0", "`A-0` is completed already"),
    ];
    let mut errors = String::new();
    for (at, (line, why)) in bad.iter().enumerate() {
        lines.extend(order(&format!("A-{at}"), "lamp").into_bytes());
        lines.extend(*line);
        lines.push(b'\n');
        errors += &format!("line {}: {why}\n", 2 * at + 2);
    }
    lines.extend(b"\r\n \n"); // nothing
    lines.extend(order("last", "lamp").trim_end().as_bytes());
    let ended = run(lines, &[]);
    assert_eq!((ended.code, &*ended.errors), (Some(1), &*errors));
    let sum = "16 orders: 16 completed, 0 failed; takings 608.00\n";
    assert!(ended.output.ends_with(sum), "{}", ended.output);
}

#[test]
fn what_stays_failed_is_exit_code_1() {
    let _watched = watchdog();
    let ended = run(order("A-1", "sofa") + &order("A-2", "desk"), &[]);
    let expected = "\
order  item  quantity  country  status     tries  what
A-1    sofa  2         DE       failed     4      `sofa` has no price (after 4 attempts)
A-2    desk  2         DE       completed  1
2 orders: 1 completed, 1 failed; takings 258.00
";
    assert_eq!(ended, Ended { code: Some(1), output: expected.into(), errors: "".into() });
    let replayed = order("A-1", "sofa") + "replay\nfix sofa 1\nreplay A-1\n";
    let replayed = run(replayed, &[]);
    assert_eq!(replayed.code, Some(0));
    assert!(replayed.output.contains("replayed 1: 0 completed, 1 failed\n"), "{replayed:?}");
    assert!(replayed.output.contains("completed  1      replayed several times\n"), "{replayed:?}");
    let nothing = run("", &[]);
    let sum = "0 orders: 0 completed, 0 failed; takings 0.00\n";
    assert_eq!(nothing, Ended { code: Some(0), output: sum.into(), errors: "".into() });
}

/// More than fit into the queue, of which a third fails at first: each run is the same.
#[test]
fn many_orders_end_the_same_each_time() {
    let _watched = watchdog();
    let items = ["lamp", "sofa", "desk"];
    let orders = (0..1500).map(|at| order(&at.to_string(), items[at % 3])).collect::<String>();
    let lines = orders + "fix sofa 5\nreplay\n";
    let ended = run(lines.clone(), &[]);
    let all = ended.output.contains("\nreplayed 500: 500 completed, 0 failed\n");
    assert!(all && ended.code == Some(0), "{ended:?}");
    assert_eq!(run(lines, &[]), ended);
}

#[test]
fn bad_arguments_are_exit_code_2() {
    let _watched = watchdog();
    let mut wrong = vec![
        (vec!["--rush"], "unknown argument `--rush`"),
        (vec!["--postgres"], "`--postgres` needs a URL"),
    ];
    if !cfg!(feature = "postgres") {
        let why = "this build has no Postgres: run it with `--features hosted,postgres`";
        wrong.push((vec!["--postgres", "postgres://a:secret@127.0.0.1/b"], why));
    }
    for (arguments, why) in wrong {
        let errors = format!("{why}\nusage: orders [--sample] [--postgres URL]; see `--help`\n");
        assert_eq!(run("", &arguments), Ended { code: Some(2), output: "".into(), errors });
    }
    let help = run("", &["--help"]);
    assert_eq!((help.code, &*help.errors), (Some(0), ""));
    for told in ["--sample", "--postgres", "fix ITEM CENTS", "replay [ID]", "exit code"] {
        assert!(help.output.contains(told), "{told}: {}", help.output);
    }
}

/// What is wrong with the database is said, without the password.
#[cfg(feature = "postgres")]
#[test]
fn a_database_that_is_not_there_is_exit_code_1() {
    let _watched = watchdog();
    for (url, why) in [
        ("postgres://shop:wordof@127.0.0.1:1/b?connect_timeout=1", "there is no connection to"),
        ("postgres://shop:wordof@127.0.0.1:port/b", "is not the URL of a Postgres database"),
        ("postgres://shop:word@of@127.0.0.1:1/b", "write it as `%40`"),
        ("postgres://shop:wordof@", "names no host"),
        ("", "names no host"),
    ] {
        let ended = run(order("A-1", "lamp"), &["--postgres", url]);
        assert!(ended.code == Some(1) && ended.output.is_empty(), "{url}: {ended:?}");
        assert!(ended.errors.contains(why), "{url}: {ended:?}");
        assert!(!ended.errors.contains("wordof") && !ended.errors.contains("of@"), "{ended:?}");
    }
}

/// As `| head -1` does: the orders are handled, and the exit code says it.
#[test]
fn a_reader_that_goes_away_stops_nothing() {
    let _watched = watchdog();
    for (item, code) in [("lamp", 0), ("sofa", 1)] {
        let lines = (0..300).map(|at| order(&at.to_string(), item)).collect::<String>();
        let mut child = start(&[]);
        drop(child.stdout.take());
        child.stdin.take().expect("it is piped").write_all(lines.as_bytes()).unwrap();
        let mut errors = String::new();
        child.stderr.take().expect("it is piped").read_to_string(&mut errors).unwrap();
        assert_eq!((child.wait().unwrap().code(), &*errors), (Some(code), ""));
    }
}

/// Ctrl-C while it waits for a line: what was taken is handled and shown.
#[cfg(unix)]
#[test]
fn an_interrupt_ends_with_the_table() {
    use std::io::{BufRead, BufReader};

    let _watched = watchdog();
    let mut child = start(&[]);
    let mut input = child.stdin.take().expect("it is piped");
    let mut output = BufReader::new(child.stdout.take().expect("it is piped"));
    input.write_all((order("A-1", "lamp") + "table\n").as_bytes()).unwrap();
    let mut shown = String::new();
    while !shown.ends_with("takings 38.00\n") {
        output.read_line(&mut shown).unwrap();
    }
    input.write_all(order("A-2", "lamp").as_bytes()).unwrap();
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.unwrap().success());
    let (mut table, mut errors) = (String::new(), String::new());
    output.read_to_string(&mut table).unwrap();
    child.stderr.take().expect("it is piped").read_to_string(&mut errors).unwrap();
    assert_eq!(errors, "interrupted: no more lines are taken\n");
    assert!(table.contains("A-1    lamp  2         DE       completed  1\n"), "{table}");
    assert_eq!(child.wait().unwrap().code(), Some(1));
    drop(input);
}

// ---- Running it --------------------------------------------------------------------------------

fn run(lines: impl AsRef<[u8]>, arguments: &[&str]) -> Ended {
    let mut child = start(arguments);
    let mut input = child.stdin.take().expect("it is piped");
    let lines = lines.as_ref().to_vec();
    // It may print before it has read everything.
    let writer = thread::spawn(move || drop(input.write_all(&lines)));
    let output = child.wait_with_output().expect("it ends");
    writer.join().unwrap();
    let text = |bytes| String::from_utf8(bytes).expect("it prints text");
    Ended { code: output.status.code(), output: text(output.stdout), errors: text(output.stderr) }
}

fn start(arguments: &[&str]) -> Child {
    let mut command = Command::new(program());
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("it starts")
}

/// The example's program. `cargo test` builds it before it runs the tests; `--test` alone does not,
/// so it is built here if it is missing.
fn program() -> &'static PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let test = env::current_exe().expect("the test has a path");
        let profile = test.ancestors().nth(2).expect("it lies in <profile>/deps");
        let program = profile.join("examples").join(format!("orders{}", env::consts::EXE_SUFFIX));
        if !program.exists() {
            build(profile);
        }
        program
    })
}

fn build(profile: &Path) {
    let mut cargo = Command::new(env!("CARGO"));
    let features = if cfg!(feature = "postgres") { "hosted,postgres" } else { "hosted" };
    cargo.args(["build", "--quiet", "--example", "orders", "--features", features]);
    cargo.args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")]);
    cargo.arg("--target-dir").arg(profile.parent().expect("a profile has a folder"));
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    assert!(cargo.status().expect("cargo runs").success(), "the example does not build");
}
