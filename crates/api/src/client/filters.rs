//! Filters: client-server API v1.19, "Filtering".

use homeserver::Requester;
use homeserver::filters::{FilterRefusal, filter, put_filter};
use http::{Method, StatusCode};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use view::filter::FilterError;

use super::account_data::{only_own, sentence};
use crate::router::{Route, route};
use crate::{ApiError, Json, PathArgs, State};

pub(super) fn routes() -> Vec<Route> {
    vec![
        route(
            Method::POST,
            "/_matrix/client/v3/user/{userId}/filter",
            post_filter,
        ),
        route(
            Method::GET,
            "/_matrix/client/v3/user/{userId}/filter/{filterId}",
            get_filter,
        ),
    ]
}

type Shared = axum::extract::State<State>;

impl From<FilterRefusal> for ApiError {
    fn from(error: FilterRefusal) -> Self {
        let sentence = sentence(&error);
        match error {
            FilterRefusal::Filter(FilterError::NotJson(_)) => ApiError::not_json(sentence),
            FilterRefusal::Filter(FilterError::Malformed(_)) => ApiError::bad_json(sentence),
            FilterRefusal::Filter(FilterError::TooLarge(_)) => ApiError::too_large(sentence),
            FilterRefusal::TooMany => {
                ApiError::new(StatusCode::FORBIDDEN, "M_RESOURCE_LIMIT_EXCEEDED", sentence)
            }
            FilterRefusal::Storage(error) => error.into(),
        }
    }
}

async fn post_filter(
    axum::extract::State(state): Shared,
    requester: Requester,
    path: PathArgs,
    Json(body): Json<Map<String, Value>>,
) -> Result<Json<Value>, ApiError> {
    only_own(&requester, path.get("userId"))?;
    let filter_id = put_filter(&state.hs, &requester, &Value::Object(body).to_string()).await?;
    Ok(Json(json!({ "filter_id": filter_id.to_string() })))
}

async fn get_filter(
    axum::extract::State(state): Shared,
    requester: Requester,
    path: PathArgs,
) -> Result<Json<Box<RawValue>>, ApiError> {
    only_own(&requester, path.get("userId"))?;
    let unknown = || ApiError::not_found("There is no such filter.");
    let filter_id = path.get("filterId").parse().map_err(|_| unknown())?;
    let body = filter(&state.hs, &requester, filter_id)
        .await?
        .ok_or_else(unknown)?;
    let text = String::from_utf8(body).map_err(|_| unknown())?;
    RawValue::from_string(text).map(Json).map_err(|_| unknown())
}
