//! Reports of stores, many in one statement.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use sea_orm::sea_query::{Expr, ExprTrait, Value, ValueTuple};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect, Set,
};
use tillwatch_protocol::ids::PosServerId;
use tillwatch_protocol::link::frame::StoreReport;
use tillwatch_protocol::report::Report;
use tillwatch_protocol::rest::pos_server::{LinkState, PosState};
use uuid::Uuid;

use super::{MAX_TEXT, MAX_WORD, clip, listed};
use crate::domain::pos_server::version_key;
use crate::store::entity::pos_servers;
use crate::store::{StoreError, backup, to_text};

/// What a store reported in a session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told<'a> {
    /// Who.
    pub id: PosServerId,
    /// In which session.
    pub epoch: i64,
    /// What.
    pub report: &'a StoreReport,
    /// When it came.
    pub at: DateTime<Utc>,
}

/// Writes reports of different stores, in one statement as far as they say all. Those of sessions that have ended
/// are passed over.
pub(crate) async fn reports<C: ConnectionTrait>(
    tx: &C,
    told: &[Told<'_>],
    revision: i64,
) -> Result<(), StoreError> {
    let (silent, speaking): (Vec<_>, Vec<_>) = told.iter().partition(|told| knows_nothing(told.report));
    for told in silent {
        state_alone(tx, told, revision).await?;
    }
    let rows = speaking.into_iter().map(listed_row).collect();
    let columns: (&[_], &[_]) = (&KEPT_COLUMNS, &TOLD_COLUMNS);
    listed::update(tx, rows, columns, revision, |update| {
        let state = Expr::col((pos_servers::Entity, pos_servers::Column::LinkState));
        update.and_where(state.eq(to_text(&LinkState::Online)));
    })
    .await?;
    let with_backups = told.iter().filter(|told| told.report.report.database.backups.is_some());
    if with_backups.clone().next().is_none() {
        return Ok(());
    }
    let present = present_ones(tx, with_backups.clone()).await?;
    let backups: Vec<_> = with_backups
        .filter(|told| present.contains(&(told.id.0, told.epoch)))
        .filter_map(|told| Some((told.id, told.report.report.database.backups.as_ref()?, told.at)))
        .collect();
    backup::tell(tx, &backups).await
}

/// Whether the connector knows nothing but the state of its POS server.
fn knows_nothing(report: &StoreReport) -> bool {
    if report.pos_state == PosState::Running {
        return false;
    }
    let mut told = report.report.clone();
    told.database.generation = None;
    told.database.backups = None;
    told == Report::default()
}

/// Writes a report that says nothing but the state.
async fn state_alone<C: ConnectionTrait>(tx: &C, told: &Told<'_>, revision: i64) -> Result<(), StoreError> {
    let mut row = pos_servers::ActiveModel {
        last_seen_at: Set(Some(told.at)),
        revision: Set(revision),
        ..Default::default()
    };
    report_columns(&mut row, told.report, told.at);
    pos_servers::Entity::update_many().set(row).filter(present(told)).exec(tx).await?;
    Ok(())
}

/// Those of the sessions that reported which are the present ones.
async fn present_ones<'a, C: ConnectionTrait>(
    tx: &C,
    told: impl Iterator<Item = &'a Told<'a>> + Clone,
) -> Result<HashSet<(Uuid, i64)>, StoreError> {
    let rows: Vec<(Uuid, i64)> = pos_servers::Entity::find()
        .select_only()
        .columns([pos_servers::Column::Id, pos_servers::Column::SessionEpoch])
        .filter(pos_servers::Column::Id.is_in(told.map(|told| told.id.0)))
        .filter(pos_servers::Column::LinkState.eq(to_text(&LinkState::Online)))
        .into_tuple()
        .all(tx)
        .await?;
    Ok(rows.into_iter().collect())
}

/// The row of who reported, while the session goes on.
fn present(told: &Told<'_>) -> Condition {
    Condition::all()
        .add(pos_servers::Column::Id.eq(told.id.0))
        .add(pos_servers::Column::SessionEpoch.eq(told.epoch))
        .add(pos_servers::Column::LinkState.eq(to_text(&LinkState::Online)))
}

/// Of what is told these two only if it is known.
const KEPT_COLUMNS: [pos_servers::Column; 2] =
    [pos_servers::Column::LastReportAt, pos_servers::Column::Generation];
/// The columns that are always told.
const TOLD_COLUMNS: [pos_servers::Column; 14] = {
    use pos_servers::Column as C;
    [
        C::LastSeenAt,
        C::PosState,
        C::PosVersion,
        C::PosVersionKey,
        C::VersionUpdatedAt,
        C::ExchangeSuccessAt,
        C::ExchangeAttemptAt,
        C::ErrorCode,
        C::ErrorMessage,
        C::ErrorSince,
        C::ErrorFailures,
        C::DbCreatedAt,
        C::DbSizeBytes,
        C::UnsentTransactions,
    ]
};

/// What a report says for [`TOLD_COLUMNS`].
fn told_values(
    StoreReport { pos_state, report }: &StoreReport,
    at: DateTime<Utc>,
) -> [Value; TOLD_COLUMNS.len()] {
    let version = report.pos_version.as_deref().map(|version| clip(version, MAX_WORD));
    let key = version.as_deref().and_then(version_key);
    let error = report.exchange.error.as_ref();
    let number = |count: u64| Ord::max(count.cast_signed(), 0);
    [
        Some(at).into(),
        to_text(pos_state).into(),
        version.into(),
        key.into(),
        report.version_updated_at.into(),
        report.exchange.last_success_at.into(),
        report.exchange.last_attempt_at.into(),
        error.map(|error| clip(&error.code, MAX_WORD)).into(),
        error.map(|error| clip(&error.message, MAX_TEXT)).into(),
        error.map(|error| error.since).into(),
        error.map(|error| number(error.consecutive_failures)).into(),
        report.database.created_at.into(),
        report.database.size_bytes.map(number).into(),
        report.database.unsent_transactions.map(number).into(),
    ]
}

/// A row of the list: when the POS server last answered, the generation, and [`TOLD_COLUMNS`].
fn listed_row(&Told { id, epoch, report, at }: &Told<'_>) -> ValueTuple {
    let answered = (report.pos_state == PosState::Running).then_some(at);
    let first = [answered.into(), report.report.database.generation.into()];
    listed::row(id, epoch, first.into_iter().chain(told_values(report, at)))
}

/// What a report changes of a row.
pub(super) fn report_columns(row: &mut pos_servers::ActiveModel, report: &StoreReport, at: DateTime<Utc>) {
    if report.pos_state == PosState::Running {
        row.last_report_at = Set(Some(at));
    }
    if let Some(generation) = report.report.database.generation {
        row.generation = Set(Some(generation));
    }
    if knows_nothing(report) {
        // What was known before of the rest is worth more.
        row.pos_state = Set(to_text(&report.pos_state));
        return;
    }
    for (column, value) in TOLD_COLUMNS.into_iter().zip(told_values(report, at)) {
        row.set(column, value);
    }
}
