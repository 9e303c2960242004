//! The rows against a naive model, and by example.

use chrono::TimeDelta;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::ipc::{Highlight, LinkState, OutletOption, PosState, SelectOp, Sort};

fn now() -> DateTime<Utc> {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

/// A status of store `n` that is well, with `change` merged into it.
pub(crate) fn status(n: u128, change: serde_json::Value) -> Status {
    let mut status = json!({
        "id": Uuid::from_u128(n), "name": "Main POS", "revision": n as i64,
        "chain": {"id": Uuid::from_u128(1), "name": "Pica"},
        "outlet": {"id": Uuid::from_u128(1000 + n), "name": format!("Outlet {n:05}"), "crm_id": format!("{}", 10_000 + n),
                   "address": "Brīvības iela 1, Rīga", "time_zone": "Europe/Riga"},
        "link": {"state": "online", "since": now(), "last_seen_at": now(), "connector_version": "0.1.0",
                 "cause": null, "confidence": null, "evidence": []},
        "pos": {"state": "running", "version": "34.6.0", "version_updated_at": null,
                "required_version": "34.6.0", "update_required": false},
        "exchange": {"last_success_at": now(), "last_attempt_at": now(), "error": null,
                     "behind": {"changes": 0, "oldest_at": null}},
        "database": {"generation": 1, "created_at": now(), "size_bytes": 4096, "unsent_transactions": 0},
        "last_report_at": now(), "highlight": "none", "active_jobs": []
    });
    merge(&mut status, change);
    serde_json::from_value(status).unwrap()
}

fn merge(into: &mut serde_json::Value, change: serde_json::Value) {
    match (into, change) {
        (serde_json::Value::Object(into), serde_json::Value::Object(change)) => {
            for (key, value) in change {
                merge(into.entry(key).or_insert(serde_json::Value::Null), value);
            }
        }
        (into, change) => *into = change,
    }
}

fn fleet(statuses: Vec<Status>) -> Fleet {
    let mut fleet = Fleet::default();
    fleet.replace(statuses, now());
    fleet
}

fn ids(fleet: &mut Fleet) -> Vec<u128> {
    fleet.matching(now()).iter().map(|entry| entry.id.as_u128()).collect()
}

fn ask(fleet: &mut Fleet, query: &GridQuery) -> Vec<u128> {
    fleet.set_query(query, now()).unwrap();
    ids(fleet)
}

fn by(column: &str, descending: bool) -> Sort {
    Sort { column: column.into(), descending }
}

fn error(message: &str) -> serde_json::Value {
    json!({"highlight": "error", "exchange": {"error":
        {"code": "database_inconsistent", "message": message, "since": now(), "consecutive_failures": 3}}})
}

#[test]
fn each_filter_keeps_what_it_says() {
    let offline =
        json!({"link": {"state": "offline", "cause": "connection_lost"}, "pos": {"state": "unknown"}});
    let old = json!({"pos": {"version": "34.5.2", "update_required": true}, "highlight": "update_required"});
    let mut fleet = fleet(vec![
        status(1, json!({})),
        status(2, error("Checksums differ")),
        status(3, offline),
        status(4, old),
        status(5, json!({"last_report_at": now() - TimeDelta::hours(5)})),
        status(6, json!({"last_report_at": null, "link": {"state": "never_connected"}})),
        status(7, json!({"pos": {"state": "stopped"}})),
        status(8, json!({"chain": {"id": Uuid::from_u128(2), "name": "Суши"}, "link": {"state": "unknown"}})),
    ]);
    let query = GridQuery::default;
    let chain = |n| Some(Uuid::from_u128(n).to_string());
    for (query, expected) in [
        (query(), vec![1, 2, 3, 4, 5, 6, 7, 8]),
        (GridQuery { problems_only: true, ..query() }, vec![2, 3, 4, 6, 7, 8]),
        // Five hours are within five hours; what never reported is not.
        (GridQuery { within: Some("PT5H".into()), ..query() }, vec![1, 2, 3, 4, 5, 7, 8]),
        (GridQuery { within: Some("PT4H59M".into()), ..query() }, vec![1, 2, 3, 4, 7, 8]),
        (GridQuery { chain_id: chain(2), ..query() }, vec![8]),
        (GridQuery { outlet_id: chain(1003), ..query() }, vec![3]),
        (GridQuery { search: "BRĪVĪBAS outlet 00004".into(), ..query() }, vec![4]),
        (GridQuery { search: " суШи ".into(), ..query() }, vec![8]),
        (GridQuery { search: "differ".into(), ..query() }, vec![2]),
        (GridQuery { search: "34.5".into(), ..query() }, vec![4]),
        (GridQuery { search: "pica brī".into(), ..query() }, vec![1, 2, 3, 4, 5, 6, 7]),
        (GridQuery { only: Some(Only::Error), ..query() }, vec![2]),
        (GridQuery { only: Some(Only::UpdateRequired), ..query() }, vec![4]),
        (GridQuery { only: Some(Only::Offline), ..query() }, vec![3]),
        (GridQuery { only: Some(Only::Unknown), ..query() }, vec![8]),
    ] {
        assert_eq!(ask(&mut fleet, &query), expected, "{query:?}");
    }
    let summary = fleet.summary(now());
    assert_eq!((summary.errors, summary.update_required, summary.offline, summary.unknown), (1, 1, 1, 1));
    assert_eq!((summary.total, summary.matching), (8, 1));
}

#[test]
fn what_is_no_query_is_refused_and_the_old_one_stays() {
    let mut fleet = fleet(vec![status(1, json!({})), status(2, error("x"))]);
    ask(&mut fleet, &GridQuery { only: Some(Only::Error), ..GridQuery::default() });
    for query in [
        GridQuery { within: Some("5 hours".into()), ..GridQuery::default() },
        GridQuery { chain_id: Some("all".into()), ..GridQuery::default() },
    ] {
        assert_eq!(fleet.set_query(&query, now()).unwrap_err().code, "invalid_request");
    }
    assert_eq!(ids(&mut fleet), [2]);
}

#[test]
fn several_columns_order_and_missing_values_are_last() {
    let mut fleet = fleet(vec![
        status(1, json!({"pos": {"version": "34.10.0"}})),
        status(2, json!({"pos": {"version": "34.9.1"}})),
        status(3, json!({"pos": {"version": null}})),
        status(4, json!({"pos": {"version": "34.9.1"}, "outlet": {"name": "outlet 00001"}})),
        status(5, json!({"pos": {"version": "next"}, "outlet": {"name": "ābele"}})),
    ]);
    for (sort, expected) in [
        (vec![by("pos_version", false)], vec![2, 4, 1, 3, 5]),
        (vec![by("pos_version", true)], vec![1, 2, 4, 3, 5]),
        (vec![by("pos_version", true), by("organization", false)], vec![1, 4, 2, 3, 5]),
        (vec![by("organization", true)], vec![5, 3, 2, 1, 4]),
        (vec![by("nonsense", true)], vec![1, 2, 3, 4, 5]),
    ] {
        assert_eq!(
            ask(&mut fleet, &GridQuery { sort: sort.clone(), ..GridQuery::default() }),
            expected,
            "{sort:?}"
        );
    }
}

#[test]
fn the_selection_follows_the_order_and_never_hides() {
    let mut fleet = fleet((1..=6).map(|n| status(n, json!({}))).collect());
    fleet.select(SelectOp::Only { index: 4 }, now());
    fleet.select(SelectOp::Extend { index: 2, keep: false }, now());
    fleet.select(SelectOp::Toggle { index: 3 }, now());
    fleet.select(SelectOp::Toggle { index: 0 }, now());
    let selected = |fleet: &mut Fleet| -> Vec<u128> {
        fleet.selected_rows(now()).iter().map(|row| row.id.parse::<Uuid>().unwrap().as_u128()).collect()
    };
    assert_eq!(selected(&mut fleet), [1, 3, 5]);
    // A full load keeps it, a query drops what it hides.
    fleet.replace((1..=6).map(|n| status(n, error("x"))).collect(), now());
    assert_eq!(selected(&mut fleet), [1, 3, 5]);
    ask(&mut fleet, &GridQuery { search: "00003".into(), ..GridQuery::default() });
    ask(&mut fleet, &GridQuery::default());
    assert_eq!(selected(&mut fleet), [3]);
    fleet.select(SelectOp::All, now());
    assert_eq!(fleet.summary(now()).selected, 6);
    fleet.select(SelectOp::Only { index: 99 }, now());
    assert_eq!(fleet.summary(now()).selected, 0);
    fleet.select(SelectOp::None, now());
    assert_eq!(selected(&mut fleet), Vec::<u128>::new());
    // A second range beside the first, over a row that is selected already.
    fleet.select(SelectOp::Only { index: 0 }, now());
    fleet.select(SelectOp::Extend { index: 1, keep: false }, now());
    fleet.select(SelectOp::Toggle { index: 4 }, now());
    fleet.select(SelectOp::Toggle { index: 3 }, now());
    fleet.select(SelectOp::Extend { index: 5, keep: true }, now());
    assert_eq!(selected(&mut fleet), [1, 2, 4, 5, 6]);
    fleet.select(SelectOp::Extend { index: 2, keep: false }, now());
    assert_eq!(selected(&mut fleet), [3, 4]);
}

/// The indexes and stores that changed, and over which version.
fn changes(fleet: &mut Fleet) -> (u32, Vec<(u32, u128)>) {
    let changes = fleet.changes(now()).expect("rows are watched");
    let id = |row: &Row| row.id.parse::<Uuid>().unwrap().as_u128();
    (changes.since, changes.rows.iter().map(|placed| (placed.index, id(&placed.row))).collect())
}

#[test]
fn of_the_rows_on_screen_only_those_that_changed_are_told() {
    let mut fleet = fleet((1..=100).map(|n| status(n, json!({}))).collect());
    assert!(fleet.changes(now()).is_none(), "nobody looks");
    let shown = fleet.window(10, 5, now());
    fleet.apply(status(13, json!({"revision": 500, "highlight": "error"})));
    fleet.apply(status(90, json!({"revision": 501, "highlight": "error"})));
    assert_eq!(changes(&mut fleet), (shown.version, vec![(12, 13)]));
    let version = fleet.summary(now()).version;
    assert_eq!(changes(&mut fleet), (version, vec![]), "told once");
    fleet.select(SelectOp::Only { index: 14 }, now());
    assert_eq!(changes(&mut fleet).1, [(14, 15)], "a selection shows");
    // One that is gone from above moves up all that follow.
    fleet.remove(Uuid::from_u128(12));
    assert_eq!(changes(&mut fleet).1, [(11, 13), (12, 14), (13, 15), (14, 16)]);
    // What the user may do stands in each row.
    fleet.set_access(Access::default());
    assert!(changes(&mut fleet).1.is_empty());
    let admin = json!({"user": {"id": Uuid::from_u128(7), "email": "a@b.c", "name": "A", "admin": true},
        "everywhere": [], "chains": [], "outlets": []});
    fleet.set_access(Access::from(&serde_json::from_value(admin).unwrap()));
    assert_eq!(changes(&mut fleet).1.len(), 5);
    ask(&mut fleet, &GridQuery { search: "00001".into(), ..GridQuery::default() });
    assert!(changes(&mut fleet).1.is_empty(), "beyond the end there is nothing");
}

#[test]
fn keyboard_and_range_stay_at_their_stores_when_rows_move() {
    let by_name = GridQuery { sort: vec![by("organization", false)], ..GridQuery::default() };
    let mut fleet = fleet((1..=9).map(|n| status(n, json!({}))).collect());
    ask(&mut fleet, &by_name);
    fleet.select(SelectOp::Only { index: 4 }, now());
    fleet.set_cursor(Some(Uuid::from_u128(5)));
    assert_eq!(fleet.cursor(now()).unwrap().index, Some(4));
    // Store 9 comes to the top, so that each moves down by one.
    fleet.apply(status(9, json!({"revision": 500, "outlet": {"name": "AAA"}})));
    assert_eq!(fleet.cursor(now()).unwrap().index, Some(5));
    fleet.select(SelectOp::Extend { index: 7, keep: false }, now());
    let selected: Vec<_> = fleet.selected_entries(now()).iter().map(|entry| entry.id.as_u128()).collect();
    assert_eq!(selected, [5, 6, 7]);
    ask(&mut fleet, &GridQuery { search: "00003".into(), ..by_name });
    assert_eq!(fleet.cursor(now()).unwrap().index, None);
    fleet.select(SelectOp::Extend { index: 0, keep: false }, now());
    assert_eq!(fleet.summary(now()).selected, 1, "a range from what is not there begins where it ends");
    fleet.set_cursor(None);
    assert!(fleet.cursor(now()).is_none());
}

#[test]
fn rows_grow_too_old_while_live_and_stand_still_while_not() {
    let mut fleet = fleet(vec![status(1, json!({}))]);
    fleet.set_query(&GridQuery { within: Some("PT1H".into()), ..GridQuery::default() }, now()).unwrap();
    let later = now() + TimeDelta::hours(2);
    assert_eq!(fleet.summary(later).matching, 1, "what is not live is as old as it was");
    fleet.set_live(true, now());
    let before = fleet.summary(now()).version;
    let summary = fleet.summary(later);
    assert_eq!(summary.matching, 0);
    assert!(summary.version > before);
}

#[test]
fn an_older_status_changes_nothing() {
    let mut fleet = fleet(vec![status(5, json!({"revision": 9}))]);
    assert!(fleet.apply(status(5, json!({"revision": 8, "highlight": "error"}))).is_none());
    assert!(fleet.apply(status(5, json!({"revision": 9}))).is_none());
    let version = fleet.summary(now()).version;
    assert!(fleet.apply(status(5, json!({"revision": 10, "highlight": "error"}))).is_some());
    assert!(fleet.summary(now()).version > version);
    assert_eq!(fleet.summary(now()).errors, 1);
}

#[test]
fn a_full_load_tells_what_changed() {
    let mut fleet = fleet((1..=4).map(|n| status(n, json!({}))).collect());
    let replaced =
        fleet.replace(vec![status(1, json!({})), status(2, error("x")), status(9, json!({}))], now());
    assert_eq!(replaced.changed.iter().map(|entry| entry.id.as_u128()).collect::<Vec<_>>(), [2, 9]);
    assert_eq!(replaced.removed.iter().map(Uuid::as_u128).collect::<Vec<_>>(), [3, 4]);
    assert_eq!(ids(&mut fleet), [1, 2, 9]);
}

#[test]
fn chains_come_before_their_outlets() {
    let other = json!({"chain": {"id": Uuid::from_u128(2), "name": "ananas"}});
    let same_outlet = json!({"outlet": {"id": Uuid::from_u128(1001), "name": "Outlet 00001"}});
    let fleet = fleet(vec![status(1, json!({})), status(2, same_outlet), status(3, other)]);
    let found = |search| {
        let options = fleet.outlet_options(search);
        assert_eq!(options.matching as usize, options.items.len());
        let told = |option: OutletOption| (option.chain, option.organization, option.count);
        options.items.into_iter().map(told).collect::<Vec<_>>()
    };
    let chain = |name: &str, count| (name.to_owned(), None, count);
    let outlet = |chain: &str, name: &str, count| (chain.to_owned(), Some(name.to_owned()), count);
    let all = [
        chain("ananas", 1),
        outlet("ananas", "Outlet 00003", 1),
        chain("Pica", 2),
        outlet("Pica", "Outlet 00001", 2),
    ];
    assert_eq!(found(""), all);
    assert_eq!(found(" PICA"), all[2..], "a chain's outlets come with it");
    assert_eq!(found("00001"), all[3..]);
    assert_eq!(found("nobody"), []);
}

#[test]
fn the_best_choices_are_offered_and_the_others_counted() {
    let named =
        |n: u128, name: &str| status(n, json!({"outlet": {"id": Uuid::from_u128(5000 + n), "name": name}}));
    let mut statuses: Vec<_> = (1..=300).map(|n| status(n, json!({}))).collect();
    statuses.extend([named(301, "Old Outlet 00001"), named(302, "Outlet"), named(303, "Outlet 000")]);
    let fleet = fleet(statuses);
    let options = fleet.outlet_options("outlet 000");
    let names: Vec<_> = options.items.iter().map(|option| option.organization.as_deref().unwrap()).collect();
    assert_eq!(options.matching, 1 + 99 + 1, "whatever begins so or holds it");
    assert_eq!(
        (names.len(), &names[..2], names[99]),
        (100, &["Outlet 000", "Outlet 00001"][..], "Outlet 00099")
    );
    let all = fleet.outlet_options("");
    assert_eq!((all.items.len(), all.matching), (100, 304));
    assert_eq!(all.items[0].organization, None);

    // Of what is chosen the name is known however many there are.
    let (pica, outlet) = (all.items[0].chain_id.parse().ok(), Some(Uuid::from_u128(5302)));
    assert_eq!(fleet.outlet_option(pica, None).unwrap().count, 303);
    assert_eq!(fleet.outlet_option(None, outlet).unwrap().organization.as_deref(), Some("Outlet"));
    assert_eq!(fleet.outlet_option(None, Some(Uuid::from_u128(9))), None);
}

/// One thing that happens to the fleet.
#[derive(Clone, Debug)]
enum Step {
    Apply(u8, Changed),
    Remove(u8),
    Ask(GridQuery),
}

#[derive(Clone, Debug)]
struct Changed {
    organization: String,
    version: Option<&'static str>,
    behind: u8,
    reported_hours_ago: Option<i8>,
    failed: bool,
    online: bool,
}

fn changed() -> impl Strategy<Value = Changed> {
    (
        "[aAbBāЯ\u{0}]{0,3}|common beginning [ab]{0,16}",
        proptest::option::of(proptest::sample::select(vec![
            "34.1",
            "34.10",
            "34.9",
            "34.9.0",
            "1.2.3.4.5",
            "x",
        ])),
        0..3_u8,
        proptest::option::of(-2..8_i8),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(organization, version, behind, reported_hours_ago, failed, online)| Changed {
            organization,
            version,
            behind,
            reported_hours_ago,
            failed,
            online,
        })
}

fn query() -> impl Strategy<Value = GridQuery> {
    let column = proptest::sample::select(vec![
        "organization",
        "pos_version",
        "behind",
        "last_report_at",
        "link",
        "error",
    ]);
    let sort = proptest::collection::vec((column, any::<bool>()), 0..4);
    (sort, any::<bool>(), proptest::option::of(1..6_u8), "[ab я]{0,3}").prop_map(
        |(sort, problems_only, hours, search)| GridQuery {
            within: hours.map(|hours| format!("PT{hours}H")),
            problems_only,
            search,
            sort: sort.into_iter().map(|(column, descending)| by(column, descending)).collect(),
            ..GridQuery::default()
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..40_u8, changed()).prop_map(|(n, changed)| Step::Apply(n, changed)),
        1 => (0..40_u8).prop_map(Step::Remove),
        2 => query().prop_map(Step::Ask),
    ]
}

fn changed_status(n: u8, revision: usize, changed: &Changed) -> Status {
    let failed = if changed.failed { error("b fails") } else { json!({}) };
    let mut change = json!({
        "revision": revision,
        "outlet": {"name": changed.organization},
        "pos": {"version": changed.version},
        "exchange": {"behind": {"changes": changed.behind}},
        "last_report_at": changed.reported_hours_ago.map(|hours| now() - TimeDelta::hours(hours.into())),
        "link": {"state": if changed.online { "online" } else { "offline" }},
    });
    merge(&mut change, failed);
    status(n.into(), change)
}

/// What the rows should be, the slow way.
fn naive(rows: &[Row], query: &GridQuery) -> Vec<String> {
    use tillwatch_protocol::link::version::PosVersion;
    let since = query
        .within
        .as_deref()
        .map(|within| now() - tillwatch_protocol::time::parse_duration(within).unwrap());
    let search = query.search.to_lowercase();
    let mut rows: Vec<&Row> = rows
        .iter()
        .filter(|row| since.is_none_or(|since| row.last_report_at.is_some_and(|at| at >= since)))
        .filter(|row| {
            let well = row.highlight == Highlight::None
                && row.link_state == LinkState::Online
                && row.pos_state == PosState::Running;
            !(query.problems_only && well)
        })
        .filter(|row| {
            let error = row.error.as_ref();
            let texts = [
                Some(&row.organization),
                Some(&row.chain),
                Some(&row.crm_id),
                Some(&row.address),
                Some(&row.name),
                row.pos_version.as_ref(),
                row.required_version.as_ref(),
                row.connector_version.as_ref(),
                error.map(|error| &error.message),
                error.map(|error| &error.code),
            ];
            search
                .split_whitespace()
                .all(|word| texts.iter().flatten().any(|text| text.to_lowercase().contains(word)))
        })
        .collect();
    rows.sort_by(|a, b| {
        let mut by_columns = query.sort.iter().map(|sort| {
            let order = |a: Option<std::cmp::Ordering>, a_missing: bool, b_missing: bool| match a {
                Some(order) if sort.descending => order.reverse(),
                Some(order) => order,
                None => a_missing.cmp(&b_missing),
            };
            match sort.column.as_str() {
                "organization" => order(
                    Some(a.organization.to_lowercase().cmp(&b.organization.to_lowercase())),
                    false,
                    false,
                ),
                "pos_version" => {
                    let key = |row: &Row| {
                        row.pos_version.as_deref().and_then(|text| text.parse::<PosVersion>().ok())
                    };
                    let (a, b) = (key(a), key(b));
                    order(a.as_ref().zip(b.as_ref()).map(|(a, b)| a.cmp(b)), a.is_none(), b.is_none())
                }
                "behind" => order(Some(a.behind_changes.cmp(&b.behind_changes)), false, false),
                "last_report_at" => order(
                    a.last_report_at.zip(b.last_report_at).map(|(a, b)| a.cmp(&b)),
                    a.last_report_at.is_none(),
                    b.last_report_at.is_none(),
                ),
                "link" => order(
                    Some((a.link_state == LinkState::Offline).cmp(&(b.link_state == LinkState::Offline))),
                    false,
                    false,
                ),
                _ => {
                    let key = |row: &Row| row.error.as_ref().map(|error| error.message.to_lowercase());
                    let (a, b) = (key(a), key(b));
                    order(a.as_ref().zip(b.as_ref()).map(|(a, b)| a.cmp(b)), a.is_none(), b.is_none())
                }
            }
        });
        by_columns.find(|order| order.is_ne()).unwrap_or_else(|| a.id.cmp(&b.id))
    });
    rows.iter().map(|row| row.id.clone()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_happens_the_view_is_what_the_slow_way_finds(steps in proptest::collection::vec(step(), 1..120)) {
        let mut fleet = fleet((0..40).map(|n| status(n, json!({"revision": 0}))).collect());
        let mut asked = GridQuery::default();
        for (index, step) in steps.iter().enumerate() {
            match step {
                Step::Apply(n, changed) => drop(fleet.apply(changed_status(*n, index + 1, changed))),
                Step::Remove(n) => drop(fleet.remove(Uuid::from_u128(u128::from(*n)))),
                Step::Ask(query) => {
                    fleet.set_query(query, now()).unwrap();
                    asked = query.clone();
                }
            }
            // Several changes between two looks, as while events come in.
            if index % 3 == 0 {
                let all: Vec<Row> = (0..fleet.slots.len() as u32).map(|place| fleet.to_row(place)).collect();
                let seen: Vec<String> = fleet.window(0, 1000, now()).rows.into_iter().map(|row| row.id).collect();
                prop_assert_eq!(seen, naive(&all, &asked));
                let summary = fleet.summary(now());
                let count = |is: fn(&Row) -> bool| all.iter().filter(|row| is(row)).count() as u32;
                prop_assert_eq!(summary.errors, count(|row| row.highlight == Highlight::Error));
                prop_assert_eq!(summary.offline, count(|row| row.link_state == LinkState::Offline));
            }
        }
    }
}
