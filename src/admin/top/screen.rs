//! How it looks.

use super::state::{Mode, State};
use crate::admin::field;
use crate::admin::sessions::{rate, raw, size};
use crate::admin::status::number;
use crate::admin::text::{bit_rate, bytes, cut, safe, span};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Paragraph, Row, Table, TableState};
use serde_json::Value;
use std::time::Duration;

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, state: &State) {
    let parts = [Constraint::Length(3), Constraint::Min(1), Constraint::Length(1)];
    let [head, middle, foot] = Layout::vertical(parts).areas(frame.area());
    frame.render_widget(Paragraph::new(header(&state.status)), head);
    let shown = state.shown();
    let mut bar = TableState::default().with_selected(Some(state.selected(&shown)));
    frame.render_stateful_widget(table(&shown), middle, &mut bar);
    let style = Style::new().add_modifier(Modifier::DIM);
    frame.render_widget(Paragraph::new(footer(state)).style(style), foot);
}

fn header(status: &Value) -> Vec<Line<'static>> {
    let traffic = &status["traffic"];
    let way = |name: &str| {
        let (rate, all) =
            (number(&traffic[format!("rate_{name}_bps")]), number(&traffic[format!("bytes_{name}")]));
        format!("{} ({})", bit_rate(rate), bytes(all))
    };
    let uptime = span(Duration::from_secs(number(&status["uptime_s"])));
    let ports = &status["ports"];
    let first = format!("turnstone {}  up {uptime}  {}", field(status, "version"), field(status, "state"));
    let second = format!(
        "from clients {}  from peers {}  dropped {}",
        way("from_client"),
        way("from_peer"),
        field(traffic, "dropped_packets")
    );
    let third = format!(
        "sessions {}  ports {} used, {} free  calls {}",
        field(status, "sessions"),
        field(ports, "used"),
        field(ports, "free"),
        field(&status["signaling"], "calls")
    );
    vec![Line::from(first), Line::from(second), Line::from(third)]
}

fn table(shown: &[&Value]) -> Table<'static> {
    let row = |session: &&Value| {
        let age = span(Duration::from_secs(number(&session["age_s"])));
        let figure = |text: String| Line::from(text).right_aligned();
        Row::new([
            Line::from(safe(raw(session, "id"))),
            Line::from(cut(&safe(raw(session, "subject")), 16)),
            Line::from(safe(raw(session, "client"))),
            Line::from(safe(raw(session, "transport"))),
            figure(bit_rate(rate(session))),
            figure(bytes(size(session))),
            figure(age),
        ])
    };
    let widths = [
        Constraint::Length(9),
        Constraint::Length(16),
        Constraint::Min(17),
        Constraint::Length(4),
        Constraint::Length(11),
        Constraint::Length(7),
        Constraint::Length(7),
    ];
    let head = ["ID", "SUBJECT", "CLIENT", "BY", "       RATE", "  BYTES", "    AGE"];
    Table::new(shown.iter().map(row), widths)
        .header(Row::new(head).style(Style::new().add_modifier(Modifier::REVERSED)))
        .row_highlight_style(Style::new().add_modifier(Modifier::BOLD | Modifier::UNDERLINED))
        .column_spacing(1)
}

