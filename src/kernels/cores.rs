//! Owns one number: the physical cores that this process may use.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

/// Physical cores this process may use: those of its CPU affinity, hyper-threads counted once, no
/// more than its cgroup's quota, which `available_parallelism` reads.
pub(crate) fn physical_cores() -> usize {
    let logical = std::thread::available_parallelism().map_or(1, |n| n.get());
    let allowed = allowed_cpus();
    // `num_cpus` counts the cores of the whole machine: two for a process that is bound to both
    // threads of a single core.
    let physical = if allowed.is_empty() {
        num_cpus::get_physical()
    } else {
        distinct_cores(&allowed, Path::new("/sys/devices/system/cpu"))
    };
    physical.min(logical).max(1)
}

/// CPUs of the affinity mask; empty where the system does not report it.
fn allowed_cpus() -> Vec<usize> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
        .map(parse_list)
        .unwrap_or_default()
}

/// A kernel CPU list such as `0-3,8,10-11`.
fn parse_list(list: &str) -> Vec<usize> {
    list.trim()
        .split(',')
        .filter_map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            Some(first.trim().parse().ok()?..=last.trim().parse().ok()?)
        })
        .flatten()
        .collect()
}

/// Groups of hyper-threads among `cpus`; a CPU whose siblings cannot be read counts alone.
fn distinct_cores(cpus: &[usize], topology: &Path) -> usize {
    let siblings = |cpu: &usize| {
        fs::read_to_string(topology.join(format!("cpu{cpu}/topology/thread_siblings_list")))
            .unwrap_or_else(|_| cpu.to_string())
    };
    cpus.iter().map(siblings).collect::<HashSet<_>>().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_lists_are_read_as_the_kernel_writes_them() {
        assert_eq!(parse_list("0-3,8,10-11\n"), [0, 1, 2, 3, 8, 10, 11]);
        assert_eq!(parse_list("\t5"), [5]);
        assert!(parse_list("").is_empty());
    }

    #[test]
    fn hyper_threads_count_once() -> std::io::Result<()> {
        let root = std::env::temp_dir().join(format!("topology-test-{}", std::process::id()));
        for (cpu, siblings) in [(0, "0,2"), (1, "1,3"), (2, "0,2"), (3, "1,3")] {
            let folder = root.join(format!("cpu{cpu}/topology"));
            fs::create_dir_all(&folder)?;
            fs::write(folder.join("thread_siblings_list"), siblings)?;
        }
        assert_eq!(distinct_cores(&[0, 1, 2, 3], &root), 2);
        assert_eq!(distinct_cores(&[0, 2], &root), 1);
        assert_eq!(distinct_cores(&[0, 1, 9], &root), 3);
        fs::remove_dir_all(&root)
    }

    #[test]
    fn this_machine_has_a_core() {
        assert!(physical_cores() >= 1);
    }
}
