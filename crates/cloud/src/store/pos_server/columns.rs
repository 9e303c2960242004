//! What lists are ordered by, column after column: whatever a column holds, two of its rows compare as two numbers do.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::sort::{Held, Key, Kind, Sort, SortKey};

/// What a row without a value has: such rows come last, whatever the direction.
const NOTHING: u64 = u64::MAX;
/// The id of no text.
const NO_TEXT: u32 = u32::MAX;
/// The sign bit, which is turned over so that negative numbers come before others.
const SIGN: u64 = 1 << 63;

/// A column for each key, all of the same rows.
#[derive(Debug)]
pub(super) struct Columns(Vec<Column>);

impl Default for Columns {
    fn default() -> Self {
        let column = |key: &SortKey| match key.kind() {
            Kind::Text => Column::Text { texts: Texts::default(), ids: Vec::new() },
            Kind::Number => Column::Number(Vec::new()),
            Kind::Time => Column::Time(Vec::new()),
        };
        Self(SortKey::ALL.iter().map(column).collect())
    }
}

impl Columns {
    /// The column of a key.
    pub(super) fn of(&self, key: SortKey) -> &Column {
        &self.0[key as usize]
    }

    /// Puts what a row holds into every column; the row may be the one after the last.
    pub(super) fn set<'a>(&mut self, row: usize, held: impl Fn(SortKey) -> Key<'a>) {
        for (column, key) in self.0.iter_mut().zip(SortKey::ALL) {
            column.set(row, held(*key));
        }
    }

    /// Keeps the rows at these places, in this order.
    pub(super) fn pick(&mut self, places: &[usize]) {
        for column in &mut self.0 {
            match column {
                Column::Text { ids, .. } => *ids = places.iter().map(|place| ids[*place]).collect(),
                Column::Number(values) | Column::Time(values) => {
                    *values = places.iter().map(|place| values[*place]).collect();
                }
            }
        }
    }

    /// To be called after changes, before anything is compared.
    pub(super) fn settle(&mut self) {
        for column in &mut self.0 {
            if let Column::Text { texts, ids } = column {
                texts.settle(ids);
            }
        }
    }
}

/// What the rows hold for one key.
#[derive(Debug)]
pub(super) enum Column {
    /// Each row has the id of its text.
    Text { texts: Texts, ids: Vec<u32> },
    /// Numbers as [`from_number`] makes them.
    Number(Vec<u64>),
    /// Microseconds since 1970, as numbers.
    Time(Vec<u64>),
}

impl Column {
    fn set(&mut self, row: usize, key: Key<'_>) {
        match self {
            Self::Text { texts, ids } => {
                let id = if let Key::Text(text) = key { texts.id(text) } else { NO_TEXT };
                put(ids, row, id);
            }
            Self::Number(values) | Self::Time(values) => {
                let value = match key {
                    Key::Number(number) => from_number(number),
                    Key::Time(time) => from_time(time),
                    Key::Text(_) | Key::Nothing => NOTHING,
                };
                put(values, row, value);
            }
        }
    }

    /// What the row compares as, upwards.
    pub(super) fn value(&self, row: usize) -> u64 {
        match self {
            Self::Text { texts, ids } => texts.value(ids[row]),
            Self::Number(values) | Self::Time(values) => values[row],
        }
    }

    /// What a value compares as that need not be in any row.
    pub(super) fn value_of(&self, held: &Held) -> u64 {
        match (self, held) {
            (Self::Text { texts, .. }, Held::Text(text)) => texts.value_of(text),
            (Self::Number(_), Held::Number(number)) => from_number(*number),
            (Self::Time(_), Held::Time(time)) => from_time(*time),
            _ => NOTHING,
        }
    }

    /// Whether the row holds something that is not before `value`, upwards.
    pub(super) fn is_from(&self, row: usize, value: u64) -> bool {
        (value..NOTHING).contains(&self.value(row))
    }

    /// What the row holds.
    pub(super) fn held(&self, row: usize) -> Held {
        match self {
            Self::Text { texts, ids } => {
                texts.by_id.get(ids[row] as usize).map_or(Held::Nothing, |text| Held::Text((**text).into()))
            }
            Self::Number(values) | Self::Time(values) if values[row] == NOTHING => Held::Nothing,
            Self::Number(values) => Held::Number(to_number(values[row])),
            Self::Time(values) => {
                DateTime::from_timestamp_micros(to_number(values[row])).map_or(Held::Nothing, Held::Time)
            }
        }
    }
}

