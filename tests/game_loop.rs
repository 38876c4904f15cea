//! The example `game_loop`: from a pipe, the same keys give the same end and each event is accounted
//! for; in a window that is too small it pauses; bad arguments get a clear answer.
#![cfg(not(any(miri, tickbus_loom)))]

mod watch;

#[cfg(target_os = "linux")]
use core::time::Duration;
use std::env;
#[cfg(target_os = "linux")]
use std::fs;
#[cfg(target_os = "linux")]
use std::io::Read;
use std::io::Write;
use std::path::{Path, PathBuf};
#[cfg(target_os = "linux")]
use std::process::Child;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
#[cfg(target_os = "linux")]
use std::thread;

#[cfg(target_os = "linux")]
use watch::watchdog;

/// Flies to the left while shooting, pauses, presses two keys that mean nothing, flies back.
fn keys() -> String {
    format!("{}x{}?{}", "a    ".repeat(40), ".\n".repeat(100), "   d".repeat(150))
}

#[test]
fn the_same_keys_end_in_exactly_this_state() {
    let expected = "\
The game
  ended after  1003 ticks of 1/60 s
  reached      score 30, level 1, lives left 1
  your ship    at column 76, row 15, flying right
  around it    rocks 6, gems 0, shots 3, lightning 1, wind 4
  your keys    802, of which 2 mean nothing: \"x?\"
The bus, which holds up to 1024 events
  published       843  events that it accepted from all threads
  handled         843  events that the game took from it
  dropped           0  events that it lost: it rejects instead
  pending           0  events that waited on it at the end
  refused           0  events that did not fit and went back
Each event is accounted for: 843 = 843 + 0 + 0
";
    assert_eq!(state(&keys(), &[]), expected);
    assert_eq!(state(&keys(), &[]), expected, "the second time");
}

#[test]
fn an_overload_is_refused_in_part_and_accounted_for_in_full() {
    // Two ticks of flood, then nothing but its aftermath, then a flood to the very end.
    let keys = format!("o.o{}o{}", ".".repeat(20), ".".repeat(10));
    let expected = "\
The game
  ended after  36 ticks of 1/60 s
  reached      score 0, level 1, lives left 3
  your ship    at column 39, row 15, at rest
  around it    rocks 1, gems 0, shots 0, lightning 0, wind 0
  your keys    3
The bus, which holds up to 1024 events
  published      8706  events that it accepted from all threads
  handled        8194  events that the game took from it
    sparks       8189  of these came from the overload
  dropped           0  events that it lost: it rejects instead
  pending         512  events that waited on it at the end
  refused      114179  events that did not fit and went back
Each event is accounted for: 8706 = 8194 + 0 + 512
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
    assert!(state.contains("ended after  1 tick of"), "{state}");
    assert!(state.contains("your keys    0\n"), "{state}");
    assert!(state.ends_with("Each event is accounted for: 1 = 1 + 0 + 0\n"), "{state}");
}

#[test]
fn a_game_ends_with_the_quit_key_or_the_last_tick() {
    let ends = |keys: &str, arguments: &[&str], ticks: u32| {
        let state = state(keys, arguments);
        assert!(state.contains(&format!("ended after  {ticks} ticks")), "{keys:?}: {state}");
        assert!(state.contains(&format!("your keys    {ticks}\n")), "{keys:?}: {state}");
    };
    ends("aaqdddd", &[], 3);
    ends("aa\u{3}dddd", &[], 3);
    ends("aaaaaa", &["--ticks", "4"], 4);
    ends("aaaaaa", &["--ticks", "0"], 0);
}

#[test]
fn unknown_keys_are_counted_and_shown() {
    let state = run(b"a\x07\xffZ#a", &[]);
    let state = String::from_utf8_lossy(&state.stdout).into_owned();
    assert!(state.contains("keys    6, of which 4 mean nothing: \"\\u{7}\\u{ff}Z#\"\n"), "{state}");
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
        let usage = "usage: game_loop [--seed N] [--ticks N]; see `--help`";
        assert_eq!(told, format!("game_loop: {complaint}\n{usage}\n"));
    }
}

