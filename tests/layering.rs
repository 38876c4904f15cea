//! Dependencies point down: a tier may use its own row and the rows before it, nothing after.
#![cfg(not(any(miri, tickbus_loom)))]

use std::fs;
use std::path::Path;

/// The modules of the crate, lowest first. Those of one row are of one rank.
const TIERS: &[&[&str]] = &[
    &["error", "sync"],
    &["subject", "event"],
    &["ring"],
    &["wait"],
    &["bus"],
    &["defer", "hold", "request", "timer", "topic"],
    &["envelope"],
    &["context"],
    &["parallel", "subject_bus"],
    &["bridge"],
    &["hosted"],
    &["bevy"],
];

/// Words that only one tier may say, and which one that is.
const RESERVED: &[(&str, &str)] =
    &[("unsafe", "ring"), ("atomic", "sync"), ("loom", "sync"), ("critical_section", "sync")];

/// What the crate root passes on: a name, and the module it comes from.
type Names = Vec<(String, String)>;

fn rank(tier: &str) -> Option<usize> {
    TIERS.iter().position(|row| row.contains(&tier))
}

/// The text without its comments.
fn code(text: &str) -> String {
    let mut code = String::new();
    for line in text.lines() {
        let comment =
            line.match_indices("//").find(|(at, _)| line[..*at].trim_end().len() < *at || *at == 0);
        code.push_str(&line[..comment.map_or(line.len(), |(at, _)| at)]);
        code.push('\n');
    }
    code
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty())
}

/// The first names of a use tree: `a::b` has `a`, `{a::{b, c}, d as e}` has `a` and `d`.
fn heads(tree: &str) -> Vec<&str> {
    let tree = tree.trim_start();
    if tree.starts_with('*') {
        return vec!["*"];
    }
    let Some(group) = tree.strip_prefix('{') else { return words(tree).take(1).collect() };
    let mut heads = Vec::new();
    let mut depth = 0;
    let mut start = 0;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            ',' | '}' if depth == 0 => {
                heads.extend(words(&group[start..at]).next());
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    heads
}

/// What the code names by a path from the crate root, or from the module above.
fn reaches(code: &str) -> Vec<&str> {
    let starts =
        |prefix: &'static str| code.match_indices(prefix).map(move |(at, _)| at + prefix.len());
    starts("crate::").chain(starts("super::")).flat_map(|at| heads(&code[at..])).collect()
}

/// What `lib.rs` passes on by `pub use tier::..`.
fn names(root: &str) -> Names {
    let root = code(root);
    root.match_indices("pub use ")
        .flat_map(|(at, prefix)| {
            let tree = &root[at + prefix.len()..];
            let (tier, rest) = tree[..tree.find(';').unwrap()].split_once("::").unwrap();
            heads(rest).into_iter().map(move |name| (name.to_string(), tier.to_string()))
        })
        .collect()
}

/// What the code of a folder's `mod.rs` uses of a child without passing it on: the names of the children.
fn used_children(code: &str) -> Vec<&str> {
    let lines = code.lines().filter_map(|line| line.strip_prefix("use "));
    lines
        .filter_map(|path| path.strip_prefix("self::")?.split_once("::"))
        .map(|(child, _)| child)
        .collect()
}

/// Whether the code of a child imports a name that its parent owns. A sibling's is the sibling's.
fn uses_parent(code: &str, siblings: &[String]) -> bool {
    let trees =
        code.match_indices("use super::").map(|(at, prefix)| heads(&code[at + prefix.len()..]));
    trees.flatten().any(|name| name != "super" && !siblings.iter().any(|sibling| sibling == name))
}

/// The children of a folder that import from its `mod.rs`, which imports from them: their paths.
fn circles(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let entries: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    for folder in entries.iter().filter(|path| path.is_dir()) {
        found.extend(circles(folder));
    }
    let stem = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_string();
    let siblings: Vec<_> = entries.iter().map(|path| stem(path)).collect();
    let parent = [folder.join("mod.rs"), folder.with_extension("rs")];
    let Some(parent) = parent.iter().find(|path| path.is_file()) else { return found };
    let parent = code(&fs::read_to_string(parent).unwrap());
    for child in used_children(&parent) {
        let path = folder.join(child).with_extension("rs");
        let is_file = child != "tests" && path.is_file();
        if is_file && uses_parent(&code(&fs::read_to_string(&path).unwrap()), &siblings) {
            found.push(path.display().to_string());
        }
    }
    found
}

/// What is wrong with a source of `tier`. The crate root is of no tier, and may reach everything.
fn faults(tier: &str, text: &str, names: &Names) -> Vec<String> {
    let code = code(text);
    let mut faults = Vec::new();
    for (word, owner) in RESERVED {
        if tier != *owner && words(&code).any(|found| found == *word) {
            faults.push(format!("`{tier}` says `{word}`, which only `{owner}` may"));
        }
    }
    let Some(rank_of_tier) = rank(tier) else { return faults };
    for reached in reaches(&code) {
        let passed_on = names.iter().find(|(name, _)| name == reached);
        let owner = passed_on.map_or(reached, |(_, owner)| owner);
        if reached == "*" || rank(owner).is_some_and(|rank| rank > rank_of_tier) {
            faults.push(format!("`{tier}` reaches up to `{reached}`"));
        }
    }
    faults
}

/// The code of a file, or of all files below a folder.
fn sources(path: &Path) -> Vec<String> {
    if path.is_file() {
        let is_code = path.extension().is_some_and(|extension| extension == "rs");
        return if is_code { vec![fs::read_to_string(path).unwrap()] } else { vec![] };
    }
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|entry| sources(&entry)).collect()
}

