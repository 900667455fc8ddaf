//! The command line of `kith`: what can be typed, and the sentence of each verb.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::settings;

/// Kith, a Matrix homeserver: your own place for friends to talk, end-to-end encrypted.
#[derive(Debug, Parser)]
#[command(name = "kith", version, arg_required_else_help = true)]
pub struct Cli {
    /// The settings file (TOML); the variable KITH_CONFIG names it too.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,

    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Start the server. Needs no settings for a try-out.
    Serve,
    /// Invite people: make, list and revoke registration tokens.
    #[command(subcommand)]
    Token(TokenVerb),
    /// Look after the people on this server.
    #[command(subcommand)]
    User(UserVerb),
    /// Print every setting with its default and an example.
    Settings,
    /// Print the version.
    Version,
}

#[derive(Debug, Subcommand)]
pub enum TokenVerb {
    /// Make a token and print the link to hand to a friend.
    New(NewToken),
    /// List all tokens: uses, expiry, whether they still work.
    List,
    /// Make a token useless at once.
    Revoke {
        /// The token, or the whole link.
        token: String,
    },
}

#[derive(Debug, Args)]
pub struct NewToken {
    /// How many accounts it can make; without it, as many as people like.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub uses: Option<u32>,
    /// How long it works: 12h, 7d, 2w.
    #[arg(long, value_name = "TIME", value_parser = settings::duration_ms)]
    pub expires: Option<u64>,
    /// The one name that can be registered with it (`ada`, not `@ada:example.org`).
    #[arg(long, value_name = "NAME")]
    pub username: Option<String>,
    /// Whoever registers with it becomes an administrator.
    #[arg(long)]
    pub admin: bool,
}

#[derive(Debug, Subcommand)]
pub enum UserVerb {
    /// List the accounts on this server.
    List,
    /// Make someone an administrator.
    MakeAdmin {
        /// `ada` or `@ada:example.org`.
        user: String,
    },
    /// Close an account for good: all devices are signed out, and nobody can register the name again.
    Deactivate {
        /// `ada` or `@ada:example.org`.
        user: String,
        /// Also ask that messages be hidden from people who join rooms later.
        #[arg(long)]
        erase: bool,
    },
    /// Print a link with which someone can choose a new password.
    ResetLink {
        /// `ada` or `@ada:example.org`.
        user: String,
    },
}
