//! What happened longer ago than is told becomes sums by day, a few stores at a time.

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use sea_orm::sea_query::OnConflict;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Set};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tillwatch_protocol::rest::pos_server::LinkState;
use tillwatch_protocol::rest::timeline::{KEPT_DAYS, TimelineKind};
use uuid::Uuid;

use crate::store::entity::timeline::{self, Column};
use crate::store::entity::{meta, pos_servers};
use crate::store::{StoreError, to_text};

/// How long the sums of a day are kept.
const SUMS_KEPT: TimeDelta = TimeDelta::days(2 * 365);
/// How many stores one transaction thins: other writes wait that long for their turn.
const STORES: u64 = 100;
/// Where the work stands, in [`meta`].
const PROGRESS: &str = "timeline_thinned";

/// How far the work is: this day, up to this store.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Progress {
    day: NaiveDate,
    store: Uuid,
}

/// Does a little of the work, in a write of its own; tells whether there is more to do now. Any number of
/// nodes may do so in turn.
pub(crate) async fn thin<C: ConnectionTrait>(tx: &C, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let Some(Progress { day, store }) = progress(tx).await? else { return Ok(false) };
    if day >= (now - TimeDelta::days(KEPT_DAYS)).date_naive() {
        return Ok(false);
    }
    let ids: Vec<Uuid> = pos_servers::Entity::find()
        .select_only()
        .column(pos_servers::Column::Id)
        .filter(pos_servers::Column::Id.gt(store))
        .order_by_asc(pos_servers::Column::Id)
        .limit(STORES)
        .into_tuple()
        .all(tx)
        .await?;
    let next = match ids.last() {
        Some(last) => Progress { day, store: *last },
        None => Progress { day: day + TimeDelta::days(1), store: Uuid::nil() },
    };
    thin_day(tx, day, &ids).await?;
    timeline::Entity::delete_many()
        .filter(Column::PosServerId.is_in(ids))
        .filter(Column::Kind.eq(to_text(&TimelineKind::Day)))
        .filter(Column::At.lt(now - SUMS_KEPT))
        .exec(tx)
        .await?;
    let row = meta::ActiveModel { key: Set(PROGRESS.into()), value: Set(json!(next).to_string()) };
    let replace = OnConflict::column(meta::Column::Key).update_column(meta::Column::Value).to_owned();
    meta::Entity::insert(row).on_conflict(replace).exec_without_returning(tx).await?;
    Ok(true)
}

/// Where the work goes on, or begins: at the oldest entry there is.
async fn progress<C: ConnectionTrait>(tx: &C) -> Result<Option<Progress>, StoreError> {
    if let Some(row) = meta::Entity::find_by_id(PROGRESS).one(tx).await? {
        return serde_json::from_str(&row.value).map(Some).map_err(|_| StoreError::Damaged(row.value));
    }
    let oldest = timeline::Entity::find().order_by_asc(Column::Id).one(tx).await?;
    Ok(oldest.map(|oldest| Progress { day: oldest.at.date_naive(), store: Uuid::nil() }))
}

/// Replaces what some stores told of a day by its sums. The last entry of each state stays: it says how the
/// next day began.
async fn thin_day<C: ConnectionTrait>(tx: &C, day: NaiveDate, ids: &[Uuid]) -> Result<(), StoreError> {
    let start = day.and_time(NaiveTime::MIN).and_utc();
    let end = start + TimeDelta::days(1);
    let rows = timeline::Entity::find()
        .filter(Column::PosServerId.is_in(ids.iter().copied()))
        .filter(Column::At.lt(end))
        .filter(Column::Kind.ne(to_text(&TimelineKind::Day)))
        .order_by_asc(Column::PosServerId)
        .order_by_asc(Column::At)
        .order_by_asc(Column::Id)
        .all(tx)
        .await?;
    let mut sums = Vec::new();
    let mut gone = Vec::new();
    for of_store in rows.chunk_by(|one, other| one.pos_server_id == other.pos_server_id) {
        if let Some(params) = sum(of_store, start, end) {
            sums.push(timeline::ActiveModel {
                pos_server_id: Set(of_store[0].pos_server_id),
                at: Set(start),
                kind: Set(to_text(&TimelineKind::Day)),
                code: Set("sums".into()),
                params: Set(params),
                ..Default::default()
            });
        }
        let states =
            [TimelineKind::Link, TimelineKind::Pos, TimelineKind::Exchange].map(|kind| to_text(&kind));
        let kept = states.map(|kind| of_store.iter().rev().find(|row| row.kind == kind).map(|row| row.id));
        gone.extend(of_store.iter().map(|row| row.id).filter(|id| !kept.contains(&Some(*id))));
    }
    for chunk in gone.chunks(1000) {
        timeline::Entity::delete_many().filter(Column::Id.is_in(chunk.iter().copied())).exec(tx).await?;
    }
    if !sums.is_empty() {
        timeline::Entity::insert_many(sums).exec_without_returning(tx).await?;
    }
    Ok(())
}

/// The sums of a day from a store's entries until its end, oldest first; nothing for a day without trouble.
fn sum(rows: &[timeline::Model], start: DateTime<Utc>, end: DateTime<Utc>) -> Option<serde_json::Value> {
    let (offline, unknown) = (to_text(&LinkState::Offline), to_text(&LinkState::Unknown));
    let links: Vec<_> = rows.iter().filter(|row| row.kind == to_text(&TimelineKind::Link)).collect();
    let (mut offline_time, mut unknown_time) = (TimeDelta::zero(), TimeDelta::zero());
    for (index, link) in links.iter().enumerate() {
        let until = links.get(index + 1).map_or(end, |next| next.at);
        let time = (until - link.at.max(start)).max(TimeDelta::zero());
        if link.code == offline {
            offline_time += time;
        } else if link.code == unknown {
            unknown_time += time;
        }
    }
    let outages = links.iter().filter(|link| link.code == offline && link.at >= start).count();
    let changes = rows.iter().filter(|row| row.at >= start).count();
    if changes == 0 && offline_time.is_zero() && unknown_time.is_zero() {
        return None;
    }
    Some(json!({
        "offline_seconds": offline_time.num_seconds(),
        "unknown_seconds": unknown_time.num_seconds(),
        "outages": outages,
        "changes": changes,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: i64, at: DateTime<Utc>, kind: &str, code: &str) -> timeline::Model {
        let (pos_server_id, params) = (Uuid::nil(), json!({}));
        timeline::Model { id, pos_server_id, at, kind: kind.into(), code: code.into(), params }
    }

    #[test]
    fn a_day_is_summed_with_what_held_before_it_began() {
        let start = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
        let end = start + TimeDelta::days(1);
        let at = |hours: i64| start + TimeDelta::hours(hours);
        let down_since_last_week = row(1, at(-100), "link", "offline");
        let whole_day = sum(std::slice::from_ref(&down_since_last_week), start, end).unwrap();
        assert_eq!(
            whole_day,
            json!({"offline_seconds": 86_400, "unknown_seconds": 0, "outages": 0, "changes": 0})
        );
        let rows = [
            down_since_last_week,
            row(2, at(2), "link", "online"),
            row(3, at(2), "pos", "running"),
            row(4, at(10), "link", "unknown"),
            row(5, at(11), "link", "online"),
            row(6, at(23), "link", "offline"),
        ];
        assert_eq!(
            sum(&rows, start, end).unwrap(),
            json!({"offline_seconds": 3 * 3600, "unknown_seconds": 3600, "outages": 1, "changes": 5})
        );
        assert_eq!(sum(&[row(1, at(-3), "link", "online")], start, end), None);
    }
}
