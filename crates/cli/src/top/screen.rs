//! The terminal of `top`: keys in, a frame out. The terminal is restored after a panic and a signal, too.

use std::time::{Duration, Instant};

use flume_monitor::{ChangeStatus, Observer, ago, printable};
use jiff::Timestamp;
use ratatui::{
    DefaultTerminal, Frame,
    crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers},
    layout::{Constraint, Layout},
    style::{Color, Modifier, Style},
    text::Line,
    widgets::{Block, Cell, Paragraph, Row as TableRow, Table, TableState},
};
use tokio::signal::unix::{SignalKind, signal};

use super::{
    Seen,
    view::{self, Order, Row},
};

/// How often the agent is asked.
const EVERY: Duration = Duration::from_secs(1);
/// How often the keys are looked at.
const KEYS_EVERY: Duration = Duration::from_millis(50);
/// Lines of problems, at most.
const MAX_PROBLEM_LINES: usize = 9;
/// Lines of the selected component.
const DETAIL_LINES: u16 = 9;

#[derive(Default)]
struct Screen {
    seen: Seen,
    order: Order,
    filter: String,
    /// Keys go to the filter.
    filtering: bool,
    table: TableState,
    selected: Option<(String, String)>,
    rows: Vec<Row>,
}

/// Shows the agent until the user or a signal ends it.
pub(super) async fn run(observer: &Observer) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminal = ratatui::try_init()?;
    let ended = tokio::select! {
        ended = show(observer, &mut terminal) => ended,
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        _ = hangup.recv() => Ok(()),
    };
    ratatui::try_restore()?;
    ended
}

async fn show(observer: &Observer, terminal: &mut DefaultTerminal) -> anyhow::Result<()> {
    let mut screen = Screen::default();
    let mut asked: Option<Instant> = None;
    loop {
        if asked.is_none_or(|asked| asked.elapsed() >= EVERY) {
            screen.ask(observer).await;
            asked = Some(Instant::now());
            screen.arrange();
            terminal.draw(|frame| screen.draw(frame))?;
        }
        let mut pressed = false;
        while event::poll(Duration::ZERO)? {
            let event = event::read()?;
            pressed = true;
            if let Event::Key(key) = event
                && key.kind == KeyEventKind::Press
                && screen.press(key)
            {
                return Ok(());
            }
        }
        if pressed {
            let selected = screen.selected.clone();
            screen.arrange();
            if screen.selected != selected {
                screen.ask_for_selected(observer).await;
            }
            terminal.draw(|frame| screen.draw(frame))?;
        }
        tokio::time::sleep(KEYS_EVERY).await;
    }
}

impl Screen {
    async fn ask(&mut self, observer: &Observer) {
        let news = async {
            let status = observer.status().await?;
            let flow = observer.flow().await?;
            Ok::<_, std::io::Error>((status, flow))
        };
        match news.await {
            Ok((status, flow)) => {
                self.seen.status = Some(status);
                self.seen.flow = flow;
                self.seen.lost = None;
            }
            // The agent may be starting anew: what was seen last stays.
            Err(error) => {
                let since = self.seen.lost.take().map(|(since, _)| since);
                self.seen.lost = Some((since.unwrap_or_else(Timestamp::now), error.to_string()));
            }
        }
        self.ask_for_selected(observer).await;
    }

    async fn ask_for_selected(&mut self, observer: &Observer) {
        let Some((kind, name)) = self.selected.as_ref().filter(|_| self.seen.lost.is_none()) else {
            return;
        };
        self.seen.report = observer.component(kind, name).await.ok();
    }

    /// Makes the rows anew; the selection follows its component.
    fn arrange(&mut self) {
        let Some(status) = &self.seen.status else {
            return;
        };
        let now = Timestamp::now();
        self.rows = view::rows(status, &self.seen.flow, self.order, &self.filter, now);
        let known = self.selected.as_ref().and_then(|(kind, name)| {
            let mut rows = self.rows.iter();
            rows.position(|row| row.kind == *kind && row.name == *name)
        });
        self.select(known.unwrap_or(0));
    }

    fn select(&mut self, at: usize) {
        let at = at.min(self.rows.len().saturating_sub(1));
        let row = self.rows.get(at);
        self.selected = row.map(|row| (row.kind.clone(), row.name.clone()));
        self.table.select(row.map(|_| at));
    }

