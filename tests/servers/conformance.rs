//! Where the kit's reports go, for the table of capabilities: `tests/capabilities.rs` reads them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tickbus::hosted::conformance::Report;

/// The folder of the reports.
pub(crate) fn reports() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target folder");
    target.join("conformance")
}

/// Writes what the kit found. `engine` is the title in the table, as Markdown, and `server` what it ran on, with its
/// version.
///
/// # Panics
///
/// Panics if a behaviour failed.
pub(crate) fn record(engine: &str, server: &str, report: &Report) {
    println!("{report}");
    assert!(report.is_proven(), "{report}");
    let found = serde_json::json!({ "engine": engine, "server": server, "report": report });
    let name: String =
        engine.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    fs::create_dir_all(reports()).expect("a folder of reports");
    let file = reports().join(format!("{name}.json"));
    fs::write(file, found.to_string()).expect("a report is written");
}

/// Returns the name of a program and the version that it says, such as `redis-server 7.0.15`.
pub(crate) fn version(program: &Path, option: &str) -> String {
    let output = Command::new(program).arg(option).output().expect("it says its version");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let words = said.split([' ', '\n']).map(|word| word.trim_start_matches(['v', '=']));
    let is_version =
        |word: &&str| word.contains('.') && word.chars().all(|c| c.is_ascii_digit() || c == '.');
    let version = words.into_iter().find(is_version).unwrap_or("of an unknown version");
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    format!("{name} {version}")
}
