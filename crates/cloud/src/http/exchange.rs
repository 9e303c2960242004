//! The exchange of POS servers.

mod memory;

use axum::extract::{DefaultBodyLimit, State};
use chrono::Utc;
use tillwatch_protocol::error::ErrorCode;
use tillwatch_protocol::exchange::{ExchangeAnswer, ExchangeRequest, MAX_CHANGES};
use tillwatch_protocol::ids::ChainId;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) use memory::{Checksums, StaleChains};

use crate::domain::{exchange, presence};
use crate::error::{ApiError, ApiResult};
use crate::gateway::{Change, Took};
use crate::http::device::Device;
use crate::http::extract::StoreJson;
use crate::metrics;
use crate::state::AppState;
use crate::store::{StoreError, loyalty};

/// What 500 transactions with long reasons take, in bytes.
const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;

pub(crate) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(run)).layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
}

/// Takes a POS server's transactions and gives what changed after its cursor.
#[utoipa::path(
    post, path = "/exchange", operation_id = "exchange_data", tag = "store", security(("device" = [])),
    request_body = ExchangeRequest,
    responses((status = 200, description = "All transactions are written down", body = ExchangeAnswer)),
    extensions(("x-problems" = json!([ErrorCode::NotFound, ErrorCode::VersionUnsupported])))
)]
async fn run(
    State(state): State<AppState>,
    device: Device,
    StoreJson(request): StoreJson<ExchangeRequest>,
) -> ApiResult<axum::Json<ExchangeAnswer>> {
    let answered = exchange(&state, device, request).await;
    metrics::exchanged(answered.as_ref().map(drop).map_err(ApiError::code));
    answered.map(axum::Json)
}

async fn exchange(state: &AppState, device: Device, request: ExchangeRequest) -> ApiResult<ExchangeAnswer> {
    exchange::validate(&request).map_err(|invalid| {
        let field = match invalid {
            exchange::Invalid::Cursor => "cursor",
            exchange::Invalid::TooManyTransactions | exchange::Invalid::Reason => "transactions",
        };
        ApiError::invalid_field(field, invalid.to_string())
    })?;
    let (chain, cursor) = take(state, device, request).await?;
    answer(state, chain, cursor).await
}

/// Writes down what the POS server brought; gives its chain and from where its changes go on.
async fn take(state: &AppState, device: Device, request: ExchangeRequest) -> ApiResult<(ChainId, i64)> {
    let id = device.pos_server_id;
    let (standing, head) = {
        let db = state.store.read().await?;
        let standing = loyalty::standing(&db, id).await?.ok_or_else(ApiError::not_found)?;
        let head = loyalty::head(&db, standing.chain).await?;
        (standing, head)
    };
    if !presence::is_supported(standing.pos_version.as_deref()) {
        let detail = "Only POS servers of version 34 and later exchange data.";
        return Err(ApiError::new(ErrorCode::VersionUnsupported, detail));
    }
    let cursor = exchange::start(request.cursor, head);
    let chain = standing.chain;
    if request.transactions.is_empty() && standing.cursor == cursor {
        return Ok((chain, cursor));
    }
    let took = Took { id, chain, cursor, transactions: request.transactions, at: Utc::now() };
    if state.inbox.ask(took, Change::Took).await? {
        state.stale_chains.mark(chain);
    }
    Ok((chain, cursor))
}

/// The changes after a cursor, and the checksum where they end at the head.
async fn answer(state: &AppState, chain: ChainId, cursor: i64) -> ApiResult<ExchangeAnswer> {
    // One view of the database, so that changes, head and checksum belong together.
    let db = state.store.read().await?;
    let head = loyalty::head(&db, chain).await?;
    let mut changes = loyalty::changes_after(&db, chain, cursor, MAX_CHANGES as u64 + 1).await?;
    let more = changes.len() > MAX_CHANGES;
    changes.truncate(MAX_CHANGES);
    let checksum = match (more, state.checksums.get(chain, head)) {
        (true, _) => None,
        (false, Some(known)) => Some(known),
        (false, None) => {
            let checksum = loyalty::checksum(&db, chain).await?;
            state.checksums.put(chain, head, checksum.clone());
            Some(checksum)
        }
    };
    let cursor = if more { changes.last().map_or(head, |(seq, _)| *seq) } else { head };
    let changes = changes.into_iter().map(|(_, change)| change).collect();
    Ok(ExchangeAnswer { changes, cursor, checksum, more })
}

/// Raises the revisions of chains whose stores are further behind since the last time.
pub(crate) async fn touch_stale_chains(state: &AppState) -> Result<(), StoreError> {
    let chains = state.stale_chains.take();
    if chains.is_empty() {
        return Ok(());
    }
    let mut tx = state.store.write().await?;
    let revision = tx.next_revision().await?;
    for chain in chains {
        loyalty::touch_chain(&*tx, chain, revision).await?;
    }
    tx.commit().await
}
