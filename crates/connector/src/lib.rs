//! The store service: keeps one secure WebSocket, the *link*, to the cloud and carries out jobs.
//!
//! Read [`agent`] first: one loop that owns the connector's state. It is fed by `link` (one session with the
//! cloud), [`pos`] (what the POS server reports, and its stop and start) and `jobs` (the six kinds of work).
//! The `journal` makes jobs survive a crash.

pub mod agent;
mod link;
pub mod pos;
pub mod proxy;

mod jobs;
mod journal;

pub mod relay;

pub mod diagnose;
pub mod logs;
pub mod upload;

mod backups;
mod generation;

pub mod cloud_client;
pub mod config;
pub mod identity;

mod files;
mod glob;
