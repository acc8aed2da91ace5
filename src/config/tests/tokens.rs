//! `[auth.jwt]`: what is taken over into the plan, and what is said about the rest.

use super::*;
use crate::auth::token::{KeySet, TokenRules};
use crate::http::{KeySource, TokenSettings};

fn settings(lines: &str) -> Option<TokenSettings> {
    plan_of(&accept(&with_auth(lines)).config).tokens
}

fn plan_of(config: &Config) -> Plan {
    let primary = [Some("127.0.0.1".parse().expect("literal")), None];
    let host = Host { addresses: Vec::new(), primary, cores: 1, has_ipv6: true };
    resolve(config, &host).expect("a plan")
}

fn public_key() -> String {
    rcgen::KeyPair::generate().expect("a key").public_key_pem()
}

#[test]
fn each_source_of_keys_reaches_the_plan() {
    assert_eq!(settings(""), None);
    let secret = KeySource::Fixed(KeySet::from_secret(&crate::auth::Secret::new(SECRET)).expect("long"));
    let bare = TokenSettings { keys: secret, rules: TokenRules::default(), query: false, cookie: None };
    assert_eq!(settings(&format!("[auth.jwt]\nsecret = \"{SECRET}\"")), Some(bare));
    let lines = "[signaling]\norigins = [\"https://app.example.org\"]\n[auth.jwt]\n\
                 jwks_url = \"https://login.example.org/keys?x=1\"\nissuer = \"i\"\naudience = \"a\"\nquery = true\ncookie = \"c\"";
    let all = settings(lines).expect("settings");
    assert!(matches!(&all.keys, KeySource::Url(url) if url.uri() == "https://login.example.org/keys?x=1"));
    assert_eq!(all.rules, TokenRules { issuer: Some("i".into()), audience: Some("a".into()) });
    assert_eq!((all.query, all.cookie.as_deref()), (true, Some("c")));
}

#[test]
fn a_key_file_is_read_from_the_folder_of_the_config_file_and_again_at_a_reload() {
    let (one, two) = (public_key(), public_key());
    let key = TempFile::new("jwt.pem", &one);
    let name = key.0.file_name().expect("a name").display();
    let text = format!("[auth.jwt]\npublic_key_file = \"{name}\"\naudience = \"a\"");
    let file = TempFile::new("jwt.toml", &with_auth(&text));
    let keys = || {
        let loaded = load(&file.0, []).unwrap_or_else(|errors| panic!("{errors}"));
        assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
        plan_of(&loaded.config)
    };
    let of = |pem: &str| Some(KeySource::Fixed(KeySet::from_pem(pem.as_bytes()).expect("a key")));
    let first = keys();
    assert_eq!(first.tokens.as_ref().map(|tokens| tokens.keys.clone()), of(&one));
    std::fs::write(&key.0, &two).expect("ours");
    let second = keys();
    assert_eq!(first.needs_restart(&second), [""; 0]);
    assert_eq!(second.within(&first).tokens.map(|tokens| tokens.keys), of(&two));
}

#[test]
fn a_bad_key_file_names_the_file_and_the_mend() {
    let key = rcgen::KeyPair::generate().expect("a key");
    for (text, what, mend) in [
        (
            key.serialize_pem(),
            "a private key where the public one belongs in FILE",
            "openssl pkey -in FILE -pubout",
        ),
        (String::new(), "no public key in FILE", "openssl pkey -pubin -inform der -in FILE"),
        (public_key() + &public_key(), "more than one public key in FILE", "jwks_url"),
        (key.public_key_pem().replace("M", ""), "a damaged key in FILE", "copy it again"),
    ] {
        let file = TempFile::new("bad-jwt.pem", &text);
        let lines = format!("[auth.jwt]\npublic_key_file = \"{}\"", file.path());
        let errors = refuse(&with_auth(&lines));
        assert_eq!(errors.len(), 1, "{errors:?}");
        let message = errors[0].message.replace(&file.path(), "FILE");
        let help = errors[0].help.clone().unwrap_or_default().replace(&file.path(), "FILE");
        assert_eq!(message, format!("`auth.jwt.public_key_file`: {what}"));
        assert!(help.contains(mend), "{help}");
        assert_eq!(errors[0].at.map(|at| (at.line, at.column)), Some((2, 19)));
    }
    let missing = refuse(&with_auth("[auth.jwt]\npublic_key_file = \"/nowhere/k.pem\""));
    assert!(missing[0].message.contains("cannot read /nowhere/k.pem as user "), "{missing:?}");
}

#[test]
fn a_short_secret_and_keys_from_the_open_net_are_refused() {
    let better = "make a good one for both sides with: openssl rand -base64 48";
    let short = format!("[auth.jwt]\nsecret = \"{}\"", &SECRET[1..]);
    refused(&short, (2, 10), "its length is 31, the least is 32", better);
    let url = |url: &str| format!("[auth.jwt]\njwks_url = \"{url}\"");
    let http = "write https://; http:// is for a server on this machine";
    refused(&url("http://login.example.org/keys"), (2, 12), "could sign tokens for anybody", http);
    refused(&url("https://me@login.example.org"), (2, 12), "user name", "delete what stands before the @");
    let scheme = "write it with scheme and host, such as \"https://login.example.org/.well-known/jwks.json\"";
    refused(&url("login.example.org"), (2, 12), "not a URL of the web", scheme);
    accept(&with_auth(&url("http://127.0.0.1:9000/keys")));
}

#[test]
fn a_cookie_needs_the_origins_that_may_send_it() {
    let cookie = format!("[auth.jwt]\nsecret = \"{SECRET}\"\ncookie = \"session\"");
    let help = "list the web origins of your app in signaling.origins";
    refused(&cookie, (3, 10), "every website", help);
    let lines = format!("[signaling]\norigins = [\"https://app.example.org\"]\n{cookie}");
    assert_eq!(settings(&lines).and_then(|settings| settings.cookie).as_deref(), Some("session"));
    let every = format!("[signaling]\norigins = [\"*\"]\n{cookie}");
    refused(&every, (5, 10), "every website", help);
    let none = cookie.replace("session", "");
    assert_eq!(settings(&none).map(|settings| settings.cookie), Some(None));
    let name = "write its name alone, such as \"session\", or \"\" for none";
    refused(&cookie.replace("session", "a=b; c"), (3, 10), "cannot have this name", name);
}

#[test]
fn what_has_no_effect_or_too_much_is_warned_of() {
    let warned = |lines: &str| -> Vec<String> {
        let about = accept(&with_auth(&format!("[auth.jwt]\n{lines}"))).warnings.into_iter();
        about.map(|found| format!("{}: {}", found.key.unwrap_or_default(), found.message)).collect()
    };
    let [warning] = &warned("issuer = \"i\"\nquery = true")[..] else { panic!("one warning") };
    assert_eq!(warning, "auth.jwt.issuer: `auth.jwt.issuer` is without effect: nobody signs tokens");
    let [warning] = &warned("jwks_url = \"https://a.example/\"")[..] else { panic!("one warning") };
    assert!(
        warning.starts_with("auth.jwt.jwks_url: tokens of this issuer for any other service"),
        "{warning}"
    );
    assert_eq!(warned("jwks_url = \"https://a.example/\"\naudience = \"a\""), [""; 0]);
    assert_eq!(warned(&format!("secret = \"{SECRET}\"")), [""; 0]);
}
