//! `[auth.jwt]`: who signs the tokens of signaling clients, and where a token may stand.

use super::checked::Jwt;
use super::files;
use super::report::Report;
use super::signaling::WebOrigin;
use super::text::{Refusal, TextSetting};
use crate::auth::token::{BadPem, KeySet, TokenRules};
use crate::http::api::TokenSigner;
use crate::http::{BadUrl, KeySetUrl, KeySource, TokenSettings};
use std::path::{Path, PathBuf};

/// `auth.jwt.public_key_file`: the path as written, and what the file held.
#[derive(Clone, Debug, PartialEq)]
pub struct PublicKeyFile {
    /// The path; a relative one starts at the folder of the configuration file.
    pub path: PathBuf,
    /// Its key; none before the file is read.
    pub key: KeySet,
}

impl TextSetting for PublicKeyFile {
    const WHAT: &'static str = "a path";
    const EXAMPLE: &'static str = "/etc/turnstone/jwt.pem";

    fn from_text(text: &str) -> Result<Self, Refusal> {
        PathBuf::from_text(text).map(|path| Self { path, key: KeySet::default() })
    }

    fn to_text(&self) -> String {
        self.path.to_text()
    }
}

impl PublicKeyFile {
    fn read_key(&mut self, folder: &Path, report: &mut Report) {
        let path = folder.join(&self.path);
        let bytes = match files::read_binary(&path) {
            Ok(bytes) => bytes,
            Err(unreadable) => {
                return report.error_at(FILE, format!("`{FILE}`: {}", unreadable.message), unreadable.help);
            }
        };
        match KeySet::from_pem(&bytes) {
            Ok(key) => self.key = key,
            Err(bad) => {
                let message = format!("`{FILE}`: {bad} in {}", path.display());
                report.error_at(FILE, message, mend(bad, &path));
            }
        }
    }
}

fn mend(bad: BadPem, path: &Path) -> String {
    let path = path.display();
    match bad {
        BadPem::NoKey => format!(
            "the file must have -----BEGIN PUBLIC KEY----- or -----BEGIN CERTIFICATE-----; \
             from DER: openssl pkey -pubin -inform der -in {path}"
        ),
        BadPem::PrivateKey => format!("keep it with the issuer, and take: openssl pkey -in {path} -pubout"),
        BadPem::Broken => "copy it again, whole, with its BEGIN and END lines".to_owned(),
        BadPem::NotOfUse => "ask the issuer for a key of RS256, ES256, ES384 or EdDSA".to_owned(),
        BadPem::TooMany => "keep the one that signs; for more than one use `auth.jwt.jwks_url`".to_owned(),
    }
}

impl TextSetting for KeySetUrl {
    const WHAT: &'static str = "a URL";
    const EXAMPLE: &'static str = "https://login.example.org/.well-known/jwks.json";

    fn from_text(text: &str) -> Result<Self, Refusal> {
        Self::parse(text).map_err(|bad| {
            let scheme = format!("write it with scheme and host, such as \"{}\"", Self::EXAMPLE);
            match bad {
                BadUrl::NotAUrl | BadUrl::UnknownScheme => {
                    Refusal::new("this is not a URL of the web", scheme)
                }
                BadUrl::InTheOpen => Refusal::new(
                    "who can change an answer over http could sign tokens for anybody",
                    "write https://; http:// is for a server on this machine",
                ),
                BadUrl::WithPassword => {
                    Refusal::new("the URL has a user name", "delete what stands before the @")
                }
            }
        })
    }

    fn to_text(&self) -> String {
        self.uri().to_string()
    }
}

/// A name that a cookie can have, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieName(pub Option<String>);

impl TextSetting for CookieName {
    const WHAT: &'static str = "the name of a cookie";
    const EXAMPLE: &'static str = "session";

    /// RFC 6265 section 4.1.1: a token.
    fn from_text(text: &str) -> Result<Self, Refusal> {
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        if text.chars().all(is_token) {
            return Ok(Self(Some(text.to_owned()).filter(|name| !name.is_empty())));
        }
        let help = "write its name alone, such as \"session\", or \"\" for none";
        Err(Refusal::new("a cookie cannot have this name", help))
    }

    fn to_text(&self) -> String {
        self.0.clone().unwrap_or_default()
    }
}

