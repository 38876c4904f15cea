//! What is done about a stream or a table that is missing: [`Provision`].

/// What an engine or a store does at its start about a stream, a topic or a table that is missing.
///
/// None of these changes one that exists. What they check and create depends on the server:
///
/// | | `Check` refuses | `Create` creates |
/// |---|---|---|
/// | Kafka | a missing topic | the topic, also if it vanishes later |
/// | Kinesis | a missing stream | the stream, also if it vanishes later |
/// | NATS | a missing stream, and one that does not take the subjects that you name | the stream, at the start; then it checks the subjects |
/// | Redis | a missing stream, and a key of another type | the stream, also if it vanishes later |
/// | Postgres | a missing table, and one that lacks a column or has another type for it | the table and its indexes, at the start; then it checks the columns |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Provision {
    /// Asks the server nothing about it. If it is missing, the first use fails. The first use by the
    /// Postgres log is its start.
    Never,
    /// Starts only if it is there.
    #[default]
    Check,
    /// Creates it if it is missing.
    Create,
}
