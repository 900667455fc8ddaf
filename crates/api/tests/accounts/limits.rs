//! Who asks too often is slowed down: by address, and by account.

use homeserver::RegistrationMode;
use serde_json::json;
use testkit::{Server, start_each_with};

use crate::{LOGIN, REGISTER, password_login, refusal};

fn limited(settings: &mut homeserver::Settings) {
    settings.limits = true;
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_at_one_account_are_slowed_from_wherever_they_come() {
    start_each_with(limited, async |server: Server| {
        server.register("alice").await;
        let nobody = server.anonymous();
        for guess in 0..10 {
            let from = nobody.from_address(&format!("192.0.2.{guess}"));
            // Spellings of one name share its guesses.
            let name = ["alice", "ALICE", "@alice:test.example"][guess % 3];
            let answer = from.post(LOGIN, password_login(name, "wrong")).await;
            assert_eq!(refusal(&answer), (403, "M_FORBIDDEN"));
        }
        let from = nobody.from_address("198.51.100.1");
        let answer = from
            .post(LOGIN, password_login("alice", Server::PASSWORD))
            .await;
        assert_eq!(refusal(&answer), (429, "M_LIMIT_EXCEEDED"));
        let wait_ms = answer.1["retry_after_ms"].as_u64().unwrap();
        // A name that nobody has is slowed alike.
        for _ in 0..10 {
            assert_eq!(
                from.post(LOGIN, password_login("nobody", "wrong")).await.0,
                403
            );
        }
        assert_eq!(
            from.post(LOGIN, password_login("nobody", "wrong")).await.0,
            429
        );
        server.clock.advance_ms(wait_ms);
        let answer = from
            .post(LOGIN, password_login("alice", Server::PASSWORD))
            .await;
        assert_eq!(answer.0, 200, "{}", answer.1);
        // What succeeds is no guess.
        let answer = from
            .post(LOGIN, password_login("alice", Server::PASSWORD))
            .await;
        assert_eq!(answer.0, 200, "{}", answer.1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_cannot_try_all_names() {
    start_each_with(limited, async |server: Server| {
        let nobody = server.anonymous().from_address("192.0.2.1");
        for number in 0..30 {
            let body = json!({ "type": "m.login.token", "token": number.to_string() });
            assert_eq!(nobody.post(LOGIN, body).await.0, 403);
        }
        let body = json!({ "type": "m.login.token", "token": "more" });
        let answer = nobody
            .send(
                http::Method::POST,
                LOGIN,
                body.to_string().into_bytes(),
                &[],
            )
            .await;
        assert_eq!(answer.status, 429);
        assert_eq!(answer.headers["retry-after"], "2");
        let other = nobody.from_address("192.0.2.2");
        assert_eq!(other.post(LOGIN, body).await.0, 403);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_cannot_try_all_registration_tokens() {
    let change = |settings: &mut homeserver::Settings| {
        settings.limits = true;
        settings.registration = RegistrationMode::Token;
    };
    start_each_with(change, async |server: Server| {
        let nobody = server.anonymous().from_address("192.0.2.1");
        let guess = json!({ "auth": { "type": "m.login.registration_token", "token": "guess" } });
        for _ in 0..20 {
            assert_eq!(nobody.post(REGISTER, guess.clone()).await.0, 401);
        }
        let answer = nobody.post(REGISTER, guess.clone()).await;
        assert_eq!(refusal(&answer), (429, "M_LIMIT_EXCEEDED"));
        // Asking what there is costs nothing.
        assert_eq!(nobody.post(REGISTER, json!({})).await.0, 401);
        server
            .clock
            .advance_ms(answer.1["retry_after_ms"].as_u64().unwrap());
        assert_eq!(nobody.post(REGISTER, guess).await.0, 401);
    })
    .await;
}
