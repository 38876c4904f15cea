//! Times: Postgres keeps microseconds, and a column beside them the nanoseconds.

use alloc::boxed::Box;
use core::error::Error;

use bytes::{BufMut, BytesMut};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

use crate::envelope::Timestamp;

/// The first moment of 2000 in seconds: Postgres counts from it.
const EPOCH_MICROS: i128 = 946_684_800 * 1_000_000;

/// Microseconds, as Postgres counts them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Micros(i64);

/// Parts a time into what its two columns have.
pub(super) fn parted(time: Timestamp) -> (Micros, i16) {
    let nanos = time.unix_nanos();
    let micros = nanos.div_euclid(1000) - EPOCH_MICROS;
    // The years 0 to 9999 are within the range of both.
    (Micros(micros as i64), nanos.rem_euclid(1000) as i16)
}

/// Joins what two columns have.
pub(super) fn joined(
    micros: Micros,
    nanos: i16,
) -> Result<Timestamp, Box<dyn Error + Send + Sync>> {
    let micros = i128::from(micros.0) + EPOCH_MICROS;
    Ok(Timestamp::from_unix_nanos(micros * 1000 + i128::from(nanos))?)
}

impl ToSql for Micros {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.put_i64(self.0);
        Ok(IsNull::No)
    }

    accepts!(TIMESTAMPTZ);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Micros {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(i64::from_be_bytes(raw.try_into()?)))
    }

    accepts!(TIMESTAMPTZ);
}
