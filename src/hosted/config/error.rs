//! What is wrong with a configuration: [`ConfigError`].

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::error::Error;
use core::fmt;

use serde::de::{self, Unexpected};

use crate::error::PatternFault;
use crate::hosted::engine::BoxError;
use crate::hosted::router::Have;

/// A line and a column of a file. Both begin with 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The line.
    pub line: u32,
    /// The column, in characters.
    pub column: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// A configuration cannot be used.
///
/// The text begins with the file, the line and the column, and names the key:
/// `bus.yaml:7:22: eventbus.engines[0].config.workerCount: …`. It contains neither a value that came
/// from a variable nor a secret.
pub struct ConfigError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    file: Option<Arc<str>>,
    place: Option<Place>,
    /// The innermost first, while the error travels outward.
    path: Vec<Step>,
    fault: ConfigFault,
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    Key(Box<str>),
    Index(usize),
}

/// What is wrong with a key of a configuration, or its value.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConfigFault {
    /// The file cannot be read.
    Unreadable(BoxError),
    /// The text is neither YAML nor JSON.
    Syntax(Box<str>),
    /// The key was there before.
    DuplicateKey {
        /// Where.
        first: Option<Place>,
    },
    /// The configuration does not know this key.
    UnknownKey {
        /// The known key that looks most like it.
        near: Option<Box<str>>,
        /// The known keys.
        known: Vec<Box<str>>,
    },
    /// A key that must be there is not.
    MissingKey,
    /// The key has no value.
    NoValue,
    /// The value is of another type.
    WrongType {
        /// What it must be.
        expected: Box<str>,
        /// What it is.
        found: &'static str,
    },
    /// The value is not one of those that are possible.
    UnknownValue {
        /// The possible value that looks most like it.
        near: Option<Box<str>>,
        /// The possible values.
        known: Vec<Box<str>>,
    },
    /// The value is out of range, or its text means nothing.
    Invalid(Box<str>),
    /// A variable without a default is not set.
    UnsetVariable(Box<str>),
    /// The text has a `${` that does not begin a variable.
    BadVariable(&'static str),
    /// The key belongs to the form with one engine, and `engines` to that with several.
    MixedForms,
    /// No engine is named.
    NoEngine,
    /// Another engine has this name.
    DuplicateEngine {
        /// Where.
        first: Option<Place>,
    },
    /// A rule names an engine that does not exist.
    UnknownEngine {
        /// The engine whose name looks most like it.
        near: Option<Box<str>>,
        /// The engines.
        known: Vec<Box<str>>,
    },
    /// No factory is registered for the type of an engine.
    UnknownType {
        /// The type that looks most like it.
        near: Option<Box<str>>,
        /// The types.
        known: Vec<Box<str>>,
    },
    /// The program was built without the feature that has this type of engine, or this key.
    FeatureMissing(&'static str),
    /// This version has no engine of this type. The program can register one.
    NoSuchEngine,
    /// The topic is not a pattern.
    Topic(PatternFault),
    /// An earlier rule matches each topic of this one.
    #[non_exhaustive]
    UnreachableRule {
        /// Where the first of the earlier ones is.
        earlier: Option<Place>,
        /// The number of the rule, from 1.
        rule: usize,
        /// The numbers of the earlier ones.
        by: Vec<usize>,
    },
    /// The factory of the engine returned an error.
    Factory(BoxError),
}

impl ConfigFault {
    /// Returns the fault as one word, for logs and for programs that compare.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "unreadable",
            Self::Syntax(_) => "syntax",
            Self::DuplicateKey { .. } => "duplicate_key",
            Self::UnknownKey { .. } => "unknown_key",
            Self::MissingKey => "missing_key",
            Self::NoValue => "no_value",
            Self::WrongType { .. } => "wrong_type",
            Self::UnknownValue { .. } => "unknown_value",
            Self::Invalid(_) => "invalid",
            Self::UnsetVariable(_) => "unset_variable",
            Self::BadVariable(_) => "bad_variable",
            Self::MixedForms => "mixed_forms",
            Self::NoEngine => "no_engine",
            Self::DuplicateEngine { .. } => "duplicate_engine",
            Self::UnknownEngine { .. } => "unknown_engine",
            Self::UnknownType { .. } => "unknown_type",
            Self::FeatureMissing(_) => "feature_missing",
            Self::NoSuchEngine => "no_such_engine",
            Self::Topic(_) => "topic",
            Self::UnreachableRule { .. } => "unreachable_rule",
            Self::Factory(_) => "factory",
        }
    }
}

