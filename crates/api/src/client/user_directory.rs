//! Finding people: client-server API v1.19, "User Directory" and "Mutual rooms".

use homeserver::Requester;
use homeserver::user_directory::{mutual_rooms, search};
use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::router::{Route, route};
use crate::{ApiError, Json, Query, State};

pub(super) fn routes() -> Vec<Route> {
    vec![
        route(
            Method::GET,
            "/_matrix/client/v1/mutual_rooms",
            get_mutual_rooms,
        ),
        route(
            Method::POST,
            "/_matrix/client/v3/user_directory/search",
            post_search,
        ),
    ]
}

type Shared = axum::extract::State<State>;

/// The spec's number of results where the client does not say.
const LIMIT_DEFAULT: usize = 10;

/// A search term: longer than any display name.
const TERM_BYTES_MAX: usize = 1_024;

#[derive(Deserialize)]
struct SearchBody {
    search_term: Option<String>,
    limit: Option<usize>,
}

async fn post_search(
    axum::extract::State(state): Shared,
    requester: Requester,
    Json(body): Json<SearchBody>,
) -> Result<Json<Value>, ApiError> {
    let term = body
        .search_term
        .ok_or_else(|| ApiError::missing_param("The body has no `search_term`."))?;
    if term.len() > TERM_BYTES_MAX {
        return Err(ApiError::invalid_param(
            "The `search_term` is longer than any name.",
        ));
    }
    let limit = body.limit.unwrap_or(LIMIT_DEFAULT);
    let found = search(&state.hs, &requester, &term, limit).await?;
    let results: Vec<Value> = found
        .people
        .into_iter()
        .map(|person| {
            let mut result = Map::from_iter([("user_id".to_owned(), person.user_id.into())]);
            result.extend(
                person
                    .displayname
                    .map(|name| ("display_name".to_owned(), name.into())),
            );
            result.extend(
                person
                    .avatar_url
                    .map(|url| ("avatar_url".to_owned(), url.into())),
            );
            Value::Object(result)
        })
        .collect();
    Ok(Json(
        json!({ "results": results, "limited": found.limited }),
    ))
}

#[derive(Deserialize)]
struct MutualQuery {
    user_id: Option<String>,
    from: Option<String>,
}

async fn get_mutual_rooms(
    axum::extract::State(state): Shared,
    requester: Requester,
    Query(query): Query<MutualQuery>,
) -> Result<Json<Value>, ApiError> {
    let user_id = query
        .user_id
        .ok_or_else(|| ApiError::missing_param("The query has no `user_id`."))?;
    if user_id == requester.user_id || ruma_common::UserId::parse(&user_id).is_err() {
        return Err(ApiError::invalid_param(
            "`user_id` is the id of another user.",
        ));
    }
    if query.from.is_some() {
        // All rooms are given at once, so there is no token to go on from.
        return Err(ApiError::invalid_param(
            "`from` is no token of this server.",
        ));
    }
    let joined = mutual_rooms(&state.hs, &requester, &user_id).await?;
    Ok(Json(json!({ "count": joined.len(), "joined": joined })))
}
