//! The order of statuses, and pages that go on where the last one ended: by what its last row held, not
//! by counting, so that the deepest page costs what the first one does and none repeats or skips a row.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One column to sort by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sort {
    pub(crate) key: SortKey,
    pub(crate) descending: bool,
}

macro_rules! keys {
    ($($name:ident $text:literal,)+) => {
        /// What statuses can be sorted by.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum SortKey {
            $($name,)+
        }

        impl SortKey {
            /// Every name there is, as the interface spells it.
            pub(crate) const NAMES: &[&str] = &[$($text),+];

            /// Every key, in the order of the names.
            pub(super) const ALL: &[Self] = &[$(Self::$name),+];

            /// The key of a name.
            pub(crate) fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($text => Some(Self::$name),)+
                    _ => None,
                }
            }
        }
    };
}

keys! {
    Name "name",
    Chain "chain",
    Outlet "outlet",
    CrmId "crm_id",
    Address "address",
    TimeZone "time_zone",
    Link "link",
    LinkSince "link_since",
    LastSeenAt "last_seen_at",
    ConnectorVersion "connector_version",
    Cause "cause",
    PosState "pos",
    PosVersion "pos_version",
    RequiredVersion "required_version",
    VersionUpdatedAt "version_updated_at",
    LastExchangeAt "last_exchange_at",
    LastAttemptAt "last_attempt_at",
    Error "error",
    ErrorSince "error_since",
    Generation "generation",
    DatabaseCreatedAt "database_created_at",
    DatabaseSizeBytes "database_size_bytes",
    UnsentTransactions "unsent_transactions",
    LastReportAt "last_report_at",
    Highlight "highlight",
}

/// How a key's values compare.
pub(super) enum Kind {
    Text,
    Number,
    Time,
}

impl SortKey {
    /// How its values compare.
    pub(super) fn kind(self) -> Kind {
        match self {
            Self::Name
            | Self::Chain
            | Self::Outlet
            | Self::CrmId
            | Self::Address
            | Self::TimeZone
            | Self::Link
            | Self::ConnectorVersion
            | Self::Cause
            | Self::PosState
            | Self::PosVersion
            | Self::RequiredVersion
            | Self::Error => Kind::Text,
            Self::Generation | Self::DatabaseSizeBytes | Self::UnsentTransactions | Self::Highlight => {
                Kind::Number
            }
            Self::LinkSince
            | Self::LastSeenAt
            | Self::VersionUpdatedAt
            | Self::LastExchangeAt
            | Self::LastAttemptAt
            | Self::ErrorSince
            | Self::DatabaseCreatedAt
            | Self::LastReportAt => Kind::Time,
        }
    }
}

/// What a row held in a column that pages are sorted by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Held {
    /// Nothing: such rows come last, whatever the direction.
    #[serde(rename = "n")]
    Nothing,
    #[serde(rename = "t")]
    Text(String),
    #[serde(rename = "i")]
    Number(i64),
    #[serde(rename = "d")]
    Time(DateTime<Utc>),
}

/// What a row has for a key. Those of one key are of one kind, or nothing.
#[derive(Clone, Copy, Debug)]
pub(super) enum Key<'a> {
    Text(&'a str),
    Number(i64),
    Time(DateTime<Utc>),
    Nothing,
}

/// The last row of a page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Position {
    /// What it held in each column that the list is ordered by.
    pub(super) held: Vec<Held>,
    /// Its id, which breaks ties.
    pub(super) id: Uuid,
}

impl Position {
    /// Whether it can belong to a list in this order.
    pub(crate) fn fits(&self, sort: &[Sort]) -> bool {
        self.held.len() == sort.len()
            && sort.iter().zip(&self.held).all(|(sort, held)| {
                matches!(
                    (sort.key.kind(), held),
                    (_, Held::Nothing)
                        | (Kind::Text, Held::Text(_))
                        | (Kind::Number, Held::Number(_))
                        | (Kind::Time, Held::Time(_))
                )
            })
    }
}
