//! The authorization rules of all room versions.
//!
//! Source: rooms v1 to v12 "Authorisation rules", Matrix v1.19.

pub mod selection;
