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
    drop(routes.insert([Pattern::from_static(">")].into_iter(), target(1)));
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
            drop(routes.insert([*pattern].into_iter(), target(id as u64)));
        }
        drop(routes.insert([patterns[turn]].into_iter(), target(99)));
        for at in 0..patterns.len() {
            let at = (turn + at) % patterns.len();
            drop(routes.remove([patterns[at]].into_iter(), target(at as u64)));
        }
        assert_eq!(
            routes.find(Subject::from_static("z")).targets.len(),
            usize::from(turn == 0 || turn == 6)
        );
        drop(routes.remove([patterns[turn]].into_iter(), target(99)));
        drop(routes.remove([patterns[turn]].into_iter(), target(99))); // gone already
        assert_eq!((routes.tree.nodes.len(), routes.tree.edges.len()), (1, 0), "{turn}");
    }
}

/// At each number of matches that lies beside a border of a run, and from the cache as well.
#[test]
fn a_subscription_of_several_patterns_is_found_once_and_goes_as_a_whole() {
    for others in [0, 1, 6, 7, 8, 32] {
        for cache in [0, 4] {
            let mut routes = Routes::new(cache);
            let patterns = ["a.b", "a.*", "*.b", "a.>", ">", "c"].map(Pattern::from_static);
            drop(routes.insert(patterns.into_iter(), target(50)));
            for other in 0..others {
                drop(routes.insert([patterns[1]].into_iter(), target(100 - other)));
            }
            let subject = Subject::from_static("a.b");
            for _ in 0..2 {
                let ids: Vec<_> = routes.find(subject).targets.iter().map(|it| it.id).collect();
                assert_eq!(ids.len() as u64, others + 1);
                assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
            }
            drop(routes.remove(patterns.into_iter(), target(50)));
            assert_eq!(routes.find(subject).targets.len() as u64, others);
            for other in 0..others {
                drop(routes.remove([patterns[1]].into_iter(), target(100 - other)));
            }
            assert_eq!((routes.tree.nodes.len(), routes.tree.edges.len()), (1, 0));
        }
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
