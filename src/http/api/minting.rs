//! Credentials for apps: whom they are for, how long, and where they are of use.

use super::clock::now;
use super::limiter::Limiter;
use super::mint_counts::{MintRefusal, MintedBy};
use super::{Caller, Fields, Services, Source, TokenSigner};
use crate::auth::{MintRequest, Minter, NAME_BYTES_MAX, Scope, Secret, Variant};
use crate::base::{Transport, UnixTime, subscriber};
use crate::http::problem::Problem;
use crate::signaling::Advertised;
use axum::http::StatusCode;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Checked settings of minting.
#[derive(Clone, Debug)]
pub struct MintSettings {
    /// The newest shared secret; none when there are static users only.
    pub secret: Option<Secret>,
    /// Doors that listen, as clients reach them.
    pub doors: Vec<Advertised>,
    /// Lifetime of a credential, unless another one is asked for.
    pub ttl: Duration,
    /// The longest one that may be asked for.
    pub max_ttl: Duration,
    /// Credentials a second by one API key; none for any number.
    pub per_key: Option<u32>,
    /// Credentials a second for one subject.
    pub per_subject: Option<u32>,
    /// Credentials a second that users at one source ask for with their tokens; and refusals of bad keys and tokens.
    pub per_source: Option<u32>,
    /// REALM of every challenge, for which keys of users are made.
    pub realm: String,
    /// Names of the users that the config knows.
    pub config_users: BTreeSet<String>,
    /// How tokens for signaling are signed, where we can.
    pub token_signer: Option<TokenSigner>,
}

/// What credentials are minted by. A reload brings another one.
#[derive(Debug)]
pub struct Minting {
    minter: Option<Minter>,
    doors: Vec<Door>,
    ttl_s: u64,
    max_ttl_s: u64,
    per_key: Limiter,
    per_subject: Limiter,
    per_source: Limiter,
    /// Bad keys and tokens of one source.
    guesses: Limiter,
    realm: String,
    config_users: BTreeSet<String>,
    token_signer: Option<TokenSigner>,
}

/// The longest life of any credential where the config says `max_ttl`.
pub fn longest_life(max_ttl: Duration) -> Duration {
    max_ttl.max(Duration::from_secs(86_400))
}

#[derive(Debug)]
struct Door {
    transport: Transport,
    stun: Option<String>,
    turn: String,
}

/// What an app asks for; what it leaves out is up to us.
#[derive(Debug, Default)]
pub(super) struct Wish {
    pub(super) ttl_s: Option<u64>,
    pub(super) user: Option<String>,
    pub(super) label: Option<String>,
    pub(super) call_id: Option<String>,
    pub(super) transports: Option<Vec<Transport>>,
    pub(super) allocations: Option<u64>,
    pub(super) bits_per_second: Option<u64>,
}

/// A credential, and where it is of use.
#[derive(Debug)]
pub(super) struct Minted {
    pub(super) username: String,
    pub(super) password: Secret,
    pub(super) id: String,
    pub(super) ttl_s: u64,
    pub(super) expires: UnixTime,
    minting: Arc<Minting>,
    transports: Option<Vec<Transport>>,
}

impl Minting {
    /// Prepares what `settings` say. Budgets begin anew.
    pub fn new(settings: &MintSettings) -> Self {
        let mut doors: Vec<_> = settings.doors.iter().map(Door::new).collect();
        // Those over UDP first, as every client prefers them.
        doors.sort_by_key(|door| door.transport);
        let minter = settings.secret.as_ref().map(|secret| Minter::new(secret, Variant::Sha1));
        Self {
            minter,
            doors,
            ttl_s: settings.ttl.as_secs().max(1),
            max_ttl_s: settings.max_ttl.as_secs().max(1),
            per_key: Limiter::new(settings.per_key),
            per_subject: Limiter::new(settings.per_subject),
            per_source: Limiter::new(settings.per_source),
            guesses: Limiter::new(settings.per_source),
            realm: settings.realm.clone(),
            config_users: settings.config_users.clone(),
            token_signer: settings.token_signer.clone(),
        }
    }

