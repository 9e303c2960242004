//! Signing in and out, one's sessions, and what one may do.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use chrono::{DateTime, Utc};
use tillwatch_protocol::error::ErrorCode;
use tillwatch_protocol::ids::SessionId;
use tillwatch_protocol::rest::Page;
use tillwatch_protocol::rest::session::{
    ChainPermissions, Me, OutletPermissions, Permission, Refresh, Session, SignIn, Tokens, User,
};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::domain::audit::{Actor, Entry};
use crate::domain::user::{self, ACCESS_LIFE, MAX_PASSWORD_BYTES};
use crate::error::{ApiError, ApiResult};
use crate::http::address::ClientAddress;
use crate::http::extract::{self, CurrentUser, Json, Path};
use crate::http::sign_in_guard::{admit_after, note_wrong};
use crate::metrics;
use crate::state::AppState;
use crate::store::grant::Scope;
use crate::store::session::{NewTokens, Presented, Refreshed};
use crate::store::{WriteTx, attempts, audit, grant, session, user as users};
use crate::tokens::{RefreshKey, new_token, session_of};

pub(crate) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(sign_in, list))
        .routes(routes!(refresh))
        .routes(routes!(sign_out))
        .routes(routes!(end))
        .routes(routes!(me))
}

/// Signs in.
#[utoipa::path(
    post, path = "/sessions", operation_id = "sign_in", tag = "session", security(()), request_body = SignIn,
    responses((status = 200, description = "The session's tokens", body = Tokens)),
    extensions(("x-problems" = json!([
        ErrorCode::InvalidCredentials, ErrorCode::PasswordExpired, ErrorCode::PasswordsOff, ErrorCode::RateLimited
    ])))
)]
async fn sign_in(
    State(state): State<AppState>,
    address: ClientAddress,
    Json(body): Json<SignIn>,
) -> ApiResult<axum::Json<Tokens>> {
    if !state.config.passwords {
        return Err(passwords_off());
    }
    state.sign_in.admit(address)?;
    let email = user::normal_email(&body.email);
    if body.password.len() > MAX_PASSWORD_BYTES || email.len() > 1024 {
        return Err(wrong_credentials());
    }
    let guard = &state.sign_in;
    let _turn = guard.turn(&email).lock().await;
    let (account, tries) = {
        let db = state.store.read().await?;
        (users::by_email(&db, &email).await?, attempts::of(&db, &email).await?)
    };
    admit_after(tries, Utc::now())?;
    // An e-mail that no user has costs the same time, here and below, and is counted in the same place.
    let password_hash = account.map_or_else(|| guard.nobody.clone(), |account| account.password_hash);
    let fits = guard.verify(body.password, password_hash.clone()).await?;
    let now = Utc::now();
    let tx = state.store.write().await?;
    // Hashing took its time: meanwhile other nodes may have counted tries, and somebody changed the password.
    let account = users::by_email(&*tx, &email).await?;
    let tries = attempts::of(&*tx, &email).await?;
    admit_after(tries, now)?;
    // Who may not sign in learns no more than who guesses.
    let may = |account: &users::Account| fits && account.password_hash == password_hash && !account.disabled;
    let user = match account {
        Some(account) if may(&account) => {
            if account.password_ends_at.is_some_and(|ends_at| ends_at <= now) {
                let target = format!("user:{}", account.user.id);
                let code = ErrorCode::PasswordExpired;
                audit::append(&tx, refusal(target, address, code, now)).await?;
                tx.commit().await?;
                metrics::signed_in("password", "refused");
                return Err(ApiError::new(code, "Have an administrator make up another one."));
            }
            account.user
        }
        account => {
            let target =
                account.map_or("user:unknown".to_owned(), |account| format!("user:{}", account.user.id));
            let refusal = refusal(target.clone(), address, ErrorCode::InvalidCredentials, now);
            note_wrong(&tx, &email, refusal, target, now).await?;
            tx.commit().await?;
            metrics::signed_in("password", "refused");
            return Err(wrong_credentials());
        }
    };
    attempts::forget(&tx, &email).await?;
    let how = Entrance { method: "password", provider: None, address, proved_at: Some(now) };
    let tokens = begin(tx, &state.refresh_key, user, &how, now).await?;
    metrics::signed_in("password", "ok");
    Ok(axum::Json(tokens))
}

