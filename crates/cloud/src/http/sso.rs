//! Signing in by a provider of identities: an app starts a try, its user's browser goes to the provider and
//! comes back to the app, and the app finishes the try. ADR 0009 tells why it is so.

use axum::extract::State;
use chrono::Utc;
use tillwatch_protocol::error::ErrorCode;
use tillwatch_protocol::rest::Page;
use tillwatch_protocol::rest::session::{SsoFinish, SsoProvider, SsoStart, SsoStarted, Tokens, User};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::domain::audit::{Actor, Entry};
use crate::domain::sso::{ATTEMPT_LIFE, Claimed, is_loopback_redirect};
use crate::error::{ApiError, ApiResult};
use crate::http::address::ClientAddress;
use crate::http::extract::{Json, Path};
use crate::http::session;
use crate::metrics;
use crate::sso::{Provider, SsoError};
use crate::state::AppState;
use crate::store::{audit, sso, user as users};
use crate::tokens::{hash, new_token};

pub(crate) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(start)).routes(routes!(finish))
}

/// By whom one can sign in besides a password.
#[utoipa::path(
    get, path = "/sso", operation_id = "list_sso_providers", tag = "session", security(()),
    responses((status = 200, description = "The providers, in the operator's order", body = Page<SsoProvider>))
)]
async fn list(State(state): State<AppState>) -> axum::Json<Page<SsoProvider>> {
    let items = state
        .sso
        .all()
        .iter()
        .map(|provider| SsoProvider { id: provider.config.id.clone(), name: provider.config.name.clone() })
        .collect();
    axum::Json(Page { items, next_cursor: None })
}

/// Starts a try to sign in. The browser goes to `authorization_url`; what it brings back to `redirect_uri`
/// within ten minutes finishes the try, together with `secret`, which never leaves the app.
#[utoipa::path(
    post, path = "/sso/{provider}/start", operation_id = "start_sso", tag = "session", security(()),
    params(("provider" = String, Path, description = "The provider's id")), request_body = SsoStart,
    responses((status = 200, description = "Where the browser goes", body = SsoStarted)),
    extensions(("x-problems" = json!([ErrorCode::NotFound, ErrorCode::RateLimited, ErrorCode::SsoUnavailable])))
)]
async fn start(
    State(state): State<AppState>,
    address: ClientAddress,
    Path(id): Path<String>,
    Json(body): Json<SsoStart>,
) -> ApiResult<axum::Json<SsoStarted>> {
    let provider = state.sso.named(&id).ok_or_else(ApiError::not_found)?;
    if !is_loopback_redirect(&body.redirect_uri) {
        let message = "must be http://127.0.0.1:PORT/… or http://[::1]:PORT/…, without a query";
        return Err(ApiError::invalid_field("redirect_uri", message));
    }
    state.sign_in.admit(address)?;
    let begun =
        provider.begin(&body.redirect_uri, body.again).await.map_err(|error| failed(provider, error))?;
    let secret = new_token();
    let now = Utc::now();
    let attempt = sso::Attempt {
        state_hash: hash(&begun.state),
        secret_hash: hash(&secret),
        provider: id,
        redirect_uri: body.redirect_uri,
        nonce: begun.nonce,
        pkce_verifier: begun.pkce_verifier,
        expires_at: now + ATTEMPT_LIFE,
        again: Some(body.again),
    };
    let expires_at = attempt.expires_at;
    let tx = state.store.write().await?;
    sso::begin(&tx, attempt, now).await?;
    tx.commit().await?;
    let authorization_url = begun.authorization_url.into();
    Ok(axum::Json(SsoStarted { authorization_url, secret, expires_at }))
}

/// Finishes a try with what the browser brought back.
#[utoipa::path(
    post, path = "/sso/{provider}/finish", operation_id = "finish_sso", tag = "session", security(()),
    params(("provider" = String, Path, description = "The provider's id")), request_body = SsoFinish,
    responses((status = 200, description = "The session's tokens", body = Tokens)),
    extensions(("x-problems" = json!([
        ErrorCode::NotFound, ErrorCode::RateLimited, ErrorCode::SsoUnavailable, ErrorCode::SsoRefused,
        ErrorCode::SsoExpired, ErrorCode::SsoUserUnknown, ErrorCode::SsoEmailUnverified, ErrorCode::SsoAccountChanged,
    ])))
)]
async fn finish(
    State(state): State<AppState>,
    address: ClientAddress,
    Path(id): Path<String>,
    Json(body): Json<SsoFinish>,
) -> ApiResult<axum::Json<Tokens>> {
    let provider = state.sso.named(&id).ok_or_else(ApiError::not_found)?;
    state.sign_in.admit(address)?;
    let outcome = who(&state, provider, body).await;
    let outcome = match outcome {
        Ok(claimed) => enter(&state, provider, address, claimed).await,
        Err(error) => Err(error),
    };
    let word = outcome.as_ref().map_or_else(|error| error.code().as_str(), |_| "ok");
    metrics::signed_in("sso", word);
    outcome.map(axum::Json)
}

