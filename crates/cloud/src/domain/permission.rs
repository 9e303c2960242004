//! Who may see and do what. The decision itself falls inside the store's queries.

use tillwatch_protocol::ids::UserId;

/// As whom a query is made. What a viewer may not see does not exist for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Viewer {
    /// Whose grants count.
    pub user_id: UserId,
    /// An admin may do everything everywhere, without grants.
    pub admin: bool,
}
