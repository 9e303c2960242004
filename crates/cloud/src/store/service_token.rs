//! Service tokens of third parties: kept as hashes, read together with the POS server that they ask for.

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::sea_query::{Condition, Expr, ExprTrait, JoinType, Query, SimpleExpr};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait, Set,
};
use tillwatch_protocol::ids::{ChainId, PosServerId, ServiceTokenId};
use tillwatch_protocol::rest::service_token::{ServiceToken, TokenScope};
use tillwatch_protocol::rest::session::Permission;
use uuid::Uuid;

use super::entity::{pos_servers, service_tokens};
use super::{Store, StoreError, WriteTx, from_text};
use crate::domain::permission::{Chains, Reach};
use crate::tokens::hash;

use service_tokens::Column;

/// How exactly it is known when a token was last used.
pub(crate) const USE_NOTED_EVERY: TimeDelta = TimeDelta::minutes(1);

/// Keeps a new token.
pub(crate) async fn insert(tx: &WriteTx, token: &ServiceToken, secret: &str) -> Result<(), StoreError> {
    let (pos_server_id, chain_id) = match token.scope {
        TokenScope::PosServer(id) => (Some(id.0), None),
        TokenScope::Chain(id) => (None, Some(id.0)),
    };
    let row = service_tokens::ActiveModel {
        id: Set(token.id.0),
        name: Set(token.name.clone()),
        token_hash: Set(hash(secret)),
        pos_server_id: Set(pos_server_id),
        chain_id: Set(chain_id),
        permission: Set(token.permission.as_str().into()),
        created_at: Set(token.created_at),
        created_by: Set(token.created_by.clone()),
        last_used_at: Set(token.last_used_at),
        revoked_at: Set(token.revoked_at),
    };
    service_tokens::Entity::insert(row).exec_without_returning(&**tx).await?;
    Ok(())
}

/// Every token, the newest first; revoked ones too.
pub(crate) async fn list(db: &impl ConnectionTrait) -> Result<Vec<ServiceToken>, StoreError> {
    let rows = service_tokens::Entity::find().order_by_desc(Column::Id).all(db).await?;
    rows.into_iter().map(to_wire).collect()
}

/// Tokens within reach, the newest first, older than `before`.
pub(crate) async fn page(
    db: &impl ConnectionTrait,
    reach: &Reach,
    chain_id: Option<ChainId>,
    before: Option<ServiceTokenId>,
    limit: u64,
) -> Result<Vec<ServiceToken>, StoreError> {
    let condition = Condition::all()
        .add(within(reach))
        .add_option(chain_id.map(|id| in_chains(&[id])))
        .add_option(before.map(|id| Column::Id.lt(id.0)));
    let rows = service_tokens::Entity::find().filter(condition);
    let rows = rows.order_by_desc(Column::Id).limit(limit).all(db).await?;
    rows.into_iter().map(to_wire).collect()
}

/// A token within reach.
pub(crate) async fn find_within(
    db: &impl ConnectionTrait,
    reach: &Reach,
    id: ServiceTokenId,
) -> Result<Option<ServiceToken>, StoreError> {
    let found = service_tokens::Entity::find_by_id(id.0).filter(within(reach)).one(db).await?;
    found.map(to_wire).transpose()
}

/// Tokens that an administrator sees: those of their chains and of POS servers in them.
fn within(reach: &Reach) -> SimpleExpr {
    match &reach.chains {
        Chains::All => Expr::val(true).eq(true),
        Chains::Only(chains) => in_chains(chains),
    }
}

fn in_chains(chains: &[ChainId]) -> SimpleExpr {
    let ids = || chains.iter().map(|chain| chain.0);
    let theirs = pos_servers::Entity::find()
        .select_only()
        .column(pos_servers::Column::Id)
        .filter(pos_servers::Column::ChainId.is_in(ids()))
        .into_query();
    Column::ChainId.is_in(ids()).or(Column::PosServerId.in_subquery(theirs))
}

/// The chain in which a token is good.
pub(super) async fn chain_of(db: &impl ConnectionTrait, id: Uuid) -> Result<Option<Uuid>, StoreError> {
    let Some(row) = service_tokens::Entity::find_by_id(id).one(db).await? else { return Ok(None) };
    let Some(pos_server) = row.pos_server_id else { return Ok(row.chain_id) };
    Ok(pos_servers::Entity::find_by_id(pos_server).one(db).await?.map(|row| row.chain_id))
}

