//! Rows that come as one JSON text each.
//!
//! A driver hands a row over column by column, and that of SQLite copies each for another thread. Where rows have many
//! columns, it takes a fraction of that time to let the database make one text of them and to read it here.

use sea_orm::sea_query::{Alias, Expr, ExprTrait, Func, SelectStatement};
use sea_orm::{ColumnTrait, ColumnType, ConnectionTrait, DbBackend};
use serde::de::DeserializeOwned;

use super::StoreError;

/// What is selected of the tables of a query, each under a name.
#[derive(Debug)]
pub(crate) struct Packed {
    backend: DbBackend,
    /// Names and values in turn.
    parts: Vec<Expr>,
}

impl Packed {
    /// Nothing yet, of a query on this connection.
    pub(crate) fn on(db: &impl ConnectionTrait) -> Self {
        Self { backend: db.get_database_backend(), parts: Vec::new() }
    }

    /// Columns under their own names.
    pub(crate) fn columns<C: ColumnTrait>(self, columns: impl IntoIterator<Item = C>) -> Self {
        columns.into_iter().fold(self, |packed, column| packed.column_as(column, column.as_str()))
    }

    /// A column under another name.
    pub(crate) fn column_as(mut self, column: impl ColumnTrait, name: &'static str) -> Self {
        let value = Expr::col(column.as_column_ref());
        let value = match (self.backend, column.def().get_column_type()) {
            // Bytes there, which JSON has not.
            (DbBackend::Sqlite, ColumnType::Uuid) => Func::cust("hex").arg(value).into(),
            // Text there.
            (DbBackend::Sqlite, ColumnType::Json | ColumnType::JsonBinary) => {
                Func::cust("json").arg(value).into()
            }
            _ => value,
        };
        self.parts.extend([Expr::cust(format!("'{name}'")), value]);
        self
    }

    /// The rows of a query that selects nothing besides, in its order.
    pub(crate) async fn rows<T: DeserializeOwned>(
        self,
        db: &impl ConnectionTrait,
        mut query: SelectStatement,
    ) -> Result<Vec<T>, StoreError> {
        let object = if self.backend == DbBackend::Sqlite { "json_object" } else { "json_build_object" };
        let object = Func::cust(object).args(self.parts);
        query.expr_as(Expr::from(object).cast_as(Alias::new("text")), "packed");
        let read = |text: String| serde_json::from_str(&text).map_err(|error| damaged(&error));
        db.query_all(&query).await?.iter().map(|row| read(row.try_get("", "packed")?)).collect()
    }
}

/// Where, and not what: the error's own words hold a piece of the row, which may be a store's text.
fn damaged(error: &serde_json::Error) -> StoreError {
    StoreError::Damaged(format!("a row, at character {}", error.column()))
}

#[cfg(test)]
mod tests {
    use sea_orm::sea_query::{ExprTrait, Query};
    use sea_orm::{ActiveModelTrait, EntityTrait, Set};
    use serde::Deserialize;
    use tempfile::TempDir;
    use uuid::Uuid;

    use super::*;
    use crate::admin;
    use crate::store::Store;
    use crate::store::entity::pos_servers::{self, Column};

    #[derive(Debug, PartialEq, Deserialize)]
    struct Row {
        id: Uuid,
        called: String,
        evidence: serde_json::Value,
        generation: Option<i64>,
        error_message: Option<String>,
    }

    /// A database with one POS server in it; gone with its folder.
    async fn with_a_pos_server() -> (TempDir, Store, Uuid) {
        let folder = TempDir::new().unwrap();
        let store = Store::open(folder.path(), None).await.unwrap();
        let file = "chain,outlet,crm_id,address,time_zone,pos_server\nPizza,Riga,1,,Europe/Riga,Main\n";
        let made = admin::import_fleet(&store, file.as_bytes(), chrono::Utc::now()).await.unwrap();
        let id = made[0].pos_server_id.0;
        (folder, store, id)
    }

    async fn read(store: &Store, id: Uuid) -> Result<Vec<Row>, StoreError> {
        let mut query = Query::select();
        query.from(pos_servers::Entity).and_where(Expr::col(Column::Id).eq(id));
        let db = store.lone();
        Packed::on(db)
            .column_as(Column::Name, "called")
            .columns([Column::Id, Column::Evidence, Column::Generation, Column::ErrorMessage])
            .rows(db, query)
            .await
    }

    #[tokio::test]
    async fn a_row_comes_as_it_was_written_whatever_it_holds() {
        let (_folder, store, id) = with_a_pos_server().await;
        for (text, generation) in [
            ("", None),
            (r#"'; DROP TABLE pos_servers; --"\u0041\"#, Some(i64::MAX)),
            ("a\tb\r\n\u{1}\u{7f}\u{2028}", Some(i64::MIN)),
            ("\u{202e}Čā Ж 🧾", Some(0)),
        ] {
            let evidence = serde_json::json!([{ text: [text, null, 1.5, true] }]);
            let row = pos_servers::ActiveModel {
                id: Set(id),
                name: Set(text.to_owned()),
                evidence: Set(evidence.clone()),
                generation: Set(generation),
                error_message: Set(generation.map(|_| text.to_owned())),
                ..Default::default()
            };
            let tx = store.write().await.unwrap();
            row.update(&*tx).await.unwrap();
            tx.commit().await.unwrap();
            let error_message = generation.map(|_| text.to_owned());
            let expected = Row { id, called: text.to_owned(), evidence, generation, error_message };
            assert_eq!(read(&store, id).await.unwrap(), [expected]);
        }
    }

    #[tokio::test]
    async fn a_damaged_row_is_told_of_without_what_it_holds() {
        let (_folder, store, id) = with_a_pos_server().await;
        let tx = store.write().await.unwrap();
        let nonsense =
            pos_servers::Entity::update_many().col_expr(Column::Generation, Expr::val("told by a store"));
        nonsense.exec(&*tx).await.unwrap();
        tx.commit().await.unwrap();
        let told = read(&store, id).await.unwrap_err().to_string();
        assert!(told.contains("a row, at character") && !told.contains("told by a store"), "{told}");
    }
}
