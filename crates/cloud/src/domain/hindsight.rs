//! What a store that comes back tells of the outage that it had, and of others who use its identity.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use tillwatch_protocol::ids::BootId;
use tillwatch_protocol::link::frame::Hello;
use tillwatch_protocol::rest::pos_server::{Confidence, Evidence, OfflineCause};

use super::presence::{NOT_BACK, Presence, evidence, with_evidence};

/// An outage as it was told while it lasted.
#[derive(Clone, Debug)]
pub struct Outage {
    /// Why.
    pub cause: OfflineCause,
    /// How sure that was.
    pub confidence: Confidence,
    /// What it rested on.
    pub evidence: Vec<Evidence>,
    /// When the store was last heard.
    pub heard_at: DateTime<Utc>,
    /// The boot that was connected before.
    pub boot_id: BootId,
}

/// A process that began this soon after the loss explains all of the outage.
const RESTART: TimeDelta = TimeDelta::minutes(15);
/// By how much clocks may differ.
const TOLERANCE: TimeDelta = TimeDelta::seconds(5);

/// What the outage is put down to, now that the store is back; nothing when its hello says nothing new.
///
/// The same boot lived through the outage: neither service nor machine had stopped. A boot that began after
/// the store was last heard is a restart of either.
pub fn looking_back(outage: &Outage, hello: &Hello, now: DateTime<Utc>) -> Option<Presence> {
    use Confidence::{Certain, Likely};
    use OfflineCause as Cause;
    let same_boot = hello.boot_id == outage.boot_id;
    let restarted =
        !same_boot && hello.started_at >= outage.heard_at - TOLERANCE && hello.started_at <= now + TOLERANCE;
    if !same_boot && !restarted || outage.evidence.iter().any(|known| known.code == NOT_BACK) {
        return None;
    }
    let at_once = hello.started_at - outage.heard_at <= RESTART;
    let (cause, confidence) = match (outage.cause, outage.confidence) {
        (Cause::ConnectionLost, _) if same_boot => (Cause::ConnectionLost, Certain),
        (Cause::WebsocketBlocked, _) if same_boot => (Cause::WebsocketBlocked, Certain),
        // Somebody between the store and the cloud closed it.
        (Cause::ServiceStopped, Likely) if same_boot => (Cause::ConnectionLost, Likely),
        (Cause::ConnectionLost, _) => (Cause::ServiceStopped, if at_once { Certain } else { Likely }),
        (Cause::ServiceStopped, Likely) => (Cause::ServiceStopped, Certain),
        (Cause::Unknown, _) if restarted => (Cause::ServiceStopped, Likely),
        // Power that fails in a whole street restarts machines.
        (Cause::OutageNearby, _) => (Cause::OutageNearby, outage.confidence),
        _ => return None,
    };
    let params = json!({ "started_at": hello.started_at, "drops": hello.drops });
    let code = if same_boot { "returned_same_boot" } else { "returned_after_start" };
    let evidence = with_evidence(&outage.evidence, evidence(code, now, params));
    Some(Presence::because(cause, confidence, evidence))
}

/// How long after a replaced boot came back the identity counts as used twice.
pub const TWICE: TimeDelta = TimeDelta::hours(1);

/// What is known of the boots that used an identity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Boots {
    /// The boot that was connected before the present one.
    pub replaced: Option<BootId>,
    /// How often a replaced boot came back, without a pause of more than [`TWICE`].
    pub returns: u32,
    /// When one last did.
    pub returned_at: Option<DateTime<Utc>>,
}

impl Boots {
    /// `next` connects where `present` was connected last. A restart makes a boot that was never seen; one that
    /// was replaced and comes back lives beside the one that replaced it.
    #[must_use]
    pub fn follow(self, present: BootId, next: BootId, now: DateTime<Utc>) -> Self {
        if present == next {
            return self;
        }
        let fresh = self.is_fresh(now);
        let returns = if fresh { self.returns } else { 0 };
        if self.replaced == Some(next) {
            return Self { replaced: Some(present), returns: returns + 1, returned_at: Some(now) };
        }
        Self { replaced: Some(present), returns, returned_at: self.returned_at.filter(|_| fresh) }
    }

    /// Whether two of them use the identity now, as far as is known.
    pub fn is_fresh(&self, now: DateTime<Utc>) -> bool {
        self.returned_at.is_some_and(|at| now - at <= TWICE)
    }

    /// How sure it is that two use the identity: once could be a machine that was frozen and thawed.
    pub fn confidence(&self) -> Confidence {
        if self.returns > 1 { Confidence::Certain } else { Confidence::Likely }
    }

    /// The observation, while it is fresh.
    pub fn evidence(&self, present: BootId, now: DateTime<Utc>) -> Option<Evidence> {
        let returned_at = self.returned_at.filter(|_| self.is_fresh(now))?;
        let boots: Vec<BootId> = self.replaced.into_iter().chain([present]).collect();
        Some(evidence(DUPLICATE, returned_at, json!({ "boots": boots, "returns": self.returns })))
    }
}

