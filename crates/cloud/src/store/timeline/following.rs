//! Statuses before and after a write.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sea_orm::ConnectionTrait;
use sea_orm::sea_query::{Expr, ExprTrait, Query};
use serde::Deserialize;
use serde_json::Value;
use tillwatch_protocol::ids::PosServerId;
use tillwatch_protocol::report::ExchangeError;
use uuid::Uuid;

use super::{CHUNK, append};
use crate::domain::timeline::{Facts, told};
use crate::store::entity::pos_servers::{self, Column};
use crate::store::packed::Packed;
use crate::store::{StoreError, from_text};

/// Stores about to be written to, as they are before.
#[derive(Debug)]
pub(crate) struct Following {
    /// In the order in which the database holds stores: their entries lie on fewer pages then.
    before: BTreeMap<Uuid, Facts>,
}

impl Following {
    /// Reads what is known of the stores before a write.
    pub(crate) async fn begin<C: ConnectionTrait>(tx: &C, ids: Vec<PosServerId>) -> Result<Self, StoreError> {
        let mut ids: Vec<Uuid> = ids.into_iter().map(|id| id.0).collect();
        ids.sort_unstable();
        ids.dedup();
        Ok(Self { before: facts(tx, &ids).await? })
    }

    /// Reads what is known after it, in the same transaction, and adds what changed to the timelines.
    pub(crate) async fn end<C: ConnectionTrait>(self, tx: &C, now: DateTime<Utc>) -> Result<(), StoreError> {
        let ids: Vec<Uuid> = self.before.keys().copied().collect();
        let after = facts(tx, &ids).await?;
        let mut entries = Vec::new();
        for (id, before) in &self.before {
            let Some(after) = after.get(id) else { continue };
            entries.extend(told(before, after, now).into_iter().map(|entry| (PosServerId(*id), entry)));
        }
        append(tx, entries, now).await
    }
}

/// The columns of [`Facts`].
#[derive(Debug, Deserialize)]
struct Row {
    id: Uuid,
    link_state: String,
    link_since: Option<DateTime<Utc>>,
    cause: Option<String>,
    confidence: Option<String>,
    evidence: Value,
    pos_state: String,
    pos_version: Option<String>,
    connector_version: Option<String>,
    error_code: Option<String>,
    error_message: Option<String>,
    error_since: Option<DateTime<Utc>>,
    generation: Option<i64>,
}

async fn facts<C: ConnectionTrait>(tx: &C, ids: &[Uuid]) -> Result<BTreeMap<Uuid, Facts>, StoreError> {
    let mut facts = BTreeMap::new();
    for chunk in ids.chunks(CHUNK) {
        let mut query = Query::select();
        query.from(pos_servers::Entity).and_where(Expr::col(Column::Id).is_in(chunk.iter().copied()));
        let rows: Vec<Row> = Packed::on(tx)
            .columns([Column::Id, Column::LinkState, Column::LinkSince, Column::Cause, Column::Confidence])
            .columns([Column::Evidence, Column::PosState, Column::PosVersion, Column::ConnectorVersion])
            .columns([Column::ErrorCode, Column::ErrorMessage, Column::ErrorSince, Column::Generation])
            .rows(tx, query)
            .await?;
        for row in rows {
            let id = row.id;
            match read(row) {
                Ok(read) => drop(facts.insert(id, read)),
                // One damaged row must not keep others from being written.
                Err(error) => tracing::error!(pos_server = %id, %error, "a status can't be followed"),
            }
        }
    }
    Ok(facts)
}

fn read(row: Row) -> Result<Facts, StoreError> {
    let error = match (row.error_code, row.error_since) {
        (Some(code), Some(since)) => Some(ExchangeError {
            code,
            message: row.error_message.unwrap_or_default(),
            since,
            consecutive_failures: 1,
        }),
        _ => None,
    };
    Ok(Facts {
        link: from_text(&row.link_state)?,
        link_since: row.link_since,
        cause: row.cause.as_deref().map(from_text).transpose()?,
        confidence: row.confidence.as_deref().map(from_text).transpose()?,
        evidence: serde_json::from_value(row.evidence).unwrap_or_default(),
        pos: from_text(&row.pos_state)?,
        pos_version: row.pos_version,
        connector_version: row.connector_version,
        error,
        generation: row.generation,
    })
}