/// The tokens that are good for exactly this.
pub(crate) async fn good_for(tx: &WriteTx, scope: TokenScope) -> Result<Vec<ServiceToken>, StoreError> {
    let of = match scope {
        TokenScope::PosServer(id) => Column::PosServerId.eq(id.0),
        TokenScope::Chain(id) => Column::ChainId.eq(id.0),
    };
    let rows =
        service_tokens::Entity::find().filter(of).filter(Column::RevokedAt.is_null()).all(&**tx).await?;
    rows.into_iter().map(to_wire).collect()
}

/// The token that is good and has this name or id.
pub(crate) async fn named(db: &impl ConnectionTrait, text: &str) -> Result<Option<ServiceToken>, StoreError> {
    let mut names = Condition::any().add(Column::Name.eq(text));
    if let Ok(id) = text.parse::<Uuid>() {
        names = names.add(Column::Id.eq(id));
    }
    let found =
        service_tokens::Entity::find().filter(names).filter(Column::RevokedAt.is_null()).one(db).await?;
    found.map(to_wire).transpose()
}

/// Ends a token.
pub(crate) async fn revoke(tx: &WriteTx, id: ServiceTokenId, now: DateTime<Utc>) -> Result<(), StoreError> {
    service_tokens::Entity::update_many()
        .set(service_tokens::ActiveModel { revoked_at: Set(Some(now)), ..Default::default() })
        .filter(Column::Id.eq(id.0))
        .filter(Column::RevokedAt.is_null())
        .exec(&**tx)
        .await?;
    Ok(())
}

/// A token that is good, and the POS server it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entitled {
    /// The token.
    pub(crate) id: ServiceTokenId,
    /// When it was last noted as used.
    pub(crate) last_used_at: Option<DateTime<Utc>>,
    /// Whether the POS server is there and in the token's scope.
    pub(crate) reaches: bool,
}

/// Reads a token with a permission, by its hash, and whether it reaches a POS server, in one statement: relayed
/// requests wait for it.
pub(crate) async fn entitled(
    store: &Store,
    token_hash: &str,
    permission: Permission,
    pos_server: Option<PosServerId>,
) -> Result<Option<Entitled>, StoreError> {
    let token = |column: Column| Expr::col((service_tokens::Entity, column));
    let pos = |column: pos_servers::Column| Expr::col((pos_servers::Entity, column));
    let in_scope = pos(pos_servers::Column::Id)
        .eq(token(Column::PosServerId))
        .or(pos(pos_servers::Column::ChainId).eq(token(Column::ChainId)));
    let asked = pos(pos_servers::Column::Id).eq(pos_server.map_or(Uuid::nil(), |id| id.0));
    let mut query = Query::select();
    query
        .expr_as(token(Column::Id), "token_id")
        .expr_as(token(Column::LastUsedAt), "last_used_at")
        .expr_as(pos(pos_servers::Column::Id), "pos_server_id")
        .from(service_tokens::Entity)
        .join(JoinType::LeftJoin, pos_servers::Entity, asked.and(in_scope))
        .and_where(token(Column::TokenHash).eq(token_hash))
        .and_where(token(Column::Permission).eq(permission.as_str()))
        .and_where(token(Column::RevokedAt).is_null());
    let Some(row) = store.lone().query_one(&query).await? else { return Ok(None) };
    Ok(Some(Entitled {
        id: row.try_get::<Uuid>("", "token_id")?.into(),
        last_used_at: row.try_get("", "last_used_at")?,
        reaches: row.try_get::<Option<Uuid>>("", "pos_server_id")?.is_some(),
    }))
}

/// Notes that a token is in use, unless that was noted a short while ago.
pub(crate) async fn note_use(
    store: &Store,
    id: ServiceTokenId,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let tx = store.write().await?;
    service_tokens::Entity::update_many()
        .set(service_tokens::ActiveModel { last_used_at: Set(Some(now)), ..Default::default() })
        .filter(Column::Id.eq(id.0))
        .filter(Column::LastUsedAt.is_null().or(Column::LastUsedAt.lte(now - USE_NOTED_EVERY)))
        .exec(&*tx)
        .await?;
    tx.commit().await
}

fn to_wire(row: service_tokens::Model) -> Result<ServiceToken, StoreError> {
    let scope = match (row.pos_server_id, row.chain_id) {
        (Some(id), None) => TokenScope::PosServer(id.into()),
        (None, Some(id)) => TokenScope::Chain(id.into()),
        _ => return Err(StoreError::Damaged(format!("the scope of the service token {}", row.id))),
    };
    Ok(ServiceToken {
        id: row.id.into(),
        name: row.name,
        scope,
        permission: from_text(&row.permission)?,
        created_at: row.created_at,
        created_by: row.created_by,
        last_used_at: row.last_used_at,
        revoked_at: row.revoked_at,
    })
}
