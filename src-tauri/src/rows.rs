//! The fleet in memory: which rows match, in which order, which are selected, how many are in trouble.
//!
//! Sized for 100,000 rows. A change moves only the rows it is about; a new query goes over all of them once.

mod access;
mod entry;
mod options;
mod order;
mod query;
mod screen;
mod selection;
#[cfg(test)]
pub(crate) mod tests;
mod watched;

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tillwatch_protocol::rest::pos_server::Status;
use tillwatch_protocol::rest::session::Permission;
use uuid::Uuid;

pub(crate) use access::Access;
pub(crate) use entry::{Entry, Facts, Texts, to_evidence};
pub(crate) use screen::Screen;

use crate::error::AppError;
use crate::ipc::{Cursor, GridQuery, GridSummary, Only, Row};
use query::{Query, is_counted};
use watched::Watched;

/// The rows, the query, and what follows from them.
#[derive(Debug, Default)]
pub(crate) struct Fleet {
    slots: Vec<Slot>,
    places: HashMap<Uuid, u32>,
    texts: Texts,
    access: Access,
    asked: GridQuery,
    query: Query,
    /// Places in `slots` of the rows that match, in order; true as far as `stale` says.
    view: Vec<u32>,
    stale: Stale,
    counts: [u32; TILES.len()],
    version: u32,
    as_of: Option<DateTime<Utc>>,
    live: bool,
    loaded: bool,
    watched: Option<Watched>,
    /// The store that the keyboard is at: it stays the same one when rows move.
    cursor: Option<Uuid>,
    /// The store that a range is selected from, for the same reason.
    anchor: Option<Uuid>,
}

#[derive(Debug)]
struct Slot {
    entry: Arc<Entry>,
    selected: bool,
    /// Is to be looked at again.
    touched: bool,
}

/// What of the view does not hold any more.
#[derive(Debug, Default)]
enum Stale {
    /// All of it.
    #[default]
    All,
    /// The rows in these slots; none is fresh.
    Slots(Vec<u32>),
}

const TILES: [Only; 4] = [Only::Error, Only::UpdateRequired, Only::Offline, Only::Unknown];

/// Beyond this part of the view, sorting anew is faster than moving rows one at a time.
const MOVED_ONE_BY_ONE: usize = 32;

/// What a full load changed.
#[derive(Debug, Default)]
pub(crate) struct Replaced {
    /// Rows that are new or differ.
    pub(crate) changed: Vec<Arc<Entry>>,
    /// Rows that are gone.
    pub(crate) removed: Vec<Uuid>,
}

impl Fleet {
    /// Takes what a cache held. Nothing is known to be true beyond `as_of`.
    pub(crate) fn restore(&mut self, entries: Vec<Entry>, texts: Texts, as_of: Option<DateTime<Utc>>) {
        self.texts = texts;
        self.set_all(entries.into_iter().map(Arc::new).collect());
        self.as_of = as_of;
        self.live = false;
        self.loaded = true;
    }

    /// Forgets everything but the query.
    pub(crate) fn clear(&mut self) {
        let version = self.version.wrapping_add(1);
        let (asked, query) = (std::mem::take(&mut self.asked), std::mem::take(&mut self.query));
        *self = Self { asked, query, version, ..Self::default() };
    }

    /// Takes what a full load found in place of what was there; selected rows stay selected.
    pub(crate) fn replace(&mut self, statuses: Vec<Status>, as_of: DateTime<Utc>) -> Replaced {
        let mut replaced = Replaced::default();
        let mut entries = Vec::with_capacity(statuses.len());
        for status in statuses {
            let entry = Arc::new(Entry::from_status(status, &mut self.texts));
            match self.places.get(&entry.id).map(|&place| &self.slots[place as usize].entry) {
                Some(known) if **known == *entry => entries.push(Arc::clone(known)),
                _ => {
                    replaced.changed.push(Arc::clone(&entry));
                    entries.push(entry);
                }
            }
        }
        let before: Vec<Uuid> = self.slots.iter().map(|slot| slot.entry.id).collect();
        self.set_all(entries);
        replaced.removed = before.into_iter().filter(|id| !self.places.contains_key(id)).collect();
        self.as_of = Some(as_of);
        self.loaded = true;
        replaced
    }

