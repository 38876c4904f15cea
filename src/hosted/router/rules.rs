//! Which engine an event goes to: [`Rules`].

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::overlap::{Segment, Shape, reaches};
use super::pattern::{RulePattern, shape};
use crate::hosted::engine::Level;
use crate::subject::{PatternBuf, Subject};

/// One rule of a router, as it decides.
#[derive(Clone, Debug)]
pub(super) struct Decides {
    pub(super) patterns: Vec<RulePattern>,
    /// The number of the engine.
    pub(super) engine: usize,
    pub(super) requires: Option<Level>,
}

/// What a rule, or the fallback, says about a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decision {
    /// The number of the rule. `None` if no rule matches.
    pub(super) rule: Option<usize>,
    pub(super) engine: usize,
}

/// A pattern that decides nothing. Rules and patterns by their index.
pub(super) struct Unreachable {
    pub(super) rule: usize,
    pub(super) pattern: usize,
    /// The rules that have all its subjects: the first that has them alone, else all that share them.
    pub(super) by: Vec<usize>,
}

/// The rules in their order, and an index of their patterns by segment.
pub(super) struct Rules {
    rules: Vec<Decides>,
    fallback: usize,
    nodes: Vec<Node>,
    /// The node behind another one and a text.
    edges: HashTable<Edge>,
}

struct Edge {
    from: u32,
    text: Box<str>,
    to: u32,
}

/// Stands for no rule, or no node.
const NONE: u32 = u32::MAX;

/// Where some segments lead. A pattern has one way through the nodes.
struct Node {
    /// The first rule with a pattern that ends here.
    ends: u32,
    /// The first rule with a `>` here.
    rest: u32,
    /// The node behind a `*`.
    one: u32,
    /// Whether there are edges from here.
    has_texts: bool,
    /// How a segment begins, and the rule for whatever follows.
    begins: Vec<(Box<str>, u32)>,
    /// The first rule of all from here on.
    lowest: u32,
}

impl Node {
    const fn new() -> Self {
        let begins = Vec::new();
        Self { ends: NONE, rest: NONE, one: NONE, has_texts: false, begins, lowest: NONE }
    }
}

fn hash(from: u32, text: &str) -> u64 {
    FixedState::default().hash_one((from, text))
}

impl Rules {
    pub(super) fn new(rules: Vec<Decides>, fallback: usize) -> Self {
        let mut index =
            Self { rules: Vec::new(), fallback, nodes: Vec::new(), edges: HashTable::new() };
        index.nodes.push(Node::new());
        for (number, rule) in (0_u32..).zip(&rules) {
            for pattern in &rule.patterns {
                index.add(number, &pattern.shape());
            }
        }
        index.rules = rules;
        index
    }

    fn add(&mut self, rule: u32, shape: &Shape<'_>) {
        let mut at = 0;
        let first = |slot: &mut u32| *slot = rule.min(*slot);
        for segment in shape {
            let node = &mut self.nodes[at as usize];
            first(&mut node.lowest);
            match segment {
                Segment::Rest => return first(&mut node.rest),
                Segment::Begins(with) => return node.begins.push(((*with).into(), rule)),
                Segment::One if node.one != NONE => at = node.one,
                Segment::One => {
                    let to = self.node();
                    self.nodes[at as usize].one = to;
                    at = to;
                }
                Segment::Text(text) => at = self.edge(at, text),
            }
        }
        let node = &mut self.nodes[at as usize];
        first(&mut node.lowest);
        first(&mut node.ends);
    }

    fn node(&mut self) -> u32 {
        self.nodes.push(Node::new());
        u32::try_from(self.nodes.len() - 1).expect("fewer nodes than bytes of patterns")
    }

    fn edge(&mut self, from: u32, text: &str) -> u32 {
        if let Some(to) = self.behind(from, text) {
            return to;
        }
        self.nodes[from as usize].has_texts = true;
        let to = self.node();
        let edge = Edge { from, text: text.into(), to };
        self.edges.insert_unique(hash(from, text), edge, |edge| hash(edge.from, &edge.text));
        to
    }

    fn behind(&self, from: u32, text: &str) -> Option<u32> {
        let is = |edge: &Edge| edge.from == from && *edge.text == *text;
        self.edges.find(hash(from, text), is).map(|edge| edge.to)
    }

    /// Returns what the first rule that matches says. Allocates nothing.
    pub(super) fn decide(&self, subject: Subject<'_>) -> Decision {
        let mut first = NONE;
        self.walk(0, Some(subject.as_str()), &mut first);
        match self.rules.get(first as usize) {
            Some(rule) => Decision { rule: Some(first as usize), engine: rule.engine },
            None => Decision { rule: None, engine: self.fallback },
        }
    }

