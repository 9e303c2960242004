//! Collecting logs: real files in temporary folders in, zips out, which other programs test too.

#[path = "logs/support.rs"]
mod support;

#[path = "logs/archives.rs"]
mod archives;
#[path = "logs/files.rs"]
mod files;
#[path = "logs/large.rs"]
mod large;
#[path = "logs/periods.rs"]
mod periods;
