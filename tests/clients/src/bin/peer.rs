//! A friend with matrix-sdk for the tests of other SDKs: does what each line of JSON on its standard input
//! asks for, and answers with a line on its standard output. Ends with its input.
//!
//! `peer v3` or `peer sliding` registers somebody, signs in, sets up encryption, and says `{"user_id"}`. Then:
//!
//! | asked | answered |
//! |---|---|
//! | `{"do": "join", "room_id"}` | `{"room_id"}`, once invited and joined |
//! | `{"do": "see", "sender", "body"}` | `{"event_id"}`, once seen, decrypted |
//! | `{"do": "say", "body"}` | `{"event_id"}` |
//! | `{"do": "answer", "flow_id"}` | `{"emoji"}`, once the one who asked to verify starts comparing |
//! | `{"do": "ask", "user_id"}` | `{"flow_id"}`, then `{"emoji"}`, once the other is ready |
//! | `{"do": "confirm"}` | `{"verified"}`: the user id, once both have confirmed |

#![recursion_limit = "256"]

use anyhow::{Context, Result, bail};
use clients::{
    chat::Chat,
    device::{Device, Follow},
    person::Person,
    server::Server,
    verification::{done, emoji, joined, start},
};
use matrix_sdk::{
    encryption::verification::SasVerification,
    ruma::{RoomId, UserId},
};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, stdin};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let follow = match std::env::args().nth(1).as_deref() {
        Some("v3") => Follow::V3,
        Some("sliding") => Follow::Sliding,
        _ => bail!("peer v3 | peer sliding"),
    };
    let server = Server::under_test();
    let person = Person::register(&server, "peer").await?;
    let device = Device::sign_in(&server, &person, "The peer's phone", follow).await?;
    device.set_up_encryption().await?;
    say(json!({ "user_id": device.user_id() }));

    let mut chat = None;
    let mut comparing = None;
    let mut lines = BufReader::new(stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let asked: Value = serde_json::from_str(&line)?;
        let (answer, sas) = act(&device, &asked, &mut chat, comparing.take())
            .await
            .context(line)?;
        say(answer);
        comparing = sas;
    }
    Ok(())
}

/// Does one thing; gives the answer, and the comparing that is under way after it.
async fn act<'a>(
    device: &'a Device,
    asked: &Value,
    chat: &mut Option<Chat<'a>>,
    comparing: Option<SasVerification>,
) -> Result<(Value, Option<SasVerification>)> {
    let text = |key: &str| {
        asked[key]
            .as_str()
            .with_context(|| format!("{key} is missing"))
    };
    let in_a_room = "nobody has joined a room";
    match text("do")? {
        "join" => {
            let room_id = <&RoomId>::try_from(text("room_id")?)?;
            device.accept_invite(room_id).await?;
            *chat = Some(Chat::open(device, room_id).await?);
            Ok((json!({ "room_id": room_id }), comparing))
        }
        "see" => {
            let sender = <&UserId>::try_from(text("sender")?)?;
            let seen = chat
                .as_ref()
                .context(in_a_room)?
                .sees(sender, text("body")?)
                .await;
            Ok((json!({ "event_id": seen.event_id() }), comparing))
        }
        "say" => {
            let event_id = chat.as_ref().context(in_a_room)?.say(text("body")?).await?;
            Ok((json!({ "event_id": event_id }), comparing))
        }
        "answer" => {
            let request = device.until_verification_request(text("flow_id")?).await;
            request.accept().await?;
            let sas = joined(&request).await?;
            Ok((json!({ "emoji": emoji(&sas).await? }), Some(sas)))
        }
        "ask" => {
            let user_id = <&UserId>::try_from(text("user_id")?)?;
            let keys = device
                .client
                .encryption()
                .request_user_identity(user_id)
                .await?;
            let request = keys
                .context("no cross-signing keys")?
                .request_verification()
                .await?;
            say(json!({ "flow_id": request.flow_id() }));
            let sas = start(&request).await?;
            Ok((json!({ "emoji": emoji(&sas).await? }), Some(sas)))
        }
        "confirm" => {
            let sas = comparing.context("nothing is compared")?;
            sas.confirm().await?;
            done(&sas).await?;
            device.until_has_verified(sas.other_user_id()).await?;
            Ok((json!({ "verified": sas.other_user_id() }), None))
        }
        other => bail!("there is no {other:?} to do"),
    }
}

/// One line: `println!` locks and flushes it as a whole.
fn say(answer: Value) {
    println!("{answer}");
}
