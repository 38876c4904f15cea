//! The example `orders` with `--postgres`: its records outlive the program.

use std::process::{Command, Output, Stdio};

use crate::server::shared;

/// Runs the example, which lies beside this test's folder.
fn orders(arguments: &[&str]) -> Output {
    let test = std::env::current_exe().expect("the test has a path");
    let profile = test.ancestors().nth(2).expect("it lies in <profile>/deps");
    let mut orders = Command::new(profile.join("examples/orders"));
    orders.args(arguments).stdin(Stdio::null()).output().expect("the example is built")
}

#[test]
#[ignore = "needs the example `orders`, built with the feature `postgres`: .ci/run builds it"]
fn orders_outlive_the_program() {
    let Some(server) = shared() else { return };
    let sums = "\n5 orders: 5 completed, 0 failed; takings ";
    for (arguments, takings) in [(&["--sample"][..], "3060.00"), (&[], "0.00")] {
        let output = orders(&[arguments, &["--postgres", &server.url()]].concat());
        let shown = String::from_utf8_lossy(&output.stdout);
        assert!(shown.contains(&format!("{sums}{takings}\n")), "{shown}{output:?}");
        assert_eq!(output.status.code(), Some(0));
    }
    let output = orders(&["--postgres", "postgres://postgres@127.0.0.1:1/postgres"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}
