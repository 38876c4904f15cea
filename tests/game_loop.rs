//! The game from a pipe: same keys, same end; nothing lost without a count; clear answers to bad
//! arguments.
#![cfg(not(any(miri, tickbus_loom)))]

use std::env;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

/// Flies to the left while shooting, pauses, presses two keys that mean nothing, flies back.
fn keys() -> String {
    format!("{}x{}?{}", "a    ".repeat(40), ".\n".repeat(100), "   d".repeat(150))
}

#[test]
fn the_same_keys_end_in_exactly_this_state() {
    let expected = "\
ticks 1003
keys 802, of them unknown 2 \"x?\"
score 30, level 1, lives 1
ship at 76,15, course 1,0
rocks 6, gems 0, shots 3, bolts 1, sparks 0, wind 4
refused 0
published 843 = handled 843 + dropped 0 + pending 0
";
    assert_eq!(state(&keys(), &[]), expected);
    assert_eq!(state(&keys(), &[]), expected, "the second time");
}

#[test]
fn an_overload_is_refused_in_part_and_accounted_for_in_full() {
    // Two ticks of flood, then nothing but its aftermath, then a flood to the very end.
    let keys = format!("o.o{}o{}", ".".repeat(20), ".".repeat(10));
    let expected = "\
ticks 36
keys 3, of them unknown 0 \"\"
score 0, level 1, lives 3
ship at 39,15, course 0,0
rocks 1, gems 0, shots 0, bolts 0, sparks 8189, wind 0
refused 114179
published 8706 = handled 8194 + dropped 0 + pending 512
";
    assert_eq!(state(&keys, &[]), expected);
    assert_eq!(state(&keys, &[]), expected, "the second time");

    let sum = Sum::of(expected);
    assert!(sum.refused > 0 && sum.pending > 0, "{sum:?}");
}

#[test]
fn every_end_conserves_events() {
    let long = "aw d s r".repeat(500);
    for keys in ["", "q", "\n", "o", "oq", "ooo.........", "r r r", "o a d w s r o a d", &long] {
        for seed in ["0", "7", "18446744073709551615"] {
            let sum = Sum::of(&state(keys, &["--seed", seed]));
            assert_eq!(sum.published, sum.handled + sum.dropped + sum.pending, "{keys:?} {sum:?}");
        }
    }
}

#[test]
fn no_keys_are_a_game_of_one_tick() {
    let state = state("", &[]);
    assert!(state.starts_with("ticks 1\nkeys 0, of them unknown 0 \"\"\n"), "{state}");
    assert!(state.ends_with("published 1 = handled 1 + dropped 0 + pending 0\n"), "{state}");
}

#[test]
fn a_game_ends_with_the_quit_key_or_the_last_tick() {
    for quit in ["aaq", "aa\u{3}"] {
        assert!(state(&format!("{quit}dddd"), &[]).starts_with("ticks 3\nkeys 3,"));
    }
    assert!(state("aaaaaa", &["--ticks", "4"]).starts_with("ticks 4\nkeys 4,"));
    assert!(state("aaaaaa", &["--ticks", "0"]).starts_with("ticks 0\nkeys 0,"));
}

#[test]
fn unknown_keys_are_counted_and_shown() {
    let state = run(b"a\x07\xffZ#a", &[]);
    let state = String::from_utf8_lossy(&state.stdout).into_owned();
    assert!(state.contains("keys 6, of them unknown 4 \"\\u{7}\\u{ff}Z#\"\n"), "{state}");
}

#[test]
fn another_seed_is_another_game() {
    let [one, two] = ["1", "2"].map(|seed| state(&keys(), &["--seed", seed]));
    assert_eq!(one, state(&keys(), &[]), "the seed of a piped game is 1");
    assert_ne!(one, two);
}

#[test]
fn bad_arguments_are_told_with_the_usage() {
    for (arguments, complaint) in [
        (&["--fast"][..], "unknown argument `--fast`"),
        (&["--seed"], "`--seed` needs a number"),
        (&["--seed", "x"], "`--seed` needs a whole number, not `x`"),
        (&["--ticks", "-1"], "`--ticks` needs a whole number, not `-1`"),
        (&["--ticks", "1", "2"], "unknown argument `2`"),
    ] {
        let output = run(b"", arguments);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        assert!(told.starts_with(&format!("game_loop: {complaint}\n")), "{told}");
        assert!(told.contains("usage: game_loop [--seed N] [--ticks N]"), "{told}");
    }
}

#[test]
fn help_is_no_error() {
    for help in ["--help", "-h"] {
        let output = run(b"", &[help]);
        assert_eq!(output.status.code(), Some(0));
        assert!(String::from_utf8_lossy(&output.stdout).contains("usage: game_loop"));
    }
}

/// The last lines of a game: what became of every event.
#[derive(Debug)]
struct Sum {
    refused: u64,
    published: u64,
    handled: u64,
    dropped: u64,
    pending: u64,
}

impl Sum {
    fn of(state: &str) -> Self {
        let number = |name: &str| {
            let mut words = state.split_whitespace().skip_while(|word| *word != name);
            words.nth(1).and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("no {name}"))
        };
        Self {
            refused: number("refused"),
            published: number("published"),
            handled: number("handled"),
            dropped: number("dropped"),
            pending: number("pending"),
        }
    }
}

/// The final state of a game with these keys.
fn state(keys: &str, arguments: &[&str]) -> String {
    let output = run(keys.as_bytes(), arguments);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {told}", output.status);
    assert_eq!(told, "");
    String::from_utf8(output.stdout).expect("the game prints text")
}

fn run(keys: &[u8], arguments: &[&str]) -> Output {
    let mut game = Command::new(game())
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the game starts");
    // A game that has ended before its keys did closes the pipe, which is no failure.
    let _ = game.stdin.take().expect("it is piped").write_all(keys);
    game.wait_with_output().expect("the game ends")
}

/// The example's program. `cargo test` builds it before it runs the tests; `--test` alone does not,
/// so it is built here if it is missing.
fn game() -> &'static PathBuf {
    static GAME: OnceLock<PathBuf> = OnceLock::new();
    GAME.get_or_init(|| {
        let test = env::current_exe().expect("the test has a path");
        let profile = test.ancestors().nth(2).expect("it lies in <profile>/deps");
        let game = profile.join("examples").join(format!("game_loop{}", env::consts::EXE_SUFFIX));
        if !game.exists() {
            build(profile);
        }
        game
    })
}

fn build(profile: &Path) {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--example", "game_loop", "--manifest-path"]);
    cargo.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
    cargo.arg("--target-dir").arg(profile.parent().expect("a profile has a folder"));
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    assert!(cargo.status().expect("cargo runs").success(), "the example does not build");
}
