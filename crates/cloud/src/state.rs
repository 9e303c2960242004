//! What every handler can reach.

use std::ops::Deref;
use std::sync::Arc;

use chrono::Utc;
use tillwatch_protocol::ids::CloudId;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::blobs::Blobs;
use crate::bus::nats::{Nats, Sender};
use crate::config::{Config, Secret};
use crate::gateway;
use crate::http::call_rate::CallRate;
use crate::http::device::{DeviceKeys, SeenTokens};
use crate::http::exchange::{Checksums, StaleChains};
use crate::http::health::Health;
use crate::http::relay::{KnownTokens, Rates};
use crate::http::sign_in_guard::SignInGuard;
use crate::http::uploads::Digests;
use crate::sso::Providers;
use crate::store::Store;
use crate::tokens::RefreshKey;

/// Shared by all requests and links. One pointer: each layer that a request goes through clones it, and each link
/// keeps one.
#[derive(Clone)]
pub(crate) struct AppState(Arc<Shared>);

impl Deref for AppState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// What there is once in a process.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) store: Store,
    /// This life of this process, as the database and other nodes name it.
    pub(crate) node_id: Uuid,
    /// What the list of statuses is found by.
    pub(crate) index: crate::store::pos_server::Index,
    /// Whom device tokens must be addressed to.
    pub(crate) cloud_id: CloudId,
    /// Limits on guessing passwords.
    pub(crate) sign_in: SignInGuard,
    /// How often users call.
    pub(crate) calls: CallRate,
    /// What refresh tokens are marked with.
    pub(crate) refresh_key: RefreshKey,
    /// Who may tell who somebody is.
    pub(crate) sso: Providers,
    /// What was last seen of whether it can be written.
    pub(crate) health: Health,
    /// The keys of stores that opened links.
    pub(crate) device_keys: DeviceKeys,
    /// Device tokens that were used.
    pub(crate) seen_tokens: SeenTokens,
    /// The links of this process.
    pub(crate) registry: gateway::Registry,
    /// The way to stores' sessions, on whichever node they are.
    pub(crate) links: gateway::Links,
    /// How many come in at a time.
    pub(crate) admission: gateway::Admission,
    /// What stores told and is not written yet.
    pub(crate) inbox: gateway::Inbox,
    /// How often third parties have asked stores.
    pub(crate) relay_rates: Rates,
    /// By which tokens they asked just now.
    pub(crate) known_tokens: KnownTokens,
    /// Where archives are.
    pub(crate) blobs: Blobs,
    /// Sums of archives on their way.
    pub(crate) digests: Digests,
    /// Checksums of loyalty data.
    pub(crate) checksums: Checksums,
    /// Chains whose stores are further behind than their statuses say.
    pub(crate) stale_chains: StaleChains,
    /// The cloud is about to stop: links are sent elsewhere.
    pub(crate) shutdown: CancellationToken,
    /// The links are gone: what still goes on ends now.
    pub(crate) closing: CancellationToken,
}

impl AppState {
    /// Opens what the configuration names besides the database.
    pub(crate) async fn open(
        store: Store,
        config: Config,
        shutdown: CancellationToken,
    ) -> anyhow::Result<Self> {
        let sso = Providers::new(&config.sso)?;
        let cloud_id = store.cloud_id().await?;
        let refresh_key = RefreshKey::new(store.refresh_key().await?);
        let blobs = Blobs::open(config.archives.as_ref(), &config.data_dir).await?;
        let (node_id, registry) = (Uuid::now_v7(), gateway::Registry::default());
        let nats = match &config.nats_url {
            Some(url) => {
                let sender = Sender { cloud: cloud_id, node: node_id, key: Secret(store.hint_key().await?) };
                Some(Nats::connect(url, sender, store.bus().clone(), registry.clone()).await?)
            }
            None => None,
        };
        let calls = CallRate::new(&config.limits);
        let relay_rates = Rates::new(&config.limits);
        Ok(Self(Arc::new(Shared {
            links: gateway::Links::new(node_id, registry.clone(), nats),
            admission: gateway::Admission::new(&config.limits),
            config,
            store,
            node_id,
            index: crate::store::pos_server::Index::default(),
            cloud_id,
            sign_in: SignInGuard::new(),
            calls,
            refresh_key,
            sso,
            health: Health::default(),
            device_keys: DeviceKeys::default(),
            seen_tokens: SeenTokens::new(Utc::now()),
            registry,
            inbox: gateway::Inbox::default(),
            relay_rates,
            known_tokens: KnownTokens::default(),
            blobs,
            digests: Digests::default(),
            checksums: Checksums::default(),
            stale_chains: StaleChains::default(),
            shutdown,
            closing: CancellationToken::new(),
        })))
    }
}
