//! Tier 0, the words: do subjects, patterns, the matcher and events do what their pages say?

use core::error::Error;
use core::fmt::{Debug, Display};
use core::hash::{Hash, Hasher};
use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use tickbus::error::{InvalidPattern, InvalidSubject, PatternFault, SubjectFault};
use tickbus::subject::{GlobPattern, PrefixPattern};
use tickbus::{Event, Full, Pattern, Subject, events};

fn matches(pattern: &str, subject: &str) -> bool {
    let pattern = Pattern::new(pattern).unwrap_or_else(|invalid| panic!("{pattern}: {invalid}"));
    let subject = Subject::new(subject).unwrap_or_else(|invalid| panic!("{subject}: {invalid}"));
    pattern.matches(subject)
}

/// The contract, said a second time over lists of segments.
fn oracle(pattern: &[&str], subject: &[&str]) -> bool {
    match (pattern, subject) {
        ([], []) => true,
        ([">"], [_, ..]) => true,
        (["*", pattern @ ..], [_, subject @ ..]) => oracle(pattern, subject),
        ([wanted, pattern @ ..], [is, subject @ ..]) => wanted == is && oracle(pattern, subject),
        _ => false,
    }
}

// ---- Subject -----------------------------------------------------------------------------------

#[test]
fn a_subject_is_segments_with_dots_between() {
    for text in ["a", "a.b", "input.button.pressed", "player.7.hit", "-", "a-b_c/d:e"] {
        assert_eq!(Subject::new(text).map(Subject::as_str), Ok(text));
    }
}

fn subject_fault(text: &str) -> SubjectFault {
    Subject::new(text).unwrap_err().fault()
}

fn pattern_fault(text: &str) -> PatternFault {
    Pattern::new(text).unwrap_err().fault()
}

#[test]
fn a_subject_may_hold_any_other_utf_8() {
    for text in ["grün.tür", "部屋.扉", "🚪", "a b. c", "a\u{0}b.\n", "e\u{301}", "a．b", "＊.＞"]
    {
        assert_eq!(Subject::new(text).map(Subject::as_str), Ok(text));
    }
}

#[test]
fn an_invalid_subject_says_what_is_wrong() {
    use SubjectFault::{DoubleDot, Empty, LeadingDot, TrailingDot, Wildcard};
    for (text, wrong) in [
        ("", Empty),
        (".", LeadingDot),
        ("..", LeadingDot),
        (".a", LeadingDot),
        ("a.", TrailingDot),
        ("a.b.", TrailingDot),
        ("ü.", TrailingDot),
        ("a..b", DoubleDot),
        ("a..", DoubleDot),
        ("a.b..c", DoubleDot),
        ("*", Wildcard),
        (">", Wildcard),
        ("a.*", Wildcard),
        ("a.>", Wildcard),
        ("a*", Wildcard),
        ("a>b", Wildcard),
        // Of several, the leftmost.
        (".*", LeadingDot),
        ("*.", Wildcard),
        ("*..a", Wildcard),
        ("a..*", DoubleDot),
    ] {
        assert_eq!(subject_fault(text), wrong, "{text:?}");
    }
}

#[test]
fn a_subject_has_at_most_1024_bytes() {
    let longest = "x".repeat(1024);
    assert_eq!(Subject::new(&longest).map(Subject::as_str), Ok(&*longest));
    assert_eq!(subject_fault(&"x".repeat(1025)), SubjectFault::TooLong);

    // Bytes, not characters.
    assert!(Subject::new(&"ü".repeat(512)).is_ok());
    assert_eq!(subject_fault(&"ü".repeat(513)), SubjectFault::TooLong);

    // Before everything else.
    assert_eq!(subject_fault(&".".repeat(1024)), SubjectFault::LeadingDot);
    assert_eq!(subject_fault(&".".repeat(1025)), SubjectFault::TooLong);
}

#[test]
fn the_segments_of_a_subject() {
    let subject = Subject::from_static("player.7.hit");
    assert_eq!(subject.segments().collect::<Vec<_>>(), ["player", "7", "hit"]);
    assert_eq!(subject.segments().rev().collect::<Vec<_>>(), ["hit", "7", "player"]);
    assert_eq!(Subject::from_static("tick").segments().collect::<Vec<_>>(), ["tick"]);
}

// ---- Pattern -----------------------------------------------------------------------------------

#[test]
fn a_pattern_is_a_subject_with_wildcards_for_segments() {
    for text in ["a", "a.b", "*", ">", "*.*", "*.>", "a.*", "a.>", "*.a", "a.*.b", "a.*.>", "ü.*"]
    {
        assert_eq!(Pattern::new(text).map(Pattern::as_str), Ok(text));
    }
}

