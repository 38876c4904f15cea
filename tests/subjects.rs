//! The example `subjects`, as a user runs it.
#![cfg(all(feature = "std", feature = "json", not(any(miri, tickbus_loom))))]

mod watch;

use std::env;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use watch::watchdog;

/// The example's program. `cargo test` builds it before it runs the tests; `--test` alone does not,
/// and `cargo build` does nothing if it is there already.
fn program() -> &'static PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let test = env::current_exe().expect("a test is a file");
        let profile = test.ancestors().nth(2).expect("a test is in `deps`, in a profile");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--features", "full", "--example", "subjects"]);
        cargo.arg("--manifest-path").arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
        cargo.arg("--target-dir").arg(profile.parent().expect("a profile has a folder"));
        if profile.ends_with("release") {
            cargo.arg("--release");
        }
        assert!(cargo.status().expect("cargo runs").success(), "the example does not build");
        profile.join("examples").join(format!("subjects{}", env::consts::EXE_SUFFIX))
    })
}

/// The output, the errors and the status of a run.
fn run(arguments: &[&str], input: &[u8]) -> (String, String, i32) {
    let program = program();
    let _watch = watchdog();
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may end without reading: then nothing reads what we write.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code().unwrap())
}

#[test]
fn each_subscription_prints_what_it_got() {
    let input = br#"{"subject":"player.7.hit","payload":{"amount":12}}
{"subject":"chat.all","payload":"hello"}

{"subject":"not.subscribed"}"#;
    let (output, errors, status) = run(&["player.*.hit", "chat.>"], input);
    assert_eq!(
        output,
        "player.*.hit: player.7.hit {\"amount\":12}\n\
         chat.>: chat.all \"hello\"\n\
         player.*.hit: received 1, dropped 0\n\
         chat.>: received 1, dropped 0\n\
         4 lines: 3 published, 1 unmatched, 0 bad\n"
    );
    assert_eq!((&*errors, status), ("", 0));
}

#[test]
fn a_bad_line_is_told_with_its_number_and_the_program_goes_on() {
    let input = b"{\"subject\":\"a\"}\nnot json\n{\"subject\":\"a.*\"}\n{\"subject\":\"\xff\"}\n{}\n{\"subject\":\"b\"}\n";
    let (output, errors, status) = run(&[], input);
    let errors: Vec<_> = errors.lines().collect();
    assert_eq!(errors.len(), 4, "{errors:?}");
    assert!(errors[0].starts_with("line 2: expected "), "{errors:?}");
    assert!(errors.iter().all(|error| !error.contains("line 1 ")), "{errors:?}");
    assert!(errors[1].starts_with("line 3: `a.*`: the subject has a wildcard"), "{errors:?}");
    assert!(errors[2].starts_with("line 4: "), "{errors:?}");
    assert!(errors[3].starts_with("line 5: missing field `subject`"), "{errors:?}");
    assert!(output.contains(">: a without payload\n>: b without payload\n"), "{output}");
    assert!(output.ends_with("6 lines: 2 published, 0 unmatched, 4 bad\n"), "{output}");
    assert_eq!(status, 1);
}

#[test]
fn what_is_dropped_is_told() {
    let input = "{\"subject\":\"a\",\"payload\":1}\n{\"subject\":\"a\",\"payload\":2}\n{\"subject\":\"a\",\"payload\":3}\n";
    let (output, ..) = run(&["--capacity", "1", "a"], input.as_bytes());
    assert!(output.starts_with("a: a 1\na: received 1, dropped 2\n"), "{output}");
    let (output, ..) = run(&["--capacity", "1", "--overrun", "drop_oldest"], input.as_bytes());
    assert!(output.starts_with(">: missed 2\n>: a 3\n>: received 1, dropped 2\n"), "{output}");
}

#[test]
fn help_names_every_option() {
    let (output, errors, status) = run(&["--help"], b"");
    assert_eq!((&*errors, status), ("", 0));
    for word in ["usage: ", "PATTERN", "--capacity", "--overrun", "drop_newest", "drop_oldest"] {
        assert!(output.contains(word), "{output}");
    }
}

#[test]
fn wrong_arguments_are_told() {
    for (arguments, why) in [
        (&["a*"][..], "`a*`: the pattern has a wildcard"),
        (&["--capacity"], "`--capacity` needs a value"),
        (&["--capacity", "x"], "`x` is not a capacity"),
        (&["--overrun", "block"], "`block` is not drop_newest or drop_oldest"),
        (&["--colour"], "unknown option `--colour`; see `--help`"),
    ] {
        let (output, errors, status) = run(arguments, b"");
        assert!(errors.starts_with(&format!("subjects: {why}")), "{errors}");
        assert_eq!((&*output, status), ("", 2));
    }
}
