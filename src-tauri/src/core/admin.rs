//! What administrators do. The cloud decides who may; the window only hides what would be refused.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use tillwatch_protocol::error::ErrorCode;
use tillwatch_protocol::fleet::{self, BadLine, Numbered};
use tillwatch_protocol::rest::admin as wire;
use uuid::Uuid;

use super::{Core, lock};
use crate::error::{AppError, LocalCode};
use crate::ipc::{
    AdminChain, AdminOutlet, AdminPosServer, AdminQuery, AdminUser, AuditEntry, AuditPage, AuditQuery,
    CreatedUser, EnrollmentCode, Grant, GrantPlace, ImportFault, ImportLine, ImportPreview, ImportResult,
    OutletPage, OutletTexts, Permission, PosServerPage, StoreDevice, UserEdit, UserPage, UserSession,
    VersionSet,
};

/// How many lines of a file are shown before it is imported.
const SHOWN_LINES: usize = 50;
/// How many of its faults.
const SHOWN_FAULTS: usize = 200;
/// The largest file that the cloud takes.
const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;
/// The most rows of a table that the window gets.
const MAX_ROWS: usize = 5000;

/// The lists that the administrator's tables search. The cloud has pages but no search for them.
#[derive(Debug, Default)]
pub(super) struct Registry {
    outlets: Vec<AdminOutlet>,
    pos_servers: Vec<AdminPosServer>,
    /// The file that was chosen for an import: what was shown is what is sent.
    file: Option<Arc<[u8]>>,
}

impl Core {
    /// The chains that the user administers.
    pub(crate) async fn admin_chains(&self) -> Result<Vec<AdminChain>, AppError> {
        Ok(self.current_cloud()?.admin_chains().await?.into_iter().map(AdminChain::from).collect())
    }

    /// Makes a chain.
    pub(crate) async fn add_chain(&self, name: String) -> Result<AdminChain, AppError> {
        self.current_cloud()?.add_chain(name).await.map(AdminChain::from)
    }

    /// Gives a chain another name.
    pub(crate) async fn rename_chain(&self, id: &str, name: String) -> Result<AdminChain, AppError> {
        self.current_cloud()?.rename_chain(read(id)?, name).await.map(AdminChain::from)
    }

    /// Deletes an empty chain.
    pub(crate) async fn delete_chain(&self, id: &str) -> Result<(), AppError> {
        self.current_cloud()?.delete_chain(read(id)?).await
    }

    /// Requires a version of the POS servers of chains, or none any more: one after another, each for itself.
    pub(crate) async fn require_version(
        &self,
        chain_ids: &[String],
        version: Option<&str>,
    ) -> Result<Vec<VersionSet>, AppError> {
        let cloud = self.current_cloud()?;
        let mut set = Vec::with_capacity(chain_ids.len());
        for chain_id in chain_ids {
            let error = cloud.require_version(read(chain_id)?, version).await.err();
            set.push(VersionSet { chain_id: chain_id.clone(), error });
        }
        Ok(set)
    }

    /// The first outlets that match, by chain and name.
    pub(crate) async fn admin_outlets(&self, query: &AdminQuery) -> Result<OutletPage, AppError> {
        if query.fresh {
            let outlets = self.current_cloud()?.admin_outlets().await?;
            lock(&self.registry).outlets = outlets.into_iter().map(AdminOutlet::from).collect();
        }
        let registry = lock(&self.registry);
        let (items, matching) = found(&registry.outlets, query, |outlet| {
            let OutletTexts { name, crm_id, address, time_zone } = &outlet.texts;
            (&outlet.chain_id, vec![name, crm_id, address, time_zone, &outlet.chain])
        });
        Ok(OutletPage { items, matching, total: registry.outlets.len() as u32 })
    }

    /// Makes an outlet.
    pub(crate) async fn add_outlet(
        &self,
        chain_id: &str,
        texts: OutletTexts,
    ) -> Result<AdminOutlet, AppError> {
        let OutletTexts { name, crm_id, address, time_zone } = texts;
        let new = wire::NewOutlet { chain_id: read(chain_id)?, name, crm_id, address, time_zone };
        self.current_cloud()?.add_outlet(&new).await.map(AdminOutlet::from)
    }

    /// Changes an outlet.
    pub(crate) async fn edit_outlet(&self, id: &str, texts: OutletTexts) -> Result<AdminOutlet, AppError> {
        let edit = wire::OutletEdit {
            name: Some(texts.name),
            crm_id: Some(texts.crm_id),
            address: Some(texts.address),
            time_zone: Some(texts.time_zone),
        };
        self.current_cloud()?.edit_outlet(read(id)?, &edit).await.map(AdminOutlet::from)
    }

