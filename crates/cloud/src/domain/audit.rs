//! The audit trail: each entry carries the hash of the one before it, so that none can be changed or
//! taken out unnoticed.

use chrono::{DateTime, SubsecRound, Utc};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use tillwatch_protocol::ids::{ChainId, PosServerId, UserId};

use crate::tokens::hex;

/// What the first entry has for a previous hash.
pub const FIRST_PREVIOUS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The detail that says in which chain of outlets something was done.
pub const CHAIN_ID: &str = "chain_id";

/// Who did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A user over REST.
    User(UserId),
    /// The programs of a store, by the POS server that they serve.
    Store(PosServerId),
    /// Whoever may run the command line on the server.
    CommandLine,
    /// The cloud by itself.
    System,
}

impl std::fmt::Display for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::User(id) => write!(f, "user:{id}"),
            Self::Store(id) => write!(f, "pos_server:{id}"),
            Self::CommandLine => f.write_str("command_line"),
            Self::System => f.write_str("system"),
        }
    }
}

/// What is written down: no secrets, no names of guests.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// When, in whole microseconds, which every database keeps.
    pub at: DateTime<Utc>,
    /// Who.
    pub actor: String,
    /// Did what, such as `session.started`.
    pub action: String,
    /// To what, such as `pos_server:<id>`.
    pub target: String,
    /// What belongs to it.
    pub details: Map<String, Value>,
}

impl Entry {
    /// An entry of now.
    pub fn new(now: DateTime<Utc>, actor: Actor, action: &str, target: impl Into<String>) -> Self {
        Self {
            at: now.trunc_subsecs(6),
            actor: actor.to_string(),
            action: action.into(),
            target: target.into(),
            details: Map::new(),
        }
    }

    /// Adds a detail.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.details.insert(key.into(), value.into());
        self
    }

    /// Says in which chain of outlets the target lies, where that is known without looking.
    #[must_use]
    pub fn in_chain(self, chain: ChainId) -> Self {
        self.with(CHAIN_ID, chain.to_string())
    }

    /// SHA-256 over the previous hash, the number and the entry in one fixed form.
    pub fn hash(&self, seq: i64, previous: &str) -> String {
        let mut details: Vec<(&String, String)> =
            self.details.iter().map(|(key, value)| (key, canonical(value))).collect();
        details.sort();
        let at = self.at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
        let form = serde_json::json!([previous, seq, at, self.actor, self.action, self.target, details]);
        hex(&Sha256::digest(form.to_string().as_bytes()))
    }
}

/// JSON with the members of objects in order, whatever order they were built in.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let mut parts: Vec<String> = members
                .iter()
                .map(|(key, value)| format!("{}:{}", Value::from(key.as_str()), canonical(value)))
                .collect();
            parts.sort();
            format!("{{{}}}", parts.join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        plain => plain.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_an_entry_counts() {
        let entry = Entry::new(Utc::now(), Actor::System, "chain.made", "chain:1").with("name", "Pizza");
        let hash = entry.hash(1, FIRST_PREVIOUS);
        assert_eq!(hash, entry.clone().hash(1, FIRST_PREVIOUS));
        assert_ne!(hash, entry.hash(2, FIRST_PREVIOUS));
        assert_ne!(hash, entry.hash(1, &hash));
        assert_ne!(hash, entry.clone().with("name", "Pasta").hash(1, FIRST_PREVIOUS));
        assert_ne!(hash, Entry { action: "chain.lost".into(), ..entry }.hash(1, FIRST_PREVIOUS));
    }
}
