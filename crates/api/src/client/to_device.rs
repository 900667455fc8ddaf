//! Messages to devices: client-server API v1.19, "Send-to-Device messaging".

use std::sync::Arc;

use axum::extract::State as Shared;
use homeserver::encryption::send_to_device::{self, Messages, SendError};
use homeserver::{Homeserver, Requester};
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::router::{Route, route};
use crate::{ApiError, Json, PathArgs};

pub(super) fn routes() -> Vec<Route> {
    vec![route(
        Method::PUT,
        "/_matrix/client/v3/sendToDevice/{eventType}/{txnId}",
        send,
    )]
}

#[derive(Deserialize)]
struct SendBody {
    messages: Messages,
}

async fn send(
    Shared(hs): Shared<Arc<Homeserver>>,
    requester: Requester,
    path: PathArgs,
    Json(body): Json<SendBody>,
) -> Result<Json<Value>, ApiError> {
    let (event_type, transaction_id) = (path.get("eventType"), path.get("txnId"));
    send_to_device::send_to_device(
        &hs,
        &requester,
        event_type.to_owned(),
        transaction_id.to_owned(),
        body.messages,
    )
    .await?;
    Ok(Json(json!({})))
}

impl From<SendError> for ApiError {
    fn from(error: SendError) -> Self {
        match error {
            SendError::TooLarge => ApiError::too_large(format!("{error}.")),
            SendError::Storage(error) => error.into(),
        }
    }
}
