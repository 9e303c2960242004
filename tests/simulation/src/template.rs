//! The data directory that every world begins with: a cloud with one manager and some stores that have enrolled. It is
//! made once a process, by the real programs over real sockets, and copied.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use chrono::Utc;
use serde_json::{Value, json};
use tempfile::TempDir;
use tillwatch_cloud::admin;
use tillwatch_cloud::config::Config;
use tillwatch_cloud::store::Store;
use tillwatch_protocol::device::{DeviceKey, Identity};
use tillwatch_protocol::rest::enroll::Enrolled;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::watch;

/// When every world begins, since 1970: in the middle of 2026.
pub(crate) const BEGINNING: Duration = Duration::from_hours(495_000);
/// What the cloud's host is called in every world, and where it listens.
pub(crate) const CLOUD: (&str, u16) = ("cloud", 8443);
/// How many stores there are.
pub(crate) const STORES: usize = 2;

const EMAIL: &str = "manager@example.com";
const PASSWORD: &str = "correct horse battery";

/// What a world is made from.
#[derive(Debug)]
pub(crate) struct Template {
    folder: TempDir,
    /// Who the stores are.
    pub(crate) identities: Vec<Identity>,
    /// What the manager shows with each request.
    pub(crate) access_token: String,
}

impl Template {
    /// Makes one.
    pub(crate) fn make() -> anyhow::Result<Self> {
        let made = std::thread::spawn(|| {
            clock::set(BEGINNING);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(make())
        });
        made.join().map_err(|_| anyhow::anyhow!("the template could not be made"))?
    }

    /// Puts a copy of the cloud's database into a folder.
    pub(crate) fn copy_database(&self, to: &Path) -> std::io::Result<()> {
        std::fs::create_dir_all(to)?;
        std::fs::copy(database(self.folder.path()), database(to)).map(drop)
    }
}

/// The cloud's database in its data directory.
pub(crate) fn database(data_dir: &Path) -> PathBuf {
    data_dir.join("tillwatch.sqlite3")
}

/// A folder for what lives as long as a test, in memory where there is such a place: thousands of worlds sync their
/// files, and what a disk makes of it is not what is tested.
pub(crate) fn folder() -> std::io::Result<TempDir> {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() }
}

async fn make() -> anyhow::Result<Template> {
    // Err means that a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = folder()?;
    let store = Store::open(folder.path(), None).await?;
    admin::add_user(&store, EMAIL, "Manager", true, Some(PASSWORD.to_owned()), Utc::now()).await?;
    let mut fleet = "chain,outlet,crm_id,address,time_zone,pos_server\n".to_owned();
    for number in 1..=STORES {
        writeln!(fleet, "Pizza,Outlet {number},1,,Europe/Riga,Main")?;
    }
    let imported = admin::import_fleet(&store, fleet.as_bytes(), Utc::now()).await?;
    store.close().await;

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let base = format!("http://{}/api/v1", listener.local_addr()?);
    let shutdown = CancellationToken::new();
    let mut config = Config::new(folder.path());
    (config.tls, config.drain) = (tillwatch_cloud::config::Tls::Insecure, Duration::ZERO);
    let serving = tokio::spawn(tillwatch_cloud::run(listener, config, shutdown.clone()));

    let http = reqwest::Client::builder().no_proxy().build()?;
    let post = async |path: &str, body: Value| -> anyhow::Result<Value> {
        let answer = http.post(format!("{base}/{path}")).json(&body).send().await?;
        Ok(answer.error_for_status()?.json().await?)
    };
    let session = post("sessions", json!({"email": EMAIL, "password": PASSWORD})).await?;
    let access_token = session["access_token"].as_str().context("there is no access token")?.to_owned();
    let cloud: url::Url = format!("http://{}:{}", CLOUD.0, CLOUD.1).parse()?;
    let mut identities = Vec::new();
    for row in imported {
        let key = DeviceKey::generate();
        let body = json!({"code": row.enrollment_code, "public_key": key.public_key()});
        let enrolled: Enrolled = serde_json::from_value(post("enroll", body).await?)?;
        identities.push(key.into_identity(cloud.clone(), enrolled));
    }
    drop(http);
    shutdown.cancel();
    serving.await??;
    watch::install(&database(folder.path()))?;
    Ok(Template { folder, identities, access_token })
}
