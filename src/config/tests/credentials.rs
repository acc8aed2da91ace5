//! Secrets, users and files: what is refused, and that no message shows a secret.

use super::*;

#[test]
fn a_configuration_that_lets_nobody_in_says_what_to_add() {
    let errors = refuse("[server]\nrealm = \"x\"\n");
    assert_eq!(errors.len(), 1);
    assert!(errors[0].message.contains("neither a shared secret nor a user"));
    let help = errors[0].help.clone().unwrap_or_default();
    assert!(help.contains("secrets = ") && help.contains("openssl rand") && help.contains("[auth.users]"));
}

#[test]
fn secrets_that_are_short_or_many_are_refused() {
    let good = "make a good one with: openssl rand -base64 48";
    refused_as_is("[auth]\nsecrets = [\"fifteen letters\"]", (2, 12), "its length is 15", good);
    let warned = accept("[auth]\nsecrets = [\"sixteen letters!\"]").warnings;
    assert!(warned[0].message.contains("its length is 16"), "{warned:?}");
    let five = format!("[auth]\nsecrets = [{}]", vec![format!("\"{SECRET}\""); 5].join(","));
    refused_as_is(&five, (2, 11), "at most 4 can be active", "delete the oldest, which are last");
    refused_as_is("[auth]\nsecrets = []", (2, 11), "is empty", "write a secret, or delete the line");
}

#[test]
fn secrets_in_both_places_are_refused() {
    let file = TempFile::new("both", SECRET);
    let text = format!("[auth]\nsecrets = [\"{SECRET}\"]\nsecrets_file = \"{}\"", file.path());
    let help = "keep one: move the secrets into the file, one per line, newest first";
    refused_as_is(&text, (3, 16), "are both set", help);
}

#[test]
fn a_secrets_file_has_comments_and_blank_lines() {
    let file = TempFile::new("comments", &format!("# newest\n{SECRET}A\n\n  {SECRET}B  \n# end"));
    let loaded = accept(&format!("[auth]\nsecrets_file = \"{}\"", file.path()));
    let secrets = loaded.config.auth_settings().secrets;
    let texts: Vec<_> = secrets.iter().map(|secret| secret.expose().to_owned()).collect();
    assert_eq!(texts, [format!("{SECRET}A"), format!("{SECRET}B")]);
}

#[test]
fn a_relative_secrets_file_lies_beside_the_configuration() {
    let file = TempFile::new("beside", SECRET);
    let name = file.0.file_name().expect("a file").to_string_lossy().into_owned();
    let config = TempFile::new("beside.toml", &format!("[auth]\nsecrets_file = \"{name}\""));
    let loaded = load(&config.0, []).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(loaded.config.auth_settings().secrets.len(), 1);
}

#[test]
fn a_bad_secrets_file_is_reported_at_its_own_line_without_the_secret() {
    let file = TempFile::new("short", "# comment\n  tooshort\n");
    let errors = refuse(&format!("[auth]\nsecrets_file = \"{}\"", file.path()));
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!(errors[0].location(), format!("{}:2:3", file.path()));
    assert!(!errors[0].render(false).contains("tooshort"), "{}", errors[0].render(false));
    let empty = TempFile::new("empty", "# nothing\n");
    let errors = refuse(&format!("[auth]\nsecrets_file = \"{}\"", empty.path()));
    assert!(errors[0].message.contains("holds no secret"), "{errors:?}");
}

#[test]
fn an_unreadable_file_is_named_with_the_user_and_what_to_do() {
    let errors = refuse("[auth]\nsecrets_file = \"/nonexistent/secret\"");
    assert_eq!(errors[0].location(), "t.toml:2:16");
    assert!(errors[0].message.contains("cannot read /nonexistent/secret as user "), "{errors:?}");
    assert_eq!(errors[0].help.as_deref(), Some("create the file, or name another one"));

    let errors = load(Path::new("/nonexistent/t.toml"), []).expect_err("there is no such file").errors;
    assert_eq!(errors[0].location(), "/nonexistent/t.toml");
    assert!(errors[0].message.starts_with("cannot read /nonexistent/t.toml as user "));
    let errors = load(&std::env::temp_dir(), []).expect_err("a folder is no file").errors;
    assert_eq!(errors[0].help.as_deref(), Some("name a file, not a folder"));
}

#[test]
fn a_file_that_is_not_utf8_or_has_no_end_is_refused() {
    let file = TempFile::new("latin1", "");
    std::fs::write(&file.0, b"[server]\nrealm = \"\xe4\"").expect("the file is ours");
    let errors = load(&file.0, []).expect_err("not UTF-8").errors;
    assert!(errors[0].message.ends_with("line 2 is not UTF-8"), "{errors:?}");
    let errors = load(Path::new("/dev/zero"), []).expect_err("endless").errors;
    assert!(errors[0].message.ends_with("larger than 4 MiB"), "{errors:?}");
}

