//! A file system in memory that fails, hangs and crashes as a test says.

use std::{collections::BTreeMap, future::pending, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{sync::Notify, time::sleep};

use flume_hadoop::fs::{FileSystem, FsError, FsErrorKind, OpenFile};

/// What happens at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing is done.
    Fail(FsErrorKind),
    /// It is done, and the caller is told that it failed.
    FailAfter(FsErrorKind),
    /// It never comes back, and nothing is done.
    Hang,
    /// It is done and never comes back.
    HangAfter,
    /// It is done, and comes back so much later.
    Late(Duration),
}

/// When the process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Crash {
    /// Before the effect of the call of this number.
    Before(usize),
    /// After its effect, before the caller knows.
    After(usize),
}

/// Cheap to clone: all clones are one file system.
#[derive(Clone, Default)]
pub(super) struct Model(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    crashed: Notify,
}

#[derive(Default)]
struct State {
    files: BTreeMap<String, File>,
    /// Calls so far: `create /x`.
    calls: Vec<String>,
    /// A call, a part of the path, what happens, how often.
    faults: Vec<(&'static str, String, Fault, usize)>,
    crash: Option<Crash>,
    is_crashed: bool,
    live_replicas: Option<usize>,
    /// How often a lease recovery says that it is not done.
    slow_recoveries: usize,
}

#[derive(Default)]
struct File {
    flushed: Vec<u8>,
    unflushed: Vec<u8>,
    open: bool,
}

impl Model {
    /// The next `times` calls `call` of a path that contains `part` go wrong.
    pub(super) fn fault(&self, call: &'static str, part: &str, fault: Fault, times: usize) {
        self.0
            .state
            .lock()
            .faults
            .push((call, part.into(), fault, times));
    }

    pub(super) fn heal(&self) {
        self.0.state.lock().faults.clear();
    }

    pub(super) fn crash(&self, crash: Crash) {
        self.0.state.lock().crash = Some(crash);
    }

    /// Waits for the crash.
    pub(super) async fn crashed(&self) {
        loop {
            let notified = self.0.crashed.notified();
            if self.0.state.lock().is_crashed {
                return;
            }
            notified.await;
        }
    }

    /// The writers are gone; `kept`: whether what they did not flush is there all the same.
    pub(super) fn restart(&self, kept: bool) {
        let mut state = self.0.state.lock();
        (state.crash, state.is_crashed) = (None, false);
        for file in state.files.values_mut() {
            let unflushed = std::mem::take(&mut file.unflushed);
            if kept {
                file.flushed.extend(unflushed);
            }
        }
    }

    pub(super) fn set_live_replicas(&self, live: usize) {
        self.0.state.lock().live_replicas = Some(live);
    }

    pub(super) fn set_slow_recoveries(&self, count: usize) {
        self.0.state.lock().slow_recoveries = count;
    }

    pub(super) fn put(&self, path: &str, text: &str) {
        let file = File {
            flushed: text.into(),
            ..File::default()
        };
        self.0.state.lock().files.insert(path.into(), file);
    }

    /// Calls so far that begin with `call`.
    pub(super) fn calls(&self, call: &str) -> Vec<String> {
        self.0
            .state
            .lock()
            .calls
            .iter()
            .filter(|made| made.starts_with(call))
            .cloned()
            .collect()
    }

    /// Each file with what readers see; `(open)` behind those that are.
    pub(super) fn files(&self) -> Vec<(String, String)> {
        let state = self.0.state.lock();
        let text = |file: &File| {
            String::from_utf8_lossy(&file.flushed)
                .trim_end()
                .replace('\n', " ")
        };
        let name =
            |path: &str, file: &File| format!("{path}{}", if file.open { " (open)" } else { "" });
        state
            .files
            .iter()
            .map(|(path, file)| (name(path, file), text(file)))
            .collect()
    }

