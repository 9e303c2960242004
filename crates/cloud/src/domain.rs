//! The rules. They know neither HTTP nor SQL, and are told the time.

pub mod hindsight;
pub mod outage;
pub mod permission;
pub mod pos_server;
pub mod presence;
pub mod timeline;

pub mod archive;
pub mod exchange;
pub mod job;
pub mod relay;

pub mod audit;
pub mod sso;
pub mod user;
