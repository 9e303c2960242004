//! What happened to stores.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "timeline")]
pub struct Model {
    /// Grows in the order of writing.
    #[sea_orm(primary_key)]
    pub id: i64,
    pub pos_server_id: Uuid,
    pub at: DateTimeUtc,
    pub kind: String,
    pub code: String,
    pub params: Json,
}

/// Joins are written out where they are used.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
