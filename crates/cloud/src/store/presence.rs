//! What stores tell of themselves: links, reports, signs of life. Each write names the session epoch that it
//! belongs to, so that what an old session still says never overwrites what a newer one said.

#[cfg(test)]
mod fencing;
mod reports;

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect, QueryTrait, Set,
};
use serde_json::json;
use tillwatch_protocol::ids::{BootId, DeviceId, PosServerId};
use tillwatch_protocol::link::frame::Hello;
use tillwatch_protocol::rest::pos_server::{Link, LinkState, OfflineCause, PosState};
use uuid::Uuid;

use crate::domain::hindsight::{Outage, looking_back};
use crate::domain::pos_server::version_key;
use crate::domain::presence::{self, Presence};
use crate::domain::timeline::offline;
use crate::store::entity::{devices, nodes, outlets, pos_servers};
use crate::store::timeline::Following;
use crate::store::{StoreError, backup, from_text, outage, timeline, to_text};

pub(crate) use reports::{Told, reports};

use reports::report_columns;

/// The longest text of a store's that is kept as it came, in characters.
const MAX_TEXT: usize = 2000;
/// The longest code or version of a store's, in characters.
const MAX_WORD: usize = 64;
/// How many ids one statement names.
const CHUNK: usize = 500;

/// A session that may begin.
#[derive(Debug)]
pub(crate) struct Begun {
    /// The number that orders sessions.
    pub epoch: i64,
    /// The node that held the session before, if there was one.
    pub before_on: Option<Uuid>,
    /// The outlet's time zone.
    pub time_zone: Option<String>,
}

/// Who comes where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// The node.
    pub node: Uuid,
    /// The store's identity.
    pub device: DeviceId,
    /// The POS server that it serves.
    pub id: PosServerId,
}

/// Begins a session on a node: gives it the next epoch and writes what its hello said. `presence` says what the
/// link is from now on. Nothing when the identity was revoked or the POS server removed meanwhile.
pub(crate) async fn begin<C: ConnectionTrait>(
    tx: &C,
    Arrival { node, device, id }: Arrival,
    hello: &Hello,
    presence: &Presence,
    now: DateTime<Utc>,
    revision: i64,
) -> Result<Option<Begun>, StoreError> {
    let valid = devices::Entity::find_by_id(device.0)
        .filter(devices::Column::RevokedAt.is_null())
        .filter(devices::Column::PosServerId.eq(id.0))
        .one(tx)
        .await?;
    if valid.is_none() {
        return Ok(None);
    }
    let Some(before) = pos_servers::Entity::find_by_id(id.0).one(tx).await? else { return Ok(None) };
    let epoch = before.session_epoch + 1;
    let boots = outage::follow_boots(tx, id, before.boot_id, hello.boot_id, now).await?;
    let mut row = link_columns(presence);
    if presence.state == LinkState::Online
        && let Some(evidence) = boots.evidence(hello.boot_id, now)
    {
        row.evidence = Set(json!([evidence]));
    }
    if before.link_state != to_text(&presence.state) {
        row.link_since = Set(Some(now));
    }
    row.session_epoch = Set(epoch);
    row.node_id = Set((presence.state == LinkState::Online).then_some(node));
    row.last_seen_at = Set(Some(now));
    row.boot_id = Set(Some(hello.boot_id.0));
    let connector_version = clip(&hello.connector_version, MAX_WORD);
    row.connector_version_key = Set(version_key(&connector_version));
    row.connector_version = Set(Some(connector_version));
    row.pos_state = Set(to_text(&PosState::Unknown));
    if let Some(report) = &hello.report {
        report_columns(&mut row, report, now);
    }
    if presence.state != LinkState::Online {
        row.pos_state = Set(to_text(&PosState::Unknown));
    }
    row.revision = Set(revision);
    let written = pos_servers::Entity::update_many()
        .set(row)
        .filter(pos_servers::Column::Id.eq(id.0))
        .filter(pos_servers::Column::SessionEpoch.eq(before.session_epoch))
        .exec(tx)
        .await?;
    if written.rows_affected != 1 {
        return Ok(None);
    }
    if presence.state == LinkState::Online {
        look_back(tx, &before, hello, now).await?;
    }
    if let Some(told) = hello.report.as_ref().and_then(|report| report.report.database.backups.as_ref()) {
        backup::tell(tx, id, told, now).await?;
    }
    let outlet = outlets::Entity::find_by_id(before.outlet_id).one(tx).await?;
    Ok(Some(Begun { epoch, before_on: before.node_id, time_zone: outlet.map(|outlet| outlet.time_zone) }))
}

