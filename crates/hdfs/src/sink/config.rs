//! What the user wrote about the sink.

use std::{num::NonZeroUsize, time::Duration};

use flume_core::{
    BuildError, Config,
    config::{Ignored, Seconds},
};
use flume_java::{defaults, zone::Zone};

use crate::{
    formats::{Format, FormatConfig},
    path::{Clock, HeaderValues, RoundUnit, Rounding, Template},
};
use flume_hadoop::{Identity, fs::Url};

/// Writes events into files of HDFS or a mounted file system, in directories and under names made from their time and
/// headers.
///
/// A committed batch is flushed: readers see it, and the death of the agent loses none of it; with `hdfs.syncOnCommit`
/// it is on disk. A file appears under its final name when it is complete and closed, and never replaces another.
#[derive(Clone, Config)]
pub(crate) struct HdfsConfig {
    /// Directory, with escape sequences: `hdfs://namenode/logs/%Y-%m-%d`, `file:///var/log/flume/%{host}`. Without
    /// scheme it is on Hadoop's default file system.
    #[prop("hdfs.path")]
    path: String,
    /// Prefix of file names; escape sequences are possible.
    #[prop("hdfs.filePrefix", default = "FlumeData")]
    file_prefix: String,
    /// Suffix of file names; unset: the usual one of the codec.
    #[prop("hdfs.fileSuffix", default = "")]
    file_suffix: String,
    /// Added in front of the name of a file while it is written.
    #[prop("hdfs.inUsePrefix", default = "")]
    in_use_prefix: String,
    /// Added at the end of the name of a file while it is written.
    #[prop("hdfs.inUseSuffix", default = ".tmp")]
    in_use_suffix: String,
    /// Whether the name of a file being written has no suffix, whatever `hdfs.inUseSuffix` says.
    #[prop("hdfs.emptyInUseSuffix", default = false)]
    empty_in_use_suffix: bool,
    /// Time zone of the escapes of time; unset: the host's.
    #[prop("hdfs.timeZone")]
    time_zone: Option<Zone>,
    /// Whether times are rounded down before they are written into paths; `%t` is not.
    #[prop("hdfs.round", default = false)]
    round: bool,
    /// What times are rounded down to a multiple of.
    #[prop("hdfs.roundValue", default = 1)]
    round_value: i64,
    /// What is rounded: `second`, `minute` or `hour`.
    #[prop("hdfs.roundUnit", default = "second")]
    round_unit: RoundUnit,
    /// Whether times are the agent's clock rather than the header `timestamp`.
    #[prop("hdfs.useLocalTimeStamp", default = false)]
    use_local_time_stamp: bool,
    /// How far header values may lead in a path. PATH: to directories below the configured one, or below the home
    /// directory if the path begins with a header. NAME: nowhere, and a `/` becomes `%2F`. ANY: anywhere, by `..` or by
    /// a `/` in front, as in Flume.
    #[prop("hdfs.headerValues", default = "PATH")]
    header_values: HeaderValues,
    /// Seconds after which a file is complete; 0 or less: time does not matter.
    #[prop("hdfs.rollInterval", default = 30)]
    roll_interval: i64,
    /// Bytes of bodies with which a file is complete; 0 or less: size does not matter.
    #[prop("hdfs.rollSize", default = 1024)]
    roll_size: i64,
    /// Events with which a file is complete; 0 or less: their number does not matter.
    #[prop("hdfs.rollCount", default = 10)]
    roll_count: i64,
    /// Seconds without events after which a file is complete; 0 or less: it may wait.
    #[prop("hdfs.idleTimeout", default = 0)]
    idle_timeout: i64,
    /// Replicas that the block being written must have; with fewer the file is completed. Unset: as many as the file
    /// system makes.
    #[prop("hdfs.minBlockReplicas")]
    min_block_replicas: Option<usize>,
    /// Most events written in one transaction. While events queue up, a transaction may have as many for each of the
    /// files that the last one wrote to, but no more than ten times as many.
    #[prop("hdfs.batchSize", default = 100)]
    pub(super) batch_size: NonZeroUsize,
    /// Most open files; beyond it the one unused for longest is completed.
    #[prop("hdfs.maxOpenFiles", default = 5000)]
    pub(super) max_open_files: NonZeroUsize,
    #[prop(flatten)]
    format: FormatConfig,
    /// Milliseconds that a call of the file system may take; 0 or less: no limit.
    #[prop("hdfs.callTimeout", default = 30000)]
    call_timeout: i64,
    /// How often closing and renaming a file is tried; 0 or less: until it is done.
    #[prop("hdfs.closeTries", default = 0)]
    close_tries: i64,
    /// Seconds between two such attempts; 0 or less: there is one attempt.
    #[prop("hdfs.retryInterval", default = 180)]
    retry_interval: i64,
    /// Seconds that a stop waits for files to be closed and renamed. What is left is finished at the next start.
    #[prop("hdfs.stopTimeout", default = 60)]
    stop_timeout: Seconds,
    /// Whether a commit waits until the disks have the batch (hsync rather than hflush).
    #[prop("hdfs.syncOnCommit", default = false)]
    pub(super) sync_on_commit: bool,
    /// Whether files that a crash has left unfinished are closed and renamed at the next start, or only reported.
    #[prop("hdfs.finishLeftFiles", default = true)]
    pub(super) finish_left_files: bool,
    /// Kerberos principal; `_HOST` in it is the host's name.
    #[prop("hdfs.kerberosPrincipal")]
    principal: Option<String>,
    /// Key table of the principal.
    #[prop("hdfs.kerberosKeytab")]
    keytab: Option<String>,
    /// User that the agent acts for.
    #[prop("hdfs.proxyUser")]
    proxy_user: Option<String>,
    /// No `.crc` files are written beside those of `file:`.
    #[prop("hdfs.useRawLocalFileSystem")]
    _use_raw_local_file_system: Ignored,
    /// Calls of the file system need no threads.
    #[prop("hdfs.threadsPoolSize")]
    _threads_pool_size: Ignored,
    /// Timers need no threads.
    #[prop("hdfs.rollTimerPoolSize")]
    _roll_timer_pool_size: Ignored,
    /// It was replaced by `hdfs.batchSize`.
    #[prop("hdfs.txnEventMax")]
    _txn_event_max: Ignored,
}

