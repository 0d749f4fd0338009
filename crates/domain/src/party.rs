//! Parties of a cooperation.

use minicbor::{Decode, Encode};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use crate::money::{Amount, Money};

/// The most parties that one agreement can have.
pub const MAX_PARTIES: usize = 8;

/// A party by its place in the agreement's list. The list only ever grows, so the place stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct PartyId(#[n(0)] pub u8);

impl PartyId {
    /// Every place that a party can have.
    pub const ALL: [PartyId; MAX_PARTIES] = {
        let mut all = [PartyId(0); MAX_PARTIES];
        let mut place = 0;
        while place < MAX_PARTIES {
            all[place] = PartyId(place as u8);
            place += 1;
        }
        all
    };

    /// The place in the list.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// What kind of institution a party is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PartyKind {
    /// A bank that lends only in its registered territory.
    RegionalBank,
    /// A bank without a territory, for example an internet bank.
    Bank,
    /// A lender that is not a bank: a consumer-finance or trust company, an investor.
    OtherLender,
    /// Brings customers and scenes, does not lend.
    Platform,
    /// Covers a part of the losses.
    Guarantor,
}

/// A party as the agreement describes it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Party {
    /// Short name used in files: lower-case letters, digits and hyphens.
    pub id: String,
    /// Full name.
    pub name: String,
    /// What kind of institution it is.
    pub kind: PartyKind,
    /// Regions where it may lend, in order; empty means everywhere.
    #[serde(default, deserialize_with = "in_order")]
    pub territory: Vec<String>,
    /// Net tier-1 capital, as last reported.
    pub tier1_capital: Option<Money>,
    /// All loans on its books, as last reported.
    pub total_loans: Option<Money>,
    /// Joint loans under other agreements, as last reported.
    pub joint_loans_elsewhere: Option<Money>,
}

impl Party {
    /// Joint loans under other agreements, zero if not stated.
    pub fn elsewhere(&self) -> Amount {
        self.joint_loans_elsewhere
            .map_or(Amount::ZERO, |money| money.amount)
    }

    /// True if it may lend in `region`.
    pub fn may_lend_in(&self, region: &str) -> bool {
        let found = self.territory.binary_search_by(|own| (**own).cmp(region));
        self.territory.is_empty() || found.is_ok()
    }
}

/// Reads a list in the order by which it is searched.
fn in_order<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let mut list = Vec::deserialize(from)?;
    list.sort_unstable();
    Ok(list)
}
