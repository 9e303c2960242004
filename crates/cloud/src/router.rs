//! Every route there is, and what all requests have in common: an id, a span in the log, a limit on the
//! body, and problems as answers when they fail.

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tower_http::compression::CompressionLayer;
use tracing::Instrument;
use utoipa_axum::router::OpenApiRouter;
use uuid::Uuid;

use crate::error::render;
use crate::http;
use crate::metrics;
use crate::state::AppState;

/// The largest body of a call that does not say otherwise.
const MAX_BODY_BYTES: usize = 1024 * 1024;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What a browser may do with an answer: nothing, as none is a page.
const NO_PAGE: &str =
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox";

fn routes() -> OpenApiRouter<AppState> {
    // Only lists are compressed: archives are already, and events must not wait for a full block.
    let lists = OpenApiRouter::new()
        .merge(http::outlets::routes())
        .merge(http::pos_servers::routes())
        .merge(http::timeline::routes())
        .merge(http::jobs::routes())
        .merge(http::admin::routes())
        .layer(CompressionLayer::new().gzip(true));
    let api = OpenApiRouter::new()
        .merge(http::session::routes())
        .merge(http::sso::routes())
        .merge(http::password::routes())
        .merge(lists)
        .merge(http::events::routes())
        .merge(http::archives::routes())
        .merge(http::loyalty::routes())
        .merge(http::relay::routes())
        .merge(http::enroll::routes())
        .merge(http::heartbeat::routes())
        .merge(http::exchange::routes())
        .merge(http::uploads::routes())
        .merge(crate::gateway::routes());
    OpenApiRouter::with_openapi(crate::openapi::base()).merge(http::health::routes()).nest("/api/v1", api)
}

/// The router that answers every request of the cloud.
pub(crate) fn router(state: AppState) -> Router {
    let (router, _) = routes().split_for_parts();
    router
        .fallback(|| async { StatusCode::NOT_FOUND })
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(middleware::from_fn_with_state(state.clone(), http::slow::limit))
        .layer(middleware::from_fn(around))
        .with_state(state)
}

/// The `OpenAPI` 3.1 document of the routes.
pub fn openapi() -> Value {
    crate::openapi::document(routes().into_openapi())
}

/// Gives a request its id, its span and, when it failed, its problem document.
async fn around(request: Request, next: Next) -> Response {
    let request_id = request
        .headers()
        .get(&REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(|id| is_request_id(id))
        .map_or_else(|| Uuid::now_v7().to_string(), ToOwned::to_owned);
    // An error's span, so that errors carry the request's id whatever else is left out of the log.
    let span = tracing::error_span!(
        "request",
        id = request_id,
        method = %request.method(),
        // Without the query: what people search for is nobody's business.
        path = request.uri().path(),
        user = tracing::field::Empty,
    );
    let call = metrics::Call::begin(&request);
    async move {
        let mut response = render(next.run(request).await.into_response(), &request_id);
        let millis = call.answered(response.status()).as_millis() as u64;
        tracing::debug!(status = response.status().as_u16(), millis, "answered");
        let headers = response.headers_mut();
        if let Ok(id) = HeaderValue::from_str(&request_id) {
            headers.insert(REQUEST_ID, id);
        }
        // Answers hold tokens and what only this user may see: they are for nobody's cache.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(NO_PAGE));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        // Counts where TLS is, here or at a proxy in front; over plain HTTP browsers pass over it.
        let two_years = HeaderValue::from_static("max-age=63072000; includeSubDomains");
        headers.insert(STRICT_TRANSPORT_SECURITY, two_years);
        response
    }
    .instrument(span)
    .await
}

/// Whether a caller's id is plain enough to be logged and sent back.
fn is_request_id(text: &str) -> bool {
    (1..=100).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}
