//! A log file that rolls by size and time, as log4j's `RollingFile` does.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::SystemTime,
};

use flate2::{Compression, write::GzEncoder};
use flume_java::date_format;
use jiff::{ToSpan, Zoned};

use crate::plan::{Cleanup, FilePlan, Numbers};

/// Most entries of a directory that a cleanup looks at.
const MAX_ENTRIES: usize = 100_000;

/// A log file that is open.
#[derive(Debug)]
pub struct RollingFile {
    plan: FilePlan,
    file: File,
    bytes: u64,
    /// When it rolls next because of the time.
    due: Option<Zoned>,
    /// The time that a full file is named by: when it was begun.
    begun: Zoned,
}

/// The smallest unit of a date pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum DateUnit {
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
}

impl RollingFile {
    /// Opens the file. Directories are made.
    ///
    /// # Errors
    /// It cannot be made or written.
    pub fn open(plan: FilePlan, now: &Zoned) -> io::Result<RollingFile> {
        if let Some(parent) = plan
            .path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
        {
            fs::create_dir_all(parent)?;
        }
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&plan.path)?;
        if !plan.append {
            file.set_len(0)?;
        }
        let found = file.metadata()?;
        // What an earlier run wrote belongs to its own day.
        let begun = match found.modified() {
            Ok(time) if found.len() > 0 => zoned(time, now),
            _ => now.clone(),
        };
        let mut rolling = RollingFile {
            bytes: found.len(),
            due: None,
            begun,
            file,
            plan,
        };
        rolling.due = rolling.next_due(&rolling.begun.clone());
        if rolling.plan.at_start && rolling.bytes > 0 {
            rolling.roll(now)?;
        }
        Ok(rolling)
    }

    /// Writes lines, after rolling if it is time to. A failure to roll is passed on only if nothing can be written.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&mut self, text: &str, now: &Zoned) -> io::Result<()> {
        let full = self.plan.max_bytes.is_some_and(|most| self.bytes >= most);
        let late = self.due.as_ref().is_some_and(|due| now >= due);
        if self.plan.rolled.is_some() && (full || late) {
            if self.bytes > 0 {
                self.roll(now)?;
            } else {
                self.begin(now);
            }
        }
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            match self.file.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.bytes += written as u64;
                    rest = &rest[written..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.plan.path
    }

    fn begin(&mut self, now: &Zoned) {
        self.begun = now.clone();
        self.due = self.next_due(now);
    }

    fn next_due(&self, now: &Zoned) -> Option<Zoned> {
        let by_schedule = self
            .plan
            .schedule
            .as_ref()
            .and_then(|schedule| schedule.next(now));
        let by_interval = self.plan.interval.and_then(|interval| {
            let unit = unit_of(self.plan.rolled.as_deref()?)?;
            unit.after(now, interval.max(1))
        });
        match (by_schedule, by_interval) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    fn roll(&mut self, now: &Zoned) -> io::Result<()> {
        let Some(pattern) = self.plan.rolled.clone() else {
            return Ok(());
        };
        let name = Template::new(&pattern, &self.begun);
        let target = name.make_room(self.plan.numbers)?;
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        if target
            .extension()
            .is_some_and(|extension| extension == "gz")
        {
            compress(&self.plan.path, &target)?;
            fs::remove_file(&self.plan.path)?;
        } else {
            fs::rename(&self.plan.path, &target)?;
        }
        self.file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.plan.path)?;
        self.bytes = 0;
        self.begin(now);
        for cleanup in &self.plan.cleanups {
            cleanup.run();
        }
        Ok(())
    }
}

fn zoned(time: SystemTime, like: &Zoned) -> Zoned {
    let timestamp = jiff::Timestamp::try_from(time).unwrap_or_else(|_| like.timestamp());
    timestamp.to_zoned(like.time_zone().clone())
}

