//! The parent's side of a worker process.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Result, err};
use crate::exec::isolated::message::{Reply, Request};
use crate::exec::isolated::wire::{Frame, Received, unreadable};
use crate::exec::isolated::{Limits, WORKER, obituary};

/// Set for workers, so that a program which does not know that it is one starts none itself.
const MARK: &str = "ONNXPRESS_WORKER";

/// Longest that a process may take to say that it is a worker.
const START: Duration = Duration::from_secs(30);

/// Longest that a process which closed its output may take to end.
const END: Duration = Duration::from_secs(2);

/// How much of what a worker writes to standard error is kept: its last words.
const SAID: usize = 4 << 10;

/// A worker process. Any number of threads may call it; dropping it ends the process.
#[derive(Debug)]
pub(super) struct Worker {
    engine: &'static str,
    limits: Limits,
    child: Mutex<Child>,
    outbox: Sender<Frame>,
    calls: Arc<Mutex<Calls>>,
    next: AtomicU64,
    said: Mutex<Option<Receiver<Vec<u8>>>>,
    death: OnceLock<Error>,
}

/// Who waits for which answer.
#[derive(Debug, Default)]
struct Calls {
    waiting: HashMap<u64, Sender<Received>>,
    /// No more answers will come.
    closed: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Worker {
    /// `engine` is its name in messages.
    pub(super) fn start(program: &Path, limits: &Limits, engine: &'static str) -> Result<Self> {
        if std::env::var_os(MARK).is_some() {
            return Err(err!(Engine, "a worker starts no workers")
                .help("call `exec::serve` when `exec::WORKER` is the program's only argument"));
        }
        let failed = |error: &std::io::Error| {
            err!(Engine, "the engine's process cannot be started: {error}").in_file(program)
        };
        let mut child = Command::new(program)
            .arg(WORKER)
            .env(MARK, "1")
            // Its last words are to be the cause; and tract's errors need not carry the way to them.
            .env("RUST_BACKTRACE", "0")
            // Each thread of its own heap would keep what it once had: a third of what a small model takes. Only
            // glibc knows this.
            .env("MALLOC_ARENA_MAX", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| failed(&error))?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (outbox, frames) = mpsc::channel();
        let (last_words, said) = mpsc::channel();
        let worker = Self {
            engine,
            limits: *limits,
            child: Mutex::new(child),
            outbox,
            calls: Arc::default(),
            next: AtomicU64::new(0),
            said: Mutex::new(Some(said)),
            death: OnceLock::new(),
        };
        let calls = worker.calls.clone();
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else { return Err(unreadable()) };
        let threads = [
            thread::Builder::new().spawn(move || send(stdin, &frames)),
            thread::Builder::new().spawn(move || receive(stdout, &calls)),
            thread::Builder::new().spawn(move || listen(stderr, &last_words)),
        ];
        for thread in threads {
            thread.map_err(|error| failed(&error))?;
        }
        let start = Request::Start { memory: limits.memory, threads: limits.threads.max(1) };
        let no_worker = |cause: String| {
            err!(Engine, "the program did not answer as a worker of onnxpress: {cause}")
                .in_file(program)
        };
        match worker.call_within(&start, START).map_err(|error| no_worker(error.message))? {
            Reply::Ready(version) if version == env!("CARGO_PKG_VERSION") => Ok(worker),
            Reply::Ready(version) => Err(no_worker(format!("it has version {version}"))),
            _ => Err(no_worker("it does not greet".to_owned())),
        }
    }

    pub(super) fn is_alive(&self) -> bool {
        self.death.get().is_none() && !lock(&self.calls).closed
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// When the worker is dead or does not answer in time; it is dead then.
    pub(super) fn call(&self, request: &Request) -> Result<Reply> {
        self.call_within(request, self.limits.time)
    }

    fn call_within(&self, request: &Request, time: Duration) -> Result<Reply> {
        if let Some(death) = self.death.get() {
            return Err(death.clone());
        }
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = mpsc::channel();
        {
            let mut calls = lock(&self.calls);
            match calls.closed {
                true => drop(sender),
                false => drop(calls.waiting.insert(id, sender)),
            }
        }
        let mut frame = Frame::default();
        frame.put(&id);
        frame.put(request);
        // Should nobody be there to take it, the answer never comes, and that is noticed below.
        let _ = self.outbox.send(frame);
        match answer.recv_timeout(time) {
            Ok(mut received) => match received.take()? {
                Reply::Failed(error) => {
                    Ok(Reply::Failed(obituary::told(error, self.engine, &self.limits)))
                }
                reply => Ok(reply),
            },
            Err(RecvTimeoutError::Disconnected) => Err(self.autopsy()),
            Err(RecvTimeoutError::Timeout) => {
                let error = self.death.get_or_init(|| obituary::overdue(self.engine, time)).clone();
                self.end(Duration::ZERO);
                Err(error)
            }
        }
    }

    /// Why no answer comes any more.
    fn autopsy(&self) -> Error {
        let find_out = || {
            let status = self.end(END);
            let said = lock(&self.said).take();
            let said = said.and_then(|said| said.recv_timeout(END).ok()).unwrap_or_default();
            let said = String::from_utf8_lossy(&said);
            obituary::ended(status, &said, self.engine, &self.limits)
        };
        self.death.get_or_init(find_out).clone()
    }

    /// Waits so long for the process to end, then ends it.
    fn end(&self, patience: Duration) -> Option<ExitStatus> {
        let start = Instant::now();
        let mut child = lock(&self.child);
        while start.elapsed() < patience {
            if let Ok(Some(status)) = child.try_wait() {
                return Some(status);
            }
            thread::sleep(Duration::from_millis(1));
        }
        // Fails only when the process has ended already.
        let _ = child.kill();
        child.wait().ok()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.end(Duration::ZERO);
    }
}

/// Writes frames until the worker stops reading or is dropped. Not done by those who call: they
/// watch the clock.
fn send(mut stdin: ChildStdin, frames: &Receiver<Frame>) {
    while let Ok(frame) = frames.recv() {
        if frame.write(&mut stdin).is_err() {
            return;
        }
    }
}

/// Hands out answers until the worker stops writing.
fn receive(mut stdout: ChildStdout, calls: &Mutex<Calls>) {
    while let Ok(Some(mut received)) = Received::read(&mut stdout) {
        let Ok(id) = received.take::<u64>() else { break };
        if let Some(caller) = lock(calls).waiting.remove(&id) {
            // A caller that lost patience is gone.
            let _ = caller.send(received);
        }
    }
    let mut calls = lock(calls);
    calls.closed = true;
    calls.waiting.clear();
}

/// Keeps the end of what the worker says, and passes it on when that is all.
fn listen(mut stderr: ChildStderr, last_words: &Sender<Vec<u8>>) {
    let mut said = Vec::new();
    let mut piece = [0; 1 << 10];
    while let Ok(length @ 1..) = stderr.read(&mut piece) {
        said.extend_from_slice(&piece[..length]);
        said.drain(..said.len().saturating_sub(SAID));
    }
    // Nobody asks when the worker ended well.
    let _ = last_words.send(said);
}
