//! What the reading endpoints have in common: tokens, directions, bounds, filters, and what reading refuses.
//!
//! Source: client-server API v1.19, "Pagination", "Filtering".

use homeserver::rooms::history::{Direction, ReadError};
use storage::events::Place;
use view::filter::{FilterError, RoomEventFilter};
use view::token;

use crate::ApiError;

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::NotAllowed => {
                ApiError::forbidden("You are not in this room, and it is not open to the world.")
            }
            ReadError::NoSuchEvent => {
                ApiError::not_found("This room has no such event that you may see.")
            }
            ReadError::NoSuchState => ApiError::not_found("This room has no such state."),
            ReadError::NothingThere => {
                ApiError::not_found("No event that you may see lies in that direction.")
            }
            ReadError::Storage(error) => error.into(),
        }
    }
}

impl From<FilterError> for ApiError {
    fn from(error: FilterError) -> Self {
        match error {
            FilterError::NotJson(_) => ApiError::not_json(format!("Cannot read: {error}.")),
            FilterError::Malformed(_) => ApiError::bad_json(format!("Cannot read: {error}.")),
            FilterError::TooLarge(_) => ApiError::too_large(format!("Cannot read: {error}.")),
        }
    }
}

/// Reads a pagination or sync token.
pub fn place(name: &str, token: Option<&str>) -> Result<Option<Place>, ApiError> {
    token
        .map(|token| {
            token::parse(token).ok_or_else(|| {
                ApiError::invalid_param(format!("`{name}` is not a token of this server."))
            })
        })
        .transpose()
}

/// Reads `dir`.
pub fn direction(dir: Option<&str>) -> Result<Option<Direction>, ApiError> {
    match dir {
        None => Ok(None),
        Some("b") => Ok(Some(Direction::Backwards)),
        Some("f") => Ok(Some(Direction::Forwards)),
        Some(_) => Err(ApiError::invalid_param("`dir` must be `b` or `f`.")),
    }
}

/// Reads a `dir` that must be there.
pub fn required_direction(dir: Option<&str>) -> Result<Direction, ApiError> {
    direction(dir)?.ok_or_else(|| ApiError::missing_param("`dir` is missing: `b` or `f`."))
}

/// Reads a limit, or takes the endpoint's own. It is bounded where events are read.
pub fn limit(limit: Option<u64>, default: usize) -> usize {
    limit.map_or(default, |limit| {
        usize::try_from(limit).unwrap_or(usize::MAX)
    })
}

/// Reads a `filter`.
pub fn filter(json: Option<&str>) -> Result<RoomEventFilter, ApiError> {
    Ok(json
        .map(RoomEventFilter::parse)
        .transpose()?
        .unwrap_or_default())
}
