//! The worker's side.

use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::error::{Error, Result, err};
use crate::exec::isolated::limits;
use crate::exec::isolated::message::{Reply, Request};
use crate::exec::isolated::wire::{Frame, Received};
use crate::exec::{Session, panic};

/// Stack of a thread that calls the engine, in bytes: tract recurses over deep graphs.
const STACK: usize = 64 << 20;

/// Serves as a worker of [`Isolated`](crate::exec::Isolated): takes requests from standard input
/// and answers on standard output until standard input ends. The program should end then, too.
///
/// # Errors
/// When the pipes fail, or what comes in is no request.
pub fn serve() -> Result<()> {
    let answers = Answers(Mutex::new(take_stdout().map_err(|error| pipe(&error))?));
    let mut input = io::stdin().lock();
    let mut ask = || -> Result<Option<(u64, Request)>> {
        match Received::read(&mut input).map_err(|error| pipe(&error))? {
            Some(mut frame) => Ok(Some((frame.take()?, frame.take()?))),
            None => Ok(None),
        }
    };
    let Some((id, Request::Start { memory, threads })) = ask()? else {
        return Err(err!(Engine, "expected limits on standard input")
            .help("this command is started by onnxpress itself"));
    };
    let stacks = (threads as u64).saturating_mul(STACK as u64);
    limits::apply(memory.saturating_add(stacks))?;
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .stack_size(STACK)
        .build()
        .map_err(|error| err!(Engine, "no threads: {error}"))?;
    answers.give(id, &Reply::Ready(env!("CARGO_PKG_VERSION").to_owned()));
    let shop = Arc::new(Shop { session: RwLock::default(), answers });
    while let Some((id, request)) = ask()? {
        let shop = shop.clone();
        pool.spawn(move || {
            let reply = panic::caught(|| shop.serve(request)).unwrap_or_else(Reply::Failed);
            shop.answers.give(id, &reply);
        });
    }
    Ok(())
}

/// What the threads of a worker share.
struct Shop {
    session: RwLock<Option<Arc<dyn Session>>>,
    answers: Answers,
}

impl Shop {
    fn serve(&self, request: Request) -> Result<Reply> {
        match request {
            Request::Start { .. } => Err(err!(Engine, "the worker has started already")),
            Request::Prepare { model, inputs, taps } => {
                limits::forget_peak_memory();
                let session = model.build(&inputs, &taps)?;
                self.replace(Some(session));
                Ok(Reply::Done)
            }
            Request::Run { inputs } => Ok(Reply::Executed(self.session()?.run(&inputs)?)),
            Request::Memory => Ok(Reply::Memory(limits::peak_memory())),
            Request::Operators => Ok(Reply::Operators(self.session()?.operators()?)),
            Request::Release => {
                self.replace(None);
                Ok(Reply::Done)
            }
        }
    }

    fn session(&self) -> Result<Arc<dyn Session>> {
        let session = self.session.read().unwrap_or_else(PoisonError::into_inner).clone();
        session.ok_or_else(|| err!(Engine, "no model is ready"))
    }

    fn replace(&self, session: Option<Arc<dyn Session>>) {
        let mut place = self.session.write().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *place, session);
        drop(place);
        drop(old);
    }
}

/// Standard output, one answer at a time.
struct Answers(Mutex<File>);

impl Answers {
    fn give(&self, id: u64, reply: &Reply) {
        let mut frame = Frame::default();
        frame.put(&id);
        frame.put(reply);
        let mut pipe = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if frame.write(&mut *pipe).is_err() {
            // Nobody listens any more.
            std::process::exit(1);
        }
    }
}

fn pipe(error: &io::Error) -> Error {
    err!(Engine, "the pipe to the parent process: {error}")
}

/// Standard output for answers alone: what anything else prints goes to standard error.
#[cfg(unix)]
fn take_stdout() -> io::Result<File> {
    use std::os::fd::AsFd;
    let pipe = io::stdout().as_fd().try_clone_to_owned()?;
    rustix::stdio::dup2_stdout(io::stderr())?;
    Ok(pipe.into())
}

#[cfg(windows)]
fn take_stdout() -> io::Result<File> {
    use std::os::windows::io::AsHandle;
    Ok(io::stdout().as_handle().try_clone_to_owned()?.into())
}

#[cfg(not(any(unix, windows)))]
fn take_stdout() -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}
