//! The cloud as stores see it: real links, uploads and exchanges against the real router and a real SQLite.

mod support;

mod archives;
mod exchange;
mod identity;
mod jobs;
mod links;
mod refusals;
