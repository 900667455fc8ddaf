//! What the server can do, one verb per file.
//!
//! A behaviour is a free function in a file named by its verb (`homeserver::rooms::join::join_room(&hs, …)`).
//! [`Homeserver`] holds capabilities, never behaviours. Nothing here knows HTTP, SQL text or who follows the stream.

pub mod account_data;
pub mod accounts;
mod capabilities;
pub mod deactivation;
pub mod encryption;
pub mod filters;
pub mod jobs;
pub mod notifications;
pub mod openid;
pub mod presence;
pub mod profile;
pub mod push_rules;
pub mod pushers;
pub mod receipts;
pub mod rooms;
mod settings;
pub mod typing;
pub mod user_directory;

pub use capabilities::{Homeserver, Requester};
pub use settings::{RegistrationMode, Settings, Support};
