//! What a change of a status adds to a POS server's timeline. One comparison of what was known before a write
//! with what is known after it, whatever wrote.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use tillwatch_protocol::report::ExchangeError;
use tillwatch_protocol::rest::pos_server::{Confidence, Evidence, LinkState, OfflineCause, PosState};
use tillwatch_protocol::rest::timeline::TimelineKind;

/// The part of a status that its timeline follows.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// The link's state.
    pub link: LinkState,
    /// Since when.
    pub link_since: Option<DateTime<Utc>>,
    /// Why it is offline.
    pub cause: Option<OfflineCause>,
    /// How sure that is.
    pub confidence: Option<Confidence>,
    /// What it rests on.
    pub evidence: Vec<Evidence>,
    /// Whether the POS server answers.
    pub pos: PosState,
    /// Its version.
    pub pos_version: Option<String>,
    /// The connector's version.
    pub connector_version: Option<String>,
    /// Why exchanges fail.
    pub error: Option<ExchangeError>,
    /// Which life of the database this is.
    pub generation: Option<i64>,
}

/// What is added to a timeline.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// When it happened, by the cloud's clock.
    pub at: DateTime<Utc>,
    /// What it is about.
    pub kind: TimelineKind,
    /// What happened.
    pub code: String,
    /// What belongs to it.
    pub params: Map<String, Value>,
    /// How it joins those that are there.
    pub how: How,
}

/// How an entry joins those that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// After them.
    Add,
    /// After them, unless the last of its kind says the same.
    AddIfNew,
    /// In place of the last `offline`, which is the same outage.
    Amend,
}

impl Entry {
    /// An entry that is added.
    pub fn new(at: DateTime<Utc>, kind: TimelineKind, code: impl Into<String>, params: Value) -> Self {
        let params = match params {
            Value::Object(params) => params,
            _ => Map::new(),
        };
        Self { at, kind, code: code.into(), params, how: How::Add }
    }
}

/// What a link that is down is told as.
pub fn offline(cause: OfflineCause, confidence: Option<Confidence>, evidence: &[Evidence]) -> Value {
    json!({ "cause": cause, "confidence": confidence, "evidence": evidence })
}

/// What a write at `now` added to the timeline.
pub fn told(before: &Facts, after: &Facts, now: DateTime<Utc>) -> Vec<Entry> {
    let mut entries = Vec::new();
    entries.extend(link(before, after, now));
    if after.link == LinkState::Online {
        entries.extend(pos(before, after, now));
    }
    entries.extend(exchange(before, after, now));
    let versions = [
        ("pos_version", &before.pos_version, &after.pos_version),
        ("connector_version", &before.connector_version, &after.connector_version),
    ];
    for (code, from, to) in versions {
        // The first that is known is no change.
        if let (Some(from), Some(to)) = (from, to)
            && from != to
        {
            entries.push(Entry::new(now, TimelineKind::Version, code, json!({ "from": from, "to": to })));
        }
    }
    if let (Some(from), Some(to)) = (before.generation, after.generation)
        && from != to
    {
        let params = json!({ "from": from, "to": to });
        entries.push(Entry::new(now, TimelineKind::Database, "generation", params));
    }
    entries
}

fn link(before: &Facts, after: &Facts, now: DateTime<Utc>) -> Option<Entry> {
    let same_state = before.link == after.link;
    let at = after.link_since.unwrap_or(now);
    let entry = |code: &str, params| Entry::new(at, TimelineKind::Link, code, params);
    match after.link {
        LinkState::NeverConnected => None,
        // An outage so short that its two ends were written together leaves a new beginning.
        LinkState::Online if same_state && before.link_since == after.link_since => None,
        LinkState::Unknown if same_state => None,
        LinkState::Online => Some(entry("online", Value::Null)),
        LinkState::Unknown => Some(entry("unknown", Value::Null)),
        LinkState::Offline => {
            let cause = after.cause.unwrap_or(OfflineCause::Unknown);
            let params = offline(cause, after.confidence, &after.evidence);
            let same_outage = same_state && before.link_since == after.link_since;
            if same_outage && (before.cause, before.confidence) == (after.cause, after.confidence) {
                return None;
            }
            let how = if same_outage { How::Amend } else { How::Add };
            Some(Entry { how, ..entry("offline", params) })
        }
    }
}

fn pos(before: &Facts, after: &Facts, now: DateTime<Utc>) -> Option<Entry> {
    let code = match after.pos {
        PosState::Unknown => return None,
        PosState::Running => "running",
        PosState::NotResponding => "not_responding",
        PosState::Stopped => "stopped",
    };
    let entry = Entry::new(now, TimelineKind::Pos, code, Value::Null);
    if before.link != LinkState::Online || before.pos == PosState::Unknown {
        // Most come back from an outage as they went.
        return Some(Entry { how: How::AddIfNew, ..entry });
    }
    (before.pos != after.pos).then_some(entry)
}