/// How somebody came in.
pub(crate) struct Entrance<'a> {
    /// `password` or `sso`.
    pub(crate) method: &'static str,
    /// The id of the provider of identities.
    pub(crate) provider: Option<&'a str>,
    /// From where.
    pub(crate) address: ClientAddress,
    /// When they proved who they are, where that is known.
    pub(crate) proved_at: Option<DateTime<Utc>>,
}

/// Begins a session of a user who has proved to be that user, and commits.
pub(crate) async fn begin(
    tx: WriteTx,
    key: &RefreshKey,
    user: User,
    how: &Entrance<'_>,
    now: DateTime<Utc>,
) -> ApiResult<Tokens> {
    if !users::may_sign_in(&tx, user.id).await? {
        // Disabled, or gone, since the password was looked at.
        return Err(wrong_credentials());
    }
    let id = SessionId::new();
    let tokens = new_tokens(key, id);
    session::forget_ended(&tx, user.id, now).await?;
    session::insert(&tx, id, user.id, &tokens, how.proved_at, now).await?;
    let mut entry = Entry::new(now, Actor::User(user.id), "session.started", format!("session:{id}"))
        .with("method", how.method)
        .with("address", how.address.to_string());
    if let Some(provider) = how.provider {
        entry = entry.with("provider", provider);
    }
    audit::append(&tx, entry).await?;
    tx.commit().await?;
    Ok(answer(tokens, user, now))
}

/// What is written down of a password that lets nobody in.
fn refusal(target: String, address: ClientAddress, reason: ErrorCode, now: DateTime<Utc>) -> Entry {
    Entry::new(now, Actor::System, "session.refused", target)
        .with("method", "password")
        .with("reason", reason.as_str())
        .with("address", address.to_string())
}

/// Changes the tokens for new ones. A refresh token is good once; using it again ends the session, unless it comes with
/// the key of the first time, within a minute: then the answer was lost, and others take the place of its tokens.
#[utoipa::path(
    post, path = "/sessions/refresh", operation_id = "refresh_session", tag = "session", security(()),
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[ -~]+$",
        description = "Known to nobody else; a try that had no answer may come again with it")),
    request_body = Refresh,
    responses((status = 200, description = "The session's new tokens", body = Tokens)),
    extensions(("x-problems" = json!([ErrorCode::Unauthorized])))
)]
async fn refresh(
    State(state): State<AppState>,
    headers: HeaderMap,
    Json(body): Json<Refresh>,
) -> ApiResult<axum::Json<Tokens>> {
    let refused = || ApiError::new(ErrorCode::Unauthorized, "The session has ended; sign in again.");
    let token = body.refresh_token.as_str();
    let id = session_of(token).ok_or_else(refused)?;
    let idempotency_key = extract::idempotency_key(&headers)?;
    let presented =
        Presented { session: id, token, made_here: state.refresh_key.made(token), idempotency_key };
    let now = Utc::now();
    // Anybody may ask: only who has something to write takes a turn among those who write.
    if session::refreshable(&state.store.read().await?, presented, now).await?.is_none() {
        return Err(refused());
    }
    let tokens = new_tokens(&state.refresh_key, id);
    let tx = state.store.write().await?;
    match session::refresh(&tx, presented, &tokens, now).await? {
        Refreshed::Tokens(user) => {
            tx.commit().await?;
            Ok(axum::Json(answer(tokens, user, now)))
        }
        Refreshed::Reused(user) => {
            let entry = Entry::new(now, Actor::System, "session.token_reused", format!("session:{id}"));
            audit::append(&tx, entry.with("user_id", user.to_string())).await?;
            tx.commit().await?;
            Err(refused())
        }
        Refreshed::Unknown => Err(refused()),
    }
}

