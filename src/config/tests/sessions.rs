//! `[signaling]` with its `calls` and `limits`: what reaches the hub and its driver, and what is refused.

use super::*;
use crate::http::signaling::DriverSettings;
use crate::signaling::{BusyPolicy, CallSettings, Scope, Settings};

fn plan(sections: &str) -> Plan {
    let primary = [Some("127.0.0.1".parse().expect("literal")), None];
    let host = Host { addresses: Vec::new(), primary, cores: 1, has_ipv6: true };
    resolve(&accept(&with_auth(sections)).config, &host).expect("a plan")
}

#[test]
fn the_defaults_of_the_file_are_those_of_the_hub_and_of_its_driver() {
    let plan = plan("");
    assert_eq!(plan.driver, DriverSettings::default());
    // Settings hold a secret, and cannot be compared as a whole.
    assert_eq!(format!("{:?}", plan.hub), format!("{:?}", Settings::default()));
    assert!(plan.hub_settings().relay.is_some_and(|relay| relay.secret.expose() == SECRET));
}

#[test]
fn what_is_written_reaches_the_hub_and_its_driver() {
    let Plan { driver, hub, .. } = plan(
        "[signaling]\nnamespaces = [\"/\", \"/chat\"]\nnamespaces_without_recovery = [\"/chat\"]\npresence = \"all\"\n\
         open_rooms = false\nrecovery_window = \"30s\"\nmessage_retention = \"30d\"\nping_interval = \"10s\"\nping_timeout = \"5s\"\n\
         max_message = \"1MiB\"\n\
         [signaling.calls]\nring = \"1m\"\nconnect = \"20s\"\ngrace = \"0s\"\nmax_duration = \"4h\"\nbusy = \"waiting\"\n\
         accept = \"explicit\"\nreject_scope = \"device\"\ngroup_max = 12\n\
         [signaling.limits]\nsessions_total = 9\nsessions_per_user = 8\nsessions_per_source = 7\n\
         events_per_session = \"500/s\"\ncandidates_per_session = \"20/s\"\nmessages_per_user = \"3/s\"\ncalls_per_user = 2",
    );
    let namespaces: Vec<_> = driver.namespaces.iter().map(|one| (&*one.name, one.recovers)).collect();
    assert_eq!(namespaces, [("/", true), ("/chat", false)]);
    assert_eq!((driver.ping_interval.as_secs(), driver.ping_timeout.as_secs()), (10, 5));
    assert_eq!(driver.message_bytes_max, 1 << 20);
    assert_eq!(driver.retention.age.as_secs(), 30 * 86_400);
    assert_eq!((hub.presence.scope, hub.rooms.open, hub.log.window.as_secs()), (Scope::All, false, 30));
    assert_eq!((hub.sessions_total, hub.sessions_per_user, hub.sessions_per_source), (9, 8, 7));
    let secs = std::time::Duration::from_secs;
    let calls = CallSettings {
        ring: secs(60),
        connect: secs(20),
        grace_call: secs(0),
        max_duration: Some(secs(4 * 3600)),
        busy: BusyPolicy::Waiting,
        reject_scope: crate::signaling::RejectScope::Device,
        explicit_accept: true,
        group_members: 12,
        calls_per_user: 2,
        calls_per_device: 2,
        ..CallSettings::default()
    };
    assert_eq!(hub.calls, calls);
    let rates = |kinds: &crate::signaling::KindRates| {
        [kinds.other, kinds.media, kinds.chat].map(|rate| (rate.per_second, rate.burst))
    };
    assert_eq!(rates(&hub.rates.session), [(500, 2_000), (20, 100), (3, 3)]);
    assert_eq!(rates(&hub.rates.user), [(1_000, 4_000), (40, 200), (3, 3)]);
    assert_eq!(rates(&hub.rates.source), [(10_000, 50_000), (500, 2_000), (150, 300)]);
}

#[test]
fn a_reload_changes_all_but_what_clients_were_told() {
    let bound = plan("");
    let file = plan(
        "[signaling]\nnamespaces = [\"/x\"]\nping_interval = \"10s\"\nopen_rooms = false\nmax_message = \"32KiB\"\n\
         [signaling.calls]\nring = \"20s\"",
    );
    let restart = [
        "signaling.namespaces or signaling.namespaces_without_recovery",
        "signaling.ping_interval or signaling.ping_timeout",
    ];
    assert_eq!(bound.needs_restart(&file), restart);
    let kept = file.within(&bound);
    assert_eq!(kept.driver, DriverSettings { message_bytes_max: 32 << 10, ..bound.driver });
    assert_eq!((kept.hub.rooms.open, kept.hub.calls.ring.as_secs()), (false, 20));
}

