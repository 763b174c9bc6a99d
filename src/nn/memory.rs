//! Memory of the machine and of this process: of the system and the process through `sysinfo`, of
//! control groups (cgroups v1 and v2) from their files. `sysinfo` looks at the root of the hierarchy
//! alone, while a process is limited by each of the nested groups that it is in, and by `memory.high`
//! too.

use std::fs;
use std::path::{Component, Path, PathBuf};

use sysinfo::{MemoryRefreshKind, Pid, ProcessRefreshKind, ProcessesToUpdate, System};

/// Bytes that this process can still take without forcing others to swap: the least of the
/// available memory that the system reports and the rest of the limit of each cgroup, as in a
/// container. `None` where neither is known.
pub(crate) fn available_memory() -> Option<u64> {
    let mut system = System::new();
    system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
    let bytes = Some(system.available_memory()).filter(|bytes| *bytes > 0);
    least_available(bytes, Path::new("/"))
}

/// Resident memory of this process in bytes, where the system reports it.
pub(crate) fn resident_memory() -> Option<u64> {
    let pid = Pid::from_u32(std::process::id());
    let mut system = System::new();
    let kind = ProcessRefreshKind::nothing().with_memory();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), false, kind);
    system.process(pid).map(sysinfo::Process::memory)
}

/// The largest resident memory of this process so far in bytes, which `sysinfo` does not know; Linux
/// only.
pub(crate) fn peak_resident_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024)
}

fn least_available(system: Option<u64>, root: &Path) -> Option<u64> {
    let groups = folders(root, "memory");
    let rests = groups.iter().filter_map(|folder| left(folder));
    rests.chain(system).min()
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

/// Folders of the groups of `controller`, below `root` (`/`, or a folder of a test), innermost
/// first. The effective limit of the process is the smallest limit of all these groups.
fn folders(root: &Path, controller: &str) -> Vec<PathBuf> {
    let read = |name: &str| fs::read_to_string(root.join(name)).unwrap_or_default();
    let (groups, mounts) = (read("proc/self/cgroup"), read("proc/self/mountinfo"));
    if mounts.is_empty() {
        let usual = root.join("sys/fs/cgroup");
        return vec![usual.join(controller), usual];
    }
    let mounts = mounts.lines().filter_map(Mount::read);
    mounts
        .flat_map(|mount| mount.folders(root, &groups, controller).unwrap_or_default())
        .collect()
}

/// A hierarchy of groups where it is mounted (proc_pid_mountinfo(5)).
struct Mount<'a> {
    /// The group whose folder is the mount point.
    top: &'a str,
    point: String,
    is_second_version: bool,
    /// Options of the hierarchy; its controllers are among them.
    options: &'a str,
}

