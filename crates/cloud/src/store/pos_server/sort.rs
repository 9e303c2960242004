//! The order of statuses, and pages that go on where the last one ended: by what its last row held, not
//! by counting, so that the deepest page costs what the first one does and none repeats or skips a row.

use chrono::{DateTime, Utc};
use sea_orm::QueryResult;
use sea_orm::sea_query::{Condition, Expr, ExprTrait, NullOrdering, Order, SelectStatement, SimpleExpr};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Pos, pos, update_required};
use crate::store::StoreError;
use crate::store::entity::{chains, outlets, pos_servers};

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
enum Kind {
    Text,
    Number,
    Time,
}

impl SortKey {
    fn expr(self) -> SimpleExpr {
        let outlet = |column| Expr::col((outlets::Entity, column));
        let chain = |column| Expr::col((chains::Entity, column));
        match self {
            Self::Name => pos(Pos::NameFolded),
            Self::Chain => chain(chains::Column::NameFolded),
            Self::Outlet => outlet(outlets::Column::NameFolded),
            Self::CrmId => outlet(outlets::Column::CrmIdFolded),
            Self::Address => outlet(outlets::Column::AddressFolded),
            Self::TimeZone => outlet(outlets::Column::TimeZone),
            Self::Link => pos(Pos::LinkState),
            Self::LinkSince => pos(Pos::LinkSince),
            Self::LastSeenAt => pos(Pos::LastSeenAt),
            Self::ConnectorVersion => pos(Pos::ConnectorVersionKey),
            Self::Cause => pos(Pos::Cause),
            Self::PosState => pos(Pos::PosState),
            Self::PosVersion => pos(Pos::PosVersionKey),
            Self::RequiredVersion => chain(chains::Column::RequiredVersionKey),
            Self::VersionUpdatedAt => pos(Pos::VersionUpdatedAt),
            Self::LastExchangeAt => pos(Pos::ExchangeSuccessAt),
            Self::LastAttemptAt => pos(Pos::ExchangeAttemptAt),
            Self::Error => pos(Pos::ErrorCode),
            Self::ErrorSince => pos(Pos::ErrorSince),
            Self::Generation => pos(Pos::Generation),
            Self::DatabaseCreatedAt => pos(Pos::DbCreatedAt),
            Self::DatabaseSizeBytes => pos(Pos::DbSizeBytes),
            Self::UnsentTransactions => pos(Pos::UnsentTransactions),
            Self::LastReportAt => pos(Pos::LastReportAt),
            Self::Highlight => Expr::case(pos(Pos::ErrorCode).is_not_null(), Expr::cust("2"))
                .case(update_required(), Expr::cust("1"))
                .finally(Expr::cust("0"))
                // Postgres takes such numbers for narrower ones than every other is.
                .cast_as("bigint"),
        }
    }

    fn kind(self) -> Kind {
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

impl Held {
    fn value(&self) -> Option<SimpleExpr> {
        match self {
            Self::Nothing => None,
            Self::Text(text) => Some(Expr::val(text.as_str())),
            Self::Number(number) => Some(Expr::val(*number)),
            Self::Time(time) => Some(Expr::val(*time)),
        }
    }
}

/// The last row of a page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Position {
    held: Vec<Held>,
    id: Uuid,
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

    /// The position of a row that [`apply`] has added its columns to.
    pub(super) fn of(row: &QueryResult, sort: &[Sort]) -> Result<Self, StoreError> {
        let held = sort
            .iter()
            .enumerate()
            .map(|(index, sort)| {
                let column = sort_column(index);
                let held = match sort.key.kind() {
                    Kind::Text => row.try_get::<Option<String>>("", &column)?.map(Held::Text),
                    Kind::Number => row.try_get::<Option<i64>>("", &column)?.map(Held::Number),
                    Kind::Time => row.try_get::<Option<DateTime<Utc>>>("", &column)?.map(Held::Time),
                };
                Ok(held.unwrap_or(Held::Nothing))
            })
            .collect::<Result<_, StoreError>>()?;
        Ok(Self { held, id: row.try_get("", "id")? })
    }
}

fn sort_column(index: usize) -> String {
    format!("sort_{index}")
}

/// Orders a query, and makes it begin after a position.
pub(super) fn apply(query: &mut SelectStatement, sort: &[Sort], after: Option<&Position>) {
    for (index, Sort { key, descending }) in sort.iter().enumerate() {
        let order = if *descending { Order::Desc } else { Order::Asc };
        query.expr_as(key.expr(), sort_column(index)).order_by_expr_with_nulls(
            key.expr(),
            order,
            NullOrdering::Last,
        );
    }
    query.order_by((pos_servers::Entity, Pos::Id), Order::Asc);
    if let Some(after) = after {
        query.cond_where(beyond(sort, after));
    }
}

/// Rows that come after the position: equal in the first columns, and later in the next one.
fn beyond(sort: &[Sort], after: &Position) -> Condition {
    let mut any = Condition::any();
    let mut equal = Condition::all();
    for (Sort { key, descending }, held) in sort.iter().zip(&after.held) {
        let Some(value) = held.value() else {
            equal = equal.add(key.expr().is_null());
            continue;
        };
        let later = if *descending { key.expr().lt(value.clone()) } else { key.expr().gt(value.clone()) };
        any = any.add(equal.clone().add(later.or(key.expr().is_null())));
        equal = equal.add(key.expr().eq(value));
    }
    any.add(equal.add(pos(Pos::Id).gt(after.id)))
}
