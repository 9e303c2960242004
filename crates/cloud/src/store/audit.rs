//! Audit entries: only ever added, in the transaction of what they tell of.

use sea_orm::{EntityTrait, QueryOrder, Set};

use super::entity::audit;
use super::{StoreError, WriteTx};
use crate::domain::audit::{Entry, FIRST_PREVIOUS};

/// Adds an entry to the end of the chain. Writes take turns, so that nothing comes between.
pub(crate) async fn append(tx: &WriteTx, entry: Entry) -> Result<(), StoreError> {
    let last = audit::Entity::find().order_by_desc(audit::Column::Seq).one(&**tx).await?;
    let (seq, previous) = last.map_or((1, FIRST_PREVIOUS.to_owned()), |last| (last.seq + 1, last.hash));
    let hash = entry.hash(seq, &previous);
    let row = audit::ActiveModel {
        seq: Set(seq),
        at: Set(entry.at),
        actor: Set(entry.actor),
        action: Set(entry.action),
        target: Set(entry.target),
        details: Set(serde_json::Value::Object(entry.details)),
        previous_hash: Set(previous),
        hash: Set(hash),
    };
    audit::Entity::insert(row).exec_without_returning(&**tx).await?;
    Ok(())
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
pub(crate) async fn verify(db: &impl sea_orm::ConnectionTrait) -> Result<Chain, StoreError> {
    const BATCH: u64 = 1000;
    use sea_orm::{ColumnTrait, QueryFilter, QuerySelect};
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
            let serde_json::Value::Object(details) = row.details else {
                return Ok(Chain::BrokenAt(row.seq));
            };
            let entry =
                Entry { at: row.at, actor: row.actor, action: row.action, target: row.target, details };
            if row.seq != seq + 1
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
