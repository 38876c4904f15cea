//! The tables of a log: their names, and how they are made.

use alloc::format;
use alloc::string::String;

use super::super::error::PostgresError;
use super::super::table::Table;

/// Which form of tables this version writes.
pub(super) const FORM: i32 = 1;
/// How many tables of events there are for what is still to come.
pub(super) const AHEAD: i64 = 2;
/// How long heartbeats are written into one table, in seconds. There are three.
pub(super) const BEATS: i64 = 600;

/// The longest name of a log: those of its tables are longer.
const LONGEST: usize = 48;

/// What a table of events must have.
pub(super) const COLUMNS: [(&str, &str); 8] = [
    ("xid", "int8"),
    ("seq", "int8"),
    ("lane", "int4"),
    ("at", "timestamptz"),
    ("id", "text"),
    ("key", "text"),
    ("subject", "text"),
    ("envelope", "text"),
];

/// The tables of a log.
pub(super) struct Tables {
    /// All events. Its parts are [`segment`](Self::segment)s.
    pub(super) events: Table,
    pub(super) sequence: Table,
    /// One row: the form, the lanes, the size of a segment.
    pub(super) about: Table,
    pub(super) groups: Table,
    /// The latest row of a lane of a group says who has it, and how far it is.
    pub(super) states: Table,
    /// Who is there.
    pub(super) members: Table,
    pub(super) retries: Table,
    pub(super) dead: Table,
    name: String,
}

impl Tables {
    pub(super) fn new(name: &str) -> Result<Self, PostgresError> {
        let events = Table::new(name)?;
        if name.rsplit('.').next().is_some_and(|last| last.len() > LONGEST) {
            let why = format!("{name:?} is too long for a log: {LONGEST} bytes at most");
            return Err(PostgresError::Settings(why.into()));
        }
        let of = |part: &str| Table::new(&format!("{name}_{part}"));
        Ok(Self {
            events,
            sequence: of("seq")?,
            about: of("about")?,
            groups: of("groups")?,
            states: of("states")?,
            members: of("members")?,
            retries: of("retries")?,
            dead: of("dead")?,
            name: name.into(),
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the table of the events of this number.
    pub(super) fn segment(&self, number: i64) -> String {
        Table::new(&format!("{}_p{number}", self.name))
            .map_or_else(|_| String::new(), |it| format!("{it}"))
    }

    pub(super) fn part(table: &Table, slot: i64) -> String {
        Table::new(&format!("{}_{slot}", table.name()))
            .map_or_else(|_| String::new(), |it| format!("{it}"))
    }

    /// Makes the table of the events of this number. Others read and write meanwhile.
    pub(super) fn make_segment(&self, number: i64, size: i64) -> String {
        let (events, segment) = (&self.events, self.segment(number));
        let (from, to) = (number * size, (number + 1) * size);
        format!(
            "CREATE TABLE {segment} (LIKE {events} INCLUDING ALL);
             CREATE UNIQUE INDEX ON {segment} (id);
             ALTER TABLE {events} ATTACH PARTITION {segment} FOR VALUES FROM ({from}) TO ({to});"
        )
    }

    /// Makes everything.
    pub(super) fn make(&self, lanes: u16, size: i64) -> String {
        let Self { events, sequence, about, groups, states, members, retries, dead, .. } = self;
        let mut make = format!(
            "CREATE SEQUENCE {sequence};
             CREATE TABLE {events} (
                 xid int8 NOT NULL DEFAULT pg_current_xact_id()::text::int8,
                 seq int8 NOT NULL DEFAULT nextval('{}'),
                 lane int4 NOT NULL GENERATED ALWAYS AS (CASE WHEN key = '' THEN (seq % {lanes})::int4
                     ELSE ((hashtextextended(key, 0) % {lanes} + {lanes}) % {lanes})::int4 END) STORED,
                 at timestamptz NOT NULL DEFAULT clock_timestamp(),
                 id text NOT NULL DEFAULT gen_random_uuid()::text,
                 key text NOT NULL DEFAULT '',
                 subject text NOT NULL,
                 envelope text NOT NULL DEFAULT ''
             ) PARTITION BY RANGE (seq);
             CREATE INDEX ON {events} (xid, seq);
             CREATE TABLE {about} (form int4 NOT NULL, lanes int4 NOT NULL, segment int8 NOT NULL);
             INSERT INTO {about} VALUES ({FORM}, {lanes}, {size});
             CREATE TABLE {groups} (
                 grp int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE,
                 patterns text NOT NULL, from_seq int8 NOT NULL, from_time timestamptz
             );
             CREATE TABLE {states} (
                 slot int2 NOT NULL, grp int4 NOT NULL, lane int4 NOT NULL, version int8 NOT NULL,
                 moved bool NOT NULL, member text NOT NULL, done text NOT NULL, upto text,
                 at_xid int8 NOT NULL, at_seq int8 NOT NULL, mark int8 NOT NULL, low int8 NOT NULL,
                 open_xids int8[] NOT NULL, open_seqs int8[] NOT NULL,
                 PRIMARY KEY (grp, lane, version, slot)
             ) PARTITION BY LIST (slot);
             CREATE TABLE {members} (
                 slot int2 NOT NULL, grp int4 NOT NULL, member text NOT NULL, until timestamptz NOT NULL,
                 gone bool NOT NULL, wants bool NOT NULL
             ) PARTITION BY LIST (slot);
             CREATE INDEX ON {members} (grp, until);
             CREATE TABLE {retries} (
                 grp int4 NOT NULL, lane int4 NOT NULL, xid int8 NOT NULL, seq int8 NOT NULL,
                 attempts int4 NOT NULL, due timestamptz NOT NULL, PRIMARY KEY (grp, seq)
             );
             CREATE INDEX ON {retries} (grp, lane, due);
             CREATE TABLE {dead} (
                 place int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY, grp text NOT NULL, seq int8 NOT NULL,
                 id text NOT NULL, subject text NOT NULL, envelope text NOT NULL, reason text NOT NULL,
                 attempts int4 NOT NULL, at timestamptz NOT NULL DEFAULT now(), UNIQUE (grp, seq)
             );",
            format!("{sequence}").replace('\'', "''"),
        );
        for (table, slots) in [(states, 2), (members, 3)] {
            for slot in 0..slots {
                let part = Self::part(table, slot);
                make +=
                    &format!("CREATE TABLE {part} PARTITION OF {table} FOR VALUES IN ({slot});");
            }
        }
        for number in 0..=AHEAD {
            make += &self.make_segment(number, size);
        }
        make
    }
}
