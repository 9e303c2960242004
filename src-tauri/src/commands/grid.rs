//! The rows on screen.

use super::{Answer, CoreState, check};
use crate::ipc::{
    CopyRequest, GridQuery, GridSummary, GridWindow, OutletOption, OutletOptions, Row, SelectOp,
};

/// Changes what the grid shows and in which order.
#[tauri::command]
#[specta::specta]
pub(crate) async fn set_query(core: CoreState<'_>, query: GridQuery) -> Answer<GridSummary> {
    check::query(&query)?;
    core.rows_read().await;
    core.set_query(&query)
}

/// What the window shows around the grid.
#[tauri::command]
#[specta::specta]
pub(crate) async fn summary(core: CoreState<'_>) -> Answer<GridSummary> {
    Ok(core.first_summary().await)
}

/// At most `limit` rows from the one at `offset` on; never more than 1,000. From then on `grid` events tell what
/// becomes of these.
#[tauri::command]
#[specta::specta]
pub(crate) async fn grid_window(core: CoreState<'_>, offset: u32, limit: u32) -> Answer<GridWindow> {
    Ok(core.grid_window(offset, limit).await)
}

/// Says which store the keyboard is at; `grid` events tell where it is when rows move.
#[tauri::command]
#[specta::specta]
pub(crate) async fn set_cursor(core: CoreState<'_>, id: Option<String>) -> Answer<()> {
    core.rows_read().await;
    core.set_cursor(id.as_deref());
    Ok(())
}

/// One row, whether it matches the query or not.
#[tauri::command]
#[specta::specta]
pub(crate) async fn row(core: CoreState<'_>, id: String) -> Answer<Option<Row>> {
    core.rows_read().await;
    Ok(core.row(&id))
}

/// Changes the selection.
#[tauri::command]
#[specta::specta]
pub(crate) async fn select(core: CoreState<'_>, op: SelectOp) -> Answer<GridSummary> {
    core.rows_read().await;
    Ok(core.select(op))
}

/// The first 1,000 selected rows in the current order.
#[tauri::command]
#[specta::specta]
pub(crate) async fn selected_rows(core: CoreState<'_>) -> Answer<Vec<Row>> {
    core.rows_read().await;
    Ok(core.selected_rows())
}

/// Puts everything that is selected on the clipboard as text, a line a row, with tabs between columns. Gives how many
/// rows that were.
#[tauri::command]
#[specta::specta]
pub(crate) async fn copy_selection(core: CoreState<'_>, request: CopyRequest) -> Answer<u32> {
    check::copy(&request)?;
    core.rows_read().await;
    core.inner().copy_selection(request).await
}

/// The first choices of the Organization field in which this occurs: each chain, then its outlets.
#[tauri::command]
#[specta::specta]
pub(crate) async fn outlet_options(core: CoreState<'_>, search: String) -> Answer<OutletOptions> {
    check::text("search", &search)?;
    core.rows_read().await;
    Ok(core.outlet_options(&search))
}

/// The choice that stands for an outlet, or for a chain; null when there is none.
#[tauri::command]
#[specta::specta]
pub(crate) async fn outlet_option(
    core: CoreState<'_>,
    chain_id: Option<String>,
    outlet_id: Option<String>,
) -> Answer<Option<OutletOption>> {
    check::any_id("chain_id", chain_id.as_deref())?;
    check::any_id("outlet_id", outlet_id.as_deref())?;
    core.rows_read().await;
    Ok(core.outlet_option(chain_id.as_deref(), outlet_id.as_deref()))
}

/// Loads everything anew; done when it has been loaded.
#[tauri::command]
#[specta::specta]
pub(crate) async fn refresh(core: CoreState<'_>) -> Answer<()> {
    core.refresh().await
}