fn src() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))
}

/// The modules of the crate, as the folder has them: names without `.rs`, and their sources.
fn modules() -> Vec<(String, Vec<String>)> {
    let mut modules: Vec<_> = fs::read_dir(src())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_string(), sources(&path)))
        .collect();
    modules.sort();
    modules
}

fn root_names() -> Names {
    names(&fs::read_to_string(src().join("lib.rs")).unwrap())
}

// ---- The sources -------------------------------------------------------------------------------

#[test]
fn dependencies_point_down() {
    let names = root_names();
    let mut found = Vec::new();
    for (module, texts) in modules() {
        found.extend(texts.iter().flat_map(|text| faults(&module, text, &names)));
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn no_folder_has_a_circle() {
    let found = circles(src());
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn every_module_has_a_tier() {
    let modules = modules();
    for (module, texts) in &modules {
        assert!(module == "lib" || rank(module).is_some(), "`{module}` has no row in TIERS");
        assert!(!texts.is_empty(), "`{module}` has no sources");
    }
    for tier in TIERS.iter().copied().flatten() {
        assert!(modules.iter().any(|(module, _)| module == tier), "there is no `{tier}`");
    }
}

#[test]
fn the_names_of_the_root_are_known() {
    let names = root_names();
    for (name, tier) in [("Bus", "bus"), ("Full", "error"), ("Event", "event")] {
        assert!(names.contains(&(name.to_string(), tier.to_string())), "{names:?}");
    }
}

/// Each owner says its words, so the search for them can find something.
#[test]
fn the_reserved_words_are_said_by_their_owners() {
    for (module, texts) in modules() {
        for (word, _) in RESERVED.iter().filter(|(_, owner)| *owner == module) {
            let said = texts.iter().any(|text| words(&code(text)).any(|found| found == *word));
            assert!(said, "`{module}` never says `{word}`");
        }
    }
}

// ---- The rules themselves: each must be able to fail --------------------------------------------

#[track_caller]
fn refused(tier: &str, line: &str) {
    assert_eq!(faults(tier, line, &root_names()).len(), 1, "{tier}: {line}");
}

#[track_caller]
fn accepted(tier: &str, line: &str) {
    assert_eq!(faults(tier, line, &root_names()), [""; 0], "{tier}: {line}");
}

#[test]
fn reaching_up_is_found() {
    refused("ring", "use crate::bus::Stats;");
    refused("ring", "use crate::Bus;");
    refused("ring", "use super::bus;");
    refused("event", "use crate::{subject::check_subject, ring::{Core, Ring}, error::Full};");
    refused("event", "$crate::Dispatch::new()");
    refused("error", "    use crate::Subject; // for the docs");
    refused("sync", "use crate::*;");
}

#[test]
fn reaching_down_and_across_is_fine() {
    accepted("bus", "use crate::{Bus, Event, Full, ring::Core, sync::Word};");
    accepted("bus", "pub(in crate::bus) fn new() {}");
    accepted("ring", "use crate::sync::Word; use super::Policy;");
    accepted("event", "use crate::subject::check_subject; const _: () = $crate::events!();");
    accepted("lib", "pub use bus::Bus; pub use crate::ring::Core;");
}

#[test]
fn circles_are_found() {
    let parent = "pub use self::raw::Raw;\nuse self::take::{Reader, Seen};\nuse super::before;";
    assert_eq!(used_children(parent), ["take"]);
    let siblings = ["take".to_string(), "raw".to_string()];
    assert!(uses_parent("use super::{Core, raw::Raw};", &siblings));
    assert!(uses_parent("use super::Core;", &siblings));
    assert!(!uses_parent("use super::raw::Raw; use super::super::Span;", &siblings));
}

#[test]
fn comments_say_what_they_like() {
    accepted("error", "/// See [`Bus`](crate::Bus): no `unsafe`.");
    accepted("subject", "let x = 1; // not crate::bus, no unsafe, no atomic");
    refused("subject", "let crate::Bus { .. } = bus; // a pattern");
    refused("subject", r#"let _ = ("http://", crate::Bus::new());"#);
}

#[test]
fn reserved_words_are_found() {
    refused("bus", "unsafe { slot.read() }");
    refused("lib", "unsafe impl Sync for X {}");
    refused("bus", "use core::sync::atomic::AtomicU32;");
    refused("ring", "use core::sync::{atomic::AtomicU32};");
    refused("ring", "loom::model(|| {});");
    refused("bus", "critical_section::with(|_| {});");
    accepted("ring", "unsafe { slot.read() }");
    accepted("bus", "#[cfg(all(not(tickbus_loom), target_has_atomic = \"ptr\"))]");
}