/// Signs out.
#[utoipa::path(
    delete, path = "/sessions/current", operation_id = "sign_out", tag = "session",
    responses((status = 204, description = "The session has ended"))
)]
async fn sign_out(State(state): State<AppState>, current: CurrentUser) -> ApiResult<StatusCode> {
    revoke(&state, &current, current.session_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends one of one's sessions. Another than this one: only who has proved lately who they are.
#[utoipa::path(
    delete, path = "/sessions/{id}", operation_id = "end_session", tag = "session",
    params(("id" = SessionId, Path, description = "One of one's sessions")),
    responses((status = 204, description = "The session has ended")),
    extensions(("x-problems" = json!([ErrorCode::ReauthenticationRequired])))
)]
async fn end(
    State(state): State<AppState>,
    current: CurrentUser,
    Path(id): Path<SessionId>,
) -> ApiResult<StatusCode> {
    if id != current.session_id {
        current.must_have_proved()?;
    }
    if revoke(&state, &current, id).await? { Ok(StatusCode::NO_CONTENT) } else { Err(ApiError::not_found()) }
}

async fn revoke(state: &AppState, current: &CurrentUser, id: SessionId) -> ApiResult<bool> {
    let now = Utc::now();
    let tx = state.store.write().await?;
    let ended = session::revoke(&tx, current.user.id, id, now).await?;
    if ended {
        let entry = Entry::new(now, Actor::User(current.user.id), "session.ended", format!("session:{id}"));
        audit::append(&tx, entry).await?;
    }
    tx.commit().await?;
    Ok(ended)
}

/// One's sessions, newest first.
#[utoipa::path(
    get, path = "/sessions", operation_id = "list_sessions", tag = "session",
    responses((status = 200, description = "All of them: `next_cursor` is null", body = Page<Session>))
)]
async fn list(State(state): State<AppState>, current: CurrentUser) -> ApiResult<axum::Json<Page<Session>>> {
    let sessions = session::of_user(&state.store.read().await?, current.user.id, Utc::now()).await?;
    let items = sessions
        .into_iter()
        .map(|row| Session {
            id: row.id,
            created_at: row.created_at,
            last_used_at: row.last_used_at,
            current: row.id == current.session_id,
        })
        .collect();
    Ok(axum::Json(Page { items, next_cursor: None }))
}

/// Who one is, and what one may do where.
#[utoipa::path(
    get, path = "/me", operation_id = "get_me", tag = "session",
    responses((status = 200, description = "The user and their permissions", body = Me))
)]
async fn me(State(state): State<AppState>, current: CurrentUser) -> ApiResult<axum::Json<Me>> {
    let db = state.store.read().await?;
    let grants = grant::of_user(&db, current.user.id).await?;
    let password_ends_at = users::password_ends_at(&db, current.user.id).await?;
    drop(db);
    let mut me = Me {
        user: current.user,
        password_ends_at,
        everywhere: Vec::new(),
        chains: Vec::new(),
        outlets: Vec::new(),
    };
    if me.user.admin {
        me.everywhere = Permission::ALL.to_vec();
    }
    for (scope, permission) in grants {
        let permissions = match scope {
            Scope::All => &mut me.everywhere,
            Scope::Chain(chain_id) => {
                let at = me.chains.iter().position(|item| item.chain_id == chain_id).unwrap_or_else(|| {
                    me.chains.push(ChainPermissions { chain_id, permissions: Vec::new() });
                    me.chains.len() - 1
                });
                &mut me.chains[at].permissions
            }
            Scope::Outlet(outlet_id) => {
                let at =
                    me.outlets.iter().position(|item| item.outlet_id == outlet_id).unwrap_or_else(|| {
                        me.outlets.push(OutletPermissions { outlet_id, permissions: Vec::new() });
                        me.outlets.len() - 1
                    });
                &mut me.outlets[at].permissions
            }
        };
        if !permissions.contains(&permission) {
            permissions.push(permission);
            permissions.sort();
        }
    }
    Ok(axum::Json(me))
}

/// The operator lets nobody in by password.
pub(crate) fn passwords_off() -> ApiError {
    ApiError::new(ErrorCode::PasswordsOff, "Sign in by a provider; `GET /sso` lists them.")
}

fn wrong_credentials() -> ApiError {
    ApiError::new(ErrorCode::InvalidCredentials, "Check the e-mail and the password.")
}

fn new_tokens(key: &RefreshKey, id: SessionId) -> NewTokens {
    NewTokens { access: new_token(), refresh: key.new_token(id) }
}

fn answer(tokens: NewTokens, user: User, now: DateTime<Utc>) -> Tokens {
    Tokens { access_token: tokens.access, refresh_token: tokens.refresh, expires_at: now + ACCESS_LIFE, user }
}
