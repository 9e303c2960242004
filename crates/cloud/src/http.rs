//! The REST interface: each module extracts, calls the domain and the store, and converts. Each offers
//! `routes()`; `router.rs` puts them together.

pub(crate) mod address;
pub(crate) mod call_rate;
pub(crate) mod extract;
pub(crate) mod params;
pub(crate) mod slow;

pub(crate) mod password;
pub(crate) mod session;
pub(crate) mod sign_in_guard;
pub(crate) mod sso;

pub(crate) mod events;
pub(crate) mod outlets;
pub(crate) mod pos_servers;
pub(crate) mod timeline;

pub(crate) mod archives;
pub(crate) mod jobs;
pub(crate) mod loyalty;
pub(crate) mod relay;

pub(crate) mod device;
pub(crate) mod enroll;
pub(crate) mod exchange;
pub(crate) mod heartbeat;
pub(crate) mod uploads;

pub(crate) mod admin;

pub(crate) mod health;
