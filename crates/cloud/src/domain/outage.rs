//! Many outlets that fall silent at once: a provider, a data line, the power of a district, rather than one
//! store's own trouble.
//!
//! **The rule.** Of the outlets of a chain that were online, or else of all outlets of the cloud, at least a
//! fifth and at least five lost their links without a goodbye within 60 seconds.
//!
//! **Why these figures.** Links of healthy stores break about once a day each, at random: of a chain of 1,000
//! outlets 0.7 a minute, where the rule asks for 200; of one of 25, one in an hour, where it asks for five in
//! the same minute. Five, because two or three restaurants may well share a street and a bad evening. A minute,
//! because a link that is cut without a reset is given up 30 to 45 seconds after the others.
//!
//! **What never counts.** A goodbye or a clean close; a session that a newer one replaced; the links of a node
//! that drains or dies, which make stores *unknown*, and stores that did not come back after that.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use tillwatch_protocol::ids::{ChainId, OutletId, PosServerId};
use tillwatch_protocol::rest::pos_server::{Confidence, Evidence, OfflineCause};

use super::presence::{self, Presence};

/// Losses this far apart belong together.
pub const WINDOW: TimeDelta = TimeDelta::seconds(60);
/// Fewer outlets than this are no wave.
pub const LEAST: usize = 5;
/// One in so many outlets must be lost.
const SHARE: usize = 5;

/// A link that was lost without a goodbye.
#[derive(Clone, Copy, Debug)]
pub struct Loss {
    /// Of which POS server.
    pub id: PosServerId,
    /// Of which chain.
    pub chain: ChainId,
    /// At which outlet.
    pub outlet: OutletId,
    /// When.
    pub at: DateTime<Utc>,
}

/// A wave that a loss is a part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wave {
    /// Whether it was counted within the chain, or else in the whole cloud.
    pub in_chain: bool,
    /// How many outlets were lost.
    pub outlets: usize,
    /// Of how many that were online.
    pub of: usize,
}

/// Which of the losses are parts of a wave that `now` goes on. `online` counts the outlets of each chain that
/// are online besides those lost.
pub(crate) fn waves(
    losses: &[Loss],
    online: &HashMap<ChainId, usize>,
    now: DateTime<Utc>,
) -> HashMap<PosServerId, Wave> {
    let recent = || losses.iter().filter(|loss| now - loss.at <= WINDOW);
    let mut lost: HashMap<ChainId, HashSet<OutletId>> = HashMap::new();
    for loss in recent() {
        lost.entry(loss.chain).or_default().insert(loss.outlet);
    }
    let wave = |in_chain, outlets: usize, others: usize| {
        let of = outlets + others;
        (outlets >= LEAST.max(of.div_ceil(SHARE))).then_some(Wave { in_chain, outlets, of })
    };
    let of_cloud = wave(false, lost.values().map(HashSet::len).sum(), online.values().sum());
    let of_chains: HashMap<ChainId, Wave> = lost
        .iter()
        .filter_map(|(chain, outlets)| {
            let others = online.get(chain).copied().unwrap_or(0);
            Some((*chain, wave(true, outlets.len(), others).or(of_cloud)?))
        })
        .collect();
    recent().filter_map(|loss| Some((loss.id, *of_chains.get(&loss.chain)?))).collect()
}

/// The code of the observation.
pub const CODE: &str = "outage_nearby";

/// A link that was lost in a wave.
pub fn in_wave(before: &[Evidence], wave: Wave, now: DateTime<Utc>) -> Presence {
    let params = json!({
        "outlets": wave.outlets,
        "of": wave.of,
        "scope": if wave.in_chain { "chain" } else { "cloud" },
        "within_seconds": WINDOW.num_seconds(),
    });
    let evidence = presence::with_evidence(before, presence::evidence(CODE, now, params));
    Presence::because(OfflineCause::OutageNearby, Confidence::Likely, evidence)
}

/// Whether evidence that was written tells of so small a part of a wave that it should be told anew. Each is
/// so a few times only, however large a wave grows.
pub fn is_outgrown(evidence: &[Evidence], wave: Wave) -> bool {
    let told = evidence.iter().find(|known| known.code == CODE);
    let told = told.and_then(|known| known.params.get("outlets")).and_then(serde_json::Value::as_u64);
    told.is_none_or(|told| wave.outlets as u64 >= 2 * told)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn losses(chain: ChainId, count: usize, at: DateTime<Utc>) -> Vec<Loss> {
        (0..count).map(|_| Loss { id: PosServerId::new(), chain, outlet: OutletId::new(), at }).collect()
    }

    #[test]
    fn a_fifth_and_five_make_a_wave() {
        let now = Utc::now();
        let chain = ChainId::new();
        for (lost, online, expected) in [
            (4, 0, None),
            (5, 0, Some((5, 5))),
            (5, 20, Some((5, 25))),
            (5, 21, None),
            (199, 801, None),
            (200, 800, Some((200, 1000))),
        ] {
            let waves = waves(&losses(chain, lost, now), &HashMap::from([(chain, online)]), now);
            assert_eq!(waves.len(), expected.map_or(0, |_| lost), "{lost} of {online}");
            for wave in waves.values() {
                assert_eq!(Some((wave.outlets, wave.of)), expected);
                assert!(wave.in_chain);
            }
        }
    }

    #[test]
    fn small_chains_fall_together_and_large_ones_alone() {
        let now = Utc::now();
        let (mine, other) = (ChainId::new(), ChainId::new());
        let both = [losses(mine, 3, now), losses(other, 3, now)].concat();
        let found = waves(&both, &HashMap::from([(mine, 4), (other, 4)]), now);
        assert_eq!(found.len(), 6);
        assert!(found.values().all(|wave| !wave.in_chain && (wave.outlets, wave.of) == (6, 14)));
        // A single loss elsewhere is nothing, though a chain is down.
        let one = [losses(mine, 10, now), losses(other, 1, now)].concat();
        let found = waves(&one, &HashMap::from([(mine, 0), (other, 100)]), now);
        assert_eq!(found.len(), 10);
    }

    #[test]
    fn an_outlet_counts_once_and_what_is_long_ago_not_at_all() {
        let now = Utc::now();
        let chain = ChainId::new();
        let mut of_one_outlet = losses(chain, 8, now);
        let outlet = of_one_outlet[0].outlet;
        for loss in &mut of_one_outlet {
            loss.outlet = outlet;
        }
        assert!(waves(&of_one_outlet, &HashMap::new(), now).is_empty());
        let mut slow = losses(chain, 4, now);
        slow.extend(losses(chain, 4, now - TimeDelta::seconds(61)));
        assert!(waves(&slow, &HashMap::new(), now).is_empty());
    }

    #[test]
    fn what_was_told_of_a_wave_is_told_anew_when_it_doubled() {
        let now = Utc::now();
        let wave = |outlets| Wave { in_chain: true, outlets, of: 100 };
        let told = in_wave(&[], wave(20), now).evidence;
        assert!(!is_outgrown(&told, wave(39)) && is_outgrown(&told, wave(40)) && is_outgrown(&[], wave(20)));
    }
}