    /// Takes a status as it changed. None when it says nothing new.
    pub(crate) fn apply(&mut self, status: Status) -> Option<Arc<Entry>> {
        let entry = Arc::new(Entry::from_status(status, &mut self.texts));
        if let Some(&place) = self.places.get(&entry.id) {
            let slot = &mut self.slots[place as usize];
            if entry.revision < slot.entry.revision || entry == slot.entry {
                return None;
            }
            count(&mut self.counts, &slot.entry, u32::wrapping_sub);
            slot.entry = Arc::clone(&entry);
            self.touch(place);
        } else {
            let place = self.slots.len() as u32;
            self.slots.push(Slot { entry: Arc::clone(&entry), selected: false, touched: false });
            self.places.insert(entry.id, place);
            self.touch(place);
        }
        count(&mut self.counts, &entry, u32::wrapping_add);
        self.changed();
        Some(entry)
    }

    /// Removes a POS server that is gone; whether it was there.
    pub(crate) fn remove(&mut self, id: Uuid) -> bool {
        let Some(place) = self.places.remove(&id) else { return false };
        let slot = self.slots.swap_remove(place as usize);
        if let Some(moved) = self.slots.get(place as usize) {
            self.places.insert(moved.entry.id, place);
        }
        count(&mut self.counts, &slot.entry, u32::wrapping_sub);
        self.stale = Stale::All;
        self.changed();
        true
    }

    /// What the user may do.
    pub(crate) fn set_access(&mut self, access: Access) {
        if self.access != access {
            self.access = access;
            // What the user may do stands in each row.
            if let Some(watched) = &mut self.watched {
                watched.told.clear();
            }
            self.changed();
        }
    }

    /// Whether changes arrive by themselves. If they do, the rows are true now; if not, as of `now`.
    pub(crate) fn set_live(&mut self, live: bool, now: DateTime<Utc>) {
        if live || self.live {
            self.as_of = Some(now);
        }
        if self.live != live {
            self.live = live;
            self.changed();
        }
    }

    /// When the rows were last known to be true.
    pub(crate) fn as_of(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if self.live { Some(now) } else { self.as_of }
    }

    /// Changes the query. Selected rows that no longer match are selected no longer: what can't be seen must not
    /// be acted upon.
    pub(crate) fn set_query(&mut self, asked: &GridQuery, now: DateTime<Utc>) -> Result<(), AppError> {
        let query = Query::new(asked)?;
        self.asked = asked.clone();
        if query == self.query {
            return Ok(());
        }
        self.query = query;
        self.stale = Stale::All;
        self.changed();
        self.refresh(now);
        let mut matches = vec![false; self.slots.len()];
        for &place in &self.view {
            matches[place as usize] = true;
        }
        for (slot, matches) in self.slots.iter_mut().zip(matches) {
            slot.selected &= matches;
        }
        Ok(())
    }

    /// The query that is on.
    pub(crate) fn asked(&self) -> &GridQuery {
        &self.asked
    }

    /// What the window shows around the grid.
    pub(crate) fn summary(&mut self, now: DateTime<Utc>) -> GridSummary {
        self.refresh(now);
        let [errors, update_required, offline, unknown] = self.counts;
        GridSummary {
            version: self.version,
            total: self.slots.len() as u32,
            matching: self.view.len() as u32,
            selected: self.selected().count() as u32,
            errors,
            update_required,
            offline,
            unknown,
            as_of: self.as_of(now),
            loaded: self.loaded,
        }
    }

    /// Puts the keyboard to a store, which it stays at when rows move.
    pub(crate) fn set_cursor(&mut self, id: Option<Uuid>) {
        self.cursor = id;
    }

    /// Where the store is that the keyboard is at.
    pub(crate) fn cursor(&mut self, now: DateTime<Utc>) -> Option<Cursor> {
        self.refresh(now);
        let id = self.cursor?;
        Some(Cursor { id: id.to_string(), index: self.index_of(id) })
    }

    /// One row, whether it matches or not.
    pub(crate) fn row(&self, id: Uuid) -> Option<Row> {
        self.places.get(&id).map(|&place| self.to_row(place))
    }

    /// What is known of one POS server.
    pub(crate) fn entry(&self, id: Uuid) -> Option<&Arc<Entry>> {
        self.places.get(&id).map(|&place| &self.slots[place as usize].entry)
    }

    /// Everything there is, in no order.
    pub(crate) fn entries(&self) -> Vec<Arc<Entry>> {
        self.slots.iter().map(|slot| Arc::clone(&slot.entry)).collect()
    }

