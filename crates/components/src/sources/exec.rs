//! `exec`: the lines a command writes.

use std::{num::NonZeroUsize, process::ExitStatus};

use async_trait::async_trait;
use flume_core::{
    BuildError, Code, Component, Config, Context, Event, Hold, Source, SourceContext, SourceError,
    config::{FreeText, Millis},
    secrets::is_secret_variable,
};
use flume_host::{
    environment::Environment,
    group::{CommandGroup, END_TIMEOUT},
    leftovers::Leftovers,
};
use futures_util::future::{FusedFuture, FutureExt};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time::{Instant, sleep_until, timeout},
};

use super::java_lines::JavaLines;
use crate::{charset::Charset, tail_command::TailCommand};

/// Most bytes read at once from the command.
const READ_BYTES: usize = 64 << 10;
/// A batch of so many bytes is put before it has its number of events.
const BATCH_BYTES: usize = 4 << 20;

/// Runs a command and turns each line it writes into an event.
#[derive(Clone, Config)]
pub(super) struct ExecConfig {
    /// The command with its arguments. Without `shell` it is split at white space, quotes mean nothing.
    #[prop("command")]
    command: FreeText,
    /// What runs the command, such as `/bin/bash -c`; unset: the command runs by itself.
    #[prop("shell")]
    shell: Option<String>,
    /// Whether the command is started again when it ends.
    #[prop("restart", default = false)]
    restart: bool,
    /// Milliseconds to wait before it is started again.
    #[prop("restartThrottle", default = 10000)]
    restart_throttle: Millis,
    /// Whether what the command writes to its standard error is logged. It is read in any case.
    #[prop("logStdErr", default = false)]
    log_stderr: bool,
    /// Events per batch.
    #[prop("batchSize", default = 20)]
    batch_size: i32,
    /// Milliseconds after which a batch is put even if it is not full.
    #[prop("batchTimeout", default = 3000)]
    batch_timeout: Millis,
    /// Character set of the command's output, and of the bodies.
    #[prop("charset", default = "UTF-8")]
    charset: Charset,
    /// Most bytes of a line, as UTF-8; a longer one becomes several events. Not a property of Flume.
    #[prop("maxLineLength", default = 16777216)]
    max_line_length: NonZeroUsize,
}

pub(super) struct ExecSource {
    config: ExecConfig,
    name: String,
    hold: Hold,
    /// What commands left running in the background. It ends with the source.
    left: Leftovers,
}

impl Component for ExecSource {
    type Config = ExecConfig;
    fn build(config: ExecConfig, cx: &Context) -> Result<Self, BuildError> {
        if config.command.trim().is_empty() {
            return Err(BuildError::at("command", "must not be empty"));
        }
        Ok(ExecSource {
            config,
            name: cx.name.to_string(),
            hold: Hold::new(&cx.metrics),
            left: Leftovers::default(),
        })
    }
}

#[async_trait]
impl Source for ExecSource {
    async fn run(&mut self, cx: &SourceContext) -> Result<(), SourceError> {
        loop {
            let ended = self.run_command(cx).await?;
            if cx.stop.is_requested() {
                return Ok(());
            }
            if !self.config.restart {
                cx.state
                    .ended(&format!("the command ended with {ended}"), ended.success());
                return Ok(());
            }
            let throttle = self.config.restart_throttle.0;
            let reason =
                format!("the command ended with {ended}; starting it again in {throttle:?}");
            tracing::info!("{}: {reason}", self.name);
            cx.state.waiting(&reason);
            cx.stop.sleep(throttle).await;
            if cx.stop.is_requested() {
                return Ok(());
            }
        }
    }

    fn batch_size(&self) -> usize {
        self.config.batch_size.max(1) as usize
    }

    fn may_set(&self, _: &str) -> bool {
        false
    }

    fn remarks(&self) -> Vec<BuildError> {
        let command = &self.config.command;
        let shell_word = command.split_whitespace().find(|word| is_for_a_shell(word));
        if let Some(word) = shell_word.filter(|_| self.config.shell.is_none()) {
            let text = format!(
                "no shell reads the command, so `{word}` is an ordinary argument; set `shell = /bin/sh -c`"
            );
            return vec![BuildError::of(Code::NeedsShell, "command", text)];
        }
        if TailCommand::of(command).is_none() {
            return vec![];
        }
        let text = "`tail` forgets its place: lines are lost when the agent or the command ends, and may come twice. A \
                    source with type = TAILDIR keeps it; `flume-ng convert exec-to-taildir -f FILE` writes one";
        vec![BuildError::of(Code::ExecTails, "command", text)]
    }
}

/// Whether a word of a command means something to a shell alone.
fn is_for_a_shell(word: &str) -> bool {
    let is_operator = ["|", "||", "&&", "&", ";", "<"].contains(&word) || word.ends_with(';');
    let redirects = word.trim_start_matches(['1', '2', '&']).starts_with('>');
    let expands = word.starts_with('$') || (word.contains('/') && word.contains('*'));
    is_operator || redirects || expands
}

