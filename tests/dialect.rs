//! Patterns as other buses write them: does each match what its own bus would deliver, and nothing else?

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use tickbus::error::PatternFault;
use tickbus::subject::{GlobPattern, PrefixPattern};
use tickbus::{Pattern, Subject};

fn subject(text: &str) -> Subject<'_> {
    Subject::new(text).unwrap_or_else(|invalid| panic!("{text}: {invalid}"))
}

#[track_caller]
fn glob(pattern: &str, matches: &[&str], others: &[&str]) {
    let glob = GlobPattern::new(pattern).unwrap();
    for text in matches {
        assert!(glob.matches(subject(text)), "{pattern} {text}");
    }
    for text in others {
        assert!(!glob.matches(subject(text)), "{pattern} {text}");
    }
}

#[track_caller]
fn prefix(pattern: &str, matches: &[&str], others: &[&str]) {
    let prefix = PrefixPattern::new(pattern).unwrap();
    for text in matches {
        assert!(prefix.matches(subject(text)), "{pattern} {text}");
    }
    for text in others {
        assert!(!prefix.matches(subject(text)), "{pattern} {text}");
    }
}

// ---- Globs: `*` alone is everything; otherwise equal number of segments, `*` is one -------------

#[test]
fn a_star_alone_is_every_glob() {
    glob("*", &["a", "a.b", "public.users.create", "x.y.z.w"], &[]);
}

#[test]
fn a_star_of_a_glob_is_one_segment() {
    glob(
        "public.users.*",
        &["public.users.create", "public.users.x"],
        &["public.users", "public.users.create.now", "public.user.create", "other.users.create"],
    );
    glob(
        "*.*.create",
        &["public.users.create", "a.b.create"],
        &["create", "users.create", "public.users.delete", "a.b.c.create"],
    );
    glob("*.*", &["a.b"], &["a", "a.b.c"]);
}

#[test]
fn a_glob_without_a_star_is_exact() {
    glob(
        "public.users.create",
        &["public.users.create"],
        &["public.users", "public.users.create.now", "Public.users.create", "public.users.creat"],
    );
}

#[test]
fn what_a_glob_is_not_is_told() {
    use PatternFault::{
        DoubleDot, Empty, LeadingDot, NotInDialect, PartialWildcard, TooLong, TrailingDot,
    };
    let long = "x".repeat(1025);
    for (text, wrong) in [
        ("", Empty),
        (&*long, TooLong),
        (&*long.replace('x', ">"), TooLong),
        (".a", LeadingDot),
        ("a.", TrailingDot),
        ("*.", TrailingDot),
        ("a..b", DoubleDot),
        ("a*", PartialWildcard),
        ("**", PartialWildcard),
        (">", NotInDialect),
        ("a.>", NotInDialect),
        ("a>b", NotInDialect),
    ] {
        assert_eq!(GlobPattern::new(text).unwrap_err().fault(), wrong, "{text}");
    }
    assert!(GlobPattern::new(&long[1..]).is_ok());
}

// ---- Prefixes: exact, or trailing `*` as text prefix; `*` alone is everything -------------------

#[test]
fn a_star_alone_is_every_prefix() {
    prefix("*", &["a", "a.b", "user.7.created"], &[]);
}

#[test]
fn a_star_at_the_end_is_whatever_follows() {
    prefix("user.*", &["user.created", "user.7.created", "user.u"], &["user", "users", "use.r"]);
    prefix(
        "user*",
        &["user", "users", "user.created", "user.7.created"],
        &["use", "auser", "User"],
    );
    prefix("user.cr*", &["user.cr", "user.created", "user.cr.7"], &["user.c", "user.deleted"]);
}

#[test]
fn a_prefix_without_a_star_is_exact() {
    prefix("user.created", &["user.created"], &["user", "user.created.now", "user.create"]);
}

#[test]
fn what_a_prefix_is_not_is_told() {
    use PatternFault::{
        DoubleDot, Empty, LeadingDot, NotInDialect, TooLong, TrailingDot, WildcardNotLast,
    };
    let long = "x".repeat(1025);
    for (text, wrong) in [
        ("", Empty),
        (&*long, TooLong),
        (".a", LeadingDot),
        (".*", LeadingDot),
        ("a.", TrailingDot),
        ("a..b", DoubleDot),
        ("a..*", DoubleDot),
        ("*.created", WildcardNotLast),
        ("user.*.created", WildcardNotLast),
        ("**", WildcardNotLast),
        (">", NotInDialect),
        ("a.>*", NotInDialect),
    ] {
        assert_eq!(PrefixPattern::new(text).unwrap_err().fault(), wrong, "{text}");
    }
    assert!(PrefixPattern::new(&format!("{}*", &long[2..])).is_ok());
}

#[test]
#[cfg(feature = "alloc")]
fn the_cover_is_the_narrowest_pattern() {
    for (text, cover) in [
        ("*", ">"),
        ("user", "user"),
        ("user.created", "user.created"),
        ("user*", ">"),
        ("user.*", "user.>"),
        ("user.7.cr*", "user.7.>"),
    ] {
        assert_eq!(PrefixPattern::new(text).unwrap().cover(), cover, "{text}");
    }
}

// ---- Both --------------------------------------------------------------------------------------

