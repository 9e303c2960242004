//! What the user may do to which row.

use std::collections::{HashMap, HashSet};

use tillwatch_protocol::rest::session::{Me, Permission};
use uuid::Uuid;

use super::entry::Entry;

/// The user's permissions, by where they hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Access {
    everything: bool,
    everywhere: HashSet<Permission>,
    chains: HashMap<Uuid, HashSet<Permission>>,
    outlets: HashMap<Uuid, HashSet<Permission>>,
}

impl From<&Me> for Access {
    fn from(me: &Me) -> Self {
        let mut access = Self {
            everything: me.user.admin,
            everywhere: me.everywhere.iter().copied().collect(),
            ..Self::default()
        };
        for chain in &me.chains {
            access.chains.entry(chain.chain_id.0).or_default().extend(&chain.permissions);
        }
        for outlet in &me.outlets {
            access.outlets.entry(outlet.outlet_id.0).or_default().extend(&outlet.permissions);
        }
        access
    }
}

impl Access {
    /// Whether the user has the permission for this row. The cloud decides; this only keeps buttons off.
    pub(super) fn may(&self, entry: &Entry, permission: Permission) -> bool {
        let holds =
            |granted: Option<&HashSet<Permission>>| granted.is_some_and(|set| set.contains(&permission));
        self.everything
            || self.everywhere.contains(&permission)
            || holds(self.chains.get(&entry.chain_id))
            || holds(self.outlets.get(&entry.outlet_id))
    }
}
