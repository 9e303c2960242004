//! What tells a restarted connector from two that share one identity.

use sea_orm::entity::prelude::*;

/// A row: of each store that was connected by more than one boot.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "boots")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub pos_server_id: Uuid,
    /// The boot before the present one. Should it come back, there are two.
    pub replaced_boot_id: Option<Uuid>,
    /// How often a replaced boot came back, without long pauses.
    pub returns: i64,
    /// When one last did.
    pub returned_at: Option<DateTimeUtc>,
}

/// Joins are written out where they are used.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