#[test]
fn a_namespace_begins_with_a_slash_and_is_there_once() {
    let one = |lines: &str| format!("[signaling]\n{lines}");
    refused(
        &one("namespaces = [\"chat\"]"),
        (2, 15),
        "\"chat\" is not the name",
        "it begins with one slash: \"/chat\"",
    );
    refused(
        &one("namespaces = [\"//chat\"]"),
        (2, 15),
        "\"//chat\" is not",
        "it begins with one slash: \"/chat\"",
    );
    for bad in ["/a,b", "/a?b=1", "/a b", "/ä", &format!("/{}", "a".repeat(128))] {
        let errors = refuse(&with_auth(&one(&format!("namespaces = [\"{bad}\"]"))));
        assert!(errors[0].help.as_deref().unwrap_or_default().contains("\"/chat\""), "{bad}: {errors:?}");
    }
    refused(&one("namespaces = []"), (2, 14), "is empty", "write [\"/\"], where clients are that name none");
    refused(&one("namespaces = [\"/\", \"/\"]"), (2, 20), "/ is there twice", "delete one of them");
    let help = "add it to signaling.namespaces, or delete it here";
    refused(&one("namespaces_without_recovery = [\"/a\"]"), (2, 32), "there is no namespace /a", help);
    let names: Vec<String> = (0..17).map(|i| format!("\"/{i}\"")).collect();
    refused(&one(&format!("namespaces = [{}]", names.join(", "))), (2, 14), "has 17 names", "16 at most");
}

#[test]
fn times_and_numbers_have_their_range() {
    for (section, key, value, help) in [
        ("signaling", "recovery_window", "\"0s\"", "write \"1s\" to \"1h\""),
        ("signaling", "message_retention", "\"1m\"", "write \"1h\" to \"3650d\""),
        ("signaling", "ping_interval", "\"1m\"", "write \"1s\" to \"50s\""),
        ("signaling", "ping_timeout", "\"0s\"", "write \"1s\" to \"2m\""),
        ("signaling.calls", "ring", "\"121s\"", "write \"5s\" to \"2m\""),
        ("signaling.calls", "connect", "\"1h\"", "write \"5s\" to \"5m\""),
        ("signaling.calls", "grace", "\"11m\"", "write \"0s\" to \"10m\""),
        ("signaling.calls", "max_duration", "\"1s\"", "write \"1m\" to \"7d\", or \"off\""),
        ("signaling.calls", "group_max", "13", "write 2 to 12"),
        ("signaling.limits", "sessions_total", "0", "write 1 to 10000000"),
        ("signaling.limits", "sessions_per_user", "0", "write 1 to 10000"),
        ("signaling.limits", "calls_per_user", "0", "write 1 to 10000"),
        ("signaling.limits", "events_per_session", "\"2000000/s\"", "write \"1/s\" to \"1000000/s\""),
    ] {
        let lines = format!("[{section}]\n{key} = {value}");
        let message = format!("`{section}.{key}` is out of range");
        refused(&lines, (2, key.len() + 4), &message, help);
    }
    refused(
        "[signaling.calls]\nbusy = \"rejct\"",
        (2, 8),
        "\"rejct\" is not an answer to a second call",
        "did you mean \"reject\"?",
    );
}

#[test]
fn who_writes_signaling_without_a_key_is_told_that_nobody_gets_in() {
    let warned = |text: &str| -> Vec<String> {
        let about =
            accept(&with_auth(text)).warnings.into_iter().filter(|found| found.message.contains("nobody"));
        about.map(|found| found.key.unwrap_or_default()).collect()
    };
    assert_eq!(warned("[signaling]\nenabled = true"), ["signaling"]);
    assert_eq!(warned("[signaling.calls]\nring = \"20s\""), ["signaling"]);
    assert_eq!(warned("[signaling]\nenabled = false\nopen_rooms = false"), [""; 0]);
    assert_eq!(warned(&format!("[signaling]\nenabled = true\n[auth.jwt]\nsecret = \"{SECRET}\"")), [""; 0]);
    assert_eq!(warned("[signaling]"), [""; 0], "who asks for nothing has a relay and no signaling");
}
