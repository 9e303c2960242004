//! What the webview sees of the rows: those it asked for last, and which of them became others since.

use std::ops::Range;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{Entry, Fleet, Slot};
use crate::ipc::{GridChanges, GridWindow, PlacedRow};

/// The most rows that one answer holds.
pub(crate) const MAX_WINDOW: usize = 1000;

/// The rows that the webview asked for last, as it knows them.
#[derive(Debug)]
pub(super) struct Watched {
    offset: usize,
    limit: usize,
    /// The version of the fleet that they were told at.
    version: u32,
    pub(super) told: Vec<Told>,
}

/// A row as it was told.
#[derive(Debug)]
pub(super) struct Told {
    entry: Arc<Entry>,
    selected: bool,
}

impl Fleet {
    /// The rows at these places of the current order, which are watched from now on: [`Self::changes`] tells what
    /// becomes of them.
    pub(crate) fn window(&mut self, offset: u32, limit: u32, now: DateTime<Utc>) -> GridWindow {
        self.refresh(now);
        let (offset, limit) = (offset as usize, (limit as usize).min(MAX_WINDOW));
        let places = &self.view[self.places_on_screen(offset, limit)];
        let rows = places.iter().map(|&place| self.to_row(place)).collect();
        let told = places.iter().map(|&place| self.told(place)).collect();
        self.watched = Some(Watched { offset, limit, version: self.version, told });
        GridWindow { version: self.version, offset: offset.min(self.view.len()) as u32, rows }
    }

    /// What became of the watched rows since they were last told; none when none are watched.
    pub(crate) fn changes(&mut self, now: DateTime<Utc>) -> Option<GridChanges> {
        self.refresh(now);
        let Watched { offset, limit, version: since, told: before } = self.watched.take()?;
        let range = self.places_on_screen(offset, limit);
        let first = range.start;
        let told: Vec<Told> = self.view[range].iter().map(|&place| self.told(place)).collect();
        let rows = told
            .iter()
            .enumerate()
            .filter(|(nth, now)| {
                let is_same =
                    |before: &Told| Arc::ptr_eq(&before.entry, &now.entry) && before.selected == now.selected;
                !before.get(*nth).is_some_and(is_same)
            })
            .map(|(nth, _)| PlacedRow {
                index: (first + nth) as u32,
                row: self.to_row(self.view[first + nth]),
            })
            .collect();
        self.watched = Some(Watched { offset, limit, version: self.version, told });
        Some(GridChanges { since, offset: offset as u32, limit: limit as u32, rows })
    }

    /// Nobody looks any more.
    pub(crate) fn stop_watching(&mut self) {
        self.watched = None;
    }

    fn places_on_screen(&self, offset: usize, limit: usize) -> Range<usize> {
        let start = offset.min(self.view.len());
        start..start.saturating_add(limit).min(self.view.len())
    }

    fn told(&self, place: u32) -> Told {
        let Slot { entry, selected, .. } = &self.slots[place as usize];
        Told { entry: Arc::clone(entry), selected: *selected }
    }
}
