//! Who may give whom what: nobody gets further than somebody let them.

use serde_json::{Value, json};
use tillwatch_cloud::admin::ScopeName;
use tillwatch_protocol::rest::session::Permission::{self, Admin, OutletSetup, RetrieveLogs};

use crate::admin_places::{fields, id};
use crate::support::{ADMIN, Client, HEADER, TestCloud, answer};

const CHIEF: &str = "chief@example.com";
const ANNA: &str = "anna@example.com";
const FOREIGNER: &str = "foreigner@example.com";

/// Two chains. The chief administers one, Pizza, and sees it; Anna may see it; a foreigner sees the other.
struct Scene {
    cloud: TestCloud,
    admin: Client,
    chief: Client,
    pizza: String,
    sushi: String,
    pizza_outlet: String,
    sushi_outlet: String,
    pizza_pos: String,
    sushi_pos: String,
    anna: String,
    foreigner: String,
}

async fn scene() -> Scene {
    let cloud = TestCloud::start().await;
    cloud.import("Pizza,Riga,1,,Europe/Riga,P\nSushi,Tartu,1,,Europe/Riga,S\n").await;
    let chain = |name: &str| ScopeName::Chain(name.into());
    for (email, scope, permissions) in [
        (CHIEF, chain("Pizza"), &[OutletSetup, Admin][..]),
        (ANNA, chain("Pizza"), &[OutletSetup]),
        (FOREIGNER, chain("Sushi"), &[OutletSetup]),
    ] {
        cloud.add_user(email, false).await;
        for permission in permissions {
            cloud.grant(email, scope.clone(), *permission).await;
        }
    }
    let (admin, chief) = (cloud.sign_in(ADMIN).await, cloud.sign_in(CHIEF).await);
    let stores = admin.get("/admin/pos-servers").await.body;
    let user = async |email: &str| id(&admin.get(&format!("/admin/users?q={email}")).await.body["items"][0]);
    let (anna, foreigner) = (user(ANNA).await, user(FOREIGNER).await);
    let part = |store: usize, part: &str| id(&stores["items"][store][part]);
    Scene {
        pizza: part(0, "chain"),
        sushi: part(1, "chain"),
        pizza_outlet: part(0, "outlet"),
        sushi_outlet: part(1, "outlet"),
        pizza_pos: id(&stores["items"][0]),
        sushi_pos: id(&stores["items"][1]),
        anna,
        foreigner,
        cloud,
        admin,
        chief,
    }
}

impl Scene {
    async fn grants_of(&self, client: &Client, user: &str) -> Vec<(Value, Value)> {
        let grants = client.get(&format!("/admin/grants?user_id={user}")).await;
        assert_eq!(grants.status, 200, "{}", grants.body);
        let items = grants.body["items"].as_array().unwrap();
        items.iter().map(|grant| (grant["scope"].clone(), grant["permission"].clone())).collect()
    }

    async fn me(&self) -> String {
        id(&self.chief.get("/me").await.body["user"])
    }
}

#[tokio::test]
async fn who_administers_a_chain_gives_and_takes_in_it_what_they_have() {
    let scene = scene().await;
    let Scene { chief, cloud, anna, pizza, pizza_outlet, .. } = &scene;
    let anna_client = cloud.sign_in(ANNA).await;
    let mut events = anna_client.events(None).await;

    let new = json!({"user_id": anna, "outlet_id": pizza_outlet, "permission": "outlet_setup"});
    let given = chief.post("/admin/grants", &new).await;
    assert_eq!(given.status, 201, "{}", given.body);
    assert_eq!((&given.body["scope"], &given.body["chain"]["name"]), (&json!("outlet"), &json!("Pizza")));
    assert_eq!((&given.body["user"]["email"], &given.body["outlet"]["name"]), (&json!(ANNA), &json!("Riga")));
    assert_eq!(events.next().await.unwrap().name, "resync");
    let again = chief.post("/admin/grants", &new).await;
    assert_eq!((again.status.as_u16(), &again.body), (200, &given.body));
    let deputy = json!({"user_id": anna, "chain_id": pizza, "permission": "admin"});
    assert_eq!(chief.post("/admin/grants", &deputy).await.status, 201);
    assert_eq!(anna_client.get("/admin/outlets").await.names(), ["Riga"]);

    // They take away even what they could not give.
    cloud.grant(ANNA, ScopeName::Chain("Pizza".into()), RetrieveLogs).await;
    let listed = chief.get(&format!("/admin/grants?chain_id={pizza}&permission=retrieve_logs")).await.body;
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    let path = format!("/admin/grants/{}", id(&listed["items"][0]));
    assert_eq!(chief.delete(&path).await.status, 204);
    assert_eq!(chief.delete(&path).await.problem(), (404, "not_found"));
    assert_eq!(scene.grants_of(chief, anna).await.len(), 3);
}

