//! A list: its filter as SQL.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use tokio_postgres::types::{ToSql, Type};

use super::super::table::Table;
use super::super::time::parted;
use super::columns::selected;
use crate::hosted::store::EventFilter;

/// A query, and what its parameters are.
#[derive(Default)]
pub(super) struct Query {
    pub(super) sql: String,
    parameters: Vec<(Box<dyn ToSql + Sync + Send>, Type)>,
}

impl Query {
    /// Adds a parameter, and returns its name in SQL.
    fn add(&mut self, value: impl ToSql + Sync + Send + 'static, kind: Type) -> String {
        self.parameters.push((Box::new(value), kind));
        format!("${}", self.parameters.len())
    }

    pub(super) fn parameters(&self) -> Vec<(&(dyn ToSql + Sync), Type)> {
        let mut parameters: Vec<(&(dyn ToSql + Sync), Type)> = Vec::new();
        for (value, kind) in &self.parameters {
            parameters.push((&**value, kind.clone()));
        }
        parameters
    }
}

/// Selects the total in the first column, and then the places and records of the page and of one more:
/// in one statement, so they are of one moment.
pub(super) fn list(table: &Table, filter: &EventFilter) -> Query {
    let mut query = Query::default();
    let mut criteria: Vec<String> = Vec::new();
    let texts = [
        ("source", filter.source.map_or("", |source| source.name())),
        ("status", filter.status.map_or("", |status| status.name())),
        ("schema", &filter.schema),
        ("entity", &filter.entity),
        ("operation", &filter.operation),
        ("instance_id", &filter.instance_id),
    ];
    for (column, text) in texts {
        if text.contains('\0') {
            criteria.push("false".into()); // no record has it
        } else if !text.is_empty() {
            let text = query.add(String::from(text), Type::TEXT);
            criteria.push(format!("{column} = {text}"));
        }
    }
    if let Some(user) = filter.user_id {
        let user = query.add(user, Type::INT8);
        criteria.push(format!("user_id = {user}"));
    }
    for (time, sign) in [(filter.from, ">="), (filter.to, "<=")] {
        if let Some(time) = time {
            let (micros, nanos) = parted(time);
            let micros = query.add(micros, Type::TIMESTAMPTZ);
            let nanos = query.add(nanos, Type::INT2);
            criteria.push(format!("(created_at, created_nanos) {sign} ({micros}, {nanos})"));
        }
    }
    let all = |criteria: &[String]| match criteria {
        [] => String::new(),
        some => format!(" WHERE {}", some.join(" AND ")),
    };
    let total = all(&criteria);
    if let Some(cursor) = filter.after {
        let place = query.add(i64::try_from(cursor.0).unwrap_or(i64::MAX), Type::INT8);
        criteria.push(format!("place > {place}"));
    }
    let number = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    let offset = query.add(number(filter.offset), Type::INT8);
    // One more says whether there are more.
    let limit = (filter.limit > 0).then(|| number(filter.limit).saturating_add(1));
    let limit = query.add(limit, Type::INT8);
    query.sql = format!(
        "WITH page AS (SELECT place, {} FROM {table}{} ORDER BY place OFFSET {offset} LIMIT {limit}) \
         SELECT all_of_it.total, page.* FROM (SELECT count(*) AS total FROM {table}{total}) AS all_of_it \
         LEFT JOIN page ON true ORDER BY page.place",
        selected(),
        all(&criteria),
    );
    query
}
