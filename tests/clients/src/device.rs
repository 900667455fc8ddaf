//! A device that somebody is signed in on, and that follows the server over one of the two syncs.

use anyhow::{Context, Result, bail};
use futures_util::{StreamExt, pin_mut};
use matrix_sdk::{
    Client, HttpResult, RoomState, SessionChange,
    authentication::matrix::MatrixSession,
    config::SyncSettings,
    encryption::{
        BackupDownloadStrategy, EncryptionSettings, VerificationState,
        verification::VerificationRequest,
    },
    ruma::{
        OwnedDeviceId, RoomId, TransactionId, UserId,
        api::client::{
            to_device::send_event_to_device,
            uiaa::{AuthData, AuthType},
        },
        events::{
            AnySyncTimelineEvent,
            key::verification::request::ToDeviceKeyVerificationRequestEvent,
            room::message::{MessageType, OriginalSyncRoomMessageEvent},
        },
        serde::Raw,
        to_device::DeviceIdOrAllDevices,
    },
    sliding_sync::Version,
};
use matrix_sdk_ui::sync_service::SyncService;
use std::time::Duration;
use tokio::{
    sync::{Mutex, broadcast, mpsc},
    task::JoinHandle,
};

use crate::{PATIENCE, person::Person, server::Server, within};

/// Which sync a device follows the server with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follow {
    /// `GET /_matrix/client/v3/sync`.
    V3,
    /// `POST /_matrix/client/unstable/org.matrix.simplified_msc3575/sync`, with the requests of Element X.
    Sliding,
}

/// A signed-in client that follows the server until it is dropped.
pub struct Device {
    pub client: Client,
    pub person: Person,
    following: Following,
    session_changes: Mutex<broadcast::Receiver<SessionChange>>,
    verification_requests: Mutex<mpsc::UnboundedReceiver<VerificationRequest>>,
}

enum Following {
    V3(JoinHandle<()>),
    Sliding(SyncService),
}

impl Drop for Device {
    fn drop(&mut self) {
        match &self.following {
            Following::V3(task) => task.abort(),
            // Ends its tasks when it is dropped.
            Following::Sliding(_) => {}
        }
    }
}

impl Device {
    /// Signs in by password on a new device of this display name, and follows.
    pub async fn sign_in(
        server: &Server,
        person: &Person,
        name: &str,
        follow: Follow,
    ) -> Result<Self> {
        let client = client(server).await?;
        let login = client
            .matrix_auth()
            .login_username(person.user_id.localpart(), &person.password);
        login
            .initial_device_display_name(name)
            .send()
            .await
            .with_context(|| format!("{} signs in", person.user_id))?;
        Self::follow(client, person, follow).await
    }

    /// As [`Device::sign_in`], asking for a refresh token, and how long the access token works without it.
    /// An expired access token is not renewed by itself.
    pub async fn sign_in_with_refresh_token(
        server: &Server,
        person: &Person,
        follow: Follow,
    ) -> Result<(Self, Duration)> {
        let client = client(server).await?;
        let login = client
            .matrix_auth()
            .login_username(person.user_id.as_str(), &person.password);
        let answer = login.request_refresh_token().send().await?;
        answer
            .refresh_token
            .context("asked for a refresh token, got none")?;
        let expires_in = answer
            .expires_in
            .context("a token that can be refreshed says when it expires")?;
        Ok((Self::follow(client, person, follow).await?, expires_in))
    }

    async fn follow(client: Client, person: &Person, follow: Follow) -> Result<Self> {
        client.event_cache().subscribe()?;
        let session_changes = Mutex::new(client.subscribe_to_session_changes());
        let verification_requests = Mutex::new(collect_verification_requests(&client));
        let following = match follow {
            Follow::V3 => Following::V3(tokio::spawn(follow_v3(client.clone()))),
            Follow::Sliding => {
                // As Element X does: refuse a server that does not say that it has the sync.
                let available = client.available_sliding_sync_versions().await;
                if !available
                    .iter()
                    .any(|version| matches!(version, Version::Native))
                {
                    bail!("the server does not offer sliding sync: {available:?}");
                }
                client.set_sliding_sync_version(Version::Native);
                let service = SyncService::builder(client.clone())
                    .with_offline_mode()
                    .build()
                    .await?;
                service.start().await;
                send_verification_answers_at_once(&client);
                Following::Sliding(service)
            }
        };
        Ok(Self {
            client,
            person: person.clone(),
            following,
            session_changes,
            verification_requests,
        })
    }

    /// The id of the person who is signed in.
    pub fn user_id(&self) -> &UserId {
        &self.person.user_id
    }

    /// The id of this device.
    pub fn device_id(&self) -> OwnedDeviceId {
        self.client
            .device_id()
            .expect("the device is signed in")
            .to_owned()
    }