    /// The longest lifetime of any credential: one that somebody else minted may live for a day unless the config says
    /// longer.
    pub fn longest_life(&self) -> Duration {
        longest_life(Duration::from_secs(self.max_ttl_s))
    }

    /// The longest lifetime of a credential that is minted now.
    pub(super) fn max_ttl_s(&self) -> u64 {
        self.max_ttl_s
    }

    /// For which keys of users are made.
    pub(super) fn realm(&self) -> &str {
        &self.realm
    }

    /// Names of the users that the config knows.
    pub(super) fn config_users(&self) -> impl Iterator<Item = &str> {
        self.config_users.iter().map(String::as_str)
    }

    pub(super) fn is_config_user(&self, name: &str) -> bool {
        self.config_users.contains(name)
    }

    /// How tokens for signaling are signed; `None` where somebody else does it.
    pub(super) fn token_signer(&self) -> Option<&TokenSigner> {
        self.token_signer.as_ref()
    }

    /// Takes one from the budget of an API key; who may open the admin socket has none.
    pub(super) fn take_by(&self, caller: &Caller) -> Result<(), Problem> {
        match caller {
            Caller::Key(key) | Caller::Browser { key, .. } => self.per_key.take(&*key.id, "API key"),
            Caller::Local | Caller::Token(_) => Ok(()),
        }
    }

    /// Counts a bad key or token of a source; refuses once it is one too many.
    pub(super) fn guessed(&self, source: Option<Source>) -> Result<(), Problem> {
        source.map_or(Ok(()), |Source(source)| self.guesses.take(subscriber(source), "source"))
    }

    /// Refuses a source that has presented too many bad ones, before it is looked at what it presents now.
    pub(super) fn may_guess(&self, source: Option<Source>) -> Result<(), Problem> {
        source.map_or(Ok(()), |Source(source)| self.guesses.wait(subscriber(source), "source"))
    }

    /// Takes a lifetime in seconds from `fields`.
    pub(super) fn ttl(&self, fields: &mut Fields, name: &str) -> Result<Option<u64>, Problem> {
        fields.whole(name, 1..=self.max_ttl_s, " (seconds; the most is auth.max_ttl)")
    }

    fn has(&self, transports: &Option<Vec<Transport>>) -> bool {
        self.doors.iter().any(|door| door.is_of(transports))
    }
}

impl Door {
    fn new(door: &Advertised) -> Self {
        Self { transport: door.transport, stun: door.stun_url(), turn: door.turn_url() }
    }

    fn is_of(&self, transports: &Option<Vec<Transport>>) -> bool {
        transports.as_ref().is_none_or(|wanted| wanted.contains(&self.transport))
    }
}

impl Minted {
    /// URLs of STUN that fit the wish.
    pub(super) fn stun_urls(&self) -> impl Iterator<Item = &str> {
        self.doors().filter_map(|door| door.stun.as_deref())
    }

    /// URLs of TURN that fit the wish.
    pub(super) fn turn_urls(&self) -> impl Iterator<Item = &str> {
        self.doors().map(|door| door.turn.as_str())
    }

    fn doors(&self) -> impl Iterator<Item = &Door> {
        self.minting.doors.iter().filter(|door| door.is_of(&self.transports))
    }
}

/// Mints what is wished for, or says why not. Writes nothing: the HMAC is the record.
pub(super) fn mint(
    services: &Services,
    caller: &Caller,
    source: Option<Source>,
    wish: Wish,
) -> Result<Minted, Problem> {
    let minting = services.minting.load_full();
    let by = match caller {
        Caller::Token(_) => MintedBy::Token,
        Caller::Key(_) | Caller::Browser { .. } | Caller::Local => MintedBy::Key,
    };
    let made = may(&minting, caller, source, wish).and_then(|wish| make(services, minting, wish));
    match &made {
        Ok(_) => services.sources.mint_counts().minted(by),
        Err(problem) => services.sources.mint_counts().refused(MintRefusal::of(problem.code())),
    }
    made
}

