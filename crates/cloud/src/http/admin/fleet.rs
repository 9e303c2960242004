//! Importing a fleet.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use chrono::Utc;
use tillwatch_protocol::error::ErrorCode;
use tillwatch_protocol::rest::admin::{FleetImported, FleetLine};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Administrator;
use crate::admin::fleet;
use crate::error::{ApiError, ApiResult};
use crate::state::AppState;

/// The largest file, in bytes: room for 100,000 lines in any alphabet.
const MAX_BODY_BYTES: usize = 64 * 1024 * 1024;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(import)).layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
}

/// Imports a fleet from CSV (`chain,outlet,crm_id,address,time_zone,pos_server`, comma or semicolon) or JSON,
/// all of it or nothing, and gives the codes by which the stores enroll. Whoever administers single chains
/// imports into those.
#[utoipa::path(
    post, path = "/admin/fleet/import", operation_id = "admin_import_fleet", tag = "admin",
    request_body(content(
        (String = "text/csv", example = "chain,outlet,crm_id,address,time_zone,pos_server\nPizza,Riga 1,007,,Europe/Riga,Main POS\n"),
        (Vec<FleetLine> = "application/json"),
    )),
    responses((status = 201, description = "What was imported, with the codes", body = FleetImported)),
    extensions(("x-problems" = json!([ErrorCode::PermissionDenied])))
)]
async fn import(
    State(state): State<AppState>,
    administrator: Administrator,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> ApiResult<(StatusCode, axum::Json<FleetImported>)> {
    let kind = headers.get(header::CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    if !["text/csv", "application/json"].iter().any(|known| kind.eq_ignore_ascii_case(known.as_bytes())) {
        let detail = "This call takes text/csv or application/json.";
        return Err(ApiError::new(ErrorCode::UnsupportedMediaType, detail));
    }
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            ApiError::new(ErrorCode::PayloadTooLarge, "A file may have at most 64 MiB.")
        }
        _ => ApiError::new(ErrorCode::MalformedBody, "The body broke off."),
    })?;
    // A large file takes a while: other requests must not wait for it.
    let lines =
        tokio::task::spawn_blocking(move || fleet::parse(&body)).await.map_err(ApiError::internal)??;
    let (mut tx, reach) = administrator.write(&state).await?;
    let items = fleet::import(&mut tx, administrator.actor(), Some(&reach), lines, Utc::now()).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, axum::Json(FleetImported { items })))
}