#[test]
fn an_invalid_pattern_says_what_is_wrong() {
    use PatternFault::{DoubleDot, Empty, LeadingDot, PartialWildcard, RestNotLast, TrailingDot};
    for (text, wrong) in [
        ("", Empty),
        (".", LeadingDot),
        (".a", LeadingDot),
        (".*", LeadingDot),
        ("a.", TrailingDot),
        ("*.", TrailingDot),
        ("a..b", DoubleDot),
        ("*..*", DoubleDot),
        ("a..>", DoubleDot),
        ("a*", PartialWildcard),
        ("*a", PartialWildcard),
        ("a*b", PartialWildcard),
        ("**", PartialWildcard),
        ("a.b*.c", PartialWildcard),
        ("a.*b.c", PartialWildcard),
        ("a>", PartialWildcard),
        (">a", PartialWildcard),
        (">>", PartialWildcard),
        ("*>", PartialWildcard),
        (">*", PartialWildcard),
        ("a.>b", PartialWildcard),
        ("a.b>", PartialWildcard),
        ("ü*", PartialWildcard),
        ("*ü", PartialWildcard),
        (">.a", RestNotLast),
        ("a.>.b", RestNotLast),
        (">.>", RestNotLast),
        (">.*", RestNotLast),
        (">.", RestNotLast),
        // Of several, the leftmost.
        ("a*.>.b", PartialWildcard),
        ("a.>.b*", RestNotLast),
    ] {
        assert_eq!(pattern_fault(text), wrong, "{text:?}");
    }
}

#[test]
fn a_pattern_has_at_most_1024_bytes() {
    let longest = format!("{}.>", "x".repeat(1022));
    assert_eq!(Pattern::new(&longest).map(Pattern::as_str), Ok(&*longest));
    assert_eq!(pattern_fault(&format!("x{longest}")), PatternFault::TooLong);

    // Before everything else.
    assert_eq!(pattern_fault(&"*".repeat(1024)), PatternFault::PartialWildcard);
    assert_eq!(pattern_fault(&"*".repeat(1025)), PatternFault::TooLong);
}

// ---- matches -----------------------------------------------------------------------------------

#[test]
fn text_matches_itself_byte_by_byte() {
    assert!(matches("a", "a"));
    assert!(matches("input.tilt", "input.tilt"));
    assert!(matches("grün.tür", "grün.tür"));

    assert!(!matches("input.tilt", "input.Tilt")); // case
    assert!(!matches("grün", "GRÜN"));
    assert!(!matches("é", "e\u{301}")); // looks the same, other bytes
    assert!(!matches("ü", "û")); // the first byte is the same
    assert!(!matches("a", "b"));
    assert!(!matches("a", "aa"));
    assert!(!matches("aa", "a"));
    assert!(!matches("a", "a.a"));
    assert!(!matches("a.a", "a"));
    assert!(!matches("a.b", "ab"));
    assert!(!matches("a.b", "a-b"));
}

#[test]
fn a_star_is_exactly_one_segment() {
    assert!(matches("*", "a"));
    assert!(matches("*", "🚪"));
    assert!(matches("a.*", "a.b"));
    assert!(matches("*.b", "a.b"));
    assert!(matches("a.*.c", "a.bbb.c"));
    assert!(matches("*.*.*", "a.b.c"));

    assert!(!matches("*", "a.b"));
    assert!(!matches("a.*", "a")); // never none
    assert!(!matches("*.a", "a"));
    assert!(!matches("a.*", "a.b.c")); // never two
    assert!(!matches("a.*.c", "a.b.b.c"));
    assert!(!matches("a.*.c", "a.b.d"));
    assert!(!matches("a.*.c", "a.b"));
    assert!(!matches("a.*", "b.a"));
    assert!(!matches("*.*", "a.b.c"));
    assert!(!matches("*.*", "a"));
    assert!(!matches("*.b", "a.b.b")); // no second try further right
}

#[test]
fn a_rest_is_one_or_more_segments() {
    assert!(matches(">", "a"));
    assert!(matches(">", "a.b.c"));
    assert!(matches("a.>", "a.b"));
    assert!(matches("a.>", "a.b.c.d"));
    assert!(matches("*.>", "a.b"));
    assert!(matches("a.*.>", "a.b.c"));

    assert!(!matches("a.>", "a")); // never none
    assert!(!matches("a.b.>", "a.b"));
    assert!(!matches("*.>", "a"));
    assert!(!matches("a.*.>", "a.b"));
    assert!(!matches("a.>", "b.a"));
    assert!(!matches("a.>", "ab.c"));
    assert!(!matches("a.>", "aa"));
}