/// The code of the observation that two boots use one identity.
pub const DUPLICATE: &str = "duplicate_identity";

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn hello(boot_id: BootId, started_at: DateTime<Utc>) -> Hello {
        Hello {
            connector_version: "0.1.0".into(),
            boot_id,
            started_at,
            report: None,
            unfinished_jobs: Vec::new(),
            drops: 1,
        }
    }

    #[test]
    fn each_cause_is_corrected_by_what_the_return_shows() {
        use Confidence::{Certain, Likely, Possible};
        use OfflineCause as Cause;
        let now = Utc::now();
        let heard_at = now - TimeDelta::hours(2);
        let (same, soon) = (None, Some(heard_at + TimeDelta::minutes(2)));
        let (late, before) = (Some(now - TimeDelta::minutes(1)), Some(heard_at - TimeDelta::hours(1)));
        let ahead = Some(now + TimeDelta::hours(3));
        for (cause, confidence, started, expected) in [
            (Cause::ConnectionLost, Likely, same, Some((Cause::ConnectionLost, Certain))),
            (Cause::ConnectionLost, Likely, soon, Some((Cause::ServiceStopped, Certain))),
            (Cause::ConnectionLost, Likely, late, Some((Cause::ServiceStopped, Likely))),
            // Its clock is wrong, or another one was there already.
            (Cause::ConnectionLost, Likely, before, None),
            (Cause::ConnectionLost, Likely, ahead, None),
            (Cause::ServiceStopped, Likely, same, Some((Cause::ConnectionLost, Likely))),
            (Cause::ServiceStopped, Likely, soon, Some((Cause::ServiceStopped, Certain))),
            (Cause::ServiceStopped, Certain, same, None),
            (Cause::ServiceStopped, Certain, soon, None),
            (Cause::WebsocketBlocked, Likely, same, Some((Cause::WebsocketBlocked, Certain))),
            (Cause::WebsocketBlocked, Likely, soon, None),
            (Cause::OutageNearby, Likely, same, Some((Cause::OutageNearby, Likely))),
            (Cause::OutageNearby, Likely, soon, Some((Cause::OutageNearby, Likely))),
            (Cause::Unknown, Possible, same, None),
            (Cause::Unknown, Possible, soon, Some((Cause::ServiceStopped, Likely))),
            (Cause::VersionUnsupported, Certain, soon, None),
            (Cause::CredentialsRevoked, Certain, same, None),
            (Cause::DuplicateIdentity, Certain, same, None),
        ] {
            let boot_id = BootId::new();
            let outage = Outage { cause, confidence, evidence: Vec::new(), heard_at, boot_id };
            let hello = match started {
                None => hello(boot_id, heard_at - TimeDelta::days(1)),
                Some(at) => hello(BootId::new(), at),
            };
            let corrected = looking_back(&outage, &hello, now);
            let told =
                corrected.as_ref().map(|presence| (presence.cause.unwrap(), presence.confidence.unwrap()));
            assert_eq!(told, expected, "{cause:?} {confidence:?} {started:?}");
            let code = if started.is_none() { "returned_same_boot" } else { "returned_after_start" };
            assert!(corrected.is_none_or(|presence| presence.evidence[0].code == code));
        }
    }

    #[test]
    fn the_clouds_own_absence_is_not_put_down_to_the_store() {
        let now = Utc::now();
        let boot_id = BootId::new();
        let outage = Outage {
            cause: OfflineCause::ConnectionLost,
            confidence: Confidence::Likely,
            evidence: vec![evidence(NOT_BACK, now, Value::Null)],
            heard_at: now,
            boot_id,
        };
        assert_eq!(looking_back(&outage, &hello(boot_id, now), now), None);
    }

    #[test]
    fn only_a_boot_that_was_replaced_and_comes_back_shows_a_clone() {
        let now = Utc::now();
        let (one, two) = (BootId::new(), BootId::new());
        // A store that restarts over and over.
        let mut boots = Boots::default();
        let mut present = one;
        for _ in 0..10 {
            let next = BootId::new();
            boots = boots.follow(present, next, now).follow(next, next, now);
            present = next;
        }
        assert_eq!((boots.returns, boots.evidence(present, now)), (0, None));

        let replaced = Boots::default().follow(one, two, now);
        assert!(!replaced.is_fresh(now));
        let back = replaced.follow(two, one, now);
        assert_eq!((back.returns, back.confidence()), (1, Confidence::Likely));
        let again = back.follow(one, two, now + TimeDelta::minutes(5));
        assert_eq!((again.returns, again.confidence()), (2, Confidence::Certain));
        let evidence = again.evidence(two, now).unwrap();
        assert_eq!(evidence.params["boots"], json!([one, two]));

        // A day later it is forgotten, and counted anew.
        let tomorrow = now + TimeDelta::days(1);
        assert_eq!(again.evidence(two, tomorrow), None);
        assert_eq!(again.follow(two, one, tomorrow).returns, 1);
    }
}
