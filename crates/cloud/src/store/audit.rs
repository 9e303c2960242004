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

use super::entity::{audit, meta, outlets, pos_servers};
use super::{StoreError, WriteTx, grant, service_token, set_meta, user};
use crate::domain::audit::{CHAIN_ID, Entry, FIRST_PREVIOUS};
use crate::domain::permission::Reach;

/// Adds an entry to the end of the chain. Writes take turns, so that nothing comes between. Where the target
/// lies in a chain of outlets, the detail `chain_id` says in which.
pub(crate) async fn append(tx: &WriteTx, entry: Entry) -> Result<(), StoreError> {
    append_within(&**tx, entry).await
}

/// The same within a savepoint of a write.
pub(crate) async fn append_within<C: ConnectionTrait>(tx: &C, mut entry: Entry) -> Result<(), StoreError> {
    if !entry.details.contains_key(CHAIN_ID)
        && let Some(chain) = chain_of(tx, &entry.target).await?
    {
        entry = entry.in_chain(chain.into());
    }
    let chain_id = chain_id(&entry);
    // The head, not the last entry: where the end was cut off, what follows must not close the gap.
    let Head { seq, hash: previous } = head(tx).await?;
    let seq = seq + 1;
    let hash = entry.hash(seq, &previous);
    set_meta(tx, HEAD, Head { seq, hash: hash.clone() }.to_string()).await?;
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
    audit::Entity::insert(row).exec_without_returning(tx).await?;
    Ok(())
}

/// The key of the head among the facts about this cloud.
const HEAD: &str = "audit_head";

/// The entry with which the trail ends. It is written beside the trail, and people may note it elsewhere: who can
/// write to the database can rewrite all of it, but not what is noted outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its number; 0 before the first.
    pub seq: i64,
    /// Its hash.
    pub hash: String,
}

impl std::fmt::Display for Head {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.seq, self.hash)
    }
}

impl std::str::FromStr for Head {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_hash =
            |hash: &str| hash.len() == 64 && hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let (seq, hash) = text.split_once(':').ok_or("must be NUMBER:HASH")?;
        let seq = seq.parse().ok().filter(|seq| *seq >= 0).ok_or("must begin with the number of an entry")?;
        if !is_hash(hash) {
            return Err("must end with a hash of 64 digits");
        }
        Ok(Self { seq, hash: hash.to_owned() })
    }
}

/// Where the trail ends.
pub(crate) async fn head<C: ConnectionTrait>(db: &C) -> Result<Head, StoreError> {
    let row = meta::Entity::find_by_id(HEAD).one(db).await?;
    let text = row.map(|row| row.value).ok_or_else(|| StoreError::Damaged(HEAD.into()))?;
    text.parse().map_err(|_| StoreError::Damaged(text))
}

fn chain_id(entry: &Entry) -> Option<Uuid> {
    entry.details.get(CHAIN_ID)?.as_str()?.parse().ok()
}

/// The chain in which a target lies, such as `outlet:<id>`.
async fn chain_of<C: ConnectionTrait>(tx: &C, target: &str) -> Result<Option<Uuid>, StoreError> {
    let Some((kind, id)) = target.split_once(':') else { return Ok(None) };
    let Ok(id) = id.parse::<Uuid>() else { return Ok(None) };
    Ok(match kind {
        "chain" => Some(id),
        "outlet" => outlets::Entity::find_by_id(id).one(tx).await?.map(|row| row.chain_id),
        "service_token" => service_token::chain_of(tx, id).await?,
        "pos_server" => pos_servers::Entity::find_by_id(id).one(tx).await?.map(|row| row.chain_id),
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
    /// The first entry that does not fit what comes before it, or what was noted of it.
    BrokenAt(i64),
    /// The last entry that is there. There were more.
    CutOffAfter(i64),
}

/// Walks the chain from its beginning, a batch in memory at a time. `noted` is a head of earlier that was kept
/// outside of the database.
pub(crate) async fn verify(db: &impl ConnectionTrait, noted: Option<&Head>) -> Result<Chain, StoreError> {
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
            if noted.is_some_and(|noted| noted.seq == row.seq && noted.hash != row.hash) {
                return Ok(Chain::BrokenAt(row.seq));
            }
            (seq, previous) = (row.seq, row.hash);
        }
        if last {
            break;
        }
    }
    let head = head(db).await?;
    if head.seq > seq || noted.is_some_and(|noted| noted.seq > seq) {
        return Ok(Chain::CutOffAfter(seq));
    }
    if head.seq < seq {
        // Somebody wrote entries who did not know of the head.
        return Ok(Chain::BrokenAt(head.seq + 1));
    }
    Ok(if head.hash == previous { Chain::Whole(seq as u64) } else { Chain::BrokenAt(seq) })
}

