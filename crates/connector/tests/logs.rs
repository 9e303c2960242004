//! Collecting logs: real files in temporary folders in, zips out, which other programs test too.

#![expect(clippy::unwrap_used, reason = "a test may end by a panic, in its helpers too")]
#![expect(clippy::format_collect, reason = "made logs are small, and plain to read this way")]

#[path = "logs/support.rs"]
mod support;

#[path = "logs/any.rs"]
mod any;
#[path = "logs/archives.rs"]
mod archives;
#[path = "logs/cards.rs"]
mod cards;
#[path = "logs/files.rs"]
mod files;
#[path = "logs/large.rs"]
mod large;
#[path = "logs/periods.rs"]
mod periods;
