//! What is observed on the market.

use std::collections::BTreeMap;

use super::file::Series;
use super::number::{Decimal, Time};
use super::stop::Stop;

/// The observed series of a contract.
pub(super) struct Market(pub(super) BTreeMap<String, Series>);

impl Market {
    /// The last value observed at a time or before it.
    pub(super) fn at(&self, code: &str, time: Time) -> Result<Decimal, Stop> {
        let name = format!("dataObserved.{code}");
        let series = self.0.get(code);
        let series = series.ok_or_else(|| Stop::malformed(&name, "is missing"))?;
        let past = series.partition_point(|(observed, _)| *observed <= time);
        let value = past.checked_sub(1).and_then(|last| series.get(last));
        value.map(|(_, value)| *value).ok_or_else(|| {
            Stop::malformed(&name, &format!("has no observation on {time} or before"))
        })
    }
}