#[test]
fn a_subject_as_a_pattern_matches_itself_alone() {
    let tilt = Subject::from_static("input.tilt");
    assert!(Pattern::from(tilt).matches(tilt));
    assert!(!Pattern::from(tilt).matches(Subject::from_static("input.tilt.x")));
    assert_eq!(Pattern::from(tilt).as_str(), "input.tilt");
}

#[test]
fn the_longest_texts_match() {
    let subject = ["s"; 512].join("."); // 1023 bytes
    assert!(matches(&subject, &subject));
    assert!(matches(&["*"; 512].join("."), &subject));
    assert!(matches(&format!("{}.>", ["*"; 511].join(".")), &subject));
    assert!(!matches(&["*"; 511].join("."), &subject));
    assert!(!matches(&format!("{}.t", ["*"; 511].join(".")), &subject));
    assert!(!matches(&subject, &["s"; 511].join(".")));
}

#[test]
fn the_compiler_can_match() {
    const TILT: Subject = Subject::from_static("input.tilt");
    const ANSWERS: [bool; 4] = [
        Pattern::from_static("input.>").matches(TILT),
        Pattern::from_static("*.tilt").matches(TILT),
        Pattern::from_static("input").matches(TILT),
        Pattern::from_static("input.tilt.>").matches(TILT),
    ];
    const CHECKED: [bool; 4] = [
        Subject::new("a.b").is_ok(),
        Subject::new("a..b").is_ok(),
        Pattern::new("a.>").is_ok(),
        Pattern::new(">.a").is_ok(),
    ];
    assert_eq!(ANSWERS, [true, true, false, false]);
    assert_eq!(CHECKED, [true, false, true, false]);
}

/// A word that differs from its neighbors in length, in case or in its last byte only.
fn word() -> impl Strategy<Value = &'static str> {
    select(["a", "a", "b", "A", "aa", "ü", "û"].as_slice())
}

/// As many segments, counted from the left, as a subject has room for.
fn within_1024_bytes<'a>(mut segments: Vec<&'a str>) -> Vec<&'a str> {
    let mut len = 0;
    let mut fits = |segment: &&'a str| {
        len += segment.len() + 1;
        len <= 1025 // the last segment has no dot
    };
    let room = segments.iter().take_while(|segment| fits(segment)).count();
    segments.truncate(room);
    segments
}

/// 1 to 512 segments; small numbers are as likely as big ones.
fn subject() -> impl Strategy<Value = Vec<&'static str>> {
    prop_oneof![1..=5_usize, 1..=512_usize]
        .prop_flat_map(|count| {
            prop_oneof![vec(word(), count), vec(select(["a", "b"].as_slice()), count)]
        })
        .prop_map(within_1024_bytes)
}

