//! WebSocket close codes with a meaning of ours.

/// The sender goes away (RFC 6455).
pub const GOING_AWAY: u16 = 1001;
/// The sender broke the protocol (RFC 6455): a frame that is no JSON, a second hello.
pub const PROTOCOL_ERROR: u16 = 1002;
/// A frame is too large (RFC 6455).
pub const TOO_LARGE: u16 = 1009;
/// The cloud restarts.
pub const RESTART: u16 = 1012;
/// The POS server is too old; tried again hourly and when its version changes.
pub const VERSION_UNSUPPORTED: u16 = 4001;
/// The identity was revoked.
pub const CREDENTIALS_REVOKED: u16 = 4003;
/// A newer session of the same identity took over.
pub const REPLACED_BY_NEWER_SESSION: u16 = 4009;
