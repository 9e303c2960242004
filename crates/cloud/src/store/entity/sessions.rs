//! Sign-ins; token hashes only.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "sessions")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub user_id: Uuid,
    pub created_at: DateTimeUtc,
    pub last_used_at: DateTimeUtc,
    /// When its user proved who they are; null where that is not known.
    pub proved_at: Option<DateTimeUtc>,
    pub access_hash: String,
    pub access_expires_at: DateTimeUtc,
    pub refresh_hash: String,
    pub refresh_expires_at: DateTimeUtc,
    pub revoked_at: Option<DateTimeUtc>,
    pub last_try_hash: Option<String>,
    pub again_until: Option<DateTimeUtc>,
}

/// Joins are written out where they are used.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
