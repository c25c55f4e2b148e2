//! What the `pg_*` keywords ask of the kernel: pure, from their texts to the files to write.

use conf::{SectionReader, SizeOptions, Value, parse_size};

/// Memory is counted in pages of this size.
const PAGE: u32 = 4096;

/// Interfaces of the kernel to control groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// One hierarchy per controller.
    One,
    /// One hierarchy.
    Two,
}

/// Keyword `pg_cpu_quota`: `50%`, `50%@2`, `50%@all`, microseconds per period, or -1 for no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Quota {
    amount: Amount,
    /// Processors that the amount is of, none for all.
    processors: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Amount {
    Percent(u64),
    Micros(u64),
    Unlimited,
}

/// The caps of one group, as an operator wrote them. None: what the kernel has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Caps {
    cpus: Option<String>,
    mems: Option<String>,
    cpu_shares: Option<u64>,
    cpu_quota: Option<Quota>,
    mem_limit: Option<u64>,
    vmem_limit: Option<u64>,
    oom_control: Option<u64>,
    swappiness: Option<u64>,
    blkio_weight: Option<u64>,
}

/// What the kernel has now, where what to write depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Now {
    /// Period of the processor scheduler, in microseconds.
    pub period_us: u64,
    /// Processors of the node.
    pub processors: u64,
    /// Limit of memory and swap, in bytes, where the kernel counts swap.
    pub vmem_limit: Option<u64>,
    /// Limit of memory, in bytes.
    pub mem_limit: Option<u64>,
}

/// A value for a file of a controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Write {
    /// Controller: `memory`.
    pub controller: &'static str,
    /// File: `memory.max`.
    pub file: &'static str,
    /// Its new content.
    pub value: String,
}

impl Caps {
    /// Reads the `pg_*` keywords of a section, and tells those that cannot be read.
    pub(crate) fn read(section: &SectionReader<'_>, complaints: &mut Vec<String>) -> Self {
        Self::parse(|keyword| section.text(keyword).unwrap_or_default(), complaints)
    }

    fn parse(text: impl Fn(&str) -> Option<String>, complaints: &mut Vec<String>) -> Self {
        let mut wrong = |keyword: &str, text: &str| {
            complaints.push(format!("{keyword} = {text} is ignored: not understood"));
        };
        let mut read = |keyword: &str, parse: &dyn Fn(&str) -> Option<u64>| {
            let text = text(keyword)?;
            let value = parse(&text);
            if value.is_none() {
                wrong(keyword, &text);
            }
            value
        };
        let number = |text: &str| text.trim().parse().ok();
        let caps = Self {
            cpus: None,
            mems: None,
            cpu_quota: None,
            cpu_shares: read("pg_cpu_shares", &number),
            mem_limit: read("pg_mem_limit", &pages),
            vmem_limit: read("pg_vmem_limit", &pages),
            oom_control: read("pg_mem_oom_control", &number),
            swappiness: read("pg_mem_swappiness", &number),
            blkio_weight: read("pg_blkio_weight", &number),
        };
        let cpu_quota = text("pg_cpu_quota").and_then(|text| {
            let quota = quota(&text);
            if quota.is_none() {
                wrong("pg_cpu_quota", &text);
            }
            quota
        });
        Self { cpus: text("pg_cpus"), mems: text("pg_mems"), cpu_quota, ..caps }
    }

    /// Whether nothing is asked.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What to write, in this order, and what cannot be had.
    pub(crate) fn writes(&self, version: Version, now: &Now) -> (Vec<Write>, Vec<String>) {
        match version {
            Version::One => self.writes_one(now),
            Version::Two => self.writes_two(now),
        }
    }

    fn writes_one(&self, now: &Now) -> (Vec<Write>, Vec<String>) {
        let mut list = List::default();
        list.add("cpuset", "cpuset.cpus", self.cpus.clone());
        list.add("cpu", "cpu.shares", self.cpu_shares);
        list.add("cpuset", "cpuset.mems", self.mems.clone());
        list.add("blkio", "blkio.weight", self.blkio_weight);
        list.add("memory", "memory.swappiness", self.swappiness);
        list.add("memory", "memory.oom_control", self.oom_control);
        self.memory_one(now, &mut list);
        let quota = self.cpu_quota.map(|quota| match quota.micros(now) {
            Some(micros) => micros.to_string(),
            None => "-1".to_owned(),
        });
        list.add("cpu", "cpu.cfs_quota_us", quota);
        (list.writes, list.complaints)
    }

