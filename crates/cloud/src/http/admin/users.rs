//! Users and their sessions. Whoever administers chains sees the users of those; changing users is for admins.

use axum::extract::State;
use axum::http::StatusCode;
use chrono::Utc;
use sea_orm::ConnectionTrait;
use serde::Deserialize;
use tillwatch_protocol::error::ErrorCode;
use tillwatch_protocol::ids::{SessionId, UserId};
use tillwatch_protocol::rest::Page;
use tillwatch_protocol::rest::admin::{AdminUser, CreatedUser, NewUser, PasswordSet, SetPassword, UserEdit};
use tillwatch_protocol::rest::session::Session;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Administrator, only_admins};
use crate::admin::{AdminError, users};
use crate::domain::permission::Reach;
use crate::error::{ApiError, ApiResult};
use crate::http::extract::{Json, Path, Query};
use crate::http::params::{self, collect, refuse};
use crate::state::AppState;
use crate::store::{WriteTx, session, user};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, edit, delete))
        .routes(routes!(set_password))
        .routes(routes!(unlock))
        .routes(routes!(sessions, end_sessions))
        .routes(routes!(end_session))
}

/// The longest text to search for, in characters.
const MAX_Q_CHARS: usize = 200;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Params {
    /// Only those whose e-mail or name contains this, in any case.
    #[param(max_length = 200)]
    q: Option<String>,
    /// How many, 1 to 1000; 100 when not given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 100)]
    limit: Option<String>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Users by e-mail: all for admins, else those with a permission in the chains that one administers.
#[utoipa::path(
    get, path = "/admin/users", operation_id = "admin_list_users", tag = "admin", params(Params),
    responses((status = 200, description = "A page of users", body = Page<AdminUser>)),
    extensions(("x-problems" = json!([ErrorCode::PermissionDenied])))
)]
async fn list(
    State(state): State<AppState>,
    administrator: Administrator,
    Query(query): Query<Params>,
) -> ApiResult<axum::Json<Page<AdminUser>>> {
    let mut errors = Vec::new();
    let limit = collect(params::limit(query.limit.as_deref()), &mut errors);
    let after: Option<String> = collect(params::from_cursor(query.cursor.as_deref()), &mut errors);
    let q = query.q.map(|q| q.trim().to_owned()).filter(|q| !q.is_empty());
    if q.as_ref().is_some_and(|q| q.chars().count() > MAX_Q_CHARS) {
        errors.push(refuse("q", format!("must have at most {MAX_Q_CHARS} characters")));
    }
    if !errors.is_empty() {
        return Err(ApiError::invalid(&errors));
    }
    let (db, reach) = administrator.read(&state).await?;
    let items = user::page(&db, &reach, q.as_deref(), after.as_deref(), limit + 1).await?;
    Ok(axum::Json(params::page(items, limit, |last| last.email.clone())))
}

/// Makes a user. For admins. Without a password one is made up, and told this once.
#[utoipa::path(
    post, path = "/admin/users", operation_id = "admin_create_user", tag = "admin", request_body = NewUser,
    responses((status = 201, description = "The new user", body = CreatedUser)),
    extensions(("x-problems" = json!([ErrorCode::PermissionDenied, ErrorCode::AlreadyExists])))
)]
async fn create(
    State(state): State<AppState>,
    administrator: Administrator,
    Json(new): Json<NewUser>,
) -> ApiResult<(StatusCode, axum::Json<CreatedUser>)> {
    // Before the hash is made, which costs: who may not do this shall not cause it.
    if !administrator.read(&state).await?.1.is_everything() {
        return Err(only_admins());
    }
    let NewUser { email, name, admin, password } = new;
    let new = hashing(move || users::New::check(&email, &name, admin, password)).await?;
    let tx = administrator.write_as_admin(&state).await?;
    let id = users::add(&tx, administrator.actor(), &new, Utc::now()).await?.id;
    let user = user::find(&*tx, id).await?.ok_or_else(ApiError::not_found)?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, axum::Json(CreatedUser { user, password: new.generated })))
}