fn exchange(before: &Facts, after: &Facts, now: DateTime<Utc>) -> Option<Entry> {
    let entry = |code, params| Some(Entry::new(now, TimelineKind::Exchange, code, params));
    match (&before.error, &after.error) {
        (Some(before), Some(after)) if before.code == after.code => None,
        (_, Some(error)) => {
            let params = json!({ "error": error.code, "message": error.message, "since": error.since });
            entry("failed", params)
        }
        (Some(_), None) => entry("succeeded", Value::Null),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn online(since: DateTime<Utc>) -> Facts {
        Facts {
            link: LinkState::Online,
            link_since: Some(since),
            cause: None,
            confidence: None,
            evidence: Vec::new(),
            pos: PosState::Running,
            pos_version: Some("34.5.2".into()),
            connector_version: Some("0.1.0".into()),
            error: None,
            generation: Some(3),
        }
    }

    fn down(since: DateTime<Utc>, cause: OfflineCause) -> Facts {
        Facts {
            link: LinkState::Offline,
            cause: Some(cause),
            confidence: Some(Confidence::Likely),
            pos: PosState::Unknown,
            ..online(since)
        }
    }

    fn error(code: &str, since: DateTime<Utc>) -> ExchangeError {
        ExchangeError { code: code.into(), message: "no room".into(), since, consecutive_failures: 1 }
    }

    #[test]
    fn each_change_has_its_entry_and_no_change_has_none() {
        let then = Utc::now() - TimeDelta::hours(1);
        let now = Utc::now();
        let on = || online(then);
        let lost = || down(now, OfflineCause::ConnectionLost);
        let unknown = || Facts { link: LinkState::Unknown, ..on() };
        let never = || Facts { link: LinkState::NeverConnected, link_since: None, ..on() };
        let failing = |code| Facts { error: Some(error(code, then)), ..on() };
        let cases: Vec<(&str, Facts, Facts, &[&str])> = vec![
            ("nothing", on(), on(), &[]),
            ("it came for the first time", never(), online(now), &["link online", "pos running"]),
            ("it went", on(), lost(), &["link offline"]),
            ("another cause", lost(), down(now, OfflineCause::OutageNearby), &["link offline amended"]),
            ("more evidence alone", lost(), Facts { evidence: vec![], ..lost() }, &[]),
            ("it came back", lost(), online(now), &["link online", "pos running"]),
            ("between two writes it went and came", on(), online(now), &["link online"]),
            ("the cloud was away", on(), unknown(), &["link unknown"]),
            ("and still is", unknown(), unknown(), &[]),
            (
                "the POS server fell silent",
                on(),
                Facts { pos: PosState::NotResponding, ..on() },
                &["pos not_responding"],
            ),
            ("nobody knows of the POS server", on(), Facts { pos: PosState::Unknown, ..on() }, &[]),
            ("exchanges fail", on(), failing("disk_full"), &["exchange failed"]),
            ("for the same reason", failing("disk_full"), failing("disk_full"), &[]),
            ("for another reason", failing("disk_full"), failing("tls_failed"), &["exchange failed"]),
            ("they succeed again", failing("disk_full"), on(), &["exchange succeeded"]),
            ("an update", on(), Facts { pos_version: Some("34.6".into()), ..on() }, &["version pos_version"]),
            ("the version is lost", on(), Facts { pos_version: None, ..on() }, &[]),
            ("a first version", Facts { pos_version: None, ..on() }, on(), &[]),
            ("another database", on(), Facts { generation: Some(4), ..on() }, &["database generation"]),
        ];
        for (name, before, after, expected) in cases {
            let told: Vec<String> = told(&before, &after, now)
                .into_iter()
                .map(|entry| {
                    let kind = serde_json::to_value(entry.kind).unwrap();
                    let amended = if entry.how == How::Amend { " amended" } else { "" };
                    format!("{} {}{amended}", kind.as_str().unwrap(), entry.code)
                })
                .collect();
            assert_eq!(told, expected, "{name}");
        }
    }

    #[test]
    fn a_pos_server_that_comes_back_as_it_went_is_told_once() {
        let now = Utc::now();
        let how = |before: &Facts, after: &Facts| {
            told(before, after, now)
                .into_iter()
                .find(|entry| entry.kind == TimelineKind::Pos)
                .map(|entry| entry.how)
        };
        assert_eq!(how(&down(now, OfflineCause::Unknown), &online(now)), Some(How::AddIfNew));
        let stopped = Facts { pos: PosState::Stopped, ..online(now) };
        assert_eq!(how(&online(now), &stopped), Some(How::Add));
    }

    #[test]
    fn an_outage_keeps_its_time_when_its_cause_changes() {
        let (then, now) = (Utc::now() - TimeDelta::minutes(3), Utc::now());
        let before = down(then, OfflineCause::ConnectionLost);
        let after = down(then, OfflineCause::WebsocketBlocked);
        assert_eq!(told(&before, &after, now)[0].at, then);
    }
}
