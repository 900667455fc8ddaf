//! Stories of clients that follow over `GET /v3/sync`.

use crate::acts::*;
use serde_json::{Value, json};
use testkit::start_each;

#[tokio::test(flavor = "multi_thread")]
async fn a_first_sync_tells_of_a_room_and_the_next_of_what_came_after() {
    start_each(async |server| {
        let alice = server.register("alice").await;
        let room = create_room(&alice, json!({ "name": "Tea" })).await;
        let first = sync(&alice, None, "").await;
        let joined = &first["rooms"]["join"][&room];
        assert_eq!(
            state_content(joined, "m.room.name", "")["name"],
            "Tea",
            "{first}"
        );
        assert_eq!(joined["summary"]["m.joined_member_count"], 1);
        let event = send_text(&alice, &room, "hello").await;
        let next = sync(&alice, Some(&first), "").await;
        let joined = &next["rooms"]["join"][&room];
        assert_eq!(event_ids(&joined["timeline"]["events"]), [event]);
        assert_eq!(joined["timeline"]["limited"], false);
        assert_eq!(joined["state"]["events"], json!([]));
        let last = sync(&alice, Some(&next), "").await;
        assert_eq!(last.get("rooms"), None, "{last}");
    })
    .await;
}