#[cfg(test)]
mod tests {
    use sea_orm::ActiveModelTrait;
    use tempfile::TempDir;

    use super::*;
    use crate::domain::audit::Actor;
    use crate::store::Store;

    async fn trail(entries: u64) -> (TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), None).await.unwrap();
        let tx = store.write().await.unwrap();
        for number in 0..entries {
            let entry = Entry::new(Utc::now(), Actor::System, "job.ended", "pos_server:none");
            append(&tx, entry.with("number", number)).await.unwrap();
        }
        tx.commit().await.unwrap();
        (dir, store)
    }

    /// Changes the trail as somebody would who can write to the database, and checks it.
    async fn after(entries: u64, tamper: impl AsyncFn(&WriteTx)) -> Chain {
        let (_dir, store) = trail(entries).await;
        assert_eq!(verify(&store.read().await.unwrap(), None).await.unwrap(), Chain::Whole(entries));
        let tx = store.write().await.unwrap();
        tamper(&tx).await;
        verify(&*tx, None).await.unwrap()
    }

    async fn remove(tx: &WriteTx, from: i64, to: i64) {
        let between = audit::Column::Seq.between(from, to);
        audit::Entity::delete_many().filter(between).exec(&**tx).await.unwrap();
    }

    async fn get(tx: &WriteTx, seq: i64) -> audit::Model {
        audit::Entity::find_by_id(seq).one(&**tx).await.unwrap().unwrap()
    }

    async fn put(tx: &WriteTx, row: audit::Model) {
        use sea_orm::IntoActiveModel;
        row.into_active_model().reset_all().update(&**tx).await.unwrap();
    }

    #[tokio::test]
    async fn what_was_done_to_the_trail_is_found() {
        assert_eq!(after(0, async |_| {}).await, Chain::Whole(0));
        let changed = after(2500, async |tx| {
            put(tx, audit::Model { actor: "command_line".into(), ..get(tx, 1700).await }).await;
        });
        assert_eq!(changed.await, Chain::BrokenAt(1700), "beyond the first batch");
        assert_eq!(after(9, async |tx| remove(tx, 4, 5).await).await, Chain::BrokenAt(6));
        assert_eq!(after(9, async |tx| remove(tx, 1, 1).await).await, Chain::BrokenAt(2));
        assert_eq!(after(9, async |tx| remove(tx, 8, 9).await).await, Chain::CutOffAfter(7));
        assert_eq!(after(9, async |tx| remove(tx, 1, 9).await).await, Chain::CutOffAfter(0));
        let swapped = after(9, async |tx| {
            let (third, fourth) = (get(tx, 3).await, get(tx, 4).await);
            put(tx, audit::Model { seq: 3, ..fourth }).await;
            put(tx, audit::Model { seq: 4, ..third }).await;
        });
        assert_eq!(swapped.await, Chain::BrokenAt(3));
        // Renumbered so that nothing seems to be missing.
        let closed_up = after(9, async |tx| {
            let last = get(tx, 9).await;
            remove(tx, 8, 9).await;
            audit::Entity::insert(sea_orm::IntoActiveModel::into_active_model(audit::Model {
                seq: 8,
                ..last
            }))
            .exec_without_returning(&**tx)
            .await
            .unwrap();
        });
        assert_eq!(closed_up.await, Chain::BrokenAt(8));
    }

    #[tokio::test]
    async fn what_is_written_after_a_cut_does_not_close_the_gap() {
        let found = after(9, async |tx| {
            remove(tx, 8, 9).await;
            append(tx, Entry::new(Utc::now(), Actor::System, "job.ended", "pos_server:none")).await.unwrap();
        });
        assert_eq!(found.await, Chain::BrokenAt(10));
    }

    #[tokio::test]
    async fn a_trail_that_was_written_anew_does_not_hold_what_was_noted() {
        let (_dir, store) = trail(9).await;
        let db = store.read().await.unwrap();
        let noted = head(&db).await.unwrap();
        assert_eq!(noted.seq, 9);
        assert_eq!(noted.to_string().parse::<Head>().unwrap(), noted);
        assert_eq!(verify(&db, Some(&noted)).await.unwrap(), Chain::Whole(9));
        let (_dir, other) = trail(12).await;
        let db = other.read().await.unwrap();
        assert_eq!(verify(&db, None).await.unwrap(), Chain::Whole(12), "by itself it is without a flaw");
        assert_eq!(verify(&db, Some(&noted)).await.unwrap(), Chain::BrokenAt(9));
        let (_dir, shorter) = trail(5).await;
        let db = shorter.read().await.unwrap();
        assert_eq!(verify(&db, Some(&noted)).await.unwrap(), Chain::CutOffAfter(5));
        for bad in ["", "9", "9:", "x:00", "-1:0000"] {
            assert!(bad.parse::<Head>().is_err(), "{bad}");
        }
    }
}
