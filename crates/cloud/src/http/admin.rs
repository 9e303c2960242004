//! Administration: what the command line does, and what administrators expect besides.
//!
//! An admin administers everything. The permission `admin` for a chain, or everywhere, is for what is inside
//! of chains; users, and chains as such, are the admins'. What lies outside of one's reach is not there, 404,
//! unless one sees it as a manager: then this is forbidden, 403. Whoever administers nothing gets 403 from
//! every call here.

mod audit;
mod chains;
mod enrollment;
mod fleet;
mod grants;
mod outlets;
mod pos_servers;
mod releases;
mod service_tokens;
mod users;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use sea_orm::{ConnectionTrait, DatabaseTransaction};
use tillwatch_protocol::error::ErrorCode;
use tillwatch_protocol::ids::{ChainId, OutletId, PosServerId};
use utoipa_axum::router::OpenApiRouter;

use crate::admin::AdminError;
use crate::domain::audit::Actor;
use crate::domain::permission::Reach;
use crate::domain::user::BadUser;
use crate::error::{ApiError, ApiResult};
use crate::http::extract::CurrentUser;
use crate::state::AppState;
use crate::store::entity::{chains as chain_rows, outlets as outlet_rows, pos_servers as pos_server_rows};
use crate::store::pos_server::{self, keep};
use crate::store::{WriteTx, chain, grant, outlet};

/// The most lines of an import whose errors are told one by one.
const MAX_ERRORS: usize = 1000;

pub(crate) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .merge(chains::routes())
        .merge(releases::routes())
        .merge(outlets::routes())
        .merge(pos_servers::routes())
        .merge(enrollment::routes())
        .merge(fleet::routes())
        .merge(users::routes())
        .merge(grants::routes())
        .merge(service_tokens::routes())
        .merge(audit::routes())
}

/// Who asks, and administers something.
struct Administrator(CurrentUser);

impl FromRequestParts<AppState> for Administrator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let administrator = Self(CurrentUser::from_request_parts(parts, state).await?);
        administrator.read(state).await?;
        Ok(administrator)
    }
}

impl Administrator {
    /// Who it is, for the audit trail.
    fn actor(&self) -> Actor {
        Actor::User(self.0.user.id)
    }

    /// A view of one moment, and what was administered at that moment.
    async fn read(&self, state: &AppState) -> ApiResult<(DatabaseTransaction, Reach)> {
        let db = state.store.read().await?;
        let reach = self.reach(&db).await?;
        Ok((db, reach))
    }

    /// Begins a write, with what is administered while it goes on.
    async fn write(&self, state: &AppState) -> ApiResult<(WriteTx, Reach)> {
        let tx = state.store.write().await?;
        let reach = self.reach(&*tx).await?;
        Ok((tx, reach))
    }

    /// The same, for what only admins do.
    async fn write_as_admin(&self, state: &AppState) -> ApiResult<WriteTx> {
        let (tx, reach) = self.write(state).await?;
        if reach.is_everything() { Ok(tx) } else { Err(only_admins()) }
    }

    async fn reach(&self, db: &impl ConnectionTrait) -> ApiResult<Reach> {
        let reach = grant::reach(db, self.0.viewer()).await?;
        if reach.is_nothing() { Err(denied("This needs the permission admin.")) } else { Ok(reach) }
    }
}

fn denied(detail: &str) -> ApiError {
    ApiError::new(ErrorCode::PermissionDenied, detail)
}

fn only_admins() -> ApiError {
    denied("Only an admin may do this: somebody who may do everything.")
}

/// A chain within reach.
async fn chain_within(db: &impl ConnectionTrait, reach: &Reach, id: ChainId) -> ApiResult<chain_rows::Model> {
    let row = chain::find(db, id).await?.ok_or_else(ApiError::not_found)?;
    hold(reach, id, pos_server::chain_is_visible(db, reach.viewer, id).await?)?;
    Ok(row)
}

/// An outlet within reach.
async fn outlet_within(
    db: &impl ConnectionTrait,
    reach: &Reach,
    id: OutletId,
) -> ApiResult<outlet_rows::Model> {
    let row = outlet::find(db, id).await?.ok_or_else(ApiError::not_found)?;
    hold(reach, row.chain_id.into(), outlet::is_visible(db, reach.viewer, id).await?)?;
    Ok(row)
}

/// A POS server within reach.
async fn pos_server_within(
    db: &impl ConnectionTrait,
    reach: &Reach,
    id: PosServerId,
) -> ApiResult<pos_server_rows::Model> {
    let row = keep::find(db, id).await?.ok_or_else(ApiError::not_found)?;
    let seen = outlet::is_visible(db, reach.viewer, row.outlet_id.into()).await?;
    hold(reach, row.chain_id.into(), seen)?;
    Ok(row)
}

/// What is seen but lies outside of one's reach is forbidden; what is not even seen is not there.
fn hold(reach: &Reach, chain: ChainId, seen: bool) -> ApiResult<()> {
    match (reach.holds(chain), seen) {
        (true, _) => Ok(()),
        (false, true) => Err(denied("This needs the permission admin for its chain.")),
        (false, false) => Err(ApiError::not_found()),
    }
}

impl From<AdminError> for ApiError {
    fn from(error: AdminError) -> Self {
        let detail = format!("{error}.");
        match error {
            AdminError::BadUser(bad) => {
                let field = match bad {
                    BadUser::Email => "email",
                    BadUser::Name => "name",
                    BadUser::Password | BadUser::GuessablePassword => "password",
                };
                Self::invalid_field(field, bad.to_string())
            }
            AdminError::BadFields(errors) => Self::invalid(&errors),
            AdminError::BadVersion(_) => Self::invalid_field("pos_version", error.to_string()),
            AdminError::BadLines(lines) => {
                // As any field's, with what is wrong as a code besides.
                let errors: Vec<serde_json::Value> = lines
                    .iter()
                    .take(MAX_ERRORS)
                    .map(|line| {
                        let mut error = serde_json::json!(line);
                        error["field"] = format!("line {}", line.number).into();
                        error["message"] = line.fault.to_string().into();
                        error
                    })
                    .collect();
                let detail = format!("Nothing was imported: {} lines can't be.", lines.len());
                Self::new(ErrorCode::InvalidRequest, detail).with("errors", serde_json::Value::Array(errors))
            }
            AdminError::EmailTaken(_) | AdminError::NameTaken { .. } => {
                Self::new(ErrorCode::AlreadyExists, detail)
            }
            AdminError::NotFound { .. } | AdminError::Ambiguous { .. } => Self::not_found(),
            AdminError::NotEmpty { what, count } => {
                Self::new(ErrorCode::NotEmpty, detail).with("what", what.into()).with("count", count.into())
            }
            AdminError::LastAdmin => Self::new(ErrorCode::LastAdmin, detail),
            AdminError::NotOnesOwn => Self::new(ErrorCode::PermissionDenied, detail),
            AdminError::Store(error) => error.into(),
        }
    }
}
