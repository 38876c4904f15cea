use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::super::pattern::RulePattern;
use super::reaches;
use crate::subject::Subject;

/// Every subject of up to four segments over this alphabet. `z` stands for what no pattern names.
fn subjects() -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut longest = alloc::vec![String::new()];
    for _ in 0..4 {
        let more = |start: &String| {
            ["a", "ab", "b", "az", "abz", "z"].map(|end| match &**start {
                "" => String::from(end),
                _ => format!("{start}.{end}"),
            })
        };
        longest = longest.iter().flat_map(more).collect();
        all.extend(longest.iter().cloned());
    }
    all
}

/// Every pattern of up to three segments, in both dialects.
fn patterns() -> Vec<RulePattern> {
    let mut texts: Vec<String> = alloc::vec![String::new()];
    let mut all = Vec::new();
    for _ in 0..3 {
        let starts = core::mem::take(&mut texts);
        for start in &starts {
            for end in ["a", "ab", "b", "*", ">"] {
                let text = if start.is_empty() { end.into() } else { format!("{start}.{end}") };
                all.extend(RulePattern::try_from(&*text).ok());
                if end != ">" {
                    texts.push(text);
                }
            }
            for end in ["*", "a*", "ab*"] {
                let text = if start.is_empty() { end.into() } else { format!("{start}.{end}") };
                all.extend(RulePattern::prefix(&text).ok());
            }
        }
    }
    all
}

/// Each pattern with the subjects that it matches, as bits.
fn table() -> Vec<(RulePattern, Vec<u64>)> {
    let subjects = subjects();
    let bits = |pattern: &RulePattern| {
        let mut bits = alloc::vec![0_u64; subjects.len().div_ceil(64)];
        for (at, subject) in subjects.iter().enumerate() {
            if pattern.matches(Subject::new(subject).unwrap()) {
                bits[at / 64] |= 1 << (at % 64);
            }
        }
        bits
    };
    patterns().into_iter().map(|pattern| (pattern.clone(), bits(&pattern))).collect()
}

#[test]
fn overlap_and_cover_of_all_pairs_are_those_of_brute_force() {
    let table = table();
    assert!(table.len() > 100, "{}", table.len());
    let (mut overlaps, mut covers) = (0, 0);
    for (one, its) in &table {
        for (other, theirs) in &table {
            let both = its.iter().zip(theirs).any(|(a, b)| a & b != 0);
            assert_eq!(reaches(&[&one.shape(), &other.shape()], &[]), both, "{one} and {other}");
            let outside = its.iter().zip(theirs).any(|(a, b)| a & !b != 0);
            assert_eq!(reaches(&[&one.shape()], &[&other.shape()]), outside, "{one} less {other}");
            overlaps += usize::from(both);
            covers += usize::from(!outside);
        }
    }
    assert!(overlaps > table.len() && covers > table.len(), "{overlaps} {covers}");
}

#[test]
fn what_many_leave_of_two_is_that_of_brute_force() {
    let table = table();
    let pick = 0..table.len();
    let sets =
        (proptest::collection::vec(pick.clone(), 1..3), proptest::collection::vec(pick, 0..8));
    let mut seen = [0, 0];
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 20_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let seen_ref = core::cell::RefCell::new(&mut seen);
    runner
        .run(&sets, |(within, without)| {
            let expected = (0..table[0].1.len()).any(|at| {
                let inside = within.iter().fold(u64::MAX, |bits, it| bits & table[*it].1[at]);
                without.iter().fold(inside, |bits, it| bits & !table[*it].1[at]) != 0
            });
            let shapes =
                |of: &[usize]| of.iter().map(|it| table[*it].0.clone()).collect::<Vec<_>>();
            let (inside, outside) = (shapes(&within), shapes(&without));
            let inside: Vec<_> = inside.iter().map(RulePattern::shape).collect();
            let outside: Vec<_> = outside.iter().map(RulePattern::shape).collect();
            let found =
                reaches(&inside.iter().collect::<Vec<_>>(), &outside.iter().collect::<Vec<_>>());
            prop_assert_eq!(found, expected, "{:?} less {:?}", inside, outside);
            seen_ref.borrow_mut()[usize::from(expected)] += 1;
            Ok(())
        })
        .unwrap();
    assert!(seen[0] > 1000 && seen[1] > 1000, "{seen:?}");
}
