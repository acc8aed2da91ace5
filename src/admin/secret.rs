//! `turnstone secret`: the shared secrets that minters and the daemon know.

use super::client::{Client, Failure};
use super::rights;
use super::text::{Column, Table, say};
use super::{fail, load, print_json};
use crate::auth::{Secret, Settings};
use crate::base::Exit;
use crate::config::Config;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Subcommand;
use serde_json::{Value, json};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Random bytes of a new secret.
const SECRET_BYTES: usize = 48;

/// What to do with the shared secrets.
#[derive(Debug, Subcommand)]
pub enum SecretArgs {
    /// List them by their fingerprints, newest first.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Put a new one in front of auth.secrets_file, drop the oldest beyond four, and reload.
    Rotate {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Carries the verb out, with the rights of its caller.
pub(super) fn secret(path: &Path, args: &SecretArgs) -> Result<Exit, Failure> {
    let config = match load(path) {
        Ok(loaded) => loaded.config,
        Err(exit) => return Ok(exit),
    };
    match args {
        SecretArgs::List { json } => list(&config, *json),
        SecretArgs::Rotate { json } => rotate(path, &config, *json),
    }
}

fn list(config: &Config, as_json: bool) -> Result<Exit, Failure> {
    let secrets = config.auth_settings().secrets;
    if as_json {
        let secrets: Vec<_> = secrets
            .iter()
            .enumerate()
            .map(|(n, secret)| json!({ "fingerprint": fingerprint(secret), "mints": n == 0 }))
            .collect();
        let file = config.auth.secrets_file.as_ref().map(|file| file.path.display().to_string());
        print_json(&json!({ "secrets": secrets, "secrets_file": file }))?;
        return Ok(Exit::Ok);
    }
    let mut table = Table::new(&[("FINGERPRINT", Column::Whole), ("USE", Column::Whole)]);
    for (n, secret) in secrets.iter().enumerate() {
        table.row([fingerprint(secret).as_str(), if n == 0 { "mints, is accepted" } else { "is accepted" }]);
    }
    table.print()?;
    Ok(Exit::Ok)
}

/// Tells secrets apart and says nothing about them.
fn fingerprint(secret: &Secret) -> String {
    let hash = digest(&SHA256, secret.expose().as_bytes());
    let hex: String = hash.as_ref().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

fn rotate(path: &Path, config: &Config, as_json: bool) -> Result<Exit, Failure> {
    let Some(file) = &config.auth.secrets_file else {
        return Ok(fail(
            "auth.secrets: the secrets are in the config itself; put a new one in front of them there \
             (`openssl rand -base64 48`), and reload; or move them into a file of their own: auth.secrets_file",
        ));
    };
    let file = path.parent().unwrap_or(Path::new("")).join(&file.path);
    let kept = match rewrite(&file) {
        Ok(kept) => kept,
        Err(error) => {
            let file = file.display();
            return Ok(fail(&format!(
                "auth.secrets_file: {file} cannot be rewritten: {error}; nothing was changed"
            )));
        }
    };
    // From here on the file is new, whatever the daemon says.
    let reloaded = Client::of(path)
        .and_then(|client| client.post("/v1/reload", &json!({})).map_err(|failure| failure.exit()));
    let said = match as_json {
        true => print_json(
            &json!({ "secrets": kept, "reloaded": reloaded.is_ok(), "file": file.display().to_string() }),
        ),
        false => say(&format!("{kept} secrets in {}; give the first one to who mints\n", file.display())),
    };
    let exit = match reloaded {
        Ok(answer) if answer["complete"] == Value::Bool(false) => {
            eprintln!(
                "turnstone: the new secret is in the file, and a part of the daemon was too busy to learn it; it \
                 learns it once it has time, or with `turnstone reload`: mint with the new secret only then"
            );
            Exit::Failure
        }
        Ok(_) => Exit::Ok,
        Err(exit) => {
            eprintln!("turnstone: the new secret is in the file, and the daemon does not know it yet");
            exit
        }
    };
    // What the daemon does not know weighs more than what could not be told.
    if exit == Exit::Ok { said.map(|()| exit) } else { Ok(exit) }
}

/// Puts a new secret in front, in one step. Returns how many there are now. Whoever owns a folder on the way to the file
/// decides what is rewritten, so root does it with no more rights than they have.
fn rewrite(file: &Path) -> io::Result<usize> {
    rights::as_owner_of(file, || replace(file))
}

fn replace(file: &Path) -> io::Result<usize> {
    // What a link points to is replaced, not the link.
    let file = file.canonicalize()?;
    let meta = fs::metadata(&file)?;
    let text = Zeroizing::new(fs::read_to_string(&file)?);
    let (text, kept) = rotated(&text, &new_secret()?);
    let new = Partial(file.with_extension(format!("new.{}", std::process::id())));
    let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new.0)?;
    out.write_all(text.as_bytes())?;
    fchown(&out, Some(meta.uid()), Some(meta.gid()))?;
    // After the owner: changing that takes some bits away.
    out.set_permissions(Permissions::from_mode(meta.mode() & 0o7777))?;
    out.sync_all()?;
    fs::rename(&new.0, &file)?;
    File::open(file.parent().unwrap_or(Path::new("/")))?.sync_all()?;
    Ok(kept)
}

/// Gone unless it got its name.
struct Partial(PathBuf);

impl Drop for Partial {
    fn drop(&mut self) {
        let _was_renamed = fs::remove_file(&self.0);
    }
}

fn new_secret() -> io::Result<Zeroizing<String>> {
    let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
    aws_lc_rs::rand::fill(&mut *bytes).map_err(|_| io::Error::other("the system gives no random bytes"))?;
    Ok(Zeroizing::new(URL_SAFE_NO_PAD.encode(*bytes)))
}

/// The text with `secret` before the first one, and without those beyond the most there may be; comments stay.
fn rotated(text: &str, secret: &str) -> (Zeroizing<String>, usize) {
    let is_secret = |line: &str| !line.trim().is_empty() && !line.trim().starts_with('#');
    let mut out = Zeroizing::new(String::with_capacity(text.len() + secret.len() + 2));
    let mut kept = 0;
    let add = |out: &mut String, line: &str| {
        out.push_str(line);
        out.push('\n');
    };
    for line in text.lines() {
        if is_secret(line) {
            if kept == 0 {
                add(&mut out, secret);
                kept = 1;
            }
            if kept == Settings::SECRETS_MAX {
                continue;
            }
            kept += 1;
        }
        add(&mut out, line);
    }
    if kept == 0 {
        add(&mut out, secret);
        kept = 1;
    }
    (out, kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_secret_comes_first_comments_stay_and_the_oldest_goes() {
        assert_eq!(*rotated("# ours\n\none\ntwo\n", "new").0, "# ours\n\nnew\none\ntwo\n");
        let (text, kept) = rotated("one\n# old\ntwo\nthree\nfour", "new");
        assert_eq!((text.as_str(), kept), ("new\none\n# old\ntwo\nthree\n", 4));
        assert_eq!(rotated("", "new").1, 1);
    }
}