/// A subject, and a pattern made from it that matches it.
fn matching() -> impl Strategy<Value = (Vec<&'static str>, Vec<&'static str>)> {
    (subject(), any::<u64>(), any::<prop::sample::Index>(), any::<bool>()).prop_map(
        |(subject, stars, cut, rest)| {
            let mut pattern: Vec<_> = subject
                .iter()
                .enumerate()
                .map(|(at, &word)| if stars >> (at % 64) & 1 == 1 { "*" } else { word })
                .collect();
            if rest {
                pattern.truncate(cut.index(subject.len()));
                pattern.push(">");
            }
            (pattern, subject)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 1 } else { 512 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_subject_matches_with_segments_put_out_of_sight((pattern, subject) in matching()) {
        prop_assert!(matches(&pattern.join("."), &subject.join(".")));
    }

    #[test]
    fn one_changed_segment_is_seen(
        (pattern, mut subject) in matching(),
        at in any::<prop::sample::Index>(),
    ) {
        let at = at.index(pattern.len());
        let seen = !matches!(pattern[at], "*" | ">");
        subject[at] = "c";
        prop_assert_eq!(matches(&pattern.join("."), &subject.join(".")), !seen);
    }

    #[test]
    fn one_segment_too_few_or_too_many_is_seen((pattern, subject) in matching()) {
        prop_assume!(pattern.last() != Some(&">"));
        let fewer = &subject[..subject.len() - 1];
        if !fewer.is_empty() {
            prop_assert!(!matches(&pattern.join("."), &fewer.join(".")));
        }
        let more = within_1024_bytes([&*subject, &["a"]].concat());
        if more.len() > subject.len() {
            prop_assert!(!matches(&pattern.join("."), &more.join(".")));
        }
    }

    #[test]
    fn the_matcher_agrees_with_the_oracle(
        (pattern, _) in matching(),
        (_, subject) in matching(),
    ) {
        prop_assert_eq!(
            matches(&pattern.join("."), &subject.join(".")),
            oracle(&pattern, &subject)
        );
    }

    #[test]
    fn the_matcher_agrees_with_the_oracle_on_short_texts(
        mut pattern in vec(select(["a", "b", "*"].as_slice()), 1..4),
        rest in any::<bool>(),
        subject in vec(select(["a", "b"].as_slice()), 1..5),
    ) {
        if rest {
            pattern.push(">");
        }
        prop_assert_eq!(
            matches(&pattern.join("."), &subject.join(".")),
            oracle(&pattern, &subject)
        );
    }

    #[test]
    fn the_checks_agree_with_the_rules_by_segment(text in "[ab.*>ü]{0,7}") {
        let segments: Vec<_> = text.split('.').collect();
        let (last, init) = segments.split_last().unwrap();
        let word = |segment: &&str| !segment.is_empty() && !segment.contains(['*', '>']);

        prop_assert_eq!(Subject::new(&text).is_ok(), segments.iter().all(word));
        prop_assert_eq!(
            Pattern::new(&text).is_ok(),
            init.iter().all(|segment| word(segment) || *segment == "*")
                && (word(last) || matches!(*last, "*" | ">"))
        );
    }

    #[test]
    fn any_text_gets_an_answer(text in any::<String>()) {
        if let Ok(subject) = Subject::new(&text) {
            prop_assert!(Pattern::from_static(">").matches(subject));
            prop_assert_eq!(Pattern::new(&text).map(|same| same.matches(subject)), Ok(true));
        } else {
            prop_assert!(text.is_empty() || text.len() > 1024 || text.contains(['.', '*', '>']));
        }
    }
}

// ---- what both are besides ---------------------------------------------------------------------

fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[test]
fn subjects_and_patterns_behave_like_their_text() {
    fn check<'a, T>(a: T, b: T)
    where
        T: Copy + Debug + Display + AsRef<str> + Ord + Hash + TryFrom<&'a str>,
    {
        assert_eq!((a.as_ref(), a.to_string()), ("a.b", "a.b".to_owned()));
        assert_eq!(format!("[{a:>5}]"), "[  a.b]");
        assert!(format!("{a:?}").contains("\"a.b\""));
        assert!(a < b && a != b);
        assert_eq!(T::try_from("a.b").ok(), Some(a));
        assert_eq!(T::try_from("a.b").ok().map(hash), Some(hash(a)));
        assert_ne!(hash(a), hash(b));
        assert!(T::try_from("a..b").is_err());
    }
    check(Subject::from_static("a.b"), Subject::from_static("a.c"));
    check(Pattern::from_static("a.b"), Pattern::from_static("a.c"));
}

#[test]
fn a_subject_outlives_the_wrapper_it_was_read_through() {
    let text = "a.b".to_owned();
    let segment = {
        let subject = Subject::new(&text).unwrap();
        (subject.as_str(), subject.segments().next())
    };
    assert_eq!(segment, ("a.b", Some("a")));
}

#[test]
#[should_panic = "the subject has two dots in a row"]
fn a_bad_subject_of_the_program_panics() {
    let _ = Subject::from_static("a..b");
}

#[test]
#[should_panic = "the pattern goes on after `>`"]
fn a_bad_pattern_of_the_program_panics() {
    let _ = Pattern::from_static("a.>.b");
}

#[test]
fn the_errors_say_what_to_do() {
    let subjects = [
        SubjectFault::Empty,
        SubjectFault::TooLong,
        SubjectFault::LeadingDot,
        SubjectFault::TrailingDot,
        SubjectFault::DoubleDot,
        SubjectFault::Wildcard,
    ]
    .map(|fault| fault.to_string());
    let patterns = [
        PatternFault::Empty,
        PatternFault::TooLong,
        PatternFault::LeadingDot,
        PatternFault::TrailingDot,
        PatternFault::DoubleDot,
        PatternFault::PartialWildcard,
        PatternFault::RestNotLast,
        PatternFault::WildcardNotLast,
        PatternFault::NotInDialect,
    ]
    .map(|fault| fault.to_string());

    assert!(subjects.iter().all(|said| said.starts_with("the subject ")));
    assert!(patterns.iter().all(|said| said.starts_with("the pattern ")));
    let said: HashSet<_> = subjects.iter().chain(&patterns).collect();
    assert_eq!(said.len(), 15, "each fault has words of its own");
    assert!(said.iter().all(|said| said.contains(": ")), "what is wrong: what to do");
}

#[test]
fn the_errors_show_the_text_that_they_refuse() {
    fn message(error: impl Error + Copy + 'static) -> String {
        let boxed: Box<dyn Error> = error.into();
        assert!(boxed.source().is_none());
        boxed.to_string()
    }
    fn shown(text: &str) -> [String; 4] {
        let all = [
            message(Subject::new(text).unwrap_err()),
            message(Pattern::new(text).unwrap_err()),
            message(GlobPattern::new(text).unwrap_err()),
            message(PrefixPattern::new(text).unwrap_err()),
        ];
        all.map(|said| said.split_once(": the ").map(|(shown, _)| shown.into()).unwrap_or(said))
    }

    for (text, quoted) in [
        ("a..b", "`a..b`".to_owned()),
        (".", "`.`".into()),
        ("a..\n\u{1b}[31m", r"`a..\n\u{1b}[31m`".into()), // on one line
        (&format!("{}..", "x".repeat(58)), format!("`{}..`", "x".repeat(58))),
        (&format!("{}..", "x".repeat(59)), format!("`{}.…`", "x".repeat(59))), // 61 bytes
        (&format!("{}..", "ü".repeat(40)), format!("`{}…`", "ü".repeat(30))),
        (&format!("x{}..", "ü".repeat(40)), format!("`x{}…`", "ü".repeat(29))), // no half character
        (&".".repeat(2000), format!("`{}…`", ".".repeat(60))),
    ] {
        assert_eq!(shown(text), [(); 4].map(|()| quoted.clone()), "{text:?}");
    }
    assert!(message(Subject::new("").unwrap_err()).starts_with("the subject is empty"));
    assert_eq!(
        format!("{:?}", Subject::new("a.").unwrap_err()),
        r#"InvalidSubject { fault: TrailingDot, text: "a." }"#
    );

    // Small, without an allocator, and in a constant.
    const CONSTANT: InvalidPattern = match Pattern::new("a*") {
        Err(invalid) => invalid,
        Ok(_) => unreachable!(),
    };
    assert!(message(CONSTANT).starts_with("`a*`: the pattern has a wildcard"));
    const { assert!(size_of::<InvalidPattern>() <= 64 && size_of::<InvalidSubject>() <= 64) };
    const { assert!(size_of::<Result<Subject<'_>, InvalidSubject>>() <= 64) };
}

#[test]
fn full_asks_nothing_of_the_event() {
    struct Opaque(u8);

    let full = Full(Opaque(7));
    assert_eq!(format!("{full:?}"), "Full(..)");
    assert_eq!(full.to_string(), "the bus is full");
    let error: &dyn Error = &full;
    assert!(error.source().is_none());
    let Full(Opaque(event)) = full;
    assert_eq!(event, 7);

    let copied = Full(1);
    assert_eq!((copied, copied), (Full(1), Full(1)));
    assert_ne!(copied, Full(2));
}

// ---- Event and events! -------------------------------------------------------------------------

events! {
    /// All shapes of a variant.
    #[derive(Clone, Debug, PartialEq)]
    enum Shapes {
        #[subject = "shape.unit"]
        Unit,
        #[subject = "shape.tuple"]
        Tuple(u8, String),
        #[subject = "shape.struct"]
        Struct { x: i16, y: i16 },
        #[subject = "shape.empty.tuple"]
        EmptyTuple(),
        #[subject = "shape.empty.struct"]
        EmptyStruct {},
    }
}

#[test]
fn every_shape_of_a_variant_is_a_kind() {
    assert_eq!(
        Shapes::SUBJECTS,
        ["shape.unit", "shape.tuple", "shape.struct", "shape.empty.tuple", "shape.empty.struct",]
    );
    assert_eq!(Shapes::KINDS, 5);
    for (kind, event) in [
        Shapes::Unit,
        Shapes::Tuple(7, "seven".to_owned()),
        Shapes::Struct { x: 3, y: -4 },
        Shapes::EmptyTuple(),
        Shapes::EmptyStruct {},
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(event.kind(), kind, "{event:?}");
        assert_eq!(event.subject(), Shapes::SUBJECTS[kind], "{event:?}");
        assert_eq!(event.clone(), event);
    }
}

/// Which traits an enum got shows which of its attributes were kept.
mod attributes {
    tickbus::events! {
        /// Known attributes only: `doc`, `cfg`, `subject`.
        pub(super) enum Known {
            /// Before.
            #[subject = "known.doc.before"]
            DocBefore,
            #[subject = "known.doc.after"]
            /// After.
            DocAfter,
            /// Before.
            #[subject = "known.doc.both"]
            #[doc = "After."]
            #[doc(alias = "around")]
            DocBoth,
            #[cfg(any())]
            #[subject = "known.never"]
            Never,
            #[subject = "known.cfg.after"]
            #[cfg(all())]
            CfgAfter,
        }

        /// Other attributes, on the enum, on variants and on fields; a trailing comma is missing.
        #[derive(Debug, Default, PartialEq)]
        #[repr(u8)]
        pub(super) enum Other {
            #[subject = "other.cfg"]
            #[cfg(any())]
            #[no_such_attribute]
            Never,
            /// Before, with one more on either side.
            #[non_exhaustive]
            #[subject = "other.hidden"]
            #[doc(hidden)]
            Hidden = 9,
            #[default]
            #[subject = "other.default"]
            Default = 4,
            #[subject = "other.fields"]
            #[cfg_attr(all(), doc = "A conditional attribute.")]
            Fields {
                /// A field.
                #[cfg(all())]
                here: u8,
                #[cfg(any())]
                gone: NoSuchType,
            } = 1,
            #[subject = "other.tuple"]
            #[cfg_attr(any(), no_such_attribute)]
            Tuple(#[cfg(any())] NoSuchType, #[cfg(all())] u8)
        }
    }
}

#[test]
fn the_subject_stands_anywhere_among_the_attributes() {
    use attributes::Known;

    assert_eq!(
        Known::SUBJECTS,
        ["known.doc.before", "known.doc.after", "known.doc.both", "known.cfg.after"]
    );
    assert_eq!(
        [Known::DocBefore, Known::DocAfter, Known::DocBoth, Known::CfgAfter]
            .map(|event| event.kind()),
        [0, 1, 2, 3]
    );
}

#[test]
fn the_other_attributes_stay() {
    use attributes::Other;

    assert_eq!(Other::SUBJECTS, ["other.hidden", "other.default", "other.fields", "other.tuple"]);
    assert_eq!(Other::default(), Other::Default);
    assert_eq!(
        [Other::Hidden, Other::Default, Other::Fields { here: 1 }, Other::Tuple(2)]
            .map(|event| event.kind()),
        [0, 1, 2, 3]
    );
    assert_eq!(size_of::<Other>(), 2); // the `repr`, and no field too many
}

#[deny(deprecated)]
mod deprecated {
    tickbus::events! {
        pub(crate) enum Old {
            #[subject = "old.fine"]
            Fine,
            #[deprecated]
            #[subject = "old.gone"]
            Gone,
        }
    }
}

#[test]
fn to_declare_a_deprecated_variant_is_no_use_of_it() {
    #[expect(deprecated, reason = "this is")]
    let gone = deprecated::Old::Gone;
    assert_eq!([deprecated::Old::Fine, gone].map(|event| event.kind()), [0, 1]);
}

mod several {
    tickbus::events! {
        #[derive(Clone, Copy)]
        pub enum Public {
            #[subject = "several.shared"]
            Shared = 70,
            #[subject = "several.public"]
            Public = 7,
        }

        pub(crate) enum Crate { #[subject = "several.crate"] Crate }

        pub(in crate::several) enum Here { #[subject = "several.here"] Here, }

        // The names inside the expansion shadow nothing.
        enum Kind {
            #[subject = "several.kind"]
            Kind,
            #[subject = "several.shared"]
            Event,
        }
    }

    pub(crate) fn hidden() -> [&'static str; 3] {
        use tickbus::Event as _;
        [Here::Here.subject(), Kind::Kind.subject(), Kind::Event.subject()]
    }
}

#[test]
fn several_enums_in_one_go_count_for_themselves() {
    assert_eq!(several::Public::SUBJECTS, ["several.shared", "several.public"]);
    assert_eq!(several::Public::Shared.kind(), 0);
    assert_eq!(several::Public::Public.kind(), 1);
    assert_eq!([several::Public::Shared as u8, several::Public::Public as u8], [70, 7]);
    assert_eq!(several::Crate::Crate.kind(), 0);
    assert_eq!(several::Crate::KINDS, 1);
    assert_eq!(several::hidden(), ["several.here", "several.kind", "several.shared"]);
}

#[test]
fn events_can_be_declared_in_a_function_and_without_imports() {
    mod bare {
        pub(super) fn subjects() -> (&'static [&'static str], usize) {
            ::tickbus::events! {
                enum Lamp {
                    #[subject = "lamp.on"]
                    On,
                    #[subject = "lamp.off"]
                    #[doc(hidden)]
                    Off,
                }
            }
            let kinds = [Lamp::On, Lamp::Off].map(|lamp| ::tickbus::Event::kind(&lamp));
            (<Lamp as ::tickbus::Event>::SUBJECTS, kinds[1])
        }
    }
    assert_eq!(bare::subjects(), (["lamp.on", "lamp.off"].as_slice(), 1));
}

#[test]
fn an_enum_without_variants_has_no_kinds() {
    events! {
        #[derive(Debug)]
        enum Never {}
    }
    assert_eq!(Never::KINDS, 0);
    assert_eq!(Never::SUBJECTS, [""; 0]);
}

#[test]
fn the_kinds_are_constants() {
    const SEEN: [u8; Shapes::KINDS] = [0; { Shapes::KINDS }];
    assert_eq!(SEEN.len(), 5);
}

// More variants than the compiler's recursion limit.
events! {
    #[derive(Clone, Copy)]
    enum Many {
        #[subject = "many.000"] K000, #[subject = "many.001"] K001, #[subject = "many.002"] K002, #[subject = "many.003"] K003,
        #[subject = "many.004"] K004, #[subject = "many.005"] K005, #[subject = "many.006"] K006, #[subject = "many.007"] K007,
        #[subject = "many.008"] K008, #[subject = "many.009"] K009, #[subject = "many.010"] K010, #[subject = "many.011"] K011,
        #[subject = "many.012"] K012, #[subject = "many.013"] K013, #[subject = "many.014"] K014, #[subject = "many.015"] K015,
        #[subject = "many.016"] K016, #[subject = "many.017"] K017, #[subject = "many.018"] K018, #[subject = "many.019"] K019,
        #[subject = "many.020"] K020, #[subject = "many.021"] K021, #[subject = "many.022"] K022, #[subject = "many.023"] K023,
        #[subject = "many.024"] K024, #[subject = "many.025"] K025, #[subject = "many.026"] K026, #[subject = "many.027"] K027,
        #[subject = "many.028"] K028, #[subject = "many.029"] K029, #[subject = "many.030"] K030, #[subject = "many.031"] K031,
        #[subject = "many.032"] K032, #[subject = "many.033"] K033, #[subject = "many.034"] K034, #[subject = "many.035"] K035,
        #[subject = "many.036"] K036, #[subject = "many.037"] K037, #[subject = "many.038"] K038, #[subject = "many.039"] K039,
        #[subject = "many.040"] K040, #[subject = "many.041"] K041, #[subject = "many.042"] K042, #[subject = "many.043"] K043,
        #[subject = "many.044"] K044, #[subject = "many.045"] K045, #[subject = "many.046"] K046, #[subject = "many.047"] K047,
        #[subject = "many.048"] K048, #[subject = "many.049"] K049, #[subject = "many.050"] K050, #[subject = "many.051"] K051,
        #[subject = "many.052"] K052, #[subject = "many.053"] K053, #[subject = "many.054"] K054, #[subject = "many.055"] K055,
        #[subject = "many.056"] K056, #[subject = "many.057"] K057, #[subject = "many.058"] K058, #[subject = "many.059"] K059,
        #[subject = "many.060"] K060, #[subject = "many.061"] K061, #[subject = "many.062"] K062, #[subject = "many.063"] K063,
        #[subject = "many.064"] K064, #[subject = "many.065"] K065, #[subject = "many.066"] K066, #[subject = "many.067"] K067,
        #[rust_analyzer::skip] #[subject = "many.068"] K068, #[subject = "many.069"] K069, #[subject = "many.070"] K070, #[subject = "many.071"] K071,
        #[subject = "many.072"] K072, #[subject = "many.073"] K073, #[subject = "many.074"] K074, #[subject = "many.075"] K075,
        #[subject = "many.076"] K076, #[subject = "many.077"] K077, #[subject = "many.078"] K078, #[subject = "many.079"] K079,
        #[subject = "many.080"] K080, #[subject = "many.081"] K081, #[subject = "many.082"] K082, #[subject = "many.083"] K083,
        #[subject = "many.084"] K084, #[subject = "many.085"] K085, #[subject = "many.086"] K086, #[subject = "many.087"] K087,
        #[subject = "many.088"] K088, #[subject = "many.089"] K089, #[subject = "many.090"] K090, #[subject = "many.091"] K091,
        #[subject = "many.092"] K092, #[subject = "many.093"] K093, #[subject = "many.094"] K094, #[subject = "many.095"] K095,
        #[subject = "many.096"] K096, #[subject = "many.097"] K097, #[subject = "many.098"] K098, #[subject = "many.099"] K099,
        #[subject = "many.100"] K100, #[subject = "many.101"] K101, #[subject = "many.102"] K102, #[subject = "many.103"] K103,
        #[subject = "many.104"] K104, #[subject = "many.105"] K105, #[subject = "many.106"] K106, #[subject = "many.107"] K107,
        #[subject = "many.108"] K108, #[subject = "many.109"] K109, #[subject = "many.110"] K110, #[subject = "many.111"] K111,
        #[subject = "many.112"] K112, #[subject = "many.113"] K113, #[subject = "many.114"] K114, #[subject = "many.115"] K115,
        #[subject = "many.116"] K116, #[subject = "many.117"] K117, #[subject = "many.118"] K118, #[subject = "many.119"] K119,
        #[subject = "many.120"] K120, #[subject = "many.121"] K121, #[subject = "many.122"] K122, #[subject = "many.123"] K123,
        #[subject = "many.124"] K124, #[subject = "many.125"] K125, #[subject = "many.126"] K126, #[subject = "many.127"] K127,
        #[subject = "many.128"] K128, #[subject = "many.129"] K129, #[subject = "many.130"] K130, #[subject = "many.131"] K131,
        #[subject = "many.132"] K132, #[subject = "many.133"] K133, #[subject = "many.134"] K134, #[subject = "many.135"] K135,
        #[subject = "many.136"] K136, #[subject = "many.137"] K137, #[subject = "many.138"] K138, #[subject = "many.139"] K139,
    }
}

#[test]
fn the_number_of_variants_is_not_bounded_by_the_recursion_limit() {
    assert_eq!(Many::KINDS, 140);
    assert_eq!((Many::K000.kind(), Many::K139.kind()), (0, 139));
    assert_eq!(Many::K139.subject(), "many.139");
}

/// The trait is not in scope here.
#[forbid(warnings, clippy::all, clippy::pedantic, clippy::nursery)]
mod strict {
    tickbus::events! {
        /// As strict as lints are, and with a variant that is named like a constant.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        enum Strict {
            /// Documented.
            #[subject = "strict.kinds"]
            KINDS,
            /// Documented.
            #[subject = "strict.pair"]
            Pair {
                /// Documented.
                left: u8,
            },
        }

        enum Second {
            #[subject = "second.one"]
            One,
            #[subject = "second.two"]
            Two,
            #[subject = "second.three"]
            Three,
        }
    }

    #[test]
    fn the_enum_has_the_constants_without_the_trait() {
        const SECOND: [Second; Second::KINDS] = [Second::One, Second::Two, Second::Three];

        assert_eq!(Strict::SUBJECTS, ["strict.kinds", "strict.pair"]);
        assert_eq!(Second::SUBJECTS, ["second.one", "second.two", "second.three"]);
        assert_eq!(SECOND.map(|event| tickbus::Event::kind(&event)), [0, 1, 2]);
        assert_eq!(<Strict as tickbus::Event>::KINDS, 2);
        let both = [Strict::KINDS, Strict::Pair { left: 1 }];
        assert_eq!(both.map(|event| tickbus::Event::kind(&event)), [0, 1]);
    }
}

/// No enum: the kind is a field.
struct Button {
    down: bool,
}

impl Event for Button {
    const SUBJECTS: &'static [&'static str] = &[
        Subject::from_static("input.button.released").as_str(),
        Subject::from_static("input.button.pressed").as_str(),
    ];

    fn kind(&self) -> usize {
        usize::from(self.down)
    }
}

#[test]
fn a_struct_can_be_an_event() {
    assert_eq!(Button::KINDS, 2);
    assert_eq!(Button { down: false }.subject(), "input.button.released");
    assert_eq!(Button { down: true }.subject(), "input.button.pressed");
}

#[test]
#[should_panic = "index out of bounds"]
fn a_kind_outside_the_table_has_no_subject() {
    struct Broken;

    impl Event for Broken {
        const SUBJECTS: &'static [&'static str] = &["broken"];

        fn kind(&self) -> usize {
            Self::KINDS
        }
    }

    Broken.subject();
}