    /// Whether the key ends the program.
    fn press(&mut self, key: KeyEvent) -> bool {
        if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
            return true;
        }
        let at = self.table.selected().unwrap_or(0);
        match key.code {
            KeyCode::Esc if self.filtering || !self.filter.is_empty() => {
                self.filtering = false;
                self.filter.clear();
            }
            KeyCode::Enter => self.filtering = false,
            KeyCode::Backspace if self.filtering => drop(self.filter.pop()),
            KeyCode::Char(letter) if self.filtering => self.filter.push(letter),
            KeyCode::Char('q') | KeyCode::Esc => return true,
            KeyCode::Char('/') => self.filtering = true,
            KeyCode::Char('s') => self.order = self.order.next(),
            KeyCode::Up | KeyCode::Char('k') => self.select(at.saturating_sub(1)),
            KeyCode::Down | KeyCode::Char('j') => self.select(at + 1),
            KeyCode::PageUp => self.select(at.saturating_sub(20)),
            KeyCode::PageDown => self.select(at + 20),
            KeyCode::Home => self.select(0),
            KeyCode::End => self.select(usize::MAX),
            _ => {}
        }
        false
    }

    fn draw(&mut self, frame: &mut Frame) {
        let now = Timestamp::now();
        let head = self.head(now);
        let [top, middle, detail, keys] = Layout::vertical([
            Constraint::Length(head.len() as u16),
            Constraint::Min(3),
            Constraint::Length(DETAIL_LINES),
            Constraint::Length(1),
        ])
        .areas(frame.area());
        frame.render_widget(Paragraph::new(head), top);
        let rows = self.rows.iter().map(|row| {
            let cells = row.cells.iter().map(|cell| Cell::from(cell.clone()));
            TableRow::new(cells).style(color_of(&row.state))
        });
        let widths = [28, 16, 9, 8, 16, 6, 8, 8].map(Constraint::Length);
        let table = Table::new(rows, widths)
            .header(TableRow::new(view::TITLES).style(Modifier::BOLD))
            .row_highlight_style(Modifier::REVERSED);
        frame.render_stateful_widget(table, middle, &mut self.table);
        let block = Block::bordered().title(self.selected.as_ref().map_or(String::new(), |one| {
            format!(" {} {} ", one.0, printable(&one.1))
        }));
        frame.render_widget(Paragraph::new(self.detail()).block(block), detail);
        let keys_text = if self.filtering {
            format!(
                "filter: {}_  Enter keeps it, Esc clears it",
                printable(&self.filter)
            )
        } else {
            format!(
                "q ends  arrows select  s order: {}  / filter: {}",
                self.order.name(),
                printable(&self.filter)
            )
        };
        frame.render_widget(Paragraph::new(keys_text).style(Modifier::DIM), keys);
    }

    fn head(&self, now: Timestamp) -> Vec<Line<'static>> {
        let mut lines = vec![];
        if let Some((since, why)) = &self.seen.lost {
            let text = format!(
                "✖ no news from the agent for {}: {}",
                ago(*since, now),
                printable(why)
            );
            lines.push(Line::styled(text, Color::Red));
        }
        let Some(status) = &self.seen.status else {
            return lines;
        };
        lines.push(Line::styled(view::headline(status, now), Modifier::BOLD));
        let problems = view::problem_lines(status, now);
        let hidden = problems.len().saturating_sub(MAX_PROBLEM_LINES) / 3;
        for (is_error, text) in problems.into_iter().take(MAX_PROBLEM_LINES) {
            let color = if is_error { Color::Red } else { Color::Yellow };
            lines.push(Line::styled(text, color));
        }
        if hidden > 0 {
            lines.push(Line::from(format!("  and {hidden} more problems")));
        }
        lines.push(Line::default());
        lines
    }

    /// The reason of the selected component, then its last errors and changes.
    fn detail(&self) -> Vec<Line<'static>> {
        let mut lines = vec![];
        let row = self.table.selected().and_then(|at| self.rows.get(at));
        if let Some(row) = row.filter(|row| !row.reason.is_empty()) {
            lines.push(Line::styled(row.reason.clone(), color_of(&row.state)));
        }
        let Some(report) = &self.seen.report else {
            return lines;
        };
        let line = |change: &ChangeStatus| {
            let at = change.at.to_zoned(jiff::tz::TimeZone::system());
            let times = if change.times > 1 {
                format!(" ({} times)", change.times)
            } else {
                String::new()
            };
            format!(
                "{} {} {}{times}",
                at.strftime("%H:%M:%S"),
                printable(&change.state),
                printable(&change.reason)
            )
        };
        let errors = report.errors.iter().rev().take(3);
        lines.extend(errors.map(|error| Line::styled(line(error), Color::Red)));
        let changes = report.changes.iter().rev().take(4);
        lines.extend(changes.map(|change| Line::styled(line(change), Modifier::DIM)));
        lines
    }
}

fn color_of(state: &str) -> Style {
    match state {
        "failing" | "refused" => Color::Red.into(),
        "starting" => Color::Yellow.into(),
        "running" => Color::Green.into(),
        _ => Style::new(),
    }
}
