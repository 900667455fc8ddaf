//! Locked and suspended accounts.

use serde_json::json;
use testkit::{Server, start_each};

use crate::{LOGIN, WHOAMI, password_login, refusal};

const LOCK: &str = "/_matrix/client/v1/admin/lock";
const SUSPEND: &str = "/_matrix/client/v1/admin/suspend";

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_account_can_only_sign_out() {
    start_each(async |server: Server| {
        let admin = server.register_admin("admin").await;
        let eve = server.register("eve").await;
        let path = format!("{LOCK}/{}", eve.user_id);
        assert_eq!(eve.get(WHOAMI).await.0, 200);
        assert_eq!(admin.get(&path).await, (200, json!({ "locked": false })));
        let answer = admin.put(&path, json!({ "locked": true })).await;
        assert_eq!(answer, (200, json!({ "locked": true })));
        let answer = eve.get(WHOAMI).await;
        assert_eq!(refusal(&answer), (401, "M_USER_LOCKED"));
        assert_eq!(answer.1["soft_logout"], true);
        let answer = server
            .anonymous()
            .post(LOGIN, password_login("eve", Server::PASSWORD))
            .await;
        assert_eq!(refusal(&answer), (401, "M_USER_LOCKED"));
        admin.put(&path, json!({ "locked": false })).await;
        assert_eq!(eve.get(WHOAMI).await.0, 200);
        admin.put(&path, json!({ "locked": true })).await;
        assert_eq!(
            eve.post("/_matrix/client/v3/logout", json!({})).await.0,
            200
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_account_reads_but_does_not_speak() {
    start_each(async |server: Server| {
        let admin = server.register_admin("admin").await;
        let eve = server.register("eve").await;
        let path = format!("{SUSPEND}/{}", eve.user_id);
        let answer = admin.put(&path, json!({ "suspended": true })).await;
        assert_eq!(answer, (200, json!({ "suspended": true })));
        assert_eq!(admin.get(&path).await, (200, json!({ "suspended": true })));
        assert_eq!(eve.get(WHOAMI).await.0, 200);
        let answer = eve.post("/_matrix/client/v3/createRoom", json!({})).await;
        assert_eq!(refusal(&answer), (403, "M_USER_SUSPENDED"));
        admin.put(&path, json!({ "suspended": false })).await;
        assert_eq!(
            eve.post("/_matrix/client/v3/createRoom", json!({})).await.0,
            200
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_administrators_decide_and_not_about_one_another() {
    start_each(async |server: Server| {
        let admin = server.register_admin("admin").await;
        let other = server.register_admin("other").await;
        let eve = server.register("eve").await;
        for base in [LOCK, SUSPEND] {
            for (client, target, expected) in [
                (&eve, "@nobody:test.example", (403, "M_FORBIDDEN")),
                (&eve, "@eve:elsewhere", (403, "M_FORBIDDEN")),
                (&admin, "@nobody:test.example", (404, "M_NOT_FOUND")),
                (&admin, "@eve:elsewhere", (400, "M_INVALID_PARAM")),
                (&admin, other.user_id.as_str(), (403, "M_FORBIDDEN")),
            ] {
                let path = format!("{base}/{target}");
                assert_eq!(refusal(&client.get(&path).await), expected, "{path}");
                let body = json!({ "locked": true, "suspended": true });
                assert_eq!(refusal(&client.put(&path, body).await), expected, "{path}");
            }
            let answer = admin
                .put(&format!("{base}/{}", eve.user_id), json!({}))
                .await;
            assert_eq!(refusal(&answer), (400, "M_BAD_JSON"));
        }
    })
    .await;
}
