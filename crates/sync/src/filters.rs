//! The filter that a request names: its JSON, or the id of one that the user uploaded.

use std::sync::Arc;

use quick_cache::sync::Cache;
use storage::{UserKey, filters};
use view::filter::{Filter, FilterError};

use crate::{Client, Sync};

/// Filters held: clients name theirs in each request, and it never changes.
const FILTERS_MAX: usize = 5_000;

pub(crate) struct StoredFilters(Cache<(UserKey, i64), Arc<Filter>>);

impl Default for StoredFilters {
    fn default() -> Self {
        Self(Cache::new(FILTERS_MAX))
    }
}

/// Why a request has no filter.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FilterProblem {
    #[error("you have no filter with this id")]
    Unknown,
    #[error(transparent)]
    Malformed(#[from] FilterError),
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

/// Reads the `filter` of a request: what begins with a brace is JSON, all else an id.
pub async fn filter(
    sync: &Sync,
    client: &Client,
    filter: &str,
) -> Result<Arc<Filter>, FilterProblem> {
    if filter.starts_with('{') {
        return Ok(Arc::new(Filter::parse(filter)?));
    }
    let id: i64 = filter.parse().map_err(|_| FilterProblem::Unknown)?;
    let user = client.user;
    if let Some(known) = sync.filters.0.get(&(user, id)) {
        return Ok(known);
    }
    let body = sync
        .db
        .read(move |snap| filters::get(snap, user, id))
        .await?
        .ok_or(FilterProblem::Unknown)?;
    let read = Arc::new(Filter::parse(&String::from_utf8_lossy(&body))?);
    sync.filters.0.insert((user, id), Arc::clone(&read));
    Ok(read)
}