/// The wish of somebody who may have it.
fn may(minting: &Minting, caller: &Caller, source: Option<Source>, mut wish: Wish) -> Result<Wish, Problem> {
    match caller {
        Caller::Token(claims) => {
            if wish.user.as_deref().is_some_and(|user| *user != *claims.subject) {
                let hint = "leave `user` out; only API keys set it";
                return Err(Problem::forbidden("the token is of another user than `user`", hint).at("user"));
            }
            // Whose books a label stands for, and whom a revocation of it ends, is up to operators.
            if wish.label.is_some() {
                let hint = "leave `label` out; only API keys set it";
                return Err(Problem::forbidden("a user's token names no label", hint).at("label"));
            }
            if wish.call_id.is_some() {
                let hint = "leave `call_id` out; only API keys set it";
                return Err(Problem::forbidden("a user's token names no call", hint).at("call_id"));
            }
            if let Some(Source(source)) = source {
                minting.per_source.take(subscriber(source), "source")?;
            }
            wish.user = Some(claims.subject.to_string());
        }
        Caller::Key(_) | Caller::Browser { .. } => {
            caller.must(Scope::Mint)?;
            minting.take_by(caller)?;
        }
        Caller::Local => {}
    }
    if let Some(user) = wish.user.as_deref() {
        minting.per_subject.take(user, "user")?;
    }
    if !minting.has(&wish.transports) {
        let message = "`transports` names none that this server listens on; see `listen` in its config";
        return Err(Problem::field("transports", message));
    }
    Ok(wish)
}

fn make(services: &Services, minting: Arc<Minting>, wish: Wish) -> Result<Minted, Problem> {
    let minter = minting.minter.as_ref().ok_or_else(no_secret)?;
    let (now, subject) = (now(), wish.user.as_deref().unwrap_or_default());
    let label = wish.label.as_deref();
    let minted_at = services.revocations.mint_time(now, subject, label).ok_or_else(banned)?;
    let (id, ttl_s) = (services.ids.next("crd"), wish.ttl_s.unwrap_or(minting.ttl_s));
    let request = MintRequest {
        minted_at,
        id: Some(&id),
        label,
        call_id: wish.call_id.as_deref(),
        // Larger ones mean no limit of their own: the configured one holds.
        allocations_max: wish.allocations.and_then(|most| u32::try_from(most).ok()),
        bits_per_second: wish.bits_per_second,
        ..MintRequest::new(now, Duration::from_secs(ttl_s), subject)
    };
    let made = minter.mint(&request).map_err(|_too_long| too_long(minter, &request))?;
    let crate::auth::Credential { username, password, expires } = made;
    Ok(Minted {
        username,
        password,
        id,
        ttl_s,
        expires,
        transports: wish.transports,
        minting: Arc::clone(&minting),
    })
}

fn no_secret() -> Problem {
    let hint = "add auth.secrets or auth.secrets_file to its config";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "no_secret", "this server has no secret to mint with", hint)
}

fn banned() -> Problem {
    let hint = "GET /v1/revocations lists the bans, DELETE /v1/revocations/{id} lifts one";
    Problem::new(StatusCode::FORBIDDEN, "banned", "this user or label is banned", hint)
}

/// Says how many bytes are left for what the app chose: the longer one of the two has to give way.
fn too_long(minter: &Minter, request: &MintRequest<'_>) -> Problem {
    let (user, label) = (request.subject, request.label.unwrap_or_default());
    let field = if user.len() >= label.len() { "user" } else { "label" };
    let other = if field == "user" {
        MintRequest { subject: "", ..*request }
    } else {
        MintRequest { label: Some(""), ..*request }
    };
    let left = minter.mint(&other).map_or(0, |made| NAME_BYTES_MAX - made.username.len());
    let message = format!(
        "`{field}` is too long: {left} bytes are left for it in a username of {NAME_BYTES_MAX}, where characters \
         other than A-Z, a-z, 0-9, -, ., _ and ~ take three a byte"
    );
    Problem::field(field, message)
}