#[tokio::test]
async fn nobody_gives_what_they_do_not_have() {
    let scene = scene().await;
    let Scene { chief, cloud, admin, anna, foreigner, pizza, sushi, pizza_outlet, sushi_outlet, .. } = &scene;
    let me = scene.me().await;
    let grant = |user: &str, place: Value, permission: &str| {
        let mut body = json!({"user_id": user, "permission": permission});
        body.as_object_mut().unwrap().extend(place.as_object().unwrap().clone());
        body
    };
    let before = admin.get("/admin/grants").await.body;
    for (body, expected) in [
        // What they lack, to themselves or to others.
        (grant(&me, json!({"chain_id": pizza}), "reset_database"), 403),
        (grant(anna, json!({"chain_id": pizza}), "retrieve_logs"), 403),
        (grant(anna, json!({"outlet_id": pizza_outlet}), "relay"), 403),
        // Elsewhere, where they see nothing.
        (grant(&me, json!({"chain_id": sushi}), "outlet_setup"), 404),
        (grant(anna, json!({"chain_id": sushi}), "outlet_setup"), 404),
        (grant(&me, json!({"outlet_id": sushi_outlet}), "admin"), 404),
        // Everywhere.
        (grant(&me, json!({"everywhere": true}), "admin"), 403),
        (grant(anna, json!({"everywhere": true}), "outlet_setup"), 403),
        // To somebody whom they do not know.
        (grant(foreigner, json!({"chain_id": pizza}), "outlet_setup"), 404),
    ] {
        let refused = chief.post("/admin/grants", &body).await;
        assert_eq!(refused.status, expected, "{body} {}", refused.body);
    }
    // Seeing the other chain is not administering it.
    cloud.grant(CHIEF, ScopeName::Chain("Sushi".into()), OutletSetup).await;
    let body = grant(anna, json!({"chain_id": sushi}), "outlet_setup");
    assert_eq!(chief.post("/admin/grants", &body).await.problem(), (403, "permission_denied"));
    // Administering one outlet is nothing.
    cloud.grant(ANNA, ScopeName::Outlet("Riga".into()), Admin).await;
    let anna_client = cloud.sign_in(ANNA).await;
    let body = grant(anna, json!({"outlet_id": pizza_outlet}), "outlet_setup");
    assert_eq!(anna_client.post("/admin/grants", &body).await.problem(), (403, "permission_denied"));
    assert_eq!(anna_client.get("/admin/grants").await.problem(), (403, "permission_denied"));

    let after = admin.get("/admin/grants").await.body;
    let count = |list: &Value| list["items"].as_array().unwrap().len();
    assert_eq!(count(&after), count(&before) + 2, "only what was granted from the command line came to it");
    for body in [
        grant(anna, json!({}), "admin"),
        grant(anna, json!({"everywhere": true, "chain_id": pizza}), "admin"),
        grant(anna, json!({"chain_id": pizza, "outlet_id": pizza_outlet}), "admin"),
        grant(anna, json!({"chain_id": pizza}), "everything"),
    ] {
        assert_eq!(admin.post("/admin/grants", &body).await.problem(), (422, "invalid_request"), "{body}");
    }
    let bad = admin.get("/admin/grants?permission=everything&user_id=anna").await;
    assert_eq!(fields(&bad.body), ["user_id", "permission"]);
}

