//! What the end of a session, or its silence, tells about a store.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};
use tillwatch_protocol::link::close;
use tillwatch_protocol::link::frame::ByeReason;
use tillwatch_protocol::link::version::PosVersion;
use tillwatch_protocol::rest::pos_server::{Confidence, Evidence, LinkState, OfflineCause};

/// How a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The connector said that it goes.
    Bye(ByeReason),
    /// The connector closed the WebSocket with this code and said nothing more.
    Closed(u16),
    /// The connection broke without a closing frame.
    Broken,
    /// Nothing was heard for this long.
    Silent(Duration),
    /// It did not keep to the protocol.
    Violated(Violation),
    /// Its POS server is too old.
    VersionUnsupported(String),
    /// Its identity was revoked.
    Revoked,
    /// A newer session took over.
    Replaced,
    /// The cloud itself goes away.
    Drained,
}

/// How a connector broke the protocol, each with the close code that answers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// No hello came in time, or another frame came first.
    NoHello,
    /// A second hello.
    SecondHello,
    /// Text that is no frame.
    Malformed,
    /// A binary frame.
    Binary,
    /// Text that is no UTF-8.
    NotUtf8,
    /// A frame over the limit.
    TooLarge,
}

impl Violation {
    /// The close code that tells the connector.
    pub fn close_code(self) -> u16 {
        match self {
            Self::NoHello | Self::SecondHello | Self::Malformed => close::PROTOCOL_ERROR,
            // RFC 6455: data that can't be accepted, and data of the wrong encoding.
            Self::Binary => 1003,
            Self::NotUtf8 => 1007,
            Self::TooLarge => close::TOO_LARGE,
        }
    }

    /// A word for evidence, logs and the closing frame's reason.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoHello => "no_hello",
            Self::SecondHello => "second_hello",
            Self::Malformed => "malformed_frame",
            Self::Binary => "binary_frame",
            Self::NotUtf8 => "not_utf8",
            Self::TooLarge => "frame_too_large",
        }
    }
}

/// What becomes of a link.
#[derive(Clone, Debug, PartialEq)]
pub struct Presence {
    /// Its state.
    pub state: LinkState,
    /// Why, when it is offline.
    pub cause: Option<OfflineCause>,
    /// How sure that is.
    pub confidence: Option<Confidence>,
    /// What it rests on.
    pub evidence: Vec<Evidence>,
}

impl Presence {
    /// A link that is up.
    pub fn online() -> Self {
        Self { state: LinkState::Online, cause: None, confidence: None, evidence: Vec::new() }
    }

    /// Nobody can say: the cloud itself was away.
    pub fn unknown() -> Self {
        Self { state: LinkState::Unknown, ..Self::online() }
    }

    /// A store that is heard over HTTPS while its link is down.
    pub fn websocket_blocked() -> Self {
        Self::because(OfflineCause::WebsocketBlocked, Confidence::Likely, Vec::new())
    }

    /// A store that did not come back after the cloud was away.
    pub fn not_back_after_restart(now: DateTime<Utc>) -> Self {
        let evidence = evidence(NOT_BACK, now, Value::Null);
        Self::offline(OfflineCause::ConnectionLost, Confidence::Likely, evidence)
    }

    /// A link that is down for this reason.
    pub fn because(cause: OfflineCause, confidence: Confidence, evidence: Vec<Evidence>) -> Self {
        Self { state: LinkState::Offline, cause: Some(cause), confidence: Some(confidence), evidence }
    }

    fn offline(cause: OfflineCause, confidence: Confidence, evidence: Evidence) -> Self {
        Self::because(cause, confidence, vec![evidence])
    }
}

/// What the end of a session says about the link. Nothing when a newer session has taken over.
pub fn after(end: &End, now: DateTime<Utc>) -> Option<Presence> {
    let offline = |cause, confidence, code: &str, params| {
        Some(Presence::offline(cause, confidence, evidence(code, now, params)))
    };
    match end {
        End::Bye(reason) => {
            let params = json!({ "reason": reason });
            offline(OfflineCause::ServiceStopped, Confidence::Certain, "said_goodbye", params)
        }
        // 1005 stands for a closing frame that holds no code.
        End::Closed(code @ (1000 | close::GOING_AWAY | 1005)) => {
            let params = json!({ "close_code": code });
            offline(OfflineCause::ServiceStopped, Confidence::Likely, "closed_cleanly", params)
        }
        End::Closed(code) => {
            let params = json!({ "close_code": code });
            offline(OfflineCause::Unknown, Confidence::Possible, "closed_with_error", params)
        }
        End::Broken => {
            offline(OfflineCause::ConnectionLost, Confidence::Likely, "connection_broken", Value::Null)
        }
        End::Silent(silence) => {
            let params = json!({ "silent_seconds": silence.as_secs() });
            offline(OfflineCause::ConnectionLost, Confidence::Likely, "fell_silent", params)
        }
        End::Violated(violation) => {
            let params = json!({ "violation": violation.as_str() });
            offline(OfflineCause::Unknown, Confidence::Possible, "protocol_violated", params)
        }
        End::VersionUnsupported(version) => {
            let params = json!({ "pos_version": version });
            offline(OfflineCause::VersionUnsupported, Confidence::Certain, "pos_version_too_old", params)
        }
        End::Revoked => {
            offline(OfflineCause::CredentialsRevoked, Confidence::Certain, "credentials_revoked", Value::Null)
        }
        End::Replaced => None,
        End::Drained => Some(Presence::unknown()),
    }
}

