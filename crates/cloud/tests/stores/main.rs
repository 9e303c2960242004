//! The cloud as stores see it: real links, uploads and exchanges against the real router and a real database.

#![expect(clippy::unwrap_used, reason = "a test may end by a panic, in its helpers too")]

#[expect(dead_code, reason = "stories of the command line use more of it")]
#[path = "../shared/backends.rs"]
mod backends;
mod cluster;
#[path = "../shared/contract.rs"]
mod contract;
mod far;
mod line;
mod support;

mod administration;
mod archives;
mod causes;
mod exchange;
mod faults;
mod generations;
mod identity;
mod jobs;
mod links;
mod nodes;
mod refusals;
mod relay;
mod relay_nodes;
mod slow;
mod timeline;
