//! Owns one number: the physical cores that this process may use.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use crate::kernels::cgroup::folders;

/// Physical cores this process may use: those of its CPU affinity, hyper-threads counted once, no
/// more than its cgroup's quota.
pub(crate) fn physical_cores() -> usize {
    let logical = std::thread::available_parallelism().map_or(1, |n| n.get());
    let allowed = allowed_cpus();
    let physical = if allowed.is_empty() {
        logical
    } else {
        distinct_cores(&allowed, Path::new("/sys/devices/system/cpu"))
    };
    let quota = cgroup_quota(Path::new("/")).unwrap_or(usize::MAX);
    physical.min(logical).min(quota).max(1)
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

/// Whole CPUs of the narrowest time quota of the control groups that this process is in, rounded
/// up; none when unlimited.
fn cgroup_quota(root: &Path) -> Option<usize> {
    folders(root, "cpu")
        .iter()
        .filter_map(|folder| quota(folder))
        .min()
}

/// A group's quota (version 2, then 1).
fn quota(folder: &Path) -> Option<usize> {
    let read = |file: &str| fs::read_to_string(folder.join(file)).ok();
    let (quota, period) = match read("cpu.max") {
        Some(line) => {
            let (quota, period) = line.trim().split_once(' ')?;
            (quota.parse::<f64>().ok()?, period.parse::<f64>().ok()?)
        }
        None => {
            let number = |file| read(file)?.trim().parse::<f64>().ok();
            (number("cpu.cfs_quota_us")?, number("cpu.cfs_period_us")?)
        }
    };
    (quota > 0.0 && period > 0.0).then(|| (quota / period).ceil() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::cgroup::testing::write;

    #[test]
    fn cpu_lists_are_read_as_the_kernel_writes_them() {
        assert_eq!(parse_list("0-3,8,10-11\n"), [0, 1, 2, 3, 8, 10, 11]);
        assert_eq!(parse_list("\t5"), [5]);
        assert!(parse_list("").is_empty());
    }

    #[test]
    fn quotas_of_both_cgroup_versions_are_understood() {
        let quota = |files: &[(&str, &str)]| {
            let root = tempfile::tempdir().unwrap();
            write(root.path(), files);
            cgroup_quota(root.path())
        };
        let first = (
            "proc/self/mountinfo",
            "3 1 0:2 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n",
        );
        let groups = ("proc/self/cgroup", "2:cpu:/a\n0::/a/b\n");
        let of = |group: &str, file: &str| format!("sys/fs/cgroup/cpu{group}/cpu.cfs_{file}_us");
        let (period, none, some) = (of("/a", "period"), of("/a", "quota"), of("/a", "quota"));
        assert_eq!(quota(&[]), None);
        assert_eq!(
            quota(&[first, groups, (&period, "100000\n"), (&none, "-1\n")]),
            None
        );
        assert_eq!(
            quota(&[first, groups, (&period, "100000\n"), (&some, "250000\n")]),
            Some(3)
        );
        let second = (
            "proc/self/mountinfo",
            "3 1 0:2 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
        );
        let own = ("sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
        assert_eq!(quota(&[second, groups, own]), None);
        assert_eq!(
            quota(&[
                second,
                groups,
                own,
                ("sys/fs/cgroup/a/cpu.max", "150000 100000\n")
            ]),
            Some(2)
        );
        // Where there is no /proc.
        assert_eq!(
            quota(&[("sys/fs/cgroup/cpu.max", "100000 100000\n")]),
            Some(1)
        );
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
