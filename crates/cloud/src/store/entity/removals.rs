//! POS servers that are gone, for those who follow events.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "removals")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub pos_server_id: Uuid,
    pub outlet_id: Uuid,
    pub chain_id: Uuid,
    pub revision: i64,
}

/// Joins are written out where they are used.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