    /// Deletes an outlet that has no POS servers.
    pub(crate) async fn delete_outlet(&self, id: &str) -> Result<(), AppError> {
        self.current_cloud()?.delete_outlet(read(id)?).await
    }

    /// The first POS servers that match, by chain, outlet and name.
    pub(crate) async fn admin_pos_servers(&self, query: &AdminQuery) -> Result<PosServerPage, AppError> {
        if query.fresh {
            let pos_servers = self.current_cloud()?.admin_pos_servers().await?;
            lock(&self.registry).pos_servers = pos_servers.into_iter().map(AdminPosServer::from).collect();
        }
        let registry = lock(&self.registry);
        let (items, matching) = found(&registry.pos_servers, query, |server| {
            (&server.chain_id, vec![&server.outlet, &server.crm_id, &server.name, &server.chain])
        });
        Ok(PosServerPage { items, matching, total: registry.pos_servers.len() as u32 })
    }

    /// Makes a POS server.
    pub(crate) async fn add_pos_server(
        &self,
        outlet_id: &str,
        name: String,
    ) -> Result<AdminPosServer, AppError> {
        self.current_cloud()?.add_pos_server(read(outlet_id)?, name).await.map(AdminPosServer::from)
    }

    /// Gives a POS server another name.
    pub(crate) async fn rename_pos_server(&self, id: &str, name: String) -> Result<AdminPosServer, AppError> {
        self.current_cloud()?.rename_pos_server(read(id)?, name).await.map(AdminPosServer::from)
    }

    /// Removes a POS server.
    pub(crate) async fn remove_pos_server(&self, id: &str) -> Result<(), AppError> {
        self.current_cloud()?.remove_pos_server(read(id)?).await
    }

    /// Makes a code by which a connector enrolls; one that waited to be used dies.
    pub(crate) async fn make_code(&self, pos_server_id: &str) -> Result<EnrollmentCode, AppError> {
        let cloud = self.current_cloud()?;
        let made = cloud.make_code(read(pos_server_id)?).await?;
        Ok(EnrollmentCode {
            code: made.enrollment_code,
            expires_at: made.expires_at,
            cloud: cloud.address().as_str().trim_end_matches('/').to_owned(),
            needs_certificate: cloud.is_pinned(),
        })
    }

    /// Revokes the code that waits to be used.
    pub(crate) async fn revoke_code(&self, pos_server_id: &str) -> Result<(), AppError> {
        self.current_cloud()?.revoke_code(read(pos_server_id)?).await
    }

    /// The identities that connectors of a POS server have had, newest first.
    pub(crate) async fn devices(&self, pos_server_id: &str) -> Result<Vec<StoreDevice>, AppError> {
        let devices = self.current_cloud()?.devices(read(pos_server_id)?).await?;
        Ok(devices.into_iter().map(StoreDevice::from).collect())
    }

    /// Revokes an identity.
    pub(crate) async fn revoke_device(&self, id: &str) -> Result<(), AppError> {
        self.current_cloud()?.revoke_device(read(id)?).await
    }

    /// Users by e-mail.
    pub(crate) async fn users(&self, search: &str, next: Option<&str>) -> Result<UserPage, AppError> {
        let page = self.current_cloud()?.users(search, next).await?;
        Ok(UserPage { items: page.items.into_iter().map(AdminUser::from).collect(), next: page.next_cursor })
    }

    /// Makes a user with a password that is made up.
    pub(crate) async fn add_user(
        &self,
        email: String,
        name: String,
        admin: bool,
    ) -> Result<CreatedUser, AppError> {
        let new = wire::NewUser { email, name, admin, password: None };
        let created = self.current_cloud()?.add_user(&new).await?;
        Ok(CreatedUser { user: created.user.into(), password: created.password.unwrap_or_default() })
    }

    /// Changes a user.
    pub(crate) async fn edit_user(&self, id: &str, edit: UserEdit) -> Result<AdminUser, AppError> {
        self.current_cloud()?.edit_user(read(id)?, &edit.into()).await.map(AdminUser::from)
    }

    /// Deletes a user.
    pub(crate) async fn delete_user(&self, id: &str) -> Result<(), AppError> {
        self.current_cloud()?.delete_user(read(id)?).await
    }

