//! Whole servers in a test's process: on both engines, with a clock and randomness that the test decides.
//!
//! ```no_run
//! #[tokio::test(flavor = "multi_thread")]
//! async fn alice_learns_who_she_is() {
//!     testkit::start_each(async |server| {
//!         let alice = server.register("alice").await;
//!         let (status, body) = alice.get("/_matrix/client/v3/account/whoami").await;
//!         assert_eq!((status, body["user_id"].as_str()), (200, Some("@alice:test.example")));
//!     })
//!     .await;
//! }
//! ```
//!
//! A test body runs on SQLite, and again on PostgreSQL where `KITH_TEST_POSTGRES` names one (`postgres://…`, a role that may
//! create databases): each run has a database of its own, gone when the [`Server`] is dropped.

mod capabilities;
mod client;
mod database;
mod server;

pub use capabilities::{FakeClock, SeededRandom};
pub use client::{Answer, Client};
pub use database::Engine;
pub use server::{Server, start_each, start_each_with};
