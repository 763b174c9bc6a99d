//! How much memory the machine has to give.

/// Bytes that a process can still take without pushing others out: the system's word, and that of the container.
/// Nothing where neither says.
pub(crate) fn available() -> Option<u64> {
    [system(), container()].into_iter().flatten().min()
}

#[cfg(target_os = "linux")]
fn system() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(target_os = "linux")]
fn container() -> Option<u64> {
    let number = |name: &str| {
        let text = std::fs::read_to_string(format!("/sys/fs/cgroup/{name}")).ok()?;
        text.trim().parse::<u64>().ok()
    };
    Some(number("memory.max")?.saturating_sub(number("memory.current")?))
}

#[cfg(not(target_os = "linux"))]
fn system() -> Option<u64> {
    None
}

#[cfg(not(target_os = "linux"))]
fn container() -> Option<u64> {
    None
}
