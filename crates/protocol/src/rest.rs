//! The REST interface under `/api/v1`: what a request and an answer carry.

pub mod admin;
pub mod archive;
pub mod backup;
pub mod enroll;
pub mod job;
pub mod outlet;
pub mod pos_server;
pub mod relay;
pub mod service_token;
pub mod session;
pub mod timeline;

use serde::{Deserialize, Serialize};

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Page<T> {
    /// What the page holds.
    pub items: Vec<T>,
    /// Asks for the next page; null on the last one.
    pub next_cursor: Option<String>,
}

/// How many items a page holds when the request does not say.
pub const DEFAULT_LIMIT: u32 = 100;
/// How many items a page holds at most.
pub const MAX_LIMIT: u32 = 1000;