#[tokio::test]
async fn a_chains_administrator_stays_inside_of_it() {
    let scene = scene().await;
    let Scene { chief, pizza, sushi, sushi_outlet, sushi_pos, pizza_pos, .. } = &scene;

    assert_eq!(chief.get("/admin/chains").await.names(), ["Pizza"]);
    assert_eq!(chief.get("/admin/outlets").await.names(), ["Riga"]);
    assert_eq!(chief.get("/admin/pos-servers").await.names(), ["P"]);
    // Chains as such are the admins'.
    let chain = format!("/admin/chains/{pizza}");
    assert_eq!(chief.post("/admin/chains", &json!({"name": "Mine"})).await.status, 403);
    assert_eq!(chief.patch(&chain, &json!({"name": "Mine"})).await.status, 403);
    assert_eq!(chief.delete(&chain).await.status, 403);

    let foreign = format!("/admin/chains/{sushi}");
    assert_eq!(chief.get(&foreign).await.status, 404);
    assert_eq!(chief.put(&format!("{foreign}/release"), &json!({"pos_version": "35"})).await.status, 404);
    let new = json!({"chain_id": sushi, "name": "New", "time_zone": "Europe/Riga"});
    assert_eq!(chief.post("/admin/outlets", &new).await.status, 404);
    let outlet = format!("/admin/outlets/{sushi_outlet}");
    assert_eq!(chief.patch(&outlet, &json!({"name": "x"})).await.status, 404);
    assert_eq!(chief.delete(&outlet).await.status, 404);
    let new = json!({"outlet_id": sushi_outlet, "name": "New"});
    assert_eq!(chief.post("/admin/pos-servers", &new).await.status, 404);
    let pos = format!("/admin/pos-servers/{sushi_pos}");
    assert_eq!(chief.delete(&pos).await.status, 404);
    assert_eq!(chief.post(&format!("{pos}/enrollment-codes"), &json!({})).await.status, 404);
    for list in [
        format!("/admin/outlets?chain_id={sushi}"),
        format!("/admin/pos-servers?outlet_id={sushi_outlet}"),
        format!("/admin/grants?chain_id={sushi}"),
        format!("/admin/audit?chain_id={sushi}"),
        format!("{pos}/devices"),
    ] {
        assert_eq!(chief.get(&list).await.problem(), (404, "not_found"), "{list}");
    }

    // Their own they keep.
    let own = format!("/admin/pos-servers/{pizza_pos}");
    assert_eq!(chief.patch(&own, &json!({"name": "P 1"})).await.status, 200);
    assert_eq!(chief.post(&format!("{own}/enrollment-codes"), &json!({})).await.status, 201);
    assert_eq!(chief.put(&format!("{chain}/release"), &json!({"pos_version": "35"})).await.status, 200);
    let import = |lines: String| {
        let request = chief.request(reqwest::Method::POST, "/admin/fleet/import");
        answer(request.header("content-type", "text/csv").body(format!("{HEADER}{lines}")))
    };
    assert_eq!(import("Pizza,Jelgava,2,,Europe/Riga,P\n".into()).await.status, 201);
    for chain in ["Sushi", "Unheard of"] {
        let line = format!("Pizza,Jelgava,2,,Europe/Riga,New\n{chain},Jelgava,2,,Europe/Riga,P\n");
        let refused = import(line).await;
        assert_eq!(refused.problem(), (422, "invalid_request"));
        assert_eq!(fields(&refused.body), ["line 3"]);
        let reason = format!("there is no chain `{chain}` that you administer");
        assert_eq!(refused.body["errors"][0]["message"], reason, "whether it is there is not told");
    }
    assert_eq!(chief.get("/admin/pos-servers").await.names().len(), 2);
}

