//! Signing in, staying signed in, signing out.

use serde_json::{Value, json};
use testkit::{Client, Server, start_each};

use crate::{LOGIN, WHOAMI, password_auth, password_login, refusal, session_of};

const REFRESH: &str = "/_matrix/client/v3/refresh";
const LOGOUT: &str = "/_matrix/client/v3/logout";
const GET_TOKEN: &str = "/_matrix/client/v1/login/get_token";
const FIVE_MINUTES_MS: u64 = 5 * 60 * 1000;

#[tokio::test(flavor = "multi_thread")]
async fn a_friend_signs_in_by_name_or_by_id() {
    start_each(async |server: Server| {
        let alice = server.register("alice").await;
        let nobody = server.anonymous();
        let (_, answer) = nobody.get(LOGIN).await;
        assert_eq!(
            answer,
            json!({ "flows": [
                { "type": "m.login.password" },
                { "type": "m.login.token", "get_login_token": true },
            ] })
        );
        for name in ["alice", "Alice", "@alice:test.example"] {
            let (status, answer) = nobody
                .post(LOGIN, password_login(name, Server::PASSWORD))
                .await;
            assert_eq!(status, 200, "{answer}");
            assert_eq!(answer["user_id"], alice.user_id.as_str());
            assert_eq!(answer["device_id"].as_str().unwrap().len(), 10);
        }
        // The shape from before identifiers.
        let old =
            json!({ "type": "m.login.password", "user": "alice", "password": Server::PASSWORD });
        assert_eq!(nobody.post(LOGIN, old).await.0, 200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proven_address_signs_in_too() {
    start_each(async |server: Server| {
        let alice = server.register("alice").await;
        let user_id = alice.user_id.clone();
        server
            .hs
            .db
            .write(move |tx| {
                let user = storage::ids::find_user(tx, &user_id)?.expect("alice");
                storage::accounts::add_threepid(tx, user, "email", "alice@mail.example", 1)?;
                storage::accounts::add_threepid(tx, user, "msisdn", "441234567", 1)
            })
            .await
            .unwrap_or_else(|error: storage::Error| panic!("{error}"));
        for identifier in [
            json!({ "type": "m.id.thirdparty", "medium": "email", "address": "Alice@mail.example" }),
            json!({ "type": "m.id.phone", "country": "GB", "phone": "+44 123-4567" }),
        ] {
            let body = json!({
                "type": "m.login.password", "identifier": identifier, "password": Server::PASSWORD,
            });
            assert_eq!(server.anonymous().post(LOGIN, body).await.0, 200);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_wrong_with_a_login_the_answer_is_the_same() {
    start_each(async |server: Server| {
        server.register("alice").await;
        let nobody = server.anonymous();
        let mut answers = Vec::new();
        for (name, password) in [
            ("alice", "wrong"),
            ("nobody", Server::PASSWORD),
            ("@alice:elsewhere.example", Server::PASSWORD),
            ("alice\0", Server::PASSWORD),
            ("", ""),
            ("alice", ""),
        ] {
            answers.push(nobody.post(LOGIN, password_login(name, password)).await);
        }
        let long = "x".repeat(10_000);
        answers.push(nobody.post(LOGIN, password_login("alice", &long)).await);
        for answer in &answers {
            assert_eq!(refusal(answer), (403, "M_FORBIDDEN"));
            assert_eq!(answer, &answers[0]);
        }
        for (body, errcode) in [
            (json!({}), "M_BAD_JSON"),
            (json!({ "type": "m.login.sso" }), "M_UNKNOWN"),
            (json!({ "type": "m.login.password", "user": "alice" }), "M_MISSING_PARAM"),
            (json!({ "type": "m.login.password", "password": "x" }), "M_MISSING_PARAM"),
            (json!({ "type": "m.login.token" }), "M_MISSING_PARAM"),
            (
                json!({ "type": "m.login.password", "identifier": { "type": "m.id.star" }, "password": "x" }),
                "M_UNKNOWN",
            ),
            (
                json!({ "type": "m.login.password", "identifier": 7, "password": "x" }),
                "M_BAD_JSON",
            ),
        ] {
            let answer = nobody.post(LOGIN, body.clone()).await;
            assert_eq!(refusal(&answer), (400, errcode), "{body}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_a_good_token_is_refused() {
    start_each(async |server: Server| {
        let alice = server.register("alice").await;
        let nobody = server.anonymous();
        assert_eq!(refusal(&nobody.get(WHOAMI).await), (401, "M_MISSING_TOKEN"));
        let answer = nobody.with_token("made up").get(WHOAMI).await;
        assert_eq!(refusal(&answer), (401, "M_UNKNOWN_TOKEN"));
        assert_eq!(answer.1["soft_logout"], false);
        let path = format!("{WHOAMI}?access_token={}", alice.access_token);
        assert_eq!(nobody.get(&path).await.0, 200);
        for header in ["Basic abc", "Bearer", "Bearer ", ""] {
            let answer = nobody
                .send(
                    http::Method::GET,
                    WHOAMI,
                    vec![],
                    &[("authorization", header)],
                )
                .await;
            assert_eq!(answer.status, 401, "{header:?}");
            assert_eq!(answer.json()["errcode"], "M_MISSING_TOKEN", "{header:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_ends_one_device_or_all() {
    start_each(async |server: Server| {
        let alice = server.register("alice").await;
        let second = alice.another_device("SECOND").await;
        assert_eq!(second.get(WHOAMI).await.0, 200);
        assert_eq!(second.post(LOGOUT, json!({})).await, (200, json!({})));
        let answer = second.get(WHOAMI).await;
        assert_eq!(refusal(&answer), (401, "M_UNKNOWN_TOKEN"));
        assert_eq!(answer.1["soft_logout"], false);
        assert_eq!(alice.get(WHOAMI).await.0, 200);
        let third = alice.another_device("THIRD").await;
        assert_eq!(third.get(WHOAMI).await.0, 200);
        let (status, _) = alice.post("/_matrix/client/v3/logout/all", json!({})).await;
        assert_eq!(status, 200);
        assert_eq!(alice.get(WHOAMI).await.0, 401);
        assert_eq!(third.get(WHOAMI).await.0, 401);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_in_on_the_same_device_ends_its_old_token() {
    start_each(async |server: Server| {
        let alice = server.register("alice").await;
        let first = alice.another_device("PHONE").await;
        assert_eq!(first.get(WHOAMI).await.0, 200);
        let again = alice.another_device("PHONE").await;
        assert_eq!(again.get(WHOAMI).await.0, 200);
        assert_eq!(first.get(WHOAMI).await.0, 401);
        let (_, devices) = alice.get(crate::DEVICES).await;
        assert_eq!(devices["devices"].as_array().unwrap().len(), 2);
    })
    .await;
}

/// Signs in with a refresh token; the client and the answer.
async fn refreshable(server: &Server) -> (Client, Value) {
    let mut body = password_login("alice", Server::PASSWORD);
    body["refresh_token"] = true.into();
    let (status, answer) = server.anonymous().post(LOGIN, body).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["expires_in_ms"], FIVE_MINUTES_MS);
    let client = server
        .anonymous()
        .with_token(answer["access_token"].as_str().unwrap());
    (client, answer)
}

async fn refresh(client: &Client, token: &Value) -> (u16, Value) {
    client
        .post(REFRESH, json!({ "refresh_token": token }))
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_token_is_a_soft_logout_and_can_be_refreshed() {
    start_each(async |server: Server| {
        server.register("alice").await;
        let (client, first) = refreshable(&server).await;
        assert_eq!(client.get(WHOAMI).await.0, 200);
        server.clock.advance_ms(FIVE_MINUTES_MS);
        let answer = client.get(WHOAMI).await;
        assert_eq!(refusal(&answer), (401, "M_UNKNOWN_TOKEN"));
        assert_eq!(answer.1["soft_logout"], true);
        let (status, second) = refresh(&client, &first["refresh_token"]).await;
        assert_eq!(status, 200, "{second}");
        let renewed = client.with_token(second["access_token"].as_str().unwrap());
        let (status, answer) = renewed.get(WHOAMI).await;
        assert_eq!((status, &answer["device_id"]), (200, &first["device_id"]));
        assert_eq!(client.get(WHOAMI).await.1["soft_logout"], true);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_refresh_token_is_good_until_a_new_token_is_used() {
    start_each(async |server: Server| {
        server.register("alice").await;
        let (client, first) = refreshable(&server).await;
        assert_eq!(client.get(WHOAMI).await.0, 200);
        // The answer is lost; the client asks again.
        let (status, lost) = refresh(&client, &first["refresh_token"]).await;
        assert_eq!(status, 200, "{lost}");
        let (status, second) = refresh(&client, &first["refresh_token"]).await;
        assert_eq!(status, 200, "{second}");
        // What the lost answer carried is good no longer; the old access token still is.
        let answer = refresh(&client, &lost["refresh_token"]).await;
        assert_eq!(refusal(&answer), (401, "M_UNKNOWN_TOKEN"));
        let with_lost = client.with_token(lost["access_token"].as_str().unwrap());
        assert_eq!(with_lost.get(WHOAMI).await.0, 401);
        assert_eq!(client.get(WHOAMI).await.0, 200);
        // The first use of the new access token ends the old ones.
        let renewed = client.with_token(second["access_token"].as_str().unwrap());
        assert_eq!(renewed.get(WHOAMI).await.0, 200);
        assert_eq!(renewed.get(WHOAMI).await.0, 200);
        let answer = refresh(&client, &first["refresh_token"]).await;
        assert_eq!(refusal(&answer), (401, "M_UNKNOWN_TOKEN"));
        assert_eq!(client.get(WHOAMI).await.1["soft_logout"], true);
        // So does the use of the new refresh token alone.
        let (status, third) = refresh(&client, &second["refresh_token"]).await;
        assert_eq!(status, 200, "{third}");
        let (status, _) = refresh(&client, &third["refresh_token"]).await;
        assert_eq!(status, 200);
        let answer = refresh(&client, &second["refresh_token"]).await;
        assert_eq!(refusal(&answer), (401, "M_UNKNOWN_TOKEN"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_out_device_cannot_refresh() {
    start_each(async |server: Server| {
        server.register("alice").await;
        let (client, first) = refreshable(&server).await;
        assert_eq!(client.post(LOGOUT, json!({})).await.0, 200);
        let answer = refresh(&client, &first["refresh_token"]).await;
        assert_eq!(refusal(&answer), (401, "M_UNKNOWN_TOKEN"));
        assert_eq!(
            refusal(&client.post(REFRESH, json!({})).await),
            (400, "M_BAD_JSON")
        );
        assert_eq!(client.get(WHOAMI).await.1["soft_logout"], false);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_signs_in_by_a_token_that_another_one_shows() {
    start_each(async |server: Server| {
        let alice = server.register("alice").await;
        let nobody = server.anonymous();
        let asked = alice.post(GET_TOKEN, json!({})).await;
        let auth = password_auth(&alice, &session_of(&asked));
        let (status, answer) = alice.post(GET_TOKEN, json!({ "auth": auth })).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(answer["expires_in_ms"], 120_000);
        let body =
            json!({ "type": "m.login.token", "token": answer["login_token"], "device_id": "NEW" });
        let (status, answer) = nobody.post(LOGIN, body.clone()).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(answer["user_id"], alice.user_id.as_str());
        // Once, and not too late.
        assert_eq!(
            refusal(&nobody.post(LOGIN, body).await),
            (403, "M_FORBIDDEN")
        );
        let asked = alice.post(GET_TOKEN, json!({})).await;
        let auth = password_auth(&alice, &session_of(&asked));
        let (_, answer) = alice.post(GET_TOKEN, json!({ "auth": auth })).await;
        server.clock.advance_ms(120_000);
        let body = json!({ "type": "m.login.token", "token": answer["login_token"] });
        assert_eq!(
            refusal(&nobody.post(LOGIN, body).await),
            (403, "M_FORBIDDEN")
        );
    })
    .await;
}
