//! When the user of a session proved who they are; and whether a try to sign in asks for that anew.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{boolean_null, timestamp_with_time_zone_null as time_null};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0015_proved_at"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    #[expect(elided_lifetimes_in_paths, reason = "the trait is declared without it, and the two must match")]
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (table, column) in [("sessions", time_null("proved_at")), ("sso_attempts", boolean_null("again"))]
        {
            manager.alter_table(Table::alter().table(table).add_column(column).take()).await?;
        }
        Ok(())
    }
}