/// Tells anew why a store was away, now that it is back and says since when it runs.
async fn look_back<C: ConnectionTrait>(
    tx: &C,
    before: &pos_servers::Model,
    hello: &Hello,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let Link { state: LinkState::Offline, since, last_seen_at, cause, confidence, evidence, .. } =
        link(before)?
    else {
        return Ok(());
    };
    let (Some(since), Some(heard_at), Some(cause), Some(confidence), Some(boot_id)) =
        (since, last_seen_at, cause, confidence, before.boot_id)
    else {
        return Ok(());
    };
    let outage = Outage { cause, confidence, evidence, heard_at, boot_id: BootId(boot_id) };
    let Some(corrected) = looking_back(&outage, hello, now) else { return Ok(()) };
    let truth = corrected.cause.unwrap_or(cause);
    let mut params = offline(truth, corrected.confidence, &corrected.evidence);
    if truth != cause {
        params["first_cause"] = json!(cause);
    }
    timeline::amend(tx, PosServerId(before.id), since, params).await
}

/// Writes how a session ended that was last heard at `heard_at`, unless a newer one has begun.
pub(crate) async fn end<C: ConnectionTrait>(
    tx: &C,
    id: PosServerId,
    epoch: i64,
    presence: &Presence,
    now: DateTime<Utc>,
    heard_at: DateTime<Utc>,
    revision: i64,
) -> Result<(), StoreError> {
    let mut row = link_columns(presence);
    row.node_id = Set(None);
    row.link_since = Set(Some(now));
    row.last_seen_at = Set(Some(heard_at));
    // Nobody is there to ask it.
    row.pos_state = Set(to_text(&PosState::Unknown));
    row.revision = Set(revision);
    pos_servers::Entity::update_many()
        .set(row)
        .filter(pos_servers::Column::Id.eq(id.0))
        .filter(pos_servers::Column::SessionEpoch.eq(epoch))
        .filter(pos_servers::Column::LinkState.eq(to_text(&LinkState::Online)))
        .exec(tx)
        .await?;
    Ok(())
}

/// Writes that the identity of a POS server was revoked, where it is not here to be told. The end of a link
/// that is up says so by itself.
pub(crate) async fn revoked<C: ConnectionTrait>(
    tx: &C,
    id: PosServerId,
    now: DateTime<Utc>,
    revision: i64,
) -> Result<(), StoreError> {
    let Some(presence) = presence::after(&presence::End::Revoked, now) else { return Ok(()) };
    let following = Following::begin(tx, vec![id]).await?;
    let mut row = link_columns(&presence);
    row.revision = Set(revision);
    pos_servers::Entity::update_many()
        .set(row)
        .filter(pos_servers::Column::Id.eq(id.0))
        .filter(pos_servers::Column::LinkState.eq(to_text(&LinkState::Offline)))
        .exec(tx)
        .await?;
    following.end(tx, now).await
}

/// Of these stores those whose POS server is in another state once [`alive`] is written.
pub(crate) async fn changed_by_alive<C: ConnectionTrait>(
    tx: &C,
    ids: &[PosServerId],
    pos_answers: bool,
) -> Result<Vec<PosServerId>, StoreError> {
    let as_told =
        if pos_answers { vec![PosState::Running] } else { vec![PosState::NotResponding, PosState::Stopped] };
    let mut changed = Vec::new();
    for chunk in ids.chunks(CHUNK) {
        let ids: Vec<Uuid> = pos_servers::Entity::find()
            .select_only()
            .column(pos_servers::Column::Id)
            .filter(pos_servers::Column::Id.is_in(chunk.iter().map(|id| id.0)))
            .filter(pos_servers::Column::PosState.is_not_in(as_told.iter().map(to_text)))
            .into_tuple()
            .all(tx)
            .await?;
        changed.extend(ids.into_iter().map(PosServerId));
    }
    Ok(changed)
}

