//! Chains: the tenants.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "chains")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub name: String,
    /// For sorting; see [`crate::domain::pos_server::fold`].
    pub name_folded: String,
    pub required_pos_version: Option<String>,
    /// For comparing; see [`crate::domain::pos_server::version_key`].
    pub required_version_key: Option<String>,
    pub created_at: DateTimeUtc,
}

/// Joins are written out where they are used.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
