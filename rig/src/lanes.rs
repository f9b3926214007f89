//! Slices side by side. Most of their time is spent waiting for servers to start.

use std::{
    io::{Read, Seek},
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
    thread,
};

use anyhow::{Context, Result};

use crate::claims::Claim;

/// How many slices run at the same time.
const LANES: usize = 2;

/// What all slices came to.
#[derive(Default)]
struct Outcome {
    held: usize,
    failed: Vec<&'static str>,
    /// The rows that say FAIL, to be repeated at the end.
    failed_rows: Vec<String>,
}

/// Runs each slice in a process of its own, and prints what it says when it ends; whether all hold. Those that want
/// the machine for themselves run after the others.
pub fn run(claims: &[&'static Claim]) -> Result<bool> {
    let (alone, beside): (Vec<_>, Vec<_>) = claims.iter().copied().partition(|claim| claim.alone);
    let outcome = Mutex::default();
    in_lanes(LANES, beside, &outcome)?;
    in_lanes(1, alone, &outcome)?;
    let outcome = outcome.into_inner().unwrap_or_else(PoisonError::into_inner);
    for row in &outcome.failed_rows {
        println!("{row}");
    }
    println!(
        "{} claims hold, {} do not{}",
        outcome.held,
        outcome.failed.len(),
        outcome
            .failed
            .iter()
            .map(|name| format!(" {name}"))
            .collect::<String>()
    );
    Ok(outcome.failed.is_empty())
}

fn in_lanes(lanes: usize, claims: Vec<&'static Claim>, outcome: &Mutex<Outcome>) -> Result<()> {
    let queue = Mutex::new(claims.into_iter());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let lane = || -> Result<()> {
        while let Some(claim) = next() {
            let (holds, said) = slice(claim).with_context(|| format!("slice {}", claim.name))?;
            // The lock also keeps the outputs of two lanes apart.
            let mut outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
            print!("{said}");
            let failed = said.lines().filter(|line| line.ends_with("FAIL"));
            outcome.failed_rows.extend(failed.map(String::from));
            if holds {
                outcome.held += 1;
            } else {
                outcome.failed.push(claim.name);
            }
        }
        Ok(())
    };
    thread::scope(|scope| {
        let running: Vec<_> = (0..lanes).map(|_| scope.spawn(lane)).collect();
        running.into_iter().try_for_each(|lane| {
            let ended = lane.join();
            ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    })
}

/// Whether the slice of a claim holds, and all that it said.
fn slice(claim: &Claim) -> Result<(bool, String)> {
    // A file and no pipe: a server that outlives the slice would hold the pipe open.
    let mut output = tempfile::tempfile()?;
    let status = Command::new(std::env::current_exe()?)
        .args(["slice", claim.name])
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output.try_clone()?)
        .status()?;
    output.rewind()?;
    let mut said = vec![];
    output.read_to_end(&mut said)?;
    Ok((
        status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    ))
}