    /// The kernel refuses a limit of memory above that of memory and swap at any moment, so the order counts.
    fn memory_one(&self, now: &Now, list: &mut List) {
        const MEM: &str = "memory.limit_in_bytes";
        const VMEM: &str = "memory.memsw.limit_in_bytes";
        let is_above = |limit: u64, other: Option<u64>| other.is_some_and(|other| limit > other);
        match (self.mem_limit, self.vmem_limit) {
            (None, None) => {}
            (Some(mem), Some(vmem)) if mem > vmem => {
                list.complain("pg_vmem_limit is below pg_mem_limit: both are ignored");
            }
            (Some(mem), Some(vmem)) if is_above(mem, now.vmem_limit) => {
                list.add("memory", VMEM, Some(vmem));
                list.add("memory", MEM, Some(mem));
            }
            (Some(mem), Some(vmem)) => {
                list.add("memory", MEM, Some(mem));
                list.add("memory", VMEM, Some(vmem));
            }
            (Some(mem), None) if is_above(mem, now.vmem_limit) => {
                list.complain("pg_mem_limit is above the limit of memory and swap: it is ignored");
            }
            (Some(mem), None) => list.add("memory", MEM, Some(mem)),
            (None, Some(vmem)) if now.mem_limit.is_some_and(|mem| vmem < mem) => {
                list.complain("pg_vmem_limit is below the limit of memory: it is ignored");
            }
            (None, Some(vmem)) => list.add("memory", VMEM, Some(vmem)),
        }
    }

    fn writes_two(&self, now: &Now) -> (Vec<Write>, Vec<String>) {
        let mut list = List::default();
        list.add("cpuset", "cpuset.cpus", self.cpus.clone());
        list.add("cpuset", "cpuset.mems", self.mems.clone());
        list.add("cpu", "cpu.weight", self.cpu_shares.map(cpu_weight));
        list.add(
            "io",
            "io.weight",
            self.blkio_weight.map(|weight| format!("default {}", io_weight(weight))),
        );
        list.add("memory", "memory.max", self.mem_limit);
        match (self.mem_limit, self.vmem_limit) {
            (_, None) => {}
            (Some(mem), Some(vmem)) if vmem >= mem => {
                list.add("memory", "memory.swap.max", Some(vmem - mem));
            }
            (Some(_), Some(_)) => {
                list.complain("pg_vmem_limit is below pg_mem_limit: it is ignored")
            }
            // Swap has a limit of its own there, and nothing says how much of the sum it may be.
            (None, Some(_)) => {
                list.complain("pg_vmem_limit needs pg_mem_limit with cgroup v2: it is ignored")
            }
        }
        let quota = self.cpu_quota.map(|quota| match quota.micros(now) {
            Some(micros) => format!("{micros} {}", now.period_us),
            None => format!("max {}", now.period_us),
        });
        list.add("cpu", "cpu.max", quota);
        for (keyword, value) in
            [("pg_mem_swappiness", self.swappiness), ("pg_mem_oom_control", self.oom_control)]
        {
            if value.is_some() {
                list.complain(&format!("{keyword} is ignored: cgroup v2 has nothing like it"));
            }
        }
        (list.writes, list.complaints)
    }
}

#[derive(Default)]
struct List {
    writes: Vec<Write>,
    complaints: Vec<String>,
}

impl List {
    fn add(&mut self, controller: &'static str, file: &'static str, value: Option<impl ToString>) {
        self.writes.extend(value.map(|value| Write { controller, file, value: value.to_string() }));
    }

    fn complain(&mut self, text: &str) {
        self.complaints.push(text.to_owned());
    }
}

impl Quota {
    /// Microseconds per period, none for no limit.
    fn micros(self, now: &Now) -> Option<u64> {
        let total = now.period_us.saturating_mul(self.processors.unwrap_or(now.processors));
        match self.amount {
            Amount::Percent(percent) => Some(total.saturating_mul(percent) / 100),
            Amount::Micros(micros) => Some(micros),
            Amount::Unlimited => None,
        }
    }
}

fn quota(text: &str) -> Option<Quota> {
    let (amount, processors) = text.trim().split_once('@').unwrap_or((text.trim(), "1"));
    let processors = if processors == "all" { None } else { Some(processors.parse().ok()?) };
    let amount = match amount.strip_suffix('%') {
        Some(percent) => Amount::Percent(percent.parse().ok()?),
        None if amount == "-1" => Amount::Unlimited,
        None => Amount::Micros(amount.parse().ok()?),
    };
    Some(Quota { amount, processors })
}

/// Bytes, in whole pages.
fn pages(text: &str) -> Option<u64> {
    let options = SizeOptions { round: Some(PAGE), ..SizeOptions::default() };
    match parse_size(text, options) {
        Ok(Value::Integer(bytes)) => u64::try_from(bytes).ok(),
        _ => None,
    }
}

/// Shares, 2 to 262,144, as a weight of 1 to 10,000: the conversion of container runtimes, crun and runc.
fn cpu_weight(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9_999 / 262_142
}

