//! Beginnings of sessions, many together: ten thousand stores that lost the cloud come back within a minute.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sea_orm::sea_query::{Expr, ExprTrait, Query, Value};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, FromQueryResult, QueryFilter};
use serde_json::json;
use tillwatch_protocol::ids::{BootId, DeviceId, PosServerId};
use tillwatch_protocol::link::frame::Hello;
use tillwatch_protocol::rest::pos_server::{LinkState, PosState};
use uuid::Uuid;

use super::reports::{Told, report_columns, reports};
use super::{MAX_WORD, clip, link_values, listed};
use crate::domain::hindsight::{Outage, looking_back};
use crate::domain::pos_server::version_key;
use crate::domain::presence::Presence;
use crate::domain::timeline::offline;
use crate::store::entity::pos_servers::Column;
use crate::store::entity::{devices, outlets, pos_servers};
use crate::store::timeline::Amendment;
use crate::store::{StoreError, backup, from_text, outage, timeline, to_text};

/// Who wants to begin a session, and where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival<'a> {
    /// The node.
    pub node: Uuid,
    /// The store's identity.
    pub device: DeviceId,
    /// The POS server that it serves.
    pub id: PosServerId,
    /// What it said.
    pub hello: &'a Hello,
    /// What the link is from now on.
    pub presence: &'a Presence,
    /// When it came.
    pub at: DateTime<Utc>,
}

/// A session that may begin.
#[derive(Debug)]
pub(crate) struct Begun {
    /// The number that orders sessions.
    pub epoch: i64,
    /// The node that held the session before, if there was one.
    pub before_on: Option<Uuid>,
    /// The outlet's time zone.
    pub time_zone: String,
}

/// Begins sessions of different stores: gives each the next epoch and writes what its hello said. Nothing for one whose
/// identity was revoked, or whose POS server was removed, meanwhile.
pub(crate) async fn begin<C: ConnectionTrait>(
    tx: &C,
    arrivals: &[Arrival<'_>],
    revision: i64,
) -> Result<Vec<Option<Begun>>, StoreError> {
    let before = before(tx, arrivals).await?;
    let known_boots = outage::known_boots(tx, before.keys().copied()).await?;
    let mut begun = Vec::with_capacity(arrivals.len());
    let (mut rows, mut told, mut amendments) = (Vec::new(), Vec::new(), Vec::new());
    for arrival in arrivals {
        let Arrival { id, hello, at, .. } = *arrival;
        let Some(before) = before.get(&id.0) else {
            begun.push(None);
            continue;
        };
        let known = known_boots.get(&id.0);
        let boots = outage::follow_boots(tx, id, before.boot_id, hello.boot_id, known, at).await?;
        let twice = boots.evidence(hello.boot_id, at).filter(|_| arrival.is_let_in());
        let epoch = before.session_epoch + 1;
        rows.push(listed::row(
            id,
            before.session_epoch,
            arrival.values(before, epoch, twice.map(|it| json!([it]))),
        ));
        if arrival.is_let_in() {
            told.extend(hello.report.as_ref().map(|report| Told { id, epoch, report, at }));
            amendments.extend(look_back(before, hello, at)?);
        }
        let time_zone = before.time_zone.clone();
        begun.push(Some(Begun { epoch, before_on: before.node_id, time_zone }));
    }
    if !rows.is_empty() {
        let count = rows.len() as u64;
        let columns: (&[_], &[_]) = (&[Column::LinkSince], &BEGIN_COLUMNS);
        if listed::update(tx, rows, columns, revision, |_| {}).await? != count {
            return Err(StoreError::Damaged("the epochs of sessions".into()));
        }
    }
    if !told.is_empty() {
        reports(tx, &told, revision).await?;
    }
    timeline::amend(tx, amendments).await?;
    let turned_away =
        arrivals.iter().zip(&begun).filter(|(arrival, begun)| begun.is_some() && !arrival.is_let_in());
    for (arrival, _) in turned_away {
        arrival.keep_report(tx).await?;
    }
    Ok(begun)
}

/// What a beginning changes besides when the link became what it is.
const BEGIN_COLUMNS: [Column; 11] = [
    Column::LinkState,
    Column::Cause,
    Column::Confidence,
    Column::Evidence,
    Column::SessionEpoch,
    Column::NodeId,
    Column::LastSeenAt,
    Column::BootId,
    Column::ConnectorVersion,
    Column::ConnectorVersionKey,
    Column::PosState,
];

impl Arrival<'_> {
    /// Whether the link goes on after the hello.
    fn is_let_in(&self) -> bool {
        self.presence.state == LinkState::Online
    }

    /// When the link became what it is, if it was something else before, and [`BEGIN_COLUMNS`].
    fn values(
        &self,
        before: &Before,
        epoch: i64,
        evidence: Option<serde_json::Value>,
    ) -> [Value; 1 + BEGIN_COLUMNS.len()] {
        let [state, cause, confidence, own_evidence] = link_values(self.presence);
        let since = (before.link_state != to_text(&self.presence.state)).then_some(self.at);
        let version = clip(&self.hello.connector_version, MAX_WORD);
        let key = version_key(&version);
        [
            since.into(),
            state,
            cause,
            confidence,
            evidence.map_or(own_evidence, Value::from),
            epoch.into(),
            self.is_let_in().then_some(self.node).into(),
            self.at.into(),
            self.hello.boot_id.0.into(),
            version.into(),
            key.into(),
            to_text(&PosState::Unknown).into(),
        ]
    }

    /// Writes what the hello of a store that is turned away reports, but for the state of its POS server: nobody will
    /// tell how that goes on.
    async fn keep_report<C: ConnectionTrait>(&self, tx: &C) -> Result<(), StoreError> {
        let Some(report) = &self.hello.report else { return Ok(()) };
        let mut row = pos_servers::ActiveModel::default();
        report_columns(&mut row, report, self.at);
        row.pos_state = sea_orm::Set(to_text(&PosState::Unknown));
        pos_servers::Entity::update_many().set(row).filter(Column::Id.eq(self.id.0)).exec(tx).await?;
        if let Some(backups) = &report.report.database.backups {
            backup::tell(tx, &[(self.id, backups, self.at)]).await?;
        }
        Ok(())
    }
}

