//! Control groups (cgroups v1 and v2) that limit this process, as folders with their files: its own
//! group and those around it, as far as they can be seen from here.

use std::fs;
use std::path::{Component, Path, PathBuf};

/// Folders of the groups of `controller`, below `root` (`/`, or a folder of a test), innermost
/// first. The effective limit of the process is the smallest limit of all these groups.
pub(crate) fn folders(root: &Path, controller: &str) -> Vec<PathBuf> {
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
pub(crate) mod testing {
    use std::path::Path;

    /// Files of a system in a folder.
    pub(crate) fn write(root: &Path, files: &[(&str, &str)]) {
        for (name, text) in files {
            let path = root.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(groups: &str, mounts: &str) -> Vec<String> {
        let root = tempfile::tempdir().unwrap();
        testing::write(
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

    const SECOND: &str =
        "31 23 0:28 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

    #[test]
    fn groups_of_the_second_version_are_nested() {
        assert_eq!(found("0::/\n", SECOND), ["sys/fs/cgroup"]);
        let nested = found("0::/user.slice/job.scope\n", SECOND);
        assert_eq!(
            nested,
            [
                "sys/fs/cgroup/user.slice/job.scope",
                "sys/fs/cgroup/user.slice",
                "sys/fs/cgroup"
            ]
        );
        // Seen from within a namespace of its own whose root is elsewhere.
        assert_eq!(found("0::/../other\n", SECOND), ["sys/fs/cgroup"]);
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
}
