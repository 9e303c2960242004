//! Service tokens, by which programs of third parties sign in.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    pk_uuid, string, string_uniq, timestamp_with_time_zone as time,
    timestamp_with_time_zone_null as time_null, uuid_null,
};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0004_service_tokens"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    #[expect(elided_lifetimes_in_paths, reason = "the trait is declared without it, and the two must match")]
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::create()
            .table("service_tokens")
            .col(pk_uuid("id"))
            .col(string("name"))
            .col(string_uniq("token_hash"))
            .col(uuid_null("pos_server_id"))
            .col(uuid_null("chain_id"))
            .col(string("permission"))
            .col(time("created_at"))
            .col(string("created_by"))
            .col(time_null("last_used_at"))
            .col(time_null("revoked_at"))
            .take();
        manager.create_table(table).await
    }
}
