//! The schema's history. Migrations only ever add to the end of the list, and to the schema: nodes of the version
//! before go on beside those of the new one. What is used no more stays until no node that runs can need it.

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
mod m0013_lost_refresh;
mod m0014_made_up_passwords;
mod m0015_proved_at;

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
            Box::new(m0013_lost_refresh::Migration),
            Box::new(m0014_made_up_passwords::Migration),
            Box::new(m0015_proved_at::Migration),
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

/// Brings the schema to where this version needs it. One that a newer version has brought further is good as it is: a
/// node that starts again in the middle of an upgrade must come back.
pub(super) async fn run(tx: &DatabaseTransaction) -> Result<(), DbErr> {
    let applied = Migrator::get_migration_models(tx).await?;
    let is_applied = |name: &str| applied.iter().any(|migration| migration.version == name);
    let known = Migrator::migrations();
    if known.iter().all(|migration| is_applied(migration.name())) {
        if applied.len() > known.len() {
            tracing::warn!("the database is a newer version's; this node goes on beside it");
        }
        return Ok(());
    }
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use sea_orm::{ConnectOptions, Database, DatabaseConnection, QueryResult, Statement};

    use super::*;
    use crate::store::Store;

    async fn ask(db: &DatabaseConnection, sql: &str) -> Vec<QueryResult> {
        db.query_all_raw(Statement::from_string(DbBackend::Sqlite, sql)).await.unwrap()
    }

    /// Type, and whether a row can do without a value, by table and column.
    async fn columns(db: &DatabaseConnection) -> BTreeMap<(String, String), (String, bool)> {
        let sql =
            "SELECT t.name AS owner, c.name, c.type, c.\"notnull\" = 0 OR c.dflt_value IS NOT NULL AS free
            FROM sqlite_master t JOIN pragma_table_info(t.name) c WHERE t.type = 'table'";
        let text = |row: &QueryResult, name: &str| row.try_get::<String>("", name).unwrap();
        let column = |row: &QueryResult| {
            let free = row.try_get::<i32>("", "free").unwrap() != 0;
            ((text(row, "owner"), text(row, "name")), (text(row, "type"), free))
        };
        ask(db, sql).await.iter().map(column).collect()
    }

    /// The tables that have an index of values that must differ, once for each.
    async fn unique(db: &DatabaseConnection) -> BTreeMap<String, i64> {
        let sql = "SELECT t.name AS owner, count(*) AS indexes
            FROM sqlite_master t JOIN pragma_index_list(t.name) i WHERE t.type = 'table' AND i.\"unique\" = 1 GROUP BY 1";
        let table =
            |row: &QueryResult| (row.try_get("", "owner").unwrap(), row.try_get("", "indexes").unwrap());
        ask(db, sql).await.iter().map(table).collect()
    }

    #[tokio::test]
    async fn a_migration_takes_nothing_from_nodes_of_the_version_before() {
        let db = Database::connect(ConnectOptions::new("sqlite::memory:").max_connections(1).to_owned());
        let db = db.await.unwrap();
        let migrations = Migrator::migrations();
        Migrator::up(&db, Some(1)).await.unwrap();
        for migration in &migrations[1..] {
            let (before, unique_before) = (columns(&db).await, unique(&db).await);
            assert!(!before.is_empty());
            Migrator::up(&db, Some(1)).await.unwrap();
            let (after, name) = (columns(&db).await, migration.name());
            for (column, kind) in &before {
                assert_eq!(after.get(column), Some(kind), "{name} changed {column:?}");
            }
            for ((table, column), (_, free)) in after {
                let is_old = before.keys().any(|(known, _)| *known == table);
                let is_added = !before.contains_key(&(table.clone(), column.clone()));
                assert!(!is_old || !is_added || free, "{name}: rows of {table} can't do without {column}");
            }
            let unique = unique(&db).await;
            for (table, _) in before.keys() {
                assert_eq!(
                    unique.get(table),
                    unique_before.get(table),
                    "{name}: values of {table} must differ"
                );
            }
        }
    }

    #[tokio::test]
    async fn a_node_starts_on_the_database_of_a_newer_version() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), None).await.unwrap();
        let tx = store.write().await.unwrap();
        let newer = "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9999_newer', 0)";
        tx.execute_unprepared(newer).await.unwrap();
        tx.commit().await.unwrap();
        let cloud = store.cloud_id().await.unwrap();
        store.close().await;
        let again = Store::open(dir.path(), None).await.unwrap();
        assert_eq!(again.cloud_id().await.unwrap(), cloud);
    }
}
