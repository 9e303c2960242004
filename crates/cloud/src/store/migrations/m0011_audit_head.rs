//! Where the audit trail ends is kept beside it as well, so that entries can't be cut off its end unnoticed.

use sea_orm_migration::prelude::*;

use crate::domain::audit::FIRST_PREVIOUS;

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0010_audit_head"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    #[expect(elided_lifetimes_in_paths, reason = "the trait is declared without it, and the two must match")]
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let last = Query::select()
            .columns(["seq", "hash"])
            .from("audit")
            .order_by("seq", Order::Desc)
            .limit(1)
            .to_owned();
        let (seq, hash) = match manager.get_connection().query_one(&last).await? {
            Some(row) => (row.try_get("", "seq")?, row.try_get("", "hash")?),
            None => (0_i64, FIRST_PREVIOUS.to_owned()),
        };
        let head = Query::insert()
            .into_table("meta")
            .columns(["key", "value"])
            .values_panic(["audit_head".into(), format!("{seq}:{hash}").into()])
            .to_owned();
        manager.get_connection().execute(&head).await?;
        Ok(())
    }
}
