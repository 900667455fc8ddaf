//! Push rules as clients set them, and whom events notify by them.

use serde_json::{Value, json};
use storage::ids::find_user;
use storage::unread;
use testkit::{Client, Server, start_each};

const RULES: &str = "/_matrix/client/v3/pushrules";

fn refused(answer: (u16, Value), status: u16, errcode: &str) {
    let errcode_given = answer.1["errcode"].as_str();
    assert_eq!(
        (answer.0, errcode_given),
        (status, Some(errcode)),
        "{}",
        answer.1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_are_set_moved_turned_off_and_deleted() {
    start_each(async |server: Server| {
        let alice = server.register("alice").await;
        let (status, all) = alice.get(&format!("{RULES}/")).await;
        assert_eq!(status, 200);
        assert_eq!(alice.get(RULES).await.1, all);
        assert_eq!(alice.get(&format!("{RULES}/global/")).await.1, all["global"]);
        assert_eq!(all["global"]["override"][0]["rule_id"], ".m.rule.master");

        let cake = format!("{RULES}/global/content/cake");
        let body = json!({ "pattern": "cake*lie", "actions": ["notify"] });
        assert_eq!(alice.put(&cake, body).await, (200, json!({})));
        let rule = json!({
            "actions": ["notify"], "default": false, "enabled": true, "pattern": "cake*lie", "rule_id": "cake"
        });
        assert_eq!(alice.get(&cake).await, (200, rule));
        let tea = format!("{RULES}/global/content/tea?after=cake");
        assert_eq!(alice.put(&tea, json!({ "pattern": "tea", "actions": [] })).await.0, 200);
        let pie = format!("{RULES}/global/content/pie?before=tea");
        assert_eq!(alice.put(&pie, json!({ "pattern": "pie", "actions": [] })).await.0, 200);
        let ids: Vec<Value> = alice.get(&format!("{RULES}/global/")).await.1["content"]
            .as_array()
            .unwrap()
            .iter()
            .map(|rule| rule["rule_id"].clone())
            .collect();
        assert_eq!(ids, ["cake", "pie", "tea"]);

        let enabled = format!("{cake}/enabled");
        assert_eq!(alice.put(&enabled, json!({ "enabled": false })).await.0, 200);
        assert_eq!(alice.get(&enabled).await.1, json!({ "enabled": false }));
        let actions = format!("{cake}/actions");
        let loud = json!({ "actions": ["notify", { "set_tweak": "sound", "value": "cake.wav" }] });
        assert_eq!(alice.put(&actions, loud.clone()).await.0, 200);
        assert_eq!(alice.get(&actions).await.1, loud);
        assert_eq!(alice.delete(&cake, json!({})).await.0, 200);
        for path in [&cake, &enabled, &actions] {
            refused(alice.get(path).await, 404, "M_NOT_FOUND");
        }
        refused(alice.delete(&cake, json!({})).await, 404, "M_NOT_FOUND");

        let master = format!("{RULES}/global/override/.m.rule.master");
        assert_eq!(alice.put(&format!("{master}/enabled"), json!({ "enabled": true })).await.0, 200);
        assert_eq!(alice.get(&master).await.1["enabled"], true);
        refused(alice.put(&master, json!({ "actions": [] })).await, 400, "M_INVALID_PARAM");
        refused(alice.delete(&master, json!({})).await, 400, "M_INVALID_PARAM");
        let nothing = format!("{RULES}/global/flavour/x");
        refused(alice.get(&nothing).await, 400, "M_INVALID_PARAM");
        let lost = format!("{RULES}/global/content/x?before=nothing");
        let body = json!({ "pattern": "x", "actions": [] });
        refused(alice.put(&lost, body).await, 400, "M_UNKNOWN");
        let bare = format!("{RULES}/global/content/x");
        refused(alice.put(&bare, json!({ "actions": [] })).await, 400, "M_BAD_JSON");
        refused(alice.put(&bare, json!({ "pattern": "x" })).await, 400, "M_MISSING_PARAM");
        // What others changed does not show here.
        let bob = server.register("bob").await;
        assert_eq!(bob.get(&master).await.1["enabled"], false);
    })
    .await;
}

struct Friends {
    server: Server,
    alice: Client,
    bob: Client,
    carol: Client,
    room: String,
}

impl Friends {
    /// Three friends in a room.
    async fn meet(server: Server) -> Self {
        let alice = server.register("alice").await;
        let bob = server.register("bob").await;
        let carol = server.register("carol").await;
        let body = json!({ "preset": "public_chat" });
        let (_, made) = alice.post("/_matrix/client/v3/createRoom", body).await;
        let room = made["room_id"].as_str().unwrap().to_owned();
        for friend in [&bob, &carol] {
            let join = format!("/_matrix/client/v3/rooms/{room}/join");
            assert_eq!(friend.post(&join, json!({})).await.0, 200);
        }
        Self {
            server,
            alice,
            bob,
            carol,
            room,
        }
    }

    async fn say(&self, who: &Client, content: Value) -> String {
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = format!(
            "/_matrix/client/v3/rooms/{}/send/m.room.message/{number}",
            self.room
        );
        let (status, sent) = who.put(&path, content).await;
        assert_eq!(status, 200, "{sent}");
        sent["event_id"].as_str().unwrap().to_owned()
    }

    /// What differs for a user from what the room's tally says, and that tally.
    async fn counts(&self, who: &Client) -> (Vec<(i64, bool)>, i64) {
        let (user_id, room_id) = (who.user_id.clone(), self.room.clone());
        let db = &self.server.hs.db;
        db.read(move |snap| -> Result<_, storage::Error> {
            let user = find_user(snap, &user_id)?.unwrap();
            let room = storage::rooms::find_room(snap, &room_id)?.unwrap();
            let exceptions = unread::exceptions(snap, user, &[room.key])?;
            let exceptions = exceptions
                .iter()
                .map(|exception| (exception.notify, exception.highlight))
                .collect();
            Ok((exceptions, room.tally))
        })
        .await
        .unwrap()
    }
}

fn text(body: &str) -> Value {
    json!({ "msgtype": "m.text", "body": body })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_counts_for_all_and_a_mention_for_the_mentioned() {
    start_each(async |server: Server| {
        let friends = Friends::meet(server).await;
        let (alice, bob, carol) = (&friends.alice, &friends.bob, &friends.carol);
        friends.say(alice, text("hello bob")).await;
        assert_eq!(friends.counts(bob).await, (vec![], 1));
        let mut mention = text("bob!");
        mention["m.mentions"] =
            json!({ "user_ids": [bob.user_id, alice.user_id, "@x:test.example", ""] });
        friends.say(alice, mention).await;
        assert_eq!(friends.counts(bob).await, (vec![(0, true)], 2));
        assert_eq!(friends.counts(carol).await, (vec![], 2));
        assert_eq!(friends.counts(alice).await, (vec![], 2));
        // A notice counts for nobody, and so does an edit.
        friends
            .say(alice, json!({ "msgtype": "m.notice", "body": "beep" }))
            .await;
        let mut edit = text("* hi");
        edit["m.new_content"] = text("hi");
        edit["m.relates_to"] = json!({ "rel_type": "m.replace", "event_id": "$x" });
        friends.say(alice, edit).await;
        assert_eq!(friends.counts(carol).await, (vec![], 2));
        // Only the powerful may call the whole room.
        let mut room = text("@room");
        room["m.mentions"] = json!({ "room": true });
        friends.say(carol, room.clone()).await;
        assert_eq!(friends.counts(bob).await.0.len(), 1);
        friends.say(alice, room).await;
        assert_eq!(friends.counts(bob).await, (vec![(0, true), (0, true)], 4));
        assert_eq!(friends.counts(carol).await, (vec![(0, true)], 4));
        assert_eq!(friends.counts(alice).await.0, []);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_of_ones_own_count_for_their_owner_alone() {
    start_each(async |server: Server| {
        let friends = Friends::meet(server).await;
        let (alice, bob, carol) = (&friends.alice, &friends.bob, &friends.carol);
        let keyword = json!({ "pattern": "cake", "actions": ["notify", { "set_tweak": "highlight" }] });
        assert_eq!(bob.put(&format!("{RULES}/global/content/cake"), keyword).await.0, 200);
        let silent = format!("{RULES}/global/sender/{}", alice.user_id);
        assert_eq!(carol.put(&silent, json!({ "actions": [] })).await.0, 200);
        friends.say(alice, text("Cake?")).await;
        assert_eq!(friends.counts(bob).await, (vec![(0, true)], 1));
        assert_eq!(friends.counts(carol).await, (vec![(-1, false)], 1));
        // A rule for a notice: only its owner is notified.
        let notices = json!({
            "conditions": [{ "kind": "event_match", "key": "content.msgtype", "pattern": "m.notice" }],
            "actions": ["notify"]
        });
        assert_eq!(bob.put(&format!("{RULES}/global/override/notices"), notices).await.0, 200);
        friends.say(alice, json!({ "msgtype": "m.notice", "body": "beep" })).await;
        assert_eq!(friends.counts(bob).await, (vec![(0, true), (1, false)], 1));
        // Who left hears nothing more; a silenced room keeps nothing.
        let leave = format!("/_matrix/client/v3/rooms/{}/leave", friends.room);
        assert_eq!(bob.post(&leave, json!({})).await.0, 200);
        friends.say(alice, text("cake")).await;
        assert_eq!(friends.counts(bob).await.0.len(), 2);
        assert_eq!(carol.delete(&silent, json!({})).await.0, 200);
        let mute = format!("{RULES}/global/room/{}", friends.room);
        assert_eq!(carol.put(&mute, json!({ "actions": [] })).await.0, 200);
        let before = friends.counts(carol).await.0;
        friends.say(alice, text("nobody listens")).await;
        assert_eq!(friends.counts(carol).await.0, before);
        let mut mention = text("carol!");
        mention["m.mentions"] = json!({ "user_ids": [carol.user_id] });
        friends.say(alice, mention).await;
        assert_eq!(friends.counts(carol).await.0.last(), Some(&(0, true)));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notifications_are_listed_newest_first() {
    start_each(async |server: Server| {
        let friends = Friends::meet(server).await;
        let (alice, bob) = (&friends.alice, &friends.bob);
        let first = friends.say(alice, text("one")).await;
        friends.say(bob, text("mine")).await;
        let mut mention = text("two");
        mention["m.mentions"] = json!({ "user_ids": [bob.user_id] });
        let second = friends.say(alice, mention).await;
        const LIST: &str = "/_matrix/client/v3/notifications";
        let (status, list) = bob.get(LIST).await;
        assert_eq!(status, 200, "{list}");
        let ids = |list: &Value| -> Vec<String> {
            let items = list["notifications"].as_array().unwrap().iter();
            items
                .map(|item| item["event"]["event_id"].as_str().unwrap().to_owned())
                .collect()
        };
        assert_eq!(ids(&list), [second.clone(), first.clone()]);
        let newest = &list["notifications"][0];
        assert_eq!(
            (&newest["read"], &newest["room_id"]),
            (&json!(false), &json!(friends.room))
        );
        assert_eq!(newest["actions"][0], "notify");
        let (_, highlights) = bob.get(&format!("{LIST}?only=highlight")).await;
        assert_eq!(ids(&highlights), [second.clone()]);
        let (_, page) = bob.get(&format!("{LIST}?limit=1")).await;
        assert_eq!(ids(&page), [second.clone()]);
        let next = page["next_token"].as_str().unwrap();
        assert_eq!(
            ids(&bob.get(&format!("{LIST}?limit=1&from={next}")).await.1),
            [first]
        );
        let receipt = format!(
            "/_matrix/client/v3/rooms/{}/receipt/m.read/{second}",
            friends.room
        );
        assert_eq!(bob.post(&receipt, json!({})).await.0, 200);
        let (_, list) = bob.get(LIST).await;
        assert_eq!(list["notifications"][0]["read"], true);
        refused(
            bob.get(&format!("{LIST}?from=x")).await,
            400,
            "M_INVALID_PARAM",
        );
    })
    .await;
}
