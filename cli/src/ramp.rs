//! The colours of heat maps.

/// Anchors of matplotlib's *viridis* (CC0): even steps look even, in print and to the
/// colour-blind.
const ANCHORS: [[u8; 3]; 9] = [
    [0x44, 0x01, 0x54],
    [0x47, 0x2d, 0x7b],
    [0x3b, 0x52, 0x8b],
    [0x2c, 0x72, 0x8e],
    [0x21, 0x91, 0x8c],
    [0x28, 0xae, 0x80],
    [0x5e, 0xc9, 0x62],
    [0xad, 0xdc, 0x30],
    [0xfd, 0xe7, 0x25],
];

/// The colour of a share from 0 (dark) to 1 (bright).
pub fn colour(share: f32) -> [u8; 3] {
    let position = share.clamp(0.0, 1.0) * (ANCHORS.len() - 1) as f32;
    let below = (position as usize).min(ANCHORS.len() - 2);
    let fraction = position - below as f32;
    std::array::from_fn(|channel| {
        let [from, to] = [ANCHORS[below], ANCHORS[below + 1]].map(|anchor| anchor[channel]);
        (f32::from(from) + fraction * (f32::from(to) - f32::from(from))).round() as u8
    })
}

/// Whether text on the colour of a share reads better in black than in white.
pub fn wants_black_text(share: f32) -> bool {
    share > 0.55
}