/// The compressed file has the mode of the log, and follows no link: it is made under a name of its own, then renamed.
fn compress(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = File::open(from)?;
    let mode = source.metadata()?.permissions().mode() & 0o7777;
    let mut name = to.as_os_str().to_os_string();
    name.push(".tmp");
    let temporary = PathBuf::from(name);
    // What an ended run left, or a link; a removed link leaves alone what it points to.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode & 0o600)
        .open(&temporary)?;
    let written = (|| {
        // The umask has no say, as it has none when a log is renamed.
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        let mut encoder = GzEncoder::new(file, Compression::default());
        io::copy(&mut source, &mut encoder)?;
        encoder.finish()?.sync_all()?;
        fs::rename(&temporary, to)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// A name of full files, its date filled in.
struct Template {
    before: String,
    /// What follows the number, if there is one.
    after: Option<String>,
    width: usize,
}

impl Template {
    fn new(pattern: &str, time: &Zoned) -> Template {
        let mut name = String::new();
        let mut rest = pattern;
        let mut number = None;
        while let Some(percent) = rest.find('%') {
            name += &rest[..percent];
            rest = &rest[percent + 1..];
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            if let Some(after) = rest
                .strip_prefix("d{")
                .or_else(|| rest.strip_prefix("date{"))
            {
                let (date, after) = after.split_once('}').unwrap_or((after, ""));
                name += &date_format::format(date, time).unwrap_or_default();
                // A zone may follow.
                rest = match after
                    .strip_prefix('{')
                    .and_then(|zone| zone.split_once('}'))
                {
                    Some((_, after)) => after,
                    None => after,
                };
            } else if rest[digits..].starts_with('i') && number.is_none() {
                number = Some((name.len(), rest[..digits].parse().unwrap_or(0).min(20)));
                rest = &rest[digits + 1..];
            } else {
                name.push('%');
            }
        }
        name += rest;
        match number {
            Some((at, width)) => Template {
                after: Some(name.split_off(at)),
                before: name,
                width,
            },
            None => Template {
                before: name,
                after: None,
                width: 0,
            },
        }
    }

    fn path(&self, number: u32) -> PathBuf {
        match &self.after {
            Some(after) => format!("{}{number:0width$}{after}", self.before, width = self.width),
            None => self.before.clone(),
        }
        .into()
    }

    /// Moves or removes full files until there is a free name, and returns that.
    fn make_room(&self, numbers: Numbers) -> io::Result<PathBuf> {
        if self.after.is_none() {
            return Ok(self.path(0));
        }
        let is_there = |number: u32| self.path(number).exists();
        let Numbers { min, max, .. } = numbers;
        if numbers.newest_first {
            let mut last = min;
            while last < max && is_there(last) {
                last += 1;
            }
            for number in (min..last).rev() {
                fs::rename(self.path(number), self.path(number + 1))?;
            }
            return Ok(self.path(min));
        }
        let mut next = min;
        while next <= max && is_there(next) {
            next += 1;
        }
        if next <= max {
            return Ok(self.path(next));
        }
        for number in min..max {
            fs::rename(self.path(number + 1), self.path(number))?;
        }
        Ok(self.path(max))
    }
}

/// The smallest unit of the date in a name.
fn unit_of(pattern: &str) -> Option<DateUnit> {
    let (_, rest) = pattern.split_once("%d{")?;
    let date = rest.split('}').next().unwrap_or_default();
    let mut quoted = false;
    let letters = date.chars().filter(|c| {
        quoted ^= *c == '\'';
        !quoted
    });
    let units = letters.filter_map(|letter| match letter {
        's' | 'S' => Some(DateUnit::Second),
        'm' => Some(DateUnit::Minute),
        'H' | 'h' | 'K' | 'k' => Some(DateUnit::Hour),
        'd' | 'D' | 'E' | 'u' | 'F' => Some(DateUnit::Day),
        'w' | 'W' => Some(DateUnit::Week),
        'M' | 'L' => Some(DateUnit::Month),
        'y' | 'Y' => Some(DateUnit::Year),
        _ => None,
    });
    units.min()
}

impl DateUnit {
    /// The beginning of the unit that is `count` later than that of `now`.
    fn after(self, now: &Zoned, count: u32) -> Option<Zoned> {
        let count = i64::from(count);
        let date = now.date();
        let time = now.time();
        let start = match self {
            DateUnit::Second => date.to_datetime(jiff::civil::time(
                time.hour(),
                time.minute(),
                time.second(),
                0,
            )),
            DateUnit::Minute => date.at(time.hour(), time.minute(), 0, 0),
            DateUnit::Hour => date.at(time.hour(), 0, 0, 0),
            DateUnit::Day => date.at(0, 0, 0, 0),
            DateUnit::Week => {
                let days = i64::from(date.weekday().to_sunday_zero_offset());
                date.checked_sub(days.days()).ok()?.at(0, 0, 0, 0)
            }
            DateUnit::Month => date.first_of_month().at(0, 0, 0, 0),
            DateUnit::Year => date.first_of_year().at(0, 0, 0, 0),
        };
        let span = match self {
            DateUnit::Second => jiff::Span::new().try_seconds(count),
            DateUnit::Minute => jiff::Span::new().try_minutes(count),
            DateUnit::Hour => jiff::Span::new().try_hours(count),
            DateUnit::Day => jiff::Span::new().try_days(count),
            DateUnit::Week => jiff::Span::new().try_weeks(count),
            DateUnit::Month => jiff::Span::new().try_months(count),
            DateUnit::Year => jiff::Span::new().try_years(count),
        };
        let next = start.checked_add(span.ok()?).ok()?;
        next.to_zoned(now.time_zone().clone()).ok()
    }
}

impl Cleanup {
    /// Removes what fulfils the conditions. A file that cannot be removed stays.
    fn run(&self) {
        let mut files = vec![];
        self.collect(&self.directory, self.depth.max(1), &mut files);
        // The newest first, as log4j counts them.
        files.sort_by(|(_, one), (_, other)| other.cmp(one));
        let mut bytes = 0;
        for (count, (path, modified)) in (1..).zip(files) {
            let length = fs::metadata(&path).map_or(0, |found| found.len());
            bytes += length;
            let is_old = self
                .age
                .is_none_or(|age| modified.elapsed().is_ok_and(|elapsed| elapsed >= age));
            let exceeds_bytes = self.bytes.is_none_or(|most| bytes > most);
            let exceeds_count = self.count.is_none_or(|most| count > most);
            if is_old && exceeds_bytes && exceeds_count {
                // The next time may do better.
                let _ = fs::remove_file(path);
            }
        }
    }

    fn collect(&self, directory: &Path, depth: u32, files: &mut Vec<(PathBuf, SystemTime)>) {
        let Ok(entries) = fs::read_dir(directory) else {
            return;
        };
        for entry in entries.flatten().take(MAX_ENTRIES) {
            let path = entry.path();
            let Ok(found) = entry.metadata() else {
                continue;
            };
            if found.is_dir() && depth > 1 {
                self.collect(&path, depth - 1, files);
                continue;
            }
            let name = path
                .strip_prefix(&self.directory)
                .unwrap_or(&path)
                .display()
                .to_string();
            let fits = self
                .names
                .as_ref()
                .is_none_or(|names| names.is_match(&name));
            if let (true, true, Ok(modified)) = (found.is_file(), fits, found.modified()) {
                files.push((path, modified));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn a_compressed_log_keeps_its_mode_and_follows_no_link() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        for mode in [0o600, 0o640, 0o664] {
            fs::write(path("log"), "secret").unwrap();
            fs::set_permissions(path("log"), fs::Permissions::from_mode(mode)).unwrap();
            fs::write(path("victim"), "mine").unwrap();
            for link in ["log.gz", "log.gz.tmp"] {
                let _ = fs::remove_file(path(link));
                symlink(path("victim"), path(link)).unwrap();
            }
            compress(&path("log"), &path("log.gz")).unwrap();
            assert_eq!(fs::read_to_string(path("victim")).unwrap(), "mine");
            let found = fs::symlink_metadata(path("log.gz")).unwrap();
            assert!(found.is_file());
            assert_eq!(found.permissions().mode() & 0o7777, mode);
            let mut text = String::new();
            let file = File::open(path("log.gz")).unwrap();
            let mut decoder = flate2::read::GzDecoder::new(file);
            decoder.read_to_string(&mut text).unwrap();
            assert_eq!(text, "secret");
            assert!(!path("log.gz.tmp").exists());
        }
    }
}
