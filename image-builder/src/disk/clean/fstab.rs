//! Lines of `/etc/fstab` (fstab(5)) that belong to the disk that a system was installed on.

/// What replaces the start of such a line.
const MARK: &[u8] = b"# left out by ravelin: ";

/// Where the old disk's other partitions were.
const PLACES: [&[u8]; 4] = [b"/", b"/boot", b"/boot/efi", b"/efi"];

/// The numbers of the lines, from 1.
pub(super) fn old(text: &[u8]) -> Vec<u64> {
    let lines = (1..).zip(text.split(|&byte| byte == b'\n'));
    lines.filter(|(_, line)| is_old(line)).map(|(number, _)| number).collect()
}

/// The text with these lines as comments, all others as they are.
pub(super) fn without_old(text: &[u8]) -> Vec<u8> {
    let lines = text.split_inclusive(|&byte| byte == b'\n');
    lines.fold(Vec::with_capacity(text.len()), |mut out, line| {
        if is_old(line.strip_suffix(b"\n").unwrap_or(line)) {
            out.extend(MARK);
        }
        out.extend(line);
        out
    })
}

fn is_old(line: &[u8]) -> bool {
    let mut fields =
        line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|field| !field.is_empty());
    let (device, place, kind) = (fields.next(), fields.next(), fields.next());
    let comment = device.is_none_or(|device| device.starts_with(b"#"));
    let place = place.map(|place| match place.strip_suffix(b"/") {
        Some(shorter) if !shorter.is_empty() => shorter,
        _ => place,
    });
    !comment && (kind == Some(b"swap") || place.is_some_and(|place| PLACES.contains(&place)))
}
