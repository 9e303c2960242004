//! The cloud: REST for managers' desktops, the gateway for stores' links, jobs, archives and the exchange.
//!
//! | module | what it is |
//! |---|---|
//! | [`config`], [`admin`] | what an operator sets and does |
//! | `router` | every route, and what all requests have in common |
//! | `http` | the REST handlers: extract, call, convert |
//! | `gateway` | where connectors' links end |
//! | `chores` | what time brings: deadlines, expiry, revocations |
//! | `nodes` | this process among those that serve the same cloud |
//! | [`domain`] | the rules; no HTTP, no SQL |
//! | [`store`] | the database |
//! | `blobs` | the bytes of archives |
//! | `sso` | speaking with providers of identities |
//! | `bus` | hints that something changed |
//! | `metrics` | what is counted, for Prometheus |
//! | `serve` | accepting connections, TLS, stopping |

pub mod admin;
pub mod config;
pub mod domain;
pub mod store;

mod blobs;
mod bus;
mod chores;
mod error;
mod gateway;
mod http;
mod metrics;
mod nodes;
mod openapi;
mod refusals;
mod router;
mod serve;
mod sso;
mod state;
mod tls;
mod tokens;

#[doc(hidden)]
pub use gateway::write_reports;
pub use router::openapi;
pub use serve::{Cloud, run};
