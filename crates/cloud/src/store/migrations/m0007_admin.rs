//! What administration over REST keeps: users who may not sign in, codes that were revoked and what came of
//! them, and in which chain something was done.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{timestamp_with_time_zone_null as time_null, uuid_null};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0007_admin"
    }
}

/// Name, table and columns of what is looked up.
const INDEXES: &[(&str, &str, &[&str])] = &[
    ("enrollment_codes_pos_server", "enrollment_codes", &["pos_server_id"]),
    ("audit_chain", "audit", &["chain_id", "seq"]),
    ("audit_actor", "audit", &["actor", "seq"]),
    ("audit_target", "audit", &["target", "seq"]),
    ("audit_at", "audit", &["at"]),
    ("grants_chain", "grants", &["chain_id"]),
    ("grants_outlet", "grants", &["outlet_id"]),
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    #[expect(elided_lifetimes_in_paths, reason = "the trait is declared without it, and the two must match")]
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (table, column) in [
            ("users", time_null("disabled_at")),
            ("enrollment_codes", time_null("revoked_at")),
            ("enrollment_codes", uuid_null("device_id")),
            ("audit", uuid_null("chain_id")),
        ] {
            // SQLite takes one column at a time.
            manager.alter_table(Table::alter().table(table).add_column(column).take()).await?;
        }
        for (name, table, columns) in INDEXES {
            let mut index = Index::create();
            index.name(*name).table(*table);
            for column in *columns {
                index.col(*column);
            }
            manager.create_index(index).await?;
        }
        Ok(())
    }
}
