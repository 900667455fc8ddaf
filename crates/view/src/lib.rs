//! How a stored event looks to a viewer: what it may see, and the client format with `unsigned`.

pub mod filter;