    /// Lowers `first` to the first rule that matches from here on.
    fn walk(&self, at: u32, left: Option<&str>, first: &mut u32) {
        let node = &self.nodes[at as usize];
        if node.lowest >= *first {
            return;
        }
        let Some(left) = left else {
            *first = node.ends.min(*first);
            return;
        };
        *first = node.rest.min(*first);
        for (with, rule) in &node.begins {
            if *rule < *first && left.starts_with(&**with) {
                *first = *rule;
            }
        }
        let (segment, left) = match left.bytes().position(|byte| byte == b'.') {
            Some(dot) => (&left[..dot], Some(&left[dot + 1..])),
            None => (left, None),
        };
        if node.has_texts
            && let Some(to) = self.behind(at, segment)
        {
            self.walk(to, left, first);
        }
        if node.one != NONE {
            self.walk(node.one, left, first);
        }
    }

    pub(super) fn all(&self) -> &[Decides] {
        &self.rules
    }

    #[cfg(test)]
    const fn fallback(&self) -> usize {
        self.fallback
    }

    /// Returns the numbers of the engines that carry a subject of these patterns, in their order.
    pub(super) fn engines(&self, patterns: &[PatternBuf]) -> Vec<usize> {
        let wanted: Vec<_> = patterns.iter().map(|it| shape(it.as_pattern())).collect();
        let before: Vec<_> = self.rules.iter().map(shapes).collect();
        let mut engines = Vec::new();
        for (number, rule) in self.rules.iter().enumerate() {
            if !engines.contains(&rule.engine) && feeds(&before, number, &wanted) {
                engines.push(rule.engine);
            }
        }
        let rest: Vec<_> = before.iter().flatten().collect();
        if !engines.contains(&self.fallback) && wanted.iter().any(|it| reaches(&[it], &rest)) {
            engines.push(self.fallback);
        }
        engines.sort_unstable();
        engines
    }

    /// Returns the numbers of the rules that feed these patterns.
    pub(super) fn feeding(&self, patterns: &[PatternBuf]) -> Vec<usize> {
        let wanted: Vec<_> = patterns.iter().map(|it| shape(it.as_pattern())).collect();
        let before: Vec<_> = self.rules.iter().map(shapes).collect();
        (0..before.len()).filter(|number| feeds(&before, *number, &wanted)).collect()
    }

    /// Returns each pattern that no subject reaches, because the patterns before it have all of them.
    pub(super) fn unreachable(&self) -> Vec<Unreachable> {
        let all = self.rules.iter().enumerate().flat_map(|(rule, it)| {
            it.patterns.iter().enumerate().map(move |(at, pattern)| (rule, at, pattern.shape()))
        });
        let all: Vec<_> = all.collect();
        let shapes: Vec<_> = all.iter().map(|(.., shape)| shape).collect();
        let mut dead = Vec::new();
        for (number, (rule, pattern, shape)) in all.iter().enumerate() {
            if reaches(&[shape], &shapes[..number]) {
                continue;
            }
            let before = |of: usize| {
                all[..number]
                    .iter()
                    .filter(move |it| it.0 == of)
                    .map(|it| &it.2)
                    .collect::<Vec<_>>()
            };
            let alone = (0..=*rule).find(|of| !reaches(&[shape], &before(*of)));
            let together =
                || (0..=*rule).filter(|of| before(*of).iter().any(|it| reaches(&[shape, it], &[])));
            let by = alone.map_or_else(|| together().collect(), |of| alloc::vec![of]);
            dead.push(Unreachable { rule: *rule, pattern: *pattern, by });
        }
        dead
    }

    /// Returns the numbers of the engines that get events at all.
    pub(super) fn in_use(&self) -> Vec<usize> {
        let everything = [crate::subject::Pattern::from_static(">").into()];
        self.engines(&everything)
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.rules).entry(&self.fallback).finish()
    }
}

fn shapes(rule: &Decides) -> Vec<Shape<'_>> {
    rule.patterns.iter().map(RulePattern::shape).collect()
}

/// Returns whether a subject of what is wanted comes to this rule.
fn feeds(rules: &[Vec<Shape<'_>>], number: usize, wanted: &[Shape<'_>]) -> bool {
    let before: Vec<_> = rules[..number].iter().flatten().collect();
    let own = &rules[number];
    own.iter().any(|own| wanted.iter().any(|wanted| reaches(&[own, wanted], &before)))
}

#[cfg(test)]
mod tests;
