//! Which processes serve the cloud, and which of them holds a store's session.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{pk_uuid, string, timestamp_with_time_zone as time, uuid_null};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0002_nodes"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    #[expect(elided_lifetimes_in_paths, reason = "the trait is declared without it, and the two must match")]
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut nodes = Table::create();
        nodes.table("nodes").col(pk_uuid("id")).col(string("name")).col(time("started_at"));
        manager.create_table(nodes.col(time("seen_at")).take()).await?;
        let held_by = Table::alter().table("pos_servers").add_column(uuid_null("node_id")).take();
        manager.alter_table(held_by).await?;
        for (name, columns) in
            [("pos_servers_node", &["node_id"][..]), ("pos_servers_link", &["link_state", "link_since"])]
        {
            let mut index = Index::create();
            index.name(name).table("pos_servers");
            for column in columns {
                index.col(*column);
            }
            manager.create_index(index).await?;
        }
        Ok(())
    }
}
