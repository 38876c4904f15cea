//! What would become of an event: [`Explanation`].

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use super::pattern::RulePattern;
use super::registry::Attached;
use super::shared::Shared;
use super::tenant::Scope;
use super::warning::Warning;
use crate::hosted::capabilities::Capabilities;
use crate::hosted::engine::{Engine, Health, Level};
use crate::subject::Subject;

/// What would become of an event of one subject, if it were published now.
///
/// See [`Router::explain`](super::Router::explain). Its `Display` is a text of some lines.
///
/// A [`Tenant`](super::Tenant) sees its own subscriptions only, and no warnings.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Explanation {
    /// The subject.
    pub subject: Arc<str>,
    /// The rule that decides. `None` if no rule matches, so that the fallback has it.
    pub rule: Option<ExplainedRule>,
    /// The engine that it goes to.
    pub engine: Arc<str>,
    /// The subject on the engine, if the router keeps tenants apart.
    pub on_engine: Option<Arc<str>>,
    /// Whether the engine can be reached.
    pub health: Health,
    /// What the engine can do.
    pub capabilities: Capabilities,
    /// The subscriptions that receive it, in the order in which they were opened, and what each does
    /// with it.
    pub subscriptions: Vec<Arc<Attached>>,
    /// The open subscriptions whose patterns no rule can feed. Only the fallback can.
    pub unfed: Vec<Arc<Attached>>,
    /// What is odd about the rules, whatever the subject.
    pub warnings: Vec<Warning>,
}

/// The rule that decides on a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExplainedRule {
    /// Its number, from 1, as in all texts.
    pub rule: usize,
    /// The pattern of it that matches.
    pub pattern: RulePattern,
    /// The level that a publish must reach.
    pub requires: Option<Level>,
}

pub(super) fn explain(shared: &Shared, scope: &Scope, subject: Subject<'_>) -> Explanation {
    let decision = shared.rules.decide(subject);
    let slot = &shared.slots[decision.engine];
    let rule = decision.rule.and_then(|number| {
        let rule = &shared.rules.all()[number];
        let pattern = rule.patterns.iter().find(|it| it.matches(subject))?.clone();
        Some(ExplainedRule { rule: number + 1, pattern, requires: rule.requires })
    });
    let of_tenant = matches!(scope, Scope::One(_));
    // An event without a tenant does not come to tenants. A tenant does not see what others have.
    let sees = |it: &Attached| it.tenant.as_ref() == scope.tenant();
    let all = shared.registry.all();
    let matching = all.iter().filter(|it| it.matches(subject) && sees(it));
    let mut unfed = unfed(shared);
    unfed.retain(|it| !of_tenant || sees(it));
    let on_engine = match scope {
        Scope::Off => None,
        Scope::All => Some(alloc::format!("_.{subject}").into()),
        Scope::One(tenant) => Some(alloc::format!("{tenant}.{subject}").into()),
    };
    Explanation {
        subject: subject.as_str().into(),
        rule,
        engine: slot.name.clone(),
        on_engine,
        health: shared.look_at(slot),
        capabilities: slot.engine.capabilities(),
        subscriptions: matching.cloned().collect(),
        unfed,
        warnings: if of_tenant { Vec::new() } else { shared.warnings.clone() },
    }
}

pub(super) fn unfed(shared: &Shared) -> Vec<Arc<Attached>> {
    let all = shared.registry.all().into_iter();
    all.filter(|it| shared.rules.feeding(&it.patterns).is_empty()).collect()
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` goes to engine `{}` ({}), ", self.subject, self.engine, self.health)?;
        match &self.rule {
            Some(rule) => write!(f, "by rule {}: {}", rule.rule, rule.pattern)?,
            None => f.write_str("the fallback: no rule matches")?,
        }
        if let Some(on_engine) = &self.on_engine {
            write!(f, ", as `{on_engine}`")?;
        }
        let highest = self.capabilities.highest_level();
        match self.rule.as_ref().and_then(|rule| rule.requires) {
            Some(required) => write!(f, "\nlevel: `{highest}`, the rule requires `{required}`")?,
            None => write!(f, "\nlevel: `{highest}`")?,
        }
        if let Some(limit) = self.capabilities.payload_limit() {
            write!(f, ", payloads of at most {limit} bytes")?;
        }
        if self.subscriptions.is_empty() {
            write!(f, "\nno subscription receives it")?;
        }
        for subscription in &self.subscriptions {
            write!(f, "\nreceived by {subscription}")?;
        }
        for subscription in &self.unfed {
            write!(f, "\nno rule but the fallback feeds {subscription}")?;
        }
        for warning in &self.warnings {
            write!(f, "\nwarning: {warning}")?;
        }
        Ok(())
    }
}