/// One user.
#[utoipa::path(
    get, path = "/admin/users/{id}", operation_id = "admin_get_user", tag = "admin", params(("id" = UserId, Path, description = "The user")),
    responses((status = 200, description = "The user", body = AdminUser)),
    extensions(("x-problems" = json!([ErrorCode::PermissionDenied])))
)]
async fn get(
    State(state): State<AppState>,
    administrator: Administrator,
    Path(id): Path<UserId>,
) -> ApiResult<axum::Json<AdminUser>> {
    let (db, reach) = administrator.read(&state).await?;
    user::find_within(&db, &reach, id).await?.map(axum::Json).ok_or_else(ApiError::not_found)
}

/// Changes what is given of a user. For admins. Disabling ends every session at once; the last admin stays
/// one. The e-mail: only who has proved lately who they are.
#[utoipa::path(
    patch, path = "/admin/users/{id}", operation_id = "admin_edit_user", tag = "admin",
    params(("id" = UserId, Path, description = "The user")), request_body = UserEdit,
    responses((status = 200, description = "The user as it is now", body = AdminUser)),
    extensions(("x-problems" = json!([
        ErrorCode::PermissionDenied, ErrorCode::ReauthenticationRequired, ErrorCode::AlreadyExists,
        ErrorCode::LastAdmin
    ])))
)]
async fn edit(
    State(state): State<AppState>,
    administrator: Administrator,
    Path(id): Path<UserId>,
    Json(edit): Json<UserEdit>,
) -> ApiResult<axum::Json<AdminUser>> {
    let (mut tx, user) = write(&state, &administrator, id).await?;
    if edit.email.is_some() {
        administrator.0.must_have_proved()?;
    }
    users::edit(&mut tx, administrator.actor(), &user, &edit, Utc::now()).await?;
    let user = user::find(&*tx, id).await?.ok_or_else(ApiError::not_found)?;
    tx.commit().await?;
    Ok(axum::Json(user))
}

/// Deletes a user with their sessions and permissions. For admins. What they did stays in the audit trail; the
/// last admin stays.
#[utoipa::path(
    delete, path = "/admin/users/{id}", operation_id = "admin_delete_user", tag = "admin", params(("id" = UserId, Path, description = "The user")),
    responses((status = 204, description = "The user is gone")),
    extensions(("x-problems" = json!([ErrorCode::PermissionDenied, ErrorCode::LastAdmin])))
)]
async fn delete(
    State(state): State<AppState>,
    administrator: Administrator,
    Path(id): Path<UserId>,
) -> ApiResult<StatusCode> {
    let (mut tx, user) = write(&state, &administrator, id).await?;
    users::delete(&mut tx, administrator.actor(), &user, Utc::now()).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Gives a user another password, and signs them out everywhere. For admins. Without one it is made up, and
/// told this once. Only who has proved lately who they are.
#[utoipa::path(
    put, path = "/admin/users/{id}/password", operation_id = "admin_set_password", tag = "admin",
    params(("id" = UserId, Path, description = "The user")), request_body = SetPassword,
    responses((status = 200, description = "The password is set", body = PasswordSet)),
    extensions(("x-problems" = json!([ErrorCode::PermissionDenied, ErrorCode::ReauthenticationRequired])))
)]
async fn set_password(
    State(state): State<AppState>,
    administrator: Administrator,
    Path(id): Path<UserId>,
    Json(SetPassword { password }): Json<SetPassword>,
) -> ApiResult<axum::Json<PasswordSet>> {
    let (db, reach) = administrator.read(&state).await?;
    let user = found(&db, &reach, id).await?;
    drop(db);
    administrator.0.must_have_proved()?;
    let password = hashing(move || users::Password::check(password, &user.email, &user.name)).await?;
    let (tx, user) = write(&state, &administrator, id).await?;
    users::set_password(&tx, administrator.actor(), &user, &password, Utc::now()).await?;
    tx.commit().await?;
    Ok(axum::Json(PasswordSet { password: password.generated }))
}