    /// Everything that matches, in the current order.
    pub(crate) fn matching(&mut self, now: DateTime<Utc>) -> Vec<Arc<Entry>> {
        self.refresh(now);
        self.view.iter().map(|&place| Arc::clone(&self.slots[place as usize].entry)).collect()
    }

    fn set_all(&mut self, entries: Vec<Arc<Entry>>) {
        let selected: Vec<Uuid> =
            self.slots.iter().filter(|slot| slot.selected).map(|slot| slot.entry.id).collect();
        self.slots.clear();
        self.places.clear();
        self.counts = [0; TILES.len()];
        for entry in entries {
            // A status that moved between pages while they were read comes twice; the later one holds.
            if let Some(&place) = self.places.get(&entry.id) {
                count(&mut self.counts, &self.slots[place as usize].entry, u32::wrapping_sub);
                count(&mut self.counts, &entry, u32::wrapping_add);
                self.slots[place as usize].entry = entry;
                continue;
            }
            count(&mut self.counts, &entry, u32::wrapping_add);
            self.places.insert(entry.id, self.slots.len() as u32);
            self.slots.push(Slot { entry, selected: false, touched: false });
        }
        for id in selected {
            if let Some(&place) = self.places.get(&id) {
                self.slots[place as usize].selected = true;
            }
        }
        self.stale = Stale::All;
        self.changed();
    }

    fn touch(&mut self, place: u32) {
        let slot = &mut self.slots[place as usize];
        if let (Stale::Slots(slots), false) = (&mut self.stale, slot.touched) {
            slot.touched = true;
            slots.push(place);
        }
    }

    fn changed(&mut self) {
        self.version = self.version.wrapping_add(1);
    }

    /// Where a store is in the current order; none when it does not match.
    fn index_of(&self, id: Uuid) -> Option<u32> {
        let place = *self.places.get(&id)?;
        self.view.iter().position(|&other| other == place).map(|index| index as u32)
    }

    fn to_row(&self, place: u32) -> Row {
        let Slot { entry, selected, .. } = &self.slots[place as usize];
        let may = |permission| self.access.may(entry, permission);
        entry.to_row(*selected, may(Permission::RetrieveLogs), may(Permission::ResetDatabase))
    }

    /// Makes the view true. The filter by the last report also takes out what has grown too old meanwhile.
    fn refresh(&mut self, now: DateTime<Utc>) {
        let since = self.query.reported_since(self.as_of(now).unwrap_or(now));
        let before = self.view.len();
        match std::mem::replace(&mut self.stale, Stale::Slots(Vec::new())) {
            Stale::Slots(moved) if moved.is_empty() => {
                if since.is_some() {
                    let (slots, query) = (&self.slots, &self.query);
                    self.view.retain(|&place| query.matches(&slots[place as usize].entry, since));
                    if self.view.len() != before {
                        self.changed();
                    }
                }
            }
            Stale::Slots(moved) if moved.len() <= self.view.len() / MOVED_ONE_BY_ONE => {
                self.move_rows(&moved, since);
            }
            Stale::Slots(_) | Stale::All => self.rebuild(since),
        }
    }

    fn rebuild(&mut self, since: Option<DateTime<Utc>>) {
        self.view.clear();
        for (place, slot) in self.slots.iter_mut().enumerate() {
            slot.touched = false;
            if self.query.matches(&slot.entry, since) {
                self.view.push(place as u32);
            }
        }
        let slots = &self.slots;
        self.query.order.sort(&mut self.view, |place| Arc::clone(&slots[place as usize].entry));
    }

    fn move_rows(&mut self, moved: &[u32], since: Option<DateTime<Utc>>) {
        let (slots, query) = (&self.slots, &self.query);
        self.view.retain(|&place| {
            let slot = &slots[place as usize];
            !slot.touched && (since.is_none() || query.matches(&slot.entry, since))
        });
        for &place in moved {
            let entry = &slots[place as usize].entry;
            if query.matches(entry, since) {
                let at = self.view.partition_point(|&other| {
                    query.order.compare(&slots[other as usize].entry, entry).is_lt()
                });
                self.view.insert(at, place);
            }
        }
        for &place in moved {
            self.slots[place as usize].touched = false;
        }
    }
}

fn count(counts: &mut [u32; TILES.len()], entry: &Entry, change: fn(u32, u32) -> u32) {
    for (count, tile) in counts.iter_mut().zip(TILES) {
        *count = change(*count, u32::from(is_counted(entry, tile)));
    }
}
