//! Loyalty data of a chain: uploaded here, taken by its POS servers.

use axum::extract::{DefaultBodyLimit, State};
use chrono::Utc;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tillwatch_protocol::error::ErrorCode;
use tillwatch_protocol::exchange::{Guest, GuestAccount, Program, Row, Table};
use tillwatch_protocol::ids::ChainId;
use tillwatch_protocol::rest::session::Permission;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::domain::audit::{Actor, Entry};
use crate::domain::exchange;
use crate::error::{ApiError, ApiResult};
use crate::http::extract::{CurrentUser, Json, Path};
use crate::state::AppState;
use crate::store::{audit, grant, loyalty};

/// The largest upload, in bytes.
const MAX_BODY_BYTES: usize = 64 * 1024 * 1024;

pub(crate) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(put_programs, patch_programs))
        .routes(routes!(put_guests, patch_guests))
        .routes(routes!(put_guest_accounts, patch_guest_accounts))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
}

/// Rows of one table.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Rows<T> {
    /// The rows.
    items: Vec<T>,
}

/// What an upload did.
#[derive(Serialize, utoipa::ToSchema)]
struct Changed {
    /// How many rows really changed.
    changes: u64,
}

type Answer = ApiResult<axum::Json<Changed>>;

macro_rules! table {
    ($put:ident, $patch:ident, $path:literal, $row:ident, $table:ident) => {
        #[doc = "Replaces a table: rows that are not listed are deleted."]
        #[utoipa::path(
            put, path = $path, tag = "loyalty", params(("id" = ChainId, Path, description = "The chain")),
            request_body = Rows<$row>, responses((status = 200, description = "The table is as listed", body = Changed)),
            extensions(("x-problems" = json!([ErrorCode::PermissionDenied])))
        )]
        async fn $put(
            State(state): State<AppState>,
            user: CurrentUser,
            Path(chain): Path<ChainId>,
            Json(rows): Json<Rows<$row>>,
        ) -> Answer {
            let rows = rows.items.into_iter().map(Row::$table).collect();
            Upload { table: Table::$table, rows, replace: true }.apply(&state, &user, chain).await
        }

        #[doc = "Merges rows into a table."]
        #[utoipa::path(
            patch, path = $path, tag = "loyalty", params(("id" = ChainId, Path, description = "The chain")),
            request_body = Rows<$row>, responses((status = 200, description = "The rows are there", body = Changed)),
            extensions(("x-problems" = json!([ErrorCode::PermissionDenied])))
        )]
        async fn $patch(
            State(state): State<AppState>,
            user: CurrentUser,
            Path(chain): Path<ChainId>,
            Json(rows): Json<Rows<$row>>,
        ) -> Answer {
            let rows = rows.items.into_iter().map(Row::$table).collect();
            Upload { table: Table::$table, rows, replace: false }.apply(&state, &user, chain).await
        }
    };
}

table!(put_programs, patch_programs, "/chains/{id}/programs", Program, Programs);
table!(put_guests, patch_guests, "/chains/{id}/guests", Guest, Guests);
table!(put_guest_accounts, patch_guest_accounts, "/chains/{id}/guest-accounts", GuestAccount, GuestAccounts);

/// Rows that were uploaded.
struct Upload {
    table: Table,
    rows: Vec<Row>,
    replace: bool,
}

impl Upload {
    async fn apply(self, state: &AppState, user: &CurrentUser, chain: ChainId) -> Answer {
        let Self { table, rows, replace } = self;
        let mut tx = state.store.write().await?;
        if !loyalty::chain_is_visible(&*tx, user.viewer(), chain).await? {
            return Err(ApiError::not_found());
        }
        if !grant::may_in_chain(&*tx, user.viewer(), Permission::Admin, chain).await? {
            return Err(ApiError::new(ErrorCode::PermissionDenied, "This needs the permission admin."));
        }
        let now = Utc::now();
        let present = loyalty::rows(&*tx, chain, table).await?;
        let changes = exchange::difference(table, &present, rows, replace);
        let count = changes.len() as u64;
        if count > 0 {
            let entry =
                Entry::new(now, Actor::User(user.user.id), "loyalty.changed", format!("chain:{chain}"));
            audit::append(&tx, entry.with("table", json!(table)).with("changes", count)).await?;
            loyalty::write(&*tx, chain, changes, now).await?;
            let revision = tx.next_revision().await?;
            loyalty::touch_chain(&*tx, chain, revision).await?;
            tx.commit().await?;
        }
        Ok(axum::Json(Changed { changes: count }))
    }
}