/// Reads the key file and checks.
///
/// `origins`: those of `[signaling]`. `folder`: where a relative path starts.
pub(super) fn prepare(jwt: &mut Jwt, origins: &[WebOrigin], folder: &Path, report: &mut Report) {
    let keys = ["auth.jwt.secret", FILE, "auth.jwt.jwks_url"];
    let mut given = keys.into_iter().filter(|key| report.is_given(key));
    let (first, second) = (given.next(), given.next());
    if let (Some(first), Some(second)) = (first, second) {
        let message = format!("`{first}` and `{second}` are both set");
        report.error_at(second, message, "keep the one that signs the tokens");
    }
    if let Some(file) = &mut jwt.public_key_file {
        file.read_key(folder, report);
    }
    secret(jwt, report);
    audience(jwt, report);
    cookie(jwt, origins, report);
    if first.is_none() {
        without_a_key(report);
    }
}

fn secret(jwt: &Jwt, report: &mut Report) {
    const KEY: &str = "auth.jwt.secret";
    let length = jwt.secret.as_ref().map_or(usize::MAX, |secret| secret.expose().len());
    if length < KeySet::SECRET_BYTES_MIN {
        let message = format!(
            "`{KEY}`: who has a token could find the secret: its length is {length}, the least is {}",
            KeySet::SECRET_BYTES_MIN
        );
        report.error_at(KEY, message, "make a good one for both sides with: openssl rand -base64 48");
    }
}

/// The key of an issuer signs for all its services, a shared secret only for those who have it.
fn audience(jwt: &Jwt, report: &mut Report) {
    let key = if jwt.jwks_url.is_some() { "auth.jwt.jwks_url" } else { FILE };
    let is_public = jwt.jwks_url.is_some() || jwt.public_key_file.is_some();
    if is_public && jwt.audience.is_none() && !report.has_error("auth.jwt") {
        let help = "set auth.jwt.audience to what the issuer puts into `aud` for this server";
        report.warn_at(key, "tokens of this issuer for any other service are accepted here, too", help);
    }
}

/// Browsers send cookies with requests that any site makes.
fn cookie(jwt: &Jwt, origins: &[WebOrigin], report: &mut Report) {
    const KEY: &str = "auth.jwt.cookie";
    let has_list = !origins.is_empty() && !origins.iter().any(WebOrigin::is_any);
    let has_origins = has_list || report.has_error("signaling.origins");
    if jwt.cookie.0.is_some() && !has_origins {
        let help = "list the web origins of your app in signaling.origins";
        report.error_at(KEY, format!("`{KEY}` would let every website act for its visitors"), help);
    }
}

fn without_a_key(report: &mut Report) {
    for key in ["issuer", "audience", "query", "cookie"].map(|key| format!("auth.jwt.{key}")) {
        if report.is_given(&key) {
            let help = "add secret, public_key_file or jwks_url to [auth.jwt]";
            return report.warn_at(&key, format!("`{key}` is without effect: nobody signs tokens"), help);
        }
    }
}

impl Jwt {
    /// Whether there is a key to judge tokens by, be it one that is fetched later.
    pub fn names_a_key(&self) -> bool {
        self.secret.is_some() || self.public_key_file.is_some() || self.jwks_url.is_some()
    }

    /// What a token must say besides being signed.
    pub fn rules(&self) -> TokenRules {
        let text = |text: &Option<String>| text.as_deref().map(Box::from);
        TokenRules { issuer: text(&self.issuer), audience: text(&self.audience) }
    }

    /// What the judge of tokens needs to know; `None` when nobody signs them.
    pub(super) fn settings(&self) -> Option<TokenSettings> {
        let secret = || KeySet::from_secret(self.secret.as_ref()?).ok();
        let file = || self.public_key_file.as_ref().map(|file| file.key.clone());
        let fixed = secret().or_else(file).map(KeySource::Fixed);
        let keys = fixed.or_else(|| self.jwks_url.clone().map(KeySource::Url))?;
        Some(TokenSettings { keys, rules: self.rules(), query: self.query, cookie: self.cookie.0.clone() })
    }

    /// What signs tokens that this judge takes; `None` when only somebody else can.
    pub(super) fn signer(&self) -> Option<TokenSigner> {
        let secret = self.secret.clone()?;
        Some(TokenSigner { secret, rules: self.rules() })
    }
}

const FILE: &str = "auth.jwt.public_key_file";