impl ConfigError {
    pub(super) fn new(fault: ConfigFault, place: Option<Place>) -> Self {
        Self(Box::new(Inner { file: None, place, path: Vec::new(), fault }))
    }

    /// The error of a key, seen from the mapping that has it.
    pub(super) fn under(mut self, step: Step) -> Self {
        self.0.path.push(step);
        self
    }

    pub(super) fn under_key(self, key: &str) -> Self {
        self.under(Step::Key(key.into()))
    }

    /// The place, unless there is one already: the innermost is the narrowest.
    pub(super) fn at(mut self, place: Option<Place>) -> Self {
        self.0.place = self.0.place.or(place);
        self
    }

    pub(super) fn in_file(mut self, file: Option<&Arc<str>>) -> Self {
        if self.0.file.is_none() {
            self.0.file = file.cloned();
        }
        self
    }

    /// Takes a text out of what the error says.
    pub(super) fn without(mut self, value: &str) -> Self {
        if let ConfigFault::Invalid(said) = &mut self.0.fault
            && !value.is_empty()
            && said.contains(value)
        {
            *said = "its value is not valid".into();
        }
        self
    }

    /// Returns the file: its path, or the name that you gave to the text.
    #[must_use]
    pub fn file(&self) -> Option<&str> {
        self.0.file.as_deref()
    }

    /// Returns the place in the file. There is none if the file cannot be read, or if the
    /// configuration came from another format.
    #[must_use]
    pub fn place(&self) -> Option<Place> {
        self.0.place
    }

    /// Returns the path of the key, as `eventbus.engines[0].config.workerCount`. It is empty if the
    /// error is about the whole file.
    #[must_use]
    pub fn key(&self) -> String {
        let mut key = String::new();
        for step in self.0.path.iter().rev() {
            match step {
                Step::Index(at) => key += &format!("[{at}]"),
                Step::Key(name) => {
                    if !key.is_empty() {
                        key.push('.');
                    }
                    key += name;
                }
            }
        }
        key
    }

    /// Returns what is wrong.
    #[must_use]
    pub fn fault(&self) -> &ConfigFault {
        &self.0.fault
    }
}

/// `did you mean` if one is near, else all that are possible.
struct Hint<'a>(&'a Option<Box<str>>, &'a [Box<str>]);

impl fmt::Display for Hint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0, self.1) {
            (Some(near), _) => write!(f, ": did you mean `{near}`?"),
            (None, []) => Ok(()),
            (None, known) => {
                f.write_str(if known.len() == 1 { ": possible is " } else { ": possible are " })?;
                for (at, one) in known.iter().enumerate() {
                    let before = if at == 0 { "" } else { ", " };
                    write!(f, "{before}`{one}`")?;
                }
                Ok(())
            }
        }
    }
}

fn also_at(f: &mut fmt::Formatter<'_>, place: Option<Place>) -> fmt::Result {
    place.map_or(Ok(()), |place| write!(f, ", at {place}"))
}

