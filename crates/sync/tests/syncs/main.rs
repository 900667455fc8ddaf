//! Clients that sync with a whole server, on both engines.

mod acts;
mod v3;
