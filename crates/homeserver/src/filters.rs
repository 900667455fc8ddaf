//! Filters that clients upload once and name later: client-server API v1.19, "Filtering".

use storage::filters;
use view::filter::{Filter, FilterError};

use crate::{Homeserver, Requester};

/// Filters of a user: equal ones are one, so this is far more than all of a user's clients have.
const FILTERS_MAX: i64 = 1_000;

/// Why a filter was not kept.
#[derive(Debug, thiserror::Error)]
pub enum FilterRefusal {
    #[error(transparent)]
    Filter(#[from] FilterError),
    #[error("this account has {FILTERS_MAX} filters: use one of them")]
    TooMany,
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

/// Keeps a filter; its id is that of an equal one where there is one.
pub async fn put_filter(
    hs: &Homeserver,
    requester: &Requester,
    filter: &str,
) -> Result<i64, FilterRefusal> {
    Filter::parse(filter)?;
    let (user, filter) = (requester.user, filter.as_bytes().to_vec());
    hs.db
        .write(move |tx| {
            let id = filters::put(tx, user, &filter, FILTERS_MAX)?;
            id.ok_or(FilterRefusal::TooMany)
        })
        .await
}

/// A filter's JSON, as it was uploaded.
pub async fn filter(
    hs: &Homeserver,
    requester: &Requester,
    filter_id: i64,
) -> Result<Option<Vec<u8>>, storage::Error> {
    let user = requester.user;
    hs.db
        .read(move |snap| filters::get(snap, user, filter_id))
        .await
}
