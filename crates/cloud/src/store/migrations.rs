//! The schema's history. Migrations only ever add to the end of the list.

mod m0001_first;
mod m0002_nodes;
mod m0003_timeline;
mod m0004_service_tokens;
mod m0005_sso;
mod m0007_admin;
mod m0009_used_tokens;
mod m0010_job_generation;
mod m0011_audit_head;
mod m0012_sign_in_attempts;

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend};
use sea_orm_migration::prelude::*;

/// Every migration in the order of its making.
struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_first::Migration),
            Box::new(m0002_nodes::Migration),
            Box::new(m0003_timeline::Migration),
            Box::new(m0004_service_tokens::Migration),
            Box::new(m0005_sso::Migration),
            Box::new(m0007_admin::Migration),
            Box::new(m0009_used_tokens::Migration),
            Box::new(m0010_job_generation::Migration),
            Box::new(m0011_audit_head::Migration),
            Box::new(m0012_sign_in_attempts::Migration),
        ]
    }
}

/// Postgres: a migration may take its time, and who waits for another node's waits as long.
pub(super) async fn prepare(tx: &DatabaseTransaction) -> Result<(), DbErr> {
    if tx.get_database_backend() == DbBackend::Postgres {
        tx.execute_unprepared("SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0").await?;
    }
    Ok(())
}

/// Brings the schema to where this version needs it.
pub(super) async fn run(tx: &DatabaseTransaction) -> Result<(), DbErr> {
    Migrator::up(tx, None).await?;
    if tx.get_database_backend() == DbBackend::Postgres {
        tx.execute_unprepared(COMPARE_BYTES).await?;
    }
    Ok(())
}

/// Texts compare byte by byte, as in SQLite and in our own code: version keys, folded names and cursors rely on
/// it, and the order must not change with the operating system's language data. A column that a migration
/// has made gets the collation here, so that none can be forgotten; its indexes are made anew with it.
const COMPARE_BYTES: &str = r#"
DO $$
DECLARE
    text_column record;
BEGIN
    FOR text_column IN
        SELECT c.oid::regclass AS owner, a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace
            AND a.attnum > 0 AND NOT a.attisdropped
            AND a.attcollation NOT IN (0, '"C"'::regcollation)
    LOOP
        EXECUTE format('ALTER TABLE %s ALTER COLUMN %I TYPE %s COLLATE "C"',
            text_column.owner, text_column.name, text_column.type);
    END LOOP;
END $$
"#;