/// A column in a direction.
pub(super) struct Ordered<'a> {
    column: &'a Column,
    descending: bool,
}

impl<'a> Ordered<'a> {
    /// The column that `sort` names.
    pub(super) fn of(columns: &'a Columns, sort: Sort) -> Self {
        Self { column: columns.of(sort.key), descending: sort.descending }
    }

    /// What the row compares as in this direction.
    pub(super) fn value(&self, row: usize) -> u64 {
        self.directed(self.column.value(row))
    }

    /// What a value compares as in this direction.
    pub(super) fn value_of(&self, held: &Held) -> u64 {
        self.directed(self.column.value_of(held))
    }

    /// What the row holds.
    pub(super) fn held(&self, row: usize) -> Held {
        self.column.held(row)
    }

    /// No value is 0, so that turned over none is as nothing is.
    fn directed(&self, value: u64) -> u64 {
        if self.descending && value != NOTHING { !value } else { value }
    }
}

/// The different texts of a column, and which comes before which.
#[derive(Debug, Default)]
pub(super) struct Texts {
    ids: HashMap<Arc<str>, u32>,
    by_id: Vec<Arc<str>>,
    /// Ids in the order of their texts; those after the last settling are missing.
    sorted: Vec<u32>,
    /// By id, the place in that order.
    places: Vec<u32>,
}

impl Texts {
    fn id(&mut self, text: &str) -> u32 {
        if let Some(id) = self.ids.get(text) {
            return *id;
        }
        let id = u32::try_from(self.by_id.len()).unwrap_or(NO_TEXT);
        let text: Arc<str> = text.into();
        self.by_id.push(text.clone());
        self.ids.insert(text, id);
        id
    }

    /// Puts new texts into their places. Texts that no row has any more are forgotten once they are more than the
    /// others: what stores tell changes without end.
    fn settle(&mut self, used: &mut [u32]) {
        if self.by_id.len() > 2 * used.len() + 100 {
            let old = std::mem::take(self);
            for id in used.iter_mut().filter(|id| **id != NO_TEXT) {
                *id = self.id(&old.by_id[*id as usize]);
            }
        }
        if self.sorted.len() == self.by_id.len() {
            return;
        }
        // A stable sort makes one pass over what is in order already.
        let (by_id, known) = (&self.by_id, self.sorted.len());
        self.sorted.extend((known..by_id.len()).map(|id| id as u32));
        self.sorted.sort_by(|one, other| by_id[*one as usize].cmp(&by_id[*other as usize]));
        self.places.resize(by_id.len(), 0);
        for (place, id) in (0..).zip(&self.sorted) {
            self.places[*id as usize] = place;
        }
    }

    /// Even, from 2 on.
    fn value(&self, id: u32) -> u64 {
        self.places.get(id as usize).map_or(NOTHING, |place| 2 * u64::from(*place) + 2)
    }

    /// That of the text, or the odd one between those of its neighbours.
    fn value_of(&self, text: &str) -> u64 {
        match self.sorted.binary_search_by(|id| (*self.by_id[*id as usize]).cmp(text)) {
            Ok(place) => 2 * place as u64 + 2,
            Err(place) => 2 * place as u64 + 1,
        }
    }
}

/// Numbers that compare as those with a sign do; neither 0 nor [`NOTHING`].
fn from_number(number: i64) -> u64 {
    (number.cast_unsigned() ^ SIGN).clamp(1, NOTHING - 1)
}

fn to_number(value: u64) -> i64 {
    (value ^ SIGN).cast_signed()
}

/// The value of a moment: of two within a microsecond, the same.
pub(super) fn from_time(time: DateTime<Utc>) -> u64 {
    from_number(time.timestamp_micros())
}

