//! Which rows are selected. The range of a selection begins at a store, and stays there when rows move.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::watched::MAX_WINDOW;
use super::{Entry, Fleet};
use crate::ipc::{Row, SelectOp};

impl Fleet {
    /// Changes the selection. Places beyond the end are passed over.
    pub(crate) fn select(&mut self, op: SelectOp, now: DateTime<Utc>) {
        self.refresh(now);
        if let SelectOp::Only { index } | SelectOp::Toggle { index } = op {
            self.anchor = self.view.get(index as usize).map(|&place| self.slots[place as usize].entry.id);
        }
        if !matches!(op, SelectOp::Toggle { .. } | SelectOp::Extend { keep: true, .. }) {
            self.slots.iter_mut().for_each(|slot| slot.selected = false);
        }
        let (from, to) = match op {
            SelectOp::Only { index } | SelectOp::Toggle { index } => (index, index),
            SelectOp::Extend { index, .. } => {
                let anchor = self.anchor.and_then(|id| self.index_of(id)).unwrap_or(index);
                (anchor.min(index), anchor.max(index))
            }
            SelectOp::All => (0, u32::MAX),
            SelectOp::None => (1, 0),
        };
        let end = (to as usize).saturating_add(1).min(self.view.len());
        let toggles = matches!(op, SelectOp::Toggle { .. });
        for &place in self.view.get(from as usize..end).unwrap_or_default() {
            let slot = &mut self.slots[place as usize];
            slot.selected = !(toggles && slot.selected);
        }
        self.changed();
    }

    /// The first [`MAX_WINDOW`] selected rows in the current order.
    pub(crate) fn selected_rows(&mut self, now: DateTime<Utc>) -> Vec<Row> {
        self.refresh(now);
        self.selected().take(MAX_WINDOW).map(|place| self.to_row(place)).collect()
    }

    /// Everything that is selected, in the current order.
    pub(crate) fn selected_entries(&mut self, now: DateTime<Utc>) -> Vec<Arc<Entry>> {
        self.refresh(now);
        self.selected().map(|place| Arc::clone(&self.slots[place as usize].entry)).collect()
    }

    pub(super) fn selected(&self) -> impl Iterator<Item = u32> {
        self.view.iter().copied().filter(|&place| self.slots[place as usize].selected)
    }
}