    /// Gives a user another password, which is told once, and signs them out everywhere.
    pub(crate) async fn reset_password(&self, id: &str) -> Result<String, AppError> {
        Ok(self.current_cloud()?.reset_password(read(id)?).await?.password.unwrap_or_default())
    }

    /// Lets a user try passwords again.
    pub(crate) async fn unlock_user(&self, id: &str) -> Result<AdminUser, AppError> {
        self.current_cloud()?.unlock_user(read(id)?).await.map(AdminUser::from)
    }

    /// A user's sessions, newest first.
    pub(crate) async fn user_sessions(&self, id: &str) -> Result<Vec<UserSession>, AppError> {
        let sessions = self.current_cloud()?.user_sessions(read(id)?).await?;
        Ok(sessions.into_iter().map(UserSession::from).collect())
    }

    /// Ends one session of a user, or all.
    pub(crate) async fn end_user_sessions(&self, id: &str, session: Option<&str>) -> Result<(), AppError> {
        self.current_cloud()?.end_user_sessions(read(id)?, session.map(read).transpose()?).await
    }

    /// What a user may do where.
    pub(crate) async fn grants(&self, user_id: &str) -> Result<Vec<Grant>, AppError> {
        Ok(self.current_cloud()?.grants(read(user_id)?).await?.into_iter().map(Grant::from).collect())
    }

    /// Grants a permission.
    pub(crate) async fn add_grant(
        &self,
        user_id: &str,
        permission: Permission,
        place: GrantPlace,
    ) -> Result<Grant, AppError> {
        let outlet_id = place.outlet_id.as_deref().map(read).transpose()?;
        // An outlet says enough: the cloud takes exactly one place.
        let chain_id =
            if outlet_id.is_some() { None } else { place.chain_id.as_deref().map(read).transpose()? };
        let new = wire::NewGrant {
            user_id: read(user_id)?,
            permission: permission.into(),
            everywhere: chain_id.is_none() && outlet_id.is_none(),
            chain_id,
            outlet_id,
        };
        self.current_cloud()?.add_grant(&new).await.map(Grant::from)
    }

    /// Takes a permission away.
    pub(crate) async fn remove_grant(&self, id: &str) -> Result<(), AppError> {
        self.current_cloud()?.remove_grant(read(id)?).await
    }

    /// Entries of the audit trail, newest first.
    pub(crate) async fn audit(&self, query: &AuditQuery) -> Result<AuditPage, AppError> {
        if query.from.zip(query.to).is_some_and(|(from, to)| from >= to) {
            return Err(ErrorCode::PeriodInvalid.into());
        }
        let (from, to) = (query.from.map(|at| at.to_rfc3339()), query.to.map(|at| at.to_rfc3339()));
        let page = self
            .current_cloud()?
            .audit(&[
                ("actor", query.actor.as_deref()),
                ("action", query.action.as_deref()),
                ("from", from.as_deref()),
                ("to", to.as_deref()),
                ("cursor", query.next.as_deref()),
            ])
            .await?;
        let targets = page.items.iter().filter_map(|entry| entry.target.split_once(':')?.1.parse().ok());
        let names = self.fleet().names(&targets.collect());
        let items = page.items.into_iter().map(|entry| {
            let target_name = self.target_name(&entry.target, &names);
            AuditEntry { target_name, ..entry.into() }
        });
        Ok(AuditPage { items: items.collect(), next: page.next_cursor })
    }

    /// What the target of an audit entry is called, as far as the rows tell it.
    fn target_name(&self, target: &str, names: &HashMap<Uuid, String>) -> Option<String> {
        let (kind, id) = target.split_once(':')?;
        match kind {
            "pos_server" => self.row(id).map(|row| format!("{}, {}", row.organization, row.name)),
            "outlet" | "chain" => names.get(&id.parse().ok()?).cloned(),
            _ => None,
        }
    }

    /// Reads a file with outlets, to show what is in it and what is wrong with it. Nothing is sent.
    pub(crate) async fn read_import(&self, path: &Path) -> Result<ImportPreview, AppError> {
        let file_name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let owned = path.to_owned();
        let read = tokio::task::spawn_blocking(move || {
            if std::fs::metadata(&owned)?.len() > MAX_FILE_BYTES {
                return Err(std::io::Error::from(std::io::ErrorKind::FileTooLarge));
            }
            let bytes: Arc<[u8]> = std::fs::read(&owned)?.into();
            let parsed = fleet::parse(&bytes);
            Ok((bytes, parsed))
        });
        let (bytes, parsed) = match read.await {
            Ok(Ok(read)) => read,
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::FileTooLarge => {
                return Err(ErrorCode::PayloadTooLarge.into());
            }
            Ok(Err(error)) => {
                return Err(AppError::from(LocalCode::FileUnreadable)
                    .detail(error)
                    .param("path", path.display()));
            }
            Err(error) => return Err(AppError::bug("reading a file failed", &error)),
        };
        let preview = match parsed {
            Ok(lines) => {
                lock(&self.registry).file = Some(bytes);
                ImportPreview { file_name, ..summary(&lines) }
            }
            Err(bad) => {
                lock(&self.registry).file = None;
                ImportPreview { file_name, faults: faults(&bad), ..summary(&[]) }
            }
        };
        Ok(preview)
    }

