//! Matrix HTTP for programs. Every route is listed once, in spec order; here alone do Matrix error codes appear.
//!
//! Knows no SQL and no room rule: a handler reads a request, calls one verb and writes its answer.

pub mod client;
mod error;
mod extract;
mod legacy_paths;
mod router;
mod stopping;

pub use error::ApiError;
pub use extract::{ClientAddress, Json, PathArgs, Query, State};
pub use router::{Route, endpoints, router};
pub use stopping::Stopping;
