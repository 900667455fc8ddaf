//! Making an account.

use homeserver::RegistrationMode;
use homeserver::accounts::registration_tokens::{NewToken, list_tokens, new_token, revoke_token};
use serde_json::{Value, json};
use testkit::{Client, Server, start_each, start_each_with};

use crate::{LOGIN, REGISTER, WHOAMI, password_login, refusal, session_of};

const AVAILABLE: &str = "/_matrix/client/v3/register/available";
const VALIDITY: &str = "/_matrix/client/v1/register/m.login.registration_token/validity";
const PASSWORD: &str = "a fine long password";

fn wish(username: &str) -> Value {
    json!({ "username": username, "password": PASSWORD })
}

fn with_token(username: &str, token: &str) -> Value {
    let mut body = wish(username);
    body["auth"] = json!({ "type": "m.login.registration_token", "token": token });
    body
}

async fn by_token(test: impl AsyncFn(Server)) {
    start_each_with(
        |settings| settings.registration = RegistrationMode::Token,
        test,
    )
    .await;
}

async fn token(server: &Server, new: NewToken) -> String {
    new_token(&server.hs, new).await.expect("a token is made")
}

fn once() -> NewToken {
    NewToken {
        uses: Some(1),
        ..NewToken::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_friend_registers_with_a_token_and_is_signed_in() {
    by_token(async |server: Server| {
        let nobody = server.anonymous();
        let token = token(&server, once()).await;
        let asked = nobody.post(REGISTER, wish("Ada")).await;
        let session = session_of(&asked);
        assert!(asked.1.get("errcode").is_none(), "{}", asked.1);
        assert_eq!(
            asked.1["flows"],
            json!([{ "stages": ["m.login.registration_token"] }])
        );
        let mut body = with_token("Ada", &token);
        body["auth"]["session"] = session.into();
        body["device_id"] = "PHONE".into();
        body["initial_device_display_name"] = "my phone".into();
        let (status, answer) = nobody.post(REGISTER, body).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(answer["user_id"], "@ada:test.example");
        assert_eq!(answer["device_id"], "PHONE");
        assert!(answer.get("refresh_token").is_none());
        let ada = nobody.with_token(answer["access_token"].as_str().unwrap());
        let (status, answer) = ada.get(WHOAMI).await;
        assert_eq!(status, 200);
        assert_eq!(
            answer,
            json!({ "user_id": "@ada:test.example", "device_id": "PHONE", "is_guest": false })
        );
        let (_, device) = ada.get("/_matrix/client/v3/devices/PHONE").await;
        assert_eq!(device["display_name"], "my phone");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_are_no_good_make_no_account() {
    by_token(async |server: Server| {
        let nobody = server.anonymous();
        let used = token(&server, once()).await;
        let (status, _) = nobody.post(REGISTER, with_token("first", &used)).await;
        assert_eq!(status, 200);
        let revoked = token(&server, NewToken::default()).await;
        revoke_token(&server.hs, &revoked).await.unwrap();
        let expired = token(
            &server,
            NewToken {
                expires_in_ms: Some(1000),
                ..NewToken::default()
            },
        )
        .await;
        server.clock.advance_ms(1000);
        for bad in [&used, &revoked, &expired, "unknown", "", "a b", "nul\0"] {
            let answer = nobody.post(REGISTER, with_token("second", bad)).await;
            assert_eq!(refusal(&answer), (401, "M_FORBIDDEN"), "{bad:?}");
            assert!(answer.1["flows"].is_array());
            let path = format!(
                "{VALIDITY}?token={}",
                bad.replace(' ', "%20").replace('\0', "%00")
            );
            assert_eq!(
                nobody.get(&path).await,
                (200, json!({ "valid": false })),
                "{bad:?}"
            );
        }
        let good = token(&server, once()).await;
        let answer = nobody.get(&format!("{VALIDITY}?token={good}")).await;
        assert_eq!(answer, (200, json!({ "valid": true })));
        assert_eq!(
            refusal(&nobody.get(VALIDITY).await),
            (400, "M_MISSING_PARAM")
        );
        // A name that is taken costs no use.
        let answer = nobody.post(REGISTER, with_token("first", &good)).await;
        assert_eq!(refusal(&answer), (400, "M_USER_IN_USE"));
        let (status, _) = nobody.post(REGISTER, with_token("second", &good)).await;
        assert_eq!(status, 200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_one_name_makes_that_one_and_may_make_an_administrator() {
    by_token(async |server: Server| {
        let nobody = server.anonymous();
        let new = NewToken {
            username: Some("Ada".into()),
            is_admin: true,
            ..once()
        };
        let token = token(&server, new).await;
        let answer = nobody.post(REGISTER, with_token("eve", &token)).await;
        assert_eq!(refusal(&answer), (401, "M_FORBIDDEN"));
        let (status, answer) = nobody.post(REGISTER, with_token("ada", &token)).await;
        assert_eq!(status, 200, "{answer}");
        let ada = nobody.with_token(answer["access_token"].as_str().unwrap());
        let (_, answer) = ada.get("/_matrix/client/v3/capabilities").await;
        assert!(answer["capabilities"]["m.account_moderation"].is_object());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_three_makes_three_however_many_come_at_once() {
    by_token(async |server: Server| {
        let new = NewToken {
            uses: Some(3),
            ..NewToken::default()
        };
        let token = token(&server, new).await;
        let mut friends = tokio::task::JoinSet::new();
        for number in 0..8 {
            let (nobody, token) = (server.anonymous(), token.clone());
            friends.spawn(async move {
                let name = format!("friend{number}");
                nobody.post(REGISTER, with_token(&name, &token)).await.0
            });
        }
        let statuses = friends.join_all().await;
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 3);
        assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 5);
        let listed = list_tokens(&server.hs).await.unwrap();
        assert_eq!((listed[0].uses, listed[0].uses_max), (3, Some(3)));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_given_once_however_many_ask_at_once() {
    start_each(async |server: Server| {
        let mut friends = tokio::task::JoinSet::new();
        for _ in 0..6 {
            let nobody = server.anonymous();
            friends.spawn(async move { open(&nobody, wish("ada")).await.0 });
        }
        let statuses = friends.join_all().await;
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1);
        assert_eq!(statuses.iter().filter(|status| **status == 400).count(), 5);
    })
    .await;
}

/// Registers where anybody may.
async fn open(client: &Client, mut body: Value) -> (u16, Value) {
    body["auth"] = json!({ "type": "m.login.dummy" });
    client.post(REGISTER, body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_nobody_can_have_are_refused() {
    start_each(async |server: Server| {
        server.register("taken").await;
        let nobody = server.anonymous();
        for (name, errcode) in [
            ("taken", "M_USER_IN_USE"),
            ("TAKEN", "M_USER_IN_USE"),
            ("", "M_INVALID_USERNAME"),
            ("a b", "M_INVALID_USERNAME"),
            ("@ada:test.example", "M_INVALID_USERNAME"),
            ("ada:test", "M_INVALID_USERNAME"),
            ("é", "M_INVALID_USERNAME"),
            ("a\0", "M_INVALID_USERNAME"),
            ("_bridge_bot", "M_EXCLUSIVE"),
            ("kith", "M_EXCLUSIVE"),
        ] {
            let answer = open(&nobody, wish(name)).await;
            assert_eq!(refusal(&answer), (400, errcode), "{name:?}");
        }
        let long = "a".repeat(250);
        let answer = nobody.get(&format!("{AVAILABLE}?username={long}")).await;
        assert_eq!(refusal(&answer), (400, "M_INVALID_USERNAME"));
        let answer = nobody.get(&format!("{AVAILABLE}?username=taken")).await;
        assert_eq!(refusal(&answer), (400, "M_USER_IN_USE"));
        let answer = nobody.get(&format!("{AVAILABLE}?username=free")).await;
        assert_eq!(answer, (200, json!({ "available": true })));
        assert_eq!(
            refusal(&nobody.get(AVAILABLE).await),
            (400, "M_MISSING_PARAM")
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_registration_cannot_do_is_said() {
    start_each(async |server: Server| {
        let nobody = server.anonymous();
        let answer = nobody
            .post(&format!("{REGISTER}?kind=guest"), json!({}))
            .await;
        assert_eq!(refusal(&answer), (403, "M_GUEST_ACCESS_FORBIDDEN"));
        let answer = nobody
            .post(&format!("{REGISTER}?kind=king"), json!({}))
            .await;
        assert_eq!(refusal(&answer), (400, "M_INVALID_PARAM"));
        let answer = open(&nobody, json!({ "username": "ada" })).await;
        assert_eq!(refusal(&answer), (400, "M_MISSING_PARAM"));
        for weak in ["short", "password", "aaaaaaaaaa"] {
            let answer = open(&nobody, json!({ "username": "ada", "password": weak })).await;
            assert_eq!(refusal(&answer), (400, "M_WEAK_PASSWORD"), "{weak}");
        }
        let answer = open(&nobody, json!({ "username": 7 })).await;
        assert_eq!(refusal(&answer), (400, "M_BAD_JSON"));
        let mut body = wish("ada");
        body["auth"] = json!({ "type": "m.login.sso" });
        let answer = nobody.post(REGISTER, body.clone()).await;
        assert_eq!(refusal(&answer), (401, "M_UNRECOGNIZED"));
        body["auth"] = json!({ "type": "m.login.dummy", "session": "made up" });
        let answer = nobody.post(REGISTER, body).await;
        assert_eq!(refusal(&answer), (400, "M_INVALID_PARAM"));
        let mut body = wish("ada");
        body["device_id"] = "x".repeat(256).into();
        assert_eq!(
            refusal(&open(&nobody, body).await),
            (400, "M_INVALID_PARAM")
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_open_mode_takes_everybody_and_can_leave_them_signed_out() {
    start_each(async |server: Server| {
        let nobody = server.anonymous();
        let asked = nobody.post(REGISTER, json!({})).await;
        session_of(&asked);
        assert_eq!(asked.1["flows"][0], json!({ "stages": ["m.login.dummy"] }));
        let mut body = wish("ada");
        body["inhibit_login"] = true.into();
        let (status, answer) = open(&nobody, body).await;
        assert_eq!(status, 200, "{answer}");
        assert!(answer.get("access_token").is_none() && answer.get("device_id").is_none());
        let (status, _) = nobody.post(LOGIN, password_login("ada", PASSWORD)).await;
        assert_eq!(status, 200);
        // Without a wish for a name, the server chooses one.
        let (status, answer) = open(&nobody, json!({ "password": PASSWORD })).await;
        assert_eq!(status, 200, "{answer}");
        assert!(
            answer["user_id"]
                .as_str()
                .unwrap()
                .ends_with(":test.example")
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_closed_mode_takes_nobody() {
    let closed =
        |settings: &mut homeserver::Settings| settings.registration = RegistrationMode::Closed;
    start_each_with(closed, async |server: Server| {
        let nobody = server.anonymous();
        let token = token(&server, NewToken::default()).await;
        for answer in [
            nobody.post(REGISTER, json!({})).await,
            nobody.post(REGISTER, with_token("ada", &token)).await,
            nobody.get(&format!("{VALIDITY}?token={token}")).await,
            nobody.get(&format!("{AVAILABLE}?username=ada")).await,
        ] {
            assert_eq!(refusal(&answer), (403, "M_FORBIDDEN"));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_done_on_a_page_is_good_for_its_registration_alone() {
    by_token(async |server: Server| {
        use homeserver::accounts::interactive_auth::{StageError, complete_registration_token};
        let nobody = server.anonymous();
        let token = token(&server, NewToken::default()).await;
        let session = session_of(&nobody.post(REGISTER, wish("ada")).await);
        let wrong = complete_registration_token(&server.hs, &session, "wrong").await;
        assert!(matches!(wrong, Err(StageError::Token(_))));
        let unknown = complete_registration_token(&server.hs, "unknown", &token).await;
        assert!(matches!(unknown, Err(StageError::Session(_))));
        let mut body = wish("ada");
        body["auth"] = json!({ "session": session });
        let waiting = nobody.post(REGISTER, body.clone()).await;
        assert_eq!(session_of(&waiting), session);
        complete_registration_token(&server.hs, &session, &token)
            .await
            .unwrap();
        let (status, answer) = nobody.post(REGISTER, body).await;
        assert_eq!(status, 200, "{answer}");
        // It was used up.
        let mut body = wish("eve");
        body["auth"] = json!({ "session": session });
        assert_eq!(nobody.post(REGISTER, body).await.0, 401);
        assert_eq!(list_tokens(&server.hs).await.unwrap()[0].uses, 1);
    })
    .await;
}
