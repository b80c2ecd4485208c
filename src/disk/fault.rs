//! The bus error of a page of a mapped file that is no longer there: it becomes a message and an exit status.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

/// Files that are mapped at a time and named when they are lost; of those beyond, the message names none.
const MOST: usize = 1 << 10;

/// Where a file is mapped, and what to say when it is lost.
struct Slot {
    /// 0 for a slot that is free.
    start: AtomicUsize,
    end: AtomicUsize,
    message: AtomicPtr<u8>,
    length: AtomicUsize,
    taken: AtomicBool,
}

static SLOTS: [Slot; MOST] = [const {
    Slot {
        start: AtomicUsize::new(0),
        end: AtomicUsize::new(0),
        message: AtomicPtr::new(std::ptr::null_mut()),
        length: AtomicUsize::new(0),
        taken: AtomicBool::new(false),
    }
}; MOST];

/// Whether bus errors come here.
static WATCHING: AtomicBool = AtomicBool::new(false);

/// The slot of a mapped file, until it is dropped.
pub(super) struct Watched(Option<&'static Slot>);

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(slot) = self.0 {
            slot.start.store(0, Ordering::Release);
            slot.taken.store(false, Ordering::Release);
        }
    }
}

/// Watches over the bytes of a mapped file.
pub(super) fn watch(bytes: &[u8], path: &Path) -> Watched {
    if !WATCHING.load(Ordering::Acquire) {
        return Watched(None);
    }
    let free = SLOTS.iter().find(|slot| !slot.taken.swap(true, Ordering::AcqRel));
    if let Some(slot) = free {
        let text = format!(
            "\nerror: {}: the file was truncated while it was read\n  run the command again when nothing writes to the \
             file any more\n",
            path.display()
        );
        // Never freed: a handler may be reading it. Few files are mapped in the life of a command.
        let text: &'static [u8] = Box::leak(text.into_bytes().into_boxed_slice());
        let range = bytes.as_ptr_range();
        slot.message.store(text.as_ptr().cast_mut(), Ordering::Relaxed);
        slot.length.store(text.len(), Ordering::Relaxed);
        slot.end.store(range.end as usize, Ordering::Relaxed);
        slot.start.store(range.start as usize, Ordering::Release);
    }
    Watched(free)
}

/// From now on a bus error in a mapped file ends the process with a message that names the file, and status 1. For
/// programs, not for libraries: it is one handler for all.
#[cfg(unix)]
#[expect(unsafe_code, reason = "only a signal handler hears of a page that is gone")]
pub fn watch_mapped_files() {
    use std::mem::MaybeUninit;

    /// Exit status of a command that failed.
    const FAILED: i32 = 1;
    /// What handled the signal before.
    static BEFORE: AtomicPtr<libc::sigaction> = AtomicPtr::new(std::ptr::null_mut());

    extern "C" fn lost(signal: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
        // SAFETY: the system hands over a valid record (SA_SIGINFO); only loads of atomics, write(2), sigaction(2)
        // and _exit(2) follow, which a handler may call; messages are never freed.
        unsafe {
            let place = (*info).si_addr() as usize;
            for slot in &SLOTS {
                let start = slot.start.load(Ordering::Acquire);
                if start != 0 && (start..slot.end.load(Ordering::Relaxed)).contains(&place) {
                    let message = slot.message.load(Ordering::Relaxed);
                    let length = slot.length.load(Ordering::Relaxed);
                    libc::write(libc::STDERR_FILENO, message.cast(), length);
                    libc::_exit(FAILED);
                }
            }
            // Somebody else's fault: it happens again, and goes where it went before.
            libc::sigaction(signal, BEFORE.load(Ordering::Acquire), std::ptr::null_mut());
        }
    }

    if WATCHING.swap(true, Ordering::AcqRel) {
        return;
    }
    // SAFETY: both records are valid; the former one is kept for ever, for the handler.
    unsafe {
        let mut before = MaybeUninit::<libc::sigaction>::zeroed();
        if libc::sigaction(libc::SIGBUS, std::ptr::null(), before.as_mut_ptr()) != 0 {
            return;
        }
        BEFORE.store(Box::into_raw(Box::new(before.assume_init())), Ordering::Release);
        let mut action = MaybeUninit::<libc::sigaction>::zeroed().assume_init();
        action.sa_sigaction = lost as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigaction(libc::SIGBUS, &raw const action, std::ptr::null_mut());
    }
}

/// Elsewhere a mapped file cannot be truncated, or nobody tells.
#[cfg(not(unix))]
pub fn watch_mapped_files() {}