    /// Tells the server that this room is looked at: sliding sync then gives more of it.
    pub(crate) async fn look_at(&self, room_id: &RoomId) {
        if let Following::Sliding(service) = &self.following {
            service
                .room_list_service()
                .subscribe_to_rooms(&[room_id])
                .await;
        }
    }

    /// Creates the keys that others verify (the first upload needs no password), the key backup, and
    /// the secret storage that keeps both; the answer is the recovery key.
    pub async fn set_up_encryption(&self) -> Result<String> {
        let encryption = self.client.encryption();
        encryption
            .bootstrap_cross_signing(None)
            .await
            .context("cross-signing")?;
        let recovery_key = encryption
            .recovery()
            .enable()
            .wait_for_backups_to_upload()
            .await
            .context("recovery")?;
        if !encryption.backups().are_enabled().await {
            bail!("the key backup is not enabled");
        }
        Ok(recovery_key)
    }

    /// Waits until this room is one that the person is in, or is invited to.
    pub async fn until_room(&self, room_id: &RoomId, state: RoomState) -> matrix_sdk::Room {
        let mut updates = self.client.subscribe_to_all_room_updates();
        let arrives = async {
            loop {
                match self.client.get_room(room_id) {
                    Some(room) if room.state() == state => return room,
                    _ => next(&mut updates).await,
                };
            }
        };
        within(
            &format!("{} has {room_id} as {state:?}", self.user_id()),
            arrives,
        )
        .await
    }

    /// Accepts an invitation as soon as it arrives.
    pub async fn accept_invite(&self, room_id: &RoomId) -> Result<()> {
        self.until_room(room_id, RoomState::Invited)
            .await
            .join()
            .await?;
        self.until_room(room_id, RoomState::Joined).await;
        Ok(())
    }

    /// Waits for the request to verify with this flow id, to the device or in a room.
    pub async fn until_verification_request(&self, flow_id: &str) -> VerificationRequest {
        let mut requests = self.verification_requests.lock().await;
        let arrives = async {
            loop {
                let request = requests
                    .recv()
                    .await
                    .expect("the handlers live as long as the client");
                if request.flow_id() == flow_id {
                    return request;
                }
            }
        };
        within(&format!("{} is asked to verify", self.user_id()), arrives).await
    }

    /// Waits until this device knows itself to be verified by its person's own keys.
    pub async fn until_verified(&self) {
        let mut state = self.client.encryption().verification_state();
        let verified = async {
            while state.next_now() != VerificationState::Verified && state.next().await.is_some() {}
        };
        within(&format!("{} is verified", self.device_id()), verified).await
    }

    /// Waits until the keys of another device are known here: before that, nothing of it is believed.
    pub async fn until_knows(&self, other: &Device) -> Result<()> {
        let encryption = self.client.encryption();
        let changes = encryption.devices_stream().await?;
        pin_mut!(changes);
        let known = async {
            while encryption
                .get_device(other.user_id(), &other.device_id())
                .await?
                .is_none()
            {
                changes.next().await.context("the client ended")?;
            }
            anyhow::Ok(())
        };
        within(
            &format!("{} knows {}", self.device_id(), other.device_id()),
            known,
        )
        .await
    }

    /// Waits until the server shows the other person's keys with the signature that verification made.
    pub async fn until_has_verified(&self, other: &UserId) -> Result<()> {
        let encryption = self.client.encryption();
        // The signature is a change of the keys as this person sees them, which sync must tell.
        let changes = encryption.user_identities_stream().await?;
        pin_mut!(changes);
        let verified = async {
            loop {
                let keys = encryption.request_user_identity(other).await?;
                if keys.context("no cross-signing keys")?.is_verified() {
                    return anyhow::Ok(());
                }
                changes.next().await.context("the client ended")?;
            }
        };
        within(
            &format!("{} has verified {other}", self.user_id()),
            verified,
        )
        .await
    }

    /// Waits until the server tells this device that its access token is worth nothing any more;
    /// the answer is whether it may sign in again as the same device (soft logout).
    pub async fn until_signed_out(&self) -> bool {
        self.until_signed_out_after(Duration::ZERO).await
    }

    /// As [`Device::until_signed_out`], where that takes this long and a little more.
    pub async fn until_signed_out_after(&self, after: Duration) -> bool {
        let mut changes = self.session_changes.lock().await;
        let signed_out = async {
            loop {
                match changes.recv().await {
                    Ok(SessionChange::UnknownToken(data)) => return data.soft_logout,
                    // Missing one is no harm: it is told again with each request.
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => panic!("the client ended"),
                }
            }
        };
        match tokio::time::timeout(after + PATIENCE, signed_out).await {
            Ok(soft_logout) => soft_logout,
            Err(_) => panic!("{} was not signed out", self.device_id()),
        }
    }