#[test]
fn help_explains_the_keys_the_signs_and_the_numbers() {
    for help in ["--help", "-h"] {
        let output = run(b"", &[help]);
        assert_eq!((output.status.code(), &*output.stderr), (Some(0), &b""[..]));
        let text = String::from_utf8(output.stdout).expect("the help is text");
        let first_words: Vec<_> =
            text.lines().filter_map(|line| line.strip_prefix("  ")?.split("  ").next()).collect();
        for word in ["a d w s", "space", "o", "r", "q, Ctrl-C"] {
            assert!(first_words.contains(&word), "the key {word}: {text}");
        }
        for sign in ["/A\\", "(O)", "◆", "┊ then ║", "|", "·"] {
            assert!(first_words.contains(&sign), "the sign {sign}: {text}");
        }
        for number in ["published", "handled", "dropped", "pending", "refused", "high water"] {
            assert!(first_words.contains(&number), "the number {number}: {text}");
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_window_that_is_too_small_pauses_the_game_and_shows_nothing_else() {
    let _watch = watchdog();
    let Some(mut window) = Window::open() else { return };
    let small = "60 x 20. Enlarge it to go on, or press q to quit.";

    // Too small from the start: a message on a clear screen, and not one frame.
    let shown = window.until(small);
    let message =
        "\x1b[2J\x1b[1;1HPaused: the game needs a window of 80 x 24, and this one has\x1b[2;1H";
    assert!(shown.ends_with(&format!("{message}{small}")), "{shown:?}");
    assert!(!shown.contains("score"), "{shown:?}");

    // A larger window: a whole frame, on a clear screen.
    window.resize(24, 80);
    let shown = window.until("r restart   q quit");
    assert!(shown.starts_with("\x1b[2J\x1b[1;1H"), "{shown:?}");
    for part in ["score 0", "bus: published", "rocks: shoot, dodge", "gem: take"] {
        assert!(shown.contains(part), "{part} is missing: {shown:?}");
    }

    // A small one again: the message alone, until the quit key.
    window.resize(20, 60);
    let shown = window.until(small);
    assert!(shown.ends_with(&format!("{message}{small}")), "{shown:?}");
    window.press("a d q");
    let shown = window.until("your keys    1\r\n");
    // The message may come twice: the game also hears of the new size from the terminal.
    let after = shown.replace(&format!("{message}{small}"), "");
    assert!(after.starts_with("\x1b[?1049l"), "nothing comes after the message: {shown:?}");
    window.until("Each event is accounted for");
}

#[cfg(target_os = "linux")]
#[test]
fn a_signal_ends_the_game_restores_the_terminal_and_prints_the_outcome() {
    let _watch = watchdog();
    for signal in ["TERM", "HUP", "INT"] {
        let Some(mut window) = Window::open() else { return };
        window.resize(24, 80);
        window.until("r restart   q quit");
        assert!(!window.settings().contains(" icanon"), "the game reads key by key");
        window.signal(signal);
        let shown = window.until("Each event is accounted for");
        let (_, outcome) = shown.split_once("\x1b[?1049l").expect("the game leaves its screen");
        assert!(outcome.starts_with("\x1b[?25hThe game\r\n"), "SIG{signal}: {outcome:?}");
        assert!(outcome.contains("your keys    0\r\n"), "SIG{signal}: {outcome:?}");
        assert!(window.script.wait().expect("it ends").success(), "SIG{signal}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_terminal_that_is_closed_ends_the_game_without_a_panic() {
    let _watch = watchdog();
    let errors = env::temp_dir().join(format!("game_loop-{}", std::process::id()));
    let Some(mut window) = Window::with_errors_in(&errors) else { return };
    window.resize(24, 80);
    window.until("r restart   q quit");
    drop(window);
    let told = loop {
        let told = fs::read_to_string(&errors).expect("the shell has made it");
        if told.contains("Each event is accounted for") || told.contains("panicked") {
            break told;
        }
        thread::sleep(Duration::from_millis(10));
    };
    fs::remove_file(&errors).expect("it is there");
    assert!(told.starts_with("The game\n  ended after"), "{told}");
}

/// The game in a terminal of 60 x 20, which `script` provides.
#[cfg(target_os = "linux")]
struct Window {
    script: Child,
    terminal: String,
    game: String,
    unread: Vec<u8>,
}

#[cfg(target_os = "linux")]
impl Window {
    /// Returns `None` where `script` is not installed.
    fn open() -> Option<Self> {
        Self::with_errors_in(Path::new("/dev/stdout"))
    }

    /// As `open`, with standard error in a file.
    fn with_errors_in(errors: &Path) -> Option<Self> {
        let (game, errors) = (game().display(), errors.display());
        let commands = format!("stty rows 20 cols 60; tty; echo $$; exec '{game}' 2>'{errors}'");
        let script = Command::new("script")
            .args(["-qec", &commands, "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let Ok(script) = script else {
            eprintln!("`script` is missing: the window is not tested");
            return None;
        };
        let (terminal, game) = (String::new(), String::new());
        let mut window = Self { script, terminal, game, unread: Vec::new() };
        window.terminal = window.until("\n").trim().to_owned();
        window.game = window.until("\n").trim().to_owned();
        Some(window)
    }

    fn resize(&self, rows: u16, columns: u16) {
        let size = ["rows".to_owned(), rows.to_string(), "cols".to_owned(), columns.to_string()];
        let stty = Command::new("stty").args(["-F", &self.terminal]).args(size).status();
        assert!(stty.expect("stty is there").success());
    }

    /// Returns what `stty` says of the terminal.
    fn settings(&self) -> String {
        let stty = Command::new("stty").args(["-a", "-F", &self.terminal]).output();
        String::from_utf8(stty.expect("stty is there").stdout).expect("it is text")
    }

    fn signal(&self, name: &str) {
        let kill = Command::new("kill").args(["-s", name, &self.game]).status();
        assert!(kill.expect("kill is there").success());
    }

    fn press(&mut self, keys: &str) {
        let keyboard = self.script.stdin.as_mut().expect("it is piped");
        keyboard.write_all(keys.as_bytes()).expect("the game reads keys");
    }

    /// Returns what the game shows next, up to and including this text.
    fn until(&mut self, text: &str) -> String {
        let output = self.script.stdout.as_mut().expect("it is piped");
        loop {
            let found = self.unread.windows(text.len()).position(|part| part == text.as_bytes());
            if let Some(found) = found {
                let shown = self.unread.drain(..found + text.len()).collect();
                return String::from_utf8(shown).expect("the game shows text");
            }
            let mut more = [0; 4096];
            let read = output.read(&mut more).expect("the terminal is open");
            let unread = String::from_utf8_lossy(&self.unread);
            assert!(read > 0, "the game ended before it showed {text:?}: {unread:?}");
            self.unread.extend(&more[..read]);
        }
    }
}

#[cfg(target_os = "linux")]
impl Drop for Window {
    fn drop(&mut self) {
        let _ = self.script.kill();
        let _ = self.script.wait();
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
    let word = "standard input is not a terminal: its bytes are the keys, and nothing is drawn";
    assert_eq!(told, format!("game_loop: {word}\n"));
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
