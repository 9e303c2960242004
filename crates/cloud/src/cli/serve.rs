//! `serve`: its flags, its file, and stopping by signals.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use clap::builder::FalseyValueParser;
use serde::Deserialize;
use tillwatch_cloud::config::{Archives, Config, Secret, SsoProvider, Tls, default_data_dir};
use tillwatch_protocol::time::parse_duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::Place;
use crate::logging::{self, LogFormat};

#[derive(Debug, Args)]
pub(super) struct Serve {
    /// A TOML file with any of these settings, named as here with `_` for `-`. Flags and environment win.
    #[arg(long, value_name = "FILE", env = "TILLWATCH_CLOUD_CONFIG")]
    config: Option<PathBuf>,
    /// Where to listen [default: 127.0.0.1:8443]; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", env = "TILLWATCH_CLOUD_LISTEN")]
    listen: Option<SocketAddr>,
    #[command(flatten)]
    place: Place,
    /// Where archives are: `s3://BUCKET/PREFIX` or `file:///DIRECTORY` [default: DIR/archives]. Keys, region and
    /// endpoint of S3 come from the usual variables: `AWS_ACCESS_KEY_ID`, `AWS_REGION`, `AWS_ENDPOINT_URL`, ….
    #[arg(long, value_name = "URL", env = "TILLWATCH_CLOUD_ARCHIVES_URL")]
    archives_url: Option<String>,
    /// Where the nodes of one cloud tell each other what changed, `nats://` or `tls://`, with credentials if
    /// needed; several separated by commas [default: there is one node].
    #[arg(long, value_name = "URL", env = "TILLWATCH_CLOUD_NATS_URL", hide_env_values = true)]
    nats_url: Option<String>,
    /// The certificate, PEM. Without one a self-signed one is made, DIR/tls/cert.pem.
    #[arg(long, value_name = "FILE", env = "TILLWATCH_CLOUD_TLS_CERT")]
    tls_cert: Option<PathBuf>,
    /// Its private key, PEM.
    #[arg(long, value_name = "FILE", env = "TILLWATCH_CLOUD_TLS_KEY")]
    tls_key: Option<PathBuf>,
    /// Without TLS: for behind a proxy that has it.
    #[arg(long, env = "TILLWATCH_CLOUD_INSECURE_HTTP", value_parser = FalseyValueParser::new())]
    insecure_http: bool,
    /// Where Prometheus fetches `/metrics`, by HTTP [default: nowhere]; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", env = "TILLWATCH_CLOUD_METRICS_LISTEN")]
    metrics_listen: Option<SocketAddr>,
    /// The form of the log on standard error [default: text]; `RUST_LOG` says what is in it.
    #[arg(long, value_name = "FORMAT", env = "TILLWATCH_CLOUD_LOG_FORMAT")]
    log_format: Option<LogFormat>,
    /// What the logs call this process [default: the host's name].
    #[arg(long, value_name = "NAME", env = "TILLWATCH_CLOUD_NODE_NAME")]
    node_name: Option<String>,
    /// Over how long stores are sent elsewhere when the cloud stops [default: PT30S]. A second signal ends it at
    /// once.
    #[arg(long, value_name = "DURATION", env = "TILLWATCH_CLOUD_DRAIN", value_parser = parse_duration)]
    drain: Option<Duration>,
}

/// The settings of `serve` as a file holds them.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FileConfig {
    listen: Option<SocketAddr>,
    data_dir: Option<PathBuf>,
    database_url: Option<String>,
    archives_url: Option<String>,
    nats_url: Option<String>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    insecure_http: bool,
    metrics_listen: Option<SocketAddr>,
    log_format: Option<LogFormat>,
    trusted_proxies: Vec<IpAddr>,
    passwords: Option<bool>,
    sso: Vec<FileProvider>,
    node_name: Option<String>,
    drain: Option<String>,
}

/// A provider of identities as the file describes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileProvider {
    id: String,
    name: String,
    issuer: String,
    client_id: String,
    client_secret: Option<String>,
    client_secret_file: Option<PathBuf>,
    #[serde(default = "default_scopes")]
    scopes: Vec<String>,
    #[serde(default)]
    domains: Vec<String>,
}

fn default_scopes() -> Vec<String> {
    ["email", "profile"].map(String::from).to_vec()
}

