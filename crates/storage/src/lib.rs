//! What the server remembers: SQL written once, two engines, one stream, wake-ups, leases, migrations.
//!
//! Nothing here knows a Matrix rule or HTTP. Reads are one short snapshot ([`Database::read`]); writes are
//! closures that join a group commit ([`Database::write`]); everything a client may see takes a position of
//! the one server-wide stream ([`Tx::publish`]).

pub mod account_data;
pub mod accounts;
pub mod accounts_expiry;
pub mod append;
mod capabilities;
pub mod client_transactions;
mod committer;
pub mod connections;
pub mod cross_signing;
mod database;
pub mod device_keys;
pub mod device_lists;
pub mod devices;
mod driver;
mod error;
pub mod event_context;
pub mod event_ids;
pub mod events;
pub mod filters;
pub mod ids;
pub mod interactive_auth;
pub mod janitor;
pub mod jobs;
pub mod key_backup;
pub mod leases;
pub mod memory;
mod migrations;
pub mod notified;
pub mod one_time_keys;
pub mod openid_tokens;
mod postgres;
pub mod presence;
pub mod profiles;
pub mod push_rules;
pub mod pushers;
mod readers;
pub mod receipts;
pub mod registration_tokens;
pub mod relations;
pub mod rooms;
mod sqlite;
pub mod states;
pub mod stream;
pub mod sync_rooms;
pub mod threads;
pub mod to_device;
pub mod tokens;
pub mod typing;
pub mod unread;
pub mod user_directory;
mod value;

pub use capabilities::{Clock, Random};
pub use committer::Tx;
pub use database::{Database, Engine, OpenError, Options};
pub use driver::Snapshot;
pub use error::Error;
pub use ids::{Counter, DeviceKey, EventKey, RoomKey, StateNo, UserKey};
pub use stream::{Kind, Position, StreamRow, Topic};
pub use value::{Row, Value};