/// Writes signs of life: of stores whose POS server answers, or of such where it does not.
pub(crate) async fn alive<C: ConnectionTrait>(
    tx: &C,
    ids: &[PosServerId],
    pos_answers: bool,
    now: DateTime<Utc>,
    revision: i64,
) -> Result<(), StoreError> {
    for chunk in ids.chunks(CHUNK) {
        let ids: Vec<Uuid> = chunk.iter().map(|id| id.0).collect();
        let mut row = pos_servers::ActiveModel {
            last_seen_at: Set(Some(now)),
            revision: Set(revision),
            ..Default::default()
        };
        if pos_answers {
            row.last_report_at = Set(Some(now));
            row.pos_state = Set(to_text(&PosState::Running));
        }
        let online = pos_servers::Column::LinkState.eq(to_text(&LinkState::Online));
        pos_servers::Entity::update_many()
            .set(row)
            .filter(pos_servers::Column::Id.is_in(ids.clone()))
            .filter(online.clone())
            .exec(tx)
            .await?;
        if !pos_answers {
            // One that is known to be stopped stays so: that says more.
            pos_servers::Entity::update_many()
                .col_expr(pos_servers::Column::PosState, Expr::value(to_text(&PosState::NotResponding)))
                .filter(pos_servers::Column::Id.is_in(ids))
                .filter(online)
                .filter(pos_servers::Column::PosState.ne(to_text(&PosState::Stopped)))
                .exec(tx)
                .await?;
        }
    }
    Ok(())
}

/// What was online on a node that is no more is unknown until it comes back.
pub(crate) async fn forget_online<C: ConnectionTrait>(
    tx: &C,
    now: DateTime<Utc>,
    revision: i64,
) -> Result<u64, StoreError> {
    let alive = nodes::Entity::find().select_only().column(nodes::Column::Id).into_query();
    let held_by_nobody = Condition::any()
        .add(pos_servers::Column::NodeId.is_null())
        .add(pos_servers::Column::NodeId.not_in_subquery(alive));
    let gone = Condition::all()
        .add(pos_servers::Column::LinkState.eq(to_text(&LinkState::Online)))
        .add(held_by_nobody);
    change_all(tx, gone, &Presence::unknown(), now, revision).await
}

/// Whether stores have been unknown since this time or longer.
pub(crate) async fn has_unknown<C: ConnectionTrait>(
    conn: &C,
    since: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let one: Option<Uuid> = pos_servers::Entity::find()
        .select_only()
        .column(pos_servers::Column::Id)
        .filter(unknown_since(since))
        .into_tuple()
        .one(conn)
        .await?;
    Ok(one.is_some())
}

/// Stores that had time to come back, as they have been unknown since then or longer, are offline.
pub(crate) async fn give_up_unknown<C: ConnectionTrait>(
    tx: &C,
    since: DateTime<Utc>,
    now: DateTime<Utc>,
    revision: i64,
) -> Result<u64, StoreError> {
    change_all(tx, unknown_since(since), &Presence::not_back_after_restart(now), now, revision).await
}

fn unknown_since(since: DateTime<Utc>) -> Condition {
    Condition::all()
        .add(pos_servers::Column::LinkState.eq(to_text(&LinkState::Unknown)))
        .add(pos_servers::Column::LinkSince.lte(since))
}

async fn change_all<C: ConnectionTrait>(
    tx: &C,
    which: Condition,
    presence: &Presence,
    now: DateTime<Utc>,
    revision: i64,
) -> Result<u64, StoreError> {
    let ids: Vec<Uuid> = pos_servers::Entity::find()
        .select_only()
        .column(pos_servers::Column::Id)
        .filter(which.clone())
        .into_tuple()
        .all(tx)
        .await?;
    let count = ids.len() as u64;
    let following = Following::begin(tx, ids.into_iter().map(PosServerId).collect()).await?;
    let mut row = link_columns(presence);
    row.node_id = Set(None);
    row.link_since = Set(Some(now));
    row.pos_state = Set(to_text(&PosState::Unknown));
    row.revision = Set(revision);
    pos_servers::Entity::update_many().set(row).filter(which).exec(tx).await?;
    following.end(tx, now).await?;
    Ok(count)
}

/// The sessions that a node holds, with their epochs.
pub(crate) async fn held_by<C: ConnectionTrait>(
    conn: &C,
    node: Uuid,
) -> Result<HashMap<PosServerId, i64>, StoreError> {
    let rows: Vec<(Uuid, i64)> = pos_servers::Entity::find()
        .select_only()
        .columns([pos_servers::Column::Id, pos_servers::Column::SessionEpoch])
        .filter(pos_servers::Column::NodeId.eq(node))
        .into_tuple()
        .all(conn)
        .await?;
    Ok(rows.into_iter().map(|(id, epoch)| (id.into(), epoch)).collect())
}

