//! Service tokens that were found good a moment ago: a program that asks a hundred times a second does not wait
//! for the database each time.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tillwatch_protocol::ids::{PosServerId, ServiceTokenId};

use crate::store::service_token::Entitled;

/// How long a token that was revoked elsewhere may still be good here.
const GOOD_FOR: Duration = Duration::from_secs(1);
/// How many are remembered. More do not ask within a second, or make the others be read again.
const MOST: usize = 4096;

/// A token, by its hash, and whom it was good for.
type Asked = (String, PosServerId);

/// What this process remembers.
#[derive(Debug, Default)]
pub(crate) struct KnownTokens(Mutex<HashMap<Asked, (Entitled, Instant)>>);

impl KnownTokens {
    /// What was read of a token less than a second before `now`.
    pub(super) fn get(&self, asked: &Asked, now: Instant) -> Option<Entitled> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (token, read_at) = known.get(asked)?;
        (now.duration_since(*read_at) < GOOD_FOR).then_some(*token)
    }

    /// Remembers what was read at `now`.
    pub(super) fn insert(&self, asked: Asked, token: Entitled, now: Instant) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.retain(|_, (_, read_at)| now.duration_since(*read_at) < GOOD_FOR);
        }
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(asked, (token, now));
    }

    /// Forgets a token that was revoked here: its next request is refused, but for one whose token is being read
    /// at this moment.
    pub(crate) fn forget(&self, id: ServiceTokenId) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, (token, _)| token.id != id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entitled() -> Entitled {
        Entitled { id: ServiceTokenId::new(), last_used_at: None, reaches: true }
    }

    #[test]
    fn a_token_is_remembered_for_a_second_and_for_one_store() {
        let (known, token, now) = (KnownTokens::default(), entitled(), Instant::now());
        let asked = ("hash".to_owned(), PosServerId::new());
        assert_eq!(known.get(&asked, now), None);
        known.insert(asked.clone(), token, now);
        assert_eq!(known.get(&asked, now + Duration::from_millis(999)), Some(token));
        assert_eq!(known.get(&asked, now + Duration::from_secs(1)), None);
        assert_eq!(known.get(&("hash".into(), PosServerId::new()), now), None);
        assert_eq!(known.get(&("other".into(), asked.1), now), None);
        known.forget(ServiceTokenId::new());
        assert!(known.get(&asked, now).is_some());
        known.forget(token.id);
        assert_eq!(known.get(&asked, now), None);
    }

    #[test]
    fn what_is_remembered_has_an_end() {
        let (known, now) = (KnownTokens::default(), Instant::now());
        for number in 0..2 * MOST {
            known.insert((number.to_string(), PosServerId::new()), entitled(), now);
        }
        assert!(known.0.lock().unwrap().len() <= MOST);
        let later = now + GOOD_FOR;
        let asked = ("later".to_owned(), PosServerId::new());
        known.insert(asked.clone(), entitled(), later);
        assert!(known.get(&asked, later).is_some());
    }
}
