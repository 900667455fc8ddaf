//! Pages of history: client-server API v1.19, "GET /rooms/{roomId}/messages" and "GET /rooms/{roomId}/initialSync".

use homeserver::Requester;
use homeserver::rooms::history::initial_sync;
use homeserver::rooms::history::messages::{Ask, Page, messages};
use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::page_params::{filter, limit, place, required_direction};
use crate::router::{Route, route};
use crate::{ApiError, Json, PathArgs, Query, State};

pub(crate) fn routes() -> Vec<Route> {
    vec![
        route(
            Method::GET,
            "/_matrix/client/v3/rooms/{roomId}/messages",
            get_messages,
        ),
        route(
            Method::GET,
            "/_matrix/client/v3/rooms/{roomId}/initialSync",
            get_initial_sync,
        ),
    ]
}

/// Events of a page unless the client says otherwise: the spec's number.
const LIMIT: usize = 10;

#[derive(Deserialize)]
struct Params {
    from: Option<String>,
    to: Option<String>,
    dir: Option<String>,
    limit: Option<u64>,
    filter: Option<String>,
}

#[derive(Serialize)]
struct Answer {
    start: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<String>,
    chunk: Vec<Box<RawValue>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    state: Vec<Box<RawValue>>,
}

async fn get_messages(
    axum::extract::State(state): axum::extract::State<State>,
    requester: Requester,
    path: PathArgs,
    Query(params): Query<Params>,
) -> Result<Json<Answer>, ApiError> {
    let ask = Ask {
        room_id: path.get("roomId").to_owned(),
        direction: required_direction(params.dir.as_deref())?,
        from: place("from", params.from.as_deref())?,
        to: place("to", params.to.as_deref())?,
        limit: limit(params.limit, LIMIT),
        filter: filter(params.filter.as_deref())?,
    };
    let page = messages(&state.hs, &requester, ask).await?;
    let start = params.from.unwrap_or(page.start);
    Ok(Json(Answer {
        start,
        end: page.end,
        chunk: page.chunk,
        state: page.state,
    }))
}

#[derive(Serialize)]
struct RoomAnswer {
    room_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    membership: Option<&'static str>,
    messages: Chunk,
    state: Vec<Box<RawValue>>,
    visibility: &'static str,
    account_data: Vec<AccountData>,
}

#[derive(Serialize)]
struct Chunk {
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<String>,
    end: String,
    chunk: Vec<Box<RawValue>>,
}

impl From<Page> for Chunk {
    /// Of a page that was read backwards: its start is where older events are.
    fn from(page: Page) -> Self {
        Self {
            start: page.end,
            end: page.start,
            chunk: page.chunk,
        }
    }
}

#[derive(Serialize)]
struct AccountData {
    r#type: String,
    content: Box<RawValue>,
}

async fn get_initial_sync(
    axum::extract::State(state): axum::extract::State<State>,
    requester: Requester,
    path: PathArgs,
) -> Result<Json<RoomAnswer>, ApiError> {
    let look = initial_sync::look(&state.hs, &requester, path.get("roomId").to_owned()).await?;
    let account_data = look
        .account_data
        .into_iter()
        .filter_map(|(r#type, content)| {
            let content = String::from_utf8(content).ok()?;
            let content = RawValue::from_string(content).ok()?;
            Some(AccountData { r#type, content })
        });
    Ok(Json(RoomAnswer {
        room_id: look.room_id,
        membership: look.membership.map(|membership| membership.as_str()),
        messages: look.messages.into(),
        state: look.state,
        visibility: if look.published { "public" } else { "private" },
        account_data: account_data.collect(),
    }))
}
