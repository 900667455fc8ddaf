//! What the server says of itself, and paths of old.

use homeserver::Support;
use serde_json::json;
use testkit::{Server, start_each_with};

use crate::{LOGIN, refusal};

async fn on_one(change: impl Fn(&mut homeserver::Settings), test: impl AsyncFn(Server)) {
    start_each_with(change, test).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_find_the_server_and_what_it_speaks() {
    on_one(
        |_| {},
        async |server: Server| {
            let nobody = server.anonymous();
            let (status, answer) = nobody.get("/_matrix/client/versions").await;
            assert_eq!(status, 200);
            let versions = answer["versions"].as_array().unwrap();
            for minor in 1..=19 {
                assert!(
                    versions.contains(&json!(format!("v1.{minor}"))),
                    "v1.{minor}"
                );
            }
            assert_eq!(
                answer["unstable_features"]["org.matrix.simplified_msc3575"],
                true
            );
            let answer = nobody.get("/.well-known/matrix/client").await;
            let base = json!({ "m.homeserver": { "base_url": "https://test.example" } });
            assert_eq!(answer, (200, base));
            let answer = nobody.get("/.well-known/matrix/server").await;
            assert_eq!(answer, (200, json!({ "m.server": "test.example:443" })));
            let answer = nobody.get("/.well-known/matrix/support").await;
            assert_eq!(refusal(&answer), (404, "M_NOT_FOUND"));
            let answer = nobody.get("/_matrix/client/v3/capabilities").await;
            assert_eq!(refusal(&answer), (401, "M_MISSING_TOKEN"));
            let alice = server.register("alice").await;
            let (_, answer) = alice.get("/_matrix/client/v3/capabilities").await;
            let capabilities = &answer["capabilities"];
            assert_eq!(capabilities["m.room_versions"]["default"], "12");
            assert_eq!(capabilities["m.room_versions"]["available"]["1"], "stable");
            assert_eq!(capabilities["m.change_password"]["enabled"], true);
            assert!(capabilities.get("m.account_moderation").is_none());
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_says_whom_to_ask() {
    let change = |settings: &mut homeserver::Settings| {
        settings.public_url = "http://127.0.0.1:8008".into();
        settings.support = Support {
            email: Some("help@test.example".into()),
            matrix_id: None,
            page: Some("https://test.example/help".into()),
        };
    };
    on_one(change, async |server: Server| {
        let nobody = server.anonymous();
        let (_, answer) = nobody.get("/.well-known/matrix/support").await;
        assert_eq!(
            answer,
            json!({
                "contacts": [{ "email_address": "help@test.example", "role": "m.role.admin" }],
                "support_page": "https://test.example/help",
            })
        );
        assert_eq!(nobody.get("/.well-known/matrix/server").await.0, 404);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_of_old_lead_to_todays_endpoints() {
    on_one(
        |_| {},
        async |server: Server| {
            let alice = server.register("alice").await;
            let (status, answer) = alice.get("/_matrix/client/r0/account/whoami").await;
            assert_eq!((status, &answer["user_id"]), (200, &json!(alice.user_id)));
            assert_eq!(
                alice.get("/_matrix/client/r0/devices/ALICE").await,
                alice.get("/_matrix/client/v3/devices/ALICE").await
            );
            assert_eq!(
                server.anonymous().get("/_matrix/client/r0/login").await.0,
                200
            );
            let answer = alice.get("/_matrix/client/r0/nothing").await;
            assert_eq!(refusal(&answer), (404, "M_UNRECOGNIZED"));
            let answer = alice.get("/_matrix/client/v9/login").await;
            assert_eq!(refusal(&answer), (404, "M_UNRECOGNIZED"));
            for path in [LOGIN, "/_matrix/client/r0/login"] {
                assert_eq!(
                    refusal(&alice.put(path, json!({})).await),
                    (405, "M_UNRECOGNIZED")
                );
            }
        },
    )
    .await;
}
