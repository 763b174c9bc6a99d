//! Memory that the machine has available.

use std::path::Path;

use crate::kernels::cgroup::folders;

/// Bytes that this process can still take without forcing others to swap: the least of the
/// available memory that the system reports and the rest of the limit of each cgroup, as in a
/// container. `None` where neither is known.
pub(crate) fn available() -> Option<u64> {
    available_in(Path::new("/"))
}

fn available_in(root: &Path) -> Option<u64> {
    let groups = folders(root, "memory");
    groups
        .iter()
        .filter_map(|folder| left(folder))
        .chain(system(root))
        .min()
}

/// `MemAvailable` of /proc/meminfo, in bytes.
fn system(root: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// Rest of a cgroup's limit in bytes; unused page cache counts as free, as it does in
/// `MemAvailable`.
fn left(folder: &Path) -> Option<u64> {
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).ok();
    let number = |name: &str| read(name)?.trim().parse::<u64>().ok();
    let unused = |name: &str| {
        let text = read("memory.stat").unwrap_or_default();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        line.unwrap_or(0)
    };
    let second = [number("memory.max"), number("memory.high")]
        .into_iter()
        .flatten()
        .min();
    if let Some(limit) = second {
        let taken = number("memory.current")?.saturating_sub(unused("inactive_file"));
        return Some(limit.saturating_sub(taken));
    }
    let taken = number("memory.usage_in_bytes")?.saturating_sub(unused("total_inactive_file"));
    Some(number("memory.limit_in_bytes")?.saturating_sub(taken))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::cgroup::testing::write;

    const SECOND: (&str, &str) = (
        "proc/self/mountinfo",
        "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
    );
    const FIRST: (&str, &str) = (
        "proc/self/mountinfo",
        "31 23 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
    );
    const SYSTEM: (&str, &str) = (
        "proc/meminfo",
        "MemTotal: 9000 kB\nMemAvailable:    8000 kB\n",
    );

    fn available(files: &[(&str, &str)]) -> Option<u64> {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), files);
        available_in(root.path())
    }

    #[test]
    fn the_system_says_it_where_no_group_does() {
        assert_eq!(available(&[]), None);
        assert_eq!(available(&[SYSTEM]), Some(8_192_000));
        let unlimited = ("sys/fs/cgroup/memory.max", "max\n");
        let current = ("sys/fs/cgroup/memory.current", "5000\n");
        assert_eq!(
            available(&[
                SYSTEM,
                SECOND,
                ("proc/self/cgroup", "0::/\n"),
                unlimited,
                current
            ]),
            Some(8_192_000)
        );
    }

    #[test]
    fn the_narrowest_of_nested_groups_counts() {
        let group = ("proc/self/cgroup", "0::/a/b\n");
        let [outer, taken] = [
            "sys/fs/cgroup/a/memory.max",
            "sys/fs/cgroup/a/memory.current",
        ];
        let [inner, within] = [
            "sys/fs/cgroup/a/b/memory.max",
            "sys/fs/cgroup/a/b/memory.current",
        ];
        let files = [
            SYSTEM,
            SECOND,
            group,
            (outer, "100000\n"),
            (taken, "70000\n"),
            (inner, "max\n"),
            (within, "10\n"),
        ];
        assert_eq!(available(&files), Some(30_000));
        let narrower = [&files[..5], &[(inner, "20000\n"), (within, "15000\n")]].concat();
        assert_eq!(available(&narrower), Some(5_000));
        let throttled = [&files[..], &[("sys/fs/cgroup/a/memory.high", "71000\n")]].concat();
        assert_eq!(available(&throttled), Some(1_000));
        let stat = (
            "sys/fs/cgroup/a/memory.stat",
            "anon 4\ninactive_file 60000\nactive_file 9\n",
        );
        assert_eq!(available(&[&files[..], &[stat]].concat()), Some(90_000));
    }

    #[test]
    fn groups_of_the_first_version_count_too() {
        let group = ("proc/self/cgroup", "4:memory:/docker/x\n");
        let [limit, taken] = [
            "docker/x/memory.limit_in_bytes",
            "docker/x/memory.usage_in_bytes",
        ]
        .map(|name| format!("sys/fs/cgroup/memory/{name}"));
        let files = [
            SYSTEM,
            FIRST,
            group,
            (limit.as_str(), "120000\n"),
            (taken.as_str(), "20000\n"),
        ];
        assert_eq!(available(&files), Some(100_000));
        let [outer, all] = [
            "docker/memory.limit_in_bytes",
            "docker/memory.usage_in_bytes",
        ]
        .map(|name| format!("sys/fs/cgroup/memory/{name}"));
        let nested = [
            &files[..],
            &[(outer.as_str(), "90000\n"), (all.as_str(), "30000\n")],
        ]
        .concat();
        assert_eq!(available(&nested), Some(60_000));
        let without = (
            "sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes",
            "9223372036854771712\n",
        );
        assert_eq!(
            available(&[&files[..3], &[without, files[4]]].concat()),
            Some(8_192_000)
        );
    }
}
