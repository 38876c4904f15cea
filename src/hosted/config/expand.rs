//! Variables in texts: `${NAME}` and `${NAME:-default}`.

use alloc::boxed::Box;
use alloc::string::String;

use super::error::{ConfigError, ConfigFault, Step};
use super::node::{Node, Value};

/// Where the value of a variable comes from.
pub(super) type Variables<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Replaces the variables in all texts below `node`. Keys are left as they are.
pub(super) fn expand(node: &mut Node, variables: &Variables<'_>) -> Result<(), ConfigError> {
    match &mut node.value {
        Value::Text(text) => {
            if let Some(expanded) =
                expanded(text, variables).map_err(|fault| ConfigError::new(fault, node.place))?
            {
                node.value = Value::Expanded(expanded);
            }
        }
        Value::List(list) => {
            for (at, node) in list.iter_mut().enumerate() {
                expand(node, variables).map_err(|error| error.under(Step::Index(at)))?;
            }
        }
        Value::Map(entries) => {
            for entry in entries {
                expand(&mut entry.node, variables).map_err(|error| error.under_key(&entry.key))?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// `None` if there is nothing to replace.
fn expanded(text: &str, variables: &Variables<'_>) -> Result<Option<Box<str>>, ConfigFault> {
    if !text.contains("${") {
        return Ok(None);
    }
    let mut done = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, from) = rest.split_at(at);
        if let Some(before) = before.strip_suffix('$') {
            done += before;
            done += "${";
            rest = &from[2..];
            continue;
        }
        done += before;
        let inside = &from[2..];
        let Some(end) = inside.find('}') else {
            return Err(ConfigFault::BadVariable("a `${` has no `}`"));
        };
        done += &value(&inside[..end], variables)?;
        rest = &inside[end + 1..];
    }
    done += rest;
    Ok(Some(done.into()))
}

fn value(inside: &str, variables: &Variables<'_>) -> Result<String, ConfigFault> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    if !name.starts_with(letter) || !name.chars().all(|c| letter(c) || c.is_ascii_digit()) {
        return Err(ConfigFault::BadVariable(
            "between `${` and `}` must be a name, or `NAME:-default`",
        ));
    }
    if default.is_some_and(|default| default.contains("${")) {
        return Err(ConfigFault::BadVariable("a default has no variables of its own"));
    }
    match (variables(name), default) {
        (Some(value), Some(default)) if value.is_empty() => Ok(default.into()),
        (Some(value), _) => Ok(value),
        (None, Some(default)) => Ok(default.into()),
        (None, None) => Err(ConfigFault::UnsetVariable(name.into())),
    }
}
