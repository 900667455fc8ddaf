//! Two friends register, sign in, set up encryption and talk: the main job of the server.

use anyhow::{Context, Result};
use clients::{
    chat::{Chat, text},
    device::{Device, Follow},
    person::Person,
    server::Server,
    verification::verify_by_emoji,
    within,
};
use matrix_sdk::{
    room::edit::EditedContent,
    ruma::{
        api::client::receipt::create_receipt::v3::ReceiptType,
        events::{receipt::ReceiptThread, room::message::RoomMessageEventContentWithoutRelation},
    },
};

crate::over_both_syncs!(
    two_friends_chat_encrypted,
    three_friends_talk_in_an_encrypted_group,
    friends_verify_each_other_by_emoji,
    a_message_is_edited_reacted_to_replied_to_and_redacted,
    friends_see_that_the_other_types_and_has_read,
);

/// Registers somebody, signs in, and sets up encryption.
async fn newcomer(server: &Server, name: &str, follow: Follow) -> Result<Device> {
    let person = Person::register(server, name).await?;
    let device = Device::sign_in(server, &person, &format!("{name}'s phone"), follow).await?;
    let recovery_key = device
        .set_up_encryption()
        .await
        .with_context(|| format!("{name}'s encryption"))?;
    anyhow::ensure!(
        recovery_key.len() >= 48,
        "this is no recovery key: {recovery_key}"
    );
    Ok(device)
}

/// A direct chat that both are in, each having heard the other.
async fn direct_chat<'a>(alice: &'a Device, bob: &'a Device) -> Result<(Chat<'a>, Chat<'a>)> {
    let at_alice = Chat::start_direct(alice, bob.user_id()).await?;
    bob.accept_invite(&at_alice.room_id()).await?;
    let at_bob = Chat::open(bob, &at_alice.room_id()).await?;
    at_alice.sees_join(bob.user_id()).await;

    at_alice.say("Hello Bob!").await?;
    at_bob.sees(alice.user_id(), "Hello Bob!").await;
    at_bob.say("Hello Alice!").await?;
    at_alice.sees(bob.user_id(), "Hello Alice!").await;
    Ok((at_alice, at_bob))
}

mod tell {
    use super::*;

    pub async fn two_friends_chat_encrypted(follow: Follow) -> Result<()> {
        let server = Server::under_test();
        let alice = newcomer(&server, "alice", follow).await?;
        let bob = newcomer(&server, "bob", follow).await?;
        let (at_alice, at_bob) = direct_chat(&alice, &bob).await?;

        assert_eq!(
            alice
                .client
                .get_dm_room(bob.user_id())
                .map(|room| room.room_id().to_owned()),
            Some(at_bob.room_id())
        );
        for at in [&at_alice, &at_bob] {
            assert!(at.room.latest_encryption_state().await?.is_encrypted());
        }
        Ok(())
    }

    pub async fn three_friends_talk_in_an_encrypted_group(follow: Follow) -> Result<()> {
        let server = Server::under_test();
        let alice = newcomer(&server, "alice", follow).await?;
        let bob = newcomer(&server, "bob", follow).await?;
        let carol = newcomer(&server, "carol", follow).await?;
        let friends = [bob.user_id(), carol.user_id()];
        let at_alice = Chat::start_group(&alice, "Friday", &friends).await?;
        for friend in [&bob, &carol] {
            friend.accept_invite(&at_alice.room_id()).await?;
            at_alice.sees_join(friend.user_id()).await;
        }
        let at_bob = Chat::open(&bob, &at_alice.room_id()).await?;
        at_bob.sees_join(carol.user_id()).await;
        let at_carol = Chat::open(&carol, &at_alice.room_id()).await?;
        assert_eq!(at_carol.room.name().as_deref(), Some("Friday"));

        for (speaker, at, others) in [
            (&alice, &at_alice, [&at_bob, &at_carol]),
            (&bob, &at_bob, [&at_alice, &at_carol]),
            (&carol, &at_carol, [&at_alice, &at_bob]),
        ] {
            let words = format!("{} is in", speaker.user_id());
            at.say(&words).await?;
            for other in others {
                other.sees(speaker.user_id(), &words).await;
            }
        }
        Ok(())
    }

