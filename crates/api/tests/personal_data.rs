//! Account data, tags, filters, profiles, presence, the user directory, pushers and the like, as clients use them.

use serde_json::{Value, json};
use testkit::{Client, Server, start_each};

fn own(client: &Client, rest: &str) -> String {
    format!("/_matrix/client/v3/user/{}/{rest}", client.user_id)
}

async fn create_room(client: &Client, body: Value) -> String {
    let (status, answer) = client.post("/_matrix/client/v3/createRoom", body).await;
    assert_eq!(status, 200, "{answer}");
    answer["room_id"].as_str().unwrap().to_owned()
}

fn refused(answer: (u16, Value), status: u16, errcode: &str) {
    let errcode_given = answer.1["errcode"].as_str();
    assert_eq!(
        (answer.0, errcode_given),
        (status, Some(errcode)),
        "{}",
        answer.1
    );
    assert!(answer.1["error"].as_str().unwrap().len() > 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn account_data_is_kept_per_user_and_room() {
    start_each(async |server: Server| {
        let alice = server.register("alice").await;
        let bob = server.register("bob").await;
        let direct = own(&alice, "account_data/m.direct");
        refused(alice.get(&direct).await, 404, "M_NOT_FOUND");
        let content = json!({ "@bob:test.example": ["!a:b"] });
        assert_eq!(alice.put(&direct, content.clone()).await, (200, json!({})));
        assert_eq!(alice.get(&direct).await, (200, content));
        refused(bob.get(&direct).await, 403, "M_FORBIDDEN");
        refused(bob.put(&direct, json!({})).await, 403, "M_FORBIDDEN");
        refused(alice.put(&direct, json!([])).await, 400, "M_BAD_JSON");
        for reserved in ["m.push_rules", "m.fully_read"] {
            let path = own(&alice, &format!("account_data/{reserved}"));
            refused(alice.put(&path, json!({})).await, 405, "M_BAD_JSON");
        }
        let large = json!({ "text": "x".repeat(300_000) });
        refused(alice.put(&direct, large).await, 413, "M_TOO_LARGE");
        let (status, rules) = alice.get(&own(&alice, "account_data/m.push_rules")).await;
        assert_eq!(status, 200);
        assert!(rules["global"]["override"].is_array());

        let room = create_room(&alice, json!({})).await;
        let of_room = own(&alice, &format!("rooms/{room}/account_data/im.color"));
        refused(alice.get(&of_room).await, 404, "M_NOT_FOUND");
        assert_eq!(alice.put(&of_room, json!({ "c": 1 })).await.0, 200);
        assert_eq!(alice.get(&of_room).await.1, json!({ "c": 1 }));
        let unknown = own(&alice, "rooms/!no:room/account_data/im.color");
        refused(alice.put(&unknown, json!({})).await, 404, "M_NOT_FOUND");
        let no_room = own(&alice, "rooms/nonsense/account_data/im.color");
        refused(alice.put(&no_room, json!({})).await, 400, "M_INVALID_PARAM");

        let gone = of_room.replace("/v3/", "/unstable/org.matrix.msc3391/");
        assert_eq!(alice.delete(&gone, json!({})).await.0, 200);
        refused(alice.get(&of_room).await, 404, "M_NOT_FOUND");
        assert_eq!(alice.delete(&gone, json!({})).await.0, 200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_are_tagged_in_an_order() {
    start_each(async |server: Server| {
        let alice = server.register("alice").await;
        let room = create_room(&alice, json!({})).await;
        let tags = own(&alice, &format!("rooms/{room}/tags"));
        assert_eq!(alice.get(&tags).await, (200, json!({ "tags": {} })));
        let favourite = format!("{tags}/m.favourite");
        assert_eq!(alice.put(&favourite, json!({ "order": 0.25 })).await.0, 200);
        assert_eq!(alice.put(&format!("{tags}/u.work"), json!({})).await.0, 200);
        let both = json!({ "m.favourite": { "order": 0.25 }, "u.work": {} });
        assert_eq!(alice.get(&tags).await.1["tags"], both);
        let content = own(&alice, &format!("rooms/{room}/account_data/m.tag"));
        assert_eq!(alice.get(&content).await.1["tags"], both);
        for order in [json!("first"), json!(1.5), json!(-0.1), json!(null)] {
            let body = json!({ "order": order });
            refused(alice.put(&favourite, body).await, 400, "M_BAD_JSON");
        }
        assert_eq!(alice.delete(&favourite, json!({})).await.0, 200);
        assert_eq!(alice.get(&tags).await.1["tags"], json!({ "u.work": {} }));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_is_uploaded_once_and_named_later() {
    start_each(async |server: Server| {
        let alice = server.register("alice").await;
        let path = own(&alice, "filter");
        let filter = json!({ "room": { "timeline": { "limit": 5 } } });
        let (status, first) = alice.post(&path, filter.clone()).await;
        assert_eq!(status, 200, "{first}");
        assert_eq!(alice.post(&path, filter.clone()).await.1, first);
        let id = first["filter_id"].as_str().unwrap();
        assert_eq!(alice.get(&format!("{path}/{id}")).await, (200, filter));
        for id in ["99", "x", "-1"] {
            refused(alice.get(&format!("{path}/{id}")).await, 404, "M_NOT_FOUND");
        }
        refused(
            alice.post(&path, json!({ "room": 5 })).await,
            400,
            "M_BAD_JSON",
        );
        let bob = server.register("bob").await;
        refused(bob.get(&format!("{path}/{id}")).await, 403, "M_FORBIDDEN");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_has_a_name_a_picture_and_fields_of_its_own() {
    start_each(async |server: Server| {
        let alice = server.register("alice").await;
        let anybody = server.anonymous();
        let profile = format!("/_matrix/client/v3/profile/{}", alice.user_id);
        let field = |name: &str| format!("{profile}/{name}");
        let set = |name: &str, value: Value| {
            let (path, body) = (field(name), json!({ name: value }));
            let alice = alice.clone();
            async move { alice.put(&path, body).await }
        };
        assert_eq!(set("displayname", json!("Alice A")).await, (200, json!({})));
        assert_eq!(
            set("avatar_url", json!("mxc://test.example/a")).await.0,
            200
        );
        assert_eq!(set("m.tz", json!("Europe/Rome")).await.0, 200);
        assert_eq!(
            set("org.example.pets", json!({ "cats": [1, null] }))
                .await
                .0,
            200
        );
        let (status, all) = anybody.get(&profile).await;
        assert_eq!(status, 200);
        assert_eq!(all["displayname"], "Alice A");
        assert_eq!(all["org.example.pets"]["cats"], json!([1, null]));
        assert_eq!(
            anybody.get(&field("m.tz")).await.1,
            json!({ "m.tz": "Europe/Rome" })
        );
        assert_eq!(alice.delete(&field("m.tz"), json!({})).await.0, 200);
        refused(anybody.get(&field("m.tz")).await, 404, "M_NOT_FOUND");
        assert_eq!(set("avatar_url", json!("")).await.0, 200);
        refused(anybody.get(&field("avatar_url")).await, 404, "M_NOT_FOUND");

        refused(set("displayname", json!(5)).await, 400, "M_INVALID_PARAM");
        refused(
            set("avatar_url", json!("https://a.b/c")).await,
            400,
            "M_INVALID_PARAM",
        );
        refused(set("Upper", json!(1)).await, 400, "M_INVALID_PARAM");
        let spaced = field("no%20good");
        refused(
            alice.put(&spaced, json!({ "no good": 1 })).await,
            400,
            "M_INVALID_PARAM",
        );
        refused(
            set(&"a".repeat(256), json!(1)).await,
            400,
            "M_KEY_TOO_LARGE",
        );
        refused(
            set("m.large", json!("x".repeat(66_000))).await,
            400,
            "M_PROFILE_TOO_LARGE",
        );
        refused(
            alice.put(&field("m.tz"), json!({ "other": 1 })).await,
            400,
            "M_MISSING_PARAM",
        );
        let bob = server.register("bob").await;
        refused(
            bob.put(&field("m.tz"), json!({ "m.tz": "x" })).await,
            403,
            "M_FORBIDDEN",
        );
        let nobody = "/_matrix/client/v3/profile/@nobody:test.example";
        refused(anybody.get(nobody).await, 404, "M_NOT_FOUND");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_name_shows_in_all_rooms() {
    start_each(async |server: Server| {
        let alice = server.register("alice").await;
        let mut members = Vec::new();
        for _ in 0..2 {
            server.clock.advance_ms(1);
            let room = create_room(&alice, json!({})).await;
            members.push(format!(
                "/_matrix/client/v3/rooms/{room}/state/m.room.member/{}",
                alice.user_id
            ));
        }
        let name = format!("/_matrix/client/v3/profile/{}/displayname", alice.user_id);
        assert_eq!(
            alice.put(&name, json!({ "displayname": "Al" })).await.0,
            200
        );
        homeserver::jobs::run_due(&server.hs).await.unwrap();
        for member in members {
            let (status, content) = alice.get(&member).await;
            assert_eq!(status, 200, "{content}");
            assert_eq!(content["displayname"], "Al");
            assert_eq!(content["membership"], "join");
        }
        // The job is done: nothing is due.
        assert_eq!(
            server.hs.db.read(storage::jobs::next_due_ms).await.unwrap(),
            None
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn presence_is_told_to_those_who_share_a_room() {
    start_each(async |server: Server| {
        let alice = server.register("alice").await;
        let bob = server.register("bob").await;
        let status = format!("/_matrix/client/v3/presence/{}/status", alice.user_id);
        let body = json!({ "presence": "online", "status_msg": "here" });
        assert_eq!(alice.put(&status, body.clone()).await, (200, json!({})));
        refused(bob.put(&status, body).await, 403, "M_FORBIDDEN");
        refused(bob.get(&status).await, 403, "M_FORBIDDEN");
        let room = create_room(&alice, json!({ "preset": "public_chat" })).await;
        let join = format!("/_matrix/client/v3/rooms/{room}/join");
        assert_eq!(bob.post(&join, json!({})).await.0, 200);
        server.clock.advance_ms(2_000);
        let (code, seen) = bob.get(&status).await;
        assert_eq!(code, 200, "{seen}");
        assert_eq!(seen["status_msg"], "here");
        assert_eq!(
            (&seen["last_active_ago"], &seen["currently_active"]),
            (&json!(2_000), &json!(true))
        );
        refused(
            alice.put(&status, json!({ "presence": "away" })).await,
            400,
            "M_INVALID_PARAM",
        );
        refused(alice.put(&status, json!({})).await, 400, "M_MISSING_PARAM");
        server.clock.advance_ms(6 * 60_000);
        homeserver::jobs::run_due(&server.hs).await.unwrap();
        assert_eq!(bob.get(&status).await.1["presence"], "offline");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_found_by_name_where_a_room_is_shared() {
    start_each(async |server: Server| {
        let alice = server.register("alice").await;
        let bob = server.register("bob").await;
        let search = async |client: &Client, term: &str, limit: u64| {
            let body = json!({ "search_term": term, "limit": limit });
            let (status, answer) = client
                .post("/_matrix/client/v3/user_directory/search", body)
                .await;
            assert_eq!(status, 200, "{answer}");
            answer
        };
        let nobody = json!({ "results": [], "limited": false });
        assert_eq!(search(&alice, "bob", 10).await, nobody);
        let name = format!("/_matrix/client/v3/profile/{}/displayname", bob.user_id);
        assert_eq!(
            bob.put(&name, json!({ "displayname": "Röbert Builder" }))
                .await
                .0,
            200
        );
        let room = create_room(&alice, json!({ "preset": "public_chat" })).await;
        assert_eq!(
            bob.post(&format!("/_matrix/client/v3/rooms/{room}/join"), json!({}))
                .await
                .0,
            200
        );
        for term in ["bob", "BOB", "rö", "build röb", "@bob:test.example", "@bo"] {
            let found = search(&alice, term, 10).await;
            assert_eq!(
                found["results"][0]["user_id"], "@bob:test.example",
                "{term}"
            );
            assert_eq!(found["results"][0]["display_name"], "Röbert Builder");
        }
        assert_eq!(search(&alice, "obe", 10).await, nobody);
        let both = search(&alice, "test.example", 1).await;
        assert_eq!(
            (both["results"].as_array().unwrap().len(), &both["limited"]),
            (1, &json!(true))
        );
        let missing = alice
            .post("/_matrix/client/v3/user_directory/search", json!({}))
            .await;
        refused(missing, 400, "M_MISSING_PARAM");
        let mutual = |id: &str| format!("/_matrix/client/v1/mutual_rooms?user_id={id}");
        let shared = json!({ "joined": [room], "count": 1 });
        assert_eq!(alice.get(&mutual("@bob:test.example")).await, (200, shared));
        refused(
            alice.get(&mutual("@alice:test.example")).await,
            400,
            "M_INVALID_PARAM",
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pusher_is_set_replaced_and_deleted() {
    start_each(async |server: Server| {
        let alice = server.register("alice").await;
        let bob = server.register("bob").await;
        let pusher = json!({
            "pushkey": "key", "app_id": "app", "kind": "http", "app_display_name": "App",
            "device_display_name": "Phone", "lang": "en", "profile_tag": "t",
            "data": { "url": "https://push.example/_matrix/push/v1/notify", "format": "event_id_only" }
        });
        const SET: &str = "/_matrix/client/v3/pushers/set";
        const ALL: &str = "/_matrix/client/v3/pushers";
        assert_eq!(alice.post(SET, pusher.clone()).await, (200, json!({})));
        assert_eq!(alice.get(ALL).await, (200, json!({ "pushers": [pusher] })));
        let mut also = pusher.clone();
        also["append"] = true.into();
        assert_eq!(bob.post(SET, also).await.0, 200);
        assert_eq!(alice.get(ALL).await.1["pushers"].as_array().unwrap().len(), 1);
        assert_eq!(bob.post(SET, pusher.clone()).await.0, 200);
        assert_eq!(alice.get(ALL).await.1, json!({ "pushers": [] }));
        let gone = json!({ "pushkey": "key", "app_id": "app", "kind": null });
        assert_eq!(bob.post(SET, gone).await.0, 200);
        assert_eq!(bob.get(ALL).await.1, json!({ "pushers": [] }));
        for member in ["pushkey", "app_id", "app_display_name", "device_display_name", "lang", "data"] {
            let mut lacking = pusher.clone();
            lacking.as_object_mut().unwrap().remove(member);
            refused(alice.post(SET, lacking).await, 400, "M_MISSING_PARAM");
        }
        let mut wrong = pusher.clone();
        wrong["data"]["url"] = "https://push.example/other".into();
        refused(alice.post(SET, wrong).await, 400, "M_INVALID_PARAM");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn relays_bridges_and_openid_tokens_are_asked_for() {
    start_each(async |server: Server| {
        let alice = server.register("alice").await;
        assert_eq!(
            alice.get("/_matrix/client/v3/voip/turnServer").await,
            (200, json!({}))
        );
        assert_eq!(
            alice.get("/_matrix/client/v3/thirdparty/protocols").await,
            (200, json!({}))
        );
        refused(
            alice
                .get("/_matrix/client/v3/thirdparty/protocol/irc")
                .await,
            404,
            "M_NOT_FOUND",
        );
        let anybody = server.anonymous();
        refused(
            anybody.get("/_matrix/client/v3/voip/turnServer").await,
            401,
            "M_MISSING_TOKEN",
        );
        let (status, token) = alice
            .post(&own(&alice, "openid/request_token"), json!({}))
            .await;
        assert_eq!(status, 200, "{token}");
        assert_eq!(
            (&token["token_type"], &token["expires_in"]),
            (&json!("Bearer"), &json!(3_600))
        );
        let text = token["access_token"].as_str().unwrap();
        let whose = homeserver::openid::user_of_token(&server.hs, text)
            .await
            .unwrap();
        assert!(whose.is_some());
        server.clock.advance_ms(3_600_000);
        let late = homeserver::openid::user_of_token(&server.hs, text)
            .await
            .unwrap();
        assert!(late.is_none());
        let bob = server.register("bob").await;
        refused(
            bob.post(&own(&alice, "openid/request_token"), json!({}))
                .await,
            403,
            "M_FORBIDDEN",
        );
    })
    .await;
}
