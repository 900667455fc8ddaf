//! Receipts and read markers: client-server API v1.19, "Receipts" and "Read and unread markers".

use homeserver::Requester;
use homeserver::receipts::{Mark, MarkError, mark};
use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use storage::receipts::{ReceiptKind, ReceiptThread};

use super::account_data::sentence;
use crate::router::{Route, route};
use crate::{ApiError, Json, PathArgs, State};

pub(super) fn routes() -> Vec<Route> {
    vec![
        route(
            Method::POST,
            "/_matrix/client/v3/rooms/{roomId}/read_markers",
            post_read_markers,
        ),
        route(
            Method::POST,
            "/_matrix/client/v3/rooms/{roomId}/receipt/{receiptType}/{eventId}",
            post_receipt,
        ),
    ]
}

type Shared = axum::extract::State<State>;

impl From<MarkError> for ApiError {
    fn from(error: MarkError) -> Self {
        let sentence = sentence(&error);
        match error {
            MarkError::NotJoined => ApiError::forbidden(sentence),
            MarkError::UnknownEvent(_) => ApiError::not_found(sentence),
            MarkError::ThreadedMarker | MarkError::BadThread | MarkError::OtherThread => {
                ApiError::invalid_param(sentence)
            }
            MarkError::Storage(error) => error.into(),
        }
    }
}

async fn post_receipt(
    axum::extract::State(state): Shared,
    requester: Requester,
    path: PathArgs,
    Json(body): Json<Map<String, Value>>,
) -> Result<Json<Value>, ApiError> {
    let kind = Mark::parse(path.get("receiptType")).ok_or_else(|| {
        ApiError::invalid_param("A receipt is \"m.read\", \"m.read.private\" or \"m.fully_read\".")
    })?;
    let thread = match body.get("thread_id") {
        None => ReceiptThread::Unthreaded,
        Some(Value::String(thread)) if thread == "main" => ReceiptThread::Main,
        Some(Value::String(thread)) if !thread.is_empty() => ReceiptThread::Thread(thread.clone()),
        Some(_) => {
            return Err(ApiError::invalid_param(
                "`thread_id` is text that is not empty.",
            ));
        }
    };
    let marks = vec![(kind, path.get("eventId").to_owned())];
    mark(&state.hs, &requester, path.get("roomId"), marks, thread).await?;
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
struct MarkersBody {
    #[serde(rename = "m.fully_read")]
    fully_read: Option<String>,
    #[serde(rename = "m.read")]
    read: Option<String>,
    #[serde(rename = "m.read.private")]
    read_private: Option<String>,
}

async fn post_read_markers(
    axum::extract::State(state): Shared,
    requester: Requester,
    path: PathArgs,
    Json(body): Json<MarkersBody>,
) -> Result<Json<Value>, ApiError> {
    let marks = [
        (Mark::FullyRead, body.fully_read),
        (Mark::Receipt(ReceiptKind::Public), body.read),
        (Mark::Receipt(ReceiptKind::Private), body.read_private),
    ];
    let marks = marks
        .into_iter()
        .filter_map(|(mark, event_id)| Some((mark, event_id?)))
        .collect();
    let thread = ReceiptThread::Unthreaded;
    mark(&state.hs, &requester, path.get("roomId"), marks, thread).await?;
    Ok(Json(json!({})))
}
