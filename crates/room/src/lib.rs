//! The rules of a Matrix room as pure functions: no I/O, no clock, no randomness, no async, no storage.
//!
//! An event walks through types that allow one order only: [`pdu::Pdu::parse`] makes a [`pdu::Pdu`],
//! [`sign::verify`] makes a [`sign::Verified`] of it, and only a `Verified` can be admitted to a room. Events of our own
//! are made by [`draft::Draft`]. Room versions are data: [`versions::Rules`].
//!
//! Source: rooms v1 to v12, server-server API and appendices, Matrix v1.19.

pub mod admit;
pub mod auth;
pub mod auth_content;
pub mod canonical;
pub mod client_format;
pub mod draft;
pub mod hash;
pub mod json;
mod members;
pub mod membership;
pub mod pdu;
pub mod power_levels;
pub mod push;
pub mod redact;
pub mod relations;
pub mod resolve;
pub mod sign;
pub mod state;
pub mod versions;
pub mod visibility;

pub use json::DEPTH_MAX;
