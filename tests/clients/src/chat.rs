//! A room as a person sees it on one device: the messages with their edits, reactions and receipts.

use anyhow::{Context, Result};
use futures_util::{StreamExt, pin_mut};
use matrix_sdk::{
    Room, RoomState,
    ruma::{
        OwnedEventId, OwnedRoomId, RoomId, UserId,
        api::client::room::create_room,
        assign,
        events::{
            InitialStateEvent, room::encryption::RoomEncryptionEventContent,
            room::message::RoomMessageEventContent,
        },
    },
};
use matrix_sdk_ui::timeline::{
    EventTimelineItem, MembershipChange, RoomExt, Timeline, TimelineItemContent,
};

use crate::{device::Device, within};

/// A room that is open on a device.
pub struct Chat<'a> {
    device: &'a Device,
    pub room: Room,
    pub timeline: Timeline,
}

impl<'a> Chat<'a> {
    /// Starts an encrypted direct chat; the other is invited.
    pub async fn start_direct(device: &'a Device, with: &UserId) -> Result<Self> {
        let room = device
            .client
            .create_dm(with)
            .await
            .context("creating a direct chat")?;
        Self::open_encrypted(device, room.room_id()).await
    }

    /// Starts an encrypted group of this name; the others are invited.
    pub async fn start_group(device: &'a Device, name: &str, with: &[&UserId]) -> Result<Self> {
        let encryption = InitialStateEvent::with_empty_state_key(
            RoomEncryptionEventContent::with_recommended_defaults(),
        );
        let request = assign!(create_room::v3::Request::new(), {
            name: Some(name.to_owned()),
            invite: with.iter().map(|user_id| (*user_id).to_owned()).collect(),
            preset: Some(create_room::v3::RoomPreset::PrivateChat),
            initial_state: vec![encryption.to_raw_any()],
        });
        let room = device
            .client
            .create_room(request)
            .await
            .context("creating a group")?;
        Self::open_encrypted(device, room.room_id()).await
    }

    /// Opens a new room, once it is known to be encrypted: a server may show a room that is half made.
    async fn open_encrypted(device: &'a Device, room_id: &RoomId) -> Result<Self> {
        let chat = Self::open(device, room_id).await?;
        let mut changes = chat.room.subscribe_info();
        let encrypted = async {
            while !changes.next_now().encryption_state().is_encrypted()
                && changes.next().await.is_some()
            {}
        };
        within(&format!("{room_id} is encrypted"), encrypted).await;
        Ok(chat)
    }

    /// Opens a room that the person is in.
    pub async fn open(device: &'a Device, room_id: &RoomId) -> Result<Self> {
        let room = device.until_room(room_id, RoomState::Joined).await;
        device.look_at(room_id).await;
        let timeline = room.timeline().await?;
        Ok(Self {
            device,
            room,
            timeline,
        })
    }

    /// The id of the room.
    pub fn room_id(&self) -> OwnedRoomId {
        self.room.room_id().to_owned()
    }

    /// Says something, encrypted; returns when the server has it.
    pub async fn say(&self, body: &str) -> Result<OwnedEventId> {
        let sent = self
            .room
            .send(RoomMessageEventContent::text_plain(body))
            .await?;
        sent.encryption_info
            .context("the message was sent in clear")?;
        Ok(sent.response.event_id)
    }

    /// Waits until a message of this sender and text is seen, decrypted.
    pub async fn sees(&self, sender: &UserId, body: &str) -> EventTimelineItem {
        let is_it = |item: &EventTimelineItem| {
            item.sender() == sender && item.event_id().is_some() && text(item) == Some(body)
        };
        self.until(&format!("{body:?} from {sender}"), is_it).await
    }

    /// Waits until this person is seen to join.
    pub async fn sees_join(&self, user_id: &UserId) {
        let is_it = |item: &EventTimelineItem| match item.content() {
            TimelineItemContent::MembershipChange(change) => {
                let joins = [
                    Some(MembershipChange::Joined),
                    Some(MembershipChange::InvitationAccepted),
                ];
                change.user_id() == user_id && joins.contains(&change.change())
            }
            _ => false,
        };
        self.until(&format!("{user_id} joins"), is_it).await;
    }

    /// Waits until an item of the timeline is as wanted.
    pub async fn until(
        &self,
        what: &str,
        wanted: impl Fn(&EventTimelineItem) -> bool,
    ) -> EventTimelineItem {
        let (_, changes) = self.timeline.subscribe().await;
        pin_mut!(changes);
        let seen = async {
            loop {
                let items = self.timeline.items().await;
                if let Some(item) = items
                    .iter()
                    .rev()
                    .filter_map(|item| item.as_event())
                    .find(|item| wanted(item))
                {
                    return item.clone();
                }
                changes
                    .next()
                    .await
                    .expect("the timeline lives as long as the chat");
            }
        };
        match tokio::time::timeout(crate::PATIENCE, seen).await {
            Ok(item) => item,
            Err(_) => panic!(
                "{} did not see that {what}; seen was:\n{}",
                self.device.user_id(),
                self.transcript().await
            ),
        }
    }

    /// What is seen, for the report of a story that failed.
    async fn transcript(&self) -> String {
        let items = self.timeline.items().await;
        let line =
            |item: &EventTimelineItem| format!("  {}: {:?}\n", item.sender(), item.content());
        items
            .iter()
            .filter_map(|item| item.as_event())
            .map(line)
            .collect()
    }

    /// Reads back to the beginning of the room.
    pub async fn read_back_to_the_beginning(&self) -> Result<()> {
        /// As many as clients ask for at a time.
        const PAGE: u16 = 20;
        let all = async {
            while !self.timeline.paginate_backwards(PAGE).await? {}
            anyhow::Ok(())
        };
        within("the beginning of the room", all).await
    }
}

/// The newest text of a message, when it is one and could be decrypted.
pub fn text(item: &EventTimelineItem) -> Option<&str> {
    item.content().as_message().map(|message| message.body())
}
