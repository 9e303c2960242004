//! Reading a timeline, newest first.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tillwatch_protocol::ids::PosServerId;
use tillwatch_protocol::rest::timeline::{TimelineItem, TimelineKind};

use crate::store::entity::timeline::{self, Column};
use crate::store::{StoreError, from_text, to_text};

/// The kinds whose entries last until the next of their kind.
const STATES: [TimelineKind; 3] = [TimelineKind::Link, TimelineKind::Pos, TimelineKind::Exchange];

/// `from ≤ t < to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Period {
    /// Its beginning.
    pub from: DateTime<Utc>,
    /// Its end, exclusive.
    pub to: DateTime<Utc>,
}

/// Where a page ended: an entry's place in the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cursor {
    at: DateTime<Utc>,
    id: i64,
}

/// A page of the entries of a period, newest first, and where the next one begins. The last page ends with
/// the states that held when the period began, one a kind, so that whoever draws it knows with what to start.
pub(crate) async fn page<C: ConnectionTrait>(
    db: &C,
    id: PosServerId,
    period: Period,
    after: Option<Cursor>,
    limit: u64,
) -> Result<(Vec<TimelineItem>, Option<Cursor>), StoreError> {
    let of_store = || timeline::Entity::find().filter(Column::PosServerId.eq(id.0));
    let mut query = of_store().filter(Column::At.gte(period.from)).filter(Column::At.lt(period.to));
    if let Some(Cursor { at, id }) = after {
        query = query.filter(
            Condition::any()
                .add(Column::At.lt(at))
                .add(Condition::all().add(Column::At.eq(at)).add(Column::Id.lt(id))),
        );
    }
    let mut rows = query.order_by_desc(Column::At).order_by_desc(Column::Id).limit(limit + 1).all(db).await?;
    let more = rows.len() as u64 > limit;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more).map(|row| Cursor { at: row.at, id: row.id });
    if !more {
        for kind in STATES {
            let held = of_store()
                .filter(Column::Kind.eq(to_text(&kind)))
                .filter(Column::At.lt(period.from))
                .order_by_desc(Column::At)
                .order_by_desc(Column::Id)
                .one(db)
                .await?;
            rows.extend(held);
        }
    }
    // When the state began that ends the newest of the page: that lies on the page before, or after the period.
    let mut ends: HashMap<TimelineKind, DateTime<Utc>> = HashMap::new();
    for kind in STATES {
        let Some(newest) = rows.iter().find(|row| row.kind == to_text(&kind)) else { continue };
        let next = of_store()
            .filter(Column::Kind.eq(to_text(&kind)))
            .filter(
                Condition::any()
                    .add(Column::At.gt(newest.at))
                    .add(Condition::all().add(Column::At.eq(newest.at)).add(Column::Id.gt(newest.id))),
            )
            .order_by_asc(Column::At)
            .order_by_asc(Column::Id)
            .one(db)
            .await?;
        ends.extend(next.map(|next| (kind, next.at)));
    }
    let mut lost: Option<DateTime<Utc>> = None;
    if let Some(newest) = rows.first() {
        let next = of_store()
            .filter(Column::Kind.eq(to_text(&TimelineKind::Link)))
            .filter(Column::Code.ne("online"))
            .filter(Column::At.gte(newest.at))
            .order_by_asc(Column::At)
            .one(db)
            .await?;
        lost = next.map(|next| next.at);
    }
    let mut items = Vec::with_capacity(rows.len());
    for row in rows {
        let kind: TimelineKind = from_text(&row.kind)?;
        let until = match kind {
            TimelineKind::Link | TimelineKind::Exchange => ends.insert(kind, row.at),
            // Nobody sees the POS server of a store whose link is down.
            TimelineKind::Pos => ends.insert(kind, row.at).into_iter().chain(lost).min(),
            TimelineKind::Day => Some(row.at + TimeDelta::days(1)),
            TimelineKind::Version | TimelineKind::Database | TimelineKind::Job | TimelineKind::Identity => {
                None
            }
        };
        if kind == TimelineKind::Link && row.code != "online" {
            lost = Some(row.at);
        }
        let params = match row.params {
            Value::Object(params) => params,
            _ => serde_json::Map::new(),
        };
        items.push(TimelineItem { at: row.at, until, kind, code: row.code, params });
    }
    Ok((items, next))
}
