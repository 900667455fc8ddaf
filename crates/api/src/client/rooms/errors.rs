//! What the room verbs refuse, in the spec's error codes.

use homeserver::rooms::aliases::AliasError;
use homeserver::rooms::create::CreateError;
use homeserver::rooms::membership::ForgetError;
use homeserver::rooms::send::SendError;
use http::StatusCode;

use crate::ApiError;

impl From<SendError> for ApiError {
    fn from(error: SendError) -> Self {
        match error {
            SendError::UnknownRoom => ApiError::not_found("This server knows no such room."),
            SendError::Forbidden(reason) => ApiError::forbidden(sentence(&reason)),
            SendError::Refused(reason) => ApiError::forbidden(sentence(&reason)),
            SendError::TooLarge { .. } => ApiError::too_large(sentence(&error)),
            SendError::Malformed(reason) => ApiError::bad_json(sentence(&reason)),
            SendError::Busy | SendError::HeadMoved => ApiError::limit_exceeded(1_000),
            SendError::Storage(error) => error.into(),
        }
    }
}

impl From<CreateError> for ApiError {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::UnsupportedVersion(_) => ApiError::new(
                StatusCode::BAD_REQUEST,
                "M_UNSUPPORTED_ROOM_VERSION",
                sentence(&error),
            ),
            CreateError::AliasTaken(_) => {
                ApiError::new(StatusCode::BAD_REQUEST, "M_ROOM_IN_USE", sentence(&error))
            }
            CreateError::InvalidAlias(_) | CreateError::TooManyInvites => {
                ApiError::invalid_param(sentence(&error))
            }
            CreateError::InvalidState(_) => ApiError::new(
                StatusCode::BAD_REQUEST,
                "M_INVALID_ROOM_STATE",
                sentence(&error),
            ),
            CreateError::Send(error) => error.into(),
        }
    }
}

impl From<AliasError> for ApiError {
    fn from(error: AliasError) -> Self {
        match error {
            AliasError::UnknownAlias | AliasError::UnknownRoom => {
                ApiError::not_found(sentence(&error))
            }
            AliasError::Taken => ApiError::new(StatusCode::CONFLICT, "M_UNKNOWN", sentence(&error)),
            AliasError::OtherServer => ApiError::invalid_param(sentence(&error)),
            AliasError::Forbidden(_) => ApiError::forbidden(sentence(&error)),
            AliasError::Storage(error) => error.into(),
        }
    }
}

impl From<ForgetError> for ApiError {
    fn from(error: ForgetError) -> Self {
        match error {
            ForgetError::StillIn => {
                ApiError::new(StatusCode::BAD_REQUEST, "M_UNKNOWN", sentence(&error))
            }
            ForgetError::NeverIn => ApiError::forbidden(sentence(&error)),
            ForgetError::Storage(error) => error.into(),
        }
    }
}

/// An error as a sentence for people: a capital first, a full stop last.
fn sentence(error: &dyn std::fmt::Display) -> String {
    let text = error.to_string();
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => format!(
            "{}{}.",
            first.to_uppercase(),
            letters.as_str().trim_end_matches('.')
        ),
        None => text,
    }
}
