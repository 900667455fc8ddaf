//! Key backups: client-server API v1.19, "Server-side key backups".

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use homeserver::encryption::key_backup::{
    self, Backup, BackupError, Range, Session, parse_session, parse_version,
};
use homeserver::{Homeserver, Requester};
use http::{Method, StatusCode, header};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::router::{Route, route};
use crate::{ApiError, Json, PathArgs, Query};

type Object = Map<String, Value>;

const VERSION: &str = "/_matrix/client/v3/room_keys/version";
const ONE_VERSION: &str = "/_matrix/client/v3/room_keys/version/{version}";
const KEYS: &str = "/_matrix/client/v3/room_keys/keys";
const ROOM_KEYS: &str = "/_matrix/client/v3/room_keys/keys/{roomId}";
const SESSION_KEYS: &str = "/_matrix/client/v3/room_keys/keys/{roomId}/{sessionId}";

pub(super) fn routes() -> Vec<Route> {
    vec![
        route(Method::GET, KEYS, get_all),
        route(Method::PUT, KEYS, put_all),
        route(Method::DELETE, KEYS, delete_all),
        route(Method::GET, ROOM_KEYS, get_room),
        route(Method::PUT, ROOM_KEYS, put_room),
        route(Method::DELETE, ROOM_KEYS, delete_room),
        route(Method::GET, SESSION_KEYS, get_session),
        route(Method::PUT, SESSION_KEYS, put_session),
        route(Method::DELETE, SESSION_KEYS, delete_session),
        route(Method::GET, VERSION, get_current),
        route(Method::POST, VERSION, create),
        route(Method::GET, ONE_VERSION, get_version),
        route(Method::PUT, ONE_VERSION, update),
        route(Method::DELETE, ONE_VERSION, delete_version),
    ]
}

type Hs = Shared<Arc<Homeserver>>;
type Answer = Result<Json<Value>, ApiError>;

#[derive(Deserialize)]
struct CreateBody {
    algorithm: String,
    auth_data: Object,
}

async fn create(Shared(hs): Hs, requester: Requester, Json(body): Json<CreateBody>) -> Answer {
    let version =
        key_backup::create_backup(&hs, &requester, body.algorithm, body.auth_data).await?;
    Ok(Json(json!({ "version": version.to_string() })))
}

async fn get_current(Shared(hs): Hs, requester: Requester) -> Answer {
    let backup = key_backup::find_backup(&hs, &requester, None).await?;
    Ok(Json(shown_backup(&backup)))
}

async fn get_version(Shared(hs): Hs, requester: Requester, path: PathArgs) -> Answer {
    let backup = find(&hs, &requester, path.get("version")).await?;
    Ok(Json(shown_backup(&backup)))
}

fn shown_backup(backup: &Backup) -> Value {
    // What was stored is JSON.
    let auth_data: Value = serde_json::from_slice(&backup.auth_data).unwrap_or_default();
    json!({
        "algorithm": backup.algorithm,
        "auth_data": auth_data,
        "count": backup.sessions,
        "etag": backup.etag.to_string(),
        "version": backup.version.to_string(),
    })
}

async fn find(hs: &Homeserver, requester: &Requester, version: &str) -> Result<Backup, ApiError> {
    let version = parse_version(version).ok_or(BackupError::NotFound)?;
    Ok(key_backup::find_backup(hs, requester, Some(version)).await?)
}

#[derive(Deserialize)]
struct UpdateBody {
    algorithm: String,
    auth_data: Object,
    version: Option<String>,
}

async fn update(
    Shared(hs): Hs,
    requester: Requester,
    path: PathArgs,
    Json(body): Json<UpdateBody>,
) -> Answer {
    let version = path.get("version");
    if body.version.is_some_and(|of_body| of_body != version) {
        return Err(ApiError::invalid_param(
            "The version in the body is not the version in the path.",
        ));
    }
    let version = parse_version(version).ok_or(BackupError::NotFound)?;
    key_backup::update_backup(&hs, &requester, version, body.algorithm, body.auth_data).await?;
    Ok(Json(json!({})))
}

