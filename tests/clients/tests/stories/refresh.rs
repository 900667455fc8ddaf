//! Access tokens that end and are renewed. Client-server API v1.19, "Refreshing access tokens" and "Soft logout".

use anyhow::Result;
use clients::{
    chat::Chat,
    device::{Device, Follow},
    person::Person,
    server::Server,
};
use matrix_sdk::ruma::api::client::session::refresh_token;

crate::over_both_syncs!(
    a_refreshed_session_goes_on,
    a_deleted_session_cannot_be_refreshed
);

mod tell {
    use super::*;

    pub async fn a_refreshed_session_goes_on(follow: Follow) -> Result<()> {
        let server = Server::under_test();
        let alice = Person::register(&server, "alice").await?;
        let (mut phone, _) = Device::sign_in_with_refresh_token(&server, &alice, follow).await?;
        let laptop = Device::sign_in(&server, &alice, "Alice's laptop", follow).await?;
        let room_id = Chat::start_group(&laptop, "Notes", &[]).await?.room_id();

        let old = phone.refresh().await?;
        let new = phone
            .client
            .matrix_auth()
            .session()
            .expect("still signed in");
        assert_ne!(old.tokens.access_token, new.tokens.access_token);
        assert_ne!(old.tokens.refresh_token, new.tokens.refresh_token);
        assert_eq!(old.meta, new.meta);

        // It is the same device, and it follows as before.
        assert_eq!(
            phone.client.whoami().await?.device_id,
            Some(phone.device_id())
        );
        let at_phone = Chat::open(&phone, &room_id).await?;
        Chat::open(&laptop, &room_id)
            .await?
            .say("still there?")
            .await?;
        at_phone.sees(&alice.user_id, "still there?").await;

        // Once the new access token has been used, the old refresh token is worth nothing.
        let spent = old.tokens.refresh_token.expect("it was asked for");
        assert!(
            phone
                .client
                .send(refresh_token::v3::Request::new(spent))
                .await
                .is_err()
        );
        Ok(())
    }

    pub async fn a_deleted_session_cannot_be_refreshed(follow: Follow) -> Result<()> {
        let server = Server::under_test();
        let alice = Person::register(&server, "alice").await?;
        let (phone, _) = Device::sign_in_with_refresh_token(&server, &alice, follow).await?;
        let laptop = Device::sign_in(&server, &alice, "Alice's laptop", follow).await?;

        let signed_out = [phone.device_id()];
        laptop
            .with_password(|auth| laptop.client.delete_devices(&signed_out, auth))
            .await?;
        assert!(
            !phone.until_signed_out().await,
            "nothing is left to be refreshed"
        );
        assert!(phone.client.refresh_access_token().await.is_err());
        Ok(())
    }
}
