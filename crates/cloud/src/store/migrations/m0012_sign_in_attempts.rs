//! Wrong passwords are counted by e-mail, whether a user has it or not. The columns of users that counted them
//! before stay: a node of the version before writes them as long as it runs.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{integer, string, timestamp_with_time_zone as time};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0012_sign_in_attempts"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    #[expect(elided_lifetimes_in_paths, reason = "the trait is declared without it, and the two must match")]
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut table = Table::create();
        table
            .table("sign_in_attempts")
            .col(string("email_hash").primary_key())
            .col(integer("failed"))
            .col(time("last_at"));
        manager.create_table(table).await?;
        let mut index = Index::create();
        index.name("sign_in_attempts_last_at").table("sign_in_attempts").col("last_at");
        manager.create_index(index).await
    }
}