#[test]
fn all_of_it_works_while_compiling() {
    const CREATED: Subject = Subject::from_static("user.created");
    const { assert!(GlobPattern::from_static("*.created").matches(CREATED)) }
    const { assert!(PrefixPattern::from_static("user.*").matches(CREATED)) }
    const { assert!(!PrefixPattern::from_static("user").matches(CREATED)) }
}

/// What is said in the same words means different things: that is why they are types.
#[test]
fn the_dialects_differ() {
    let deep = subject("user.7.created");
    for (text, pattern, glob, prefix) in
        [("*", false, true, true), ("user.*", false, false, true), ("user.7.*", true, true, true)]
    {
        assert_eq!(Pattern::new(text).unwrap().matches(deep), pattern, "{text}");
        assert_eq!(GlobPattern::new(text).unwrap().matches(deep), glob, "{text}");
        assert_eq!(PrefixPattern::new(text).unwrap().matches(deep), prefix, "{text}");
    }
}

#[test]
fn they_print_and_convert() {
    let (glob, prefix) = (GlobPattern::from_static("a.*"), PrefixPattern::from_static("a.*"));
    assert_eq!((format!("{glob:>5}"), format!("{prefix:<5}|")), ("  a.*".into(), "a.*  |".into()));
    assert_eq!((glob.as_ref(), prefix.as_ref()), ("a.*", "a.*"));
    assert_eq!(
        (GlobPattern::try_from("a.*"), PrefixPattern::try_from("a.*")),
        (Ok(glob), Ok(prefix))
    );
    assert_eq!(Pattern::from(glob), Pattern::from_static("a.*"));
}

fn naive_glob(pattern: &str, subject: &str) -> bool {
    let (pattern, subject): (Vec<_>, Vec<_>) =
        (pattern.split('.').collect(), subject.split('.').collect());
    pattern == ["*"]
        || pattern.len() == subject.len()
            && pattern.iter().zip(subject).all(|(wanted, is)| *wanted == "*" || *wanted == is)
}

fn naive_prefix(pattern: &str, subject: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => subject.starts_with(prefix),
        None => pattern == subject,
    }
}

/// How many segments a long text has at most. An interpreter takes minutes for 512, and for a class of all
/// characters.
const LONG: usize = if cfg!(miri) { 12 } else { 512 };
const ANY_TEXT: &str = if cfg!(miri) { "[a*>.ü]{0,8}" } else { "[a*>.ü]{0,8}|.{0,8}" };

/// Few segments of few letters, so that matches are common.
fn segments(of: &'static [&'static str], most: usize) -> impl Strategy<Value = String> {
    vec(select(of), 1..most).prop_map(|segments| segments.join("."))
}

fn subjects() -> impl Strategy<Value = String> {
    prop_oneof![segments(&["a", "b", "ab", "ü"], 5), segments(&["a", "b"], LONG)]
}

proptest! {
    #[test]
    fn globs_match_as_the_naive_matcher(
        pattern in prop_oneof![
            Just("*".to_owned()),
            segments(&["a", "b", "ab", "ü", "*", "*"], 5),
            segments(&["a", "*", "*", "*"], LONG),
        ],
        text in subjects(),
    ) {
        let glob = GlobPattern::new(&pattern).unwrap();
        prop_assert_eq!(glob.matches(subject(&text)), naive_glob(&pattern, &text));
        prop_assert_eq!(glob.to_pattern().matches(subject(&text)), naive_glob(&pattern, &text));
    }

    #[test]
    fn prefixes_match_as_the_naive_matcher(
        text in subjects(),
        cut in any::<prop::sample::Index>(),
        other in segments(&["a", "b", "ab", "ü"], 5),
        ending in select(&["", "*", ".*", "a*"]),
    ) {
        let mut start = cut.index(text.len() + 1);
        while !text.is_char_boundary(start) {
            start -= 1;
        }
        for pattern in [format!("{}{ending}", &text[..start]), format!("{other}{ending}")] {
            let Ok(prefix) = PrefixPattern::new(&pattern) else { continue };
            prop_assert_eq!(prefix.matches(subject(&text)), naive_prefix(&pattern, &text));
            #[cfg(feature = "alloc")]
            {
                prop_assert_eq!(prefix.predicate()(subject(&text)), naive_prefix(&pattern, &text));
                let cover = prefix.cover();
                let cover = Pattern::new(&cover).unwrap();
                prop_assert!(!prefix.matches(subject(&text)) || cover.matches(subject(&text)));
                if pattern == "*" || pattern.ends_with(".*") || !pattern.ends_with('*') {
                    prop_assert_eq!(cover.matches(subject(&text)), prefix.matches(subject(&text)));
                }
            }
        }
    }

    #[test]
    fn any_text_is_one_or_is_told(text in ANY_TEXT) {
        let pattern = Pattern::new(&text);
        let glob = GlobPattern::new(&text);
        prop_assert_eq!(glob.is_ok(), pattern.is_ok() && !text.contains('>'));
        let body = text.strip_suffix('*').unwrap_or(&text);
        let begins = |end: &str| Subject::new(&format!("{body}{end}")).is_ok();
        let valid = if text.ends_with('*') { begins("a") } else { begins("") };
        prop_assert_eq!(PrefixPattern::new(&text).is_ok(), valid);
    }
}
