//! One module a table: what a row holds. Rules and conversions live elsewhere.

#![expect(unreachable_pub, reason = "the derive writes public types that name these")]

pub(crate) mod archives;
pub(crate) mod audit;
pub(crate) mod backups;
pub(crate) mod boots;
pub(crate) mod chains;
pub(crate) mod devices;
pub(crate) mod enrollment_codes;
pub(crate) mod grants;
pub(crate) mod jobs;
pub(crate) mod loyalty_changes;
pub(crate) mod loyalty_rows;
pub(crate) mod meta;
pub(crate) mod nodes;
pub(crate) mod outlets;
pub(crate) mod pos_servers;
pub(crate) mod removals;
pub(crate) mod revision;
pub(crate) mod service_tokens;
pub(crate) mod sessions;
pub(crate) mod sign_in_attempts;
pub(crate) mod sso_attempts;
pub(crate) mod sso_identities;
pub(crate) mod timeline;
pub(crate) mod transactions;
pub(crate) mod upload_pieces;
pub(crate) mod uploads;
pub(crate) mod used_tokens;
pub(crate) mod users;
