use super::super::testing::Api;
use super::*;
use crate::storage::Batch;
use crate::storage::records::put_page;
use crate::usage::Account;

fn account(subject: &str, label: Option<&str>) -> Account {
    Account { subject: subject.into(), label: label.map(Into::into), door: "udp 127.0.0.1:3478".into() }
}

fn bytes(count: u64) -> Traffic {
    Traffic { bytes_from_client: count, bytes_from_peer: 1, packets_from_client: 2, packets_from_peer: 3 }
}

/// Writes what waits, as the keeper does.
async fn write(api: &Api) {
    let pages = api.services.desk.books().waiting(1000);
    let batch = pages.iter().fold(Batch::new(), put_page);
    api.services.store.commit(batch).await.expect("written");
    api.services.desk.books().written(&pages);
}

#[tokio::test]
async fn the_open_minute_is_in_the_answer_and_what_is_written_is_there_once() {
    let api = Api::start();
    let key = api.key(&[Scope::Read]);
    let ask = async || {
        let answer = api.operator(&key, "GET", "/v1/usage?since=1h", "").await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()
    };
    let (before, alice) = (UnixTime(now().0 - 120), account("alice", None));
    api.services.desk.books().book(before, &alice, &bytes(5));
    assert_eq!(ask().await["total"]["bytes_from_client"], 5);
    api.services.desk.books().book(now(), &alice, &bytes(7));
    assert_eq!(ask().await["total"]["bytes_from_client"], 12, "one waits, one is open");
    write(&api).await;
    assert_eq!(ask().await["total"]["bytes_from_client"], 12, "one is written, one is open");
    api.services.desk.books().book(now(), &alice, &bytes(1));
    let told = ask().await;
    assert_eq!(told["total"]["bytes_from_client"], 13);
    let line = json!({
        "subject": "alice", "bytes_from_client": 13, "bytes_from_peer": 3, "packets_from_client": 6,
        "packets_from_peer": 9, "overflow": false, "partial": false,
    });
    assert_eq!((&told["usage"], &told["partial"]), (&json!([line]), &json!(false)));
}

#[tokio::test]
async fn a_range_is_added_up_over_more_pages_than_are_read_at_once() {
    let api = Api::start();
    let now = now();
    for minute in 0..400 {
        let at = UnixTime(now.0 - 60 * minute);
        api.services.desk.books().book(at, &account("alice", None), &bytes(1));
    }
    api.services.desk.books().set_aside();
    write(&api).await;
    let told = api.local("GET", "/v1/usage?since=1d&period=minute&by=door", "").await.json();
    assert_eq!(told["usage"].as_array().map(Vec::len), Some(400));
    assert_eq!(told["usage"][0]["door"], "udp 127.0.0.1:3478");
    for query in ["since=1d", "since=20d", "since=300d", "since=1d&period=hour", "since=1d&period=day"] {
        let told = api.local("GET", &format!("/v1/usage?{query}"), "").await.json();
        assert_eq!(told["total"]["bytes_from_client"], 400, "{query}");
    }
}

#[tokio::test]
async fn who_asks_for_few_rows_gets_the_largest_and_the_total_of_all() {
    let api = Api::start();
    for (name, count) in [("small", 1), ("large", 300), ("middle", 20)] {
        api.services.desk.books().book(now(), &account(name, None), &bytes(count));
    }
    let told = api.local("GET", "/v1/usage?since=5m&limit=2", "").await.json();
    let names: Vec<_> = (0..2).map(|at| told["usage"][at]["subject"].clone()).collect();
    assert_eq!(
        (names, told["usage"].as_array().map(Vec::len)),
        (vec!["large".into(), "middle".into()], Some(2))
    );
    assert_eq!((&told["more"], &told["total"]["bytes_from_client"]), (&1.into(), &321.into()));
    let all = api.local("GET", "/v1/usage?since=5m", "").await.json();
    assert_eq!((&all["more"], all["usage"].as_array().map(Vec::len)), (&0.into(), Some(3)));
    for query in ["limit=0", "limit=50001", "limit=2&period=minute"] {
        let refused = api.local("GET", &format!("/v1/usage?{query}"), "").await;
        assert_eq!((refused.status, refused.json()["field"].as_str()), (400, Some("limit")), "{query}");
    }
}

