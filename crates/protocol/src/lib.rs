//! Every word on a Tillwatch wire: REST, link, exchange and local report.
//!
//! This crate does no IO and knows none of the programs. Types here live at boundaries; the programs
//! convert them into types of their own.

pub mod error;
pub mod ids;
pub mod time;

pub mod rest;

#[cfg(feature = "device-token")]
pub mod device;
pub mod exchange;
#[cfg(feature = "fleet")]
pub mod fleet;
pub mod link;
pub mod relay;
pub mod report;
