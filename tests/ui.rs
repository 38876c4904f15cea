//! What must not compile does not, and the compiler says why.
//!
//! Each file below `tests/ui` is a program. The comments at its beginning have lines `//~ phrase`: it
//! must fail to build, and all phrases must be in what the compiler says. A program with the one line
//! `//~ compiles` must build, without a warning.
#![cfg(not(any(miri, tickbus_loom)))]

use core::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;
use std::{env, fs};

/// The phrase of a program that must build.
const COMPILES: &str = "compiles";

/// One program.
struct Case {
    /// The path below `tests/ui`, with dashes, without `.rs`.
    name: String,
    path: PathBuf,
    phrases: Vec<String>,
}

impl Case {
    fn new(root: &Path, path: &Path) -> Self {
        let inside = path.strip_prefix(root).unwrap().with_extension("");
        let parts: Vec<_> = inside.iter().map(|part| part.to_str().unwrap()).collect();
        let phrases = phrases(&fs::read_to_string(path).unwrap());
        Self { name: parts.join("-"), path: path.into(), phrases }
    }

    /// What is wrong, if anything, with how the build went.
    fn fault(&self, built: bool, said: &str) -> Option<String> {
        let fault = match self.phrases.as_slice() {
            [] => "has no line `//~ phrase`".to_string(),
            [only] if only == COMPILES => {
                if built && !said.contains("warning") {
                    return None;
                }
                "does not build, or not without a warning".to_string()
            }
            _ if built => "builds".to_string(),
            phrases => {
                let missing: Vec<_> =
                    phrases.iter().filter(|phrase| !said.contains(phrase.as_str())).collect();
                if missing.is_empty() {
                    return None;
                }
                format!("fails, but not with {missing:?}")
            }
        };
        Some(format!("{}: {fault}\n{said}", self.name))
    }
}

/// What the comments at the beginning of a program demand.
fn phrases(text: &str) -> Vec<String> {
    let comments = text.lines().take_while(|line| line.starts_with("//"));
    comments.filter_map(|line| line.strip_prefix("//~")).map(|line| line.trim().into()).collect()
}

