//! What the machine, or the container that we are in, gives us.
//!
//! **Source.** Linux `Documentation/filesystems/proc.rst`, `Documentation/admin-guide/cgroup-v2.rst` (`memory.max`) and
//! `cgroup-v1/memory.rst`.

use std::fs;

/// Where a container's limit stands: control groups of version 2, then 1.
const LIMIT_FILES: [&str; 2] = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];

/// Bytes of memory that we may use at most; `None` where the system does not tell.
pub(super) fn memory_bytes() -> Option<u64> {
    let of_machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total_of(&text));
    // Without a limit version 2 says "max", version 1 a number beyond all memory.
    let of_container = LIMIT_FILES.iter().find_map(|path| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok());
    match (of_machine, of_container) {
        (Some(machine), Some(container)) => Some(machine.min(container)),
        (machine, container) => machine.or(container),
    }
}

fn total_of(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_of_meminfo() {
        assert_eq!(total_of("MemTotal:       16384 kB\nMemFree: 1 kB\n"), Some(16 << 20));
        assert_eq!(total_of("nothing"), None);
    }
}
