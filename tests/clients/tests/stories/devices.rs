//! One person on several devices: verified from the first, reading what was said before, renamed, signed out.

use anyhow::{Context, Result};
use clients::{
    chat::Chat,
    device::{Device, Follow},
    person::Person,
    server::Server,
    verification::verify_by_emoji,
};
use matrix_sdk::encryption::recovery::RecoveryState;

crate::over_both_syncs!(
    a_second_device_is_verified_from_the_first_and_reads_old_messages,
    a_recovery_key_alone_opens_old_messages,
    devices_are_listed_renamed_and_signed_out,
);

/// A person whose only device has said something in an encrypted room, and the recovery key.
async fn with_a_past(
    server: &Server,
    follow: Follow,
) -> Result<(Device, matrix_sdk::ruma::OwnedRoomId, String)> {
    let person = Person::register(server, "alice").await?;
    let first = Device::sign_in(server, &person, "Alice's phone", follow).await?;
    let recovery_key = first.set_up_encryption().await?;
    let chat = Chat::start_group(&first, "Notes", &[]).await?;
    for body in ["the first note", "the second note"] {
        chat.say(body).await?;
        chat.sees(first.user_id(), body).await;
    }
    first
        .client
        .encryption()
        .backups()
        .wait_for_steady_state()
        .await
        .context("uploading the backup")?;
    let room_id = chat.room_id();
    Ok((first, room_id, recovery_key))
}

/// Reads the room from its beginning; both notes must be legible.
async fn reads_the_past(device: &Device, room_id: &matrix_sdk::ruma::RoomId) -> Result<()> {
    let chat = Chat::open(device, room_id).await?;
    chat.read_back_to_the_beginning().await?;
    for body in ["the first note", "the second note"] {
        chat.sees(device.user_id(), body).await;
    }
    Ok(())
}

mod tell {
    use super::*;

    pub async fn a_second_device_is_verified_from_the_first_and_reads_old_messages(
        follow: Follow,
    ) -> Result<()> {
        let server = Server::under_test();
        let (first, room_id, recovery_key) = with_a_past(&server, follow).await?;
        let second = Device::sign_in(&server, &first.person, "Alice's laptop", follow).await?;

        first.until_knows(&second).await?;
        let own_keys = second
            .client
            .encryption()
            .request_user_identity(second.user_id())
            .await?;
        let request = own_keys
            .context("no cross-signing keys")?
            .request_verification()
            .await?;
        verify_by_emoji(&second, request, &first).await?;
        second.until_verified().await;

        second
            .client
            .encryption()
            .recovery()
            .recover(&recovery_key)
            .await?;
        assert!(second.client.encryption().backups().are_enabled().await);
        reads_the_past(&second, &room_id).await?;

        // New messages reach both, whichever says them.
        let (at_first, at_second) = (
            Chat::open(&first, &room_id).await?,
            Chat::open(&second, &room_id).await?,
        );
        at_first.say("from the phone").await?;
        at_second.sees(first.user_id(), "from the phone").await;
        at_second.say("from the laptop").await?;
        at_first.sees(first.user_id(), "from the laptop").await;
        Ok(())
    }

    pub async fn a_recovery_key_alone_opens_old_messages(follow: Follow) -> Result<()> {
        let server = Server::under_test();
        let (first, room_id, recovery_key) = with_a_past(&server, follow).await?;
        let person = first.person.clone();
        first.client.matrix_auth().logout().await?;
        drop(first);

        let second = Device::sign_in(&server, &person, "Alice's new phone", follow).await?;
        let recovery = second.client.encryption().recovery();
        let wrong = recovery
            .recover("EsTj 3yST y93F SLpB jJsz eAXc 2XzA ygD3 w69H fGaN TKBj jXEd")
            .await;
        assert!(
            wrong.is_err(),
            "a wrong recovery key must not open anything"
        );
        recovery.recover(&recovery_key).await?;
        assert_eq!(recovery.state(), RecoveryState::Enabled);
        second.until_verified().await;
        reads_the_past(&second, &room_id).await
    }

    pub async fn devices_are_listed_renamed_and_signed_out(follow: Follow) -> Result<()> {
        let server = Server::under_test();
        let person = Person::register(&server, "alice").await?;
        let first = Device::sign_in(&server, &person, "Alice's phone", follow).await?;
        let second = Device::sign_in(&server, &person, "Alice's laptop", follow).await?;

        let listed = first.client.devices().await?.devices;
        assert_eq!(listed.len(), 2);
        for (device, name) in [(&first, "Alice's phone"), (&second, "Alice's laptop")] {
            let entry = listed
                .iter()
                .find(|listed| listed.device_id == device.device_id());
            assert_eq!(
                entry.context("not listed")?.display_name.as_deref(),
                Some(name)
            );
        }

        second
            .client
            .rename_device(&second.device_id(), "The old laptop")
            .await?;
        let listed = first.client.devices().await?.devices;
        let entry = listed
            .iter()
            .find(|listed| listed.device_id == second.device_id());
        assert_eq!(
            entry.context("not listed")?.display_name.as_deref(),
            Some("The old laptop")
        );

        let signed_out = [second.device_id()];
        first
            .with_password(|auth| first.client.delete_devices(&signed_out, auth))
            .await?;
        assert!(
            !second.until_signed_out().await,
            "a deleted device may not sign in again as itself"
        );
        assert!(second.client.whoami().await.is_err());
        assert!(!first.client.device_exists(second.device_id()).await?);
        assert_eq!(
            first.client.whoami().await?.device_id,
            Some(first.device_id())
        );
        Ok(())
    }
}
