//! The signing side: one connection is one VM.

use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use attestation::id_block::{IdAuth, IdBlock};
use attestation::measurement::{GuestFeatures, LaunchDigest};
use attestation::product::Product;
use attestation::report::{KeyKind, ReportVersion};
use attestation::tcb::Tcb;
use p384::ecdsa::SigningKey;

use crate::archive::Overlay;
use crate::authority::{Leaf, certificate_table};
use crate::chip::{self, Chip, GuestFields, INVALID_PARAM};
use crate::fault::{Fault, FaultKind};
use crate::measured::{MeasuredError, measure};
use crate::qemu::Started;
use crate::report::Content;
use crate::state::{self, ProductState, State, StateError};
use crate::wire::{Answer, Ask, KeyRequest, Question, Status};

/// CSP_ID of the simulator's VLEKs.
const CSP_ID: &str = "CN=ravelin-simulator";
/// A leaf's validity; AMD's are valid for seven years.
const LEAF_DAYS: u32 = 7 * 365;
/// How much a truncated report keeps.
const TRUNCATED: usize = 1000;

/// What a launch gives to the secure processor, and what platform it is.
#[derive(Debug)]
pub struct Settings {
    /// The firmware that is measured.
    pub firmware: PathBuf,
    /// The simulator's archive.
    pub overlay: Overlay,
    /// The platform's product.
    pub product: Product,
    /// The report's format.
    pub version: ReportVersion,
    /// Which key signs.
    pub key: KeyKind,
    /// CHIP_ID, if not the usual one.
    pub chip_id: Option<[u8; 64]>,
    /// The platform's TCB version.
    pub tcb: Tcb,
    /// PLATFORM_INFO.
    pub platform_info: u64,
    /// The guest policy.
    pub policy: u64,
    /// The guest features of the vCPUs.
    pub features: GuestFeatures,
    /// The highest privilege that the guest has: 0, or more for less.
    pub vmpl: u32,
    /// HOST_DATA.
    pub host_data: [u8; 32],
    /// The ID block with its authentication.
    pub id_block: Option<(IdBlock, IdAuth)>,
    /// AUTHOR_KEY_EN, where the authentication has an author key.
    pub author_key: bool,
    /// What goes wrong.
    pub faults: Vec<Fault>,
}

/// Why a VM is not launched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LaunchError {
    /// It is not measured.
    #[error(transparent)]
    Measured(#[from] MeasuredError),
    /// The ID block is for another measurement.
    #[error("the ID block is for the measurement {expected}, and the VM's is {found}")]
    IdBlock {
        /// The block's.
        expected: LaunchDigest,
        /// The VM's.
        found: LaunchDigest,
    },
    /// The ID block is for another policy.
    #[error("the ID block is for the policy {expected:#x}, and the VM's is {found:#x}")]
    Policy {
        /// The block's.
        expected: u64,
        /// The VM's.
        found: u64,
    },
    /// No random REPORT_ID.
    #[error(transparent)]
    State(#[from] StateError),
}

/// The platform: the keys that all its VMs share.
pub struct Platform {
    settings: Settings,
    chip: Chip,
    signer: SigningKey,
    certificates: Vec<u8>,
}

/// One launched VM.
pub struct Guest<'a> {
    platform: &'a Platform,
    content: Content,
    first: Option<Vec<u8>>,
    reports: u32,
}

impl Platform {
    /// Sets up the platform.
    ///
    /// # Errors
    /// If its endorsement key's certificate cannot be issued.
    pub fn new(
        settings: Settings,
        state: &State,
        product: &ProductState,
    ) -> Result<Self, StateError> {
        let chip = Chip::new(state.secret(), settings.product, settings.chip_id);
        let chip = match settings.key {
            KeyKind::Vcek => chip,
            KeyKind::Vlek => chip.with_vlek(state.secret()),
        };
        let authority = &product.authority;
        let (key, leaf, intermediate) = match settings.key {
            KeyKind::Vcek => (
                chip.vcek(settings.tcb),
                Leaf::Vcek { chip_id: chip.id() },
                &product.certificates.ask,
            ),
            KeyKind::Vlek => (
                chip::vlek(state.secret(), settings.product, settings.tcb),
                Leaf::Vlek { csp_id: CSP_ID },
                &product.certificates.asvk,
            ),
        };
        let leaf = authority.leaf(&leaf, settings.tcb, &key, state::validity(LEAF_DAYS))?;
        let vlek = settings.key == KeyKind::Vlek;
        let certificates = certificate_table(&product.certificates.ark, intermediate, &leaf, vlek);
        Ok(Self { settings, chip, signer: SigningKey::from(&key), certificates })
    }

    /// The certificate table that goes with each report.
    #[must_use]
    pub fn certificates(&self) -> &[u8] {
        &self.certificates
    }

