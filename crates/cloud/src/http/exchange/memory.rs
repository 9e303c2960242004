//! What is remembered between exchanges.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use tillwatch_protocol::ids::ChainId;

/// The last checksum of each chain, and the change at which it was made.
#[derive(Debug, Default)]
pub(crate) struct Checksums(Mutex<HashMap<ChainId, (i64, String)>>);

impl Checksums {
    /// The checksum of a chain at this change, when it is remembered.
    pub(super) fn get(&self, chain: ChainId, head: i64) -> Option<String> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&chain).filter(|(at, _)| *at == head).map(|(_, checksum)| checksum.clone())
    }

    /// Remembers a checksum.
    pub(super) fn put(&self, chain: ChainId, head: i64, checksum: String) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = known.entry(chain).or_default();
        if last.0 <= head {
            *last = (head, checksum);
        }
    }
}

/// Chains whose balances changed by transactions since their statuses were last raised. All stores of a chain
/// are further behind then; telling so with each transaction would drown who listens.
#[derive(Debug, Default)]
pub(crate) struct StaleChains(Mutex<HashSet<ChainId>>);

impl StaleChains {
    /// Balances of this chain changed.
    pub(super) fn mark(&self, chain: ChainId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(chain);
    }

    /// The chains that changed since the last call.
    pub(super) fn take(&self) -> Vec<ChainId> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).drain().collect()
    }
}