#[tokio::test]
async fn users_are_the_admins_and_seen_by_their_chains() {
    let scene = scene().await;
    let Scene { chief, cloud, anna, foreigner, .. } = &scene;
    assert_eq!(chief.get("/admin/users").await.body["items"].as_array().unwrap().len(), 2);
    let (anna, foreigner) = (format!("/admin/users/{anna}"), format!("/admin/users/{foreigner}"));
    assert_eq!(chief.get(&anna).await.status, 200);
    assert_eq!(chief.get(&foreigner).await.problem(), (404, "not_found"));

    let me = format!("/admin/users/{}", scene.me().await);
    assert_eq!(chief.patch(&me, &json!({"admin": true})).await.problem(), (403, "permission_denied"));
    assert_eq!(chief.post("/admin/users", &json!({"email": "x@y.z", "name": "X"})).await.status, 403);
    for (user, expected) in [(&anna, 403), (&foreigner, 404)] {
        assert_eq!(chief.patch(user, &json!({"disabled": true})).await.status, expected);
        assert_eq!(chief.put(&format!("{user}/password"), &json!({})).await.status, expected);
        assert_eq!(chief.post(&format!("{user}/unlock"), &json!({})).await.status, expected);
        assert_eq!(chief.get(&format!("{user}/sessions")).await.status, expected);
        assert_eq!(chief.delete(&format!("{user}/sessions")).await.status, expected);
        assert_eq!(chief.delete(user).await.status, expected);
    }
    // Their permissions elsewhere are nobody's business here.
    cloud.grant(ANNA, ScopeName::Chain("Sushi".into()), Permission::Relay).await;
    cloud.grant(ANNA, ScopeName::All, RetrieveLogs).await;
    assert_eq!(scene.grants_of(chief, &scene.anna).await, [(json!("chain"), json!("outlet_setup"))]);
    let all = scene.admin.get("/admin/grants?permission=retrieve_logs").await.body;
    let everywhere = format!("/admin/grants/{}", id(&all["items"][0]));
    assert_eq!(chief.delete(&everywhere).await.problem(), (404, "not_found"));
}

#[tokio::test]
async fn the_permission_everywhere_is_for_what_is_inside_of_chains() {
    let scene = scene().await;
    let Scene { cloud, anna, sushi, foreigner, .. } = &scene;
    cloud.grant(ANNA, ScopeName::All, Admin).await;
    let client = cloud.sign_in(ANNA).await;

    assert_eq!(client.get("/admin/chains").await.names(), ["Pizza", "Sushi"]);
    let path = format!("/admin/chains/{sushi}/release");
    assert_eq!(client.put(&path, &json!({"pos_version": "35"})).await.status, 200);
    // They have `admin` there, and nothing else.
    let give = |permission: &str| json!({"user_id": foreigner, "chain_id": sushi, "permission": permission});
    assert_eq!(client.post("/admin/grants", &give("admin")).await.status, 201);
    assert_eq!(client.post("/admin/grants", &give("relay")).await.problem(), (403, "permission_denied"));
    let everywhere = json!({"user_id": anna, "everywhere": true, "permission": "admin"});
    assert_eq!(client.post("/admin/grants", &everywhere).await.problem(), (403, "permission_denied"));
    let own = scene.admin.get(&format!("/admin/grants?user_id={anna}&permission=admin")).await.body;
    let own = format!("/admin/grants/{}", id(&own["items"][0]));
    assert_eq!(client.delete(&own).await.problem(), (403, "permission_denied"));
    assert_eq!(client.post("/admin/chains", &json!({"name": "New"})).await.status, 403);
    assert_eq!(client.post("/admin/audit/verify", &json!({})).await.status, 403);
    assert_eq!(client.patch(&format!("/admin/users/{anna}"), &json!({"admin": true})).await.status, 403);

    // An admin may give it and take it.
    assert_eq!(scene.admin.delete(&own).await.status, 204);
    assert_eq!(client.get("/admin/chains").await.problem(), (403, "permission_denied"));
    assert_eq!(scene.admin.post("/admin/grants", &everywhere).await.status, 201);
    assert_eq!(client.get("/admin/chains").await.status, 200);
}
