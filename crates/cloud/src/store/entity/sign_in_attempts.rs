//! Wrong passwords of late, by the e-mail that was given.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "sign_in_attempts")]
pub struct Model {
    /// Who mistakes the fields gives a password for an e-mail: it is kept as a hash.
    #[sea_orm(primary_key, auto_increment = false)]
    pub email_hash: String,
    pub failed: i32,
    pub last_at: DateTimeUtc,
}

/// Joins are written out where they are used.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
