//! Device tokens that were used, on any node, until their time is over.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{pk_uuid, timestamp_with_time_zone as time};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0009_used_tokens"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    #[expect(elided_lifetimes_in_paths, reason = "the trait is declared without it, and the two must match")]
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut tokens = Table::create();
        tokens.table("used_tokens").col(pk_uuid("id")).col(time("ends_at"));
        manager.create_table(tokens.take()).await
    }
}
