//! What can be typed, and what it does.

mod serve;

use std::io::{BufRead, Write};
use std::path::PathBuf;

use anyhow::{Context, bail};
use chrono::{DateTime, SecondsFormat, Utc};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use tillwatch_cloud::admin::{self, AuditChain, AuditHead, ScopeName, TokenScopeName};
use tillwatch_cloud::config::default_data_dir;
use tillwatch_cloud::store::Store;
use tillwatch_protocol::rest::session::Permission;

use crate::logging::{self, LogFormat};
use serve::Serve;

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
    /// Looks after the keys that only nodes of this cloud have.
    #[command(subcommand)]
    Keys(Keys),
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
enum Keys {
    /// Makes up new keys by which nodes know each other and mark refresh tokens. Nodes take them when they start.
    Renew {
        #[command(flatten)]
        place: Place,
    },
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

/// Does what was typed.
pub(crate) async fn run(cli: Cli) -> anyhow::Result<()> {
    let now = Utc::now();
    let mut out = std::io::stdout();
    let _log = (!matches!(cli.command, Command::Serve(_))).then(|| logging::begin(LogFormat::Text));
    match cli.command {
        Command::Serve(flags) => return serve::serve(*flags).await,
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
        Command::Keys(Keys::Renew { place }) => {
            let store = place.open().await?;
            admin::renew_keys(&store, now).await?;
            store.close().await;
            writeln!(out, "restart the nodes, one by one, to have them taken")?;
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
