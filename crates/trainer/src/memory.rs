//! How much memory the process has used, and how much it can still get.

/// The largest resident set of this process so far, in bytes: `VmHWM` of `/proc/self/status` on Linux, `None`
/// elsewhere.
pub fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    parse(&status)
}

fn parse(status: &str) -> Option<u64> {
    kib(status, "VmHWM:")
}

/// The bytes of a line such as `VmHWM:    1234 kB`.
fn kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// The memory that this process can still get, in bytes: the least of what the system has left (swap space counted), what
/// its control group has, and what its address space may grow by (`ulimit -v`). Linux; `None` elsewhere.
pub fn available_memory() -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let system = read("/proc/meminfo")
        .and_then(|text| Some(kib(&text, "MemAvailable:")?.saturating_add(kib(&text, "SwapFree:").unwrap_or(0))));
    let number = |path: &str| read(path).and_then(|text| text.trim().parse::<u64>().ok());
    let group = [
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ];
    let group = group.into_iter().filter_map(|(most, used)| Some(number(most)?.saturating_sub(number(used)?)));
    system.into_iter().chain(group).chain(address_space()).min()
}

/// What this process can still get of its address space, where that is limited: what it may grow by, and what its allocator has
/// reserved and not touched (mimalloc begins with 128 MiB where it gets them).
#[cfg(target_os = "linux")]
fn address_space() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the call writes to the struct that it is given, which lives here.
    let failed = unsafe { libc::getrlimit(libc::RLIMIT_AS, &raw mut limit) } != 0;
    if failed || limit.rlim_cur == libc::RLIM_INFINITY {
        return None;
    }
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let reserved =
        kib(&status, "VmData:").zip(kib(&status, "RssAnon:")).map_or(0, |(data, used)| data.saturating_sub(used));
    Some(limit.rlim_cur.saturating_sub(kib(&status, "VmSize:")?).saturating_add(reserved))
}

#[cfg(not(target_os = "linux"))]
fn address_space() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_line_is_read() {
        assert_eq!(super::parse("VmPeak:\t 900 kB\nVmHWM:\t    1234 kB\nVmRSS:\t 7 kB\n"), Some(1_263_616));
        assert_eq!(super::parse("VmRSS:\t 7 kB\n"), None);
        if cfg!(target_os = "linux") {
            assert!(super::peak_memory() > Some(1 << 20), "a process of more than a mebibyte");
            assert!(super::available_memory() > Some(1 << 20), "there is some left");
        }
    }
}
