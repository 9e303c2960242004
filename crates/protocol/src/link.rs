//! The link: the WebSocket between a connector and the cloud.

pub mod close;
pub mod frame;
pub mod version;

/// The WebSocket subprotocol that both sides must name.
pub const SUBPROTOCOL: &str = "tillwatch.link.v1";
/// The largest frame either side may send, in bytes.
pub const MAX_FRAME_BYTES: usize = 64 * 1024;
/// How often a connector says `alive` and both sides ping.
pub const HEARTBEAT_SECONDS: u64 = 15;
/// A side that heard nothing for this long takes the link for dead. Half-open links are found within 45 s.
pub const SILENCE_SECONDS: u64 = 40;
