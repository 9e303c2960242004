//! Sign-ins by a provider that have begun and not come back.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "sso_attempts")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub state_hash: String,
    pub secret_hash: String,
    pub provider: String,
    pub redirect_uri: String,
    pub nonce: String,
    pub pkce_verifier: String,
    pub expires_at: DateTimeUtc,
    pub again: Option<bool>,
}

/// Joins are written out where they are used.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