#[tokio::test]
async fn the_largest_of_more_rows_than_one_answer_has_are_told_all_the_same() {
    let api = Api::start();
    let now = now();
    for day in 0..6 {
        for user in 0..9_000 {
            let account = account(&format!("user {day} {user}"), None);
            api.services.desk.books().book(UnixTime(now.0 - 86_400 * day), &account, &bytes(1 + user));
        }
        api.services.desk.books().set_aside();
        write(&api).await;
    }
    let told = api.local("GET", "/v1/usage?since=300d&limit=6", "").await.json();
    let largest: Vec<_> = (0..6).map(|at| &told["usage"][at]["bytes_from_client"]).collect();
    assert_eq!((largest, &told["more"]), (vec![&json!(9_000); 6], &json!(53_994)), "{told}");
    let refused = api.local("GET", "/v1/usage?since=300d", "").await;
    assert_eq!((refused.status, refused.json()["field"].as_str()), (400, Some("period")));
}

#[tokio::test]
async fn each_step_of_a_range_has_a_row_for_each_door_and_they_add_up() {
    let api = Api::start();
    let now = now();
    let doors = ["udp 192.0.2.1:3478", "tls 192.0.2.1:443"];
    let book = |at: u64, door: usize| {
        let account = Account { door: doors[door].into(), ..account(&format!("user {at}"), None) };
        api.services.desk.books().book(UnixTime(at), &account, &bytes(1 + door as u64));
    };
    let times: Vec<_> = (0..30 * 1440).step_by(37).map(|minutes| now.0 - 60 * minutes).collect();
    // As many as may wait to be written.
    for some in times.chunks(200) {
        some.iter().for_each(|at| (0..2).for_each(|door| book(*at, door)));
        api.services.desk.books().set_aside();
        write(&api).await;
    }
    for (since, period, seconds) in [
        ("1h", "minute", 3600),
        ("24h", "minute", 86_400),
        ("24h", "hour", 86_400),
        ("30d", "hour", 30 * 86_400),
        ("30d", "day", 30 * 86_400),
    ] {
        let told =
            api.local("GET", &format!("/v1/usage?by=door&since={since}&period={period}"), "").await.json();
        let rows = told["usage"].as_array().expect("rows");
        let step = Period::ALL.into_iter().find(|step| step.name() == period).expect("one of them").seconds();
        assert!(
            !rows.is_empty() && rows.len() as u64 <= 2 * (seconds / step + 1),
            "{period}: {}",
            rows.len()
        );
        let count = |row: &Value| row["bytes_from_client"].as_u64().expect("bytes");
        for pair in rows.chunks(2) {
            assert_eq!(pair[0]["start"], pair[1]["start"], "the larger one first");
            assert_eq!([&pair[0]["door"], &pair[1]["door"]], [doors[1], doors[0]]);
            assert_eq!(count(&pair[0]), 2 * count(&pair[1]));
        }
        let starts = rows.iter().map(|row| row["start"].as_str().expect("a time"));
        assert!(starts.is_sorted(), "in the order of time");
        let [from, to] = ["from", "to"].map(|end| {
            let time = humantime::parse_rfc3339(told[end].as_str().expect("a time")).expect("a time");
            time.duration_since(std::time::SystemTime::UNIX_EPOCH).expect("since 1970").as_secs()
        });
        let booked = times.iter().filter(|at| (from..to).contains(at)).count() as u64 * 3;
        let sum: u64 = rows.iter().map(count).sum();
        assert_eq!((sum, count(&told["total"])), (booked, booked), "{since} by {period}");
    }
}

