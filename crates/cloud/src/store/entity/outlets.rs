//! Outlets: the restaurants.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "outlets")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub chain_id: Uuid,
    pub name: String,
    pub name_folded: String,
    pub crm_id: String,
    pub crm_id_folded: String,
    pub address: String,
    pub address_folded: String,
    pub time_zone: String,
    pub created_at: DateTimeUtc,
}

/// Joins are written out where they are used.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
