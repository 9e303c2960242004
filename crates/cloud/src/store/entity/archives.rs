//! Archives that are whole.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "archives")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub job_id: Uuid,
    pub pos_server_id: Uuid,
    pub file_name: String,
    pub size_bytes: i64,
    pub sha256: String,
    pub from_at: DateTimeUtc,
    pub to_at: DateTimeUtc,
    pub part: i32,
    pub created_at: DateTimeUtc,
    pub expires_at: DateTimeUtc,
    pub deleted_at: Option<DateTimeUtc>,
}

/// Joins are written out where they are used.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
