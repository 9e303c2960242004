//! POS servers and what was last known of each.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "pos_servers")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub outlet_id: Uuid,
    pub chain_id: Uuid,
    pub name: String,
    pub name_folded: String,
    /// Every fixed text of the row, folded, for `q`.
    #[sea_orm(column_type = "Text")]
    pub search: String,
    pub created_at: DateTimeUtc,
    pub revision: i64,
    pub link_state: String,
    pub link_since: Option<DateTimeUtc>,
    pub last_seen_at: Option<DateTimeUtc>,
    pub session_epoch: i64,
    /// The node that holds the present session; none when there is none.
    pub node_id: Option<Uuid>,
    pub boot_id: Option<Uuid>,
    pub connector_version: Option<String>,
    /// [`crate::domain::pos_server::version_key`] of the connector version; written together with it.
    pub connector_version_key: Option<String>,
    pub cause: Option<String>,
    pub confidence: Option<String>,
    /// A list of protocol evidence.
    pub evidence: Json,
    pub pos_state: String,
    pub pos_version: Option<String>,
    /// [`crate::domain::pos_server::version_key`] of the POS version; written together with it.
    pub pos_version_key: Option<String>,
    pub version_updated_at: Option<DateTimeUtc>,
    pub exchange_success_at: Option<DateTimeUtc>,
    pub exchange_attempt_at: Option<DateTimeUtc>,
    pub error_code: Option<String>,
    #[sea_orm(column_type = "Text", nullable)]
    pub error_message: Option<String>,
    pub error_since: Option<DateTimeUtc>,
    pub error_failures: Option<i64>,
    pub cursor: i64,
    pub generation: Option<i64>,
    pub db_created_at: Option<DateTimeUtc>,
    pub db_size_bytes: Option<i64>,
    pub unsent_transactions: Option<i64>,
    pub last_report_at: Option<DateTimeUtc>,
}

/// Joins are written out where they are used.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