impl<'a> Mount<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let (place, kind) = line.split_once(" - ")?;
        let mut place = place.split(' ').skip(3);
        let (top, point) = (place.next()?, place.next()?.replace("\\040", " "));
        let mut kind = kind.split(' ');
        let is_second_version = match kind.next()? {
            "cgroup2" => true,
            "cgroup" => false,
            _ => return None,
        };
        Some(Self {
            top,
            point,
            is_second_version,
            options: kind.nth(1).unwrap_or_default(),
        })
    }

    /// The group of the process in this hierarchy, if the hierarchy has the controller (cgroups(7),
    /// `/proc/pid/cgroup`).
    fn group(&self, groups: &'a str, controller: &str) -> Option<&'a str> {
        let has = |list: &str| list.split(',').any(|name| name == controller);
        if !self.is_second_version && !has(self.options) {
            return None;
        }
        groups.lines().find_map(|line| {
            let (hierarchy, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            let is_it = if self.is_second_version {
                hierarchy == "0"
            } else {
                has(controllers)
            };
            is_it.then_some(path)
        })
    }

    fn folders(&self, root: &Path, groups: &str, controller: &str) -> Option<Vec<PathBuf>> {
        let group = Path::new(self.group(groups, controller)?);
        // A group that lies outside of what is mounted here is seen as the mount point alone.
        let inside = group.strip_prefix(self.top).ok();
        let inside = inside.filter(|path| {
            path.components()
                .all(|part| matches!(part, Component::Normal(_)))
        });
        let top = root.join(self.point.trim_start_matches('/'));
        let own = top.join(inside.unwrap_or(Path::new("")));
        Some(
            own.ancestors()
                .take_while(|folder| folder.starts_with(&top))
                .map(Path::to_owned)
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files of a system in a folder.
    pub(crate) fn write(root: &Path, files: &[(&str, &str)]) {
        for (name, text) in files {
            let path = root.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
    }

    const SECOND: (&str, &str) = (
        "proc/self/mountinfo",
        "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
    );
    const FIRST: (&str, &str) = (
        "proc/self/mountinfo",
        "31 23 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
    );
    const SYSTEM: Option<u64> = Some(8_192_000);

    fn available(system: Option<u64>, files: &[(&str, &str)]) -> Option<u64> {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), files);
        least_available(system, root.path())
    }

    #[test]
    fn the_system_says_it_where_no_group_does() {
        assert_eq!(available(None, &[]), None);
        assert_eq!(available(SYSTEM, &[]), Some(8_192_000));
        let unlimited = ("sys/fs/cgroup/memory.max", "max\n");
        let current = ("sys/fs/cgroup/memory.current", "5000\n");
        assert_eq!(
            available(
                SYSTEM,
                &[SECOND, ("proc/self/cgroup", "0::/\n"), unlimited, current]
            ),
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
            SECOND,
            group,
            (outer, "100000\n"),
            (taken, "70000\n"),
            (inner, "max\n"),
            (within, "10\n"),
        ];
        assert_eq!(available(SYSTEM, &files), Some(30_000));
        let narrower = [&files[..4], &[(inner, "20000\n"), (within, "15000\n")]].concat();
        assert_eq!(available(SYSTEM, &narrower), Some(5_000));
        let throttled = [&files[..], &[("sys/fs/cgroup/a/memory.high", "71000\n")]].concat();
        assert_eq!(available(SYSTEM, &throttled), Some(1_000));
        let stat = (
            "sys/fs/cgroup/a/memory.stat",
            "anon 4\ninactive_file 60000\nactive_file 9\n",
        );
        assert_eq!(
            available(SYSTEM, &[&files[..], &[stat]].concat()),
            Some(90_000)
        );
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
            FIRST,
            group,
            (limit.as_str(), "120000\n"),
            (taken.as_str(), "20000\n"),
        ];
        assert_eq!(available(SYSTEM, &files), Some(100_000));
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
        assert_eq!(available(SYSTEM, &nested), Some(60_000));
        let without = (
            "sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes",
            "9223372036854771712\n",
        );
        assert_eq!(
            available(SYSTEM, &[&files[..2], &[without, files[3]]].concat()),
            Some(8_192_000)
        );
    }

    fn found(groups: &str, mounts: &str) -> Vec<String> {
        let root = tempfile::tempdir().unwrap();
        write(
            root.path(),
            &[
                ("proc/self/cgroup", groups),
                ("proc/self/mountinfo", mounts),
            ],
        );
        let folders = folders(root.path(), "memory");
        let below = |folder: &PathBuf| {
            folder
                .strip_prefix(root.path())
                .unwrap()
                .display()
                .to_string()
        };
        folders.iter().map(below).collect()
    }

    const SECOND_MOUNT: &str =
        "31 23 0:28 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

    #[test]
    fn groups_of_the_second_version_are_nested() {
        assert_eq!(found("0::/\n", SECOND_MOUNT), ["sys/fs/cgroup"]);
        let nested = found("0::/user.slice/job.scope\n", SECOND_MOUNT);
        assert_eq!(
            nested,
            [
                "sys/fs/cgroup/user.slice/job.scope",
                "sys/fs/cgroup/user.slice",
                "sys/fs/cgroup"
            ]
        );
        // Seen from within a namespace of its own whose root is elsewhere.
        assert_eq!(found("0::/../other\n", SECOND_MOUNT), ["sys/fs/cgroup"]);
    }

    #[test]
    fn groups_of_the_first_version_lie_where_their_controller_is_mounted() {
        let groups =
            "9:name=systemd:/\n4:hugetlb,memory:/docker/abc/job\n2:cpu,cpuacct:/docker\n0::/\n";
        let mounts = "30 23 0:27 / /proc rw - proc proc rw\n\
             35 31 0:32 / /sys/fs/cgroup/hugetlb,memory rw,relatime - cgroup cgroup rw,hugetlb,memory\n\
             36 31 0:33 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct\n";
        let point = "sys/fs/cgroup/hugetlb,memory";
        let nested = ["/docker/abc/job", "/docker/abc", "/docker", ""]
            .map(|group| format!("{point}{group}"));
        assert_eq!(found(groups, mounts), nested);
        // What is mounted in a container is the container's group.
        let inside = mounts.replace("0:32 / ", "0:32 /docker/abc ");
        assert_eq!(
            found(groups, &inside),
            ["/job", ""].map(|group| format!("{point}{group}"))
        );
        let other = mounts
            .replace("0:32 / ", "0:32 /docker/other ")
            .replace("hugetlb,memory rw,r", "a\\040b rw,r");
        assert_eq!(found(groups, &other), ["sys/fs/cgroup/a b"]);
    }

    #[test]
    fn without_proc_the_usual_place_is_looked_at() {
        let root = Path::new("/nowhere");
        assert_eq!(
            folders(root, "memory")[1],
            Path::new("/nowhere/sys/fs/cgroup")
        );
    }

    #[test]
    fn the_system_reports_memory_and_this_process_has_some_of_it() {
        let available = available_memory().unwrap();
        assert!(available > 1 << 20 && available < 1 << 50, "{available}");
        let resident = resident_memory().unwrap();
        assert!(resident > 1 << 20 && resident < 1 << 40, "{resident}");
        if let Some(peak) = peak_resident_memory() {
            assert!(peak > 1 << 20, "{peak}");
        }
    }
}
