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

/// Without the row: what it holds is nobody's business in a log.
fn damaged(error: &serde_json::Error) -> StoreError {
    StoreError::Damaged(format!("a row ({error})"))
}
