//! The rules of a configuration: [`RuleConfig`].

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::error::{ConfigError, ConfigFault, Place, Step};
use super::near::near;
use super::node::Node;
use super::sections::Rule;
use super::settings::Settings;
use crate::hosted::engine::Level;
use crate::subject::{PrefixPattern, Subject};

/// A rule of a configuration: subjects, and the engine that carries them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RuleConfig {
    /// What the subjects match, in the dialect of [`PrefixPattern`]: `user.*` is every subject that
    /// begins with `user.`, and `*` is every subject.
    pub topics: Vec<Box<str>>,
    /// The name of the engine.
    pub engine: Arc<str>,
    /// The least that a publish must have achieved.
    pub require: Option<Level>,
    /// Where the rule is.
    pub place: Option<Place>,
    /// The path of `require`.
    pub(super) path: Vec<Step>,
    /// Where `require` is.
    pub(super) require_at: Option<Place>,
}

impl RuleConfig {
    /// Returns whether the rule decides for `subject`, if no earlier one does.
    #[must_use]
    pub fn matches(&self, subject: Subject<'_>) -> bool {
        let mut topics = self.topics.iter().filter_map(|topic| PrefixPattern::new(topic).ok());
        topics.any(|topic| topic.matches(subject))
    }

    /// The error of a rule that requires more than its engine does.
    pub(super) fn too_high(&self, reaches: Level, file: Option<&Arc<str>>) -> ConfigError {
        let why = alloc::format!("the engine `{}` reaches `{reaches}` at most", self.engine);
        let error = ConfigError::new(ConfigFault::Invalid(why.into()), self.require_at);
        let path = self.path.iter().rev();
        path.fold(error, |error, step| error.under(step.clone())).in_file(file)
    }
}

pub(super) fn rules(
    node: &Node,
    rules: &[Rule],
    engines: &[Settings],
    base: &[Step],
) -> Result<Vec<RuleConfig>, ConfigError> {
    let list = node.get("routing");
    let mut done: Vec<RuleConfig> = Vec::new();
    for (at, rule) in rules.iter().enumerate() {
        let node = list.and_then(|list| list.index(at));
        let of = |key: &str| node.and_then(|node| node.get(key));
        let place = node.and_then(|node| node.place);
        let here = |error: ConfigError| error.at(place).under(Step::Index(at)).under_key("routing");
        if !engines.iter().any(|engine| engine.name() == &*rule.engine) {
            let names = || engines.iter().map(Settings::name);
            let fault = ConfigFault::UnknownEngine {
                near: near(&rule.engine, names()),
                known: names().map(Box::from).collect(),
            };
            let place = of("engine").and_then(|engine| engine.place);
            return Err(here(ConfigError::new(fault, place).under_key("engine")));
        }
        if rule.topics.is_empty() {
            let why = "a rule needs at least one topic".into();
            let place = of("topics").and_then(|topics| topics.place);
            let error = ConfigError::new(ConfigFault::Invalid(why), place);
            return Err(here(error.under_key("topics")));
        }
        for (which, topic) in rule.topics.iter().enumerate() {
            if let Err(wrong) = PrefixPattern::new(topic) {
                let place = of("topics").and_then(|topics| topics.index(which));
                let place = place.and_then(|topic| topic.place);
                let error = ConfigError::new(ConfigFault::Topic(wrong.fault()), place);
                return Err(here(error.under(Step::Index(which)).under_key("topics")));
            }
        }
        let earlier = |topic: &str| {
            done.iter().position(|rule| rule.topics.iter().any(|wide| covers(wide, topic)))
        };
        let covered: Vec<_> = rule.topics.iter().map(|topic| earlier(topic)).collect();
        if let Some(by) = covered.iter().copied().collect::<Option<BTreeSet<_>>>() {
            let earlier = by.first().and_then(|first| done[*first].place);
            // You count rules from 1.
            let by = by.into_iter().map(|rule| rule + 1).collect();
            let fault = ConfigFault::UnreachableRule { earlier, rule: at + 1, by };
            return Err(here(ConfigError::new(fault, place)));
        }
        done.push(RuleConfig {
            topics: rule.topics.clone(),
            engine: (&*rule.engine).into(),
            require: rule.require.map(Level::from),
            place,
            path: [
                base,
                &[Step::Key("routing".into()), Step::Index(at), Step::Key("require".into())],
            ]
            .concat(),
            require_at: of("require").and_then(|require| require.place),
        });
    }
    Ok(done)
}

/// Whether each subject that `narrow` matches is one that `wide` matches.
fn covers(wide: &str, narrow: &str) -> bool {
    match wide.strip_suffix('*') {
        Some(prefix) => narrow.strip_suffix('*').unwrap_or(narrow).starts_with(prefix),
        None => wide == narrow,
    }
}
