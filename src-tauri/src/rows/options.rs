//! The chains and outlets that the rows are of: what the Organization field offers, and what ids are called.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::entry::{Entry, Text, fold};
use super::{Fleet, Slot};
use crate::ipc::{OutletOption, OutletOptions};

/// How many choices are offered at a time; there may be a hundred thousand.
const OFFERED: usize = 100;

/// A chain, or one of its outlets.
struct Choice<'a> {
    entry: &'a Entry,
    outlet: Option<Uuid>,
    count: u32,
}

impl Choice<'_> {
    fn text(&self) -> &str {
        let text = if self.outlet.is_none() { Text::Chain } else { Text::Organization };
        self.entry.text(text).unwrap_or_default()
    }

    /// By how well it matches; then each chain by name, before its outlets by name.
    fn place(&self, needle: &str) -> impl Ord {
        let outlet = self.outlet.map(|id| (self.text(), id));
        (self.rank(needle), self.entry.text(Text::Chain), self.entry.chain_id, outlet)
    }

    /// How well it matches: an exact or leading match comes first, so that Enter takes what was meant.
    fn rank(&self, needle: &str) -> u8 {
        match self.text() {
            text if needle.is_empty() || text == needle => 0,
            text if text.starts_with(needle) => 1,
            text if text.contains(needle) => 2,
            _ => 3,
        }
    }

    fn to_option(&self) -> OutletOption {
        OutletOption {
            chain_id: self.entry.chain_id.to_string(),
            chain: self.entry.chain.as_ref().into(),
            outlet_id: self.outlet.map(|id| id.to_string()),
            organization: self.outlet.map(|_| self.entry.organization.as_ref().into()),
            count: self.count,
        }
    }
}

impl Fleet {
    /// The first choices in which `search` occurs, the best first.
    pub(crate) fn outlet_options(&self, search: &str) -> OutletOptions {
        let needle = fold(search.trim());
        let has = |entry: &Entry, text| entry.text(text).is_some_and(|text| text.contains(&needle));
        let mut choices: HashMap<(Uuid, Option<Uuid>), Choice<'_>> = HashMap::new();
        for Slot { entry, .. } in &self.slots {
            let is_in_chain = has(entry, Text::Chain);
            for (outlet, matches) in
                [(None, is_in_chain), (Some(entry.outlet_id), is_in_chain || has(entry, Text::Organization))]
            {
                if matches {
                    let new = || Choice { entry, outlet, count: 0 };
                    choices.entry((entry.chain_id, outlet)).or_insert_with(new).count += 1;
                }
            }
        }
        let matching = choices.len() as u32;
        let mut choices: Vec<Choice<'_>> = choices.into_values().collect();
        let compare = |a: &Choice<'_>, b: &Choice<'_>| a.place(&needle).cmp(&b.place(&needle));
        if choices.len() > OFFERED {
            choices.select_nth_unstable_by(OFFERED, compare);
            choices.truncate(OFFERED);
        }
        choices.sort_unstable_by(compare);
        OutletOptions { items: choices.iter().map(Choice::to_option).collect(), matching }
    }

    /// The choice that stands for an outlet, or for a chain; none when there is no row of it.
    pub(crate) fn outlet_option(&self, chain: Option<Uuid>, outlet: Option<Uuid>) -> Option<OutletOption> {
        let of_it = |entry: &&Entry| match outlet {
            Some(outlet) => entry.outlet_id == outlet,
            None => Some(entry.chain_id) == chain,
        };
        let mut entries = self.slots.iter().map(|slot| &*slot.entry).filter(of_it);
        let entry = entries.next()?;
        Some(Choice { entry, outlet, count: 1 + entries.count() as u32 }.to_option())
    }

    /// What these chains and outlets are called, as far as there are rows of them.
    pub(crate) fn names(&self, ids: &HashSet<Uuid>) -> HashMap<Uuid, String> {
        let mut names = HashMap::new();
        for Slot { entry, .. } in &self.slots {
            for (id, name) in [(entry.chain_id, &*entry.chain), (entry.outlet_id, &*entry.organization)] {
                if ids.contains(&id) {
                    names.entry(id).or_insert_with(|| name.to_owned());
                }
            }
        }
        names
    }
}
