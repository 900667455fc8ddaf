//! The binary `kith`: command line, settings, listeners, first run, shutdown, telemetry. It knows how the parts are
//! put together and no Matrix rule.

mod admin;
mod background;
mod capabilities;
mod cli;
mod client_address;
mod data_dir;
mod first_run;
mod listeners;
mod opened;
mod page_accounts;
mod serve;
mod settings;
mod signing_key;
mod slow_body;
mod telemetry;
mod tls;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;

use admin::{Answer, Request};
use capabilities::SystemRandom;
use cli::{Cli, Verb};
use settings::Settings;

/// Long-running servers with many small allocations stay smaller with it than with the system's allocator.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kith: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.verb {
        Verb::Settings => print(&settings::reference_page()),
        Verb::Version => print(concat!("kith ", env!("CARGO_PKG_VERSION"), "\n")),
        Verb::Serve => {
            let settings = load_settings(cli.config)?;
            telemetry::start_logging(&settings);
            runtime()?.block_on(serve::serve(settings))
        }
        Verb::Token(verb) => administer(cli.config, verb.into()),
        Verb::User(verb) => administer(cli.config, verb.into()),
    }
}

/// Has the running server do it, or does it on the database where none runs.
fn administer(config: Option<PathBuf>, request: Request) -> anyhow::Result<()> {
    let settings = load_settings(config)?;
    let answer = runtime()?.block_on(async {
        if let Some(answer) = admin::socket::ask(&settings.data_dir, &request).await? {
            return Ok(answer);
        }
        let _claimed = data_dir::claim_existing(&settings.data_dir)?;
        let signing_key = signing_key::load_or_make(&settings.data_dir, &SystemRandom)?;
        let homeserver = opened::open(&settings, signing_key).await?;
        anyhow::Ok(admin::run(&homeserver, request).await)
    })?;
    match answer {
        Answer::Done(text) => print(&text),
        Answer::Refused(sentence) => anyhow::bail!(sentence),
    }
}

fn print(text: &str) -> anyhow::Result<()> {
    use std::io::Write;
    match std::io::stdout().write_all(text.as_bytes()) {
        // `kith settings | head` is no failure.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot write to standard output"),
    }
}

fn load_settings(named: Option<PathBuf>) -> anyhow::Result<Settings> {
    let file = named.or_else(|| {
        std::env::var_os("KITH_CONFIG")
            .filter(|file| !file.is_empty())
            .map(PathBuf::from)
    });
    Ok(settings::load(file.as_deref(), environment())?)
}

/// Variables that are not Unicode cannot be settings.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the worker threads")
}
