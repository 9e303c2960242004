//! Audit entries: only ever added, in the transaction of what they tell of.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Set,
};
use serde_json::Value;
use tillwatch_protocol::ids::ChainId;
use tillwatch_protocol::rest::admin::AuditEntry;
use uuid::Uuid;

use super::entity::{audit, outlets, pos_servers};
use super::{StoreError, WriteTx, grant, user};
use crate::domain::audit::{Entry, FIRST_PREVIOUS};
use crate::domain::permission::Reach;

/// Adds an entry to the end of the chain. Writes take turns, so that nothing comes between. Where the target
/// lies in a chain of outlets, the detail `chain_id` says in which.
pub(crate) async fn append(tx: &WriteTx, mut entry: Entry) -> Result<(), StoreError> {
    if !entry.details.contains_key(CHAIN_ID)
        && let Some(chain) = chain_of(tx, &entry.target).await?
    {
        entry = entry.with(CHAIN_ID, chain.to_string());
    }
    let chain_id = chain_id(&entry);
    let last = audit::Entity::find().order_by_desc(audit::Column::Seq).one(&**tx).await?;
    let (seq, previous) = last.map_or((1, FIRST_PREVIOUS.to_owned()), |last| (last.seq + 1, last.hash));
    let hash = entry.hash(seq, &previous);
    let row = audit::ActiveModel {
        seq: Set(seq),
        at: Set(entry.at),
        actor: Set(entry.actor),
        action: Set(entry.action),
        target: Set(entry.target),
        details: Set(Value::Object(entry.details)),
        previous_hash: Set(previous),
        hash: Set(hash),
        chain_id: Set(chain_id),
    };
    audit::Entity::insert(row).exec_without_returning(&**tx).await?;
    Ok(())
}

/// The detail that says in which chain of outlets something was done.
const CHAIN_ID: &str = "chain_id";

fn chain_id(entry: &Entry) -> Option<Uuid> {
    entry.details.get(CHAIN_ID)?.as_str()?.parse().ok()
}

/// The chain in which a target lies, such as `outlet:<id>`.
async fn chain_of(tx: &WriteTx, target: &str) -> Result<Option<Uuid>, StoreError> {
    let Some((kind, id)) = target.split_once(':') else { return Ok(None) };
    let Ok(id) = id.parse::<Uuid>() else { return Ok(None) };
    Ok(match kind {
        "chain" => Some(id),
        "outlet" => outlets::Entity::find_by_id(id).one(&**tx).await?.map(|row| row.chain_id),
        "pos_server" => pos_servers::Entity::find_by_id(id).one(&**tx).await?.map(|row| row.chain_id),
        _ => None,
    })
}

/// What a list of entries is narrowed down to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    pub(crate) chain_id: Option<ChainId>,
    pub(crate) actor: Option<String>,
    pub(crate) action: Option<String>,
    pub(crate) target: Option<String>,
    /// Of then or later.
    pub(crate) from: Option<DateTime<Utc>>,
    /// Before then.
    pub(crate) to: Option<DateTime<Utc>>,
    /// Only older than this one.
    pub(crate) before: Option<i64>,
}

/// Entries within reach, newest first. Those of no chain are for who administers everything.
pub(crate) async fn list(
    db: &impl ConnectionTrait,
    reach: &Reach,
    filter: &Filter,
    limit: u64,
) -> Result<Vec<AuditEntry>, StoreError> {
    let mut query = audit::Entity::find();
    if !reach.is_everything() {
        query = query
            .filter(audit::Column::ChainId.is_not_null())
            .filter(grant::within(reach, Expr::col((audit::Entity, audit::Column::ChainId))));
    }
    let condition = Condition::all()
        .add_option(filter.chain_id.map(|id| audit::Column::ChainId.eq(id.0)))
        .add_option(filter.actor.as_ref().map(|actor| audit::Column::Actor.eq(actor)))
        .add_option(filter.action.as_ref().map(|action| audit::Column::Action.eq(action)))
        .add_option(filter.target.as_ref().map(|target| audit::Column::Target.eq(target)))
        .add_option(filter.from.map(|from| audit::Column::At.gte(from)))
        .add_option(filter.to.map(|to| audit::Column::At.lt(to)))
        .add_option(filter.before.map(|before| audit::Column::Seq.lt(before)));
    let rows = query.filter(condition).order_by_desc(audit::Column::Seq).limit(limit).all(db).await?;
    let user_of = |actor: &str| actor.strip_prefix("user:")?.parse::<Uuid>().ok();
    let users: BTreeSet<Uuid> = rows.iter().filter_map(|row| user_of(&row.actor)).collect();
    let names = user::names(db, users).await?;
    rows.into_iter()
        .map(|row| {
            let Value::Object(details) = row.details else {
                return Err(StoreError::Damaged(format!("details of audit entry {}", row.seq)));
            };
            Ok(AuditEntry {
                seq: row.seq,
                at: row.at,
                actor_name: user_of(&row.actor).and_then(|id| names.get(&id).cloned()),
                actor: row.actor,
                action: row.action,
                target: row.target,
                chain_id: row.chain_id.map(ChainId::from),
                details,
                hash: row.hash,
            })
        })
        .collect()
}

/// How the chain of hashes stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chain {
    /// Every entry fits, and so many there are.
    Whole(u64),
    /// The first entry that does not fit what comes before it.
    BrokenAt(i64),
}

/// Walks the chain from its beginning.
pub(crate) async fn verify(db: &impl ConnectionTrait) -> Result<Chain, StoreError> {
    const BATCH: u64 = 1000;
    let (mut seq, mut previous) = (0_i64, FIRST_PREVIOUS.to_owned());
    loop {
        let rows = audit::Entity::find()
            .filter(audit::Column::Seq.gt(seq))
            .order_by_asc(audit::Column::Seq)
            .limit(BATCH)
            .all(db)
            .await?;
        let last = (rows.len() as u64) < BATCH;
        for row in rows {
            let Value::Object(details) = row.details else {
                return Ok(Chain::BrokenAt(row.seq));
            };
            let entry =
                Entry { at: row.at, actor: row.actor, action: row.action, target: row.target, details };
            // The column must say what the entry says. Entries made before the column have neither.
            if row.seq != seq + 1
                || row.chain_id != chain_id(&entry)
                || row.previous_hash != previous
                || entry.hash(row.seq, &previous) != row.hash
            {
                return Ok(Chain::BrokenAt(row.seq));
            }
            (seq, previous) = (row.seq, row.hash);
        }
        if last {
            return Ok(Chain::Whole(seq as u64));
        }
    }
}
