use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::super::pattern::RulePattern;
use super::{Decides, Decision, Rules};
use crate::subject::{PatternBuf, Subject};

fn pattern() -> impl Strategy<Value = RulePattern> {
    let segment = prop_oneof![Just("a"), Just("b"), Just("ab"), Just("*")];
    let last = prop_oneof![Just("a"), Just("*"), Just(">"), Just("a*"), Just("abc")];
    (proptest::collection::vec(segment, 0..4), last).prop_map(|(segments, last)| {
        let text: Vec<_> = segments.iter().copied().chain([last]).collect();
        let text = text.join(".");
        RulePattern::try_from(&*text)
            .or_else(|_| RulePattern::prefix(&text))
            .or_else(|_| RulePattern::prefix(&text.replace("*.", "b.")))
            .unwrap()
    })
}

fn rules() -> impl Strategy<Value = Rules> {
    let rule = (proptest::collection::vec(pattern(), 1..4), 0..4_usize)
        .prop_map(|(patterns, engine)| Decides { patterns, engine, requires: None });
    (proptest::collection::vec(rule, 0..12), 0..4_usize)
        .prop_map(|(rules, fallback)| Rules::new(rules, fallback))
}

fn subject() -> impl Strategy<Value = String> {
    let segment = prop_oneof![Just("a"), Just("b"), Just("ab"), Just("abc"), Just("z")];
    proptest::collection::vec(segment, 1..6).prop_map(|segments| segments.join("."))
}

/// The rules one after the other.
fn scan(rules: &Rules, subject: &str) -> Decision {
    let subject = Subject::new(subject).unwrap();
    let matches = |rule: &Decides| rule.patterns.iter().any(|pattern| pattern.matches(subject));
    match rules.all().iter().position(matches) {
        Some(rule) => Decision { rule: Some(rule), engine: rules.all()[rule].engine },
        None => Decision { rule: None, engine: rules.fallback() },
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn routing_is_that_of_a_scan(rules in rules(), subjects in proptest::collection::vec(subject(), 1..20)) {
        for subject in subjects {
            let decided = rules.decide(Subject::new(&subject).unwrap());
            prop_assert_eq!(decided, scan(&rules, &subject), "{}", subject);
        }
    }

    #[test]
    fn what_is_unreachable_decides_nothing(rules in rules(), subjects in proptest::collection::vec(subject(), 1..40)) {
        let dead = rules.unreachable();
        for subject in subjects {
            if let Some(rule) = scan(&rules, &subject).rule {
                let all = 0..rules.all()[rule].patterns.len();
                let is_dead = |at| dead.iter().any(|it| (it.rule, it.pattern) == (rule, at));
                prop_assert!(!all.into_iter().all(is_dead), "{rule}: {subject}");
            }
        }
    }
}

/// What has the subjects of a dead pattern comes before it, and has them all.
#[test]
fn a_dead_pattern_names_the_rules_that_have_its_subjects() {
    let by = |rules: &[&[&str]]| {
        let of = |it: &&[&str]| Decides {
            patterns: it.iter().map(|it| RulePattern::try_from(*it).unwrap()).collect(),
            engine: 0,
            requires: None,
        };
        let dead = Rules::new(rules.iter().map(of).collect(), 0).unreachable();
        dead.into_iter().map(|it| (it.rule, it.pattern, it.by)).collect::<Vec<_>>()
    };
    assert_eq!(by(&[&["a.*"], &["b"], &["a.b", "c"]]), [(2, 0, vec![0])]);
    assert_eq!(by(&[&["a.*"], &["b"], &["a.*.>"], &["a.>"]]), [(3, 0, vec![0, 2])]);
    assert_eq!(by(&[&["b"], &["a", "a"]]), [(1, 1, vec![1])]);
    assert_eq!(by(&[&["a", "b"], &["b"], &[">"], &["b"]]), [(1, 0, vec![0]), (3, 0, vec![0])]);
}

/// Every subject of up to three segments; `z` stands for what no pattern names.
fn subjects() -> Vec<String> {
    let segments = ["a", "b", "z"];
    let one: Vec<_> = segments.map(String::from).into();
    let more = |starts: &[String]| -> Vec<String> {
        starts.iter().flat_map(|it| segments.map(|end| format!("{it}.{end}"))).collect()
    };
    let two = more(&one);
    let three = more(&two);
    let four = more(&three);
    [one, two, three, four].concat()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn engines_of_a_pattern_are_those_that_a_subject_of_it_comes_to(
        texts in proptest::collection::vec((proptest::sample::select(vec![
            "a", "b", "*", ">", "a.>", "*.b", "a.*", "*.*", "b.>", "a.b", "*.b.>", "a.a.*", "*.*.*", "a.b.a",
        ]), 0..4_usize), 0..6),
        wanted in proptest::sample::select(vec!["a", "*", ">", "a.>", "*.b", "a.*", "*.*", "*.b.>", "z.*", "a.*.b"]),
        fallback in 0..4_usize,
    ) {
        let rule = |(text, engine): &(&str, usize)| Decides {
            patterns: vec![RulePattern::try_from(*text).unwrap()],
            engine: *engine,
            requires: None,
        };
        let rules = Rules::new(texts.iter().map(rule).collect(), fallback);
        let wanted: PatternBuf = wanted.parse().unwrap();
        let (mut engines, mut feeding) = (Vec::new(), Vec::new());
        for subject in subjects() {
            if wanted.matches(Subject::new(&subject).unwrap()) {
                let decision = scan(&rules, &subject);
                engines.push(decision.engine);
                feeding.extend(decision.rule);
            }
        }
        for found in [&mut engines, &mut feeding] {
            found.sort_unstable();
            found.dedup();
        }
        prop_assert_eq!(rules.engines(core::slice::from_ref(&wanted)), engines);
        prop_assert_eq!(rules.feeding(core::slice::from_ref(&wanted)), feeding);
    }
}
