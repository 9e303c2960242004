//! Reports of stores, many in one statement.

use chrono::{DateTime, Utc};
use sea_orm::sea_query::{
    Alias, Expr, ExprTrait, Func, IntoIden, Query, TableRef, UpdateStatement, Value, ValueTuple,
};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect, Set,
};
use tillwatch_protocol::ids::PosServerId;
use tillwatch_protocol::link::frame::StoreReport;
use tillwatch_protocol::report::Report;
use tillwatch_protocol::rest::pos_server::{LinkState, PosState};
use uuid::Uuid;

use super::{MAX_TEXT, MAX_WORD, clip};
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
    if !speaking.is_empty() {
        tx.execute(&update_from(&speaking, revision)).await?;
    }
    for told in told {
        if let Some(backups) = &told.report.report.database.backups
            && goes_on(tx, told).await?
        {
            backup::tell(tx, told.id, backups, told.at).await?;
        }
    }
    Ok(())
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

/// Whether the session that reported is the present one.
async fn goes_on<C: ConnectionTrait>(tx: &C, told: &Told<'_>) -> Result<bool, StoreError> {
    let query = pos_servers::Entity::find().select_only().column(pos_servers::Column::Id);
    let row: Option<Uuid> = query.filter(present(told)).into_tuple().one(tx).await?;
    Ok(row.is_some())
}

/// The row of who reported, while the session goes on.
fn present(told: &Told<'_>) -> Condition {
    Condition::all()
        .add(pos_servers::Column::Id.eq(told.id.0))
        .add(pos_servers::Column::SessionEpoch.eq(told.epoch))
        .add(pos_servers::Column::LinkState.eq(to_text(&LinkState::Online)))
}

/// Updates the rows of POS servers from a list of what each told.
fn update_from(told: &[&Told<'_>], revision: i64) -> UpdateStatement {
    use pos_servers::Column;
    // Both databases call the columns of such a list so.
    let listed = |number: usize| Expr::col((TOLD, Alias::new(format!("column{number}"))));
    let column = |column: Column| Expr::col((pos_servers::Entity, column));
    let mut update = Query::update();
    update.table(pos_servers::Entity).value(Column::Revision, revision);
    for (number, name) in (FIRST_TOLD..).zip(TOLD_COLUMNS) {
        update.value(name, listed(number));
    }
    // Not every report tells these, and then they stay.
    for (number, name) in [(3, Column::LastReportAt), (4, Column::Generation)] {
        update.value(name, Func::coalesce([listed(number), column(name)]));
    }
    update
        .from(TableRef::ValuesList(told.iter().map(|told| listed_row(told)).collect(), TOLD.into_iden()))
        .and_where(column(Column::Id).eq(listed(1)))
        .and_where(column(Column::SessionEpoch).eq(listed(2)))
        .and_where(column(Column::LinkState).eq(to_text(&LinkState::Online)));
    update
}

/// The name of the list.
const TOLD: &str = "told";
/// Where in the list those columns begin that are always told,
const FIRST_TOLD: usize = 5;
/// and which they are.
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

/// A row of the list: whose, in which session, when the POS server last answered, the generation, and
/// [`TOLD_COLUMNS`].
fn listed_row(&Told { id, epoch, report, at }: &Told<'_>) -> ValueTuple {
    let answered = (report.pos_state == PosState::Running).then_some(at);
    let mut row = vec![id.0.into(), epoch.into(), answered.into(), report.report.database.generation.into()];
    row.extend(told_values(report, at));
    ValueTuple::Many(row)
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
