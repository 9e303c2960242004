//! Who may do what: each call of the `OpenAPI` document, asked by everybody there is.
//!
//! A line of the table is a call, by its operation id, and what everybody gets. After a colon it may name a
//! variant, which `world.rs` tells apart. A call without a line fails the test; the failure prints what the
//! cloud answered, in the form of a line, for whoever adds one to check against what should be.
//!
//! `ok` is any answer that does not refuse the one who asks: done, or held up by the state of things (409). The
//! rest are the statuses of a refusal: 401 who are you, 403 seen but not allowed, 404 not for you. Any other
//! status stands with an exclamation mark: a fleet is imported line by line, and a line for a foreign chain is bad.

mod world;

use std::collections::{BTreeMap, BTreeSet};

use self::world::{Role, World};
use crate::contract::DOCUMENT;

/// `nobody` has no token, `stranger` no grants, `foreign` all permissions in another chain. The next six have
/// grants for the outlet that is asked about: `blind` all but `outlet_setup`, `setup` that alone, `logs`, `reset`
/// and `relay` one permission more. `chain` has `outlet_setup` and `admin` in the chain, `admin` is one everywhere. `ended` was an
/// admin whose session has ended. The last three are stores: the one that is asked about, another one, and one
/// whose identity was revoked.
const MATRIX: &str = "
call                     nobody stranger foreign blind setup logs reset relay chain admin ended store other revoked
get_healthz              ok     ok       ok      ok    ok    ok   ok    ok    ok    ok    ok    ok    ok    ok
get_readyz               ok     ok       ok      ok    ok    ok   ok    ok    ok    ok    ok    ok    ok    ok
sign_in                  ok     ok       ok      ok    ok    ok   ok    ok    ok    ok    ok    ok    ok    ok
list_sso_providers       ok     ok       ok      ok    ok    ok   ok    ok    ok    ok    ok    ok    ok    ok
start_sso                404    404      404     404   404   404  404   404   404   404   404   404   404   404
finish_sso               404    404      404     404   404   404  404   404   404   404   404   404   404   404
refresh_session          ok     ok       ok      ok    ok    ok   ok    ok    ok    ok    ok    ok    ok    ok
sign_out                 401    ok       ok      ok    ok    ok   ok    ok    ok    ok    401   401   401   401
list_sessions            401    ok       ok      ok    ok    ok   ok    ok    ok    ok    401   401   401   401
end_session:own          401    ok       ok      ok    ok    ok   ok    ok    ok    ok    401   401   401   401
end_session:of_another   401    404      404     404   404   404  404   404   404   404   401   401   401   401
change_password          401    ok       ok      ok    ok    ok   ok    ok    ok    ok    401   401   401   401
get_me                   401    ok       ok      ok    ok    ok   ok    ok    ok    ok    401   401   401   401
list_outlets             401    ok       ok      ok    ok    ok   ok    ok    ok    ok    401   401   401   401
list_outlets:of_chain    401    404      404     404   ok    ok   ok    ok    ok    ok    401   401   401   401
list_pos_servers         401    ok       ok      ok    ok    ok   ok    ok    ok    ok    401   401   401   401
list_pos_servers:chain   401    404      404     404   ok    ok   ok    ok    ok    ok    401   401   401   401
list_pos_servers:outlet  401    404      404     404   ok    ok   ok    ok    ok    ok    401   401   401   401
get_pos_server           401    404      404     404   ok    ok   ok    ok    ok    ok    401   401   401   401
get_timeline             401    404      404     404   ok    ok   ok    ok    ok    ok    401   401   401   401
list_backups             401    404      404     404   ok    ok   ok    ok    ok    ok    401   401   401   401
follow_events            401    ok       ok      ok    ok    ok   ok    ok    ok    ok    401   401   401   401
start_job:diagnose       401    404      404     404   ok    ok   ok    ok    ok    ok    401   401   401   401
start_job:exchange_now   401    404      404     404   ok    ok   ok    ok    ok    ok    401   401   401   401
start_job:retrieve_logs  401    404      404     404   403   ok   403   403   403   ok    401   401   401   401
start_job:reset          401    404      404     404   403   403  ok    403   403   ok    401   401   401   401
start_job:restore        401    404      404     404   403   403  ok    403   403   ok    401   401   401   401
start_job:restart_pos    401    404      404     404   403   403  ok    403   403   ok    401   401   401   401
relay_request            401    404      404     ok    403   403  403   ok    403   ok    401   401   401   401
list_jobs                401    ok       ok      ok    ok    ok   ok    ok    ok    ok    401   401   401   401
get_job                  401    404      404     404   ok    ok   ok    ok    ok    ok    401   401   401   401
cancel_job               401    404      404     404   403   ok   403   403   403   ok    401   401   401   401
download_archive         401    404      404     404   403   ok   403   403   403   ok    401   401   401   401
put_programs             401    404      404     404   403   403  403   403   ok    ok    401   401   401   401
patch_programs           401    404      404     404   403   403  403   403   ok    ok    401   401   401   401
put_guests               401    404      404     404   403   403  403   403   ok    ok    401   401   401   401
patch_guests             401    404      404     404   403   403  403   403   ok    ok    401   401   401   401
put_guest_accounts       401    404      404     404   403   403  403   403   ok    ok    401   401   401   401
patch_guest_accounts     401    404      404     404   403   403  403   403   ok    ok    401   401   401   401
enroll_store             ok     ok       ok      ok    ok    ok   ok    ok    ok    ok    ok    ok    ok    ok
open_link                401    401      401     401   401   401  401   401   401   401   401   ok    ok    401
send_heartbeat           401    401      401     401   401   401  401   401   401   401   401   ok    ok    401
exchange_data            401    401      401     401   401   401  401   401   401   401   401   ok    ok    401
get_upload_options       ok     ok       ok      ok    ok    ok   ok    ok    ok    ok    ok    ok    ok    ok
create_upload            401    401      401     401   401   401  401   401   401   401   401   ok    404   401
get_upload_offset        401    401      401     401   401   401  401   401   401   401   401   ok    404   401
append_to_upload         401    401      401     401   401   401  401   401   401   401   401   ok    404   401
admin_list_audit              401    403      ok      403   403   403  403   403   ok    ok    401   401   401   401
admin_verify_audit            401    403      403     403   403   403  403   403   403   ok    401   401   401   401
admin_list_chains             401    403      ok      403   403   403  403   403   ok    ok    401   401   401   401
admin_create_chain            401    403      403     403   403   403  403   403   403   ok    401   401   401   401
admin_delete_chain            401    403      404     403   403   403  403   403   403   ok    401   401   401   401
admin_get_chain               401    403      404     403   403   403  403   403   ok    ok    401   401   401   401
admin_edit_chain              401    403      404     403   403   403  403   403   403   ok    401   401   401   401
admin_clear_release           401    403      404     403   403   403  403   403   ok    ok    401   401   401   401
admin_get_release             401    403      404     403   403   403  403   403   ok    ok    401   401   401   401
admin_require_release         401    403      404     403   403   403  403   403   ok    ok    401   401   401   401
admin_revoke_device           401    403      404     403   403   403  403   403   ok    ok    401   401   401   401
admin_import_fleet            401    403      422!    403   403   403  403   403   ok    ok    401   401   401   401
admin_list_grants             401    403      ok      403   403   403  403   403   ok    ok    401   401   401   401
admin_list_service_tokens     401    403      ok      403   403   403  403   403   ok    ok    401   401   401   401
admin_create_service_token    401    403      404     403   403   403  403   403   403   ok    401   401   401   401
admin_revoke_service_token    401    403      404     403   403   403  403   403   ok    ok    401   401   401   401
admin_create_grant            401    403      404     403   403   403  403   403   ok    ok    401   401   401   401
admin_remove_grant            401    403      404     403   403   403  403   403   ok    ok    401   401   401   401
admin_list_outlets            401    403      ok      403   403   403  403   403   ok    ok    401   401   401   401
admin_create_outlet           401    403      404     403   403   403  403   403   ok    ok    401   401   401   401
admin_delete_outlet           401    403      404     403   403   403  403   403   ok    ok    401   401   401   401
admin_get_outlet              401    403      404     403   403   403  403   403   ok    ok    401   401   401   401
admin_edit_outlet             401    403      404     403   403   403  403   403   ok    ok    401   401   401   401
admin_list_pos_servers        401    403      ok      403   403   403  403   403   ok    ok    401   401   401   401
admin_create_pos_server       401    403      404     403   403   403  403   403   ok    ok    401   401   401   401
admin_remove_pos_server       401    403      404     403   403   403  403   403   ok    ok    401   401   401   401
admin_get_pos_server          401    403      404     403   403   403  403   403   ok    ok    401   401   401   401
admin_edit_pos_server         401    403      404     403   403   403  403   403   ok    ok    401   401   401   401
admin_list_devices            401    403      404     403   403   403  403   403   ok    ok    401   401   401   401
admin_revoke_enrollment_codes 401    403      404     403   403   403  403   403   ok    ok    401   401   401   401
admin_list_enrollment_codes   401    403      404     403   403   403  403   403   ok    ok    401   401   401   401
admin_create_enrollment_code  401    403      404     403   403   403  403   403   ok    ok    401   401   401   401
admin_list_users              401    403      ok      403   403   403  403   403   ok    ok    401   401   401   401
admin_create_user             401    403      403     403   403   403  403   403   403   ok    401   401   401   401
admin_delete_user             401    403      404     403   403   403  403   403   403   ok    401   401   401   401
admin_get_user                401    403      404     403   403   403  403   403   ok    ok    401   401   401   401
admin_edit_user               401    403      404     403   403   403  403   403   403   ok    401   401   401   401
admin_set_password            401    403      404     403   403   403  403   403   403   ok    401   401   401   401
admin_end_sessions            401    403      404     403   403   403  403   403   403   ok    401   401   401   401
admin_list_sessions           401    403      404     403   403   403  403   403   403   ok    401   401   401   401
admin_end_session             401    403      404     403   403   403  403   403   403   ok    401   401   401   401
admin_unlock_user             401    403      404     403   403   403  403   403   403   ok    401   401   401   401
";

