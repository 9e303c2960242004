//! Typed ids. All are version 7 UUIDs, so that they sort by the time of their making.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id {
    ($(#[doc = $doc:literal] $name:ident)+) => {$(
        #[doc = $doc]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new id that sorts after those made before it.
            #[expect(clippy::new_without_default, reason = "two calls differ, which Default would hide")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }
    )+};
}

id! {
    /// A chain: the company that owns outlets, and the tenant.
    ChainId
    /// An outlet: one restaurant.
    OutletId
    /// A POS server of an outlet.
    PosServerId
    /// The identity that a connector got at enrollment.
    DeviceId
    /// The cloud itself: what device tokens are addressed to.
    CloudId
    /// Somebody who signs in.
    UserId
    /// One sign-in of a user on one computer.
    SessionId
    /// A permission of a user somewhere.
    GrantId
    /// Work for a store.
    JobId
    /// A zip of log files.
    ArchiveId
    /// A database that a reset moved away.
    BackupId
    /// One life of a connector process.
    BootId
    /// A service token of a third party.
    ServiceTokenId
    /// A request of a third party on its way to a store.
    RelayId
}
