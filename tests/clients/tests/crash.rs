//! The server is killed while friends talk. Apart from the stories: it would disturb them.

#![recursion_limit = "256"]

use anyhow::Result;
use clients::{
    chat::Chat,
    device::{Device, Follow},
    person::Person,
    server::Server,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_over_v3_sync() -> Result<()> {
    nothing_acknowledged_is_lost(Follow::V3).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_over_sliding_sync() -> Result<()> {
    nothing_acknowledged_is_lost(Follow::Sliding).await
}

async fn nothing_acknowledged_is_lost(follow: Follow) -> Result<()> {
    // One at a time: there is one server to kill.
    static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let _alone = ALONE.lock().await;
    let server = Server::under_test();
    assert!(
        server.is_ours_to_kill(),
        "set KITH_TEST_RESTART (or run ./test clients)"
    );

    let (alice, bob) = (
        Person::register(&server, "alice").await?,
        Person::register(&server, "bob").await?,
    );
    server.kill_and_restart().await;
    let alice = Device::sign_in(&server, &alice, "Alice's phone", follow).await?;
    let bob = Device::sign_in(&server, &bob, "Bob's phone", follow).await?;
    alice.set_up_encryption().await?;
    bob.set_up_encryption().await?;
    // Cross-signing keys, one-time keys, the backup and secret storage were acknowledged.
    server.kill_and_restart().await;

    let at_alice = Chat::start_direct(&alice, bob.user_id()).await?;
    bob.accept_invite(&at_alice.room_id()).await?;
    let at_bob = Chat::open(&bob, &at_alice.room_id()).await?;
    at_alice.sees_join(bob.user_id()).await;
    for round in 0..3 {
        let said = [
            format!("Alice, round {round}"),
            format!("Bob, round {round}"),
        ];
        at_alice.say(&said[0]).await?;
        at_bob.say(&said[1]).await?;
        server.kill_and_restart().await;
        at_bob.sees(alice.user_id(), &said[0]).await;
        at_alice.sees(bob.user_id(), &said[1]).await;
    }
    Ok(())
}
