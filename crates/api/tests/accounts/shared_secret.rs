//! Registration by programs that know the shared secret.

use hmac::{Hmac, KeyInit, Mac};
use homeserver::RegistrationMode;
use serde_json::{Value, json};
use sha1::Sha1;
use testkit::{Client, Server, start_each, start_each_with};

use crate::{WHOAMI, refusal};

const PATH: &str = "/_synapse/admin/v1/register";
const SECRET: &str = "very secret";

fn mac(parts: &[&str]) -> String {
    let mut hmac = Hmac::<Sha1>::new_from_slice(SECRET.as_bytes()).unwrap();
    hmac.update(parts.join("\0").as_bytes());
    let bytes = hmac.finalize().into_bytes();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn nonce(client: &Client) -> String {
    let (status, answer) = client.get(PATH).await;
    assert_eq!(status, 200, "{answer}");
    answer["nonce"].as_str().unwrap().to_owned()
}

fn body(nonce: &str, username: &str, admin: bool) -> Value {
    let role = if admin { "admin" } else { "notadmin" };
    json!({
        "nonce": nonce, "username": username, "password": "pw", "admin": admin,
        "mac": mac(&[nonce, username, "pw", role]),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_with_the_secret_makes_accounts_even_where_registration_is_closed() {
    let change = |settings: &mut homeserver::Settings| {
        settings.registration = RegistrationMode::Closed;
        settings.registration_shared_secret = Some(SECRET.into());
    };
    start_each_with(change, async |server: Server| {
        let nobody = server.anonymous();
        let first = nonce(&nobody).await;
        let (status, answer) = nobody.post(PATH, body(&first, "Bot", true)).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(answer["user_id"], "@bot:test.example");
        assert_eq!(answer["home_server"], "test.example");
        let bot = nobody.with_token(answer["access_token"].as_str().unwrap());
        assert_eq!(bot.get(WHOAMI).await.0, 200);
        // A nonce is good once, for a minute.
        let answer = nobody.post(PATH, body(&first, "again", false)).await;
        assert_eq!(refusal(&answer), (400, "M_UNKNOWN"));
        let late = nonce(&nobody).await;
        server.clock.advance_ms(60_000);
        let answer = nobody.post(PATH, body(&late, "late", false)).await;
        assert_eq!(refusal(&answer), (400, "M_UNKNOWN"));
        // The mac covers who is made an administrator.
        let mut forged = body(&nonce(&nobody).await, "eve", false);
        forged["admin"] = true.into();
        assert_eq!(
            refusal(&nobody.post(PATH, forged).await),
            (403, "M_FORBIDDEN")
        );
        let mut forged = body(&nonce(&nobody).await, "eve", false);
        forged["mac"] = "zz".into();
        assert_eq!(
            refusal(&nobody.post(PATH, forged).await),
            (403, "M_FORBIDDEN")
        );
        let answer = nobody
            .post(PATH, body(&nonce(&nobody).await, "a\0b", false))
            .await;
        assert_eq!(refusal(&answer), (400, "M_INVALID_PARAM"));
        let answer = nobody
            .post(PATH, body(&nonce(&nobody).await, "bot", false))
            .await;
        assert_eq!(refusal(&answer), (400, "M_USER_IN_USE"));
        let answer = nobody.post(PATH, json!({})).await;
        assert_eq!(refusal(&answer), (400, "M_BAD_JSON"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_secret_there_is_no_such_endpoint() {
    start_each(async |server: Server| {
        let nobody = server.anonymous();
        assert_eq!(refusal(&nobody.get(PATH).await), (404, "M_UNRECOGNIZED"));
        assert_eq!(
            refusal(&nobody.post(PATH, json!({})).await),
            (404, "M_UNRECOGNIZED")
        );
    })
    .await;
}