impl fmt::Display for ConfigFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => write!(f, "the file cannot be read: {error}"),
            Self::Syntax(what) => f.write_str(what),
            Self::DuplicateKey { first } => {
                f.write_str("the key was there before")?;
                also_at(f, *first)
            }
            Self::UnknownKey { near, known } => {
                write!(f, "unknown key{}", Hint(near, known))
            }
            Self::MissingKey => f.write_str("the key is missing"),
            Self::NoValue => f.write_str("it has no value: give it one, or remove the key"),
            Self::WrongType { expected, found } => {
                write!(f, "it is {found}, and must be {expected}")?;
                let quote =
                    &**expected == "a text" && matches!(*found, "a number" | "a truth value");
                f.write_str(if quote { ": write it in quotes" } else { "" })
            }
            Self::UnknownValue { near, known } => {
                write!(f, "there is no such value{}", Hint(near, known))
            }
            Self::Invalid(why) => f.write_str(why),
            Self::UnsetVariable(name) => write!(
                f,
                "the variable `{name}` is not set: set it, or write `${{{name}:-default}}`"
            ),
            Self::BadVariable(why) => write!(f, "{why}: for a plain `${{`, write `$${{`"),
            Self::MixedForms => f.write_str(
                "with `engines`, this key belongs into the `config` of an engine: move it there",
            ),
            Self::NoEngine => f.write_str("no engine is named: add `engines`, or `engine`"),
            Self::DuplicateEngine { first } => {
                f.write_str("another engine has this name")?;
                also_at(f, *first)
            }
            Self::UnknownEngine { near, known } => {
                write!(f, "there is no engine of this name{}", Hint(near, known))
            }
            Self::UnknownType { near, known } => write!(
                f,
                "there is no engine of this type (`Registry::register` adds one){}",
                Hint(near, known)
            ),
            Self::FeatureMissing(feature) => {
                write!(f, "it needs the feature `{feature}` of tickbus")
            }
            Self::NoSuchEngine => f.write_str(
                "this version of tickbus has no engine of this type: add one of your own with \
                 `Registry::register`",
            ),
            Self::Topic(fault) => write!(f, "it is not a topic: {fault}"),
            Self::UnreachableRule { earlier, rule, by } => {
                write!(f, "rule {rule} decides nothing, because {} all its subjects", Have(by))?;
                also_at(f, if by.len() == 1 { *earlier } else { None })?;
                f.write_str(": move it up, or remove it")
            }
            Self::Factory(error) => write!(f, "the engine cannot be built: {error}"),
        }
    }
}

/// As `Display`, so that a `main` that returns it shows the text.
impl fmt::Debug for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = self.file() {
            write!(f, "{file}:")?;
        }
        match self.0.place {
            Some(place) => write!(f, "{place}: ")?,
            None if self.0.file.is_some() => f.write_str(" ")?,
            None => {}
        }
        match self.key() {
            key if key.is_empty() => {}
            key => write!(f, "`{key}`: ")?,
        }
        fmt::Display::fmt(&self.0.fault, f)
    }
}

impl Error for ConfigError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0.fault {
            ConfigFault::Unreadable(error) | ConfigFault::Factory(error) => Some(&**error),
            _ => None,
        }
    }
}

/// What serde calls a type, in words.
fn in_words(expected: &str) -> String {
    let unsigned = |most: u128| format!("a whole number from 0 to {most}");
    match expected {
        "u8" => unsigned(u8::MAX.into()),
        "u16" => unsigned(u16::MAX.into()),
        "u32" => unsigned(u32::MAX.into()),
        "u64" | "usize" => unsigned(u64::MAX.into()),
        "a nonzero u32" => format!("a whole number from 1 to {}", u32::MAX),
        "a nonzero u64" | "a nonzero usize" => format!("a whole number from 1 to {}", u64::MAX),
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a boolean" => "`true` or `false`".to_owned(),
        "a string" | "str" => "a text".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "a mapping".to_owned(),
        other if other.starts_with("struct ") => "a mapping".to_owned(),
        other => other.to_owned(),
    }
}

fn kind(unexpected: &Unexpected<'_>) -> &'static str {
    match unexpected {
        Unexpected::Bool(_) => "a truth value",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) => "a number",
        Unexpected::Float(_) => "a number with a fraction",
        Unexpected::Char(_) | Unexpected::Str(_) => "a text",
        Unexpected::Unit | Unexpected::Option => "nothing",
        Unexpected::Seq => "a list",
        Unexpected::Map => "a mapping",
        _ => "something else",
    }
}

fn boxed(texts: &[&str]) -> Vec<Box<str>> {
    texts.iter().map(|text| (*text).into()).collect()
}

/// Never with the value: it may be secret.
impl de::Error for ConfigError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(ConfigFault::Invalid(message.to_string().into()), None)
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let expected = in_words(&expected.to_string()).into();
        Self::new(ConfigFault::WrongType { expected, found: kind(&unexpected) }, None)
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let why = format!("it must be {}", in_words(&expected.to_string()));
        Self::new(ConfigFault::Invalid(why.into()), None)
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let near = super::near::near(variant, expected.iter().copied());
        Self::new(ConfigFault::UnknownValue { near, known: boxed(expected) }, None)
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let near = super::near::near(field, expected.iter().copied());
        let fault = ConfigFault::UnknownKey { near, known: boxed(expected) };
        Self::new(fault, None).under_key(field)
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(ConfigFault::MissingKey, None).under_key(field)
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::new(ConfigFault::DuplicateKey { first: None }, None).under_key(field)
    }
}