/// Lets a user try passwords again who gave ten wrong ones. For admins.
#[utoipa::path(
    post, path = "/admin/users/{id}/unlock", operation_id = "admin_unlock_user", tag = "admin", params(("id" = UserId, Path, description = "The user")),
    responses((status = 200, description = "The user as it is now", body = AdminUser)),
    extensions(("x-problems" = json!([ErrorCode::PermissionDenied])))
)]
async fn unlock(
    State(state): State<AppState>,
    administrator: Administrator,
    Path(id): Path<UserId>,
) -> ApiResult<axum::Json<AdminUser>> {
    let (tx, user) = write(&state, &administrator, id).await?;
    users::unlock(&tx, administrator.actor(), &user, Utc::now()).await?;
    let user = user::find(&*tx, id).await?.ok_or_else(ApiError::not_found)?;
    tx.commit().await?;
    Ok(axum::Json(user))
}

/// The sessions of a user, newest first. For admins.
#[utoipa::path(
    get, path = "/admin/users/{id}/sessions", operation_id = "admin_list_sessions", tag = "admin", params(("id" = UserId, Path, description = "The user")),
    responses((status = 200, description = "The sessions", body = Page<Session>)),
    extensions(("x-problems" = json!([ErrorCode::PermissionDenied])))
)]
async fn sessions(
    State(state): State<AppState>,
    administrator: Administrator,
    Path(id): Path<UserId>,
) -> ApiResult<axum::Json<Page<Session>>> {
    let (db, reach) = administrator.read(&state).await?;
    found(&db, &reach, id).await?;
    let current = administrator.0.session_id;
    let items = session::of_user(&db, id, Utc::now())
        .await?
        .into_iter()
        .map(|row| Session {
            id: row.id,
            created_at: row.created_at,
            last_used_at: row.last_used_at,
            current: row.id == current,
        })
        .collect();
    Ok(axum::Json(Page { items, next_cursor: None }))
}

/// Signs a user out everywhere. For admins who have proved lately who they are.
#[utoipa::path(
    delete, path = "/admin/users/{id}/sessions", operation_id = "admin_end_sessions", tag = "admin", params(("id" = UserId, Path, description = "The user")),
    responses((status = 204, description = "No session goes on")),
    extensions(("x-problems" = json!([ErrorCode::PermissionDenied, ErrorCode::ReauthenticationRequired])))
)]
async fn end_sessions(
    State(state): State<AppState>,
    administrator: Administrator,
    Path(id): Path<UserId>,
) -> ApiResult<StatusCode> {
    let (tx, user) = write(&state, &administrator, id).await?;
    administrator.0.must_have_proved()?;
    users::end_sessions(&tx, administrator.actor(), user.id, Utc::now()).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends one session of a user. For admins who have proved lately who they are.
#[utoipa::path(
    delete, path = "/admin/users/{id}/sessions/{session_id}", operation_id = "admin_end_session", tag = "admin",
    params(("id" = UserId, Path, description = "The user"), ("session_id" = SessionId, Path, description = "The session")),
    responses((status = 204, description = "It has ended")),
    extensions(("x-problems" = json!([ErrorCode::PermissionDenied, ErrorCode::ReauthenticationRequired])))
)]
async fn end_session(
    State(state): State<AppState>,
    administrator: Administrator,
    Path((id, session_id)): Path<(UserId, SessionId)>,
) -> ApiResult<StatusCode> {
    let (tx, user) = write(&state, &administrator, id).await?;
    administrator.0.must_have_proved()?;
    if !users::end_session(&tx, administrator.actor(), user.id, session_id, Utc::now()).await? {
        return Err(ApiError::not_found());
    }
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Begins a write on a user, for an admin.
async fn write(
    state: &AppState,
    administrator: &Administrator,
    id: UserId,
) -> ApiResult<(WriteTx, AdminUser)> {
    let (tx, reach) = administrator.write(state).await?;
    let user = found(&*tx, &reach, id).await?;
    Ok((tx, user))
}

/// A user, for an admin. Others learn no more than they see.
async fn found(db: &impl ConnectionTrait, reach: &Reach, id: UserId) -> ApiResult<AdminUser> {
    let user = user::find_within(db, reach, id).await?.ok_or_else(ApiError::not_found)?;
    if reach.is_everything() { Ok(user) } else { Err(only_admins()) }
}

/// Does what hashes a password where it holds up no other request.
async fn hashing<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, AdminError> + Send + 'static,
) -> ApiResult<T> {
    Ok(tokio::task::spawn_blocking(work).await.map_err(ApiError::internal)??)
}
