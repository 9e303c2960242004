//! Signing in by a provider of identities: tries under way, and who is who there.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{string, timestamp_with_time_zone as time, uuid};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0005_sso"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    #[expect(elided_lifetimes_in_paths, reason = "the trait is declared without it, and the two must match")]
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut attempts = Table::create();
        attempts.table("sso_attempts").col(string("state_hash").primary_key().take());
        for column in ["secret_hash", "provider", "redirect_uri", "nonce", "pkce_verifier"] {
            attempts.col(string(column));
        }
        attempts.col(time("expires_at"));
        manager.create_table(attempts.take()).await?;

        let mut identities = Table::create();
        identities
            .table("sso_identities")
            .col(string("issuer"))
            .col(string("subject"))
            .col(uuid("user_id"))
            .col(time("created_at"))
            .primary_key(Index::create().col("issuer").col("subject"));
        manager.create_table(identities.take()).await?;
        let one_a_user = Index::create()
            .name("sso_identities_user")
            .table("sso_identities")
            .col("user_id")
            .col("issuer")
            .unique()
            .take();
        manager.create_index(one_a_user).await
    }
}
