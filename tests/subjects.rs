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
    // A program that ends without reading closes the pipe, which is not a failure.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code().unwrap())
}

#[test]
fn each_subscription_prints_what_it_received() {
    let input = br#"{"subject":"player.7.hit","payload":{"amount":12}}
{"subject":"chat.all","payload":"hello"}

{"subject":"unread"}"#;
    let (output, errors, status) = run(&["player.*.hit", "chat.>"], input);
    assert_eq!(
        output,
        "player.*.hit: player.7.hit {\"amount\":12}\n\
         chat.>: chat.all \"hello\"\n\
         player.*.hit: received 1, dropped 0\n\
         chat.>: received 1, dropped 0\n\
         4 lines: 3 published (1 without a match), 0 bad, 1 empty\n"
    );
    assert_eq!((&*errors, status), ("", 0));
}

#[test]
fn a_bad_line_is_reported_with_its_number_and_costs_no_other_line() {
    let input = b"{\"subject\":\"a\"}\nnot json\r\n{\"subject\":\"a.*\"}\n{\"subject\":\"\xff\"}\n{}\n\
        {\"subject\":\n[1]\n \n{\"subject\":\"b\",\"payload_base64\":\"AAE=\"}\n{\"subject\":\"c\"}x";
    let (output, errors, status) = run(&[], input);
    let expected = [
        "line 2 column 2: expected ident",
        "line 3 column 17: `a.*`: the subject has a wildcard",
        "line 4 column 13: invalid UTF-8",
        "line 5 column 2: missing field `subject`",
        "line 6 column 11: EOF while parsing",
        "line 7 column 1: invalid type: sequence, expected an envelope",
        "line 10 column 16: trailing characters",
    ];
    let errors: Vec<_> = errors.lines().collect();
    assert_eq!(errors.len(), expected.len(), "{errors:?}");
    for (error, expected) in errors.iter().zip(expected) {
        assert!(error.starts_with(expected), "{error}, not {expected}");
    }
    assert_eq!(
        output,
        ">: a without payload\n>: b with 2 bytes\n>: received 2, dropped 0\n\
         10 lines: 2 published (0 without a match), 7 bad, 1 empty\n"
    );
    assert_eq!(status, 1);
}

#[test]
fn what_is_dropped_is_counted() {
    let input = "{\"subject\":\"a\",\"payload\":1}\n{\"subject\":\"a\",\"payload\":2}\n{\"subject\":\"a\",\"payload\":3}\n";
    let (output, ..) = run(&["--capacity", "1", "a"], input.as_bytes());
    assert!(output.starts_with("a: a 1\na: received 1, dropped 2\n"), "{output}");
    let (output, ..) = run(&["--capacity", "1", "--overrun", "drop_oldest"], input.as_bytes());
    assert!(output.starts_with(">: missed 2\n>: a 3\n>: received 1, dropped 2\n"), "{output}");
}

#[test]
fn wrong_arguments_are_named() {
    for (arguments, why) in [
        (&["a*"][..], "`a*`: the pattern has a wildcard"),
        (&["b", ""], "the pattern is empty"),
        (&["--capacity"], "`--capacity` needs a number"),
        (&["--capacity", "x"], "`--capacity` needs a number from 1, not `x`"),
        (&["--capacity", "0"], "`--capacity` needs a number from 1, not `0`"),
        (&["--overrun"], "`--overrun` needs a policy"),
        (&["--overrun", "block"], "`--overrun` needs drop_newest or drop_oldest, not `block`"),
        (&["--colour"], "unknown option `--colour`"),
        (&["a", "-v"], "unknown option `-v`"),
    ] {
        let (output, errors, status) = run(arguments, b"{\"subject\":\"a\"}");
        assert!(errors.starts_with(&format!("subjects: {why}")), "{errors}");
        assert!(errors.ends_with("; see `--help`\n"), "{errors}");
        assert_eq!((&*output, status), ("", 2));
    }
}

#[cfg(unix)]
#[test]
fn an_argument_that_is_not_text_is_an_error() {
    use std::os::unix::ffi::OsStrExt;

    let argument = std::ffi::OsStr::from_bytes(b"a\xff");
    let output = Command::new(program()).arg(argument).output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(errors, "subjects: the argument \"a\\xFF\" is not UTF-8; see `--help`\n");
    assert_eq!(output.status.code(), Some(2));
}

#[cfg(unix)]
#[test]
fn an_input_that_cannot_be_read_is_an_error_after_the_summary() {
    let folder = std::fs::File::open(env!("CARGO_MANIFEST_DIR")).unwrap();
    let output = Command::new(program()).stdin(folder).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (output, errors, status) = (text(output.stdout), text(output.stderr), output.status);
    assert!(errors.starts_with("subjects: cannot read the input: "), "{errors}");
    assert!(output.contains("0 lines: 0 published"), "{output}");
    assert_eq!(status.code(), Some(2));
}

#[test]
fn help_names_each_option_and_each_exit_status() {
    for help in ["--help", "-h"] {
        let (output, errors, status) = run(&["a", help], b"");
        for part in ["--capacity N", "--overrun POLICY", "PATTERN", "0 if", "1 if", "2 if"] {
            assert!(output.contains(part), "{part} is missing: {output}");
        }
        assert_eq!((&*errors, status), ("", 0));
    }
}
