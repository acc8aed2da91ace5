//! Rules of `[auth]` and of the realm: secrets, static users and their OpaqueString form; tokens are in `tokens`.

use super::checked::{Auth, Config};
use super::report::Report;
use super::secrets::{check_count, check_length};
use super::tokens;
use super::tree::join;
use crate::auth::{Secret, Settings, user_name, user_password};
use precis_profiles::OpaqueString;
use precis_profiles::precis_core::profile::PrecisFastInvocation;
use std::collections::BTreeMap;
use std::path::Path;

/// Reads the files that it names, brings names and passwords into their OpaqueString form, and checks.
///
/// `folder`: where a relative path starts.
pub(super) fn prepare(config: &mut Config, folder: &Path, report: &mut Report) {
    realm(&mut config.server.realm, report);
    let auth = &mut config.auth;
    if let Some(file) = &mut auth.secrets_file {
        file.read_secrets(folder, report);
    }
    shared_secrets(auth, report);
    auth.users = users(std::mem::take(&mut auth.users), report);
    somebody_can_log_in(auth, report);
    lifetimes(auth, report);
    tokens::prepare(&mut auth.jwt, &config.signaling.origins, folder, report);
}

impl Config {
    /// What the `auth` module needs to know.
    pub fn auth_settings(&self) -> Settings {
        let auth = &self.auth;
        let from_file = auth.secrets_file.iter().flat_map(|file| &file.secrets);
        Settings {
            realm: self.server.realm.clone(),
            secrets: auth.secrets.iter().chain(from_file).cloned().collect(),
            users: auth.users.clone(),
            modern: auth.modern,
            strict_expiry: auth.strict_expiry,
            ttl: auth.ttl,
            max_ttl: auth.max_ttl,
        }
    }
}

fn realm(realm: &mut String, report: &mut Report) {
    const KEY: &str = "server.realm";
    // RFC 8489 section 14.9: fewer than 128 characters; the quote is the end of its quoted-string.
    let length = realm.chars().count();
    if length > 127 {
        let message = format!("`{KEY}` has {length} characters");
        report.error_at(KEY, message, "write at most 127; 4 or fewer keep challenges small");
    } else if realm.contains(['"', '\\']) {
        report.error_at(KEY, format!("`{KEY}` has a quote or a backslash"), "write letters and digits");
    } else {
        match OpaqueString::enforce(realm.as_str()) {
            Ok(prepared) => *realm = prepared.into_owned(),
            Err(_) => report.error_at(
                KEY,
                format!("`{KEY}` has a character that OpaqueString (RFC 8265) forbids"),
                "write letters and digits",
            ),
        }
    }
}

fn shared_secrets(auth: &Auth, report: &mut Report) {
    for (i, secret) in auth.secrets.iter().enumerate() {
        let key = format!("auth.secrets[{i}]");
        if let Some(place) = report.given_place(&key) {
            check_length(secret.expose(), place, &key, report);
        }
    }
    check_count(auth.secrets.len(), report, "auth.secrets");
    if report.is_given("auth.secrets") && report.is_given("auth.secrets_file") {
        report.error_at(
            "auth.secrets_file",
            "`auth.secrets` and `auth.secrets_file` are both set",
            "keep one: move the secrets into the file, one per line, newest first",
        );
    }
    if report.is_given("auth.secrets") && auth.secrets.is_empty() && !report.has_error("auth.secrets") {
        let help = "write a secret, or delete the line";
        report.error_at("auth.secrets", "`auth.secrets` is empty", help);
    }
}

fn users(users: BTreeMap<String, Secret>, report: &mut Report) -> BTreeMap<String, Secret> {
    let mut prepared = BTreeMap::new();
    for (name, password) in users {
        let key = join("auth.users", &name);
        let result = user_name(&name).and_then(|name| Ok((name, user_password(password.expose())?)));
        match result {
            Ok((name, password)) => {
                if prepared.insert(name, password).is_some() {
                    let message =
                        format!("`{key}`: another user has the same name after OpaqueString (RFC 8265)");
                    report.error_at(&key, message, "delete one of them");
                }
            }
            Err((message, help)) => report.error_at(&key, format!("`{key}`: {message}"), help),
        }
    }
    prepared
}

fn somebody_can_log_in(auth: &Auth, report: &mut Report) {
    let has_secrets = report.is_given("auth.secrets") || report.is_given("auth.secrets_file");
    let has_users = !auth.users.is_empty() || report.has_error("auth.users");
    if !has_secrets && !has_users && !report.has_error("auth") {
        report.error_at(
            "auth",
            "nobody could use the relay: there is neither a shared secret nor a user",
            "add to [auth]: secrets = [\"...\"] with the output of `openssl rand -base64 48`, \
             or secrets_file = \"/etc/turnstone/secret\", or an [auth.users] section with name = \"password\"",
        );
    }
}

fn lifetimes(auth: &Auth, report: &mut Report) {
    let is_fine = ["auth.ttl", "auth.max_ttl"].iter().all(|key| !report.has_error(key));
    if auth.ttl > auth.max_ttl && is_fine {
        let key = if report.is_given("auth.ttl") { "auth.ttl" } else { "auth.max_ttl" };
        report.error_at(key, "`auth.ttl` is longer than `auth.max_ttl`", "raise max_ttl, or lower ttl");
    }
}
