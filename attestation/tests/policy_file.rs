//! Policies as text: what is read, what is refused, and SNPGuard's file.

use attestation::policy::{
    Exception, Loaded, MinimumLevels, Policy, PolicyError, SnpguardConfig, TcbKind,
};
use attestation::product::Product;
use attestation::report::{GuestPolicyBit, Hex, KeyKind, PlatformInfoBit};

fn full() -> String {
    format!(
        r#"
product = ["milan", "genoa", "turin"]
measurement = ["{m}", "{n}"]
vmpl = 1
allow = ["debug", "simulator-root"]
signing_key = "vlek"
csp_id = ["CN=a", 'CN="quoted" \ back']
minimum_guest_svn = 3
minimum_firmware = "1.55.22"
host_data = "{h}"
family_id = "{f}"
image_id = "{f}"
report_data = "{h}{h}"
id_key_digest = "{m}"
author_key_digest = ["{n}"]
require_crl = true

[minimum_tcb]
which = ["current", "reported"]
bootloader = 4
snp = 24
microcode = 219

[minimum_tcb.turin]
fmc = 1
snp = 2

[guest_policy]
required = ["single-socket", "aes-256-xts"]
forbidden = ["smt", "cxl"]
exact = 0x30000
minimum_abi = "1.51"

[platform_info]
required = ["ecc", "alias-check"]
forbidden = ["tsme"]
exact = 37

[instance]
report_id = "{h}"
chip_id = "{h}{h}"
"#,
        m = "0a".repeat(48),
        n = "B0".repeat(48),
        h = "11".repeat(32),
        f = "22".repeat(16),
    )
}