    /// Trades the refresh token for new tokens and goes on following; the answer is the old session.
    pub async fn refresh(&mut self) -> Result<MatrixSession> {
        let old = self
            .client
            .matrix_auth()
            .session()
            .context("not signed in")?;
        self.client.refresh_access_token().await?;
        match &mut self.following {
            Following::V3(task) => {
                task.abort();
                *task = tokio::spawn(follow_v3(self.client.clone()));
            }
            Following::Sliding(service) => service.start().await,
        }
        Ok(old)
    }

    /// Does what asks for the password again: the first request must be refused with the password stage
    /// (user-interactive authentication), the second answers it.
    pub async fn with_password<T, F>(&self, request: impl Fn(Option<AuthData>) -> F) -> Result<T>
    where
        F: Future<Output = HttpResult<T>>,
    {
        let Err(refusal) = request(None).await else {
            bail!("it was done without asking for the password")
        };
        let asked = refusal
            .as_uiaa_response()
            .with_context(|| format!("no stages were offered: {refusal}"))?;
        if !asked
            .flows
            .iter()
            .any(|flow| flow.stages == [AuthType::Password])
        {
            bail!("no flow by password alone: {:?}", asked.flows);
        }
        Ok(request(Some(self.person.password_stage(asked))).await?)
    }
}

/// A client with the settings of Element X.
async fn client(server: &Server) -> Result<Client> {
    let encryption = EncryptionSettings {
        auto_enable_cross_signing: false,
        auto_enable_backups: false,
        backup_download_strategy: BackupDownloadStrategy::AfterDecryptionFailure,
    };
    let client = Client::builder()
        .homeserver_url(&server.url)
        .with_encryption_settings(encryption)
        .build();
    client
        .await
        .with_context(|| format!("no Matrix server at {}", server.url))
}

/// Follows over `/v3/sync` until the session ends; a server that is away for a moment is asked again.
async fn follow_v3(client: Client) {
    /// Between two attempts to reach a server that is being started again.
    const PAUSE: Duration = Duration::from_millis(100);
    while let Err(error) = client.sync(SyncSettings::default()).await {
        if error.client_api_error_kind().is_some() {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Collects requests to verify, whether they come to the device or in a room.
fn collect_verification_requests(client: &Client) -> mpsc::UnboundedReceiver<VerificationRequest> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let to_device = sender.clone();
    client.add_event_handler(
        move |event: ToDeviceKeyVerificationRequestEvent, client: Client| {
            let sender = to_device.clone();
            async move {
                let flow_id = event.content.transaction_id.as_str();
                if let Some(request) = client
                    .encryption()
                    .get_verification_request(&event.sender, flow_id)
                    .await
                {
                    let _ = sender.send(request);
                }
            }
        },
    );
    client.add_event_handler(move |event: OriginalSyncRoomMessageEvent, client: Client| {
        let sender = sender.clone();
        async move {
            if !matches!(event.content.msgtype, MessageType::VerificationRequest(_)) {
                return;
            }
            let flow_id = event.event_id.as_str();
            if let Some(request) = client
                .encryption()
                .get_verification_request(&event.sender, flow_id)
                .await
            {
                let _ = sender.send(request);
            }
        }
    });
    receiver
}

/// With sliding sync, matrix-sdk sends its answers to what comes in rooms (the keys of a comparison of
/// emoji) only when its other connection, the one for encryption, gets an answer: after 30 s, where
/// nothing else happens. A message from the device to itself ends that wait.
fn send_verification_answers_at_once(client: &Client) {
    client.add_event_handler(|event: AnySyncTimelineEvent, client: Client| async move {
        if !event
            .event_type()
            .to_string()
            .starts_with("m.key.verification.")
        {
            return;
        }
        let (Some(user_id), Some(device_id)) = (client.user_id(), client.device_id()) else {
            return;
        };
        let device = DeviceIdOrAllDevices::DeviceId(device_id.to_owned());
        let nothing = Raw::from_json_string("{}".to_owned()).expect("an empty object is JSON");
        let messages = [(user_id.to_owned(), [(device, nothing)].into())].into();
        let request = send_event_to_device::v3::Request::new_raw(
            "m.dummy".into(),
            TransactionId::new(),
            messages,
        );
        client
            .send(request)
            .await
            .expect("a device may send to itself");
    });
}

/// The next of a broadcast; one that was missed counts as one.
async fn next<T: Clone>(receiver: &mut broadcast::Receiver<T>) {
    if let Err(broadcast::error::RecvError::Closed) = receiver.recv().await {
        panic!("the client ended");
    }
}
