//! What every handler can reach.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tillwatch_protocol::ids::CloudId;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::http::session::SignInGuard;
use crate::store::Store;

/// Shared by all requests and links; cheap to clone.
#[derive(Clone)]
pub(crate) struct AppState {
    pub(crate) config: Arc<Config>,
    pub(crate) store: Store,
    /// Whom device tokens must be addressed to.
    pub(crate) cloud_id: CloudId,
    pub(crate) started_at: DateTime<Utc>,
    /// Limits on guessing passwords.
    pub(crate) sign_in: Arc<SignInGuard>,
    /// Ends streams and links when the cloud stops.
    pub(crate) shutdown: CancellationToken,
}

impl AppState {
    /// Opens what the configuration names.
    pub(crate) async fn open(config: Config, shutdown: CancellationToken) -> anyhow::Result<Self> {
        let store = Store::open(&config.data_dir, config.database_url.as_deref()).await?;
        let cloud_id = store.cloud_id().await?;
        Ok(Self {
            config: Arc::new(config),
            store,
            cloud_id,
            started_at: Utc::now(),
            sign_in: Arc::new(SignInGuard::new()),
            shutdown,
        })
    }
}
