//! One's devices, password and end of account; and the authentication that they ask for.

use homeserver::accounts::interactive_auth::complete_password;
use serde_json::json;
use testkit::{Server, start_each};

use crate::{DEVICES, LOGIN, REGISTER, WHOAMI, password_auth, password_login, refusal, session_of};

const DELETE_DEVICES: &str = "/_matrix/client/v3/delete_devices";
const PASSWORD: &str = "/_matrix/client/v3/account/password";
const DEACTIVATE: &str = "/_matrix/client/v3/account/deactivate";

#[tokio::test(flavor = "multi_thread")]
async fn devices_are_listed_renamed_and_seen() {
    start_each(async |server: Server| {
        let alice = server.register("alice").await;
        let second = alice
            .from_address("192.0.2.7")
            .another_device("SECOND")
            .await;
        let renamed = alice
            .put(
                &format!("{DEVICES}/SECOND"),
                json!({ "display_name": "old phone" }),
            )
            .await;
        assert_eq!(renamed, (200, json!({})));
        server.clock.advance_ms(60 * 60 * 1000);
        let now_ms = server.hs.now_ms();
        assert_eq!(second.from_address("192.0.2.8").get(WHOAMI).await.0, 200);
        let (_, device) = alice.get(&format!("{DEVICES}/SECOND")).await;
        assert_eq!(
            device,
            json!({
                "device_id": "SECOND",
                "display_name": "old phone",
                "last_seen_ip": "192.0.2.8",
                "last_seen_ts": now_ms,
            })
        );
        let (_, list) = alice.get(DEVICES).await;
        let ids: Vec<_> = list["devices"]
            .as_array()
            .unwrap()
            .iter()
            .map(|d| d["device_id"].clone())
            .collect();
        assert_eq!(ids, [json!("ALICE"), json!("SECOND")]);
        // Nothing to change changes nothing.
        assert_eq!(
            alice.put(&format!("{DEVICES}/SECOND"), json!({})).await.0,
            200
        );
        let (_, device) = alice.get(&format!("{DEVICES}/SECOND")).await;
        assert_eq!(device["display_name"], "old phone");
        for missing in ["NONE", "%00", "%F0%9F%90%88"] {
            let path = format!("{DEVICES}/{missing}");
            assert_eq!(refusal(&alice.get(&path).await), (404, "M_NOT_FOUND"));
            let answer = alice.put(&path, json!({ "display_name": "x" })).await;
            assert_eq!(refusal(&answer), (404, "M_NOT_FOUND"));
        }
        let answer = alice
            .put(
                &format!("{DEVICES}/SECOND"),
                json!({ "display_name": "x".repeat(1000) }),
            )
            .await;
        assert_eq!(refusal(&answer), (400, "M_TOO_LARGE"));
        // Another user's device is none of one's own.
        let eve = server.register("eve").await;
        assert_eq!(eve.get(&format!("{DEVICES}/SECOND")).await.0, 404);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_device_signs_another_out_with_the_password() {
    start_each(async |server: Server| {
        let alice = server.register("alice").await;
        let second = alice.another_device("SECOND").await;
        let path = format!("{DEVICES}/SECOND");
        assert_eq!(second.get(WHOAMI).await.0, 200);
        let asked = alice.delete(&path, json!({})).await;
        let session = session_of(&asked);
        assert_eq!(
            asked.1["flows"],
            json!([{ "stages": ["m.login.password"] }])
        );
        assert!(asked.1.get("errcode").is_none());
        let mut wrong = password_auth(&alice, &session);
        wrong["password"] = "wrong".into();
        let answer = alice.delete(&path, json!({ "auth": wrong })).await;
        assert_eq!(refusal(&answer), (401, "M_FORBIDDEN"));
        assert_eq!(session_of(&answer), session);
        assert_eq!(second.get(WHOAMI).await.0, 200);
        let auth = password_auth(&alice, &session);
        let answer = alice.delete(&path, json!({ "auth": auth })).await;
        assert_eq!(answer, (200, json!({})));
        assert_eq!(second.get(WHOAMI).await.0, 401);
        assert_eq!(alice.get(WHOAMI).await.0, 200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_good_for_its_user_and_its_request_alone() {
    start_each(async |server: Server| {
        let alice = server.register("alice").await;
        let eve = server.register("eve").await;
        alice.another_device("SECOND").await;
        alice.another_device("THIRD").await;
        let session = session_of(&alice.delete(&format!("{DEVICES}/SECOND"), json!({})).await);
        let auth = password_auth(&alice, &session);
        let other = alice
            .delete(&format!("{DEVICES}/THIRD"), json!({ "auth": auth }))
            .await;
        assert_eq!(refusal(&other), (403, "M_FORBIDDEN"));
        let auth = password_auth(&eve, &session);
        let other = eve
            .delete(&format!("{DEVICES}/SECOND"), json!({ "auth": auth }))
            .await;
        assert_eq!(refusal(&other), (403, "M_FORBIDDEN"));
        // Somebody else's name and password are not one's own.
        let auth = password_auth(&eve, &session);
        let other = alice
            .delete(&format!("{DEVICES}/SECOND"), json!({ "auth": auth }))
            .await;
        assert_eq!(refusal(&other), (401, "M_FORBIDDEN"));
        let mut forged = session.clone();
        forged.replace_range(0..1, if session.starts_with('B') { "C" } else { "B" });
        let auth = password_auth(&alice, &forged);
        let other = alice
            .delete(&format!("{DEVICES}/SECOND"), json!({ "auth": auth }))
            .await;
        assert_eq!(refusal(&other), (400, "M_INVALID_PARAM"));
        server.clock.advance_ms(60 * 60 * 1000);
        let auth = password_auth(&alice, &session);
        let late = alice
            .delete(&format!("{DEVICES}/SECOND"), json!({ "auth": auth }))
            .await;
        assert_eq!(refusal(&late), (400, "M_INVALID_PARAM"));
        let answer = alice
            .delete(&format!("{DEVICES}/SECOND"), json!({ "auth": "yes" }))
            .await;
        assert_eq!(refusal(&answer), (400, "M_BAD_JSON"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_given_on_a_page_completes_the_session() {
    start_each(async |server: Server| {
        let alice = server.register("alice").await;
        alice.another_device("SECOND").await;
        let path = format!("{DEVICES}/SECOND");
        let session = session_of(&alice.delete(&path, json!({})).await);
        assert!(
            complete_password(&server.hs, &session, "wrong", None)
                .await
                .is_err()
        );
        let body = json!({ "auth": { "session": session } });
        assert_eq!(alice.delete(&path, body.clone()).await.0, 401);
        complete_password(&server.hs, &session, Server::PASSWORD, None)
            .await
            .unwrap();
        assert_eq!(alice.delete(&path, body.clone()).await.0, 200);
        assert_eq!(alice.delete(&path, body).await.0, 401);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_devices_are_signed_out_at_once() {
    start_each(async |server: Server| {
        let alice = server.register("alice").await;
        let second = alice.another_device("SECOND").await;
        let third = alice.another_device("THIRD").await;
        let devices = json!(["SECOND", "THIRD", "NONE"]);
        let asked = alice
            .post(DELETE_DEVICES, json!({ "devices": devices }))
            .await;
        let auth = password_auth(&alice, &session_of(&asked));
        let other = json!({ "devices": ["ALICE"], "auth": auth });
        assert_eq!(
            refusal(&alice.post(DELETE_DEVICES, other).await),
            (403, "M_FORBIDDEN")
        );
        let body = json!({ "devices": devices, "auth": auth });
        assert_eq!(alice.post(DELETE_DEVICES, body).await, (200, json!({})));
        assert_eq!(second.get(WHOAMI).await.0, 401);
        assert_eq!(third.get(WHOAMI).await.0, 401);
        let (_, list) = alice.get(DEVICES).await;
        assert_eq!(list["devices"].as_array().unwrap().len(), 1);
        assert_eq!(
            refusal(&alice.post(DELETE_DEVICES, json!({})).await),
            (400, "M_BAD_JSON")
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_password_signs_other_devices_out_unless_told_not_to() {
    start_each(async |server: Server| {
        let alice = server.register("alice").await;
        let second = alice.another_device("SECOND").await;
        let weak = alice
            .post(PASSWORD, json!({ "new_password": "short" }))
            .await;
        assert_eq!(refusal(&weak), (400, "M_WEAK_PASSWORD"));
        let asked = alice
            .post(
                PASSWORD,
                json!({ "new_password": "a new password", "logout_devices": false }),
            )
            .await;
        let auth = password_auth(&alice, &session_of(&asked));
        let body =
            json!({ "new_password": "a new password", "logout_devices": false, "auth": auth });
        assert_eq!(alice.post(PASSWORD, body).await, (200, json!({})));
        assert_eq!(second.get(WHOAMI).await.0, 200);
        let nobody = server.anonymous();
        let old = nobody
            .post(LOGIN, password_login("alice", Server::PASSWORD))
            .await;
        assert_eq!(refusal(&old), (403, "M_FORBIDDEN"));
        assert_eq!(
            nobody
                .post(LOGIN, password_login("alice", "a new password"))
                .await
                .0,
            200
        );
        let asked = alice
            .post(PASSWORD, json!({ "new_password": "a third password" }))
            .await;
        let mut auth = password_auth(&alice, &session_of(&asked));
        auth["password"] = "a new password".into();
        let body = json!({ "new_password": "a third password", "auth": auth });
        assert_eq!(alice.post(PASSWORD, body).await.0, 200);
        assert_eq!(second.get(WHOAMI).await.0, 401);
        assert_eq!(alice.get(WHOAMI).await.0, 200);
        let answer = nobody
            .post(PASSWORD, json!({ "new_password": "a fourth password" }))
            .await;
        assert_eq!(refusal(&answer), (401, "M_MISSING_TOKEN"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_account_is_gone_for_good() {
    start_each(async |server: Server| {
        let alice = server.register("alice").await;
        let bob = server.register("bob").await;
        let (status, room) = alice
            .post(
                "/_matrix/client/v3/createRoom",
                json!({ "preset": "public_chat" }),
            )
            .await;
        assert_eq!(status, 200, "{room}");
        let room_id = room["room_id"].as_str().unwrap();
        assert_eq!(
            bob.post(&format!("/_matrix/client/v3/join/{room_id}"), json!({}))
                .await
                .0,
            200
        );
        let asked = alice.post(DEACTIVATE, json!({})).await;
        let auth = password_auth(&alice, &session_of(&asked));
        let answer = alice
            .post(DEACTIVATE, json!({ "auth": auth, "erase": true }))
            .await;
        assert_eq!(
            answer,
            (200, json!({ "id_server_unbind_result": "no-support" }))
        );
        assert_eq!(refusal(&alice.get(WHOAMI).await), (401, "M_UNKNOWN_TOKEN"));
        let nobody = server.anonymous();
        let answer = nobody
            .post(LOGIN, password_login("alice", Server::PASSWORD))
            .await;
        assert_eq!(refusal(&answer), (403, "M_FORBIDDEN"));
        let body = json!({
            "username": "alice", "password": Server::PASSWORD, "auth": { "type": "m.login.dummy" },
        });
        assert_eq!(
            refusal(&nobody.post(REGISTER, body).await),
            (400, "M_USER_IN_USE")
        );
        let (status, joined) = bob
            .get(&format!(
                "/_matrix/client/v3/rooms/{room_id}/joined_members"
            ))
            .await;
        assert_eq!(status, 200, "{joined}");
        let joined: Vec<_> = joined["joined"].as_object().unwrap().keys().collect();
        assert_eq!(joined, [&bob.user_id]);
    })
    .await;
}
