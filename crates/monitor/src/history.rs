//! The last hour of a component, in memory of fixed size.

use std::{collections::VecDeque, time::SystemTime};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Samples of one second: the last two minutes.
const SECONDS: usize = 120;
/// Samples of ten seconds: the last hour.
const TENS: usize = 360;
/// Seconds in a coarse sample.
const COARSE: usize = 10;

/// Most bytes that the history of one component takes: 9.6 kB.
pub const HISTORY_BYTES: usize = (SECONDS + TENS) * size_of::<Sample>();

/// A component in one span of time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// Events per second that went out of it.
    pub rate: f32,
    /// Events per second that were put into a channel.
    pub put_rate: f32,
    /// Filled part of a channel, 0 to 1; the most of the span.
    pub fill: f32,
    /// Seconds: the age of a channel's oldest event, or the time of a sink's deliveries; the most of the span.
    pub latency: f32,
    /// Attempts that failed.
    pub errors: f32,
}

/// The samples of a component.
#[derive(Clone, Default)]
pub struct History {
    seconds: VecDeque<Sample>,
    tens: VecDeque<Sample>,
    /// Seconds of the coarse sample that is not complete.
    partial: usize,
}

impl History {
    /// Notes a second.
    pub fn push(&mut self, sample: Sample) {
        push(&mut self.seconds, sample, SECONDS);
        self.partial += 1;
        if self.partial < COARSE {
            return;
        }
        self.partial = 0;
        let last = self.seconds.iter().rev().take(COARSE);
        let mut coarse = last.fold(Sample::default(), |sum, second| Sample {
            rate: sum.rate + second.rate,
            put_rate: sum.put_rate + second.put_rate,
            fill: sum.fill.max(second.fill),
            latency: sum.latency.max(second.latency),
            errors: sum.errors + second.errors,
        });
        coarse.rate /= COARSE as f32;
        coarse.put_rate /= COARSE as f32;
        push(&mut self.tens, coarse, TENS);
    }

    /// Both resolutions, oldest first.
    pub fn report(&self) -> Vec<Series> {
        vec![
            Series::of(1, &self.seconds),
            Series::of(COARSE as u32, &self.tens),
        ]
    }
}

fn push(ring: &mut VecDeque<Sample>, sample: Sample, most: usize) {
    if ring.len() >= most {
        ring.pop_front();
    }
    ring.push_back(sample);
}

/// Samples of one resolution, oldest first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Series {
    /// Seconds from sample to sample.
    pub seconds: u32,
    /// When the last was taken.
    pub until: Timestamp,
    /// See [`Sample::rate`].
    pub rate: Vec<f32>,
    /// See [`Sample::put_rate`].
    pub put_rate: Vec<f32>,
    /// See [`Sample::fill`].
    pub fill: Vec<f32>,
    /// See [`Sample::latency`].
    pub latency: Vec<f32>,
    /// See [`Sample::errors`].
    pub errors: Vec<f32>,
}

impl Series {
    fn of(seconds: u32, samples: &VecDeque<Sample>) -> Self {
        let column = |value: fn(&Sample) -> f32| samples.iter().map(value).collect();
        Series {
            seconds,
            until: Timestamp::try_from(SystemTime::now()).unwrap_or_default(),
            rate: column(|sample| sample.rate),
            put_rate: column(|sample| sample.put_rate),
            fill: column(|sample| sample.fill),
            latency: column(|sample| sample.latency),
            errors: column(|sample| sample.errors),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_kept_and_no_more() {
        let mut history = History::default();
        for second in 0..10_000 {
            history.push(Sample {
                rate: second as f32,
                errors: 1.0,
                ..Sample::default()
            });
        }
        let report = history.report();
        let lengths: Vec<_> = report.iter().map(|series| series.rate.len()).collect();
        assert_eq!(lengths, [SECONDS, TENS]);
        assert_eq!(report[0].rate.last(), Some(&9999.0));
        // The mean of the last ten seconds, and their sum.
        assert_eq!(report[1].rate.last(), Some(&9994.5));
        assert_eq!(report[1].errors.last(), Some(&10.0));
        assert_eq!(HISTORY_BYTES, 9600);
    }
}
