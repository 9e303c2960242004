//! What happened to each store, which boots its identity was used by, and the backups it told of.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    big_integer, big_pk_auto, json, string, timestamp_with_time_zone as time,
    timestamp_with_time_zone_null as time_null, uuid, uuid_null,
};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0003_timeline"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    #[expect(elided_lifetimes_in_paths, reason = "the trait is declared without it, and the two must match")]
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let timeline = Table::create()
            .table("timeline")
            .col(big_pk_auto("id"))
            .col(uuid("pos_server_id"))
            .col(time("at"))
            .col(string("kind"))
            .col(string("code"))
            .col(json("params"))
            .take();
        let boots = Table::create()
            .table("boots")
            .col(uuid("pos_server_id").primary_key())
            .col(uuid_null("replaced_boot_id"))
            .col(big_integer("returns"))
            .col(time_null("returned_at"))
            .take();
        let backups = Table::create()
            .table("backups")
            .col(uuid("pos_server_id").primary_key())
            .col(json("items"))
            .col(time("told_at"))
            .take();
        for table in [timeline, boots, backups] {
            manager.create_table(table).await?;
        }
        let indexes: [(&str, &str, &[&str]); 2] = [
            ("timeline_of", "timeline", &["pos_server_id", "kind", "at"]),
            ("boots_returned", "boots", &["returned_at"]),
        ];
        for (name, table, columns) in indexes {
            let mut index = Index::create();
            index.name(name).table(table);
            for column in columns {
                index.col(*column);
            }
            manager.create_index(index).await?;
        }
        Ok(())
    }
}
