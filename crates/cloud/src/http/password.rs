//! Changing one's own password.

use axum::extract::State;
use axum::http::StatusCode;
use chrono::Utc;
use tillwatch_protocol::error::ErrorCode;
use tillwatch_protocol::rest::session::{ChangePassword, User};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::admin::users::{Password, change_password};
use crate::domain::audit::{Actor, Entry};
use crate::domain::user::MAX_PASSWORD_BYTES;
use crate::error::{ApiError, ApiResult};
use crate::http::extract::{CurrentUser, Json};
use crate::http::session::passwords_off;
use crate::http::sign_in_guard::{admit_after, note_wrong};
use crate::state::AppState;
use crate::store::{attempts, user as users};

pub(crate) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(change))
}

/// Changes one's own password, and ends one's other sessions. A wrong `current_password` counts as a wrong password
/// at signing in does: whoever has found a session open shall not guess it here.
#[utoipa::path(
    put, path = "/me/password", operation_id = "change_password", tag = "session", request_body = ChangePassword,
    responses((status = 204, description = "The password is changed; this session goes on")),
    extensions(("x-problems" = json!([ErrorCode::PasswordsOff, ErrorCode::RateLimited])))
)]
async fn change(
    State(state): State<AppState>,
    current: CurrentUser,
    Json(ChangePassword { current_password, password }): Json<ChangePassword>,
) -> ApiResult<StatusCode> {
    if !state.config.passwords {
        return Err(passwords_off());
    }
    let wrong = || ApiError::invalid_field("current_password", "is not your password");
    if current_password.len() > MAX_PASSWORD_BYTES {
        return Err(wrong());
    }
    let guard = &state.sign_in;
    let email = &current.user.email;
    let _turn = guard.turn(email).lock().await;
    let (account, tries) = {
        let db = state.store.read().await?;
        (users::by_email(&db, email).await?, attempts::of(&db, email).await?)
    };
    admit_after(tries, Utc::now())?;
    let account = account.filter(|account| account.user.id == current.user.id).ok_or_else(wrong)?;
    if !guard.verify(current_password, account.password_hash.clone()).await? {
        let now = Utc::now();
        let tx = state.store.write().await?;
        let target = format!("user:{}", current.user.id);
        let refusal = Entry::new(now, Actor::User(current.user.id), "user.password_refused", target.clone());
        note_wrong(&tx, email, refusal, target, now).await?;
        tx.commit().await?;
        return Err(wrong());
    }
    let User { email: own, name, .. } = current.user.clone();
    let password = guard.hashing(move || Password::check(Some(password), &own, &name)).await??;
    let tx = state.store.write().await?;
    // Hashing took its time: meanwhile other nodes may have counted tries, and an admin may have set another one, which
    // is not to be undone.
    admit_after(attempts::of(&*tx, email).await?, Utc::now())?;
    let now_has = users::by_email(&*tx, email).await?;
    if now_has.is_none_or(|now_has| now_has.password_hash != account.password_hash) {
        return Err(wrong());
    }
    change_password(&tx, &current.user, current.session_id, &password, Utc::now()).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