    /// Imports the file that was read last, all of it or nothing.
    pub(crate) async fn import(&self) -> Result<ImportResult, AppError> {
        let Some(file) = lock(&self.registry).file.clone() else { return Err(ErrorCode::NotFound.into()) };
        let cloud = self.current_cloud()?;
        let refused = match cloud.import_fleet(&file, is_json(&file)).await {
            Ok(imported) => {
                lock(&self.registry).file = None;
                return Ok(ImportResult { pos_servers: imported.items.len() as u32, faults: Vec::new() });
            }
            Err(error) => error,
        };
        // What is wrong with lines is shown at the lines; what the cloud does not say by code is an error as any.
        let told = refused.params.get("errors").filter(|_| refused.is_wire(ErrorCode::InvalidRequest));
        let bad: Option<Vec<BadLine>> = told.and_then(|errors| {
            let errors: Vec<serde_json::Value> = serde_json::from_str(errors).ok()?;
            errors.into_iter().map(|error| serde_json::from_value(error).ok()).collect()
        });
        match bad {
            Some(bad) if !bad.is_empty() => Ok(ImportResult { pos_servers: 0, faults: faults(&bad) }),
            _ => Err(refused),
        }
    }
}

/// An id as the window gives it; what is none does not exist.
fn read<T: FromStr>(id: &str) -> Result<T, AppError> {
    id.parse().map_err(|_| ErrorCode::NotFound.into())
}

/// The rows of a chain in which all words of the search are, and how many there are.
fn found<T: Clone>(
    rows: &[T],
    query: &AdminQuery,
    texts: impl Fn(&T) -> (&String, Vec<&String>),
) -> (Vec<T>, u32) {
    let words: Vec<String> = query.search.split_whitespace().map(str::to_lowercase).collect();
    let matching: Vec<&T> = rows
        .iter()
        .filter(|row| {
            let (chain_id, texts) = texts(row);
            let texts: Vec<String> = texts.into_iter().map(|text| text.to_lowercase()).collect();
            query.chain_id.as_ref().is_none_or(|wanted| wanted == chain_id)
                && words.iter().all(|word| texts.iter().any(|text| text.contains(word.as_str())))
        })
        .collect();
    let limit = (query.limit as usize).min(MAX_ROWS);
    (matching.iter().take(limit).map(|row| (*row).clone()).collect(), matching.len() as u32)
}

/// What is in a file that can be imported.
fn summary(lines: &[Numbered]) -> ImportPreview {
    let chains: HashSet<&str> = lines.iter().map(|numbered| numbered.line.chain.as_str()).collect();
    let outlets: HashSet<(&str, &str)> =
        lines.iter().map(|Numbered { line, .. }| (line.chain.as_str(), line.outlet.as_str())).collect();
    ImportPreview {
        file_name: String::new(),
        chains: chains.len() as u32,
        outlets: outlets.len() as u32,
        pos_servers: lines.len() as u32,
        lines: lines
            .iter()
            .take(SHOWN_LINES)
            .map(|Numbered { number, line }| ImportLine {
                number: *number as u32,
                chain: line.chain.clone(),
                texts: OutletTexts {
                    name: line.outlet.clone(),
                    crm_id: line.crm_id.clone(),
                    address: line.address.clone(),
                    time_zone: line.time_zone.clone(),
                },
                pos_server: line.pos_server.clone(),
            })
            .collect(),
        faults: Vec::new(),
    }
}

fn faults(bad: &[BadLine]) -> Vec<ImportFault> {
    bad.iter().take(SHOWN_FAULTS).map(ImportFault::from).collect()
}

/// Whether a file is JSON: it begins like a list, as the cloud has it.
fn is_json(file: &[u8]) -> bool {
    let file = file.strip_prefix("\u{feff}".as_bytes()).unwrap_or(file).trim_ascii_start();
    file.starts_with(b"[") || file.starts_with(b"{")
}