    /// `effect` happens, unless the call goes wrong.
    async fn call<T>(
        &self,
        call: &str,
        path: &str,
        effect: impl FnOnce(&mut State) -> Result<T, FsErrorKind>,
    ) -> Result<T, FsError> {
        let failed = |kind| FsError::at(kind, format!("{call} {path}"))("a fault was injected");
        let (fault, done) = {
            let mut state = self.0.state.lock();
            if state.is_crashed {
                (Some(Fault::Hang), None)
            } else {
                let step = state.calls.len();
                state.calls.push(format!("{call} {path}"));
                let fault = state.fault(call, path, step);
                if state.is_crashed {
                    self.0.crashed.notify_waiters();
                }
                let done = !matches!(fault, Some(Fault::Fail(_) | Fault::Hang));
                (fault, done.then(|| effect(&mut state)))
            }
        };
        if let Some(Fault::Late(by)) = fault {
            sleep(by).await;
        }
        match (fault, done) {
            (Some(Fault::Hang | Fault::HangAfter), _) | (_, None)
                if !matches!(fault, Some(Fault::Fail(_))) =>
            {
                pending().await
            }
            (Some(Fault::Fail(kind) | Fault::FailAfter(kind)), _) => Err(failed(kind)),
            (_, Some(done)) => done.map_err(failed),
            (_, None) => pending().await,
        }
    }
}

impl State {
    fn fault(&mut self, call: &str, path: &str, step: usize) -> Option<Fault> {
        match self.crash {
            Some(Crash::Before(at)) if at == step => {
                self.is_crashed = true;
                return Some(Fault::Hang);
            }
            Some(Crash::After(at)) if at == step => {
                self.is_crashed = true;
                return Some(Fault::HangAfter);
            }
            _ => {}
        }
        let fits = |(of, part, _, times): &&mut (&str, String, Fault, usize)| {
            *of == call && path.contains(&part[..]) && *times > 0
        };
        let (_, _, fault, times) = self.faults.iter_mut().find(fits)?;
        *times -= 1;
        Some(*fault)
    }
}

#[async_trait]
impl FileSystem for Model {
    fn home(&self) -> String {
        "/home".into()
    }

    async fn create(&self, path: &str) -> Result<Box<dyn OpenFile>, FsError> {
        self.call("create", path, |state| {
            if state.files.contains_key(path) {
                return Err(FsErrorKind::Exists);
            }
            state.files.insert(
                path.into(),
                File {
                    open: true,
                    ..File::default()
                },
            );
            Ok(())
        })
        .await?;
        Ok(Box::new(ModelFile {
            model: self.clone(),
            path: path.into(),
        }))
    }

    async fn rename(&self, from: &str, to: &str) -> Result<(), FsError> {
        self.call("rename", from, |state| {
            if state.files.contains_key(to) {
                return Err(FsErrorKind::Exists);
            }
            let file = state.files.remove(from).ok_or(FsErrorKind::Gone)?;
            assert!(!file.open, "{from} is renamed before it is closed");
            state.files.insert(to.into(), file);
            Ok(())
        })
        .await
    }

    async fn length(&self, path: &str) -> Result<Option<u64>, FsError> {
        self.call("length", path, |state| {
            Ok(state.files.get(path).map(|file| file.flushed.len() as u64))
        })
        .await
    }

    async fn recover_lease(&self, path: &str, _keep: Option<u64>) -> Result<bool, FsError> {
        self.call("recover", path, |state| {
            let file = state.files.get_mut(path).ok_or(FsErrorKind::Gone)?;
            if state.slow_recoveries > 0 {
                state.slow_recoveries -= 1;
                return Ok(false);
            }
            file.open = false;
            Ok(true)
        })
        .await
    }

    async fn read(&self, path: &str) -> Result<Bytes, FsError> {
        self.call("read", path, |state| {
            state
                .files
                .get(path)
                .map(|file| file.flushed.clone().into())
                .ok_or(FsErrorKind::Gone)
        })
        .await
    }

    async fn remove(&self, path: &str) -> Result<(), FsError> {
        self.call("remove", path, |state| {
            state.files.remove(path);
            Ok(())
        })
        .await
    }
}

struct ModelFile {
    model: Model,
    path: String,
}

impl ModelFile {
    async fn call(
        &self,
        call: &str,
        effect: impl FnOnce(&mut File) -> Result<(), FsErrorKind>,
    ) -> Result<(), FsError> {
        self.model
            .call(call, &self.path, |state| {
                let file = state.files.get_mut(&self.path).filter(|file| file.open);
                file.ok_or(FsErrorKind::Gone).and_then(effect)
            })
            .await
    }
}

fn flush(file: &mut File) {
    let unflushed = std::mem::take(&mut file.unflushed);
    file.flushed.extend(unflushed);
}

#[async_trait]
impl OpenFile for ModelFile {
    async fn write(&mut self, bytes: Bytes) -> Result<(), FsError> {
        self.call("write", |file| {
            file.unflushed.extend_from_slice(&bytes);
            Ok(())
        })
        .await
    }

    async fn hflush(&mut self) -> Result<(), FsError> {
        self.call("hflush", |file| {
            flush(file);
            Ok(())
        })
        .await
    }

    async fn hsync(&mut self) -> Result<(), FsError> {
        self.call("hsync", |file| {
            flush(file);
            Ok(())
        })
        .await
    }

    async fn close(&mut self) -> Result<(), FsError> {
        self.call("close", |file| {
            flush(file);
            file.open = false;
            Ok(())
        })
        .await
    }

    async fn abort(self: Box<Self>) {
        let _ = self
            .call("abort", |file| {
                file.unflushed.clear();
                Ok(())
            })
            .await;
    }

    fn live_replicas(&self) -> Option<usize> {
        self.model.0.state.lock().live_replicas
    }
}
