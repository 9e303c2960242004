//! How a connector becomes known: a one-time code for an identity.

use axum::extract::State;
use chrono::{DateTime, Utc};
use serde_json::json;
use tillwatch_protocol::device::is_public_key;
use tillwatch_protocol::error::ErrorCode;
use tillwatch_protocol::rest::enroll::{Enroll, Enrolled};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::domain::audit::{Actor, Entry};
use crate::error::{ApiError, ApiResult};
use crate::http::extract::Json;
use crate::state::AppState;
use crate::store::device::{Enrollment, NoEnrollment};
use crate::store::{audit, device};
use crate::tokens::hash_enrollment_code;

pub(crate) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(enroll))
}

/// Exchanges a one-time code for an identity; an older one of the same POS server is revoked. The same code
/// with the same key gives the same identity again while the code lives, as an answer may be lost.
#[utoipa::path(
    post, path = "/enroll", operation_id = "enroll_store", tag = "store", security(()), request_body = Enroll,
    responses((status = 200, description = "The identity", body = Enrolled)),
    extensions(("x-problems" = json!([ErrorCode::EnrollmentCodeInvalid])))
)]
async fn enroll(
    State(state): State<AppState>,
    Json(request): Json<Enroll>,
) -> ApiResult<axum::Json<Enrolled>> {
    if !is_public_key(&request.public_key) {
        return Err(ApiError::invalid_field("public_key", "is no Ed25519 key of 32 bytes in base64url"));
    }
    let now = Utc::now();
    let hash = hash_enrollment_code(&request.code);
    // Anybody may ask: only who has something to write takes a turn among those who write. A store whose answer was
    // lost asks again, and nothing changes.
    let claim = device::claim(&state.store.read().await?, &hash, &request.public_key, now).await?;
    let enrolled = match claim.map_err(refused)?.known() {
        Some(enrolled) => enrolled,
        None => write(&state, &hash, &request.public_key, now).await?,
    };
    Ok(axum::Json(Enrolled {
        device_id: enrolled.device_id,
        cloud_id: state.cloud_id,
        pos_server_id: enrolled.pos_server_id,
        outlet: enrolled.outlet,
        time_zone: enrolled.time_zone,
    }))
}

/// Makes the identity, unless somebody was quicker.
async fn write(state: &AppState, hash: &str, public_key: &str, now: DateTime<Utc>) -> ApiResult<Enrollment> {
    let tx = state.store.write().await?;
    let enrolled = device::enroll(&*tx, hash, public_key, now).await?.map_err(refused)?;
    if enrolled.is_new {
        let target = format!("pos_server:{}", enrolled.pos_server_id);
        let store = Actor::Store(enrolled.pos_server_id);
        if enrolled.replaces {
            let entry = Entry::new(now, store, "device.revoked", target.clone());
            audit::append(&tx, entry.with("reason", "enrolled_anew")).await?;
        }
        let entry = Entry::new(now, store, "device.enrolled", target);
        audit::append(&tx, entry.with("device_id", json!(enrolled.device_id))).await?;
        tx.commit().await?;
        tracing::info!(device = %enrolled.device_id, pos_server = %enrolled.pos_server_id, "enrolled");
    }
    Ok(enrolled)
}

fn refused(why: NoEnrollment) -> ApiError {
    match why {
        NoEnrollment::KnownKey => {
            ApiError::invalid_field("public_key", "has an identity already; make a new key")
        }
        NoEnrollment::BadCode => ApiError::new(
            ErrorCode::EnrollmentCodeInvalid,
            "The code is unknown, was used, or is older than 24 hours. Ask for a new one.",
        ),
    }
}