/// The call of each line, and what each role gets, in the order of the head.
fn lines() -> (Vec<Role>, BTreeMap<&'static str, Vec<&'static str>>) {
    let mut lines = MATRIX.lines().filter(|line| !line.is_empty()).map(str::split_whitespace);
    let roles = lines.next().unwrap().skip(1).map(Role::named).collect();
    (roles, lines.map(|mut cells| (cells.next().unwrap(), cells.collect())).collect())
}

#[test]
fn every_call_has_its_line() {
    let (roles, lines) = lines();
    let calls =
        DOCUMENT["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap().values());
    let calls: BTreeSet<_> = calls.map(|call| call["operationId"].as_str().unwrap()).collect();
    let named: BTreeSet<_> = lines.keys().map(|line| line.split(':').next().unwrap()).collect();
    let missing: Vec<_> = calls.difference(&named).collect();
    assert!(missing.is_empty(), "no line in tests/rest/matrix.rs for {missing:?}");
    let gone: Vec<_> = named.difference(&calls).collect();
    assert!(gone.is_empty(), "these lines of tests/rest/matrix.rs are no calls: {gone:?}");
    for (line, cells) in lines {
        assert_eq!(cells.len(), roles.len(), "{line}");
    }
}

#[tokio::test]
async fn everybody_gets_what_the_matrix_says() {
    let world = World::new().await;
    let (roles, lines) = lines();
    let mut wrong = Vec::new();
    for (line, expected) in lines {
        let mut got = Vec::new();
        for role in &roles {
            got.push(match world.ask(line, *role).await {
                status @ (401 | 403 | 404) => status.to_string(),
                101 | 200..300 | 409 => "ok".to_owned(),
                // That the password was looked at is enough: the right one would end sessions that others need.
                422 if line == "change_password" => "ok".to_owned(),
                other => format!("{other}!"),
            });
        }
        if got != expected {
            wrong.push(format!("{line:<24} {}\n{:<24} {}", expected.join(" "), "   answered", got.join(" ")));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[tokio::test]
async fn lists_hold_nothing_of_others() {
    let world = World::new().await;
    for role in ["stranger", "foreign", "blind"].map(Role::named) {
        for list in ["/outlets", "/pos-servers", "/jobs", "/pos-servers?q=Riga"] {
            let text = world.list(role, list).await;
            for id in [&world.chain, &world.outlet, &world.pos_server, &world.job, &world.archive] {
                assert!(!text.contains(id.as_str()), "{role:?} found {id} in {list}: {text}");
            }
        }
    }
    let seen = world.list(Role::named("setup"), "/pos-servers").await;
    assert!(seen.contains(&world.pos_server) && !seen.contains(&world.other_pos_server), "{seen}");
}