async fn delete_version(Shared(hs): Hs, requester: Requester, path: PathArgs) -> Answer {
    let version = parse_version(path.get("version")).ok_or(BackupError::NotFound)?;
    key_backup::delete_backup(&hs, &requester, version).await?;
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
struct VersionQuery {
    version: Option<String>,
}

impl VersionQuery {
    fn version(self) -> Result<String, ApiError> {
        self.version
            .ok_or_else(|| ApiError::missing_param("`version` is missing."))
    }
}

type Version = Query<VersionQuery>;

#[derive(Deserialize)]
struct RoomBody {
    sessions: BTreeMap<String, Object>,
}

#[derive(Deserialize)]
struct AllBody {
    rooms: BTreeMap<String, RoomBody>,
}

async fn put_all(
    Shared(hs): Hs,
    requester: Requester,
    Query(query): Version,
    Json(body): Json<AllBody>,
) -> Answer {
    let mut sessions = Vec::new();
    for (room_id, room) in body.rooms {
        for (session_id, session) in room.sessions {
            sessions.push(parse_session(room_id.clone(), session_id, &session)?);
        }
    }
    put(&hs, &requester, query, sessions).await
}

async fn put_room(
    Shared(hs): Hs,
    requester: Requester,
    path: PathArgs,
    Query(query): Version,
    Json(body): Json<RoomBody>,
) -> Answer {
    let mut sessions = Vec::new();
    for (session_id, session) in body.sessions {
        let room_id = path.get("roomId").to_owned();
        sessions.push(parse_session(room_id, session_id, &session)?);
    }
    put(&hs, &requester, query, sessions).await
}

async fn put_session(
    Shared(hs): Hs,
    requester: Requester,
    path: PathArgs,
    Query(query): Version,
    Json(body): Json<Object>,
) -> Answer {
    let (room_id, session_id) = (path.get("roomId"), path.get("sessionId"));
    let session = parse_session(room_id.to_owned(), session_id.to_owned(), &body)?;
    put(&hs, &requester, query, vec![session]).await
}

async fn put(
    hs: &Homeserver,
    requester: &Requester,
    query: VersionQuery,
    sessions: Vec<Session>,
) -> Answer {
    // A version that is no number is not the current one either.
    let version = parse_version(&query.version()?).unwrap_or(0);
    let backup = key_backup::put_sessions(hs, requester, version, sessions).await?;
    Ok(Json(changed(&backup)))
}

fn changed(backup: &Backup) -> Value {
    json!({ "etag": backup.etag.to_string(), "count": backup.sessions })
}

async fn get_all(
    Shared(hs): Hs,
    requester: Requester,
    Query(query): Version,
) -> Result<Response, ApiError> {
    let backup = find(&hs, &requester, &query.version()?).await?;
    Ok(stream_sessions(hs, backup, Range::All))
}

async fn get_room(
    Shared(hs): Hs,
    requester: Requester,
    path: PathArgs,
    Query(query): Version,
) -> Result<Response, ApiError> {
    let backup = find(&hs, &requester, &query.version()?).await?;
    let range = Range::Room(path.get("roomId").to_owned());
    Ok(stream_sessions(hs, backup, range))
}

async fn get_session(
    Shared(hs): Hs,
    requester: Requester,
    path: PathArgs,
    Query(query): Version,
) -> Answer {
    let backup = find(&hs, &requester, &query.version()?).await?;
    let (room_id, session_id) = (path.get("roomId"), path.get("sessionId"));
    let range = Range::Session(room_id.to_owned(), session_id.to_owned());
    let start = (String::new(), String::new());
    let found = key_backup::read_sessions(&hs, backup, range, start).await?;
    let session = found
        .first()
        .ok_or_else(|| ApiError::not_found("There is no such session in the backup."))?;
    Ok(Json(shown_session(session)))
}

fn shown_session(session: &Session) -> Value {
    // What was stored is JSON.
    let data: Value = serde_json::from_slice(&session.session_data).unwrap_or_default();
    json!({
        "first_message_index": session.rank.first_message_index,
        "forwarded_count": session.rank.forwarded_count,
        "is_verified": session.rank.is_verified,
        "session_data": data,
    })
}

async fn delete_all(Shared(hs): Hs, requester: Requester, Query(query): Version) -> Answer {
    delete(&hs, &requester, query, Range::All).await
}

async fn delete_room(
    Shared(hs): Hs,
    requester: Requester,
    path: PathArgs,
    Query(query): Version,
) -> Answer {
    let range = Range::Room(path.get("roomId").to_owned());
    delete(&hs, &requester, query, range).await
}

async fn delete_session(
    Shared(hs): Hs,
    requester: Requester,
    path: PathArgs,
    Query(query): Version,
) -> Answer {
    let (room_id, session_id) = (path.get("roomId"), path.get("sessionId"));
    let range = Range::Session(room_id.to_owned(), session_id.to_owned());
    delete(&hs, &requester, query, range).await
}

async fn delete(
    hs: &Homeserver,
    requester: &Requester,
    query: VersionQuery,
    range: Range,
) -> Answer {
    let version = parse_version(&query.version()?).ok_or(BackupError::NotFound)?;
    let backup = key_backup::delete_sessions(hs, requester, version, range).await?;
    Ok(Json(changed(&backup)))
}

/// Answers with all sessions of a range page by page: backups may be larger than what an answer may hold in memory.
fn stream_sessions(hs: Arc<Homeserver>, backup: Backup, range: Range) -> Response {
    let writer = SessionWriter::new(matches!(range, Range::All));
    let start = Some((writer, (String::new(), String::new())));
    let pages = futures_util::stream::try_unfold(start, move |state| {
        let (hs, backup, range) = (hs.clone(), backup.clone(), range.clone());
        async move {
            let Some((mut writer, after)) = state else {
                return Ok::<_, storage::Error>(None);
            };
            let page = key_backup::read_sessions(&hs, backup, range, after).await?;
            let next = page
                .last()
                .map(|last| (last.room_id.clone(), last.session_id.clone()));
            let text = writer.page(&page);
            Ok(Some((Bytes::from(text), next.map(|after| (writer, after)))))
        }
    });
    let json = [(header::CONTENT_TYPE, "application/json")];
    (json, Body::from_stream(pages)).into_response()
}

/// Writes sessions as JSON, page after page: `{"rooms":{…}}`, or for one room `{"sessions":{…}}`.
struct SessionWriter {
    by_room: bool,
    /// The room whose object is open.
    room: Option<String>,
    started: bool,
}

impl SessionWriter {
    fn new(by_room: bool) -> Self {
        Self {
            by_room,
            room: None,
            started: false,
        }
    }

    /// The text of a page; an empty page is the last one.
    fn page(&mut self, page: &[Session]) -> String {
        let mut text = String::new();
        if !self.started {
            text.push_str(if self.by_room {
                "{\"rooms\":{"
            } else {
                "{\"sessions\":{"
            });
        }
        for session in page {
            let first_of_room = self.room.as_ref() != Some(&session.room_id);
            if self.by_room && first_of_room {
                if self.room.is_some() {
                    text.push_str("}},");
                }
                text.push_str(&Value::from(session.room_id.as_str()).to_string());
                text.push_str(":{\"sessions\":{");
            } else if self.started {
                text.push(',');
            }
            self.room = Some(session.room_id.clone());
            self.started = true;
            text.push_str(&Value::from(session.session_id.as_str()).to_string());
            text.push(':');
            text.push_str(&shown_session(session).to_string());
        }
        if page.is_empty() {
            if self.by_room && self.room.is_some() {
                text.push_str("}}");
            }
            text.push_str("}}");
        }
        text
    }
}

impl From<BackupError> for ApiError {
    fn from(error: BackupError) -> Self {
        let sentence = format!("{error}.");
        match error {
            BackupError::NotFound => ApiError::not_found(sentence),
            BackupError::WrongVersion { current } => {
                ApiError::new(StatusCode::FORBIDDEN, "M_WRONG_ROOM_KEYS_VERSION", sentence)
                    .with("current_version", current.to_string())
            }
            BackupError::Malformed(what) => ApiError::bad_json(what),
            BackupError::OtherAlgorithm => ApiError::invalid_param(sentence),
            BackupError::TooLarge => ApiError::too_large(sentence),
            BackupError::Storage(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use homeserver::encryption::key_backup::Rank;

    use super::*;

    fn session(room_id: &str, session_id: &str) -> Session {
        Session {
            room_id: room_id.into(),
            session_id: session_id.into(),
            rank: Rank {
                first_message_index: 0,
                forwarded_count: 0,
                is_verified: true,
            },
            session_data: b"{}".to_vec(),
        }
    }

    fn check(by_room: bool, pages: &[&[Session]], expected: Value) {
        let mut writer = SessionWriter::new(by_room);
        let mut text: String = pages.iter().map(|page| writer.page(page)).collect();
        text.push_str(&writer.page(&[]));
        assert_eq!(
            serde_json::from_str::<Value>(&text).unwrap(),
            expected,
            "{text}"
        );
    }

    #[test]
    fn pages_join_to_one_object() {
        let (a1, a2, b1) = (session("!a", "1"), session("!a", "2"), session("!\"b", "1"));
        let one = shown_session(&a1);
        check(true, &[], json!({ "rooms": {} }));
        check(false, &[], json!({ "sessions": {} }));
        let rooms = json!({ "rooms": {
            "!a": { "sessions": { "1": one, "2": one } },
            "!\"b": { "sessions": { "1": one } },
        }});
        let all = [a1.clone(), a2.clone(), b1.clone()];
        check(true, &[&all], rooms.clone());
        check(true, &[&all[..1], &all[1..2], &all[2..]], rooms.clone());
        check(true, &[&all[..2], &all[2..]], rooms);
        check(
            false,
            &[&all[..1], &all[1..2]],
            json!({ "sessions": { "1": one, "2": one } }),
        );
    }
}