impl ExecSource {
    /// Runs the command once; says how it ended.
    async fn run_command(&self, cx: &SourceContext) -> Result<ExitStatus, SourceError> {
        let mut running = start(&self.config, &self.left)?;
        cx.ready(None);
        let stderr = running.stderr();
        let logging = log_lines(
            stderr,
            self.config.log_stderr.then(|| self.name.clone()),
            self.config.charset,
        );
        let mut logging = std::pin::pin!(logging.fuse());
        let pumped = {
            let mut pump = std::pin::pin!(self.pump(cx, &mut running));
            loop {
                tokio::select! {
                    biased;
                    outcome = &mut pump => break outcome,
                    // The command may close its standard error and go on.
                    () = &mut logging, if !logging.is_terminated() => {}
                }
            }
        };
        // The last words of a command often come with its end. Something in the background may keep the stream open.
        let last_words = timeout(END_TIMEOUT, async {
            if !logging.is_terminated() {
                logging.await;
            }
        });
        let end = running.end(cx.stop.is_requested());
        let (_, ended) = tokio::join!(last_words, end);
        let status = ended.map_err(SourceError::at("end the command"))?;
        pumped.map(|()| status)
    }

    /// Reads until the command closes its output, and for a little while after a stop was requested.
    async fn pump(
        &self,
        cx: &SourceContext,
        running: &mut CommandGroup,
    ) -> Result<(), SourceError> {
        let Some(mut stdout) = running.stdout() else {
            return Ok(());
        };
        let mut lines = JavaLines::new(self.config.charset, self.config.max_line_length.get());
        let mut batch = LineBatch::new(self, cx);
        let mut received = Vec::with_capacity(READ_BYTES);
        let mut last_moment = None;
        loop {
            received.clear();
            let read = tokio::select! {
                biased;
                () = cx.stop.requested(), if last_moment.is_none() => {
                    running.terminate();
                    last_moment = Some(Instant::now() + END_TIMEOUT);
                    continue;
                }
                () = sleep_until(batch.due()), if !batch.events.is_empty() => {
                    batch.put().await;
                    continue;
                }
                () = sleep_until(last_moment.unwrap_or_else(Instant::now)), if last_moment.is_some() => 0,
                read = stdout.read_buf(&mut received) => {
                    read.map_err(SourceError::at("read what the command writes"))?
                }
            };
            lines.feed(&received, read == 0);
            while let Some(line) = lines.next() {
                batch.add(line).await;
            }
            if read == 0 {
                if let Some(line) = lines.rest() {
                    batch.add(line).await;
                }
                batch.put().await;
                return Ok(());
            }
        }
    }
}

/// Lines on their way into the channels.
struct LineBatch<'a> {
    source: &'a ExecSource,
    cx: &'a SourceContext,
    hold: Hold,
    events: Vec<Event>,
    bytes: usize,
    last_put: Instant,
}

impl<'a> LineBatch<'a> {
    fn new(source: &'a ExecSource, cx: &'a SourceContext) -> Self {
        let hold = source.hold.clone();
        let last_put = Instant::now();
        LineBatch {
            source,
            cx,
            hold,
            events: vec![],
            bytes: 0,
            last_put,
        }
    }

    /// As in Flume, the time runs from the last put: a line after a long silence does not wait.
    fn due(&self) -> Instant {
        self.last_put + self.source.config.batch_timeout.0
    }

    async fn add(&mut self, line: &str) {
        let event = Event::from(self.source.config.charset.encode(line));
        self.bytes += event.size();
        self.events.push(event);
        if self.events.len() >= self.source.batch_size() || self.bytes >= BATCH_BYTES {
            self.put().await;
        }
    }

    async fn put(&mut self) {
        if !self.events.is_empty() {
            self.hold
                .put(self.cx, std::mem::take(&mut self.events))
                .await;
        }
        self.bytes = 0;
        self.last_put = Instant::now();
    }
}

/// Starts the command. Its input stays open and empty, as under Flume: some commands end with their input. It gets the
/// agent's environment without passwords and other secrets.
fn start(config: &ExecConfig, left: &Leftovers) -> Result<CommandGroup, SourceError> {
    let mut words: Vec<&str> = match &config.shell {
        Some(shell) => shell.split_whitespace().collect(),
        None => config.command.split_whitespace().collect(),
    };
    if config.shell.is_some() {
        words.push(&config.command);
    }
    let environment = left.mark(Environment::without(is_secret_variable));
    CommandGroup::start(words[0], &words[1..], &environment)
        .map_err(SourceError::at(format!("start `{}`", words[0])))
}

/// Reads what a command says to its end, and logs it if there is a name to log under.
pub(super) async fn log_lines(
    stream: Option<impl AsyncRead + Unpin>,
    name: Option<String>,
    charset: Charset,
) {
    let Some(mut stream) = stream else { return };
    let mut lines = JavaLines::new(charset, READ_BYTES);
    let mut received = Vec::with_capacity(READ_BYTES);
    while let Ok(read) = stream.read_buf(&mut received).await {
        if let Some(name) = &name {
            lines.feed(&received, read == 0);
            while let Some(line) = lines.next() {
                tracing::info!("{name} stderr: {line}");
            }
            if read == 0
                && let Some(line) = lines.rest()
            {
                tracing::info!("{name} stderr: {line}");
            }
        }
        if read == 0 {
            return;
        }
        received.clear();
    }
}
