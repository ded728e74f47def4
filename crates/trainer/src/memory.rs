//! How much memory the process has used.

/// The largest resident set of this process so far, in bytes: `VmHWM` of `/proc/self/status` on Linux, `None`
/// elsewhere.
pub fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    parse(&status)
}

fn parse(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_line_is_read() {
        assert_eq!(super::parse("VmPeak:\t 900 kB\nVmHWM:\t    1234 kB\nVmRSS:\t 7 kB\n"), Some(1_263_616));
        assert_eq!(super::parse("VmRSS:\t 7 kB\n"), None);
        if cfg!(target_os = "linux") {
            assert!(super::peak_memory() > Some(1 << 20), "a process of more than a mebibyte");
        }
    }
}
