//! Signing in at a provider of identities, in the system's browser; and one's sessions.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use specta::Type;
use tillwatch_protocol::rest::session as wire;

/// By whom one can sign in besides a password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct SsoProvider {
    /// By which commands name it.
    pub id: String,
    /// What people read.
    pub name: String,
}

impl From<wire::SsoProvider> for SsoProvider {
    fn from(wire: wire::SsoProvider) -> Self {
        Self { id: wire.id, name: wire.name }
    }
}

/// What the browser shows once its part is done, in the window's language.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct SsoWords {
    /// The language as HTML names it, `en` or `ru`.
    pub language: String,
    /// Signed in: that the page may be closed.
    pub done: String,
    /// It did not work: to look at the app.
    pub failed: String,
}

/// A try to sign in that has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct SsoTry {
    /// Where the browser goes; to copy when it did not open.
    pub address: String,
    /// Whether the system took the address for its browser.
    pub opened: bool,
    /// Until when the try can be finished.
    pub expires_at: DateTime<Utc>,
}

/// One of somebody's sign-ins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct UserSession {
    /// The session's id.
    pub id: String,
    /// When the user signed in.
    pub created_at: DateTime<Utc>,
    /// When it was used last.
    pub last_used_at: DateTime<Utc>,
    /// Whether it is the one of this window.
    pub current: bool,
}

impl From<wire::Session> for UserSession {
    fn from(wire: wire::Session) -> Self {
        Self {
            id: wire.id.to_string(),
            created_at: wire.created_at,
            last_used_at: wire.last_used_at,
            current: wire.current,
        }
    }
}