fn footer(state: &State) -> String {
    match &state.mode {
        Mode::Confirm(id) => format!("end session {}? y: yes, any other key: no", safe(id)),
        Mode::Filter => format!("filter: {}_", safe(&state.filter)),
        Mode::List if !state.message.is_empty() => safe(&state.message),
        Mode::List => {
            let filter = match state.filter.is_empty() {
                true => String::new(),
                false => format!(" ({})", safe(&state.filter)),
            };
            format!(
                "s: sort by {}  /: filter{filter}  up, down: choose  k: kill  q: quit",
                state.sort().name()
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::state::Deed;
    use super::*;
    use crate::admin::sessions::Sort;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
    use serde_json::json;

    fn state() -> State {
        let session = |id: &str, subject: &str, bps: u64, age_s: u64| {
            json!({
                "id": id, "subject": subject, "client": "192.0.2.1:40000", "transport": "udp", "age_s": age_s,
                "rate_from_client_bps": bps, "rate_from_peer_bps": bps, "bytes_from_client": 1_000_000,
                "bytes_from_peer": 234_000
            })
        };
        let mut state = State::new(Sort::Rate);
        let status = json!({
            "version": "1.2.3", "state": "serving", "uptime_s": 7380, "sessions": 2,
            "ports": { "used": 2, "free": 998 }, "signaling": { "calls": 1 },
            "traffic": {
                "rate_from_client_bps": 4_200_000, "rate_from_peer_bps": 8, "bytes_from_client": 1_230_000_000_u64,
                "bytes_from_peer": 999, "dropped_packets": 5
            },
        });
        let sessions = [
            session("0-17-3", "alice\u{1b}[2J", 1_000_000, 61),
            session("1-2-1", "a-name-that-is-far-too-long-for-it", 500, 5),
        ];
        state.seen(status, json!({ "sessions": sessions }));
        state
    }

    /// The screen, line by line, without the blanks at the ends.
    fn picture(state: &State) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).expect("no real terminal");
        terminal.draw(|frame| draw(frame, state)).expect("drawn");
        let buffer = terminal.backend().buffer();
        let line = |y: u16| (0..80).map(|x| buffer[(x, y)].symbol()).collect::<String>();
        (0..24).map(|y| line(y).trim_end().to_owned()).collect()
    }

    fn press(state: &mut State, keys: &[KeyCode]) -> Option<Deed> {
        keys.iter().fold(None, |_, key| state.press(KeyEvent::new(*key, KeyModifiers::NONE)))
    }

    #[test]
    fn eighty_by_twenty_four_show_rates_drops_ports_and_sessions() {
        let lines = picture(&state());
        let expected = [
            "turnstone 1.2.3  up 2h 03m  serving",
            "from clients 4.20 Mbit/s (1.23 GB)  from peers 8 bit/s (999 B)  dropped 5",
            "sessions 2  ports 2 used, 998 free  calls 1",
            "ID        SUBJECT          CLIENT               BY          RATE   BYTES     AGE",
            "0-17-3    alice\\u{1b}[2J   192.0.2.1:40000      udp  2.00 Mbit/s 1.23 MB  1m 01s",
            "1-2-1     a-name-that-is-… 192.0.2.1:40000      udp  1.00 kbit/s 1.23 MB      5s",
        ];
        assert_eq!(lines[..6], expected, "{lines:#?}");
        assert!(lines[6..23].iter().all(String::is_empty), "{lines:#?}");
        assert_eq!(lines[23], "s: sort by rate  /: filter  up, down: choose  k: kill  q: quit");
    }

    #[test]
    fn a_session_is_ended_only_after_a_yes() {
        let mut state = state();
        assert_eq!(press(&mut state, &[KeyCode::Down, KeyCode::Down, KeyCode::Char('k')]), None);
        assert_eq!(picture(&state)[23], "end session 1-2-1? y: yes, any other key: no");
        assert_eq!(press(&mut state, &[KeyCode::Enter]), None);
        assert_eq!(picture(&state)[23], "nothing was ended");
        let killed = press(&mut state, &[KeyCode::Up, KeyCode::Char('k'), KeyCode::Char('y')]);
        assert_eq!(killed, Some(Deed::Kill("0-17-3".into())));
    }

    #[test]
    fn a_filter_picks_by_name_and_q_in_it_is_a_letter() {
        let mut state = state();
        let keys = ['/', 'f', 'q', 'a'].map(KeyCode::Char);
        assert_eq!(press(&mut state, &keys), None);
        press(&mut state, &[KeyCode::Backspace, KeyCode::Backspace, KeyCode::Char('a'), KeyCode::Enter]);
        let lines = picture(&state);
        assert!(lines[4].starts_with("1-2-1 ") && lines[5].is_empty(), "{lines:#?}");
        assert!(lines[23].contains("(fa)"), "{}", lines[23]);
        assert_eq!(press(&mut state, &[KeyCode::Char('s')]), Some(Deed::Look));
        assert_eq!(state.sort(), Sort::Bytes);
        assert_eq!(press(&mut state, &[KeyCode::Char('q')]), Some(Deed::Quit));
    }
}
