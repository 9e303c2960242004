//! The cloud: REST for managers' desktops, the gateway for stores' links, jobs, archives and the exchange.
//!
//! | module | what it is |
//! |---|---|
//! | [`config`], [`admin`] | what an operator sets and does |
//! | `router` | every route, and what all requests have in common |
//! | `http` | the REST handlers: extract, call, convert |
//! | [`domain`] | the rules; no HTTP, no SQL |
//! | [`store`] | the database |
//! | `bus` | hints that something changed |
//! | `serve` | accepting connections, TLS, stopping |

pub mod admin;
pub mod config;
pub mod domain;
pub mod store;

mod bus;
mod error;
mod http;
mod router;
mod serve;
mod state;
mod tls;
mod tokens;

pub use router::openapi;
pub use serve::{Cloud, run};
