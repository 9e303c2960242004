//! The REST interface as a client sees it: the real router on a port of its own, over a real database each.

#![expect(clippy::unwrap_used, reason = "a test that meets what it did not expect has failed")]

#[expect(dead_code, reason = "stories of stores use more of it")]
#[path = "../shared/backends.rs"]
mod backends;
#[path = "../shared/contract.rs"]
mod contract;
mod support;

mod admin_audit;
mod admin_fleet;
mod admin_grants;
mod admin_places;
mod admin_tokens;
mod admin_users;
mod anybody;
mod command_line;
mod events;
mod fleet_import;
#[cfg(target_os = "linux")]
mod full_disk;
mod health;
mod matrix;
mod metrics;
mod outlets;
mod passwords;
mod problems;
mod sessions;
mod statuses;
