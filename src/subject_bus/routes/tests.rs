use alloc::format;
use alloc::vec::Vec;

use super::{Routes, Target, split};
use crate::subject::{Pattern, Subject};

const fn target(id: u64) -> Target {
    Target { id, key: 0, filtered: false, rest: false }
}

#[test]
fn the_cache_is_bounded_and_makes_room_for_those_that_come_later() {
    let mut routes = Routes::new(4);
    drop(routes.insert(Pattern::from_static(">"), target(1)));
    for n in 0..10_000 {
        let subject = format!("s.{n}");
        assert_eq!(routes.find(Subject::checked(&subject)).targets.len(), 1);
        assert!(routes.cache.len() <= 4, "{n}");
    }
    let later = ["a", "b", "c"].map(Subject::from_static);
    for _ in 0..1000 {
        later.iter().for_each(|subject| drop(routes.find(*subject).keep()));
    }
    assert!(later.iter().all(|subject| routes.find(*subject).cached.is_some()));

    let mut none = Routes::new(0);
    assert!((0..9).all(|_| none.find(later[0]).cached.is_none()) && none.cache.is_empty());
}

#[test]
fn a_pattern_that_is_gone_leaves_nothing_behind() {
    let mut routes = Routes::new(4);
    let patterns = [">", "a", "a.b", "a.*", "a.*.>", "*.b.c", "*", "a.b.long.segments.of.it"];
    let patterns = patterns.map(Pattern::from_static);
    for turn in 0..patterns.len() {
        for (id, pattern) in patterns.iter().enumerate() {
            drop(routes.insert(*pattern, target(id as u64)));
        }
        drop(routes.insert(patterns[turn], target(99)));
        for at in 0..patterns.len() {
            let at = (turn + at) % patterns.len();
            drop(routes.remove(patterns[at], target(at as u64)));
        }
        assert_eq!(
            routes.find(Subject::from_static("z")).targets.len(),
            usize::from(turn == 0 || turn == 6)
        );
        drop(routes.remove(patterns[turn], target(99)));
        drop(routes.remove(patterns[turn], target(99))); // gone already
        assert_eq!((routes.tree.nodes.len(), routes.tree.edges.len()), (1, 0), "{turn}");
    }
}

#[test]
fn a_text_is_split_at_its_dots_wherever_they_are() {
    for first in 1..20 {
        for second in 0..20 {
            let text = format!(
                "{}.{}",
                "ä-/0".repeat(5)[..].chars().cycle().take(first).collect::<alloc::string::String>(),
                "x".repeat(second)
            );
            let text = text.trim_end_matches('.');
            let mut rest = text.as_bytes();
            let mut segments = Vec::new();
            while !rest.is_empty() {
                let (segment, more) = split(rest);
                let mut bytes = segment.word.to_le_bytes().to_vec();
                assert!(bytes.iter().skip(segment.len).all(|byte| *byte == 0), "{text}");
                bytes.truncate(segment.len);
                bytes.extend_from_slice(segment.more);
                segments.push(bytes);
                rest = more;
            }
            assert!(segments.into_iter().eq(text.split('.').map(str::as_bytes)), "{text}");
        }
    }
}
