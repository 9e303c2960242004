//! `POST /pos-servers/{id}/relay`: a third party asks a store's POS server.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::relay::Method;

/// A request for the POS server to answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RelayRequest {
    /// The HTTP method.
    pub method: Method,
    /// Where to, from `/` on, percent-encoded as in a URL; a query may follow. Without `.`, `..`, empty parts
    /// and encoded slashes.
    #[cfg_attr(
        feature = "openapi",
        schema(pattern = "^/", example = "/guest-accounts/0198c2a6-7f3e-7000-8000-000000000001")
    )]
    pub path: String,
    /// The JSON to send with it; none when null or left out. Not with GET.
    #[serde(default)]
    pub body: Option<Value>,
    /// How long to wait for the answer, in milliseconds: 1 to 30000; 5000 when left out.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 30_000))]
    pub timeout_ms: Option<u32>,
}

/// What the POS server answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RelayAnswer {
    /// Its HTTP status, also when that is an error.
    pub status: u16,
    /// Its JSON; a text when it answered with text; null when it sent nothing.
    pub body: Option<Value>,
}