/// Whom the provider says the try was made by. A try is good once, whatever comes of it.
async fn who(state: &AppState, provider: &Provider, body: SsoFinish) -> ApiResult<Claimed> {
    let expired =
        || ApiError::new(ErrorCode::SsoExpired, "Begin again: a try is good once, for ten minutes.");
    let (state_hash, secret_hash, now) = (hash(&body.state), hash(&body.secret), Utc::now());
    // Anybody may ask: only who has something to write takes a turn among those who write.
    if sso::find(&state.store.read().await?, &state_hash, &secret_hash, now).await?.is_none() {
        return Err(expired());
    }
    let tx = state.store.write().await?;
    let attempt = sso::take(&tx, &state_hash, &secret_hash, now).await?;
    tx.commit().await?;
    let attempt = attempt.filter(|attempt| attempt.provider == provider.config.id).ok_or_else(expired)?;
    if body.iss.is_some_and(|issuer| !provider.is_issuer(&issuer)) {
        return Err(ApiError::new(ErrorCode::SsoRefused, "The answer is another provider's."));
    }
    // The provider's own words are not passed on: who wrote them into the redirect is not known.
    let code = body
        .code
        .filter(|code| body.error.is_none() && !code.is_empty())
        .ok_or_else(|| ApiError::new(ErrorCode::SsoRefused, "The provider let nobody in."))?;
    provider.finish(code, attempt).await.map_err(|error| failed(provider, error))
}

/// Begins the session of the user whom the provider named.
async fn enter(
    state: &AppState,
    provider: &Provider,
    address: ClientAddress,
    claimed: Claimed,
) -> ApiResult<Tokens> {
    let now = Utc::now();
    let id = &provider.config.id;
    let refused = |code, detail: &str, user: Option<&User>| {
        let target = user.map_or_else(|| "user:unknown".to_owned(), |user| format!("user:{}", user.id));
        let entry = Entry::new(now, Actor::System, "session.refused", target)
            .with("method", "sso")
            .with("provider", id.as_str())
            .with("reason", ErrorCode::as_str(code))
            .with("address", address.to_string());
        (entry, ApiError::new(code, detail))
    };
    let tx = state.store.write().await?;
    let (entry, error) = match claimed.verified_email(&provider.config.domains) {
        None => {
            let detail = "The provider has not verified your e-mail, does not tell it, or is not believed of its domain.";
            refused(ErrorCode::SsoEmailUnverified, detail, None)
        }
        Some(email) => match users::by_email(&*tx, &email).await? {
            None => refused(ErrorCode::SsoUserUnknown, "No user has your e-mail.", None),
            // A disabled user is told no more than somebody who is none.
            Some(account) if account.disabled => {
                let user = Some(&account.user);
                refused(ErrorCode::SsoUserUnknown, "No user has your e-mail.", user)
            }
            Some(account) => {
                let user = account.user;
                let account = sso::recognise(&tx, &claimed.issuer, &claimed.subject, user.id, now).await?;
                if account == sso::Account::First {
                    let target = format!("user:{}", user.id);
                    let entry = Entry::new(now, Actor::User(user.id), "user.sso_linked", target);
                    audit::append(&tx, entry.with("provider", id.as_str())).await?;
                }
                if account != sso::Account::Foreign {
                    let how = session::Entrance {
                        method: "sso",
                        provider: Some(id),
                        address,
                        proved_at: claimed.proved_at,
                    };
                    return session::begin(tx, &state.refresh_key, user, &how, now).await;
                }
                let detail = "This e-mail was another account's at the provider when it was first used here.";
                refused(ErrorCode::SsoAccountChanged, detail, Some(&user))
            }
        },
    };
    audit::append(&tx, entry).await?;
    tx.commit().await?;
    Err(error)
}

fn failed(provider: &Provider, error: SsoError) -> ApiError {
    let id = &provider.config.id;
    match error {
        SsoError::Refused(reason) => {
            tracing::info!(provider = id, reason, "a provider of identities refused a code");
            ApiError::new(ErrorCode::SsoRefused, "The provider does not take the code.")
        }
        SsoError::Unavailable(cause) => {
            tracing::warn!(
                provider = id,
                cause = format!("{cause:#}"),
                "a provider of identities can't be used"
            );
            ApiError::new(ErrorCode::SsoUnavailable, "The provider does not answer as it should.")
        }
    }
}