#[test]
fn user_names_that_nobody_could_send_are_refused() {
    let users = |line: &str| format!("[auth.users]\n{line}");
    let write = "write name = \"password\"";
    refused_as_is(&users("\"\" = \"p\""), (2, 1), "the user name is empty", write);
    refused_as_is(&users("a = \"\""), (2, 1), "`auth.users.a`: the password is empty", write);
    let printable = "write printable characters only";
    refused_as_is(&users("\"a\\u0007\" = \"p\""), (2, 1), "has a control character", printable);
    let long = "a".repeat(509);
    refused_as_is(
        &users(&format!("{long} = \"p\"")),
        (2, 1),
        "longer than 508 bytes",
        "choose a shorter one",
    );
    accept(&users(&format!("{} = \"p\"", &long[1..])));
    let digits = "choose a name that does not begin with digits and a colon";
    refused_as_is(&users("\"1700000000:bob\" = \"p\""), (2, 1), "time-limited credential", digits);
    // U+FFFF is a noncharacter, which OpaqueString (RFC 8265 section 4.2) disallows.
    refused_as_is(&users("a = \"x\\uFFFF\""), (2, 1), "OpaqueString", "use printable characters");
    let errors = refuse(&users("\"e\u{301}\" = \"p\"\n\"\u{e9}\" = \"q\""));
    assert!(errors[0].message.contains("another user has the same name"), "{errors:?}");
}

#[test] // RFC 8265 section 4.2.2: spaces become ASCII spaces, and the text becomes NFC.
fn names_and_passwords_are_kept_in_their_opaque_string_form() {
    let auth = accept("[auth.users]\n\"e\u{301}\" = \"a\u{a0}b\"").config.auth_settings();
    assert_eq!(auth.users["\u{e9}"].expose(), "a b");
}

#[test]
fn a_realm_that_a_challenge_cannot_carry_is_refused() {
    let long = format!("[server]\nrealm = \"{}\"", "x".repeat(128));
    let help = "write at most 127; 4 or fewer keep challenges small";
    refused(&long, (2, 9), "has 128 characters", help);
    let letters = "write letters and digits";
    refused("[server]\nrealm = 'a\"b'", (2, 9), "a quote or a backslash", letters);
    refused("[server]\nrealm = \"\"", (2, 9), "empty", "write a value, or delete the line");
}

#[test]
fn certificates_and_tokens_need_all_their_parts() {
    let text = with_auth("[tls]\nmode = \"files\"\ncert = \"/c\"\n[[tls.extra]]\ncert = \"/d\"");
    let messages: Vec<_> = refuse(&text).into_iter().map(|error| error.message).collect();
    assert_eq!(messages, ["mode \"files\" needs `tls.key`", "`tls.extra[0].key` is missing"]);
    refused(
        &format!("[auth.jwt]\nsecret = \"{SECRET}\"\njwks_url = \"https://a.example/\""),
        (3, 12),
        "`auth.jwt.secret` and `auth.jwt.jwks_url` are both set",
        "keep the one that signs the tokens",
    );
    let url = "write it with scheme and host, such as \"https://app.example.org/hooks\"";
    refused("[hooks]\nurl = \"example.org\"", (2, 7), "is not a URL", url);
}

#[test]
fn no_message_shows_a_secret() {
    const HIDDEN: &str = "xyzzy";
    let texts = [
        "[auth]\nsecrets = [\"xyzzy\"]",
        "[auth]\nsecrest = [\"xyzzy\"]",
        "[auth]\nsecrets = \"xyzzy\"",
        "[auth]\nsecrets = [\"xyzzy\"",
        "[auth]\nsecrets = [\n  \"xyzzy\n  \"xyzzy\"\n]",
        "[auth]\nsecrets = [\n  xyzzy==\n]",
        "[auth] secrets = \"xyzzy\"",
        "auth = \"xyzzy\"",
        "atuh = { secrets = [\"xyzzy\"] }",
        "[auth]\nusers = [\"xyzzy\"]",
        "[auth]\nusers = [\"xyzzy\"",
        "[auth.users]\nbob = \"xyzzy\\uFFFF\"",
        "[auth.users]\nbob = xyzzy",
        "[auth.users]\nbob = { xyzzy = \"xyzzy\" ",
        "[auth.jwt]\nsecret = \"xyzzy\"",
        "[hooks]\nsecret = \"xyzzy",
        "[cluster]\nredis = [\"xyzzy\"]",
        "[cluster]\nredis = redis://xyzzy@h",
    ];
    for text in texts {
        let rendered = match parse("t.toml", text, []) {
            Err(errors) => format!("{errors}{errors:?}"),
            Ok(loaded) => panic!("accepted {text}: {:?}", loaded.warnings),
        };
        assert!(!rendered.contains(HIDDEN), "{text}\n{rendered}");
    }
    for name in
        ["TURNSTONE_AUTH__SECRETS", "TURNSTONE_AUTH__SECRTES", "TURNSTONE_LISTEN__X__Y", "TURNSTONE___"]
    {
        let errors = refuse_env(LOOPBACK, name, HIDDEN);
        assert!(!format!("{}{errors:?}", errors[0].render(false)).contains(HIDDEN), "{errors:?}");
    }
    let loaded = accept(&LOOPBACK.replace("another", HIDDEN));
    let all = format!("{:?}{}", loaded, loaded.config.effective());
    assert!(!all.contains(HIDDEN), "{all}");
}
