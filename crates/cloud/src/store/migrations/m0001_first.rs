//! The first schema: one list of tables for SQLite and Postgres.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    big_integer, big_integer_null, big_pk_auto, boolean, integer, json, json_null, pk_uuid, string,
    string_null, string_uniq, text, text_null, timestamp_with_time_zone as time,
    timestamp_with_time_zone_null as time_null, uuid, uuid_null, uuid_uniq,
};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0001_first"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    #[expect(elided_lifetimes_in_paths, reason = "the trait is declared without it, and the two must match")]
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [who_and_where(), stores(), people(), work(), loyalty()].into_iter().flatten() {
            manager.create_table(table).await?;
        }
        for (name, table, columns) in UNIQUE {
            manager.create_index(index(name, table, columns).unique().take()).await?;
        }
        for (name, table, columns) in INDEXES {
            manager.create_index(index(name, table, columns)).await?;
        }
        let first = Query::insert()
            .into_table("revision")
            .columns(["id", "value"])
            .values_panic([1.into(), 0_i64.into()])
            .to_owned();
        manager.get_connection().execute(&first).await?;
        Ok(())
    }
}

/// Name, table and columns of what may be there once only.
const UNIQUE: &[(&str, &str, &[&str])] = &[
    ("outlets_chain_name", "outlets", &["chain_id", "name"]),
    ("pos_servers_outlet_name", "pos_servers", &["outlet_id", "name"]),
    ("jobs_idempotency", "jobs", &["requested_by", "idempotency_key"]),
];

/// Name, table and columns of what is looked up.
const INDEXES: &[(&str, &str, &[&str])] = &[
    ("pos_servers_revision", "pos_servers", &["revision"]),
    ("pos_servers_chain", "pos_servers", &["chain_id"]),
    ("removals_revision", "removals", &["revision"]),
    ("devices_pos_server", "devices", &["pos_server_id"]),
    ("grants_user", "grants", &["user_id"]),
    ("sessions_user", "sessions", &["user_id"]),
    ("jobs_revision", "jobs", &["revision"]),
    ("jobs_pos_server_state", "jobs", &["pos_server_id", "state"]),
    ("jobs_state", "jobs", &["state"]),
    ("archives_job", "archives", &["job_id"]),
    ("uploads_job", "uploads", &["job_id"]),
    ("loyalty_changes_chain_seq", "loyalty_changes", &["chain_id", "seq"]),
    ("loyalty_changes_row", "loyalty_changes", &["chain_id", "table_name", "row_id", "seq"]),
];