fn put<T>(values: &mut Vec<T>, at: usize, value: T) {
    match values.get_mut(at) {
        Some(place) => *place = value,
        None => values.push(value),
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use super::*;

    /// Columns of rows that hold these texts and numbers, by name and generation.
    fn columns(rows: &[(Option<&str>, Option<i64>)]) -> Columns {
        let mut columns = Columns::default();
        for (row, held) in rows.iter().enumerate() {
            set(&mut columns, row, *held);
        }
        columns.settle();
        columns
    }

    fn set(columns: &mut Columns, row: usize, (text, number): (Option<&str>, Option<i64>)) {
        columns.set(row, |key| match key {
            SortKey::Name => text.map_or(Key::Nothing, Key::Text),
            SortKey::Generation => number.map_or(Key::Nothing, Key::Number),
            _ => Key::Nothing,
        });
    }

    fn order(columns: &Columns, key: SortKey, descending: bool, rows: usize) -> Vec<usize> {
        let ordered = Ordered::of(columns, Sort { key, descending });
        let mut order: Vec<usize> = (0..rows).collect();
        order.sort_by_key(|row| ordered.value(*row));
        order
    }

    #[test]
    fn nothing_comes_last_in_either_direction() {
        let columns = columns(&[(None, None), (Some("b"), Some(i64::MIN)), (Some("a"), Some(i64::MAX))]);
        for (key, descending, wanted) in [
            (SortKey::Name, false, [2, 1, 0]),
            (SortKey::Name, true, [1, 2, 0]),
            (SortKey::Generation, false, [1, 2, 0]),
            (SortKey::Generation, true, [2, 1, 0]),
        ] {
            assert_eq!(order(&columns, key, descending, 3), wanted, "{key:?} {descending}");
        }
    }

    #[test]
    fn a_text_that_is_in_no_row_lies_between_its_neighbours() {
        let columns = columns(&[(Some("b"), None), (Some("d"), None)]);
        for descending in [false, true] {
            let ordered = Ordered::of(&columns, Sort { key: SortKey::Name, descending });
            let beside = |text: &str, row: usize| {
                let order = ordered.value_of(&Held::Text(text.into())).cmp(&ordered.value(row));
                if descending { order.reverse() } else { order }
            };
            for (text, wanted) in [
                ("a", [Ordering::Less, Ordering::Less]),
                ("b", [Ordering::Equal, Ordering::Less]),
                ("c", [Ordering::Greater, Ordering::Less]),
                ("d", [Ordering::Greater, Ordering::Equal]),
                ("e", [Ordering::Greater, Ordering::Greater]),
            ] {
                assert_eq!([beside(text, 0), beside(text, 1)], wanted, "{text} {descending}");
            }
        }
    }

    #[test]
    fn what_a_row_holds_is_given_back() {
        let columns = columns(&[(Some("Rīga"), Some(-7)), (None, None)]);
        let held = |key, row| columns.of(key).held(row);
        assert_eq!(held(SortKey::Name, 0), Held::Text("Rīga".into()));
        assert_eq!(held(SortKey::Generation, 0), Held::Number(-7));
        assert_eq!(held(SortKey::Name, 1), Held::Nothing);
        assert_eq!(held(SortKey::Generation, 1), Held::Nothing);
        assert_eq!(held(SortKey::LastReportAt, 0), Held::Nothing);
    }

    #[test]
    fn texts_that_no_row_has_any_more_are_forgotten() {
        let mut columns = columns(&[(Some("kept"), None), (Some("first"), None)]);
        for number in 0..1000 {
            set(&mut columns, 1, (Some(&format!("version {number:04}")), None));
            columns.settle();
        }
        let Column::Text { texts, .. } = columns.of(SortKey::Name) else { panic!("names are texts") };
        assert!(texts.by_id.len() < 200, "{}", texts.by_id.len());
        assert_eq!(columns.of(SortKey::Name).held(0), Held::Text("kept".into()));
        assert_eq!(columns.of(SortKey::Name).held(1), Held::Text("version 0999".into()));
        assert_eq!(order(&columns, SortKey::Name, false, 2), [0, 1]);
    }

    #[test]
    fn rows_are_picked_from_every_column() {
        let mut columns = columns(&[(Some("a"), Some(1)), (Some("b"), Some(2)), (Some("c"), Some(3))]);
        columns.pick(&[2, 0]);
        assert_eq!(columns.of(SortKey::Name).held(0), Held::Text("c".into()));
        assert_eq!(columns.of(SortKey::Generation).held(1), Held::Number(1));
    }
}
