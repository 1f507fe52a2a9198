//! SIGINT and SIGTERM end a run cleanly; a second one ends it at once.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// Exit code of the signal that came last; set in its handler, so that it is known before the flag is.
static CODE: LazyLock<Arc<AtomicUsize>> = LazyLock::new(|| Arc::new(AtomicUsize::new(130)));

/// A flag that the first SIGINT or SIGTERM sets.
pub fn watch() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    for (signal, code) in [(SIGINT, 130), (SIGTERM, 143)] {
        // A program that cannot be asked to stop is still a program: it can be killed safely.
        let _ = flag::register_conditional_shutdown(signal, 128 + signal, stop.clone());
        let _ = flag::register_usize(signal, CODE.clone(), code);
        let _ = flag::register(signal, stop.clone());
    }
    stop
}

/// 130 after SIGINT, 143 after SIGTERM.
pub fn exit_code() -> u8 {
    u8::try_from(CODE.load(Ordering::SeqCst)).unwrap_or(130)
}
