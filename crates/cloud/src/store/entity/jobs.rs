//! Work for stores.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "jobs")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub pos_server_id: Uuid,
    pub kind: String,
    pub state: String,
    pub spec: Json,
    pub requested_by: Uuid,
    pub requested_at: DateTimeUtc,
    pub started_at: Option<DateTimeUtc>,
    pub finished_at: Option<DateTimeUtc>,
    pub deadline: Option<DateTimeUtc>,
    pub expires_at: Option<DateTimeUtc>,
    pub progress: Option<Json>,
    pub result: Option<Json>,
    pub error: Option<Json>,
    pub idempotency_key: Option<String>,
    pub request_hash: Option<String>,
    pub revision: i64,
    pub cancel_requested_at: Option<DateTimeUtc>,
    /// Which life of the database was there when the job was asked for.
    pub generation: Option<i64>,
}

/// Joins are written out where they are used.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