fn index(name: &'static str, table: &'static str, columns: &[&'static str]) -> IndexCreateStatement {
    let mut index = Index::create();
    index.name(name).table(table);
    for column in columns {
        index.col(*column);
    }
    index
}

fn table<const N: usize>(name: &'static str, columns: [ColumnDef; N]) -> TableCreateStatement {
    let mut table = Table::create();
    table.table(name);
    for column in columns {
        table.col(column);
    }
    table
}

fn primary_key(columns: &[&'static str]) -> IndexCreateStatement {
    let mut key = Index::create();
    for column in columns {
        key.col(*column);
    }
    key
}

fn who_and_where() -> Vec<TableCreateStatement> {
    vec![
        table("meta", [string("key").primary_key().take(), string("value")]),
        table("revision", [integer("id").primary_key().take(), big_integer("value")]),
        table(
            "chains",
            [
                pk_uuid("id"),
                string_uniq("name"),
                string("name_folded"),
                string_null("required_pos_version"),
                string_null("required_version_key"),
                time("created_at"),
            ],
        ),
        table(
            "outlets",
            [
                pk_uuid("id"),
                uuid("chain_id"),
                string("name"),
                string("name_folded"),
                string("crm_id"),
                string("crm_id_folded"),
                string("address"),
                string("address_folded"),
                string("time_zone"),
                time("created_at"),
            ],
        ),
    ]
}

fn stores() -> Vec<TableCreateStatement> {
    vec![
        table(
            "pos_servers",
            [
                pk_uuid("id"),
                uuid("outlet_id"),
                uuid("chain_id"),
                string("name"),
                string("name_folded"),
                text("search"),
                time("created_at"),
                big_integer("revision"),
                string("link_state"),
                time_null("link_since"),
                time_null("last_seen_at"),
                big_integer("session_epoch").default(0).take(),
                uuid_null("boot_id"),
                string_null("connector_version"),
                string_null("connector_version_key"),
                string_null("cause"),
                string_null("confidence"),
                json("evidence"),
                string("pos_state"),
                string_null("pos_version"),
                string_null("pos_version_key"),
                time_null("version_updated_at"),
                time_null("exchange_success_at"),
                time_null("exchange_attempt_at"),
                string_null("error_code"),
                text_null("error_message"),
                time_null("error_since"),
                big_integer_null("error_failures"),
                big_integer("cursor").default(0).take(),
                big_integer_null("generation"),
                time_null("db_created_at"),
                big_integer_null("db_size_bytes"),
                big_integer_null("unsent_transactions"),
                time_null("last_report_at"),
            ],
        ),
        table(
            "removals",
            [
                uuid("pos_server_id").primary_key().take(),
                uuid("outlet_id"),
                uuid("chain_id"),
                big_integer("revision"),
            ],
        ),
        table(
            "devices",
            [
                pk_uuid("id"),
                uuid("pos_server_id"),
                string_uniq("public_key"),
                time("created_at"),
                time_null("revoked_at"),
            ],
        ),
        table(
            "enrollment_codes",
            [
                string("code_hash").primary_key().take(),
                uuid("pos_server_id"),
                time("created_at"),
                time("expires_at"),
                time_null("used_at"),
            ],
        ),
    ]
}

fn people() -> Vec<TableCreateStatement> {
    vec![
        table(
            "users",
            [
                pk_uuid("id"),
                string_uniq("email"),
                string("name"),
                string("password_hash"),
                boolean("admin"),
                time("created_at"),
                integer("failed_attempts").default(0).take(),
                time_null("locked_until"),
            ],
        ),
        table(
            "grants",
            [
                pk_uuid("id"),
                uuid("user_id"),
                string("scope"),
                uuid_null("chain_id"),
                uuid_null("outlet_id"),
                string("permission"),
            ],
        ),
        table(
            "sessions",
            [
                pk_uuid("id"),
                uuid("user_id"),
                time("created_at"),
                time("last_used_at"),
                string_uniq("access_hash"),
                time("access_expires_at"),
                string_uniq("refresh_hash"),
                time("refresh_expires_at"),
                time_null("revoked_at"),
            ],
        ),
        table(
            "audit",
            [
                big_pk_auto("seq"),
                time("at"),
                string("actor"),
                string("action"),
                string("target"),
                json("details"),
                string("previous_hash"),
                string("hash"),
            ],
        ),
    ]
}

fn work() -> Vec<TableCreateStatement> {
    let mut pieces = table(
        "upload_pieces",
        [uuid("upload_id"), big_integer("offset"), big_integer("length"), string("blob")],
    );
    pieces.primary_key(&mut primary_key(&["upload_id", "offset"]));
    vec![
        table(
            "jobs",
            [
                pk_uuid("id"),
                uuid("pos_server_id"),
                string("kind"),
                string("state"),
                json("spec"),
                uuid("requested_by"),
                time("requested_at"),
                time_null("started_at"),
                time_null("finished_at"),
                time_null("deadline"),
                time_null("expires_at"),
                json_null("progress"),
                json_null("result"),
                json_null("error"),
                string_null("idempotency_key"),
                string_null("request_hash"),
                big_integer("revision"),
                time_null("cancel_requested_at"),
            ],
        ),
        table(
            "archives",
            [
                pk_uuid("id"),
                uuid("job_id"),
                uuid("pos_server_id"),
                string("file_name"),
                big_integer("size_bytes"),
                string("sha256"),
                time("from_at"),
                time("to_at"),
                integer("part"),
                time("created_at"),
                time("expires_at"),
                time_null("deleted_at"),
            ],
        ),
        table(
            "uploads",
            [
                pk_uuid("id"),
                uuid("job_id"),
                uuid("pos_server_id"),
                big_integer("length"),
                big_integer("offset"),
                string("sha256"),
                time("from_at"),
                time("to_at"),
                integer("part"),
                integer("parts"),
                time("created_at"),
                time_null("finished_at"),
            ],
        ),
        pieces,
    ]
}

fn loyalty() -> Vec<TableCreateStatement> {
    let mut rows =
        table("loyalty_rows", [uuid("chain_id"), string("table_name"), uuid("row_id"), text("content")]);
    rows.primary_key(&mut primary_key(&["chain_id", "table_name", "row_id"]));
    vec![
        rows,
        table(
            "loyalty_changes",
            [
                big_pk_auto("seq"),
                uuid_uniq("id"),
                uuid("chain_id"),
                string("table_name"),
                uuid("row_id"),
                text_null("content"),
                time("created_at"),
            ],
        ),
        table(
            "transactions",
            [
                pk_uuid("id"),
                uuid("pos_server_id"),
                uuid("guest_account_id"),
                big_integer("amount"),
                text("reason"),
                time("at"),
                time("received_at"),
            ],
        ),
    ]
}
