//! An access token comes to its end. Client-server API v1.19, "Soft logout". Apart from the stories: it takes
//! as long as the server lets tokens live.

#![recursion_limit = "256"]

use anyhow::Result;
use clients::{
    chat::Chat,
    device::{Device, Follow},
    person::Person,
    server::Server,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_token_is_a_soft_logout_over_v3_sync() -> Result<()> {
    an_expired_token_is_a_soft_logout(Follow::V3).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_token_is_a_soft_logout_over_sliding_sync() -> Result<()> {
    an_expired_token_is_a_soft_logout(Follow::Sliding).await
}

async fn an_expired_token_is_a_soft_logout(follow: Follow) -> Result<()> {
    let server = Server::under_test();
    let alice = Person::register(&server, "alice").await?;
    let (mut phone, expires_in) =
        Device::sign_in_with_refresh_token(&server, &alice, follow).await?;
    let laptop = Device::sign_in(&server, &alice, "Alice's laptop", follow).await?;
    let at_laptop = Chat::start_group(&laptop, "Notes", &[]).await?;

    let soft_logout = phone.until_signed_out_after(expires_in).await;
    assert!(soft_logout, "the device is still there: it may come back");
    at_laptop.say("said while the phone was away").await?;

    phone.refresh().await?;
    let at_phone = Chat::open(&phone, &at_laptop.room_id()).await?;
    at_phone
        .sees(&alice.user_id, "said while the phone was away")
        .await;
    assert_eq!(
        phone.client.whoami().await?.device_id,
        Some(phone.device_id())
    );
    // A device whose access token does not end was not disturbed.
    assert_eq!(
        laptop.client.whoami().await?.device_id,
        Some(laptop.device_id())
    );
    Ok(())
}