/// Schemes of `hdfs.path`; without one it is on Hadoop's default file system.
const FILE_SYSTEMS: &[&str] = &["", "hdfs", "viewfs", "file"];

/// Where events go.
#[derive(Clone)]
pub(super) struct Paths {
    /// `hdfs://nn:8020`; empty: the default file system.
    pub(super) file_system: String,
    pub(super) directory: Template,
    pub(super) prefix: Template,
    pub(super) clock: Clock,
    pub(super) values: HeaderValues,
    /// Bytes of the directory that are the configuration's.
    pub(super) fixed: usize,
}

impl Paths {
    /// Whether what the path begins with comes from events that may not choose a directory of their own: it is below
    /// the home directory then, whatever they say.
    pub(super) fn is_led_by_events(&self) -> bool {
        self.fixed == 0 && self.values != HeaderValues::Any
    }
}

/// When a file is complete.
#[derive(Clone, Copy, Debug)]
pub(super) struct RollLimits {
    pub(super) interval: Option<Duration>,
    pub(super) idle: Option<Duration>,
    pub(super) bytes: u64,
    pub(super) events: u64,
    pub(super) min_replicas: Option<usize>,
}

impl RollLimits {
    /// Whether a file with so many events and bytes is complete.
    pub(super) fn are_reached(&self, events: u64, bytes: u64) -> bool {
        events >= self.events || (events > 0 && bytes >= self.bytes)
    }
}

/// What surrounds the counter in names.
#[derive(Clone, Debug)]
pub(super) struct Affixes {
    pub(super) suffix: String,
    pub(super) in_use_prefix: String,
    pub(super) in_use_suffix: String,
}

/// How often closing is tried.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retries {
    pub(super) tries: u32,
    pub(super) interval: Duration,
}

impl HdfsConfig {
    /// Parses the templates.
    pub(super) fn paths(&self) -> Result<Paths, BuildError> {
        let url = Url::split(&self.path);
        if url.file_system.contains('%') {
            return Err(BuildError::at(
                "hdfs.path",
                "the file system cannot vary from event to event",
            ));
        }
        if !FILE_SYSTEMS
            .iter()
            .any(|known| known.eq_ignore_ascii_case(url.scheme()))
        {
            let text = format!(
                "`{}` is not a file system that this sink can write to; hdfs, viewfs and file are",
                url.scheme()
            );
            return Err(BuildError::at("hdfs.path", text));
        }
        if url.path.is_empty() {
            return Err(BuildError::at(
                "hdfs.path",
                "a directory must follow the file system",
            ));
        }
        let values = self.header_values;
        let at = |key: &'static str| move |text: String| BuildError::at(key, text);
        let directory = Template::parse(url.path, values).map_err(at("hdfs.path"))?;
        let prefix = Template::parse(&self.file_prefix, values).map_err(at("hdfs.filePrefix"))?;
        let zone = self
            .time_zone
            .clone()
            .map_or_else(defaults::time_zone, |Zone(zone)| zone);
        let clock = Clock {
            zone,
            rounding: self.rounding()?,
            local: self.use_local_time_stamp,
        };
        let fixed = url.path.find('%').unwrap_or(url.path.len());
        Ok(Paths {
            file_system: url.file_system.into(),
            directory,
            prefix,
            clock,
            values,
            fixed,
        })
    }

