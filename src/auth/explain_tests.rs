//! Tests of the explanations and of their wording.

use super::*;
use crate::auth::{Authenticator, Credential, Login, MintRequest, Scheme, Secret, mint};
use crate::wire::stun::{
    Class, IntegrityAlgorithm, IntegrityKey, Message, MessageWriter, Method, TransactionId,
};
use proptest::prelude::*;
use std::time::Duration;

const NOW: UnixTime = UnixTime(1_700_000_000);

#[test]
fn a_working_credential_is_said_to_work_and_for_how_long() {
    let made = minted("old", Variant::Sha256, 3540);
    let said = ask(NOW, &made.username, made.password.expose());
    assert!(said.is_valid());
    assert_eq!(said.to_string(), "valid for 3540 s more: made with secret 2 by HMAC-SHA256");
    let far = minted("new", Variant::Sha1, 1_000_000);
    let said = ask(NOW, &far.username, far.password.expose());
    assert!(said.is_valid());
    assert_eq!(
        said.to_string(),
        "valid for 1000000 s (11 days) more: made with secret 1 (the newest) by HMAC-SHA1; that is longer than \
         auth.max_ttl: was the expiry meant in seconds, and is the clock of the machine that made it right?"
    );
    let said = ask(NOW, "bob", "builder");
    assert_eq!((said, said.is_valid()), (Explanation::StaticUser, true));
}

#[test]
fn an_expired_credential_is_said_to_be_expired_by_so_much() {
    let made = minted("new", Variant::Sha1, 3600);
    let said = |after_s| ask(UnixTime(made.expires.0 + after_s), &made.username, made.password.expose());
    assert_eq!(
        said(43).to_string(),
        "expired by 43 s: made with secret 1 (the newest) by HMAC-SHA1; ask for a new one"
    );
    assert!(!said(0).is_valid());
    assert!(said(90_000).to_string().contains("expired by 90000 s (25 hours)"));
    assert!(said(90_000).to_string().contains("clock"));
}

#[test]
fn a_foreign_secret_is_told_from_a_cut_password() {
    let made = minted("of another house", Variant::Sha1, 3600);
    assert_eq!(
        ask(NOW, &made.username, made.password.expose()).to_string(),
        "wrong secret: not made with any of the 2 configured secrets over exactly this name"
    );
    assert_eq!(
        ask(UnixTime(made.expires.0 + 5), &made.username, "abc").to_string(),
        "wrong secret: not made with any of the 2 configured secrets over exactly this name; the password has 3 \
         characters, one made of a name has 28 (HMAC-SHA1) or 44 (HMAC-SHA256); the name also expired by 5 s"
    );
    let none = Settings { secrets: vec![], ..settings() };
    assert!(explain(&none, NOW, "1800000000:alice", "abc").to_string().contains("set auth.secrets"));
}

#[test]
fn the_right_hmac_in_the_wrong_form_is_recognised() {
    for variant in Variant::ALL {
        let made = minted("old", variant, 3600);
        let right = made.password.expose();
        let bytes =
            base64::Engine::decode(&base64::engine::general_purpose::STANDARD, right).expect("base64");
        let hex: String = bytes.iter().map(|b| format!("{b:02X}")).collect();
        for wrong in [
            right.trim_end_matches('=').to_owned(),
            format!("{right}\n"),
            right.replace('+', "-").replace('/', "_").replace('=', ""),
            hex.to_lowercase(),
            hex,
        ] {
            let said = ask(NOW, &made.username, &wrong);
            assert_eq!(said, Explanation::WrongEncoding { secret_index: 1, variant }, "{wrong}");
        }
    }
}

#[test]
fn names_that_cannot_work_are_said_to_be_unknown_or_malformed() {
    let malformed = Explanation::MalformedName;
    assert_eq!(ask(NOW, "", "x"), malformed(NameFault::Empty));
    assert_eq!(ask(NOW, &"1".repeat(509), "x"), malformed(NameFault::TooLong { bytes: 509 }));
    assert_eq!(ask(NOW, "99999999999999999999:alice", "x"), malformed(NameFault::ExpiryTooLarge));
    let forever = SigningKey::new(&Secret::new("new"), 0, Variant::Sha1).password("eve");
    assert_eq!(ask(NOW, "eve", forever.as_str()), malformed(NameFault::NoExpiry));
    assert_eq!(ask(NOW, "bob", "x"), Explanation::WrongPassword);
    assert_eq!(
        ask(NOW, "eve", "x").to_string(),
        "unknown user: neither a static user nor <unix-expiry>:<subject>"
    );
}

proptest! {
    #[test]
    fn what_is_called_valid_is_what_the_authenticator_lets_in(
        which in 0usize..6, ttl_s in 0u64..20, age_s in 0u64..20, username in ".{1,20}", password in ".{0,20}",
    ) {
        let made = |secret| {
            let made = minted(secret, Variant::ALL[which % 2], ttl_s);
            (made.username, made.password.expose().to_owned())
        };
        let (username, password) = match which {
            0 | 1 => made("new"),
            2 => made("old"),
            3 => made("other"),
            4 => ("bob".into(), if ttl_s < 10 { "builder".into() } else { password }),
            _ => (username, password),
        };
        let now = UnixTime(NOW.0 + age_s);
        let said = ask(now, &username, &password).is_valid();
        prop_assert_eq!(said, let_in(now, &username, &password));
    }
}

fn let_in(now: UnixTime, username: &str, password: &str) -> bool {
    let key = IntegrityKey::long_term_md5(username.as_bytes(), b"turn", password.as_bytes());
    let mut buffer = [0; 64];
    let mut writer =
        MessageWriter::new(&mut buffer, Class::Request, Method::ALLOCATE, TransactionId([9; 12]));
    writer.integrity(IntegrityAlgorithm::Sha1, &key);
    let length = writer.finish().expect("fits");
    let message = Message::parse(&buffer[..length]).expect("sound");
    Authenticator::new(&settings())
        .authenticate(now, Login::Name(username), Scheme::CLASSIC, &message)
        .is_ok()
}

fn ask(now: UnixTime, username: &str, password: &str) -> Explanation {
    explain(&settings(), now, username, password)
}

fn minted(secret: &str, variant: Variant, ttl_s: u64) -> Credential {
    let request = MintRequest::new(NOW, Duration::from_secs(ttl_s), "alice");
    mint(&Secret::new(secret), variant, &request).expect("short")
}

fn settings() -> Settings {
    Settings {
        realm: "turn".into(),
        secrets: vec![Secret::new("new"), Secret::new("old")],
        users: [("bob".to_owned(), Secret::new("builder"))].into(),
        modern: false,
        strict_expiry: false,
        ttl: Duration::from_secs(3600),
        max_ttl: Duration::from_secs(86_400),
    }
}