impl FileProvider {
    fn read(self) -> anyhow::Result<SsoProvider> {
        let Self { id, name, issuer, client_id, client_secret, client_secret_file, scopes, domains } = self;
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if id.is_empty() || !id.chars().all(plain) {
            bail!("the id of the sso provider `{id}` must be of small letters, digits and dashes");
        }
        let client_secret = match (client_secret, client_secret_file) {
            (Some(_), Some(_)) => {
                bail!("client_secret and client_secret_file of the sso provider `{id}` exclude each other")
            }
            (None, Some(file)) => {
                let text = std::fs::read_to_string(&file).with_context(|| {
                    format!("reading {}, the secret of the sso provider `{id}`", file.display())
                })?;
                Some(text.trim().to_owned())
            }
            (secret, None) => secret,
        };
        let domains: Vec<_> = domains.into_iter().map(|domain| domain.to_lowercase()).collect();
        if let Some(bad) = domains.iter().find(|domain| domain.is_empty() || domain.contains(['@', '*', ' ']))
        {
            bail!(
                "`{bad}` in the domains of the sso provider `{id}` must be as what follows the @ in an e-mail"
            );
        }
        let client_secret = client_secret.map(Secret);
        Ok(SsoProvider { id, name, issuer, client_id, client_secret, scopes, domains })
    }
}

/// Serves until a signal.
pub(super) async fn serve(flags: Serve) -> anyhow::Result<()> {
    let (config, log_format) = configuration(flags)?;
    let _log = logging::begin(log_format);
    let listen = config.listen;
    let listener = TcpListener::bind(listen).await.with_context(|| format!("listening on {listen}"))?;
    let address = listener.local_addr()?;
    let shutdown = CancellationToken::new();
    let cloud = tillwatch_cloud::Cloud::open(config, shutdown.clone()).await?;
    tokio::spawn(stop_on_signal(shutdown)?);
    let mut out = std::io::stdout();
    writeln!(out, "listening on {}", cloud.url(address))?;
    out.flush()?;
    cloud.serve(listener).await
}

/// Flags and environment over the file over the defaults.
fn configuration(flags: Serve) -> anyhow::Result<(Config, LogFormat)> {
    let file = flags.config.as_deref().map(read_config).transpose()?.unwrap_or_default();
    let log_format = flags.log_format.or(file.log_format).unwrap_or_default();
    let data_dir = flags.place.data_dir.or(file.data_dir).unwrap_or_else(default_data_dir);
    let mut config = Config::new(data_dir);
    config.listen = flags.listen.or(file.listen).unwrap_or(config.listen);
    config.database_url = flags.place.database_url.or(file.database_url);
    let archives_url = flags.archives_url.or(file.archives_url);
    // What is not Unicode can't be a setting of S3.
    let environment =
        std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
    config.archives = archives_url.map(|url| Archives::at(&url, environment)).transpose()?;
    config.metrics_listen = flags.metrics_listen.or(file.metrics_listen);
    config.nats_url = flags.nats_url.or(file.nats_url);
    config.node_name = flags.node_name.or(file.node_name).unwrap_or(config.node_name);
    let file_drain =
        file.drain.as_deref().map(parse_duration).transpose().context("drain in the configuration")?;
    config.drain = flags.drain.or(file_drain).unwrap_or(config.drain);
    config.trusted_proxies = file.trusted_proxies;
    config.sso = file.sso.into_iter().map(FileProvider::read).collect::<Result<_, _>>()?;
    config.passwords = file.passwords.unwrap_or(config.passwords);
    if !config.passwords && config.sso.is_empty() {
        bail!("without passwords and without an sso provider nobody could sign in");
    }
    let certificate = (flags.tls_cert.or(file.tls_cert), flags.tls_key.or(file.tls_key));
    config.tls = match (certificate, flags.insecure_http || file.insecure_http) {
        ((None, None), true) => Tls::Insecure,
        ((None, None), false) => Tls::SelfSigned,
        ((Some(cert), Some(key)), false) => Tls::Files { cert, key },
        (_, true) => bail!("a certificate and insecure-http exclude each other"),
        _ => bail!("tls-cert and tls-key belong together"),
    };
    Ok((config, log_format))
}

fn read_config(path: &Path) -> anyhow::Result<FileConfig> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("reading {}", path.display()))
}

/// Asks for the shutdown when the system or a person at the terminal does.
#[cfg(unix)]
fn stop_on_signal(shutdown: CancellationToken) -> anyhow::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        shutdown.cancel();
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        end_at_once();
    })
}

/// Asks for the shutdown when a person at the terminal does.
#[cfg(not(unix))]
fn stop_on_signal(shutdown: CancellationToken) -> anyhow::Result<impl Future<Output = ()>> {
    Ok(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            shutdown.cancel();
        }
        if tokio::signal::ctrl_c().await.is_ok() {
            end_at_once();
        }
    })
}

/// Somebody asked a second time. The database is whole whenever the process ends.
fn end_at_once() {
    std::process::exit(1);
}
