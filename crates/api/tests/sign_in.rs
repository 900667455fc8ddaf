//! Signing in and out, and what an access token is good for.

use serde_json::json;
use testkit::{Server, start_each};

const WHOAMI: &str = "/_matrix/client/v3/login";

#[tokio::test(flavor = "multi_thread")]
async fn a_friend_signs_in_by_password_and_out_again() {
    start_each(async |server: Server| {
        let alice = server.register("alice").await;
        let second = alice.another_device("SECOND").await;
        let (status, answer) = second.post("/_matrix/client/v3/logout", json!({})).await;
        assert_eq!((status, answer), (200, json!({})));
        let (status, answer) = second.post("/_matrix/client/v3/logout", json!({})).await;
        assert_eq!(status, 401);
        assert_eq!(answer["errcode"], "M_UNKNOWN_TOKEN");
        assert_eq!(alice.get(WHOAMI).await.0, 200);
        let (status, _) = alice.post("/_matrix/client/v3/logout/all", json!({})).await;
        assert_eq!(status, 200);
    })
    .await;
}
