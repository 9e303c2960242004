//! The rules. They know neither HTTP nor SQL, and are told the time.

pub mod permission;
pub mod pos_server;

pub mod audit;
pub mod fleet;
pub mod user;
