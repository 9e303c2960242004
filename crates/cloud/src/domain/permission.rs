//! Who may see and do what. The decision itself falls inside the store's queries.

use tillwatch_protocol::ids::{ChainId, UserId};

/// As whom a query is made. What a viewer may not see does not exist for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Viewer {
    /// Whose grants count.
    pub user_id: UserId,
    /// An admin may do everything everywhere, without grants.
    pub admin: bool,
}

/// What a user administers.
///
/// An admin administers everything: users, and chains as such. The permission `admin` for a chain, or
/// everywhere, is for what is inside of chains: outlets, POS servers, enrollment, the required version,
/// grants and audit entries. For a single outlet it means nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Who.
    pub viewer: Viewer,
    /// Where.
    pub chains: Chains,
}

/// Chains that somebody administers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chains {
    /// All there are and will be.
    All,
    /// These.
    Only(Vec<ChainId>),
}

impl Reach {
    /// Whether it holds users and chains as such.
    pub fn is_everything(&self) -> bool {
        self.viewer.admin
    }

    /// Whether it holds nothing at all.
    pub fn is_nothing(&self) -> bool {
        !self.viewer.admin && matches!(&self.chains, Chains::Only(chains) if chains.is_empty())
    }

    /// Whether it holds what is inside of a chain.
    pub fn holds(&self, chain: ChainId) -> bool {
        match &self.chains {
            Chains::All => true,
            Chains::Only(chains) => chains.contains(&chain),
        }
    }
}
