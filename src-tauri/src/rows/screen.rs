//! The first rows as they are on screen, kept so that the next start shows them before it has read them all.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::Fleet;
use crate::ipc::{GridQuery, GridSummary, GridWindow, Row};

/// More rows than a window shows at first, with those that it asks for beyond.
const ROWS: usize = 200;

/// The beginning of the grid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Screen {
    /// Of which query.
    pub(crate) asked: GridQuery,
    /// What stands around it.
    pub(crate) summary: GridSummary,
    rows: Vec<Row>,
}

impl Screen {
    /// The rows at these places, if all of them are here.
    pub(crate) fn window(&self, offset: u32, limit: u32) -> Option<GridWindow> {
        let begin = offset.min(self.summary.matching) as usize;
        let end = offset.saturating_add(limit).min(self.summary.matching) as usize;
        let rows = self.rows.get(begin..end)?.to_vec();
        Some(GridWindow { version: self.summary.version, offset: begin as u32, rows })
    }
}

impl Fleet {
    /// The beginning of the grid as it is, with nothing selected, and older than anything that is told of the fleet.
    pub(crate) fn screen(&mut self, now: DateTime<Utc>) -> Screen {
        let summary = GridSummary { version: 0, selected: 0, ..self.summary(now) };
        let rows =
            self.view.iter().take(ROWS).map(|&place| Row { selected: false, ..self.to_row(place) }).collect();
        Screen { asked: self.asked.clone(), summary, rows }
    }
}