/// What is known of a store that comes.
#[derive(Debug, FromQueryResult)]
struct Before {
    id: Uuid,
    session_epoch: i64,
    node_id: Option<Uuid>,
    boot_id: Option<Uuid>,
    link_state: String,
    link_since: Option<DateTime<Utc>>,
    last_seen_at: Option<DateTime<Utc>>,
    cause: Option<String>,
    confidence: Option<String>,
    evidence: serde_json::Value,
    time_zone: String,
}

/// Those whose identity is valid, by the ids of their POS servers.
async fn before<C: ConnectionTrait>(
    tx: &C,
    arrivals: &[Arrival<'_>],
) -> Result<HashMap<Uuid, Before>, StoreError> {
    let pos = |column: Column| Expr::col((pos_servers::Entity, column));
    let device = |column: devices::Column| Expr::col((devices::Entity, column));
    let outlet = |column: outlets::Column| Expr::col((outlets::Entity, column));
    let mut query = Query::select();
    for column in [
        Column::Id,
        Column::SessionEpoch,
        Column::NodeId,
        Column::BootId,
        Column::LinkState,
        Column::LinkSince,
        Column::LastSeenAt,
        Column::Cause,
        Column::Confidence,
        Column::Evidence,
    ] {
        query.column((pos_servers::Entity, column));
    }
    query
        .column((outlets::Entity, outlets::Column::TimeZone))
        .from(devices::Entity)
        .inner_join(
            pos_servers::Entity,
            pos(Column::Id).equals((devices::Entity, devices::Column::PosServerId)),
        )
        .inner_join(
            outlets::Entity,
            outlet(outlets::Column::Id).equals((pos_servers::Entity, Column::OutletId)),
        )
        .and_where(device(devices::Column::Id).is_in(arrivals.iter().map(|arrival| arrival.device.0)))
        .and_where(device(devices::Column::RevokedAt).is_null());
    let mut before = HashMap::with_capacity(arrivals.len());
    for row in tx.query_all(&query).await? {
        let row = Before::from_query_result(&row, "")?;
        before.insert(row.id, row);
    }
    Ok(before)
}

/// What the timeline has to tell anew of why a store was away, now that it is back and says since when it runs.
fn look_back(before: &Before, hello: &Hello, now: DateTime<Utc>) -> Result<Option<Amendment>, StoreError> {
    if before.link_state != to_text(&LinkState::Offline) {
        return Ok(None);
    }
    let (Some(since), Some(heard_at), Some(cause), Some(confidence), Some(boot_id)) =
        (before.link_since, before.last_seen_at, &before.cause, &before.confidence, before.boot_id)
    else {
        return Ok(None);
    };
    let (cause, confidence) = (from_text(cause)?, from_text(confidence)?);
    let evidence = serde_json::from_value(before.evidence.clone())
        .map_err(|_| StoreError::Damaged(format!("evidence of {}", before.id)))?;
    let outage = Outage { cause, confidence, evidence, heard_at, boot_id: BootId(boot_id) };
    let Some(corrected) = looking_back(&outage, hello, now) else { return Ok(None) };
    let truth = corrected.cause.unwrap_or(cause);
    let mut params = offline(truth, corrected.confidence, &corrected.evidence);
    if truth != cause {
        params["first_cause"] = json!(cause);
    }
    Ok(Some(Amendment { id: PosServerId(before.id), since, params }))
}