    pub async fn friends_verify_each_other_by_emoji(follow: Follow) -> Result<()> {
        let server = Server::under_test();
        let alice = newcomer(&server, "alice", follow).await?;
        let bob = newcomer(&server, "bob", follow).await?;
        let _chat = direct_chat(&alice, &bob).await?;

        let bobs_keys = alice
            .client
            .encryption()
            .request_user_identity(bob.user_id())
            .await?;
        let bobs_keys = bobs_keys.context("Bob has no cross-signing keys")?;
        assert!(!bobs_keys.is_verified());
        verify_by_emoji(&alice, bobs_keys.request_verification().await?, &bob).await?;

        alice.until_has_verified(bob.user_id()).await?;
        bob.until_has_verified(alice.user_id()).await?;
        Ok(())
    }

    pub async fn a_message_is_edited_reacted_to_replied_to_and_redacted(
        follow: Follow,
    ) -> Result<()> {
        let server = Server::under_test();
        let alice = newcomer(&server, "alice", follow).await?;
        let bob = newcomer(&server, "bob", follow).await?;
        let (at_alice, at_bob) = direct_chat(&alice, &bob).await?;

        let plan = at_alice.say("Dinner at 7?").await?;
        let seen = at_alice.sees(alice.user_id(), "Dinner at 7?").await;
        let edited = RoomMessageEventContentWithoutRelation::text_plain("Dinner at 8?");
        at_alice
            .timeline
            .edit(&seen.identifier(), EditedContent::RoomMessage(edited))
            .await?;
        let is_plan =
            |item: &matrix_sdk_ui::timeline::EventTimelineItem| item.event_id() == Some(&plan);
        let seen = at_bob
            .until("the edit", |item| {
                is_plan(item) && text(item) == Some("Dinner at 8?")
            })
            .await;

        at_bob
            .timeline
            .toggle_reaction(&seen.identifier(), "👍")
            .await?;
        let liked = |item: &matrix_sdk_ui::timeline::EventTimelineItem| {
            let reactions = item.content().reactions();
            reactions.is_some_and(|reactions| {
                reactions
                    .get("👍")
                    .is_some_and(|by| by.contains_key(bob.user_id()))
            })
        };
        at_alice
            .until("Bob likes it", |item| is_plan(item) && liked(item))
            .await;

        let reply = RoomMessageEventContentWithoutRelation::text_plain("I'll bring wine");
        at_bob.timeline.send_reply(reply, plan.clone()).await?;
        let reply = at_alice.sees(bob.user_id(), "I'll bring wine").await;
        assert_eq!(
            reply.content().in_reply_to().map(|to| to.event_id),
            Some(plan.clone())
        );

        at_alice
            .timeline
            .redact(&seen.identifier(), Some("cancelled"))
            .await?;
        for at in [&at_alice, &at_bob] {
            at.until("the redaction", |item| {
                is_plan(item) && item.content().is_redacted()
            })
            .await;
        }
        Ok(())
    }

    pub async fn friends_see_that_the_other_types_and_has_read(follow: Follow) -> Result<()> {
        let server = Server::under_test();
        let alice = newcomer(&server, "alice", follow).await?;
        let bob = newcomer(&server, "bob", follow).await?;
        let (at_alice, at_bob) = direct_chat(&alice, &bob).await?;

        let (_guard, mut typing) = at_alice.room.subscribe_to_typing_notifications();
        at_bob.room.typing_notice(true).await?;
        within("Bob is typing", async {
            while typing.recv().await != Ok(vec![bob.user_id().to_owned()]) {}
        })
        .await;
        at_bob.room.typing_notice(false).await?;
        within("Bob has stopped typing", async {
            while typing.recv().await != Ok(vec![]) {}
        })
        .await;

        let question = at_alice.say("Are you there?").await?;
        at_bob.sees(alice.user_id(), "Are you there?").await;
        at_bob
            .room
            .send_single_receipt(
                ReceiptType::Read,
                ReceiptThread::Unthreaded,
                question.clone(),
            )
            .await?;
        let read = at_alice.until("Bob has read it", |item| {
            item.event_id() == Some(&question) && item.read_receipts().contains_key(bob.user_id())
        });
        read.await;
        Ok(())
    }
}
