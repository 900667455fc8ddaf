//! Chores of this project: `cargo xtask docs` writes the generated pages of `docs/`.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, bail, ensure};

fn main() -> ExitCode {
    let verb = std::env::args().nth(1);
    let result = match verb.as_deref() {
        Some("docs") => docs(),
        _ => Err(anyhow::anyhow!("usage: cargo xtask docs")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Writes `docs/settings.md` from the declarations in the binary.
fn docs() -> anyhow::Result<()> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args([
            "run",
            "--quiet",
            "--package",
            "server",
            "--bin",
            "kith",
            "--",
            "settings",
        ])
        .current_dir(root()?)
        .output()
        .context("cannot run cargo")?;
    ensure!(
        output.status.success(),
        "kith settings failed:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let page = root()?.join("docs/settings.md");
    std::fs::write(&page, output.stdout)
        .with_context(|| format!("cannot write {}", page.display()))?;
    println!("wrote {}", page.display());
    Ok(())
}

/// The top of the clone: the directory above this crate.
fn root() -> anyhow::Result<PathBuf> {
    match Path::new(env!("CARGO_MANIFEST_DIR")).parent() {
        Some(root) => Ok(root.to_owned()),
        None => bail!("this crate has no directory above it"),
    }
}