    fn rounding(&self) -> Result<Option<Rounding>, BuildError> {
        let unit = self.round_unit;
        if !self.round || unit == RoundUnit::Unknown {
            return Ok(None);
        }
        let value = i8::try_from(self.round_value)
            .ok()
            .filter(|value| (1..=unit.most()).contains(value));
        let wrong = || {
            BuildError::at(
                "hdfs.roundValue",
                format!("must be from 1 to {}", unit.most()),
            )
        };
        value
            .map(|value| Some(Rounding { unit, value }))
            .ok_or_else(wrong)
    }

    /// Whether files are as small as Flume makes them unless it is told otherwise.
    pub(super) fn has_default_rolls(&self) -> bool {
        (self.roll_interval, self.roll_size, self.roll_count) == (30, 1024, 10)
    }

    /// Whether no file is complete before the sink stops, or needs the room of another.
    pub(super) fn never_finishes(&self) -> bool {
        let limits = [
            self.roll_interval,
            self.roll_size,
            self.roll_count,
            self.idle_timeout,
        ];
        limits.iter().all(|limit| *limit <= 0)
    }

    /// What has escapes.
    pub(super) fn templates(&self) -> [(&'static str, &str); 2] {
        [
            ("hdfs.path", &self.path),
            ("hdfs.filePrefix", &self.file_prefix),
        ]
    }

    /// What is put into names as it stands.
    pub(super) fn plain_names(&self) -> [(&'static str, &str); 3] {
        [
            ("hdfs.fileSuffix", &self.file_suffix),
            ("hdfs.inUsePrefix", &self.in_use_prefix),
            ("hdfs.inUseSuffix", &self.in_use_suffix),
        ]
    }

    pub(super) fn roll(&self) -> RollLimits {
        RollLimits {
            interval: seconds(self.roll_interval),
            idle: seconds(self.idle_timeout),
            bytes: limit(self.roll_size),
            events: limit(self.roll_count),
            min_replicas: self.min_block_replicas,
        }
    }

    /// `extension`: what names end with unless the user says otherwise.
    pub(super) fn affixes(&self, extension: &str) -> Affixes {
        let in_use_suffix = if self.empty_in_use_suffix {
            ""
        } else {
            &self.in_use_suffix
        };
        let suffix = if self.file_suffix.is_empty() {
            extension
        } else {
            &self.file_suffix
        };
        Affixes {
            suffix: suffix.into(),
            in_use_prefix: self.in_use_prefix.clone(),
            in_use_suffix: in_use_suffix.into(),
        }
    }

    pub(super) fn retries(&self) -> Retries {
        let tries = u32::try_from(self.close_tries)
            .ok()
            .filter(|tries| *tries > 0)
            .unwrap_or(u32::MAX);
        match seconds(self.retry_interval) {
            Some(interval) => Retries { tries, interval },
            None => Retries {
                tries: 1,
                interval: Duration::ZERO,
            },
        }
    }

    /// Zero: no limit.
    pub(super) fn call_timeout(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.call_timeout).unwrap_or(0))
    }

    pub(super) fn stop_timeout(&self) -> Duration {
        self.stop_timeout.0.min(CENTURY)
    }

    /// Where files go, as it is written.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// As whom files are written.
    pub(super) fn identity(&self) -> Result<Identity, BuildError> {
        let principal = self.principal.as_deref();
        let keytab = self.keytab.as_deref();
        Identity::new(principal, keytab, self.proxy_user.as_deref())
            .map_err(|misfit| BuildError::at(&format!("hdfs.{}", misfit.property), misfit.text))
    }

    /// What files hold.
    pub(super) fn format(&self) -> Result<Format, BuildError> {
        self.format.format()
    }
}

/// As good as never, and no clock overflows at it.
const CENTURY: Duration = Duration::from_secs(100 * 365 * 86400);

fn seconds(text: i64) -> Option<Duration> {
    let seconds = u64::try_from(text).ok().filter(|seconds| *seconds > 0)?;
    Some(Duration::from_secs(seconds).min(CENTURY))
}

fn limit(text: i64) -> u64 {
    u64::try_from(text)
        .ok()
        .filter(|limit| *limit > 0)
        .unwrap_or(u64::MAX)
}
