//! Threads that nothing orders but their start and their end.

use std::ffi::c_void;
use std::{mem, ptr};

pub(crate) type Job<'a> = &'a mut (dyn FnMut() + Send);

/// Runs every job on a thread of its own, and waits for all.
pub(crate) fn together(jobs: &mut [Job<'_>]) {
    let threads: Vec<_> = jobs
        .iter_mut()
        .map(|job| {
            let mut thread = mem::MaybeUninit::uninit();
            let job = ptr::from_mut(job).cast();
            // SAFETY: `run` gets a pointer to a job that is its alone, and that outlives the thread,
            // which is joined below.
            let error = unsafe { libc::pthread_create(thread.as_mut_ptr(), ptr::null(), run, job) };
            assert_eq!(error, 0, "no thread");
            // SAFETY: there was no error, so the thread has been written.
            unsafe { thread.assume_init() }
        })
        .collect();
    for thread in threads {
        // SAFETY: the thread was made above and is joined once.
        let error = unsafe { libc::pthread_join(thread, ptr::null_mut()) };
        assert_eq!(error, 0, "not joined");
    }
}

/// A panic cannot leave this function: it ends the program.
extern "C" fn run(job: *mut c_void) -> *mut c_void {
    // SAFETY: `together` passes a pointer to a job, and leaves that alone until this thread is over.
    let job = unsafe { &mut *job.cast::<Job<'_>>() };
    job();
    ptr::null_mut()
}