/// Whether the cloud takes data from a POS server of this version. One that is not known, or can't be read,
/// is let in: the version may come with the next report.
pub fn is_supported(pos_version: Option<&str>) -> bool {
    pos_version.and_then(|text| text.parse::<PosVersion>().ok()).is_none_or(|version| version.is_supported())
}

/// One observation.
pub fn evidence(code: &str, at: DateTime<Utc>, params: Value) -> Evidence {
    let params = match params {
        Value::Object(params) => params,
        _ => Map::new(),
    };
    Evidence { code: code.to_owned(), at, params }
}

/// The code of the observation that a store did not come back after the cloud was away.
pub const NOT_BACK: &str = "not_back_after_cloud_restart";

/// How long a link is down before a heartbeat over HTTPS says more than that it is about to come back.
const TIME_TO_COME_BACK: TimeDelta = TimeDelta::seconds(20);

/// The code of the observation that a store was heard over HTTPS.
pub const HTTPS_HEARTBEAT: &str = "https_heartbeat";

/// Whether a heartbeat over HTTPS means that the WebSocket is blocked: the link has had time to come back, or
/// this is not the first heartbeat since it went.
pub fn is_blocked(offline_since: Option<DateTime<Utc>>, evidence: &[Evidence], now: DateTime<Utc>) -> bool {
    offline_since.is_none_or(|since| now - since >= TIME_TO_COME_BACK)
        || evidence.iter().any(|known| known.code == HTTPS_HEARTBEAT)
}

/// A store that was heard over HTTPS without a link, and is no longer.
pub fn fell_silent_over_https(before: &[Evidence], now: DateTime<Utc>) -> Presence {
    let evidence = with_evidence(before, evidence("https_heartbeat_stopped", now, Value::Null));
    Presence::because(OfflineCause::ConnectionLost, Confidence::Likely, evidence)
}

/// The list of observations with one more; an older one of the same kind makes place.
pub fn with_evidence(list: &[Evidence], new: Evidence) -> Vec<Evidence> {
    let mut list: Vec<_> = list.iter().filter(|old| old.code != new.code).cloned().collect();
    list.push(new);
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_has_its_cause() {
        use Confidence::{Certain, Likely, Possible};
        use OfflineCause as Cause;
        let now = Utc::now();
        for (end, cause, confidence) in [
            (End::Bye(ByeReason::Stopping), Cause::ServiceStopped, Certain),
            (End::Closed(1000), Cause::ServiceStopped, Likely),
            (End::Closed(1001), Cause::ServiceStopped, Likely),
            (End::Closed(1011), Cause::Unknown, Possible),
            (End::Broken, Cause::ConnectionLost, Likely),
            (End::Silent(Duration::from_secs(40)), Cause::ConnectionLost, Likely),
            (End::Violated(Violation::Binary), Cause::Unknown, Possible),
            (End::VersionUnsupported("33.1".into()), Cause::VersionUnsupported, Certain),
            (End::Revoked, Cause::CredentialsRevoked, Certain),
        ] {
            let presence = after(&end, now).unwrap();
            assert_eq!(presence.state, LinkState::Offline, "{end:?}");
            assert_eq!((presence.cause, presence.confidence), (Some(cause), Some(confidence)), "{end:?}");
            assert_eq!(presence.evidence.len(), 1);
        }
    }

    #[test]
    fn the_clouds_own_going_is_no_fault_of_the_store() {
        assert_eq!(after(&End::Drained, Utc::now()), Some(Presence::unknown()));
        assert_eq!(after(&End::Replaced, Utc::now()), None);
    }

    #[test]
    fn a_heartbeat_right_after_a_loss_proves_nothing_yet() {
        let now = Utc::now();
        let heard = evidence(HTTPS_HEARTBEAT, now, Value::Null);
        assert!(!is_blocked(Some(now - TimeDelta::seconds(5)), &[], now));
        assert!(is_blocked(Some(now - TimeDelta::seconds(5)), &[heard], now));
        assert!(is_blocked(Some(now - TimeDelta::minutes(1)), &[], now));
    }

    #[test]
    fn only_a_version_known_to_be_too_old_is_refused() {
        assert!(!is_supported(Some("33.9")));
        for version in [None, Some("34.0"), Some("34.10.1"), Some("beta")] {
            assert!(is_supported(version), "{version:?}");
        }
    }
}