/// A weight of 10 to 1,000 as one of 1 to 10,000, in the same way.
fn io_weight(weight: u64) -> u64 {
    1 + (weight.clamp(10, 1_000) - 10) * 9_999 / 990
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Now = Now { period_us: 100_000, processors: 4, vmem_limit: None, mem_limit: None };

    fn caps(keywords: &[(&str, &str)]) -> Caps {
        let mut complaints = vec![];
        let text = |keyword: &str| {
            keywords.iter().find(|(name, _)| *name == keyword).map(|(_, text)| (*text).to_owned())
        };
        let caps = Caps::parse(text, &mut complaints);
        assert_eq!(complaints, Vec::<String>::new());
        caps
    }

    /// The writes as a shell would do them.
    fn told(version: Version, now: &Now, keywords: &[(&str, &str)]) -> Vec<String> {
        let (writes, complaints) = caps(keywords).writes(version, now);
        let tell = |Write { file, value, .. }| format!("{file} {value}");
        writes.into_iter().map(tell).chain(complaints).collect()
    }

    #[test]
    fn every_keyword_has_its_file() {
        let all = [
            ("pg_cpus", "0-2"),
            ("pg_mems", "0"),
            ("pg_cpu_shares", "512"),
            ("pg_cpu_quota", "50%@all"),
            ("pg_mem_limit", "64m"),
            ("pg_vmem_limit", "96m"),
            ("pg_mem_oom_control", "1"),
            ("pg_mem_swappiness", "40"),
            ("pg_blkio_weight", "500"),
        ];
        assert_eq!(
            told(Version::One, &NOW, &all),
            [
                "cpuset.cpus 0-2",
                "cpu.shares 512",
                "cpuset.mems 0",
                "blkio.weight 500",
                "memory.swappiness 40",
                "memory.oom_control 1",
                "memory.limit_in_bytes 67108864",
                "memory.memsw.limit_in_bytes 100663296",
                "cpu.cfs_quota_us 200000",
            ]
        );
        assert_eq!(
            told(Version::Two, &NOW, &all),
            [
                "cpuset.cpus 0-2",
                "cpuset.mems 0",
                "cpu.weight 20",
                "io.weight default 4950",
                "memory.max 67108864",
                "memory.swap.max 33554432",
                "cpu.max 200000 100000",
                "pg_mem_swappiness is ignored: cgroup v2 has nothing like it",
                "pg_mem_oom_control is ignored: cgroup v2 has nothing like it",
            ]
        );
    }

    #[test]
    fn a_quota_is_of_one_processor_unless_it_says_of_how_many() {
        let one = |text| told(Version::One, &NOW, &[("pg_cpu_quota", text)]).concat();
        assert_eq!(one("50%"), "cpu.cfs_quota_us 50000");
        assert_eq!(one("50%@2"), "cpu.cfs_quota_us 100000");
        assert_eq!(one("30000"), "cpu.cfs_quota_us 30000");
        assert_eq!(one("-1"), "cpu.cfs_quota_us -1");
        let two = told(Version::Two, &NOW, &[("pg_cpu_quota", "-1")]);
        assert_eq!(two, ["cpu.max max 100000"]);
    }

    #[test]
    fn the_limits_of_memory_are_moved_in_the_order_that_the_kernel_allows() {
        let both = [("pg_mem_limit", "8k"), ("pg_vmem_limit", "16k")];
        let (mem, vmem) = ("memory.limit_in_bytes 8192", "memory.memsw.limit_in_bytes 16384");
        let raised = Now { vmem_limit: Some(4096), ..NOW };
        assert_eq!(told(Version::One, &raised, &both), [vmem, mem]);
        let lowered = Now { vmem_limit: Some(1 << 40), ..NOW };
        assert_eq!(told(Version::One, &lowered, &both), [mem, vmem]);
        let above = told(Version::One, &raised, &[("pg_mem_limit", "8k")]);
        assert_eq!(above, ["pg_mem_limit is above the limit of memory and swap: it is ignored"]);
        let below = Now { mem_limit: Some(1 << 40), ..NOW };
        assert_eq!(
            told(Version::One, &below, &[("pg_vmem_limit", "8k")]),
            ["pg_vmem_limit is below the limit of memory: it is ignored"]
        );
        let crossed = [("pg_mem_limit", "16k"), ("pg_vmem_limit", "8k")];
        assert_eq!(
            told(Version::One, &NOW, &crossed),
            ["pg_vmem_limit is below pg_mem_limit: both are ignored"]
        );
    }

    #[test]
    fn a_limit_of_memory_is_in_whole_pages() {
        assert_eq!(pages("10000"), Some(8192));
        assert_eq!(pages("20%"), None);
    }

    #[test]
    fn shares_and_weights_keep_their_ends() {
        assert_eq!([cpu_weight(0), cpu_weight(2), cpu_weight(262_144)], [1, 1, 10_000]);
        assert_eq!([io_weight(10), io_weight(1_000), io_weight(u64::MAX)], [1, 10_000, 10_000]);
    }

    #[test]
    fn what_is_not_understood_is_told_and_left_out() {
        let mut complaints = vec![];
        let caps = Caps::parse(|_| Some("lots".to_owned()), &mut complaints);
        let expected = [
            "cpu_shares",
            "mem_limit",
            "vmem_limit",
            "mem_oom_control",
            "mem_swappiness",
            "blkio_weight",
            "cpu_quota",
        ]
        .map(|name| format!("pg_{name} = lots is ignored: not understood"));
        assert_eq!(complaints, expected);
        let texts =
            Caps { cpus: Some("lots".into()), mems: Some("lots".into()), ..Caps::default() };
        assert_eq!(caps, texts);
    }
}
