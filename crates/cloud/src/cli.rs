//! What can be typed, and what it does.

use std::io::{BufRead, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use chrono::{DateTime, SecondsFormat, Utc};
use clap::builder::{FalseyValueParser, PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use serde::Deserialize;
use tillwatch_cloud::admin::{self, AuditChain, AuditHead, ScopeName, TokenScopeName};
use tillwatch_cloud::config::{Archives, Config, Secret, SsoProvider, Tls, default_data_dir};
use tillwatch_cloud::store::Store;
use tillwatch_protocol::rest::session::Permission;
use tillwatch_protocol::time::parse_duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::logging::{self, LogFormat};

/// The cloud of Tillwatch: REST for desktops, the gateway for stores, jobs, archives and the exchange.
#[derive(Debug, Parser)]
#[command(version, about)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the cloud until it is told to stop.
    Serve(Box<Serve>),
    /// Makes users and grants them permissions.
    #[command(subcommand)]
    User(User),
    /// Makes chains, outlets and POS servers.
    #[command(subcommand)]
    Fleet(Fleet),
    /// Says which POS version stores must have.
    #[command(subcommand)]
    Release(Release),
    /// Makes and revokes service tokens, for programs of third parties.
    #[command(subcommand)]
    Token(Token),
    /// Looks after the audit trail.
    #[command(subcommand)]
    Audit(Audit),
    /// Prints the `OpenAPI` 3.1 document.
    Openapi,
}

/// Where the data is.
#[derive(Debug, Args)]
struct Place {
    /// Database, archives and certificate [default: tillwatch-cloud in the system's folder for data].
    #[arg(long, value_name = "DIR", env = "TILLWATCH_CLOUD_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// A database elsewhere: `postgres://user@host/database`, or `sqlite:///var/lib/tillwatch/cloud.sqlite3`.
    /// A password belongs into the environment, where other users of the machine can't see it.
    #[arg(long, value_name = "URL", env = "TILLWATCH_CLOUD_DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
}

#[derive(Debug, Args)]
struct Serve {
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

#[derive(Debug, Subcommand)]
enum User {
    /// Makes a user, and prints the password that it made up unless one is given.
    Add {
        /// By which the user signs in.
        #[arg(long)]
        email: String,
        /// What the user is called.
        #[arg(long)]
        name: String,
        /// May do everything everywhere.
        #[arg(long)]
        admin: bool,
        /// Takes the password from the first line of standard input.
        #[arg(long)]
        password_stdin: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Grants permissions.
    Grant {
        /// Whom.
        #[arg(long)]
        email: String,
        #[command(flatten)]
        scope: ScopeArgs,
        /// What: one or more of them.
        #[arg(long, required = true, num_args = 1.., value_name = "P", value_parser = permission_parser())]
        permission: Vec<Permission>,
        #[command(flatten)]
        place: Place,
    },
    /// Forgets a user's account at sign-in providers: the next one with the user's e-mail is remembered.
    ForgetSso {
        /// Whose.
        #[arg(long)]
        email: String,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct ScopeArgs {
    /// In this chain, by id or name.
    #[arg(long, value_name = "ID")]
    chain: Option<String>,
    /// In this outlet, by id or unique name.
    #[arg(long, value_name = "ID")]
    outlet: Option<String>,
    /// Everywhere.
    #[arg(long)]
    all: bool,
}

#[derive(Debug, Subcommand)]
enum Fleet {
    /// Imports CSV (`chain,outlet,crm_id,address,time_zone,pos_server`) or JSON, all or nothing, and prints
    /// the enrollment codes as CSV.
    Import {
        /// The file.
        file: PathBuf,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, Subcommand)]
enum Release {
    /// Sets the version below which the POS servers of a chain need an update.
    Require {
        /// The chain, by id or name.
        #[arg(long, value_name = "ID")]
        chain: String,
        /// Such as 34.6.0.
        #[arg(long, value_name = "V")]
        pos_version: String,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, Subcommand)]
enum Token {
    /// Makes a token and prints it, this once.
    Add {
        /// Whose it is, such as the integrator's name.
        #[arg(long)]
        name: String,
        #[command(flatten)]
        scope: TokenScopeArgs,
        /// For what it is good.
        #[arg(long, value_name = "P", value_parser = permission_parser())]
        permission: Permission,
        #[command(flatten)]
        place: Place,
    },
    /// Prints all tokens as CSV, without their secrets.
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Ends a token: it is refused from then on.
    Revoke {
        /// The token's name or id.
        #[arg(long)]
        name: String,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct TokenScopeArgs {
    /// At this POS server, by id or unique name.
    #[arg(long, value_name = "ID")]
    pos_server: Option<String>,
    /// At every POS server of this chain, by id or name.
    #[arg(long, value_name = "ID")]
    chain: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Audit {
    /// Checks the chain of hashes, and prints the head of the chain.
    Verify {
        /// A head that was printed earlier, `NUMBER:HASH`: the trail must still hold it.
        #[arg(long, value_name = "HEAD")]
        noted: Option<AuditHead>,
        #[command(flatten)]
        place: Place,
    },
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
}

fn default_scopes() -> Vec<String> {
    ["email", "profile"].map(String::from).to_vec()
}

impl FileProvider {
    fn read(self) -> anyhow::Result<SsoProvider> {
        let Self { id, name, issuer, client_id, client_secret, client_secret_file, scopes } = self;
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
        Ok(SsoProvider { id, name, issuer, client_id, client_secret: client_secret.map(Secret), scopes })
    }
}

/// Does what was typed.
pub(crate) async fn run(cli: Cli) -> anyhow::Result<()> {
    let now = Utc::now();
    let mut out = std::io::stdout();
    if !matches!(cli.command, Command::Serve(_)) {
        logging::begin(LogFormat::Text);
    }
    match cli.command {
        Command::Serve(flags) => return serve(*flags).await,
        Command::User(User::Add { email, name, admin, password_stdin, place }) => {
            let password = if password_stdin { Some(read_password()?) } else { None };
            let store = place.open().await?;
            let (_, generated) = admin::add_user(&store, &email, &name, admin, password, now).await?;
            store.close().await;
            if let Some(password) = generated {
                writeln!(out, "{password}")?;
            }
        }
        Command::User(User::Grant { email, scope, permission, place }) => {
            let store = place.open().await?;
            admin::grant(&store, &email, &scope.name(), &permission, now).await?;
            store.close().await;
        }
        Command::User(User::ForgetSso { email, place }) => {
            let store = place.open().await?;
            let forgotten = admin::forget_sso(&store, &email, now).await?;
            store.close().await;
            writeln!(out, "{forgotten} forgotten")?;
        }
        Command::Fleet(Fleet::Import { file, place }) => {
            let content = std::fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
            let store = place.open().await?;
            let imported = admin::import_fleet(&store, &content, now).await?;
            store.close().await;
            let mut csv = csv::Writer::from_writer(out);
            for line in imported {
                csv.serialize(line)?;
            }
            csv.flush()?;
        }
        Command::Release(Release::Require { chain, pos_version, place }) => {
            let store = place.open().await?;
            admin::require_version(&store, &chain, &pos_version, now).await?;
            store.close().await;
        }
        Command::Token(token) => manage_token(token).await?,
        Command::Audit(Audit::Verify { noted, place }) => {
            let store = place.open().await?;
            match admin::verify_audit(&store, noted.as_ref()).await? {
                AuditChain::Whole(entries) => writeln!(out, "{entries} entries, the chain is whole")?,
                AuditChain::BrokenAt(seq) => bail!("the chain of hashes is broken at entry {seq}"),
                AuditChain::CutOffAfter(seq) => bail!("entries after {seq} are missing"),
            }
            writeln!(out, "head {}", admin::audit_head(&store).await?)?;
        }
        Command::Openapi => writeln!(out, "{:#}", tillwatch_cloud::openapi())?,
    }
    Ok(())
}

async fn manage_token(token: Token) -> anyhow::Result<()> {
    let now = Utc::now();
    let mut out = std::io::stdout();
    match token {
        Token::Add { name, scope, permission, place } => {
            let store = place.open().await?;
            let scope = scope.name();
            let (_, secret) = admin::add_token(&store, &name, &scope, permission, now).await?;
            store.close().await;
            writeln!(out, "{secret}")?;
        }
        Token::List { place } => {
            let store = place.open().await?;
            let tokens = admin::list_tokens(&store).await?;
            store.close().await;
            let mut csv = csv::Writer::from_writer(out);
            csv.write_record([
                "id",
                "name",
                "scope",
                "permission",
                "created_at",
                "last_used_at",
                "revoked_at",
            ])?;
            let time = |at: Option<DateTime<Utc>>| {
                at.map_or_else(String::new, |at| at.to_rfc3339_opts(SecondsFormat::Secs, true))
            };
            for token in tokens {
                csv.write_record([
                    token.id.to_string(),
                    token.name,
                    token.scope.to_string(),
                    token.permission.as_str().into(),
                    time(Some(token.created_at)),
                    time(token.last_used_at),
                    time(token.revoked_at),
                ])?;
            }
            csv.flush()?;
        }
        Token::Revoke { name, place } => {
            let store = place.open().await?;
            admin::revoke_token(&store, &name, now).await?;
            store.close().await;
        }
    }
    Ok(())
}

async fn serve(flags: Serve) -> anyhow::Result<()> {
    let (config, log_format) = configuration(flags)?;
    logging::begin(log_format);
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

fn read_password() -> anyhow::Result<String> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).context("reading the password")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn permission_parser() -> impl TypedValueParser<Value = Permission> {
    PossibleValuesParser::new(Permission::ALL.iter().map(|permission| permission.as_str())).try_map(|name| {
        Permission::ALL.iter().copied().find(|known| known.as_str() == name).ok_or("no such permission")
    })
}

impl Place {
    async fn open(self) -> anyhow::Result<Store> {
        let data_dir = self.data_dir.unwrap_or_else(default_data_dir);
        Ok(Store::open(&data_dir, self.database_url.as_deref()).await?)
    }
}

impl TokenScopeArgs {
    fn name(self) -> TokenScopeName {
        match (self.pos_server, self.chain) {
            (Some(pos_server), _) => TokenScopeName::PosServer(pos_server),
            (None, chain) => TokenScopeName::Chain(chain.unwrap_or_default()),
        }
    }
}

impl ScopeArgs {
    fn name(self) -> ScopeName {
        match (self.chain, self.outlet) {
            (Some(chain), _) => ScopeName::Chain(chain),
            (_, Some(outlet)) => ScopeName::Outlet(outlet),
            (None, None) => ScopeName::All,
        }
    }
}