/// All programs below `folder`, sorted.
fn programs(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(programs(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// A package with a program for each case. Written anew in every run.
fn package(folder: &str, cases: &[Case]) -> PathBuf {
    // The crate under a manifest with no dependencies but those that it always has: so that this builds
    // where nothing but what the tests need has ever been downloaded.
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs");
    let tickbus = format!(
        "[package]\nname = \"tickbus\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n\
         [lib]\npath = '{}'\n\n\
         [dependencies]\nheapless = {{ version = \"0.9\", default-features = false }}\n\n\
         [lints.rust]\nunexpected_cfgs = \"allow\"\n",
        library.display(),
    );
    package_with(folder, cases, Some(&tickbus), "tickbus.path = 'tickbus'")
}

/// The same, with a manifest for the crate or without one, and with these dependencies.
fn package_with(
    folder: &str,
    cases: &[Case],
    tickbus: Option<&str>,
    dependencies: &str,
) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(folder);
    fs::create_dir_all(&folder).unwrap();
    if let Some(manifest) = tickbus {
        fs::create_dir_all(folder.join("tickbus")).unwrap();
        fs::write(folder.join("tickbus/Cargo.toml"), manifest).unwrap();
    }
    let mut manifest = format!(
        "[package]\nname = \"ui\"\nversion = \"0.0.0\"\nedition = \"2024\"\nautobins = false\n\n\
         [dependencies]\n{dependencies}\n\n[workspace]\n",
    );
    for Case { name, path, .. } in cases {
        let path = path.display();
        write!(manifest, "\n[[bin]]\nname = \"{name}\"\npath = '{path}'\n").unwrap();
    }
    fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    folder
}

/// Builds a program: whether it does, and what the compiler says. To check is not enough: constants
/// of a generic type are worked out when its code is made.
fn build(package: &Path, name: &str) -> (bool, String) {
    cargo("build", package, name)
}

fn cargo(command: &str, package: &Path, name: &str) -> (bool, String) {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([command, "--quiet", "--offline", "--color", "never", "--bin", name])
        .arg("--target-dir")
        .arg(package.join("target"))
        .current_dir(package)
        .output()
        .unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn programs_fail_with_the_right_words() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join("ui");
    let cases: Vec<_> = programs(&root).iter().map(|path| Case::new(&root, path)).collect();
    let controls = cases.iter().filter(|case| case.phrases == [COMPILES]).count();
    assert!(
        controls > 0 && cases.len() > controls,
        "{} programs, {controls} of them right",
        cases.len()
    );

    let package = package("ui", &cases);
    let faults: Vec<_> = cases
        .iter()
        .filter_map(|case| {
            let (built, said) = build(&package, &case.name);
            case.fault(built, &said)
        })
        .collect();
    assert!(
        faults.is_empty(),
        "{} of {} programs:\n\n{}",
        faults.len(),
        cases.len(),
        faults.join("\n")
    );
}

/// Programs for the hosted tier, which needs what was downloaded for it. To check is enough here.
#[cfg(feature = "hosted")]
#[test]
fn programs_of_the_hosted_tier_fail_with_the_right_words() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let programs = programs(&root.join("tests/ui_hosted"));
    let cases: Vec<_> =
        programs.iter().map(|path| Case::new(&root.join("tests/ui_hosted"), path)).collect();
    let controls = cases.iter().filter(|case| case.phrases == [COMPILES]).count();
    assert!(controls == 1 && cases.len() > 3, "{} programs", cases.len());
    let tickbus = format!("tickbus = {{ path = '{}', features = ['hosted'] }}", root.display());
    let package = package_with("ui_hosted", &cases, None, &tickbus);
    // With the versions that are there.
    fs::copy(root.join("Cargo.lock"), package.join("Cargo.lock")).unwrap();
    let faults: Vec<_> = cases
        .iter()
        .filter_map(|case| {
            let (built, said) = cargo("check", &package, &case.name);
            case.fault(built, &said)
        })
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

// ---- Many kinds --------------------------------------------------------------------------------

/// How the lines of a generated table name their kinds.
#[derive(Clone, Copy)]
enum Lines {
    Subjects,
    /// A subject with a wildcard for one of its segments, another one in each line.
    Patterns,
}

/// A program with so many kinds, under names as programs have them, and a line for each.
fn table(kinds: usize, lines: Lines) -> String {
    let areas = ["player", "inventory", "network", "physics", "audio.mixer"];
    let areas = [areas, ["render.camera", "input.gamepad", "world.chunk", "quest", "ui.dialog"]];
    let verbs = ["created", "destroyed", "moved", "changed", "selected"];
    let verbs = [verbs, ["failed", "requested", "confirmed", "expired", "renamed"]];
    let shapes = ["", "(u32)", "{ x: i16, y: i16 }"];
    let mut variants = String::new();
    let mut table = String::new();
    for kind in 0..kinds {
        let (area, verb) = (areas.as_flattened()[kind % 10], verbs.as_flattened()[kind / 10 % 10]);
        let subject = format!("game.{area}.component_{:02}.was_{verb}", kind / 100);
        let pattern = match lines {
            Lines::Subjects => subject.clone(),
            Lines::Patterns => {
                let mut segments: Vec<_> = subject.split('.').collect();
                let wild = segments.len() - 1 - kind % 2;
                segments[wild] = "*";
                segments.join(".")
            }
        };
        let shape = shapes[kind % 3];
        let more = ["#[allow(deprecated)]", "#[cfg(all())]", "#[cfg_attr(any(), gone)]"][kind % 3];
        writeln!(variants, "/// A kind.\n{more}\n#[subject = \"{subject}\"]\nKind{kind}{shape},")
            .unwrap();
        writeln!(table, ".on(\"{pattern}\", |count, _| *count += 1)").unwrap();
    }
    let handlers = match lines {
        Lines::Subjects => 1,
        Lines::Patterns => 20,
    };
    format!(
        "//! A table.\n//~ {COMPILES}\n\
         #![forbid(long_running_const_eval, unsafe_code)]\n\
         tickbus::events! {{ #[allow(dead_code)] pub enum Input {{ {variants} }} }}\n\
         /// A table.\n\
         pub static TABLE: tickbus::Dispatch<Input, u32, {{ Input::KINDS }}, (), {handlers}> =\n\
         tickbus::Dispatch::new(){table};\n\
         fn main() {{ let _ = TABLE.call(&mut 0, &Input::Kind0); }}\n"
    )
}

#[test]
fn a_thousand_kinds_and_lines_compile() {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kinds-sources");
    fs::create_dir_all(&root).unwrap();
    let tables = [
        ("few", table(10, Lines::Subjects)),
        ("subjects", table(1000, Lines::Subjects)),
        ("patterns", table(1000, Lines::Patterns)),
    ];
    let cases = tables.map(|(name, text)| {
        let path = root.join(name).with_extension("rs");
        fs::write(&path, text).unwrap();
        Case::new(&root, &path)
    });
    let package = package("kinds", &cases);
    let (built, said) = cargo("check", &package, "few");
    assert_eq!(cases[0].fault(built, &said), None);

    // The best of some, as other programs run here too.
    let time = |case: &Case| {
        let once = || {
            fs::write(&case.path, fs::read_to_string(&case.path).unwrap() + "\n").unwrap();
            let begin = Instant::now();
            let (built, said) = cargo("check", &package, &case.name);
            let took = begin.elapsed();
            assert_eq!(case.fault(built, &said), None);
            took
        };
        (0..3).map(|_| once()).min().unwrap()
    };
    let [few, subjects, patterns] = cases.each_ref().map(time);
    // What guards against a blow-up is the lint of the programs, which counts steps; times are for the reader.
    println!("10 kinds: {few:?}; 1000: {subjects:?}, by patterns {patterns:?}");
}

// ---- The runner itself: it must be able to fail -------------------------------------------------

fn case(text: &str) -> Case {
    Case { name: "case".into(), path: PathBuf::new(), phrases: phrases(text) }
}

#[test]
fn phrases_stand_at_the_beginning() {
    let text = "//! What it is about.\n//~ one\n//~ two words\n\n//~ too late\nfn main() {}\n";
    assert_eq!(phrases(text), ["one", "two words"]);
}

#[test]
fn a_program_that_fails_with_all_phrases_is_right() {
    assert_eq!(case("//~ one\n//~ two").fault(false, "error: two of one"), None);
    assert!(case("//~ one\n//~ two").fault(false, "error: one").is_some());
    assert!(case("//~ one").fault(true, "warning: one").is_some());
}

#[test]
fn a_program_that_compiles_must() {
    assert_eq!(case("//~ compiles").fault(true, ""), None);
    assert!(case("//~ compiles").fault(false, "error: never compiles").is_some());
    assert!(case("//~ compiles").fault(true, "warning: but").is_some());
}

#[test]
fn a_program_demands_something() {
    assert!(case("fn main() {}").fault(false, "error").is_some());
    assert!(case("fn main() {}").fault(true, "").is_some());
}