#[tokio::test]
async fn times_that_may_miss_something_are_partial() {
    let api = Api::start();
    let minute = Period::Minute.start(UnixTime(now().0 - 600));
    for at in [minute, UnixTime(minute.0 + 60)] {
        api.services.desk.books().book(at, &account("alice", None), &bytes(1));
    }
    let gap = Gap { from: UnixTime(minute.0 + 60), to: UnixTime(minute.0 + 70) };
    api.services.store.commit(Batch::new().put(&GapRow(gap))).await.expect("written");
    let told = api.local("GET", "/v1/usage?since=1h&period=minute", "").await.json();
    let partial: Vec<_> = told["usage"].as_array().expect("rows").iter().map(|row| &row["partial"]).collect();
    assert_eq!((partial, &told["partial"]), (vec![&json!(false), &json!(true)], &json!(true)));
    assert_eq!(told["gaps"], json!([{ "from": rfc3339(gap.from), "to": rfc3339(gap.to) }]));
    let told = api.local("GET", &format!("/v1/usage?from=0&to={}", minute.0), "").await.json();
    assert_eq!(told["partial"], json!(true), "whole days are looked at");
    let told = api.local("GET", &format!("/v1/usage?since=60s&to={}", minute.0), "").await.json();
    assert_eq!((&told["partial"], &told["gaps"]), (&json!(false), &json!([])));
}

#[tokio::test]
async fn csv_quotes_whatever_a_subject_is() {
    let api = Api::start();
    for subject in ["plain", "a,\"b\"\r\n", "=1+1", "\u{1b}[2J"] {
        api.services.desk.books().book(now(), &account(subject, Some(subject)), &bytes(1));
    }
    for by in ["subject", "label"] {
        let answer = api.local("GET", &format!("/v1/usage?format=csv&by={by}"), "").await;
        assert!(answer.head.contains("content-type: text/csv"), "{}", answer.head);
        let mut rows = answer.body.split_inclusive(",1,1,2,3,false,false\r\n");
        let head = format!("start,{by},bytes_from_client");
        let first = rows.next().expect("a head and a row");
        assert!(first.starts_with(&head), "{first}");
        let mut names: Vec<_> = answer
            .body
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once("Z,"))
            .map(|(_, rest)| rest)
            .collect();
        names.sort_unstable();
        let behind = ",1,1,2,3,false,false";
        let expected = [
            "\"a,\"\"b\"\"".to_owned(),
            format!("'=1+1{behind}"),
            format!("\u{1b}[2J{behind}"),
            format!("plain{behind}"),
        ];
        let mut expected: Vec<_> = expected.iter().map(String::as_str).collect();
        expected.sort_unstable();
        assert_eq!(names, expected);
    }
}

#[tokio::test]
async fn bad_queries_name_the_field_and_strangers_are_refused() {
    let api = Api::start();
    let key = api.key(&[Scope::Read]);
    for (query, field) in [
        ("by=user", "by"),
        ("period=week", "period"),
        ("period=minute&since=49h", "period"),
        ("period=hour&since=61d", "period"),
        ("format=xml", "format"),
        ("from=tomorrow", "from"),
        ("since=1d&since=2d", "since"),
        ("subject=alice", "subject"),
    ] {
        let refused = api.operator(&key, "GET", &format!("/v1/usage?{query}"), "").await;
        assert_eq!((refused.status, refused.json()["field"].clone()), (400, json!(field)), "{query}");
    }
    let minter = api.key(&[Scope::Mint]);
    assert_eq!(api.operator(&minter, "GET", "/v1/usage", "").await.status, 403);
    let closed = Api::without_store();
    let answer = closed.local("GET", "/v1/usage", "").await;
    assert_eq!((answer.status, answer.json()["code"].clone()), (503, json!("store_closed")));
}
