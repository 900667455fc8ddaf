//! Changing the password, with and without signing out the other devices.

use anyhow::Result;
use clients::{
    device::{Device, Follow},
    person::Person,
    server::Server,
};
use matrix_sdk::ruma::api::client::account::change_password;

crate::over_both_syncs!(
    a_new_password_signs_out_the_other_devices,
    a_new_password_may_leave_the_other_devices
);

/// Changes the password on the device; the answer is the person with the new one.
async fn change_password(device: &Device, logout_devices: bool) -> Result<Person> {
    let new = Person {
        password: "a password that nobody knew before".to_owned(),
        ..device.person.clone()
    };
    let change = |auth| {
        let mut request = change_password::v3::Request::new(new.password.clone());
        request.logout_devices = logout_devices;
        request.auth = auth;
        async { device.client.send(request).await }
    };
    device.with_password(change).await?;
    Ok(new)
}

mod tell {
    use super::*;

    pub async fn a_new_password_signs_out_the_other_devices(follow: Follow) -> Result<()> {
        let server = Server::under_test();
        let old = Person::register(&server, "alice").await?;
        let first = Device::sign_in(&server, &old, "Alice's phone", follow).await?;
        let second = Device::sign_in(&server, &old, "Alice's laptop", follow).await?;

        let new = change_password(&first, true).await?;
        assert!(
            !second.until_signed_out().await,
            "the device is gone, not only its token"
        );
        assert_eq!(first.client.devices().await?.devices.len(), 1);

        assert!(
            Device::sign_in(&server, &old, "A thief", follow)
                .await
                .is_err(),
            "the old password still works"
        );
        Device::sign_in(&server, &new, "Alice's laptop", follow).await?;
        Ok(())
    }

    pub async fn a_new_password_may_leave_the_other_devices(follow: Follow) -> Result<()> {
        let server = Server::under_test();
        let old = Person::register(&server, "alice").await?;
        let first = Device::sign_in(&server, &old, "Alice's phone", follow).await?;
        let second = Device::sign_in(&server, &old, "Alice's laptop", follow).await?;

        let new = change_password(&first, false).await?;
        assert_eq!(
            second.client.whoami().await?.device_id,
            Some(second.device_id())
        );
        assert!(
            Device::sign_in(&server, &old, "A thief", follow)
                .await
                .is_err(),
            "the old password still works"
        );
        Device::sign_in(&server, &new, "Alice's tablet", follow).await?;
        assert_eq!(second.client.devices().await?.devices.len(), 3);
        Ok(())
    }
}
