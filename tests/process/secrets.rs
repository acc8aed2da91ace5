//! `turnstone secret`.

use crate::caller::Caller;
use crate::daemon::{Config, Daemon, Folder, PATIENCE, eventually, verb};
use crate::verbs::{ask, ask_json};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};
use turnstone::auth::{MintRequest, Secret, Variant, mint};
use turnstone::base::UnixTime;

const OLD: &str = "an-old-secret-of-at-least-32-characters";

#[test]
fn rotate_puts_a_new_secret_in_front_keeps_the_mode_and_the_daemon_knows_it_at_once() {
    let folder = Folder::new();
    let file = folder.write("secret", &format!("# newest first\n{OLD}\n"));
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o640)).unwrap();
    let config = Config { auth: format!("secrets_file = {file:?}\n"), ..Config::default() };
    let daemon = Daemon::start(&config);
    assert_eq!(ask_json(&daemon, &["secret", "list"])["secrets"].as_array().unwrap().len(), 1);
    for round in 1..=4 {
        let answer = ask_json(&daemon, &["secret", "rotate"]);
        assert_eq!(answer["secrets"], (round + 1).min(4), "{answer}");
        assert_eq!(answer["reloaded"], true);
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(text.contains(OLD), round < 4, "four at most, and comments stay: {text}");
        assert!(text.starts_with("# newest first\n"));
        let newest = text.lines().nth(1).unwrap().to_owned();
        eventually(PATIENCE, "the new secret is good", || allocates(&daemon, &newest).then_some(()));
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
    }
    eventually(PATIENCE, "the oldest is not good any more", || (!allocates(&daemon, OLD)).then_some(()));
    let listed = ask(&daemon, &["secret", "list"]).stdout;
    assert!(listed.lines().count() == 5 && listed.contains("sha256:"), "{listed}");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.lines().filter(|line| !line.starts_with('#')).all(|secret| !listed.contains(secret)));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left behind");
}

#[test]
fn with_secrets_in_the_config_it_says_to_edit_the_file() {
    let ended = verb(&["secret", "rotate"], &Config::default().text());
    assert_eq!((ended.code, ended.stderr.lines().count()), (1, 1), "{ended:#?}");
    assert!(ended.stderr.contains("auth.secrets"), "{}", ended.stderr);
}

fn allocates(daemon: &Daemon, secret: &str) -> bool {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let request = MintRequest::new(UnixTime(now), Duration::from_secs(600), "carol");
    let credential = mint(&Secret::new(secret), Variant::Sha1, &request).unwrap();
    let mut caller = Caller::of(daemon.server, &credential.username, credential.password.expose());
    let code = caller.try_allocate(&[]).code;
    assert!(code == 0 || code == 401, "{code}");
    code == 0 && caller.refresh(0).code == 0
}