#[test]
fn a_policy_with_every_key() {
    let policy = Policy::parse(&full()).unwrap();
    assert_eq!(policy.products, Product::ALL);
    assert_eq!(policy.measurements, [Hex([0x0a; 48]), Hex([0xb0; 48])]);
    assert_eq!(policy.vmpl, Some(1));
    let allowed: Vec<_> = policy.allow.iter().collect();
    assert_eq!(allowed, [Exception::Debug, Exception::SimulatorRoot]);
    assert_eq!(policy.signing_keys, [KeyKind::Vlek]);
    assert_eq!(policy.csp_ids[1], r#"CN="quoted" \ back"#);
    assert_eq!(policy.minimum_firmware.unwrap().to_string(), "1.55.22");
    assert_eq!(policy.report_data, Some(Hex([0x11; 64])));
    assert_eq!(policy.minimum_tcb.kinds(), [TcbKind::Current, TcbKind::Reported]);
    let any = MinimumLevels { fmc: 0, bootloader: 4, tee: 0, snp: 24, microcode: 219 };
    assert_eq!(policy.minimum_tcb.levels(Product::Genoa), Some(any));
    let turin = MinimumLevels { fmc: 1, snp: 2, ..MinimumLevels::default() };
    assert_eq!(policy.minimum_tcb.levels(Product::Turin), Some(turin));
    assert_eq!(policy.guest_policy.exact, Some(0x30000));
    assert_eq!(policy.guest_policy.forbidden, [GuestPolicyBit::Smt, GuestPolicyBit::Cxl]);
    assert_eq!(policy.minimum_abi, Some((1, 51)));
    let required = [PlatformInfoBit::Ecc, PlatformInfoBit::AliasCheck];
    assert_eq!(policy.platform_info.required, required);
    assert!(policy.require_crl && policy.chip_id == Some(Hex([0x11; 64])));
}

#[test]
fn writing_and_reading_gives_the_same_policy() {
    for text in [
        full(),
        String::new(),
        "allow = ['any-measurement']".to_owned(),
        "[minimum_tcb]\nwhich = ['launch']\n[minimum_tcb.genoa]\nsnp = 1".to_owned(),
        format!("[instance]\nchip_id = '{}'", "00".repeat(64)),
    ] {
        let policy = Policy::parse(&text).unwrap();
        assert_eq!(Policy::parse(&policy.to_string()).unwrap(), policy, "{policy}");
    }
}

#[test]
fn every_key_of_the_full_policy_matters() {
    let policy = Policy::parse(&full()).unwrap();
    for line in full().lines().filter(|line| line.contains('=')) {
        let without = full().replace(&format!("{line}\n"), "");
        if let Ok(other) = Policy::parse(&without) {
            assert_ne!(other, policy, "{line}");
        }
        let misspelt = full().replace(&format!("\n{line}\n"), &format!("\nx_{line}\n"));
        let error = Policy::parse(&misspelt).unwrap_err();
        assert_eq!(error.code(), "policy-file.toml", "{line}");
    }
}

#[test]
fn what_is_refused() {
    let cases = [
        ("product = 'rome'", "policy-file.toml"),
        ("product = []", "policy-file.empty-list"),
        ("measurement = []", "policy-file.empty-list"),
        ("measurement = '00'", "policy-file.toml"),
        ("measurement = '0x00'", "policy-file.toml"),
        ("id_key_digest = []", "policy-file.empty-list"),
        ("author_key_digest = []", "policy-file.empty-list"),
        ("signing_key = []", "policy-file.empty-list"),
        ("csp_id = []", "policy-file.empty-list"),
        ("vmpl = 4", "policy-file.vmpl"),
        ("vmpl = -1", "policy-file.toml"),
        ("allow = ['all']", "policy-file.toml"),
        ("allow = ['Debug']", "policy-file.toml"),
        ("allow = 'debug'", "policy-file.toml"),
        ("minimum_firmware = '1'", "policy-file.toml"),
        ("minimum_guest_svn = 4294967296", "policy-file.toml"),
        ("minimum_tcb = { snp = 256 }", "policy-file.toml"),
        ("minimum_tcb = { ucode = 2 }", "policy-file.toml"),
        ("minimum_tcb = { which = [] }", "policy-file.empty-list"),
        ("minimum_tcb = { which = ['all'] }", "policy-file.toml"),
        ("minimum_tcb = { milan = { fmc = 1 } }", "policy-file.no-fmc"),
        ("product = 'milan'\nminimum_tcb = { fmc = 1 }", "policy-file.no-fmc"),
        ("product = 'milan'\nminimum_tcb = { genoa = { snp = 1 } }", "policy-file.other-product"),
        ("guest_policy = { required = ['debugging'] }", "policy-file.toml"),
        ("guest_policy = { required = ['smt'], forbidden = ['smt'] }", "policy-file.contradiction"),
        ("guest_policy = { minimum_abi = '1.51.2' }", "policy-file.abi-build"),
        ("platform_info = { allowed = ['smt'] }", "policy-file.toml"),
        (
            "platform_info = { required = ['ecc'], forbidden = ['ecc'] }",
            "policy-file.contradiction",
        ),
        ("[instance]", "policy-file.empty-table"),
        ("[minimum_tcb]", "policy-file.empty-table"),
        ("minimum_tcb = { which = ['launch'] }", "policy-file.empty-table"),
        ("[guest_policy]", "policy-file.empty-table"),
        ("platform_info = { required = [] }", "policy-file.empty-table"),
        ("instance = { report_id = '00' }", "policy-file.toml"),
        ("require_crl = 'yes'", "policy-file.toml"),
        ("vmpl = 0\nvmpl = 1", "policy-file.toml"),
        ("= 1", "policy-file.toml"),
    ];
    for (text, code) in cases {
        let error = Policy::parse(text).unwrap_err();
        assert_eq!(error.code(), code, "{text}: {error}");
    }
}

const SNPGUARD: &str = r#"
host_cpu_family = "Milan"
vcpu_count = 1
ovmf_file = "./OVMF.fd"
kernel_file = "./vmlinuz"
initrd_file = "./initramfs.cpio.gz"
guest_features = 0x1
kernel_cmdline = "console=ttyS0 root=/dev/sda "
platform_info = 0x1
guest_policy = 0x30000
family_id = "00000000000000000000000000000000"
image_id = "000000000000000000000000000000ff"
[min_commited_tcb]
bootloader = 3
tee = 0
snp = 14
microcode = 209
_reserved = [0, 0, 0, 0]
"#;

#[test]
fn snpguards_file_is_taken_as_it_is() {
    let Loaded::Snpguard(config) = Policy::load(SNPGUARD).unwrap() else {
        panic!("not recognised")
    };
    assert_eq!(config.kernel_cmdline, "console=ttyS0 root=/dev/sda ", "never trimmed");
    assert_eq!((config.vcpu_count, config.guest_features), (1, 1));
    let policy = config.to_policy();
    assert_eq!(policy.products, [Product::Milan]);
    assert_eq!(policy.guest_policy.exact, Some(0x30000));
    assert_eq!(policy.platform_info.exact, Some(1));
    assert_eq!(policy.minimum_tcb.kinds(), [TcbKind::Committed]);
    let levels = MinimumLevels { fmc: 0, bootloader: 3, tee: 0, snp: 14, microcode: 209 };
    assert_eq!(policy.minimum_tcb.levels(Product::Milan), Some(levels));
    assert!(!policy.names_workload(), "nothing is accepted until a measurement is added");
    assert!(policy.family_id.is_none() && policy.vmpl.is_none());
    assert_eq!(policy.allow.iter().count(), 0);
    assert!(config.to_string().contains("./vmlinuz"));
}

#[test]
fn snpguards_file_is_read_as_strictly_as_by_snpguard() {
    let without = SNPGUARD.replace("family_id = \"00000000000000000000000000000000\"\n", "");
    let more = SNPGUARD.replace("vcpu_count = 1", "vcpu_count = 1\nvcpus = 1");
    let other = SNPGUARD.replace("Milan", "Naples");
    let reserved = SNPGUARD.replace("_reserved = [0, 0, 0, 0]", "_reserved = [0]");
    for text in [without, more, other, reserved] {
        let error = Policy::load(&text).unwrap_err();
        assert!(matches!(error, PolicyError::Snpguard(_)), "{error}");
    }
    assert!(!SnpguardConfig::recognises(&full()) && !SnpguardConfig::recognises("="));
    assert!(matches!(Policy::load(&full()).unwrap(), Loaded::Policy(_)));
}