    /// Measures a VM and gives it a REPORT_ID.
    ///
    /// # Errors
    /// [`LaunchError`]; hardware would not start such a VM.
    pub fn launch(&self, started: &Started) -> Result<Guest<'_>, LaunchError> {
        let settings = &self.settings;
        let found = measure(started, &settings.overlay, &settings.firmware, settings.features)?;
        let mut report_id = [0; 32];
        state::random(&mut report_id)?;
        let mut content = Content {
            version: settings.version,
            product: settings.product,
            guest_svn: 0,
            policy: settings.policy,
            family_id: [0; 16],
            image_id: [0; 16],
            vmpl: settings.vmpl,
            tcb: settings.tcb,
            platform_info: settings.platform_info,
            author_key_digest: None,
            key: settings.key,
            report_data: [0; 64],
            measurement: *found.as_bytes(),
            host_data: settings.host_data,
            id_key_digest: [0; 48],
            report_id,
            chip_id: *self.chip.id(),
        };
        if let Some((block, auth)) = &settings.id_block {
            if block.launch_digest != found {
                return Err(LaunchError::IdBlock { expected: block.launch_digest, found });
            }
            if block.policy != settings.policy {
                let (expected, found) = (block.policy, settings.policy);
                return Err(LaunchError::Policy { expected, found });
            }
            content.guest_svn = block.guest_svn;
            content.family_id = block.family_id;
            content.image_id = block.image_id;
            content.id_key_digest = *auth.id_key_digest().as_bytes();
            let author = auth.author_key_digest().filter(|_| settings.author_key);
            content.author_key_digest = author.map(|digest| *digest.as_bytes());
        }
        Ok(Guest { platform: self, content, first: None, reports: 0 })
    }
}

impl Guest<'_> {
    /// The launch digest.
    #[must_use]
    pub const fn measurement(&self) -> &[u8; 48] {
        &self.content.measurement
    }

    /// REPORT_ID.
    #[must_use]
    pub const fn report_id(&self) -> &[u8; 32] {
        &self.content.report_id
    }

    /// Answers a question.
    pub fn answer(&mut self, question: &Question) -> Answer {
        let number = question.number;
        if question.vmpl > 3 {
            return Answer::empty(number, Status::Refused, INVALID_PARAM);
        }
        let vmpl = question.vmpl.max(self.platform.settings.vmpl);
        match &question.ask {
            Ask::Report(data) => self.report(number, vmpl, data),
            Ask::Key(request) => self.key(number, vmpl, request),
        }
    }

    fn report(&mut self, number: u32, vmpl: u32, data: &[u8; 64]) -> Answer {
        self.reports = self.reports.saturating_add(1);
        let faults = &self.platform.settings.faults;
        let suffers = |kind| faults.iter().any(|f| f.kind == kind && f.befalls(self.reports));
        if suffers(FaultKind::Busy) {
            return Answer::empty(number, Status::Busy, 0);
        }
        let mut content = Content { vmpl, report_data: *data, ..self.content.clone() };
        if suffers(FaultKind::WrongNonce) {
            content.report_data = data.map(|byte| !byte);
        }
        if suffers(FaultKind::OtherVm) {
            content.report_id = content.report_id.map(|byte| !byte);
            content.measurement = content.measurement.map(|byte| !byte);
        }
        let mut report = content.sign(&self.platform.signer);
        match &self.first {
            Some(first) if suffers(FaultKind::StaleReport) => report.clone_from(first),
            Some(_) => {}
            None => self.first = Some(report.clone()),
        }
        if suffers(FaultKind::Truncated) {
            report.truncate(TRUNCATED);
        }
        Answer {
            number,
            status: Status::Done,
            disturbed: suffers(FaultKind::Generation),
            firmware: 0,
            main: report,
            certificates: self.platform.certificates.clone(),
        }
    }

    fn key(&self, number: u32, vmpl: u32, request: &KeyRequest) -> Answer {
        let content = &self.content;
        let guest = GuestFields {
            policy: content.policy,
            image_id: content.image_id,
            family_id: content.family_id,
            measurement: content.measurement,
            guest_svn: content.guest_svn,
            committed_tcb: content.tcb,
            report_id: content.report_id,
        };
        match self.platform.chip.derived_key(request, vmpl, &guest) {
            Ok(key) => Answer { main: key.to_vec(), ..Answer::empty(number, Status::Done, 0) },
            Err(status) => Answer::empty(number, Status::Refused, status),
        }
    }
}

/// Serves one VM until it ends. A VM that cannot be launched gets an answer
/// that says so to everything; `failed` is told why.
///
/// # Errors
/// What the connection answers, a frame that is none included.
pub fn serve(
    mut connection: UnixStream,
    platform: &Platform,
    launched: impl FnOnce(Result<&Guest<'_>, &LaunchError>),
) -> io::Result<()> {
    let started = Started::of_peer(&connection).map_err(MeasuredError::from);
    let mut guest =
        started.map_err(LaunchError::from).and_then(|started| platform.launch(&started));
    launched(guest.as_ref());
    loop {
        let question = match Question::read(&mut connection) {
            Ok(question) => question,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        };
        let answer = match &mut guest {
            Ok(guest) => guest.answer(&question),
            Err(_) => Answer::empty(question.number, Status::Failed, 0),
        };
        connection.write_all(&answer.encode())?;
    }
}