/// The node that holds a POS server's session.
pub(crate) async fn node_of<C: ConnectionTrait>(
    conn: &C,
    id: PosServerId,
) -> Result<Option<Uuid>, StoreError> {
    let row = pos_servers::Entity::find_by_id(id.0).one(conn).await?;
    Ok(row.and_then(|row| row.node_id))
}

/// The epoch of a POS server's last session; none when the POS server is gone.
pub(crate) async fn newest_epoch<C: ConnectionTrait>(
    conn: &C,
    id: PosServerId,
) -> Result<Option<i64>, StoreError> {
    let row = pos_servers::Entity::find_by_id(id.0).one(conn).await?;
    Ok(row.map(|row| row.session_epoch))
}

/// Writes that a store was heard over HTTPS. A link that is down all the same is probably blocked.
pub(crate) async fn heartbeat<C: ConnectionTrait>(
    tx: &C,
    id: PosServerId,
    connector_version: &str,
    pos_answers: bool,
    now: DateTime<Utc>,
    revision: i64,
) -> Result<(), StoreError> {
    let Some(before) = pos_servers::Entity::find_by_id(id.0).one(tx).await? else { return Ok(()) };
    let connector_version = clip(connector_version, MAX_WORD);
    let mut row = pos_servers::ActiveModel {
        last_seen_at: Set(Some(now)),
        connector_version_key: Set(version_key(&connector_version)),
        connector_version: Set(Some(connector_version)),
        revision: Set(revision),
        ..Default::default()
    };
    let known = [OfflineCause::VersionUnsupported, OfflineCause::CredentialsRevoked]
        .map(|cause| Some(to_text(&cause)));
    let never = before.link_state == to_text(&LinkState::NeverConnected);
    if never || before.link_state == to_text(&LinkState::Offline) {
        // What can't be read any more is not worth more than what is heard now.
        let evidence: Vec<_> = serde_json::from_value(before.evidence).unwrap_or_default();
        let blocked = presence::is_blocked(before.link_since, &evidence, now);
        let params = json!({ "pos_answers": pos_answers });
        let heard = presence::evidence(presence::HTTPS_HEARTBEAT, now, params);
        row.evidence = Set(json!(presence::with_evidence(&evidence, heard)));
        if blocked && !known.contains(&before.cause) {
            let blocked = Presence::websocket_blocked();
            if never {
                row.link_state = Set(to_text(&blocked.state));
                row.link_since = Set(Some(now));
            }
            row.cause = Set(blocked.cause.map(|word| to_text(&word)));
            row.confidence = Set(blocked.confidence.map(|word| to_text(&word)));
        }
    }
    pos_servers::Entity::update_many()
        .set(row)
        .filter(pos_servers::Column::Id.eq(id.0))
        .filter(pos_servers::Column::SessionEpoch.eq(before.session_epoch))
        .exec(tx)
        .await?;
    Ok(())
}

/// The link of a POS server as REST tells it.
pub(crate) fn link(row: &pos_servers::Model) -> Result<Link, StoreError> {
    Ok(Link {
        state: from_text(&row.link_state)?,
        since: row.link_since,
        last_seen_at: row.last_seen_at,
        connector_version: row.connector_version.clone(),
        cause: row.cause.as_deref().map(from_text).transpose()?,
        confidence: row.confidence.as_deref().map(from_text).transpose()?,
        evidence: serde_json::from_value(row.evidence.clone())
            .map_err(|_| StoreError::Damaged(format!("evidence of {}", row.id)))?,
    })
}

fn link_columns(presence: &Presence) -> pos_servers::ActiveModel {
    pos_servers::ActiveModel {
        link_state: Set(to_text(&presence.state)),
        cause: Set(presence.cause.map(|word| to_text(&word))),
        confidence: Set(presence.confidence.map(|word| to_text(&word))),
        evidence: Set(json!(presence.evidence)),
        ..Default::default()
    }
}

fn clip(text: &str, max: usize) -> String {
    text.chars().filter(|c| *c != '\0').take(max).collect()
}
